"""The declared plan: written and hashed before the first run, with later changes kept and reported beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from fitlib.errors import InputError
from fitlib.experiment.model import Experiment, plan_hash
from fitlib.experiment.parse import make_experiment
from fitlib.experiment.schema import validated
from fitlib.options import Options
from fitlib.storage.atomic_files import write_atomically
from fitlib.storage.journal import note_deviation
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import read_record
from fitlib.yaml_files import read_yaml

LATER = re.compile(r"experiment-([0-9]+)\.yaml")
RESTORE = "restore it, or start in an empty folder"


class DeclaredFields(Options):
    """A declared plan as stored on disk."""

    declared_hash: str
    finished_runs_at_declaration: int = Field(ge=0)
    plan: dict[str, Any]


def declare(experiment: Experiment, paths: ExperimentPaths) -> None:
    """Write the plan and its hash before the first run; keep later changes beside it and note them as deviations."""
    first = read_declared(paths)
    if first is None:
        _write_declared(paths.declared, experiment, _finished(paths))
        return
    latest = _with_current_defaults(latest_plan(paths) or {})
    if plan_hash(latest) != experiment.declared_hash:
        finished, number = _finished(paths), _number(_latest(paths)) + 1
        for change in _differences(latest, experiment.declared):  # before the file: a kill in between loses no note
            note_deviation(paths, f"the plan was changed after {finished} finished runs: {change}")
        _write_declared(paths.declared.with_name(f"experiment-{number}.yaml"), experiment, finished)


def _with_current_defaults(plan: dict[str, Any]) -> dict[str, Any]:
    """Add the defaults of fields that are new in this version of fitlib; return a plan that cannot be read unchanged.

    A declared plan is itself an experiment file: a field that did not exist when it was written has its default.
    """
    try:
        return make_experiment(plan, "declared plan", "declared").declared
    except InputError:
        return plan


def read_declared(paths: ExperimentPaths, path: Path | None = None) -> dict | None:
    """Read a declared plan (the first one, if no path is given) with its hash; None if there is no such file.

    Raises InputError for a file that is empty, damaged, or was edited after it was written.
    """
    path = path or paths.declared
    if not path.exists():
        return None
    try:
        return _checked(read_yaml(path), path)
    except InputError as error:
        raise InputError(str(path), error.field, error.value, error.problem, RESTORE) from None


def _checked(content: object, path: Path) -> dict:
    where = str(path)
    if not isinstance(content, dict):
        problem = "the file is empty" if content is None else "not a declared plan"
        raise InputError(where, "file", content, problem, RESTORE)
    declared = validated(DeclaredFields, content, where).model_dump()
    plan = declared["plan"]
    if not isinstance(plan.get("techniques"), dict) or plan_hash(plan) != declared["declared_hash"]:
        problem = "the declared plan was edited after it was written"
        raise InputError(where, "declared_hash", declared["declared_hash"], problem, RESTORE)
    return declared


def latest_plan(paths: ExperimentPaths) -> dict | None:
    """Read the plan that was declared last; None before the first declaration."""
    declared = read_declared(paths, _latest(paths))
    return declared and declared["plan"]


def _finished(paths: ExperimentPaths) -> int:
    return sum(read_record(path.parent) is not None for path in paths.root.glob("runs/*/*/run-*/record.json"))


def declarations(paths: ExperimentPaths) -> list[Path]:
    """Return the files of the declared plans, the first one first; that one may be missing."""
    later = [path for path in paths.root.glob("experiment-*.yaml") if LATER.fullmatch(path.name)]
    return [paths.declared, *sorted(later, key=_number)]


def _number(path: Path) -> int:
    later = LATER.fullmatch(path.name)
    return int(later[1]) if later else 1


def _latest(paths: ExperimentPaths) -> Path:
    return declarations(paths)[-1]


def _write_declared(path: Path, experiment: Experiment, finished: int) -> None:
    content = {
        "declared_hash": experiment.declared_hash,
        "finished_runs_at_declaration": finished,
        "plan": experiment.declared,
    }
    write_atomically(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _differences(old: object, new: object, prefix: str = "") -> list[str]:
    """Describe every field in which two plans differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(name for name in new if name not in old)]
        return [d for n in names for d in _differences(old.get(n), new.get(n), f"{prefix}.{n}" if prefix else str(n))]
    return [] if old == new else [f"{prefix} was {_short(old)}, is {_short(new)}"]


def _short(value: object) -> str:
    if value is None:
        return "not there"
    return f"{{{', '.join(map(str, value))}}}" if isinstance(value, dict) else str(value)
