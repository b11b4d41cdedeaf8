"""Evidence: what the runs of an experiment recorded about themselves, collected from disk as plain values."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from fitlib.experiment import Experiment
from fitlib.families import Family
from fitlib.plan import RunTask, State, last_line
from fitlib.predictions import with_crossed
from fitlib.store import FAILED, ExperimentPaths, read_json, read_record


def collect(paths: ExperimentPaths, states: Iterable[tuple[RunTask, State]], report: Path) -> list[dict]:
    """One dict per run, as `fitlib.identity` judges them; `status` is done, failed or missing.

    `report`: the folder of the report, from which the links lead to the runs.
    """
    return [_entry(paths, task, state, report) for task, state in states]


def _entry(paths: ExperimentPaths, task: RunTask, state: State, report: Path) -> dict:
    folder = task.folder(paths)
    entry = {
        "training": task.spec.name,
        "arm": task.arm.name,
        "seed": task.arm.seed,
        "run": task.run,
        "role": task.arm.role,
        "status": {"done": "done", "failed": "failed"}.get(state.state, "missing"),
        "error": last_line((read_json(folder / FAILED) or {}).get("error")) if state.state == "failed" else "",
        "link": os.path.relpath(folder / "train.html", report),
        "fingerprint": "",
        "parts": {},
        "final_weights": "",
        "predictions": {},
    }
    return {**entry, **_measured(folder)} if state.done else entry


def _measured(folder: object) -> dict:
    """What a finished run measured; the notebook's hash comes from the record of the process that executed it."""
    record, mark = read_record(folder), read_json(folder / "fingerprint.json")
    weights = [row for row in pq.read_table(folder / "digests.parquet").to_pylist() if row["part"] == "weights"]
    return {
        "fingerprint": mark["fingerprint"],
        "parts": {**mark["parts"], "notebook": record["key_parts"]["notebook"]},
        "final_weights": max(weights, key=lambda row: row["epoch"])["digest"],
        "predictions": prediction_hashes(record),
    }


def prediction_hashes(record: dict) -> dict[str, str]:
    """Hashes of a run's predictions, by technique."""
    prefix, suffix = "predictions/", ".parquet"
    named = {n: o["sha256"] for n, o in record["outputs"].items() if n.startswith(prefix)}
    return {name[len(prefix) : -len(suffix)]: digest for name, digest in named.items()}


def experiment_plan(experiment: Experiment, family: Family, deviations: list[str], declared: dict) -> dict:
    """A family's plan as the statistics notebook receives it: plain values, without the experiment's name."""
    return {
        "techniques": [_technique(experiment, t) for t in experiment.techniques if t.name in family.techniques],
        "arms": [
            {
                "arm": arm.name,
                "noise": arm.noise["name"],
                "kind": arm.kind,
                "role": arm.role,
                "seed": arm.seed,
                "runs": arm.runs,
                "options": {k: v for k, v in arm.noise.items() if k != "name"},
            }
            for arm in experiment.arms
        ],
        "data": family.trainings[0].settings["data"],
        "classes": list(family.classes),
        "groups": with_crossed(family.groups, experiment.declared["analysis"].get("cross")),
        "analysis": experiment.declared["analysis"],
        "declared_hash": declared["declared_hash"],
        "declared_before_first_run": declared["finished_runs_at_declaration"] == 0,
        "deviations": deviations,
        "source": "fitlib",
    }


def _technique(experiment: Experiment, technique: object) -> dict:
    spec = next(t for t in experiment.trainings if t.name == technique.training)
    return {
        "technique": technique.name,
        "training": technique.training,
        "baseline": technique.baseline,
        "method": spec.settings["method"]["name"],
        "inference": technique.inference,
        "select": spec.settings["training"]["select"],
        "uses_protected": technique.uses_protected,
    }
