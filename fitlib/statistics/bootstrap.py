"""Whole-run bootstrap: means, standard deviations and other statistics of resampled runs, and intervals of means.

The random unit is the run. The measurements of one run (its classes, metrics, groups, accuracy) stay together: one draw
of runs serves all series of a technique, and of all techniques that share its training. Pure functions of arrays shaped
(..., runs); every random one takes a generator. Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 13 and
14.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fitlib.statistics.estimates import NOT_ESTIMABLE, Estimate, as_runs, is_constant, means

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

RESAMPLES = 10_000
MOST_VALUES = 1 << 22  # of one block of resampled values, to bound the memory


def draw_runs(n: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """Draw how often each of ``n`` runs occurs in a resample, (resamples, n): multinomial counts, each row sums to n.

    Raises ValueError without runs.

    >>> draw_runs(4, np.random.default_rng(0), resamples=3).sum(axis=1).tolist()
    [4, 4, 4]
    """
    if n < 1:
        raise ValueError("no runs to resample")
    drawn = rng.integers(0, n, (resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n)


def bootstrap_runs(
    values: np.ndarray,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    statistic: str | Statistic = "mean",
) -> Floats:
    """Compute a statistic of resampled whole runs, (resamples, ...), from ``values`` (..., runs).

    All series get the same resampled runs. ``statistic``: "mean", "sd" (ddof 1) or a function that reduces the last
    axis of (..., runs). NaN for a series with NaN, and for the SD of a single run. Below 50 runs, do not take an
    interval of an SD from these resamples: its coverage would be far below the nominal one (see `interval`).

    >>> values = np.array([[0.10, 0.12, 0.11, 0.15], [0.20, 0.24, 0.22, 0.30]])  # two metrics of four runs
    >>> means = bootstrap_runs(values, np.random.default_rng(0), resamples=1000)
    >>> means.shape, bool(np.allclose(means[:, 1], 2 * means[:, 0]))  # the metrics of a run stay together
    ((1000, 2), True)
    """
    values = as_runs(values)
    counts = draw_runs(values.shape[-1], rng, resamples)
    if statistic == "mean":
        return resampled_means(values, counts)
    if statistic == "sd":
        return resampled_sds(values, counts)
    if not callable(statistic):
        raise ValueError(f"statistic = {statistic!r}: unknown; use 'mean', 'sd' or a function of (..., runs)")
    return _resampled(values, counts, statistic)


def resampled_means(values: np.ndarray, counts: np.ndarray) -> Floats:
    """Return means of ``values`` (..., runs) if run r is drawn ``counts`` (resamples, runs) times: (resamples, ...)."""
    first, centred, shape = _centred(values)
    return (first + _weighted(counts, centred) / counts.shape[1]).reshape(shape(counts))


def resampled_sds(values: np.ndarray, counts: np.ndarray) -> Floats:
    """Return sample SDs (ddof 1) of ``values`` (..., runs) under ``counts`` (resamples, runs): (resamples, ...)."""
    _, centred, shape = _centred(values)
    n = counts.shape[1]
    if n < 2:
        return np.full(shape(counts), np.nan)
    squares = _weighted(counts, centred**2) - _weighted(counts, centred) ** 2 / n
    return np.sqrt(np.maximum(squares, 0) / (n - 1)).reshape(shape(counts))


def interval(
    samples: Sequence[np.ndarray],
    rng: np.random.Generator,
    function: Callable[..., Floats] | None = None,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    method: str = "bca",
) -> Estimate:
    """Return the bootstrap interval of a function of means over runs.

    ``samples``: one array (..., runs) per independently trained technique; series that share their runs are the leading
    axes of one array. ``function`` takes the means of each sample, (k, ...), and returns (k,); by default the mean of
    the one sample (runs,), or the difference second - first of two. ``method`` "bca" (bias-corrected and accelerated,
    Efron 1987; acceleration from the jackknife over all runs) or "percentile".

    For means only. Neither method suits an SD, a MaxDiff or another measure of spread below n = 50 runs, where its
    coverage is far below the nominal one: use `fitlib.statistics.estimates.sd_interval`.

    >>> found = interval([np.array([0.10, 0.12, 0.11, 0.15, 0.13, 0.12])], np.random.default_rng(0))
    >>> round(found.value, 4), round(found.low, 2), round(found.high, 2), found.method
    (0.1217, 0.11, 0.14, 'whole-run bootstrap, BCa')
    """
    if method not in _NAMES:
        raise ValueError(f"method = {method!r}: unknown; use 'bca' or 'percentile'")
    samples, function = [as_runs(x) for x in samples], function or _default_function(len(samples))
    n, name = sum(x.shape[-1] for x in samples), _NAMES[method]
    reason = _why_not_estimable(samples)
    if reason:
        return Estimate(None, None, None, n, name, confidence, NOT_ESTIMABLE + reason)
    value = float(function(*(means(x)[None] for x in samples))[0])
    drawn = function(*(resampled_means(x, draw_runs(x.shape[-1], rng, resamples)) for x in samples))
    if not (math.isfinite(value) and np.isfinite(drawn).all()):
        return Estimate(None, None, None, n, name, confidence, NOT_ESTIMABLE + "undefined in some resamples")
    if np.ptp(drawn) == 0:
        note = f"constant in all {n} runs" if all(map(_constant, samples)) else "constant in all resamples"
        return Estimate(value, value, value, n, name, confidence, note)
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    ends = _bca_levels(samples, function, value, drawn, tails) if method == "bca" else tails
    if ends is None:
        note = NOT_ESTIMABLE + "no resample on one side of the estimate"
        return Estimate(value, None, None, n, name, confidence, note)
    low, high = np.quantile(drawn, ends)
    return Estimate(value, float(low), float(high), n, name, confidence)


# Parts

_NAMES = {"bca": "whole-run bootstrap, BCa", "percentile": "whole-run bootstrap, percentile"}


def _default_function(samples: int) -> Callable[..., Floats]:
    if samples not in (1, 2):
        raise ValueError(f"{samples} samples: a function of their means is needed")
    return (lambda mean: mean) if samples == 1 else (lambda first, second: second - first)


def _why_not_estimable(samples: Sequence[Floats]) -> str:
    if min(x.shape[-1] for x in samples) < 2:
        return "fewer than 2 runs"
    return "" if all(np.isfinite(x).all() for x in samples) else "a value is undefined"


def _constant(x: Floats) -> bool:
    return all(is_constant(series) for series in x.reshape(-1, x.shape[-1]))


def _centred(values: np.ndarray) -> tuple[Floats, Floats, Callable[[np.ndarray], tuple[int, ...]]]:
    """Return each series' first run (series,), all runs relative to it (runs, series), and the shape of results.

    Relative to the first run, so that constant values give exactly that value, and squares lose no precision.
    """
    values = as_runs(values)
    flat = values.reshape(-1, values.shape[-1])
    return flat[:, 0], (flat - flat[:, :1]).T, lambda counts: (len(counts), *values.shape[:-1])


def _weighted(counts: np.ndarray, values: Floats) -> Floats:
    with np.errstate(invalid="ignore"):  # a series with NaN gives NaN
        return counts.astype(np.float64) @ values


def _resampled(values: Floats, counts: np.ndarray, statistic: Statistic) -> Floats:
    n = counts.shape[1]
    index = np.repeat(np.tile(np.arange(n), len(counts)), counts.ravel()).reshape(-1, n)
    step = max(1, MOST_VALUES // max(1, values.size))
    blocks = (values[..., index[i : i + step]] for i in range(0, len(index), step))  # (..., resamples, runs)
    return np.concatenate([np.moveaxis(np.asarray(statistic(block)), -1, 0) for block in blocks])


def _bca_levels(
    samples: Sequence[Floats], function: Callable, value: float, drawn: Floats, tails: tuple[float, float]
) -> np.ndarray | None:
    """Return the levels of the two quantiles, Φ(z0 + (z0 + z)/(1 - a(z0 + z))); None if z0 is infinite."""
    # Resamples equal to the value count half: with few runs they are many, and would bias z0 to one side.
    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    if not 0 < below < 1:
        return None
    z0, z = stats.norm.ppf(below), stats.norm.ppf(tails)
    a = _acceleration(samples, function)
    return stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))


def _acceleration(samples: Sequence[Floats], function: Callable) -> float:
    """Return the skewness of the influence of single runs over 6, from the jackknife of each sample in turn."""
    cubes = squares = 0.0
    for i, x in enumerate(samples):
        n = x.shape[-1]
        without = np.moveaxis((x.sum(axis=-1, keepdims=True) - x) / (n - 1), -1, 0)
        fixed = [np.broadcast_to(means(y), (n, *y.shape[:-1])) for y in samples]
        left_out = function(*fixed[:i], without, *fixed[i + 1 :])
        influence = (n - 1) * (left_out.mean() - left_out)
        cubes, squares = cubes + (influence**3).sum() / n**3, squares + (influence**2).sum() / n**2
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0
