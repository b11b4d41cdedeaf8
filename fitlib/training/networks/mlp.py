"""MLP: a multilayer perceptron for tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from fitlib.errors import InputError
from fitlib.experiment.registry.networks import MLPOptions

MOST_WIDTH = 50  # of an embedding whose width is not given


class MLP(nn.Module):
    """Hidden layers, each linear, ReLU and dropout, then a linear layer to the logits: z = W h_k(… h_1(x)) + b.

    The last len(categories) inputs are codes, whole numbers below the column's size: each is looked up as a learnt
    vector, of `embedding` entries or min(50, (size + 1) // 2), which stands among the inputs in its place. `lookup`:
    `embedding` is reproducible on a CPU; `index` writes table[codes], as much code does, and PyTorch adds up its
    gradient (`index_put_` with accumulate) by atomic additions from 32,768 numbers and two threads on, in whatever
    order the threads come: runs differ, unless deterministic algorithms are on.
    `shape` is (features,); anything longer is flattened. Reference for the embeddings: Guo & Berkhahn, Entity
    Embeddings of Categorical Variables, 2016.
    """

    def __init__(self, shape: Sequence[int], n_outputs: int, options: MLPOptions, categories: Sequence[int] = ()):
        super().__init__()
        embedding = options.embedding
        if embedding is not None and not categories:
            problem = "the data have no columns of codes"
            raise InputError("network", "embedding", embedding, problem, "set data.encoding: codes, or leave it out")
        widths = [embedding or min(MOST_WIDTH, (size + 1) // 2) for size in categories]
        self.lookup, self.n_numbers = options.lookup, prod(shape) - len(categories)
        sizes = zip(categories, widths, strict=True)
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size, width in sizes)
        layers, width = [], self.n_numbers + sum(widths)
        for wide in options.hidden:
            layers += [nn.Linear(width, wide), nn.ReLU(), nn.Dropout(options.dropout)]
            width = wide
        self.body, self.n_features = nn.Sequential(*layers), width
        self.head = nn.Linear(width, n_outputs)

    def features(self, x: Tensor) -> Tensor:
        """What the head sees: (n, n_features) from x (n, features)."""
        return self.body(self.looked_up(x.flatten(1)))

    def looked_up(self, x: Tensor) -> Tensor:
        """The numbers, then the vectors of the codes: (n, inputs of the first layer)."""
        codes = x[:, self.n_numbers :].long()
        columns = enumerate(self.embeddings)
        if self.lookup == "index":
            vectors = [table.weight[codes[:, column]] for column, table in columns]
        else:
            vectors = [table(codes[:, column]) for column, table in columns]
        return torch.cat([x[:, : self.n_numbers], *vectors], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, n_outputs)."""
        return self.head(self.features(x))
