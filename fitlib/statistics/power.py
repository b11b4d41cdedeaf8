"""Power of the tests, and width of the intervals, by the number of runs.

Pure functions of declared effects, standard deviations and numbers of runs; effects and SDs in the same unit. Power is
always that of a declared effect at a (corrected) level, never of the observed effect. ``None`` if there is no such
test; an SD that is NaN (one run) counts as no spread. How probable each verdict is: `fitlib.statistics.planning`.
"""

import math
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import integrate, stats

from fitlib.statistics.estimates import welch_error
from fitlib.statistics.significance import (
    brown_forsythe_statistics,
    critical_signed_rank,
    critical_u,
    paired_spread_statistics,
)

SD_RATIO = 1.5  # the declared effect on the spread
REPLICATES = 4000  # of a simulated power: its standard error is at most 0.008
RANK_SEED, ANGLES = 1945, 24  # of the simulated rank tests; steps from a constant technique to a constant baseline


# Power


def power_rank(
    effect: float, sd_baseline: float, sd_technique: float, n_baseline: int, n_technique: int, alpha: float
) -> float | None:
    """Return the power of the exact two-sided U test at level ``alpha`` for normal runs with this difference of means.

    Simulated, as no formula holds at few runs: where the noncentral t of Welch's test gives .8, U has .58 to .72 with 4
    to 8 runs. The standard error is at most 0.008. None if there is no such test: fewer than two runs, no spread, or no
    effect (0); 0 if no p is so small.

    >>> power_rank(0.02, 0.01, 0.01, n_baseline=3, n_technique=3, alpha=0.05)
    0.0
    """
    if min(n_baseline, n_technique) < 2 or not (abs(effect) > 0 and sd_baseline + sd_technique > 0):
        return None
    # Between two ratios of SDs, power is interpolated over the angle that they are the tangent of.
    position = math.atan2(sd_technique, sd_baseline) / (math.pi / 2) * ANGLES
    shift, left = abs(effect) / math.hypot(sd_baseline, sd_technique), min(int(position), ANGLES - 1)
    at = [_rejected(_u_thresholds(n_baseline, n_technique, alpha, left + i), shift) for i in (0, 1)]
    return at[0] + (position - left) * (at[1] - at[0])


def power_signed_rank(effect: float, sd_difference: float, n: int, alpha: float) -> float | None:
    """Return the power of the exact two-sided signed-rank test for normal differences by run with mean ``effect``.

    Simulated; None and 0 as in `power_rank`.
    """
    if n < 2 or not (abs(effect) > 0 and sd_difference > 0):
        return None
    return _rejected(_signed_rank_thresholds(n, alpha), abs(effect) / sd_difference)


def power_paired(effect: float, sd_difference: float, n: int, alpha: float) -> float | None:
    """Return the power of the paired two-sided t test at level ``alpha`` for a true mean difference ``effect``.

    ``sd_difference``: SD of the differences technique - baseline, over seeds. Noncentral t with n - 1 degrees of
    freedom. None as in `power_rank`.
    """
    if n < 2 or effect == 0 or not sd_difference > 0:
        return None
    return _power_t(abs(effect) * math.sqrt(n) / sd_difference, n - 1, alpha)


def power_variance(
    n_baseline: int,
    n_technique: int,
    alpha: float,
    sd_ratio: float = SD_RATIO,
    *,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> float:
    """Simulate the power of the Brown-Forsythe test at level ``alpha`` for normal runs with this ratio of SDs.

    The standard error is at most 0.5/sqrt(replicates). 0 if the test does not exist (fewer than three runs).
    """
    if min(n_baseline, n_technique) < 3:
        return 0.0
    b = rng.standard_normal((replicates, n_baseline))
    t = sd_ratio * rng.standard_normal((replicates, n_technique))
    critical = stats.f.isf(alpha, 1, n_baseline + n_technique - 2)
    return float(np.mean(brown_forsythe_statistics(b, t) >= critical))


def power_spreads(
    sizes: Sequence[int], alpha: float, sd_ratio: float = SD_RATIO, *, rng: np.random.Generator, replicates: int = 2000
) -> float:
    """Simulate the power of `significance.brown_forsythe_many` if the first of k samples has ``sd_ratio`` times the SD.

    ``sizes``: runs of each sample, drawn from normal distributions. The standard error is at most 0.5/sqrt(replicates).
    0 below three runs.
    """
    if min(sizes) < 3:
        return 0.0
    critical = stats.f.isf(alpha, len(sizes) - 1, sum(sizes) - len(sizes))
    scales = [sd_ratio, *[1.0] * (len(sizes) - 1)]
    drawn = [scale * rng.standard_normal((replicates, n)) for scale, n in zip(scales, sizes, strict=True)]
    z = [np.abs(x - np.median(x, axis=1, keepdims=True)) for x in drawn]
    return float(np.mean(stats.f_oneway(*z, axis=1).statistic >= critical))


def power_variance_paired(
    n: int,
    alpha: float,
    correlation: float,
    sd_ratio: float = SD_RATIO,
    *,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> float:
    """Simulate the power of `significance.brown_forsythe_paired` for normal pairs of runs with that ``correlation``."""
    if n < 3:
        return 0.0
    b, independent = rng.standard_normal((2, replicates, n))
    t = sd_ratio * (correlation * b + math.sqrt(max(0.0, 1 - correlation**2)) * independent)
    return float(np.mean(np.abs(paired_spread_statistics(b, t)) >= stats.t.isf(alpha / 2, n - 1)))


# Widths


def mean_half_width(n: int, confidence: float = 0.95) -> float:
    """Return the half-width of Student's t interval of a mean of ``n`` >= 2 runs, in sample SDs: t(n-1)/sqrt(n)."""
    return float(stats.t.isf((1 - confidence) / 2, n - 1)) / math.sqrt(n)


def difference_half_width(sd_baseline: float, sd_technique: float, n: int, confidence: float = 0.95) -> float:
    """Return the half-width of Welch's interval of the difference of means with ``n`` >= 2 runs, in the SDs' unit."""
    error, df = welch_error(sd_baseline, sd_technique, n, n)
    return float(stats.t.isf((1 - confidence) / 2, df)) * error


def sd_ratios(n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the ends of the chi-square interval of the SD of ``n`` >= 2 normal runs, in sample SDs.

    >>> [round(end, 2) for end in sd_ratios(16)]
    [0.74, 1.55]
    """
    tail, df = (1 - confidence) / 2, n - 1
    return math.sqrt(df / stats.chi2.isf(tail, df)), math.sqrt(df / stats.chi2.ppf(tail, df))


def expected_range(n: int) -> float:
    """Return the expected MaxDiff of ``n`` normal runs in SDs (Tippett 1925): ∫ 1 - F(x)^n - (1 - F(x))^n dx.

    >>> [round(expected_range(n), 2) for n in (2, 16, 64)]  # it grows with n
    [1.13, 3.53, 4.69]
    """
    return float(integrate.quad(lambda x: 1 - stats.norm.cdf(x) ** n - stats.norm.sf(x) ** n, -12, 12, limit=200)[0])


# Parts


Thresholds = tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=256)
def _u_thresholds(n_baseline: int, n_technique: int, alpha: float, angle: int) -> Thresholds | None:
    """Simulate the shifts of the technique beyond which the U test rejects; None if it never does.

    SDs of baseline and technique: cosine and sine of ``angle`` right angles over `ANGLES`. U counts the pairs with
    baseline - technique below the shift, so it reaches u as soon as the shift exceeds the u-th smallest of these
    differences. Each replicate so gives the two shifts at which the test begins to reject, and they give the power for
    every effect.
    """
    u = critical_u(n_baseline, n_technique, alpha)
    if u is None:
        return None
    scale = np.cos(angle * math.pi / 2 / ANGLES), np.sin(angle * math.pi / 2 / ANGLES)
    rng, parts = np.random.default_rng([RANK_SEED, n_baseline, n_technique]), []
    for size in _portions(n_baseline * n_technique):
        b = scale[0] * rng.standard_normal((size, n_baseline))
        t = scale[1] * rng.standard_normal((size, n_technique))
        parts.append(_order_statistics((b[:, :, None] - t[:, None, :]).reshape(size, -1), u))
    return _sorted_thresholds(parts)


@lru_cache(maxsize=64)
def _signed_rank_thresholds(n: int, alpha: float) -> Thresholds | None:
    """Simulate the shifts beyond which the signed-rank test rejects, from the n(n + 1)/2 Walsh averages; None if none.

    The sum of positive ranks is the number of averages of two differences, or of one with itself, above 0.
    """
    w = critical_signed_rank(n, alpha)
    if w is None:
        return None
    rng, (i, j) = np.random.default_rng([RANK_SEED, n]), np.triu_indices(n)
    parts = []
    for size in _portions(i.size):
        d = rng.standard_normal((size, n))
        parts.append(_order_statistics(-(d[:, i] + d[:, j]) / 2, w))
    return _sorted_thresholds(parts)


def _portions(values: int) -> list[int]:
    """Split `REPLICATES` so that a portion holds about a million values."""
    size = max(1, 1_000_000 // values)
    return [min(size, REPLICATES - done) for done in range(0, REPLICATES, size)]


def _order_statistics(values: np.ndarray, k: int) -> np.ndarray:
    """Return the k-th smallest and the k-th largest value of each row, (2, rows)."""
    places = (k - 1, values.shape[1] - k)
    return np.partition(values, places, axis=1)[:, places].T


def _sorted_thresholds(parts: Sequence[np.ndarray]) -> Thresholds:
    upper, lower = np.concatenate(parts, axis=1)
    return np.sort(upper), np.sort(lower)


def _rejected(thresholds: Thresholds | None, shift: float) -> float:
    """Return the share of replicates that a shift makes the test reject, in either direction."""
    if thresholds is None:
        return 0.0
    upper, lower = thresholds
    return float(np.searchsorted(upper, shift) + lower.size - np.searchsorted(lower, shift)) / upper.size


def _power_t(shift: float, df: float, alpha: float) -> float:
    critical = stats.t.isf(alpha / 2, df)
    with warnings.catch_warnings():
        # SciPy warns and returns NaN if the far tail is too small to compute.
        warnings.simplefilter("ignore", RuntimeWarning)
        upper, lower = stats.nct.sf(critical, df, shift), stats.nct.cdf(-critical, df, shift)
    if np.isnan(upper):
        upper = _noncentral_t_sf(critical, df, shift)
    return float(min(1.0, upper + np.nan_to_num(lower)))


def _noncentral_t_sf(critical: float, df: float, shift: float) -> float:
    """Return P(Z + shift > critical·S), S² = chi²(df)/df, averaged over quantiles of S: within 1e-3 if SciPy fails."""
    quantiles = (np.arange(2000) + 0.5) / 2000
    return float(stats.norm.sf(critical * np.sqrt(stats.chi2.ppf(quantiles, df) / df) - shift).mean())
