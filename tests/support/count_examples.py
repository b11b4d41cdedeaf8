"""Random rows and the counts of their cells."""

import numpy as np

from fitlib.metrics.counts import confusion, one_vs_rest


def random_rows(rng, n_rows=300, n_runs=4, n_classes=5, n_groups=2):
    truth = rng.integers(0, n_classes, n_rows)
    prediction = np.where(rng.random((n_runs, n_rows)) < 0.6, truth, rng.integers(0, n_classes, (n_runs, n_rows)))
    return truth, prediction, rng.integers(0, n_groups, n_rows)


def random_cells(seed=0, **sizes):
    rows = random_rows(np.random.default_rng(seed), **sizes)
    return one_vs_rest(confusion(*rows, sizes.get("n_classes", 5), sizes.get("n_groups", 2)))
