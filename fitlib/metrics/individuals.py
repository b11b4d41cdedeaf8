"""Individuals: how often two runs decide differently about the same person, and which groups are affected.

Churn of a row = probability that two of n runs disagree about it, 1 - Σ_c k_c(k_c - 1)/(n(n - 1)), with k_c runs that
predict class c; it is 1 - self-consistency (Cooper et al., "Arbitrariness and Social Prediction", AAAI 2024). Ambiguity
= share of rows on which not all runs agree (Marx et al., ICML 2020); it grows with n. A decision is about a row, in
multi-label predictions about a row and a label; its stratum is its true class (the label with its truth). Groups are
compared within strata, so that a group is not blamed for having the harder classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fitlib.metrics.counts import unit_numbers

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Row = dict[str, object]

RESAMPLES = 1000
FEWEST_RUNS = 3  # for an interval: two runs are a single pair, from which nothing can be inferred about pairs
ABOVE = (0.0, 0.1, 0.2, 0.3, 0.4)  # the churn beyond which shares of decisions are reported
QUANTILES = (0.5, 0.9, 0.99)
MOST_CELLS = 1 << 22  # of one table of votes or of resamples, to bound the memory


# Votes


def agreeing_pairs(prediction: NDArray, n_classes: int) -> Integers:
    """Count the ordered pairs of runs that agree about each row, Σ_c k_c(k_c - 1).

    prediction (runs, rows), classes from 0 on.
    """
    rows, step = prediction.shape[1], max(1, MOST_CELLS // max(n_classes, len(prediction)))
    parts = [_agreeing(vote_counts(prediction[:, i : i + step], n_classes)) for i in range(0, rows, step)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def vote_counts(prediction: NDArray, n_classes: int) -> Integers:
    """Count the runs that predict each class, (rows, classes); prediction (runs, rows)."""
    rows = prediction.shape[1]
    cell = np.arange(rows) * n_classes + prediction
    return np.bincount(cell.ravel(), minlength=rows * n_classes).reshape(rows, n_classes)


def _agreeing(votes: Integers) -> Integers:
    return (votes * (votes - 1)).sum(axis=1)


def churn(prediction: NDArray, n_classes: int) -> Floats:
    """Return the churn of each row of prediction (runs, rows): the share of pairs of runs that disagree.

    NaN for fewer than two runs.

    >>> churn(np.array([[0, 1], [0, 1], [0, 0]]), n_classes=2).round(3).tolist()
    [0.0, 0.667]
    """
    n = len(prediction)
    if n < 2:
        return np.full(prediction.shape[1], np.nan)
    return 1 - agreeing_pairs(prediction, n_classes) / (n * (n - 1))


def churn_of_votes(votes: NDArray) -> Floats:
    """Return the churn of each row of votes (rows, classes), all of the same number of runs; NaN for fewer than 2.

    >>> churn_of_votes(np.array([[3, 0], [1, 2]])).round(3).tolist()
    [0.0, 0.667]
    """
    votes = np.asarray(votes, dtype=np.int64)
    n = int(votes.sum(axis=1).max(initial=0))
    if n < 2:
        return np.full(len(votes), np.nan)
    return 1 - _agreeing(votes) / (n * (n - 1))


def ambiguity(votes: NDArray, runs: int) -> float:
    """Return the expected share of rows on which `runs` runs, drawn without replacement from all n, do not all agree.

    votes (rows, classes); 1 - mean over rows of Σ_c C(k_c, runs)/C(n, runs), exact (hypergeometric). With `runs` = n
    the ambiguity itself, with 2 the mean churn. NaN without rows; raises ValueError unless 2 <= runs <= n.

    >>> ambiguity(np.array([[3, 0], [1, 2]]), runs=3)
    0.5
    """
    votes = np.asarray(votes, dtype=np.int64)
    if not len(votes):
        return float("nan")
    n = int(votes.sum(axis=1).max())
    if not 2 <= runs <= n:
        raise ValueError(f"runs = {runs}: ambiguity needs 2 to {n} of these runs")
    return _ambiguity(np.bincount(votes.ravel(), minlength=n + 1), len(votes), runs)


def _ambiguity(histogram: Integers, rows: int, runs: int) -> float:
    """Return the ambiguity from `histogram`: how many (row, class) have 0, 1, …, n votes."""
    n = histogram.size - 1
    if not histogram[1:n].any():
        return 0.0
    chance, k = np.ones(n + 1), np.arange(n + 1)
    for drawn in range(runs):
        chance *= np.maximum(k - drawn, 0) / (n - drawn)
    return float(1 - histogram @ chance / rows)


# Decisions


@dataclass(frozen=True)
class Decisions:
    """The decisions of all runs about persons, with the groups of one protected attribute.

    choice (runs, decisions): the class, or the label's 0/1; group, stratum and unit (decisions,) count from 0; target
    (strata,) is each stratum's class or label.
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
        """The number of runs."""
        return len(self.choice)

    @cached_property
    def votes_by_count(self) -> Integers:
        """Number of (decision, choice) that have 0, 1, …, n votes."""
        step = max(1, MOST_CELLS // max(self.n_choices, self.runs))
        total = np.zeros(self.runs + 1, dtype=np.int64)
        for i in range(0, self.choice.shape[1], step):
            counts = vote_counts(self.choice[:, i : i + step], self.n_choices)
            total += np.bincount(counts.ravel(), minlength=self.runs + 1)
        return total

    @cached_property
    def disagreeing(self) -> Integers:
        """Number of ordered pairs of runs that disagree about each decision, of runs·(runs - 1)."""
        return self.runs * (self.runs - 1) - agreeing_pairs(self.choice, self.n_choices)


def decisions_of(predictions: Predictions, attribute: str) -> Decisions:
    """Return the decisions in stacked predictions."""
    p, unit, group = predictions, unit_numbers(predictions), predictions.protected[attribute]
    if not p.multilabel:
        target = np.arange(p.n_classes)
        return Decisions(p.prediction, group, p.ground_truth, unit, target, p.n_groups[attribute], p.n_classes)
    labels = p.n_classes
    stratum = (2 * np.arange(labels) + p.ground_truth).ravel()
    choice = p.prediction.reshape(len(p.prediction), -1)
    target = np.repeat(np.arange(labels), 2)
    return Decisions(choice, group.repeat(labels), stratum, unit.repeat(labels), target, p.n_groups[attribute], 2)


# Groups within strata


def churn_by_group(changed: NDArray, size: NDArray, target: Integers, n_targets: int) -> tuple[Floats, Floats]:
    """Return the churn of each group and its gap to the other groups, within strata.

    changed, size (…, groups, strata): summed churn and number of decisions. A stratum counts where the group and the
    others both have decisions, with its share of all decisions as weight. Returns (churn, gap), each (…, groups, 1 +
    n_targets): over all strata, then within those of each target; NaN where nothing can be compared.
    """
    others, rest = size.sum(axis=-2, keepdims=True) - size, changed.sum(axis=-2, keepdims=True) - changed
    weight = np.where((size > 0) & (others > 0), size + others, 0.0)
    inside = _weighted_mean(_divide(changed, size), weight, target, n_targets)
    return inside, inside - _weighted_mean(_divide(rest, others), weight, target, n_targets)


def _weighted_mean(values: Floats, weight: Floats, target: Integers, n_targets: int) -> Floats:
    belongs = _belongs(target, n_targets)
    return _divide((values * weight) @ belongs, weight @ belongs, np.nan)


def _belongs(target: Integers, n_targets: int) -> Floats:
    """Return 1 where a stratum counts, (strata, 1 + targets): all in the first column, then those of each target."""
    return np.vstack([np.ones(target.size), target == np.arange(n_targets)[:, None]]).T


def _divide(part: NDArray, whole: NDArray, empty: float = 0.0) -> Floats:
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, empty), where=whole > 0)


# Resampling runs and units

# A column for each decision and choice of any run, (runs, columns) 0/1; the decisions of the first, second, … choices
_VoteColumns = tuple[NDArray, list[NDArray]]


def resample(decisions: Decisions, rng: np.random.Generator, resamples: int = RESAMPLES) -> tuple[Floats, Floats]:
    """Draw summed churn and number of decisions by group and stratum in a crossed bootstrap.

    Each is (resamples, groups, strata). Runs and test units are drawn with replacement, independently of each other
    (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007); a unit takes all its decisions with it.
    Only pairs of different runs count, as two copies of one run cannot disagree. A draw of a single run gives NaN.
    """
    place = decisions.group * decisions.target.size + decisions.stratum
    shape = (decisions.n_groups, decisions.target.size)
    # Decisions on which all runs agree have no churn in any resample: only the others are resampled, sorted by place.
    varying = np.flatnonzero(decisions.disagreeing)
    varying = varying[np.argsort(place[varying], kind="stable")]
    columns = _vote_columns(decisions, varying)
    step = max(1, MOST_CELLS // max(columns[0].shape[1], decisions.unit.size))
    sizes = [min(step, resamples - i) for i in range(0, resamples, step)]
    parts = [_draw(decisions, place, varying, columns, rng, size) for size in sizes] or [(np.zeros((0, *shape)),) * 2]
    changed, size = (np.concatenate(part).reshape(-1, *shape) for part in zip(*parts, strict=True))
    return changed, size


def _vote_columns(decisions: Decisions, varying: NDArray) -> _VoteColumns:
    """Return the columns of the varying decisions: the first choice of each, then the second of each, and so on."""
    chosen = decisions.choice[:, varying]
    owner, choice = np.nonzero(vote_counts(chosen, decisions.n_choices))
    number = np.arange(owner.size) - np.searchsorted(owner, owner)  # of the choice among those of its decision
    order = np.argsort(number, kind="stable")
    columns = (chosen[:, owner[order]] == choice[order]).astype(np.float32)
    return columns, np.split(owner[order], np.cumsum(np.bincount(number))[:-1])


def _draw(
    decisions: Decisions,
    place: Integers,
    varying: NDArray,
    columns: _VoteColumns,
    rng: np.random.Generator,
    resamples: int,
) -> tuple[NDArray, NDArray]:
    runs = rng.multinomial(decisions.runs, np.full(decisions.runs, 1 / decisions.runs), size=resamples)
    units = int(decisions.unit.max()) + 1
    copies = np.stack([np.bincount(rng.integers(0, units, units), minlength=units) for _ in range(resamples)])
    n_places = decisions.n_groups * decisions.target.size
    size = np.stack([np.bincount(place, weights=row[decisions.unit], minlength=n_places) for row in copies])
    churns = _churn_of_draws(runs, *columns, varying.size)
    changed = _sums(churns * copies[:, decisions.unit[varying]], place[varying], n_places)
    return np.where(np.isnan(churns[:, :1]) if varying.size else False, np.nan, changed), size


def _churn_of_draws(runs: Integers, choice: NDArray, owners: list[NDArray], n_decisions: int) -> Floats:
    """Return the churn (resamples, decisions) if run r was drawn runs[:, r] times; choice, owners: `_VoteColumns`."""
    # Pairs of different runs: all pairs, without those of copies of one run, which number Σ_r runs_r² on both sides.
    pairs = runs.sum(axis=1) ** 2 - (runs**2).sum(axis=1)
    agree = (runs.astype(np.float32) @ choice) ** 2
    same, at = np.zeros((len(runs), n_decisions)), 0
    for owner in owners:  # whole numbers, exact in any order
        every = owner.size == n_decisions
        same[:, slice(None) if every else owner] += agree[:, at : at + owner.size]
        at += owner.size
    same -= (runs**2).sum(axis=1)[:, None]
    return _divide(pairs[:, None] - same, np.broadcast_to(pairs[:, None], same.shape), np.nan)


def _sums(values: Floats, place: NDArray, n_places: int) -> Floats:
    """Sum columns (…, columns) by their ascending `place`; 0 where there is none."""
    sums = np.zeros((len(values), n_places))
    if place.size:
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        sums[:, place[starts]] = np.add.reduceat(values, starts, axis=1)
    return sums


# Rows of the long table


def individual_rows(
    predictions: Predictions, attribute: str, rng: np.random.Generator, resamples: int = RESAMPLES
) -> list[Row]:
    """Return churn and ambiguity as rows of the long table `persons`.

    Keys: quantity, metric (None), target (class or label, None = all), group (None = all), at, value, low, high;
    intervals 95 %, percentiles of `resample`, from 3 runs on. Quantities: "runs"; "rows" (decisions); "churn" (of a
    group: over its true classes, with the weights of all rows); "churn gap" (group - all other groups, within true
    classes); "share never" (churn 0), "share coin flip" (churn at least ½) and "share above" (churn beyond `at`) of the
    decisions, unweighted; "churn quantile" at `at`; "ambiguity" of `at` runs. With fewer than 2 runs only "runs" and
    "rows".
    """
    d = decisions_of(predictions, attribute)
    rows = [person_row("runs", None, None, d.runs), *_sizes(d)]
    if d.runs < 2:
        return rows
    return rows + _churns(d, rng, resamples) + _shares(d) + _quantiles(d) + _ambiguities(d)


def person_row(
    quantity: str,
    target: int | None,
    group: int | None,
    value: float,
    low: float = np.nan,
    high: float = np.nan,
    at: float | None = None,
    metric: str | None = None,
) -> Row:
    """Return a row of the long table `persons`, without the keys technique, arm, seed and attribute."""
    row: Row = {"quantity": quantity, "metric": metric, "target": target, "group": group, "at": at}
    return row | {"value": float(value), "low": float(low), "high": float(high)}


def _tables(decisions: Decisions, weights: NDArray | None = None) -> Floats:
    """Sum over decisions by target and group, (1 + targets, 1 + groups); the first of each is the total."""
    n_targets, n_groups = int(decisions.target.max()) + 1, decisions.n_groups
    place = decisions.target[decisions.stratum] * n_groups + decisions.group
    sums = np.bincount(place, weights, minlength=n_targets * n_groups).reshape(n_targets, n_groups)
    sums = np.concatenate([sums.sum(axis=0, keepdims=True), sums])
    return np.concatenate([sums.sum(axis=1, keepdims=True), sums], axis=1)


def _places(table: Floats) -> list[tuple[int, int, int | None, int | None]]:
    """Return position, target and group of every entry of such a table."""
    where = np.ndindex(table.shape[0], table.shape[1])
    return [(t, g, t - 1 if t else None, g - 1 if g else None) for t, g in where]


def _sizes(d: Decisions) -> list[Row]:
    table = _tables(d)
    return [person_row("rows", target, group, table[t, g]) for t, g, target, group in _places(table)]


def _shares(d: Decisions) -> list[Row]:
    pairs, size, rows = d.runs * (d.runs - 1), _tables(d), []
    masks: dict[tuple[str, float | None], NDArray[np.bool_]] = {
        ("share never", None): d.disagreeing == 0,
        ("share coin flip", None): 2 * d.disagreeing >= pairs,
        **{("share above", x): d.disagreeing > x * pairs for x in ABOVE},
    }
    for (quantity, at), chosen in masks.items():
        share = _divide(_tables(d, chosen), size, np.nan)
        places = [p for p in _places(share) if at is None or p[2] is None]
        rows += [person_row(quantity, target, group, share[t, g], at=at) for t, g, target, group in places]
    return rows


def _quantiles(d: Decisions) -> list[Row]:
    pairs, rows = d.runs * (d.runs - 1), []
    for group in (None, *range(d.n_groups)):
        values = d.disagreeing if group is None else d.disagreeing[d.group == group]
        found = np.quantile(values, QUANTILES) / pairs if values.size else np.full(len(QUANTILES), np.nan)
        rows += [person_row("churn quantile", None, group, v, at=q) for q, v in zip(QUANTILES, found, strict=True)]
    return rows


def _ambiguities(d: Decisions) -> list[Row]:
    rows = d.choice.shape[1]
    found = {m: _ambiguity(d.votes_by_count, rows, m) for m in range(2, d.runs + 1)}
    return [person_row("ambiguity", None, None, value, at=m) for m, value in found.items()]


def _churns(d: Decisions, rng: np.random.Generator, resamples: int) -> list[Row]:
    place, shape = d.group * d.target.size + d.stratum, (d.n_groups, d.target.size)
    churns = d.disagreeing / (d.runs * (d.runs - 1))
    changed, size = (np.bincount(place, w, minlength=shape[0] * shape[1]).reshape(shape) for w in (churns, None))
    observed = _estimates(changed, size, d.target)
    drawn = _estimates(*resample(d, rng, resamples if d.runs >= FEWEST_RUNS else 0), d.target)
    rows = []
    for (quantity, group), values in observed.items():
        ends = _percentiles(drawn[quantity, group]).T
        rows += [person_row(quantity, t - 1 if t else None, group, v, *ends[t]) for t, v in enumerate(values)]
    return rows


def _estimates(changed: NDArray, size: NDArray, target: Integers) -> dict[tuple[str, int | None], Floats]:
    """Return (quantity, group) -> (…, 1 + targets)."""
    n_targets = int(target.max()) + 1
    belongs = _belongs(target, n_targets)
    all_groups = _divide(changed.sum(axis=-2) @ belongs, size.sum(axis=-2) @ belongs, np.nan)
    inside, gap = churn_by_group(changed, size, target, n_targets)
    found: dict[tuple[str, int | None], Floats] = {("churn", None): all_groups}
    for group in range(size.shape[-2]):
        found |= {("churn", group): inside[..., group, :], ("churn gap", group): gap[..., group, :]}
    return found


def _percentiles(drawn: Floats) -> Floats:
    """Return the 2.5th and 97.5th percentile over resamples (resamples, targets), as (2, targets).

    NaN if no resample is defined or all are equal: that nothing varied in the sample does not prove that nothing does.
    """
    ends = np.full((2, drawn.shape[1]), np.nan)
    defined = ~np.isnan(drawn).all(axis=0)
    ends[:, defined] = np.nanquantile(drawn[:, defined], (0.025, 0.975), axis=0)
    return np.where(ends[0] == ends[1], np.nan, ends)
