"""fitlib.statistics.simultaneous: the level of a family, by its bounds, known special cases and simulation."""

import numpy as np
import pytest
from scipy import stats

from fitlib.statistics.estimates import paired_difference, welch
from fitlib.statistics.simultaneous import family_level


def family_of(runs: np.ndarray) -> list:
    """Compare every arm of (arms, runs, metrics) with the first, on every metric."""
    return [[(0, runs[0, :, m]), (arm, runs[arm, :, m])] for arm in range(1, len(runs)) for m in range(runs.shape[2])]


def drawn(rng: np.random.Generator, arms: int, n: int, metrics: int, share: float = 0.7) -> np.ndarray:
    """Draw normal runs (arms, n, metrics) whose metrics correlate by ``share``."""
    common, single = rng.standard_normal((arms, n, 1)), rng.standard_normal((arms, n, metrics))
    return np.sqrt(share) * common + np.sqrt(1 - share) * single


def test_one_comparison_keeps_alpha_and_a_copy_of_it_costs_nothing() -> None:
    runs = drawn(np.random.default_rng(0), 2, 16, 1)
    assert family_level(family_of(runs)) == 0.05 and family_level([]) == 0.05
    copied = np.concatenate([runs, 3 * runs - 1], axis=2)
    # the smallest of two equal p-values is uniform: the level is alpha but for the error of 4,999 rotations
    assert family_level(family_of(copied)) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4999))


def test_independent_comparisons_have_the_level_of_sidak() -> None:
    rng = np.random.default_rng(1)
    family = [[(arm, rng.standard_normal(16))] for arm in range(10)]  # each key has rotations of its own
    sidak = 1 - 0.95 ** (1 / 10)
    assert family_level(family) == pytest.approx(sidak, rel=0.15)


def test_the_level_lies_between_bonferroni_and_alpha_and_rises_with_dependence() -> None:
    levels = [family_level(family_of(drawn(np.random.default_rng(2), 4, 12, 5, share))) for share in (0.0, 0.7, 0.99)]
    assert 0.05 / 15 <= levels[0] < levels[1] < levels[2] <= 0.05


def test_the_level_ignores_units_and_means_and_repeats() -> None:
    runs = drawn(np.random.default_rng(3), 3, 8, 4)
    moved = 100 * runs + np.array([5.0, -3.0, 9.0])[:, None, None]
    assert family_level(family_of(moved)) == pytest.approx(family_level(family_of(runs)), rel=1e-9)
    assert family_level(family_of(runs)) == family_level(family_of(runs))


def test_constant_comparisons_do_not_count_and_few_runs_get_bonferroni() -> None:
    runs = drawn(np.random.default_rng(4), 2, 8, 3)
    constant = [("b", np.full(8, 0.1)), ("t", np.full(8, 0.2))]
    assert family_level([*family_of(runs), constant]) == family_level(family_of(runs))
    assert family_level(family_of(runs[:, :2])) == 0.05 / 3
    with pytest.raises(ValueError, match="under one key"):
        family_level([[("a", np.arange(5.0)), ("b", np.arange(4.0))], [("a", np.arange(6.0)), ("b", np.arange(4.0))]])


def wrong(runs: np.ndarray) -> bool:
    """Return whether any simultaneous interval of ``family_of(runs)`` misses 0, the true difference."""
    family = family_of(runs)
    level = family_level(family, rotations=499)
    intervals = [welch(b, t, 1 - level) for (_, b), (_, t) in family]
    return any(not one.ends[0] <= 0 <= one.ends[1] for one in intervals)


@pytest.mark.parametrize(("arms", "n"), [(1, 5), (3, 5), (3, 8)])
def test_the_intervals_of_a_family_hold_together(arms: int, n: int) -> None:
    rng, replicates = np.random.default_rng([5, arms, n]), 400
    missed = np.mean([wrong(drawn(rng, arms + 1, n, 5)) for _ in range(replicates)])
    assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / replicates)


def test_unadjusted_intervals_would_not_hold_together() -> None:
    rng, replicates = np.random.default_rng(6), 300
    missed = [
        any(
            not one.ends[0] <= 0 <= one.ends[1]
            for one in (welch(b, t) for (_, b), (_, t) in family_of(drawn(rng, 4, 5, 5)))
        )
        for _ in range(replicates)
    ]
    assert np.mean(missed) > 0.2


def test_seeds_are_rotated_together() -> None:
    """Differences by seed of three techniques and five metrics, eight seeds: as a family of paired intervals."""
    rng, replicates, missed = np.random.default_rng(7), 400, 0
    for _ in range(replicates):
        arms = drawn(rng, 4, 8, 5)
        samples = [arms[a, :, m] - arms[0, :, m] for a in range(1, 4) for m in range(5)]
        level = family_level([[("seeds", x)] for x in samples], rotations=499)
        intervals = [paired_difference(np.zeros(8), x, 1 - level) for x in samples]
        missed += any(not one.ends[0] <= 0 <= one.ends[1] for one in intervals)
    assert missed / replicates <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / replicates)


def test_the_rotated_p_of_one_comparison_is_uniform() -> None:
    """What the level is a quantile of: for a single normal comparison, the smallest p is uniform."""
    from fitlib.statistics.simultaneous import _smallest_p

    runs = drawn(np.random.default_rng(8), 2, 6, 1)
    found = _smallest_p(family_of(runs), 4999)
    assert stats.kstest(found, "uniform").statistic < 0.03
