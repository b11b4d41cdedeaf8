"""Predictions, plans and long tables for the tests of individuals."""

import numpy as np
import pandas as pd

from fitlib.metrics.long_tables import person_table
from fitlib.storage.predictions import Predictions


def predictions(
    prediction, ground_truth=None, group=None, unit=None, score=None, groups=2, classes=None
) -> Predictions:
    """Stacked predictions (runs, rows) or (runs, rows, labels); by default one true class and two groups by turns."""
    prediction = np.asarray(prediction)
    rows, multilabel = prediction.shape[1], prediction.ndim == 3
    truth = np.zeros(prediction.shape[1:], dtype=int) if ground_truth is None else np.asarray(ground_truth)
    group = np.arange(rows) % groups if group is None else np.asarray(group)
    found = prediction.shape[2] if multilabel else classes or max(int(prediction.max()), int(truth.max())) + 1
    unit = None if unit is None else np.asarray(unit)
    runs = tuple(range(len(prediction)))
    sizes = {"sex": groups}
    return Predictions(np.arange(rows), truth, prediction, {"sex": group}, unit, found, sizes, runs, score)


def simulated(seed: int, runs: int = 8, rows: int = 400, shift: float = 0.6, scores: bool = True) -> Predictions:
    """Two classes, two groups; the second one's scores vary more between runs."""
    rng = np.random.default_rng(seed)
    group, truth = rng.integers(0, 2, rows), rng.integers(0, 2, rows)
    person = 0.35 + 0.2 * truth - 0.1 * group + rng.normal(0, 0.15, rows)
    score = np.clip(person + rng.normal(0, 0.04, (runs, rows)) * (1 + shift * group), 0, 1)
    return predictions((score >= 0.5).astype(int), truth, group, score=score if scores else None)


def plan_of(names=("Base",), favourable=None, runs=8, groups=("women", "men"), arms=("ulp",)) -> dict:
    conditions = {"noise": "ulp", "kind": "emulated", "role": "main", "seed": 0, "runs": runs, "options": {}}
    return {
        "techniques": [{"technique": n, "training": f"train-{n}", "baseline": None} for n in names],
        "arms": [{"arm": arm, **conditions} for arm in arms],
        "data": {"name": "toy"},
        "classes": ["no", "yes"],
        "groups": {"sex": list(groups)},
        "analysis": {"favourable": favourable, "smallest_effect": 0.01, "alpha": 0.05, "min_group": 30},
        "source": "fitlib",
    }


def persons_of(resamples: int = 100, **techniques: Predictions) -> pd.DataFrame:
    parts = [person_table(name, "ulp", 0, p, "sex", resamples) for name, p in techniques.items()]
    return pd.concat(parts, ignore_index=True)
