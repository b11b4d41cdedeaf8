"""One process at a time holds an experiment's lock; an error names its holder; an ended holder blocks nobody."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

from fitlib.errors import InputError, RunFailed
from fitlib.storage import lock
from fitlib.storage.lock import STALE, Holder, is_locked, locked, read_holder
from fitlib.storage.paths import ExperimentPaths

HOLD = "import sys, time; from pathlib import Path; from fitlib.storage.lock import locked\n"
HOLD += "from fitlib.storage.paths import *\n"
HOLD += "with locked(ExperimentPaths(Path(sys.argv[1]))): print('held', flush=True); time.sleep(60)"


@pytest.fixture
def paths(tmp_path):
    folder = ExperimentPaths(tmp_path / "x")
    folder.root.mkdir()
    return folder


@pytest.fixture
def other(paths):
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, paths.root], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def left_by(paths, age=0.0, **changes):
    """Write a lock file as another holder left it, `age` seconds after its last heartbeat."""
    holder = replace(Holder.this_process(), **changes)
    paths.lock.write_text(json.dumps(asdict(holder)))
    os.utime(paths.lock, (time.time() - age,) * 2)
    return holder


def test_a_second_holder_is_refused_and_told_who_the_first_one_is(paths, other):
    holder = f"in use by process {other.pid} on {os.uname().nodename}"
    with pytest.raises(RunFailed, match=holder), locked(paths):
        pass
    assert is_locked(paths)


def test_a_lock_ends_with_its_block_and_leaves_nothing(paths):
    with locked(paths):
        assert is_locked(paths) and read_holder(paths.lock).pid == os.getpid()
        with pytest.raises(RunFailed, match=f"in use by process {os.getpid()}"), locked(paths):
            pass
    assert not is_locked(paths) and os.listdir(paths.root) == []


def test_a_killed_holder_stops_nobody(paths, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert paths.lock.exists() and not is_locked(paths)
    with locked(paths):
        assert read_holder(paths.lock).pid == os.getpid()


def test_a_holder_on_another_machine_counts_as_long_as_its_heart_beats(paths):
    left_by(paths, age=STALE / 2, host="far", boot="other", pid=7)
    assert is_locked(paths)
    with pytest.raises(RunFailed, match="in use by process 7 on far"), locked(paths):
        pass


def test_a_holder_on_another_machine_is_gone_when_its_heart_has_stopped(paths):
    left_by(paths, age=STALE + 5, host="far", boot="other")
    assert not is_locked(paths)
    with locked(paths):
        assert read_holder(paths.lock).host == os.uname().nodename


def test_a_holder_from_before_a_reboot_is_gone_at_once(paths):
    left_by(paths, boot="the one before")
    with locked(paths):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": "far"}', "process 7 on far"])
def test_a_damaged_lock_that_nobody_holds_stops_nobody(paths, content):
    paths.lock.write_text(content)
    assert not is_locked(paths)
    with locked(paths):
        assert read_holder(paths.lock).pid == os.getpid()


def test_of_many_at_once_one_gets_it(paths):
    def attempt(_):
        try:
            with locked(paths):
                time.sleep(0.5)
                return 1
        except RunFailed:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


def test_the_heart_beats_while_a_lock_is_held(paths, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    with locked(paths):
        os.utime(paths.lock, (0, 0))
        time.sleep(0.3)
        assert time.time() - paths.lock.stat().st_mtime < 5


def test_a_holder_whose_lock_was_taken_says_so_and_leaves_the_other_ones(paths):
    with locked(paths) as held:
        held.check()
        taker = left_by(paths, host="far")
        with pytest.raises(RunFailed, match="far"):
            held.check()
    assert read_holder(paths.lock) == taker


def test_a_file_system_without_locks_of_its_own_leaves_it_to_the_heartbeat(paths, monkeypatch):
    def none(descriptor, kind):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    left_by(paths, age=1, host="far", boot="other")
    with pytest.raises(RunFailed, match="on far"), locked(paths):
        pass
    left_by(paths, age=STALE + 5, host="far", boot="other")
    with locked(paths):
        pass


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not writable"), locked(ExperimentPaths(tmp_path / "file" / "x")):
        pass
