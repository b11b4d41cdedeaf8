"""The seven bias metrics and accuracy as functions of integer counts (`fitlib.metrics.counts`), for all runs at once.

Every metric is a function of `Cells` in a few lines. There are two readings:

- `METRICS` (strict, the default): NaN means "undefined"; any number of groups.
- `PUBLISHED`: the formulas of Qian et al. (NeurIPS 2021) with their quirks; two groups only.

Every bias metric is 0 if the groups are treated alike; larger is less fair.

>>> from fitlib.metrics.counts import confusion, one_vs_rest
>>> truth, group = np.array([0, 1, 1, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
>>> prediction = np.array([[0, 1, 1, 0, 0, 1]])  # one run, six rows
>>> cells = one_vs_rest(confusion(truth, prediction, group, n_classes=2, n_groups=2))
>>> {name: metric(cells)[0, 1].round(3).item() for name, metric in METRICS.items()}  # of class 1
{'DP': 0.333, 'DI': 0.5, 'SPSF': 0.167, 'FPSF': 0.0, 'EOFP': 0.0, 'EOTP': 0.5, 'BA': 0.167}
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fitlib.metrics.counts import Cells, Counts, cells_of

Values = NDArray[np.float64]
BIAS_METRICS = ("DP", "DI", "SPSF", "FPSF", "EOFP", "EOTP", "BA")
READINGS = ("strict", "published")


# Strict reading


def rate(part: ArrayLike, whole: ArrayLike) -> Values:
    """Divide part by whole, NaN where whole is 0; shapes broadcast.

    >>> rate([1, 0], [4, 0])
    array([0.25,  nan])
    """
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _gap(rates: Values, cells: Cells) -> Values:
    """Return the largest difference of rates between groups that have rows; NaN if one of these rates is NaN."""
    low, high = _extremes(rates, cells)
    return _comparable(high - low, cells)


def _extremes(rates: Values, cells: Cells) -> tuple[Values, Values]:
    present = cells.size > 0
    return np.where(present, rates, np.inf).min(axis=1), np.where(present, rates, -np.inf).max(axis=1)


def _comparable(values: Values, cells: Cells) -> Values:
    """Return the values (runs, classes), with NaN where fewer than two groups have rows."""
    return np.where((cells.size > 0).sum(axis=1) >= 2, values, np.nan)


def _weighted_gap(part: Counts, whole: Counts, weight: Counts, cells: Cells) -> Values:
    """Sum (weight / N) |pooled rate - group's rate| over groups; groups without rows contribute nothing."""
    share = rate(weight, cells.size.sum(axis=1, keepdims=True))
    pooled = rate(part.sum(axis=1, keepdims=True), whole.sum(axis=1, keepdims=True))
    terms = share * np.abs(pooled - rate(part, whole))
    return _comparable(np.where(cells.size > 0, terms, 0.0).sum(axis=1), cells)


def demographic_parity(cells: Cells) -> Values:
    """DP: largest difference of the selection rates q_g / n_g between two groups."""
    return _gap(rate(cells.selected, cells.size), cells)


def disparate_impact(cells: Cells) -> Values:
    """DI: 1 - smallest / largest selection rate; 1 if one group is never selected, NaN if none ever is."""
    low, high = _extremes(rate(cells.selected, cells.size), cells)
    return 1 - rate(_comparable(low, cells), high)


def statistical_parity_subgroup(cells: Cells) -> Values:
    """SPSF: sum over groups of (n_g / N) |Q / N - q_g / n_g|, Q and N summed over groups."""
    return _weighted_gap(cells.selected, cells.size, cells.size, cells)


def false_positive_subgroup(cells: Cells) -> Values:
    """FPSF: sum over groups of (r_g / N) |F / R - f_g / r_g|; NaN if a group has no negatives.

    f_g are the false positives among the group's r_g negatives, F and R their sums over groups. The weight is the joint
    share of "group g and truly not the class", as in the code of Qian et al.; their text has the group's share n_g / N
    (quirk Q18).
    """
    return _weighted_gap(cells.fp, cells.negatives, cells.negatives, cells)


def equal_odds_false_positive(cells: Cells) -> Values:
    """EOFP: largest difference of FP / negatives between two groups; NaN if a group has no negatives."""
    return _gap(rate(cells.fp, cells.negatives), cells)


def equal_odds_true_positive(cells: Cells) -> Values:
    """EOTP: largest difference of TP / positives between two groups; NaN if a group has no positives."""
    return _gap(rate(cells.tp, cells.positives), cells)


def bias_amplification(cells: Cells) -> Values:
    """BA: half the sum over groups of |q_g / Q - p_g / P|; NaN if no row is predicted, or truly, of the class."""
    predicted = rate(cells.selected, cells.selected.sum(axis=1, keepdims=True))
    true = rate(cells.positives, cells.positives.sum(axis=1, keepdims=True))
    return _comparable(np.abs(predicted - true).sum(axis=1) / 2, cells)


METRICS: dict[str, Callable[[Cells], Values]] = {
    "DP": demographic_parity,
    "DI": disparate_impact,
    "SPSF": statistical_parity_subgroup,
    "FPSF": false_positive_subgroup,
    "EOFP": equal_odds_false_positive,
    "EOTP": equal_odds_true_positive,
    "BA": bias_amplification,
}
"""Strict reading: name -> function of `Cells` that returns (runs, classes), NaN = undefined.

Groups without rows are left out of the comparison; with fewer than two other groups every metric is undefined."""


# Published reading: what the code of Qian et al. computes, including its values where a denominator is zero


def _pair(values: NDArray) -> tuple[NDArray, NDArray]:
    if values.shape[1] != 2:
        raise ValueError(f"the published reading compares exactly two groups, not {values.shape[1]}")
    return values[:, 0], values[:, 1]


def _quotient(part: NDArray, whole: NDArray) -> Values:
    return np.nan_to_num(rate(part, whole))


def published_dp(cells: Cells) -> Values:
    """|q_0 / n_0 - q_1 / n_1|; the rate of an empty group is 0."""
    first, second = _pair(_quotient(cells.selected, cells.size))
    return np.abs(first - second)


def published_di(cells: Cells) -> Values:
    """1 - min(a / b, b / a); a quotient by zero counts as 0, so the value is 1 also if nobody is selected (Q5)."""
    first, second = _pair(_quotient(cells.selected, cells.size))
    return 1 - np.minimum(_quotient(first, second), _quotient(second, first))


def published_spsf(cells: Cells) -> Values:
    """SPSF as in the strict reading, for two groups."""
    _pair(cells.size)
    return statistical_parity_subgroup(cells)


def published_fpsf(cells: Cells) -> Values:
    """FPSF as in the strict reading, for two groups, with joint shares as weights (Q18)."""
    _pair(cells.size)
    return false_positive_subgroup(cells)


def published_eofp(cells: Cells) -> Values:
    """|FPR_0 - FPR_1|; 0 wherever FPR_1 is 0 (Q4)."""
    first, second = _pair(_quotient(cells.fp, cells.negatives))
    return np.where(second == 0, 0.0, np.abs(first - second))


def published_eotp(cells: Cells) -> Values:
    """|TPR_0 - TPR_1|; 0 wherever TPR_1 is 0, also where group 1 has no positives (Q4)."""
    first, second = _pair(_quotient(cells.tp, cells.positives))
    return np.where(second == 0, 0.0, np.abs(first - second))


def published_ba(cells: Cells) -> Values:
    """|q_0 / Q - p_0 / P|; undefined classes are skipped, so that later ones move up and zeros fill the end (Q6)."""
    _pair(cells.size)
    values = bias_amplification(cells)
    undefined = np.isnan(values)
    defined_first = np.argsort(undefined, axis=1, kind="stable")
    return np.take_along_axis(np.where(undefined, 0.0, values), defined_first, axis=1)


PUBLISHED: dict[str, Callable[[Cells], Values]] = {
    "DP": published_dp,
    "DI": published_di,
    "SPSF": published_spsf,
    "FPSF": published_fpsf,
    "EOFP": published_eofp,
    "EOTP": published_eotp,
    "BA": published_ba,
}
"""Published reading (quirks Q4, Q5, Q6, Q18): as `METRICS`, for exactly two groups; ValueError otherwise."""


# Over classes


def overall(values: Values, reading: str = "strict") -> tuple[Values, Counts]:
    """Return the mean over the classes of values (runs, classes) and the number of undefined ones; both (runs,).

    Strict: over the defined classes, NaN if there is none. Published: over all, so that one NaN makes the mean NaN.

    >>> mean, n_undefined = overall(np.array([[0.1, 0.3, np.nan]]))
    >>> mean.round(3).tolist(), n_undefined.tolist()
    ([0.2], [1])
    """
    undefined = np.isnan(values)
    if reading == "published":
        return values.mean(axis=1), undefined.sum(axis=1)
    total = np.where(undefined, 0.0, values).sum(axis=1)
    return rate(total, (~undefined).sum(axis=1)), undefined.sum(axis=1)


# Accuracy


def group_accuracy(counts: Counts, multilabel: bool = False) -> Values:
    """Return the share of right predictions in each group (runs, groups), NaN for a group without rows.

    Multi-class: rows whose class is right. Multi-label: cells (row, label) that are right.
    """
    right, total = _right_and_total(counts, multilabel)
    return rate(right, total)


def accuracy(counts: Counts, multilabel: bool = False) -> Values:
    """Return the share of right predictions over all groups together (runs,); see `group_accuracy`."""
    right, total = _right_and_total(counts, multilabel)
    return rate(right.sum(axis=1), total.sum(axis=1))


def _right_and_total(counts: Counts, multilabel: bool) -> tuple[Counts, Counts]:
    cells = cells_of(counts, multilabel)
    right = cells.tp + cells.tn if multilabel else cells.tp
    return right.sum(axis=2), counts.sum(axis=(2, 3))
