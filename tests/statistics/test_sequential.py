"""fitlib.statistics.sequential against published levels, simulation and its documentation."""

import numpy as np
import pytest
from scipy import stats

from fitlib.statistics import estimates as st
from fitlib.statistics import sequential
from fitlib.statistics import significance as sig


@pytest.mark.parametrize(("looks", "level"), [(1, 0.05), (2, 0.0294), (3, 0.0221), (4, 0.0182), (5, 0.0158)])
def test_pococks_published_levels(looks: int, level: float) -> None:
    assert sequential.pocock_level(looks) == pytest.approx(level, abs=6e-5)


@pytest.mark.parametrize(("looks", "alpha"), [(2, 0.05), (3, 0.01), (4, 0.05)])
def test_levels_agree_with_the_multivariate_normal(looks: int, alpha: float) -> None:
    critical = stats.norm.isf(sequential.pocock_level(looks, alpha) / 2)
    k = np.arange(1, looks + 1)
    correlation = np.sqrt(np.minimum.outer(k, k) / np.maximum.outer(k, k))
    normal = stats.multivariate_normal(np.zeros(looks), correlation)
    inside = normal.cdf(np.full(looks, critical), lower_limit=np.full(looks, -critical), rng=np.random.default_rng(0))
    assert 1 - inside == pytest.approx(alpha, abs=2e-4)


def test_levels_lie_between_bonferroni_and_alpha_and_fall_with_looks() -> None:
    levels = [sequential.pocock_level(k, 0.05 / 45) for k in range(1, 11)]
    assert np.all(np.diff(levels) < 0) and all(0.05 / 45 / k <= p for k, p in enumerate(levels, start=1))
    for looks, alpha in ((0, 0.05), (3, 0.0), (3, 1.0)):
        with pytest.raises(ValueError, match="at least one look"):
            sequential.pocock_level(looks, alpha)


def test_a_look_uses_only_the_first_runs() -> None:
    b, t = np.random.default_rng(1).standard_normal((2, 16))
    looks = sequential.looks(b, t)
    assert [look.n for look in looks] == [5, 8, 12, 16] and {look.level for look in looks} == {looks[0].level}
    for look in looks:
        assert look.test == sig.mann_whitney_exact(b[: look.n], t[: look.n])
        assert look.difference == st.welch(b[: look.n], t[: look.n], 1 - look.level)
    assert [look.decision for look in looks] == ["go on"] * 3 + ["end: no difference shown"]
    late = np.where(np.arange(16) < 8, t, 99.0)
    assert sequential.looks(b, late)[:2] == looks[:2]


@pytest.mark.parametrize(("shift", "decision"), [(-9.0, "stop: bias fell"), (9.0, "stop: bias rose")])
def test_looks_stop_at_the_first_crossing(shift: float, decision: str) -> None:
    b, t = np.random.default_rng(2).standard_normal((2, 16))
    looks = sequential.looks(b, np.where(np.arange(16) < 5, t, t + shift))
    assert looks[0].decision == "go on" and decision in [look.decision for look in looks]
    crossed = [look.decision for look in looks].index(decision)
    assert all(look.test is None and "not made: stopped at n = " in look.decision for look in looks[crossed + 1 :])
    assert sequential.looks(b, t + shift)[0].decision == decision


def test_looks_beyond_the_runs_are_not_made() -> None:
    b, t = np.random.default_rng(3).standard_normal((2, 9))
    looks = sequential.looks(b, t[:8])
    assert [look.decision for look in looks[2:]] == ["not made: fewer than 12 runs", "not made: fewer than 16 runs"]
    for at in ((), (5, 5), (8, 5)):
        with pytest.raises(ValueError, match="must rise"):
            sequential.looks(b, t, at)


def test_paired_looks_use_signed_ranks() -> None:
    b = np.random.default_rng(4).standard_normal(16)
    t = b - 0.1 - 0.01 * np.arange(16)
    looks = sequential.looks(b, t, (5, 8, 12, 16), paired=True)
    assert looks[0].test == sig.signed_rank_exact(b[:5], t[:5]) and looks[0].test.smallest_p > looks[0].level
    assert looks[1].decision == "stop: bias fell" and looks[1].difference.method == "paired t"


def test_declared_looks_keep_the_level_that_peeking_loses() -> None:
    rng = np.random.default_rng(5)
    stopped, peeked = 0, 0
    for _ in range(1000):
        b, t = rng.standard_normal((2, 16))
        stopped += any(look.decision.startswith("stop") for look in sequential.looks(b, t))
        peeked += any(sig.mann_whitney_exact(b[:n], t[:n]).p <= 0.05 for n in range(5, 17))
    assert 0.025 < stopped / 1000 < 0.065 and 0.11 < peeked / 1000 < 0.21


def test_the_rule_stops_at_the_first_crossing_if_any() -> None:
    b, t = np.random.default_rng(6).standard_normal((2, 16))
    late = np.where(np.arange(16) < 5, t, t - 9)
    assert sequential.stopped_at(sequential.looks(b, t - 9)) == 5
    assert sequential.stopped_at(sequential.looks(b, late)) in (8, 12, 16)
    assert sequential.stopped_at(sequential.looks(b, t)) is None
    assert sequential.stopped_at(sequential.looks(b[:8], t[:8])) is None


def test_after_stopping_the_repeated_interval_covers_the_ordinary_one_misses_and_the_difference_is_too_large() -> None:
    rng, true, replicates = np.random.default_rng(7), -0.7, 1500
    missed, estimates = np.zeros(2), []
    for _ in range(replicates):
        b, t = rng.standard_normal((2, 16))
        made = [look for look in sequential.looks(b, t + true) if look.test is not None]
        last = made[-1]
        ordinary = st.welch(b[: last.n], t[: last.n] + true)
        missed += [not low <= true <= high for low, high in (ordinary.ends, last.difference.ends)]
        if sequential.stopped_at(made):
            assert last.n == sequential.stopped_at(made)
            estimates.append(last.difference.value)
    assert missed[1] / replicates <= 0.05 < missed[0] / replicates
    assert np.mean(estimates) < 1.5 * true
