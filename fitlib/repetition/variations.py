"""Variations: what differs between the runs of an estimator, drawn from the seed and the index of the run.

The test rows are the same in all runs: metrics of runs are compared on one test set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

VARIATIONS = ("random_state", "order", "split", "bootstrap")
SPLIT = 0.8  # share of the training rows that a run of `split` uses


def training_rows(vary: str, rows: int, seed: int, run: int) -> NDArray[np.int64]:
    """Return the training rows of a run in their order, as positions below `rows`.

    order: a permutation. split: 80 % of the rows, in their order. bootstrap: as many as there are, with replacement.
    random_state: all rows as they come.

    >>> training_rows("order", 4, seed=0, run=1).tolist() == training_rows("order", 4, seed=0, run=2).tolist()
    False
    >>> training_rows("random_state", 4, seed=0, run=1).tolist()
    [0, 1, 2, 3]
    """
    rng = np.random.default_rng((seed, run))
    if vary == "order":
        return rng.permutation(rows)
    if vary == "split":
        return np.sort(rng.permutation(rows)[: max(1, round(SPLIT * rows))])
    return rng.integers(0, rows, rows) if vary == "bootstrap" else np.arange(rows)


def random_state_of(vary: str, seed: int, run: int) -> int:
    """Return the random_state of a run: that of the seed, plus the index of the run where it is what varies.

    >>> random_state_of("random_state", seed=0, run=3), random_state_of("order", seed=0, run=3)
    (3, 0)
    """
    return seed + run if vary == "random_state" else seed


def random_states(estimator: Any) -> list[str]:
    """Return the names of the estimator's parameters that are random states, those of its parts included."""
    return sorted(name for name in estimator.get_params() if name.rpartition("__")[2] == "random_state")
