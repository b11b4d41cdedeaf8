"""The chance level of every bias metric: its expectation if the protected attribute had no meaning.

Differences between groups are at least 0, so on a finite test set they are above 0 even if the groups are treated
alike: the smaller the groups and the more of them, the more so. The expectation is estimated by permuting the protected
attribute: over all rows for DP, DI and SPSF, within the rows of the class and within the others for FPSF, EOFP, EOTP
and BA. Test units are permuted, not rows: the rows of a unit that appears in several groups exchange groups among
themselves; units of one group exchange groups with units of equal size.

Only counts matter, so that not permutations are drawn but their effect on the counts: (multivariate) hypergeometric
draws.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fitlib.metrics.bias_metrics import METRICS, Values
from fitlib.metrics.counts import Cells, Counts, cells_of, count, unit_numbers

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

DRAWS = 200  # fewest permutations of each run,
ALL_DRAWS = 3200  # and of all runs together
MOST_OUTCOMES = 200  # largest number of ways to distribute a unit's selected rows over its groups that is enumerated
MOST_CELLS = 1 << 21  # of one table of draws, to bound the memory
SELECTION = ("DP", "DI", "SPSF")  # metrics of selection alone, whatever the true classes


def chance_levels(predictions: Predictions, attribute: str, rng: np.random.Generator) -> dict[str, Values]:
    """Return the expectation of every bias metric (strict reading) without disparity.

    metric -> (runs, classes), NaN = undefined. Whether a value is defined does not depend on the permutation, so the
    expectation of a run's overall value is the mean of these over its defined classes. Monte Carlo error: about 1 % of
    a value with 16 runs.
    """
    cells = cells_of(count(predictions, attribute), predictions.multilabel)
    n_runs, n_groups, n_classes = cells.tp.shape
    draws = max(DRAWS, math.ceil(ALL_DRAWS / n_runs))
    step = max(1, MOST_CELLS // (draws * n_runs * n_groups))
    parts = []
    for start in range(0, n_classes, step):
        chunk = range(start, min(start + step, n_classes))
        drawn = permuted_counts(predictions, attribute, _classes(cells, chunk), chunk, draws, rng)
        parts.append(_expected(drawn, draws))
    return {metric: np.concatenate([part[metric] for part in parts], axis=1) for metric in METRICS}


def _classes(cells: Cells, chunk: range) -> Cells:
    return Cells(*(part[..., chunk.start : chunk.stop] for part in (cells.tp, cells.fp, cells.fn, cells.tn)))


def _expected(drawn: tuple[Cells, Cells], draws: int) -> dict[str, Values]:
    values = {metric: METRICS[metric](drawn[metric not in SELECTION]) for metric in METRICS}
    return {metric: value.reshape(draws, -1, value.shape[1]).mean(axis=0) for metric, value in values.items()}


def permuted_counts(
    predictions: Predictions, attribute: str, cells: Cells, classes: range, draws: int, rng: np.random.Generator
) -> tuple[Cells, Cells]:
    """Draw the counts after permutations of the attribute: over all rows, and within the class and within the rest.

    cells (runs, groups, classes) of `classes`. Both results are (draws * runs, groups, classes); of the first only the
    numbers selected and the groups' sizes are meaningful.
    """
    if repeated_units(predictions.unit):
        drawn = _permuted_units(predictions, attribute, classes, draws, rng)
    else:
        wholes, parts = (cells.size, cells.positives, cells.negatives), (cells.selected, cells.tp, cells.fp)
        drawn = [_permuted_rows(*pair, draws, rng) for pair in zip(wholes, parts, strict=True)]
    selected, tp, fp = (counts.reshape(-1, *cells.tp.shape[1:]) for counts in drawn)
    size, positives, negatives = (
        np.tile(whole, (draws, 1, 1)) for whole in (cells.size, cells.positives, cells.negatives)
    )
    zero = np.zeros_like(selected)
    return Cells(selected, zero, zero, size - selected), Cells(tp, fp, positives - tp, negatives - fp)


def repeated_units(unit: Counts | None) -> bool:
    """Return whether any test unit appears in several rows."""
    return unit is not None and np.unique(unit).size < unit.size


def _permuted_rows(whole: Counts, part: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Draw counts for units of one row each: (draws, runs, groups, classes)."""
    sizes, total = np.moveaxis(whole, 1, -1), part.sum(axis=1)
    return np.moveaxis(hypergeometric(sizes, total, draws, rng), -1, 2)


def hypergeometric(sizes: Counts, total: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Draw from the multivariate hypergeometric: how many of `total` (...) fall on groups of `sizes` (..., groups).

    Returns (draws, ..., groups).

    >>> drawn = hypergeometric(np.array([3, 5]), np.array(4), draws=6, rng=np.random.default_rng(0))
    >>> drawn.shape, drawn.sum(axis=-1).tolist()
    ((6, 2), [4, 4, 4, 4, 4, 4])
    """
    # Group by group, each given the groups before it: NumPy's multivariate draw takes no arrays of sizes and totals.
    total = np.broadcast_to(total, (draws, *np.broadcast_shapes(total.shape, sizes.shape[:-1])))
    others, drawn = sizes.sum(axis=-1), []
    for group in range(sizes.shape[-1] - 1):
        others = others - sizes[..., group]
        drawn.append(rng.hypergeometric(sizes[..., group], others, total))
        total = total - drawn[-1]
    return np.stack([*drawn, total], axis=-1)


# Units of several rows


def _permuted_units(
    predictions: Predictions, attribute: str, classes: range, draws: int, rng: np.random.Generator
) -> list[Counts]:
    """Draw counts selected over all rows, within the class and within the rest (draws, runs, groups, classes)."""
    unit = unit_numbers(predictions)
    group, n_groups = predictions.protected[attribute], predictions.n_groups[attribute]
    drawn = []
    for target in classes:
        chosen, true = class_masks(predictions, target)
        rows = (slice(None), true, ~true)
        drawn.append([_permuted_within(unit[r], group[r], chosen[:, r], n_groups, draws, rng) for r in rows])
    return [np.stack(part, axis=-1) for part in zip(*drawn, strict=True)]


def class_masks(predictions: Predictions, target: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows each run predicts as the class (or label) `target` (runs, rows) and which truly are (rows,)."""
    if predictions.multilabel:
        return predictions.prediction[..., target] == 1, predictions.ground_truth[:, target] == 1
    return predictions.prediction == target, predictions.ground_truth == target


def _permuted_within(
    unit: Counts, group: Counts, chosen: NDArray, n_groups: int, draws: int, rng: np.random.Generator
) -> Counts:
    """Draw the chosen rows of each group, (draws, runs, groups), after a permutation of these rows' groups."""
    members, selected = _by_unit(unit, group, chosen, n_groups)
    total = np.zeros((draws, len(chosen), n_groups), dtype=np.int64)
    # Units of one composition are exchangeable, so the number of units with k chosen rows is all that matters.
    for composition, units in _compositions(members):
        if (composition > 0).sum() > 1:
            total += _exchanged_inside(composition, selected[:, units], draws, rng)
    alone = (members > 0).sum(axis=1) == 1
    for size in np.unique(members[alone].sum(axis=1)):
        units = alone & (members.sum(axis=1) == size)
        total += _exchanged_between(members[units] > 0, selected[:, units], draws, rng)
    return total


def _by_unit(unit: Counts, group: Counts, chosen: NDArray, n_groups: int) -> tuple[Counts, Counts]:
    """Count the rows of each unit by group (units, groups), and how many of them each run chooses (runs, units)."""
    n_units = int(unit.max(initial=-1)) + 1
    members = np.bincount(unit * n_groups + group, minlength=n_units * n_groups).reshape(n_units, n_groups)
    selected = [np.bincount(unit[rows], minlength=n_units) for rows in chosen]
    return members, np.stack(selected)


def _compositions(members: Counts) -> Iterator[tuple[Counts, NDArray]]:
    """Yield each distinct composition (groups,) with the units that have it."""
    if len(members):
        compositions, index = np.unique(members, axis=0, return_inverse=True)
        for i, composition in enumerate(compositions):
            yield composition, np.flatnonzero(index.ravel() == i)


def _exchanged_inside(composition: Counts, selected: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Draw the counts of units (runs, units) of one composition, each of which permutes the groups of its rows."""
    size, total = composition.sum(), np.zeros(1, dtype=np.int64)
    for k in range(1, int(selected.max(initial=0)) + 1):
        number = (selected == k).sum(axis=1)
        if k == size:
            total = total + number[:, None] * composition
        elif number.any():
            total = total + _sum_of_units(composition, k, number, draws, rng)
    return total


def _sum_of_units(composition: Counts, k: int, number: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Sum `number` (runs,) hypergeometric draws of k rows from one composition: (draws, runs, groups)."""
    if np.prod(composition + 1.0) <= MOST_OUTCOMES:
        # With few outcomes a multinomial draw of how often each occurs replaces one draw per unit.
        ways = itertools.product(*(range(n + 1) for n in composition.tolist()))
        outcomes = np.array([way for way in ways if sum(way) == k])
        weights = np.array([math.prod(map(math.comb, composition.tolist(), way)) for way in outcomes.tolist()], float)
        return rng.multinomial(number, weights / weights.sum(), size=(draws, len(number))) @ outcomes
    each = (hypergeometric(composition, k * (number > i), draws, rng) for i in range(int(number.max())))
    return reduce(np.add, each)


def _exchanged_between(groups: NDArray[np.bool_], selected: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Draw the counts of units of one size, each in one group (units, groups), which permute their groups.

    selected (runs, units). Units with k chosen rows are dealt to the groups for every k in turn, out of the places that
    are left.
    """
    left, total = groups.sum(axis=0), np.zeros(1, dtype=np.int64)
    for k in range(int(selected.max(initial=0)), 0, -1):
        number = (selected == k).sum(axis=1)
        drawn = _draw_from(left, number, draws, rng)
        left, total = left - drawn, total + k * drawn
    return total


def _draw_from(left: Counts, number: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Draw as `hypergeometric`, where `left` may already differ from draw to draw, (draws, runs, groups)."""
    if left.ndim == 1:
        return hypergeometric(left, number, draws, rng)
    return hypergeometric(left, np.broadcast_to(number, left.shape[:-1]), 1, rng)[0]
