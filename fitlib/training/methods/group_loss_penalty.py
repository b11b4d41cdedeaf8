"""Group-loss penalty: add the squared gap between two groups' losses on the favourable class to the loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fitlib.errors import InputError
from fitlib.experiment.registry.methods import GroupLossPenaltyOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, NetworkFactory, Problem
from fitlib.training.methods.baseline import argmax


class GroupLossPenalty(Method):
    """L + (eta_e / 2) (L_0 - L_1)^2, with eta_e = eta · growth^e in epochs e = 1, 2, ….

    L is the mean cross entropy of the batch, L_s its mean over the samples of class `positive` in group s, so L_0 - L_1
    is a proxy for a difference in equality of opportunity. The penalty is 0 for a batch in which one group has no such
    sample.  Reference: the L2 penalty in Lokhande et al., ECCV 2020 (FairALM); A-L2.
    """

    options: GroupLossPenaltyOptions
    rules = {"argmax": argmax}
    multilabel = False

    def __init__(
        self, problem: Problem, make_network: NetworkFactory, training: Training, options: GroupLossPenaltyOptions
    ):
        check_two_groups(problem, "group-loss-penalty", options.positive)
        super().__init__(problem, make_network, training, options)
        self.eta = options.eta

    def start_epoch(self, epoch: int) -> None:
        """Raise the weight of the penalty."""
        super().start_epoch(epoch)
        self.eta *= self.options.growth

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy plus the penalty."""
        loss, group_0, group_1 = group_losses(self.scores(batch.x), batch, self.options.positive)
        return loss + self.eta / 2 * (group_0 - group_1) ** 2


def group_losses(logits: Tensor, batch: Batch, positive: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return L, L_0, L_1: mean cross entropy of all samples, and of class `positive` in group 0 and in group 1.

    L_0 = L_1 = 0, without a gradient, if either group has no such sample.
    """
    losses = nn.functional.cross_entropy(logits, batch.y, reduction="none")
    members = torch.stack([(batch.y == positive) & (batch.protected == group) for group in (0, 1)])
    sizes = members.sum(dim=1)
    # Masked sums rather than indexing: shapes do not depend on the data, so nothing waits for the device.
    share = members / sizes.clamp(min=1)[:, None] * (sizes > 0).all()
    group_0, group_1 = (share * losses).sum(dim=1)
    return losses.mean(), group_0, group_1


def check_two_groups(problem: Problem, method: str, positive: int) -> None:
    """Raise InputError unless there are two groups and the favourable class is one of the classes."""
    if problem.n_groups != 2:
        remedy = "choose a protected attribute with two groups, or another method"
        raise InputError("techniques", "method", method, f"two groups are needed, not {problem.n_groups}", remedy)
    if not 0 <= positive < problem.n_classes:
        remedy = f"give a class number from 0 to {problem.n_classes - 1}"
        raise InputError("techniques", f"{method}.positive", positive, "there is no such class", remedy)
