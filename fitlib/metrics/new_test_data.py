"""Bias metrics and accuracy on resampled test units, from which the variance due to new test data follows.

A resample draws as many test units as there are, with replacement; a unit that holds several rows is drawn whole. The
draws depend on the number of units alone. So all techniques, arms and protected attributes on one test set meet the
same resamples, and differences between them keep what they share, although each technique is resampled by itself.

Resamples are for variances only. Absolute differences are biased upwards on few rows, and once more by resampling
these, so the centre of an interval is the estimate on the whole test set. The runs are averaged in two halves: the
covariance of both over the resamples is the variance due to the units, without the part (run × test set) that the
spread between runs contains already; see `fitlib.statistics.new_test_data`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fitlib.digest import digest_arrays
from fitlib.metrics.bias_metrics import METRICS, Values, rate
from fitlib.metrics.counts import Cells, Counts, unit_numbers

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

RESAMPLES, FEWEST = 1000, 200  # usual number; of very many classes at least
MOST_VALUES = 80_000  # resamples × classes: beyond, fewer resamples make do, as the overall value is what matters
SEED = 1979
HALVES = 2
# Sizes of blocks, to bound the memory: weights of rows, cells of counts, entries of an indicator matrix
MOST_WEIGHTS, MOST_CELLS, MOST_INDICATORS = 1 << 22, 1 << 20, 1 << 22
EXACT_FLOAT32 = 1 << 24  # sums of whole numbers below it are exact in float32


@dataclass(frozen=True)
class ResampledMetrics:
    """Metrics on resampled test units: metric -> (2, resamples, classes), means over the first and second half of runs.

    NaN where a value is undefined in some run, and in a half without runs. Runs alternate between the halves.
    "accuracy" has one column. units: number of test units.
    """

    values: dict[str, Values]
    units: int


def draw_units(n: int, resamples: int = RESAMPLES) -> Iterator[Counts]:
    """Yield how often each of ``n`` units occurs in a resample, (n,), `resamples` times; the same whenever n is.

    >>> [drawn.tolist() for drawn in draw_units(4, 2)] == [drawn.tolist() for drawn in draw_units(4, 2)]
    True
    """
    rng = np.random.default_rng([SEED, n])
    for _ in range(resamples):
        yield np.bincount(rng.integers(0, n, n), minlength=n)


def resamples_of(n_classes: int) -> int:
    """Return the number of resamples: 1,000, and fewer beyond 80 classes.

    The SD of n resamples has a relative error of 1/sqrt(2 n): 2 % of 1,000, 5 % of 200.

    >>> resamples_of(10), resamples_of(211)
    (1000, 379)
    """
    return max(FEWEST, min(RESAMPLES, MOST_VALUES // n_classes))


def resample(predictions: Predictions, attribute: str, resamples: int | None = None) -> ResampledMetrics:
    """Compute every bias metric (strict reading) and accuracy on resamples of whole test units.

    ``resamples``: by default `resamples_of` the classes.
    """
    p, unit = predictions, unit_numbers(predictions)
    resamples = resamples or resamples_of(p.n_classes)
    n_units, order, chunks = int(unit.max()) + 1, *_chunks(p, attribute)
    draws, largest = draw_units(n_units, resamples), n_units * int(np.bincount(unit).max())
    kind = np.float32 if largest < EXACT_FLOAT32 else np.float64
    parts: dict[str, list[Values]] = {}
    for size in _blocks(p, attribute, resamples):
        weights = np.empty((size, order.size), dtype=kind)
        for row, drawn in zip(weights, draws, strict=False):  # draws last: what a block leaves is of the next
            row[:] = drawn[unit[order]]
        cells = _count(p, order, chunks, weights, p.n_groups[attribute])
        for name, values in _metrics(cells, p.multilabel).items():
            parts.setdefault(name, []).append(_half_means(values, len(p.runs)))
    return ResampledMetrics({name: np.concatenate(blocks, axis=1) for name, blocks in parts.items()}, n_units)


def _blocks(p: Predictions, attribute: str, resamples: int) -> list[int]:
    """Return how many resamples each block has."""
    cells = len(p.runs) * p.n_groups[attribute] * p.n_classes
    most = max(1, min(MOST_WEIGHTS // len(p.idx), MOST_CELLS // cells))
    return [min(most, resamples - start) for start in range(0, resamples, most)]


def digest_rows(predictions: Predictions, attribute: str) -> str:
    """Return a digest (16 hex) of units (or idx), groups and ground truth, in order.

    Resamples of two techniques are joint only if it is the same for both.
    """
    p = predictions
    unit = p.idx if p.unit is None else p.unit
    rows = [("unit", unit), ("protected", p.protected[attribute]), ("ground_truth", p.ground_truth)]
    return digest_arrays([(name, np.asarray(values, dtype=np.int64)) for name, values in rows])[:16]


# Counts: products of weights with 0/1 indicators of what each row was predicted as, instead of counting row by row


_Chunk = tuple[int, slice]  # a group, and consecutive sorted rows of it


def _chunks(p: Predictions, attribute: str) -> tuple[NDArray[np.int64], list[_Chunk]]:
    """Return the order of rows that sorts them by group, and by true class within it, and chunks of sorted rows."""
    group = p.protected[attribute]
    order = np.lexsort((np.zeros_like(group) if p.multilabel else p.ground_truth, group))
    step = max(1, MOST_INDICATORS // (len(p.runs) * p.n_classes))
    chunks = []
    for value, rows in _stretches(group[order]):
        chunks += [(value, slice(at, min(at + step, rows.stop))) for at in range(rows.start, rows.stop, step)]
    return order, chunks


def _stretches(values: NDArray) -> Iterator[tuple[int, slice]]:
    """Yield each stretch of equal values: the value and where it is."""
    ends = np.flatnonzero(np.r_[values[1:] != values[:-1], True]) + 1
    for start, stop in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        yield int(values[start]), slice(start, stop)


def _count(p: Predictions, order: NDArray, chunks: list[_Chunk], weights: NDArray, n_groups: int) -> Cells:
    """Return the cells (resamples * runs, groups, classes) of weighted rows; weights (resamples, rows), sorted."""
    shape = (n_groups, len(weights), len(p.runs), p.n_classes)
    tp, selected = np.zeros(shape, dtype=weights.dtype), np.zeros(shape, dtype=weights.dtype)
    positives, size = np.zeros((*shape[:2], 1, shape[3])), np.zeros((*shape[:2], 1, 1))
    for group, rows in chunks:
        weight, prediction, truth = weights[:, rows], p.prediction[:, order[rows]], p.ground_truth[order[rows]]
        size[group, :, 0, 0] += weight.sum(axis=1)
        if p.multilabel:
            selected[group] += _product(weight, prediction)
            tp[group] += _product(weight, prediction & truth)
            positives[group, :, 0] += weight @ truth.astype(weight.dtype)
            continue
        selected[group] += _product(weight, prediction[..., None] == np.arange(p.n_classes))
        for target, of_class in _stretches(truth):
            hit = prediction[:, of_class, None] == target
            tp[group, ..., target] += _product(weight[:, of_class], hit)[..., 0]
            positives[group, :, 0, target] += weight[:, of_class].sum(axis=1)
    return _cells(tp, selected, positives, size)


def _product(weight: NDArray, indicator: NDArray) -> NDArray:
    """Return the sums of weights (resamples, rows) by indicator (runs, rows, classes): (resamples, runs, classes)."""
    n_runs, n_rows, n_classes = indicator.shape
    columns = np.moveaxis(indicator, 1, 0).astype(weight.dtype, order="C").reshape(n_rows, -1)
    return (weight @ columns).reshape(-1, n_runs, n_classes)


def _cells(tp: NDArray, selected: NDArray, positives: NDArray, size: NDArray) -> Cells:
    """Return the cells of counts (groups, resamples, runs, classes)."""
    fp, fn = selected - tp, positives - tp
    parts = (np.moveaxis(part, 0, 2) for part in (tp, fp, fn, size - positives - fp))
    return Cells(*(part.astype(np.int64, order="C").reshape(-1, *part.shape[2:]) for part in parts))


# Values


def _metrics(cells: Cells, multilabel: bool) -> dict[str, Values]:
    """Return metric -> (resamples * runs, classes); accuracy (resamples * runs, 1)."""
    right = cells.tp + cells.tn if multilabel else cells.tp
    whole = cells.size if multilabel else cells.size[..., :1]
    accuracy = rate(right.sum(axis=(1, 2)), whole.sum(axis=(1, 2)))
    return {name: metric(cells) for name, metric in METRICS.items()} | {"accuracy": accuracy[:, None]}


def _half_means(values: Values, n_runs: int) -> Values:
    """Return means over the runs 0, 2, ... and 1, 3, ..., (2, resamples, classes); of no run NaN."""
    by_run = values.reshape(-1, n_runs, values.shape[1])
    halves = (by_run[:, half::HALVES] for half in range(HALVES))
    return np.stack([rate(half.sum(axis=1), half.shape[1]) for half in halves])
