"""The baseline: no mitigation."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from fitlib.datasets.dataset import Split
from fitlib.experiment.training_options import Training
from fitlib.techniques import Batch, Method, Problem, at_least_half, classification_loss, most_likely
from fitlib.techniques.class_weights import class_weights, weighted_loss


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
    `study`, see `fitlib.techniques.class_weights`.
    """

    rules = {"argmax": argmax, "threshold": threshold}

    def __init__(
        self,
        problem: Problem,
        make_network: Callable[[int], nn.Module],
        training: Training,
        class_weights: str = "none",
    ):
        super().__init__(problem, make_network, training)
        self.class_weights = class_weights
        self.weights: Tensor | None = None

    def prepare(self, train: Split) -> None:
        """Count the classes, where they are weighted."""
        if self.class_weights != "none":
            y = train.y[self.training_rows(train)]
            self.weights = class_weights(y, self.problem.n_classes, self.class_weights)

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross entropy of the batch."""
        return self.task_loss(self.scores(batch.x), batch.y)

    def task_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Cross entropy, weighted by class where that is asked for."""
        if self.weights is None:
            return classification_loss(logits, y)
        return weighted_loss(logits, y, self.weights)
