"""The state of an experiment, recomputed from disk."""

from __future__ import annotations

from collections import Counter

from fitlib import plan
from fitlib.experiment import Experiment
from fitlib.progress import duration
from fitlib.store import ExperimentPaths, is_locked


def lines(experiment: Experiment, paths: ExperimentPaths) -> list[str]:
    """What `fitlib status` prints of one experiment: a summary, then a line for each training and arm."""
    states = [(task, plan.run_state(experiment, paths, task).state) for task in plan.run_tasks(experiment)]
    working = is_locked(paths)
    running = {p.name.partition(".")[0]: p for p in paths.attempts()} if working else {}
    running_names = {p.relative_to(paths.root / "runs").as_posix().rpartition(".")[0] for p in running.values()}
    total = Counter("running" if task.name in running_names else _short(state) for task, state in states)
    shown = ", ".join(f"{total[name]} {name}" for name in ("done", "running", "failed", "left") if total[name])
    head = f"{experiment.name}: {shown} of {len(states)} runs{_time_left(paths, total, working)}"
    return [head, *_by_arm(states), *([f"  report: {paths.report}"] if paths.report.exists() else [])]


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
    if not working or not waiting or not paths.timings.exists():
        return ""
    seconds = [float(line.rpartition(",")[2]) for line in paths.timings.read_text().splitlines()]
    return f", about {duration(sum(seconds) / len(seconds) * waiting / max(total['running'], 1))} left"
