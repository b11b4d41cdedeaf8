"""Estimates from runs: means, standard deviations and differences, with their intervals.

Pure functions on arrays of shape (runs,), one value per run, without NaN. Everywhere difference = technique - baseline,
so a negative difference of a bias metric means "fairer". Everything is defined for one run, for constant values and for
ties; an estimate that does not exist is None with a reason (``note``), never NaN. Tests are in
`fitlib.statistics.significance`, verdicts in `fitlib.statistics.verdicts`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

NOT_ESTIMABLE = "not estimable: "
FEW = NOT_ESTIMABLE + "fewer than {} runs"
ROUNDING = 8 * np.finfo(float).eps  # relative error of a difference of means of doubles, generously


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; ``n`` counts the runs used (of two samples: their sum).

    Differences also have their standard ``error`` and its degrees of freedom ``df``.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    confidence: float = 0.95
    note: str = ""
    error: float | None = None
    df: float | None = None

    @property
    def estimable(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends of the interval; raises ValueError if there is none."""
        if self.low is None or self.high is None:
            raise ValueError(f"{self.method}: there is no interval ({self.note})")
        return self.low, self.high


# One technique


def is_constant(x: np.ndarray) -> bool:
    """Return whether all values are exactly equal (an empty array is not constant)."""
    x = as_runs(x)
    return x.size > 0 and bool(np.all(x == x[0]))


def means(values: np.ndarray) -> np.ndarray:
    """Return means over the last axis (runs >= 1); of constant values exactly that value, without rounding residue.

    >>> float(means([0.1, 0.1, 0.1])), float(np.mean([0.1, 0.1, 0.1]))
    (0.1, 0.10000000000000002)
    """
    values = as_runs(values)
    return np.where(_constant(values), values[..., 0], values.mean(axis=-1))


def sds(values: np.ndarray) -> np.ndarray:
    """Return sample standard deviations (ddof 1) over the last axis; exactly 0 if constant, NaN for a single run."""
    values = as_runs(values)
    if values.shape[-1] < 2:
        return np.full(values.shape[:-1], np.nan)
    return np.where(_constant(values), 0.0, values.std(axis=-1, ddof=1))


def mean_intervals(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means with Student's t interval over the last axis: mean ± t(n-1) s/sqrt(n).

    ``values`` (..., runs), at least one run. Returns (mean, low, high), each (...); low and high are NaN for one run
    and for constant values, from which no spread can be estimated.
    """
    n = np.shape(values)[-1]
    mean, sd = means(values), sds(values)
    half = stats.t.isf((1 - confidence) / 2, n - 1) * np.where(sd > 0, sd, np.nan) / math.sqrt(n) if n > 1 else sd
    return mean, mean - half, mean + half


def sd_intervals(
    values: np.ndarray, confidence: float = 0.95, method: str = "bonett"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sample SDs (ddof 1) with intervals over the last axis.

    ``values`` (..., runs), at least one run; ``method`` "bonett" (Bonett 2006, needs 5 runs) or "chi-square" (if runs
    are normal, needs 2). Returns (sd, low, high), each (...); low and high are NaN where constant or with too few runs.
    """
    values = as_runs(values)
    sd, n = sds(values), values.shape[-1]
    if n < _sd_runs(method, confidence):
        return sd, np.full_like(sd, np.nan), np.full_like(sd, np.nan)
    ratios = _bonett_ratios if method == "bonett" else _chi_square_ratios
    low, high = ratios(values, confidence)
    varying = sd > 0
    return sd, np.where(varying, sd * low, np.nan), np.where(varying, sd * high, np.nan)


def mean_interval(x: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return the mean over runs with Student's t interval; no interval for one run or constant values.

    >>> found = mean_interval([0.10, 0.12, 0.11, 0.15])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.12, 0.086, 0.154)
    """
    x, method = as_runs(x), "Student t"
    if x.size == 0:
        return Estimate(None, None, None, 0, method, confidence, NOT_ESTIMABLE + "no runs")
    mean, low, high = map(float, mean_intervals(x, confidence))
    if x.size == 1 or is_constant(x):
        return Estimate(
            mean, None, None, x.size, method, confidence, _constant_note(x) if x.size > 1 else FEW.format(2)
        )
    error = float(sds(x)) / math.sqrt(x.size)
    return Estimate(mean, low, high, x.size, method, confidence, error=error, df=x.size - 1)


def prediction_intervals(
    values: np.ndarray, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Return intervals for the value of one more run: mean ± t(n-1) s sqrt(1 + 1/n) over the last axis.

    ``values`` (..., runs), at least one run; ``bounds``: smallest and largest possible value, at which the interval is
    cut off. Returns (low, high), each (...); NaN for one run and for constant values. For the next run under the same
    conditions, if runs are normal. Of exponential runs some 92 % are within, and all others above: see
    docs/statistics.md.
    """
    n = np.shape(values)[-1]
    mean, sd = means(values), sds(values)
    half = np.where(sd > 0, sd, np.nan) * math.sqrt(1 + 1 / n)
    if n > 1:
        half = half * stats.t.isf((1 - confidence) / 2, n - 1)
    return np.clip(mean - half, *bounds), np.clip(mean + half, *bounds)


def prediction_interval(x: np.ndarray, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """Return the mean over runs with the interval for the next run: see `prediction_intervals`.

    No interval for one run or constant values: a run that differs from all before it would be a first.

    >>> found = prediction_interval([0.10, 0.12, 0.11, 0.15])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.12, 0.043, 0.197)
    """
    x, method = as_runs(x), "Student t, next run"
    if x.size == 0:
        return Estimate(None, None, None, 0, method, confidence, NOT_ESTIMABLE + "no runs")
    mean, (low, high) = float(means(x)), map(float, prediction_intervals(x, confidence, bounds))
    if x.size < 2 or is_constant(x):
        return Estimate(
            mean, None, None, x.size, method, confidence, _constant_note(x) if x.size > 1 else FEW.format(2)
        )
    return Estimate(mean, low, high, x.size, method, confidence)


def sd_interval(x: np.ndarray, confidence: float = 0.95, method: str = "bonett") -> Estimate:
    """Return the standard deviation (ddof 1) over runs with its interval.

    ``method`` "bonett": Bonett (2006), Computational Statistics & Data Analysis 50, 775-782: the interval of log
    variance is log(c s²) ± z se, c = n/(n-z), se = c sqrt((g - (n-3)/n)/(n-1)), with kurtosis g = n
    Σ(x-m)⁴/(Σ(x-mean)²)² about the mean m trimmed by 1/(2 sqrt(n-4)) at each end. "chi-square": exact if runs are
    normal, poor otherwise.

    >>> found = sd_interval([0.10, 0.12, 0.11, 0.15, 0.13, 0.09, 0.12, 0.14])
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
    (0.02, 0.0129, 0.0409)
    """
    needed, name = _sd_runs(method, confidence), {"bonett": "Bonett (2006)", "chi-square": "chi-square"}[method]
    x = as_runs(x)
    if x.size < 2:
        return Estimate(None, None, None, x.size, name, confidence, FEW.format(2))
    sd, low, high = map(float, sd_intervals(x, confidence, method))
    if is_constant(x):
        return Estimate(0.0, None, None, x.size, name, confidence, _constant_note(x))
    if x.size < needed:
        return Estimate(sd, None, None, x.size, name, confidence, FEW.format(needed))
    return Estimate(sd, low, high, x.size, name, confidence)


def max_difference(x: np.ndarray) -> float:
    """Return MaxDiff, the largest minus the smallest value; it grows with n, so never compare it at unequal n."""
    return float(np.ptp(as_runs(x)))


def relative_max_difference(x: np.ndarray) -> float | None:
    """Return (largest - smallest) / mean; None if the mean is 0."""
    mean = float(means(x))
    return max_difference(x) / mean if mean else None


def next_run_within(n: int) -> float:
    """Return the probability (n-1)/(n+1) that the next of exchangeable runs is within [min, max] of ``n`` >= 1.

    Without ties.

    >>> round(next_run_within(16), 3)
    0.882
    """
    return (n - 1) / (n + 1)


# Two techniques


def welch(baseline: np.ndarray, technique: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return the difference of means, technique - baseline, with Welch's interval (Satterthwaite's degrees of freedom).

    If both are constant there is no spread to estimate an interval from.

    >>> found = welch([0.10, 0.12, 0.11, 0.15], [0.08, 0.09, 0.07, 0.08])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (-0.04, -0.073, -0.007)
    """
    b, t = as_runs(baseline), as_runs(technique)
    n, method = b.size + t.size, "Welch t"
    if min(b.size, t.size) == 0:
        return Estimate(None, None, None, n, method, confidence, NOT_ESTIMABLE + "no runs")
    difference = difference_of_means(b, t)
    if min(b.size, t.size) < 2:
        return Estimate(difference, None, None, n, method, confidence, FEW.format(2))
    error, df = welch_error(float(sds(b)), float(sds(t)), b.size, t.size)
    if error == 0:
        return Estimate(difference, None, None, n, method, confidence, both_constant(b, t))
    half = float(stats.t.isf((1 - confidence) / 2, df)) * error
    return Estimate(difference, difference - half, difference + half, n, method, confidence, error=error, df=df)


def paired_difference(baseline: np.ndarray, technique: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return the mean of the differences technique - baseline by run, with Student's t interval.

    For techniques that share one training. Both arrays (runs,), in the same order of runs; ValueError if unequal in
    length.
    """
    differences = run_differences(baseline, technique)
    interval, n = mean_interval(differences, confidence), differences.size
    constant = f"constant difference in all runs; nothing to estimate with n = {n}"
    return replace(interval, method="paired t", note=constant if n > 1 and is_constant(differences) else interval.note)


def difference_of_means(baseline: np.ndarray, technique: np.ndarray) -> float:
    """Return mean(technique) - mean(baseline), exactly 0 where only the order of summation makes them differ.

    Both (runs,), at least one run each.

    >>> runs = [0.1, 0.2, 0.3]
    >>> difference_of_means(runs, runs[::-1]), float(np.mean(runs[::-1]) - np.mean(runs)) == 0
    (0.0, False)
    """
    b, t = as_runs(baseline), as_runs(technique)
    difference = float(means(t) - means(b))
    return difference if abs(difference) > ROUNDING * max(np.abs(b).max(), np.abs(t).max()) else 0.0


def run_differences(baseline: np.ndarray, technique: np.ndarray) -> np.ndarray:
    """Return technique - baseline by run, (runs,), with equal differences exactly equal.

    Values of runs are the doubles nearest to ratios of counts, so their differences are known up to their rounding
    only: .3 - .2 and .2 - .1 differ by 3e-17. Differences that rounding cannot tell apart take the value of the
    smallest of them, and those around 0 are 0; else ranks, signs and constancy would follow the rounding. ValueError if
    unequal in length.

    >>> run_differences([0.1, 0.2], [0.2, 0.3]).tolist(), (0.3 - 0.2, 0.2 - 0.1)
    ([0.09999999999999998, 0.09999999999999998], (0.09999999999999998, 0.1))
    """
    b, t = paired_runs(baseline, technique)
    difference = t - b
    if not difference.size:
        return difference
    rounding = ROUNDING * max(np.abs(b).max(), np.abs(t).max())
    difference = np.where(np.abs(difference) <= rounding, 0.0, difference)
    order = np.argsort(difference, kind="stable")
    rising = difference[order]
    starts = np.r_[True, np.diff(rising) > rounding]
    representative = np.where(starts, rising, -np.inf)
    equal = np.empty_like(difference)
    equal[order] = np.maximum.accumulate(representative)
    return equal


def cohens_d(baseline: np.ndarray, technique: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return Cohen's d = (mean(technique) - mean(baseline)) / sqrt((s_b² + s_t²)/2); negative = fairer.

    Interval for unequal variances: Bonett (2008), Psychological Methods 13, 99-109: d ± z se with
    se² = d²(s_b⁴/df_b + s_t⁴/df_t)/(8 s⁴) + (s_b²/df_b + s_t²/df_t)/s², df = n - 1, s² = (s_b² + s_t²)/2.

    >>> round(cohens_d([0.10, 0.12, 0.11, 0.15], [0.08, 0.09, 0.07, 0.08]).value, 2)
    -2.45
    """
    b, t = as_runs(baseline), as_runs(technique)
    n, method = b.size + t.size, "Bonett (2008)"
    if min(b.size, t.size) < 2:
        return Estimate(None, None, None, n, method, confidence, FEW.format(2))
    sd_b, sd_t = float(sds(b)), float(sds(t))
    s = math.hypot(sd_b, sd_t) / math.sqrt(2)
    if s == 0:
        return Estimate(None, None, None, n, method, confidence, NOT_ESTIMABLE + "both constant in all runs")
    d = difference_of_means(b, t) / s
    share_b, share_t, df_b, df_t = (sd_b / s) ** 2, (sd_t / s) ** 2, b.size - 1, t.size - 1
    half = _z(confidence) * math.sqrt(
        d**2 * (share_b**2 / df_b + share_t**2 / df_t) / 8 + share_b / df_b + share_t / df_t
    )
    return Estimate(d, d - half, d + half, n, method, confidence)


def welch_error(sd_baseline: float, sd_technique: float, n_baseline: int, n_technique: int) -> tuple[float, float]:
    """Return the standard error of the difference of means, and Satterthwaite's degrees of freedom."""
    # hypot and shares of the error instead of squares: SDs of 1e-200 have squares of 0.
    a, b = sd_baseline / math.sqrt(n_baseline), sd_technique / math.sqrt(n_technique)
    error = math.hypot(a, b)
    if error == 0:
        return 0.0, math.inf
    return error, 1 / ((a / error) ** 4 / (n_baseline - 1) + (b / error) ** 4 / (n_technique - 1))


def both_constant(b: np.ndarray, t: np.ndarray) -> str:
    """Return the note on two samples that are both constant."""
    sizes = str(b.size) if b.size == t.size else f"{b.size} and {t.size}"
    return f"constant in both; nothing to estimate with n = {sizes}"


# Parts


def as_runs(x: ArrayLike) -> np.ndarray:
    """Return values of runs as contiguous floats, so that sums do not depend on memory layout."""
    return np.ascontiguousarray(x, dtype=np.float64)


def paired_runs(baseline: np.ndarray, technique: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both samples `as_runs`; raise ValueError if unequal in length."""
    b, t = as_runs(baseline), as_runs(technique)
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
    """Return the number of runs that an SD interval needs; Bonett's c = n/(n-z) also needs n > z."""
    if method not in ("bonett", "chi-square"):
        raise ValueError(f"method = {method!r}: unknown; use 'bonett' or 'chi-square'")
    return max(5, math.floor(_z(confidence)) + 1) if method == "bonett" else 2


def _bonett_ratios(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    n, z = values.shape[-1], _z(confidence)
    c = n / (n - z)
    error = c * np.sqrt((_kurtosis(values) - (n - 3) / n) / (n - 1))
    # The square root of exp(log(c s²) ± z se), over s
    return np.sqrt(c) * np.exp(-z * error / 2), np.sqrt(c) * np.exp(z * error / 2)


def _kurtosis(values: np.ndarray) -> np.ndarray:
    """Return the kurtosis about the trimmed mean, of values scaled to [0, 1]: fourth powers of small ones underflow."""
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
