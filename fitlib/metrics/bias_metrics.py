"""The seven bias metrics and accuracy as functions of integer counts (`fitlib.metrics.counts`), for all runs at once.

Every metric is a function of `Cells` in a few lines that returns one exact ratio of integers per class
(`fitlib.metrics.exact`), so that equal values are equal doubles. There are two readings:

- `RATIOS`, and their values `METRICS` (strict, the default): any number of groups.
- `PUBLISHED_RATIOS`, and their values `PUBLISHED`: the formulas of Qian et al. (NeurIPS 2021) with their quirks; two
  groups only.

Every bias metric is 0 if the groups are treated alike; larger is less fair.

>>> from fitlib.metrics.counts import confusion, one_vs_rest
>>> truth, group = np.array([0, 1, 1, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
>>> prediction = np.array([[0, 1, 1, 0, 0, 1]])  # one run, six rows
>>> cells = one_vs_rest(confusion(truth, prediction, group, n_classes=2, n_groups=2))
>>> {name: metric(cells)[0, 1].round(3).item() for name, metric in METRICS.items()}  # of class 1
{'DP': 0.333, 'DI': 0.5, 'SPSF': 0.167, 'FPSF': 0.0, 'EOFP': 0.0, 'EOTP': 0.5, 'BA': 0.167}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fitlib.metrics.counts import Cells, Counts, cells_of
from fitlib.metrics.exact import Ratio, Values, mean_of

BIAS_METRICS = ("DP", "DI", "SPSF", "FPSF", "EOFP", "EOTP", "BA")
READINGS = ("strict", "published")


def bias_metrics_of(analysis: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the bias metrics of an analysis, those of fitlib first.

    >>> bias_metrics_of({"metrics": {"parity ratio": {}}})
    ('DP', 'DI', 'SPSF', 'FPSF', 'EOFP', 'EOTP', 'BA', 'parity ratio')
    """
    return (*BIAS_METRICS, *(analysis.get("metrics") or ()))


# Strict reading


def rate(part: ArrayLike, whole: ArrayLike) -> Values:
    """Divide part by whole, NaN where whole is 0; shapes broadcast.

    >>> rate([1, 0], [4, 0])
    array([0.25,  nan])
    """
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _defined(whole: Counts, cells: Cells) -> NDArray[np.bool_]:
    """Return where at least two groups have rows, and each of these has a denominator above 0, (runs, classes)."""
    return _compared(cells) & _over_groups(np.logical_and, (cells.size == 0) | (whole > 0))


def _compared(cells: Cells) -> NDArray[np.bool_]:
    """Return where at least two groups have rows, (runs, classes)."""
    return np.asarray(_over_groups(np.add, (cells.size > 0).astype(np.int64)) >= 2)


def _over_groups(combine: np.ufunc, values: NDArray) -> NDArray:
    """Combine (runs, groups, classes) over the groups, one after another: much faster than along a short axis."""
    return reduce(combine, np.moveaxis(values, 1, 0))


def _extremes(part: Counts, whole: Counts) -> tuple[Counts, Counts, Counts]:
    """Return the lowest and the highest of the groups' rates part / whole, and their common denominator.

    (low part * high whole, high part * low whole, low whole * high whole), (runs, classes) each. Groups with whole 0
    are left out. Rounded rates order the groups: divisions never reverse an order.
    """
    if part.shape[1] == 2:  # by far the most frequent case, and several times as fast
        first, second = part[:, 0] * whole[:, 1], part[:, 1] * whole[:, 0]
        return np.minimum(first, second), np.maximum(first, second), whole[:, 0] * whole[:, 1]
    rates = rate(part, whole)
    low = np.where(whole > 0, rates, np.inf).argmin(axis=1, keepdims=True)
    high = np.where(whole > 0, rates, -np.inf).argmax(axis=1, keepdims=True)
    (low_part, low_whole), (high_part, high_whole) = (
        [np.take_along_axis(counts, group, axis=1)[:, 0] for counts in (part, whole)] for group in (low, high)
    )
    return low_part * high_whole, high_part * low_whole, low_whole * high_whole


def largest_gap(part: Counts, whole: Counts, cells: Cells) -> Ratio:
    """Return the largest difference of the rates part / whole between groups; undefined if one rate is."""
    low, high, denominator = _extremes(part, whole)
    return Ratio(high - low, np.where(_defined(whole, cells), denominator, 0))


def demographic_parity(cells: Cells) -> Ratio:
    """DP: largest difference of the selection rates q_g / n_g between two groups."""
    return largest_gap(cells.selected, cells.size, cells)


def disparate_impact(cells: Cells) -> Ratio:
    """DI: 1 - smallest / largest selection rate; 1 if one group is never selected, undefined if none ever is."""
    low, high, _ = _extremes(cells.selected, cells.size)
    return Ratio(high - low, np.where(_defined(cells.size, cells), high, 0))


def statistical_parity_subgroup(cells: Cells) -> Ratio:
    """SPSF: sum over groups of (n_g / N) |Q / N - q_g / n_g|, Q and N summed over groups.

    As one ratio: sum of |Q n_g - q_g N| / N².
    """
    return _weighted_gap(cells.selected, cells.size, cells)


def false_positive_subgroup(cells: Cells) -> Ratio:
    """FPSF: sum over groups of (r_g / N) |F / R - f_g / r_g|; undefined if a group has no negatives.

    f_g are the false positives among the group's r_g negatives, F and R their sums over groups. The weight is the joint
    share of "group g and truly not the class", as in the code of Qian et al.; their text has the group's share n_g / N
    (quirk Q18). As one ratio: sum of |F r_g - f_g R| / (N R).
    """
    return _weighted_gap(cells.fp, cells.negatives, cells)


def _weighted_gap(part: Counts, whole: Counts, cells: Cells) -> Ratio:
    """Sum (whole_g / N) |pooled rate - group's rate| over groups; groups without rows contribute nothing."""
    total_part, total_whole = _over_groups(np.add, part), _over_groups(np.add, whole)
    gaps = _over_groups(np.add, np.abs(total_part[:, None] * whole - part * total_whole[:, None]))
    denominator = _over_groups(np.add, cells.size) * total_whole
    return Ratio(gaps, np.where(_defined(whole, cells), denominator, 0))


def equal_odds_false_positive(cells: Cells) -> Ratio:
    """EOFP: largest difference of FP / negatives between two groups; undefined if a group has no negatives."""
    return largest_gap(cells.fp, cells.negatives, cells)


def equal_odds_true_positive(cells: Cells) -> Ratio:
    """EOTP: largest difference of TP / positives between two groups; undefined if a group has no positives."""
    return largest_gap(cells.tp, cells.positives, cells)


def bias_amplification(cells: Cells) -> Ratio:
    """BA: half the sum over groups of |q_g / Q - p_g / P|; undefined if no row is predicted, or truly, of the class.

    As one ratio: sum of |q_g P - p_g Q| / (2 P Q).
    """
    q, p = cells.selected, cells.positives
    predicted, true = _over_groups(np.add, q), _over_groups(np.add, p)
    gaps = _over_groups(np.add, np.abs(q * true[:, None] - p * predicted[:, None]))
    return Ratio(gaps, np.where(_compared(cells), 2 * predicted * true, 0))


RATIOS: dict[str, Callable[[Cells], Ratio]] = {
    "DP": demographic_parity,
    "DI": disparate_impact,
    "SPSF": statistical_parity_subgroup,
    "FPSF": false_positive_subgroup,
    "EOFP": equal_odds_false_positive,
    "EOTP": equal_odds_true_positive,
    "BA": bias_amplification,
}
"""Strict reading: name -> function of `Cells` that returns the exact ratios (runs, classes).

Groups without rows are left out of the comparison; with fewer than two other groups every metric is undefined."""


def _values_of(ratios: Callable[[Cells], Ratio]) -> Callable[[Cells], Values]:
    return lambda cells: ratios(cells).values()


METRICS: dict[str, Callable[[Cells], Values]] = {name: _values_of(ratios) for name, ratios in RATIOS.items()}
"""The nearest doubles of `RATIOS`: name -> function of `Cells` that returns (runs, classes), NaN = undefined."""


# Published reading: what the code of Qian et al. computes, including its values where a denominator is zero


def _pair(part: Counts, whole: Counts) -> tuple[Counts, Counts, Counts]:
    """Return both groups' rates part / whole over a common denominator, and that; the rate of an empty group is 0."""
    if part.shape[1] != 2:
        raise ValueError(f"the published reading compares exactly two groups, not {part.shape[1]}")
    whole = np.maximum(whole, 1)
    return part[:, 0] * whole[:, 1], part[:, 1] * whole[:, 0], whole[:, 0] * whole[:, 1]


def published_dp(cells: Cells) -> Ratio:
    """|q_0 / n_0 - q_1 / n_1|; the rate of an empty group is 0."""
    first, second, whole = _pair(cells.selected, cells.size)
    return Ratio(np.abs(first - second), whole)


def published_di(cells: Cells) -> Ratio:
    """1 - min(a / b, b / a); a quotient by zero counts as 0, so the value is 1 also if nobody is selected (Q5)."""
    first, second, _ = _pair(cells.selected, cells.size)
    largest = np.maximum(first, second)
    return Ratio(np.where(largest > 0, np.abs(first - second), 1), np.maximum(largest, 1))


def published_spsf(cells: Cells) -> Ratio:
    """SPSF as in the strict reading, for two groups."""
    _pair(cells.selected, cells.size)
    return statistical_parity_subgroup(cells)


def published_fpsf(cells: Cells) -> Ratio:
    """FPSF as in the strict reading, for two groups, with joint shares as weights (Q18)."""
    _pair(cells.selected, cells.size)
    return false_positive_subgroup(cells)


def published_eofp(cells: Cells) -> Ratio:
    """|FPR_0 - FPR_1|; 0 wherever FPR_1 is 0 (Q4)."""
    first, second, whole = _pair(cells.fp, cells.negatives)
    return Ratio(np.where(second == 0, 0, np.abs(first - second)), whole)


def published_eotp(cells: Cells) -> Ratio:
    """|TPR_0 - TPR_1|; 0 wherever TPR_1 is 0, also where group 1 has no positives (Q4)."""
    first, second, whole = _pair(cells.tp, cells.positives)
    return Ratio(np.where(second == 0, 0, np.abs(first - second)), whole)


def published_ba(cells: Cells) -> Ratio:
    """|q_0 / Q - p_0 / P|; undefined classes are skipped, so that later ones move up and zeros fill the end (Q6)."""
    _pair(cells.selected, cells.size)
    part, whole = bias_amplification(cells)
    undefined = whole == 0
    defined_first = np.argsort(undefined, axis=1, kind="stable")
    filled = np.where(undefined, 0, part), np.where(undefined, 1, whole)
    return Ratio(*(np.take_along_axis(counts, defined_first, axis=1) for counts in filled))


PUBLISHED_RATIOS: dict[str, Callable[[Cells], Ratio]] = {
    "DP": published_dp,
    "DI": published_di,
    "SPSF": published_spsf,
    "FPSF": published_fpsf,
    "EOFP": published_eofp,
    "EOTP": published_eotp,
    "BA": published_ba,
}
"""Published reading (quirks Q4, Q5, Q6, Q18): as `RATIOS`, for exactly two groups; ValueError otherwise."""

PUBLISHED: dict[str, Callable[[Cells], Values]] = {
    name: _values_of(ratios) for name, ratios in PUBLISHED_RATIOS.items()
}
"""The values of `PUBLISHED_RATIOS`."""


# Over classes


def overall(values: Values, reading: str = "strict") -> tuple[Values, Counts]:
    """Return the mean over the classes of values (runs, classes) and the number of undefined ones; both (runs,).

    Strict: over the defined classes, NaN if there is none. Published: over all, so that one NaN makes the mean NaN.
    The mean is that of rounded values; `overall_ratio` is exact.

    >>> mean, n_undefined = overall(np.array([[0.1, 0.3, np.nan]]))
    >>> mean.round(3).tolist(), n_undefined.tolist()
    ([0.2], [1])
    """
    undefined = np.isnan(values)
    if reading == "published":
        return values.mean(axis=1), undefined.sum(axis=1)
    total = np.where(undefined, 0.0, values).sum(axis=1)
    return rate(total, (~undefined).sum(axis=1)), undefined.sum(axis=1)


def overall_ratio(ratios: Ratio, reading: str = "strict") -> tuple[Values, Values]:
    """Return the `overall` values of ratios (runs, classes), as nearest doubles and remainders; (runs,) each.

    Means of equal exact value are equal doubles, whatever the classes that contribute to them.

    >>> gaps = Ratio(np.array([[1, 2, 3, 0], [3, 2, 1, 0]]), np.array([[10, 10, 10, 0]] * 2))  # the last is undefined
    >>> overall_ratio(gaps)[0].tolist(), overall(gaps.values())[0].tolist()
    ([0.2, 0.2], [0.20000000000000004, 0.19999999999999998])
    """
    values = ratios.values()
    counted = np.ones(values.shape, dtype=bool) if reading == "published" else ratios.whole > 0
    return mean_of(values, ratios.remainders(values), counted)


# Accuracy


def group_accuracy(counts: Counts, multilabel: bool = False) -> Values:
    """Return the share of right predictions in each group (runs, groups), NaN for a group without rows.

    Multi-class: rows whose class is right. Multi-label: cells (row, label) that are right.
    """
    return Ratio(*_right_and_total(counts, multilabel)).values()


def accuracy(counts: Counts, multilabel: bool = False) -> Values:
    """Return the share of right predictions over all groups together (runs,); see `group_accuracy`."""
    right, total = _right_and_total(counts, multilabel)
    return Ratio(right.sum(axis=1), total.sum(axis=1)).values()


def _right_and_total(counts: Counts, multilabel: bool) -> tuple[Counts, Counts]:
    cells = cells_of(counts, multilabel)
    right = cells.tp + cells.tn if multilabel else cells.tp
    return right.sum(axis=2), counts.sum(axis=(2, 3))
