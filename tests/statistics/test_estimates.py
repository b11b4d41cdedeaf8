"""fitlib.statistics.estimates against SciPy, statsmodels, brute force, published numbers and its documentation."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats
from statsmodels.api import OLS

from fitlib.statistics import estimates as st
from fitlib.statistics import significance as sig
from tests.support.samples import normal, quick

values = some.floats(-1, 1, allow_nan=False, width=32)
runs = some.lists(values, min_size=1, max_size=20).map(np.array)


# Mean and SD


def test_mean_interval_agrees_with_scipy() -> None:
    x = normal(0, 16)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    estimate = st.mean_interval(x)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected), rel=1e-12)
    assert estimate.value == pytest.approx(x.mean()) and estimate.n == 16 and estimate.estimable


@pytest.mark.parametrize("n", [2, 5, 16])
def test_prediction_interval_agrees_with_statsmodels(n: int) -> None:
    x = 0.5 + 0.02 * normal(1, n)
    fitted = OLS(x, np.ones(n)).fit().get_prediction(np.ones(1)).summary_frame(alpha=0.1)
    estimate = st.prediction_interval(x, confidence=0.9)
    expected = fitted[["mean", "obs_ci_lower", "obs_ci_upper"]].to_numpy()[0]
    assert (estimate.value, *estimate.ends) == pytest.approx(tuple(expected), rel=1e-12)


def test_the_next_normal_run_is_within_its_prediction_interval_as_often_as_claimed() -> None:
    x, following = normal(2, 20_000 * 8).reshape(-1, 8), normal(3, 20_000)
    low, high = st.prediction_intervals(x, bounds=(-np.inf, np.inf))
    assert np.mean((low <= following) & (following <= high)) == pytest.approx(0.95, abs=0.005)
    mean_low, mean_high = st.mean_intervals(x)[1:]
    assert (high - low).mean() / (mean_high - mean_low).mean() == pytest.approx(3), "sqrt(1 + 8)"


def test_a_prediction_interval_ends_where_values_end() -> None:
    x = np.array([0.01, 0.02, 0.99, 0.98])
    assert st.prediction_interval(x).ends == (0.0, 1.0)
    low, high = st.prediction_interval(x, bounds=(-9, 9)).ends
    assert low < 0 and high > 1 and low + high == pytest.approx(1)
    for few in ([], [0.3], [0.3] * 5):
        estimate = st.prediction_interval(np.array(few))
        assert not estimate.estimable and estimate.note


def bonett_by_the_formula(x: list[float], z: float) -> tuple[float, float]:
    n, mean = len(x), sum(x) / len(x)
    cut = math.floor(n / (2 * math.sqrt(n - 4)))
    middle = sorted(x)[cut : n - cut]
    trimmed = sum(middle) / len(middle)
    squares = sum((v - mean) ** 2 for v in x)
    kurtosis = n * sum((v - trimmed) ** 4 for v in x) / squares**2
    c = n / (n - z)
    se = c * math.sqrt((kurtosis - (n - 3) / n) / (n - 1))
    log_variance = math.log(c * squares / (n - 1))
    return math.sqrt(math.exp(log_variance - z * se)), math.sqrt(math.exp(log_variance + z * se))


@pytest.mark.parametrize("n", [5, 6, 8, 16, 64])
def test_bonett_interval_agrees_with_the_formula(n: int) -> None:
    x = normal(n, n) ** 3
    estimate = st.sd_interval(x)
    assert (estimate.low, estimate.high) == pytest.approx(bonett_by_the_formula(list(x), 1.959963984540054), rel=1e-12)
    assert estimate.value == pytest.approx(np.std(x, ddof=1)) and estimate.method == "Bonett (2006)"


def test_bonett_interval_survives_spreads_whose_fourth_power_underflows() -> None:
    x = normal(1, 16)
    small, usual = st.sd_interval(x * 1e-120), st.sd_interval(x)
    assert small.high * 1e120 == pytest.approx(usual.high, rel=1e-9)


def test_chi_square_interval_is_the_textbook_one() -> None:
    # n = 10, s² = 1: (9/19.023, 9/2.700), chi-square table
    x = stats.zscore(normal(2, 10), ddof=1)
    estimate = st.sd_interval(x, method="chi-square")
    assert (estimate.low**2, estimate.high**2) == pytest.approx((9 / 19.023, 9 / 2.700), rel=1e-3)
    with pytest.raises(ValueError, match="bca"):
        st.sd_interval(x, method="bca")


def test_coverage_of_bonett_at_16_normal_runs() -> None:
    x = np.random.default_rng(3).standard_normal((8000, 16))
    _, low, high = st.sd_intervals(x)
    assert 0.93 <= np.mean((low <= 1) & (high >= 1)) <= 0.96
    skewed = np.random.default_rng(4).standard_exponential((8000, 16))
    _, low, high = st.sd_intervals(skewed)
    _, chi_low, chi_high = st.sd_intervals(skewed, method="chi-square")
    assert np.mean((low <= 1) & (high >= 1)) > np.mean((chi_low <= 1) & (chi_high >= 1)) + 0.08


@pytest.mark.parametrize("n", [1, 2, 4, 5, 16])
def test_array_versions_give_the_numbers_of_the_scalar_ones(n: int) -> None:
    x = np.random.default_rng(5).standard_normal((50, n))
    x[7] = 0.1
    following = (st.means(x), *st.prediction_intervals(x))
    for arrays, scalar in (
        (st.mean_intervals(x), st.mean_interval),
        (st.sd_intervals(x), st.sd_interval),
        (following, st.prediction_interval),
    ):
        expected = [(e.value, e.low, e.high) for e in map(scalar, x)]
        expected = np.array([[np.nan if v is None else v for v in e] for e in expected])
        np.testing.assert_array_equal(np.stack(arrays, axis=1), expected)


@quick
@given(runs, some.floats(-1, 1), some.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_intervals_follow_shift_and_scale(x: np.ndarray, shift: float, scale: float) -> None:
    x = np.round(x, 2)
    before, after = st.mean_interval(x), st.mean_interval(scale * x + shift)
    assert after.value == pytest.approx(scale * before.value + shift, abs=1e-12)
    if before.estimable and not st.is_constant(x):
        assert after.high - after.low == pytest.approx(scale * (before.high - before.low), rel=1e-6, abs=1e-12)
    spread, scaled = st.sd_interval(x), st.sd_interval(scale * x)
    assert scaled.estimable == spread.estimable
    if spread.estimable:
        assert (scaled.low, scaled.high) == pytest.approx((scale * spread.low, scale * spread.high), rel=1e-9)
        assert 0 < spread.low < spread.high


def test_constant_values_are_said_to_be_constant() -> None:
    x = np.full(16, 0.1)
    mean, sd = st.mean_interval(x), st.sd_interval(x)
    assert mean.value == 0.1 and not mean.estimable
    assert mean.note == sd.note == "constant in all 16 runs"
    assert sd.value == 0.0 and not sd.estimable
    assert st.is_constant(x) and not st.is_constant(np.array([0.1, 0.1 + 2**-56])) and not st.is_constant(np.array([]))


def test_one_run_is_not_estimable() -> None:
    one, many = np.array([0.3]), normal(6, 16)
    for estimate in (
        st.mean_interval(one),
        st.sd_interval(one),
        st.welch(one, many),
        st.welch(many, one),
        st.cohens_d(one, many),
        st.paired_difference(one, one),
        st.sd_interval(many[:4]),
        st.mean_interval(np.array([])),
        st.welch(np.array([]), many),
    ):
        assert not estimate.estimable and estimate.note.startswith("not estimable: ")
        assert estimate.low is None and estimate.high is None
    assert sig.mann_whitney_exact(one, one).p == 1.0
    assert sig.mann_whitney_exact(np.array([]), many).note.startswith("not estimable: ")
    assert sig.brown_forsythe(one, many).note.startswith("not estimable: ")


def test_max_difference_and_next_run() -> None:
    assert st.max_difference(np.array([0.25, 0.5, 1.0])) == 0.75
    assert st.relative_max_difference(np.array([0.5, 1.5])) == 1.0
    assert st.relative_max_difference(np.zeros(3)) is None
    assert st.next_run_within(16) == 15 / 17
    x = np.random.default_rng(7).standard_normal((4000, 17))
    inside = (x[:, 16] >= x[:, :16].min(axis=1)) & (x[:, 16] <= x[:, :16].max(axis=1))
    assert inside.mean() == pytest.approx(st.next_run_within(16), abs=0.02)


# Two techniques


def test_welch_agrees_with_scipy_and_is_technique_minus_baseline() -> None:
    b, t = normal(8, 16, 1.0), normal(9, 11, 0.4, 3.0)
    expected = stats.ttest_ind(t, b, equal_var=False).confidence_interval(0.95)
    estimate = st.welch(b, t)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected), rel=1e-10)
    swapped = st.welch(t, b)
    assert (swapped.low, swapped.high) == pytest.approx((-estimate.high, -estimate.low), rel=1e-12)
    assert estimate.value == pytest.approx(t.mean() - b.mean())


def test_two_constant_samples_have_a_difference_and_no_interval() -> None:
    b, t = np.full(16, 0.5), np.full(16, 0.25)
    found = st.welch(b, t)
    assert found.value == -0.25 and not found.estimable
    assert found.note == "constant in both; nothing to estimate with n = 16"
    assert st.welch(b, t[:2]).note == "constant in both; nothing to estimate with n = 16 and 2"
    paired = st.paired_difference(b, t)
    assert paired.value == -0.25 and not paired.estimable and paired.note.startswith("constant difference in all runs")
    assert st.cohens_d(b, t).note == "not estimable: both constant in all runs"


def test_one_constant_sample_compares_like_a_known_value() -> None:
    b, t = np.full(16, 0.5), normal(14, 16)
    assert st.welch(b, t).high - st.welch(b, t).low == pytest.approx(
        st.mean_interval(t).high - st.mean_interval(t).low, rel=1e-9
    )


def test_cohens_d_reproduces_a_published_interval() -> None:
    # R package statpsych, ci.stdmean2(.05, 35.1, 26.7, 7.32, 6.98, 30, 30), unweighted standardizer
    shape = stats.zscore(normal(24, 30), ddof=1)
    estimate = st.cohens_d(26.7 + 6.98 * shape, 35.1 + 7.32 * shape)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1.174493, 0.6170771, 1.731909), abs=1e-6)


def test_cohens_d_is_negative_where_bias_fell_and_ignores_units() -> None:
    b, t = normal(25, 16, 2.0), normal(26, 16, 1.0)
    d, scaled = st.cohens_d(b, t), st.cohens_d(100 * b, 100 * t)
    assert d.value < 0 and d.low < d.value < d.high
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx((d.value, d.low, d.high), rel=1e-9)


def test_paired_comparison_agrees_with_scipy() -> None:
    b = normal(27, 12)
    t = b + normal(28, 12, 0.3, 0.4)
    expected = stats.ttest_rel(t, b).confidence_interval(0.95)
    estimate = st.paired_difference(b, t)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected), rel=1e-10)
    test, expected = sig.signed_rank_exact(b, t), stats.wilcoxon(t, b, method="exact")
    assert test.p == pytest.approx(expected.pvalue, rel=1e-12) and test.smallest_p == 2 / 2**12
    with pytest.raises(ValueError, match="same runs"):
        st.paired_difference(b, t[:3])


ratios = some.tuples(some.integers(0, 60), some.integers(1, 60)).map(lambda ratio: Fraction(*sorted(ratio)))


@quick
@given(some.lists(some.tuples(ratios, ratios), min_size=1, max_size=20))
def test_equal_differences_of_ratios_are_equal_and_others_are_not(pairs) -> None:
    b, t = (np.array([float(pair[side]) for pair in pairs]) for side in (0, 1))
    exact = [technique - baseline for baseline, technique in pairs]
    found = st.run_differences(b, t).tolist()
    ranks = {value: rank for rank, value in enumerate(sorted(set(exact)))}
    assert [sorted(set(found)).index(value) for value in found] == [ranks[value] for value in exact]
    assert [value == 0 for value in found] == [value == 0 for value in exact]
    assert found == pytest.approx([float(value) for value in exact], abs=1e-15)


@quick
@given(some.lists(ratios.map(float), min_size=2, max_size=20), some.randoms())
def test_the_order_of_runs_makes_no_difference_of_means(values, random) -> None:
    shuffled = random.sample(values, len(values))
    assert st.difference_of_means(np.array(values), np.array(shuffled)) == 0
    assert st.welch(np.array(values), np.array(shuffled)).value == 0
    assert st.difference_of_means(np.array(values), np.array(shuffled) + 1e-9) == pytest.approx(1e-9, rel=1e-5)


def test_tied_differences_are_tied_in_the_signed_rank_test() -> None:
    b, t = np.array([0.2, 0.1, 0.7, 0.6]), np.array([0.3, 0.2, 0.8, 0.5])  # +.1 three times, -.1 once
    assert sig.signed_rank_exact(b, t).statistic == 3 * 2.5 and len(set(t - b)) == 4


@quick
@given(runs, runs)
def test_nothing_warns_or_returns_nan(b: np.ndarray, t: np.ndarray) -> None:
    estimates = [st.mean_interval(b), st.sd_interval(b), st.welch(b, t), st.cohens_d(b, t)]
    tests = [sig.mann_whitney_exact(b, t), sig.brown_forsythe(b, t), sig.brown_forsythe(b, t, relative=True)]
    for estimate in estimates:
        assert all(v is None or math.isfinite(v) for v in (estimate.value, estimate.low, estimate.high))
        assert not estimate.estimable or estimate.low <= estimate.high
    for test in tests:
        assert all(v is None or math.isfinite(v) for v in (test.p, test.smallest_p))
        assert test.statistic is None or not math.isnan(test.statistic)
