import subprocess
import sys
import warnings

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    false_positive_rate,
    true_positive_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fitlib.metrics import bias_metrics
from fitlib.metrics.bias_metrics import METRICS, PUBLISHED, overall
from fitlib.metrics.counts import Cells, confusion, label_counts, one_vs_rest
from tests.support.count_examples import random_cells, random_rows


def cells(*groups):
    """One run from TP/FP/TN/FN per group and class, the order in which worked examples are written."""
    tp, fp, tn, fn = np.moveaxis(np.array(groups, dtype=np.int64)[None], -1, 0)
    return Cells(tp, fp, fn, tn)


E1 = cells([(3, 2, 5, 1), (5, 1, 3, 2)], [(5, 1, 2, 1), (2, 1, 5, 1)])
E2 = cells([(3, 1, 4, 3), (3, 3, 1, 4)], [(2, 1, 4, 2), (3, 2, 1, 3)])
E3 = cells([(0, 0, 8, 2), (2, 1, 5, 2)], [(0, 0, 9, 1), (0, 2, 6, 2)])

WORKED = {
    "E1": (E1, {
        "DP": (7 / 33, 7 / 33), "DI": (7 / 22, 7 / 18), "SPSF": (0.105, 0.105), "FPSF": (0.01, 0.02),
        "EOFP": (1 / 21, 1 / 12), "EOTP": (1 / 12, 1 / 21), "BA": (3 / 55, 1 / 30),
    }),
    "E2": (E2, {
        "DP": (1 / 33, 1 / 99), "DI": (1 / 12, 1 / 55), "SPSF": (0.015, 0.005), "FPSF": (0, 0.1 / 7),
        "EOFP": (0, 1 / 12), "EOTP": (0, 1 / 14), "BA": (1 / 35, 1 / 143),
    }),
    "E3": (E3, {
        "DP": (0, 0.1), "DI": (1, 1 / 3), "EOTP": (0, 0), "EOFP": (0, 1 / 12), "BA": (1 / 15, 0),
    }),
}  # fmt: skip


# Worked examples


@pytest.mark.parametrize("example", WORKED)
def test_published_reading_of_the_worked_examples(example):
    case, expected = WORKED[example]
    for name, values in expected.items():
        assert PUBLISHED[name](case) == pytest.approx(np.array([values]), abs=1e-12), name


@pytest.mark.parametrize("example", ["E1", "E2"])
@pytest.mark.parametrize("name", METRICS)
def test_strict_reading_agrees_where_everything_is_defined(example, name):
    case, expected = WORKED[example]
    assert METRICS[name](case) == pytest.approx(np.array([expected[name]]), abs=1e-12)


def test_strict_reading_of_the_edges():
    # Class 0 is never predicted: its DI and BA are undefined. Class 1: TP rates 2/4 and 0/2; FP rates 1/6 and 2/8.
    nan = np.nan
    expected = {"DP": (0, 0.1), "DI": (nan, 1 / 3), "EOTP": (0, 0.5), "EOFP": (0, 1 / 12), "BA": (nan, 1 / 15)}
    for name, values in expected.items():
        assert METRICS[name](E3) == pytest.approx(np.array([values]), nan_ok=True), name


# Strict definitions at the borders


def test_di_is_one_if_one_group_is_never_selected_and_undefined_if_none_is():
    case = cells([(0, 0, 5, 5), (0, 0, 5, 5)], [(1, 0, 4, 5), (0, 0, 5, 5)])
    assert METRICS["DI"](case)[0] == pytest.approx([1, np.nan], nan_ok=True)


def test_equal_odds_are_undefined_where_a_group_lacks_positives_or_negatives():
    case = cells([(3, 1, 6, 0), (4, 0, 0, 1)], [(0, 1, 9, 0), (5, 2, 2, 1)])
    assert np.isnan(METRICS["EOTP"](case)[0]).tolist() == [True, False]
    assert np.isnan(METRICS["EOFP"](case)[0]).tolist() == [False, True]
    assert np.isnan(METRICS["FPSF"](case)[0]).tolist() == [False, True]


def test_a_class_that_is_never_true_leaves_ba_undefined():
    assert np.isnan(METRICS["BA"](cells([(0, 2, 8, 0)], [(0, 3, 7, 0)]))).all()


@pytest.mark.parametrize("name", METRICS)
def test_an_empty_group_among_several_is_left_out(name):
    with_two = random_cells(5)
    empty = np.zeros((4, 1, 5), dtype=np.int64)
    parts = (np.concatenate([part[:, :1], empty, part[:, 1:]], axis=1) for part in vars(with_two).values())
    assert np.array_equal(METRICS[name](Cells(*parts)), METRICS[name](with_two))


@pytest.mark.parametrize("name", METRICS)
def test_fewer_than_two_groups_with_rows_leave_everything_undefined(name):
    one = random_cells(6)
    alone = Cells(*(part * np.array([1, 0])[:, None] for part in vars(one).values()))
    assert np.isnan(METRICS[name](alone)).all()
    nobody = Cells(*(part * 0 for part in vars(one).values()))
    assert np.isnan(METRICS[name](nobody)).all()


@pytest.mark.parametrize("name", METRICS)
def test_a_class_nobody_predicts_raises_no_warning_in_either_reading(name):
    counts = confusion(np.array([0, 1, 2, 0]), np.array([[0, 1, 1, 0]]), np.array([0, 0, 1, 1]), 4, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert METRICS[name](one_vs_rest(counts)).shape == (1, 4)
        assert np.isfinite(np.delete(PUBLISHED[name](one_vs_rest(counts)), 0)).all()


# Against fairlearn


def one_class(rows, run, klass):
    truth, prediction, protected = rows
    return {"y_true": truth == klass, "y_pred": prediction[run] == klass, "sensitive_features": protected}


@pytest.mark.parametrize("n_groups", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_fairlearn(n_groups, seed):
    rows = random_rows(np.random.default_rng(seed), n_rows=400, n_groups=n_groups)
    case = one_vs_rest(confusion(*rows, 5, n_groups))
    ours = {name: metric(case) for name, metric in METRICS.items()}
    for run, klass in np.ndindex(2, 5):
        data = one_class(rows, run, klass)
        expected = {
            "DP": demographic_parity_difference(**data),
            "DI": 1 - demographic_parity_ratio(**data),
            "EOFP": MetricFrame(metrics=false_positive_rate, **data).difference(),
            "EOTP": MetricFrame(metrics=true_positive_rate, **data).difference(),
        }
        assert {name: ours[name][run, klass] for name in expected} == pytest.approx(expected)


# Identities


@pytest.mark.parametrize("reading", [METRICS, PUBLISHED])
@pytest.mark.parametrize("seed", range(5))
def test_spsf_is_proportional_to_dp(reading, seed):
    c = random_cells(seed)
    first, second = c.size[:, 0], c.size[:, 1]
    assert reading["SPSF"](c) == pytest.approx(2 * first * second / (first + second) ** 2 * reading["DP"](c))


@pytest.mark.parametrize("seed", range(5))
def test_fpsf_is_the_weighted_gap_of_false_positive_rates(seed):
    c = random_cells(seed)
    (n0, n1), (r0, r1) = np.moveaxis(c.size, 1, 0), np.moveaxis(c.negatives, 1, 0)
    gap = METRICS["EOFP"](c)
    for reading in (METRICS, PUBLISHED):
        assert reading["FPSF"](c) == pytest.approx(2 * r0 * r1 / ((n0 + n1) * (r0 + r1)) * gap)


def paired_rows(rng, n_units=200, n_classes=5):
    truth, prediction, _ = random_rows(rng, n_rows=2 * n_units, n_classes=n_classes)
    prediction[:, :n_units] = np.where(rng.random((4, n_units)) < 0.2, 0, prediction[:, :n_units])
    return np.tile(truth[:n_units], 2), prediction, np.repeat([0, 1], n_units)


@pytest.mark.parametrize("reading", [METRICS, PUBLISHED])
def test_in_balanced_groups_ba_follows_from_di(reading):
    c = one_vs_rest(confusion(*paired_rows(np.random.default_rng(7)), 5, 2))
    di = reading["DI"](c)
    assert reading["BA"](c) == pytest.approx(di / (2 * (2 - di)))


@pytest.mark.parametrize("reading", [METRICS, PUBLISHED])
@pytest.mark.parametrize("seed", range(5))
def test_with_two_classes_equal_odds_swap_classes(reading, seed):
    c = random_cells(seed, n_classes=2)
    assert reading["DP"](c)[:, 0] == pytest.approx(reading["DP"](c)[:, 1])
    assert reading["EOFP"](c) == pytest.approx(reading["EOTP"](c)[:, ::-1])


def test_ba_of_many_groups_is_half_the_sum_of_shifted_shares():
    c = random_cells(8, n_groups=4)
    shift = c.selected / c.selected.sum(axis=1, keepdims=True) - c.positives / c.positives.sum(axis=1, keepdims=True)
    assert METRICS["BA"](c) == pytest.approx(np.abs(shift).sum(axis=1) / 2)


# Properties

tables = st.integers(0, 2**32 - 1).map(
    lambda seed: random_rows(np.random.default_rng(seed), n_rows=30, n_runs=2, n_classes=3, n_groups=3)
)


@settings(max_examples=60, deadline=None)
@given(tables)
@pytest.mark.parametrize("name", METRICS)
def test_strict_metrics_ignore_the_order_of_groups_and_rows(name, rows):
    truth, prediction, protected = rows
    value = METRICS[name](one_vs_rest(confusion(*rows, 3, 3)))
    swapped = METRICS[name](one_vs_rest(confusion(truth, prediction, (protected + 1) % 3, 3, 3)))
    assert swapped == pytest.approx(value, nan_ok=True, abs=1e-12)
    order = np.random.default_rng(0).permutation(len(truth))
    shuffled = confusion(truth[order], prediction[:, order], protected[order], 3, 3)
    assert np.array_equal(METRICS[name](one_vs_rest(shuffled)), value, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(tables)
@pytest.mark.parametrize("name", METRICS)
def test_strict_metrics_lie_between_zero_and_one(name, rows):
    values = METRICS[name](one_vs_rest(confusion(*rows, 3, 3)))
    defined = values[~np.isnan(values)]
    assert (defined >= 0).all() and (defined <= 1).all()


@pytest.mark.parametrize("name", METRICS)
def test_groups_treated_alike_have_no_bias(name):
    truth, prediction, _ = random_rows(np.random.default_rng(9))
    twice = confusion(np.tile(truth, 2), np.tile(prediction, 2), np.repeat([0, 1], len(truth)), 5, 2)
    assert METRICS[name](one_vs_rest(twice)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("reading", [METRICS, PUBLISHED])
@pytest.mark.parametrize("name", METRICS)
def test_each_run_is_computed_by_itself(reading, name):
    rows = random_rows(np.random.default_rng(10))
    together = reading[name](one_vs_rest(confusion(*rows, 5, 2)))
    alone = reading[name](one_vs_rest(confusion(rows[0], rows[1][2:3], rows[2], 5, 2)))
    assert np.array_equal(together[2:3], alone)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_reading_refuses_more_than_two_groups(name):
    with pytest.raises(ValueError, match="exactly two groups, not 3"):
        PUBLISHED[name](random_cells(n_groups=3))


def test_published_quirks_q4_q5_q6():
    lost = cells([(2, 1, 5, 2), (0, 0, 8, 2), (1, 1, 6, 2)], [(0, 0, 8, 2), (0, 0, 9, 1), (3, 1, 5, 1)])
    assert PUBLISHED["EOTP"](lost)[0, 0] == 0 and METRICS["EOTP"](lost)[0, 0] == 0.5
    assert PUBLISHED["EOFP"](lost)[0, 0] == 0 and METRICS["EOFP"](lost)[0, 0] == pytest.approx(1 / 6)
    assert PUBLISHED["DI"](lost)[0, 1] == 1 and np.isnan(METRICS["DI"](lost)[0, 1])
    strict = METRICS["BA"](lost)[0]
    assert PUBLISHED["BA"](lost)[0].tolist() == [strict[0], strict[2], 0]


# Overall and accuracy


def test_overall_is_the_mean_over_defined_classes():
    values = np.array([[0.1, 0.3, np.nan], [np.nan] * 3, [0.1, 0.2, 0.3]])
    mean, n_undefined = overall(values)
    assert mean == pytest.approx([0.2, np.nan, 0.2], nan_ok=True)
    assert n_undefined.tolist() == [1, 3, 0]


def test_published_overall_is_the_plain_mean():
    values = PUBLISHED["BA"](random_cells())
    assert np.array_equal(overall(values, "published")[0], values.mean(axis=1))
    assert np.isnan(overall(np.array([[0.1, np.nan]]), "published")[0]).all()


def test_accuracy_is_the_share_of_right_rows():
    truth, prediction, protected = random_rows(np.random.default_rng(11))
    counts = confusion(truth, prediction, protected, 5, 3)
    right = prediction == truth
    assert bias_metrics.accuracy(counts) == pytest.approx(right.mean(axis=1))
    by_group = bias_metrics.group_accuracy(counts)
    assert by_group[:, 0] == pytest.approx(right[:, protected == 0].mean(axis=1))
    assert np.isnan(by_group[:, 2]).all()


def test_multilabel_accuracy_is_the_share_of_right_cells():
    rng = np.random.default_rng(12)
    truth, prediction, protected = rng.integers(0, 2, (40, 4)), rng.integers(0, 2, (2, 40, 4)), np.arange(40) % 2
    counts = label_counts(truth, prediction, protected, 2)
    right = prediction == truth
    assert bias_metrics.accuracy(counts, multilabel=True) == pytest.approx(right.mean(axis=(1, 2)))
    expected = right[:, protected == 1].mean(axis=(1, 2))
    assert bias_metrics.group_accuracy(counts, multilabel=True)[:, 1] == pytest.approx(expected)


# Imports


def test_importing_metrics_loads_neither_pandas_nor_file_readers():
    code = "import sys, fitlib.metrics.bias_metrics, fitlib.metrics.long_tables; "
    code += "assert not {'pandas', 'pyarrow', 'torch'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
