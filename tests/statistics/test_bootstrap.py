"""The whole-run bootstrap: runs stay whole, weights equal gathered runs, and intervals agree with SciPy's."""

import numpy as np
import pytest
from scipy import stats

from fitlib.statistics import bootstrap as rs


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_all_series_of_a_technique_get_the_same_resampled_runs() -> None:
    x = rng(1).normal(size=16)
    drawn = rs.bootstrap_runs(np.stack([x, 3 * x + 1, x]), rng(), 500)
    assert drawn.shape == (500, 3)
    assert np.allclose(drawn[:, 1], 3 * drawn[:, 0] + 1, atol=1e-12)
    assert np.array_equal(drawn[:, 0], drawn[:, 2])
    assert np.unique(drawn[:, 0]).size > 400


@pytest.mark.parametrize("name, function", [("mean", np.mean), ("sd", lambda x, axis: np.std(x, axis=axis, ddof=1))])
def test_weights_give_what_gathered_runs_give(name: str, function: object) -> None:
    values = 100 + rng(2).normal(size=(3, 2, 9))
    by_weights = rs.bootstrap_runs(values, rng(5), 300, name)
    gathered = rs.bootstrap_runs(values, rng(5), 300, lambda x: function(x, axis=-1))
    assert by_weights.shape == gathered.shape == (300, 3, 2)
    assert np.allclose(by_weights, gathered, rtol=1e-9)


def test_gathered_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    values = rng(3).normal(size=(2, 7))
    whole = rs.bootstrap_runs(values, rng(4), 50, lambda x: np.median(x, axis=-1))
    monkeypatch.setattr(rs, "MOST_VALUES", 30)
    assert np.array_equal(whole, rs.bootstrap_runs(values, rng(4), 50, lambda x: np.median(x, axis=-1)))


def test_moments_are_those_of_the_bootstrap() -> None:
    x = rng(6).exponential(size=16)
    drawn = rs.bootstrap_runs(x, rng(7), 40_000)
    assert drawn.mean() == pytest.approx(x.mean(), abs=4 * x.std() / np.sqrt(16 * 40_000))
    assert drawn.std() == pytest.approx(x.std() / 4, rel=0.02)


def test_shift_and_scale_carry_over() -> None:
    x = rng(8).normal(size=(2, 12))
    for statistic, shift in (("mean", 5.0), ("sd", 0.0)):
        plain, moved = (rs.bootstrap_runs(v, rng(9), 200, statistic) for v in (x, 2 * x + 5))
        assert np.allclose(moved, 2 * plain + shift, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_constants_nan_and_single_runs_have_defined_answers() -> None:
    values = np.array([[0.1, 0.1, 0.1], [0.1, np.nan, 0.3]])
    mean, sd = (rs.bootstrap_runs(values, rng(), 20, s) for s in ("mean", "sd"))
    assert (mean[:, 0] == 0.1).all() and (sd[:, 0] == 0).all()
    assert np.isnan(mean[:, 1]).all() and np.isnan(sd[:, 1]).all()
    assert (rs.bootstrap_runs(np.array([0.4]), rng(), 5) == 0.4).all()
    assert np.isnan(rs.bootstrap_runs(np.array([0.4]), rng(), 5, "sd")).all()
    with pytest.raises(ValueError, match="no runs"):
        rs.bootstrap_runs(np.empty(0), rng())
    with pytest.raises(ValueError, match="unknown"):
        rs.bootstrap_runs(np.ones(3), rng(), 5, "variance")


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_one_mean_agree_with_scipy(method: str) -> None:
    x = rng(10).exponential(size=20)
    ours = rs.interval([x], rng(1), resamples=40_000, method=method)
    theirs = stats.bootstrap((x,), np.mean, n_resamples=40_000, method=method, rng=rng(2)).confidence_interval
    assert ours.value == pytest.approx(x.mean())
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_bca_is_not_the_percentile_interval_of_skewed_runs() -> None:
    x = rng(11).exponential(size=12) ** 2
    percentile, bca = (rs.interval([x], rng(3), method=m) for m in ("percentile", "bca"))
    assert bca.low > percentile.low and bca.high > percentile.high + 0.05 * (percentile.high - percentile.low)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_a_function_of_two_means_agree_with_scipy(method: str) -> None:
    b, t = rng(12).gamma(2, size=15), rng(13).gamma(3, size=11)
    ours = rs.interval([b, t], rng(4), lambda mb, mt: mt / mb, 40_000, method=method)
    ratio = lambda x, y, axis=-1: y.mean(axis=axis) / x.mean(axis=axis)  # noqa: E731
    theirs = stats.bootstrap((b, t), ratio, n_resamples=40_000, method=method, rng=rng(5), vectorized=True)
    low, high = theirs.confidence_interval
    assert ours.low == pytest.approx(low, abs=0.03 * (high - low))
    assert ours.high == pytest.approx(high, abs=0.03 * (high - low))


def test_series_of_one_technique_are_resampled_together_in_an_interval() -> None:
    x = rng(14).normal(size=16)
    both = np.stack([x, x + 1])
    together = rs.interval([both], rng(6), lambda m: m[:, 1] - m[:, 0])
    assert together.low == pytest.approx(1) and together.high == pytest.approx(1)
    apart = rs.interval([x, x + 1], rng(6))
    assert apart.high - apart.low > 0.5


def test_the_difference_of_two_means_is_technique_minus_baseline_and_covers() -> None:
    generator, hits = rng(15), 0
    for _ in range(300):
        b, t = generator.normal(size=12), 1 + generator.normal(size=12)
        found = rs.interval([b, t], generator, resamples=400, method="percentile")
        hits += found.low <= 1 <= found.high
    assert 0.88 < hits / 300 < 0.98  # about .92 at n = 12: too narrow by sqrt(11/12) and by t


@pytest.mark.filterwarnings("error")
def test_what_has_no_interval_says_why() -> None:
    assert rs.interval([np.array([1.0])], rng()).note == "not estimable: fewer than 2 runs"
    assert rs.interval([np.array([1.0, np.nan])], rng()).note == "not estimable: a value is undefined"
    constant = rs.interval([np.full(4, 0.1)], rng())
    assert (constant.value, constant.low, constant.high) == (0.1, 0.1, 0.1)
    assert constant.note == "constant in all 4 runs"
    zero = rs.interval([np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])], rng(), _divided)
    assert zero.note == "not estimable: undefined in some resamples" and zero.low is None
    with pytest.raises(ValueError, match="unknown"):
        rs.interval([np.arange(3.0)], rng(), method="basic")


def _divided(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)
