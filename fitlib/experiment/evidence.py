"""Evidence: what the runs of an experiment recorded about themselves, collected from disk as plain values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fitlib.digest import digest_json
from fitlib.errors import RunFailed
from fitlib.experiment.families import Family, class_number, data_notes
from fitlib.experiment.model import Experiment, Technique
from fitlib.experiment.plan import PlannedRun, State, States, last_line
from fitlib.experiment.registry.noises import VARIATIONS, VARIED
from fitlib.storage.atomic_files import read_json
from fitlib.storage.predictions import with_crossed
from fitlib.storage.records import FAILED, read_record
from fitlib.storage.run_files import FINGERPRINT_FILE


def collect_evidence(states: States, report: Path) -> list[dict]:
    """Collect one dictionary per run, as `fitlib.statistics.run_identity` expects; `status`: done, failed or missing.

    report: the folder of the report, which the links to the runs are relative to.
    """
    entries = [_entry(run, state, report) for run, state in states]
    for together in _by_arm(entries).values():
        compare_shared_epochs(together)
    return entries


def _by_arm(entries: Iterable[dict]) -> dict[tuple, list[dict]]:
    """Group the finished runs by training and arm."""
    found: dict[tuple, list[dict]] = {}
    for entry in (entry for entry in entries if entry["status"] == "done"):
        found.setdefault((entry["training"], entry["arm"]), []).append(entry)
    return found


def compare_shared_epochs(entries: list[dict]) -> None:
    """Compare the data order over the epochs that all runs reached, where trainings stop early.

    A run that needs one epoch more is not a different training. Only `parts` change; the fingerprint stays as measured.
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
    if run.arm.kind == VARIED:
        entry["varied"] = VARIATIONS[run.arm.noise["name"]].summary.removeprefix(f"{VARIED}: ")
    return {**entry, **_measured(folder)} if state.done else entry


def _measured(folder: Path) -> dict:
    """Return what a finished run measured; the notebook's hash is taken from the record of the executing process.

    recorded: whether start and course of the run were recorded; if not, the digest of the final weights is "".
    """
    record, mark = read_record(folder), read_json(folder / FINGERPRINT_FILE)
    if record is None or mark is None:
        raise RunFailed(f"{folder}: its record or {FINGERPRINT_FILE} cannot be read")
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
    """Return the digests of each part of a run in the order of the epochs; {} where none were recorded."""
    found: dict[str, list[str]] = {}
    rows = pq.read_table(path).to_pylist() if path.is_file() else []
    for row in sorted(rows, key=lambda row: row["epoch"]):
        found.setdefault(row["part"], []).append(row["digest"])
    return found


def prediction_hashes(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the hashes of a run's predictions, by technique."""
    prefix, suffix = "predictions/", ".parquet"
    named = {n: o["sha256"] for n, o in record["outputs"].items() if n.startswith(prefix)}
    return {name[len(prefix) : -len(suffix)]: digest for name, digest in named.items()}


def experiment_plan(experiment: Experiment, family: Family, deviations: list[str], declared: dict) -> dict:
    """Return a family's plan as the statistics notebook receives it: plain values, without the experiment's name."""
    analysis = experiment.declared["analysis"]
    favourable = class_number(analysis["favourable"], family.classes, "plan") if family.has_names else None
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
        "notes": data_notes(family),
        "source": "fitlib",
    }


def _technique(experiment: Experiment, technique: Technique) -> dict:
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
