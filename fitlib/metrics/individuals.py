"""Individuals: how often two runs decide differently about the same person, and whom that hits.

Churn of a row = probability that two of n runs disagree about it, 1 - Σ_c k_c(k_c - 1)/(n(n - 1)), with k_c runs that
predict class c; it is 1 - self-consistency (Cooper et al., "Arbitrariness and Social Prediction", AAAI 2024). Ambiguity
= share of rows on which not all runs agree (Marx et al., ICML 2020); it grows with n. A cell is a row, of multi-label
predictions a row and a label; its stratum is its true class (the label with its truth). Groups are compared within
strata, so that a group is not blamed for having the harder classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Row = dict[str, object]

RESAMPLES = 1000
FEWEST_RUNS = 3  # for an interval: two runs are one pair, which tells nothing about pairs
ABOVE = (0.0, 0.1, 0.2, 0.3, 0.4)  # the churn beyond which shares of cells are told
QUANTILES = (0.5, 0.9, 0.99)
MOST_CELLS = 1 << 22  # of one table of votes or of resamples


# Votes


def agreeing_pairs(prediction: NDArray, n_classes: int) -> Integers:
    """Ordered pairs of runs that agree about each row, Σ_c k_c(k_c - 1); prediction (runs, rows), classes from 0 on."""
    rows, step = prediction.shape[1], max(1, MOST_CELLS // max(n_classes, len(prediction)))
    parts = [_agreeing(vote_counts(prediction[:, i : i + step], n_classes)) for i in range(0, rows, step)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def vote_counts(prediction: NDArray, n_classes: int) -> Integers:
    """How many runs predict each class, (rows, classes); prediction (runs, rows)."""
    rows = prediction.shape[1]
    cell = np.arange(rows) * n_classes + prediction
    return np.bincount(cell.ravel(), minlength=rows * n_classes).reshape(rows, n_classes)


def _agreeing(votes: Integers) -> Integers:
    return (votes * (votes - 1)).sum(axis=1)


def churn(prediction: NDArray, n_classes: int) -> Floats:
    """Churn of each row of prediction (runs, rows): the share of pairs of runs that disagree; NaN for fewer than 2."""
    n = len(prediction)
    if n < 2:
        return np.full(prediction.shape[1], np.nan)
    return 1 - agreeing_pairs(prediction, n_classes) / (n * (n - 1))


def churn_of_votes(votes: NDArray) -> Floats:
    """Churn of each row of votes (rows, classes); every row has the same number of runs, NaN for fewer than 2."""
    votes = np.asarray(votes, dtype=np.int64)
    n = int(votes.sum(axis=1).max(initial=0))
    if n < 2:
        return np.full(len(votes), np.nan)
    return 1 - _agreeing(votes) / (n * (n - 1))


def ambiguity(votes: NDArray, runs: int) -> float:
    """Expected share of rows on which not all of `runs` runs, drawn without replacement from all n, agree.

    votes (rows, classes); 1 - mean over rows of Σ_c C(k_c, runs)/C(n, runs), exact (hypergeometric). With `runs` = n
    the ambiguity itself, with 2 the mean churn. NaN without rows; ValueError unless 2 <= runs <= n.
    """
    votes = np.asarray(votes, dtype=np.int64)
    if not len(votes):
        return float("nan")
    n = int(votes.sum(axis=1).max())
    if not 2 <= runs <= n:
        raise ValueError(f"runs = {runs}: ambiguity needs 2 to {n} of these runs")
    return _ambiguity(np.bincount(votes.ravel(), minlength=n + 1), len(votes), runs)


def _ambiguity(histogram: Integers, rows: int, runs: int) -> float:
    """From `histogram`: how many (row, class) have 0, 1, …, n votes."""
    n = histogram.size - 1
    if not histogram[1:n].any():
        return 0.0
    chance, k = np.ones(n + 1), np.arange(n + 1)
    for drawn in range(runs):
        chance *= np.maximum(k - drawn, 0) / (n - drawn)
    return float(1 - histogram @ chance / rows)


# Cells


@dataclass(frozen=True)
class Cells:
    """The decisions about persons in one protected attribute, one value per cell.

    choice (runs, cells): the class, or the label's 0/1; group, stratum and unit (cells,) count from 0; target (strata,)
    is each stratum's class or label.
    """

    choice: NDArray
    group: Integers
    stratum: Integers
    unit: Integers
    target: Integers
    n_groups: int
    n_choices: int

    @property
    def runs(self) -> int:
        """How many runs."""
        return len(self.choice)

    @cached_property
    def votes_by_count(self) -> Integers:
        """How many (cell, choice) have 0, 1, …, n votes."""
        step = max(1, MOST_CELLS // max(self.n_choices, self.runs))
        parts = [self.choice[:, i : i + step] for i in range(0, self.choice.shape[1], step)]
        return sum(np.bincount(vote_counts(p, self.n_choices).ravel(), minlength=self.runs + 1) for p in parts)

    @cached_property
    def disagreeing(self) -> Integers:
        """Ordered pairs of runs that disagree about each cell, of runs·(runs - 1)."""
        return self.runs * (self.runs - 1) - agreeing_pairs(self.choice, self.n_choices)


def cells_of(predictions: Predictions, attribute: str) -> Cells:
    """The cells of stacked predictions."""
    p = predictions
    unit = np.arange(len(p.idx)) if p.unit is None else np.unique(p.unit, return_inverse=True)[1]
    group = p.protected[attribute]
    if not p.multilabel:
        target = np.arange(p.n_classes)
        return Cells(p.prediction, group, p.ground_truth, unit, target, p.n_groups[attribute], p.n_classes)
    labels = p.n_classes
    stratum = (2 * np.arange(labels) + p.ground_truth).ravel()
    choice = p.prediction.reshape(len(p.prediction), -1)
    target = np.repeat(np.arange(labels), 2)
    return Cells(choice, group.repeat(labels), stratum, unit.repeat(labels), target, p.n_groups[attribute], 2)


# Groups within strata


def by_group(changed: Floats, size: Floats, target: Integers, n_targets: int) -> tuple[Floats, Floats]:
    """Churn of each group and its gap to the other groups, within strata.

    changed, size (…, groups, strata): summed churn and number of cells. A stratum counts where the group and the others
    both have cells, with its share of all cells as weight. Returns (churn, gap), each (…, groups, 1 + n_targets): over
    all strata, then within those of each target; NaN where nothing can be compared.
    """
    others, rest = size.sum(axis=-2, keepdims=True) - size, changed.sum(axis=-2, keepdims=True) - changed
    weight = np.where((size > 0) & (others > 0), size + others, 0.0)
    own = _weighted(_divide(changed, size), weight, target, n_targets)
    return own, own - _weighted(_divide(rest, others), weight, target, n_targets)


def _weighted(values: Floats, weight: Floats, target: Integers, n_targets: int) -> Floats:
    belongs = _belongs(target, n_targets)
    return _divide((values * weight) @ belongs, weight @ belongs, np.nan)


def _belongs(target: Integers, n_targets: int) -> Floats:
    """1 where a stratum counts, (strata, 1 + targets): all in the first column, then those of each target."""
    return np.vstack([np.ones(target.size), target == np.arange(n_targets)[:, None]]).T


def _divide(part: Floats, whole: Floats, empty: float = 0.0) -> Floats:
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, empty), where=whole > 0)


# Resampling runs and units


def resampled(cells: Cells, rng: np.random.Generator, resamples: int = RESAMPLES) -> tuple[Floats, Floats]:
    """Summed churn and number of cells by group and stratum, each (resamples, groups, strata), of a crossed bootstrap.

    Runs and test units are drawn with replacement, independently of each other (Owen, "The pigeonhole bootstrap",
    Annals of Applied Statistics 1, 2007); a unit takes all its cells with it. Only pairs of different runs count, as
    two copies of one run cannot disagree. A draw of a single run gives NaN.
    """
    place = cells.group * cells.target.size + cells.stratum
    shape = (cells.n_groups, cells.target.size)
    varying = np.flatnonzero(cells.disagreeing)
    varying = varying[np.argsort(place[varying], kind="stable")]
    columns = _votes_columns(cells, varying)
    step = max(1, MOST_CELLS // max(columns[1].size, cells.unit.size))
    sizes = [min(step, resamples - i) for i in range(0, resamples, step)]
    parts = [_draws(cells, place, varying, columns, rng, size) for size in sizes] or [(np.zeros((0, *shape)),) * 2]
    changed, size = (np.concatenate(part).reshape(-1, *shape) for part in zip(*parts, strict=True))
    return changed, size


def _votes_columns(cells: Cells, varying: Integers) -> tuple[NDArray, Integers]:
    """Of each varying cell one column per choice that some run made: (runs, columns) 0/1, and the column's cell."""
    chosen = cells.choice[:, varying]
    votes = vote_counts(chosen, cells.n_choices)
    owner, choice = np.nonzero(votes)
    return (chosen[:, owner] == choice).astype(np.float32), owner


def _draws(
    cells: Cells,
    place: Integers,
    varying: Integers,
    columns: tuple[NDArray, Integers],
    rng: np.random.Generator,
    resamples: int,
) -> tuple[Floats, Floats]:
    runs = rng.multinomial(cells.runs, np.full(cells.runs, 1 / cells.runs), size=resamples)
    units = int(cells.unit.max()) + 1
    copies = np.stack([np.bincount(rng.integers(0, units, units), minlength=units) for _ in range(resamples)])
    n_places = cells.n_groups * cells.target.size
    size = np.stack([np.bincount(place, weights=row[cells.unit], minlength=n_places) for row in copies])
    churns = _churn_of_draws(runs, *columns, varying.size)
    changed = _sums(churns * copies[:, cells.unit[varying]], place[varying], n_places)
    return np.where(np.isnan(churns[:, :1]) if varying.size else False, np.nan, changed), size


def _churn_of_draws(runs: Integers, choice: NDArray, owner: Integers, n_cells: int) -> Floats:
    """Churn (resamples, cells) where run r was drawn runs[:, r] times; owner is ascending."""
    pairs = runs.sum(axis=1) ** 2 - (runs**2).sum(axis=1)
    agree = (runs.astype(np.float32) @ choice) ** 2
    same = _sums(agree.astype(np.float64), owner, n_cells) - (runs**2).sum(axis=1)[:, None]
    return _divide(pairs[:, None] - same, np.broadcast_to(pairs[:, None], same.shape), np.nan)


def _sums(values: Floats, place: Integers, n_places: int) -> Floats:
    """Sums of columns (…, columns) by their ascending `place`; 0 where there is none."""
    sums = np.zeros((len(values), n_places))
    if place.size:
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        sums[:, place[starts]] = np.add.reduceat(values, starts, axis=1)
    return sums


# Rows of the long table


def individual_rows(
    predictions: Predictions, attribute: str, rng: np.random.Generator, resamples: int = RESAMPLES
) -> list[Row]:
    """Everything about churn and ambiguity as rows of the long table `persons`.

    Keys: quantity, metric (None), target (class or label, None = all), group (None = all), at, value, low, high;
    intervals 95 %, percentiles of `resampled`, from 3 runs on. Quantities: "runs"; "rows" (cells); "churn" (of a group:
    over its true classes, with the weights of all rows); "churn gap" (group - all other groups, within true classes);
    "share never" (churn 0), "share coin flip" (churn at least ½) and "share above" (churn beyond `at`) of the cells as
    they are; "churn quantile" at `at`; "ambiguity" of `at` runs. Fewer than 2 runs: "runs" and "rows" only.
    """
    cells = cells_of(predictions, attribute)
    rows = [row_of("runs", None, None, cells.runs), *_sizes(cells)]
    if cells.runs < 2:
        return rows
    return rows + _churns(cells, rng, resamples) + _shares(cells) + _quantiles(cells) + _ambiguities(cells)


def row_of(
    quantity: str,
    target: int | None,
    group: int | None,
    value: float,
    low: float = np.nan,
    high: float = np.nan,
    at: float | None = None,
    metric: str | None = None,
) -> Row:
    """One row of the long table `persons`, without the keys of technique, arm, seed and attribute."""
    row = {"quantity": quantity, "metric": metric, "target": target, "group": group, "at": at}
    return row | {"value": float(value), "low": float(low), "high": float(high)}


def _tables(cells: Cells, weights: NDArray | None = None) -> Floats:
    """Sums over cells by target and group, (1 + targets, 1 + groups); the first of each is all of them."""
    n_targets = int(cells.target.max()) + 1
    place = cells.target[cells.stratum] * cells.n_groups + cells.group
    sums = np.bincount(place, weights, minlength=n_targets * cells.n_groups).reshape(n_targets, cells.n_groups)
    sums = np.concatenate([sums.sum(axis=0, keepdims=True), sums])
    return np.concatenate([sums.sum(axis=1, keepdims=True), sums], axis=1)


def _places(table: Floats) -> list[tuple[int, int, int | None, int | None]]:
    """Position, target and group of every entry of such a table."""
    where = np.ndindex(table.shape[0], table.shape[1])
    return [(t, g, t - 1 if t else None, g - 1 if g else None) for t, g in where]


def _sizes(cells: Cells) -> list[Row]:
    table = _tables(cells)
    return [row_of("rows", target, group, table[t, g]) for t, g, target, group in _places(table)]


def _shares(cells: Cells) -> list[Row]:
    pairs, size, rows = cells.runs * (cells.runs - 1), _tables(cells), []
    of = {("share never", None): cells.disagreeing == 0, ("share coin flip", None): 2 * cells.disagreeing >= pairs}
    of |= {("share above", x): cells.disagreeing > x * pairs for x in ABOVE}
    for (quantity, at), chosen in of.items():
        share = _divide(_tables(cells, chosen), size, np.nan)
        places = [p for p in _places(share) if at is None or p[2] is None]
        rows += [row_of(quantity, target, group, share[t, g], at=at) for t, g, target, group in places]
    return rows


def _quantiles(cells: Cells) -> list[Row]:
    pairs, rows = cells.runs * (cells.runs - 1), []
    for group in (None, *range(cells.n_groups)):
        values = cells.disagreeing if group is None else cells.disagreeing[cells.group == group]
        found = np.quantile(values, QUANTILES) / pairs if values.size else np.full(len(QUANTILES), np.nan)
        rows += [row_of("churn quantile", None, group, v, at=q) for q, v in zip(QUANTILES, found, strict=True)]
    return rows


def _ambiguities(cells: Cells) -> list[Row]:
    rows = cells.choice.shape[1]
    found = {m: _ambiguity(cells.votes_by_count, rows, m) for m in range(2, cells.runs + 1)}
    return [row_of("ambiguity", None, None, value, at=m) for m, value in found.items()]


def _churns(cells: Cells, rng: np.random.Generator, resamples: int) -> list[Row]:
    place, shape = cells.group * cells.target.size + cells.stratum, (cells.n_groups, cells.target.size)
    churned = cells.disagreeing / (cells.runs * (cells.runs - 1))
    sums = [np.bincount(place, w, minlength=shape[0] * shape[1]).reshape(shape) for w in (churned, None)]
    resamples = resamples if cells.runs >= FEWEST_RUNS else 0
    seen, drawn = _estimates(*sums, cells.target), _estimates(*resampled(cells, rng, resamples), cells.target)
    rows = []
    for name, values in seen.items():
        ends = _percentiles(drawn[name]).T
        rows += [row_of(name[0], t - 1 if t else None, name[1], v, *ends[t]) for t, v in enumerate(values)]
    return rows


def _estimates(changed: Floats, size: Floats, target: Integers) -> dict[tuple[str, int | None], Floats]:
    """(quantity, group) -> (…, 1 + targets)."""
    n_targets = int(target.max()) + 1
    belongs = _belongs(target, n_targets)
    all_groups = _divide(changed.sum(axis=-2) @ belongs, size.sum(axis=-2) @ belongs, np.nan)
    own, gap = by_group(changed, size, target, n_targets)
    found = {("churn", None): all_groups}
    for group in range(size.shape[-2]):
        found |= {("churn", group): own[..., group, :], ("churn gap", group): gap[..., group, :]}
    return found


def _percentiles(drawn: Floats) -> Floats:
    """The 2.5th and 97.5th percentile over resamples (resamples, targets), as (2, targets).

    NaN where no resample is defined or all agree: nothing was seen to vary, which is no proof that nothing does.
    """
    ends = np.full((2, drawn.shape[1]), np.nan)
    defined = ~np.isnan(drawn).all(axis=0)
    ends[:, defined] = np.nanquantile(drawn[:, defined], (0.025, 0.975), axis=0)
    return np.where(ends[0] == ends[1], np.nan, ends)
