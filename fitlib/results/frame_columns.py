"""The columns of a data frame of any library as arrays, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fitlib.errors import InputError, did_you_mean
from fitlib.metrics.arrays import read_array
from fitlib.results.array_inputs import WHERE
from fitlib.storage.prediction_columns import one_line

Reference = str | tuple[str, ...]  # a column, or the columns of several labels or classes

FRAMES = "give a data frame of pandas, polars or Arrow first, or arrays alone: analyze(labels, predictions, …)"


class Columns:
    """The columns of any data frame as arrays, by their names as text."""

    def __init__(self, columns: Mapping[str, Any]):
        """Take the columns: Arrow arrays, or whatever `read_array` reads."""
        self._columns, self._read = columns, dict[Reference, NDArray]()
        if not self.n_rows:
            raise InputError(WHERE, "data", "0 rows", "the data frame is empty", "give one row for each test row")

    @classmethod
    def of(cls, data: object) -> Columns:
        """Read a data frame, or a mapping of columns."""
        if isinstance(data, Mapping):
            columns = {str(name): read_array(WHERE, "data", values) for name, values in data.items()}
            if len({len(values) if values.ndim else 0 for values in columns.values()}) > 1:
                sizes = ", ".join(f"{name} {np.shape(values)}" for name, values in columns.items())
                raise InputError(WHERE, "data", one_line(sizes, 80), "columns of several lengths", FRAMES)
            return cls(columns)
        frame = _narwhals_frame(data)
        return cls({str(name): frame[name] for name in frame.columns})

    @cached_property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self._columns.values()))) if self._columns else 0

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return list(self._columns)

    def name(self, argument: str, name: object) -> str:
        """Return the name of a column as text; InputError unless there is one."""
        if not isinstance(name, str | int | np.integer):
            remedy = f"name a column, for example {argument}={next(iter(self._columns))!r}"
            raise InputError(WHERE, argument, type(name).__name__, "not the name of a column", remedy)
        if str(name) not in self._columns:
            known = f"the data frame has {one_line(', '.join(self._columns))}"
            raise InputError(WHERE, argument, name, "no such column", did_you_mean(str(name), self._columns, known))
        return str(name)

    def values(self, argument: str, reference: Reference) -> NDArray:
        """Return a column (rows,), or several side by side (rows, columns)."""
        if reference not in self._read:
            parts = [reference] if isinstance(reference, str) else reference
            arrays = [_column_values(f"column {name!r} ({argument})", self._columns[name]) for name in parts]
            self._read[reference] = arrays[0] if isinstance(reference, str) else np.stack(arrays, axis=1)
        return self._read[reference]


def _narwhals_frame(data: Any) -> Any:
    """Return the frame as narwhals has it, with text as the names of its columns."""
    import narwhals as nw  # 40 ms, which arrays do not need

    if hasattr(data, "set_axis") and hasattr(data, "columns"):  # pandas and Modin, whose names may be numbers
        data = data.set_axis([str(name) for name in data.columns], axis=1)
    try:
        frame = nw.from_native(data, pass_through=True)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        names = frame.columns if isinstance(frame, nw.DataFrame) else []
    except nw.exceptions.DuplicateError:
        names = list(getattr(data, "column_names", getattr(data, "columns", [])))
        _check_unique(names)
        raise
    if not isinstance(frame, nw.DataFrame):
        problem = "not a data frame, though y_true is given too"
        raise InputError(WHERE, "data", type(data).__name__, problem, FRAMES)
    _check_unique(names)
    return frame


def _check_unique(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(WHERE, "data", twice, "two columns of this name", "rename one of them")


def _column_values(field: str, column: Any) -> NDArray:
    """Return a column as an array: text and mixed types as objects, lists as (rows, items)."""
    if not hasattr(column, "to_arrow"):
        return read_array(WHERE, field, column)
    try:
        values = column.to_arrow()
    except (pa.ArrowException, TypeError, ValueError):  # objects of several types
        return read_array(WHERE, field, column.to_numpy())
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_decode()
    if pa.types.is_temporal(whole.type):
        whole = whole.cast(pa.string())
    nested = pa.types.is_nested(whole.type)
    return read_array(WHERE, field, whole.to_pylist() if nested else np.asarray(whole))


def row_codes(values: NDArray) -> NDArray[np.int64]:
    """Return a number for each row, (rows,) or (rows, columns): equal where rows are; -1 where a single one is missing.

    >>> row_codes(np.array(["f", None, "f"], dtype=object)).tolist(), row_codes(np.array([[0, 1], [1, 1]])).tolist()
    ([0, -1, 0], [0, 1])
    """
    import pandas as pd

    if values.ndim == 1:
        return np.asarray(pd.factorize(values)[0], dtype=np.int64)
    columns = np.column_stack([row_codes(column) for column in values.T])
    return np.unique(columns, axis=0, return_inverse=True)[1].ravel()
