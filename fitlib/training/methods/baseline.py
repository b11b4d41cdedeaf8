"""The baseline: no mitigation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fitlib.datasets.dataset import Split
from fitlib.experiment.registry.methods import BaselineOptions, MapAdversaryOptions, RatioBalancedOptions
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, at_least_half, classification_loss, most_likely


def argmax(scores: Tensor, protected: Tensor) -> Tensor:
    """Class with the largest logit."""
    return most_likely(scores)


def threshold(scores: Tensor, protected: Tensor) -> Tensor:
    """Multi-label: every label with a probability of at least 1/2."""
    return at_least_half(scores)


class Baseline(Method):
    """Cross entropy on the training set as it is: L = mean CE(z(x), y); decision argmax z.

    Multi-label: binary cross entropy, mean over rows and labels; decision sigmoid(z) >= 1/2. For imbalanced classes
    `class_weights` multiplies each term by its class's weight, counted on the training rows in use: `clamped` or
    `study`, see `fitlib.training.methods.baseline`.
    """

    options: BaselineOptions | MapAdversaryOptions | RatioBalancedOptions  # all that can weight classes
    rules = {"argmax": argmax, "threshold": threshold}
    weights: Tensor | None = None  # of the classes, once `prepare` has counted them

    def prepare(self, train: Split) -> None:
        """Count the classes, where they are weighted."""
        if self.options.class_weights != "none":
            y = train.y[self.training_rows(train)]
            self.weights = class_weights(y, self.problem.n_classes, self.options.class_weights)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross entropy of the batch."""
        return self.task_loss(self.scores(batch.x), batch.y)

    def task_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Cross entropy, weighted by class where that is asked for."""
        if self.weights is None:
            return classification_loss(logits, y)
        return weighted_loss(logits, y, self.weights)


STUDY_EPSILON = 1e-15  # the study's guard against division by zero; it makes an absent class's weight 1e15 n


def class_weights(y: np.ndarray, n_classes: int, kind: str) -> Tensor:
    """Weights (n_classes,) from training targets y: class numbers (n,) or 0/1 labels (n, labels).

    w_k = (samples without k) / (samples with k). Kind `clamped` takes both counts as at least 1, so that a class
    which nobody has, or everybody, gets a finite and positive weight; `study` divides by the count itself (plus
    1e-15): a class without samples gets a weight of about 1e15 n, which drowns all others.
    """
    having = y.sum(axis=0) if y.ndim == 2 else np.bincount(y, minlength=n_classes)
    having, lacking = having.astype(np.float64), (len(y) - having).astype(np.float64)
    if kind == "clamped":
        return torch.from_numpy(np.maximum(lacking, 1) / np.maximum(having, 1)).float()
    return torch.from_numpy(lacking / (having + STUDY_EPSILON)).float()


def weighted_loss(logits: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Multi-label y (n, labels): mean over all of w_k BCE(z_k, y_k), positives and negatives alike.

    Class numbers y (n,): Σ_i w[y_i] CE(z_i, y_i) / Σ_i w[y_i].
    """
    if y.dim() == 1:
        return nn.functional.cross_entropy(logits, y, weights)
    return nn.functional.binary_cross_entropy_with_logits(logits, y.to(logits.dtype), weights)
