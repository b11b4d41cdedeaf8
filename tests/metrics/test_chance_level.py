"""No-disparity expectations: against explicit permutations, and the numbers of finite groups."""

import numpy as np
import pytest

from fitlib.metrics.bias_metrics import METRICS
from fitlib.metrics.chance_level import chance_levels, class_masks, hypergeometric, permuted_counts, repeated_units
from fitlib.metrics.counts import cells_of, count
from fitlib.storage.predictions import Predictions
from tests.support.chance_examples import made

pytestmark = pytest.mark.filterwarnings("error")


def by_hand(p: Predictions, permutation, draws: int) -> dict[str, np.ndarray]:
    """Mean of metrics (runs, classes) over `draws` explicit permutations; permutation(within) -> groups (rows,)."""
    total = dict.fromkeys(METRICS, 0.0)
    for metric, function in METRICS.items():
        for target in range(p.n_classes):
            true = class_masks(p, target)[1] if metric in ("FPSF", "EOFP", "EOTP", "BA") else np.zeros(len(p.idx), bool)
            for _ in range(draws):
                shuffled = made(p.ground_truth, p.prediction, permutation(true), None, p.n_classes, p.n_groups["a"])
                value = function(cells_of(count(shuffled, "a"), p.multilabel))[:, target]
                total[metric] = total[metric] + np.eye(p.n_classes)[target] * value[:, None] / draws
    return total


def rows_permutation(p: Predictions, rng: np.random.Generator):
    def permutation(stratum):
        group = p.protected["a"].copy()
        for part in (stratum, ~stratum):
            group[part] = rng.permutation(group[part])
        return group

    return permutation


def units_permutation(p: Predictions, rng: np.random.Generator):
    """Rows of a unit that appears in several groups (of one stratum) exchange; others exchange with equal size."""

    def permutation(stratum):
        group = p.protected["a"].copy()
        for part in (stratum, ~stratum):
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
    found = chance_levels(p, "a", np.random.default_rng(1))
    expected = by_hand(p, permutation, 300)
    for metric in METRICS:
        assert np.array_equal(np.isnan(found[metric]), np.isnan(expected[metric])), metric
        difference = np.nanmean(found[metric]) - np.nanmean(expected[metric])
        assert abs(difference) < 0.06 * np.nanmean(expected[metric]), metric


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


def test_a_large_unit_is_drawn_as_any_other(monkeypatch):
    truth, prediction, group = sample(3)
    p = made(truth, prediction, group, np.arange(60) // 20)
    listed = chance_levels(p, "a", np.random.default_rng(1))
    monkeypatch.setattr("fitlib.metrics.chance_level.MOST_OUTCOMES", 0)
    one_by_one = chance_levels(p, "a", np.random.default_rng(1))
    for metric in METRICS:
        assert np.nanmean(listed[metric]) == pytest.approx(np.nanmean(one_by_one[metric]), rel=0.06)


def test_labels_are_permuted_each_against_the_rest():
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, (80, 2))
    prediction = np.where(rng.random((2, 80, 2)) < 0.7, truth, 1 - truth)
    p = made(truth, prediction, rng.integers(0, 2, 80))
    compared(p, rows_permutation(p, np.random.default_rng(2)))


def test_small_groups_alone_give_a_demographic_parity_of_175_and_break_four_fifths():
    rng, group = np.random.default_rng(0), np.repeat(np.arange(7), 50)
    p = made(np.zeros(350, dtype=int), (rng.random((100, 350)) < 0.3).astype(int), group, n_classes=2)
    assert chance_levels(p, "a", rng)["DP"][:, 1].mean() == pytest.approx(0.175, abs=0.003)
    cells = cells_of(count(p, "a"))
    ratio = 1 - METRICS["DI"](permuted_counts(p, "a", cells, range(2), 50, rng)[0])[:, 1]
    assert (ratio < 0.8).mean() == pytest.approx(0.99, abs=0.01)


def test_pairs_that_agree_leave_less_to_chance():
    rng = np.random.default_rng(3)
    half = (rng.random((4, 200)) < 0.3).astype(int)
    changed = np.where(rng.random((4, 200)) < 0.05, 1 - half, half)
    prediction, unit = np.concatenate([half, changed], axis=1), np.arange(400) % 200
    p = made(np.zeros(400, int), prediction, np.repeat([0, 1], 200), unit, n_classes=2)
    alone = made(p.ground_truth, p.prediction, p.protected["a"], n_classes=2)
    paired, unpaired = (chance_levels(q, "a", np.random.default_rng(0))["DP"].mean() for q in (p, alone))
    assert paired < 0.5 * unpaired


def test_every_row_its_own_unit_is_as_no_units():
    truth, prediction, group = sample(5)
    plain = chance_levels(made(truth, prediction, group), "a", np.random.default_rng(0))
    single = chance_levels(made(truth, prediction, group, np.arange(60)[::-1]), "a", np.random.default_rng(0))
    assert not repeated_units(np.arange(60)) and all(np.array_equal(plain[m], single[m], True) for m in METRICS)


def test_what_nobody_or_everybody_is_predicted_as_has_no_chance():
    p = made([0, 0, 1, 1], [[1, 1, 1, 1]], [0, 1, 0, 1], n_classes=3)
    found = chance_levels(p, "a", np.random.default_rng(0))
    assert found["DP"].tolist() == [[0, 0, 0]] and found["EOTP"][0, :2].tolist() == [0, 0]
    assert np.isnan(found["DI"][0, [0, 2]]).all() and np.isnan(found["EOTP"][0, 2])


def test_a_group_without_members_is_left_out():
    truth, prediction, group = sample(6)
    with_gap = made(truth, prediction, 2 * group)
    found = chance_levels(with_gap, "a", np.random.default_rng(0))["DP"]
    assert found.mean() == pytest.approx(
        chance_levels(made(truth, prediction, group), "a", np.random.default_rng(0))["DP"].mean(), rel=0.05
    )


def test_many_classes_go_through_in_parts(monkeypatch):
    truth, prediction, group = sample(7)
    p = made(truth, prediction, group)
    whole = chance_levels(p, "a", np.random.default_rng(0))
    monkeypatch.setattr("fitlib.metrics.chance_level.MOST_CELLS", 1)
    parts = chance_levels(p, "a", np.random.default_rng(0))
    assert parts["DP"].shape == whole["DP"].shape and parts["DP"].mean() == pytest.approx(whole["DP"].mean(), rel=0.05)


def test_hypergeometric_draws_have_the_moments_and_keep_the_total():
    drawn = hypergeometric(np.array([10, 20, 30]), np.array(12), 4000, np.random.default_rng(0))
    assert (drawn.sum(axis=-1) == 12).all() and drawn.mean(axis=0) == pytest.approx([2, 4, 6], abs=0.08)
    assert drawn[:, 0].var() == pytest.approx(12 * (1 / 6) * (5 / 6) * 48 / 59, rel=0.1)
