"""`fitlib.analyze` reads wide and long data frames of any library as the arrays in their columns."""

import importlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import fitlib
from fitlib.errors import InputError
from fitlib.results.array_inputs import encode_arrays
from fitlib.results.frame_inputs import encode_frame
from fitlib.results.frame_layout import GivenColumns

N, R = 60, 3
RNG = np.random.default_rng(7)
WORDS = np.array(["granted", "refused"])
SEX, RACE = np.where(RNG.random(N) < 0.4, "women", "men"), RNG.integers(0, 3, N)
UNIT = np.array([f"person {number}" for number in RNG.integers(0, 30, N)])
TRUTH = RNG.integers(0, 2, N)
RUNS = {name: np.where(RNG.random((R, N)) < e, 1 - TRUTH, TRUTH) for name, e in {"A": 0.1, "B": 0.3}.items()}
SCORES = {name: 0.05 + 0.45 * runs + 0.45 * RNG.random(runs.shape) for name, runs in RUNS.items()}
GROUPS = {"sex": SEX, "race": RACE}
TEXT = {name: WORDS[runs] for name, runs in RUNS.items()}


def wide():
    runs = {f"{name}{i}": run for name, of in TEXT.items() for i, run in enumerate(of)}
    scores = {f"s{name}{i}": run for name, of in SCORES.items() for i, run in enumerate(of)}
    return pd.DataFrame({"label": WORDS[TRUTH], **GROUPS, "person": UNIT, **runs, **scores})


def long(techniques=("B", "A")):
    """One row for each run and test row; techniques and runs are in no order."""
    rows = [
        {"model": name, "run": f"run{i + 8}", "idx": np.arange(N), "pred": TEXT[name][i], "score": SCORES[name][i]}
        for name in techniques
        for i in reversed(range(R))
    ]
    shared = {"label": WORDS[TRUTH], **GROUPS, "person": UNIT}
    return pd.concat([pd.DataFrame(row | shared) for row in rows], ignore_index=True)


def shuffled(frame, seed=0):
    return frame.sample(frac=1, random_state=seed, ignore_index=True)


WIDE = {
    "y_true": "label",
    "y_pred": {name: [f"{name}{i}" for i in range(R)] for name in RUNS},
    "y_score": {name: [f"s{name}{i}" for i in range(R)] for name in RUNS},
    "sensitive_features": ["sex", "race"],
    "unit": "person",
}
LONG = WIDE | {"y_pred": "pred", "y_score": "score", "run": "run", "technique": "model"}


def assert_same(found, expected):
    """Two results of `encode_arrays` are equal to the last bit."""
    assert found.mapping == expected.mapping and found.digests == expected.digests and found.seeds == expected.seeds
    assert list(found.predictions) == list(expected.predictions)
    for ours, theirs in zip(found.predictions.values(), expected.predictions.values(), strict=True):
        assert vars(ours).keys() == vars(theirs).keys() and ours.n_groups == theirs.n_groups
        np.testing.assert_equal(vars(ours), vars(theirs))


def encoded(frame, **given):
    return encode_frame(frame, GivenColumns(**given))


ARRAYS = encode_arrays(WORDS[TRUTH], TEXT, GROUPS, SCORES, UNIT)


# Forms


def polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


LIBRARIES = {
    "pandas": lambda frame: frame,
    "pandas, categories": lambda frame: frame.astype({"label": "category", "sex": "category"}),
    "pandas, Arrow types": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "pandas, nullable types": lambda frame: frame.convert_dtypes(),
    "pandas, another index": lambda frame: frame.set_index(pd.Index(range(len(frame), 0, -1))),
    "Arrow": pa.Table.from_pandas,
    "Arrow, categories": lambda frame: pa.Table.from_pandas(frame.astype({"label": "category", "sex": "category"})),
    "polars": polars,
    "polars, lazy": lambda frame: polars(frame).lazy(),
    "polars, categories": lambda frame: polars(frame.astype({"label": "category", "sex": "category"})),
    "dict of columns": lambda frame: {name: frame[name].to_numpy() for name in frame},
    "dict of lists and tensors": lambda frame: frame.to_dict("list") | {"race": torch.as_tensor(frame["race"])},
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_wide_and_long_frames_of_any_library_are_read_as_their_arrays(library):
    convert = LIBRARIES[library]
    assert_same(encoded(convert(wide()), **WIDE), ARRAYS)
    assert_same(encoded(convert(long()), **LONG), ARRAYS)


def test_all_tables_are_those_of_the_arrays():
    arrays = fitlib.analyze(WORDS[TRUTH], TEXT, sensitive_features=GROUPS, y_score=SCORES, unit=UNIT, baseline="B")
    for frame, names in ((wide(), WIDE), (long(), LONG)):
        found = fitlib.analyze(frame, **names, baseline="B")
        assert found.plan == arrays.plan and found.verdict == arrays.verdict
        for name in arrays.tables:
            tables = (pd.DataFrame(of.tables[name]) for of in (found, arrays))
            pd.testing.assert_frame_equal(*tables, check_exact=True, obj=name)


def test_a_column_of_row_names_matches_shuffled_rows():
    first = long()
    assert_same(encoded(first.iloc[np.argsort(first["run"], kind="stable")], **LONG), ARRAYS)
    assert_same(encoded(shuffled(long()), **LONG, row="idx"), ARRAYS)
    assert_same(encoded(shuffled(wide().assign(idx=np.arange(N))), **WIDE, row="idx"), ARRAYS)


def test_results_of_other_rows_are_not_combined_and_shuffled_ones_are():
    frame = wide().assign(idx=np.arange(N) + 7)
    names = {"y_true": "label", "sensitive_features": ["sex", "race"], "row": "idx"}
    first = fitlib.analyze(frame, **names, y_pred={"A": WIDE["y_pred"]["A"]})
    second = fitlib.analyze(shuffled(frame), **names, y_pred={"B": WIDE["y_pred"]["B"]})
    expected = fitlib.analyze(WORDS[TRUTH], TEXT, sensitive_features=GROUPS, baseline="A")
    pd.testing.assert_frame_equal(pd.DataFrame((first + second).comparisons), pd.DataFrame(expected.comparisons))
    others = fitlib.analyze(frame.assign(idx=frame["idx"] + 1), **names, y_pred={"B": WIDE["y_pred"]["B"]})
    with pytest.raises(InputError, match="rows of B in result 2 = 'other values': not those of the first result"):
        first + others


def test_one_technique_needs_neither_its_name_nor_a_dict():
    expected = encode_arrays(WORDS[TRUTH], TEXT["A"], {"sex": SEX})
    names = {"y_true": "label", "sensitive_features": "sex"}
    assert_same(encoded(wide(), y_pred=["A0", "A1", "A2"], **names), expected)
    assert_same(encoded(wide(), y_pred=wide().filter(regex="^A").columns, **names), expected)
    assert_same(encoded(long(["A"]), y_pred="pred", run="run", **names), expected)
    one = encode_arrays(WORDS[TRUTH], TEXT["A"][0], {"sex": SEX})
    assert_same(encoded(wide(), y_pred="A0", **names), one)


def test_runs_in_columns_and_techniques_in_rows():
    parts = [wide().rename(columns=lambda c, t=t: c.replace(t, "")).assign(model=t)[["model", "label", "sex", *"012"]]
             for t in "AB"]  # fmt: skip
    names = {"y_true": "label", "sensitive_features": "sex", "technique": "model"}
    found = encoded(pd.concat(parts), y_pred=list("012"), **names)
    assert_same(found, encode_arrays(WORDS[TRUTH], TEXT, {"sex": SEX}))


def test_numbers_as_names_of_columns():
    frame = pd.DataFrame(TEXT["A"].T).assign(label=WORDS[TRUTH], sex=SEX)
    found = encoded(frame, y_true="label", y_pred=range(R), sensitive_features="sex")
    assert_same(found, encode_arrays(WORDS[TRUTH], TEXT["A"], {"sex": SEX}))


@pytest.mark.parametrize("kind", [bool, "boolean", float, "Int8", object])
def test_labels_of_any_kind_are_read_as_in_arrays(kind):
    frame = pd.DataFrame({"label": TRUTH, "sex": SEX} | {f"r{i}": run for i, run in enumerate(RUNS["A"])})
    frame = frame.astype(dict.fromkeys(["label", "r0", "r1", "r2"], kind))
    found = encoded(frame, y_true="label", y_pred=["r0", "r1", "r2"], sensitive_features="sex")
    as_given = np.array if kind not in (bool, "boolean") else np.array([False, True]).__getitem__
    assert_same(found, encode_arrays(as_given(TRUTH), as_given(RUNS["A"]), {"sex": SEX}))


def test_scores_of_several_classes_have_a_column_for_each():
    score = np.stack([1 - SCORES["A"], SCORES["A"]], axis=2)
    frame = wide().assign(**{f"c{run}{k}": score[run, :, k] for run in range(R) for k in range(2)})
    names = {"y_true": "label", "sensitive_features": "sex"}
    runs, columns = ["A0", "A1", "A2"], [[f"c{run}0", f"c{run}1"] for run in range(R)]
    expected = encode_arrays(WORDS[TRUTH], TEXT["A"], {"sex": SEX}, score)
    assert_same(encoded(frame, y_pred=runs, y_score=columns, **names), expected)
    one = encode_arrays(WORDS[TRUTH], TEXT["A"][:1], {"sex": SEX}, score[:1])
    assert_same(encoded(frame, y_pred="A0", y_score=["c00", "c01"], **names), one)
    stacked = long(["A"]).assign(zero=lambda rows: 1 - rows["score"])
    found = encoded(stacked, y_pred="pred", y_score=["zero", "score"], run="run", **names)
    assert_same(found, expected)


LABELS = RNG.integers(0, 2, (N, 3))
LABEL_RUNS = np.where(RNG.random((2, N, 3)) < 0.2, 1 - LABELS, LABELS)


def test_labels_are_several_columns_or_columns_of_lists():
    expected = encode_arrays(LABELS, LABEL_RUNS, {"sex": SEX})
    frame = pd.DataFrame({"sex": SEX} | {f"y{k}": LABELS[:, k] for k in range(3)})
    frame = frame.assign(**{f"r{i}{k}": LABEL_RUNS[i, :, k] for i in range(2) for k in range(3)})
    truth, runs = [f"y{k}" for k in range(3)], [[f"r{i}{k}" for k in range(3)] for i in range(2)]
    assert_same(encoded(frame, y_true=truth, y_pred=runs, sensitive_features="sex"), expected)
    one = encode_arrays(LABELS, LABEL_RUNS[0], {"sex": SEX})
    assert_same(encoded(frame, y_true=truth, y_pred=runs[0], sensitive_features="sex"), one)
    lists = pd.DataFrame({"sex": SEX, "y": LABELS.tolist(), "r0": LABEL_RUNS[0].tolist(), "r1": LABEL_RUNS[1].tolist()})
    for convert in (LIBRARIES["pandas"], pa.Table.from_pandas):
        found = encoded(convert(lists), y_true="y", y_pred=["r0", "r1"], sensitive_features="sex")
        assert_same(found, expected)
    stacked = pd.concat([frame[["sex", *truth]].assign(run=i, **dict(zip("abc", LABEL_RUNS[i].T, strict=True)))
                         for i in range(2)])  # fmt: skip
    found = encoded(stacked, y_true=truth, y_pred=list("abc"), run="run", sensitive_features="sex")
    assert_same(found, expected)


def test_seeds_are_a_column_of_a_long_frame_and_a_list_beside_a_wide_one():
    seeds = {"A": [0, 0, 4], "B": [0, 4, 4]}
    expected = encode_arrays(WORDS[TRUTH], TEXT, {"sex": SEX}, seeds=seeds)
    names = {"y_true": "label", "sensitive_features": "sex"}
    assert_same(encoded(wide(), y_pred=WIDE["y_pred"], seeds=seeds, **names), expected)
    seed = [seeds[m][int(run.removeprefix("run")) - 8] for m, run in zip(long()["model"], long()["run"], strict=True)]
    stacked = long().assign(seed=seed)
    assert_same(encoded(stacked, y_pred="pred", technique="model", run="run", seeds="seed", **names), expected)
    numbered = stacked.assign(run=stacked["run"].str.removeprefix("run").astype(int))
    again = numbered.assign(run=numbered.groupby(["model", "seed"])["run"].rank("dense"))  # numbered at each seed anew
    assert_same(encoded(again, y_pred="pred", technique="model", run="run", seeds="seed", **names), expected)


def test_runs_are_in_natural_order():
    frame = pd.concat([long(["A"]).query("run == 'run8'").assign(run=f"r{i}", pred=WORDS[i % 2]) for i in (10, 9, 2)])
    found = encoded(frame, y_true="label", y_pred="pred", run="run", sensitive_features="sex")
    assert found.predictions["model"].prediction[:, 0].tolist() == [0, 1, 0]


def test_narwhals_is_imported_for_frames_only():
    assert "narwhals" not in vars(importlib.import_module("fitlib.results.frame_columns"))


# Bad frames


def changed(frame, column, value, where):
    frame = frame.copy()
    frame[column] = frame[column].astype(object)
    frame.loc[where, column] = value
    return frame


def rows_of(frame, model="A", run="run9"):
    return np.flatnonzero((frame["model"] == model) & (frame["run"] == run))


FIFTH = rows_of(long())[5]
SORTED = "sort the rows of every run alike, or name the column that identifies them: row="
BAD_WIDE = {
    "unknown column": ({"y_pred": ["A0", "A7"]}, "y_pred = 'A7': no such column; the data frame has label"),
    "unknown truth": ({"y_true": "target"}, "y_true = 'target': no such column; the data frame has label, sex"),
    "unknown group": ({"sensitive_features": "gender"}, "sensitive_features = 'gender': no such column"),
    "unknown unit": ({"unit": "persons"}, "unit = 'persons': no such column; did you mean 'person'"),
    "unknown row": ({"row": "index"}, "row = 'index': no such column"),
    "unknown scores": ({"y_score": {"A": ["s0", "s1", "s2"]}}, "y_score = 's0': no such column; did you mean"),
    "arrays as groups": ({"sensitive_features": SEX}, "sensitive_features = 'ndarray': not the name of a column"),
    "array as truth": ({"y_true": TRUTH}, "y_true = 'ndarray': not the name of a column; name a column"),
    "no predictions": ({"y_pred": None}, "y_pred = None: no column of predictions; name one column for each run"),
    "no run": ({"y_pred": []}, "no column of predictions"),
    "no attribute": ({"sensitive_features": []}, "no attribute"),
    "run twice": ({"y_pred": ["A0", "A0"], "y_score": None}, "y_pred = 'A0': named twice; name every column once"),
    "column of two techniques": ({"y_pred": {"A": ["A0"], "B": ["A0"]}, "y_score": None}, "'A0': named twice"),
    "truth as prediction": ({"y_pred": ["label"], "y_score": None}, "y_true = 'label': y_pred has it too"),
    "group twice": ({"sensitive_features": ["sex", "sex"]}, "sensitive_features = 'sex': named twice"),
    "too few scores": ({"y_pred": ["A0", "A1"], "y_score": ["sA0"]}, "y_score = .*: 1 given, for 2 of predictions"),
    "scores of nobody": ({"y_score": {"C": ["sA0"]}}, "y_score = 'C': not among the techniques; there is A, B"),
    "scores without names": ({"y_score": ["sA0"]}, "y_score = .*: y_pred has names"),
    "columns by technique of long rows": (
        {"technique": "race"},
        "y_pred = .*: columns by technique, though technique=",
    ),
    "labels of one class": ({"y_pred": [["A0", "A1"]], "y_score": None}, "several columns for one run"),
    "other number of seeds": (
        {"seeds": {"A": [1], "B": [1, 2, 3]}},
        r"shape of seeds\['A'\] = \(1,\): there are 3 runs",
    ),
    "scores as predictions": ({"y_pred": ["sA0"], "y_score": None}, r"column 'sA0' \(y_pred\) = .*not a whole number"),
}


@pytest.mark.parametrize("case", BAD_WIDE)
def test_bad_columns_of_a_wide_frame_are_one_line(case):
    changes, expected = BAD_WIDE[case]
    with pytest.raises(InputError, match=expected) as error:
        fitlib.analyze(wide(), **(WIDE | changes), baseline="A")
    assert_one_line(error)


BAD_VALUES = {
    "missing truth": ("label", None, 5, r"column 'label' \(y_true\) = None: .*missing.* row 5"),
    "missing prediction": ("A1", None, 5, r"column 'A1' \(y_pred\) = None: .*missing.* row 5"),
    "missing group": ("sex", np.nan, 5, r"column 'sex' \(sensitive_features\) = None: .*missing.* row 5"),
    "missing unit": ("person", None, 5, r"column 'person' \(unit\) = None: .*missing.* row 5"),
    "missing score": ("sA1", np.nan, 5, "y_score.* = nan: not finite, in run 1, row 5"),
    "text as score": ("sA1", "high", 5, "not numbers"),
    "blank prediction": ("A1", " ", 5, r"column 'A1' \(y_pred\) = .*missing"),
    "unknown class": ("A1", "deferred", 5, "y_pred.*'deferred': never in y_true, in 1 cell, the first in run 1, row 5"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_values_of_a_wide_frame_name_column_and_row(case):
    column, value, where, expected = BAD_VALUES[case]
    with pytest.raises(InputError, match=expected) as error:
        fitlib.analyze(changed(wide(), column, value, where), **WIDE, baseline="A")
    assert_one_line(error)


def test_columns_that_describe_test_rows_are_no_forgotten_runs():
    frame = wide().rename(columns={"A0": "pred"})
    given = {"y_true": "label", "y_pred": "pred", "sensitive_features": ["sex"]}
    drawn = np.random.default_rng(0).integers(0, 3, N)
    for changes in ({"model": drawn}, {"seed": np.arange(N)}, {"trial": 1}, {"kind": np.arange(N) % 2}):
        assert_same(encoded(frame.assign(**changes), **given), encode_arrays(WORDS[TRUTH], TEXT["A"][0], {"sex": SEX}))


def test_an_attribute_of_one_group_is_left_out_and_the_only_one_is_refused():
    frame = changed(wide(), "sex", "men", slice(None))
    assert list(fitlib.analyze(frame, **WIDE, baseline="A").plan["groups"]) == ["race"]
    with pytest.raises(InputError, match=r"column 'sex' \(sensitive_features\) = 'men': all rows are of one group"):
        fitlib.analyze(frame, **WIDE | {"sensitive_features": "sex"}, baseline="A")


BAD_LONG = {
    "a missing row": (long().drop(FIFTH), {}, "data = 'run run9 of A': run run9 of A has 59 rows, run run8 of A 60"),
    "other rows": (
        changed(long(), "idx", 99, FIFTH),
        {"row": "idx"},
        r"column 'idx' \(row\) = '5': only in one of run run8 of A and run run9 of A; give every run the same test",
    ),
    "a row twice": (changed(long(), "idx", 4, FIFTH), {"row": "idx"}, "= '4': twice in run run9 of A; name what tells"),
    "shuffled": (shuffled(long()), {}, f"row 0 of run .* has it, of run run8 of A .*; {SORTED}"),
    "other truth": (
        changed(long(), "label", WORDS[1 - TRUTH[5]], FIFTH),
        {},
        rf"column 'label' \(y_true\) = .*: row 5 of run run9 of A has it, of run run8 of A '.*'; {SORTED}",
    ),
    "other group": (
        changed(long(), "race", 9, FIFTH),
        {"row": "idx"},
        r"column 'race' \(sensitive_features\) = 9: row 5 of run run9 of A has it, .*; .*: idx identifies them",
    ),
    "other unit": (changed(long(), "person", "nobody", FIFTH), {}, r"column 'person' \(unit\) = 'nobody': row 5"),
    "missing run": (changed(long(), "run", None, FIFTH), {}, r"column 'run' \(run\) = None: missing in 1 row"),
    "missing technique": (changed(long(), "model", None, FIFTH), {}, r"column 'model' \(technique\) = None: missing"),
    "missing row name": (changed(long(), "idx", None, FIFTH), {"row": "idx"}, r"column 'idx' \(row\) = None: missing"),
    "techniques that read alike": (
        changed(long(), "model", "A ", FIFTH),
        {},
        r"column 'model' \(technique\) = 'A': different labels that read alike",
    ),
    "missing prediction": (
        changed(long(), "pred", None, FIFTH),
        {},
        r"column 'pred' \(y_pred\) in run run9 of A = None: .*missing.* row 5",
    ),
    "seed that is no number": (long().assign(seed="a"), {"seeds": "seed"}, "seeds.* = 'a': not a whole number"),
    "columns of runs, too": (
        long(),
        {"y_pred": ["pred", "score"], "y_score": None},
        "several columns, though run='run'",
    ),
    "no column of runs": (
        long(["A"]).rename(columns={"run": "copy"}),
        {"run": None, "row": "idx"},
        "twice in the rows of A; name what tells runs apart",
    ),
    "forgotten runs": (
        long(),
        {"run": None},
        "column 'run' = 'run': 3 values, each with as many rows of every true class and group; .*name it: run='run'",
    ),
    "forgotten seeds": (
        shuffled(long().rename(columns={"run": "seed"})),
        {"run": None, "y_score": None},
        "column 'seed' = 'run': 3 values, .*name it: run='seed'",
    ),
    "forgotten techniques": (
        long(),
        {"technique": None},
        "column 'model' = 'technique': 2 values, .*technique='model'",
    ),
    "unknown run": (long(), {"run": "runs"}, "run = 'runs': no such column; did you mean 'run'"),
    "no baseline": (long(), {"baseline": None}, "baseline = None: no baseline among several techniques"),
}


@pytest.mark.parametrize("case", BAD_LONG)
def test_bad_long_frames_are_one_line(case):
    frame, changes, expected = BAD_LONG[case]
    with pytest.raises(InputError, match=expected) as error:
        fitlib.analyze(frame, **(LONG | {"baseline": "A"} | changes))
    assert_one_line(error)


BAD_FRAMES = {
    "no frame": (TRUTH, {}, "data = 'ndarray': not a data frame, though y_true is given too"),
    "a series": (wide()["label"], {}, "data = 'Series': not a data frame"),
    "no rows": (wide()[:0], {}, "data = '0 rows': the data frame is empty"),
    "no columns": (pd.DataFrame(), {}, "data = '0 rows': the data frame is empty"),
    "columns alike": (wide().rename(columns={"race": "sex"}), {}, "data = 'sex': two columns of this name; rename one"),
    "numbers and text alike": (wide().rename(columns={"sex": 1, "race": "1"}), {}, "data = '1': two columns of this"),
    "columns of two lengths": ({"label": [0, 1], "sex": ["f"]}, {}, "columns of several lengths"),
    "no truth": (wide(), {"y_true": None}, "y_true = None: a data frame, and no column of true classes; name it"),
    "no truth, long": (long(), LONG | {"y_true": None}, "y_true = None: a data frame, and no column of true classes"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_what_is_no_frame_is_one_line(case):
    data, changes, expected = BAD_FRAMES[case]
    with pytest.raises(InputError, match=expected) as error:
        fitlib.analyze(data, **(WIDE | {"y_pred": ["A0", "A1"], "y_score": None} | changes))
    assert_one_line(error)


NO_FRAME = {
    "truth": ({"y_true": "label"}, "y_true = 'label': a column's name, but no data frame; give it first"),
    "predictions": ({"y_true": TRUTH, "y_pred": "pred"}, "y_pred = 'pred': a column's name, but no data frame"),
    "groups": ({"y_true": TRUTH, "sensitive_features": "sex"}, "sensitive_features = 'sex': a column's name"),
    "run": ({"y_true": TRUTH, "run": "run"}, "run = 'run': a column's name"),
    "seeds": ({"y_true": TRUTH, "seeds": "seed"}, "seeds = 'seed': a column's name"),
    "nothing": ({}, "y_true = None: no true classes; give an array, or a frame and a column"),
}


@pytest.mark.parametrize("case", NO_FRAME)
def test_names_of_columns_need_a_frame(case):
    changes, expected = NO_FRAME[case]
    with pytest.raises(InputError, match=expected) as error:
        fitlib.analyze(**({"y_pred": RUNS["A"], "sensitive_features": SEX} | changes))
    assert_one_line(error)


def assert_one_line(error):
    line = str(error.value)
    assert line.startswith("analyze: ") and "\n" not in line and "; " in line and "--" not in line
