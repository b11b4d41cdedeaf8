"""Predictions: one table per technique and run, read from parquet or CSV, checked, and stacked over the runs.

Columns: idx, ground_truth, prediction, protected (or several: protected.sex, protected.race), optional unit and score.
Multi-class cells are class numbers, multi-label cells lists of 0/1 (in CSV as text, "[0, 1, 0]"). The study's headings
prediction_result and protected_label are read as prediction and protected; other columns are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fitlib.errors import InputError
from fitlib.storage.prediction_columns import (
    LABEL_LISTS,
    SCORES,
    Integers,
    fail_at,
    integers,
    is_list,
    labels,
    one_line,
    parse_lists,
    scores,
)

if TYPE_CHECKING:
    import pandas as pd

File = str | PathLike[str]

SCHEMA_VERSION = "1"
HEADINGS = {"prediction_result": "prediction", "protected_label": "protected"}
REQUIRED = ("idx", "ground_truth", "prediction")
OPTIONAL = ("unit", "score")
TEXT_COLUMNS = ("technique", "arm", "reading", "attribute", "metric", "quantity", "test_set")
FLOAT_COLUMNS = ("value", "remainder", "at", "low", "high")
LIST_COLUMNS = ("values",)  # of float32

SAME_TEST_SET = "let every run predict the same test set, rows in the same order"
MAX_CLASSES, MAX_GROUPS = 1000, 100  # more only where they are declared
NO_IDENTIFIERS = "identifiers are not classes or groups: number these 0, 1, 2, ..."
WRITE_AGAIN = "write the file again"


@dataclass(frozen=True)
class Predictions:
    """Runs of one technique in one arm; row r is the same test row in every array.

    idx int64 (rows,); ground_truth int64 (rows,), or int8 0/1 (rows, labels); prediction the same with the runs in
    front, (runs, rows[, labels]), of any signed integers that hold the classes; protected: {attribute: int64 (rows,)},
    the attribute of a plain column `protected` is "protected", that of `protected.sex` is "sex"; unit int64 (rows,) or
    None; n_classes: classes, or labels; n_groups: {attribute: groups}; runs: run numbers, ascending, in the order of
    prediction; score float64 (runs, rows), of class 1 of two classes, or (runs, rows, classes), or None.
    """

    idx: Integers
    ground_truth: NDArray
    prediction: NDArray
    protected: dict[str, Integers]
    unit: Integers | None
    n_classes: int
    n_groups: dict[str, int]
    runs: tuple[int, ...]
    score: NDArray[np.float64] | None = None

    @property
    def multilabel(self) -> bool:
        """Return whether each row has a list of labels instead of one class."""
        return self.prediction.ndim == 3

    def protected_columns(self) -> dict[str, Integers]:
        """Return the protected attributes under the names of their columns."""
        return {column_of(attribute): values for attribute, values in self.protected.items()}


def select_runs(predictions: Predictions, positions: Sequence[int]) -> Predictions:
    """Return the runs at these positions, numbered from 0."""
    chosen = list(positions)
    score = None if predictions.score is None else predictions.score[chosen]
    return replace(predictions, prediction=predictions.prediction[chosen], score=score, runs=tuple(range(len(chosen))))


def column_of(attribute: str) -> str:
    """Return the column of a protected attribute.

    >>> column_of("sex"), column_of("protected")
    ('protected.sex', 'protected')
    """
    return attribute if attribute == "protected" else f"protected.{attribute}"


def attribute_of(column: str) -> str:
    """Return the protected attribute of a column.

    >>> attribute_of("protected.sex"), attribute_of("protected")
    ('sex', 'protected')
    """
    return column.removeprefix("protected.")


# Crossing protected attributes


def crossed_name(names: Sequence[str]) -> str:
    """Return the name of the attribute that crosses others.

    >>> crossed_name(["sex", "race"])
    'sex x race'
    """
    return " x ".join(names)


def crossed_groups(groups: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    """Return the names of the groups of crossed attributes, the last attribute varying fastest.

    groups: {attribute: names of its groups}.

    >>> crossed_groups({"sex": ["female", "male"], "age": ["young", "old"]}, ["sex", "age"])
    ['female & young', 'female & old', 'male & young', 'male & old']
    """
    return [" & ".join(parts) for parts in product(*(groups[name] for name in names))]


def with_crossed(groups: Mapping[str, Sequence[str]], cross: Sequence[Sequence[str]] | None) -> dict[str, list[str]]:
    """Return `groups` and, after them, the groups of every crossing in `cross`, for example [["sex", "race"]]."""
    crossings = {crossed_name(names): crossed_groups(groups, names) for names in cross or []}
    return {name: list(of) for name, of in groups.items()} | crossings


def cross_attributes(predictions: Predictions, names: Sequence[str]) -> Predictions:
    """Return the predictions with one more protected attribute, the crossing of `names` (see `crossed_groups`).

    Groups are all combinations; the metrics leave out those without members, as always. Raises InputError for fewer
    than two attributes, one given twice, an unknown one, or a name that exists.
    """
    p, name = predictions, crossed_name(names)
    _check_crossing(names, p.protected)
    shape = tuple(p.n_groups[attribute] for attribute in names)
    group = np.ravel_multi_index([p.protected[attribute] for attribute in names], shape)
    return replace(p, protected=p.protected | {name: group}, n_groups=p.n_groups | {name: int(np.prod(shape))})


def _check_crossing(names: Sequence[str], attributes: Mapping[str, Integers]) -> None:
    remedy = f"cross two or more of {', '.join(attributes)}"
    for name in names:
        if name not in attributes:
            raise InputError("predictions", "cross", name, "unknown protected attribute", remedy)
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError("predictions", "cross", list(names), "not two or more different attributes", remedy)
    if crossed_name(names) in attributes:
        raise InputError("predictions", "cross", list(names), "there is an attribute of this name", remedy)


# Reading


def read_predictions(path: File) -> pd.DataFrame:
    """Read one file of predictions (.parquet or .csv) under canonical column names, in canonical order.

    Raises InputError if the file cannot be read, has no rows, lacks a column or has one twice, or holds text instead of
    label lists. The values themselves are checked by `stack`.
    """
    return _canonical(path).to_pandas()


def _canonical(path: File) -> pa.Table:
    table = _load(path)
    names = _canonical_columns(str(path), table.column_names)
    if not table.num_rows:
        raise InputError(str(path), "rows", 0, "the file has no predictions", "give one row per test example")
    table = table.select(names)
    for name in ("ground_truth", "prediction", "score"):
        if name in names:
            table = parse_lists(str(path), table, name)
    return table


def _load(path: File) -> pa.Table:
    where, path = str(path), Path(path)
    if path.suffix.lower() not in _READERS:
        raise InputError(where, "file", path.name, "neither .parquet nor .csv", "name the file after its format")
    if not path.is_file():
        raise InputError(where, "file", path.name, "no such file", "correct the path, or write the predictions first")
    try:
        table = _READERS[path.suffix.lower()](path)
        table.validate(full=True)
        return table.rename_columns([HEADINGS.get(name, name) for name in table.column_names])
    except (OSError, pa.ArrowException, ValueError) as error:
        problem = f"cannot be read as {path.suffix[1:].lower()} ({one_line(error)})"
        raise InputError(where, "file", path.name, problem, WRITE_AGAIN) from error


def _read_parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def _read_csv(path: Path) -> pa.Table:
    # Types are inferred from the first block; a block as large as the file keeps a late "x" from failing to convert.
    return pa_csv.read_csv(path, pa_csv.ReadOptions(block_size=max(path.stat().st_size, 1 << 20)))


_READERS: dict[str, Callable[[Path], pa.Table]] = {".parquet": _read_parquet, ".csv": _read_csv}


def _canonical_columns(where: str, found: list[str]) -> list[str]:
    protected = [name for name in found if name == "protected" or name.startswith("protected.")]
    for name in (*REQUIRED, *(protected or ["protected"])):
        if name not in found:
            remedy = f"add it; the file has {one_line(', '.join(found) or 'no columns')}"
            raise InputError(where, "column", name, "missing", remedy)
    if "protected." in protected:
        remedy = "name the attribute, for example protected.sex"
        raise InputError(where, "column", "protected.", "no attribute after the dot", remedy)
    names = [*REQUIRED, *protected, *(name for name in OPTIONAL if name in found)]
    for name in names:
        if found.count(name) > 1:
            raise InputError(where, "column", name, f"{found.count(name)} columns of this meaning", "keep one of them")
    if "protected" in protected and "protected.protected" in protected:
        raise InputError(where, "column", "protected.protected", "the attribute of column protected", "rename one")
    return names


# Stacking


@dataclass(frozen=True)
class _File:
    """Checked columns of one file."""

    where: str
    columns: dict[str, NDArray]  # idx, ground_truth, prediction, protected..., unit, score

    @property
    def protected(self) -> dict[str, Integers]:
        return {attribute_of(name): values for name, values in self.columns.items() if name.startswith("protected")}


def stack(
    paths: Mapping[int, File] | Mapping[str, File],
    n_classes: int | None = None,
    n_groups: Mapping[str, int] | None = None,
) -> Predictions:
    """Read the files of all runs of one technique in one arm, check them, and stack them in ascending order of runs.

    paths: {run: file}; run numbers may be text, as in JSON. n_classes: number of classes (labels); None: the largest
    class of the ground truth + 1, or as many as a row has scores. n_groups: {attribute: number of groups}; missing: the
    largest group + 1.

    Raises InputError, naming file, column, value and remedy, if a file cannot be read; a column is missing; a class,
    group or index is missing, not a whole number or out of range; an idx repeats; label lists differ in length or hold
    anything but 0 and 1; scores are not finite or not one per class; all rows are of one group; there are so many
    classes or groups that they must be identifiers (more than 1,000 or 100, undeclared, one class per row); or the
    runs differ in rows, ground truth, groups or units.
    """
    order = sorted((_run_number(run), path) for run, path in paths.items())
    if not order:
        raise InputError("predictions", "runs", {}, "no run", "give the file of at least one run")
    files = [_read_columns(path) for _, path in order]
    first = files[0].columns
    for other in files[1:]:
        _check_same(files[0], other)
    classes = _check_classes(files, n_classes)
    return Predictions(
        idx=first["idx"],
        ground_truth=first["ground_truth"],
        prediction=np.stack([file.columns["prediction"] for file in files]),
        protected=files[0].protected,
        unit=first.get("unit"),
        n_classes=classes,
        n_groups=_check_groups(files[0], n_groups or {}),
        runs=tuple(run for run, _ in order),
        score=_stacked_scores(files, classes),
    )


def _run_number(run: int | str) -> int:
    try:
        return int(run)
    except ValueError:
        raise InputError("predictions", "run", run, "not a whole number", "number the runs 0, 1, 2, ...") from None


def _read_columns(path: File) -> _File:
    where, table = str(path), _canonical(path)
    kinds = {is_list(table[name].type) for name in ("ground_truth", "prediction")}
    if len(kinds) > 1:
        value = table["prediction"][0].as_py()
        fail_at(where, "prediction", 0, value, "one of ground_truth and prediction is a list", LABEL_LISTS)
    read_target: Callable[..., NDArray] = labels if kinds.pop() else integers
    columns: dict[str, NDArray] = {"idx": integers(where, "idx", table["idx"], minimum=None)}
    columns |= {name: read_target(where, name, table[name]) for name in ("ground_truth", "prediction")}
    if columns["ground_truth"].shape != columns["prediction"].shape:
        problem = f"lists of another length than in ground_truth ({columns['ground_truth'].shape[1]})"
        raise InputError(where, "prediction", columns["prediction"].shape[1], problem, LABEL_LISTS)
    for name in table.column_names:
        if name.startswith("protected") or name == "unit":
            columns[name] = integers(where, name, table[name], minimum=None if name == "unit" else 0)
    if "score" in table.column_names:
        columns["score"] = scores(where, table["score"])
    _check_unique(where, columns["idx"])
    return _File(where, columns)


def _stacked_scores(files: list[_File], n_classes: int) -> NDArray[np.float64] | None:
    """Return the scores of all runs, (runs, rows[, classes]); None if the files have none."""
    if "score" not in files[0].columns:
        return None
    first, several = files[0].columns["score"], files[0].columns["ground_truth"].ndim == 2
    if (first.shape[1] if first.ndim == 2 else 2) != n_classes or (several and first.ndim == 1):
        what = f"lists of {first.shape[1]}" if first.ndim == 2 else "one number a row"
        raise InputError(files[0].where, "score", what, f"not one score for each of {n_classes} classes", SCORES)
    return np.stack([file.columns["score"] for file in files])


def _check_unique(where: str, idx: Integers) -> None:
    order = np.argsort(idx, kind="stable")
    repeated = order[1:][idx[order[1:]] == idx[order[:-1]]]
    if repeated.size:
        row = int(repeated.min())
        fail_at(where, "idx", row, int(idx[row]), "the same idx as an earlier row", "give every row its own idx")


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
        if name not in ("prediction", "score") and not np.array_equal(expected, found):
            row = int(np.argmax((expected != found).reshape(len(found), -1).any(axis=1)))
            problem = f"differs from {first.where}, which has {one_line(expected[row].tolist(), 40)}"
            fail_at(other.where, name, row, found[row].tolist(), problem, SAME_TEST_SET)


def _check_classes(files: list[_File], n_classes: int | None) -> int:
    truth = files[0].columns["ground_truth"]
    if truth.ndim == 2:
        return _check_label_count(files[0].where, truth.shape[1], n_classes)
    scored = files[0].columns.get("score", truth).shape[1:]  # a class that has scores exists, even if no row is of it
    limit = max(int(truth.max()) + 1, *scored, 0) if n_classes is None else n_classes
    if n_classes is None and limit > MAX_CLASSES:
        problem = f"more than {MAX_CLASSES:,} classes"
        fail_at(files[0].where, "ground_truth", int(np.argmax(truth)), limit - 1, problem, NO_IDENTIFIERS)
    source = "in the ground truth" if n_classes is None else "declared"
    for where, name, values in _targets(files):
        if values.max() >= limit:
            row = int(np.argmax(values >= limit))
            problem = f"outside the classes 0..{limit - 1} {source}"
            fail_at(where, name, row, int(values[row]), problem, "correct the class or the number of classes")
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
        if count > MAX_GROUPS:
            row, problem = int(np.argmax(file.protected[attribute])), f"more than {MAX_GROUPS} groups"
            fail_at(file.where, column_of(attribute), row, count - 1, problem, NO_IDENTIFIERS)


def _check_group(where: str, attribute: str, rows: Integers, declared: int | None) -> int:
    limit = int(rows.max()) + 1 if declared is None else declared
    if rows.max() >= limit:
        row = int(np.argmax(rows >= limit))
        problem = f"outside the groups 0..{limit - 1} declared"
        fail_at(where, column_of(attribute), row, int(rows[row]), problem, "correct it or the number of groups")
    if rows.min() == rows.max():
        remedy = "give predictions for at least two groups"
        raise InputError(where, column_of(attribute), int(rows[0]), "all rows are of one group", remedy)
    return limit


# Writing


def write_predictions(
    path: File,
    idx: NDArray,
    ground_truth: NDArray,
    prediction: NDArray,
    protected: NDArray | Mapping[str, NDArray],
    unit: NDArray | None = None,
    score: NDArray | None = None,
) -> None:
    """Write the predictions of one run as parquet, byte-identical for identical input.

    idx (rows,); ground_truth and prediction (rows,) class numbers or (rows, labels) 0/1; protected (rows,), or
    {attribute: (rows,)} for several; unit (rows,) where a test unit appears in several rows; score (rows,) of class 1
    of two classes, or (rows, classes). Raises TypeError for floats where whole numbers belong.
    """
    groups = protected if isinstance(protected, Mapping) else {"protected": protected}
    columns = {"idx": _arrow(idx), "ground_truth": _arrow(ground_truth), "prediction": _arrow(prediction)}
    columns |= {column_of(attribute): _arrow(rows) for attribute, rows in groups.items()}
    if unit is not None:
        columns["unit"] = _arrow(unit)
    if score is not None:
        columns["score"] = _arrow(score, np.float64)
    _write_parquet(pa.Table.from_arrays(list(columns.values()), list(columns)), path, "predictions")


def _arrow(values: NDArray, entries: type[np.number] = np.int8) -> pa.Array:
    """Return whole numbers as int64 and lists of labels as int8; with `entries` float64, scores and lists of them."""
    values = np.asarray(values)
    if values.ndim == 1:
        return _arrow_flat(values, np.int64 if entries is np.int8 else entries)
    offsets = np.arange(len(values) + 1) * values.shape[1]
    return pa.ListArray.from_arrays(_arrow_flat(offsets, np.int32), _arrow_flat(values.ravel(), entries))


def _arrow_flat(values: NDArray, kind: type[np.number]) -> pa.Array:
    # Not pa.array: it imports pandas, which a training does not need.
    values = np.ascontiguousarray(values.astype(kind, casting="same_kind"))
    return pa.Array.from_buffers(pa.from_numpy_dtype(kind), len(values), [None, pa.py_buffer(values)])


def write_table(path: File, frame: pd.DataFrame, name: str) -> None:
    """Write a table of one technique ("metrics", "counts", …) as parquet, byte-identical for identical input.

    `TEXT_COLUMNS` are text, `FLOAT_COLUMNS` floats, `LIST_COLUMNS` lists of floats, all others integers; NaN is written
    as null. The file's metadata holds the name and the version of the schema.
    """
    _write_parquet(_arrow_table(frame), path, name)


def as_written(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of one technique with the types that it has once `write_table` wrote it and pandas read it."""
    return _arrow_table(frame).replace_schema_metadata().to_pandas()


def _arrow_table(frame: pd.DataFrame) -> pa.Table:
    schema = pa.schema([pa.field(column, _type_of(column)) for column in frame.columns])
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)


def _type_of(column: str) -> pa.DataType:
    if column in LIST_COLUMNS:
        return pa.list_(pa.float32())
    return pa.string() if column in TEXT_COLUMNS else pa.float64() if column in FLOAT_COLUMNS else pa.int64()


def _write_parquet(table: pa.Table, path: File, name: str) -> None:
    marked = table.replace_schema_metadata({"fitlib.schema": f"{name}/{SCHEMA_VERSION}"})
    pq.write_table(marked, path, compression="zstd")
