"""Tests of a technique against its baseline: exact rank tests, tests of spread, and corrections for several tests.

Pure functions on arrays of shape (runs,), as in `fitlib.statistics.estimates`, without NaN. A test that cannot be made
has None with a reason (``note``), never NaN. Permutation tests of means and spread are in
`fitlib.statistics.permutation`, power is in `fitlib.statistics.power`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from fitlib.statistics.estimates import NOT_ESTIMABLE, as_runs, is_constant, means, paired_runs, run_differences

MOST_EXACT_PAIRS = 10_000  # exact U takes under a second up to 100 v 100 runs, and beyond that grows steeply
INFINITE = "; the statistic is infinite, p by exact permutation"
APPROXIMATE_U = "Mann-Whitney U, normal approximation with tie correction"


@dataclass(frozen=True)
class Test:
    """A test of baseline against technique; ``n``: runs of each; ``smallest_p``: the smallest p attainable."""

    __test__ = False  # or pytest collects a class of this name

    statistic: float | None
    p: float | None
    smallest_p: float | None
    n: tuple[int, ...]
    method: str
    note: str = ""


# Two techniques


def mann_whitney_exact(baseline: np.ndarray, technique: np.ndarray) -> Test:
    """Test two samples by the two-sided Mann-Whitney U test, exact at any n and with any ties.

    ``statistic`` U = number of pairs with technique > baseline, ties counted ½. p = P(|U - mean| >= |u - mean|) under
    the permutation distribution of U given the mid-ranks (Lehmann 1975, Nonparametrics, §1.4), by integer dynamic
    programming. Beyond `MOST_EXACT_PAIRS` pairs of runs (100 v 100) p is the normal approximation with corrections for
    ties and continuity (``method`` is `APPROXIMATE_U`); the smallest p is still exact.

    >>> found = mann_whitney_exact([0.10, 0.12, 0.12, 0.15], [0.08, 0.09, 0.10, 0.08])
    >>> found.statistic, round(found.p, 4), round(found.smallest_p, 4)  # without ties the smallest p would be 0.0286
    (0.5, 0.0571, 0.0571)
    """
    b, t = as_runs(baseline), as_runs(technique)
    n, method = (b.size, t.size), "Mann-Whitney U, exact with mid-ranks"
    if min(n) == 0:
        return Test(None, None, None, n, method, NOT_ESTIMABLE + "no runs")
    values, index, ties = np.unique(np.concatenate([b, t]), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(ties) - ties + 1)[index]  # twice the mid-ranks, which are integers
    rank_sum = int(doubled[b.size :].sum())
    u, note = (rank_sum - t.size * (t.size + 1)) / 2, "all values are equal" if values.size == 1 else ""
    if b.size * t.size > MOST_EXACT_PAIRS and values.size > 1:
        p = float(stats.mannwhitneyu(t, b, method="asymptotic").pvalue)
        smallest = _smallest_rank_sum_p(np.sort(doubled), min(n))
        return Test(u, max(p, smallest), smallest, n, APPROXIMATE_U, note)
    tails, total = _rank_sum_tails(tuple(ties.tolist()), min(n))
    p = tails[abs(rank_sum - t.size * (b.size + t.size + 1))] / total
    return Test(u, p, tails[max(tails)] / total, n, method, note)


def signed_rank_exact(baseline: np.ndarray, technique: np.ndarray) -> Test:
    """Test technique - baseline by run with the two-sided Wilcoxon signed-rank test, exact at any n and with any ties.

    For techniques that share one training. ``statistic`` = sum of the mid-ranks of positive differences; zeros are
    ranked, then left out (Pratt 1959). p = P(|W - mean| >= |w - mean|) over all 2^n' signs. ValueError if unequal in
    length.

    >>> found = signed_rank_exact([0.10, 0.12, 0.11, 0.15, 0.13], [0.08, 0.09, 0.10, 0.08, 0.09])
    >>> found.statistic, found.p
    (0.0, 0.0625)
    """
    b, t = paired_runs(baseline, technique)
    n, method = (b.size, t.size), "Wilcoxon signed-rank, exact with mid-ranks, paired by run"
    difference = run_differences(b, t)
    if not difference.any():
        note = "all differences are 0" if b.size else NOT_ESTIMABLE + "no runs"
        return Test(0.0, 1.0, 1.0, n, method, note) if b.size else Test(None, None, None, n, method, note)
    doubled = np.rint(2 * stats.rankdata(np.abs(difference))).astype(int)
    positive, total = int(doubled[difference > 0].sum()), int(doubled[difference != 0].sum())
    tails = _signed_rank_tails(tuple(sorted(doubled[difference != 0].tolist())))
    signs = 2 ** int(np.count_nonzero(difference))
    return Test(positive / 2, tails[abs(2 * positive - total)] / signs, tails[max(tails)] / signs, n, method)


def smallest_rank_p(n_baseline: int, n_technique: int) -> float:
    """Return the smallest p of `mann_whitney_exact` without ties, 2/C(n_b + n_t, n_b); 1 without runs of both."""
    return min(1.0, 2 / math.comb(n_baseline + n_technique, n_baseline))


def smallest_signed_rank_p(n: int) -> float:
    """Return the smallest p of `signed_rank_exact` without ties and zeros, 2/2^n; 1 without runs."""
    return min(1.0, 2 / 2**n)


def critical_u(n_baseline: int, n_technique: int, alpha: float) -> int | None:
    """Return the smallest U above its mean whose two-sided p, without ties, is at most ``alpha``; None if none is.

    The test then rejects at U and above, and at n_baseline n_technique - U and below.

    >>> critical_u(4, 4, alpha=0.05), critical_u(3, 3, alpha=0.05)
    (16, None)
    """
    pairs, n = n_baseline * n_technique, n_baseline + n_technique
    if smallest_rank_p(n_baseline, n_technique) > alpha:
        return None
    if pairs > MOST_EXACT_PAIRS:
        spread = math.sqrt(pairs * (n + 1) / 12)
        return min(pairs, math.ceil(pairs / 2 + 0.5 + float(stats.norm.isf(alpha / 2)) * spread))
    tails, total = _rank_sum_tails((1,) * n, min(n_baseline, n_technique))
    return (pairs + min(distance for distance, count in tails.items() if count / total <= alpha)) // 2


def critical_signed_rank(n: int, alpha: float) -> int | None:
    """Return the smallest sum of signed ranks above its mean whose two-sided p is at most ``alpha``; no ties, no zeros.

    The test then rejects at this sum and above, and at n(n + 1)/2 minus it and below. None if no p is so small.

    >>> critical_signed_rank(6, alpha=0.05), critical_signed_rank(5, alpha=0.05)
    (21, None)
    """
    if smallest_signed_rank_p(n) > alpha:
        return None
    tails = _signed_rank_tails(tuple(range(2, 2 * n + 1, 2)))
    return (n * (n + 1) + min(distance for distance, count in tails.items() if count / 2**n <= alpha)) // 4


def brown_forsythe(baseline: np.ndarray, technique: np.ndarray, relative: bool = False) -> Test:
    """Test equal variances by Brown-Forsythe's test, Levene's about medians (Brown & Forsythe 1974), two-sided.

    ``relative`` divides each sample by its mean first, as the study did: then a lower mean alone raises the variance,
    so that this alone never supports "variance rose". Needs three runs of each; not estimable if both are constant.

    >>> found = brown_forsythe([0.10, 0.12, 0.11, 0.15, 0.13], [0.10, 0.30, 0.05, 0.45, 0.02])
    >>> round(found.statistic, 2), round(found.p, 3)
    (3.75, 0.089)
    """
    b, t = as_runs(baseline), as_runs(technique)
    n, method = (b.size, t.size), "Brown-Forsythe on values/mean" if relative else "Brown-Forsythe on raw values"
    note = untestable_spread(b, t, relative)
    if note:
        return Test(None, None, None, n, method, NOT_ESTIMABLE + note)
    if relative:
        b, t = b / means(b), t / means(t)
    w = float(brown_forsythe_statistics(b, t))
    if math.isnan(w):
        return Test(None, None, None, n, method, NOT_ESTIMABLE + "deviations from the median do not vary")
    if math.isinf(w):
        # Both samples have one deviation each: only the split that they are and, of equal n, its mirror are as extreme.
        p = (1 + (b.size == t.size)) / math.comb(sum(n), b.size)
        return Test(w, p, p, n, method + INFINITE)
    return Test(w, float(stats.f.sf(w, 1, sum(n) - 2)), None, n, method)


def brown_forsythe_many(samples: Sequence[np.ndarray]) -> Test:
    """Test whether k samples have equal variances by Brown-Forsythe's test, the F test of |value - median|.

    Needs three runs in each; not estimable if no deviation varies.
    """
    samples, method = [as_runs(x) for x in samples], f"Brown-Forsythe on raw values, {len(samples)} samples"
    n = tuple(x.size for x in samples)
    if len(n) < 2 or min(n) < 3:
        return Test(None, None, None, n, method, NOT_ESTIMABLE + "fewer than 3 runs")
    z = [_deviations(x) for x in samples]
    if all(is_constant(x) for x in z):
        return Test(None, None, None, n, method, NOT_ESTIMABLE + "deviations from the median do not vary")
    w, p = stats.f_oneway(*z)
    return Test(float(w), float(p), None, n, method)


def brown_forsythe_paired(baseline: np.ndarray, technique: np.ndarray, relative: bool = False) -> Test:
    """Test equal variances of paired runs by a two-sided t test of the differences |t - median(t)| - |b - median(b)|.

    For techniques that share one training, where `brown_forsythe` would treat correlated runs as independent. This is
    the extended Brown-Forsythe test of Wilcox (1989), Psychometrika 54, 305-315. Unlike Pitman-Morgan's test, whose
    size reaches .27 in heavy-tailed or skewed runs, it stays near its level. ``relative`` as in `brown_forsythe`. Needs
    three runs; ValueError if unequal in length.
    """
    b, t = paired_runs(baseline, technique)
    n, method = (b.size, t.size), "Brown-Forsythe, paired by run" + (", on values/mean" if relative else "")
    note = untestable_spread(b, t, relative)
    if note:
        return Test(None, None, None, n, method, NOT_ESTIMABLE + note)
    if relative:
        b, t = b / means(b), t / means(t)
    statistic = float(paired_spread_statistics(b, t))
    if math.isnan(statistic):
        return Test(None, None, None, n, method, NOT_ESTIMABLE + "deviations from the median do not vary")
    if math.isinf(statistic):
        p = 2.0 ** (1 - b.size)
        return Test(statistic, p, p, n, method + INFINITE)
    return Test(statistic, float(2 * stats.t.sf(abs(statistic), b.size - 1)), None, n, method)


# Tests corrected together


def holm(p: ArrayLike) -> np.ndarray:
    """Return Holm's (1979) adjusted p-values, which control the chance of any false claim of the tests together.

    The i-th smallest of m p-values times m - i + 1, never below its predecessor, at most 1. NaN stays NaN and is not
    counted.

    >>> holm([0.01, 0.04, float("nan"), 0.03]).round(3).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    return _adjust(p, _holm)


def benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """Return Benjamini & Hochberg's adjusted p-values (false discovery rate); NaN stays NaN and is not counted.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    return _adjust(p, stats.false_discovery_control)


def benjamini_yekutieli(p: ArrayLike) -> np.ndarray:
    """Return Benjamini & Yekutieli's adjusted p-values (under any dependence); NaN stays NaN and is not counted."""
    return _adjust(p, partial(stats.false_discovery_control, method="by"))


def redundant_metrics(
    *values: Mapping[str, np.ndarray],
    units: Mapping[str, float] | None = None,
    primary: str | None = None,
    tolerance: float = 1e-9,
) -> dict[str, str]:
    """Find metrics that repeat another one: proportional to it in all runs of all techniques.

    ``values``: for each protected attribute metric -> overall values, all of one shape, NaN where undefined (then at
    the same places in both). A metric repeats another only if it does so in every attribute in which both have values;
    the constant may differ between attributes. ``tolerance`` is relative to the largest value. The ``primary`` metric
    represents its proportional set. Otherwise it is a member that has values in most attributes, and the largest of
    these on average in its unit (by default 1), such as its smallest effect: so no difference that counts is missed;
    of equal ones it is the first. Returns metric -> its representative.

    >>> found = {"DP": np.array([0.1, 0.3]), "DI": np.array([0.2, 0.5]), "SPSF": np.array([0.05, 0.15])}
    >>> redundant_metrics(found), redundant_metrics(found | {"EOTP": 4 * found["SPSF"]})
    ({'SPSF': 'DP'}, {'DP': 'EOTP', 'SPSF': 'EOTP'})
    """
    sets: list[list[str]] = []
    for metric in values[0] if values else ():
        joined = next((s for s in sets if all(_repeats(values, m, metric, tolerance) for m in s)), None)
        if joined is None:
            sets.append([metric])
        else:
            joined.append(metric)
    first = [primary if primary in s else _representative(values, s, units or {}, tolerance) for s in sets]
    return {metric: name for name, members in zip(first, sets, strict=True) for metric in members if metric != name}


# Parts


@lru_cache(maxsize=512)
def _rank_sum_tails(ties: tuple[int, ...], size: int) -> tuple[dict[int, int], int]:
    """Count the samples of ``size`` mid-ranks by distance: |doubled rank sum - mean| -> samples at least as far off.

    ``ties``: sizes of the tie groups, the lowest rank first; ``size`` at most half of all. Returns the counts and the
    number of all samples. The counts by rank sum are the digits of one integer (Kronecker substitution), so that one
    shift and one addition of Python integers add a rank, exactly at any n.
    """
    n = sum(ties)
    total = math.comb(n, size)
    width = total.bit_length() // 8 + 1
    ranks = [2 * sum(ties[:i]) + tied + 1 for i, tied in enumerate(ties)]
    # Counted from the lowest rank in the largest common step, which without ties halves every integer.
    step = math.gcd(*(rank - ranks[0] for rank in ranks)) or 1
    samples = [1] + [0] * size
    for rank, tied in zip(ranks, ties, strict=True):
        shift = 8 * width * ((rank - ranks[0]) // step)
        for _ in range(tied):
            for k in range(size, 0, -1):  # downwards, so that no sample contains this rank twice
                samples[k] += samples[k - 1] << shift
    return _tails(_digits(samples[size], width), size * (n + 1 - ranks[0]), step), total


def _smallest_rank_sum_p(doubled: np.ndarray, size: int) -> float:
    """Return the share of samples of ``size`` with the most extreme sum; ``doubled``: rising doubled mid-ranks."""
    mean = size * (doubled.size + 1)
    ways: dict[int, int] = {}
    for extreme, last in ((doubled[:size], doubled[size - 1]), (doubled[-size:], doubled[-size])):
        tied = math.comb(int((doubled == last).sum()), int((extreme == last).sum()))
        distance = abs(int(extreme.sum()) - mean)
        ways[distance] = ways.get(distance, 0) + tied
    return ways[max(ways)] / math.comb(doubled.size, size)


@lru_cache(maxsize=512)
def _signed_rank_tails(ranks: tuple[int, ...]) -> dict[int, int]:
    """Count the signs by |2 x sum of positive doubled ranks - sum of all|, by the same digits of one integer."""
    width = len(ranks) // 8 + 1
    samples = 1
    for rank in ranks:
        samples += samples << (8 * width * rank)
    counts = _digits(samples, width)
    return _tails([counts[i // 2] if i % 2 == 0 else 0 for i in range(2 * len(counts))], sum(ranks))


def _digits(number: int, width: int) -> list[int]:
    """Return the digits of ``number`` to the base 256**width, the lowest first."""
    data = number.to_bytes(-(-number.bit_length() // (8 * width)) * width, "little")
    return [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]


def _tails(counts: list[int], mean: int, step: int = 1) -> dict[int, int]:
    """Return distance of ``step`` x position from ``mean`` -> how many are at least as far off."""
    by_distance: dict[int, int] = {}
    for position, count in enumerate(counts):
        if count:
            distance = abs(step * position - mean)
            by_distance[distance] = by_distance.get(distance, 0) + count
    tails, running = {}, 0
    for distance in sorted(by_distance, reverse=True):
        running += by_distance[distance]
        tails[distance] = running
    return tails


def untestable_spread(b: np.ndarray, t: np.ndarray, relative: bool = False) -> str:
    """Return why the spread of two samples cannot be compared; "" if it can."""
    if min(b.size, t.size) < 3:
        return "fewer than 3 runs"
    if is_constant(b) and is_constant(t):
        return "both constant in all runs"
    return "a mean is 0" if relative and (means(b) == 0 or means(t) == 0) else ""


def brown_forsythe_statistics(b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return Brown-Forsythe's W of (..., n_b) against (..., n_t), shape (...).

    NaN if all deviations from the medians are equal up to rounding, infinite if they differ between the samples only.
    """
    n_b, n_t = b.shape[-1], t.shape[-1]
    z_b, z_t = _deviations(b), _deviations(t)
    m_b, m_t = z_b.mean(axis=-1, keepdims=True), z_t.mean(axis=-1, keepdims=True)
    within = ((z_b - m_b) ** 2).sum(axis=-1) + ((z_t - m_t) ** 2).sum(axis=-1)
    between = ((m_b - m_t) ** 2)[..., 0] * n_b * n_t / (n_b + n_t)
    largest = np.maximum(np.abs(b).max(axis=-1), np.abs(t).max(axis=-1))
    rounding = (n_b + n_t) * (4 * np.finfo(float).eps * largest) ** 2
    w = np.where(between > rounding, np.inf, np.nan)
    return np.divide((n_b + n_t - 2) * between, within, out=w, where=within > rounding)


def paired_spread_statistics(b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return t of the paired differences in |value - median|, (..., n) each, shape (...).

    NaN if all are 0 up to rounding, infinite if they are equal but not 0.
    """
    difference, n = _deviations(t) - _deviations(b), b.shape[-1]
    variance = difference.var(axis=-1, ddof=1)
    largest = np.maximum(np.abs(b).max(axis=-1), np.abs(t).max(axis=-1))
    error, mean = np.sqrt(variance / n), difference.mean(axis=-1)
    rounding = 4 * np.finfo(float).eps * largest
    out = np.where(np.abs(mean) > rounding, np.copysign(np.inf, mean), np.nan)
    return np.divide(mean, error, out=out, where=variance > rounding**2)


def _deviations(x: np.ndarray) -> np.ndarray:
    return np.abs(x - np.median(x, axis=-1, keepdims=True))


def _adjust(p: ArrayLike, correct: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    p = np.asarray(p, dtype=np.float64)
    adjusted, counted = np.full(p.shape, np.nan), ~np.isnan(p)
    if counted.any():
        adjusted[counted] = correct(p[counted])
    return adjusted


def _holm(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return np.minimum(steps, 1.0)[np.argsort(order)]


def _repeats(values: Sequence[Mapping[str, np.ndarray]], first: str, metric: str, tolerance: float) -> bool:
    """Return whether proportional in every attribute in which both have values, and in one at least."""
    both = [(as_runs(attribute[first]), as_runs(attribute[metric])) for attribute in values]
    defined = [(x, y) for x, y in both if not (np.isnan(x).all() or np.isnan(y).all())]
    return bool(defined) and all(_proportional(x, y, tolerance) for x, y in defined)


def _representative(
    values: Sequence[Mapping[str, np.ndarray]], members: Sequence[str], units: Mapping[str, float], tolerance: float
) -> str:
    """Return the first of the members largest in their units among those that have values in most attributes."""
    finite = {m: [x[~np.isnan(x)] for x in (as_runs(attribute[m]) for attribute in values)] for m in members}
    most = max(sum(x.size > 0 for x in finite[m]) for m in members)
    sizes = {
        m: sum(x.sum() for x in finite[m]) / units.get(m, 1.0)
        for m in members
        if sum(x.size > 0 for x in finite[m]) == most
    }
    return next(m for m, size in sizes.items() if size >= max(sizes.values()) * (1 - tolerance))


def _proportional(x: np.ndarray, y: np.ndarray, tolerance: float) -> bool:
    """Return whether y = c·x with c > 0 where defined; all-zero values are proportional to all-zero values only."""
    defined = ~np.isnan(x)
    if not np.array_equal(defined, ~np.isnan(y)) or not defined.any():
        return False
    x, y = x[defined], y[defined]
    if not x.any() or not y.any():
        return not x.any() and not y.any()
    slope = np.abs(y).max() / np.abs(x).max()
    return bool(np.all(np.abs(y - slope * x) <= tolerance * np.abs(y).max()))
