"""The baseline: no mitigation."""

from __future__ import annotations

from torch import Tensor

from fitlib.techniques import Batch, Method, classification_loss, most_likely


def argmax(scores: Tensor, protected: Tensor) -> Tensor:
    """Class with the largest logit."""
    return most_likely(scores)


class Baseline(Method):
    """Cross entropy on the training set as it is: L = mean CE(z(x), y); decision argmax z."""

    rules = {"argmax": argmax}

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross entropy of the batch."""
        return classification_loss(self.scores(batch.x), batch.y)
