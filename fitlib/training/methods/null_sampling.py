"""Null-sampling: an invertible network removes from images the information about the protected group."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fitlib.datasets.dataset import Split
from fitlib.errors import InputError
from fitlib.experiment.registry.methods import NullSamplingOptions
from fitlib.experiment.training_options import Stage, Training
from fitlib.training.batching import Batch, Inputs, Normaliser, Part
from fitlib.training.methods.base import Method, NetworkFactory, Problem, classification_loss, make_optimizer
from fitlib.training.methods.baseline import argmax
from fitlib.training.methods.gradient_reversal import reverse_gradient
from fitlib.training.networks.normalising_flow import Flow, negative_log_likelihood

CHECK_BATCH = 256  # images per forward pass when the stopping loss is computed


class NullSampling(Method):
    """A flow encodes an image as z = [z_y, z_s]; z_s is to contain all information about the group s, and is set to 0.

    First stage, flow f and discriminators D_k together, group labels only:
        L = NLL(f(x)) + weight · mean_k CE(D_k(R([z_y, 0])), s),   z_s = the last max(1, round(share · d)) of d latents,
    R reverses the gradient: D_k learn to predict s from z_y, f learns to prevent it. After every step each D_k is
    reinitialised with probability `restart`.

    Second stage, the classifier C on null-sampled images x_u = f^-1([z_y, 0]):
        L = mean CE(C(x_u), y);   decision argmax C(x_u).

    Images are in [0, 1]; the flow gets 2x - 1, the classifier x_u mapped back and clipped. The flow may stop before its
    stage ends: after `iterations` steps, or when L with the adversary's sign reversed, on the training part, has not
    fallen for more than `patience` checks; its last state is used. The study trains the flow on a part `pretrain` that
    the classifier never sees (`part` of the first stage), on 5 bits a value (`training.bits`), by RAdam throughout.

    Reference: Kehrenberg et al., ECCV 2020; N-Flow.
    """

    options: NullSamplingOptions
    rules = {"argmax": argmax}
    multilabel = False
    normalised = False

    def __init__(
        self, problem: Problem, make_network: NetworkFactory, training: Training, options: NullSamplingOptions
    ):
        super().__init__(problem, make_network, training, options)
        self.classifier = self.model
        self.flow = Flow(problem.shape, options.levels, options.blocks, options.hidden)
        self.sensitive = max(1, round(options.share * self.flow.size))
        width, number = options.discriminator_width, options.discriminators
        self.ensemble = Ensemble(self.flow.size, width, problem.n_groups, number, options.restart)
        self.stop = EarlyStopping(options.iterations, options.check_every, options.patience)
        self.model = nn.ModuleDict({"network": self.classifier, "flow": self.flow, "discriminators": self.ensemble})

    def stages(self) -> list[Stage]:
        """Return the flow's and the classifier's stage, both as declared.

        If only one is declared, the flow's comes first, equally long, by RAdam at 3e-4.
        """
        declared = self.training.plan()
        if len(declared) > 2:
            problem = "null-sampling trains the flow in the first stage and the classifier in the second"
            raise InputError("training", "stages", len(declared), problem, "declare two stages")
        default = Stage(epochs=declared[0].epochs, learning_rate=3e-4, batch_size=None, optimizer="radam")
        first = declared[0] if len(declared) == 2 else default
        return [first.model_copy(update={"measured": False}), declared[-1]]

    def prepare(self, train: Split) -> None:
        """Keep the training part, to check on it whether the flow improves."""
        self.train = train

    def start_stage(self, stage: int) -> None:
        """Unfreeze what the stage trains and create its optimiser; everything else stays frozen."""
        self.stage, self.stage_training = stage, self.training.of_stage(self.stages()[stage])
        trained = [self.flow, self.ensemble] if stage == 0 else [self.classifier]
        self.model.requires_grad_(False)
        parameters = [p for module in trained for p in module.requires_grad_(True).parameters()]
        self.optimizer = make_optimizer(parameters, self.stage_training)

    def choose(self, batch: Batch) -> Batch | None:
        """Return the batch; None if the flow has stopped, or for a single image, which has no batch statistics."""
        return None if self.stage == 0 and (self.stop.stopped or len(batch.x) < 2) else batch

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of the stage."""
        if self.stage == 0:
            return self.flow_loss(batch)
        return classification_loss(self.classifier(self.null_sample(batch.x)), batch.y)

    def flow_loss(self, batch: Batch, sign: float = 1.0) -> Tensor:
        """Return NLL + sign · weight · the discriminators' mean cross entropy, with reversed gradients."""
        z, logdet = self.flow(2 * batch.x - 1)
        adversary = self.ensemble.loss(reverse_gradient(self.without_sensitive(z)), batch.protected)
        return negative_log_likelihood(z, logdet) + sign * self.options.weight * adversary

    def without_sensitive(self, z: Tensor) -> Tensor:
        """Return the latents (n, d) with z_s, the last ones, set to 0."""
        return torch.cat([z[:, : -self.sensitive], torch.zeros_like(z[:, -self.sensitive :])], dim=1)

    @torch.no_grad()
    def null_sample(self, x: Tensor) -> Tensor:
        """Return x_u in [0, 1], of the shape of x."""
        z, _ = self.flow(2 * x - 1)
        return ((self.flow.inverse(self.without_sensitive(z)) + 1) / 2).clamp(0, 1)

    def update(self, batch: Batch) -> Tensor:
        """Take one step; in the flow's stage also restart discriminators and, when due, check for improvement."""
        loss = super().update(batch)
        if self.stage == 0:
            self.ensemble.restart_some()
            if self.stop.count():
                self.stop.check(self.stopping_loss())
        return loss

    def stage_done(self) -> bool:
        """Return whether the flow has stopped."""
        return self.stage == 0 and self.stop.stopped

    @torch.no_grad()
    def stopping_loss(self) -> float:
        """Return NLL - weight · cross entropy of the discriminators on the training part, in evaluation mode."""
        self.model.eval()
        part, total = Part.of(self.train, str(self.device)), 0.0
        inputs = Inputs(Normaliser(None), self.training).prediction_inputs(part, CHECK_BATCH)
        for x, y, protected in zip(inputs, part.y.split(CHECK_BATCH), part.protected.split(CHECK_BATCH), strict=True):
            total += len(x) * float(self.flow_loss(Batch(x, y, protected), sign=-1))
        self.model.train()
        return total / len(part)

    def scores(self, x: Tensor) -> Tensor:
        """Return the classifier's logits (n, n_classes) for the null-sampled images."""
        return self.classifier(self.null_sample(x))


class Discriminator(nn.Module):
    """Logits (n, groups) from latents (n, d): linear, one residual block with batch normalisation, linear.

    Two groups have one logit z, returned as (0, z), so that cross entropy is the binary one.
    """

    def __init__(self, size: int, width: int, n_groups: int):
        super().__init__()
        self.first = nn.Linear(size, width)
        self.block = nn.Sequential(*_activated(width), *_activated(width))
        self.last = nn.Linear(width, 1 if n_groups == 2 else n_groups)
        for parameter in self.block[-1].parameters():
            nn.init.uniform_(parameter, -1e-3, 1e-3)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits (n, groups)."""
        hidden = self.first(z)
        logits = self.last(hidden + self.block(hidden))
        return nn.functional.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits


class Ensemble(nn.ModuleList):
    """Discriminators that learn side by side; at random one is reinitialised, so that none is fooled for good.

    One optimiser serves all, since RAdam updates every weight independently.
    """

    def __init__(self, size: int, width: int, n_groups: int, number: int, restart: float):
        self.dimensions, self.restart = (size, width, n_groups), restart
        super().__init__(Discriminator(*self.dimensions) for _ in range(number))
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))

    def loss(self, z: Tensor, protected: Tensor) -> Tensor:
        """Return the mean over discriminators of the cross entropy with the group."""
        return torch.stack([classification_loss(member(z), protected) for member in self]).mean()

    def restart_some(self) -> None:
        """Reinitialise each discriminator with probability `restart`; the optimiser's moments are kept."""
        for number in (torch.rand(len(self), generator=self.generator) < self.restart).nonzero().flatten().tolist():
            with torch.random.fork_rng([]):
                torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=self.generator)))
                self[number].load_state_dict(Discriminator(*self.dimensions).state_dict())


@dataclass
class EarlyStopping:
    """The end of the flow's training: after `iterations` steps, or more than `patience` checks without improvement."""

    iterations: int | None
    check_every: int
    patience: int | None
    done: int = 0
    best: float = float("inf")
    worse: int = 0
    stopped: bool = False

    def count(self) -> bool:
        """Count a step; returns whether a check is due."""
        self.done += 1
        self.stopped = self.stopped or self.done == self.iterations
        return self.patience is not None and not self.stopped and self.done % self.check_every == 0

    def check(self, loss: float) -> None:
        """Record the loss of a check, and stop if the patience is exhausted."""
        self.worse = 0 if loss < self.best else self.worse + 1
        self.best = min(self.best, loss)
        self.stopped = self.patience is not None and self.worse > self.patience


def _activated(width: int) -> tuple[nn.Module, ...]:
    return nn.BatchNorm1d(width, eps=1e-3), nn.ReLU(), nn.Linear(width, width)
