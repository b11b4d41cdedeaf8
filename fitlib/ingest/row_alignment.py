"""Alignment of several runs: the same idx in the same order, with the same ground truth, groups and units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import quantity
from fitlib.errors import InputError
from fitlib.ingest.run_predictions import RunPredictions
from fitlib.storage.predictions import SAME_TEST_SET, column_of


def check_unique(run: RunPredictions, names: list[str]) -> None:
    """Refuse rows with the same idx; if all repeat equally often, the file may contain several runs.

    `names`: the original text of an idx, by number.
    """
    if run.idx is None:
        return
    order = np.argsort(run.idx, kind="stable")
    repeated = order[1:][run.idx[order[1:]] == run.idx[order[:-1]]]
    if not repeated.size:
        return
    row, times = int(repeated.min()), np.bincount(np.unique(run.idx, return_inverse=True)[1])
    problem = f"the same idx as an earlier row, in row {row}; {quantity(repeated.size, 'row')} of this kind"
    remedy = "give every row its own idx"
    if times.min() == times.max():
        remedy = f"every idx is there {times[0]} times: if these are runs, name their column with --column run=NAME"
    raise InputError(run.where, "idx", _idx_text(run.idx[row], names), problem, remedy)


def align_rows(run: RunPredictions, first: RunPredictions, names: list[str]) -> tuple[RunPredictions, bool]:
    """Return `run` with its rows in the order of `first`, and whether they had to be moved.

    Raises InputError if rows, ground truth, groups or units differ: how many, and the first idx.
    """
    _check_columns(run, first)
    moved = row_order(run, first)
    if moved is None:
        check_unique(run, names)
        raise _other_rows(run, first, names)
    found = run.take(moved) if len(moved) else run
    _check_same(found, first, names)
    return found, len(moved) > 0


def row_order(run: RunPredictions, first: RunPredictions) -> NDArray[np.int64] | None:
    """Return the rows of `run` in the order of `first`; empty if already so, None if the rows are different ones."""
    if run.idx is None or first.idx is None:
        return np.empty(0, np.int64) if len(run.truth) == len(first.truth) else None
    if np.array_equal(run.idx, first.idx):
        return np.empty(0, np.int64)
    # Sorting both by idx pairs equal rows; the inverse of the second sort puts the pairs in the order of `first`.
    run_order, first_order = np.argsort(run.idx, kind="stable"), np.argsort(first.idx, kind="stable")
    if not np.array_equal(run.idx[run_order], first.idx[first_order]):
        return None
    order = np.empty_like(run_order)
    order[first_order] = run_order
    return order


def _check_columns(run: RunPredictions, first: RunPredictions) -> None:
    differing = sorted(run.scores.keys() ^ first.scores.keys())
    if differing:
        holder = run if differing[0] in run.scores else first
        name = f"score.{differing[0]}" if differing[0] else "score"
        raise InputError(run.where, "column", name, f"of two runs only {holder.where} has it", SAME_TEST_SET)
    for name in ("truth", "prediction"):
        expected, found = getattr(first, name).shape[1:], getattr(run, name).shape[1:]
        if expected != found:
            problem = f"{first.where} has lists of {expected[0]} labels"
            raise InputError(run.where, "labels", found[0], problem, SAME_TEST_SET)


def _other_rows(run: RunPredictions, first: RunPredictions, names: list[str]) -> InputError:
    if run.idx is None or first.idx is None:
        problem = f"{first.where} has {len(first.truth):,} rows, and without a column idx the missing ones are unknown"
        return InputError(run.where, "rows", len(run.truth), problem, SAME_TEST_SET)
    extra, missing = np.setdiff1d(run.idx, first.idx), np.setdiff1d(first.idx, run.idx)
    problem = f"{quantity(len(missing), 'row')} of {first.where} missing, the first this one"
    if len(extra):
        problem = f"{quantity(len(extra), 'row')} not in {first.where}, the first this one"
        problem += f", and {len(missing):,} of its rows missing" if len(missing) else ""
    return InputError(run.where, "idx", _idx_text([*extra, *missing][0], names), problem, SAME_TEST_SET)


def _check_same(run: RunPredictions, first: RunPredictions, names: list[str]) -> None:
    columns = {"ground_truth": (run.truth, first.truth)}
    columns |= {column_of(a): (run.protected[a], first.protected[a]) for a in first.protected}
    columns |= {"unit": (run.unit, first.unit)} if first.unit is not None and run.unit is not None else {}
    for name, (found, expected) in columns.items():
        differs = (found != expected).reshape(len(found), -1).any(axis=1)
        if differs.any():
            row = int(np.argmax(differs))
            place = f"row {row}" if run.idx is None else f"idx {_idx_text(run.idx[row], names)}"
            problem = f"differs from {first.where} in {quantity(int(differs.sum()), 'row')}, the first at {place}"
            raise InputError(run.where, name, place, problem, SAME_TEST_SET)


def _idx_text(number: int, names: list[str]) -> object:
    """Return an idx as it was written in the file."""
    return names[number] if names else int(number)
