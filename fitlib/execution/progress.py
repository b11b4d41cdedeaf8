"""Progress while an experiment is worked off: a live table on a terminal, one line per finished task elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from fitlib.execution.progress_table import Board, duration

if TYPE_CHECKING:
    from fitlib.execution.scheduler import Task
    from fitlib.experiment.plan import PlannedRun, States

PHASES = {"train": "runs"}  # the word for tasks of a kind
REFRESH = 2.0  # seconds between two looks at what runs


class Progress:
    """Tells what is done; safe to call from several threads."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self._guard = threading.Lock()
        self._total: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._began = time.monotonic()
        self._board: Board | None = None
        self._live: Any = None

    def begin(
        self,
        states: States,
        waiting: Iterable[PlannedRun],
        tasks: Iterable[Task],
        running: Callable[[], Mapping[str, str]],
    ) -> None:
        """An experiment begins: the states of all its runs, those that will be executed, everything that will.

        running: names of runs that are executed at this moment, with the last line that each shows.
        """
        for kind, number in Counter(task.kind for task in tasks).items():
            self.expect(kind, number)
        self._board = Board(states, waiting)
        if self.terminal:
            self._live = self._shown(self._board, running)

    def expect(self, kind: str, number: int) -> None:
        """So many tasks of a kind will follow."""
        self._total[kind], self._ended[kind], self._began = number, 0, time.monotonic()

    def started(self, kind: str, name: str) -> None:
        """A task was handed out."""

    def done(self, kind: str, name: str, seconds: float = 0.0) -> None:
        """A task is done, after so many seconds."""
        if self._board:
            self._board.done(kind, name, seconds)
        self._tell(kind, f"done    {name}")

    def failed(self, kind: str, name: str, error: str, again: bool = False) -> None:
        """A task failed; the last line of its error is shown. `again`: it will be tried once more."""
        last = (error.strip().splitlines() or ["unknown"])[-1]
        if again:
            self.say(f"{name} is tried again: {last}")
            return
        if self._board:
            self._board.failed(kind, name)
        self._tell(kind, f"FAILED  {name}: {last}", keep=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        with self._guard:
            if self._live:
                self._live.console.print(text, markup=False, highlight=False)
            else:
                print(text, file=self.stream, flush=True)

    def left(self, kind: str) -> str:
        """Time left for tasks of a kind, from the mean of those so far; empty before the first."""
        ended, total = self._ended[kind], self._total[kind]
        if not ended:
            return ""
        return f"{duration((time.monotonic() - self._began) / ended * (total - ended))} left"

    def close(self) -> None:
        """Leave the terminal as it is, on a fresh line."""
        if self._live:
            self._live.stop()
            self._live = None

    def _tell(self, kind: str, text: str, keep: bool = False) -> None:
        self._ended[kind] += 1
        if self._live:
            if keep:
                self.say(text)
            return
        left = self.left(kind) if self._ended[kind] < self._total[kind] else "phase done"
        head = f"{PHASES.get(kind, kind)} {self._ended[kind]}/{self._total[kind]}"
        with self._guard:
            print(f"{head:>16}  {text}  ({left})", file=self.stream, flush=True)

    def _shown(self, board: Board, running: Callable[[], Mapping[str, str]]) -> Any:
        """The table on the terminal, drawn again and again until `close`."""
        from rich.console import Console
        from rich.live import Live

        looked: dict[str, Any] = {"at": 0.0, "running": {}}

        def table() -> Any:
            if time.monotonic() - looked["at"] > REFRESH:
                looked["running"], looked["at"] = running(), time.monotonic()
            return board.table(looked["running"], self._phases())

        live = Live(console=Console(file=self.stream), get_renderable=table, refresh_per_second=1, transient=False)
        live.start(refresh=True)
        return live

    def _phases(self) -> str:
        told = [f"{PHASES.get(kind, kind)} {self._ended[kind]}/{total}" for kind, total in self._total.items() if total]
        return ", ".join(told)
