"""A kernel that outgrows its limits or outlives its batch is killed, and the reason is reported."""

import os
import subprocess
import sys
import time

import pytest

from fitlib.execution import limits as limits_execution
from fitlib.execution.limits import ORPHANED, Lease, LeaseMonitor, Limits, Watchdog, memory_in_use
from fitlib.storage.lock import Holder

HOLDING = "import time; held = b'x' * {size}; print('ready', flush=True); time.sleep(60)"
MIB = 2**20


@pytest.fixture
def process():
    """Start Python code in a process of its own and wait until it prints something."""
    started = []

    def start(code):
        started.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline()
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()
        one.stdout.close()


def ended(victim, limits, lease=None):
    """Watch a process until it is dead; the reason."""
    with Watchdog(limits, lease) as watching:
        watching.watch(victim.pid)
        victim.wait(timeout=30)
    return watching.reason


def test_a_kernel_that_takes_too_long_is_ended(process):
    assert "took longer than 0.2 s" in ended(process(HOLDING.format(size=1)), Limits(seconds=0.2))


def test_a_kernel_that_holds_too_much_is_ended(process):
    reason = ended(process(HOLDING.format(size=200 * MIB)), Limits(memory=100 * MIB))
    assert "more than its limit of 0.10 GiB" in reason and "--memory" in reason


def test_a_kernel_within_its_limits_is_left_alone(process):
    victim = process(HOLDING.format(size=1))
    with Watchdog(Limits(seconds=60, memory=1000 * MIB)) as watching:
        watching.watch(victim.pid)
        time.sleep(3 * limits_execution.INTERVAL)
    assert watching.reason == "" and victim.poll() is None


def test_a_kernel_whose_batch_has_ended_is_ended(process, tmp_path):
    reason = ended(process(HOLDING.format(size=1)), Limits(), Lease(str(tmp_path / "lock"), "token"))
    assert reason == ORPHANED


def _holder(path, token, pid=1):
    path.write_text(f'{{"host": "far", "pid": {pid}, "boot": "b", "token": "{token}"}}')


def test_a_lease_holds_as_long_as_the_lock_is_the_batchs_and_changes(tmp_path, monkeypatch):
    lock, now = tmp_path / "lock", [1000.0]
    monkeypatch.setattr(limits_execution.time, "monotonic", lambda: now[0])
    _holder(lock, "mine")
    lease = LeaseMonitor(Lease(str(lock), "mine"))
    assert lease.is_held()
    now[0] += 3 * limits_execution.STALE
    os.utime(lock, (1, 1))  # another time than before: a heartbeat, whatever the clocks say
    assert lease.is_held()
    now[0] += 3 * limits_execution.STALE
    assert not lease.is_held()
    _holder(lock, "another holder's")
    assert not lease.is_held()


def test_one_look_at_a_missing_lock_does_not_end_a_lease(tmp_path):
    assert LeaseMonitor(Lease(str(tmp_path / "lock"), "mine")).is_held()


SHARING = """
import multiprocessing, os
from fitlib.execution.limits import memory_in_use

held = bytearray(os.urandom(300 << 20))
fork = multiprocessing.get_context("fork")
everybody, measured, proceed = fork.Barrier(3), fork.Queue(), fork.Event()

def share():
    everybody.wait()
    measured.put(memory_in_use(os.getpid()))
    proceed.wait()

children = [fork.Process(target=share) for _ in range(3)]
for child in children:
    child.start()
largest = max(measured.get(timeout=60) for _ in children)
print(largest, memory_in_use(os.getpid()))  # the latter with its children
proceed.set()
for child in children:
    child.join()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="this system does not count shared pages")
def test_pages_that_forked_processes_share_are_counted_in_parts():
    done = subprocess.run([sys.executable, "-c", SHARING], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    largest, total = map(int, done.stdout.split())
    assert largest < 250 * MIB and 300 * MIB < total < 600 * MIB


def test_a_process_that_is_gone_holds_nothing(process):
    victim = process(HOLDING.format(size=1))
    victim.kill()
    victim.wait()
    assert memory_in_use(victim.pid) == 0


def test_every_holding_has_a_token_of_its_own():
    assert Holder.this_process().token != Holder.this_process().token
