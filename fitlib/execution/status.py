"""The state of an experiment, recomputed from disk."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fitlib.execution import determinism_cost
from fitlib.execution.progress_table import Board, duration
from fitlib.experiment.plan import Plan, States
from fitlib.storage.lock import is_locked
from fitlib.storage.paths import PROGRESS, ExperimentPaths

INTERVAL = 2.0  # seconds between two looks of `watch`


def lines(plan: Plan) -> list[str]:
    """What `fitlib status` prints of one experiment: a summary, then a line for each training and arm."""
    states, paths = plan.states(), plan.paths
    now = _now(paths)
    total = Counter("running" if run.name in now else _short(state.state) for run, state in states)
    shown = ", ".join(f"{total[name]} {name}" for name in ("done", "running", "failed", "left") if total[name])
    head = f"{plan.experiment.name}: {shown} of {len(states)} runs{_time_left(paths, total, is_locked(paths))}"
    costs = [f"  {line}" for line in determinism_cost.told(determinism_cost.gather(paths))]
    return [head, *_by_arm(states), *_epochs(now), *costs, *(f"  report: {report}" for report in paths.reports())]


def watch(plan: Plan, show: Callable[[str], None] = print) -> None:
    """Show the state again and again while somebody works: a table on a terminal, changed lines elsewhere."""
    if not sys.stdout.isatty():
        told = ""
        while True:
            head = lines(plan)[0]
            if head != told:
                show(head)
            told = head
            if not is_locked(plan.paths):
                return
            time.sleep(INTERVAL)
    from rich.live import Live

    with Live(_table(plan), auto_refresh=False) as live:
        while is_locked(plan.paths):
            time.sleep(INTERVAL)
            live.update(_table(plan), refresh=True)


def running(paths: ExperimentPaths) -> dict[str, str]:
    """Full names, such as `training/arm/run-07`, of the runs that have an attempt, with the last line each shows."""
    runs = paths.root / "runs"
    attempts = [p for p in paths.attempts() if p.is_relative_to(runs)]
    return {p.relative_to(runs).with_suffix("").as_posix(): _shown(p) for p in attempts}


def _shown(attempt: Path) -> str:
    try:
        return (attempt / PROGRESS).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _now(paths: ExperimentPaths) -> dict[str, str]:
    """Attempts that somebody works on."""
    return running(paths) if is_locked(paths) else {}


def _table(plan: Plan) -> object:
    now = _now(plan.paths)
    return Board(plan.states(), None, _wall_times(plan.paths.timings)).table(now, plan.experiment.name)


def _epochs(now: dict[str, str]) -> list[str]:
    return [f"  {name}: {line}" for name, line in sorted(now.items()) if line]


def _by_arm(states: States) -> list[str]:
    arms: dict[str, Counter] = {}
    for run, state in states:
        arms.setdefault(f"{run.spec.name}/{run.arm.name}", Counter())[_short(state.state)] += 1
    width = max(map(len, arms), default=0)
    return [f"  {name:<{width}}  {', '.join(f'{n} {s}' for s, n in counts.items())}" for name, counts in arms.items()]


def _short(state: str) -> str:
    return state if state in ("done", "failed") else "left"


def _time_left(paths: ExperimentPaths, total: Counter, working: bool) -> str:
    """Time left from the mean wall time of earlier runs and the number that run at once."""
    waiting = total["left"] + total["running"]
    seconds = list(_wall_times(paths.timings).values()) if working and waiting else []
    if not seconds:
        return ""
    return f", about {duration(sum(seconds) / len(seconds) * waiting / max(total['running'], 1))} left"


def _wall_times(timings: Path) -> dict[str, float]:
    """Seconds of each earlier run, the last one of a name; lines that a crash tore are passed over."""
    if not timings.exists():
        return {}
    found = {}
    for line in timings.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        name, _, seconds = line.rpartition(",")
        with contextlib.suppress(ValueError):
            if line.endswith("\n"):
                found[name] = float(seconds)
    return found
