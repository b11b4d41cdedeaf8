"""The declared plan: written down and hashed before the first run; later changes are kept beside it and told."""

from __future__ import annotations

from pathlib import Path

import yaml

from fitlib.errors import InputError
from fitlib.experiment import Experiment
from fitlib.store import ExperimentPaths, note_deviation, read_record, write_atomically


def declare(experiment: Experiment, paths: ExperimentPaths) -> None:
    """Write the plan down, hashed, before the first run; later changes are kept beside it and noted as deviations."""
    first = read_declared(paths)
    if first is None:
        _write_declared(paths.declared, experiment, _finished(paths))
        return
    latest = read_declared(paths, _latest(paths))
    if latest["declared_hash"] != experiment.declared_hash:
        number = len(_declarations(paths)) + 1
        _write_declared(paths.declared.with_name(f"experiment-{number}.yaml"), experiment, _finished(paths))
        for change in _differences(latest["plan"], experiment.declared):
            note_deviation(paths, f"the plan was changed after {_finished(paths)} finished runs: {change}")


def read_declared(paths: ExperimentPaths, path: Path | None = None) -> dict | None:
    """The declared plan (the first one, if no path is given) with its hash, or None."""
    try:
        declared = yaml.safe_load((path or paths.declared).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError) as error:
        problem, remedy = f"cannot be read ({error})".replace("\n", " "), "restore it, or start in an empty folder"
        raise InputError(str(path or paths.declared), "file", "experiment.yaml", problem, remedy) from None
    return declared


def latest_plan(paths: ExperimentPaths) -> dict | None:
    """The plan that was declared last."""
    declared = read_declared(paths, _latest(paths))
    return declared and declared["plan"]


def _finished(paths: ExperimentPaths) -> int:
    return sum(read_record(path.parent) is not None for path in paths.root.glob("runs/*/*/run-*/record.json"))


def _declarations(paths: ExperimentPaths) -> list[Path]:
    later = paths.root.glob("experiment-*.yaml")
    return [paths.declared, *sorted(later, key=lambda p: int(p.stem.rpartition("-")[2]))]


def _latest(paths: ExperimentPaths) -> Path:
    return _declarations(paths)[-1]


def _write_declared(path: Path, experiment: Experiment, finished: int) -> None:
    content = {
        "declared_hash": experiment.declared_hash,
        "finished_runs_at_declaration": finished,
        "plan": experiment.declared,
    }
    write_atomically(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _differences(old: object, new: object, prefix: str = "") -> list[str]:
    """Every field in which two plans differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(name for name in new if name not in old)]
        return [d for n in names for d in _differences(old.get(n), new.get(n), f"{prefix}.{n}" if prefix else str(n))]
    return [] if old == new else [f"{prefix} was {_short(old)}, is {_short(new)}"]


def _short(value: object) -> str:
    if value is None:
        return "not there"
    return f"{{{', '.join(map(str, value))}}}" if isinstance(value, dict) else str(value)
