"""Tasks run as soon as what they need has ended, crashes are tried again, and an interrupt ends what runs."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from fitlib.errors import InputError, RunFailed
from fitlib.execution.jobs import AttemptResult, Job
from fitlib.execution.scheduler import Task, execute_tasks


class Threads:
    """An executor whose jobs are functions of their name."""

    remote = False

    def __init__(self, work, slots=1):
        self.work, self.slots, self.pool, self.cancelled = work, slots, ThreadPoolExecutor(8), False

    def submit(self, function, job) -> Future:
        return self.pool.submit(self.work, job.name)

    def batch(self):
        return nullcontext()

    def cancel(self):
        self.cancelled = True


class RecordedEvents:
    """A listener that keeps the events in order."""

    def __init__(self):
        self.events = []

    def started(self, task):
        self.events.append(("started", task.name))

    def done(self, task, done):
        self.events.append(("done", task.name))

    def failed(self, task, done, error, will_retry):
        self.events.append(("again" if will_retry else "failed", task.name))

    def names(self, what):
        return [name for kind, name in self.events if kind == what]


def job_of(name):
    return Job(name, "train", "n.ipynb", name, "run_dir", {}, {}, {})


def task(name, needs=(), kind="train", **more):
    more = {"job": lambda: job_of(name), "accept": lambda done: "", **more}
    return Task(name, kind, frozenset(needs), **more)


def fine(name):
    return AttemptResult(name)


def off(tasks, work=fine, slots=1, **more):
    recorded, executor = RecordedEvents(), Threads(work, slots)
    return execute_tasks(tasks, executor, recorded, **more), recorded, executor


def test_what_others_need_comes_before_them_and_nothing_is_forgotten():
    tasks = [task("c", ["a", "b"]), task("a"), task("d", ["c"]), task("b")]
    result, recorded, _ = off(tasks, slots=4)
    ended = recorded.names("done")
    assert sorted(ended) == ["a", "b", "c", "d"] and result.executed == 4
    assert ended.index("c") > max(ended.index("a"), ended.index("b")) and ended.index("d") > ended.index("c")


def test_metrics_start_when_their_own_runs_are_done_not_when_all_are():
    tasks = [task(f"r{i}") for i in range(6)] + [task("metrics", ["r0", "r1"], "metrics")]
    _, recorded, _ = off(tasks)
    assert recorded.names("started").index("metrics") == 2


def test_no_more_jobs_are_in_hand_than_the_executor_takes():
    now, most, guard = [0], [0], threading.Lock()
    gate = threading.Event()

    def work(name):
        with guard:
            now[0] += 1
            most[0] = max(most[0], now[0])
        gate.wait(0.05)
        with guard:
            now[0] -= 1
        return AttemptResult(name)

    off([task(str(i)) for i in range(12)], work, slots=3)
    assert most[0] == 3


def test_an_executor_with_its_own_queue_gets_all_that_can_run_at_once():
    batches = []

    class Batching(Threads):
        def batch(self):
            batches.append(0)
            return nullcontext()

        def submit(self, function, job):
            batches[-1] += 1
            return super().submit(function, job)

    tasks = [task(str(i)) for i in range(10)] + [task("last", ["0"])]
    execute_tasks(tasks, Batching(fine, None), RecordedEvents())
    assert batches[0] == 10 and sum(batches) == 11


def test_a_crash_is_tried_again_and_a_result_is_not():
    tries = []

    def work(name):
        tries.append(name)
        crashed = name == "crash" and tries.count(name) < 3
        return AttemptResult(name, "gone" if crashed else "bad", crashed=crashed)

    cleared = []
    tasks = [task("crash", prepare_retry=cleared.append), task("result"), task("after", ["crash", "result"])]
    result, recorded, _ = off(tasks, work, retries=2)
    assert tries.count("crash") == 3 and tries.count("result") == 1 and cleared == ["gone", "gone"]
    assert recorded.names("again") == ["crash", "crash"]
    assert sorted(recorded.names("failed")) == [
        "after",
        "crash",
        "result",
    ]
    assert len(result.failures) == 3


def test_crashes_without_end_are_given_up_and_do_not_stop_the_others():
    result, _, _ = off([task("a"), task("b")], lambda name: AttemptResult(name, "gone", crashed=name == "a"), retries=1)
    assert sorted(f.partition(":")[0] for f in result.failures) == ["a", "b"]


def test_a_lost_worker_is_a_crash():
    tries = []

    def work(name):
        tries.append(name)
        if len(tries) == 1:
            raise RuntimeError("worker 3 was killed")
        return AttemptResult(name)

    result, _, _ = off([task("a")], work)
    assert tries == ["a", "a"] and not result.failures


def test_what_accepts_an_attempt_can_refuse_it():
    result, recorded, _ = off([task("a", accept=lambda done: "its record is damaged")])
    assert result.failures == ["a: its record is damaged"] and recorded.names("failed") == ["a"]


def test_a_worker_that_may_not_work_stops_everything():
    def work(name):
        raise InputError("worker", "versions", "w", "numpy 1 instead of 2", "install it")

    executor = Threads(work)
    with pytest.raises(InputError, match="numpy 1 instead of 2"):
        execute_tasks([task("a"), task("b")], executor, RecordedEvents())
    assert executor.cancelled


def test_a_full_disk_fails_a_task_and_not_the_rest():
    def work(name):
        if name == "a":
            raise OSError(28, "No space left on device")
        return AttemptResult(name)

    result, _, _ = off([task("a"), task("b")], work)
    assert len(result.failures) == 1 and "No space" in result.failures[0] and result.executed == 1


def test_tasks_with_nothing_to_do_free_what_needs_them():
    result, recorded, _ = off([task("a", job=lambda: None), task("b", ["a"])])
    assert recorded.names("started") == ["b"] and result.executed == 1


def test_a_task_that_cannot_be_made_fails_and_frees_what_needs_it():
    def broken():
        raise RunFailed("the code was changed")

    result, recorded, _ = off([task("a", job=broken), task("b", ["a"])])
    assert result.failures == ["a: the code was changed"] and recorded.names("done") == ["b"]


def test_an_interrupt_while_waiting_ends_what_runs():
    def interrupted():
        raise KeyboardInterrupt

    executor = Threads(fine)
    with pytest.raises(KeyboardInterrupt):
        execute_tasks([task("a")], executor, RecordedEvents(), check=interrupted)
    assert executor.cancelled


def test_needs_that_are_no_tasks_are_met_already():
    result, _, _ = off([task("a", ["a run that is done"])])
    assert result.executed == 1
