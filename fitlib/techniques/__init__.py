"""Methods: training algorithms behind three verbs, `__init__`, `update`, `scores`, and named inference rules.

A method that only changes the training set, the loss or the decision overrides just that (`training_rows`, `loss`,
`rules`); one with several optimisers or alternating steps overrides `update`. What all share (the loop, batches,
noise, digests) is in `fitlib.train`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fitlib.datasets import Split
from fitlib.options import Training


@dataclass(frozen=True)
class Batch:
    """Samples of one step on the device: x (n, …), y (n,) or (n, labels), protected (n,)."""

    x: Tensor
    y: Tensor
    protected: Tensor

    def take(self, rows: Tensor) -> Batch:
        """The given samples, in the given order."""
        return Batch(self.x[rows], self.y[rows], self.protected[rows])


@dataclass(frozen=True)
class Problem:
    """What is to be learnt: number of classes (labels if multi-label) and of protected groups."""

    n_classes: int
    n_groups: int
    multilabel: bool = False


Rule = Callable[[Tensor, Tensor], Tensor]  # (scores (n, …), protected (n,)) -> predictions (n,) or (n, labels)


class Method:
    """Base of all methods: one network, one optimiser, one step a batch on `loss`."""

    rules: dict[str, Rule]

    def __init__(self, problem: Problem, make_network: Callable[[int], nn.Module], training: Training):
        self.problem, self.training = problem, training
        self.model = make_network(self.n_outputs())
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=training.learning_rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
        )

    def n_outputs(self) -> int:
        """Number of logits that the network has to give."""
        return self.problem.n_classes

    def training_rows(self, train: Split) -> np.ndarray:
        """Rows of the training part that make one epoch (repeats allowed); all of them by default."""
        return np.arange(len(train))

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of this epoch (from 0): rate · factor^floor(epoch / decay_epochs)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.rate(epoch)

    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss of one batch."""
        raise NotImplementedError

    def update(self, batch: Batch) -> Tensor:
        """One training step; returns the detached loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def scores(self, x: Tensor) -> Tensor:
        """What the inference rules decide on, by default the logits (n, n_outputs)."""
        return self.model(x)

    def decide(self, rule: str, scores: Tensor, protected: Tensor) -> Tensor:
        """Predictions of the named inference rule."""
        return self.rules[rule](scores, protected)


def classification_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Cross entropy for class numbers y (n,), binary cross entropy for 0/1 labels y (n, labels); mean over all."""
    if y.dim() == 1:
        return nn.functional.cross_entropy(logits, y)
    return nn.functional.binary_cross_entropy_with_logits(logits, y.to(logits.dtype))


def most_likely(scores: Tensor) -> Tensor:
    """Class with the largest score (n,)."""
    return scores.argmax(dim=1)
