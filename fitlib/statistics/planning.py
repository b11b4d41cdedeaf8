"""Planning: how probable each verdict is with a given number of runs, for normal runs with a given true difference.

A comparison is planned from numbers: the standard deviations of its samples, two (baseline and technique, `welch`) or
one (of the differences paired by run, or over seeds), the runs of each, the smallest effect δ and the level of the
verdict. Nothing here is a power "to show δ": at a true difference of exactly -δ the verdict "fairer" comes with
probability level/2, however many runs there are. What more runs change is P("fairer") beyond δ, P("equivalent") near 0,
and how often neither comes.

The standard deviations of a pilot are estimates. Given s² from a sample of ``df`` degrees of freedom, the true variance
is taken as s² df/χ²(df), independently for each sample. Averaging the probability of a verdict over it is its
assurance (O'Hagan, Stevens & Campbell 2005, Pharmaceutical Statistics 4, 187-201); its quantiles show what is
uncertain.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, special, stats

from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, LESS_FAIR, RUNS, VERDICTS

Floats = NDArray[np.float64]
NUMBERS = (3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)  # of runs of each, in tables and figures
MULTIPLES = (0, 1, 2, 3)  # true differences in tables and figures: so many times δ towards fairer
WORLDS = 250  # true standard deviations that a pilot leaves possible
POINTS, DECLARED_POINTS = 24, 1000  # sample variances of the planned runs, for each of these worlds; without a pilot
BAND = (0.1, 0.9)  # quantiles over the worlds


def verdict_chances(
    differences: ArrayLike,
    sds: Sequence[float],
    sizes: Sequence[int],
    smallest_effect: float,
    level: float,
    df: Sequence[int] | None = None,
) -> Floats:
    """Return the probability of every verdict, (worlds, differences, verdicts), verdicts in the order of `VERDICTS`.

    ``differences``: true differences technique - baseline, (differences,). ``sds``, ``sizes``: standard deviation and
    number of runs of each sample, in the order baseline, technique; one of each for paired differences. ``df``: degrees
    of freedom from which a pilot estimated ``sds``; the worlds are then `WORLDS` values of the true SDs, equally
    probable: average them. Without it there is one world. All 0 below `RUNS` runs, where there is no
    verdict. ValueError if no SD is positive.

    The regions of the difference of means that lead to the verdicts (`fitlib.statistics.verdicts.judge`) follow from
    the sample variances, which are independent of it. So the probabilities are exact given the variances, and are
    averaged over a quasi-random sequence of these: within .004 of simulated experiments, .008 with ``df``, where the
    single worlds are known less precisely (SD at most .02).

    >>> chances = verdict_chances([0, -0.01, -0.02], (0.008, 0.008), (16, 16), smallest_effect=0.01, level=0.05)
    >>> chances[0, :, VERDICTS.index("fairer")].round(3).tolist()  # equal, better by δ, better by 2δ
    [0.0, 0.025, 0.927]
    """
    if not max(sds) > 0:
        raise ValueError(f"standard deviations {tuple(sds)}: runs that never vary have no interval to plan")
    differences = np.atleast_1d(np.asarray(differences, dtype=np.float64))
    if min(sizes) < RUNS:
        return np.zeros((1 if df is None else WORLDS, differences.size, len(VERDICTS)))
    true = _true_variances(sds, df)
    cuts = _cuts(true, sizes, smallest_effect, level, DECLARED_POINTS if df is None else POINTS)
    spread = np.sqrt((true / np.asarray(sizes)).sum(axis=-1))
    below = special.ndtr((cuts[:, None] - differences[:, None, None]) / spread[:, None, None, None])
    edges = np.zeros((*below.shape[:-2], 1, below.shape[-1]))
    parts = np.diff(np.concatenate([edges, below, edges + 1], axis=-2), axis=-2).mean(axis=-1)
    fairer, lower, left, equivalent, right, higher, less_fair = np.moveaxis(parts, -1, 0)
    return np.stack([fairer, lower, equivalent, left + right, higher, less_fair], axis=-1)


def undecided(chances: Floats) -> Floats:
    """Return the probability that a verdict is none of fairer, equivalent and less fair; ``chances`` (..., verdicts).

    What is left up to 1 is a false "less fair", of probability level/2 at most if the technique is no less fair.
    """
    decided = [VERDICTS.index(name) for name in (FAIRER, EQUIVALENT, LESS_FAIR)]
    return np.asarray(chances.sum(axis=-1) - chances[..., decided].sum(axis=-1))


def bonferroni_level(comparisons: int, metrics: int, alpha: float = 0.05) -> float:
    """Return the level of each of comparisons x metrics verdicts that certainly hold together: alpha / their number.

    ``metrics``: of the family, 1 if a primary metric is declared. A lower bound for planning before there are runs: the
    level that `fitlib.statistics.simultaneous.family_level` finds in them is at least as large, as the metrics of a run
    go together. It depends on how many verdicts there are, hardly on the number of runs. ValueError below one of each.

    >>> bonferroni_level(comparisons=9, metrics=5) == 0.05 / 45
    True
    """
    if min(comparisons, metrics) < 1:
        raise ValueError(f"{comparisons} comparisons, {metrics} metrics: at least one of each")
    return alpha / (comparisons * metrics)


# Parts


def _true_variances(sds: Sequence[float], df: Sequence[int] | None) -> Floats:
    """Return the true variances that the SDs leave possible, (worlds, samples)."""
    variances = np.square(np.asarray(sds, dtype=np.float64))[None]
    return variances if df is None else variances / _mean_squares(tuple(int(d) for d in df), WORLDS)


def _cuts(true: Floats, sizes: Sequence[int], effect: float, level: float, points: int) -> Floats:
    """Return the six differences of means at which the verdict changes, rising, (worlds, 6, points)."""
    n = np.asarray(sizes)
    # Each world has its own places, a shifted copy of the same lattice, so that their errors cancel in the average.
    drawn = _mean_squares(tuple(int(m) - 1 for m in sizes), len(true) * points).reshape(len(true), points, len(sizes))
    squared = true[:, None] * drawn / n  # of the errors of the means
    error = np.sqrt(squared.sum(axis=-1))
    df = error**4 / (squared**2 / (n - 1)).sum(axis=-1)
    half = -_quantiles(level / 2, df) * error
    # "equivalent" where |difference| <= effect - t(level) error; nowhere if that is negative
    inner = np.maximum(effect + _quantiles(min(level, 0.5), df) * error, 0.0)
    outer = np.maximum(half, inner)
    return np.stack([-effect - half, -outer, -inner, inner, outer, effect + half], axis=1)


def _quantiles(p: float, df: Floats) -> Floats:
    """Return the quantiles of Student's t for many degrees of freedom, interpolated in 1/df: ten times as fast."""
    inverse = 1 / df
    low, high = float(inverse.min()), float(inverse.max())
    if high - low < 1e-9:
        return np.full_like(df, special.stdtrit(1 / high, p))
    nodes = np.linspace(low, high, 25)
    return np.asarray(interpolate.CubicSpline(nodes, special.stdtrit(1 / nodes, p))(inverse))


@lru_cache(maxsize=512)
def _mean_squares(df: tuple[int, ...], points: int) -> Floats:
    """Return χ²(df)/df of each sample at ``points`` equally probable places, (points, samples)."""
    return np.asarray(stats.chi2.ppf(_quasi_random(points, len(df)), df) / np.asarray(df))


def _quasi_random(points: int, dimensions: int) -> Floats:
    """Return an additive recurrence on the generalised golden ratio (Roberts 2018), (points, dimensions) in (0, 1)."""
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    return np.asarray((0.5 + np.outer(np.arange(points), steps)) % 1)
