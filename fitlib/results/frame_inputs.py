"""Data frames of predictions, with several columns of predictions (wide) or one row per run and test row (long).

`encode_frame` turns the columns into the arrays that `fitlib.results.array_inputs` takes, so the numbers are the same
to the last bit. Frames of any library that narwhals knows will do: pandas, polars (also lazy), Arrow, Modin, DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.columns import row_labels
from fitlib.errors import InputError
from fitlib.results.array_inputs import ONLY_TECHNIQUE, WHERE, EncodedArrays, encode_arrays, run_field
from fitlib.results.forgotten_columns import refuse_forgotten_columns
from fitlib.results.frame_columns import Columns, Reference, row_codes
from fitlib.results.frame_layout import GivenColumns, Layout, read_layout

SORT = "sort the rows of every run alike, or name the column that identifies them: row=…"


def encode_frame(data: object, given: GivenColumns, classes: Sequence[object] | None = None) -> EncodedArrays:
    """Return the predictions in a frame, checked and numbered; see `fitlib.analyze` for its forms.

    Raises InputError for columns that do not exist or have two meanings, for runs of other test rows, and for whatever
    `encode_arrays` refuses, naming the column.
    """
    table = Columns.of(data)
    layout = read_layout(table, given)
    refuse_forgotten_columns(table, layout)
    blocks = _blocks(table, layout)
    truth = table.values("y_true", layout.y_true)
    predictions = {"y_pred": layout.predictions, "y_score": layout.scores}
    arrays = {name: _stacked(table, name, columns, blocks) for name, columns in predictions.items()}
    seeds = given.seeds
    if "seeds" in layout.keys:
        seeds = {name: [run.block.seed for run in runs] for name, runs in _runs(blocks, layout.predictions).items()}
    first = blocks[0].rows
    with _fields_named(_field_names(layout, blocks)):
        encoded = encode_arrays(
            truth[first],
            arrays["y_pred"],
            {name: table.values("sensitive_features", name)[first] for name in layout.groups},
            arrays["y_score"] or None,
            None if layout.unit is None else table.values("unit", layout.unit)[first],
            classes,
            seeds,
        )
    return encoded if layout.row is None else _with_identifiers(encoded, table.values("row", layout.row)[first])


def _with_identifiers(arrays: EncodedArrays, identifiers: NDArray) -> EncodedArrays:
    """Return the predictions with whole numbers that identify rows as their row numbers; names leave them counted."""
    if identifiers.dtype.kind not in "iu":
        return arrays
    idx = identifiers.astype(np.int64)
    predictions = {name: replace(runs, idx=idx) for name, runs in arrays.predictions.items()}
    return arrays._replace(predictions=predictions)


# Rows of each run


class Block(NamedTuple):
    """Rows of the frame (test rows,) that belong to one run or technique, in the same order in all blocks."""

    technique: str
    seed: object
    label: str  # of the run, as its column has it; "" without one
    rows: NDArray[np.intp]

    @property
    def name(self) -> str:
        """The block in a message: "run 3 of A at seed 0"."""
        run = f"run {self.label}" if self.label else "the rows"
        parts = [
            run,
            f" of {self.technique}" if self.technique else "",
            "" if self.seed is None else f" at seed {self.seed}",
        ]
        return "".join(parts)


class Run(NamedTuple):
    """A column of predictions in a block of rows."""

    block: Block
    column: Reference


def _blocks(table: Columns, layout: Layout) -> list[Block]:
    """Return the blocks of rows, in natural order of techniques, seeds and runs, aligned and in agreement."""
    whole = Block("", None, "", np.arange(table.n_rows))
    blocks = _split(table, layout.keys) if layout.keys else [whole]
    if layout.row is not None:
        blocks = _aligned(blocks, table, layout.row)
    for block in blocks[1:]:
        if len(block.rows) != len(blocks[0].rows):
            problem = f"{block.name} has {len(block.rows):,} rows, {blocks[0].name} {len(blocks[0].rows):,}"
            raise InputError(WHERE, "data", block.name, problem, "give every run the same test rows")
    shared = [("y_true", layout.y_true), *(("sensitive_features", name) for name in layout.groups)]
    shared += [("unit", layout.unit)] if layout.unit is not None else []
    for argument, reference in shared:
        _check_agreement(argument, reference, table, blocks, layout.row)
    return blocks


def _split(table: Columns, keys: Mapping[str, str]) -> list[Block]:
    labels = {role: row_labels(WHERE, f"column {n!r} ({role})", table.values(role, n)) for role, n in keys.items()}
    shape = tuple(len(names) for names, _ in labels.values())
    cell = np.ravel_multi_index([codes for _, codes in labels.values()], shape)
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    seeds = table.values("seeds", keys["seeds"]) if "seeds" in keys else np.full(table.n_rows, None)
    blocks = []
    for rows in np.split(order, starts[1:]):
        of = {role: names[codes[rows[0]]] for role, (names, codes) in labels.items()}
        blocks.append(Block(of.get("technique", ""), seeds[rows[0]], of.get("run", ""), rows))
    return blocks


def _aligned(blocks: Sequence[Block], table: Columns, column: str) -> list[Block]:
    """Return the blocks with their rows matched by what identifies a row, and in its natural order.

    So the order of the rows in the frame changes no number, not even of what is resampled row by row.
    """
    field = f"column {column!r} (row)"
    names, codes = row_labels(WHERE, field, table.values("row", column))
    first, position = np.sort(codes[blocks[0].rows]), np.full(len(names), -1)
    aligned = []
    for block in blocks:
        found = codes[block.rows]
        repeated = np.flatnonzero(np.bincount(found, minlength=len(names)) > 1)
        if repeated.size:
            remedy = "name what tells runs apart: run=…, technique=…, seeds=…"
            raise InputError(WHERE, field, names[repeated[0]], f"twice in {block.name}", remedy)
        other = np.setxor1d(found, first)
        if other.size:
            problem = f"only in one of {blocks[0].name} and {block.name}"
            raise InputError(WHERE, field, names[other[0]], problem, "give every run the same test rows")
        position[found] = block.rows
        aligned.append(block._replace(rows=position[first]))
    return aligned


def _check_agreement(
    argument: str, reference: Reference, table: Columns, blocks: Sequence[Block], row: str | None
) -> None:
    """Raise InputError unless the column has the same values in every run."""
    values = table.values(argument, reference)
    codes = row_codes(values)
    expected = codes[blocks[0].rows]
    for block in blocks[1:]:
        wrong = codes[block.rows] != expected
        if wrong.any():
            place = np.argwhere(wrong)[0]
            at, field = int(place[0]), f"column {reference!r} ({argument})"
            first, found = values[blocks[0].rows[at]], values[block.rows[at]]
            name = f"row {at if row is None else _plain(table.values('row', row)[block.rows[at]])}"
            problem = f"{name} of {block.name} has it, of {blocks[0].name} {_plain(first)!r}"
            remedy = f"give every run the same test rows: {row} identifies them" if row else SORT
            raise InputError(WHERE, field, _plain(found), problem, remedy)


def _plain(value: Any) -> object:
    return value.tolist() if hasattr(value, "tolist") else value


# Predictions and scores by technique and run


def _runs(blocks: Sequence[Block], columns: Mapping[str, Sequence[Reference]]) -> dict[str, list[Run]]:
    """Return all runs of each technique: column by column in each block."""
    runs: dict[str, list[Run]] = {}
    for block in blocks:
        for technique, of in columns.items():
            name = technique or block.technique or ONLY_TECHNIQUE
            runs.setdefault(name, []).extend(Run(block, column) for column in of)
    return runs


def _stacked(
    table: Columns, argument: str, columns: Mapping[str, Sequence[Reference]], blocks: Sequence[Block]
) -> dict[str, list[NDArray]]:
    """Return the values of each technique, an array for each run."""
    by_technique = _runs(blocks, columns).items()
    return {name: [table.values(argument, run.column)[run.block.rows] for run in runs] for name, runs in by_technique}


# Errors in the words of the frame


@contextmanager
def _fields_named(names: Mapping[str, str]) -> Iterator[None]:
    """Name the column in errors of `encode_arrays`."""
    try:
        yield
    except InputError as error:
        field = names.get(error.field)
        if field is None:
            raise
        raise InputError(error.where, field, error.value, error.problem, error.remedy) from error


def _field_names(layout: Layout, blocks: Sequence[Block]) -> dict[str, str]:
    """Return, for the arguments of `encode_arrays`, what they are in the frame."""
    names = {"y_true": _named("y_true", layout.y_true), "unit": _named("unit", layout.unit or "")}
    names |= {f"sensitive_features[{name!r}]": _named("sensitive_features", name) for name in layout.groups}
    runs = _runs(blocks, layout.predictions)
    for technique, of in runs.items():
        for i, run in enumerate(of):
            at = f" in {run.block.name}" if run.block.label or run.block.technique else ""
            names[run_field(technique, i, runs)] = _named("y_pred", run.column) + at
    return names


def _named(argument: str, reference: Reference) -> str:
    column = repr(reference) if isinstance(reference, str) else ", ".join(map(repr, reference))
    return f"column {column} ({argument})"
