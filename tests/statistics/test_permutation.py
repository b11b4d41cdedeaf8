"""fitlib.statistics.permutation against SciPy's permutation test, brute force and its documentation."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from fitlib.statistics import permutation
from fitlib.statistics import significance as sig
from tests.support.samples import normal, quick

tied_runs = some.lists(some.integers(0, 3), min_size=2, max_size=5).map(lambda x: np.array(x) / 10)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def welch_t(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    error = np.sqrt(x.var(axis=axis, ddof=1) / x.shape[axis] + y.var(axis=axis, ddof=1) / y.shape[axis])
    return np.abs(y.mean(axis=axis) - x.mean(axis=axis)) / error


# Mean


@pytest.mark.parametrize(("n_b", "n_t"), [(4, 4), (6, 6), (5, 7), (2, 9)])
def test_all_splits_agree_with_scipys_permutation_test(n_b: int, n_t: int) -> None:
    b, t = normal(40, n_b), normal(41, n_t, 0.9, 2.0)
    test = permutation.studentised(b, t, rng())
    expected = stats.permutation_test((b, t), welch_t, alternative="greater", n_resamples=np.inf, vectorized=True)
    assert test.p == pytest.approx(expected.pvalue, rel=1e-12) and "all" in test.method
    assert abs(test.statistic) == pytest.approx(expected.statistic)
    assert test.statistic == pytest.approx(stats.ttest_ind(t, b, equal_var=False).statistic)


def test_random_splits_agree_with_scipys_within_chance() -> None:
    b, t = normal(42, 16), normal(43, 16, 0.6, 2.0)
    test = permutation.studentised(b, t, rng())
    expected = stats.permutation_test(
        (b, t), welch_t, alternative="greater", n_resamples=9999, vectorized=True, rng=rng(1)
    ).pvalue
    assert test.p == pytest.approx(expected, abs=4 * math.sqrt(2 * expected * (1 - expected) / 9999))
    assert test.smallest_p == 1 / 10_000 and "9,999 random" in test.method


def squared_t(x: list[int], y: list[int]) -> Fraction | float:
    """Welch's t squared, exactly; infinite where neither sample varies but their means differ."""
    error = sum(
        (Fraction(sum(k * k for k in v)) - Fraction(sum(v) ** 2, len(v))) / (len(v) - 1) / len(v) for v in (x, y)
    )
    difference = Fraction(sum(x), len(x)) - Fraction(sum(y), len(y))
    return difference**2 / error if error else math.inf


def brute_force(b: np.ndarray, t: np.ndarray) -> tuple[float, float]:
    """p and the smallest p over all splits, in exact arithmetic."""
    values = np.rint(10 * np.concatenate([b, t])).astype(int).tolist()
    found = []
    for chosen in itertools.combinations(range(len(values)), t.size):
        rest = [v for i, v in enumerate(values) if i not in chosen]
        found.append(squared_t([values[i] for i in chosen], rest))
    observed, largest = found[-1], max(found)  # the last combination takes the technique's runs
    return float(np.mean([f >= observed for f in found])), float(np.mean([f == largest for f in found]))


@quick
@given(tied_runs, tied_runs)
def test_ties_and_constant_samples_equal_brute_force(b: np.ndarray, t: np.ndarray) -> None:
    test = permutation.studentised(b, t, rng())
    if np.unique(np.concatenate([b, t])).size == 1:
        assert (test.p, test.smallest_p, test.note) == (1.0, 1.0, "all values are equal")
    else:
        assert (test.p, test.smallest_p) == pytest.approx(brute_force(b, t), abs=1e-12)


def test_two_constants_are_the_most_extreme_split() -> None:
    test = permutation.studentised(np.full(5, 0.1), np.full(5, 0.3), rng())
    assert test.p == test.smallest_p == pytest.approx(2 / math.comb(10, 5))
    assert test.statistic == math.inf and test.note == "both constant in all runs"


def test_a_tiny_spread_beside_a_large_difference_is_still_seen() -> None:
    b, t = 0.3 + 1e-5 * normal(44, 5), 0.2 + 1e-5 * normal(45, 5)
    assert permutation.studentised(b, t, rng()).p == pytest.approx(2 / math.comb(10, 5))
    moved = permutation.studentised(1e6 + b, 1e6 + t, rng())
    assert moved.p == pytest.approx(2 / math.comb(10, 5))


@quick
@given(some.integers(0, 10_000), some.floats(-50, 50), some.floats(0.01, 100))
def test_p_does_not_change_with_shift_scale_order_or_sides(seed: int, shift: float, scale: float) -> None:
    b, t = normal(seed, 5), normal(seed + 1, 5, 1.0)
    p = permutation.studentised(b, t, rng()).p
    assert permutation.studentised(shift + scale * b, shift + scale * t, rng()).p == p
    assert permutation.studentised(t, b, rng()).p == p and permutation.studentised(b[::-1], t[::-1], rng()).p == p


def test_splits_drawn_once_serve_every_comparison() -> None:
    b, t = normal(46, 16), normal(47, 16)
    dealt = permutation.splits(16, 16, rng(5))
    assert permutation.studentised(b, t, dealt=dealt) == permutation.studentised(b, t, rng(5))
    assert dealt.chosen.sum(axis=1).tolist() == [16] * 9999
    assert abs(dealt.chosen.mean(axis=0) - 0.5).max() < 0.025
    with pytest.raises(ValueError, match="rng is needed"):
        permutation.studentised(b, t)


def test_complete_enumeration_up_to_the_number_of_permutations() -> None:
    assert permutation.splits(5, 5, rng(), 252).complete and not permutation.splits(5, 5, rng(), 251).complete
    every = permutation.splits(3, 4, rng()).chosen
    assert len(np.unique(every, axis=0)) == math.comb(7, 4) == len(every)
    assert permutation.flips(6, rng(), 64).complete and not permutation.flips(6, rng(), 63).complete


def test_one_run_is_not_estimable() -> None:
    one, many = np.array([0.1]), normal(48, 6)
    for test in (permutation.studentised(one, many, rng()), permutation.studentised_paired(one, one, rng())):
        assert test.p is None and test.note == "not estimable: fewer than 2 runs"


@pytest.mark.parametrize(("n", "ratio", "most"), [(8, 1.0, 0.05), (16, 1.0, 0.05), (16, 3.0, 0.065)])
def test_size_of_the_studentised_test(n: int, ratio: float, most: float) -> None:
    draw, dealt = rng(49), permutation.splits(n, n, rng(50), 999)
    p = [
        permutation.studentised(draw.standard_normal(n), ratio * draw.standard_normal(n), dealt=dealt).p
        for _ in range(1000)
    ]
    assert np.mean(np.array(p) <= 0.05) <= most + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_skewed_runs_of_unequal_spread_mislead_the_rank_test_and_not_this_one() -> None:
    draw, dealt = rng(51), permutation.splits(16, 16, rng(52), 999)
    found = np.zeros(2)
    for _ in range(400):
        b, t = draw.exponential(1, 16) - 1, 3 * (draw.exponential(1, 16) - 1)
        found += [permutation.studentised(b, t, dealt=dealt).p <= 0.05, sig.mann_whitney_exact(b, t).p <= 0.05]
    assert found[0] / 400 < 0.12 < 0.16 < found[1] / 400


# Paired


@pytest.mark.parametrize("n", [4, 9, 13])
def test_all_flips_agree_with_scipys_permutation_test(n: int) -> None:
    b, t = normal(53, n), normal(54, n, 0.5)

    def statistic(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        d = y - x
        return np.abs(d.mean(axis=axis)) / (d.std(axis=axis, ddof=1) / math.sqrt(d.shape[axis]))

    expected = stats.permutation_test(
        (b, t), statistic, permutation_type="samples", alternative="greater", n_resamples=np.inf, vectorized=True
    )
    test = permutation.studentised_paired(b, t, rng())
    assert test.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert test.statistic == pytest.approx(stats.ttest_rel(t, b).statistic)
    assert test.smallest_p == pytest.approx(2 / 2**n)


def test_flips_of_zero_and_constant_differences() -> None:
    b = normal(55, 6)
    assert permutation.studentised_paired(b, b, rng()).p == 1.0
    zeros = permutation.studentised_paired(np.zeros(6), np.array([0, 0, 0, 1, 1, 1.0]), rng())
    assert zeros.p == zeros.smallest_p == pytest.approx(0.25)
    constant = permutation.studentised_paired(np.zeros(6), np.ones(6), rng())
    assert constant.p == pytest.approx(2 / 64) and constant.note == "constant difference in all runs"
    with pytest.raises(ValueError, match="same runs"):
        permutation.studentised_paired(b, b[:4], rng())
    many = permutation.studentised_paired(np.zeros(20), np.ones(20), rng())
    assert many.p == many.smallest_p == 1 / 10_000


# Spread


def test_brown_forsythe_permutation_agrees_with_brute_force() -> None:
    b, t = normal(56, 4), normal(57, 4, 2.0, 3.0)
    x = np.concatenate([b - np.median(b), t - np.median(t)])
    found = []
    for chosen in itertools.combinations(range(8), 4):
        rest = [i for i in range(8) if i not in chosen]
        found.append(stats.levene(x[list(chosen)], x[rest], center="median").statistic)
    observed = stats.levene(b, t, center="median").statistic
    test = permutation.brown_forsythe_permutation(b, t, rng())
    assert test.statistic == pytest.approx(observed)
    assert test.p == pytest.approx(np.mean(np.array(found) >= observed - 1e-9))
    assert test.smallest_p == pytest.approx(np.mean(np.array(found) >= max(found) - 1e-9))


def test_a_difference_of_means_is_no_difference_of_spread() -> None:
    b, t = normal(58, 16), normal(59, 16, 0.0, 2.0)
    near, far = (permutation.brown_forsythe_permutation(b, t + shift, rng(3)) for shift in (0.0, 100.0))
    assert near.p == far.p and near.p == pytest.approx(sig.brown_forsythe(b, t).p, abs=0.03)


def test_size_of_the_brown_forsythe_permutation_at_few_runs() -> None:
    draw = rng(60)
    found = np.zeros(2)
    for _ in range(300):
        b, t = draw.standard_normal((2, 5))
        test = permutation.brown_forsythe_permutation(b, t + 5, rng())
        found += [test.p <= 0.05, sig.brown_forsythe(b, t).p <= 0.05]
    assert found[1] / 300 < 0.03 < found[0] / 300 + 0.015 and found[0] / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_spread_of_degenerate_samples_is_not_estimable() -> None:
    constant, varying = np.full(6, 0.1), normal(61, 6)
    assert permutation.brown_forsythe_permutation(constant, constant, rng()).note.startswith("not estimable")
    assert permutation.brown_forsythe_permutation(varying[:2], varying, rng()).note.endswith("fewer than 3 runs")
    two_valued = np.array([0.1, 0.3] * 4)
    separated = permutation.brown_forsythe_permutation(two_valued, 2 * two_valued, rng())
    assert separated.statistic == math.inf and 0 < separated.p < 0.001
    assert 0 < permutation.brown_forsythe_permutation(constant, varying, rng()).p <= 1
