"""fitlib.statistics.risk against statsmodels, exact fractions and simulation."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from statsmodels.stats.proportion import proportion_confint

from fitlib.statistics import risk

quick = settings(max_examples=80, deadline=None)


@pytest.mark.parametrize("n", [1, 2, 16, 59])
def test_clopper_pearson_agrees_with_statsmodels(n: int) -> None:
    for k in range(n + 1):
        estimate = risk.clopper_pearson(k, n)
        expected = np.nan_to_num(proportion_confint(k, n, method="beta"), nan=float(k == n))
        assert (estimate.low, estimate.high) == pytest.approx(tuple(expected), abs=1e-12)
        assert estimate.low <= estimate.value == k / n <= estimate.high


def test_clopper_pearson_is_exact_at_0_and_refuses_impossible_counts() -> None:
    assert risk.clopper_pearson(0, 16).high == pytest.approx(1 - 0.025 ** (1 / 16), rel=1e-12)
    # 59 clean runs are needed to claim less than 5 % with one-sided confidence .95
    assert risk.clopper_pearson(0, 59, 0.90).high < 0.05 < risk.clopper_pearson(0, 58, 0.90).high
    assert risk.clopper_pearson(0, 0).note == "not estimable: no runs"
    for k, n in ((-1, 4), (5, 4)):
        with pytest.raises(ValueError, match="must be in"):
            risk.clopper_pearson(k, n)


@pytest.mark.parametrize("n", [2, 5, 16])
def test_disagreement_is_the_share_of_unequal_pairs(n: int) -> None:
    for k in range(n + 1):
        runs = [1] * k + [0] * (n - k)
        pairs = [a != b for a, b in itertools.combinations(runs, 2)]
        estimate = risk.disagreement(k, n)
        assert estimate.value == pytest.approx(np.mean(pairs))
        inside = np.linspace(risk.clopper_pearson(k, n).low, risk.clopper_pearson(k, n).high, 2001)
        image = 2 * inside * (1 - inside)
        assert (estimate.low, estimate.high) == pytest.approx((image.min(), image.max()), abs=1e-6)
        mirrored = risk.disagreement(n - k, n)
        assert (mirrored.value, mirrored.low) == pytest.approx((estimate.value, estimate.low), abs=1e-12)


def test_no_disagreement_in_16_runs_leaves_a_third() -> None:
    estimate = risk.disagreement(0, 16)
    assert (estimate.value, estimate.low) == (0, 0) and estimate.high == pytest.approx(0.33, abs=0.005)
    assert risk.disagreement(1, 1).note == "not estimable: fewer than 2 runs"


@quick
@given(some.lists(some.integers(0, 12), min_size=2, max_size=4), some.data())
def test_four_fifths_are_compared_exactly(size: list[int], data) -> None:
    selected = [data.draw(some.integers(0, n)) for n in size]
    below, defined = risk.below_four_fifths(np.array([selected]), np.array(size))
    rates = [Fraction(q, n) for q, n in zip(selected, size, strict=True) if n]
    expected = len(rates) > 1 and max(rates) > 0
    assert defined.tolist() == [expected]
    assert below.tolist() == [bool(expected and min(rates) < Fraction(4, 5) * max(rates))]
    ratio = risk.impact_ratio(np.array([selected]), np.array(size))[0]
    assert math.isnan(ratio) if not expected else ratio == pytest.approx(float(min(rates) / max(rates)))


def test_four_fifths_exactly_met_is_not_below() -> None:
    below, defined = risk.below_four_fifths(np.array([[8, 10], [7, 10], [0, 3], [0, 0]]), np.array([10, 10]))
    assert below.tolist() == [False, True, True, False] and defined.tolist() == [True, True, True, False]
    # 0.8 of 0.7 in floating point is above 0.56
    assert not risk.below_four_fifths(np.array([[56, 70]]), np.array([100, 100]))[0][0]
    np.testing.assert_array_equal(risk.impact_ratio(np.array([[4, 5], [0, 0]]), np.array([10, 10])), [0.8, np.nan])


@quick
@given(some.floats(0, 1), some.integers(1, 64), some.integers(1, 64))
def test_newcombes_ends_solve_the_score_equation(theta: float, m: int, n: int) -> None:
    low, high = risk.newcombe(theta, m, n)
    assert 0 <= low <= theta + 1e-9 and theta - 1e-9 <= high <= 1
    mirrored = risk.newcombe(1 - theta, m, n)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-9)
    for end in (low, high):
        shape = (1 - end) / (2 - end) + end / (1 + end)
        variance = end * (1 - end) * (1 + ((m + n) / 2 - 1) * shape) / (m * n)
        assert abs(end - theta) == pytest.approx(1.959963984540054 * math.sqrt(variance), abs=1e-5)


def test_reversal_at_separation_is_never_0_without_an_upper_bound() -> None:
    b, t = np.linspace(0.30, 0.31, 16), np.linspace(0.20, 0.21, 16)
    for estimate in (risk.verdict_reversal(b, t), risk.verdict_reversal(t, b)):
        assert (estimate.value, estimate.low) == (0, 0) and 0.1 < estimate.high < 0.2
    assert risk.verdict_reversal(b[:4], t[:4]).high > 0.3


def test_reversal_is_the_share_of_pairs_on_the_wrong_side() -> None:
    b, t = np.array([0.1, 0.2, 0.3, 0.4] * 4), np.array([0.1, 0.1, 0.1, 0.2] * 4)
    estimate = risk.verdict_reversal(b, t)
    wrong = [(y > x) + 0.5 * (y == x) for x, y in itertools.product(b, t)]
    assert estimate.value == np.mean(wrong) and estimate.low < estimate.value < estimate.high
    swapped = risk.verdict_reversal(t, b)
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx((estimate.value, estimate.low, estimate.high))


def test_reversal_needs_an_established_direction() -> None:
    rng = np.random.default_rng(0)
    same = rng.standard_normal((2, 16))
    for b, t in (same, (same[0], same[0]), (same[0, :1], same[1, :1] + 9)):
        estimate = risk.verdict_reversal(b, t)
        assert estimate.value is None and not estimate.estimable
        assert estimate.note == "direction not established (up to ½)"


def test_coverage_of_the_reversal_interval() -> None:
    rng = np.random.default_rng(1)
    theta = 0.5 * math.erfc(1.5 / 2)  # P(T > B) for unit normals 1.5 apart
    covered = []
    for _ in range(300):
        estimate = risk.verdict_reversal(rng.standard_normal(16), rng.standard_normal(16) - 1.5)
        if estimate.estimable:
            covered.append(estimate.low <= theta <= estimate.high)
    assert len(covered) > 250 and np.mean(covered) > 0.90


# Reversal by k runs


def test_reversal_by_one_run_needs_no_draws_and_by_more_runs_is_rarer() -> None:
    rng = np.random.default_rng(2)
    b, t = rng.standard_normal(16), rng.standard_normal(16) - 1.5
    one = risk.verdict_reversal(b, t)
    assert one == risk.verdict_reversal(b, t, k=1, rng=np.random.default_rng(9))
    values = [risk.verdict_reversal(b, t, k=k, rng=np.random.default_rng(3)).value for k in (1, 2, 4, 8)]
    assert np.all(np.diff(values) < 0) and values[0] == one.value > 0.03


def test_reversal_by_two_runs_agrees_with_all_pairs_of_means() -> None:
    b, t = np.array([0.1, 0.2, 0.3, 0.4] * 4), np.array([0.1, 0.1, 0.1, 0.2] * 4)
    means = [[(x + y) / 2 for x, y in itertools.product(runs, repeat=2)] for runs in ([1, 2, 3, 4], [1, 1, 1, 2])]
    wrong = np.mean([(y > x) + 0.5 * (y == x) for x, y in itertools.product(*means)])
    found = risk.verdict_reversal(b, t, k=2, rng=np.random.default_rng(4))
    assert found.value == pytest.approx(wrong, abs=4 * math.sqrt(wrong / 20_000))
    swapped = risk.verdict_reversal(t, b, k=2, rng=np.random.default_rng(5))
    assert swapped.value == pytest.approx(wrong, abs=4 * math.sqrt(wrong / 20_000))


def test_the_interval_of_k_runs_counts_blocks() -> None:
    b, t = np.linspace(0.30, 0.31, 16), np.linspace(0.20, 0.21, 13)
    highs = []
    for k in (1, 2, 4, 6):
        found = risk.verdict_reversal(b, t, k=k, rng=np.random.default_rng(6))
        assert (found.low, found.high) == risk.newcombe(0.0, 16 // k, 13 // k) and found.value == 0
        highs.append(found.high)
    assert np.all(np.diff(highs) > 0) and f"blocks of {k} runs" in found.method
    refused = risk.verdict_reversal(b, t, k=7, rng=np.random.default_rng(6))
    assert refused.value is None and refused.note == "not estimable: k is more than half of the runs"


def test_reversal_by_k_runs_needs_a_direction_and_a_generator() -> None:
    same = np.random.default_rng(7).standard_normal((2, 16))
    tied = np.repeat(same[:1], 2, axis=0)
    assert risk.verdict_reversal(*tied, k=4, rng=np.random.default_rng(0)).note == risk.NO_DIRECTION
    for k, rng in ((2, None), (0, np.random.default_rng(0))):
        with pytest.raises(ValueError, match="must be at least 1, and rng"):
            risk.verdict_reversal(*same, k=k, rng=rng)


@pytest.mark.parametrize(("k", "distance"), [(2, 1.5), (4, 1.5), (4, 2.5)])
def test_coverage_of_the_reversal_interval_for_k_runs(k: int, distance: float) -> None:
    rng = np.random.default_rng(8)
    theta = 0.5 * math.erfc(distance * math.sqrt(k) / 2)
    covered = []
    for _ in range(200):
        b, t = rng.standard_normal(16), rng.standard_normal(16) - distance
        estimate = risk.verdict_reversal(b, t, k=k, rng=rng, resamples=2000)
        if estimate.estimable:
            covered.append(estimate.low <= theta <= estimate.high)
    assert len(covered) > 180 and np.mean(covered) > 0.93
