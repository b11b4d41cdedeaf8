"""The command `trace`: trace an experiment's training, or compare saved digest streams."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from fitlib.errors import InputError
from fitlib.experiment.model import Experiment, Technique
from fitlib.experiment.parse import read_experiment
from fitlib.tracing import explanation


def run(options: argparse.Namespace, show: Callable[[str], None]) -> str:
    """Trace or compare, and show the findings line by line; returns which run crashed and why, or "".

    `options` are those of the command line. InputError for an unsuitable file, technique or noise.
    """
    if len(options.files) > 1 or options.files[0].suffix == ".json":
        return _compare(options.files, show)
    overrides = ["arms=null", f"noise={options.noise}"] if options.noise else []
    experiment = read_experiment(options.files[0], [*overrides, *options.set])
    technique = choose_technique(experiment, options.technique, str(options.files[0]))
    return _trace(experiment, technique, options, show)


def choose_technique(experiment: Experiment, name: str | None, where: str) -> Technique:
    """Return the named technique, by default the baseline or else the first; InputError for an unknown name."""
    techniques = {technique.name: technique for technique in experiment.techniques}
    if name is None:
        return next((t for t in experiment.techniques if t.baseline is None), experiment.techniques[0])
    if name not in techniques:
        raise InputError(where, "--technique", name, "unknown technique", f"choose one of {', '.join(techniques)}")
    return techniques[name]


def _trace(
    experiment: Experiment, technique: Technique, options: argparse.Namespace, show: Callable[[str], None]
) -> str:
    from fitlib.tracing.trace import STEPS, save, trace

    spec = next(spec for spec in experiment.trainings if spec.name == technique.training)
    arm, declared, show_progress = experiment.arms[0], experiment.declared, _progress_line()
    result = trace(
        spec.settings, arm.noise, options.runs, options.steps or STEPS, arm.seed, declared["noise_seed"],
        declared["device"], declared["threads"], options.operators, show_progress,
    )  # fmt: skip
    show_progress("")
    for line in explanation.lines(result, f"{technique.name} (training {spec.name})"):
        show(line)
    for path in save(result, options.out) if options.out else []:
        show(f"written: {path}")
    return result.failed


def _compare(files: list[Path], show: Callable[[str], None]) -> str:
    from fitlib.tracing.digest_streams import first_difference, read_stream

    streams = [read_stream(path) for path in files]
    for path, stream in zip(files, streams, strict=True):
        stream.run = str(path)
    for line in explanation.comparison(streams, first_difference(streams)):
        show(line)
    return ""


def _progress_line() -> Callable[[str], None]:
    """Return a function that overwrites one line on a terminal, and prints nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda line: None
    return lambda line: print(f"\r{line}\033[K", end="", file=sys.stderr)
