import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitlib.errors import InputError
from fitlib.storage import predictions
from fitlib.storage.predictions import (
    cross_attributes,
    crossed_groups,
    read_predictions,
    stack,
    with_crossed,
    write_predictions,
)

ROWS = {
    "idx": [10, 11, 12, 13],
    "ground_truth": [0, 1, 2, 1],
    "prediction": [0, 1, 1, 1],
    "protected": [0, 0, 1, 1],
}
LABELS = ROWS | {
    "ground_truth": [[0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]],
    "prediction": [[0, 1, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]],
}
FORMATS = ["parquet", "csv"]


@pytest.fixture
def save(tmp_path):
    """Write columns as a file; CSV holds lists as text."""

    def _save(name, columns, form="parquet"):
        path, frame = tmp_path / f"{name}.{form}", pd.DataFrame(columns)
        frame.to_parquet(path) if form == "parquet" else frame.to_csv(path, index=False)
        return path

    return _save


def assert_refused(path, field, value, problem, remedy, **arguments):
    """stack() names file, column, value, problem and remedy in one line."""
    paths = path if isinstance(path, dict) else {0: path}
    with pytest.raises(InputError) as caught:
        stack(paths, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(list(paths.values())[-1]), field, str(value), problem, remedy):
        assert part in message


# What can be read


@pytest.mark.parametrize("form", FORMATS)
def test_classes_are_stacked_over_runs(save, form):
    other = ROWS | {"prediction": [2, 1, 2, 0]}
    stacked = stack({4: save("b", other, form), 1: save("a", ROWS, form)})
    assert stacked.runs == (1, 4)
    assert stacked.prediction.tolist() == [ROWS["prediction"], other["prediction"]]
    assert stacked.ground_truth.tolist() == ROWS["ground_truth"]
    assert stacked.protected["protected"].tolist() == ROWS["protected"]
    assert (stacked.n_classes, stacked.n_groups, stacked.unit) == (3, {"protected": 2}, None)
    assert not stacked.multilabel and stacked.idx.dtype == stacked.prediction.dtype == np.int64


@pytest.mark.parametrize("form", FORMATS)
def test_label_lists_are_stacked_over_runs(save, form):
    stacked = stack({"0": save("a", LABELS, form), "1": save("b", LABELS, form)})
    assert stacked.multilabel and stacked.prediction.shape == (2, 4, 3)
    assert stacked.prediction[1].tolist() == LABELS["prediction"]
    assert stacked.ground_truth.tolist() == LABELS["ground_truth"]
    assert stacked.n_classes == 3 and stacked.prediction.dtype == np.int8


@pytest.mark.parametrize("form", FORMATS)
def test_the_studys_headings_are_read(save, form):
    columns = {"prediction": "prediction_result", "protected": "protected_label"}
    path = save("try_00", {columns.get(name, name): values for name, values in ROWS.items()}, form)
    assert list(read_predictions(path).columns) == list(ROWS)
    assert stack({0: path}).prediction[0].tolist() == ROWS["prediction"]


@pytest.mark.parametrize("form", FORMATS)
def test_several_attributes_and_units_are_read(save, form):
    columns = {name: ROWS[name] for name in ("idx", "ground_truth", "prediction")}
    columns |= {
        "protected.sex": [0, 1, 0, 1],
        "protected.race": [0, 2, 0, 0],
        "unit": [5, 5, 6, 6],
        "note": list("abcd"),
    }
    path = save("a", columns, form)
    assert list(read_predictions(path).columns) == list(columns)[:-1]
    stacked = stack({0: path}, n_groups={"race": 4})
    assert stacked.n_groups == {"sex": 2, "race": 4}
    assert stacked.unit.tolist() == [5, 5, 6, 6]
    assert list(stacked.protected_columns()) == ["protected.sex", "protected.race"]


def test_scores_are_read_and_other_columns_ignored(save):
    path = save("a", ROWS | {"score": [[0.5, 0.5]] * 4, "Unnamed: 0": [0, 1, 2, 3]})
    assert list(read_predictions(path).columns) == [*ROWS, "score"]


def test_whole_floats_and_booleans_count_as_integers(save):
    path = save("a", ROWS | {"prediction": [0.0, 1.0, 2.0, 1.0], "protected": [False, False, True, True]})
    stacked = stack({0: path})
    assert stacked.prediction.tolist() == [[0, 1, 2, 1]] and stacked.protected["protected"].tolist() == [0, 0, 1, 1]


def test_csv_types_are_inferred_from_the_whole_file(tmp_path):
    lines = [
        "idx,ground_truth,prediction,protected",
        *(f"{row},0,0,{row % 2}" for row in range(200_000)),
        "200000,0,x,0",
    ]
    path = tmp_path / "long.csv"
    path.write_text("\n".join(lines))
    assert_refused(path, "prediction", "x", "not a whole number, in row 200000", "whole numbers")


def test_a_group_may_be_empty_if_others_are_not(save):
    path = save("a", ROWS | {"protected": [0, 0, 2, 2]})
    assert stack({0: path}).n_groups == {"protected": 3}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory, seed, multilabel):
    rng = np.random.default_rng(seed)
    shape = (20, 3) if multilabel else (20,)
    truth, prediction = rng.integers(0, 2, (2, *shape))
    groups = {"sex": np.arange(20) % 2, "race": np.arange(20) % 3}
    path = tmp_path_factory.mktemp("written") / "a.parquet"
    write_predictions(path, rng.permutation(100)[:20], truth, prediction, groups, unit=np.arange(20) // 2)
    back = stack({0: path}, n_classes=shape[1] if multilabel else 2)
    assert np.array_equal(back.ground_truth, truth) and np.array_equal(back.prediction[0], prediction)
    assert all(np.array_equal(back.protected[name], groups[name]) for name in groups)
    assert back.unit.tolist() == (np.arange(20) // 2).tolist()


# What is refused: files


def test_a_missing_file(tmp_path):
    assert_refused(tmp_path / "no.parquet", "file", "no.parquet", "no such file", "correct the path")


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "a.parquet").mkdir()
    assert_refused(tmp_path / "a.parquet", "file", "a.parquet", "no such file", "correct the path")


def test_an_unknown_format(tmp_path):
    assert_refused(tmp_path / "a.pickle", "file", "a.pickle", "neither .parquet nor .csv", "name the file after")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"idx,ground_truth\n0,1\n", bytes(range(256)) * 20])
def test_something_else_than_parquet(tmp_path, content):
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    assert_refused(path, "file", "a.parquet", "cannot be read as parquet", "write the file again")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_parquet(save, share):
    path = save("a", ROWS)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(path, "file", "a.parquet", "cannot be read as parquet", "write the file again")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(FORMATS))
def test_binary_junk_is_one_line_of_input_error(tmp_path_factory, content, form):
    path = tmp_path_factory.mktemp("junk") / f"a.{form}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        stack({0: path})
    assert str(caught.value).isprintable()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
def test_damaged_parquet_never_ends_in_another_error(tmp_path_factory, position, junk):
    path = tmp_path_factory.mktemp("damaged") / "a.parquet"
    write_predictions(path, np.arange(50), np.arange(50) % 3, np.arange(50) % 3, np.arange(50) % 2)
    content = bytearray(path.read_bytes())
    start = position % len(content)
    content[start : start + len(junk)] = junk
    path.write_bytes(content)
    try:
        stack({0: path})
    except InputError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_a_csv_without_anything(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert_refused(path, "file", "a.csv", "cannot be read as csv", "write the file again")


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_without_rows(save, form):
    path = save("a", {name: np.array([], dtype=int) for name in ROWS}, form)
    assert_refused(path, "rows", 0, "the file has no predictions", "one row per test example")


def test_no_runs_at_all():
    with pytest.raises(InputError, match="no run; give the file of at least one run"):
        stack({})


def test_a_run_without_number(save):
    with pytest.raises(InputError, match="run = 'best': not a whole number; number the runs"):
        stack({"best": save("a", ROWS)})


# What is refused: columns


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ROWS)
def test_a_missing_column(save, form, name):
    path = save("a", {column: values for column, values in ROWS.items() if column != name}, form)
    assert_refused(path, "column", repr(name), "missing", "add it; the file has ")


def test_two_columns_of_one_meaning(save):
    path = save("a", ROWS | {"prediction_result": ROWS["prediction"]})
    assert_refused(path, "column", "'prediction'", "2 columns of this meaning", "keep one")
    path = save("b", ROWS | {"protected.protected": ROWS["protected"]})
    assert_refused(path, "column", "'protected.protected'", "the attribute of column protected", "rename one")


def test_a_declared_attribute_that_is_missing(save):
    path = save("a", ROWS)
    assert_refused(path, "column", "'protected.sex'", "missing, but declared", "add it", n_groups={"sex": 2})


# What is refused: values

VALUES = [
    ("prediction", [0, 1.5, 1, 1], 1.5, "not a whole number, in row 1", "whole numbers"),
    ("ground_truth", ["0", "1", "cat", "1"], "'cat'", "not a whole number, in row 2", "whole numbers"),
    ("prediction", [0, 1, -3, 1], -3, "negative, in row 2", "whole numbers"),
    ("protected", [0, 1, 1, -1], -1, "negative, in row 3", "whole numbers"),
    ("protected", [0, 1, 0.5, 1], 0.5, "not a whole number, in row 2", "whole numbers"),
    ("idx", [1, 2, 3, 0.5], 0.5, "not a whole number, in row 3", "whole numbers"),
    ("idx", [7, 8, 9, 8], 8, "the same idx as an earlier row, in row 3", "its own idx"),
    ("prediction", [0, None, 1, 1], None, "missing value, in row 1", "remove the row"),
    ("unit", [1, None, 1, 1], None, "missing value, in row 1", "remove the row"),
    ("prediction", [0, 1, 2, 3], 3, "outside the classes 0..2 in the ground truth, in row 3", "number of classes"),
    ("protected", [1, 1, 1, 1], 1, "all rows are of one group", "at least two groups"),
    ("prediction", [0, 1, 1, 2**63], "22337203685477", "not a whole number, in row 3", "whole numbers"),
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("column, values, value, problem, remedy", VALUES)
def test_a_wrong_value(save, form, column, values, value, problem, remedy):
    path = save("a", ROWS | {column: values}, form)
    assert_refused(path, f"{column} = ", value, problem, remedy)


def test_dates_are_no_classes(save):
    path = save("a", ROWS | {"prediction": pd.to_datetime(["2020-01-01"] * 4)})
    assert_refused(path, "prediction", "2020", "not a whole number, in row 0", "whole numbers")


def test_classes_and_groups_outside_the_declared_range(save):
    path = save("a", ROWS)
    assert_refused(
        path, "ground_truth", 2, "outside the classes 0..1 declared, in row 2", "number of classes", n_classes=2
    )
    path = save("b", ROWS | {"protected": [0, 1, 2, 0]})
    problem = "outside the groups 0..1 declared, in row 2"
    assert_refused(path, "protected", 2, problem, "number of groups", n_groups={"protected": 2})


def test_identifiers_are_neither_classes_nor_groups(save):
    remedy = "identifiers are not classes or groups"
    classes = save("classes", ROWS | {"ground_truth": [0, 1, 1000, 1]})
    assert_refused(classes, "ground_truth", 1000, "more than 1,000 classes, in row 2", remedy)
    assert stack({0: classes}, n_classes=1001).n_classes == 1001
    groups = save("groups", ROWS | {"protected": [0, 100, 1, 1]})
    assert_refused(groups, "protected", 100, "more than 100 groups, in row 1", remedy)
    assert stack({0: groups}, n_groups={"protected": 101}).n_groups == {"protected": 101}


def test_as_many_classes_and_groups_as_may_be(save):
    stacked = stack({0: save("a", ROWS | {"ground_truth": [0, 1, 999, 1], "protected": [0, 99, 1, 1]})})
    assert (stacked.n_classes, stacked.n_groups) == (1000, {"protected": 100})


def test_a_protected_column_without_attribute(save):
    path = save("a", ROWS | {"protected.": ROWS["protected"]})
    assert_refused(path, "column", "'protected.'", "no attribute after the dot", "protected.sex")


def test_a_class_out_of_range_in_a_later_run_names_that_run(save):
    paths = {0: save("a", ROWS), 1: save("b", ROWS | {"prediction": [0, 1, 9, 1]})}
    assert_refused(paths, "prediction", 9, "outside the classes 0..2", "number of classes")


LISTS = [
    ("prediction", [[0, 1, 0], [1, 1], [0, 0, 1], [0, 0, 0]], "[1, 1]", "2 labels where the first row has 3, in row 1"),
    ("ground_truth", [[]] * 4, "[]", "an empty list, in row 0"),
    ("prediction", [[0, 1]] * 4, "2", "lists of another length than in ground_truth (3)"),
    ("prediction", [0, 1, 1, 1], "0", "one of ground_truth and prediction is a list, in row 0"),
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("column, values, value, problem", LISTS)
def test_wrong_label_lists(save, form, column, values, value, problem):
    path = save("a", LABELS | {column: values}, form)
    assert_refused(path, column, value, problem, "write one list of 0 and 1 per row")


@pytest.mark.parametrize(
    "cell", ["[0, 2, 1]", "[0, 1.0, 1]", "[0, True, 1]", "[np.int64(0), 1, 1]", "[0 1 1]", "", "[" * 5000]
)
def test_csv_cells_that_are_no_list_of_zeros_and_ones(save, cell):
    texts = [str(labels) for labels in LABELS["prediction"]]
    path = save("a", LABELS | {"prediction": [*texts[:2], cell, texts[3]]}, "csv")
    assert_refused(
        path, "prediction", cell[:40], "not a list of 0 and 1, in row 2", "write one list of 0 and 1 per row"
    )


@pytest.mark.parametrize("entry", [2, -1, 0.5, None])
def test_parquet_labels_that_are_neither_zero_nor_one(save, entry):
    path = save("a", LABELS | {"ground_truth": [[0, 1, 0], [0, entry, 0], [0, 0, 1], [0, 0, 0]]})
    assert_refused(
        path, "ground_truth", entry, "a label that is neither 0 nor 1, in row 1", "write one list of 0 and 1"
    )


def test_parquet_lists_of_text(save):
    path = save("a", LABELS | {"prediction": [["a", "b", "c"]] * 4})
    assert_refused(path, "prediction", "'a'", "a label that is neither 0 nor 1, in row 0", "write one list of 0 and 1")


def test_a_declared_number_of_labels(save):
    path = save("a", LABELS)
    assert_refused(path, "ground_truth", 3, "3 labels in a list, 5 declared", "number of classes", n_classes=5)


# What is refused: runs that differ

DIFFERENT = [
    ("idx", [10, 11, 13, 12], 13, "which has 12, in row 2"),
    ("ground_truth", [0, 1, 2, 2], 2, "which has 1, in row 3"),
    ("protected", [0, 1, 1, 1], 1, "which has 0, in row 1"),
    ("unit", [1, 1, 3, 3], 3, "which has 2, in row 2"),
]


@pytest.mark.parametrize("column, values, value, problem", DIFFERENT)
def test_runs_on_different_rows(save, column, values, value, problem):
    rows = ROWS | {"unit": [1, 1, 2, 2]}
    paths = {0: save("a", rows), 1: save("b", rows | {column: values})}
    assert_refused(paths, f"{column} = ", value, problem, "the same test set, rows in the same order")


def test_runs_with_different_numbers_of_rows_or_columns(save):
    first = save("a", ROWS)
    fewer = save("b", {name: values[:3] for name, values in ROWS.items()})
    assert_refused({0: first, 1: fewer}, "shape of idx", (3,), "not the shape (4,) of", "the same test set")
    units = save("c", ROWS | {"unit": [1, 1, 2, 2]})
    assert_refused({0: first, 1: units}, "column", "'unit'", "of two runs only", "the same test set")
    labels = save("d", LABELS)
    assert_refused({0: first, 1: labels}, "shape of ground_truth", (4, 3), "not the shape (4,) of", "the same test set")


# Writing


@pytest.mark.parametrize("columns", [ROWS, LABELS])
def test_writing_twice_gives_the_same_bytes_and_no_pandas_metadata(tmp_path, columns):
    arrays = [np.array(values) for values in columns.values()]
    for name in ("a.parquet", "b.parquet"):
        write_predictions(tmp_path / name, *arrays)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.read_schema(tmp_path / "a.parquet").metadata == {b"fitlib.schema": b"predictions/1"}


def test_floats_are_not_cut_to_integers(tmp_path):
    with pytest.raises(TypeError):
        write_predictions(tmp_path / "a.parquet", np.arange(2), np.arange(2), np.array([0.2, 0.7]), np.arange(2))


def test_a_table_keeps_types_where_every_value_is_missing(tmp_path):
    frame = pd.DataFrame({"technique": ["T"], "target": pd.array([None], "Int64"), "value": [np.nan], "run": [3]})
    predictions.write_table(tmp_path / "t.parquet", frame, "metrics")
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert [str(kind) for kind in schema.types] == ["string", "int64", "double", "int64"]
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == [
        {"technique": "T", "target": None, "value": None, "run": 3}
    ]


def test_writing_needs_neither_pandas_nor_torch(tmp_path):
    code = (
        "import sys, numpy as np; from fitlib.storage.predictions import write_predictions; a = np.arange(4)\n"
        f"write_predictions({str(tmp_path / 'a.parquet')!r}, a, a, a, {{'sex': a % 2}})\n"
        "assert not {'pandas', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert stack({0: tmp_path / "a.parquet"}).n_groups == {"sex": 2}


# Scores


BINARY = ROWS | {"ground_truth": [0, 1, 0, 1], "prediction": [0, 1, 1, 1]}


@pytest.mark.parametrize("form", FORMATS)
def test_scores_are_stacked_over_runs(save, form):
    lists = [[0.75, 0.25, 0.0]] * 3 + [[0.0, 1, 0.5]]
    paths = {run: save(f"run{run}", ROWS | {"score": lists}, form) for run in range(2)}
    stacked = stack(paths)
    assert stacked.score.shape == (2, 4, 3) and stacked.score.dtype == np.float64
    assert stacked.score[1].tolist() == lists
    one = [save(f"b{run}", BINARY | {"score": np.array([1, 2, 3, 4]) / (run + 8)}, form) for run in range(2)]
    stacked = stack(dict(enumerate(one)))
    assert stacked.score.tolist() == [[1 / 8, 2 / 8, 3 / 8, 4 / 8], [1 / 9, 2 / 9, 3 / 9, 4 / 9]]
    assert stack({0: save("without", BINARY, form)}).score is None


def test_a_class_that_is_scored_but_never_true_counts(save):
    assert stack({0: save("a", BINARY | {"score": [[0.1, 0.2, 0.7]] * 4})}).n_classes == 3


@pytest.mark.parametrize(
    ("columns", "score", "value", "problem"),
    [
        (BINARY, [0.1, np.inf, 0.2, 0.3], "inf", "not a finite number, in row 1"),
        (BINARY, [0.1, 0.2, None, 0.3], "", "in row 2"),
        (BINARY, ["a", "b", "c", "d"], "a", "not a number"),
        (BINARY, [[0.1, 0.2], [0.1, 0.2], [0.1], [0.1, 0.2]], "[0.1]", "a list of another length"),
        (BINARY, [[0.1, 0.2], [np.nan, 0.2], [0.1, 0.2], [0.1, 0.2]], "None", "not a finite number, in row 1"),
        (ROWS, [[0.1, 0.2]] * 4, "lists of 2", "not one score for each of 3 classes"),
        (ROWS, [0.1, 0.2, 0.3, 0.4], "one number a row", "not one score for each of 3 classes"),
        (LABELS, [0.1, 0.2, 0.3, 0.4], "one number a row", "not one score for each of 3 classes"),
    ],
)
def test_scores_that_cannot_be_used_are_refused(save, columns, score, value, problem):
    assert_refused(save("a", columns | {"score": score}), "score", value, problem, "leave score out")


@pytest.mark.parametrize("cell", ["[0.1, x]", '["0.1", 0.2]', "[true, 0.2]", f"[{10**400}, 0.2]", "[[0.1], 0.2]"])
def test_text_that_is_no_list_of_scores_is_refused(save, cell):
    path = save("a", BINARY | {"score": ["[0.5, 0.5]"] * 3 + [cell]}, "csv")
    assert_refused(path, "score", cell[:5], "not a list of numbers, in row 3", "leave score out")


def test_runs_may_differ_in_scores_but_not_in_having_them(save):
    first, other = (save(n, BINARY | {"score": [s] * 4}) for n, s in (("a", 0.25), ("b", 0.75)))
    assert stack({0: first, 1: other}).score.mean(axis=1).tolist() == [0.25, 0.75]
    assert_refused({0: first, 1: save("c", BINARY)}, "column", "score", "of two runs only", "same test set")


@pytest.mark.parametrize("score", [np.array([0.1, 0.2, 0.3, 1 / 3]), np.array([[1 / 3, 2 / 3]] * 4, dtype=np.float32)])
def test_written_scores_read_back_exactly_and_in_the_same_bytes(tmp_path, score):
    arrays = [np.array(BINARY[name]) for name in ("idx", "ground_truth", "prediction", "protected")]
    for name in ("a.parquet", "b.parquet"):
        write_predictions(tmp_path / name, *arrays, unit=np.arange(4), score=score)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert np.array_equal(stack({0: tmp_path / "a.parquet"}).score[0], score.astype(np.float64))


# Crossing protected attributes


def two_attributes(save):
    columns = {name: ROWS[name] for name in ("idx", "ground_truth", "prediction")}
    return stack({0: save("a", columns | {"protected.sex": [0, 1, 0, 1], "protected.race": [2, 0, 0, 2]})})


def test_crossed_attributes_have_the_groups_of_all_combinations(save):
    made = cross_attributes(two_attributes(save), ["sex", "race"])
    assert made.protected["sex x race"].tolist() == [2, 3, 0, 5] and made.n_groups["sex x race"] == 6
    assert list(made.protected)[-1] == "sex x race" and len(made.protected) == 3
    names = crossed_groups({"sex": ["female", "male"], "race": ["black", "brown", "white"]}, ["sex", "race"])
    assert [names[g] for g in made.protected["sex x race"]] == [
        "female & white", "male & black", "female & black", "male & white",
    ]  # fmt: skip


def test_crossed_groups_stand_after_the_attributes_they_are_made_of():
    groups = {"sex": ["f", "m"], "race": ["a", "b"]}
    assert with_crossed(groups, [["race", "sex"]]) == groups | {"race x sex": ["a & f", "a & m", "b & f", "b & m"]}
    assert with_crossed(groups, None) == groups


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["sex", "age"], "'age': unknown protected attribute; cross two or more of"),
        (["sex"], "not two or more different attributes"),
        (["sex", "sex"], "not two or more different attributes"),
    ],
)
def test_attributes_that_cannot_be_crossed(save, names, problem):
    with pytest.raises(InputError, match=problem):
        cross_attributes(two_attributes(save), names)


def test_an_attribute_is_not_crossed_twice(save):
    once = cross_attributes(two_attributes(save), ["sex", "race"])
    with pytest.raises(InputError, match="there is an attribute of this name"):
        cross_attributes(once, ["sex", "race"])
