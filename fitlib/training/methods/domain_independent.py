"""Domain-independent training: one network with a classifier for each protected group."""

from __future__ import annotations

import torch
from torch import Tensor

from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, classification_loss, most_likely


def conditional(scores: Tensor, protected: Tensor) -> Tensor:
    """Return the argmax of the logits of the sample's own group (S-DI1); scores (n, groups, classes)."""
    return most_likely(own_group(scores, protected))


def summed(scores: Tensor, protected: Tensor) -> Tensor:
    """Return the argmax over classes of the sum of the groups' raw logits (S-DI2)."""
    return most_likely(scores.sum(dim=1))


class DomainIndependent(Method):
    """L = mean CE(z_d(x), y), z_d the logits of the sample's own group d; other groups' logits get no gradient.

    The rule `conditional` needs the protected attribute for predictions, `sum` for training only.
    Reference: Wang et al., CVPR 2020, domain-independent training.
    """

    multilabel = False
    rules = {"conditional": conditional, "sum": summed}

    def n_outputs(self) -> int:
        """Return the number of pairs of group and class: one logit each."""
        return self.problem.n_groups * self.problem.n_classes

    def scores(self, x: Tensor) -> Tensor:
        """Return the logits (n, groups, classes)."""
        return self.model(x).reshape(len(x), self.problem.n_groups, self.problem.n_classes)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy of each sample under its own group's classifier."""
        return classification_loss(own_group(self.scores(batch.x), batch.protected), batch.y)


def own_group(scores: Tensor, protected: Tensor) -> Tensor:
    """Return the logits (n, classes) of each sample's own group."""
    return scores[torch.arange(len(scores), device=scores.device), protected]
