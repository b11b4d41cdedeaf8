"""Columns become class and group numbers: sorted, merged, cut, crossed; what is left out is counted."""

import datetime
import re

import numpy as np
import pyarrow as pa
import pytest

from fitlib.datasets.tabular.columns import attributes_of, classes_of, groups_of, protected_columns
from fitlib.errors import InputError

TEXT = pa.chunked_array([["b", None, "a"], ["c", "b"]])
NUMBERS = pa.chunked_array([[10, 9, None, 2, 10]])


def message(function, *given, **named) -> str:
    with pytest.raises(InputError) as caught:
        function("people.csv", *given, **named)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("people.csv: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "names", "numbers"),
    [
        (TEXT, ("a", "b", "c"), [1, -1, 0, 2, 1]),
        (NUMBERS, ("2", "9", "10"), [2, 1, -1, 0, 2]),
        (pa.chunked_array([[1.0, float("nan"), 0.0]]), ("0", "1"), [1, -1, 0]),
        (pa.chunked_array([[True, False, None]]), ("False", "True"), [1, 0, -1]),
        (pa.chunked_array([["x", "y", "x"]]).dictionary_encode(), ("x", "y"), [0, 1, 0]),
        (np.array(["b", "a"]), ("a", "b"), [1, 0]),
        (np.array(["b", None, 2.0], dtype=object), ("2", "b"), [1, -1, 0]),
        (np.array([3.0, np.nan, 1.0]), ("1", "3"), [1, -1, 0]),
    ],
    ids=["text", "numbers", "whole floats", "booleans", "dictionary", "numpy text", "numpy objects", "numpy floats"],
)
def test_values_are_sorted_by_their_kind_and_missing_ones_belong_to_none(values, names, numbers):
    for made in (classes_of("t", "c", values), groups_of("t", "c", values)):
        assert made.names == names and made.numbers.tolist() == numbers and made.numbers.dtype == np.int64
        assert [note[:5] for note in made.notes] == ["1 row"] * (-1 in numbers)


def test_values_that_no_row_of_a_slice_has_are_no_classes():
    sliced = pa.chunked_array([["a", "b", "c", "b"]]).dictionary_encode().slice(1)
    assert classes_of("t", "c", sliced).names == ("b", "c")


@pytest.mark.parametrize(
    ("values", "positive", "names", "numbers"),
    [
        (TEXT, ["a", "c"], ("b", "a, c"), [0, -1, 1, 1, 0]),
        (TEXT, ["b"], ("other", "b"), [1, -1, 0, 0, 1]),
        (NUMBERS, [10], ("other", "10"), [1, 0, -1, 0, 1]),
        (NUMBERS, [10.0, "9"], ("2", "9, 10"), [1, 1, -1, 0, 1]),
        (NUMBERS, ["> 9"], ("<= 9", "> 9"), [1, 0, -1, 0, 1]),
        (NUMBERS, ["<=9"], ("> 9", "<= 9"), [0, 1, -1, 1, 0]),
        (pa.chunked_array([[0.5, 1.5, None]]), [">= 1.5"], ("< 1.5", ">= 1.5"), [0, 1, -1]),
        (np.array(["Yes", "No"]), [True], ("No", "Yes"), [1, 0]),
        (np.array(["> 9", "x"]), ["> 9"], ("x", "> 9"), [1, 0]),
    ],
    ids=["two of three", "one of three", "number", "mixed", "above", "up to", "continuous", "a yaml yes", "a name"],
)
def test_positive_values_or_a_cut_make_class_1(values, positive, names, numbers):
    made = classes_of("t", "c", values, positive)
    assert made.names == names and made.numbers.tolist() == numbers


def test_declared_classes_and_groups_keep_their_order_and_leave_other_values_out_with_their_count():
    declared = {"second": ["b"], "first": ["a"]}
    for made in (classes_of("t", "c", TEXT, classes=declared), groups_of("t", "c", TEXT, declared)):
        assert made.names == ("second", "first") and made.numbers.tolist() == [0, -1, 1, -1, 0]
        assert any("1 row with c c, which is not declared, left out" in note for note in made.notes)


@pytest.mark.parametrize(
    ("values", "given", "problem"),
    [
        (pa.chunked_array([[1, 1, None]]), {}, "only the value 1"),
        (pa.chunked_array([[None, None]], pa.string()), {}, "no value"),
        (pa.chunked_array([[0.5, 1.5]]), {}, "continuous.*positive: '> 50000'"),
        (np.arange(1001), {}, "continuous: 1001 different values"),
        (np.array([f"id{i}" for i in range(1001)]), {}, "choose another column"),
        (pa.chunked_array([[["a"], ["b"]]]), {}, "its cells are list.*one value"),
        (TEXT, {"positive": ["A"]}, "did you mean a"),
        (TEXT, {"positive": ["a", "b", "c"]}, "every value .* class 1"),
        (NUMBERS, {"positive": ["> 99"]}, "no value .* class 1"),
        (TEXT, {"positive": ["> 99"]}, "has no numbers"),
        (TEXT, {"positive": ["a"], "classes": {"x": ["a"], "y": ["b"]}}, "only one of the two"),
        (TEXT, {"classes": {"x": ["a", "b"], "y": ["b"]}}, "in another one too"),
        (TEXT, {"classes": {"x": ["a"], "y": []}}, "no value"),
    ],
)
def test_what_cannot_be_a_target_is_refused_in_one_line(values, given, problem):
    text = message(classes_of, "outcome", values, **given)
    assert re.search(problem, text), text


@pytest.mark.parametrize(
    ("values", "given", "problem"),
    [
        (np.zeros(4), {}, "only the value 0: one group only"),
        (np.arange(101), {}, "101 different values, more than 100 groups; merge values (groups:"),
        (np.array(["a", "b"]), {"groups": {"all": ["a", "b"]}}, "only one is declared"),
        (np.array(["a", "b"]), {"groups": {"x": ["a"], "y": ["B"]}}, "did you mean b"),
        (np.array(["a", "b"]), {"bins": [1]}, "the column has no numbers"),
        (np.arange(9), {"bins": [5, 3]}, "not ascending"),
        (np.arange(9), {"bins": [3, 50]}, "no row is >= 50"),
        (np.arange(9), {"bins": [3], "groups": {"x": [1], "y": [2]}}, "declare only one of the two"),
    ],
)
def test_what_cannot_be_a_protected_attribute_is_refused_in_one_line(values, given, problem):
    assert problem in message(groups_of, "place", values, **given)


def test_bins_contain_their_lower_end():
    made = groups_of("t", "age", pa.chunked_array([[24, 25, 44, 45, None, 90]]), bins=[25, 45])
    assert made.names == ("< 25", "25 to < 45", ">= 45") and made.numbers.tolist() == [0, 1, 1, 2, -1, 2]


def test_a_column_of_dates_can_be_grouped():
    days = pa.chunked_array([[datetime.date(2020, 1, 2), datetime.date(2020, 1, 1)]])
    assert groups_of("t", "day", days).names == ("2020-01-01", "2020-01-02")


TABLE = {"sex": np.array(["f", "m", "f", "m"]), "age": pa.chunked_array([[20, 30, 40, None]])}


def test_several_attributes_and_their_crossing_without_the_groups_that_no_row_shows():
    made = attributes_of("t", TABLE.get, ["sex", "age", ["sex", "age"]], bins={"age": [25, 35]})
    assert list(made) == ["sex", "age", "sex x age"] and made["sex"].numbers.tolist() == [0, 1, 0, 1]
    assert made["sex x age"].names == ("f & < 25", "f & >= 35", "m & 25 to < 35")
    assert made["sex x age"].numbers.tolist() == [0, 2, 1, -1]
    assert "no row is of the groups f & 25 to < 35, m & < 25, m & >= 35" in made["sex x age"].notes[-1]


def test_groups_of_a_single_column_need_no_column_name_and_those_of_several_do():
    made = attributes_of("t", TABLE.get, "sex", {"women": ["f"], "men": ["m"]})
    assert made["sex"].names == ("women", "men")
    assert protected_columns(["sex", ["sex", "age"]]) == ["sex", "age"]
    text = message(attributes_of, TABLE.get, ["sex", "age"], {"women": ["f"], "men": ["m"]})
    assert "which of the columns sex, age is meant" in text
    assert "did you mean sex" in message(attributes_of, TABLE.get, ["sex", "age"], {"sexx": {"a": ["f"], "b": ["m"]}})
    assert "given twice" in message(attributes_of, TABLE.get, ["sex", "sex"])
    assert "no column is named" in message(attributes_of, TABLE.get, [])
