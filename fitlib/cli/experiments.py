"""The commands `plan`, `run`, `report` and `init`: experiments from their file to their report."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fitlib.cli.arguments import (
    add_command,
    add_experiment,
    add_overrides,
    fraction,
    names,
    non_negative,
    positive,
    seconds,
    size_in_bytes,
)
from fitlib.cli.lookup import experiment_from_file, experiment_from_outputs
from fitlib.cli.planning import lines_before_runs
from fitlib.cli.summary import print_summary
from fitlib.cli.terminal import show
from fitlib.extras import require

if TYPE_CHECKING:
    from fitlib.cli.arguments import Commands
    from fitlib.experiment.model import Experiment
    from fitlib.experiment.plan import States


def add_commands(commands: Commands) -> None:
    """Add `plan`, `run`, `report` and `init` to the parser."""
    sub = add_command(commands, "plan", plan, "list the runs and why they will run, and what so many runs can decide")
    _add_file(sub)
    text = "SD of a metric over runs (as 0.012), for the probability of each verdict by number of runs"
    sub.add_argument("--sd", type=fraction, metavar="SD", help=text)
    sub.add_argument("--pilot", metavar="EXPERIMENT", help="the same from the SDs of a finished experiment")
    _add_run(add_command(commands, "run", run, "train, measure, compare and report whatever is not done yet"))
    sub = add_command(commands, "report", report, "compute metrics, statistics and report again from the finished runs")
    add_experiment(sub)
    sub.add_argument("--show-code", action="store_true", help="show the code cells in report.html")
    _add_init(add_command(commands, "init", init, "write a commented experiment file, guessed from a table's columns"))


def plan(options: argparse.Namespace) -> int:
    """Print the runs of each arm with their state, how many will be executed, and what so many runs can decide."""
    require("train")
    from fitlib.experiment.plan import Plan, selected

    experiment, paths = experiment_from_file(options)
    states = selected(Plan(experiment, paths).states(), options.only)
    decided = lines_before_runs(experiment, options)
    _print_notes(experiment, sys.stdout)
    show("\n".join(_planned_lines(states)))
    waiting = sum(not state.done for _, state in states)
    rest = "metrics, statistics and report follow" if waiting else "metrics, statistics and report are updated"
    print(f"{waiting} of {len(states)} runs will be executed; {rest}.")
    print("\n".join(decided))
    return 0


def _planned_lines(states: States) -> list[str]:
    """Return a line for all runs of a training and arm that are in the same state, with their numbers."""
    from fitlib.formatting import number_ranges

    numbers: dict[tuple[str, str], list[int]] = {}
    for run, state in states:
        text = "done" if state.done else f"will run: {state.reason}"
        numbers.setdefault((f"{run.spec.name}/{run.arm.name}", text), []).append(run.index)
    runs = [f"{place}/run-{number_ranges(found)}" for (place, _), found in numbers.items()]
    width = max(map(len, runs), default=0)
    return [f"{name:<{width}}  {text}" for name, (_, text) in zip(runs, numbers, strict=True)]


def run(options: argparse.Namespace) -> int:
    """Execute an experiment."""
    require("lab", "train")
    experiment, paths = experiment_from_file(options)
    from fitlib.execution.executors.base import ExecutorChoice
    from fitlib.execution.limits import Limits
    from fitlib.execution.run_experiment import Conditions, default_jobs, run_experiment

    _print_notes(experiment, sys.stderr)
    choice = ExecutorChoice(options.executor, options.address, tuple(options.settings))
    conditions = Conditions(choice, Limits(options.timeout, options.memory), options.retries)
    jobs = options.jobs or default_jobs(experiment.declared["threads"])
    outcome = run_experiment(experiment, paths, jobs, options.only, options.replace, conditions=conditions)
    return print_summary(options.outputs, paths, outcome)


def report(options: argparse.Namespace) -> int:
    """Analyse the finished runs of an experiment again."""
    require("lab", "train")  # train: a run's key has the version of torch
    from fitlib.execution.progress import Progress
    from fitlib.execution.run_experiment import report_experiment

    experiment, paths = experiment_from_outputs(options.outputs, options.experiment)
    outcome = report_experiment(experiment, paths, os.cpu_count() or 1, Progress(), options.show_code)
    return print_summary(options.outputs, paths, outcome)


def init(options: argparse.Namespace) -> int:
    """Write an experiment file for a table and print what was guessed."""
    from fitlib.experiment.init_from_table import write_experiment

    given = (options.table, options.target, options.protected, options.out, options.replace)
    lines = write_experiment(*given, options.names)
    show("\n".join(lines))
    return 0


def _print_notes(experiment: Experiment, stream: TextIO) -> None:
    """Print notes on the data (rows left out, values filled in or guessed, duplicates) before anything is trained."""
    from fitlib.experiment.families import data_notes

    for note in dict.fromkeys(note for family in experiment.families for note in data_notes(family)):
        show(f"data: {note}", stream)


def _add_file(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", type=Path, metavar="params/X.yaml", help="the experiment file")
    sub.add_argument("--only", action="append", default=[], metavar="TECHNIQUE", help="only this technique's runs")
    add_overrides(sub)
    sub.add_argument("--runs", type=positive, metavar="N", help="number of runs per training")


def _add_run(sub: argparse.ArgumentParser) -> None:
    _add_file(sub)
    sub.add_argument("--jobs", type=positive, metavar="N", help="runs at once (default: cores // threads)")
    sub.add_argument("--replace", action="store_true", help="move finished runs of other settings to superseded/")
    sub.add_argument("--executor", default="local", metavar="NAME", help="local, dask or slurm (docs/batch.md)")
    sub.add_argument("--address", metavar="A", help="a running Dask scheduler, for example tcp://host:8786")
    text = "a setting of the executor: per_gpu, resources, partition, time, gpus, array …"
    sub.add_argument("--with", action="append", default=[], dest="settings", metavar="KEY=VALUE", help=text)
    sub.add_argument("--timeout", type=seconds, metavar="TIME", help="end a run that takes longer: 90s, 30m, 2h")
    sub.add_argument("--memory", type=size_in_bytes, metavar="SIZE", help="end a run that uses more: 800M, 4G")
    sub.add_argument("--retries", type=non_negative, default=1, metavar="N", help="further attempts after a crash (1)")


def _add_init(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("table", type=Path, metavar="TABLE", help="CSV (.csv, .tsv, .txt, .data …) or .parquet")
    sub.add_argument("--target", metavar="COLUMN", help="column to predict (default: guessed)")
    text = "protected attribute; repeat the option for several (default: guessed)"
    sub.add_argument("--protected", action="append", default=[], metavar="COLUMN", help=text)
    text = "names of all columns, for a text file without a line of names"
    sub.add_argument("--names", type=names, metavar="A,B", help=text)
    sub.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: params/<TABLE>.yaml)")
    sub.add_argument("--replace", action="store_true", help="overwrite an existing experiment file")
