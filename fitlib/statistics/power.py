"""Power of the tests, width of the intervals, and the number of runs that either requires.

Pure functions of declared effects, standard deviations and numbers of runs; effects and SDs in the same unit. Power is
always that of a declared effect at a (corrected) level, never of the observed effect. ``None`` if there is no such test
or no number of runs up to `MOST_RUNS` suffices; an SD that is NaN (one run) counts as no spread.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import integrate, stats

from fitlib.statistics.estimates import next_run_within, welch_error
from fitlib.statistics.significance import (
    brown_forsythe_statistics,
    critical_signed_rank,
    critical_u,
    paired_spread_statistics,
    smallest_rank_p,
    smallest_signed_rank_p,
)

MOST_RUNS = 10_000
SD_RATIO = 1.5  # the declared effect on the spread
REPLICATES = 4000  # of a simulated power: its standard error is at most 0.008
NUMBERS_OF_RUNS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128)
RANK_SEED, ANGLES = 1945, 24  # of the simulated rank tests; steps from a constant technique to a constant baseline


# Power


def power_mean(
    effect: float, sd_baseline: float, sd_technique: float, n_baseline: int, n_technique: int, alpha: float
) -> float | None:
    """Return the power of Welch's two-sided t test at level ``alpha`` for a true difference of means ``effect``.

    Noncentral t with Satterthwaite's degrees of freedom. None if there is no such test: fewer than two runs, no spread,
    or no effect declared (0).

    >>> round(power_mean(0.01, 0.01, 0.01, n_baseline=16, n_technique=16, alpha=0.05), 3)
    0.781
    """
    if min(n_baseline, n_technique) < 2 or effect == 0 or not sd_baseline + sd_technique > 0:
        return None
    error, df = welch_error(sd_baseline, sd_technique, n_baseline, n_technique)
    return _power_t(abs(effect) / error, df, alpha)


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
    if min(n_baseline, n_technique) < 2 or effect == 0 or not sd_baseline + sd_technique > 0:
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
    if n < 2 or effect == 0 or not sd_difference > 0:
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


# Runs needed


def runs_for_mean(
    effect: float, sd_baseline: float, sd_technique: float, alpha: float, power: float = 0.8
) -> int | None:
    """Return the fewest runs of each with at least that `power_mean`.

    None if there is no such test, or `MOST_RUNS` do not suffice.

    >>> runs_for_mean(0.01, 0.01, 0.01, alpha=0.05)
    17
    """
    if power_mean(effect, sd_baseline, sd_technique, 2, 2, alpha) is None:
        return None
    return _fewest(lambda n: _reaches(power_mean(effect, sd_baseline, sd_technique, n, n, alpha), power))


def runs_for_paired(effect: float, sd_difference: float, alpha: float, power: float = 0.8) -> int | None:
    """Return the fewest paired runs with at least that `power_paired`; None as in `runs_for_mean`."""
    if power_paired(effect, sd_difference, 2, alpha) is None:
        return None
    return _fewest(lambda n: _reaches(power_paired(effect, sd_difference, n, alpha), power))


def _reaches(power: float | None, wanted: float) -> bool:
    return power is not None and power >= wanted


def runs_for_ranks(alpha: float, paired: bool = False) -> int:
    """Return the fewest runs of each at which the exact rank test (paired: of signed ranks) can reach ``alpha`` > 0.

    Without ties; with fewer runs its power is 0 for any effect.

    >>> runs_for_ranks(0.05), runs_for_ranks(0.05 / 35), runs_for_ranks(0.05, paired=True)
    (4, 7, 6)
    """
    n = 1
    while (smallest_signed_rank_p(n) if paired else smallest_rank_p(n, n)) > alpha:
        n += 1
    return n


def runs_for_variance(
    sd_ratio: float, alpha: float, power: float = 0.8, *, rng: np.random.Generator, replicates: int = REPLICATES
) -> int | None:
    """Return the fewest runs of each with at least that simulated `power_variance`; None beyond 2,000.

    Accurate to a few percent.

    About 60 for an SD ratio of 1.5 at level .05: 16 runs cannot show "variance unchanged".
    """
    if sd_ratio == 1:
        return None
    seed = int(rng.integers(2**63))

    def enough(n: int) -> bool:
        # A generator for each n: its draws do not depend on which n were tried before.
        draws = np.random.default_rng([seed, n])
        return power_variance(n, n, alpha, sd_ratio, rng=draws, replicates=replicates) >= power

    return _fewest(enough, first=3, most=2000)


def runs_for_width(effect: float, sd_baseline: float, sd_technique: float, confidence: float = 0.95) -> int | None:
    """Return the fewest runs of each for which the interval of the difference of means is at most ± ``effect`` wide."""
    if effect <= 0 or not sd_baseline + sd_technique > 0:
        return None
    return _fewest(lambda n: difference_half_width(sd_baseline, sd_technique, n, confidence) <= effect)


def runs_for_width_paired(effect: float, sd_difference: float, confidence: float = 0.95) -> int | None:
    """Return the fewest paired runs for which the interval of the mean difference is at most ± ``effect`` wide."""
    if effect <= 0 or not sd_difference > 0:
        return None
    return _fewest(lambda n: mean_half_width(n, confidence) * sd_difference <= effect)


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


# What a number of runs can show


@dataclass(frozen=True)
class SampleSize:
    """A number of runs of each technique and what it can show; half-widths in the unit of the SDs, others unitless."""

    n: int
    power_mean: float | None  # of the declared effect
    power_variance: float  # of an SD ratio of 1.5
    half_width: float | None  # of the interval of the difference of means
    sd_low: float  # of the interval of the SD, in sample SDs
    sd_high: float
    next_run_within: float  # probability that one more run is within the range of these
    expected_range: float  # of normal runs, in SDs


def how_many_runs(
    effect: float,
    sd_baseline: float,
    sd_technique: float,
    alpha: float,
    *,
    rng: np.random.Generator,
    numbers: Sequence[int] = NUMBERS_OF_RUNS,
    confidence: float = 0.95,
) -> tuple[SampleSize, ...]:
    """Return what each of ``numbers`` >= 2 runs of both could show: power, widths, range; ``alpha`` as corrected."""
    return tuple(_sample_size(n, effect, sd_baseline, sd_technique, alpha, rng, confidence) for n in numbers)


def _sample_size(
    n: int, effect: float, sd_b: float, sd_t: float, alpha: float, rng: np.random.Generator, confidence: float
) -> SampleSize:
    varying = sd_b + sd_t > 0
    low, high = sd_ratios(n, confidence)
    return SampleSize(
        n,
        power_mean(effect, sd_b, sd_t, n, n, alpha),
        power_variance(n, n, alpha, rng=rng),
        difference_half_width(sd_b, sd_t, n, confidence) if varying else None,
        low,
        high,
        next_run_within(n),
        expected_range(n),
    )


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


def _fewest(enough: Callable[[int], bool], first: int = 2, most: int = MOST_RUNS) -> int | None:
    """Return the smallest n from ``first`` to ``most`` that is enough, by doubling, then bisection.

    Assumes that more runs are never worse.
    """
    low, high = first - 1, first
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
