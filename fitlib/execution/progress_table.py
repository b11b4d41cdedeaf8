"""Runs by technique: done, running with their epoch, failed, left, time left; as lines and as a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fitlib.experiment.plan import PlannedRun, States

EPOCH = re.compile(r"epoch (\d+) of (\d+)")
SHOWN = 4  # running runs whose epoch a row shows


@dataclass
class Row:
    """The runs of one training, which its techniques share."""

    label: str
    waiting: set[str] = field(default_factory=set)
    done: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)

    def running(self, running: Mapping[str, str]) -> dict[str, str]:
        """Return those of the row that are being executed, with the line that each shows."""
        return {name: line for name, line in running.items() if name in self.waiting}


class ProgressTable:
    """The progress of an experiment's runs, one row for each training.

    states: of all runs; waiting: those that are not done and will be executed (None: all that are not done); seconds:
    wall time of earlier runs, by name.
    """

    def __init__(
        self,
        states: States,
        waiting: Iterable[PlannedRun] | None = None,
        seconds: Mapping[str, float] | None = None,
    ):
        self.rows: dict[str, Row] = {}
        chosen = None if waiting is None else {run.name for run in waiting}
        for run, state in states:
            row = self.rows.setdefault(run.spec.name, Row(", ".join(run.spec.techniques)))
            if state.done:
                row.done += 1
            elif state.state == "failed" and not (chosen and run.name in chosen):
                row.failed += 1
            else:
                row.waiting.add(run.name)
        for name, value in (seconds or {}).items():
            if earlier := self._row(name):
                earlier.seconds.append(value)

    def done(self, kind: str, name: str, seconds: float) -> None:
        """Count a run as done."""
        row = self._row(name) if kind == "train" else None
        if row:
            row.waiting.discard(name)
            row.done += 1
            row.seconds.append(seconds)

    def failed(self, kind: str, name: str) -> None:
        """Count a run as failed, without another attempt."""
        row = self._row(name) if kind == "train" else None
        if row:
            row.waiting.discard(name)
            row.failed += 1

    def left(self, running: Mapping[str, str]) -> float | None:
        """Return the seconds until all is done, by the mean time of each training's runs; None if unknown."""
        measured = [second for row in self.rows.values() for second in row.seconds]
        at_once = sum(len(row.running(running)) for row in self.rows.values())
        if not measured or not at_once:
            return None
        mean = sum(measured) / len(measured)
        return sum(_mean(row.seconds, mean) * len(row.waiting) for row in self.rows.values()) / at_once

    def render(self, running: Mapping[str, str], title: str = "") -> Any:
        """Return a rich table with one row for each training."""
        from rich.table import Table

        left = self.left(running)
        estimate = f"about {duration(left)} left" if left is not None else ""
        table = Table(caption=", ".join(part for part in (title, estimate) if part), caption_justify="left")
        table.add_column("technique", overflow="fold")
        for name in ("done", "running", "failed", "left", "time left"):
            table.add_column(name, justify="left" if name == "running" else "right")
        for row in self.rows.values():
            now = row.running(running)
            style = "bold red" if row.failed else None
            waiting = len(row.waiting) - len(now)
            cells = (str(row.done), _running(now), str(row.failed), str(waiting), self._row_left(row, running))
            table.add_row(row.label, *cells, style=style)
        return table

    def _row_left(self, row: Row, running: Mapping[str, str]) -> str:
        at_once = sum(len(r.running(running)) for r in self.rows.values())
        if not row.waiting or not row.seconds or not at_once:
            return ""
        return duration(_mean(row.seconds, 0) * len(row.waiting) / at_once)

    def _row(self, name: str) -> Row | None:
        return self.rows.get(name.partition("/")[0])


def duration(seconds: float) -> str:
    """Format seconds as 42 s, 3 min 20 s or 2 h 5 min.

    >>> duration(7500)
    '2 h 5 min'
    """
    seconds = round(max(seconds, 0))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _running(now: Mapping[str, str]) -> str:
    """Return the number of running runs and the epochs of the first ones: `2 (epoch 3/24, 5/24)`."""
    if not now:
        return "0"
    epochs = [f"{found[1]}/{found[2]}" for found in map(EPOCH.search, now.values()) if found]
    if not epochs:
        return str(len(now))
    return f"{len(now)} (epoch {', '.join(epochs[:SHOWN])}{' …' if len(epochs) > SHOWN else ''})"


def _mean(values: list[float], default: float) -> float:
    return sum(values) / len(values) if values else default
