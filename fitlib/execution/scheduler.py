"""The task scheduler: runs each task as soon as those that it needs have ended, on any executor.

The calling process holds the experiment's lock. It submits jobs, sleeps, and commits finished attempts; all computation
happens in the executor's workers.
"""

from __future__ import annotations

import heapq
import queue
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Protocol

from fitlib.errors import FitlibError, InputError, RunFailed
from fitlib.execution.executors.base import Executor
from fitlib.execution.jobs import AttemptResult, Job, perform
from fitlib.storage.lock import BEAT

RANKS = {"train": 1}  # all other kinds (rank 0) go first: they are short, and users wait for their results


@dataclass(frozen=True)
class Task:
    """A task of the plan as the scheduler sees it.

    needs: names of the tasks that have to end first, done or failed; job: makes the job once those have ended (None:
    nothing to do); accept: commits a finished attempt and returns its error, "" if it is good; prepare_retry: clears
    the way for another attempt after a crash, given the error.
    """

    name: str
    kind: str
    needs: frozenset[str]
    job: Callable[[], Job | None]
    accept: Callable[[AttemptResult], str]
    prepare_retry: Callable[[str], None] = lambda error: None


class Listener(Protocol):
    """An observer of task events."""

    def started(self, task: Task) -> None:
        """Observe that a job was submitted."""
        ...

    def done(self, task: Task, result: AttemptResult) -> None:
        """Observe that a task is done."""
        ...

    def failed(self, task: Task, result: AttemptResult, error: str, will_retry: bool) -> None:
        """Observe that an attempt failed."""
        ...


@dataclass
class Result:
    """The number of tasks executed, and a description of each failure."""

    executed: int = 0
    failures: list[str] = field(default_factory=list)


def execute_tasks(
    tasks: Sequence[Task], executor: Executor, listener: Listener, retries: int = 1, check: Callable = lambda: None
) -> Result:
    """Execute all tasks, each when those that it needs have ended; `check` is called periodically and may raise.

    A task that crashed (its kernel or worker was gone) is retried up to `retries` times, one that failed by itself is
    not. A failed task does not stop the others. InputError where a worker refuses its job; then, and whenever
    something else is raised here, running jobs are ended first.
    """
    workflow = _Workflow(tasks, executor, listener, retries)
    try:
        while workflow.ready or workflow.running:
            workflow.submit()
            workflow.wait(check)
    except BaseException:
        executor.cancel()
        raise
    return workflow.result


class _Workflow:
    def __init__(self, tasks: Sequence[Task], executor: Executor, listener: Listener, retries: int):
        self.executor, self.listener, self.retries = executor, listener, retries
        self.result, self.running = Result(), 0
        self.ready: list[tuple[int, int, Task]] = []  # a heap by rank, then order in the plan
        self._order = {task.name: (RANKS.get(task.kind, 0), number) for number, task in enumerate(tasks)}
        self._unmet = {task.name: set(task.needs) & self._order.keys() for task in tasks}
        self._needed_by: dict[str, list[Task]] = {}
        self._crashes: Counter[str] = Counter()
        self._ended: queue.SimpleQueue[tuple[Task, Future]] = queue.SimpleQueue()
        for task in tasks:
            for name in self._unmet[task.name]:
                self._needed_by.setdefault(name, []).append(task)
            if not self._unmet[task.name]:
                self._push(task)

    def submit(self) -> None:
        """Submit tasks that can run, as far as the executor has free slots."""
        with self.executor.batch():
            while self.ready and (self.executor.slots is None or self.running < self.executor.slots):
                self._start(heapq.heappop(self.ready)[-1])

    def wait(self, check: Callable) -> None:
        """Sleep until a task has ended."""
        while self.running:
            check()
            try:
                self._end(*self._ended.get(timeout=BEAT))
                return
            except queue.Empty:
                pass

    def _push(self, task: Task) -> None:
        heapq.heappush(self.ready, (*self._order[task.name], task))

    def _start(self, task: Task) -> None:
        try:
            job = task.job()
        except (RunFailed, OSError) as error:
            self._fail(task, AttemptResult("", str(error)), str(error))
            return
        if job is None:
            self._release_dependents(task)
            return
        self.listener.started(task)
        self.running += 1
        future = self.executor.submit(perform, job)
        future.add_done_callback(lambda ended: self._ended.put((task, ended)))

    def _end(self, task: Task, future: Future) -> None:
        self.running -= 1
        attempt = _result_of(future)
        error = task.accept(attempt) or attempt.error
        if not error:
            self.result.executed += 1
            self.listener.done(task, attempt)
            self._release_dependents(task)
        elif attempt.crashed and self._crashes[task.name] < self.retries:
            self._crashes[task.name] += 1
            self.listener.failed(task, attempt, error, will_retry=True)
            task.prepare_retry(error)
            self._push(task)
        else:
            self._fail(task, attempt, error)

    def _fail(self, task: Task, attempt: AttemptResult, error: str) -> None:
        self.result.failures.append(f"{task.name}: {error}")
        self.listener.failed(task, attempt, error, will_retry=False)
        self._release_dependents(task)

    def _release_dependents(self, task: Task) -> None:
        """Queue the tasks that waited for this one only."""
        for other in self._needed_by.pop(task.name, ()):
            self._unmet[other.name].discard(task.name)
            if not self._unmet[other.name]:
                self._push(other)


def _result_of(future: Future) -> AttemptResult:
    """Return what a worker returned, or a crash where the worker was lost."""
    try:
        return future.result()
    except CancelledError:
        raise RunFailed("the executor dropped a job that was not cancelled: is its scheduler still running?") from None
    except InputError:
        raise
    except (FitlibError, OSError) as error:
        return AttemptResult("", str(error))
    except Exception as error:  # each executor has errors of its own for a worker that is gone
        reason = (str(error).strip().splitlines() or [""])[0]
        return AttemptResult("", f"its worker was lost ({type(error).__name__}: {reason})", crashed=True)
