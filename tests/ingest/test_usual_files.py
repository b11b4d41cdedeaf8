"""Files of predictions as people have them are read as they are meant, or refused in one line with the remedy."""

import numpy as np
import pandas as pd
import pytest

import fitlib
from fitlib.errors import InputError
from fitlib.ingest.choices import Choices
from fitlib.ingest.column_roles import parse_column_roles, roles_of
from tests.ingest.test_normalise import lay, notes_of, read

ROWS = 60
FIXED = np.random.default_rng(3)
TRUE, SEX = FIXED.integers(0, 2, ROWS), np.where(FIXED.random(ROWS) < 0.5, "F", "M")


def guess(seed: int) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(ROWS) < 0.2, 1 - TRUE, TRUE)


def runs(change=lambda t: t, **columns) -> dict[str, pd.DataFrame]:
    """Two runs of one technique, with more columns."""
    made = {"y_true": TRUE, "sex": SEX, **columns}
    return {f"B/r{run}.csv": change(pd.DataFrame(made | {"y_pred": guess(run)})) for run in range(2)}


# Runs side by side


@pytest.mark.parametrize("name", ["pred_{}", "seed_{}", "run{}_pred", "yhat.{}", "Run {} prediction", "y_pred{}"])
def test_columns_of_one_stem_are_runs(tmp_path, name):
    table = pd.DataFrame({"y_true": TRUE, "sex": SEX} | {name.format(run): guess(run) for run in range(4)})
    found, stacked = read(tmp_path, {"B/wide.csv": table})
    assert np.array_equal(stacked["B"].prediction, np.stack([guess(run) for run in range(4)]))
    assert "side by side read as the predictions of one run each" in notes_of(found)


def test_equal_names_of_predictions_are_runs(tmp_path):
    table = pd.DataFrame(np.stack([TRUE, guess(0), guess(1)], 1), columns=["y_true", "y_pred", "y_pred"])
    _, stacked = read(tmp_path, {"B/wide.csv": table.assign(sex=SEX)})
    assert np.array_equal(stacked["B"].prediction, np.stack([guess(0), guess(1)]))


def test_a_pattern_names_runs_of_any_stem():
    given = parse_column_roles(["prediction=knn*"])
    found = roles_of("a.csv", ["y", "sex", "knn 1", "knn 2", "other"], given, ())
    assert {role: c for role, c in found.items() if "prediction" in role} == {
        "prediction.knn 1": "knn 1",
        "prediction.knn 2": "knn 2",
    }


def test_scores_beside_several_runs_are_not_used(tmp_path):
    table = pd.DataFrame({"y_true": TRUE, "sex": SEX, "score": 0.5} | {f"pred_{r}": guess(r) for r in range(2)})
    found, stacked = read(tmp_path, {"B/wide.csv": table})
    assert stacked["B"].score is None and "Columns not used: score." in notes_of(found)


# Names


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["y_test", "y_pred", "A"], ["y_test", "y_pred", "A"]),
        (["y", "yhat", "s"], ["y", "yhat", "s"]),
        (["Y", "y_pred", "Z"], ["Y", "y_pred", "Z"]),
        (["target", "prediction", "Geschlecht"], ["target", "prediction", "Geschlecht"]),
        (["income", "income_pred", "sex", "age"], ["income", "income_pred", "sex"]),
        (["income_true", "income_pred", "altersgruppe"], ["income_true", "income_pred", "altersgruppe"]),
        (["hired", "predicted_hired", "age"], ["hired", "predicted_hired", "age"]),
    ],
)
def test_usual_names_are_recognised(columns, expected):
    found = roles_of("a.csv", columns, {}, ())
    roles = ("ground_truth", "prediction", "protected")
    assert [c for role in roles for name, c in found.items() if name.partition(".")[0] == role] == expected


def test_the_case_of_a_heading_may_differ_between_files(tmp_path):
    files = runs()
    files["B/r1.csv"] = files["B/r1.csv"].rename(columns={"sex": "SEX"})
    found, _ = read(tmp_path, files)
    assert list(found["groups"]) == ["sex"] and "Column SEX read as the protected attribute sex" in notes_of(found)
    given, _ = read(tmp_path, files, Choices(columns=parse_column_roles(["protected=Sex"])))
    assert list(given["groups"]) == ["Sex"]


# Scores alone


def test_scores_alone_are_decided_at_a_threshold(tmp_path):
    files = {name: t.drop(columns="y_pred").assign(proba=t.y_pred * 0.6 + 0.1) for name, t in runs().items()}
    with pytest.raises(InputError, match=r"prediction.*missing.*decide by proba: --threshold 0.5"):
        read(tmp_path, files)
    found, stacked = read(tmp_path, files, Choices(threshold=0.5))
    assert np.array_equal(stacked["B"].prediction, np.stack([guess(0), guess(1)]))
    assert "Class 1 decided from proba >= 0.5" in notes_of(found)
    none, all_of_them = (read(tmp_path / str(t), files, Choices(threshold=t))[1]["B"] for t in (2.0, 0.1))
    assert (none.prediction == 0).all() and (all_of_them.prediction == 1).all()


def test_the_class_that_a_score_names_is_decided(tmp_path):
    files = {
        name: t.drop(columns="y_pred").assign(y_true=np.where(TRUE, "yes", "no"), **{"P(no)": 0.9 - 0.6 * t.y_pred})
        for name, t in runs().items()
    }
    found, stacked = read(tmp_path, files, Choices(threshold=0.5))
    assert np.array_equal(stacked["B"].prediction[0], guess(0)) and "Class no decided" in notes_of(found)


def test_a_threshold_needs_two_classes(tmp_path):
    files = {n: t.drop(columns="y_pred").assign(y_true=np.arange(ROWS) % 3, score=0.5) for n, t in runs().items()}
    with pytest.raises(InputError, match="between two classes, and there are 3"):
        read(tmp_path, files, Choices(threshold=0.5))


def test_scores_given_as_predictions_do_not_send_in_a_circle(tmp_path):
    with pytest.raises(InputError, match=r"these are scores: --column score=NAME, and --threshold 0.5"):
        read(tmp_path, runs(lambda t: t.assign(y_pred=0.3)))


# Groups


def test_an_age_in_years_keeps_its_name_and_is_cut_into_ranges(tmp_path):
    found, stacked = read(tmp_path, runs(age=np.arange(ROWS) + 20), Choices(columns={"protected.age": "age"}))
    assert found["groups"] == {"age": ["< 30", "30 to < 50", ">= 50"]} and "cut into ranges" in notes_of(found)
    assert np.bincount(stacked["B"].protected["age"]).tolist() == [10, 20, 30]
    predicted = np.stack([guess(0), guess(1)])
    results = fitlib.analyze(TRUE, predicted, sensitive_features={"age": np.arange(ROWS) + 20, "race": ["a"] * ROWS})
    assert results.plan["groups"] == found["groups"] and "cut into ranges" in " ".join(results.plan["notes"])


def test_few_numbers_and_codes_stay_groups(tmp_path):
    found, _ = read(tmp_path, runs(rac1p=np.arange(ROWS) % 9 + 1), Choices(columns={"protected.rac1p": "rac1p"}))
    assert found["groups"]["rac1p"] == [str(code) for code in range(1, 10)]


def test_an_attribute_of_one_group_is_left_out_and_the_only_one_is_refused(tmp_path):
    found, stacked = read(tmp_path, runs(race="a"))
    assert list(found["groups"]) == ["sex"] == list(stacked["B"].protected)
    assert "Attribute race left out: all rows are of the group a" in notes_of(found)
    with pytest.raises(InputError, match="all rows are of one group"):
        read(tmp_path, runs(lambda t: t.assign(sex="F")))


@pytest.mark.parametrize("given", [("race", "Unknown"), ("", "Unknown"), ("RACE", "Unknown")])
def test_a_group_may_be_left_out(tmp_path, given):
    race = np.where(np.arange(ROWS) < 2, "Unknown", np.where(np.arange(ROWS) % 2, "a", "b"))
    found, _ = read(tmp_path / "all", runs(race=race))
    assert found["sizes"]["race"] == {"Unknown": 2, "a": 29, "b": 29}
    assert "Unknown (2 rows of 60) of race counts as much" in notes_of(found)
    found, stacked = read(tmp_path, runs(race=race), Choices(drop_groups=(given,)))
    assert found["groups"]["race"] == ["a", "b"] and stacked["B"].prediction.shape == (2, ROWS - 2)
    assert "2 rows of the group" in notes_of(found)


def test_missing_groups_may_be_left_out(tmp_path):
    race = np.where(np.arange(ROWS) < 3, "?", np.where(np.arange(ROWS) % 2, "a", "b"))
    with pytest.raises(InputError, match="--drop-group"):
        read(tmp_path, runs(race=race))
    _, stacked = read(tmp_path, runs(race=race), Choices(drop_groups=(("race", "?"),)))
    assert stacked["B"].prediction.shape == (2, ROWS - 3)


def test_a_group_that_no_row_has_is_refused(tmp_path):
    with pytest.raises(InputError, match="--drop-group = 'sex=X': no row is of this group"):
        read(tmp_path, runs(), Choices(drop_groups=(("sex", "X"),)))


# Joined runs


@pytest.mark.parametrize("index", [False, True])
def test_runs_joined_without_a_column_of_runs_are_found_out(tmp_path, index):
    joined = pd.concat(runs().values(), ignore_index=True)
    joined = joined.assign(idx=joined.index) if index else joined
    with pytest.raises(InputError, match=r"repeat 2 times, every 60 rows.*--rows-per-run 60; else --rows-per-run 120"):
        read(tmp_path, {"B/all.csv": joined})
    _, stacked = read(tmp_path, {"B/all.csv": joined}, Choices(rows_per_run=60))
    assert np.array_equal(stacked["B"].prediction, np.stack([guess(0), guess(1)]))
    _, one = read(tmp_path, {"B/all.csv": joined}, Choices(rows_per_run=120))
    assert one["B"].prediction.shape == (1, 120)
    with pytest.raises(InputError, match="not a divisor of the 120 rows"):
        read(tmp_path, {"B/all.csv": joined}, Choices(rows_per_run=7))


def test_a_test_set_that_alternates_is_one_run(tmp_path):
    table = pd.DataFrame({"y_true": np.arange(400) % 2, "y_pred": 1, "sex": np.arange(400) // 2 % 2})
    _, stacked = read(tmp_path, {"B/r.csv": table})
    assert stacked["B"].prediction.shape == (1, 400)


# Formats


def test_arrays_and_pickles_are_named_with_what_to_do(tmp_path):
    folder = lay(tmp_path / "mine", {})
    (folder / "B").mkdir(parents=True)
    np.save(folder / "B/pred_0.npy", guess(0))
    with pytest.raises(InputError, match=r"an array of shape.*without ground truth and groups.*numpy.savez"):
        read(tmp_path, {})
    (folder / "B/pred_0.npy").rename(folder / "B/pred_0.pkl")
    with pytest.raises(InputError, match=r"no predictions in it that can be read, but B/pred_0.pkl; it can run code"):
        read(tmp_path, {})


def test_arrays_with_ground_truth_and_groups_are_read(tmp_path):
    (tmp_path / "mine/B").mkdir(parents=True)
    np.savez(tmp_path / "mine/B/all.npz", y_true=TRUE, sex=SEX, y_pred=np.stack([guess(0), guess(1), guess(2)]))
    _, stacked = read(tmp_path, {})
    assert np.array_equal(stacked["B"].prediction, np.stack([guess(0), guess(1), guess(2)]))


def test_indices_of_joined_frames_are_left_out(tmp_path):
    joined = pd.concat([t.assign(seed=i) for i, t in enumerate(runs().values())])
    joined.to_csv(tmp_path / "all.csv")
    joined.to_parquet(tmp_path / "all.parquet")
    for name in ("all.csv", "all.parquet"):
        (tmp_path / name.partition(".")[2] / "mine").mkdir(parents=True)
        (tmp_path / name).rename(tmp_path / name.partition(".")[2] / "mine" / name)
        found, stacked = read(tmp_path / name.partition(".")[2], {})
        assert stacked["mine"].prediction.shape == (2, ROWS) and "unnamed index, left out" in notes_of(found)
