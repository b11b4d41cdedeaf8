"""fitlib.statistics.power against statsmodels, simulation and tabulated constants."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from fitlib.statistics import estimates as st
from fitlib.statistics import power
from fitlib.statistics import significance as sig


def test_power_where_scipy_gives_up_is_close_to_scipy_elsewhere() -> None:
    for critical, df, shift in ((2.1, 15.0, 3.0), (12.7, 1.0, 10.0), (60.0, 2.0, 50.0), (5.0, 30.0, 5.0)):
        assert power._noncentral_t_sf(critical, df, shift) == pytest.approx(stats.nct.sf(critical, df, shift), abs=2e-3)


RANK_CASES = [  # runs of each, alpha, effect in SDs, rejections of the exact U test in 500 simulated experiments
    (4, 0.05, 2.38, 0.656), (5, 0.01, 2.74, 0.664), (6, 0.05 / 14, 2.76, 0.58), (7, 0.05 / 35, 2.74, 0.684),
    (8, 0.05 / 35, 2.47, 0.71), (8, 0.01, 1.94, 0.718),
]  # fmt: skip


@pytest.mark.parametrize("case", RANK_CASES, ids=str)
def test_power_of_the_rank_test_is_below_that_of_the_t_test_at_few_runs(case: tuple) -> None:
    n, alpha, effect, found = case
    error = math.sqrt(0.25 / 500 + 0.25 / power.REPLICATES)
    assert power.power_rank(effect, 1.0, 1.0, n, n, alpha) == pytest.approx(found, abs=3 * error)
    welch = TTestIndPower().power(effect_size=effect, nobs1=n, alpha=alpha, ratio=1)
    assert welch == pytest.approx(0.8, abs=0.01) and found < 0.75


@pytest.mark.parametrize(("n", "alpha"), [((4, 4), 0.05), ((8, 8), 0.05 / 7), ((5, 12), 0.05), ((16, 16), 0.05 / 9)])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0, 1.7, 12.0])
def test_power_of_the_rank_test_is_the_share_of_experiments_that_it_rejects(
    n: tuple, alpha: float, ratio: float
) -> None:
    rng, effect = np.random.default_rng(3), 1.3 * math.hypot(1, ratio) / math.sqrt(2)
    b = rng.standard_normal((1500, n[0]))
    t = effect + ratio * rng.standard_normal((1500, n[1])) + 1e-9 * rng.standard_normal((1500, n[1]))  # no ties
    found = np.mean([sig.mann_whitney_exact(*both).p <= alpha for both in zip(b, t, strict=True)])
    assert power.power_rank(-effect, 1.0, ratio, *n, alpha) == pytest.approx(found, abs=0.05)


@pytest.mark.parametrize(("n", "alpha"), [(6, 0.05), (9, 0.05), (16, 0.05 / 7)])
def test_power_of_the_signed_rank_test_is_the_share_of_experiments_that_it_rejects(n: int, alpha: float) -> None:
    drawn = 1.1 + np.random.default_rng(4).standard_normal((2000, n))
    found = np.mean([sig.signed_rank_exact(np.zeros(n), x).p <= alpha for x in drawn])
    assert power.power_signed_rank(-0.011, 0.01, n, alpha) == pytest.approx(found, abs=0.045)


def test_power_of_the_rank_tests_has_no_unit_and_rises_from_the_level_to_one() -> None:
    settings = (12, 12, 0.01)
    assert power.power_rank(1.0, 1.0, 1.5, *settings) == power.power_rank(0.01, 0.01, 0.015, *settings)
    for found in (
        [power.power_rank(e, 1.0, 1.0, *settings) for e in (1e-9, 0.5, 1.0, 2.0, 9.0)],
        [power.power_signed_rank(e, 1.0, 12, 0.01) for e in (1e-9, 0.5, 1.0, 2.0, 9.0)],
    ):
        assert found[0] <= 0.02 and found[-1] == 1.0 and (np.diff(found) > 0).all()


def test_power_of_the_rank_tests_is_nothing_without_a_test() -> None:
    for effect, sd, n in ((0.0, 1.0, 16), (math.nan, 1.0, 16), (0.1, 0.0, 16), (0.1, math.nan, 16), (0.1, 1.0, 1)):
        assert power.power_rank(effect, sd, sd, n, n, 0.05) is power.power_signed_rank(effect, sd, n, 0.05) is None
    # no p is so small
    assert power.power_rank(9.0, 1.0, 1.0, 3, 3, 0.05) == power.power_signed_rank(9.0, 1.0, 5, 0.05) == 0


def test_power_of_the_variance_test_at_16_runs() -> None:
    rng = np.random.default_rng(33)
    assert power.power_variance(16, 16, 0.05, rng=rng) == pytest.approx(0.22, abs=0.04)
    assert power.power_variance(16, 16, 0.05, 2.0, rng=rng) == pytest.approx(0.57, abs=0.04)
    assert power.power_variance(60, 60, 0.05, rng=rng) == pytest.approx(0.80, abs=0.04)
    assert power.power_variance(2, 16, 0.05, rng=rng) == 0.0
    first, second = (power.power_variance(8, 8, 0.05, rng=np.random.default_rng(1)) for _ in range(2))
    assert first == second


def test_power_of_the_paired_test_agrees_with_statsmodels() -> None:
    for n, effect in ((5, 0.6), (16, -0.6), (40, 0.2)):
        expected = TTestPower().power(effect_size=abs(effect), nobs=n, alpha=0.01)
        assert power.power_paired(2 * effect, 2.0, n, 0.01) == pytest.approx(expected, rel=1e-6)
    assert power.power_paired(0.1, 0.0, 16, 0.05) is None and power.power_paired(0.0, 1.0, 16, 0.05) is None
    assert power.power_paired(0.1, 1.0, 1, 0.05) is None


def test_power_of_the_paired_variance_test_rises_with_the_correlation() -> None:
    found = [power.power_variance_paired(16, 0.05, r, rng=np.random.default_rng(1)) for r in (0.0, 0.5, 0.9)]
    assert found[0] < found[1] < found[2] and found[2] == pytest.approx(0.67, abs=0.05)
    assert power.power_variance_paired(16, 0.05, 0.5, 1.0, rng=np.random.default_rng(1)) < 0.06
    assert power.power_variance_paired(2, 0.05, 0.5, rng=np.random.default_rng(1)) == 0.0


# Widths


def test_widths_are_those_of_the_intervals() -> None:
    x, y = np.random.default_rng(3).standard_normal((2, 9))
    mean, difference, sd = st.mean_interval(x), st.welch(x, y), st.sd_interval(x, method="chi-square")
    assert power.mean_half_width(9) * st.sds(x) == pytest.approx((mean.high - mean.low) / 2)
    half = (difference.high - difference.low) / 2
    assert power.difference_half_width(float(st.sds(x)), float(st.sds(y)), 9) == pytest.approx(half)
    assert power.sd_ratios(9) == pytest.approx((sd.low / sd.value, sd.high / sd.value))


@pytest.mark.parametrize(("n", "tabulated"), [(2, 1.128), (5, 2.326), (10, 3.078), (25, 3.931)])
def test_expected_range_is_the_tabulated_d2(n: int, tabulated: float) -> None:
    assert power.expected_range(n) == pytest.approx(tabulated, abs=6e-4)


def test_more_runs_narrow_intervals_and_widen_maxdiff() -> None:
    numbers = (2, 3, 4, 8, 16, 64)
    assert (np.diff([power.expected_range(n) for n in numbers]) > 0).all()
    low, high = np.array([power.sd_ratios(n) for n in numbers]).T
    assert (np.diff(low) > 0).all() and (np.diff(high) < 0).all() and (low < 1).all() and (high > 1).all()
    assert (np.diff([power.difference_half_width(0.01, 0.02, n) for n in numbers]) < 0).all()
