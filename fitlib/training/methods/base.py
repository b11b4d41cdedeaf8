"""Methods: training algorithms behind three verbs, `__init__`, `update` and `scores`, with named inference rules.

A method that only changes the training set, the loss or the decision overrides just that (`training_rows`, `loss`,
`rules`); one with several optimisers or alternating steps overrides `start_stage` and `update`. What all methods share
(the loop, batches, noise, digests, precision) is in `fitlib.training.loop`.

The order of calls: `__init__`, `prepare`; for every stage `training_rows`, `start_stage`; for every epoch of it
`start_epoch`; for every batch `choose`, `update`; after every epoch `stage_done`. To take a single step, as tests do,
call `start_stage(0)` first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fitlib.datasets.dataset import Split
from fitlib.experiment.training_options import Stage, Training
from fitlib.options import Options
from fitlib.training.batching import Batch


@dataclass(frozen=True)
class Problem:
    """A learning problem: number of classes (labels if multi-label) and of protected groups, shape of one input."""

    n_classes: int
    n_groups: int
    multilabel: bool = False
    shape: tuple[int, ...] = ()  # (channels, height, width), or (features,)


NetworkFactory = Callable[[int], nn.Module]  # n_outputs -> a network with freshly drawn weights
Rule = Callable[..., Tensor]  # (scores (n, …), protected (n,)) -> predictions (n,) or (n, labels)


class Method:
    """Base of all methods: one network, one optimiser, one step a batch on `loss`."""

    options: Options  # of the method; a subclass with options narrows the type to its model in the registry
    rules: dict[str, Rule]
    multilabel: bool | None = None  # which problems it can learn: only multi-label, only classes, or both (None)
    normalised = True  # inputs are standardised as the data set declares; False: they stay in [0, 1]

    model: nn.Module  # everything trained, in one module: digests and noise use its state_dict
    optimizer: torch.optim.Optimizer

    def __init__(self, problem: Problem, make_network: NetworkFactory, training: Training, options: Options):
        self.problem, self.training, self.options = problem, training, options
        self.stage_training = training
        self.model = make_network(self.n_outputs())

    def n_outputs(self) -> int:
        """Return the number of logits that the network has to give."""
        return self.problem.n_classes

    @property
    def network(self) -> Any:
        """The network alone; `model` also contains whatever else the method trains."""
        return self.model["network"] if isinstance(self.model, nn.ModuleDict) else self.model

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    def to(self, device: str) -> None:
        """Move the model, and every tensor that the method holds, to the device."""
        self.model.to(device)
        for name, value in list(vars(self).items()):
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    # Before and between epochs

    def prepare(self, train: Split) -> None:
        """Compute counts and weights from the training part, once, before the training.

        `train` has all rows: a method that trains on some of them calls `training_rows(train)`.
        """

    def stages(self) -> list[Stage]:
        """Return the stages of the training, as declared; a method with its own stages overrides this."""
        return self.training.plan()

    def training_rows(self, train: Split) -> np.ndarray:
        """Return the rows of a stage's part for one epoch, all by default; repeats and subsets are allowed."""
        return np.arange(len(train))

    def start_stage(self, stage: int) -> None:
        """Freeze or unfreeze the backbone and create new optimisers, for a stage (from 0)."""
        declared = self.stages()[stage]
        self.stage_training = self.training.of_stage(declared)
        for parameter in self.backbone():
            parameter.requires_grad_(not declared.frozen)
        self.optimizer = make_optimizer(self.model.parameters(), self.stage_training)

    def backbone(self) -> Iterable[nn.Parameter]:
        """Return the parameters that a frozen stage does not train: the network's, except those of its `head`."""
        head = {id(p) for p in self.network.head.parameters()} if hasattr(self.network, "head") else set()
        return [p for p in self.network.parameters() if id(p) not in head]

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch (from 0 in its stage): rate · factor^floor(epoch / decay_epochs)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage_training.rate(epoch)

    # A step

    def choose(self, batch: Batch) -> Batch | None:
        """Return the samples of a drawn batch that the step uses, in canonical order; None skips the batch."""
        return batch

    def stage_done(self) -> bool:
        """Return whether the stage ends early; called after every epoch."""
        return False

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar loss of a batch."""
        raise NotImplementedError

    def update(self, batch: Batch) -> Tensor:
        """Take one training step; returns the detached loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    # Predictions

    def scores(self, x: Tensor) -> Tensor:
        """Return the input of the inference rules, by default the logits (n, n_outputs)."""
        return self.network(x)

    def first_rule(self) -> str:
        """Return the rule used for the history: `threshold` for multi-label problems if available, else the first."""
        return "threshold" if self.problem.multilabel and "threshold" in self.rules else next(iter(self.rules))

    def decide(self, rule: str, scores: Tensor, protected: Tensor) -> Tensor:
        """Return the predictions of the named inference rule."""
        return self.rules[rule](scores, protected)


def make_optimizer(parameters: Iterable[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """Return the declared optimiser for those of the parameters that are trained.

    sgd: with momentum. adam: Kingma & Ba, ICLR 2015. radam: Liu et al., ICLR 2020. `weight_decay` is added to the
    gradient (L2) in all three; betas and eps are PyTorch's.
    """
    trained = [p for p in parameters if p.requires_grad]
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=rate, momentum=training.momentum, weight_decay=decay)
    kind = {"adam": torch.optim.Adam, "radam": torch.optim.RAdam}[training.optimizer]
    return kind(trained, lr=rate, weight_decay=decay)


def classification_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return cross entropy for class numbers y (n,), binary cross entropy for 0/1 labels y (n, labels); a mean."""
    if y.dim() == 1:
        return nn.functional.cross_entropy(logits, y)
    return nn.functional.binary_cross_entropy_with_logits(logits, y.to(logits.dtype))


def most_likely(scores: Tensor) -> Tensor:
    """Return the class with the largest score (n,)."""
    return scores.argmax(dim=1)


def at_least_half(scores: Tensor) -> Tensor:
    """Return 1 for every label with sigmoid(score) >= 1/2, that is score >= 0; int64 (n, labels).

    >>> at_least_half(torch.tensor([[-0.1, 0.0, 2.0]])).tolist()
    [[0, 1, 1]]
    """
    return (scores >= 0).long()
