"""What happens while tasks are worked off, told twice: as progress to people, as events.jsonl to machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fitlib.execution.jobs import Done
from fitlib.execution.progress import Progress
from fitlib.execution.scheduler import Task
from fitlib.storage.atomic_files import append_line
from fitlib.storage.journal import log_event
from fitlib.storage.paths import ExperimentPaths


class Teller:
    """Listens to the workflow."""

    def __init__(self, paths: ExperimentPaths, progress: Progress):
        self._paths, self._progress, self.began = paths, progress, False

    def started(self, task: Task) -> None:
        """A job was handed to the executor."""
        if not self.began:
            self.began = True
            log_event(self._paths, "began")
        self._paths.manifest.unlink(missing_ok=True)  # what it says does not hold until it is written again
        log_event(self._paths, "started", task=task.name, kind=task.kind)
        self._progress.started(task.kind, task.name)

    def done(self, task: Task, done: Done) -> None:
        """A task is done."""
        self._ended("done", task, done)
        self._progress.done(task.kind, task.name, done.seconds)

    def failed(self, task: Task, done: Done, error: str, again: bool) -> None:
        """An attempt failed; `again`: another one follows."""
        last = (error.strip().splitlines() or ["unknown"])[-1]
        self._ended("crashed" if again else "failed", task, done, error=last)
        self._progress.failed(task.kind, task.name, error, again)

    def _ended(self, event: str, task: Task, done: Done, **more: object) -> None:
        where = {name: getattr(done, name) for name in ("began", "seconds", "host", "pid", "device")}
        log_event(self._paths, event, task=task.name, kind=task.kind, **where, **more)
        if task.kind == "train":
            append_line(self._paths.timings, f"{task.name},{done.seconds:.2f}")


@contextmanager
def told(paths: ExperimentPaths, progress: Progress) -> Iterator[Teller]:
    """A listener for one piece of work, with an event for its beginning and its end; none where nothing is to do."""
    teller, how = Teller(paths, progress), "interrupted"
    try:
        yield teller
        how = "ended"
    finally:
        if teller.began:
            log_event(paths, how)
