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

from fitlib.metrics.bias_metrics import Values, rate
from fitlib.metrics.counts import Cells, Counts

TIED = 1e-12  # rates closer than this are equal but for rounding


def selection_rate(cells: Cells) -> Values:
    """Return the share of each group predicted as the class, (runs, groups, classes); NaN for a group without rows."""
    return rate(cells.selected, cells.size)


def false_positive_rate(cells: Cells) -> Values:
    """Return FP / negatives of each group, (runs, groups, classes)."""
    return rate(cells.fp, cells.negatives)


def true_positive_rate(cells: Cells) -> Values:
    """Return TP / positives of each group, (runs, groups, classes)."""
    return rate(cells.tp, cells.positives)


def excess_share(cells: Cells) -> Values:
    """Return each group's share of the rows predicted as the class minus its share of those truly of it."""
    predicted = rate(cells.selected, cells.selected.sum(axis=1, keepdims=True))
    excess = predicted - rate(cells.positives, cells.positives.sum(axis=1, keepdims=True))
    return np.where(cells.size > 0, excess, np.nan)


RATES: dict[str, Callable[[Cells], Values]] = {
    "DP": selection_rate,
    "DI": selection_rate,
    "SPSF": selection_rate,
    "FPSF": false_positive_rate,
    "EOFP": false_positive_rate,
    "EOTP": true_positive_rate,
    "BA": excess_share,
}
"""Metric -> the rates (runs, groups, classes) whose differences it measures; NaN = undefined."""


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


def signed_difference(rates: Values, size: Counts) -> SignedDifferences:
    """Return the signed differences of rates (runs, groups, classes); size: the groups' rows, of the same shape.

    Groups without rows are left out. A class is undefined in runs where the rate of any other group is, and always with
    fewer than two groups.

    >>> rates = np.array([[[0.2], [0.5]], [[0.3], [0.4]], [[0.5], [0.4]]])  # three runs, two groups, one class
    >>> signed = signed_difference(rates, np.full(rates.shape, 10))
    >>> signed.values[:, 0].round(2).tolist(), signed.lower.tolist(), signed.changes.tolist()
    ([-0.3, -0.1, 0.1], [0], [1])
    """
    present = size.max(axis=(0, 2), initial=0) > 0
    defined = ~np.isnan(rates[:, present]).any(axis=1) & (present.sum() >= 2)
    kept = np.where(defined[:, None] & present[None, :, None], rates, np.nan)
    mean = np.where(np.isnan(kept), 0.0, kept).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
    lower, higher = _extreme_groups(mean, present)
    values = rate_of(kept, lower) - rate_of(kept, higher)
    directed = defined.any(axis=0) & (rate_of(mean[None], higher)[0] - rate_of(mean[None], lower)[0] > TIED)
    lowest = _lowest(kept, lower, defined)
    changes = (directed & defined & (lowest != lower)).sum(axis=0)
    return SignedDifferences(values, lower, higher, directed, lowest, changes)


def _extreme_groups(mean: Values, present: NDArray[np.bool_]) -> tuple[Counts, Counts]:
    """Return the lowest and the highest group by mean rates (groups, classes); two different ones if there are two."""
    lower = np.where(present[:, None], mean, np.inf).argmin(axis=0)
    others = np.where(present[:, None], mean, -np.inf)
    others[lower, np.arange(mean.shape[1])] = -np.inf
    return lower, others.argmax(axis=0)


def rate_of(rates: Values, group: Counts) -> Values:
    """Pick one group per class from rates (..., groups, classes); group (classes,). Returns (..., classes)."""
    index = group.reshape((1,) * (rates.ndim - 1) + (-1,))
    return np.take_along_axis(rates, index, axis=-2)[..., 0, :]


def _lowest(rates: Values, usual: Counts, defined: NDArray[np.bool_]) -> Counts:
    filled = np.where(np.isnan(rates), np.inf, rates)
    tied = rate_of(filled, usual) <= filled.min(axis=1) + TIED
    return np.where(defined, np.where(tied, usual, filled.argmin(axis=1)), -1)


def signed_of(cells: Cells) -> dict[str, SignedDifferences]:
    """Return the `signed_difference` of every bias metric, from `Cells` (runs, groups, classes)."""
    by_rate = {function: signed_difference(function(cells), cells.size) for function in dict.fromkeys(RATES.values())}
    return {metric: by_rate[function] for metric, function in RATES.items()}
