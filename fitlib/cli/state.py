"""The commands `status`, `logs` and `clean`: the state of an experiment on disk."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fitlib.cli.arguments import add_command, add_experiment
from fitlib.cli.lookup import experiment_from_outputs, experiment_names
from fitlib.cli.terminal import show

if TYPE_CHECKING:
    from fitlib.cli.arguments import Commands


def add_commands(commands: Commands) -> None:
    """Add `status`, `logs` and `clean` to the parser."""
    sub = add_command(commands, "status", status, "show runs done, running, failed and left, and the time left")
    sub.add_argument("experiment", nargs="?", help="name of an experiment (default: all)")
    sub.add_argument("--watch", action="store_true", help="keep showing it as long as the experiment is being run")
    text = "show a run's progress, its error, and the output of its cells and kernel"
    sub = add_command(commands, "logs", logs, text)
    add_experiment(sub)
    sub.add_argument("run", metavar="RUN", help="a run (baseline/ulp/run-03), the end of its name, or a technique")
    text = "list and remove superseded and failed runs and what interrupted processes left behind"
    sub = add_command(commands, "clean", clean, text)
    add_experiment(sub)
    sub.add_argument("--cache", action="store_true", help="also the cache of decoded data, which experiments share")
    sub.add_argument("--yes", action="store_true", help="do not ask")


def status(options: argparse.Namespace) -> int:
    """Print the state of one experiment, or of all."""
    from fitlib.execution.status import lines, watch
    from fitlib.experiment.plan import Plan

    names = [options.experiment] if options.experiment else experiment_names(options.outputs)
    if not names:
        print(f"no experiments in {options.outputs} yet: fitlib run params/quickstart.yaml")
    for name in names:
        plan = Plan(*experiment_from_outputs(options.outputs, name))
        if options.watch:
            watch(plan)
        show("\n".join(lines(plan)))
    return 0


def logs(options: argparse.Namespace) -> int:
    """Print the logs of a run."""
    from fitlib.execution.logs import log_lines
    from fitlib.experiment.plan import Plan

    plan = Plan(*experiment_from_outputs(options.outputs, options.experiment))
    show("\n".join(log_lines(plan, options.run)))
    return 0


def clean(options: argparse.Namespace) -> int:
    """Print what can be removed, ask, and remove it."""
    from fitlib.execution.clean import clean, leftovers

    _, paths = experiment_from_outputs(options.outputs, options.experiment)
    found = leftovers(paths, options.cache)
    show("\n".join(str(one) for one in found) or "nothing to remove")
    if not found or not (options.yes or _confirm(f"remove these {len(found)}?")):
        return 0
    print(f"root hash of {paths.manifest.name}: {clean(paths, found)}")
    return 0


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        print("add --yes to remove them", file=sys.stderr)
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
