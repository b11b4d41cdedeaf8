"""SIMULATED numbers shaped like the study's, to read its notebook by hand where the published ones are not there.

No network stands behind them: true and false positives of two groups are drawn from rates, and each run draws again.
They show what the tables and figures look like, and nothing about any technique.
"""

from __future__ import annotations

import numpy as np

from fitlib.metrics.bias_metrics import PUBLISHED, overall
from fitlib.metrics.counts import Cells
from fitlib.paper.study import RUNS, TASKS, Published

CLASSES = {"S": 10, "C": 20, "I": 30, "A": 2, "N": 2}  # fewer than the study's 79 and 211, so that it takes no time
GROUP = 400  # rows of each group


def simulated(rng: np.random.Generator) -> Published:
    """Numbers of all 27 techniques in the shapes of `study.read`; only the numbers of classes are smaller."""
    per_class, performance = {}, {}
    for task in TASKS.values():
        truth = rng.integers(4, GROUP // CLASSES[task.name] + 4, size=(1, 2, CLASSES[task.name]))
        rates = rng.uniform(0.5, 0.9, size=truth.shape)
        for technique in task.techniques:
            cells = _cells(truth, rates, rng, constant=technique == "N-Base")
            per_class[technique] = {metric: compute(cells) for metric, compute in PUBLISHED.items()}
            performance[technique] = task.scale * _performance(rng, constant=technique == "N-Base")
    everything = {t: {m: overall(v, "published")[0] for m, v in values.items()} for t, values in per_class.items()}
    return Published(everything, per_class, performance)


def _cells(truth: np.ndarray, rates: np.ndarray, rng: np.random.Generator, constant: bool) -> Cells:
    """Counts of a technique, (runs, 2, classes): its own rates, some classes hardly ever predicted."""
    own = np.clip(rates + rng.normal(0, 0.05, size=rates.shape), 0.01, 0.99)
    rare = (rng.random(rates.shape[-1]) < 0.1) & (rates.shape[-1] > 10)
    true_rate, false_rate = np.where(rare, 0.02, own), np.where(rare, 0.0003, 0.1 * (1 - own))
    shape = (1 if constant else RUNS, *rates.shape[1:])
    tp = rng.binomial(truth, true_rate, size=shape)
    fp = rng.binomial(GROUP - truth, false_rate, size=shape)
    drawn = np.broadcast_to(np.stack([tp, fp, truth - tp, GROUP - truth - fp]), (4, RUNS, *rates.shape[1:]))
    return Cells(*drawn)


def _performance(rng: np.random.Generator, constant: bool) -> np.ndarray:
    centre, spread = rng.uniform(0.7, 0.9), 0.0 if constant else rng.uniform(0.002, 0.01)
    return rng.normal(centre, spread, size=RUNS)
