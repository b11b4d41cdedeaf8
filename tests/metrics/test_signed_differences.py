"""Signed differences: direction, the group concerned, and whether runs agree on it."""

import numpy as np
import pytest

from fitlib.metrics.bias_metrics import METRICS
from fitlib.metrics.counts import Cells, confusion, one_vs_rest
from fitlib.metrics.signed_differences import selection_rate, signed_difference, signed_of
from tests.support.count_examples import random_rows

pytestmark = pytest.mark.filterwarnings("error")


def cells(seed: int, n_groups: int = 2, **options) -> Cells:
    return one_vs_rest(confusion(*random_rows(np.random.default_rng(seed), n_groups=n_groups, **options), 5, n_groups))


def selected(rates: list) -> Cells:
    """One class; rates (runs, groups) as selected rows of ten."""
    q = np.array(rates)[:, :, None]
    return Cells(q, np.zeros_like(q), np.zeros_like(q), 10 - q)


def of(rates: list):
    c = selected(rates)
    return signed_difference(selection_rate(c), c.size)


@pytest.mark.parametrize("seed", range(5))
def test_of_two_groups_it_is_the_metric_with_a_sign(seed):
    c = cells(seed)
    signed = signed_of(c)
    for metric, factor in {"DP": 1, "EOFP": 1, "EOTP": 1, "BA": 2}.items():
        assert np.allclose(abs(signed[metric].values), factor * METRICS[metric](c), atol=1e-12, equal_nan=True)
        assert (np.nan_to_num(signed[metric].values).mean(axis=0) <= 1e-12).all()


def test_renaming_groups_renames_the_group_and_changes_nothing_else():
    order = np.array([2, 0, 1])
    c = cells(3, n_groups=3)
    renamed = Cells(*(part[:, order] for part in (c.tp, c.fp, c.fn, c.tn)))
    for metric, signed in signed_of(c).items():
        other = signed_of(renamed)[metric]
        assert np.allclose(signed.values, other.values, equal_nan=True)
        assert np.array_equal(signed.lower[signed.directed], order[other.lower[signed.directed]])
        assert np.array_equal(signed.changes, other.changes)


def test_the_lowest_group_on_average_is_compared_with_the_highest_in_every_run():
    found = of([[1, 4, 9], [3, 2, 9], [1, 4, 9], [2, 9, 5]])
    assert (found.lower[0], found.higher[0], found.directed[0]) == (0, 2, True)
    assert found.values[:, 0] == pytest.approx([-0.8, -0.6, -0.8, -0.3])
    assert found.lowest[:, 0].tolist() == [0, 1, 0, 0] and found.changes.tolist() == [1]


def test_a_run_in_which_the_order_turns_is_above_zero():
    assert of([[1, 4], [1, 4], [4, 1]]).values[:, 0] == pytest.approx([-0.3, -0.3, 0.3])


def test_a_tie_is_no_change():
    found = of([[1, 4], [3, 3], [2, 4]])
    assert found.lowest[:, 0].tolist() == [0, 0, 0] and found.changes.tolist() == [0]


@pytest.mark.parametrize("rates", [[[3, 3], [4, 4]], [[0, 0]], [[1, 3], [3, 1]]])
def test_equal_rates_on_average_have_no_direction(rates):
    found = of(rates)
    assert not found.directed[0] and found.changes.tolist() == [0]
    assert found.values.mean() == pytest.approx(0, abs=1e-12)


def test_a_group_without_members_is_left_out():
    c = selected([[1, 0, 4]])
    c.tn[:, 1] = 0
    found = signed_difference(selection_rate(c), c.size)
    assert found.values == pytest.approx(-0.3) and (found.lower[0], found.higher[0]) == (0, 2)


def test_one_group_is_undefined():
    c = selected([[1, 0], [2, 0]])
    c.tn[:, 1] = 0
    found = signed_difference(selection_rate(c), c.size)
    assert np.isnan(found.values).all() and not found.directed.any() and (found.lowest == -1).all()


def test_runs_in_which_a_class_is_not_predicted_are_left_out_of_its_share():
    truth, group = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    runs = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]])
    found = signed_of(one_vs_rest(confusion(truth, runs, group, 3, 2)))["BA"]
    assert np.isnan(found.values[0, 0]) and found.values[1:, 0] == pytest.approx([-1.0, -1.0])
    assert found.lower[0] == 1 and found.changes.tolist() == [0, 0, 0]
    assert np.isnan(found.values[:, 2]).all() and not found.directed[2]
