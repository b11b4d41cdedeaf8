"""Intervals for new test data: of a mean over runs, or a difference of two, if runs and test units are both random.

An interval from the runs alone holds on this test set. New test data of the same kind and size bring other units, which
move all runs together, however many there are. With the variances R (run), S (test set) and I (run × test set) of one
value, as in `fitlib.metrics.testset`, the mean over n runs on random test units has the variance S + (R + I)/n. The
spread between runs on one test set estimates R + I. S comes from resampled units: the mean over all runs would vary by
S + I/n over the resamples and count I twice (Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1,
386-411), but the means over two halves of the runs share S alone, so S is their covariance.

The target is the value expected on new test data of the same size. Metrics that are absolute differences are biased
upwards on any finite test set, and once more on its resamples. So the interval is centred at the estimate, and
resamples give the variance only.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from fitlib.statistics.estimates import NOT_ESTIMABLE, Estimate

TAILS = (0.025, 0.0005)  # of a single interval, and of one that holds together with many
METHOD = "t, runs and test units"


@dataclass(frozen=True)
class NewTestData:
    """An interval for new test data and the parts of its error; None where not estimable (``estimate.note``).

    ``error_runs``: standard error from the runs; ``error_units``: from the test units; ``share_units``: share of the
    variance that is due to the units.
    """

    estimate: Estimate
    error_runs: float | None = None
    error_units: float | None = None
    share_units: float | None = None


def for_new_test_data(here: Estimate, first: ArrayLike, second: ArrayLike, units: int) -> NewTestData:
    """Return the interval for new test data from the one on this test set and from resampled test units.

    ``here``: mean or difference with its ``error`` and ``df`` from the runs. ``first``, ``second`` (resamples,): the
    same quantity on resampled units, from the first and from the second half of the runs, NaN where undefined. The
    interval is value ± t(df) error with error² = error_runs² + error_units² and Satterthwaite's
    df = error⁴ / (error_runs⁴/df_runs + error_units⁴/(units - 1)). Where few runs and few units together have so many
    degrees of freedom that this interval would be narrower than that on this test set, df_runs takes its place.

    >>> here = Estimate(0.05, 0.01, 0.09, 16, "Welch t", error=0.019, df=14)
    >>> shared, rng = np.random.default_rng(0).normal(0, 0.02, 1000), np.random.default_rng(1)
    >>> first, second = (shared + rng.normal(0, 0.01, 1000) for _ in range(2))
    >>> found = for_new_test_data(here, first, second, units=300)
    >>> round(found.error_units, 3), round(found.estimate.low, 3), round(found.estimate.high, 3)
    (0.02, -0.005, 0.105)
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    defined = ~np.isnan(first + second)
    reason = _why_not(here, int(defined.sum()), units)
    if reason or here.value is None or here.error is None or here.df is None:
        missing = replace(here, low=None, high=None, method=METHOD, note=reason, error=None, df=None)
        return NewTestData(missing)
    units_error = math.sqrt(unit_variance(first[defined], second[defined], units))
    error = math.hypot(here.error, units_error)
    df = 1 / ((here.error / error) ** 4 / here.df + (units_error / error) ** 4 / (units - 1))
    if any(stats.t.isf(tail, df) * error < stats.t.isf(tail, here.df) * here.error for tail in TAILS):
        df = here.df
    half = float(stats.t.isf((1 - here.confidence) / 2, df)) * error
    low, high = here.value - half, here.value + half
    estimate = replace(here, low=low, high=high, method=METHOD, error=error, df=df, note="")
    return NewTestData(estimate, here.error, units_error, (units_error / error) ** 2)


def unit_variance(first: np.ndarray, second: np.ndarray, units: int) -> float:
    """Return the variance due to the units: the covariance of two halves of the runs over resamples, times U/(U - 1).

    first, second (resamples,), without NaN. An estimate below 0 counts as 0. The factor makes up for resampling from U
    units, among which the spread is too small by (U - 1)/U.

    >>> unit_variance(np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.3, 0.4]), units=101)
    0.0101
    """
    first, second = first - first[0], second - second[0]  # so that constant values have exactly no variance
    products = (first - first.mean()) * (second - second.mean())
    return max(float(products.sum()) / (first.size - 1), 0.0) * units / (units - 1)


def _why_not(here: Estimate, resamples: int, units: int) -> str:
    if here.error is None or not here.error > 0:
        return here.note or NOT_ESTIMABLE + "no spread between runs"
    if units < 2:
        return NOT_ESTIMABLE + "fewer than 2 test units"
    return NOT_ESTIMABLE + "undefined on resampled test units" if resamples < 2 else ""
