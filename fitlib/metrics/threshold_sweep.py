"""A sweep over thresholds: what the bias metrics would be if a higher or lower score selected a row.

For a class of two, a row is selected at threshold t if its score for that class is at least t. Scores are read as
probabilities: a single number s per row is the score of class 1, and 1 - s that of class 0; for scores outside 0 to 1
there is no sweep.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fitlib.metrics.bias_metrics import METRICS
from fitlib.metrics.counts import Cells
from fitlib.metrics.individuals import person_row

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

Floats = NDArray[np.float64]
GRID = tuple(round(t / 20, 2) for t in range(1, 20))
SWEEP_METRICS = ("accuracy", "DP", "EOFP", "EOTP", "impact ratio")
FIGURES = ("mean", "sd", "min", "max")


def threshold_cells(score: Floats, positive: NDArray, group: NDArray, n_groups: int, grid: tuple = GRID) -> Cells:
    """Count the selection `score >= t` for every t of the ascending `grid`, as `fitlib.metrics.counts.Cells`.

    score (runs, rows) of the class; positive bool and group int (rows,). Each count has shape (runs, groups, grid): the
    thresholds take the place of the classes, so that every metric of `fitlib.metrics.bias_metrics` applies.

    >>> score, positive, group = np.array([[0.2, 0.6, 0.9]]), np.array([False, True, True]), np.array([0, 0, 1])
    >>> threshold_cells(score, positive, group, n_groups=2, grid=(0.1, 0.5)).selected.tolist()
    [[[2, 1], [1, 1]]]
    """
    # Each score is counted once, under the number of thresholds that it reaches; sums over those give every threshold.
    passed = np.searchsorted(np.asarray(grid), score, side="right")
    place = (np.arange(len(score))[:, None] * n_groups + group) * 2 + positive
    shape = (len(score), n_groups, 2, len(grid) + 1)
    counts = np.bincount((place * shape[3] + passed).ravel(), minlength=int(np.prod(shape))).reshape(shape)
    total = counts.sum(axis=3, keepdims=True)
    selected = total - counts.cumsum(axis=3)[..., :-1]
    fp, tp = np.moveaxis(selected, 2, 0)
    tn, fn = np.moveaxis(total - selected, 2, 0)
    return Cells(tp, fp, fn, tn)


def sweep(cells: Cells) -> dict[str, Floats]:
    """Return accuracy, DP, EOFP, EOTP and impact ratio (1 - DI), each (runs, grid); NaN where undefined."""
    right, size = (cells.tp + cells.tn).sum(axis=1), cells.size.sum(axis=1)
    bias = {name: METRICS[name](cells) for name in ("DP", "EOFP", "EOTP")}
    return {"accuracy": right / size, **bias, "impact ratio": 1 - METRICS["DI"](cells)}


def below_four_fifths(cells: Cells) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the runs in which the impact ratio is below 0.8, and those in which it is defined, each (grid,).

    The ratio is compared in integers, without rounding.
    """
    size = cells.size[0, :, 0]
    selected = cells.selected[:, size > 0]
    size = size[size > 0][:, None]
    below = 5 * selected[:, :, None] * size[None, None] < 4 * selected[:, None] * size[None, :, None]
    defined = selected.any(axis=1) & (len(size) > 1)
    return (below.any(axis=(1, 2)) & defined).sum(axis=0), defined.sum(axis=0)


def threshold_rows(predictions: Predictions, attribute: str, grid: tuple = GRID) -> list[dict[str, object]]:
    """Return the sweep of both of two classes as rows of the long table `persons`; none without scores.

    Quantities "threshold mean", "threshold sd", "threshold min" and "threshold max" over runs by metric, and "threshold
    below 0.8" with "threshold defined" (runs; metric "impact ratio"); `at` is the threshold, `target` the class. Scores
    outside 0 to 1: one row "threshold refused".
    """
    p = predictions
    if p.score is None or p.multilabel or p.n_classes != 2:
        return []
    if p.score.min() < 0 or p.score.max() > 1:
        return [person_row("threshold refused", None, None, len(p.runs))]
    rows = []
    for target in range(2):
        score = p.score[..., target] if p.score.ndim == 3 else p.score if target else 1 - p.score
        cells = threshold_cells(score, p.ground_truth == target, p.protected[attribute], p.n_groups[attribute], grid)
        rows += _metric_rows(cells, target, grid) + _risk_rows(cells, target, grid)
    return rows


def _metric_rows(cells: Cells, target: int, grid: tuple) -> list[dict[str, object]]:
    return [
        person_row(f"threshold {name}", target, None, value, at=at, metric=metric)
        for metric, values in sweep(cells).items()
        for name, over_runs in zip(FIGURES, _figures(values), strict=True)
        for at, value in zip(grid, over_runs, strict=True)
    ]


def _risk_rows(cells: Cells, target: int, grid: tuple) -> list[dict[str, object]]:
    found = zip(("threshold below 0.8", "threshold defined"), below_four_fifths(cells), strict=True)
    return [
        person_row(name, target, None, number, at=at, metric="impact ratio")
        for name, numbers in found
        for at, number in zip(grid, numbers, strict=True)
    ]


def _figures(values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return mean, SD (ddof 1), smallest and largest over the runs where defined, each (grid,)."""
    with warnings.catch_warnings():  # with no defined run (for the SD: fewer than two) NaN is right
        warnings.simplefilter("ignore", RuntimeWarning)
        sd = np.nanstd(values, axis=0, ddof=1)
        # Equal values have SD exactly 0, not the rounding residue of their mean.
        sd = np.where(np.nanmin(values, axis=0) == np.nanmax(values, axis=0), np.where(np.isnan(sd), sd, 0.0), sd)
        return np.nanmean(values, axis=0), sd, np.nanmin(values, axis=0), np.nanmax(values, axis=0)
