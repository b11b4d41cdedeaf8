"""Were the runs those of the declared plan, and really the same training? Plan, records, fingerprints and starts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from fitlib.audit.deviations import Json, Verification, shown
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
GENERATORS = ("random numbers", "random numbers of Python", "random numbers of NumPy")  # as an own training found them
SEEDED = (*START, "seed", *GENERATORS)
DECLARED = ("parameters", "backends", "threads", "fitlib source")  # may differ between arms: the noise is in them
EVERYWHERE = ("python", "torch build", "machine", "gpu")  # and the packages: equal in all runs of an experiment


@dataclass
class Runs:
    """The planned runs and what stands on disk of them; without a plan that can be resolved, none.

    ``sound``: names of the finished runs whose evidence can be read and is as their records say.
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
    """Check the declared plan and every run that it names."""
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
    """The plan declared last, after every declaration was compared with its hash."""
    before = len(found.deviations)
    for path in declarations(found.paths):
        if path.exists():
            with found.reading(path):
                read_declared(found.paths, path)
        elif not found.is_gone(path):
            found.deviates(found.name(path), "missing: nothing says what was planned")
    if len(found.deviations) > before or not found.paths.declared.exists():
        return None
    try:
        return make_experiment(latest_plan(found.paths), str(found.paths.declared), "verified")
    except InputError as error:  # a data set that names its classes from its files, which are not here
        told = f"{error.field}: {error.problem}; {error.remedy}"
        found.remark("experiment.yaml", f"the plan cannot be resolved here, so runs are not compared with it ({told})")
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
        text = "is not here as it ran: cells were compared with their hash in the records, parameters with those of"
        found.remark(f"runs/{run.spec.name}", f"{run.spec.source.method} {text} the plan that it was passed")
    elif record["key_parts"].get("parameters") != _parameters_part(run, planned):
        found.deviates(found.name(folder / RECORD), "the run's parameters are not those of the declared plan")
    read = [path for name in (RECORD, *_read_of(run, record)) if not found.without(path := folder / name)]
    known = _fingerprint(found, run, record) is not None
    if known and read_record(folder) and all(map(found.unaltered, read)):
        runs.sound.add(run.name)
    return State("done")


def _read_of(run: PlannedRun, record: Mapping) -> list[str]:
    """Outputs of a run that plan and evidence are made from; a training that nobody recorded has no digests."""
    files = ["fingerprint.json", *(n for n in ("digests.parquet", "names.json") if n in record["outputs"])]
    return files + ([n for n in record["outputs"] if n.startswith("predictions/")] if run.spec.source.checked else [])


def planned_parameters(run: PlannedRun, notebook: str, names: Iterable[str] = ()) -> dict[str, object] | None:
    """Parameters, by the plan, of a run of the notebook of this hash; of an own notebook that is not here as it ran,
    those with these ``names`` (None without).
    """
    return run.spec.source.recorded_parameters(run.shared_parameters, run.spec.techniques, notebook, names)


def _parameters_part(run: PlannedRun, parameters: Mapping[str, object]) -> str:
    return run.spec.source.parameters_part(parameters, run.spec.techniques)


def check_recorded(found: Verification, run: PlannedRun, executed: Executed) -> None:
    """The parameters of an executed notebook must be those that its record has the hash of."""
    record = read_json(run.folder / RECORD) or {}
    given = {name: value for name, value in executed.parameters.items() if name not in FOLDERS}
    if (record.get("key_parts") or {}).get("parameters") != _parameters_part(run, given):
        found.deviates(executed.name, "its parameters are not those that its record has the hash of")


def _unfinished(found: Verification, folder: Path) -> State:
    failure = read_json(folder / FAILED)
    if failure is not None:
        found.deviates(found.name(folder), f"the run failed: {last_line(failure.get('error'))}")
        return State("failed")
    if not found.is_gone(folder / RECORD):
        found.deviates(found.name(folder), "the run is missing: it is planned, and no finished run is there")
    return State("new")


def _fingerprint(found: Verification, run: PlannedRun, record: Mapping) -> Json | None:
    """The run's fingerprint.json, compared with itself, the plan and the digests; None if it cannot be read."""
    path = run.folder / "fingerprint.json"
    if not path.is_file():
        return None
    with found.reading(path):
        mark = json.loads(path.read_text(encoding="utf-8"))
        parts = dict(mark["parts"])
        if mark["fingerprint"] != digest_json(parts):
            found.deviates(found.name(path), "the fingerprint is not the hash of its parts")
        for part, expected in _expected_parts(found, run, record).items():
            if part in parts and parts[part] != expected:
                text = f"part '{part}' is {shown(parts[part])}, not what plan and digests.parquet give"
                found.deviates(found.name(path), text)
        _check_noise(found, run, mark)
        return mark
    return None


def _check_noise(found: Verification, run: PlannedRun, mark: Mapping) -> None:
    """What the run says of its noise must be what the plan says; `entropy: os` and the like are the noise's own."""
    if run.spec.source.checked:
        _check_own_noise(found, run, mark)
        return
    planned = {**run.arm.noise, **{name: run.shared_parameters[name] for name in ("noise_seed", "run")}}
    noise = mark.get("noise") or {}
    for name in (name for name in planned if name in noise and noise[name] != planned[name]):
        text = f"noise: {name} is {shown(noise[name])}, the plan says {shown(planned[name])}"
        found.deviates(found.name(run.folder / "fingerprint.json"), text)


def _check_own_noise(found: Verification, run: PlannedRun, mark: Mapping) -> None:
    try:
        check_noise(dict(mark), run)
    except RunFailed as error:
        path = run.folder / "fingerprint.json"
        found.deviates(found.name(path), str(error).partition(": ")[0])


def _expected_parts(found: Verification, run: PlannedRun, record: Mapping) -> dict[str, str]:
    """Parts of the fingerprint that follow from the plan (of fitlib's own notebook) and from the recorded digests."""
    expected = {}
    if record["key_parts"].get("notebook") == digest_file(notebook_path("train")):
        expected["parameters"] = digest_json({k: v for k, v in run.parameters.items() if k not in ("run", "threads")})
    path = run.folder / "digests.parquet"
    if path.is_file() and found.unaltered(path):
        with found.reading(path):
            rows = pq.read_table(path).to_pylist()
            expected |= {row["part"]: row["digest"] for row in rows if row["part"] in START}
            expected["data order"] = digest_json([row["digest"] for row in rows if row["part"] == "order"])
    return expected


# All runs together


def check_sameness(
    found: Verification, runs: Runs, evidence: Sequence[Json], by_design: Mapping[str, Sequence[str]] | None = None
) -> None:
    """All runs of a training share one fingerprint and one start; all runs of an experiment one machine and software.

    A run is compared with its arm first, then with its training, then with all; what differs is told once. Beyond its
    arm a part counts where a run has it: trainings import different packages, and not all of them compute on the GPU.
    Control runs must be bit-identical. ``by_design``: arms in which a seed is what varies between runs, with the parts
    that are therefore not compared.
    """
    done = [{**entry, "parts": expanded(entry["parts"])} for entry in evidence if entry["status"] == "done"]
    varied, told = by_design or {}, set()

    def compare(scope: str, key: Callable[[Json], Hashable], of: Callable[[str], bool]) -> None:
        for entries in _grouped(done, key):
            for part in dict.fromkeys(p for entry in entries for p in entry["parts"] if of(p)):
                compared = [e for e in entries if part not in varied.get(e["arm"], ())]
                if scope != "its arm":
                    compared = [e for e in compared if part in e["parts"]]
                if scope == "the experiment" and part == "gpu":
                    compared = [e for e in compared if e["parts"][part] != "none"]
                _name_odd(found, scope, part, compared, told, runs.starting_apart)

    compare("its arm", lambda e: (e["training"], e["arm"]), lambda part: True)
    compare("its training at this seed", lambda e: (e["training"], e["seed"]), lambda part: part in SEEDED)
    compare("its training", lambda e: e["training"], lambda part: part not in (*SEEDED, *DECLARED))
    compare("the experiment", lambda e: True, lambda part: part in EVERYWHERE or part.startswith("package "))
    for training in dict.fromkeys(entry["training"] for entry in evidence):
        control = check_control(evidence, training)
        if control.identical is False:
            found.deviates(f"runs/{training}", f"the control arm {control.text}")


def _name_odd(
    found: Verification, scope: str, part: str, entries: Sequence[Json], told: set[tuple], apart: set[str]
) -> None:
    """Name the runs whose part is not the most frequent one of these entries."""
    values = Counter(str(entry["parts"].get(part)) for entry in entries)
    usual, count = values.most_common(1)[0] if values else ("", 0)
    for entry in entries:
        run, value = (entry["training"], entry["arm"], entry["run"]), str(entry["parts"].get(part))
        if value == usual or (*run, part) in told:
            continue
        told.add((*run, part))
        if part == "initial weights" and entry["training"] in apart:
            text = "they start from different weights, as the plan declares (seeding after-network): no FIT runs"
            found.remark(f"runs/{entry['training']}/{entry['arm']}", text)
            continue
        text = f"{part} is {shown(value)}, but {shown(usual)} in {count} of {len(entries)} runs of {scope}"
        found.deviates(f"{folder_name(entry)}/fingerprint.json", text)


def folder_name(entry: Mapping) -> str:
    """The folder of a run of the evidence, relative to the experiment's."""
    return f"runs/{entry['training']}/{entry['arm']}/run-{int(entry['run']):02d}"


def expanded(parts: Mapping[str, str]) -> dict[str, str]:
    """Parts of a fingerprint with every package a part of its own, so that the one that differs is named."""
    packages = (text.rpartition(" ") for text in str(parts.get("packages", "")).split(", ") if text)
    rest = {part: value for part, value in parts.items() if part != "packages"}
    return rest | {f"package {name}": version for name, _, version in packages}


def _grouped(entries: Iterable[Json], key: Callable[[Json], Hashable]) -> list[list[Json]]:
    groups: dict[Hashable, list[Json]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    return list(groups.values())
