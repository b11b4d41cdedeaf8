"""Report task events: a progress display for people, `events.jsonl` for programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fitlib.execution.jobs import AttemptResult
from fitlib.execution.progress import Progress
from fitlib.execution.scheduler import Task
from fitlib.storage.atomic_files import append_line
from fitlib.storage.journal import log_event
from fitlib.storage.paths import ExperimentPaths


class EventListener:
    """A listener of the scheduler that passes events to the progress display and the event log."""

    def __init__(self, paths: ExperimentPaths, progress: Progress):
        self._paths, self._progress, self.has_begun = paths, progress, False

    def started(self, task: Task) -> None:
        """Log that a job was submitted to the executor."""
        if not self.has_begun:
            self.has_begun = True
            log_event(self._paths, "began")
        self._paths.manifest.unlink(missing_ok=True)  # it does not describe the folder until it is written again
        log_event(self._paths, "started", task=task.name, kind=task.kind)
        self._progress.started(task.kind, task.name)

    def done(self, task: Task, result: AttemptResult) -> None:
        """Log that a task is done."""
        self._log_end("done", task, result)
        self._progress.done(task.kind, task.name, result.seconds)

    def failed(self, task: Task, result: AttemptResult, error: str, will_retry: bool) -> None:
        """Log that an attempt failed; `will_retry`: another one follows."""
        last = (error.strip().splitlines() or ["unknown"])[-1]
        self._log_end("crashed" if will_retry else "failed", task, result, error=last)
        self._progress.failed(task.kind, task.name, error, will_retry)

    def _log_end(self, event: str, task: Task, result: AttemptResult, **more: object) -> None:
        where = {name: getattr(result, name) for name in ("began", "seconds", "host", "pid", "device")}
        log_event(self._paths, event, task=task.name, kind=task.kind, **where, **more)
        if task.kind == "train":
            append_line(self._paths.timings, f"{task.name},{result.seconds:.2f}")


@contextmanager
def recording_events(paths: ExperimentPaths, progress: Progress) -> Iterator[EventListener]:
    """Return a listener as a context; its beginning and end are events too, unless no task is started."""
    listener, ending = EventListener(paths, progress), "interrupted"
    try:
        yield listener
        ending = "ended"
    finally:
        if listener.has_begun:
            log_event(paths, ending)
