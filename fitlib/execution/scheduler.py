"""Working tasks off as soon as they can run, on whatever takes a function and gives a future.

The process that calls this holds the experiment's lock. It hands jobs out, sleeps, and puts finished attempts in their
place; everything that computes happens where the executor has its workers.
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
from fitlib.execution.jobs import Done, Job, perform
from fitlib.storage.lock import BEAT

RANKS = {"train": 1}  # whatever else can run goes first: it is short, and somebody waits for it


@dataclass(frozen=True)
class Task:
    """A task of the plan as the workflow sees it.

    needs: names of tasks that have to end first, done or failed; job: what is to be done, made when it can be (None:
    nothing); accept: puts a finished attempt in its place and returns the error, if it failed after all; again: clears
    the way for another attempt after a crash, given the error.
    """

    name: str
    kind: str
    needs: frozenset[str]
    job: Callable[[], Job | None]
    accept: Callable[[Done], str]
    again: Callable[[str], None] = lambda error: None


class Listener(Protocol):
    """Who is told what happens."""

    def started(self, task: Task) -> None: ...

    def done(self, task: Task, done: Done) -> None: ...

    def failed(self, task: Task, done: Done, error: str, again: bool) -> None: ...


@dataclass
class Result:
    """How many tasks were executed, and the failures in words."""

    executed: int = 0
    failures: list[str] = field(default_factory=list)


def work_off(
    tasks: Sequence[Task], executor: Executor, listener: Listener, retries: int = 1, check: Callable = lambda: None
) -> Result:
    """Work off all tasks, each when those that it needs have ended; `check` is called now and then and may raise.

    A crash (the kernel or worker was gone) is tried again up to `retries` times; what failed by itself is not. A task
    whose kernel failed does not stop the others. InputError where a worker refuses its job; then, and whenever
    something else is raised here, jobs in hand are ended first.
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
        self.result, self.running, self.ready = Result(), 0, []
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
        """Hand out what can run, as far as the executor has room."""
        with self.executor.batch():
            while self.ready and (self.executor.slots is None or self.running < self.executor.slots):
                self._start(heapq.heappop(self.ready)[-1])

    def wait(self, check: Callable) -> None:
        """Sleep until something has ended."""
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
            self._failed(task, Done("", str(error)), str(error))
            return
        if job is None:
            self._free(task)
            return
        self.listener.started(task)
        self.running += 1
        future = self.executor.submit(perform, job)
        future.add_done_callback(lambda ended: self._ended.put((task, ended)))

    def _end(self, task: Task, future: Future) -> None:
        self.running -= 1
        done = _outcome(future)
        error = task.accept(done) or done.error
        if not error:
            self.result.executed += 1
            self.listener.done(task, done)
            self._free(task)
        elif done.crashed and self._crashes[task.name] < self.retries:
            self._crashes[task.name] += 1
            self.listener.failed(task, done, error, again=True)
            task.again(error)
            self._push(task)
        else:
            self._failed(task, done, error)

    def _failed(self, task: Task, done: Done, error: str) -> None:
        self.result.failures.append(f"{task.name}: {error}")
        self.listener.failed(task, done, error, again=False)
        self._free(task)

    def _free(self, task: Task) -> None:
        """The task has ended: what needed nothing but it can run."""
        for other in self._needed_by.pop(task.name, ()):
            self._unmet[other.name].discard(task.name)
            if not self._unmet[other.name]:
                self._push(other)


def _outcome(future: Future) -> Done:
    """What a worker returned, or what its loss comes to."""
    try:
        return future.result()
    except CancelledError:
        raise RunFailed("the executor dropped a job that nobody cancelled: is its scheduler still there?") from None
    except InputError:
        raise
    except (FitlibError, OSError) as error:
        return Done("", str(error))
    except Exception as error:  # each executor has its own names for a worker that is gone
        told = (str(error).strip().splitlines() or [""])[0]
        return Done("", f"its worker was lost ({type(error).__name__}: {told})", crashed=True)
