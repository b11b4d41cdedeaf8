"""Finding the experiment that a command names: by its file, by its name in the outputs folder, or by a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from fitlib.experiment.model import Experiment
    from fitlib.storage.paths import ExperimentPaths


def experiment_from_file(options: argparse.Namespace) -> tuple[Experiment, ExperimentPaths]:
    """Read the experiment file that the options name; InputError for a technique in `--only` that it lacks."""
    from fitlib.experiment.parse import read_experiment
    from fitlib.storage.paths import ExperimentPaths

    _check_file(options.file)
    experiment = read_experiment(options.file, options.set, options.runs)
    names = [t.name for t in experiment.techniques]
    for name in options.only:
        if name not in names:
            remedy = did_you_mean(name, names, f"known: {', '.join(names)}")
            raise InputError(str(options.file), "--only", name, "unknown technique", remedy)
    return experiment, ExperimentPaths(options.outputs / experiment.name)


def experiment_from_outputs(outputs: Path, name: str) -> tuple[Experiment, ExperimentPaths]:
    """Return the experiment of a name, or of a folder in ``outputs``, as its latest plan declares it.

    Raises InputError where ``outputs`` has no such experiment.
    """
    from fitlib.experiment.declaration import latest_plan
    from fitlib.experiment.parse import make_experiment
    from fitlib.storage.paths import ExperimentPaths

    inside = Path(name).resolve().parent == outputs.resolve()  # `outputs/quickstart`, as a shell completes it
    name = Path(name).name if inside else name
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
    names = experiment_names(outputs)
    otherwise = f"existing experiments: {', '.join(names) or 'none yet'}"
    return InputError(str(outputs), "EXPERIMENT", name, problem, did_you_mean(Path(name).name, names, otherwise))


def _check_file(file: Path) -> None:
    """Raise InputError for an experiment file that does not exist, with the nearest of those beside it or in params."""
    if file.exists():
        return
    places = dict.fromkeys([file.parent, Path("params")])
    known = {path.stem: str(path) for place in places for path in sorted(place.glob("*.y*ml"))}
    close = did_you_mean(file.stem, known, "")
    nearest = f"did you mean {next(path for stem, path in known.items() if repr(stem) in close)}?" if close else ""
    otherwise = f"there are {', '.join(known.values())}" if known else "check the path"
    raise InputError(str(file), "file", file.name, "no such file", nearest or otherwise)
