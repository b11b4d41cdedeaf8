"""Columns of predictions as checked arrays: whole numbers, lists of 0/1 and scores; errors name the row."""

import json
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fitlib.errors import InputError

Integers = NDArray[np.int64]

CLASS_NUMBERS = "write classes and groups as whole numbers 0, 1, 2, ..."
LABEL_LISTS = "write one list of 0 and 1 per row, all of the same length"
SCORES = "give every row a finite number (of class 1 of two classes) or a list of one per class, or leave score out"


# Text


def one_line(value: object, limit: int = 120) -> str:
    r"""Format a value as one line of at most `limit` characters, unprintable ones as "?".

    >>> one_line("two\nlines"), one_line("x" * 20, limit=10)
    ('two lines', 'xxxxxxx...')
    """
    text = "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(value).split()))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def parse_lists(where: str, table: pa.Table, name: str) -> pa.Table:
    """Parse text such as "[0, 1, 0]" into lists; columns without such text stay as they are."""
    column = table[name]
    if not _is_text(column.type) or not str(column[0]).lstrip().startswith("["):
        return table
    lists = [_parse_list(where, name, row, cell) for row, cell in enumerate(column.to_pylist())]
    kind = pa.float64() if name == "score" else pa.int8()
    return table.set_column(table.column_names.index(name), name, pa.array(lists, pa.list_(kind)))


def _parse_list(where: str, name: str, row: int, cell: str) -> list:
    try:
        found = json.loads(cell)
    except (ValueError, TypeError, RecursionError):
        found = None
    is_entry, problem, remedy = _ENTRIES["score" if name == "score" else "label"]
    if not isinstance(found, list) or not all(map(is_entry, found)):
        fail_at(where, name, row, cell, problem, remedy)
    return found


def _is_label(entry: object) -> bool:
    return type(entry) is int and entry in (0, 1)


def _is_score(entry: object) -> bool:
    return type(entry) is float or (type(entry) is int and abs(entry) < 2**53)


_ENTRIES = {
    "label": (_is_label, "not a list of 0 and 1", LABEL_LISTS),
    "score": (_is_score, "not a list of numbers", SCORES),
}


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def fail_at(where: str, name: str, row: int, value: object, problem: str, remedy: str) -> NoReturn:
    """Raise InputError about the cell in `row` of the column `name`."""
    raise InputError(where, name, value, f"{problem}, in row {row}", remedy)


# Arrays


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column holds lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def integers(where: str, name: str, column: pa.ChunkedArray, minimum: int | None = 0) -> Integers:
    """Return a column as int64; whole numbers stored as floats, and booleans, count as integers."""
    if column.null_count:
        fail_at(where, name, _first(column.is_null()), None, "missing value", "fill it in or remove the row")
    try:
        values = _castable(column).cast(pa.int64()).to_numpy()
    except pa.ArrowException:
        wrong = (row for row, value in enumerate(column.to_pylist()) if not _is_whole(value))
        row = next(wrong, 0)
        fail_at(where, name, row, column[row].as_py(), "not a whole number", CLASS_NUMBERS)
    if minimum is not None and values.min() < minimum:
        row = int(np.argmax(values < minimum))
        fail_at(where, name, row, int(values[row]), "negative", CLASS_NUMBERS)
    return values


def _castable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column itself; raise ArrowInvalid if casting it to integers would be meaningless, as for dates."""
    if not (_is_number(column.type) or _is_text(column.type)):
        raise pa.ArrowInvalid("not a number")
    return column


def _is_whole(value: Any) -> bool:
    try:
        number = int(value) if isinstance(value, str) else value
        return float(number).is_integer() and abs(number) < 2**63
    except (TypeError, ValueError):
        return False


def _first(mask: pa.ChunkedArray) -> int:
    return pc.index(mask, True).as_py()


def labels(where: str, name: str, column: pa.ChunkedArray) -> NDArray[np.int8]:
    """Return a column of lists of 0/1 as int8 (rows, labels)."""
    if column.null_count:
        fail_at(where, name, _first(column.is_null()), None, "missing value", LABEL_LISTS)
    lengths = pc.list_value_length(column).to_numpy()
    n_labels = int(lengths[0])
    if not n_labels or (lengths != n_labels).any():
        row = int(np.argmax(lengths != n_labels))
        problem = f"a list of {lengths[row]} labels where the first row has {n_labels}" if n_labels else "an empty list"
        fail_at(where, name, row, column[row].as_py(), problem, LABEL_LISTS)
    flat = pc.list_flatten(column)
    entries = flat.cast(pa.float64()).to_numpy() if _is_number(flat.type) else np.full(len(flat), np.nan)
    wrong = (entries != 0) & (entries != 1)
    if wrong.any():
        entry = int(np.argmax(wrong))
        fail_at(where, name, entry // n_labels, flat[entry].as_py(), "a label that is neither 0 nor 1", LABEL_LISTS)
    return entries.astype(np.int8).reshape(-1, n_labels)


def scores(where: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column of numbers as float64 (rows,), or one of lists of numbers as (rows, length)."""
    if column.null_count:
        fail_at(where, "score", _first(column.is_null()), None, "missing value", SCORES)
    length, flat = 1, column
    if is_list(column.type):
        lengths, flat = pc.list_value_length(column).to_numpy(), pc.list_flatten(column)
        length = int(lengths[0])
        if not length or (lengths != length).any():
            row = int(np.argmax(lengths != length))
            fail_at(where, "score", row, column[row].as_py(), "a list of another length, or an empty one", SCORES)
    if not _is_number(flat.type):
        fail_at(where, "score", 0, column[0].as_py(), "not a number", SCORES)
    values = flat.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values))) // length
        fail_at(where, "score", row, column[row].as_py(), "not a finite number", SCORES)
    return values.reshape(-1, length) if is_list(column.type) else values


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
