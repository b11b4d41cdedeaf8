import numpy as np
import pytest

from fitlib.metrics.counts import confusion, from_labels, label_counts, label_votes, one_vs_rest, votes
from tests.support.count_examples import random_cells, random_rows

# Counts


def test_confusion_counts_rows_one_by_one():
    truth, prediction, protected = random_rows(np.random.default_rng(1), n_rows=60, n_groups=3)
    expected = np.zeros((4, 3, 5, 5), dtype=int)
    for run, row in np.ndindex(prediction.shape):
        expected[run, protected[row], truth[row], prediction[run, row]] += 1
    counts = confusion(truth, prediction, protected, 5, 3)
    assert counts.dtype == np.int64
    assert np.array_equal(counts, expected)


def test_label_counts_count_cells_one_by_one():
    rng = np.random.default_rng(2)
    truth, prediction, protected = rng.integers(0, 2, (40, 3)), rng.integers(0, 2, (2, 40, 3)), rng.integers(0, 2, 40)
    expected = np.zeros((2, 2, 3, 4), dtype=int)
    kind = {(1, 1): 0, (0, 1): 1, (1, 0): 2, (0, 0): 3}
    for run, row, label in np.ndindex(prediction.shape):
        expected[run, protected[row], label, kind[truth[row, label], prediction[run, row, label]]] += 1
    assert np.array_equal(label_counts(truth.astype(np.int8), prediction.astype(np.int8), protected, 2), expected)


def test_labels_of_one_hot_classes_give_the_same_cells():
    truth, prediction, protected = random_rows(np.random.default_rng(3))
    multi = one_vs_rest(confusion(truth, prediction, protected, 5, 2))
    one_hot = np.eye(5, dtype=int)
    labels = from_labels(label_counts(one_hot[truth], one_hot[prediction], protected, 2))
    for name in ("tp", "fp", "fn", "tn"):
        assert np.array_equal(getattr(multi, name), getattr(labels, name))


@pytest.mark.parametrize("truth, prediction, protected", [([0, 3], [[0, 1]], [0, 1]), ([0, 1], [[0, -1]], [0, 1]),
                                                          ([0, 1], [[0, 1]], [0, 2])])  # fmt: skip
def test_counting_refuses_values_out_of_range(truth, prediction, protected):
    with pytest.raises(ValueError, match="outside 0"):
        confusion(np.array(truth), np.array(prediction), np.array(protected), 3, 2)


def test_cells_add_up():
    c = random_cells(n_groups=3)
    assert np.array_equal(c.selected + c.fn + c.tn, c.size)
    assert np.array_equal(c.positives + c.negatives, c.size)


# Votes


def test_votes_count_runs_per_row_and_class():
    row, klass, number = votes(np.array([[0, 2], [0, 1], [0, 2]]), 3)
    assert list(zip(row, klass, number, strict=True)) == [(0, 0, 3), (1, 1, 1), (1, 2, 2)]


def test_label_votes_keep_cells_that_no_run_predicts():
    row, label, number = label_votes(np.array([[[0, 1]], [[0, 1]]], dtype=np.int8))
    assert list(zip(row, label, number, strict=True)) == [(0, 0, 0), (0, 1, 2)]
