"""fitlib.statistics.significance against SciPy, statsmodels, brute force, the study's numbers and its documentation."""

import itertools
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats
from statsmodels.stats.multitest import multipletests

from fitlib.statistics import estimates as st
from fitlib.statistics import significance as sig
from tests.support.samples import normal, quick

tied_runs = some.lists(some.integers(0, 3), min_size=1, max_size=8).map(lambda x: np.array(x) / 10)


# Two techniques


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
    test = sig.mann_whitney_exact(b, t)
    assert (test.p, test.smallest_p) == pytest.approx(brute_force(b, t), abs=1e-15)
    pairs = (t[:, None] > b).sum() + 0.5 * (t[:, None] == b).sum()
    assert test.statistic == pairs


@pytest.mark.parametrize(("n_b", "n_t"), [(1, 1), (3, 5), (16, 16), (16, 7), (20, 25)])
def test_exact_u_agrees_with_scipy_without_ties(n_b: int, n_t: int) -> None:
    b, t = normal(15, n_b), normal(16, n_t, 0.7)
    test, expected = sig.mann_whitney_exact(b, t), stats.mannwhitneyu(t, b, method="exact")
    assert test.statistic == expected.statistic
    assert test.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert test.smallest_p == pytest.approx(min(1.0, 2 / math.comb(n_b + n_t, n_b)), rel=1e-12)


def test_exact_u_agrees_with_scipys_permutation_test_with_ties() -> None:
    b, t = np.array([1, 1, 2, 2, 3, 3, 3.0]), np.array([1, 2, 3, 3, 4, 4, 4.0])
    ranks = stats.rankdata(np.concatenate([b, t])) * 2

    def rank_sum(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(x.sum(axis=axis) - 7 * 15)

    expected = stats.permutation_test((ranks[:7], ranks[7:]), rank_sum, alternative="greater", n_resamples=np.inf)
    assert sig.mann_whitney_exact(b, t).p == pytest.approx(expected.pvalue, rel=1e-12)


@quick
@given(tied_runs, tied_runs, some.randoms(use_true_random=False))
def test_exact_u_is_symmetric_and_ignores_the_order_of_runs(b: np.ndarray, t: np.ndarray, random) -> None:
    test, swapped = sig.mann_whitney_exact(b, t), sig.mann_whitney_exact(t, b)
    assert test.p == swapped.p and test.smallest_p == swapped.smallest_p
    assert test.statistic + swapped.statistic == b.size * t.size
    shuffled = np.array(random.sample(list(t), t.size))
    assert sig.mann_whitney_exact(b, shuffled) == test
    assert 0 < test.smallest_p <= test.p <= 1


def test_total_ties_give_p_1_and_say_so() -> None:
    test = sig.mann_whitney_exact(np.full(16, 0.2), np.full(16, 0.2))
    assert (test.p, test.smallest_p, test.statistic) == (1.0, 1.0, 128.0) and test.note == "all values are equal"


def test_exact_u_is_quick_at_64_runs_with_and_without_ties() -> None:
    start = time.perf_counter()
    for digits in (1, 12):
        b, t = np.round(normal(17, 64), digits), np.round(normal(18, 64), digits)
        assert 0 < sig.mann_whitney_exact(b, t).p <= 1
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("digits", [12, 0])
def test_many_runs_get_the_normal_approximation_and_say_so(digits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    b, t = np.round(normal(17, 101), digits), np.round(normal(18, 101) + 0.3, digits)
    test = sig.mann_whitney_exact(b, t)
    assert test.method == sig.APPROXIMATE_U and test.p == stats.mannwhitneyu(t, b, method="asymptotic").pvalue
    assert 0 < test.smallest_p < 1e-30
    b, t = b[:40], t[:30]
    exact = sig.mann_whitney_exact(b, t)
    monkeypatch.setattr(sig, "MOST_EXACT_PAIRS", 0)
    approximate = sig.mann_whitney_exact(b, t)
    assert "exact" in exact.method and approximate.method == sig.APPROXIMATE_U
    assert approximate.p == pytest.approx(exact.p, rel=0.1) and approximate.statistic == exact.statistic
    assert approximate.smallest_p == pytest.approx(exact.smallest_p, rel=1e-12)


@quick
@given(tied_runs, tied_runs)
def test_the_smallest_p_of_the_approximation_is_exact(b: np.ndarray, t: np.ndarray) -> None:
    ranks = np.sort(2 * stats.rankdata(np.concatenate([b, t]))).astype(int)
    size = min(b.size, t.size)
    expected = sig.mann_whitney_exact(b, t).smallest_p
    if np.unique(ranks).size > 1:
        assert sig._smallest_rank_sum_p(ranks, size) == pytest.approx(expected, rel=1e-12)


def test_size_of_the_exact_u_is_at_most_alpha() -> None:
    rng = np.random.default_rng(19)
    for n, digits in ((5, 12), (16, 12), (16, 0)):
        p = [sig.mann_whitney_exact(*np.round(rng.standard_normal((2, n)), digits)).p for _ in range(1000)]
        assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_brown_forsythe_agrees_with_scipy() -> None:
    b, t = normal(20, 16, 5.0), normal(21, 13, 9.0, 2.0)
    raw, relative = sig.brown_forsythe(b, t), sig.brown_forsythe(b, t, relative=True)
    expected = stats.levene(b, t, center="median")
    assert (raw.statistic, raw.p) == pytest.approx(tuple(expected), rel=1e-10)
    expected = stats.levene(b / b.mean(), t / t.mean(), center="median")
    assert (relative.statistic, relative.p) == pytest.approx(tuple(expected), rel=1e-10)
    assert raw.smallest_p is None and raw.n == (16, 13)


def test_brown_forsythe_of_constant_and_degenerate_samples() -> None:
    constant, varying = np.full(16, 0.1), normal(22, 16, 0.5, 0.01)
    assert sig.brown_forsythe(constant, constant).note == "not estimable: both constant in all runs"
    expected = stats.levene(constant, varying, center="median")
    assert sig.brown_forsythe(constant, varying).p == pytest.approx(expected.pvalue, rel=1e-9)
    assert sig.brown_forsythe(np.zeros(16), varying, relative=True).note == "not estimable: a mean is 0"
    assert sig.brown_forsythe(varying[:2], varying).note == "not estimable: fewer than 3 runs"
    # all deviations from the median are equal up to rounding, which must not look like a difference
    two_valued = np.array([0.1, 0.3] * 8)
    assert sig.brown_forsythe(two_valued, two_valued + 0.4).p is None


def test_two_values_against_a_constant_have_the_exact_p_of_the_permutation() -> None:
    for n_b, n_t in ((8, 8), (8, 6), (5, 4)):
        constant, two_valued = np.full(n_b, 0.1), np.array([0.1, 0.3] * (n_t // 2))
        test = sig.brown_forsythe(constant, two_valued)
        deviations = np.r_[np.zeros(n_b), np.full(n_t, 0.1)]
        splits = [frozenset(chosen) for chosen in itertools.combinations(range(n_b + n_t), n_t)]
        extreme = [chosen for chosen in splits if len({deviations[i] for i in chosen}) == 1]
        extreme = [chosen for chosen in extreme if len({deviations[i] for i in set(range(n_b + n_t)) - chosen}) == 1]
        assert test.statistic == math.inf and test.p == pytest.approx(len(extreme) / len(splits))
    paired = sig.brown_forsythe_paired(np.full(8, 0.1), np.array([0.1, 0.3] * 4))
    assert paired.statistic == math.inf and paired.p == 2 / 2**8


def test_the_paired_spread_test_is_a_t_test_of_the_deviations() -> None:
    b, t = normal(24, 16, 5.0), normal(25, 16, 9.0, 2.0)
    test = sig.brown_forsythe_paired(b, t)
    expected = stats.ttest_rel(np.abs(t - np.median(t)), np.abs(b - np.median(b)))
    assert (test.statistic, test.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-10)
    assert sig.brown_forsythe_paired(t, b).p == pytest.approx(test.p) and "paired by run" in test.method
    assert sig.brown_forsythe_paired(b + 3, t - 1).p == pytest.approx(test.p, rel=1e-9)
    assert sig.brown_forsythe_paired(b, t, relative=True).p == pytest.approx(
        sig.brown_forsythe_paired(b / b.mean(), t / t.mean()).p
    )


def test_the_paired_spread_test_of_degenerate_samples() -> None:
    constant, varying = np.full(16, 0.1), normal(22, 16, 0.5, 0.01)
    assert sig.brown_forsythe_paired(constant, constant).note == "not estimable: both constant in all runs"
    assert sig.brown_forsythe_paired(varying, varying + 0.25).p is None  # one sample moved: no difference in spread
    assert sig.brown_forsythe_paired(varying[:2], varying[:2]).note == "not estimable: fewer than 3 runs"
    with pytest.raises(ValueError, match="same runs"):
        sig.brown_forsythe_paired(varying, varying[:9])


def test_the_paired_spread_test_keeps_its_level_where_pitman_morgan_does_not() -> None:
    rng = np.random.default_rng(26)
    found = {"ours": 0, "Pitman-Morgan": 0}
    for _ in range(400):
        b, t = rng.standard_t(3, (2, 16))
        found["ours"] += sig.brown_forsythe_paired(b, t).p <= 0.05
        found["Pitman-Morgan"] += stats.pearsonr(b + t, t - b).pvalue <= 0.05
    assert found["ours"] / 400 < 0.08 < 0.15 < found["Pitman-Morgan"] / 400


def test_a_lower_mean_alone_raises_the_variance_of_relative_values() -> None:
    rng = np.random.default_rng(23)
    found = {True: 0, False: 0}
    for _ in range(400):
        b, t = 1 + 0.1 * rng.standard_normal(16), 0.5 + 0.1 * rng.standard_normal(16)
        for relative in found:
            found[relative] += sig.brown_forsythe(b, t, relative).p <= 0.05
    assert 0.48 < found[True] / 400 < 0.68 and found[False] / 400 < 0.09


@quick
@given(some.lists(some.integers(-3, 3), min_size=1, max_size=8).map(np.array))
def test_signed_rank_equals_brute_force_over_all_signs(difference: np.ndarray) -> None:
    ranks = stats.rankdata(np.abs(difference))[difference != 0]
    sums = [
        abs(2 * sum(itertools.compress(ranks, signs)) - ranks.sum())
        for signs in itertools.product((0, 1), repeat=ranks.size)
    ]
    observed = abs(2 * ranks[difference[difference != 0] > 0].sum() - ranks.sum())
    test = sig.signed_rank_exact(np.zeros(difference.size), difference)
    assert test.p == pytest.approx(np.mean(np.array(sums) >= observed - 1e-9), abs=1e-15)


# Families


@pytest.mark.parametrize(
    ("correct", "method"),
    [(sig.holm, "holm"), (sig.benjamini_hochberg, "fdr_bh"), (sig.benjamini_yekutieli, "fdr_by")],
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
    np.testing.assert_allclose(sig.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])


def test_redundant_metrics_are_proportional_to_an_earlier_one() -> None:
    dp, eofp = normal(30, 32) ** 2, normal(31, 32) ** 2
    found = sig.redundant_metrics({"DP": dp, "SPSF": dp / 2, "FPSF": eofp * 0.45, "EOFP": eofp, "EOTP": eofp + 1e-6})
    assert found == {"SPSF": "DP", "FPSF": "EOFP"}  # the largest represents the set
    holes = np.where(np.arange(32) < 3, np.nan, dp)
    assert sig.redundant_metrics({"DP": dp, "SPSF": holes}) == {}
    assert sig.redundant_metrics({"DP": holes, "SPSF": 3 * holes, "BA": holes * 0}) == {"DP": "SPSF"}
    assert sig.redundant_metrics({"DP": np.zeros(4), "SPSF": np.zeros(4)}) == {"SPSF": "DP"}


def test_redundancy_must_hold_in_every_attribute_with_a_constant_of_its_own() -> None:
    dp, other = normal(33, 16) ** 2, normal(34, 16) ** 2
    sex, race = {"DP": dp, "SPSF": dp / 2}, {"DP": other, "SPSF": 0.3 * other}
    assert sig.redundant_metrics(sex, race) == {"SPSF": "DP"}
    stacked = {metric: np.concatenate([sex[metric], race[metric]]) for metric in sex}
    assert sig.redundant_metrics(stacked) == {}  # what stacking the attributes used to say
    assert sig.redundant_metrics(sex, {"DP": other, "SPSF": other**2}) == {}
    nowhere = dict.fromkeys(sex, np.full(16, np.nan))
    assert sig.redundant_metrics(sex, nowhere) == {"SPSF": "DP"} and sig.redundant_metrics(nowhere) == {}
    assert sig.redundant_metrics() == {}


def test_a_metric_without_values_in_one_attribute_does_not_hide_redundancy_elsewhere() -> None:
    eotp, other = normal(35, 16) ** 2, normal(36, 16) ** 2
    sex = {"FPSF": eotp / 4, "EOFP": eotp, "EOTP": eotp}
    assert sig.redundant_metrics(sex) == {"FPSF": "EOFP", "EOTP": "EOFP"}  # of equal ones the first
    race = {"FPSF": other / 4, "EOFP": np.full(16, np.nan), "EOTP": other}
    # EOFP has no values by race, so that the largest metric with values in both attributes represents the set
    assert sig.redundant_metrics(sex, race) == {"FPSF": "EOTP", "EOFP": "EOTP"}
    assert sig.redundant_metrics(sex, race | {"EOTP": other**2}) == {"EOFP": "FPSF"}


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
            p = sig.brown_forsythe(b, t, relative).p
            rises[relative] += p <= 0.05 and float(st.sds(y)) > float(st.sds(x))
    assert len(compared(study)) == 154
    assert rises == {True: 53, False: 38}


def test_the_least_biased_technique_turns_from_rise_to_fall_on_raw_values(study: dict) -> None:
    for name, _, b, t in compared(study):
        if name == "S-DI2":
            assert sig.brown_forsythe(b, t, relative=True).p <= 0.05 and np.std(t) / t.mean() > np.std(b) / b.mean()
            assert sig.brown_forsythe(b, t).p <= 0.05 and np.std(t) < np.std(b)


def test_the_two_sided_exact_u_moves_no_label_of_the_study(study: dict) -> None:
    for name, metric, b, t in compared(study):
        side = "less" if b.mean() < t.mean() else "greater"
        published = stats.mannwhitneyu(b, t, alternative=side).pvalue <= 0.05
        test = sig.mann_whitney_exact(b, t)
        assert (test.p <= 0.05) == published, (name, metric)
        assert not published or (test.statistic > 128) == (side == "less")


def test_14_of_66_variance_tests_of_the_study_survive_holm_and_51_benjamini_hochberg(study: dict) -> None:
    p = np.array([sig.brown_forsythe(b, t, relative=True).p for *_, b, t in compared(study)])
    assert [int((q <= 0.05).sum()) for q in (p, sig.holm(p), sig.benjamini_hochberg(p))] == [66, 14, 51]


def test_the_study_has_five_or_six_distinct_metrics_in_each_task(study: dict) -> None:
    # N has six: its techniques have different test sets, so SPSF is .4872 DP in one and .4870 DP in the other
    distinct = {}
    for task in BASELINES:
        techniques = [study[name] for name in study if name[0] == task]
        stacked = {m: np.concatenate([t[m] for t in techniques]) for m in techniques[0]}
        distinct[task] = 7 - len(sig.redundant_metrics(stacked))
    assert distinct == {"S": 5, "C": 6, "I": 6, "A": 5, "N": 6}


# Critical values


@pytest.mark.parametrize(("n_b", "n_t"), [(4, 4), (3, 9), (8, 7), (16, 16)])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_the_critical_u_is_the_smallest_that_the_test_rejects(n_b: int, n_t: int, alpha: float) -> None:
    critical, pairs = sig.critical_u(n_b, n_t, alpha), n_b * n_t
    u = np.arange(pairs + 1)
    p = np.array([stats.mannwhitneyu(*_ranked(n_b, n_t, k), method="exact").pvalue for k in u])
    rejected = u[(p <= alpha) & (u > pairs / 2)]
    assert critical == (rejected.min() if rejected.size else None)


def _ranked(n_b: int, n_t: int, u: int) -> tuple[np.ndarray, np.ndarray]:
    """Make samples without ties and with U = u, the number of pairs in which the first one is larger."""
    larger = np.clip(u - n_b * np.arange(n_t), 0, n_b)  # than so many of the baseline is each value of the technique
    return larger + np.arange(n_t) / (2 * n_t), np.arange(n_b) + 0.75


@pytest.mark.parametrize("n", [5, 6, 9, 16])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_the_critical_signed_rank_is_the_smallest_that_the_test_rejects(n: int, alpha: float) -> None:
    sums = np.arange(n * (n + 1) // 2 + 1)
    p = np.array([stats.wilcoxon(_signed(n, w), method="exact").pvalue for w in sums])
    rejected = sums[(p <= alpha) & (sums > n * (n + 1) / 4)]
    assert sig.critical_signed_rank(n, alpha) == (rejected.min() if rejected.size else None)


def _signed(n: int, total: int) -> np.ndarray:
    """Return the ranks 1 to n with signs such that the positive ones add up to ``total``."""
    signs = -np.ones(n)
    for rank in range(n, 0, -1):
        if rank <= total:
            signs[rank - 1], total = 1, total - rank
    return signs * np.arange(1, n + 1)


def test_beyond_the_exact_range_the_critical_u_is_that_of_the_normal_approximation() -> None:
    n = 101
    assert n * n > sig.MOST_EXACT_PAIRS
    exact = sig.critical_u(100, 100, 0.01) / 100**2
    assert sig.critical_u(n, n, 0.01) / n**2 == pytest.approx(exact, abs=0.001)
