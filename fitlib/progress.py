"""Progress: a bar with done, left and time left on a terminal, one line per finished task elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO


class Progress:
    """Tells what is done; safe to call from several threads. `jobs` tasks run at once (for the time left)."""

    def __init__(self, jobs: int = 1, stream: TextIO | None = None):
        self.jobs, self.stream = jobs, stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.guard = threading.Lock()
        self.start("", 0)

    def start(self, phase: str, total: int) -> None:
        """A new phase of `total` tasks begins."""
        self.phase, self.total, self.finished, self.began = phase, total, 0, time.monotonic()

    def done(self, name: str) -> None:
        """A task is done."""
        self._tell(f"done    {name}")

    def failed(self, name: str, error: str) -> None:
        """A task failed; the last line of its error is shown."""
        self._tell(f"FAILED  {name}: {(error.strip().splitlines() or ['unknown'])[-1]}", keep=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        with self.guard:
            self._line(text)

    def left(self) -> str:
        """Time left in this phase, from the mean of the tasks so far; empty before the first."""
        if not self.finished:
            return ""
        seconds = (time.monotonic() - self.began) / self.finished * (self.total - self.finished)
        return f"{duration(seconds)} left"

    def close(self) -> None:
        """Leave the terminal on a fresh line."""
        if self.terminal and self.total:
            print(file=self.stream)

    def _tell(self, text: str, keep: bool = False) -> None:
        with self.guard:
            self.finished += 1
            left = self.left() if self.finished < self.total else "phase done"
            head = f"{self.phase} {self.finished}/{self.total}"
            if not self.terminal:
                print(f"{head:>16}  {text}  ({left})", file=self.stream, flush=True)
                return
            if keep:
                self._line(text)
            width = 24
            filled = round(width * self.finished / max(self.total, 1))
            bar = "█" * filled + "░" * (width - filled)
            print(f"\r\x1b[K{bar} {head}, {left}", end="", file=self.stream, flush=True)
            if self.finished == self.total:
                print(file=self.stream)

    def _line(self, text: str) -> None:
        print(("\r\x1b[K" if self.terminal else "") + text, file=self.stream, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(max(seconds, 0))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
