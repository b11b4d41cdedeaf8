"""What may be concluded from runs: intervals, tests, corrections and power.

Pure functions on arrays of shape (runs,), one value per run, without NaN. Positive direction everywhere:
difference = technique - baseline, so a negative difference of a bias metric means "fairer". Everything is defined for
one run, for constant values and for ties; what cannot be estimated says why (``note``) instead of returning NaN.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats

NOT_ESTIMABLE = "not estimable: "
FEW = NOT_ESTIMABLE + "fewer than {} runs"


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; ``n`` counts the runs used (of two samples: their sum)."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    confidence: float = 0.95
    note: str = ""

    @property
    def estimable(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None


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


# One technique


def is_constant(x: np.ndarray) -> bool:
    """Whether all values are exactly equal (an empty array is not constant)."""
    x = _runs(x)
    return x.size > 0 and bool(np.all(x == x[0]))


def means(values: np.ndarray) -> np.ndarray:
    """Means over the last axis (runs >= 1); of constant values exactly that value, free of rounding residue."""
    values = _runs(values)
    return np.where(_constant(values), values[..., 0], values.mean(axis=-1))


def sds(values: np.ndarray) -> np.ndarray:
    """Sample standard deviations (ddof 1) over the last axis; exactly 0 if constant, NaN for a single run."""
    values = _runs(values)
    if values.shape[-1] < 2:
        return np.full(values.shape[:-1], np.nan)
    return np.where(_constant(values), 0.0, values.std(axis=-1, ddof=1))


def mean_intervals(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means with Student's t interval over the last axis: mean ± t(n-1) s/sqrt(n).

    ``values`` (..., runs), at least one run. Returns (mean, low, high), each (...); low and high are NaN for one run.
    """
    n = np.shape(values)[-1]
    mean, sd = means(values), sds(values)
    half = stats.t.isf((1 - confidence) / 2, n - 1) * sd / math.sqrt(n) if n > 1 else sd
    return mean, mean - half, mean + half


def sd_intervals(
    values: np.ndarray, confidence: float = 0.95, method: str = "bonett"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample SDs (ddof 1) with intervals over the last axis.

    ``values`` (..., runs), at least one run; ``method`` "bonett" (Bonett 2006, needs 5 runs) or "chi-square" (if runs
    are normal, needs 2). Returns (sd, low, high), each (...); low and high are NaN where constant or with too few runs.
    """
    values = _runs(values)
    sd, n = sds(values), values.shape[-1]
    if n < _sd_runs(method, confidence):
        return sd, np.full_like(sd, np.nan), np.full_like(sd, np.nan)
    ratios = _bonett_ratios if method == "bonett" else _chi_square_ratios
    low, high = ratios(values, confidence)
    varying = sd > 0
    return sd, np.where(varying, sd * low, np.nan), np.where(varying, sd * high, np.nan)


def mean_interval(x: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Mean over runs with Student's t interval; constant values give the point, one run no interval."""
    x, method = _runs(x), "Student t"
    if x.size == 0:
        return Estimate(None, None, None, 0, method, confidence, NOT_ESTIMABLE + "no runs")
    mean, low, high = map(float, mean_intervals(x, confidence))
    if x.size == 1:
        return Estimate(mean, None, None, 1, method, confidence, FEW.format(2))
    return Estimate(mean, low, high, x.size, method, confidence, _constant_note(x))


def sd_interval(x: np.ndarray, confidence: float = 0.95, method: str = "bonett") -> Estimate:
    """Standard deviation (ddof 1) over runs with its interval.

    ``method`` "bonett": Bonett (2006), Computational Statistics & Data Analysis 50, 775-782: the interval of log
    variance is log(c s²) ± z se, c = n/(n-z), se = c sqrt((g - (n-3)/n)/(n-1)), with kurtosis g = n
    Σ(x-m)⁴/(Σ(x-mean)²)² about the mean m trimmed by 1/(2 sqrt(n-4)) at each end. "chi-square": exact if runs are
    normal, poor otherwise.
    """
    needed, name = _sd_runs(method, confidence), {"bonett": "Bonett (2006)", "chi-square": "chi-square"}[method]
    x = _runs(x)
    if x.size < 2:
        return Estimate(None, None, None, x.size, name, confidence, FEW.format(2))
    sd, low, high = map(float, sd_intervals(x, confidence, method))
    if is_constant(x):
        return Estimate(0.0, None, None, x.size, name, confidence, _constant_note(x))
    if x.size < needed:
        return Estimate(sd, None, None, x.size, name, confidence, FEW.format(needed))
    return Estimate(sd, low, high, x.size, name, confidence)


def max_difference(x: np.ndarray) -> float:
    """MaxDiff: largest minus smallest value. It grows with the number of runs, so never compare unequal n."""
    return float(np.ptp(_runs(x)))


def relative_max_difference(x: np.ndarray) -> float | None:
    """(largest - smallest) / mean; None if the mean is 0."""
    mean = float(means(x))
    return max_difference(x) / mean if mean else None


def next_run_within(n: int) -> float:
    """Probability (n-1)/(n+1) that the next run falls within [min, max] of ``n`` >= 1 exchangeable runs (no ties)."""
    return (n - 1) / (n + 1)


# Two techniques


def welch(baseline: np.ndarray, technique: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Difference of means, technique - baseline, with Welch's interval (Satterthwaite's degrees of freedom).

    If both are constant the interval is the point, and ``method`` says so.
    """
    b, t = _runs(baseline), _runs(technique)
    n, method = b.size + t.size, "Welch t"
    if min(b.size, t.size) == 0:
        return Estimate(None, None, None, n, method, confidence, NOT_ESTIMABLE + "no runs")
    difference = float(means(t) - means(b))
    if min(b.size, t.size) < 2:
        return Estimate(difference, None, None, n, method, confidence, FEW.format(2))
    error, df = _welch_error(float(sds(b)), float(sds(t)), b.size, t.size)
    if error == 0:
        exact = "exact: both constant in all runs"
        return Estimate(difference, difference, difference, n, exact, confidence, exact)
    half = float(stats.t.isf((1 - confidence) / 2, df)) * error
    return Estimate(difference, difference - half, difference + half, n, method, confidence)


def paired_difference(baseline: np.ndarray, technique: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Mean of the differences technique - baseline by run, with Student's t interval.

    For techniques that share one training. Both arrays (runs,), in the same order of runs; ValueError if unequal in
    length.
    """
    b, t = _paired(baseline, technique)
    interval = mean_interval(t - b, confidence)
    constant = "exact: constant difference in all runs" if interval.note.startswith("constant") else ""
    return replace(interval, method=constant or "paired t", note=constant or interval.note)


def verdict(
    baseline: np.ndarray, technique: np.ndarray, smallest_effect: float, confidence: float = 0.95, paired: bool = False
) -> str:
    """Verdict on a bias metric against the declared smallest effect δ >= 0, by Welch's (or the paired) interval.

    "fairer" if the interval lies below -δ, "less fair" if above δ, "equivalent" if the interval of confidence
    2·confidence - 1 (two one-sided tests) lies in [-δ, δ], else "undecided"; "not estimable" with fewer than two runs.
    """
    estimate = paired_difference if paired else welch
    interval = estimate(baseline, technique, confidence)
    if not interval.estimable:
        return "not estimable"
    if interval.high < -smallest_effect:
        return "fairer"
    if interval.low > smallest_effect:
        return "less fair"
    inner = estimate(baseline, technique, round(2 * confidence - 1, 12))
    return "equivalent" if -smallest_effect <= inner.low and inner.high <= smallest_effect else "undecided"


def mann_whitney_exact(baseline: np.ndarray, technique: np.ndarray) -> Test:
    """Two-sided Mann-Whitney U test, exact at any n and with any ties.

    ``statistic`` U = number of pairs with technique > baseline, ties counted ½. p = P(|U - mean| >= |u - mean|) under
    the permutation distribution of U given the mid-ranks (Lehmann 1975, Nonparametrics, §1.4), by integer dynamic
    programming.
    """
    b, t = _runs(baseline), _runs(technique)
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
    b, t = _paired(baseline, technique)
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
    b, t = _runs(baseline), _runs(technique)
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


def cohens_d(baseline: np.ndarray, technique: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Cohen's d = (mean(technique) - mean(baseline)) / sqrt((s_b² + s_t²)/2); negative = fairer.

    Interval for unequal variances: Bonett (2008), Psychological Methods 13, 99-109: d ± z se with
    se² = d²(s_b⁴/df_b + s_t⁴/df_t)/(8 s⁴) + (s_b²/df_b + s_t²/df_t)/s², df = n - 1, s² = (s_b² + s_t²)/2.
    """
    b, t = _runs(baseline), _runs(technique)
    n, method = b.size + t.size, "Bonett (2008)"
    if min(b.size, t.size) < 2:
        return Estimate(None, None, None, n, method, confidence, FEW.format(2))
    sd_b, sd_t = float(sds(b)), float(sds(t))
    s = math.hypot(sd_b, sd_t) / math.sqrt(2)
    if s == 0:
        return Estimate(None, None, None, n, method, confidence, NOT_ESTIMABLE + "both constant in all runs")
    d = float(means(t) - means(b)) / s
    share_b, share_t, df_b, df_t = (sd_b / s) ** 2, (sd_t / s) ** 2, b.size - 1, t.size - 1
    half = _z(confidence) * math.sqrt(
        d**2 * (share_b**2 / df_b + share_t**2 / df_t) / 8 + share_b / df_b + share_t / df_t
    )
    return Estimate(d, d - half, d + half, n, method, confidence)


# Families and power


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
        first = next((m for m in distinct if _proportional(_runs(values[m]), _runs(y), tolerance)), None)
        if first is None:
            distinct.append(metric)
        else:
            repeated[metric] = first
    return repeated


def power_mean(
    effect: float, sd_baseline: float, sd_technique: float, n_baseline: int, n_technique: int, alpha: float
) -> float | None:
    """Power of Welch's two-sided t test at level ``alpha`` for a true difference of means ``effect``.

    Noncentral t with Satterthwaite's degrees of freedom. None where there is no such test: fewer than two runs, no
    spread, or no effect declared (0).
    """
    if min(n_baseline, n_technique) < 2 or effect == 0 or max(sd_baseline, sd_technique) <= 0:
        return None
    error, df = _welch_error(sd_baseline, sd_technique, n_baseline, n_technique)
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


def _runs(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, dtype=np.float64)


def _paired(baseline: np.ndarray, technique: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    b, t = _runs(baseline), _runs(technique)
    if b.shape != t.shape:
        raise ValueError(f"{b.size} and {t.size} runs: a paired comparison needs the same runs of both")
    return b, t


def _z(confidence: float) -> float:
    return float(stats.norm.isf((1 - confidence) / 2))


def _constant(values: np.ndarray) -> np.ndarray:
    return np.all(values == values[..., :1], axis=-1)


def _constant_note(x: np.ndarray) -> str:
    return f"constant in all {x.size} runs" if is_constant(x) else ""


def _sd_runs(method: str, confidence: float) -> int:
    """Runs that an SD interval needs; Bonett's c = n/(n-z) also needs n > z."""
    if method not in ("bonett", "chi-square"):
        raise ValueError(f"method = {method!r}: unknown; use 'bonett' or 'chi-square'")
    return max(5, math.floor(_z(confidence)) + 1) if method == "bonett" else 2


def _bonett_ratios(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    n, z = values.shape[-1], _z(confidence)
    c = n / (n - z)
    error = c * np.sqrt((_kurtosis(values) - (n - 3) / n) / (n - 1))
    # exp(log(c s²) ± z se), square root, over s
    return np.sqrt(c) * np.exp(-z * error / 2), np.sqrt(c) * np.exp(z * error / 2)


def _kurtosis(values: np.ndarray) -> np.ndarray:
    """Kurtosis about the trimmed mean; of values brought to [0, 1], as fourth powers of small spreads underflow."""
    n = values.shape[-1]
    cut = int(n / (2 * math.sqrt(n - 4)))
    spread = np.ptp(values, axis=-1, keepdims=True)
    scaled = (values - values.min(axis=-1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    trimmed = np.sort(scaled, axis=-1)[..., cut : n - cut].mean(axis=-1, keepdims=True)
    squares = ((scaled - scaled.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    fourth = n * ((scaled - trimmed) ** 4).sum(axis=-1)
    return np.divide(fourth, squares**2, out=np.ones_like(fourth), where=squares > 0)


def _chi_square_ratios(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    df, tail = values.shape[-1] - 1, (1 - confidence) / 2
    return np.sqrt(df / stats.chi2.isf(tail, df)), np.sqrt(df / stats.chi2.ppf(tail, df))


def _welch_error(sd_baseline: float, sd_technique: float, n_baseline: int, n_technique: int) -> tuple[float, float]:
    """Standard error of the difference of means, and Satterthwaite's degrees of freedom."""
    a, b = sd_baseline / math.sqrt(n_baseline), sd_technique / math.sqrt(n_technique)
    error = math.hypot(a, b)
    if error == 0:
        return 0.0, math.inf
    return error, 1 / ((a / error) ** 4 / (n_baseline - 1) + (b / error) ** 4 / (n_technique - 1))


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
