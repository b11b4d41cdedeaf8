"""fitlib's procedures on many simulated experiments at once: arrays (replicates, runs) in, one figure each out.

fitlib's own functions take one experiment; those that would be slow in a loop are written here a second time, over all
replicates, and `check` compares them with fitlib's on the first replicates of every simulated cell.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from fitlib.statistics import estimates as st
from fitlib.statistics import paper_protocol, permutation
from fitlib.statistics import risk as risks
from fitlib.statistics import significance as sig

ALPHA = 0.05
LOCATION = 10.0  # mean of both arms where nothing else is said: a coefficient of variation of .1
Values = np.ndarray


# Shares of replicates


@dataclass(frozen=True)
class Share:
    """``count`` of ``n`` replicates."""

    count: int
    n: int

    @property
    def value(self) -> float:
        return self.count / self.n

    @property
    def error(self) -> float:
        """Monte Carlo standard error; never 0, as none or all of n replicates do not prove 0 or 1."""
        p = (self.count + 1) / (self.n + 2)
        return math.sqrt(p * (1 - p) / self.n)

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} ± {100 * self.error:.1f}"


def share(hits: np.ndarray) -> Share:
    return Share(int(np.count_nonzero(hits)), int(np.size(hits)))


def covers(interval: tuple[np.ndarray, np.ndarray], truth: float) -> np.ndarray:
    return (interval[0] <= truth) & (truth <= interval[1])


# Tests: p-values (replicates,)


def exact_u(b: Values, t: Values) -> Values:
    """`significance.mann_whitney_exact` of samples without ties: p depends on U alone."""
    u = wins(b, t)
    found = {value: _p_of_u(int(value), b.shape[1], t.shape[1]) for value in np.unique(u)}
    return np.array([found[value] for value in u])


def wins(b: Values, t: Values) -> Values:
    """U: pairs of runs with technique > baseline; no ties."""
    ranks = np.concatenate([b, t], axis=1).argsort(axis=1).argsort(axis=1) + 1
    n = t.shape[1]
    return ranks[:, b.shape[1] :].sum(axis=1) - n * (n + 1) // 2


@cache
def _p_of_u(u: int, n_b: int, n_t: int) -> float:
    """fitlib's p of one sample of distinct values that has this U."""
    above, rest = divmod(u, n_b)
    technique = np.r_[np.full(above, n_b), [rest] * (above < n_t), np.zeros(max(0, n_t - above - 1))]
    return sig.mann_whitney_exact(np.arange(n_b) + 0.5, technique + np.arange(n_t) / (2 * n_t)).p


def welch_t(b: Values, t: Values) -> Values:
    return stats.ttest_ind(t, b, axis=1, equal_var=False).pvalue


def brown_forsythe(b: Values, t: Values) -> Values:
    """Brown-Forsythe p on raw values."""
    deviations = [np.abs(x - np.median(x, axis=1, keepdims=True)) for x in (b, t)]
    return stats.f_oneway(*deviations, axis=1).pvalue


def brown_forsythe_relative(b: Values, t: Values) -> Values:
    """Brown-Forsythe p on values/mean."""
    return brown_forsythe(b / b.mean(axis=1, keepdims=True), t / t.mean(axis=1, keepdims=True))


def brown_forsythe_permutation(b: Values, t: Values, rng: np.random.Generator, permutations: int = 199) -> Values:
    """fitlib's own, one experiment at a time."""
    pairs = zip(b, t, strict=True)
    return np.array([permutation.brown_forsythe_permutation(*pair, rng, permutations).p for pair in pairs])


def paper_mean(b: Values, t: Values) -> Values:
    """The study's mean test: one-sided U (SciPy's defaults), the side chosen by the observed means."""
    smaller = b.mean(axis=1) < t.mean(axis=1)
    less, greater = (stats.mannwhitneyu(b, t, alternative=side, axis=1).pvalue for side in ("less", "greater"))
    return np.where(smaller, less, greater)


def studentised(b: Values, t: Values, rng: np.random.Generator, permutations: int) -> Values:
    """`permutation.studentised`; 100 replicates share one draw of permutations."""
    parts = [slice(i, i + 100) for i in range(0, len(b), 100)]
    dealt = [permutation.splits(b.shape[1], t.shape[1], rng, permutations) for _ in parts]
    return np.concatenate([_studentised(b[part], t[part], ways) for part, ways in zip(parts, dealt, strict=True)])


def _studentised(b: Values, t: Values, dealt: permutation.Assignments) -> Values:
    values = np.concatenate([b, t], axis=1)
    values = values - values.mean(axis=1, keepdims=True)
    observed = (np.arange(values.shape[1]) >= b.shape[1])[None]
    found = np.abs(_welch_statistics(values, dealt.chosen.astype(float)))
    seen = np.abs(_welch_statistics(values, observed.astype(float)))
    return np.array([dealt.p(extreme) for extreme in (found >= seen * (1 - 1e-9)).sum(axis=0).tolist()])


def _welch_statistics(values: Values, chosen: Values) -> Values:
    """t of every (permutation, replicate), from sums and sums of squares of the chosen runs."""
    n_t, total = chosen[0].sum(), values.shape[1]
    n_b = total - n_t
    sums, squares = chosen @ values.T, chosen @ (values**2).T
    mean_t, mean_b = sums / n_t, (values.sum(axis=1) - sums) / n_b
    variance_t = (squares / n_t - mean_t**2) / (n_t - 1)
    variance_b = (((values**2).sum(axis=1) - squares) / n_b - mean_b**2) / (n_b - 1)
    return (mean_t - mean_b) / np.sqrt(np.maximum(variance_t + variance_b, 1e-300))


# Intervals: low and high (replicates,)


def welch_interval(b: Values, t: Values, confidence: float = 0.95) -> tuple[Values, Values]:
    """Difference of means, technique - baseline."""
    interval = stats.ttest_ind(t, b, axis=1, equal_var=False).confidence_interval(confidence)
    return interval.low, interval.high


def welch_error(b: Values, t: Values) -> tuple[Values, Values, Values]:
    """Difference of means, its standard error, and Satterthwaite's degrees of freedom."""
    parts = [x.var(axis=1, ddof=1) / x.shape[1] for x in (b, t)]
    squared = parts[0] + parts[1]
    df = squared**2 / sum(part**2 / (x.shape[1] - 1) for part, x in zip(parts, (b, t), strict=True))
    return t.mean(axis=1) - b.mean(axis=1), np.sqrt(squared), df


def mean_interval(x: Values) -> tuple[Values, Values]:
    return st.mean_intervals(x)[1:]


def sd_interval(x: Values, method: str) -> tuple[Values, Values]:
    return st.sd_intervals(x, method=method)[1:]


def d_interval(b: Values, t: Values) -> tuple[Values, Values]:
    """Cohen's d."""
    found = [st.cohens_d(*pair) for pair in zip(b, t, strict=True)]
    return np.array([d.low for d in found]), np.array([d.high for d in found])


def reversal_interval(b: Values, t: Values) -> tuple[Values, Values]:
    """Newcombe's interval of P(a technique's run exceeds a baseline's)."""
    u, m, n = wins(b, t), b.shape[1], t.shape[1]
    found = {value: _newcombe(int(value), m, n) for value in np.unique(u)}
    ends = np.array([found[value] for value in u])
    return ends[:, 0], ends[:, 1]


@cache
def _newcombe(u: int, m: int, n: int) -> tuple[float, float]:
    return risks.newcombe(u / (m * n), m, n)


# Agreement with fitlib


def check(b: Values, t: Values, replicates: int = 5) -> None:
    """AssertionError unless the functions above equal fitlib's on the first replicates (b, t: positive values)."""
    b, t = b[:replicates], t[:replicates]
    pairs = list(zip(b, t, strict=True))
    _equal(exact_u(b, t), [sig.mann_whitney_exact(*pair).p for pair in pairs])
    _equal(brown_forsythe(b, t), [sig.brown_forsythe(*pair).p for pair in pairs])
    _equal(brown_forsythe_relative(b, t), [sig.brown_forsythe(*pair, relative=True).p for pair in pairs])
    low, high = welch_interval(b, t)
    _equal(low, [st.welch(*pair).low for pair in pairs])
    _equal(high, [st.welch(*pair).high for pair in pairs])
    of_fitlib = [st.welch(*pair) for pair in pairs]
    for i, name in enumerate(("value", "error", "df")):
        _equal(welch_error(b, t)[i], [getattr(one, name) for one in of_fitlib])
    dealt = permutation.splits(b.shape[1], t.shape[1], np.random.default_rng(0), 99)
    _equal(_studentised(b, t, dealt), [permutation.studentised(*pair, dealt=dealt).p for pair in pairs])
    study = [paper_protocol.compare(*pair) for pair in pairs]
    _equal(paper_mean(b, t), [one.p_mean for one in study])
    _check_reversal(b, t, pairs)


def _check_reversal(b: Values, t: Values, pairs: list) -> None:
    for (low, high), pair in zip(np.transpose(reversal_interval(b, t)), pairs, strict=True):
        own = risks.verdict_reversal(*pair)
        if own.estimable:
            flipped = st.welch(*pair).value > 0
            _equal([own.low, own.high], [1 - high, 1 - low] if flipped else [low, high])


def _equal(one: Values, other: Values) -> None:
    np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), rtol=1e-8, atol=1e-12)


# Shapes: samplers with mean 0 and SD 1, and the distribution function


NAMES = {"normal": "normal", "t3": "t, 3 df", "t5": "t, 5 df", "skewed": "exponential"}


def sample(shape: str, rng: np.random.Generator, size: tuple[int, ...]) -> Values:
    draw: dict[str, Callable[[], Values]] = {
        "normal": lambda: rng.standard_normal(size),
        "t3": lambda: rng.standard_t(3, size) / math.sqrt(3),
        "t5": lambda: rng.standard_t(5, size) / math.sqrt(5 / 3),
        "skewed": lambda: rng.standard_exponential(size) - 1,
    }
    return draw[shape]()


def distribution(shape: str):
    """The SciPy distribution of `sample`."""
    return {
        "normal": stats.norm(),
        "t3": stats.t(3, scale=1 / math.sqrt(3)),
        "t5": stats.t(5, scale=1 / math.sqrt(5 / 3)),
        "skewed": stats.expon(loc=-1),
    }[shape]


def probability_above(shape: str, ratio: float, shift: float, points: int = 200_000) -> float:
    """P(ratio·X + shift > Y), X and Y of this shape: the average of Y's distribution function over X's quantiles."""
    both = distribution(shape)
    quantiles = both.ppf((np.arange(points) + 0.5) / points)
    return float(both.cdf(ratio * quantiles + shift).mean())
