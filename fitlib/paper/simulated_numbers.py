"""SIMULATED numbers shaped like the study's, for running its notebook without the published ones.

No network is involved: true and false positives of two groups are drawn from rates, independently for each run. They
show what the tables and figures look like, and nothing about any technique.
"""

from __future__ import annotations

import numpy as np

from fitlib.metrics.bias_metrics import PUBLISHED_RATIOS, overall_ratio
from fitlib.metrics.counts import Cells
from fitlib.paper.study import RUNS, TASKS, StudyNumbers

CLASSES = {"S": 10, "C": 20, "I": 30, "A": 2, "N": 2}  # fewer than the study's 79 and 211, for speed
GROUP = 400  # rows of each group


def simulate(rng: np.random.Generator) -> StudyNumbers:
    """Draw numbers for all 27 techniques in the shapes of `study.read`, with fewer classes."""
    ratios, performance = {}, {}
    for task in TASKS.values():
        truth = rng.integers(4, GROUP // CLASSES[task.name] + 4, size=(1, 2, CLASSES[task.name]))
        rates = rng.uniform(0.5, 0.9, size=truth.shape)
        for technique in task.techniques:
            cells = _cells(truth, rates, rng, constant=technique == "N-Base")
            ratios[technique] = {metric: compute(cells) for metric, compute in PUBLISHED_RATIOS.items()}
            performance[technique] = task.scale * _performance(rng, constant=technique == "N-Base")
    everything = {t: {m: overall_ratio(v, "published")[0] for m, v in found.items()} for t, found in ratios.items()}
    per_class = {t: {m: v.values() for m, v in found.items()} for t, found in ratios.items()}
    return StudyNumbers(everything, per_class, performance)


def _cells(truth: np.ndarray, rates: np.ndarray, rng: np.random.Generator, constant: bool) -> Cells:
    """Draw the counts of a technique, (runs, 2, classes), with some classes hardly ever predicted."""
    shifted = np.clip(rates + rng.normal(0, 0.05, size=rates.shape), 0.01, 0.99)
    rare = (rng.random(rates.shape[-1]) < 0.1) & (rates.shape[-1] > 10)
    true_rate, false_rate = np.where(rare, 0.02, shifted), np.where(rare, 0.0003, 0.1 * (1 - shifted))
    shape = (1 if constant else RUNS, *rates.shape[1:])
    tp = rng.binomial(truth, true_rate, size=shape)
    fp = rng.binomial(GROUP - truth, false_rate, size=shape)
    drawn = np.broadcast_to(np.stack([tp, fp, truth - tp, GROUP - truth - fp]), (4, RUNS, *rates.shape[1:]))
    return Cells(*drawn)


def _performance(rng: np.random.Generator, constant: bool) -> np.ndarray:
    centre, spread = rng.uniform(0.7, 0.9), 0.0 if constant else rng.uniform(0.002, 0.01)
    return rng.normal(centre, spread, size=RUNS)
