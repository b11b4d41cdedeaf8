"""Strategic oversampling: repeat the rarer groups of each class."""

from __future__ import annotations

import numpy as np

from fitlib.datasets.dataset import Split
from fitlib.training.methods.baseline import Baseline, argmax


class Oversampling(Baseline):
    """The baseline on an enlarged training set.

    In each class, every sample of group g is taken floor(n_max / n_g) times (n_g: samples of the group in this class,
    n_max: the largest of them), at most `max_copies` times. With 4,750 : 250 images, as in CIFAR-10S, the minority
    stands 19 times, which is the study's S-RS.  Reference: Wang et al., CVPR 2020, strategic sampling.
    """

    multilabel = False
    rules = {"argmax": argmax}

    def __init__(self, *args: object, max_copies: int | None = None):
        super().__init__(*args)
        self.max_copies = max_copies

    def training_rows(self, train: Split) -> np.ndarray:
        """All rows, then the further copies class by class and group by group."""
        extra = [np.arange(len(train))]
        for c in range(self.problem.n_classes):
            members = [np.flatnonzero((train.y == c) & (train.protected == g)) for g in range(self.problem.n_groups)]
            most = max(map(len, members))
            extra += [np.tile(rows, self.copies(most, len(rows)) - 1) for rows in members if len(rows)]
        return np.concatenate(extra)

    def copies(self, most: int, size: int) -> int:
        """How often each sample of a group of `size` is taken where the largest group of its class has `most`."""
        return most // size if self.max_copies is None else min(most // size, self.max_copies)
