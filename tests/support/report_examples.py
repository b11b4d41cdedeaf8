"""Simulated experiments, as the report sees them: plan, evidence and tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from fitlib.metrics.counts import confusion
from fitlib.metrics.long_tables import counts_table, metrics_table
from fitlib.tables import four_fifths, runs_and_summary
from fitlib.tables.comparisons import compare

SCRIPT = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Experiment:
    """Plan, evidence and tables of a simulated experiment."""

    plan: dict
    evidence: list[dict]
    metrics: pd.DataFrame
    counts: pd.DataFrame

    @cached_property
    def summary(self) -> pd.DataFrame:
        return runs_and_summary.summary(self.metrics, self.plan)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        return compare(self.metrics, self.plan, self.evidence)

    @cached_property
    def risk(self) -> pd.DataFrame:
        return four_fifths.risk(self.counts, self.plan, self.evidence)

    @cached_property
    def runs(self) -> pd.DataFrame:
        return runs_and_summary.runs(self.metrics, self.plan, self.evidence)


def digest(*of: object) -> str:
    return hashlib.sha256(repr(of).encode()).hexdigest()


def make_plan(techniques: int, runs: int, classes: list[str], groups: dict[str, list[str]], **analysis: object) -> dict:
    names = ["S-Base", *(f"S-T{i}" for i in range(1, techniques))]
    declared = {"favourable": None, "smallest_effect": 0.01, "alpha": 0.05, "family": None, "min_group": 30}
    ulp = {"arm": "ulp", "noise": "ulp", "kind": "emulated", "role": "main", "seed": 0, "runs": runs, "options": {}}
    control = {**ulp, "arm": "none", "noise": "none", "kind": "control", "role": "control", "runs": 2}
    return {
        "techniques": [planned_technique(name) for name in names],
        "arms": [ulp, control],
        "data": {"name": "digits-s"},
        "classes": classes,
        "groups": groups,
        "analysis": {**declared, "protocol": "fitlib", "reading": "strict", **analysis},
        "declared_hash": digest("plan"),
        "declared_before_first_run": True,
        "deviations": [],
        "source": "fitlib",
    }


def planned_technique(name: str) -> dict:
    baseline = None if name == "S-Base" else "S-Base"
    known = {"technique": name, "training": f"training-{name}", "baseline": baseline, "method": "simulated"}
    return {**known, "inference": "argmax", "uses_protected": "no"}


def predictions(rng: np.random.Generator, level: int, truth: np.ndarray, group: np.ndarray, runs: int) -> np.ndarray:
    """Draw predictions: errors in group 1 tend to class 0, less so at a higher level; each run changes some."""
    n_classes = truth.max() + 1
    wrong = rng.random(truth.size) < np.where(group == 1, 0.30 - 0.05 * level, 0.12)
    mistaken = np.where((group == 1) & (rng.random(truth.size) < 0.5), 0, rng.integers(0, n_classes, truth.size))
    changed = rng.random((runs, truth.size)) < 0.04
    return np.where(changed, rng.integers(0, n_classes, changed.shape), np.where(wrong, mistaken, truth))


def entry(name: str, run: int, arm: str, results: object) -> dict:
    parts = {"training data": digest("data"), "initial weights": digest("start", name), "first batch": digest("batch")}
    role = "control" if arm == "none" else "main"
    return {
        "training": f"training-{name}", "arm": arm, "seed": 0, "run": run, "role": role,
        "status": "done", "error": "", "link": f"runs/training-{name}/{arm}/run-{run:02d}/train.html",
        "fingerprint": digest(parts), "parts": parts, "final_weights": digest(name, arm, results),
        "predictions": {name: digest(name, arm, results)},
    }  # fmt: skip


def experiment(
    techniques: int = 3,
    runs: int = 6,
    classes: Collection[str] = ("0", "1", "2"),
    attributes: dict[str, list[str]] | None = None,
    alter: Callable[[str, np.ndarray], np.ndarray] = lambda name, values: values,
    units: int = 300,
    **analysis: object,
) -> Experiment:
    """Simulate predictions, their tables and evidence; `alter` changes the predictions (runs, rows) of a technique."""
    rng = np.random.default_rng(7)
    plan = make_plan(techniques, runs, list(classes), attributes or {"protected": ["gray", "tinted"]}, **analysis)
    truth, group = np.tile(np.arange(units) % len(classes), 2), np.repeat([0, 1], units)
    long, counts, evidence = [], [], []
    for level, name in enumerate(t["technique"] for t in plan["techniques"]):
        predicted = alter(name, predictions(rng, level, truth, group, runs))
        counted = confusion(truth, predicted, group, len(classes), 2)
        for attribute in plan["groups"]:
            long.append(metrics_table(name, "ulp", 0, range(runs), counted, attribute=attribute))
            counts.append(counts_table(name, "ulp", 0, range(runs), counted, False, attribute))
        evidence += [entry(name, run, "ulp", predicted[run].tobytes()) for run in range(runs)]
        evidence += [entry(name, run, "none", "control") for run in range(2)]
    return Experiment(plan, evidence, pd.concat(long, ignore_index=True), pd.concat(counts, ignore_index=True))


def without(found: Experiment, name: str, run: int, error: str) -> Experiment:
    """Return the same experiment where one run failed."""
    gone = {"status": "failed", "error": error, "fingerprint": "", "parts": {}, "final_weights": "", "predictions": {}}
    ours = lambda e: (e["training"], e["arm"], e["run"]) == (f"training-{name}", "ulp", run)  # noqa: E731
    evidence = [{**e, **gone} if ours(e) else e for e in found.evidence]
    left = [frame[~((frame["technique"] == name) & (frame["run"] == run))] for frame in (found.metrics, found.counts)]
    return replace(found, evidence=evidence, metrics=left[0], counts=left[1])


def with_parts(found: Experiment, name: str, run: int, **parts: str) -> Experiment:
    """Return the same experiment where one run recorded other parts (underscores in place of blanks)."""
    changed = {part.replace("_", " "): value for part, value in parts.items()}
    ours = lambda e: (e["training"], e["arm"], e["run"]) == (f"training-{name}", "ulp", run)  # noqa: E731
    evidence = [{**e, "parts": {**e["parts"], **changed}} if ours(e) else e for e in found.evidence]
    return replace(found, evidence=evidence)


def without_record(found: Experiment) -> Experiment:
    """Return the same predictions without any record of how they were made."""
    arm = {**found.plan["arms"][0], "noise": "unknown", "kind": "unknown", "seed": None}
    source = {"source": "predictions made elsewhere", "declared_before_first_run": False}
    return replace(found, plan={**found.plan, "arms": [arm], **source}, evidence=[])


def constant(name: str) -> Callable[[str, np.ndarray], np.ndarray]:
    return lambda technique, values: np.repeat(values[:1], len(values), axis=0) if technique == name else values
