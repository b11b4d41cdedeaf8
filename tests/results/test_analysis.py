"""`fitlib.analyze` gives from arrays what the command gives from files, and refuses bad arrays in one line."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import fitlib
from fitlib.errors import InputError
from fitlib.metrics.long_tables import technique_tables
from fitlib.results.array_inputs import encode_arrays

N = 240
FIXED = np.random.default_rng(7)
SEX, RACE = np.where(FIXED.random(N) < 0.4, "women", "men"), FIXED.integers(0, 3, N)
UNITS = np.array([f"person {number}" for number in FIXED.integers(0, 90, N)])


def noisy(truth, share, runs, seed):
    """Runs that differ from the truth in a share of the rows, more often for women."""
    rng = np.random.default_rng(seed)
    often = (share * np.where(SEX == "women", 1.5, 1.0)).reshape(N, *[1] * (truth.ndim - 1))
    classes = truth.max() + 1
    return np.stack([np.where(rng.random(truth.shape) < often, (truth + 1) % classes, truth) for _ in range(runs)])


def binary():
    """Text as classes and groups, scores, a favourable class; other numbers of runs for each technique."""
    truth, words = np.random.default_rng(1).integers(0, 2, N), np.array(["granted", "refused"])
    runs = {"Fairer": noisy(truth, 0.1, 5, 2), "Plain": noisy(truth, 0.3, 6, 3)}
    scores = {t: 0.05 + 0.9 * (p * 0.5 + np.random.default_rng(4).random(p.shape) * 0.5) for t, p in runs.items()}
    features = pd.Series(SEX, name="sex")
    given = {"y_true": words[truth], "y_pred": {t: words[p] for t, p in runs.items()}, "y_score": scores}
    command = ("--baseline", "Plain", "--favourable", "granted", "--smallest-effect", "0.02")
    return given | {"sensitive_features": features, "favourable": "granted", "smallest_effect": 0.02}, command


def crossed():
    """Three classes, one of which no row has, units, and two attributes that are crossed; one run repeats another."""
    truth = np.random.default_rng(1).integers(0, 3, N)
    runs = {"A": noisy(truth, 0.2, 4, 2), "Plain": noisy(truth, 0.3, 4, 3)}
    runs["A"][3] = runs["A"][2]
    features = pd.DataFrame({"sex": SEX, "race": RACE})
    command = ["--baseline", "Plain", "--cross", "sex,race", "--classes", "3,0,1,2"]
    command += ["--primary", "DP", "--alpha", "0.1"]
    given = {"y_true": truth, "y_pred": {t: list(p) for t, p in runs.items()}, "sensitive_features": features}
    options = {"cross": [["sex", "race"]], "classes": [3, 0, 1, 2], "primary": "DP", "alpha": 0.1}
    return given | {"unit": UNITS} | options, command


def labels():
    """Four labels, groups that are booleans."""
    truth = np.random.default_rng(1).integers(0, 2, (N, 4))
    runs = {"A": noisy(truth, 0.2, 4, 2), "Plain": noisy(truth, 0.3, 4, 3)}
    return {"y_true": truth, "y_pred": runs, "sensitive_features": SEX == "women"}, ("--baseline", "Plain")


def write_files(folder, given):
    """Write what `analyze` is given as one CSV file for each run."""
    features = given["sensitive_features"]
    features = pd.DataFrame(features) if isinstance(features, pd.Series | pd.DataFrame) else {"protected": features}
    groups = {n if n == "protected" else f"protected.{n}": np.asarray(features[n]) for n in features}
    for technique, runs in given["y_pred"].items():
        (folder / technique).mkdir(parents=True)
        for i, run in enumerate(runs):
            table = pd.DataFrame({"ground_truth": cells(given["y_true"]), "prediction": cells(run), **groups})
            if "unit" in given:
                table["unit"] = given["unit"]
            if "y_score" in given:
                table["score"] = given["y_score"][technique][i]
            table.to_csv(folder / technique / f"run{i}.csv", index=False)


def cells(values):
    return [json.dumps(row) for row in values.tolist()] if values.ndim == 2 else values


@pytest.mark.parametrize("case", [binary, *(pytest.param(case, marks=pytest.mark.slow) for case in (crossed, labels))])
def test_the_frames_are_those_of_the_command(case, tmp_path, fitlib_command):
    given, command = case()
    write_files(tmp_path / "mine", given)
    done = fitlib_command("analyze", "mine", *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected, found = fitlib.load("mine", tmp_path / "outputs"), fitlib.analyze(**given, baseline="Plain")
    assert list(found.tables) == list(expected.tables) and len(found.comparisons) and len(found.metrics)
    for name in expected.tables:
        pd.testing.assert_frame_equal(
            pd.DataFrame(found.tables[name]), pd.DataFrame(expected.tables[name]), check_exact=True, obj=name
        )
    assert found.verdict == expected.verdict
    same = ("techniques", "arms", "data", "classes", "groups", "analysis", "declared_hash", "source")
    assert {key: found.plan[key] for key in same} == {key: expected.plan[key] for key in same}
    assert found.plan.keys() == expected.plan.keys()
    assert len(found.plan["deviations"]) == len(expected.plan["deviations"]) == (case is crossed)


# Forms of the arguments


TRUTH = np.random.default_rng(1).integers(0, 2, N)
RUNS = noisy(TRUTH, 0.2, 3, 2)


def analyze(**changes):
    return fitlib.analyze(**{"y_true": TRUTH, "y_pred": RUNS, "sensitive_features": {"sex": SEX}} | changes)


class Tensor:
    """An object that is an array only by `__array__`, as tensors and columns of other libraries are."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return self._values


FORMS = {
    "list of arrays": {"y_pred": list(RUNS)},
    "nested lists": {"y_pred": RUNS.tolist(), "y_true": TRUTH.tolist()},
    "booleans": {"y_true": TRUTH == 1, "y_pred": RUNS == 1},
    "whole floats": {"y_true": TRUTH.astype(float), "y_pred": RUNS.astype(np.float32)},
    "objects with __array__": {"y_true": Tensor(TRUTH), "y_pred": [Tensor(run) for run in RUNS]},
    "text": {"y_true": TRUTH.astype(str), "y_pred": RUNS.astype(str)},
    "categories": {"y_true": pd.Series(TRUTH, dtype="category"), "sensitive_features": pd.DataFrame({"sex": SEX})},
    "nullable integers": {"y_true": pd.Series(TRUTH, dtype="Int64")},
    "series with a name": {"sensitive_features": pd.Series(SEX, name="sex", index=range(N, 0, -1))},
    "Arrow table": {"sensitive_features": pa.table({"sex": SEX})},
    "column of a frame": {"y_true": pd.DataFrame({"y": TRUTH})},
    "name of the technique": {"y_pred": {"model": RUNS}},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_arrays_does_not_matter(form):
    expected, found = analyze(), analyze(**FORMS[form])
    pd.testing.assert_frame_equal(pd.DataFrame(found.summary), pd.DataFrame(expected.summary), check_exact=True)
    assert found.plan["groups"] == {"sex": ["men", "women"]}


@pytest.mark.parametrize("classes", [2, 128, 129])
def test_small_integers_hold_the_classes_and_change_no_number(classes):
    truth = np.arange(N) % classes
    runs = noisy(truth, 0.3, 3, 2)
    given = {"sensitive_features": {"sex": SEX}, "classes": range(classes)}
    arrays = encode_arrays(truth, {"m": runs}, **given)
    found = arrays.predictions["m"]
    assert found.prediction.dtype == (np.int8 if classes <= 128 else np.int16)
    np.testing.assert_array_equal(found.prediction, runs)
    wide = replace(found, prediction=found.prediction.astype(np.int64))
    for name, table in technique_tables("m", {"runs": (0, found)}).items():
        pd.testing.assert_frame_equal(table, technique_tables("m", {"runs": (0, wide)})[name], check_exact=True)


def test_one_technique_is_described_without_a_comparison():
    found = analyze()
    assert found.comparisons.empty and found.summary["mean"].notna().any() and found.verdict
    assert repr(found) == "<results of model: 3 runs each, 240 rows, groups by sex>"


def test_arrays_that_change_after_the_call_change_no_table():
    given = {
        key: np.array(value) for key, value in {"y_true": TRUTH, "y_pred": RUNS, "unit": np.arange(N) // 2}.items()
    }
    given |= {"sensitive_features": SEX.copy(), "y_score": np.random.default_rng(3).random(RUNS.shape)}
    expected, found = fitlib.analyze(**given), fitlib.analyze(**given)
    tables = {name: expected.tables[name] for name in expected.tables}
    for array in given.values():
        array[...] = array[::-1].copy() if array.ndim == 1 else array.flat[0]
    for name, table in tables.items():
        pd.testing.assert_frame_equal(found.tables[name], table, check_exact=True, obj=name)


def test_one_run_may_be_given_without_the_axis_of_runs():
    assert set(analyze(y_pred=RUNS[0]).metrics.run) == {0}


def test_names_alone_are_one_crossing():
    features = {"sex": SEX, "race": RACE}
    found = analyze(sensitive_features=features, cross=["sex", "race"])
    assert list(found.plan["groups"]) == ["sex", "race", "sex x race"]


def test_scores_of_every_class_are_swept_as_those_of_the_second():
    score = np.random.default_rng(5).random(RUNS.shape)
    one, two = analyze(y_score=score), analyze(y_score=np.stack([1 - score, score], axis=2))
    assert len(one.tables["thresholds"])
    pd.testing.assert_frame_equal(pd.DataFrame(one.tables["thresholds"]), pd.DataFrame(two.tables["thresholds"]))


def test_tables_have_captions_and_the_page_shows_the_verdict():
    found = analyze(y_pred={"<A>": RUNS, "Plain": noisy(TRUTH, 0.3, 3, 3)}, baseline="Plain")
    assert "3 runs" in found.summary.caption and found.risk.caption and found.tables.costs is not None
    page = found._repr_html_()
    assert "At a glance" in page and "&lt;A&gt;" in page and "<A>" not in page
    with pytest.raises(InputError, match="did you mean"):
        found.tables["summery"]


def test_fitlib_stays_light_and_neither_torch_nor_files_are_needed(tmp_path):
    code = (
        "import sys, fitlib; assert not {'torch', 'pandas', 'numpy'} & set(sys.modules);"
        "results = fitlib.analyze([0, 1] * 20, [[0, 1, 1, 0] * 10] * 2, "
        "sensitive_features=['a', 'b', 'b', 'a'] * 10);"
        "assert isinstance(results, fitlib.Results) and results.verdict and results._repr_html_();"
        "assert 'torch' not in sys.modules and 'IPython.kernel' not in sys.modules and 'nbclient' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


# Bad input


def missing(values, at=5):
    """The values with a missing one."""
    changed = np.array(values, object)
    changed[at] = None
    return changed


SCORE = np.full(RUNS.shape, 0.5)
TWO = {"A": RUNS, "B": RUNS}
CATEGORIES = pa.chunked_array([pa.array([None, *SEX[1:]]).dictionary_encode()])
LISTS = pd.Series([[1], [2]] * (N // 2))
BAD = {
    "shorter prediction": ({"y_pred": RUNS[:, 1:]}, r"shape of y_pred = \(3, 239\): y_true is \(240,\)"),
    "one shorter run": ({"y_pred": [RUNS[0], RUNS[1][1:]]}, r"shape of y_pred\[1\] = \(239,\)"),
    "shorter groups": ({"sensitive_features": SEX[1:]}, r"length of sensitive_features.* = 239: y_true has 240 rows"),
    "shorter units": ({"unit": UNITS[1:]}, "length of unit = 239"),
    "transposed runs": ({"y_pred": RUNS.T}, r"\(240, 3\): the runs come first.*transpose it: y_pred.T"),
    "transposed runs of a technique": ({"y_pred": {"A": RUNS.T}}, r"transpose it: y_pred\['A'\].T"),
    "runs as columns": ({"y_pred": pd.DataFrame(RUNS.T)}, "transpose it"),
    "crossing of numbers": ({"cross": [5, 6]}, "cross.* = 5: invalid value"),
    "ragged run": ({"y_pred": [[[1], [1, 0]]]}, r"y_pred\[0\] = 'list': not an array"),
    "units of two kinds": ({"unit": np.array([1, "a"] * (N // 2), object)}, "neither all numbers nor all text"),
    "no classes": ({"classes": []}, "y_true = .*: not among the classes"),
    "ragged": ({"y_true": [[1], [1, 0]]}, "y_true = 'list': not an array"),
    "no runs": ({"y_pred": []}, "no predictions"),
    "no technique": ({"y_pred": {}}, "no technique"),
    "no rows": ({"y_true": [], "y_pred": [[]], "sensitive_features": []}, r"shape of y_true = \(0,\): no rows"),
    "no attribute": ({"sensitive_features": {}}, r"sensitive_features = \[\]: no column; give at least one"),
    "no groups": ({"sensitive_features": None}, "sensitive_features.* = None: not an array"),
    "no predictions": ({"y_pred": None}, "y_pred = None: not an array; give an array, a list"),
    "generator": ({"y_pred": iter(RUNS)}, "y_pred = <.*: not an array"),
    "tensor with gradients": ({"y_pred": [torch.ones(N, requires_grad=True)]}, r"y_pred\[0\] = 'Tensor': .*detach"),
    "one truth for all": ({"y_true": 1}, "y_true = 1: not an array"),
    "set of groups": ({"sensitive_features": set(SEX)}, "sensitive_features.* = {.*}: not an array"),
    "masked label": ({"y_true": np.ma.array(TRUTH, mask=np.arange(N) == 5)}, "y_true = None: missing in 1 of 240 rows"),
    "null of Arrow's categories": (
        {"sensitive_features": CATEGORIES},
        "= None: missing in 1 of 240 rows, the first row 0",
    ),
    "infinite class": ({"y_pred": np.where(RUNS, np.inf, 0)}, r"y_pred\[0\] = inf: not a whole number, so no class"),
    "complex class": ({"y_pred": RUNS * 1j}, "= 'complex128': no type of classes or groups; give integers"),
    "dates as groups": ({"sensitive_features": np.full(N, "2020-01-01", "datetime64[ns]")}, "'datetime64.*no type of"),
    "bytes": ({"y_true": TRUTH.astype(bytes)}, "y_true = 'bytes.*': no type of classes or groups"),
    "lists as groups": ({"sensitive_features": {"sex": LISTS}}, "its cells are list<.*; give every row one value"),
    "techniques alike": ({"y_pred": {"A": RUNS, "a ": RUNS}}, "y_pred = 'a ': differs from 'A' in case or blanks only"),
    "blank technique": ({"y_pred": {" ": RUNS}}, "y_pred = ' ': not the name of a technique"),
    "attribute names alike": ({"sensitive_features": {"sex": SEX, "Sex": SEX}}, "'Sex': differs from 'sex' in case or"),
    "blank attribute": ({"sensitive_features": {" ": SEX}}, "sensitive_features = ' ': a blank name; give it a name"),
    "attribute of a crossing": (
        {"sensitive_features": {"a": SEX, "b": SEX, "a x b": SEX}, "cross": ["a", "b"]},
        r"cross = \['a', 'b'\]: there is an attribute of this name",
    ),
    "number of classes": ({"classes": 2}, "classes = 2: not a list of classes; list every class"),
    "text as classes": ({"classes": "01"}, "classes = '01': not a list of classes"),
    "class twice": ({"classes": [0, 1, 1.0]}, "classes = .*: a class is listed twice; list each once"),
    "units in two columns": ({"unit": np.zeros((N, 2))}, r"shape of unit = \(240, 2\): not \(rows,\); give one value"),
    "rows of three axes": ({"y_true": np.zeros((N, 2, 2))}, "neither .rows,. nor .rows, labels."),
    "label twice": (
        {"y_true": np.zeros((N, 2)), "y_pred": np.zeros((1, N, 2)), "classes": ["a", "a"]},
        "classes = .*: not 2 different labels; name every label once",
    ),
    "missing label of several": (
        {"y_true": np.where(np.arange(2 * N) == 3, np.nan, 0).reshape(N, 2), "y_pred": np.zeros((1, N, 2))},
        r"y_true = None: missing in 1 of 480 values, the first at \(1, 1\)",
    ),
    "one group": ({"sensitive_features": {"sex": ["f"] * N}}, "sensitive_features.* = 'f': all rows are of one group"),
    "missing label": ({"y_true": missing(TRUTH)}, "y_true = None: missing in 1 of 240 rows, the first row 5.*fill"),
    "NaN as label": (
        {"y_true": np.where(np.arange(N) == 5, np.nan, TRUTH)},
        "missing in 1 of 240 rows, the first row 5",
    ),
    "missing prediction": ({"y_pred": [RUNS[0], missing(RUNS[1])]}, r"y_pred\[1\] = None: missing in 1 of 240 rows"),
    "missing group": ({"sensitive_features": {"sex": missing(SEX)}}, r"sensitive_features\['sex'\] = None: missing"),
    "missing group in a list of text": ({"sensitive_features": [np.nan, *SEX[1:]]}, "None: missing in 1 of 240 rows"),
    "NaN as text": ({"sensitive_features": np.array([np.nan, *SEX[1:]])}, "'nan': missing in 1 of 240 rows"),
    "blank prediction": ({"y_pred": np.where(RUNS, "1", " ")}, r"y_pred\[0\] = '': missing in .* of 240 rows"),
    "missing unit": ({"unit": missing(UNITS)}, "unit = None: missing in 1 of 240 rows, the first row 5"),
    "scores as predictions": ({"y_pred": SCORE}, r"y_pred\[0\] = 0.5: not a whole number, so no class.*as y_score"),
    "float codes": ({"sensitive_features": {"zip": np.linspace(20, 65.5, N)}}, "no group of zip; divide the numbers"),
    "identifiers as groups": ({"sensitive_features": np.arange(N)}, "240 different values, more than 100"),
    "unknown class": (
        {"y_pred": RUNS + RUNS * (np.arange(N) % 2)},
        r"y_pred = '2': never in y_true, .* run 0, row .*; known: 0 and 1",
    ),
    "undeclared class": ({"classes": [0, 2]}, r"y_true = '1': not among the classes"),
    "unnamed attributes": ({"sensitive_features": np.zeros((N, 2))}, "several columns without names"),
    "attributes alike": ({"sensitive_features": pd.DataFrame(np.zeros((N, 2)), columns=["a", "a"])}, "two columns of"),
    "no baseline": ({"y_pred": TWO}, "baseline = None: no baseline among several techniques; choose one of A, B"),
    "unknown baseline": ({"y_pred": TWO, "baseline": "C"}, "baseline = 'C': not among the techniques"),
    "number as technique": ({"y_pred": {1: RUNS}}, "y_pred = 1: not the name of a technique"),
    "unknown favourable class": ({"favourable": "yes"}, "favourable = 'yes': no such class"),
    "unknown primary": ({"primary": "DPP"}, "primary = 'DPP': invalid value: unknown bias metric; .*"),
    "alpha": ({"alpha": 5}, "alpha = 5: invalid value"),
    "smallest effect": ({"smallest_effect": {"XX": 0.1}}, "smallest_effect"),
    "unknown crossing": ({"cross": [["sex", "age"]]}, "cross = 'age': unknown protected attribute; .* have sex"),
    "crossing of one": ({"cross": "sex"}, "cross = 'sex': not a list of attributes"),
    "scores of other runs": ({"y_score": SCORE[:2]}, r"shape of y_score = \(2, 240\): not \(runs, rows\)"),
    "NaN as score": ({"y_score": SCORE * np.nan}, "not finite, in run 0, row 0"),
    "scores of one class": ({"y_score": np.ones((3, N, 1))}, "lists of 1': there are 2 classes"),
    "scores of nobody": ({"y_pred": TWO, "y_score": {"C": SCORE}, "baseline": "A"}, "y_score = 'C': not among"),
    "scores without names": ({"y_pred": TWO, "y_score": SCORE, "baseline": "A"}, "y_pred has names"),
    "labels other than 0 and 1": ({"y_true": np.full((N, 2), 2), "y_pred": np.zeros((1, N, 2))}, "neither 0 nor 1"),
    "other number of labels": (
        {"y_true": np.zeros((N, 2)), "y_pred": np.zeros((1, N, 3))},
        r"\(1, 240, 3\): y_true is \(240, 2\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_with_argument_value_and_remedy(case):
    changes, expected = BAD[case]
    with pytest.raises(InputError, match=expected) as error:
        analyze(**changes)
    line = str(error.value)
    assert line.startswith(("analyze: ", "predictions: cross")) and "; " in line
    assert "\n" not in line and "--" not in line


def test_scores_that_differ_make_no_verdict_where_no_decision_differs():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, N)
    runs = {"A": noisy(truth, 0.05, 1, 1).repeat(8, axis=0), "B": noisy(truth, 0.3, 1, 2).repeat(8, axis=0)}
    scores = {name: 0.2 + 0.6 * of + 0.001 * np.arange(8)[:, None] for name, of in runs.items()}
    given = {"y_true": truth, "y_pred": runs, "sensitive_features": SEX, "baseline": "A"}
    plain, scored = fitlib.analyze(**given), fitlib.analyze(**given, y_score=scores)
    assert set(scored.comparisons["verdict"]) == {"not estimable", ""} and scored.comparisons["p_mean"].isna().all()
    assert scored.verdict == plain.verdict and "no verdict on B" in plain.verdict[0]
