"""Verification that the runs are those of the declared plan, and repetitions of the same training."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from fitlib.audit.deviations import Json, Verification, shorten
from fitlib.audit.executed_notebooks import Executed
from fitlib.audit.file_hashes import record_of
from fitlib.digest import digest_file, digest_json
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.declaration import declarations, latest_plan, read_declared
from fitlib.experiment.model import Experiment
from fitlib.experiment.notebooks import FOLDERS, notebook_path
from fitlib.experiment.parse import make_experiment
from fitlib.experiment.plan import Plan, PlannedRun, State, States, last_line
from fitlib.recording.saved_outputs import check_noise
from fitlib.statistics.run_identity import check_control
from fitlib.storage.atomic_files import read_json
from fitlib.storage.records import FAILED, RECORD, read_record

START = ("initial weights", "first batch", "data order")  # of one seed
# States of the generators at the start of a custom training
GENERATORS = ("random numbers", "random numbers of Python", "random numbers of NumPy")
SEEDED = (*START, "seed", *GENERATORS)
DECLARED = ("parameters", "backends", "threads", "fitlib source")  # may differ between arms: they contain the noise
EVERYWHERE = ("python", "torch build", "machine", "gpu")  # equal in all runs of an experiment, as are packages


@dataclass
class Runs:
    """The planned runs and their state on disk; empty without a plan that can be resolved.

    ``sound``: names of the finished runs whose evidence is readable and agrees with their records.
    """

    plan: Plan | None = None
    states: States = field(default_factory=list)
    sound: set[str] = field(default_factory=set)

    @property
    def experiment(self) -> Experiment | None:
        """The experiment of the plan, if there is one."""
        return self.plan.experiment if self.plan else None

    @property
    def starting_apart(self) -> set[str]:
        """Trainings whose runs start from different weights, as the plan declares."""
        specs = self.experiment.trainings if self.experiment else ()
        return {spec.name for spec in specs if spec.source.starts_apart}


def check_runs(found: Verification) -> Runs:
    """Check the declared plan and every planned run."""
    experiment = _declared_experiment(found)
    if experiment is None:
        return Runs()
    plan = Plan(experiment, found.paths)
    runs = Runs(plan)
    for run in plan.runs:
        runs.states.append((run, _run(found, runs, run)))
    found.count("runs", len(runs.sound))
    return runs


def _declared_experiment(found: Verification) -> Experiment | None:
    """Read the plan declared last, after comparing every declaration with its hash."""
    before = len(found.deviations)
    for path in declarations(found.paths):
        if path.exists():
            with found.reading(path):
                read_declared(found.paths, path)
        elif not found.is_missing(path):
            found.add_deviation(found.name_of(path), "missing: what was planned is not recorded")
    if len(found.deviations) > before or not found.paths.declared.exists():
        return None
    try:
        return make_experiment(latest_plan(found.paths), str(found.paths.declared), "verified")
    except InputError as error:  # a data set that reads its classes from files that are not present
        reason = f"{error.field}: {error.problem}; {error.remedy}"
        found.add_remark(
            "experiment.yaml", f"the plan cannot be resolved here, so runs are not compared with it ({reason})"
        )
        return None


# One run


def _run(found: Verification, runs: Runs, run: PlannedRun) -> State:
    folder = run.folder
    if not (folder / RECORD).is_file():
        return _unfinished(found, folder)
    record = record_of(found, folder / RECORD)
    if record is None:
        return State("done")
    planned = planned_parameters(run, str(record["key_parts"].get("notebook")))
    if planned is None:
        text = "is missing or has changed: cells were compared with their hash in the records, parameters with those"
        found.add_remark(f"runs/{run.spec.name}", f"{run.spec.source.method} {text} that the plan passed to it")
    elif record["key_parts"].get("parameters") != _parameters_part(run, planned):
        found.add_deviation(found.name_of(folder / RECORD), "the run's parameters are not those of the declared plan")
    evidence = [
        path for name in (RECORD, *_evidence_files(run, record)) if not found.is_left_out(path := folder / name)
    ]
    has_fingerprint = _fingerprint(found, run, record) is not None
    if has_fingerprint and read_record(folder) and all(map(found.is_unaltered, evidence)):
        runs.sound.add(run.name)
    return State("done")


def _evidence_files(run: PlannedRun, record: Mapping) -> list[str]:
    """Return the outputs of a run that evidence is read from; a training without `Recorder` has no digests."""
    files = ["fingerprint.json", *(n for n in ("digests.parquet", "names.json") if n in record["outputs"])]
    return files + ([n for n in record["outputs"] if n.startswith("predictions/")] if run.spec.source.checked else [])


def planned_parameters(run: PlannedRun, notebook: str, names: Iterable[str] = ()) -> dict[str, object] | None:
    """Return the planned parameters of a run that executed the notebook of this hash.

    Of a custom notebook that is missing or has changed, only those in ``names`` are known (None without any).
    """
    return run.spec.source.recorded_parameters(run.shared_parameters, run.spec.techniques, notebook, names)


def _parameters_part(run: PlannedRun, parameters: Mapping[str, object]) -> str:
    return run.spec.source.parameters_part(parameters, run.spec.techniques)


def check_recorded(found: Verification, run: PlannedRun, executed: Executed) -> None:
    """Compare the parameters of an executed notebook with their hash in its record."""
    record = read_json(run.folder / RECORD) or {}
    given = {name: value for name, value in executed.parameters.items() if name not in FOLDERS}
    if (record.get("key_parts") or {}).get("parameters") != _parameters_part(run, given):
        found.add_deviation(executed.name, "its parameters do not have the hash in its record")


def _unfinished(found: Verification, folder: Path) -> State:
    failure = read_json(folder / FAILED)
    if failure is not None:
        found.add_deviation(found.name_of(folder), f"the run failed: {last_line(failure.get('error'))}")
        return State("failed")
    if not found.is_missing(folder / RECORD):
        found.add_deviation(found.name_of(folder), "the run is missing: it is planned but not finished")
    return State("new")


def _fingerprint(found: Verification, run: PlannedRun, record: Mapping) -> Json | None:
    """Read a run's fingerprint.json and compare it with itself, the plan and the digests; None if unreadable."""
    path = run.folder / "fingerprint.json"
    if not path.is_file():
        return None
    with found.reading(path):
        fingerprint = json.loads(path.read_text(encoding="utf-8"))
        parts = dict(fingerprint["parts"])
        if fingerprint["fingerprint"] != digest_json(parts):
            found.add_deviation(found.name_of(path), "the fingerprint is not the hash of its parts")
        for part, expected in _expected_parts(found, run, record).items():
            if part in parts and parts[part] != expected:
                text = f"part '{part}' is {shorten(parts[part])}, which does not follow from plan and digests.parquet"
                found.add_deviation(found.name_of(path), text)
        _check_noise(found, run, fingerprint)
        return fingerprint
    return None


def _check_noise(found: Verification, run: PlannedRun, fingerprint: Mapping) -> None:
    """Compare a run's recorded noise with the plan, field by field; fields that only the record has are ignored."""
    if run.spec.source.checked:
        _check_custom_noise(found, run, fingerprint)
        return
    planned = {**run.arm.noise, **{name: run.shared_parameters[name] for name in ("noise_seed", "run")}}
    noise = fingerprint.get("noise") or {}
    for name in (name for name in planned if name in noise and noise[name] != planned[name]):
        text = f"noise: {name} is {shorten(noise[name])}, but {shorten(planned[name])} in the plan"
        found.add_deviation(found.name_of(run.folder / "fingerprint.json"), text)


def _check_custom_noise(found: Verification, run: PlannedRun, fingerprint: Mapping) -> None:
    try:
        check_noise(dict(fingerprint), run)
    except RunFailed as error:
        path = run.folder / "fingerprint.json"
        found.add_deviation(found.name_of(path), str(error).partition(": ")[0])


def _expected_parts(found: Verification, run: PlannedRun, record: Mapping) -> dict[str, str]:
    """Return the parts of a fingerprint that follow from the plan (for fitlib's notebook) and the recorded digests."""
    expected = {}
    if record["key_parts"].get("notebook") == digest_file(notebook_path("train")):
        expected["parameters"] = digest_json({k: v for k, v in run.parameters.items() if k not in ("run", "threads")})
    path = run.folder / "digests.parquet"
    if path.is_file() and found.is_unaltered(path):
        with found.reading(path):
            rows = pq.read_table(path).to_pylist()
            expected |= {row["part"]: row["digest"] for row in rows if row["part"] in START}
            expected["data order"] = digest_json([row["digest"] for row in rows if row["part"] == "order"])
    return expected


# All runs together


def check_sameness(
    found: Verification, runs: Runs, evidence: Sequence[Json], by_design: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Report runs that differ in fingerprint or start from their training, or in machine or software from the rest.

    A run is compared with its arm first, then with its training, then with all; each difference is reported once.
    Beyond its arm, a part is compared only where a run has it: trainings import different packages, and not all of them
    use the GPU. Control runs must be bit-identical. ``by_design``: arms in which a seed varies between runs, with the
    parts that are therefore not compared.
    """
    done = [{**entry, "parts": split_packages(entry["parts"])} for entry in evidence if entry["status"] == "done"]
    varied = by_design or {}
    reported: set[tuple] = set()

    def compare(scope: str, key: Callable[[Json], Hashable], is_compared: Callable[[str], bool]) -> None:
        for entries in _grouped(done, key):
            for part in dict.fromkeys(p for entry in entries for p in entry["parts"] if is_compared(p)):
                compared = [e for e in entries if part not in varied.get(e["arm"], ())]
                if scope != "its arm":
                    compared = [e for e in compared if part in e["parts"]]
                if scope == "the experiment" and part == "gpu":
                    compared = [e for e in compared if e["parts"][part] != "none"]
                _report_deviating(found, scope, part, compared, reported, runs.starting_apart)

    compare("its arm", lambda e: (e["training"], e["arm"]), lambda part: True)
    compare("its training at this seed", lambda e: (e["training"], e["seed"]), lambda part: part in SEEDED)
    compare("its training", lambda e: e["training"], lambda part: part not in (*SEEDED, *DECLARED))
    compare("the experiment", lambda e: True, lambda part: part in EVERYWHERE or part.startswith("package "))
    for training in dict.fromkeys(entry["training"] for entry in evidence):
        control = check_control(evidence, training)
        if control.identical is False:
            found.add_deviation(f"runs/{training}", f"the control arm {control.text}")


def _report_deviating(
    found: Verification, scope: str, part: str, entries: Sequence[Json], reported: set[tuple], starting_apart: set[str]
) -> None:
    """Report the runs whose part differs from the most frequent value among these entries."""
    values = Counter(str(entry["parts"].get(part)) for entry in entries)
    usual, count = values.most_common(1)[0] if values else ("", 0)
    for entry in entries:
        run, value = (entry["training"], entry["arm"], entry["run"]), str(entry["parts"].get(part))
        if value == usual or (*run, part) in reported:
            continue
        reported.add((*run, part))
        if part == "initial weights" and entry["training"] in starting_apart:
            text = "they start from different weights, as the plan declares (seeding after-network): no FIT runs"
            found.add_remark(f"runs/{entry['training']}/{entry['arm']}", text)
            continue
        text = f"{part} is {shorten(value)}, but {shorten(usual)} in {count} of {len(entries)} runs of {scope}"
        found.add_deviation(f"{folder_name(entry)}/fingerprint.json", text)


def folder_name(entry: Mapping) -> str:
    """Return the folder of a run of the evidence, relative to the experiment's."""
    return f"runs/{entry['training']}/{entry['arm']}/run-{int(entry['run']):02d}"


def split_packages(parts: Mapping[str, str]) -> dict[str, str]:
    """Split the packages of a fingerprint into one part each, so that a differing one can be reported.

    >>> split_packages({"machine": "x86_64", "packages": "torch 2.0, numpy 1.0"})
    {'machine': 'x86_64', 'package torch': '2.0', 'package numpy': '1.0'}
    """
    packages = (text.rpartition(" ") for text in str(parts.get("packages", "")).split(", ") if text)
    rest = {part: value for part, value in parts.items() if part != "packages"}
    return rest | {f"package {name}": version for name, _, version in packages}


def _grouped(entries: Iterable[Json], key: Callable[[Json], Hashable]) -> list[list[Json]]:
    groups: dict[Hashable, list[Json]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    return list(groups.values())
