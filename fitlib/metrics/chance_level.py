"""The chance level of every bias metric: its distribution if the protected attribute had no meaning.

Differences between groups are at least 0, so on a finite test set they are above 0 even if the groups are treated
alike: the smaller the groups and the more of them, the more so. What chance alone gives is found by permuting the
protected attribute: over all rows for DP, DI and SPSF, within the rows of one true class for FPSF, EOFP, EOTP and BA
(so what differing shares of the true classes do to these four belongs to the chance level). Test units are permuted,
not rows: the rows of a unit that appears in several groups exchange groups among themselves; units of one group
exchange groups with units of equal size.

All classes of a draw come from one permutation: the counts of classes hang together, and the overall value, their mean,
would seem to vary too little if every class were permuted alone. For labels, "within one true class" is another
permutation for every label, so that there is no such distribution of their mean.

Only counts matter. Where rows are units and classes few, not permutations are drawn but tables of counts with the given
margins, class by class (multivariate hypergeometric); else rows are permuted and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fitlib.metrics.bias_metrics import METRICS, overall
from fitlib.metrics.counts import Cells, Counts, cells_of, count, unit_numbers
from fitlib.metrics.exact import Values

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

DRAWS = 200  # fewest permutations of each run,
ALL_DRAWS = 3200  # of all runs together where each run has draws of its own,
SHARED_DRAWS = 600  # and the most where all runs share the permutations
MANY_CLASSES = 20  # from here on counting permuted rows is quicker than drawing tables of counts
MOST_CELLS = 1 << 21  # of one table of draws, to bound the memory
TIE = 1e-12  # values that differ by less are equal: means over classes in different orders of summation
LEVEL = 0.95
SELECTION = ("DP", "DI", "SPSF")  # metrics of selection alone, whatever the true classes
GIVEN_TRUTH = ("FPSF", "EOFP", "EOTP", "BA")


@dataclass(frozen=True)
class Chance:
    """What permutations give for one metric: each (runs, 1 + classes), the overall value first; NaN = undefined.

    ``quantile``: a value above it has p <= .05. ``p``: (1 + draws at least as large as the value)/(1 + draws), which is
    valid at any number of draws (Phipson & Smyth 2010).
    """

    expectation: Values
    quantile: Values
    p: Values


def chance_levels(predictions: Predictions, attribute: str, rng: np.random.Generator) -> dict[str, Chance]:
    """Return the permutation distribution of every bias metric (strict reading): metric -> `Chance`.

    Whether a value is defined does not depend on the permutation. Quantile and p of the overall value are NaN for
    FPSF, EOFP, EOTP and BA of labels. Monte Carlo error of an expectation: 1 to 3 % of a value, means over 16 runs.
    """
    cells = cells_of(count(predictions, attribute), predictions.multilabel)
    families = (
        (SELECTION, True, _draw_selected(predictions, attribute, cells, rng)),
        (GIVEN_TRUTH, not predictions.multilabel, _draw_given_truth(predictions, attribute, cells, rng)),
    )
    found: dict[str, list[Chance]] = {metric: [] for metric in METRICS}
    for metrics, joint, (tp, fp) in families:
        for runs in _blocks(tp.shape[1], tp[:, :1].size):
            part = Cells(*(kept[runs] for kept in (cells.tp, cells.fp, cells.fn, cells.tn)))
            drawn = _drawn_cells(tp[:, runs], fp[:, runs], part, metrics == SELECTION)
            for metric in metrics:
                found[metric].append(_describe(METRICS[metric], drawn, part, joint))
    return {metric: _concatenate(blocks) for metric, blocks in found.items()}


def _blocks(runs: int, cells: int) -> Iterator[slice]:
    """Cut the runs so that a block of draws, of ``cells`` a run, fits in memory."""
    step = max(1, MOST_CELLS // max(1, cells))
    return (slice(start, start + step) for start in range(0, runs, step))


def _drawn_cells(tp: Counts, fp: Counts, observed: Cells, selection: bool) -> Cells:
    """Return drawn counts (draws, runs, groups, classes) as `Cells`, (draws * runs, groups, classes).

    Groups keep their sizes, and their positives unless only who is selected was drawn (then ``fp`` is 0, and every row
    selected counts as a positive).
    """
    shape = (-1, *tp.shape[2:])
    positives = tp if selection else observed.positives
    parts = (tp, fp, positives - tp, observed.size - positives - fp)
    return Cells(*(np.broadcast_to(part, tp.shape).reshape(shape) for part in parts))


def _describe(metric: Callable[[Cells], Values], drawn: Cells, observed: Cells, joint: bool) -> Chance:
    value = _with_overall(metric(observed))
    values = _with_overall(metric(drawn)).reshape(-1, *value.shape)
    undefined, draws = np.isnan(value), len(values)
    at_least = (values >= value - TIE).sum(axis=0)
    p = np.where(undefined, np.nan, (1 + at_least) / (1 + draws))
    # The order statistic that at most 5 % of draws + 1 reach or exceed
    place = min(math.ceil(LEVEL * (draws + 1)), draws) - 1
    quantile = np.partition(values, place, axis=0)[place]
    if not joint:
        quantile[:, 0] = p[:, 0] = np.nan
    return Chance(values.mean(axis=0), quantile, p)


def _with_overall(by_class: Values) -> Values:
    return np.concatenate([overall(by_class)[0][:, None], by_class], axis=1)


def _concatenate(blocks: list[Chance]) -> Chance:
    names = ("expectation", "quantile", "p")
    return Chance(*(np.concatenate([getattr(block, name) for block in blocks]) for name in names))


# Draws: the counts right and wrong, (draws, runs, groups, classes) each

_Drawn = tuple[Counts, Counts]


def _draw_selected(predictions: Predictions, attribute: str, cells: Cells, rng: np.random.Generator) -> _Drawn:
    """Draw the numbers selected after permutations of the attribute over all rows; "wrong" is 0."""
    if predictions.multilabel or _counted_by_row(predictions):
        stratum = np.zeros(len(predictions.idx), dtype=np.int64)
        right, wrong = _count_permuted(predictions, attribute, stratum, rng)
        selected = right + wrong
    else:
        selected = _draw_tables(cells.size[:, None, :, :1], cells.selected.sum(axis=1)[:, None], rng)[:, :, 0]
    return selected, np.zeros_like(selected)


def _draw_given_truth(predictions: Predictions, attribute: str, cells: Cells, rng: np.random.Generator) -> _Drawn:
    """Draw true and false positives after permutations of the attribute within the rows of one true class."""
    if predictions.multilabel:
        return _draw_by_label(predictions, attribute, cells, rng)
    if _counted_by_row(predictions):
        return _count_permuted(predictions, attribute, predictions.ground_truth, rng)
    table = count(predictions, attribute)  # (runs, groups, true, predicted)
    drawn = _draw_tables(table.sum(axis=3, keepdims=True).swapaxes(1, 2), table.sum(axis=1), rng)
    right = np.diagonal(drawn, axis1=2, axis2=4)
    return right, drawn.sum(axis=2) - right


def _draw_by_label(predictions: Predictions, attribute: str, cells: Cells, rng: np.random.Generator) -> _Drawn:
    """Draw each label alone, within the rows that have it and within those that lack it."""
    if not repeated_units(predictions.unit):
        draws = _own_draws(len(cells.tp))
        right, wrong = (
            np.moveaxis(hypergeometric(np.moveaxis(whole, 1, -1), part.sum(axis=1), draws, rng), -1, 2)
            for whole, part in ((cells.positives, cells.tp), (cells.negatives, cells.fp))
        )
        return right, wrong
    labels = [
        _count_permuted(predictions, attribute, truth, rng, label)
        for label, truth in enumerate(predictions.ground_truth.T)
    ]
    right, wrong = (np.concatenate(parts, axis=-1) for parts in zip(*labels, strict=True))
    return right, wrong


def _counted_by_row(predictions: Predictions) -> bool:
    return predictions.n_classes > MANY_CLASSES or repeated_units(predictions.unit)


def repeated_units(unit: Counts | None) -> bool:
    """Return whether any test unit appears in several rows."""
    return unit is not None and np.unique(unit).size < unit.size


def class_masks(predictions: Predictions, target: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows each run predicts as the class (or label) `target` (runs, rows) and which truly are (rows,)."""
    if predictions.multilabel:
        return predictions.prediction[..., target] == 1, predictions.ground_truth[:, target] == 1
    return predictions.prediction == target, predictions.ground_truth == target


# Tables of counts


def _draw_tables(sizes: Counts, totals: Counts, rng: np.random.Generator) -> Counts:
    """Draw tables of groups by predicted class with given margins.

    sizes (runs, strata, groups, 1), totals (runs, strata, classes); returns (draws, runs, strata, groups, classes).
    """
    left, drawn = sizes[..., 0], []
    # Class by class, each out of the places that the classes before it left free.
    for target in range(totals.shape[-1] - 1):
        drawn.append(hypergeometric(left, totals[..., target], _own_draws(len(sizes)), rng))
        left = left - drawn[-1]
    draws = _own_draws(len(sizes))
    return np.stack([*drawn, np.broadcast_to(left, (draws, *left.shape[-3:]))], axis=-1)


def _own_draws(runs: int) -> int:
    return max(DRAWS, math.ceil(ALL_DRAWS / runs))


def hypergeometric(sizes: Counts, total: Counts, draws: int, rng: np.random.Generator) -> Counts:
    """Draw from the multivariate hypergeometric: how many of `total` (...) fall on groups of `sizes` (..., groups).

    ``sizes`` may differ from draw to draw, (draws, ..., groups). Returns (draws, ..., groups).

    >>> drawn = hypergeometric(np.array([3, 5]), np.array(4), draws=6, rng=np.random.default_rng(0))
    >>> drawn.shape, drawn.sum(axis=-1).tolist()
    ((6, 2), [4, 4, 4, 4, 4, 4])
    """
    # Group by group, each given the groups before it: NumPy's multivariate draw takes no arrays of sizes and totals.
    total = np.broadcast_to(total, (draws, *total.shape))
    others, drawn = sizes.sum(axis=-1), []
    for group in range(sizes.shape[-1] - 1):
        others = others - sizes[..., group]
        drawn.append(rng.hypergeometric(sizes[..., group], others, total))
        total = total - drawn[-1]
    return np.stack([*drawn, total], axis=-1)


# Rows permuted and counted


def _count_permuted(
    predictions: Predictions,
    attribute: str,
    stratum: Counts,
    rng: np.random.Generator,
    label: int | None = None,
) -> _Drawn:
    """Count true and false positives after permutations within the strata (rows,), the same ones for all runs.

    Of all classes, or of one ``label`` (a last axis of length 1).
    """
    group, n_groups = predictions.protected[attribute], predictions.n_groups[attribute]
    counters, n_classes = _counters(predictions, label)
    totals, parts = np.array([counter.sum(axis=1) for counter in counters]).reshape(len(counters), -1, 1), []
    for size in _shared_draws(counters, n_groups):
        drawn = permuted_groups(unit_numbers(predictions), group, stratum, size, rng)
        members = [(drawn == g).T.astype(np.int32, order="C") for g in range(1, n_groups)]
        counted = [np.array([counter @ rows for counter in counters]) for rows in members]
        by_group = np.stack([totals - sum(counted, np.zeros(size, np.int32)), *counted], axis=1)
        parts.append(np.moveaxis(by_group.reshape(-1, n_groups, 2, n_classes, size), (2, 4), (0, 1)))
    wrong, right = np.concatenate(parts, axis=1).astype(np.int64)
    return right, wrong


def _shared_draws(counters: list[sparse.csr_matrix], n_groups: int) -> list[int]:
    """Return the numbers of permutations to count at a time; their sum is what all runs share."""
    (n_cells, rows), chosen = counters[0].shape, sum(counter.nnz for counter in counters)
    work = max(rows, len(counters) * n_groups * n_cells * 4, (n_groups - 1) * chosen // 16)
    draws = min(max(DRAWS, 4 * MOST_CELLS // work), SHARED_DRAWS)
    step = max(1, 4 * MOST_CELLS // rows)
    return [min(step, draws - start) for start in range(0, draws, step)]


def _counters(predictions: Predictions, label: int | None) -> tuple[list[sparse.csr_matrix], int]:
    """Return one matrix a run that turns chosen rows into counts, first of the wrong, then of the right, by class."""
    p, rows = predictions, np.arange(len(predictions.idx))
    if not p.multilabel:
        cells = [(run + p.n_classes * (run == p.ground_truth), rows) for run in p.prediction]
        return [_counter(*cell, 2 * p.n_classes, rows.size) for cell in cells], p.n_classes
    labels = slice(None) if label is None else slice(label, label + 1)
    truth, counters = p.ground_truth[:, labels], []
    for run in p.prediction[..., labels]:
        row, chosen = np.nonzero(run)
        counters.append(_counter(chosen + truth.shape[1] * truth[row, chosen], row, 2 * truth.shape[1], rows.size))
    return counters, truth.shape[1]


def _counter(cell: NDArray, row: NDArray, n_cells: int, n_rows: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(row.size, dtype=np.int32), (cell, row)), shape=(n_cells, n_rows))


def permuted_groups(
    unit: Counts, group: Counts, stratum: Counts, draws: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Permute the groups of test units within strata; unit, group, stratum (rows,). Returns (draws, rows).

    The rows of one unit within one stratum exchange their groups, if these differ; units of one group exchange groups
    with units of the same stratum and size.

    >>> unit, group, stratum = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 0, 1, 0]), np.array([0, 0, 0, 0, 1])
    >>> drawn = permuted_groups(unit, group, stratum, draws=200, rng=np.random.default_rng(0))
    >>> np.unique(drawn, axis=0).tolist()  # rows 0 and 1 are one unit, 2 and 3 two units, 4 is alone
    [[0, 1, 0, 1, 0], [0, 1, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 1, 0, 0]]
    """
    number = np.unique(stratum * (unit.max(initial=0) + 1) + unit, return_inverse=True)[1]
    order, sizes = np.argsort(number, kind="stable"), np.bincount(number)
    starts = np.cumsum(sizes) - sizes
    sorted_groups = group[order]
    alone = np.minimum.reduceat(sorted_groups, starts) == np.maximum.reduceat(sorted_groups, starts)
    drawn = np.tile(group.astype(np.int16), (draws, 1))
    for size in np.unique(sizes):
        same = sizes == size
        mixed = order[starts[same & ~alone, None] + np.arange(size)]  # (units, size)
        drawn[:, mixed] = rng.permuted(drawn[:, mixed], axis=2)
        single = order[starts[same & alone, None] + np.arange(size)]
        for value in np.unique(stratum[single]):
            rows = single[stratum[single[:, 0]] == value]
            drawn[:, rows] = rng.permuted(drawn[:, rows[:, 0]], axis=1)[:, :, None]
    return drawn
