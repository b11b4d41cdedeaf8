"""Seeds x runs: components against independent software, coverage, and the limits of a single seed."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fitlib.statistics import nested_design
from fitlib.statistics.estimates import welch
from fitlib.statistics.significance import mann_whitney_exact
from fitlib.statistics.verdict_names import TOO_FEW

# Shrout & Fleiss (1979), Psychological Bulletin 86, 420-428, table 2: six targets, four ratings each
RATINGS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(rng, seeds=8, runs=4, sd_seed=1.0, sd_run=1.0, level=0.0):
    """Normal values (seeds, runs)."""
    return level + sd_seed * rng.standard_normal((seeds, 1)) + sd_run * rng.standard_normal((seeds, runs))


# Components


def test_the_share_is_the_published_intraclass_correlation():
    """Shrout & Fleiss print ICC(1,1) = .17; the interval is the one that R's psych::ICC prints for their data."""
    f = stats.f_oneway(*RATINGS).statistic
    assert f == pytest.approx(1.79, abs=0.01)
    assert nested_design.share_of_seed(f, 4, (5, 18)) == pytest.approx((0.17, -0.13, 0.72), abs=0.005)


def test_components_agree_with_restricted_maximum_likelihood():
    from statsmodels.regression.mixed_linear_model import MixedLM

    values = drawn(np.random.default_rng(1), seeds=12, runs=5, sd_seed=2.0)
    found = nested_design.components(values)
    seed = np.repeat(np.arange(12), 5)
    fitted = MixedLM(values.ravel(), np.ones((60, 1)), groups=seed).fit(reml=True)
    assert found.seed == pytest.approx(float(fitted.cov_re[0, 0]), rel=1e-3)
    assert found.run == pytest.approx(float(fitted.scale), rel=1e-3)
    assert found.share.value == pytest.approx(found.seed / (found.seed + found.run))


@pytest.mark.parametrize("seed", range(3))
def test_components_of_unequal_runs_are_those_of_analysis_of_variance(seed):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=n) for n in (4, 5, 7, 4, 6, 9, 4, 5)]
    found = nested_design.components(values)
    frame = pd.concat(pd.DataFrame({"seed": i, "y": x}) for i, x in enumerate(values))
    assert found.run == pytest.approx(
        (frame["y"] - frame.groupby("seed")["y"].transform("mean")).pow(2).sum() / (len(frame) - 8)
    )
    assert found.runs == pytest.approx(stats.hmean([x.size for x in values]))
    assert "harmonic" in found.share.method and "approximate" in found.share.method


def test_shares_neither_move_nor_scale_with_the_values():
    values = drawn(np.random.default_rng(3))
    share, other = nested_design.components(values).share, nested_design.components(5 - 3 * values).share
    assert (share.value, share.low, share.high) == pytest.approx((other.value, other.low, other.high))
    assert nested_design.components(3 * values).run == pytest.approx(9 * nested_design.components(values).run)
    assert share.low < share.value < share.high


def test_a_negative_variance_of_the_seed_is_told():
    values = np.tile([0.0, 1.0, 2.0, 3.0], (8, 1)) + 1e-6 * np.arange(8)[:, None]
    found = nested_design.components(values)
    assert found.seed < 0 and found.share.value < 0 and "<= 0" in found.share.note


@pytest.mark.parametrize(("seeds", "runs"), [(7, 16), (8, 3), (4, 4)])
def test_small_designs_have_components_but_no_share(seeds, runs):
    found = nested_design.components(drawn(np.random.default_rng(0), seeds, runs))
    assert found.share.value is None and found.share.note == "shares need 8 seeds x 4 runs"
    assert found.run > 0 and found.seed is not None


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (np.ones((8, 4)), "constant in all runs"),
        (np.repeat(np.arange(8.0)[:, None], 4, axis=1), "constant in all runs of every seed"),
        (np.ones((8, 1)), "one run per seed"),
        (np.ones((1, 4)), "fewer than 2 seeds"),
        (np.empty((0, 4)), "fewer than 2 seeds"),
        ([np.ones(4), np.empty(0)], "a seed without runs"),
        (np.where(np.eye(8, 4) > 0, np.nan, 1.0), "an undefined value"),
    ],
)
def test_what_has_no_share_says_why(values, note):
    share = nested_design.components(values).share
    assert share.value is None and not share.estimable and share.note == "not estimable: " + note


@pytest.mark.parametrize("ratio", [0.0, 0.45, 2.0])
def test_the_interval_of_the_share_covers(ratio):
    """95 % but for Monte Carlo error, whatever the true share is."""
    rng, truth, n = np.random.default_rng(11), ratio**2 / (1 + ratio**2), 1000
    found = [nested_design.components(drawn(rng, sd_seed=ratio)).share for _ in range(n)]
    covered = np.mean([share.low <= truth <= share.high for share in found])
    assert abs(covered - 0.95) < 3 * np.sqrt(0.95 * 0.05 / n)


def test_the_interval_for_unequal_runs_covers_about():
    rng, n = np.random.default_rng(12), 600
    sizes = (4, 4, 5, 6, 8, 4, 9, 4)
    found = [nested_design.components([drawn(rng, 1, size)[0] for size in sizes]).share for _ in range(n)]
    assert 0.92 < np.mean([share.low <= 0.5 <= share.high for share in found]) < 0.98


def test_four_seeds_of_four_runs_leave_the_share_open():
    """With a true share of .17, single estimates of 4 x 4 runs reach from below 0 to beyond .55."""
    rng, sd_seed = np.random.default_rng(4), np.sqrt(0.17 / 0.83)
    f = [stats.f_oneway(*drawn(rng, 4, 4, sd_seed)).statistic for _ in range(2000)]
    low, high = np.quantile([nested_design.share_of_seed(one, 4, (3, 12))[0] for one in f], [0.025, 0.975])
    assert low < 0.02 and 0.55 < high < 0.72
    widths = [np.ptp(np.clip(nested_design.share_of_seed(one, 4, (3, 12))[1:], 0, 1)) for one in f[:300]]
    assert np.median(widths) > 0.55


# Over seeds


def test_the_difference_is_the_paired_t_of_the_seeds_means():
    rng = np.random.default_rng(5)
    b, t = drawn(rng, level=3), drawn(rng, level=2)
    found, test = nested_design.over_seeds(b, t), nested_design.paired_t(b, t)
    other = stats.ttest_rel(t.mean(axis=1), b.mean(axis=1))
    interval = other.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (test.statistic, test.p) == pytest.approx((other.statistic, other.pvalue)) and test.smallest_p is None
    assert found.n == 8 and found.value == pytest.approx(t.mean() - b.mean())
    ranks = stats.wilcoxon(t.mean(axis=1), b.mean(axis=1), method="exact")
    assert nested_design.signed_rank(b, t).p == pytest.approx(ranks.pvalue)
    assert nested_design.signed_rank(b, t).smallest_p == pytest.approx(2 / 2**8)


def test_more_runs_of_a_seed_are_no_more_seeds():
    """Repeating every run leaves the interval as it is: runs are nested in seeds."""
    rng = np.random.default_rng(6)
    b, t = drawn(rng), drawn(rng)
    once, often = nested_design.over_seeds(b, t), nested_design.over_seeds(np.tile(b, 25), np.tile(t, 25))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert welch(np.tile(b, 25).ravel(), np.tile(t, 25).ravel()).high < often.high


def test_a_seed_that_shifts_both_techniques_drops_out():
    rng = np.random.default_rng(7)
    b, t, shift = drawn(rng), drawn(rng), 100 * rng.standard_normal((8, 1))
    moved, found = nested_design.over_seeds(b + shift, t + shift), nested_design.over_seeds(b, t)
    assert (moved.low, moved.high) == pytest.approx((found.low, found.high))
    swapped = nested_design.over_seeds(t, b)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_one_seed_misleads_and_the_nested_design_does_not():
    """Equal techniques over seeds; the FIT share of the SD is .65, then .41; n = 16 runs."""
    rng, n = np.random.default_rng(8), 1000
    for share, expected in ((0.65, 0.65), (0.41, 0.81)):
        sd_seed = np.sqrt(1 - share**2)
        pairs = [(drawn(rng, 8, 2, sd_seed, share), drawn(rng, 8, 2, sd_seed, share)) for _ in range(n)]
        nested_rate = np.mean([nested_design.paired_t(b, t).p <= 0.05 for b, t in pairs])
        assert abs(nested_rate - 0.05) < 3 * np.sqrt(0.05 * 0.95 / n)
        one = [(drawn(rng, 1, 16, sd_seed, share)[0], drawn(rng, 1, 16, sd_seed, share)[0]) for _ in range(400)]
        single = np.mean([mann_whitney_exact(b, t).p <= 0.05 for b, t in one])
        assert abs(single - expected) < 0.08
        assert nested_design.one_seed_false_positives(share, 16) == pytest.approx(expected, abs=0.03)


def test_false_positives_at_one_seed_are_the_level_where_seeds_change_nothing():
    assert nested_design.one_seed_false_positives(1.0, 16, 0.05) == pytest.approx(0.05)
    rates = [nested_design.one_seed_false_positives(0.65, runs) for runs in (2, 4, 16, 64)]
    assert rates == sorted(rates)
    with pytest.raises(ValueError, match=r"fit_share = 0\.0"):
        nested_design.one_seed_false_positives(0.0, 16)


@pytest.mark.parametrize(
    ("shift", "spread", "verdict"),
    [(-3, 0.1, "fairer"), (3, 0.1, "less fair"), (0, 0.1, "equivalent"), (0, 9.0, "open")],
)
def test_verdicts_against_the_smallest_effect(shift, spread, verdict):
    rng = np.random.default_rng(9)
    b, t = drawn(rng, sd_seed=spread, sd_run=spread), drawn(rng, sd_seed=spread, sd_run=spread)
    assert nested_design.verdict_over_seeds(b, t + shift, 1.0) == verdict


@pytest.mark.parametrize(
    ("seeds", "runs", "qualified"), [(8, 2, False), (20, 16, False), (7, 16, True), (8, 1, True), (1, 16, True)]
)
def test_only_eight_seeds_of_two_runs_go_unqualified(seeds, runs, qualified):
    assert bool(nested_design.qualification(seeds, runs)) is qualified
    assert ("unqualified verdict" in nested_design.scope(seeds, runs)) is qualified
    assert nested_design.scope(seeds, runs).endswith("on this test set")


def test_scope_in_words():
    assert nested_design.scope(8, 2) == "over 8 seeds, on this test set"
    assert nested_design.scope(3, 2) == "over 3 seeds, too few for an unqualified verdict (8 needed), on this test set"


def test_degenerate_designs_are_answered():
    one = nested_design.over_seeds(np.ones((1, 4)), np.zeros((1, 4)))
    assert one.value == -1 and not one.estimable and one.note == "not estimable: fewer than 2 seeds"
    assert nested_design.paired_t(np.ones((1, 4)), np.zeros((1, 4))).note == "not estimable: fewer than 2 seeds"
    same = nested_design.over_seeds(np.ones((8, 2)), np.zeros((8, 2)))
    assert same.value == -1 and not same.estimable
    assert same.note == "constant difference at all 8 seeds; nothing to estimate"
    assert nested_design.verdict_over_seeds(np.ones((3, 2)), np.eye(3, 2), 0.01) == TOO_FEW
    assert nested_design.paired_t(np.ones((8, 2)), np.zeros((8, 2))).p is None
    undefined = np.where(np.eye(8, 2) > 0, np.nan, 1.0)
    assert nested_design.over_seeds(np.ones((8, 2)), undefined).note == "not estimable: an undefined value"
    assert nested_design.paired_t(undefined, np.ones((8, 2))).p is None
    assert nested_design.signed_rank(undefined, np.ones((8, 2))).p is None
    assert nested_design.verdict_over_seeds(undefined, np.ones((8, 2)), 0.01) == "not estimable"
    none = nested_design.over_seeds([], [])
    assert none.value is None and not none.estimable


def test_both_techniques_need_the_same_seeds():
    with pytest.raises(ValueError, match="7 and 8 seeds"):
        nested_design.over_seeds(np.ones((7, 2)), np.ones((8, 2)))
