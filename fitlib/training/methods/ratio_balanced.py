"""Ratio-balanced training sets: in no class is one group much more frequent than another."""

from __future__ import annotations

import numpy as np

from fitlib.datasets.dataset import Split
from fitlib.datasets.people.subsets import label_counts, ratio_subset
from fitlib.errors import InputError
from fitlib.experiment.registry.methods import RatioBalancedOptions
from fitlib.training.methods.baseline import Baseline


class RatioBalanced(Baseline):
    """The baseline on a random subset in which no group has more than `ratio` times another group's samples of a class.

    This holds for each class (label), see `fitlib.datasets.people.subsets.ratio_subset`.
    The subset depends on `subset_seed` alone: all runs, under all seeds, train on the same one. A class of which some
    group has no sample cannot be balanced: InputError, or with `missing: drop` all its samples are left out (three
    objects vanish from the study's ratio-1 lists). If a data set offers the study's own index lists, use those through
    its options, with the baseline.
    Reference: Wang et al., ICCV 2019 (Balanced Datasets Are Not Enough); C-R1 … C-R3 and I-R1 … I-R3 for ratio 1 … 3.
    """

    options: RatioBalancedOptions

    def training_rows(self, train: Split) -> np.ndarray:
        """Return the rows of the subset, ascending."""
        ratio, seed = self.options.ratio, self.options.subset_seed
        if self.options.missing == "error":
            self.check_groups_in_classes(train)
        rows = ratio_subset(train.y, train.protected, ratio, seed, self.problem.n_groups)
        if not len(rows):
            raise InputError("method", "ratio", ratio, "no training sample is left", "raise the ratio")
        return rows

    def check_groups_in_classes(self, train: Split) -> None:
        """Raise InputError for the first class of which one group has samples and another has none."""
        labels = train.y if train.y.ndim == 2 else np.eye(self.problem.n_classes, dtype=np.int64)[train.y]
        counts = label_counts(labels, train.protected, self.problem.n_groups)
        lacking = np.flatnonzero((counts.min(axis=0) == 0) & (counts.max(axis=0) > 0))
        if len(lacking):
            label = int(lacking[0])
            problem = f"group {int(counts[:, label].argmin())} has no training sample of it, so no ratio can be kept"
            remedy = "set the method's option missing to drop, which leaves out all samples of such classes"
            raise InputError("data", "class", label, problem, remedy)
