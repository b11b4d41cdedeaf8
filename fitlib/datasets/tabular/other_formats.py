"""Tables in other formats than CSV and parquet: Arrow, JSON, NumPy and Excel files, into Arrow tables.

Nothing here unpickles: formats that can run code when they are read are refused with the command that converts them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
from numpy.typing import NDArray

PICKLED = "it can run code when it is read; convert it where you trust it: pandas.read_pickle(FILE).to_parquet(NEW)"
CONVERSIONS = {  # formats that are not read -> what to do
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), PICKLED),
    **dict.fromkeys((".pt", ".pth"), "save the tensors with numpy.savez(NEW, y_true=…, y_pred=…, sex=…)"),
    **dict.fromkeys((".h5", ".hdf5", ".mat"), "save its arrays with numpy.savez(NEW, y_true=…, y_pred=…, sex=…)"),
    **dict.fromkeys((".xls", ".ods", ".numbers"), "save it as CSV or .xlsx"),
    **dict.fromkeys((".rds", ".rdata"), "in R: write.csv(readRDS(FILE), NEW, row.names = FALSE)"),
    **dict.fromkeys((".dta", ".sav", ".sas7bdat"), "convert it: pandas.read_stata, read_spss or read_sas, then to_csv"),
}


class UnreadableError(ValueError):
    """A file without a table: the problem, and the remedy."""

    def __init__(self, problem: str, remedy: str = "write the file again"):
        self.problem, self.remedy = problem, remedy
        super().__init__(problem)


def read_other(suffix: str, content: bytes) -> pa.Table:
    """Return the table in a file of one of `READERS`; UnreadableError where there is none."""
    try:
        return READERS[suffix](content)
    except UnreadableError:
        raise
    except Exception as error:  # a damaged file can raise anything: zip, zlib, struct and syntax errors, no memory
        raise UnreadableError(str(error) or type(error).__name__) from error


def _arrow(content: bytes) -> pa.Table:
    return pa.feather.read_table(pa.BufferReader(content))


def _json_lines(content: bytes) -> pa.Table:
    """Return one record a line. Not by Arrow's reader of JSON, which crashes the process on some damaged files."""
    return _of_records([json.loads(line) for line in content.decode("utf-8-sig").splitlines() if line.strip()])


def _json(content: bytes) -> pa.Table:
    """Return a list of records or {column: list}; or, if it is no single value, JSON lines."""
    try:
        found = json.loads(content)
    except ValueError:
        return _json_lines(content)
    if isinstance(found, dict) and all(isinstance(column, list) for column in found.values()):
        return pa.table(found)
    return _of_records(found if isinstance(found, list) else [found])


def _of_records(rows: list[Any]) -> pa.Table:
    """Return a table of {column: value} for each row, with the columns of all rows."""
    if not all(isinstance(row, dict) for row in rows):
        raise UnreadableError("neither records {column: value} nor {column: [values]}")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _cells([row.get(name) for row in rows]) for name in names})


def _npz(content: bytes) -> pa.Table:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return _from_arrays({name: arrays[name] for name in arrays.files})


def _npy(content: bytes) -> pa.Table:
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.names is None:
        remedy = "save ground truth and groups with it: numpy.savez('run0.npz', y_true=…, y_pred=…, sex=…)"
        raise UnreadableError(f"an array of shape {np.shape(array)} without ground truth and groups", remedy)
    return _from_arrays({name: array[name] for name in array.dtype.names})


def _from_arrays(arrays: dict[str, NDArray[Any]]) -> pa.Table:
    """Return a table of arrays (rows,); one of (rows, n) or (n, rows) is n columns name_0, name_1, …."""
    lengths = [len(array) for array in arrays.values() if array.ndim == 1]
    if not lengths:
        raise UnreadableError("no array of one value for each row")
    rows = max(set(lengths), key=lengths.count)
    columns: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.ndim == 2 and rows in array.shape:
            by_row = array if array.shape[0] == rows else array.T
            columns |= {f"{name}_{place}": by_row[:, place] for place in range(by_row.shape[1])}
        elif array.shape != (rows,):
            raise UnreadableError(f"{name} is {array.shape}, others have {rows:,} rows")
        else:
            columns[name] = array
    return pa.table({name: pa.array(np.ascontiguousarray(array)) for name, array in columns.items()})


def _xlsx(content: bytes) -> pa.Table:
    """Return the first sheet; the first row that is not empty holds the names."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UnreadableError("it takes openpyxl", 'pip install "fitlib[excel]", or save the sheet as CSV') from None
    sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
    rows = [row for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row)]
    if not rows:
        raise UnreadableError("the first sheet is empty")
    names = ["" if cell is None else str(cell) for cell in rows[0]]
    return pa.Table.from_arrays([_cells([row[place] for row in rows[1:]]) for place in range(len(names))], names)


def _cells(values: list[Any]) -> pa.Array:
    """Return cells as Arrow; text where their types are mixed."""
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values])


READERS: dict[str, Callable[[bytes], pa.Table]] = {
    ".feather": _arrow,
    ".arrow": _arrow,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".npz": _npz,
    ".npy": _npy,
    ".xlsx": _xlsx,
}
