"""Resampled test units: whole units, the same for all techniques, counted exactly."""

from dataclasses import replace

import numpy as np
import pytest

from fitlib.metrics import new_test_data
from fitlib.metrics.bias_metrics import METRICS, accuracy
from fitlib.metrics.counts import cells_of, count, unit_numbers
from fitlib.metrics.new_test_data import digest_rows, draw_units, resample
from fitlib.storage.predictions import Predictions
from tests.support.chance_examples import made
from tests.support.count_examples import random_rows

pytestmark = pytest.mark.filterwarnings("error")
ROWS, RUNS, RESAMPLES = 90, 5, 12


def predicted(seed: int = 0, labels: bool = False, unit: np.ndarray | None = None) -> Predictions:
    truth, prediction, group = random_rows(np.random.default_rng(seed), n_rows=ROWS, n_runs=RUNS, n_groups=3)
    if labels:
        truth, prediction = (np.eye(5, dtype=np.int8)[values] for values in (truth, prediction))
        truth, prediction = truth | np.roll(truth, 1, axis=0), prediction | np.roll(prediction, 1, axis=1)
    return made(truth, prediction, group, unit, n_classes=5, n_groups=3)


def by_rows(p: Predictions, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of a data set that repeats every row as often as its unit is drawn, (runs, classes)."""
    rows = np.repeat(np.arange(len(p.idx)), drawn[unit_numbers(p)])
    repeated = replace(
        p,
        idx=np.arange(rows.size),
        ground_truth=p.ground_truth[rows],
        prediction=p.prediction[:, rows],
        protected={name: values[rows] for name, values in p.protected.items()},
        unit=None,
    )
    counts = count(repeated, "a")
    values = {name: metric(cells_of(counts, p.multilabel)) for name, metric in METRICS.items()}
    return values | {"accuracy": accuracy(counts, p.multilabel)[:, None]}


@pytest.fixture
def small_blocks(monkeypatch):
    for name, size in {"MOST_WEIGHTS": 5 * ROWS, "MOST_CELLS": 1 << 10, "MOST_INDICATORS": 1 << 8}.items():
        monkeypatch.setattr(new_test_data, name, size)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("unit", [None, np.arange(ROWS) // 2 % 31])
@pytest.mark.parametrize("exact_float32", [1 << 24, 1])
def test_resamples_equal_a_data_set_that_repeats_its_rows(labels, unit, exact_float32, small_blocks, monkeypatch):
    monkeypatch.setattr(new_test_data, "EXACT_FLOAT32", exact_float32)
    p = predicted(labels=labels, unit=unit)
    found, n_units = resample(p, "a", RESAMPLES), ROWS if unit is None else 31
    assert found.units == n_units and set(found.values) == {*METRICS, "accuracy"}
    for b, drawn in enumerate(draw_units(n_units, RESAMPLES)):
        assert drawn.sum() == n_units
        for name, values in by_rows(p, drawn).items():
            expected = [values[half::2].sum(axis=0) / len(values[half::2]) for half in (0, 1)]
            assert np.array_equal(found.values[name][:, b], expected, equal_nan=True), name


def test_a_unit_with_two_rows_is_drawn_whole():
    # Each unit is once in either group, with one prediction: no group is ever selected more often.
    truth, chosen, group = np.tile([0, 1] * 20, 2), np.random.default_rng(0).integers(0, 2, 40), np.repeat([0, 1], 40)
    apart = made(truth, np.tile(chosen, (2, 2)), group)
    assert (resample(apart, "a", 50).values["DP"] > 0).mean() > 0.8
    together = replace(apart, unit=np.tile(np.arange(40), 2))
    assert (resample(together, "a", 50).values["DP"] == 0).all()


def test_resamples_do_not_depend_on_what_else_is_counted(monkeypatch):
    p = predicted(3)
    whole = resample(p, "a", RESAMPLES)
    monkeypatch.setattr(new_test_data, "MOST_CELLS", 1)
    other = resample(replace(p, prediction=p.prediction[::2], runs=p.runs[::2]), "a", RESAMPLES)
    first, last = (resample(replace(p, prediction=p.prediction[[r]], runs=(r,)), "a", RESAMPLES) for r in (0, 4))
    for name, values in other.values.items():  # runs 0, 2, 4: the first half of it has 0 and 4
        assert np.isnan(first.values[name][1]).all()
        mean = (first.values[name][0] + last.values[name][0]) / 2
        np.testing.assert_allclose(values[0], mean, rtol=0, atol=1e-15)
        np.testing.assert_allclose(whole.values[name][0], (2 * values[0] + values[1]) / 3, rtol=0, atol=1e-15)


def test_the_digest_covers_the_rows_and_their_order_and_no_prediction():
    p = predicted(4)
    digest = digest_rows(p, "a")
    assert digest == digest_rows(replace(p, prediction=p.prediction[:2], runs=(0, 1)), "a")
    moved = {"idx": p.idx[::-1], "ground_truth": p.ground_truth[::-1], "protected": {"a": p.protected["a"][::-1]}}
    for name, values in (moved | {"unit": p.idx // 2}).items():
        assert digest_rows(replace(p, **{name: values}), "a") != digest
