"""fitlib.statistics.ranks: against a loop, its properties, and what P(best) is where nobody is best."""

import numpy as np
import pytest
from scipy import stats

from fitlib.statistics.bootstrap import draw_runs
from fitlib.statistics.ranks import Ranks, mid_ranks, rank_techniques

RESAMPLES = 300


def drawn_for(samples: list, seed: int = 0) -> list:
    rng = np.random.default_rng(seed)
    return [draw_runs(len(x), rng, RESAMPLES) for x in samples]


def ranked(samples: list, seed: int = 0) -> Ranks:
    return rank_techniques(samples, drawn_for(samples, seed))


def normal_samples(k: int = 4, n: int = 6, seed: int = 1, step: float = 0.0) -> list:
    return [x + step * j for j, x in enumerate(np.random.default_rng(seed).standard_normal((k, n)))]


def test_ranks_are_those_of_a_loop_over_resamples_and_techniques() -> None:
    samples = [*normal_samples(3, 6, step=0.3), np.array([0.1, 0.1, 0.1, 0.4])]
    samples[1][:] = np.round(samples[1], 1)
    counts, k = drawn_for(samples), 4
    best, ranks = np.zeros(k), np.empty((RESAMPLES, k))
    for r in range(RESAMPLES):
        values = [sum(np.repeat(x, c[r])) / len(x) for x, c in zip(samples, counts, strict=True)]
        for j in range(k):
            below = sum(v < values[j] - 1e-12 for v in values)
            equal = sum(abs(v - values[j]) <= 1e-12 for v in values)
            ranks[r, j] = below + (equal + 1) / 2
            best[j] += (below == 0) / equal
    found = rank_techniques(samples, counts)
    assert found.best == pytest.approx(best / RESAMPLES) and found.mean == pytest.approx(ranks.mean(axis=0))
    for j in range(k):
        inside = (found.low[j] <= ranks[:, j]) & (ranks[:, j] <= found.high[j])
        assert inside.mean() >= 0.95 and {found.low[j], found.high[j]} <= set(ranks[:, j])
    assert found.rank.tolist() == stats.rankdata([x.mean() for x in samples]).tolist()


def test_shares_add_up_and_ranks_have_their_mean() -> None:
    found = ranked(normal_samples(5, 8))
    assert found.best.sum() == pytest.approx(1) and found.mean.mean() == pytest.approx(3)
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all()
    assert found.low.min() >= 1 and found.high.max() <= 5


def test_a_clear_winner_is_best_in_all_resamples() -> None:
    found = ranked(normal_samples(4, 5, step=20.0))
    assert found.best.tolist() == [1, 0, 0, 0] and found.rank.tolist() == [1, 2, 3, 4]
    assert found.low.tolist() == found.high.tolist() == found.mean.tolist() == [1, 2, 3, 4]


def test_equal_copies_of_one_training_share() -> None:
    first, second = normal_samples(2, 8, step=0.2)
    (drawn, other) = drawn_for([first, second])
    found = rank_techniques([first, second, first[::-1][::-1]], [drawn, other, drawn])
    assert found.best[0] == found.best[2] and found.rank[0] == found.rank[2] == 1.5
    alone = rank_techniques([first, second], [drawn, other])
    assert 2 * found.best[0] == pytest.approx(alone.best[0]) and 0 < alone.best[1] == pytest.approx(found.best[1])


def test_constant_copies_share_equally() -> None:
    found = ranked([np.full(5, 0.3)] * 3)
    assert found.best == pytest.approx(np.full(3, 1 / 3)) and found.rank.tolist() == [2, 2, 2]


def test_permuting_techniques_permutes_the_results() -> None:
    samples, order = normal_samples(4, 6, step=0.2), [2, 0, 3, 1]
    counts = drawn_for(samples)
    found = rank_techniques(samples, counts)
    moved = rank_techniques([samples[i] for i in order], [counts[i] for i in order])
    for name in ("rank", "best", "mean", "low", "high"):
        assert getattr(moved, name).tolist() == getattr(found, name)[order].tolist()


def test_means_that_differ_in_rounding_only_are_equal() -> None:
    assert mid_ranks([(0.1 + 0.2) / 2, 0.15, 0.1]).tolist() == [2.5, 2.5, 1]
    x = np.random.default_rng(3).integers(0, 4, (50, 6)).astype(float)
    assert mid_ranks(x).tolist() == stats.rankdata(x, axis=-1).tolist()


def test_p_best_of_equal_techniques_is_one_in_k_on_average_but_spread_widely() -> None:
    """So a P(best) of .9 says little where nobody is better; at 4 runs it comes more often than at 16."""
    rng, largest = np.random.default_rng(4), {}
    for n in (4, 16):
        found = [ranked(list(rng.standard_normal((3, n))), seed) for seed in range(400)]
        assert np.mean([f.best[0] for f in found]) == pytest.approx(1 / 3, abs=0.05)
        largest[n] = np.mean([f.best.max() >= 0.9 for f in found])
    assert largest[4] > largest[16] > 0.05
