"""Intervals over runs and test units: their parts, their limits, and how often they cover."""

import math

import numpy as np
import pytest
from scipy import stats

from fitlib.metrics.bias_metrics import METRICS
from fitlib.metrics.counts import cells_of, count
from fitlib.metrics.new_test_data import resample
from fitlib.statistics.estimates import Estimate, mean_interval, welch
from fitlib.statistics.new_test_data import for_new_test_data, unit_variance
from fitlib.storage.predictions import Predictions
from tests.support.chance_examples import made

pytestmark = pytest.mark.filterwarnings("error")
HERE = Estimate(0.05, 0.01, 0.09, 16, "Welch t", error=0.02, df=14.0)


def test_without_variance_of_units_the_interval_is_that_on_this_test_set():
    here = welch([0.10, 0.12, 0.11, 0.15], [0.08, 0.09, 0.07, 0.08])
    found = for_new_test_data(here, np.full(100, -0.04), np.full(100, -0.04), units=50)
    assert found.estimate.ends == pytest.approx(here.ends) and found.estimate.df == pytest.approx(here.df)
    assert (found.error_units, found.share_units) == (0, 0)


def test_errors_add_up_and_degrees_of_freedom_are_satterthwaites():
    drawn = np.random.default_rng(0).normal(size=500)
    shared = 0.03 * (drawn - drawn.mean()) / drawn.std(ddof=1)
    found = for_new_test_data(HERE, shared, shared, units=101)
    units = 0.03 * math.sqrt(101 / 100)
    assert found.error_units == pytest.approx(units)
    error = math.sqrt(0.02**2 + units**2)
    df = error**4 / (0.02**4 / 14 + units**4 / 100)
    assert (found.estimate.error, found.estimate.df) == (pytest.approx(error), pytest.approx(df))
    assert found.estimate.high == pytest.approx(0.05 + stats.t.isf(0.025, df) * error)
    assert found.share_units == pytest.approx(units**2 / error**2) and found.estimate.value == 0.05


def test_halves_do_not_count_the_interaction_of_run_and_test_set():
    rng, resamples, runs = np.random.default_rng(1), 40_000, 4
    values = 0.03 * rng.normal(size=(resamples, 1)) + 0.05 * rng.normal(size=(resamples, runs))
    halves, mean = [values[:, half::2].mean(axis=1) for half in (0, 1)], values.mean(axis=1)
    assert unit_variance(*halves, units=10**9) == pytest.approx(0.03**2, rel=0.03)
    assert mean.var() == pytest.approx(0.03**2 + 0.05**2 / runs, rel=0.03)


def test_a_negative_covariance_counts_as_none():
    x = np.arange(10.0)
    assert unit_variance(x, -x, units=10) == 0


def test_undefined_resamples_are_left_out():
    first, second = np.random.default_rng(2).normal(0, 0.1, (2, 50))
    expected = for_new_test_data(HERE, first[5:], second[5:], 40)
    first[:3], second[2:5] = np.nan, np.nan
    assert for_new_test_data(HERE, first, second, 40) == expected


@pytest.mark.parametrize(
    ("here", "resamples", "units", "why"),
    [
        (mean_interval([0.3]), 10, 20, "not estimable: fewer than 2 runs"),
        (mean_interval([]), 10, 20, "not estimable: no runs"),
        (HERE, 10, 1, "not estimable: fewer than 2 test units"),
        (HERE, 1, 20, "not estimable: undefined on resampled test units"),
        (mean_interval([0.3, 0.3]), 10, 20, "constant in all 2 runs"),
    ],
)
def test_what_cannot_be_estimated_has_a_reason_and_no_interval(here, resamples, units, why):
    first, second = np.random.default_rng(3).normal(size=(2, 10))
    first[resamples:] = np.nan
    found = for_new_test_data(here, first, second, units)
    assert found.estimate.note == why and not found.estimate.estimable
    assert (found.estimate.value, found.error_units, found.share_units) == (here.value, None, None)


# Coverage


def simulate(rng: np.random.Generator, units: int, runs: int) -> list[Predictions]:
    """Two techniques that do not differ: test units shared, runs independent, each run favours a group at random."""
    group, truth = rng.integers(0, 2, units), rng.integers(0, 2, units)
    unit, techniques = 1.2 * (truth - 0.5) + rng.normal(size=units) + 0.5 * (group - 0.5), []
    for _ in range(2):
        own, run = 0.5 * rng.normal(size=units), 0.15 * rng.normal(size=(runs, 2))
        score = unit + own + run[:, group] + 0.5 * rng.normal(size=(runs, units))
        techniques.append(made(truth, (score > 0).astype(int), group))
    return techniques


def test_the_interval_covers_for_new_test_data_and_the_one_on_this_test_set_does_not():
    rng, replicates, covered, here_covered = np.random.default_rng(4), 200, 0, 0
    for _ in range(replicates):
        both = simulate(rng, units=120, runs=16)
        b, t = (METRICS["EOTP"](cells_of(count(p, "a"))).mean(axis=1) for p in both)
        halves = np.subtract(*(resample(p, "a", 200).values["EOTP"].mean(axis=2) for p in reversed(both)))
        here = welch(b, t)
        low, high = for_new_test_data(here, *halves, units=120).estimate.ends
        covered += low <= 0 <= high
        here_covered += here.ends[0] <= 0 <= here.ends[1]
    assert stats.binom.cdf(covered, replicates, 0.95) > 0.001  # not below 95 % by more than chance
    assert stats.binom.sf(covered - 1, replicates, 0.95) > 0.0001  # nor far above, as where I counts twice
    assert stats.binom.cdf(here_covered, replicates, 0.95) < 0.001
