"""Predictions in any usual form are saved in fitlib's format or refused in one line; nothing is guessed silently."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import fitlib
from fitlib.errors import InputError
from fitlib.recording import save_predictions
from fitlib.storage.predictions import stack
from fitlib.storage.run_files import DIGESTS, HISTORY
from fitlib.tables.epochs import epochs_table, gather_history

TRUTH, PREDICTION, SEX = [0, 1, 1, 0, 1, 0], [0, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]
GIVEN = {"ground_truth": TRUTH, "prediction": PREDICTION, "protected": SEX}


@pytest.fixture(autouse=True)
def no_temporary_folder():
    save_predictions._temporary_folder.clear()


def saved(folder, **changes):
    """The saved columns as a frame, checked by the reader of the analysis."""
    path = fitlib.save_predictions(folder, **{**GIVEN, **changes})
    stack({0: path})
    return pq.read_table(path).to_pandas()


def names(folder):
    return json.loads((folder / "names.json").read_text(encoding="utf-8"))


def refused(folder, match, **changes):
    with pytest.raises(InputError, match=match) as error:
        fitlib.save_predictions(folder, **{**GIVEN, **changes})
    assert "\n" not in str(error.value)
    assert not (folder / "predictions").exists()


# What is saved


def test_numbers_stay_as_they_are(tmp_path):
    frame = saved(tmp_path)
    assert frame["idx"].tolist() == list(range(6)) and frame["prediction"].tolist() == PREDICTION
    assert frame["protected"].tolist() == SEX
    assert names(tmp_path) == {"classes": ["0", "1"], "groups": {"protected": ["0", "1"]}}


@pytest.mark.parametrize(
    "make", [list, np.array, pd.Series, torch.tensor, lambda x: np.array(x, np.float32), lambda x: np.array(x)[:, None]]
)
def test_any_kind_of_column_gives_the_same_file(tmp_path, make):
    frame = saved(tmp_path, **{name: make(values) for name, values in GIVEN.items()})
    assert frame["ground_truth"].tolist() == TRUTH and frame["prediction"].tolist() == PREDICTION


def test_text_is_numbered_in_sorted_order_and_told(tmp_path, capsys):
    text = {name: np.array([">50K", "<=50K"])[np.array(GIVEN[name])] for name in ("ground_truth", "prediction")}
    frame = saved(tmp_path, **text, protected=pd.DataFrame({"sex": ["m", "f", "x"] * 2, "old": [True, False] * 3}))
    assert frame["ground_truth"].tolist() == [1 - c for c in TRUTH]
    assert frame["protected.sex"].tolist() == [1, 0, 2] * 2 and frame["protected.old"].tolist() == [1, 0] * 3
    groups = {"sex": ["f", "m", "x"], "old": ["False", "True"]}
    assert names(tmp_path) == {"classes": ["<=50K", ">50K"], "groups": groups}
    messages = capsys.readouterr().out
    assert "classes: 0 = '<=50K', 1 = '>50K'" in messages and "groups of sex: 0 = 'f', 1 = 'm', 2 = 'x'" in messages


@pytest.mark.parametrize("values", [(-1, 1), (1, 2), (False, True), ("0", "1"), ("9", "10"), (-1.0, 3.0)])
def test_other_numbers_and_booleans_are_numbered_in_their_order(tmp_path, values):
    frame = saved(tmp_path, **{n: [values[c] for c in GIVEN[n]] for n in ("ground_truth", "prediction")})
    assert frame["ground_truth"].tolist() == TRUTH and frame["prediction"].tolist() == PREDICTION
    assert names(tmp_path)["classes"] == [str(value).removesuffix(".0") for value in values]


@pytest.mark.parametrize("truth", [TRUTH, ["no" if c == 0 else "yes" for c in TRUTH], np.array(TRUTH, bool)])
def test_declared_names_stand_in_their_own_order(tmp_path, truth):
    frame = saved(tmp_path, ground_truth=truth, prediction=truth, classes=["no", "yes", "unknown"], groups=["f", "m"])
    assert frame["ground_truth"].tolist() == TRUTH
    assert names(tmp_path) == {"classes": ["no", "yes", "unknown"], "groups": {"protected": ["f", "m"]}}


def test_a_class_that_only_the_scores_know_counts(tmp_path):
    saved(tmp_path, score=np.full((6, 3), 0.2))
    assert names(tmp_path)["classes"] == ["0", "1", "2"]


@pytest.mark.parametrize("score", [np.linspace(0, 1, 6), np.linspace(0, 1, 12).reshape(6, 2)])
def test_scores_of_one_class_or_of_all(tmp_path, score):
    found = saved(tmp_path, score=torch.tensor(score, dtype=torch.float32))["score"]
    np.testing.assert_array_equal(np.stack(found.to_list()), score.astype(np.float32))


def test_scores_in_bfloat16_are_read(tmp_path):
    assert saved(tmp_path, score=torch.full((6,), 0.5, dtype=torch.bfloat16))["score"].tolist() == [0.5] * 6


def test_lists_of_labels(tmp_path):
    truth = np.array([TRUTH, PREDICTION, SEX]).T
    frame = saved(tmp_path, ground_truth=truth, prediction=truth[::-1].astype(bool).tolist(), classes=["a", "b", "c"])
    np.testing.assert_array_equal(np.stack(frame["ground_truth"].to_list()), truth)
    np.testing.assert_array_equal(np.stack(frame["prediction"].to_list()), truth[::-1])


def test_rows_are_put_in_the_order_of_idx(tmp_path):
    order = [3, 0, 5, 1, 4, 2]
    shuffled = {name: np.array(values)[order] for name, values in GIVEN.items()}
    score, unit = np.arange(6) / 10, np.array(["a", "a", "b", "b", "c", "c"])
    straight = saved(tmp_path / "a", score=score, unit=unit)
    pd.testing.assert_frame_equal(
        saved(tmp_path / "b", **shuffled, idx=order, score=score[order], unit=unit[order]), straight
    )
    assert straight["unit"].tolist() == [0, 0, 1, 1, 2, 2]


def test_the_same_rows_give_the_same_bytes_and_test_digest(tmp_path):
    for folder in ("a", "b"):
        saved(tmp_path / folder)
    first, second = (tmp_path / f / "predictions" / "predictions.parquet" for f in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    marks = [json.loads((tmp_path / f / "fingerprint.json").read_text()) for f in ("a", "b")]
    assert marks[0] == marks[1]


def test_without_a_recorder_the_evidence_is_what_is_seen_from_outside(tmp_path):
    saved(tmp_path)
    mark = json.loads((tmp_path / "fingerprint.json").read_text())
    assert mark["recorded"] is False and mark["noise"] == {"applied": False}
    assert {"test data", "packages", "python", "machine", "threads", "environment variables"} <= mark["parts"].keys()
    assert not {"initial weights", "first batch", "data order"} & mark["parts"].keys()
    assert pq.read_table(tmp_path / "digests.parquet").schema.equals(DIGESTS)
    assert pq.read_table(tmp_path / "history.parquet").num_rows == 0


def test_nothing_imports_torch():
    code = (
        "import sys, fitlib\n"
        "fitlib.save_predictions('', ground_truth=[0, 1], prediction=[0, 1], protected=['a', 'b'])\n"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_folder_a_temporary_one_is_told_and_nothing_is_replaced(capsys):
    first, second = (fitlib.save_predictions("", **GIVEN) for _ in range(2))
    other = fitlib.save_predictions("", **GIVEN, technique="other")
    assert first != second and other.parent == second.parent
    assert str(first.parent.parent) in capsys.readouterr().out


# Several techniques, history


def test_techniques_of_one_run_have_a_file_each(tmp_path):
    for technique in ("S-Base", "S_1.b"):
        saved(tmp_path, technique=technique)
    assert sorted(p.stem for p in (tmp_path / "predictions").iterdir()) == ["S-Base", "S_1.b"]


def test_a_technique_is_saved_once(tmp_path):
    path = fitlib.save_predictions(tmp_path, **GIVEN, technique="a")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"technique = 'a'.*saved in"):
        fitlib.save_predictions(tmp_path, **{**GIVEN, "prediction": TRUTH}, technique="a")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "change", [{"ground_truth": [0, 1, 1, 0, 1, 1]}, {"classes": ["no", "yes"]}, {"protected": [0, 1] * 3}]
)
def test_techniques_of_one_run_share_test_rows_and_names(tmp_path, change):
    saved(tmp_path, technique="a")
    with pytest.raises(InputError, match=r"technique = 'b'.*other test rows, classes or groups"):
        fitlib.save_predictions(tmp_path, **{**GIVEN, **change}, technique="b")


def test_history_is_what_the_analysis_reads(tmp_path):
    rows = [{"epoch": e, "group": g, "test_accuracy": 0.5 + e / 10} for e in range(4) for g in ("f", "m")]
    evidence = [{"training": "a", "arm": "ulp", "seed": 0, "run": run, "status": "done"} for run in range(3)]
    for run in range(3):
        folder = tmp_path / "runs" / "a" / "ulp" / f"run-{run:02d}"
        changed = [{**row, "test_accuracy": row["test_accuracy"] + run / 100} for row in rows]
        saved(folder, protected={"sex": ["f"] * 4 + ["m"] * 2}, history=pd.DataFrame(changed) if run else changed)
        saved(folder, protected={"sex": ["f"] * 4 + ["m"] * 2}, technique="second")  # leaves the history as it is
    history = gather_history(tmp_path, evidence)
    assert history["n"].tolist() == [4, 2] * 12 and history["group"].tolist() == [0, 1] * 12
    plan = {"techniques": [{"training": "a"}], "arms": [{"arm": "ulp", "seed": 0, "role": "main", "runs": 3}]}
    table = epochs_table(history, plan)
    np.testing.assert_allclose(table["accuracy_mean"], [0.51, 0.61, 0.71, 0.81])
    assert pq.read_schema(folder / "history.parquet").equals(HISTORY)


def test_an_empty_history_is_read_as_none(tmp_path):
    saved(tmp_path / "runs" / "a" / "ulp" / "run-00")
    evidence = [{"training": "a", "arm": "ulp", "seed": 0, "run": 0, "status": "done"}]
    plan = {"techniques": [{"training": "a"}], "arms": [{"arm": "ulp", "seed": 0, "role": "main", "runs": 1}]}
    assert epochs_table(gather_history(tmp_path, evidence), plan).empty


ROW = {"epoch": 0, "group": 1, "test_accuracy": 0.5}


@pytest.mark.parametrize(
    ("history", "match"),
    [
        ([{"epoch": 0, "test_accuracy": 0.5}], "a column is missing"),
        ([{**ROW, "loss": 1.0}], "history row 0 = 'loss': no such column"),
        ([{**ROW, "test_accuracy": 51.0}], "not a share"),
        ([{**ROW, "group": 2}], "not one of 0..1"),
        ([ROW, ROW], "this epoch and group twice"),
    ],
)
def test_a_history_that_would_be_misread_is_refused(tmp_path, history, match):
    refused(tmp_path, match, history=history)


# What is refused


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"prediction": PREDICTION[:5]}, "prediction = .5,.: 5 rows, but 6 in ground_truth"),
        ({"protected": {"sex": SEX, "race": SEX[:4]}}, r"protected.race = .*4 rows, but 6"),
        ({"idx": range(5)}, "idx = .*5 rows, but 6"),
        ({"unit": [0] * 7}, "unit = .*7 rows, but 6"),
        ({"score": [0.5] * 3}, "score = .*3 rows, but 6"),
        ({"prediction": [0, 1, None, 0, 1, float("nan")]}, "prediction = None: 2 missing .*first in row 2"),
        ({"prediction": np.array([0, 1, np.nan, 0, 1, 0])}, "prediction = nan: 1 missing"),
        ({"protected": {"sex": pd.Series(["f", "m", None] * 2)}}, "protected.sex = .*2 missing .*first in row 2"),
        ({"protected": pd.Series([0, 1, None] * 2, dtype="Int64")}, "protected = .*2 missing"),
        ({"score": [0.1, np.inf, 0.1, 0.1, 0.1, 0.1]}, "score = inf: 1 missing .or infinite."),
        ({"score": np.zeros((6, 4)), "classes": ["a", "b"]}, "not one score for each of 2 classes"),
        ({"score": ["high"] * 6}, "score = 'high': not a number"),
        ({"score": [0.5] * 6, "classes": ["a", "b", "c"]}, "not one score for each of 3 classes"),
        ({"protected": [1] * 6}, "protected = '1': all rows are of one group"),
        ({"protected": {"sex": ["f"] * 6}}, "protected.sex = 'f': all rows are of one group"),
        ({"protected": {}}, "not the name of an attribute"),
        ({"protected": {"": SEX}}, "not the name of an attribute"),
        ({"protected": np.zeros((6, 2))}, "protected = .*several columns"),
        ({"protected": [0.5, 1, 0, 1, 0, 1]}, "neither class numbers nor names"),
        ({"prediction": np.zeros((6, 2))}, r"shape of prediction = \(6, 2\): not the shape \(6,\)"),
        ({"ground_truth": [0.2] * 6}, "neither class numbers nor names"),
        ({"prediction": [0, 1, 2, 0, 1, 2]}, r"prediction = 2: not one of 0..1, in row 2 and 1 more.*`classes`"),
        ({"ground_truth": list("aabbab"), "prediction": list("aabbac")}, "prediction = 'c': not one of a, b, in row 5"),
        ({"ground_truth": list("aabbab")}, "prediction = 0: not one of a, b"),
        ({"classes": ["yes", "yes"]}, "no names, or one twice"),
        ({"classes": ["only"]}, "ground_truth = 1: not one of 0..0"),
        ({"groups": {"sex": ["f", "m"]}}, "groups = 'sex': no such protected attribute"),
        ({"groups": ["f", "m"], "protected": {"sex": SEX, "race": SEX}}, "2 protected attributes"),
        ({"idx": [0, 1, 2, 2, 4, 4]}, "idx = 2: 2 rows have the idx of another row"),
        ({"idx": list("abcdef")}, "idx = 'a': not a whole number, in row 0"),
        ({"idx": [0, 1, 2.5, 3, 4, 5]}, "idx = 2.5: not a whole number, in row 2"),
        ({"ground_truth": [[0, 1]] * 6, "prediction": [[0, 2]] * 6}, "0 or 1; row 0 holds another"),
        ({"ground_truth": [[0, 1]] * 6, "prediction": [[0, 1]] * 6, "classes": ["a"]}, "2 labels in a list"),
        ({"ground_truth": [[0, 1], [0]] * 3}, "ground_truth = 'list': cannot be made an array"),
        ({"ground_truth": [], "prediction": [], "protected": []}, "no rows"),
        ({"technique": "a/b"}, "technique = 'a/b': not a valid technique name"),
        ({"technique": "Ä"}, "technique = 'Ä': not a valid technique name"),
        ({"technique": ""}, "technique = '': not a valid technique name"),
        ({"technique": 3}, "technique = 3: not a valid technique name"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, changes, match):
    refused(tmp_path, match, **changes)


def test_identifiers_are_no_classes_and_no_groups(tmp_path):
    many = np.arange(1200)
    columns = {"ground_truth": many % 2, "prediction": many % 2, "protected": many % 2}
    refused(tmp_path, "protected = 1200: more than 100 different values", **{**columns, "protected": many})
    refused(tmp_path, "ground_truth = 1200: more than 1000", **{**columns, "ground_truth": many})
    refused(tmp_path, "protected = 1200: more than 100", **{**columns, "protected": [f"p{i}" for i in many]})


def test_unknown_names_of_fitlib_are_attribute_errors():
    assert {"Recorder", "save_predictions"} <= set(dir(fitlib))
    with pytest.raises(AttributeError, match="no attribute 'save_prediction'"):
        fitlib.save_prediction  # noqa: B018
