"""The baseline: no mitigation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fitlib.datasets.dataset import Split
from fitlib.experiment.registry.methods import BaselineOptions, MapAdversaryOptions, RatioBalancedOptions
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, at_least_half, classification_loss, most_likely

STUDY_EPSILON = 1e-15  # the study's guard against division by zero; it gives an absent class the weight 1e15 n


def argmax(scores: Tensor, protected: Tensor) -> Tensor:
    """Return the class with the largest logit."""
    return most_likely(scores)


def threshold(scores: Tensor, protected: Tensor) -> Tensor:
    """Return, for multi-label problems, every label with a probability of at least 1/2."""
    return at_least_half(scores)


class Baseline(Method):
    """Cross entropy on the unchanged training set: L = mean CE(z(x), y); decision argmax z.

    Multi-label: binary cross entropy, mean over rows and labels; decision sigmoid(z) >= 1/2. For imbalanced classes
    the option `class_weights` (`clamped` or `study`) multiplies each term by its class's weight, computed from the
    training rows in use by the function `class_weights`.
    """

    options: BaselineOptions | MapAdversaryOptions | RatioBalancedOptions  # of the methods that can weight classes
    rules = {"argmax": argmax, "threshold": threshold}
    weights: Tensor | None = None  # of the classes, set by `prepare`

    def prepare(self, train: Split) -> None:
        """Compute the class weights, if classes are weighted."""
        if self.options.class_weights != "none":
            y = train.y[self.training_rows(train)]
            self.weights = class_weights(y, self.problem.n_classes, self.options.class_weights)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy of the batch."""
        return self.task_loss(self.scores(batch.x), batch.y)

    def task_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the cross entropy, weighted by class if declared."""
        if self.weights is None:
            return classification_loss(logits, y)
        return weighted_loss(logits, y, self.weights)


def class_weights(y: np.ndarray, n_classes: int, kind: str) -> Tensor:
    """Return weights (n_classes,) from training targets y: class numbers (n,) or 0/1 labels (n, labels).

    w_k = (samples without k) / (samples with k). Kind `clamped` counts at least 1 of either, so that a class with no
    samples, or with all of them, gets a finite and positive weight; `study` divides by the count itself (plus 1e-15): a
    class without samples gets a weight of about 1e15 n, which drowns all others.

    >>> class_weights(np.array([0, 0, 0, 1]), n_classes=3, kind="clamped").tolist()
    [0.3333333432674408, 3.0, 4.0]
    """
    having = y.sum(axis=0) if y.ndim == 2 else np.bincount(y, minlength=n_classes)
    having, lacking = having.astype(np.float64), (len(y) - having).astype(np.float64)
    if kind == "clamped":
        return torch.from_numpy(np.maximum(lacking, 1) / np.maximum(having, 1)).float()
    return torch.from_numpy(lacking / (having + STUDY_EPSILON)).float()


def weighted_loss(logits: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Return the class-weighted loss.

    Class numbers y (n,): Σ_i w[y_i] CE(z_i, y_i) / Σ_i w[y_i]. Labels y (n, labels): the mean of w_k BCE(z_k, y_k) over
    rows and labels, positives and negatives alike.
    """
    if y.dim() == 1:
        return nn.functional.cross_entropy(logits, y, weights)
    return nn.functional.binary_cross_entropy_with_logits(logits, y.to(logits.dtype), weights)
