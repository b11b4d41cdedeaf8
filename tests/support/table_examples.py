"""Plans, evidence and long tables of simulated experiments, as the tables see them."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.tables import comparisons

RUNS, CLASSES, GROUPS = 8, 3, 2


LONG = ["technique", "arm", "seed", "run", "reading", "attribute", "metric", "target", "group", "value", "n_undefined"]


def technique(name: str, baseline: str | None = "Base", training: str | None = None) -> dict:
    return {"technique": name, "training": training or f"train-{name}", "baseline": baseline, "uses_protected": "no"}


def arm(name: str = "ulp", role: str = "main", seed: int | None = 0, n: int = RUNS) -> dict:
    return {"arm": name, "noise": name, "kind": "emulated", "role": role, "seed": seed, "runs": n, "options": {}}


def plan(*techniques: dict, arms: list[dict] | None = None, **analysis: object) -> dict:
    defaults = {"favourable": None, "smallest_effect": 0.01, "alpha": 0.05, "family": None, "reading": "strict"}
    return {
        "techniques": list(techniques) or [technique("Base", None), technique("Fair"), technique("Noisy")],
        "arms": arms or [arm(), arm("none", "control", n=2)],
        "classes": ["cat", "dog", "owl"],
        "groups": {"protected": ["gray", "tinted"]},
        "analysis": defaults | analysis,
    }


def long_table(name: str, values: np.ndarray, arm_name: str = "ulp", reading: str = "strict") -> pd.DataFrame:
    """``values`` (metrics, runs, classes) -> the long table, with accuracy .9 and .8 per group."""
    rows = []
    for run in range(values.shape[1]):
        head = (name, arm_name, 0, run, reading, "protected")
        for metric, by_class in zip(BIAS_METRICS, values[:, run], strict=True):
            defined = by_class[~np.isnan(by_class)]
            mean = defined.mean() if defined.size else np.nan
            rows.append((*head, metric, None, None, mean, int(np.isnan(by_class).sum())))
            rows += [(*head, metric, k, None, v, int(np.isnan(v))) for k, v in enumerate(by_class)]
        rows.append((*head, "accuracy", None, None, 0.85 + run / 1000, 0))
        rows += [(*head, "accuracy", None, g, 0.9 - g / 10, 0) for g in range(GROUPS)]
    return pd.DataFrame(rows, columns=LONG).astype({"target": "Int64", "group": "Int64", "n_undefined": "Int64"})


def drawn(seed: int, level: float = 0.3, sd: float = 0.01, runs: int = RUNS) -> np.ndarray:
    """Values in which SPSF repeats DP, and EOFP repeats FPSF."""
    values = level + sd * np.random.default_rng(seed).standard_normal((7, runs, CLASSES))
    values[2], values[4] = values[0] / 2, values[3] / 0.45
    return values


def metrics_of(**values: np.ndarray) -> pd.DataFrame:
    return pd.concat([long_table(name, v) for name, v in values.items()], ignore_index=True)


def record(name: str, run: int, **changes: object) -> dict:
    usual = {
        "training": f"train-{name}",
        "arm": "ulp",
        "seed": 0,
        "run": run,
        "role": "main",
        "status": "done",
        "error": "",
        "fingerprint": "f" * 64,
        "parts": {"initial weights": "a" * 64, "first batch": "b" * 64},
        "final_weights": f"{run:02d}" * 32,
        "predictions": {name: f"{run:02d}" * 32},
    }
    return usual | changes


def evidence_of(*names: str, **changes: object) -> list[dict]:
    return [record(name, run, **changes) for name in names for run in range(RUNS)]


def fits(answer: bool | None) -> Callable:
    return lambda evidence, training, arm_name: SimpleNamespace(fit=answer, text="not FIT runs: first batch differs")


def compare(metrics: pd.DataFrame, plan_: dict, evidence: list[dict] = (), fit: bool | None = True) -> pd.DataFrame:
    return comparisons.compare(metrics, plan_, evidence, fits(fit))


def row_of(table: pd.DataFrame, **wanted: object) -> pd.Series:
    chosen = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
    assert len(chosen) == 1
    return chosen.iloc[0]
