"""Uniform confusion: a domain head predicts the group from the features, and these learn to leave it undecided."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fitlib.experiment.registry.methods import UniformConfusionOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, NetworkFactory, Problem, classification_loss, make_optimizer
from fitlib.training.methods.baseline import Baseline


class UniformConfusion(Method):
    """Features F with class head C, and a domain head D on F(x); epochs e = 0, 1, … alternate between the two.

    e mod ratio = 0: step F and C on  CE(C(F(x)), y) + alpha U,  U = mean of -(1/G) Σ_d log softmax(D(F(x)))_d,
    the cross entropy of D's output with the uniform distribution over the G groups; D is unchanged.
    Otherwise: step D alone on  CE(D(F(x)), d).  F is always in training mode, so its batch statistics move.

    The study (S-UC) has separate optimisers for F and C; they step together, and SGD, Adam and RAdam update every
    weight independently, so one optimiser for both is the same.
    Reference: Wang et al., CVPR 2020, after Tzeng et al., ICCV 2015.
    """

    options: UniformConfusionOptions
    rules = Baseline.rules
    model: nn.ModuleDict

    def __init__(
        self, problem: Problem, make_network: NetworkFactory, training: Training, options: UniformConfusionOptions
    ):
        super().__init__(problem, make_network, training, options)
        head = nn.Linear(self.network.n_features, problem.n_groups)
        self.model = nn.ModuleDict({"network": self.network, "domain_head": head})

    def start_stage(self, stage: int) -> None:
        """Create new optimisers: one for features and class head, one for the domain head."""
        super().start_stage(stage)
        self.optimizer = make_optimizer(self.network.parameters(), self.stage_training)
        self.domain_optimizer = make_optimizer(self.model["domain_head"].parameters(), self.stage_training)

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of both optimisers, and which of the two steps in this epoch."""
        super().start_epoch(epoch)
        for group in self.domain_optimizer.param_groups:
            group["lr"] = self.stage_training.rate(epoch)
        self.confuses = epoch % self.options.ratio == 0

    def update(self, batch: Batch) -> Tensor:
        """Take one step on this epoch's loss; returns the loss."""
        optimizer = self.optimizer if self.confuses else self.domain_optimizer
        self.model.zero_grad(set_to_none=True)
        loss = self.loss(batch) if self.confuses else self.domain_loss(batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def loss(self, batch: Batch) -> Tensor:
        """Return the classification loss plus alpha times the confusion U."""
        features = self.network.features(batch.x)
        confusion = -self.model["domain_head"](features).log_softmax(dim=1).mean()
        return classification_loss(self.network.head(features), batch.y) + self.options.alpha * confusion

    def domain_loss(self, batch: Batch) -> Tensor:
        """Return the cross entropy of the domain head; its gradient does not reach the features."""
        with torch.no_grad():
            features = self.network.features(batch.x)
        return nn.functional.cross_entropy(self.model["domain_head"](features), batch.protected)
