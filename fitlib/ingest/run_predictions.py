"""The predictions of one run as read, and several runs that were joined in one file without a column that says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fitlib.errors import InputError

FEWEST = 30  # rows of a block; shorter ones repeat by chance, or by how a test set was made


@dataclass(frozen=True)
class RunPredictions:
    """The predictions of one run as read: R rows.

    idx int64 (R,), or None without such a column; truth and prediction: codes int16 (R,), or 0/1 int8 (R, labels);
    protected {attribute: codes (R,)}; unit int64 (R,) or None; scores {class as its column names it, or "": float64
    (R,) or (R, classes)}; run: its label in the column of runs, or "".
    """

    where: str
    technique: str
    run: str
    idx: NDArray | None
    truth: NDArray
    prediction: NDArray
    protected: dict[str, NDArray]
    unit: NDArray | None
    scores: dict[str, NDArray]

    def take(self, rows: NDArray) -> RunPredictions:
        """Return the given rows, in the given order."""
        return replace(
            self,
            idx=None if self.idx is None else self.idx[rows],
            truth=self.truth[rows],
            prediction=self.prediction[rows],
            protected={attribute: codes[rows] for attribute, codes in self.protected.items()},
            unit=None if self.unit is None else self.unit[rows],
            scores={name: score[rows] for name, score in self.scores.items()},
        )


def split_blocks(whole: RunPredictions, rows: int | None) -> Iterator[RunPredictions]:
    """Yield the runs of `rows` rows each of a file; None: one run, unless its rows repeat themselves (InputError).

    Row numbers that go on from run to run do not match their rows and are left out.
    """
    total = len(whole.truth)
    if rows is None:
        _check_not_joined(whole)
        rows = total
    if total % rows:
        problem = f"not a divisor of the {total:,} rows of {whole.where}"
        raise InputError("analyze", "--rows-per-run", rows, problem, "give the rows of one run")
    for number in range(total // rows):
        run = whole.take(np.arange(number * rows, (number + 1) * rows)) if rows < total else whole
        counted = rows < total and run.idx is not None and whole.idx is not None and _counts_on(whole.idx)
        yield replace(run, run=str(number) if rows < total else "", idx=None if counted else run.idx)


def _check_not_joined(whole: RunPredictions) -> None:
    """Raise InputError where ground truth and groups are those of the same rows several times over."""
    if whole.idx is not None and not _counts_on(whole.idx):
        return
    period = _period(np.column_stack([whole.truth, *whole.protected.values()]))
    if period < len(whole.truth):
        times = len(whole.truth) // period
        problem = f"ground truth and groups repeat {times} times, every {period:,} rows, without a column of runs"
        remedy = (
            f"if these are runs: --column run=NAME, or --rows-per-run {period}; else --rows-per-run {len(whole.truth)}"
        )
        raise InputError(whole.where, "rows", len(whole.truth), problem, remedy)


def _counts_on(idx: NDArray) -> bool:
    return len(np.unique(idx)) == len(idx) and bool(np.ptp(idx) + 1 == len(idx))


def _period(cells: NDArray) -> int:
    """Return after how many rows the cells (rows, columns) repeat themselves; their number where they do not."""
    rows = len(cells)
    lengths = [rows // times for times in range(2, min(rows // FEWEST, 1000) + 1) if rows % times == 0]
    repeated = [length for length in lengths if np.array_equal(cells[length:], cells[:-length])]
    if not repeated:
        return rows
    block = cells[: min(repeated)]
    shorter = [n for n in range(1, FEWEST) if len(block) % n == 0 and np.array_equal(block[n:], block[:-n])]
    return rows if shorter else min(repeated)
