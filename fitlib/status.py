"""The state of an experiment, recomputed from disk."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

from fitlib import plan
from fitlib.experiment import Experiment
from fitlib.progress import duration
from fitlib.store import ExperimentPaths, is_locked


def lines(experiment: Experiment, paths: ExperimentPaths) -> list[str]:
    """What `fitlib status` prints of one experiment: a summary, then a line for each training and arm."""
    states = [(task, plan.run_state(experiment, paths, task).state) for task in plan.run_tasks(experiment)]
    working = is_locked(paths)
    running = _running(paths) if working else set()
    total = Counter("running" if task.name in running else _short(state) for task, state in states)
    shown = ", ".join(f"{total[name]} {name}" for name in ("done", "running", "failed", "left") if total[name])
    head = f"{experiment.name}: {shown} of {len(states)} runs{_time_left(paths, total, working)}"
    return [head, *_by_arm(states), *(f"  report: {report}" for report in paths.reports())]


def _running(paths: ExperimentPaths) -> set[str]:
    """Full names, such as `training/arm/run-07`, of the runs that have an attempt."""
    runs = paths.root / "runs"
    attempts = [p for p in paths.attempts() if p.is_relative_to(runs)]
    return {p.relative_to(runs).with_suffix("").as_posix() for p in attempts}


def _by_arm(states: list) -> list[str]:
    arms: dict[str, Counter] = {}
    for task, state in states:
        arms.setdefault(f"{task.spec.name}/{task.arm.name}", Counter())[_short(state)] += 1
    width = max(map(len, arms), default=0)
    return [f"  {name:<{width}}  {', '.join(f'{n} {s}' for s, n in counts.items())}" for name, counts in arms.items()]


def _short(state: str) -> str:
    return state if state in ("done", "failed") else "left"


def _time_left(paths: ExperimentPaths, total: Counter, working: bool) -> str:
    """Time left from the mean wall time of earlier runs and the number that run at once."""
    waiting = total["left"] + total["running"]
    seconds = _wall_times(paths.timings) if working and waiting else []
    if not seconds:
        return ""
    return f", about {duration(sum(seconds) / len(seconds) * waiting / max(total['running'], 1))} left"


def _wall_times(timings: Path) -> list[float]:
    """Seconds of each earlier run; lines that a crash tore are passed over."""
    if not timings.exists():
        return []
    found = []
    for line in timings.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        with contextlib.suppress(ValueError):
            found += [float(line.rpartition(",")[2])] if line.endswith("\n") else []
    return found
