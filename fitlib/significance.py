"""Tests of a technique against its baseline: exact rank tests, spread, corrections over a family, and power.

Pure functions on arrays of shape (runs,), as in `fitlib.statistics`, without NaN. What cannot be tested says why
(``note``) instead of returning NaN.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from fitlib.statistics import NOT_ESTIMABLE, as_runs, is_constant, means, paired_runs, welch_error


@dataclass(frozen=True)
class Test:
    """A test of baseline against technique; ``n``: runs of each, ``smallest_p``: the smallest p such data can give."""

    __test__ = False  # pytest takes a class of this name for a test case

    statistic: float | None
    p: float | None
    smallest_p: float | None
    n: tuple[int, int]
    method: str
    note: str = ""


# Two techniques


def mann_whitney_exact(baseline: np.ndarray, technique: np.ndarray) -> Test:
    """Two-sided Mann-Whitney U test, exact at any n and with any ties.

    ``statistic`` U = number of pairs with technique > baseline, ties counted ½. p = P(|U - mean| >= |u - mean|) under
    the permutation distribution of U given the mid-ranks (Lehmann 1975, Nonparametrics, §1.4), by integer dynamic
    programming.
    """
    b, t = as_runs(baseline), as_runs(technique)
    n, method = (b.size, t.size), "Mann-Whitney U, exact with mid-ranks"
    if min(n) == 0:
        return Test(None, None, None, n, method, NOT_ESTIMABLE + "no runs")
    values, index, ties = np.unique(np.concatenate([b, t]), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(ties) - ties + 1)[index]
    rank_sum = int(doubled[b.size :].sum())
    tails, total = _rank_sum_tails(tuple(ties.tolist()), min(n))
    p = tails[abs(rank_sum - t.size * (b.size + t.size + 1))] / total
    note = "all values are equal" if values.size == 1 else ""
    return Test((rank_sum - t.size * (t.size + 1)) / 2, p, tails[max(tails)] / total, n, method, note)


def signed_rank_exact(baseline: np.ndarray, technique: np.ndarray) -> Test:
    """Two-sided Wilcoxon signed-rank test of technique - baseline by run, exact at any n and with any ties.

    For techniques that share one training. ``statistic`` = sum of the mid-ranks of positive differences; zeros are
    ranked, then left out (Pratt 1959). p = P(|W - mean| >= |w - mean|) over all 2^n' signs. ValueError if unequal in
    length.
    """
    b, t = paired_runs(baseline, technique)
    n, method = (b.size, t.size), "Wilcoxon signed-rank, exact with mid-ranks, paired by run"
    difference = t - b
    if not difference.any():
        note = "all differences are 0" if b.size else NOT_ESTIMABLE + "no runs"
        return Test(0.0, 1.0, 1.0, n, method, note) if b.size else Test(None, None, None, n, method, note)
    doubled = np.rint(2 * stats.rankdata(np.abs(difference))).astype(int)
    positive, total = int(doubled[difference > 0].sum()), int(doubled[difference != 0].sum())
    tails = _signed_rank_tails(tuple(sorted(doubled[difference != 0].tolist())))
    signs = 2 ** int(np.count_nonzero(difference))
    return Test(positive / 2, tails[abs(2 * positive - total)] / signs, tails[max(tails)] / signs, n, method)


def brown_forsythe(baseline: np.ndarray, technique: np.ndarray, relative: bool = False) -> Test:
    """Brown-Forsythe test of equal variances: Levene's test about medians (Brown & Forsythe 1974), two-sided.

    ``relative`` divides each sample by its mean first, as the study did: then a lower mean alone raises the variance,
    so it never alone supports "variance rose". Needs three runs of each; not estimable if both are constant.
    """
    b, t = as_runs(baseline), as_runs(technique)
    n, method = (b.size, t.size), "Brown-Forsythe on values/mean" if relative else "Brown-Forsythe on raw values"
    note = _untestable_spread(b, t, relative)
    if note:
        return Test(None, None, None, n, method, NOT_ESTIMABLE + note)
    if relative:
        b, t = b / means(b), t / means(t)
    w = float(_brown_forsythe_statistics(b, t))
    if math.isnan(w):
        return Test(None, None, None, n, method, NOT_ESTIMABLE + "deviations from the median do not vary")
    return Test(w, float(stats.f.sf(w, 1, sum(n) - 2)), None, n, method)


# Families


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values (controls any false claim in the family); NaN stays NaN and is not counted."""
    return _adjust(p, "holm")


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini & Hochberg's adjusted p-values (false discovery rate); NaN stays NaN and is not counted."""
    return _adjust(p, "fdr_bh")


def benjamini_yekutieli(p: np.ndarray) -> np.ndarray:
    """Benjamini & Yekutieli's adjusted p-values (under any dependence); NaN stays NaN and is not counted."""
    return _adjust(p, "fdr_by")


def redundant_metrics(values: Mapping[str, np.ndarray], tolerance: float = 1e-9) -> dict[str, str]:
    """Metrics that repeat an earlier one: proportional to it in all runs of all techniques.

    ``values`` metric -> overall values, all of one shape, NaN where undefined (then at the same places in both).
    ``tolerance`` is relative to the largest value. Returns metric -> the first metric that it is proportional to.
    """
    repeated: dict[str, str] = {}
    distinct: list[str] = []
    for metric, y in values.items():
        first = next((m for m in distinct if _proportional(as_runs(values[m]), as_runs(y), tolerance)), None)
        if first is None:
            distinct.append(metric)
        else:
            repeated[metric] = first
    return repeated


# Power


def power_mean(
    effect: float, sd_baseline: float, sd_technique: float, n_baseline: int, n_technique: int, alpha: float
) -> float | None:
    """Power of Welch's two-sided t test at level ``alpha`` for a true difference of means ``effect``.

    Noncentral t with Satterthwaite's degrees of freedom. None where there is no such test: fewer than two runs, no
    spread, or no effect declared (0).
    """
    if min(n_baseline, n_technique) < 2 or effect == 0 or max(sd_baseline, sd_technique) <= 0:
        return None
    error, df = welch_error(sd_baseline, sd_technique, n_baseline, n_technique)
    critical, shift = stats.t.isf(alpha / 2, df), abs(effect) / error
    with warnings.catch_warnings():
        # SciPy warns, and gives NaN, for the far tail where it is too small to compute.
        warnings.simplefilter("ignore", RuntimeWarning)
        upper, lower = stats.nct.sf(critical, df, shift), stats.nct.cdf(-critical, df, shift)
    if np.isnan(upper):
        upper = _noncentral_t_sf(critical, df, shift)
    return float(min(1.0, upper + np.nan_to_num(lower)))


def power_variance(
    n_baseline: int,
    n_technique: int,
    alpha: float,
    sd_ratio: float = 1.5,
    *,
    rng: np.random.Generator,
    replicates: int = 4000,
) -> float:
    """Power of the Brown-Forsythe test at level ``alpha`` for normal runs whose SDs differ by ``sd_ratio``, simulated.

    The standard error is at most 0.5/sqrt(replicates). 0 where the test does not exist (fewer than three runs).
    """
    if min(n_baseline, n_technique) < 3:
        return 0.0
    b = rng.standard_normal((replicates, n_baseline))
    t = sd_ratio * rng.standard_normal((replicates, n_technique))
    critical = stats.f.isf(alpha, 1, n_baseline + n_technique - 2)
    return float(np.mean(_brown_forsythe_statistics(b, t) >= critical))


# Parts


@lru_cache(maxsize=512)
def _rank_sum_tails(ties: tuple[int, ...], size: int) -> tuple[dict[int, int], int]:
    """Of samples of ``size`` out of mid-ranks: |doubled rank sum - mean| -> number of samples at least so far off.

    ``ties``: sizes of the tie groups, the lowest rank first; ``size`` at most half of all. Returns it with the number
    of samples. The counts by rank sum are the digits of one integer (Kronecker substitution), so one shift and one
    addition of Python integers take in one rank, exactly at any n.
    """
    n = sum(ties)
    total = math.comb(n, size)
    width = total.bit_length() // 8 + 1
    samples = [1] + [0] * size
    before = 0
    for tied in ties:
        shift = 8 * width * (2 * before + tied + 1)
        for _ in range(tied):
            for k in range(size, 0, -1):
                samples[k] += samples[k - 1] << shift
        before += tied
    return _tails(_digits(samples[size], width), size * (n + 1)), total


@lru_cache(maxsize=512)
def _signed_rank_tails(ranks: tuple[int, ...]) -> dict[int, int]:
    """|2 x sum of positive doubled ranks - sum of all| -> signs at least so far, by the same digits of one integer."""
    width = len(ranks) // 8 + 1
    samples = 1
    for rank in ranks:
        samples += samples << (8 * width * rank)
    counts = _digits(samples, width)
    return _tails([counts[i // 2] if i % 2 == 0 else 0 for i in range(2 * len(counts))], sum(ranks))


def _digits(number: int, width: int) -> list[int]:
    """Digits of ``number`` to the base 256**width, the lowest first."""
    data = number.to_bytes(-(-number.bit_length() // (8 * width)) * width, "little")
    return [int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width)]


def _tails(counts: list[int], mean: int) -> dict[int, int]:
    by_distance: dict[int, int] = {}
    for rank_sum, count in enumerate(counts):
        if count:
            by_distance[abs(rank_sum - mean)] = by_distance.get(abs(rank_sum - mean), 0) + count
    tails, running = {}, 0
    for distance in sorted(by_distance, reverse=True):
        running += by_distance[distance]
        tails[distance] = running
    return tails


def _untestable_spread(b: np.ndarray, t: np.ndarray, relative: bool) -> str:
    if min(b.size, t.size) < 3:
        return "fewer than 3 runs"
    if is_constant(b) and is_constant(t):
        return "both constant in all runs"
    return "a mean is 0" if relative and (means(b) == 0 or means(t) == 0) else ""


def _brown_forsythe_statistics(b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Brown-Forsythe W of (..., n_b) against (..., n_t), shape (...); NaN where deviations vary by rounding alone."""
    n_b, n_t = b.shape[-1], t.shape[-1]
    z_b, z_t = (np.abs(x - np.median(x, axis=-1, keepdims=True)) for x in (b, t))
    m_b, m_t = z_b.mean(axis=-1, keepdims=True), z_t.mean(axis=-1, keepdims=True)
    within = ((z_b - m_b) ** 2).sum(axis=-1) + ((z_t - m_t) ** 2).sum(axis=-1)
    between = ((m_b - m_t) ** 2)[..., 0] * n_b * n_t / (n_b + n_t)
    largest = np.maximum(np.abs(b).max(axis=-1), np.abs(t).max(axis=-1))
    rounding = (n_b + n_t) * (4 * np.finfo(float).eps * largest) ** 2
    w = np.full(within.shape, np.nan)
    return np.divide((n_b + n_t - 2) * between, within, out=w, where=within > rounding)


def _noncentral_t_sf(critical: float, df: float, shift: float) -> float:
    """P(Z + shift > critical·S), S² = chi²(df)/df, averaged over quantiles of S: good to 1e-3 where SciPy gives up."""
    quantiles = (np.arange(2000) + 0.5) / 2000
    return float(stats.norm.sf(critical * np.sqrt(stats.chi2.ppf(quantiles, df) / df) - shift).mean())


def _adjust(p: np.ndarray, method: str) -> np.ndarray:
    # statsmodels takes long to import, and only families need it
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p, dtype=np.float64)
    adjusted, counted = np.full(p.shape, np.nan), ~np.isnan(p)
    if counted.any():
        adjusted[counted] = multipletests(p[counted], method=method)[1]
    return adjusted


def _proportional(x: np.ndarray, y: np.ndarray, tolerance: float) -> bool:
    """Whether y = c·x with c > 0 wherever defined; all-zero values are proportional to all-zero values only."""
    defined = ~np.isnan(x)
    if not np.array_equal(defined, ~np.isnan(y)) or not defined.any():
        return False
    x, y = x[defined], y[defined]
    if not x.any() or not y.any():
        return not x.any() and not y.any()
    slope = np.abs(y).max() / np.abs(x).max()
    return bool(np.all(np.abs(y - slope * x) <= tolerance * np.abs(y).max()))
