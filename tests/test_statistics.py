"""fitlib.statistics against SciPy, statsmodels, brute force, published numbers, and its own promises."""

import itertools
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy import stats
from statsmodels.stats.multitest import multipletests

from fitlib import statistics as st

values = some.floats(-1, 1, allow_nan=False, width=32)
runs = some.lists(values, min_size=1, max_size=20).map(np.array)
tied_runs = some.lists(some.integers(0, 3), min_size=1, max_size=8).map(lambda x: np.array(x) / 10)
quick = settings(max_examples=60, deadline=None)


def normal(seed: int, n: int, shift: float = 0.0, sd: float = 1.0) -> np.ndarray:
    return shift + sd * np.random.default_rng(seed).standard_normal(n)


# Mean and SD


def test_mean_interval_agrees_with_scipy() -> None:
    x = normal(0, 16)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    estimate = st.mean_interval(x)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected), rel=1e-12)
    assert estimate.value == pytest.approx(x.mean()) and estimate.n == 16 and estimate.estimable


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
    for arrays, scalar in ((st.mean_intervals(x), st.mean_interval), (st.sd_intervals(x), st.sd_interval)):
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
    assert (mean.value, mean.low, mean.high) == (0.1, 0.1, 0.1)
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
    assert st.verdict(one, many, 0.01) == "not estimable"
    assert st.mann_whitney_exact(one, one).p == 1.0
    assert st.mann_whitney_exact(np.array([]), many).note.startswith("not estimable: ")
    assert st.brown_forsythe(one, many).note.startswith("not estimable: ")


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


def test_verdicts() -> None:
    b, few = normal(10, 16, 0.30, 0.001), normal(11, 16, 0.0, 0.001)
    assert st.verdict(b, few + 0.20, 0.01) == "fairer"
    assert st.verdict(b, few + 0.40, 0.01) == "less fair"
    assert st.verdict(b, few + 0.30, 0.01) == "equivalent"
    assert st.verdict(b, few + 0.31, 0.01) == "undecided"
    assert st.verdict(b, few + 0.30, 0.0) in ("undecided", "fairer", "less fair")


def test_equivalence_uses_the_90_percent_interval() -> None:
    b, t = normal(12, 16), normal(13, 16)
    inner, outer = st.welch(b, t, 0.90), st.welch(b, t)
    edge = max(-inner.low, inner.high)
    assert edge < max(-outer.low, outer.high)
    assert st.verdict(b, t, edge) == "equivalent" and st.verdict(b, t, edge * (1 - 1e-9)) == "undecided"


def test_two_constant_samples_are_decided_exactly() -> None:
    b, t = np.full(16, 0.5), np.full(16, 0.25)
    assert st.welch(b, t).method == "exact: both constant in all runs"
    assert (st.welch(b, t).low, st.welch(b, t).high) == (-0.25, -0.25)
    assert [st.verdict(b, t, d) for d in (0.1, 0.25, 0.3)] == ["fairer", "equivalent", "equivalent"]
    assert st.verdict(t, b, 0.1) == "less fair" and st.verdict(b, b, 0.0) == "equivalent"
    assert st.cohens_d(b, t).note == "not estimable: both constant in all runs"


def test_one_constant_sample_compares_like_a_known_value() -> None:
    b, t = np.full(16, 0.5), normal(14, 16)
    assert st.welch(b, t).high - st.welch(b, t).low == pytest.approx(
        st.mean_interval(t).high - st.mean_interval(t).low, rel=1e-9
    )


def brute_force(b: np.ndarray, t: np.ndarray) -> tuple[float, float]:
    """p and the smallest p over all ways to choose the technique's runs out of all runs."""
    ranks = stats.rankdata(np.concatenate([b, t]))
    distance = [
        abs(2 * sum(chosen) - t.size * (ranks.size + 1)) for chosen in itertools.combinations(ranks.tolist(), t.size)
    ]
    observed = abs(2 * ranks[b.size :].sum() - t.size * (ranks.size + 1))
    distance = np.array(distance)
    return float(np.mean(distance >= observed)), float(np.mean(distance == distance.max()))


@quick
@given(tied_runs, tied_runs)
def test_exact_u_equals_brute_force_over_all_permutations(b: np.ndarray, t: np.ndarray) -> None:
    b, t = b[:5], t[:6]
    test = st.mann_whitney_exact(b, t)
    assert (test.p, test.smallest_p) == pytest.approx(brute_force(b, t), abs=1e-15)
    pairs = (t[:, None] > b).sum() + 0.5 * (t[:, None] == b).sum()
    assert test.statistic == pairs


@pytest.mark.parametrize(("n_b", "n_t"), [(1, 1), (3, 5), (16, 16), (16, 7), (20, 25)])
def test_exact_u_agrees_with_scipy_without_ties(n_b: int, n_t: int) -> None:
    b, t = normal(15, n_b), normal(16, n_t, 0.7)
    test, expected = st.mann_whitney_exact(b, t), stats.mannwhitneyu(t, b, method="exact")
    assert test.statistic == expected.statistic
    assert test.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert test.smallest_p == pytest.approx(min(1.0, 2 / math.comb(n_b + n_t, n_b)), rel=1e-12)


def test_exact_u_agrees_with_scipys_permutation_test_with_ties() -> None:
    b, t = np.array([1, 1, 2, 2, 3, 3, 3.0]), np.array([1, 2, 3, 3, 4, 4, 4.0])
    ranks = stats.rankdata(np.concatenate([b, t])) * 2

    def rank_sum(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(x.sum(axis=axis) - 7 * 15)

    expected = stats.permutation_test((ranks[:7], ranks[7:]), rank_sum, alternative="greater", n_resamples=np.inf)
    assert st.mann_whitney_exact(b, t).p == pytest.approx(expected.pvalue, rel=1e-12)


@quick
@given(tied_runs, tied_runs, some.randoms(use_true_random=False))
def test_exact_u_is_symmetric_and_ignores_the_order_of_runs(b: np.ndarray, t: np.ndarray, random) -> None:
    test, swapped = st.mann_whitney_exact(b, t), st.mann_whitney_exact(t, b)
    assert test.p == swapped.p and test.smallest_p == swapped.smallest_p
    assert test.statistic + swapped.statistic == b.size * t.size
    shuffled = np.array(random.sample(list(t), t.size))
    assert st.mann_whitney_exact(b, shuffled) == test
    assert 0 < test.smallest_p <= test.p <= 1


def test_total_ties_give_p_1_and_say_so() -> None:
    test = st.mann_whitney_exact(np.full(16, 0.2), np.full(16, 0.2))
    assert (test.p, test.smallest_p, test.statistic) == (1.0, 1.0, 128.0) and test.note == "all values are equal"


def test_exact_u_is_quick_at_64_runs_with_and_without_ties() -> None:
    start = time.perf_counter()
    for digits in (1, 12):
        b, t = np.round(normal(17, 64), digits), np.round(normal(18, 64), digits)
        assert 0 < st.mann_whitney_exact(b, t).p <= 1
    assert time.perf_counter() - start < 5


def test_size_of_the_exact_u_is_at_most_alpha() -> None:
    rng = np.random.default_rng(19)
    for n, digits in ((5, 12), (16, 12), (16, 0)):
        p = [st.mann_whitney_exact(*np.round(rng.standard_normal((2, n)), digits)).p for _ in range(1000)]
        assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_brown_forsythe_agrees_with_scipy() -> None:
    b, t = normal(20, 16, 5.0), normal(21, 13, 9.0, 2.0)
    raw, relative = st.brown_forsythe(b, t), st.brown_forsythe(b, t, relative=True)
    expected = stats.levene(b, t, center="median")
    assert (raw.statistic, raw.p) == pytest.approx(tuple(expected), rel=1e-10)
    expected = stats.levene(b / b.mean(), t / t.mean(), center="median")
    assert (relative.statistic, relative.p) == pytest.approx(tuple(expected), rel=1e-10)
    assert raw.smallest_p is None and raw.n == (16, 13)


def test_brown_forsythe_of_constant_and_degenerate_samples() -> None:
    constant, varying = np.full(16, 0.1), normal(22, 16, 0.5, 0.01)
    assert st.brown_forsythe(constant, constant).note == "not estimable: both constant in all runs"
    expected = stats.levene(constant, varying, center="median")
    assert st.brown_forsythe(constant, varying).p == pytest.approx(expected.pvalue, rel=1e-9)
    assert st.brown_forsythe(np.zeros(16), varying, relative=True).note == "not estimable: a mean is 0"
    assert st.brown_forsythe(varying[:2], varying).note == "not estimable: fewer than 3 runs"
    # all deviations from the median are equal up to rounding, which must not look like a certain difference
    two_valued = np.array([0.1, 0.3] * 8)
    assert st.brown_forsythe(two_valued, 2 * two_valued).p is None


def test_a_lower_mean_alone_raises_the_variance_of_relative_values() -> None:
    rng = np.random.default_rng(23)
    found = {True: 0, False: 0}
    for _ in range(400):
        b, t = 1 + 0.1 * rng.standard_normal(16), 0.5 + 0.1 * rng.standard_normal(16)
        for relative in found:
            found[relative] += st.brown_forsythe(b, t, relative).p <= 0.05
    assert 0.48 < found[True] / 400 < 0.68 and found[False] / 400 < 0.09


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
    test, expected = st.signed_rank_exact(b, t), stats.wilcoxon(t, b, method="exact")
    assert test.p == pytest.approx(expected.pvalue, rel=1e-12) and test.smallest_p == 2 / 2**12
    assert st.verdict(b, b + 0.5, 0.1, paired=True) == "less fair"
    with pytest.raises(ValueError, match="same runs"):
        st.paired_difference(b, t[:3])


@quick
@given(some.lists(some.integers(-3, 3), min_size=1, max_size=8).map(np.array))
def test_signed_rank_equals_brute_force_over_all_signs(difference: np.ndarray) -> None:
    ranks = stats.rankdata(np.abs(difference))[difference != 0]
    sums = [
        abs(2 * sum(itertools.compress(ranks, signs)) - ranks.sum())
        for signs in itertools.product((0, 1), repeat=ranks.size)
    ]
    observed = abs(2 * ranks[difference[difference != 0] > 0].sum() - ranks.sum())
    test = st.signed_rank_exact(np.zeros(difference.size), difference)
    assert test.p == pytest.approx(np.mean(np.array(sums) >= observed - 1e-9), abs=1e-15)


# Families and power


@pytest.mark.parametrize(
    ("correct", "method"),
    [(st.holm, "holm"), (st.benjamini_hochberg, "fdr_bh"), (st.benjamini_yekutieli, "fdr_by")],
)
def test_corrections_agree_with_statsmodels_and_do_not_count_nan(correct, method: str) -> None:
    p = np.random.default_rng(29).uniform(size=40) ** 3
    np.testing.assert_allclose(correct(p), multipletests(p, method=method)[1], rtol=1e-12)
    holes = np.insert(p, [3, 17], np.nan)
    np.testing.assert_array_equal(np.isnan(correct(holes)), np.isnan(holes))
    np.testing.assert_array_equal(correct(holes)[~np.isnan(holes)], correct(p))
    assert np.all(correct(p) >= p)
    assert correct(np.array([])).size == 0 and np.isnan(correct(np.array([np.nan]))).all()


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(st.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])


def test_redundant_metrics_are_proportional_to_an_earlier_one() -> None:
    dp, eofp = normal(30, 32) ** 2, normal(31, 32) ** 2
    found = st.redundant_metrics({"DP": dp, "SPSF": dp / 2, "FPSF": eofp * 0.45, "EOFP": eofp, "EOTP": eofp + 1e-6})
    assert found == {"SPSF": "DP", "EOFP": "FPSF"}
    holes = np.where(np.arange(32) < 3, np.nan, dp)
    assert st.redundant_metrics({"DP": dp, "SPSF": holes}) == {}
    assert st.redundant_metrics({"DP": holes, "SPSF": 3 * holes, "BA": holes * 0}) == {"SPSF": "DP"}
    assert st.redundant_metrics({"DP": np.zeros(4), "SPSF": np.zeros(4)}) == {"SPSF": "DP"}


def test_power_of_the_mean_test_agrees_with_simulation() -> None:
    rng = np.random.default_rng(32)
    b, t = rng.standard_normal((4000, 16)), 0.9 + 1.5 * rng.standard_normal((4000, 16))
    simulated = np.mean(stats.ttest_ind(b, t, axis=1, equal_var=False).pvalue <= 0.01)
    assert st.power_mean(0.9, 1.0, 1.5, 16, 16, 0.01) == pytest.approx(simulated, abs=0.03)


def test_power_of_the_mean_test_agrees_with_statsmodels_at_equal_sds() -> None:
    from statsmodels.stats.power import TTestIndPower

    expected = TTestIndPower().power(effect_size=0.8, nobs1=16, alpha=0.05, ratio=1)
    assert st.power_mean(0.8, 1.0, 1.0, 16, 16, 0.05) == pytest.approx(expected, rel=1e-9)
    assert st.power_mean(-0.8, 1.0, 1.0, 16, 16, 0.05) == pytest.approx(expected, rel=1e-9)


def test_power_of_the_mean_test_is_a_number_or_nothing() -> None:
    for effect, sd, n, alpha in itertools.product((1e-9, 0.01, 1e6), (1e-15, 1e-6, 1.0), (2, 16), (0.05, 1e-9)):
        assert 0 <= st.power_mean(effect, sd, 0.0, n, n, alpha) <= 1
    assert st.power_mean(1e-4, 1e-15, 0.0, 2, 2, 0.05) == 1.0
    assert st.power_mean(0.1, 0.0, 0.0, 16, 16, 0.05) is None
    assert st.power_mean(0.1, 1.0, 1.0, 1, 16, 0.05) is None
    assert st.power_mean(0.0, 1.0, 1.0, 16, 16, 0.05) is None


def test_power_where_scipy_gives_up_is_close_to_scipy_elsewhere() -> None:
    for critical, df, shift in ((2.1, 15.0, 3.0), (12.7, 1.0, 10.0), (60.0, 2.0, 50.0), (5.0, 30.0, 5.0)):
        assert st._noncentral_t_sf(critical, df, shift) == pytest.approx(stats.nct.sf(critical, df, shift), abs=2e-3)


def test_power_of_the_variance_test_at_16_runs() -> None:
    rng = np.random.default_rng(33)
    assert st.power_variance(16, 16, 0.05, rng=rng) == pytest.approx(0.22, abs=0.04)
    assert st.power_variance(16, 16, 0.05, 2.0, rng=rng) == pytest.approx(0.57, abs=0.04)
    assert st.power_variance(60, 60, 0.05, rng=rng) == pytest.approx(0.80, abs=0.04)
    assert st.power_variance(2, 16, 0.05, rng=rng) == 0.0
    first, second = (st.power_variance(8, 8, 0.05, rng=np.random.default_rng(1)) for _ in range(2))
    assert first == second


@quick
@given(runs, runs)
def test_nothing_warns_or_returns_nan(b: np.ndarray, t: np.ndarray) -> None:
    estimates = [st.mean_interval(b), st.sd_interval(b), st.welch(b, t), st.cohens_d(b, t)]
    tests = [st.mann_whitney_exact(b, t), st.brown_forsythe(b, t), st.brown_forsythe(b, t, relative=True)]
    for estimate in estimates:
        assert all(v is None or math.isfinite(v) for v in (estimate.value, estimate.low, estimate.high))
        assert not estimate.estimable or estimate.low <= estimate.high
    for test in tests:
        assert all(v is None or math.isfinite(v) for v in (test.statistic, test.p, test.smallest_p))
    assert st.verdict(b, t, 0.01) in ("fairer", "less fair", "equivalent", "undecided", "not estimable")


# The study's numbers


BASELINES = {"S": "S-Base", "C": "C-Base", "I": "I-Base", "A": "A-Base", "N": "N-Base"}


@pytest.fixture(scope="module")
def study() -> dict[str, dict[str, np.ndarray]]:
    root = os.environ.get("FITLIB_DATA_DIR")
    folder = Path(root or ".") / "paper" / "raw_bias_numbers" / "overall"
    if not root or not folder.is_dir():
        pytest.skip("the study's numbers are needed: set FITLIB_DATA_DIR to a folder with paper/")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read = {path.stem: yaml.load(path.read_text(), Loader=loader) for path in sorted(folder.glob("*.yaml"))}
    return {name: {m: np.array(v) for m, v in metrics.items()} for name, metrics in read.items()}


def compared(study: dict) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    return [
        (name, metric, study[BASELINES[name[0]]][metric], values)
        for name, metrics in study.items()
        if not name.endswith("Base")
        for metric, values in metrics.items()
    ]


def test_values_over_their_mean_turn_38_rises_of_variance_into_53(study: dict) -> None:
    rises = {True: 0, False: 0}
    for _, _, b, t in compared(study):
        for relative in rises:
            x, y = (b / b.mean(), t / t.mean()) if relative else (b, t)
            p = st.brown_forsythe(b, t, relative).p
            rises[relative] += p <= 0.05 and float(st.sds(y)) > float(st.sds(x))
    assert len(compared(study)) == 154
    assert rises == {True: 53, False: 38}


def test_the_least_biased_technique_turns_from_rise_to_fall_on_raw_values(study: dict) -> None:
    for name, _, b, t in compared(study):
        if name == "S-DI2":
            assert st.brown_forsythe(b, t, relative=True).p <= 0.05 and np.std(t) / t.mean() > np.std(b) / b.mean()
            assert st.brown_forsythe(b, t).p <= 0.05 and np.std(t) < np.std(b)


def test_the_two_sided_exact_u_moves_no_label_of_the_study(study: dict) -> None:
    for name, metric, b, t in compared(study):
        side = "less" if b.mean() < t.mean() else "greater"
        published = stats.mannwhitneyu(b, t, alternative=side).pvalue <= 0.05
        test = st.mann_whitney_exact(b, t)
        assert (test.p <= 0.05) == published, (name, metric)
        assert not published or (test.statistic > 128) == (side == "less")


def test_14_of_66_variance_tests_of_the_study_survive_holm_and_51_benjamini_hochberg(study: dict) -> None:
    p = np.array([st.brown_forsythe(b, t, relative=True).p for *_, b, t in compared(study)])
    assert [int((q <= 0.05).sum()) for q in (p, st.holm(p), st.benjamini_hochberg(p))] == [66, 14, 51]


def test_the_study_has_five_or_six_distinct_metrics_in_each_task(study: dict) -> None:
    # N has six: its techniques have different test sets, so SPSF is .4872 DP in one and .4870 DP in the other
    distinct = {}
    for task in BASELINES:
        techniques = [study[name] for name in study if name[0] == task]
        stacked = {m: np.concatenate([t[m] for t in techniques]) for m in techniques[0]}
        distinct[task] = 7 - len(st.redundant_metrics(stacked))
    assert distinct == {"S": 5, "C": 6, "I": 6, "A": 5, "N": 6}
