"""A multilayer perceptron for tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from fitlib.errors import InputError
from fitlib.experiment.registry.networks import MLPOptions

MOST_WIDTH = 50  # of an embedding without a declared width


class MLP(nn.Module):
    """Hidden layers, each linear, ReLU and dropout, then a linear layer to the logits: z = W h_k(… h_1(x)) + b.

    The last len(categories) inputs are codes, whole numbers below the column's size: each is replaced by a learnt
    vector of `embedding` entries, or min(50, (size + 1) // 2). `lookup`: `embedding` is reproducible on a CPU; `index`
    is table[codes], as much code has it, whose gradient PyTorch accumulates (`index_put_`) by atomic additions from
    32,768 numbers and two threads on, in whatever order the threads arrive: runs differ unless deterministic algorithms
    are on.
    `shape` is (features,); anything longer is flattened. Reference for the embeddings: Guo & Berkhahn, Entity
    Embeddings of Categorical Variables, 2016.
    """

    def __init__(self, shape: Sequence[int], n_outputs: int, options: MLPOptions, categories: Sequence[int] = ()):
        super().__init__()
        embedding = options.embedding
        if embedding is not None and not categories:
            problem = "the data have no columns of codes"
            raise InputError(
                "network", "embedding", embedding, problem, "set data.encoding: codes, or leave out embedding"
            )
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
        """Return the features (n, n_features) that the head classifies, from x (n, features)."""
        return self.body(self.embed(x.flatten(1)))

    def embed(self, x: Tensor) -> Tensor:
        """Return the numbers, then the vectors of the codes: (n, inputs of the first layer)."""
        codes = x[:, self.n_numbers :].long()
        if self.lookup == "index":
            weights: list[Tensor] = [table.weight for table in self.embeddings]  # type: ignore[misc]  # of embeddings
            vectors = [weights[column][codes[:, column]] for column in range(len(weights))]
        else:
            vectors = [table(codes[:, column]) for column, table in enumerate(self.embeddings)]
        return torch.cat([x[:, : self.n_numbers], *vectors], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, n_outputs)."""
        return self.head(self.features(x))
