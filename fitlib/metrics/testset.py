"""Contributions of the finite test set: denominators, components of the spread, and selection of the fairest run.

Components of the signed difference (`fitlib.metrics.signed_differences`) of one class. For run r and test set T

    D(r, T) = mean + run(r) + test set(T) + interaction(r, T),

with variances R, S and I. The variance between runs on one test set, s², estimates R + I. Two disjoint halves of the
test units share the run but nothing else, so R = the covariance over runs of the values on both halves (mean over
random splits), and I = s² - R. The sampling variance of the mean over runs is S + I/n; by linearisation it is
U/(U-1) Σ_u e_u², with e_u = unit u's part of (rate of lower group - rate of higher group), hence S. All estimates are
unbiased up to the linearisation, so they may be negative.

Floor of the spread, if runs differed only by independent flips of single predictions:
Σ_groups Σ_i p_i (1 - p_i) n/(n - 1)/n_g², with p_i = share of the n runs that predict the class for row i.

Test units (column `unit`) are resampled, never rows. All functions are pure; draws come from `rng`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fitlib.metrics.bias_metrics import METRICS, Values, rate
from fitlib.metrics.chance_level import class_masks
from fitlib.metrics.counts import Cells, Counts, cells_of, count, unit_numbers
from fitlib.metrics.signed_differences import RATES, SignedDifferences, rate_of, signed_difference

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

SPLITS = 200
BATCH_CELLS = 1 << 21  # of one table of counts on halves
COMPONENT_METRICS = ("DP", "EOFP", "EOTP")


# Denominators


def smallest_denominators(cells: Cells) -> dict[str, Counts]:
    """Return the smallest denominator of each metric over runs and groups with members: metric -> (classes,).

    DP, DI, SPSF: rows of the group; FPSF, EOFP: its negatives; EOTP: its positives; BA: rows predicted as, or truly of,
    the class in all groups together.
    """
    present = cells.size > 0
    size, negatives, positives = (
        np.where(present, whole, np.iinfo(np.int64).max).min(axis=(0, 1))
        for whole in (cells.size, cells.negatives, cells.positives)
    )
    shares = np.minimum(cells.selected.sum(axis=1), cells.positives.sum(axis=1)).min(axis=0)
    return {
        **dict.fromkeys(("DP", "DI", "SPSF"), size),
        **dict.fromkeys(("FPSF", "EOFP"), negatives),
        "EOTP": positives,
        "BA": shares,
    }


# Halves of the test set


@dataclass(frozen=True)
class Halves:
    """Some random splits of the test units into two halves: cells (splits * runs, groups, classes) of each half."""

    splits: int
    first: Cells
    second: Cells

    def by_split(self, values: Values) -> Values:
        """Reshape values (splits * runs, ...) to (splits, runs, ...)."""
        return values.reshape(self.splits, -1, *values.shape[1:])


def halves(
    predictions: Predictions, attribute: str, rng: np.random.Generator, splits: int = SPLITS
) -> Iterator[Halves]:
    """Draw random halves of the test units in batches that fit in memory; of an odd number the first has one less."""
    whole = cells_of(count(predictions, attribute), predictions.multilabel)
    unit = unit_numbers(predictions)
    n_units, batch = int(unit.max()) + 1, max(1, BATCH_CELLS // whole.tp.size)
    counted = _counters(predictions, attribute)
    for start in range(0, splits, batch):
        n = min(batch, splits - start)
        chosen = rng.permuted(np.tile(np.arange(n_units) < n_units // 2, (n, 1)), axis=1)
        first = _half(counted, chosen[:, unit].T.astype(np.int32, order="C"), whole.tp.shape)
        yield Halves(n, first, _rest(whole, first, n))


def _counters(predictions: Predictions, attribute: str) -> list[sparse.csr_matrix]:
    """Return matrices that turn chosen rows into counts: members of groups, positives by class, each run's FP and TP.

    One product per run then counts all splits of a batch at once.
    """
    p, group, rows = predictions, predictions.protected[attribute], np.arange(len(predictions.idx))
    shape = (p.n_groups[attribute], p.n_classes)
    members = _counter(group, rows, shape[0], rows.size)
    if p.multilabel:
        row, label = np.nonzero(p.ground_truth)
        selected = (np.nonzero(run) for run in p.prediction)
        right = [(row, label, p.ground_truth[row, label]) for row, label in selected]
    else:
        row, label = rows, p.ground_truth
        right = [(rows, run, run == p.ground_truth) for run in p.prediction]
    n_cells = shape[0] * shape[1]
    cell = [(group[row] * shape[1] + label, row)]
    cell += [((hit != 0) * n_cells + group[at] * shape[1] + predicted, at) for at, predicted, hit in right]
    sizes = [n_cells, *[2 * n_cells] * len(p.prediction)]
    return [members, *(_counter(*where, size, rows.size) for where, size in zip(cell, sizes, strict=True))]


def _counter(cell: NDArray, row: NDArray, n_cells: int, n_rows: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(row.size, dtype=np.int32), (cell, row)), shape=(n_cells, n_rows))


def _half(counters: list[sparse.csr_matrix], chosen: NDArray[np.int32], shape: tuple[int, int, int]) -> Cells:
    """Return the cells of the chosen rows; chosen 0/1 (rows, splits)."""
    n_runs, n_groups, n_classes = shape
    members, positives, *selected = (counter @ chosen for counter in counters)
    by_run = np.stack(selected).reshape(n_runs, 2, n_groups, n_classes, -1)
    fp, tp = (np.moveaxis(by_run[:, hit], -1, 0).reshape(-1, n_groups, n_classes).astype(np.int64) for hit in (0, 1))
    true = np.repeat(np.moveaxis(positives.reshape(n_groups, n_classes, -1), -1, 0), n_runs, axis=0)
    size = np.repeat(members.T[:, :, None], n_runs, axis=0)
    return Cells(tp, fp, true - tp, size - true - fp)


def _rest(whole: Cells, first: Cells, splits: int) -> Cells:
    pairs = ((getattr(whole, name), getattr(first, name)) for name in ("tp", "fp", "fn", "tn"))
    return Cells(*(np.tile(all_, (splits, 1, 1)) - part for all_, part in pairs))


# Components


@dataclass(frozen=True)
class Components:
    """Variances of the signed difference, (classes,) each; NaN = not estimable, estimates may be negative.

    between_runs: s² on this test set; run + interaction = s²; floor: s² if predictions flipped independently.
    """

    between_runs: Values
    run: Values
    test_set: Values
    interaction: Values
    floor: Values

    @property
    def total(self) -> Values:
        """The variance of one value with a new run and a new test set: run + test set + interaction."""
        return self.run + self.test_set + self.interaction

    def variances(self) -> dict[str, Values]:
        """Return every quantity under its name in the long table `testset`."""
        names = ("between_runs", "run", "test_set", "interaction", "total")
        return {f"variance_{name}": getattr(self, name) for name in names} | {"floor": self.floor}


class RunCovariance:
    """Covariance over runs of the signed differences on both halves, accumulated over batches of splits."""

    def __init__(self, signed: dict[str, SignedDifferences]):
        self.signed = signed
        self.total = {metric: np.zeros(signed[metric].values.shape[1]) for metric in COMPONENT_METRICS}
        self.number = {metric: np.zeros(signed[metric].values.shape[1]) for metric in COMPONENT_METRICS}

    def add(self, split: Halves) -> None:
        """Add a batch of splits; those in which a group has no denominator in one half are left out."""
        for metric in COMPONENT_METRICS:
            first, second = (
                _centred(split.by_split(_difference(half, metric, self.signed[metric])))
                for half in (split.first, split.second)
            )
            products = (first * second).sum(axis=1) / max(first.shape[1] - 1, 1)
            defined = ~np.isnan(products)
            self.total[metric] += np.where(defined, products, 0.0).sum(axis=0)
            self.number[metric] += defined.sum(axis=0)

    def values(self, metric: str) -> Values:
        """Return the mean over the splits, (classes,)."""
        return rate(self.total[metric], self.number[metric])


def _difference(cells: Cells, metric: str, signed: SignedDifferences) -> Values:
    rates = RATES[metric](cells).values()
    return rate_of(rates, signed.lower) - rate_of(rates, signed.higher)


def _centred(values: Values) -> Values:
    return values - values.mean(axis=1, keepdims=True)


def components(
    predictions: Predictions, attribute: str, signed: dict[str, SignedDifferences], run: RunCovariance
) -> dict[str, Components]:
    """Return the components of DP, EOFP and EOTP: metric -> `Components`.

    From the signed differences on the whole test set, and `run`, their covariance over runs on its halves.
    """
    n, cells = len(predictions.prediction), cells_of(count(predictions, attribute), predictions.multilabel)
    sampling, floor = _sampling_and_floor(predictions, attribute, cells, signed)
    found = {}
    for metric in COMPONENT_METRICS:
        values = signed[metric].values
        spread = values.var(axis=0, ddof=1) if n > 1 else np.full(values.shape[1], np.nan)
        shared = run.values(metric) if n > 1 else spread
        interaction = spread - shared
        test_set = sampling[metric] - interaction / n
        found[metric] = Components(spread, shared, test_set, interaction, floor[metric])
    return found


def _sampling_and_floor(
    predictions: Predictions, attribute: str, cells: Cells, signed: dict[str, SignedDifferences]
) -> tuple[dict[str, Values], dict[str, Values]]:
    """Return the variance of the mean over runs, linearised over units, and the floor: metric -> (classes,) each."""
    group, unit, n = predictions.protected[attribute], unit_numbers(predictions), len(predictions.prediction)
    wholes = {"DP": cells.size[0], "EOFP": cells.negatives[0], "EOTP": cells.positives[0]}
    sampling, floor = ({m: np.full(predictions.n_classes, np.nan) for m in wholes} for _ in range(2))
    for target in range(predictions.n_classes):
        chosen, true = class_masks(predictions, target)
        share = chosen.mean(axis=0)
        for metric, inside in {"DP": np.ones_like(true), "EOFP": ~true, "EOTP": true}.items():
            pair = signed[metric].lower[target], signed[metric].higher[target]
            whole = wholes[metric][:, target]
            if pair[0] == pair[1] or 0 in whole[list(pair)]:
                continue
            rows = [inside & (group == g) for g in pair]
            sampling[metric][target] = _linearised(share, rows, unit)
            flips = sum((share[r] * (1 - share[r])).sum() / r.sum() ** 2 for r in rows)
            floor[metric][target] = flips * n / (n - 1) if n > 1 else np.nan
    return sampling, floor


def _linearised(share: Values, rows: list[NDArray[np.bool_]], unit: NDArray) -> float:
    """Return the sampling variance over units of the difference of the mean shares of two groups' rows."""
    first, second = rows
    part = np.where(first, share - share[first].mean(), 0.0) / first.sum()
    part -= np.where(second, share - share[second].mean(), 0.0) / second.sum()
    by_unit = np.bincount(unit, part)
    if by_unit.size < 2:
        return float("nan")
    return float((by_unit**2).sum() * by_unit.size / (by_unit.size - 1))


# Selection


@dataclass(frozen=True)
class Selection:
    """The fairest run by one half of the test units: its overall value there and on the other half, and all runs' mean.

    Each is a mean over splits, on half the test set; NaN if not estimable.
    """

    selected_on: float
    selected_off: float
    mean_of_runs: float


class SelectionMean:
    """The mean of `Selection` over splits, accumulated over batches of them.

    The run with the smallest overall value on one half is evaluated on the other.
    """

    def __init__(self) -> None:
        self.total = {metric: np.zeros(3) for metric in METRICS}
        self.number = dict.fromkeys(METRICS, 0)

    def add(self, split: Halves) -> None:
        """Add a batch of splits: overall values over the classes defined in all runs on both halves.

        Each half selects once.
        """
        for metric, function in METRICS.items():
            first, second = (split.by_split(function(half)) for half in (split.first, split.second))
            common = np.logical_not(np.isnan(first + second).any(axis=1, keepdims=True))
            first, second = (_mean_over(common, values) for values in (first, second))
            for on, off in ((first, second), (second, first)):
                values = _select(on, off)
                self.total[metric] += values.sum(axis=0)
                self.number[metric] += len(values)

    def of(self, metric: str) -> Selection:
        """Return the means over the splits added so far."""
        return Selection(*rate(self.total[metric], self.number[metric]).tolist())


def _mean_over(classes: NDArray[np.bool_], values: Values) -> Values:
    return rate(np.where(classes, values, 0.0).sum(axis=-1), classes.sum(axis=-1))


def _select(on: Values, off: Values) -> Values:
    """Return (splits, 3) from overall values (splits, runs) of both halves; runs tied for the smallest are pooled."""
    kept = ~np.isnan(on).any(axis=1)
    on, off = on[kept], off[kept]
    best = on.min(axis=1, initial=np.inf)
    tied = on == best[:, None]
    return np.stack([best, (off * tied).sum(axis=1) / np.maximum(tied.sum(axis=1), 1), off.mean(axis=1)], axis=1)


# Components and selection


@dataclass(frozen=True)
class Contributions:
    """Components (metric -> `Components`) and selection (metric -> `Selection`) of one technique and attribute."""

    components: dict[str, Components]
    selection: dict[str, Selection]


def contributions(
    predictions: Predictions, attribute: str, rng: np.random.Generator, splits: int = SPLITS
) -> Contributions:
    """Return components and selection from one sequence of random halves.

    Not estimable (NaN) with one run or one unit.
    """
    cells = cells_of(count(predictions, attribute), predictions.multilabel)
    signed = {metric: signed_difference(RATES[metric](cells), cells.size) for metric in COMPONENT_METRICS}
    covariance, selection = RunCovariance(signed), SelectionMean()
    if len(predictions.prediction) > 1:
        for split in halves(predictions, attribute, rng, splits):
            covariance.add(split)
            selection.add(split)
    found = components(predictions, attribute, signed, covariance)
    return Contributions(found, {metric: selection.of(metric) for metric in METRICS})
