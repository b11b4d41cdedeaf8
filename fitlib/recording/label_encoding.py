"""Encoding of classes and groups (text, booleans, numbers; lists, tensors, data frames) as numbers from 0 on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitlib.errors import InputError
from fitlib.storage.prediction_columns import one_line
from fitlib.storage.predictions import MAX_CLASSES, MAX_GROUPS

WHERE = "save_predictions"
WHOLE = "give class numbers or names (of scores: argmax), and the scores as score"


@dataclass(frozen=True)
class LabelNames:
    """Names of classes (or groups) in the order of their numbers."""

    names: tuple[str, ...]
    values: tuple[object, ...] | None  # the values that are encoded as 0, 1, …; None: the numbers themselves

    @property
    def mapped(self) -> bool:
        """Whether the values are not the numbers themselves and have to be looked up."""
        return self.values is not None

    def describe(self) -> str:
        """Return the encoding in words.

        >>> LabelNames(("<=50K", ">50K"), ("<=50K", ">50K")).describe()
        "0 = '<=50K', 1 = '>50K'"
        """
        return ", ".join(f"{number} = {one_line(name, 40)!r}" for number, name in enumerate(self.names))


def as_array(field: str, values: object) -> NDArray:
    """Return a list, array, tensor, or data frame column as an array (rows,) or (rows, columns).

    A single column (rows, 1) becomes (rows,). InputError for any other shape, or naming the first row with a missing
    value.
    """
    array = _array(field, values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or not array.size:
        problem = "no rows" if array.ndim in (1, 2) else "neither (rows,) nor (rows, columns)"
        raise InputError(WHERE, f"shape of {field}", array.shape, problem, "give one value (or list) for each test row")
    missing = _missing(array)
    if missing.any():
        row = int(np.argmax(missing.reshape(len(array), -1).any(axis=1)))
        problem = f"{int(missing.sum())} missing (or infinite) values, the first in row {row}"
        raise InputError(
            WHERE, field, array[row : row + 1].tolist()[0], problem, "leave these rows out everywhere, or fill them in"
        )
    return array


def whole_numbers(field: str, values: object) -> NDArray[np.int64]:
    """Return an array of whole numbers; InputError where a value is not one.

    >>> whole_numbers("idx", [0.0, 1.0, 2.0]).tolist()
    [0, 1, 2]
    """
    array = as_array(field, values)
    numbers = _whole(array)
    if numbers is None:
        row = next(row for row, value in enumerate(array) if _whole(np.atleast_1d(value)) is None)
        problem = f"not a whole number, in row {row}"
        raise InputError(WHERE, field, _plain(array[row]), problem, "number the rows 0, 1, 2, …")
    return numbers


def names_of(field: str, values: NDArray, declared: Sequence[object] | None, least: int = 0) -> LabelNames:
    """Return names for the values (rows,) of classes or groups: the declared ones, else those found in the values.

    Whole numbers from 0 on are kept, any others (text, -1 and 1, booleans) are numbered in sorted order; `least`: the
    smallest possible number of classes, given by the columns of a score.

    >>> names_of("ground_truth", np.array(["no", "yes", "no"]), None).names
    ('no', 'yes')
    >>> names_of("ground_truth", np.array([0, 2]), None).names
    ('0', '1', '2')
    """
    numbers, boolean = _whole(values), values.dtype == bool
    if declared is not None:
        return _declared(field, [_plain(name) for name in declared], numbers is not None)
    if numbers is None and values.dtype.kind == "f":
        wrong = float(values[np.argmax(values != np.floor(values))])
        raise InputError(WHERE, field, wrong, "neither class numbers nor names", WHOLE)
    if numbers is not None and not boolean and numbers.min() >= 0 and (least or numbers.min() == 0):
        count = max(int(numbers.max()) + 1, least)
        _check_count(field, count)
        return LabelNames(tuple(map(str, range(count))), None)
    found = [False, True] if boolean else np.unique(values.astype(str) if numbers is None else numbers).tolist()
    _check_count(field, len(found))
    found = sorted(found, key=float) if all(map(_is_number, found)) else found
    return LabelNames(tuple(map(str, found)), tuple(found))


def numbered(field: str, values: NDArray, names: LabelNames) -> NDArray[np.int64]:
    """Return the values (rows,) as numbers 0 … len(names) - 1; InputError naming the first one without a name."""
    if names.values is not None:
        text = isinstance(names.values[0], str)
        numbers = _look_up(values.astype(str) if text else values, names.values)
    else:
        whole = _whole(values)
        numbers = np.full(len(values), -1, np.int64) if whole is None else whole
    wrong = (numbers < 0) | (numbers >= len(names.names))
    if wrong.any():
        row = int(np.argmax(wrong))
        possible = one_line(", ".join(map(str, names.values or (f"0..{len(names.names) - 1}",))), 60)
        problem = f"not one of {possible}, in row {row} and {int(wrong.sum()) - 1} more"
        kind = "groups" if field.startswith("protected") else "classes"
        raise InputError(WHERE, field, _plain(values[row]), problem, f"correct it, or name all {kind} in `{kind}`")
    return numbers.astype(np.int64)


def label_lists(field: str, values: NDArray) -> NDArray[np.int8]:
    """Return lists of labels (rows, labels), each 0 or 1; InputError naming the first row with another value."""
    numbers = _whole(values)
    wrong = np.ones(values.shape, bool) if numbers is None else (numbers != 0) & (numbers != 1)
    if numbers is None or wrong.any():
        row = int(np.argmax(wrong.any(axis=1)))
        problem = f"several values a row are lists of labels, 0 or 1; row {row} holds another"
        raise InputError(WHERE, field, values[row].tolist(), problem, WHOLE)
    return numbers.astype(np.int8)


def columns_of(protected: Any) -> dict[str, object]:
    """Return `{attribute: column}` of one column (attribute "protected"), a mapping, or a data frame."""
    if isinstance(protected, Mapping) or hasattr(protected, "columns"):
        found = {name: protected[name] for name in protected}
        for name in found or [None]:
            if not isinstance(name, str) or not name.strip():
                remedy = "give {attribute: column}, as {'sex': …}"
                raise InputError(WHERE, "protected", name, "not the name of an attribute", remedy)
        return found
    return {"protected": protected}


def _array(field: str, values: Any) -> NDArray:
    if hasattr(values, "detach"):  # a torch tensor, without importing torch here; NumPy has no bfloat16
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        problem = f"cannot be made an array ({one_line(error, 60)})"
        raise InputError(
            WHERE, field, type(values).__name__, problem, "give an array, list, series or tensor"
        ) from None


def _missing(array: NDArray) -> NDArray[np.bool_]:
    if array.dtype.kind == "f":
        return ~np.isfinite(array)
    if array.dtype.kind == "O":  # None, NaN and pandas' NA differ from themselves, or have no truth value
        return np.vectorize(_is_missing, otypes=[bool])(array)
    return np.isnat(array) if array.dtype.kind in "mM" else np.zeros(array.shape, bool)


def _is_missing(value: object) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def _whole(array: NDArray) -> NDArray[np.int64] | None:
    """Return the array as int64 where every value is a whole number, else None."""
    if array.dtype.kind == "O" and all(isinstance(value, int | float | np.number) for value in array.flat):
        array = array.astype(np.float64)
    if array.dtype.kind in "biu":
        return array.astype(np.int64)
    if array.dtype.kind == "f" and (array == np.floor(array)).all() and (np.abs(array) < 2**53).all():
        return array.astype(np.int64)
    return None


def _declared(field: str, names: list[object], numbers: bool) -> LabelNames:
    """Return declared names; where the values are numbers and the names text, they only label the numbers."""
    if len(set(map(str, names))) < len(names) or not names:
        raise InputError(WHERE, field, names, "no names, or one twice", "name every class or group once")
    all_text = all(isinstance(name, str) for name in names)
    plain = (numbers and all_text) or [*names] == [*range(len(names))]
    values = None if plain else tuple(map(str, names)) if all_text else tuple(names)
    return LabelNames(tuple(map(str, names)), values)


def _look_up(values: NDArray, encoded: Sequence[object]) -> NDArray[np.int64]:
    places = {value: number for number, value in enumerate(encoded)}
    return np.array([places.get(_plain(value), -1) for value in values], np.int64)


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def _check_count(field: str, count: int) -> None:
    most = MAX_GROUPS if field.startswith("protected") else MAX_CLASSES
    if count > most:
        remedy = "identifiers are not classes or groups; if they are, name them all in `classes` or `groups`"
        raise InputError(WHERE, field, count, f"more than {most} different values", remedy)
