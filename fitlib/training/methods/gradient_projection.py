"""Gradient projection: remove from the class gradient its part along the domain gradient, and reverse the latter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from fitlib.experiment.registry.methods import GradientProjectionOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, NetworkFactory, Problem, classification_loss, make_optimizer
from fitlib.training.methods.baseline import Baseline

SMALLEST_NORM = 1e-5  # of a domain gradient used for projection; the study's value


class GradientProjection(Method):
    """A network M and a linear domain head D on its class logits; D steps on CE(D(M(x)), d) in every batch.

    In epochs e = 0, 1, … with e mod ratio = 0, M steps too. For each parameter tensor separately, with g_c the
    gradient of the classification loss and g_d that of the domain loss:
        g = g_c - alpha g_d - (<g_c, g_d> / |g_d|^2) g_d,   the last term only where |g_d| > 1e-5.

    `order`: `both-first` computes both gradients before any step. `study` is S-GR to the letter: D steps first, and g_d
    then passes through D's new weights, while the error at D's output is still that of the old ones. PyTorch 1.5 and
    later refuse to run that code (a tensor needed for the gradient was modified in place), so the gradient is computed
    explicitly.
    Reference: Zhang, Lemoine & Mitchell, AIES 2018, as used by Wang et al., CVPR 2020.
    """

    options: GradientProjectionOptions
    rules = Baseline.rules
    model: nn.ModuleDict

    def __init__(
        self, problem: Problem, make_network: NetworkFactory, training: Training, options: GradientProjectionOptions
    ):
        super().__init__(problem, make_network, training, options)
        head = nn.Linear(problem.n_classes, problem.n_groups)
        self.model = nn.ModuleDict({"network": self.network, "domain_head": head})

    def start_stage(self, stage: int) -> None:
        """Create new optimisers: one for the network, one for the domain head."""
        super().start_stage(stage)
        self.optimizer = make_optimizer(self.network.parameters(), self.stage_training)
        self.domain_optimizer = make_optimizer(self.model["domain_head"].parameters(), self.stage_training)

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of both optimisers, and whether the network steps in this epoch."""
        super().start_epoch(epoch)
        for group in self.domain_optimizer.param_groups:
            group["lr"] = self.stage_training.rate(epoch)
        self.projects = epoch % self.options.ratio == 0

    def update(self, batch: Batch) -> Tensor:
        """Step the domain head and, in its epochs, the network; returns the classification loss."""
        with torch.set_grad_enabled(self.projects):
            logits = self.scores(batch.x)
            loss = classification_loss(logits, batch.y)
        domain_loss, error = self.domain_error(logits.detach(), batch.protected)
        head = cast(nn.Linear, self.model["domain_head"])
        before = head.weight.detach().clone()
        head.zero_grad(set_to_none=True)
        domain_loss.backward()
        self.domain_optimizer.step()
        if self.projects:
            through = head.weight.detach() if self.options.order == "study" else before
            self.step_network(loss, logits, error @ through)
        return loss.detach()

    def domain_error(self, logits: Tensor, protected: Tensor) -> tuple[Tensor, Tensor]:
        """Return the domain loss and its gradient (n, groups) at the domain head's output: (softmax - one-hot) / n."""
        output = self.model["domain_head"](logits)
        targets = nn.functional.one_hot(protected, self.problem.n_groups)
        error = (output.detach().softmax(dim=1) - targets) / len(protected)
        return nn.functional.cross_entropy(output, protected), error

    def step_network(self, loss: Tensor, logits: Tensor, domain_signal: Tensor) -> None:
        """Take a step with the projected gradients; `domain_signal` is the domain loss's gradient at the logits."""
        weights = [p for p in self.network.parameters() if p.requires_grad]
        by_class = torch.autograd.grad(loss, weights, retain_graph=True)
        by_domain = torch.autograd.grad(logits, weights, domain_signal)
        for weight, gradient in zip(weights, project_gradients(by_class, by_domain, self.options.alpha), strict=True):
            weight.grad = gradient
        self.optimizer.step()


def project_gradients(by_class: Iterable[Tensor], by_domain: Iterable[Tensor], alpha: float) -> list[Tensor]:
    """Return g_c - alpha g_d - (<g_c, g_d> / |g_d|^2) g_d for each pair of tensors; no projection if |g_d| <= 1e-5.

    >>> project_gradients([torch.tensor([1.0, 1.0])], [torch.tensor([2.0, 0.0])], alpha=0.0)
    [tensor([0., 1.])]
    """
    return [c - (alpha + _share(c, d)) * d for c, d in zip(by_class, by_domain, strict=True)]


def _share(c: Tensor, d: Tensor) -> Tensor:
    """Return <c, d> / |d|^2, or 0 if d is almost zero; a tensor, so that nothing waits for the device."""
    square = (d * d).sum()
    return torch.where(square.sqrt() > SMALLEST_NORM, (c * d).sum() / square, torch.zeros_like(square))
