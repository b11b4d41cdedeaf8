"""Chance levels: against explicit permutations, validity of p, and the numbers of finite groups."""

import numpy as np
import pytest

from fitlib.metrics import chance_level
from fitlib.metrics.bias_metrics import METRICS, overall
from fitlib.metrics.chance_level import SELECTION, chance_levels, hypergeometric, permuted_groups, repeated_units
from fitlib.metrics.counts import cells_of, count
from fitlib.storage.predictions import Predictions
from tests.support.chance_examples import made

pytestmark = pytest.mark.filterwarnings("error")


def by_hand(p: Predictions, permutation, draws: int = 400) -> dict[str, np.ndarray]:
    """Metrics (draws, runs, 1 + classes), overall first, after permutations; permutation(stratum) -> groups."""
    found = {}
    for metric, function in METRICS.items():
        stratum = np.zeros(len(p.idx), int) if metric in SELECTION else p.ground_truth
        drawn = []
        for _ in range(draws):
            q = made(p.ground_truth, p.prediction, permutation(stratum), None, p.n_classes, p.n_groups["a"])
            drawn.append(with_overall(function(cells_of(count(q, "a"), q.multilabel))))
        found[metric] = np.stack(drawn)
    return found


def with_overall(by_class: np.ndarray) -> np.ndarray:
    return np.column_stack([overall(by_class)[0], by_class])


def observed(p: Predictions, metric: str) -> np.ndarray:
    return with_overall(METRICS[metric](cells_of(count(p, "a"), p.multilabel)))


def rows_permutation(p: Predictions, rng: np.random.Generator):
    def permutation(stratum):
        group = p.protected["a"].copy()
        for value in np.unique(stratum):
            group[stratum == value] = rng.permutation(group[stratum == value])
        return group

    return permutation


def units_permutation(p: Predictions, rng: np.random.Generator):
    """Rows of a unit that appears in several groups (of one stratum) exchange; others exchange with equal size."""

    def permutation(stratum):
        group = p.protected["a"].copy()
        for value in np.unique(stratum):
            part = stratum == value
            members = {u: np.flatnonzero(part & (p.unit == u)) for u in np.unique(p.unit[part])}
            for rows in members.values():
                group[rows] = rng.permutation(group[rows])
            alone = [rows for rows in members.values() if np.ptp(p.protected["a"][rows]) == 0]
            for size in {len(rows) for rows in alone}:
                same = [rows for rows in alone if len(rows) == size]
                for rows, new in zip(same, rng.permutation([group[rows[0]] for rows in same]), strict=True):
                    group[rows] = new
        return group

    return permutation


def compared(p: Predictions, permutation) -> None:
    """Compare expectation, quantile and p, of all runs and classes and overall, with explicit permutations."""
    found, drawn = chance_levels(p, "a", np.random.default_rng(1)), by_hand(p, permutation)
    for metric, values in drawn.items():
        assert np.array_equal(np.isnan(found[metric].expectation), np.isnan(values[0])), metric
        for at in (slice(0, 1), slice(1, None)):
            mean = np.nanmean(values[..., at])
            assert np.nanmean(found[metric].expectation[:, at]) == pytest.approx(mean, rel=0.07), metric
        above, reached = (np.mean(values > found[metric].quantile + e, axis=0) for e in (1e-12, -1e-12))
        assert above.mean() < 0.06 and above.max() < 0.09 and reached.mean() > 0.04, metric
        p_by_hand = (values >= observed(p, metric) - 1e-12).mean(axis=0)
        defined = ~np.isnan(values[0])
        assert np.abs(found[metric].p - p_by_hand)[defined].max() < 0.13, metric


def sample(seed: int, rows: int = 60, groups: int = 2) -> tuple:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, rows)
    return truth, np.where(rng.random((3, rows)) < 0.7, truth, 1 - truth), rng.integers(0, groups, rows)


@pytest.mark.parametrize("groups", [2, 4])
def test_it_is_the_mean_over_permutations_of_the_rows(groups):
    p = made(*sample(0, groups=groups))
    compared(p, rows_permutation(p, np.random.default_rng(2)))


def test_rows_of_one_unit_exchange_groups_among_themselves():
    truth, prediction, _ = sample(1)
    unit = np.arange(60) % 30
    p = made(truth, prediction, np.repeat([0, 1], 30), unit)
    compared(p, units_permutation(p, np.random.default_rng(2)))


def test_units_of_any_size_and_mixture():
    truth, prediction, group = sample(2, groups=3)
    p = made(truth, prediction, group, np.random.default_rng(5).integers(0, 22, 60))
    compared(p, units_permutation(p, np.random.default_rng(2)))


def test_many_classes_are_counted_row_by_row(monkeypatch):
    truth, prediction, group = sample(8, groups=3)
    p = made(truth, prediction, group)
    monkeypatch.setattr(chance_level, "MANY_CLASSES", 1)
    compared(p, rows_permutation(p, np.random.default_rng(2)))


@pytest.mark.parametrize("unit", [None, np.arange(80) // 2])
def test_labels_are_permuted_together_for_selection_and_each_alone_given_the_truth(unit):
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, (80, 3))
    truth[:, 2] = truth[:, 1]
    prediction = np.where(rng.random((2, 80, 3)) < 0.7, truth, 1 - truth)
    prediction[..., 2] = prediction[..., 1]
    p = made(truth, prediction, rng.integers(0, 2, 80), unit)
    found = chance_levels(p, "a", np.random.default_rng(1))
    permutation = (rows_permutation if unit is None else units_permutation)(p, np.random.default_rng(2))
    for metric, function in METRICS.items():
        level = found[metric]
        if metric in SELECTION:
            assert np.array_equal(level.p[:, 2], level.p[:, 3]), "equal labels of one permutation have equal values"
        else:
            assert np.isnan(level.p[:, 0]).all() and np.isnan(level.quantile[:, 0]).all()
        stratum = np.zeros(80, int) if metric in SELECTION else truth[:, 0]
        drawn = [made(truth, prediction, permutation(stratum), None, 3, 2) for _ in range(200)]
        values = np.stack([function(cells_of(count(q, "a"), True))[:, 0] for q in drawn])
        assert level.expectation[:, 1].mean() == pytest.approx(values.mean(), rel=0.15)
        shares = (values >= observed(p, metric)[:, 1] - 1e-12).mean(axis=0)
        assert np.abs(level.p[:, 1] - shares).max() < 0.15
        assert level.expectation[:, 0] == pytest.approx(level.expectation[:, 1:].mean(axis=1))


def test_classes_of_one_permutation_hang_together():
    """Two classes have the same DP, so their mean varies as each of them does, and has the same p."""
    truth, prediction, group = sample(9)
    chance = chance_levels(made(truth, prediction, group), "a", np.random.default_rng(0))["DP"]
    assert np.array_equal(chance.p[:, [0, 0]], chance.p[:, 1:])
    assert chance.quantile[:, [0, 0]] == pytest.approx(chance.quantile[:, 1:])


def test_groups_of_different_true_classes_but_treated_alike_are_within_chance_given_the_truth():
    rng = np.random.default_rng(10)
    group = rng.integers(0, 2, 600)
    truth = np.where(rng.random(600) < np.where(group == 0, 0.6, 0.15), 0, rng.integers(1, 4, 600))
    prediction = np.where(truth == 0, rng.choice([0, 1], 600), truth)  # class 0 is taken for class 1, by all groups
    found = chance_levels(made(truth, prediction[None], group), "a", rng)
    assert found["DP"].p[0, 0] < 0.01 and min(found[m].p[0, 0] for m in ("FPSF", "EOFP", "EOTP", "BA")) > 0.05


@pytest.mark.parametrize("paired", [False, True])
def test_p_is_valid_without_disparity(paired, monkeypatch):
    monkeypatch.setattr(chance_level, "ALL_DRAWS", 200)
    monkeypatch.setattr(chance_level, "SHARED_DRAWS", 200)
    rng, replicates, below = np.random.default_rng(11), 400, []
    for _ in range(replicates):
        truth, prediction, group = rng.integers(0, 3, 60), rng.integers(0, 3, (1, 60)), rng.integers(0, 2, 60)
        unit = None
        if paired:
            truth[30:], group, unit = truth[:30], np.repeat([0, 1], 30), np.arange(60) % 30
            prediction[:, 30:] = np.where(rng.random(30) < 0.7, prediction[:, :30], prediction[:, 30:])
        found = chance_levels(made(truth, prediction, group, unit, 3), "a", rng)
        below.append([found[metric].p[0, [0, 2]] <= 0.05 for metric in METRICS])
    assert np.mean(below, axis=0).max() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / replicates)


def test_a_value_has_p_up_to_05_just_where_it_exceeds_the_quantile():
    truth, prediction, group = sample(12, rows=200)
    prediction = np.where((group == 1) & (np.random.default_rng(0).random((3, 200)) < 0.4), 1, prediction)
    p = made(truth, prediction, group)
    for metric, chance in chance_levels(p, "a", np.random.default_rng(3)).items():
        above = observed(p, metric) > chance.quantile + 1e-12
        assert np.array_equal(above, chance.p <= 0.05), metric
        assert metric != "DP" or above.any()


def test_small_groups_alone_give_a_demographic_parity_of_175_and_break_four_fifths():
    rng, group = np.random.default_rng(0), np.repeat(np.arange(7), 50)
    p = made(np.zeros(350, dtype=int), (rng.random((100, 350)) < 0.3).astype(int), group, n_classes=2)
    found = chance_levels(p, "a", rng)
    assert found["DP"].expectation[:, 2].mean() == pytest.approx(0.175, abs=0.003)
    assert (observed(p, "DI")[:, 2] > 0.2).mean() == pytest.approx(0.99, abs=0.02)
    assert found["DI"].p[:, 2].mean() == pytest.approx(0.5, abs=0.1)


def test_pairs_that_agree_leave_less_to_chance():
    rng = np.random.default_rng(3)
    half = (rng.random((4, 200)) < 0.3).astype(int)
    changed = np.where(rng.random((4, 200)) < 0.05, 1 - half, half)
    prediction, unit = np.concatenate([half, changed], axis=1), np.arange(400) % 200
    p = made(np.zeros(400, int), prediction, np.repeat([0, 1], 200), unit, n_classes=2)
    alone = made(p.ground_truth, p.prediction, p.protected["a"], n_classes=2)
    paired, unpaired = (chance_levels(q, "a", np.random.default_rng(0))["DP"] for q in (p, alone))
    assert paired.expectation.mean() < 0.5 * unpaired.expectation.mean()
    assert paired.quantile.mean() < 0.5 * unpaired.quantile.mean()


def test_every_row_its_own_unit_is_as_no_units():
    truth, prediction, group = sample(5)
    plain = chance_levels(made(truth, prediction, group), "a", np.random.default_rng(0))
    single = chance_levels(made(truth, prediction, group, np.arange(60)[::-1]), "a", np.random.default_rng(0))
    assert not repeated_units(np.arange(60))
    assert all(np.array_equal(plain[m].p, single[m].p, equal_nan=True) for m in METRICS)


def test_what_nobody_or_everybody_is_predicted_as_has_no_chance():
    p = made([0, 0, 1, 1], [[1, 1, 1, 1]], [0, 1, 0, 1], n_classes=3)
    found = chance_levels(p, "a", np.random.default_rng(0))
    dp, di, eotp = found["DP"], found["DI"], found["EOTP"]
    assert dp.expectation.tolist() == dp.quantile.tolist() == [[0] * 4] and dp.p.tolist() == [[1] * 4]
    assert eotp.expectation[0, 1:3].tolist() == [0, 0]
    assert np.isnan(di.expectation[0, [1, 3]]).all() and np.isnan(eotp.p[0, 3]) and np.isnan(eotp.quantile[0, 3])


def test_one_group_alone_has_no_chance_level():
    p = made([0, 1, 0, 1], [[0, 1, 1, 1]], [0, 0, 0, 0], np.array([0, 0, 1, 2]), n_groups=1)
    for chance in chance_levels(p, "a", np.random.default_rng(0)).values():
        assert np.isnan([chance.expectation, chance.quantile, chance.p]).all()


def test_a_group_without_members_is_left_out():
    truth, prediction, group = sample(6)
    with_gap, plain = (
        chance_levels(made(truth, prediction, g), "a", np.random.default_rng(0))["DP"] for g in (2 * group, group)
    )
    assert with_gap.expectation.mean() == pytest.approx(plain.expectation.mean(), rel=0.05)


@pytest.mark.parametrize("unit", [None, np.arange(60) // 2])
def test_many_runs_go_through_in_parts(monkeypatch, unit):
    p = made(*sample(7), unit)
    whole = chance_levels(p, "a", np.random.default_rng(0))
    monkeypatch.setattr(chance_level, "MOST_CELLS", 1)
    parts = chance_levels(p, "a", np.random.default_rng(0))
    for metric in METRICS:
        assert parts[metric].p.shape == whole[metric].p.shape == (3, 3)
        assert parts[metric].expectation == pytest.approx(whole[metric].expectation, rel=0.2)


def test_permuted_groups_keep_sizes_and_units_of_one_group_stay_whole():
    rng = np.random.default_rng(13)
    unit, stratum = np.repeat(np.arange(20), 2), np.repeat(np.arange(2), 20)
    group = np.repeat(rng.integers(0, 3, 20), 2)
    drawn = permuted_groups(unit, group, stratum, 50, rng)
    assert (drawn[:, ::2] == drawn[:, 1::2]).all() and len(np.unique(drawn, axis=0)) > 40
    for part in (slice(0, 20), slice(20, 40)):
        assert (np.sort(drawn[:, part], axis=1) == np.sort(group[part])).all()


def test_hypergeometric_draws_have_the_moments_and_keep_the_total():
    drawn = hypergeometric(np.array([10, 20, 30]), np.array(12), 4000, np.random.default_rng(0))
    assert (drawn.sum(axis=-1) == 12).all() and drawn.mean(axis=0) == pytest.approx([2, 4, 6], abs=0.08)
    assert drawn[:, 0].var() == pytest.approx(12 * (1 / 6) * (5 / 6) * 48 / 59, rel=0.1)
