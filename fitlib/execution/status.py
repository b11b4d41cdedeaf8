"""The state of an experiment, recomputed from disk."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fitlib.execution import determinism_cost
from fitlib.execution.progress_table import ProgressTable, duration
from fitlib.experiment.plan import Plan, States
from fitlib.report.overview import read_verdict
from fitlib.storage.lock import is_locked
from fitlib.storage.paths import PROGRESS, ExperimentPaths

INTERVAL = 2.0  # seconds between two updates of `watch`


def lines(plan: Plan) -> list[str]:
    """Return the lines of `fitlib status` for one experiment: a summary, one for each training and arm, the verdict."""
    states, paths = plan.states(), plan.paths
    now = _running_now(paths)
    total = Counter("running" if run.name in now else _short(state.state) for run, state in states)
    counts = ", ".join(f"{total[name]} {name}" for name in ("done", "running", "failed", "left") if total[name])
    head = f"{plan.experiment.name}: {counts} of {len(states)} runs{_time_left(paths, total, is_locked(paths))}"
    costs = [f"  {line}" for line in determinism_cost.sentences(determinism_cost.read_costs(paths))]
    return [head, *_by_arm(states), *_epochs(now), *costs, *_reports(paths)]


def watch(plan: Plan, show: Callable[[str], None] = print) -> None:
    """Keep showing the state while the experiment is executed: a table on a terminal, changed lines elsewhere."""
    if not sys.stdout.isatty():
        last_shown = ""
        while True:
            head = lines(plan)[0]
            if head != last_shown:
                show(head)
            last_shown = head
            if not is_locked(plan.paths):
                return
            time.sleep(INTERVAL)
    from rich.live import Live

    with Live(_table(plan), auto_refresh=False) as live:
        while is_locked(plan.paths):
            time.sleep(INTERVAL)
            live.update(_table(plan), refresh=True)


def running(paths: ExperimentPaths) -> dict[str, str]:
    """Return the names, such as `training/arm/run-07`, of runs with an attempt, and the last line each shows."""
    runs = paths.root / "runs"
    attempts = [p for p in paths.attempts() if p.is_relative_to(runs)]
    return {p.relative_to(runs).with_suffix("").as_posix(): _last_line(p) for p in attempts}


def _last_line(attempt: Path) -> str:
    try:
        return (attempt / PROGRESS).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _running_now(paths: ExperimentPaths) -> dict[str, str]:
    """Return the attempts of a live process; without a lock those on disk are interrupted."""
    return running(paths) if is_locked(paths) else {}


def _table(plan: Plan) -> Any:
    now = _running_now(plan.paths)
    return ProgressTable(plan.states(), None, _wall_times(plan.paths.timings)).render(now, plan.experiment.name)


def _epochs(now: dict[str, str]) -> list[str]:
    return [f"  {name}: {line}" for name, line in sorted(now.items()) if line]


def _reports(paths: ExperimentPaths) -> list[str]:
    """Return the beginning of each report's verdict, the report's path, and when it was made."""
    found = []
    for report in paths.reports():
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(report.stat().st_mtime))
        for text in read_verdict(report.with_name("statistics.ipynb"))[:1]:
            found.append(f"  {textwrap.shorten(f'verdict: {text}', 200, placeholder=' …')}")
        found.append(f"  report: {report} (of {made})")
    return found


def _by_arm(states: States) -> list[str]:
    arms: dict[str, Counter] = {}
    for run, state in states:
        arms.setdefault(f"{run.spec.name}/{run.arm.name}", Counter())[_short(state.state)] += 1
    width = max(map(len, arms), default=0)
    return [f"  {name:<{width}}  {', '.join(f'{n} {s}' for s, n in counts.items())}" for name, counts in arms.items()]


def _short(state: str) -> str:
    return state if state in ("done", "failed") else "left"


def _time_left(paths: ExperimentPaths, total: Counter, active: bool) -> str:
    """Estimate the time left from the mean wall time of earlier runs and the number of running ones."""
    waiting = total["left"] + total["running"]
    seconds = list(_wall_times(paths.timings).values()) if active and waiting else []
    if not seconds:
        return ""
    return f", about {duration(sum(seconds) / len(seconds) * waiting / max(total['running'], 1))} left"


def _wall_times(timings: Path) -> dict[str, float]:
    """Read the seconds of each run, the last entry of a name; lines torn by a crash are skipped."""
    if not timings.exists():
        return {}
    found = {}
    for line in timings.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        name, _, seconds = line.rpartition(",")
        with contextlib.suppress(ValueError):
            if line.endswith("\n"):
                found[name] = float(seconds)
    return found
