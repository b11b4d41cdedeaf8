"""fitlib.statistics.verdicts: the six verdicts, their order, and when there is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from fitlib.statistics import estimates as st
from fitlib.statistics import verdict_names
from fitlib.statistics.verdict_names import TOO_FEW, VERDICTS
from fitlib.statistics.verdicts import judge, verdict
from tests.support.samples import normal, quick

values = some.floats(-1, 1, allow_nan=False, width=32)
runs = some.lists(values, min_size=1, max_size=20).map(np.array)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (-0.10, "fairer"),
        (-0.011, "lower, size open"),
        (0.0, "equivalent"),
        (0.011, "higher, size open"),
        (0.10, "less fair"),
    ],
)
def test_the_verdict_follows_the_interval(difference: float, expected: str) -> None:
    shape = normal(10, 16, 0.0, 1.0)
    b, t = 0.3 + 0.003 * shape, 0.3 + difference + 0.003 * shape[::-1]
    t = t + 0.3 + difference - t.mean() + b.mean() - 0.3
    assert verdict(b, t, 0.01) == expected
    mirrored = {"fairer": "less fair", "lower, size open": "higher, size open"}
    mirrored |= {there: here for here, there in mirrored.items()}
    assert verdict(t, b, 0.01) == mirrored.get(expected, expected)


def test_an_interval_around_zero_that_reaches_beyond_the_smallest_effect_is_open() -> None:
    b, t = normal(10, 16, 0.3, 0.05), normal(11, 16, 0.3, 0.05)
    assert verdict(b, t, 0.01) == "open"


def test_equivalence_uses_the_90_percent_interval() -> None:
    b, t = normal(12, 16), normal(13, 16)
    inner, outer = st.welch(b, t, 0.90), st.welch(b, t)
    edge = max(-inner.low, inner.high)
    assert edge < max(-outer.low, outer.high)
    assert verdict(b, t, edge * (1 + 1e-9)) == "equivalent" and verdict(b, t, edge * (1 - 1e-9)) == "open"


@quick
@given(some.integers(0, 10_000), some.floats(0, 1), some.sampled_from([0.05, 0.01, 0.001]))
def test_equivalence_agrees_with_the_two_one_sided_tests_of_statsmodels(seed: int, delta: float, level: float) -> None:
    b, t = normal(seed, 12), normal(seed + 1, 9, 0.1)
    p = CompareMeans(DescrStatsW(t), DescrStatsW(b)).ttost_ind(-delta, delta, usevar="unequal")[0]
    decided = verdict(b, t, delta, level)
    if decided not in ("fairer", "less fair"):
        assert (decided == "equivalent") == (p <= level)


def test_a_smaller_level_never_turns_a_verdict_into_a_stronger_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        difference, error = rng.normal(0, 3), rng.uniform(0.1, 1)
        wide, narrow = (VERDICTS[int(judge(difference, error, 20, 1.0, level))] for level in (0.001, 0.05))
        allowed = {
            "fairer": ("fairer",),
            "less fair": ("less fair",),
            "equivalent": ("equivalent",),
            "lower, size open": ("lower, size open", "fairer", "equivalent"),
            "higher, size open": ("higher, size open", "less fair", "equivalent"),
            "open": VERDICTS,
        }
        assert narrow in allowed[wide]


def test_below_four_runs_there_is_no_verdict() -> None:
    b, t = normal(1, 16), normal(2, 3, 9.0)
    assert verdict(b, t, 0.01) == verdict(t, b, 0.01) == TOO_FEW
    assert verdict(normal(1, 3), normal(2, 3), 0.01, paired=True) == TOO_FEW
    assert verdict(np.full(2, 0.1), np.full(2, 0.1125), 0.01) == TOO_FEW
    assert verdict(b, np.r_[t, 9.0], 0.01) == "less fair"


def test_two_constant_samples_have_no_verdict() -> None:
    assert verdict(np.full(16, 0.5), np.full(16, 0.25), 0.1) == "not estimable"
    assert verdict(np.full(16, 0.5), np.full(16, 0.25), 0.1, paired=True) == "not estimable"
    assert verdict(np.array([]), np.full(16, 0.25), 0.1) == "not estimable"


@quick
@given(runs, runs)
def test_every_pair_of_samples_has_an_answer(b: np.ndarray, t: np.ndarray) -> None:
    assert verdict(b, t, 0.01) in (*VERDICTS, TOO_FEW, "not estimable")


def test_judge_broadcasts() -> None:
    effects = np.array([0.0, 0.1, 1.0])
    found = judge(np.array([[-0.5], [0.0]]), 0.1, 30, effects, 0.05)
    assert [[verdict_names.VERDICTS[i] for i in row] for row in found] == [
        ["fairer", "fairer", "equivalent"],
        ["open", "open", "equivalent"],
    ]
