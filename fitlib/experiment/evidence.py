"""Evidence: what the runs of an experiment recorded about themselves, collected from disk as plain values."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from fitlib.digest import digest_json
from fitlib.experiment.families import Family, class_number, notes_on
from fitlib.experiment.model import Experiment
from fitlib.experiment.plan import PlannedRun, State, States, last_line
from fitlib.storage.atomic_files import read_json
from fitlib.storage.predictions import with_crossed
from fitlib.storage.records import FAILED, read_record


def collect(states: States, report: Path) -> list[dict]:
    """One dict per run, as `fitlib.statistics.run_identity` judges them; `status` is done, failed or missing.

    `report`: the folder of the report, from which the links lead to the runs.
    """
    entries = [_entry(run, state, report) for run, state in states]
    for together in _by_arm(entries).values():
        compare_shared_epochs(together)
    return entries


def _by_arm(entries: Iterable[dict]) -> dict[tuple, list[dict]]:
    """Finished runs of each training and arm."""
    found: dict[tuple, list[dict]] = {}
    for entry in (entry for entry in entries if entry["status"] == "done"):
        found.setdefault((entry["training"], entry["arm"]), []).append(entry)
    return found


def compare_shared_epochs(entries: list[dict]) -> None:
    """Where trainings stop by themselves, the order of the data is compared over the epochs that all runs reached.

    A run that needs one epoch more is no other training; only `parts` are changed, the fingerprint stays as measured.
    """
    orders = [entry.pop("orders") for entry in entries]
    if len({len(order) for order in orders}) > 1:
        shared = min(map(len, orders))
        for entry, order in zip(entries, orders, strict=True):
            entry["parts"]["data order"] = digest_json(order[:shared])


def _entry(run: PlannedRun, state: State, report: Path) -> dict:
    folder = run.folder
    entry = {
        "training": run.spec.name,
        "arm": run.arm.name,
        "seed": run.arm.seed,
        "run": run.index,
        "role": run.arm.role,
        "status": {"done": "done", "failed": "failed"}.get(state.state, "missing"),
        "error": last_line((read_json(folder / FAILED) or {}).get("error")) if state.state == "failed" else "",
        "link": os.path.relpath(folder / "train.html", report),
        "fingerprint": "",
        "parts": {},
        "final_weights": "",
        "predictions": {},
    }
    return {**entry, **_measured(folder)} if state.done else entry


def _measured(folder: Path) -> dict:
    """What a finished run measured; the notebook's hash comes from the record of the process that executed it.

    `recorded`: whether it was seen how the run started and went on; else there is no digest of the final weights ("").
    """
    record, mark = read_record(folder), read_json(folder / "fingerprint.json")
    digests = _digests(folder / "digests.parquet")
    return {
        "fingerprint": mark["fingerprint"],
        "parts": {**mark["parts"], "notebook": record["key_parts"]["notebook"]},
        "recorded": mark.get("recorded", True),
        "final_weights": (digests.get("weights") or [""])[-1],
        "orders": digests.get("order", []),
        "predictions": prediction_hashes(record),
    }


def _digests(path: Path) -> dict[str, list[str]]:
    """Digests of each part of a run in the order of their epochs; {} where none were recorded."""
    found: dict[str, list[str]] = {}
    rows = pq.read_table(path).to_pylist() if path.is_file() else []
    for row in sorted(rows, key=lambda row: row["epoch"]):
        found.setdefault(row["part"], []).append(row["digest"])
    return found


def prediction_hashes(record: dict) -> dict[str, str]:
    """Hashes of a run's predictions, by technique."""
    prefix, suffix = "predictions/", ".parquet"
    named = {n: o["sha256"] for n, o in record["outputs"].items() if n.startswith(prefix)}
    return {name[len(prefix) : -len(suffix)]: digest for name, digest in named.items()}


def experiment_plan(experiment: Experiment, family: Family, deviations: list[str], declared: dict) -> dict:
    """A family's plan as the statistics notebook receives it: plain values, without the experiment's name."""
    analysis = experiment.declared["analysis"]
    favourable = class_number(analysis["favourable"], family.classes, "plan") if family.known else None
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
        "data": family.trainings[0].source.data or {"name": "unknown"},
        "classes": list(family.classes),
        "groups": with_crossed(family.groups, analysis.get("cross")),
        "analysis": {**analysis, "favourable": favourable},
        "declared_hash": declared["declared_hash"],
        "declared_before_first_run": declared["finished_runs_at_declaration"] == 0,
        "deviations": deviations,
        "notes": notes_on(family),
        "source": "fitlib",
    }


def _technique(experiment: Experiment, technique: object) -> dict:
    spec = next(t for t in experiment.trainings if t.name == technique.training)
    return {
        "technique": technique.name,
        "training": technique.training,
        "baseline": technique.baseline,
        "method": spec.source.method,
        "inference": technique.inference,
        "select": spec.source.select,
        "uses_protected": technique.uses_protected,
    }
