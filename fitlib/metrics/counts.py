"""Counts of predictions by run and group, from which every metric is computed.

`confusion` counts (run, group, true, predicted), `label_counts` (run, group, label, tp/fp/fn/tn). `one_vs_rest` and
`from_labels` turn both into `Cells`: each class, or label, against the rest. `votes` counts over the runs instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

Counts = NDArray[np.int64]


# Rows by run and group


def count(predictions: Predictions, attribute: str) -> Counts:
    """Count stacked predictions for one protected attribute: `confusion`, or `label_counts` of multi-label ones."""
    p, n_groups = predictions, predictions.n_groups[attribute]
    if p.multilabel:
        return label_counts(p.ground_truth, p.prediction, p.protected[attribute], n_groups)
    return confusion(p.ground_truth, p.prediction, p.protected[attribute], p.n_classes, n_groups)


def confusion(ground_truth: Counts, prediction: Counts, protected: Counts, n_classes: int, n_groups: int) -> Counts:
    """Count rows by run, group, true class and predicted class.

    ground_truth, protected (rows,); prediction (runs, rows). Returns (runs, n_groups, n_classes, n_classes).
    Raises ValueError if a class or a group is outside its range.

    >>> truth, group = np.array([0, 1, 1]), np.array([0, 0, 1])
    >>> confusion(truth, np.array([[0, 0, 1]]), group, n_classes=2, n_groups=2).tolist()
    [[[[1, 0], [1, 0]], [[0, 0], [0, 1]]]]
    """
    _check_range("class", ground_truth, n_classes)
    _check_range("class", prediction, n_classes)
    _check_range("group", protected, n_groups)
    block = n_groups * n_classes**2
    cell = (protected * n_classes + ground_truth) * n_classes
    # One flat index and one bincount for all runs: 2-D histograms or np.add.at are an order of magnitude slower.
    index = np.arange(len(prediction))[:, None] * block + cell + prediction
    counts = np.bincount(index.ravel(), minlength=len(prediction) * block)
    return counts.reshape(len(prediction), n_groups, n_classes, n_classes)


def label_counts(ground_truth: Counts, prediction: Counts, protected: Counts, n_groups: int) -> Counts:
    """Count true positives, false positives, false negatives and true negatives by run, group and label.

    ground_truth (rows, labels) and prediction (runs, rows, labels) hold 0/1. Returns (runs, n_groups, labels, 4).
    Raises ValueError if an entry is neither 0 nor 1 or a group is outside its range.
    """
    _check_range("label", ground_truth, 2)
    _check_range("label", prediction, 2)
    _check_range("group", protected, n_groups)
    members = [protected == group for group in range(n_groups)]
    return np.stack([_label_cells(ground_truth[rows], prediction[:, rows]) for rows in members], axis=1)


def _label_cells(truth: Counts, prediction: Counts) -> Counts:
    tp = (prediction & truth).sum(axis=1, dtype=np.int64)
    fp = prediction.sum(axis=1, dtype=np.int64) - tp
    fn = truth.sum(axis=0, dtype=np.int64) - tp
    return np.stack([tp, fp, fn, len(truth) - tp - fp - fn], axis=-1)


def _check_range(what: str, values: Counts, n: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= n):
        raise ValueError(f"{what} outside 0..{n - 1}: values run from {values.min()} to {values.max()}")


def unit_numbers(predictions: Predictions) -> NDArray:
    """Return the test unit of each row, numbered from 0; without a column `unit` every row is a unit of its own."""
    if predictions.unit is None:
        return np.arange(len(predictions.idx))
    return np.unique(predictions.unit, return_inverse=True)[1]


# Cells


@dataclass(frozen=True)
class Cells:
    """Each class against the rest: true/false positives and negatives, each int64 (runs, groups, classes)."""

    tp: Counts
    fp: Counts
    fn: Counts
    tn: Counts

    @cached_property
    def selected(self) -> Counts:
        """The number of rows predicted as the class, q."""
        return self.tp + self.fp

    @cached_property
    def positives(self) -> Counts:
        """The number of rows truly of the class, p."""
        return self.tp + self.fn

    @cached_property
    def negatives(self) -> Counts:
        """The number of rows truly of another class, r."""
        return self.fp + self.tn

    @cached_property
    def size(self) -> Counts:
        """The number of rows of the group, n (the same for every class)."""
        return self.tp + self.fp + self.fn + self.tn


def cells_of(counts: Counts, multilabel: bool = False) -> Cells:
    """Return the cells of `confusion` counts, or (multilabel) of `label_counts`."""
    return from_labels(counts) if multilabel else one_vs_rest(counts)


def one_vs_rest(counts: Counts) -> Cells:
    """Return the cells of each class against all others, from `confusion` counts (runs, groups, true, predicted).

    >>> cells = one_vs_rest(np.array([[[[5, 1], [2, 4]]]]))  # one run, one group, two classes
    >>> cells.tp.tolist(), cells.fp.tolist(), cells.selected.tolist()
    ([[[5, 4]]], [[[2, 1]]], [[[7, 5]]])
    """
    tp = np.diagonal(counts, axis1=2, axis2=3).copy()
    fp = counts.sum(axis=2) - tp
    fn = counts.sum(axis=3) - tp
    return Cells(tp, fp, fn, counts.sum(axis=(2, 3))[..., None] - tp - fp - fn)


def from_labels(counts: Counts) -> Cells:
    """Return the cells of each label, from `label_counts` (runs, groups, labels, tp/fp/fn/tn)."""
    return Cells(*np.moveaxis(counts, -1, 0).copy())


# Votes


def votes(prediction: Counts, n_classes: int) -> tuple[Counts, Counts, Counts]:
    """Count the runs that predict each class for each row of prediction (runs, rows).

    Returns three arrays (row, class, votes), ordered by row and class, without zero votes.

    >>> [x.tolist() for x in votes(np.array([[0, 1], [0, 0], [0, 1]]), n_classes=2)]
    [[0, 1, 1], [0, 0, 1], [3, 1, 2]]
    """
    n_rows = prediction.shape[1]
    index = np.arange(n_rows) * n_classes + prediction
    table = np.bincount(index.ravel(), minlength=n_rows * n_classes).reshape(n_rows, n_classes)
    row, klass = np.nonzero(table)
    return row, klass, table[row, klass]


def label_votes(prediction: Counts) -> tuple[Counts, Counts, Counts]:
    """Count the runs that predict 1 for each row and label of prediction (runs, rows, labels).

    Returns three arrays (row, label, votes), ordered by row and label. Zero votes are kept: unlike a row of `votes`,
    a cell that no run predicts would otherwise vanish.
    """
    table = prediction.sum(axis=0, dtype=np.int64)
    row, label = np.indices(table.shape).reshape(2, -1)
    return row, label, table.ravel()
