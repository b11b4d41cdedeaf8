"""Progress of an execution: a live table on a terminal, one line per finished task elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from fitlib.execution.progress_table import ProgressTable, duration

if TYPE_CHECKING:
    from fitlib.execution.scheduler import Task
    from fitlib.experiment.plan import PlannedRun, States

PHASES = {"train": "runs"}  # the word for tasks of a kind
REFRESH = 2.0  # seconds between two reads of the running runs' last lines


class Progress:
    """A progress display; safe to call from several threads."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self._guard = threading.Lock()
        self._total: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._began = time.monotonic()
        self._table: ProgressTable | None = None
        self._live: Any = None

    def begin(
        self,
        states: States,
        waiting: Iterable[PlannedRun],
        tasks: Iterable[Task],
        running: Callable[[], Mapping[str, str]],
    ) -> None:
        """Begin an experiment: the states of all its runs, the runs that will be executed, and all tasks that will.

        running: returns the names of the runs that are being executed, with the last line that each shows.
        """
        for kind, number in Counter(task.kind for task in tasks).items():
            self.expect(kind, number)
        self._table = ProgressTable(states, waiting)
        if self.terminal:
            self._live = self._start_live(self._table, running)

    def expect(self, kind: str, number: int) -> None:
        """Announce the number of tasks of a kind that will follow."""
        self._total[kind], self._ended[kind], self._began = number, 0, time.monotonic()

    def started(self, kind: str, name: str) -> None:
        """Note that a task was submitted."""

    def done(self, kind: str, name: str, seconds: float = 0.0) -> None:
        """Report that a task is done, after so many seconds."""
        if self._table:
            self._table.done(kind, name, seconds)
        self._report_end(kind, f"done    {name}")

    def failed(self, kind: str, name: str, error: str, will_retry: bool = False) -> None:
        """Report that a task failed, with the last line of its error; `will_retry`: it will be tried again."""
        last = (error.strip().splitlines() or ["unknown"])[-1]
        if will_retry:
            self.print_line(f"{name} is tried again: {last}")
            return
        if self._table:
            self._table.failed(kind, name)
        self._report_end(kind, f"FAILED  {name}: {last}", keep=True)

    def print_line(self, text: str) -> None:
        """Print a line that stays, above the table on a terminal."""
        with self._guard:
            if self._live:
                self._live.console.print(text, markup=False, highlight=False)
            else:
                print(text, file=self.stream, flush=True)

    def left(self, kind: str) -> str:
        """Return the time left for tasks of a kind, from the mean of those so far; "" before the first."""
        ended, total = self._ended[kind], self._total[kind]
        if not ended:
            return ""
        return f"{duration((time.monotonic() - self._began) / ended * (total - ended))} left"

    def close(self) -> None:
        """Stop the live table; the terminal keeps its last state."""
        if self._live:
            self._live.stop()
            self._live = None

    def _report_end(self, kind: str, text: str, keep: bool = False) -> None:
        self._ended[kind] += 1
        self._total[kind] = max(self._total[kind], self._ended[kind])  # of tasks that nobody announced
        if self._live:
            if keep:
                self.print_line(text)
            return
        left = self.left(kind) if self._ended[kind] < self._total[kind] else "phase done"
        head = f"{PHASES.get(kind, kind)} {self._ended[kind]}/{self._total[kind]}"
        with self._guard:
            print(f"{head:>16}  {text}  ({left})", file=self.stream, flush=True)

    def _start_live(self, progress_table: ProgressTable, running: Callable[[], Mapping[str, str]]) -> Any:
        """Show the table on the terminal and refresh it until `close`."""
        from rich.console import Console
        from rich.live import Live

        latest: dict[str, Any] = {"at": 0.0, "running": {}}  # reading attempts from disk at every refresh is too much

        def table() -> Any:
            if time.monotonic() - latest["at"] > REFRESH:
                latest["running"], latest["at"] = running(), time.monotonic()
            return progress_table.render(latest["running"], self._phases())

        live = Live(console=Console(file=self.stream), get_renderable=table, refresh_per_second=1, transient=False)
        live.start(refresh=True)
        return live

    def _phases(self) -> str:
        phases = [(kind, total) for kind, total in self._total.items() if total]
        return ", ".join(f"{PHASES.get(kind, kind)} {self._ended[kind]}/{total}" for kind, total in phases)
