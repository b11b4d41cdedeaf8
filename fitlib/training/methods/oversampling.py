"""Strategic oversampling: repeat the rarer groups of each class."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from fitlib.datasets.dataset import Split
from fitlib.experiment.registry.methods import OversamplingOptions
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, classification_loss
from fitlib.training.methods.baseline import argmax


class Oversampling(Method):
    """The baseline, without class weights, on an enlarged training set: L = mean CE(z(x), y).

    In each class, every sample of group g is used floor(n_max / n_g) times (n_g: samples of the group in this class,
    n_max: the largest of them), at most `max_copies` times. With 4,750 : 250 images, as in CIFAR-10S, the minority
    appears 19 times, which is the study's S-RS.  Reference: Wang et al., CVPR 2020, strategic sampling.
    """

    options: OversamplingOptions
    multilabel = False
    rules = {"argmax": argmax}

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy of the batch."""
        return classification_loss(self.scores(batch.x), batch.y)

    def training_rows(self, train: Split) -> np.ndarray:
        """Return all rows, then the additional copies class by class and group by group."""
        extra = [np.arange(len(train))]
        for c in range(self.problem.n_classes):
            members = [np.flatnonzero((train.y == c) & (train.protected == g)) for g in range(self.problem.n_groups)]
            most = max(map(len, members))
            extra += [np.tile(rows, self.copies(most, len(rows)) - 1) for rows in members if len(rows)]
        return np.concatenate(extra)

    def copies(self, most: int, size: int) -> int:
        """Return how often each sample of a group of `size` is used if the largest group of its class has `most`."""
        limit = self.options.max_copies
        return most // size if limit is None else min(most // size, limit)
