"""Risks over runs: how often a rule is broken, how often two runs disagree, how often a verdict would be reversed.

Pure functions on counts and arrays. Every probability is about retraining under the conditions of the given runs (for
FIT runs, with the same seed). The four-fifths rule is a rule of thumb of US employment law (29 CFR 1607.4(D)), neither
necessary nor sufficient; no legal conclusion is drawn here.
"""

import math
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from fitlib.statistics.estimates import NOT_ESTIMABLE, Estimate, welch

NO_DIRECTION = "direction not established (up to ½)"


@lru_cache(maxsize=4096)
def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Estimate:
    """Return the share k/n of runs with its exact interval (Clopper & Pearson 1934): beta quantiles.

    Raises ValueError unless 0 <= k <= n. Valid for an ``n`` fixed beforehand.

    >>> found = clopper_pearson(0, 16)
    >>> found.value, found.low, round(found.high, 3)
    (0.0, 0.0, 0.206)
    """
    if not 0 <= k <= n:
        raise ValueError(f"k = {k}, n = {n}: k must be in 0..n")
    method, tail = "Clopper-Pearson", (1 - confidence) / 2
    if n == 0:
        return Estimate(None, None, None, 0, method, confidence, NOT_ESTIMABLE + "no runs")
    low = float(stats.beta.ppf(tail, k, n - k + 1)) if k > 0 else 0.0
    high = float(stats.beta.isf(tail, k + 1, n - k)) if k < n else 1.0
    return Estimate(k / n, low, high, n, method, confidence)


def disagreement(k: int, n: int, confidence: float = 0.95) -> Estimate:
    """Return the probability that two runs disagree if ``k`` of ``n`` are positive: 2k(n-k)/(n(n-1)), unbiased.

    The interval is the image of Clopper-Pearson's under 2p(1-p), which rises up to p = ½ and falls after it; so the
    unbiased value may be above an upper end of ½. Needs two runs.

    >>> round(disagreement(4, 16).value, 3)
    0.4
    """
    method, share = "Clopper-Pearson, image under 2p(1-p)", clopper_pearson(k, n, confidence)
    if n < 2:
        return Estimate(None, None, None, n, method, confidence, NOT_ESTIMABLE + "fewer than 2 runs")
    low, high = share.ends
    ends = [2 * q * (1 - q) for q in (low, high)]
    largest = 0.5 if low <= 0.5 <= high else max(ends)
    return Estimate(2 * k * (n - k) / (n * (n - 1)), min(ends), largest, n, method, confidence)


def below_four_fifths(selected: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the lowest group's selection rate is below four fifths of the highest's, compared in integers.

    ``selected`` int (runs, groups), ``size`` int (groups,); groups of size 0 are ignored. Returns (below, defined),
    each bool (runs,): below = 5·q_low·n_high < 4·q_high·n_low; undefined if nobody is selected or fewer than two groups
    have members.

    >>> below, defined = below_four_fifths(np.array([[40, 31], [40, 32], [0, 0]]), np.array([50, 50]))
    >>> below.tolist(), defined.tolist()  # exactly four fifths is not below
    ([True, False, False], [True, True, False])
    """
    selected, size = _members(selected, size)
    # The extreme pair fulfils the inequality if and only if any pair does: no ranking of rates, no rounding.
    below = 5 * selected[:, :, None] * size[None, None, :] < 4 * selected[:, None, :] * size[None, :, None]
    defined = np.logical_and(selected.any(axis=1), size.size > 1)
    return np.logical_and(below.any(axis=(1, 2)), defined), defined


def impact_ratio(selected: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the lowest over the highest selection rate of the groups, (runs,); NaN as in `below_four_fifths`.

    >>> impact_ratio(np.array([[40, 31], [0, 0]]), np.array([50, 50])).round(3).tolist()
    [0.775, nan]
    """
    selected, size = _members(selected, size)
    ratio = np.full(len(selected), np.nan)
    if size.size > 1:
        rates = selected / size
        highest = rates.max(axis=1)
        np.divide(rates.min(axis=1), highest, out=ratio, where=highest > 0)
    return ratio


def verdict_reversal(
    baseline: np.ndarray,
    technique: np.ndarray,
    confidence: float = 0.95,
    k: int = 1,
    rng: np.random.Generator | None = None,
    resamples: int = 20_000,
) -> Estimate:
    """Return the probability that the means of ``k`` new runs of each differ in the opposite direction.

    Opposite to the true difference of means. Ties count ½. Estimated by the share of pairs of runs; for ``k`` > 1 by
    ``resamples`` pairs of means of k runs drawn with replacement from ``rng``, with k at most half of the runs. A
    number only if Welch's interval excludes 0, else the direction is not established. Interval: Newcombe (2006),
    Statistics in Medicine 25, 559-573, method 5: the solutions θ of |θ - estimate| = z sqrt(V(θ)),
    V = θ(1-θ)[1 + (n*-1)((1-θ)/(2-θ) + θ/(1+θ))]/(mn), n* = (m+n)/2; valid at separation. Blocks of k runs are
    replicated, so m and n are floor(m/k) and floor(n/k). ValueError without ``rng`` for k > 1, or for k < 1.
    """
    b, t = np.asarray(baseline, dtype=np.float64), np.asarray(technique, dtype=np.float64)
    if k < 1 or (k > 1 and rng is None):
        raise ValueError(f"k = {k}: must be at least 1, and rng is needed for more than one run")
    n, blocks = b.size + t.size, (b.size // k, t.size // k)
    method = "Newcombe (2006), method 5" + (f", of blocks of {k} runs" if k > 1 else "")
    difference = welch(b, t, confidence)
    if not difference.estimable or difference.ends[0] <= 0 <= difference.ends[1]:
        return Estimate(None, None, None, n, method, confidence, NO_DIRECTION)
    if k > 1 and min(blocks) < 2:
        return Estimate(None, None, None, n, method, confidence, NOT_ESTIMABLE + "k is more than half of the runs")
    # Without a generator k is 1, as checked above.
    above = _share_above(t[:, None] - b if k == 1 or rng is None else _mean_differences(b, t, k, rng, resamples))
    fell = difference.ends[1] < 0
    value = above if fell else 1 - above
    low, high = newcombe(value, *blocks, confidence)
    return Estimate(value, low, high, n, method, confidence)


def _share_above(difference: np.ndarray) -> float:
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _mean_differences(b: np.ndarray, t: np.ndarray, k: int, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Draw differences of means of k runs with replacement, (resamples,); rounding residue is set to 0."""
    means = [x[rng.integers(x.size, size=(resamples, k))].mean(axis=1) for x in (b, t)]
    difference, largest = means[1] - means[0], max(np.abs(b).max(), np.abs(t).max())
    return np.where(np.abs(difference) <= 8 * np.finfo(float).eps * largest, 0.0, difference)


def newcombe(theta: float, m: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Newcombe's (2006) method-5 interval for a Mann-Whitney parameter ``theta`` from ``m`` x ``n`` pairs."""
    if theta > 0.5:
        low, high = newcombe(1 - theta, m, n, confidence)
        return 1 - high, 1 - low
    z2 = float(stats.norm.isf((1 - confidence) / 2)) ** 2

    def excess(true: float) -> float:
        shape = (1 - true) / (2 - true) + true / (1 + true)
        return (true - theta) ** 2 - z2 * true * (1 - true) * (1 + ((m + n) / 2 - 1) * shape) / (m * n)

    low = optimize.brentq(excess, 0.0, theta, xtol=1e-14) if theta > 0 else 0.0
    # At separation 0 is a root, too; the interval ends at the other one.
    return low, optimize.brentq(excess, max(theta, math.ulp(1.0)), 1.0, xtol=1e-14)


def _members(selected: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = np.asarray(size, dtype=np.int64)
    return np.asarray(selected, dtype=np.int64)[:, size > 0], size[size > 0]
