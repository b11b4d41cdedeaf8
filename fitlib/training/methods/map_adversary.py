"""Map adversary: an adversary predicts the group from a convolutional map, and the network learns to prevent it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fitlib.errors import InputError
from fitlib.experiment.registry.methods import MapAdversaryOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.methods.base import NetworkFactory, Problem
from fitlib.training.methods.baseline import Baseline
from fitlib.training.methods.gradient_reversal import reverse_gradient

DEPTH = 3  # hidden layers of the adversary


class MapAdversary(Baseline):
    """L = task loss + CE(A(R(m(x))), d), with m(x) an intermediate map, A the adversary, R the gradient reversal.

    A takes the flattened map: `hidden` units with batch normalisation and LeakyReLU(0.01), three times, then a linear
    layer. R passes the map on and multiplies the gradient that comes back by -`strength`. In a stage whose backbone is
    frozen, A and the head are trained side by side and no gradient reaches the map.
    `per_group`: the first so many samples of each group in a drawn batch are used, and a batch with fewer of one group
    is skipped; null: the whole batch. `layer` is the name of the map; null: the network's last one.

    Study: C-A4 and I-A4 `layer3`, C-A5 and I-A5 `layer4`; 16 of each group from batches of 80; strength 2 (C), 1 (I).
    Reference: Wang et al., ICCV 2019 (Balanced Datasets Are Not Enough), after Ganin & Lempitsky, ICML 2015.
    """

    options: MapAdversaryOptions
    model: nn.ModuleDict

    def __init__(
        self, problem: Problem, make_network: NetworkFactory, training: Training, options: MapAdversaryOptions
    ):
        super().__init__(problem, make_network, training, options)
        self.layer, inputs = map_size(self.model, problem.shape, options.layer)
        self.reversed = True
        adversary = make_adversary(inputs, options.hidden, problem.n_groups)
        self.model = nn.ModuleDict({"network": self.model, "adversary": adversary})

    def start_stage(self, stage: int) -> None:
        """Create a new optimiser for network and adversary; no reversal while the backbone is frozen."""
        super().start_stage(stage)
        self.reversed = not self.stages()[stage].frozen

    def choose(self, batch: Batch) -> Batch | None:
        """Return the first `per_group` samples of each group, in batch order; None if one group has fewer.

        A batch of a single sample is skipped as well: the adversary's batch normalisation needs two.
        """
        per_group = self.options.per_group
        if per_group is None:
            return batch if len(batch.y) > 1 else None
        members = [(batch.protected == group).nonzero().flatten() for group in range(self.problem.n_groups)]
        if min(map(len, members)) < per_group:
            return None
        return batch.take(torch.cat([rows[:per_group] for rows in members]).sort().values)

    def loss(self, batch: Batch) -> Tensor:
        """Return the task loss plus the adversary's cross entropy, with equal weights."""
        logits, features = self.network.forward_with(batch.x, self.layer)
        seen = reverse_gradient(features, self.options.strength) if self.reversed else features.detach()
        adversary_logits = self.model["adversary"](seen)
        return self.task_loss(logits, batch.y) + nn.functional.cross_entropy(adversary_logits, batch.protected)


def make_adversary(inputs: int, hidden: int, n_groups: int) -> nn.Sequential:
    """Build `DEPTH` hidden layers with batch normalisation and LeakyReLU(0.01), and one logit for each group."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in [inputs, *[hidden] * (DEPTH - 1)]:
        layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers, nn.Linear(hidden, n_groups))


@torch.no_grad()
def map_size(network: Any, shape: tuple[int, ...], layer: str | None) -> tuple[str, int]:
    """Return the name of the map and its number of values; InputError if the network has no such map.

    The maps are found by passing one blank image, in evaluation mode so that batch statistics do not change.
    """
    if not hasattr(network, "forward_with"):
        problem = f"network {type(network).__name__} gives no intermediate maps"
        raise InputError("method", "layer", layer, problem, "choose a network with maps, such as resnet18")
    mode = network.training
    maps: dict[str, Tensor] = network.eval().maps(torch.zeros(1, *shape))
    network.train(mode)
    if layer is not None and layer not in maps:
        raise InputError("method", "layer", layer, "the network has no such map", f"it has {', '.join(maps)}")
    name = layer or list(maps)[-1]
    return name, maps[name].numel()
