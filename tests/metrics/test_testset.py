"""The test set's part: denominators, halves, components without bias, the floor, and the fairest run's regression."""

from dataclasses import replace

import numpy as np
import pytest

from fitlib.metrics.bias_metrics import METRICS
from fitlib.metrics.counts import Cells, cells_of, count, label_counts, unit_numbers
from fitlib.metrics.signed_differences import signed_of
from fitlib.metrics.testset import (
    COMPONENT_METRICS,
    Components,
    RunCovariance,
    components,
    contributions,
    halves,
    smallest_denominators,
)
from fitlib.storage.predictions import Predictions
from tests.support.chance_examples import made
from tests.support.count_examples import random_rows

pytestmark = pytest.mark.filterwarnings("error")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def of_all_rows(p: Predictions, seed: int = 0, splits: int = 20) -> dict[str, Components]:
    signed = signed_of(cells_of(count(p, "a"), p.multilabel))
    run = RunCovariance(signed)
    for split in halves(p, "a", rng(seed), splits):
        run.add(split)
    return components(p, "a", signed, run)


# Denominators


def test_smallest_denominators_leave_empty_groups_out():
    p = made([0, 0, 1, 1, 1, 1, 1], [[0, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 0]], [0, 2, 0, 0, 2, 2, 2], n_classes=2)
    found = smallest_denominators(cells_of(count(p, "a")))
    assert {metric: values.tolist() for metric, values in found.items()} == {
        "DP": [3, 3], "DI": [3, 3], "SPSF": [3, 3], "FPSF": [2, 1], "EOFP": [2, 1], "EOTP": [1, 2], "BA": [1, 4],
    }  # fmt: skip
    assert set(found) == set(METRICS)


def test_a_metric_is_undefined_exactly_where_its_smallest_denominator_is_zero():
    truth, prediction, group = random_rows(rng(1), n_rows=12, n_groups=3)
    cells = cells_of(count(made(truth, prediction, group, n_classes=6, n_groups=3), "a"))
    for metric, smallest in smallest_denominators(cells).items():
        if metric != "DI":
            assert np.array_equal(smallest == 0, np.isnan(METRICS[metric](cells)).any(axis=0)), metric


# Halves


def counted_directly(p: Predictions, rows: np.ndarray) -> Cells:
    if p.multilabel:
        counts = label_counts(p.ground_truth[rows], p.prediction[:, rows], p.protected["a"][rows], p.n_groups["a"])
    else:
        part = replace(
            p,
            ground_truth=p.ground_truth[rows],
            prediction=p.prediction[:, rows],
            protected={"a": p.protected["a"][rows]},
        )
        counts = count(part, "a")
    return cells_of(counts, p.multilabel)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("unit", [None, np.arange(90) // 2 % 31])
def test_halves_are_the_counts_of_whole_units(labels, unit, monkeypatch):
    truth, prediction, group = random_rows(rng(2), n_rows=90, n_groups=3)
    if labels:
        truth, prediction = np.eye(5, dtype=np.int8)[truth], np.eye(5, dtype=np.int8)[prediction]
    p = made(truth, prediction, group, unit)
    monkeypatch.setattr("fitlib.metrics.testset.BATCH_CELLS", 2 * 4 * 3 * 5)  # batches of two splits
    drawn = rng(3)
    of_unit = unit_numbers(p)
    for split in halves(p, "a", rng(3), 3):
        n_units = of_unit.max() + 1
        chosen = drawn.permuted(np.tile(np.arange(n_units) < n_units // 2, (split.splits, 1)), axis=1)
        for i in range(split.splits):
            rows = chosen[i][of_unit]
            for half, inside in ((split.first, rows), (split.second, ~rows)):
                expected = counted_directly(p, inside)
                for name in ("tp", "fp", "fn", "tn"):
                    assert np.array_equal(split.by_split(getattr(half, name))[i], getattr(expected, name))


# Components

N, PER_GROUP, RUNS, SHIFT = 200, 80, 6, 0.25


def world(seed: int, stuck: float, shift: float) -> Predictions:
    """Fresh runs and a fresh test set: a share `stuck` of rows never changes, in group 0 a run moves the rest."""
    draw, n = rng(seed), 2 * PER_GROUP
    group, base = np.repeat([0, 1], PER_GROUP), draw.random(n) < 0.3
    run = draw.choice([-shift, shift], RUNS)[:, None] * (group == 0)
    prediction = np.where(draw.random(n) < stuck, base, draw.random((RUNS, n)) < 0.3 + run)
    return made(np.ones(n, int), prediction.astype(int), group, n_classes=2)


def replicated(stuck: float, shift: float) -> dict[str, tuple[float, float]]:
    """Mean and standard error over fresh worlds of every component of class 1."""
    found = [of_all_rows(world(seed, stuck, shift), seed)["DP"].variances() for seed in range(N)]
    values = {name: np.array([one[name][1] for one in found]) for name in found[0]}
    return {name: (x.mean(), x.std(ddof=1) / np.sqrt(N)) for name, x in values.items()}


def assert_unbiased(found: tuple[float, float], truth: float, scale: float) -> None:
    mean, error = found
    assert abs(mean - truth) < 3 * error and error < 0.1 * scale


def test_components_are_recovered_without_bias():
    found, scale = replicated(stuck=0.5, shift=SHIFT), 0.42 / PER_GROUP
    run, test_set = 0.25 * SHIFT**2, 2 * 0.5 * 0.21 / PER_GROUP
    together = (0.42 - 0.25 * SHIFT**2) / PER_GROUP  # of test set and interaction
    for name, truth in {
        "variance_run": run,
        "variance_test_set": test_set,
        "variance_interaction": together - test_set,
        "variance_between_runs": run + together - test_set,
        "variance_total": run + together,
    }.items():
        assert_unbiased(found[name], truth, max(scale, truth))


def test_where_predictions_flip_independently_the_spread_is_the_floor():
    found, floor = replicated(stuck=0.0, shift=0.0), 0.42 / PER_GROUP
    for name in ("floor", "variance_between_runs", "variance_interaction"):
        assert_unbiased(found[name], floor, floor)
    for name in ("variance_run", "variance_test_set"):
        assert_unbiased(found[name], 0.0, floor)


def test_negative_estimates_are_kept():
    found = [of_all_rows(world(seed, 0.0, 0.0), seed)["DP"].run[1] for seed in range(10)]
    assert min(found) < 0 < max(found)


def pairs(seed: int, n: int = 300, same: float = 0.8) -> Predictions:
    """Every unit in both groups, mostly predicted alike in both; two runs that agree throughout."""
    draw = rng(seed)
    first, other = (draw.random((2, n)) < 0.3).astype(int)
    second = np.where(draw.random(n) < same, first, other)
    prediction = np.tile(np.concatenate([first, second]), (2, 1))
    return made(np.zeros(2 * n, int), prediction, np.repeat([0, 1], n), np.arange(2 * n) % n, n_classes=2)


def test_resampling_whole_units_gives_the_spread_over_test_sets_and_single_rows_do_not():
    difference = [signed_of(cells_of(count(pairs(seed), "a")))["DP"].values[0, 1] for seed in range(400)]
    signs = rng().choice([-1, 1], 400)  # the lower group comes first, so the sign is lost
    by_unit, by_row = (
        np.mean([of_all_rows(p, splits=2)["DP"].test_set[1] for p in worlds])
        for worlds in ([pairs(s) for s in range(40)], [replace(pairs(s), unit=None) for s in range(40)])
    )
    assert np.sqrt(by_unit) == pytest.approx(np.std(difference * signs), rel=0.1)
    assert np.sqrt(by_row / by_unit) == pytest.approx(np.sqrt(1 / 0.2), rel=0.1)


def test_the_linearised_variance_is_that_of_the_bootstrap_over_units():
    p, draw = pairs(0), rng(1)
    x = p.prediction[0].reshape(2, -1)
    resampled = [np.subtract(*x[:, draw.integers(0, 300, 300)].mean(axis=1)) for _ in range(4000)]
    assert of_all_rows(p, splits=2)["DP"].test_set[1] == pytest.approx(np.var(resampled), rel=0.06)


def test_runs_that_agree_throughout_have_the_test_set_only():
    found = of_all_rows(pairs(0))["DP"]
    assert found.between_runs.tolist() == found.run.tolist() == found.interaction.tolist() == [0, 0]
    assert found.floor.tolist() == [0, 0] and (found.test_set > 0).all()


def test_where_all_rows_are_of_the_class_true_positives_are_what_is_selected():
    found = of_all_rows(world(0, 0.5, SHIFT))
    for name, values in found["DP"].variances().items():
        assert values[1] == pytest.approx(found["EOTP"].variances()[name][1])
    assert np.isnan(found["EOFP"].run[1]) and np.isnan(found["EOFP"].floor[1])


def test_renaming_the_groups_changes_no_component():
    p = world(1, 0.5, SHIFT)
    other = replace(p, protected={"a": 1 - p.protected["a"]})
    for metric in COMPONENT_METRICS:
        for name, values in of_all_rows(p)[metric].variances().items():
            assert np.allclose(values, of_all_rows(other)[metric].variances()[name], equal_nan=True)


def test_labels_have_components_each_against_the_rest():
    p = world(2, 0.5, SHIFT)
    labels = np.stack([1 - p.prediction, p.prediction], axis=-1)
    q = made(np.stack([1 - p.ground_truth, p.ground_truth], axis=-1), labels, p.protected["a"])
    for metric in COMPONENT_METRICS:
        for name, values in of_all_rows(p)[metric].variances().items():
            assert np.allclose(values, of_all_rows(q)[metric].variances()[name], equal_nan=True)


@pytest.mark.parametrize(
    "p",
    [
        made([0, 1, 0, 1], [[0, 1, 1, 1]], [0, 0, 1, 1]),
        made([0, 1, 0, 1], [[0, 1, 1, 1], [0, 0, 1, 1]], [0, 0, 1, 1], np.zeros(4, int)),
        made([0, 1, 0, 1], [[0, 1, 1, 1], [0, 0, 1, 1]], [0, 0, 2, 2], n_classes=4),
        made([0, 1, 0, 1], [[0, 1, 1, 1], [0, 0, 1, 1]], [1, 1, 1, 1], n_classes=3),
    ],
    ids=["one run", "one unit", "a group without members, classes without rows", "one group"],
)
def test_what_is_not_estimable_is_missing_and_nothing_warns(p):
    found = contributions(p, "a", rng(), 5)
    assert set(found.components) == set(COMPONENT_METRICS) and set(found.selection) == set(METRICS)
    one = len(p.runs) == 1 or unit_numbers(p).max() == 0 or len(set(p.protected["a"].tolist())) == 1
    assert np.isnan(found.components["DP"].run).all() == one
    assert np.isnan(found.selection["DP"].selected_off) == one


# Selection


def test_the_fairest_of_runs_that_only_differ_by_chance_is_average_elsewhere():
    found = [contributions(world(seed, 0.5, 0.0), "a", rng(seed), 20).selection["DP"] for seed in range(60)]
    on, off, mean = np.array([[s.selected_on, s.selected_off, s.mean_of_runs] for s in found]).T
    error = (off - mean).std(ddof=1) / np.sqrt(60)
    assert (on < mean).all() and abs((off - mean).mean()) < 3 * error and error < 0.1 * (mean - on).mean()


def test_a_run_that_is_fairer_is_fairer_elsewhere():
    draw, group = rng(5), np.repeat([0, 1], 400)
    bias = np.array([0.0, 0.3, 0.3, 0.3])[:, None] * group
    p = made(np.zeros(800, int), (draw.random((4, 800)) < 0.3 + bias).astype(int), group, n_classes=2)
    found = contributions(p, "a", rng(), 50).selection["DP"]
    assert found.selected_on <= found.selected_off < 0.4 * found.mean_of_runs


def test_runs_that_tie_count_alike():
    found = contributions(pairs(3), "a", rng(), 30).selection["DP"]
    assert found.selected_on == pytest.approx(found.selected_off) == pytest.approx(found.mean_of_runs)


def test_the_same_generator_gives_the_same_numbers():
    p = world(4, 0.5, SHIFT)
    first, second = (contributions(p, "a", rng(9), 10) for _ in range(2))
    assert first.selection == second.selection
    assert np.array_equal(first.components["DP"].run, second.components["DP"].run)


def test_batches_change_nothing(monkeypatch):
    p = made(*random_rows(rng(6), n_rows=60), n_classes=5)
    whole = contributions(p, "a", rng(9), 10)
    monkeypatch.setattr("fitlib.metrics.testset.BATCH_CELLS", 1)
    single = contributions(p, "a", rng(9), 10)
    assert np.allclose(whole.components["EOTP"].run, single.components["EOTP"].run)
    for metric in METRICS:
        assert vars(whole.selection[metric]) == pytest.approx(vars(single.selection[metric]))
