"""Signed differences between groups: which group has the lower rate, by how much, and whether runs agree on it.

The bias metrics are distances: they hide the direction, and are above 0 by chance alone. Each is based on a rate of
every group (`RATES`). The signed difference of a class is, in every run, the rate of the group that is lowest on
average over the runs minus that of the group that is highest: at most 0 on average, above 0 in runs with the opposite
order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitlib.metrics.counts import Cells, Counts
from fitlib.metrics.exact import Ratio, Values

TIED = 1e-12  # mean rates closer than this are equal but for rounding


def selection_rate(cells: Cells) -> Ratio:
    """Return the share of each group predicted as the class, (runs, groups, classes); undefined without rows."""
    return Ratio(cells.selected, cells.size)


def false_positive_rate(cells: Cells) -> Ratio:
    """Return FP / negatives of each group, (runs, groups, classes)."""
    return Ratio(cells.fp, cells.negatives)


def true_positive_rate(cells: Cells) -> Ratio:
    """Return TP / positives of each group, (runs, groups, classes)."""
    return Ratio(cells.tp, cells.positives)


def excess_share(cells: Cells) -> Ratio:
    """Return each group's share of the rows predicted as the class minus its share of those truly of it."""
    q, p = cells.selected, cells.positives
    predicted, true = q.sum(axis=1, keepdims=True), p.sum(axis=1, keepdims=True)
    return Ratio(q * true - p * predicted, np.where(cells.size > 0, predicted * true, 0))


RATES: dict[str, Callable[[Cells], Ratio]] = {
    "DP": selection_rate,
    "DI": selection_rate,
    "SPSF": selection_rate,
    "FPSF": false_positive_rate,
    "EOFP": false_positive_rate,
    "EOTP": true_positive_rate,
    "BA": excess_share,
}
"""Metric -> the rates (runs, groups, classes) whose differences it measures."""


@dataclass(frozen=True)
class SignedDifferences:
    """Signed differences of one metric, class by class.

    values (runs, classes): NaN where undefined. lower, higher (classes,): the groups lowest and highest on average.
    directed (classes,): whether these two differ on average; if not, or if nothing is defined, they are meaningless.
    lowest (runs, classes): each run's lowest group (of several equal ones `lower` if it is one, else the first), -1
    where undefined. changes (classes,): number of runs in which another group than `lower` is lowest; 0 where not
    directed.
    """

    values: Values
    lower: Counts
    higher: Counts
    directed: NDArray[np.bool_]
    lowest: Counts
    changes: Counts


def signed_difference(ratios: Ratio, size: Counts) -> SignedDifferences:
    """Return the signed differences of rates (runs, groups, classes); size: the groups' rows, of the same shape.

    Groups without rows are left out. A class is undefined in runs where the rate of any other group is, and always with
    fewer than two groups. Differences are rounded once, so that equal ones are equal doubles.

    >>> selected = np.array([[[2], [5]], [[3], [4]], [[5], [4]]])  # three runs, two groups, one class
    >>> size = np.full(selected.shape, 10)
    >>> signed = signed_difference(Ratio(selected, size), size)
    >>> signed.values[:, 0].tolist(), signed.lower.tolist(), signed.changes.tolist()
    ([-0.3, -0.1, 0.1], [0], [1])
    """
    rates, present = ratios.values(), size.max(axis=(0, 2), initial=0) > 0
    defined = ~np.isnan(rates[:, present]).any(axis=1) & (present.sum() >= 2)
    kept = np.where(defined[:, None] & present[None, :, None], rates, np.nan)
    mean = np.where(np.isnan(kept), 0.0, kept).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
    lower, higher = _extreme_groups(mean, present)
    values = np.where(defined, _difference_of(ratios, lower, higher), np.nan)
    directed = defined.any(axis=0) & (rate_of(mean[None], higher)[0] - rate_of(mean[None], lower)[0] > TIED)
    lowest = _lowest(kept, lower, defined)
    changes = (directed & defined & (lowest != lower)).sum(axis=0)
    return SignedDifferences(values, lower, higher, directed, lowest, changes)


def _difference_of(ratios: Ratio, lower: Counts, higher: Counts) -> Values:
    """Return the rate of group ``lower`` minus that of ``higher`` by class, (runs, classes), rounded once."""
    (low, low_whole), (high, high_whole) = ([rate_of(counts, group) for counts in ratios] for group in (lower, higher))
    # Shares of one total have a common denominator; the product of two would leave the range of exact doubles.
    same = low_whole == high_whole
    part = np.where(same, low - high, low * high_whole - high * low_whole)
    return Ratio(part, np.where(same, low_whole, low_whole * high_whole)).values()


def _extreme_groups(mean: Values, present: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """Return the lowest and the highest group by mean rates (groups, classes); two different ones if there are two."""
    lower = np.where(present[:, None], mean, np.inf).argmin(axis=0)
    others = np.where(present[:, None], mean, -np.inf)
    others[lower, np.arange(mean.shape[1])] = -np.inf
    return lower, others.argmax(axis=0)


def rate_of(rates: NDArray, group: Counts) -> NDArray:
    """Pick one group per class, group (classes,), from rates or counts (..., groups, classes): (..., classes)."""
    index = group.reshape((1,) * (rates.ndim - 1) + (-1,))
    return np.take_along_axis(rates, index, axis=-2)[..., 0, :]


def _lowest(rates: Values, usual: Counts, defined: NDArray[np.bool_]) -> Counts:
    filled = np.where(np.isnan(rates), np.inf, rates)
    tied = rate_of(filled, usual) <= filled.min(axis=1)
    return np.where(defined, np.where(tied, usual, filled.argmin(axis=1)), -1)


def signed_of(cells: Cells) -> dict[str, SignedDifferences]:
    """Return the `signed_difference` of every bias metric, from `Cells` (runs, groups, classes)."""
    by_rate = {function: signed_difference(function(cells), cells.size) for function in dict.fromkeys(RATES.values())}
    return {metric: by_rate[function] for metric, function in RATES.items()}
