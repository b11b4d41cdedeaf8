"""FairALM: an augmented Lagrangian for equal losses of two groups on the favourable class."""

from __future__ import annotations

import torch
from torch import Tensor

from fitlib.experiment.registry.methods import FairALMOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, NetworkFactory, Problem
from fitlib.training.methods.baseline import argmax
from fitlib.training.methods.group_loss_penalty import check_two_groups, group_losses


class FairALM(Method):
    """The FairALM method: primal steps on an augmented Lagrangian, then one step of its two dual variables.

    For every batch, `inner_steps` steps on the same samples, each with its own forward pass, on
        L + (eta_e/4 + (lam0 - lam1)/2) L_0 + (eta_e/4 + (lam1 - lam0)/2) L_1,
    then one update of the duals (lam0, lam1) by the gap D = L_0 - L_1 of the last pass:
        `simultaneous`   lam0 <- (lam0 - lam1)/2 + eta_e D/2   and   lam1 <- (lam1 - lam0)/2 - eta_e D/2;
        `study`          one after the other: lam1 uses the new lam0 and moves 1.5 times as far.
    L and L_s are those of `group-loss-penalty`; eta_e = eta · growth^e in epoch e = 1, 2, …; the duals start at 0 and
    are kept across batches and epochs. With duals far apart the weight of one L_s can be negative. A batch in which
    one group has no sample of class `positive` trains on L alone and leaves the duals unchanged.

    Reference: Lokhande et al., ECCV 2020, as `simultaneous`; the study's A-ALM is `study`.
    """

    options: FairALMOptions
    rules = {"argmax": argmax}
    multilabel = False

    def __init__(self, problem: Problem, make_network: NetworkFactory, training: Training, options: FairALMOptions):
        check_two_groups(problem, "fair-alm", options.positive)
        super().__init__(problem, make_network, training, options)
        self.eta = options.eta
        self.move_duals = {"simultaneous": simultaneous, "study": sequential}[options.duals]
        self.duals = torch.zeros(2)

    def start_epoch(self, epoch: int) -> None:
        """Raise eta."""
        super().start_epoch(epoch)
        self.eta *= self.options.growth

    def loss(self, batch: Batch) -> Tensor:
        """Return the augmented Lagrangian; keeps the gap for the step of the duals."""
        loss, group_0, group_1 = group_losses(self.scores(batch.x), batch, self.options.positive)
        self.gap = (group_0 - group_1).detach()
        half = (self.duals[0] - self.duals[1]) / 2
        return loss + (self.eta / 4 + half) * group_0 + (self.eta / 4 - half) * group_1

    def update(self, batch: Batch) -> Tensor:
        """Take all inner steps, then update the duals; returns the last step's loss."""
        for _ in range(self.options.inner_steps):
            loss = super().update(batch)
        moved = self.move_duals(self.duals, self.eta, self.gap)
        self.duals = torch.where(self.both_groups(batch), moved, self.duals)
        return loss

    def both_groups(self, batch: Batch) -> Tensor:
        """Return whether each group has a sample of the favourable class; a tensor, to avoid waiting for the device."""
        present = [((batch.y == self.options.positive) & (batch.protected == group)).any() for group in (0, 1)]
        return present[0] & present[1]


def simultaneous(duals: Tensor, eta: float, gap: Tensor) -> Tensor:
    """Return both duals (2,), each computed from the old values."""
    lam0, lam1 = duals
    return torch.stack([(lam0 - lam1) / 2 + eta * gap / 2, (lam1 - lam0) / 2 - eta * gap / 2])


def sequential(duals: Tensor, eta: float, gap: Tensor) -> Tensor:
    """Return both duals (2,), the second computed from the first one's new value, as in the study."""
    lam0, lam1 = duals
    lam0 = (lam0 - lam1) / 2 + eta * gap / 2
    return torch.stack([lam0, (lam1 - lam0) / 2 - eta * gap / 2])
