"""A small experiment with SIMULATED predictions, to try the notebooks before anything has been trained.

No network is behind these numbers: a seeded draw decides which predictions are wrong, and each run then changes a few
of them, more in one group than in the other. They show what the files look like, and nothing about any technique.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitlib.metrics.long_tables import technique_tables
from fitlib.storage.predictions import stack, write_predictions, write_table

CLASSES = [str(digit) for digit in range(10)]
GROUPS = {"protected": ["group 0", "group 1"]}
ARM = "unknown"
UNITS = 600  # test units; each appears in both groups, so predictions have twice as many rows


@dataclass(frozen=True)
class SimulatedTechnique:
    """A technique of the example.

    wrong, changed: per group, the share of wrong predictions and the share that a run changes. tilt: the share of group
    1's wrong predictions that are of class 0.
    """

    training: str
    method: str
    baseline: str | None
    wrong: tuple[float, float]
    changed: tuple[float, float]
    tilt: float


TECHNIQUES = {
    "Base": SimulatedTechnique("simulated-base", "baseline", None, wrong=(0.15, 0.30), changed=(0.02, 0.06), tilt=0.5),
    "Mitigated": SimulatedTechnique(
        "simulated-mitigated", "simulated", "Base", wrong=(0.18, 0.24), changed=(0.02, 0.03), tilt=0.3
    ),
}


def write_example(folder: str | PathLike[str], seed: int = 0, runs: int = 8) -> dict[str, Any]:
    """Write simulated predictions of two techniques, and describe them as an experiment.

    Files: folder/runs/<training>/<arm>/run-00/predictions/<technique>.parquet; 10 classes, two groups, every test unit
    in both. seed: of the simulation. runs: FIT runs of each technique, at least 1.

    Returns {"folder", "plan", "evidence": [], "predictions": {technique: {arm: {run: path}}}} as JSON values: run
    numbers are text, like all JSON keys.
    """
    generators = np.random.default_rng(seed).spawn(len(TECHNIQUES))
    paths = {}
    for (name, technique), rng in zip(TECHNIQUES.items(), generators, strict=True):
        arm = Path(folder) / "runs" / technique.training / ARM
        files = [arm / f"run-{run:02}" / "predictions" / f"{name}.parquet" for run in range(runs)]
        _write_runs(files, simulate(technique, runs, rng))
        paths[name] = {ARM: {str(run): str(path) for run, path in enumerate(files)}}
    return {"folder": str(folder), "plan": _plan(runs), "evidence": [], "predictions": paths}


def simulate(technique: SimulatedTechnique, runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw predictions (runs, rows); rows are all units in group 0, then all units in group 1.

    Wrong predictions are the same in all runs; in group 1 many of them are of class 0, which makes it a biased class.
    Each run then replaces a share of the predictions by random classes.
    """
    truth, group = _test_set()
    elsewhere = (truth + rng.integers(1, len(CLASSES), len(truth))) % len(CLASSES)
    mistaken = np.where((group == 1) & (rng.random(len(truth)) < technique.tilt), 0, elsewhere)
    typical = np.where(rng.random(len(truth)) < np.take(technique.wrong, group), mistaken, truth)
    changes = rng.random((runs, len(truth))) < np.take(technique.changed, group)
    return np.where(changes, rng.integers(0, len(CLASSES), changes.shape), typical)


def example_run(run: int, seed: int, technique: str = "Base") -> dict[str, Any]:
    """Return SIMULATED predictions as the arguments of `fitlib.save_predictions`; nothing is trained.

    An experiment could name this function as its `callable:`. technique: one of `TECHNIQUES`.
    """
    truth, group = _test_set()
    prediction = simulate(TECHNIQUES[technique], run + 1, np.random.default_rng(seed))[run]
    columns = {"ground_truth": truth, "prediction": prediction, "protected": group}
    return {**columns, "unit": np.arange(len(truth)) % UNITS, "classes": CLASSES, "groups": GROUPS}


def _test_set() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    truth = np.tile(np.arange(UNITS) % len(CLASSES), 2)
    return truth, np.repeat([0, 1], UNITS)


def _write_runs(files: list[Path], predictions: NDArray[np.int64]) -> None:
    truth, group = _test_set()
    rows = np.arange(2 * UNITS)
    for path, prediction in zip(files, predictions, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(path, rows, truth, prediction, group, unit=rows % UNITS)


def _plan(runs: int) -> dict[str, Any]:
    arm: dict[str, Any] = {"arm": ARM, "role": "main", "seed": None, "runs": runs, "options": {}}
    arm |= dict.fromkeys(("noise", "kind"), "unknown")
    analysis = {"favourable": None, "smallest_effect": 0.01, "alpha": 0.05, "family": None, "min_group": 30}
    plan = {
        "techniques": [_planned(name, technique) for name, technique in TECHNIQUES.items()],
        "arms": [arm],
        "data": {"name": "simulated"},
        "classes": CLASSES,
        "groups": GROUPS,
        "analysis": analysis | {"protocol": "fitlib", "reading": "strict"},
    }
    return plan | {
        "declared_hash": hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest(),
        "declared_before_first_run": False,
        "deviations": ["All predictions are simulated: no model was trained."],
        "source": "predictions made elsewhere",
    }


def _planned(name: str, technique: SimulatedTechnique) -> dict[str, Any]:
    names = {"training": technique.training, "baseline": technique.baseline, "method": technique.method}
    return {"technique": name} | names | {"inference": "argmax", "uses_protected": "no"}


def write_technique(
    out_dir: str | PathLike[str],
    technique: str,
    arms: Mapping[str, Mapping[str, Any]],
    n_classes: int | None = None,
    n_groups: Mapping[str, int] | None = None,
) -> None:
    """Write the long tables (.parquet) of one technique to out_dir, as metrics.ipynb does.

    arms: {arm: {"seed": seed, "predictions": {run: path}}}. Byte-identical for identical input. Raises InputError as
    `fitlib.storage.predictions.stack` does.
    """
    stacked = {
        arm: (described["seed"], stack(described["predictions"], n_classes, n_groups))
        for arm, described in arms.items()
    }
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    for name, table in technique_tables(technique, stacked).items():
        write_table(Path(out_dir) / f"{name}.parquet", table, name)


def write_metrics(example: Mapping[str, Any]) -> None:
    """Fill folder/techniques/<technique>/ of an example made by `write_example` with the tables of each technique."""
    for technique in example["predictions"]:
        folder = Path(example["folder"]) / "techniques" / technique
        write_technique(folder, technique, arms_of(example, technique), len(CLASSES), {"protected": 2})


def arms_of(example: Mapping[str, Any], technique: str) -> dict[str, dict[str, Any]]:
    """Return the parameter `arms` of metrics.ipynb: {arm: {"seed": seed, "predictions": {run: path}}}."""
    seeds = {arm["arm"]: arm["seed"] or 0 for arm in example["plan"]["arms"]}
    return {arm: {"seed": seeds[arm], "predictions": runs} for arm, runs in example["predictions"][technique].items()}
