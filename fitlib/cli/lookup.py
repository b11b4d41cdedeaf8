"""Finding the experiment that a command names: by its file, by its name in the outputs folder, or by a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.errors import InputError

if TYPE_CHECKING:
    from fitlib.experiment.model import Experiment
    from fitlib.storage.paths import ExperimentPaths


def experiment_from_file(options: argparse.Namespace) -> tuple[Experiment, ExperimentPaths]:
    """Read the experiment file that the options name; InputError for a technique in `--only` that it lacks."""
    from fitlib.experiment.parse import read_experiment
    from fitlib.storage.paths import ExperimentPaths

    experiment = read_experiment(options.file, options.set, options.runs)
    names = [t.name for t in experiment.techniques]
    for name in options.only:
        if name not in names:
            raise InputError(str(options.file), "--only", name, "unknown technique", f"known: {', '.join(names)}")
    return experiment, ExperimentPaths(options.outputs / experiment.name)


def experiment_from_outputs(outputs: Path, name: str) -> tuple[Experiment, ExperimentPaths]:
    """Return the experiment `name` as its latest plan declares it; InputError where `outputs` has none of that name."""
    from fitlib.experiment.declaration import latest_plan
    from fitlib.experiment.parse import make_experiment
    from fitlib.storage.paths import ExperimentPaths

    paths = ExperimentPaths(outputs / name)
    declared = latest_plan(paths) if Path(name).name == name else None
    if declared is None:
        raise _not_found(outputs, name, "no such experiment")
    return make_experiment(declared, str(paths.declared), name), paths


def result_folder(options: argparse.Namespace) -> Path:
    """Return the folder of an experiment, given by its name, or of an analysis, given by its path."""
    by_name = options.outputs / options.experiment
    root = by_name if by_name.is_dir() else Path(options.experiment)
    if not root.is_dir():
        raise _not_found(options.outputs, options.experiment, "no such folder")
    return root


def experiment_names(outputs: Path) -> list[str]:
    """List the experiments in the outputs folder."""
    return sorted(p.parent.name for p in outputs.glob("*/experiment.yaml"))


def _not_found(outputs: Path, name: str, problem: str) -> InputError:
    existing = ", ".join(experiment_names(outputs)) or "none yet"
    return InputError(str(outputs), "EXPERIMENT", name, problem, f"existing experiments: {existing}")
