"""Predictions: one table per technique and run, read from parquet or CSV, checked, and stacked over the runs.

Columns: idx, ground_truth, prediction, protected (or several: protected.sex, protected.race), optional unit and score.
Multi-class cells are class numbers, multi-label cells lists of 0/1 (in CSV as text, "[0, 1, 0]"). The study's headings
prediction_result and protected_label are read as prediction and protected; other columns are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fitlib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

File = str | PathLike[str]
Integers = NDArray[np.int64]

SCHEMA_VERSION = "1"
HEADINGS = {"prediction_result": "prediction", "protected_label": "protected"}
REQUIRED = ("idx", "ground_truth", "prediction")
OPTIONAL = ("unit", "score")
TEXT_COLUMNS = ("technique", "arm", "reading", "attribute", "metric")
FLOAT_COLUMNS = ("value",)

CLASS_NUMBERS = "write classes and groups as whole numbers 0, 1, 2, ..."
SAME_TEST_SET = "let every run predict the same test set, rows in the same order"
LABEL_LISTS = "write one list of 0 and 1 per row, all of the same length"
MOST_CLASSES, MOST_GROUPS = 1000, 100  # more only where they are declared
NO_IDENTIFIERS = "identifiers are not classes or groups: number these 0, 1, 2, ..."
WRITE_AGAIN = "write the file again"


@dataclass(frozen=True)
class Predictions:
    """Runs of one technique in one arm; row r is the same test row in every array.

    idx int64 (rows,); ground_truth int64 (rows,), or int8 0/1 (rows, labels); prediction the same with the runs in
    front: (runs, rows[, labels]); protected: {attribute: int64 (rows,)}, the attribute of a plain column `protected` is
    "protected", that of `protected.sex` is "sex"; unit int64 (rows,) or None; n_classes: classes, or labels; n_groups:
    {attribute: groups}; runs: run numbers, ascending, in the order of prediction.
    """

    idx: Integers
    ground_truth: NDArray
    prediction: NDArray
    protected: dict[str, Integers]
    unit: Integers | None
    n_classes: int
    n_groups: dict[str, int]
    runs: tuple[int, ...]

    @property
    def multilabel(self) -> bool:
        """Whether each row has a list of labels instead of one class."""
        return self.prediction.ndim == 3

    def protected_columns(self) -> dict[str, Integers]:
        """Protected attributes under the names of their columns."""
        return {column_of(attribute): values for attribute, values in self.protected.items()}


def column_of(attribute: str) -> str:
    """Column of a protected attribute: "protected" -> protected, "sex" -> protected.sex."""
    return attribute if attribute == "protected" else f"protected.{attribute}"


def attribute_of(column: str) -> str:
    """Protected attribute of a column: protected -> "protected", protected.sex -> "sex"."""
    return column.removeprefix("protected.")


# Reading


def read_predictions(path: File) -> pd.DataFrame:
    """Read one file of predictions (.parquet or .csv) under canonical column names, in canonical order.

    Raises InputError if the file cannot be read, has no rows, lacks a column or has one twice, or holds text instead of
    label lists. The values themselves are checked by `stack`.
    """
    return _canonical(path).to_pandas()


def _canonical(path: File) -> pa.Table:
    table = _load(path)
    names = _known_columns(str(path), table.column_names)
    if not table.num_rows:
        raise InputError(str(path), "rows", 0, "the file has no predictions", "give one row per test example")
    table = table.select(names)
    for name in ("ground_truth", "prediction"):
        table = _parse_label_lists(str(path), table, name)
    return table


def _load(path: File) -> pa.Table:
    where, path = str(path), Path(path)
    if path.suffix.lower() not in _READERS:
        raise InputError(where, "file", path.name, "neither .parquet nor .csv", "name the file after its format")
    if not path.is_file():
        raise InputError(where, "file", path.name, "no such file", "correct the path, or make the predictions first")
    try:
        table = _READERS[path.suffix.lower()](path)
        table.validate(full=True)
        return table.rename_columns([HEADINGS.get(name, name) for name in table.column_names])
    except (OSError, pa.ArrowException, ValueError) as error:
        problem = f"cannot be read as {path.suffix[1:].lower()} ({_one_line(error)})"
        raise InputError(where, "file", path.name, problem, WRITE_AGAIN) from error


def _read_parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def _read_csv(path: Path) -> pa.Table:
    # Types are inferred from the first block: one as large as the file keeps a late "x" from being a conversion error.
    return pa_csv.read_csv(path, pa_csv.ReadOptions(block_size=max(path.stat().st_size, 1 << 20)))


_READERS: dict[str, Callable[[Path], pa.Table]] = {".parquet": _read_parquet, ".csv": _read_csv}


def _one_line(value: object, limit: int = 120) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(value).split()))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _known_columns(where: str, found: list[str]) -> list[str]:
    protected = [name for name in found if name == "protected" or name.startswith("protected.")]
    for name in (*REQUIRED, *(protected or ["protected"])):
        if name not in found:
            remedy = f"add it; the file has {_one_line(', '.join(found) or 'no columns')}"
            raise InputError(where, "column", name, "missing", remedy)
    if "protected." in protected:
        remedy = "name the attribute, for example protected.sex"
        raise InputError(where, "column", "protected.", "no attribute after the dot", remedy)
    known = [*REQUIRED, *protected, *(name for name in OPTIONAL if name in found)]
    for name in known:
        if found.count(name) > 1:
            raise InputError(where, "column", name, f"{found.count(name)} columns of this meaning", "keep one of them")
    if "protected" in protected and "protected.protected" in protected:
        raise InputError(where, "column", "protected.protected", "the attribute of column protected", "rename one")
    return known


def _parse_label_lists(where: str, table: pa.Table, name: str) -> pa.Table:
    """Turn text such as "[0, 1, 0]" into lists; columns that hold no such text stay as they are."""
    column = table[name]
    if not _is_text(column.type) or not str(column[0]).lstrip().startswith("["):
        return table
    lists = [_parse_list(where, name, row, cell) for row, cell in enumerate(column.to_pylist())]
    return table.set_column(table.column_names.index(name), name, pa.array(lists, pa.list_(pa.int8())))


def _parse_list(where: str, name: str, row: int, cell: str) -> list:
    try:
        labels = json.loads(cell)
    except (ValueError, TypeError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not all(type(label) is int and label in (0, 1) for label in labels):
        _fail_at(where, name, row, cell, "not a list of 0 and 1", LABEL_LISTS)
    return labels


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _fail_at(where: str, name: str, row: int, value: object, problem: str, remedy: str) -> NoReturn:
    raise InputError(where, name, value, f"{problem}, in row {row}", remedy)


# Stacking


@dataclass(frozen=True)
class _File:
    """Checked columns of one file."""

    where: str
    columns: dict[str, NDArray]  # idx, ground_truth, prediction, protected..., unit

    @property
    def protected(self) -> dict[str, Integers]:
        return {attribute_of(name): values for name, values in self.columns.items() if name.startswith("protected")}


def stack(
    paths: Mapping[int, File] | Mapping[str, File],
    n_classes: int | None = None,
    n_groups: Mapping[str, int] | None = None,
) -> Predictions:
    """Read the files of all runs of one technique in one arm, check them, and stack them in ascending order of runs.

    paths: {run: file}; run numbers may be text, as JSON has them. n_classes: number of classes (labels); None: the
    largest class of the ground truth + 1. n_groups: {attribute: number of groups}; missing: the largest group + 1.

    Raises InputError, naming file, column, value and remedy, if a file cannot be read; a column is missing; a class,
    group or index is missing, no whole number or out of range; idx repeats; label lists differ in length or hold
    something else than 0 and 1; all rows are of one group; classes or groups are so many that they must be identifiers
    (more than 1,000 or 100, undeclared, one class per row); or the runs differ in rows, ground truth, groups or units.
    """
    order = sorted((_run_number(run), path) for run, path in paths.items())
    if not order:
        raise InputError("predictions", "runs", {}, "no run", "give the file of at least one run")
    files = [_read_columns(path) for _, path in order]
    first = files[0].columns
    for other in files[1:]:
        _check_same(files[0], other)
    return Predictions(
        idx=first["idx"],
        ground_truth=first["ground_truth"],
        prediction=np.stack([file.columns["prediction"] for file in files]),
        protected=files[0].protected,
        unit=first.get("unit"),
        n_classes=_check_classes(files, n_classes),
        n_groups=_check_groups(files[0], n_groups or {}),
        runs=tuple(run for run, _ in order),
    )


def _run_number(run: int | str) -> int:
    try:
        return int(run)
    except ValueError:
        raise InputError("predictions", "run", run, "not a whole number", "number the runs 0, 1, 2, ...") from None


def _read_columns(path: File) -> _File:
    where, table = str(path), _canonical(path)
    kinds = {_is_list(table[name].type) for name in ("ground_truth", "prediction")}
    if len(kinds) > 1:
        value = table["prediction"][0].as_py()
        _fail_at(where, "prediction", 0, value, "one of ground_truth and prediction is a list", LABEL_LISTS)
    read_target = _labels if kinds.pop() else _integers
    columns = {"idx": _integers(where, "idx", table["idx"], minimum=None)}
    columns |= {name: read_target(where, name, table[name]) for name in ("ground_truth", "prediction")}
    if columns["ground_truth"].shape != columns["prediction"].shape:
        problem = f"lists of another length than in ground_truth ({columns['ground_truth'].shape[1]})"
        raise InputError(where, "prediction", columns["prediction"].shape[1], problem, LABEL_LISTS)
    for name in table.column_names:
        if name.startswith("protected") or name == "unit":
            columns[name] = _integers(where, name, table[name], minimum=None if name == "unit" else 0)
    _check_unique(where, columns["idx"])
    return _File(where, columns)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _integers(where: str, name: str, column: pa.ChunkedArray, minimum: int | None = 0) -> Integers:
    """Column as int64; whole numbers stored as floats, and booleans, count as integers."""
    if column.null_count:
        _fail_at(where, name, _first(column.is_null()), None, "missing value", "fill it in or remove the row")
    try:
        values = _castable(column).cast(pa.int64()).to_numpy()
    except pa.ArrowException:
        wrong = (row for row, value in enumerate(column.to_pylist()) if not _is_whole(value))
        row = next(wrong, 0)
        _fail_at(where, name, row, column[row].as_py(), "not a whole number", CLASS_NUMBERS)
    if minimum is not None and values.min() < minimum:
        row = int(np.argmax(values < minimum))
        _fail_at(where, name, row, int(values[row]), "negative", CLASS_NUMBERS)
    return values


def _castable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column, unless its cast to integers would give numbers without meaning, as that of dates does."""
    if not (_is_number(column.type) or _is_text(column.type)):
        raise pa.ArrowInvalid("not a number")
    return column


def _is_whole(value: object) -> bool:
    try:
        number = int(value) if isinstance(value, str) else value
        return float(number).is_integer() and abs(number) < 2**63
    except (TypeError, ValueError):
        return False


def _first(mask: pa.ChunkedArray) -> int:
    return pc.index(mask, True).as_py()


def _labels(where: str, name: str, column: pa.ChunkedArray) -> NDArray[np.int8]:
    """Column of lists of 0/1 as int8 (rows, labels)."""
    if column.null_count:
        _fail_at(where, name, _first(column.is_null()), None, "missing value", LABEL_LISTS)
    lengths = pc.list_value_length(column).to_numpy()
    n_labels = int(lengths[0])
    if not n_labels or (lengths != n_labels).any():
        row = int(np.argmax(lengths != n_labels))
        problem = f"a list of {lengths[row]} labels where the first row has {n_labels}" if n_labels else "an empty list"
        _fail_at(where, name, row, column[row].as_py(), problem, LABEL_LISTS)
    flat = pc.list_flatten(column)
    entries = flat.cast(pa.float64()).to_numpy() if _is_number(flat.type) else np.full(len(flat), np.nan)
    wrong = (entries != 0) & (entries != 1)
    if wrong.any():
        entry = int(np.argmax(wrong))
        _fail_at(where, name, entry // n_labels, flat[entry].as_py(), "a label that is neither 0 nor 1", LABEL_LISTS)
    return entries.astype(np.int8).reshape(-1, n_labels)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _check_unique(where: str, idx: Integers) -> None:
    order = np.argsort(idx, kind="stable")
    repeated = order[1:][idx[order[1:]] == idx[order[:-1]]]
    if repeated.size:
        row = int(repeated.min())
        _fail_at(where, "idx", row, int(idx[row]), "the same idx as an earlier row", "give every row its own idx")


def _check_same(first: _File, other: _File) -> None:
    if first.columns.keys() != other.columns.keys():
        name = sorted(first.columns.keys() ^ other.columns.keys())[0]
        holder = first if name in first.columns else other
        raise InputError(other.where, "column", name, f"of two runs only {holder.where} has it", SAME_TEST_SET)
    for name in first.columns:
        expected, found = first.columns[name], other.columns[name]
        if expected.shape != found.shape:
            problem = f"not the shape {expected.shape} of {first.where}"
            raise InputError(other.where, f"shape of {name}", found.shape, problem, SAME_TEST_SET)
        if name != "prediction" and not np.array_equal(expected, found):
            row = int(np.argmax((expected != found).reshape(len(found), -1).any(axis=1)))
            problem = f"differs from {first.where}, which has {_one_line(expected[row].tolist(), 40)}"
            _fail_at(other.where, name, row, found[row].tolist(), problem, SAME_TEST_SET)


def _check_classes(files: list[_File], n_classes: int | None) -> int:
    truth = files[0].columns["ground_truth"]
    if truth.ndim == 2:
        return _check_label_count(files[0].where, truth.shape[1], n_classes)
    limit = int(truth.max()) + 1 if n_classes is None else n_classes
    if n_classes is None and limit > MOST_CLASSES:
        problem = f"more than {MOST_CLASSES:,} classes"
        _fail_at(files[0].where, "ground_truth", int(np.argmax(truth)), limit - 1, problem, NO_IDENTIFIERS)
    source = "in the ground truth" if n_classes is None else "declared"
    for where, name, values in _targets(files):
        if values.max() >= limit:
            row = int(np.argmax(values >= limit))
            problem = f"outside the classes 0..{limit - 1} {source}"
            _fail_at(where, name, row, int(values[row]), problem, "correct the class or the number of classes")
    return limit


def _targets(files: list[_File]) -> Iterator[tuple[str, str, NDArray]]:
    truth = files[0]
    predictions = ((file.where, "prediction", file.columns["prediction"]) for file in files)
    return chain([(truth.where, "ground_truth", truth.columns["ground_truth"])], predictions)


def _check_label_count(where: str, found: int, declared: int | None) -> int:
    if declared is not None and declared != found:
        problem = f"{found} labels in a list, {declared} declared"
        raise InputError(where, "ground_truth", found, problem, "correct the lists or the number of classes")
    return found


def _check_groups(file: _File, declared: Mapping[str, int]) -> dict[str, int]:
    for attribute in declared:
        if attribute not in file.protected:
            remedy = "add it, or correct the declared attributes"
            raise InputError(file.where, "column", column_of(attribute), "missing, but declared", remedy)
    groups = {name: _check_group(file.where, name, rows, declared.get(name)) for name, rows in file.protected.items()}
    if file.columns["ground_truth"].ndim == 1:
        _refuse_identifiers(file, {name: count for name, count in groups.items() if name not in declared})
    return groups


def _refuse_identifiers(file: _File, groups: Mapping[str, int]) -> None:
    for attribute, count in groups.items():
        if count > MOST_GROUPS:
            row, problem = int(np.argmax(file.protected[attribute])), f"more than {MOST_GROUPS} groups"
            _fail_at(file.where, column_of(attribute), row, count - 1, problem, NO_IDENTIFIERS)


def _check_group(where: str, attribute: str, rows: Integers, declared: int | None) -> int:
    limit = int(rows.max()) + 1 if declared is None else declared
    if rows.max() >= limit:
        row = int(np.argmax(rows >= limit))
        problem = f"outside the groups 0..{limit - 1} declared"
        _fail_at(where, column_of(attribute), row, int(rows[row]), problem, "correct it or the number of groups")
    if rows.min() == rows.max():
        remedy = "give predictions for at least two groups"
        raise InputError(where, column_of(attribute), int(rows[0]), "all rows are of one group", remedy)
    return limit


# Writing


def write(
    path: File,
    idx: NDArray,
    ground_truth: NDArray,
    prediction: NDArray,
    protected: NDArray | Mapping[str, NDArray],
    unit: NDArray | None = None,
) -> None:
    """Write the predictions of one run as parquet, byte-identical for identical input.

    idx (rows,); ground_truth and prediction (rows,) class numbers or (rows, labels) 0/1; protected (rows,), or
    {attribute: (rows,)} for several; unit (rows,) where a test unit appears in several rows.
    Raises TypeError for floats.
    """
    groups = protected if isinstance(protected, Mapping) else {"protected": protected}
    columns = {"idx": _arrow(idx), "ground_truth": _arrow(ground_truth), "prediction": _arrow(prediction)}
    columns |= {column_of(attribute): _arrow(rows) for attribute, rows in groups.items()}
    if unit is not None:
        columns["unit"] = _arrow(unit)
    _write_parquet(pa.Table.from_arrays(list(columns.values()), list(columns)), path, "predictions")


def _arrow(values: NDArray) -> pa.Array:
    values = np.asarray(values)
    if values.ndim == 1:
        return _arrow_integers(values, np.int64)
    offsets = np.arange(len(values) + 1) * values.shape[1]
    return pa.ListArray.from_arrays(_arrow_integers(offsets, np.int32), _arrow_integers(values.ravel(), np.int8))


def _arrow_integers(values: NDArray, kind: type[np.integer]) -> pa.Array:
    # pa.array would do, but imports pandas, which a training has no use for.
    values = np.ascontiguousarray(values.astype(kind, casting="same_kind"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(kind), len(values), [None, pa.py_buffer(values)])


def write_table(path: File, frame: pd.DataFrame, name: str) -> None:
    """Write a table of one technique ("metrics", "counts" or "votes") as parquet, byte-identical for identical input.

    Names of techniques, arms, readings, attributes and metrics are text, `value` is a float, all else are integers;
    NaN is written as null. The name and the version of the schema stand in the file's metadata.
    """
    schema = pa.schema([pa.field(column, _type_of(column)) for column in frame.columns])
    _write_parquet(pa.Table.from_pandas(frame, schema=schema, preserve_index=False), path, name)


def _type_of(column: str) -> pa.DataType:
    return pa.string() if column in TEXT_COLUMNS else pa.float64() if column in FLOAT_COLUMNS else pa.int64()


def _write_parquet(table: pa.Table, path: File, name: str) -> None:
    marked = table.replace_schema_metadata({"fitlib.schema": f"{name}/{SCHEMA_VERSION}"})
    pq.write_table(marked, path, compression="zstd")
