"""Limits of a run, watched while its kernel works: time, memory, and whether the batch that wants it still exists."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from fitlib.storage.lock import STALE, read_holder

INTERVAL = 0.5  # seconds between two looks
ORPHANED = "its batch has ended or begun anew"
GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """The most that a run may take; None: as much as it likes."""

    seconds: float | None = None
    memory: int | None = None  # bytes


@dataclass(frozen=True)
class Lease:
    """The lock of the batch that wants a run, wherever that run works."""

    lock: str
    token: str


class Watch:
    """Kills a kernel that outgrows its limits or outlives its batch; `reason` then says why."""

    def __init__(self, limits: Limits, lease: Lease | None = None):
        self.limits, self.reason = limits, ""
        self._lease = lease and LeaseWatch(lease)
        self._pid: int | None = None
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def kernel(self, pid: int) -> None:
        """The kernel with this pid is the one to watch."""
        self._pid = pid

    @property
    def orphaned(self) -> bool:
        """Did the batch end before its run? Then nobody asks for what is left of it."""
        return self.reason == ORPHANED

    def _look(self) -> None:
        while not self._ended.wait(INTERVAL):
            if self._pid is not None and not self.reason:
                self.reason = self._excess(self._pid)
                if self.reason:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._pid, signal.SIGKILL)

    def _excess(self, pid: int) -> str:
        seconds, memory = self.limits.seconds, self.limits.memory
        if seconds is not None and time.monotonic() - self._began > seconds:
            return f"took longer than {seconds:g} s, its limit: raise --timeout, or give it less to do"
        if memory is not None and (held := memory_of(pid)) > memory:
            told = f"held {held / GIB:.2f} GiB of memory, more than its limit of {memory / GIB:.2f} GiB"
            return f"{told}: raise --memory, or give it less to do"
        return "" if self._lease is None or self._lease.holds() else ORPHANED


class LeaseWatch:
    """Whether the batch that holds a lock is still at work, as far as this machine sees the lock change."""

    def __init__(self, lease: Lease):
        self._lease = lease
        self._beat, self._seen = 0.0, time.monotonic()

    def holds(self) -> bool:
        """Is the lock there, the same batch's, and fresh? One look at it that fails is not yet an answer."""
        path, now = Path(self._lease.lock), time.monotonic()
        holder = read_holder(path)
        if holder is not None and holder.token != self._lease.token:
            return False
        with contextlib.suppress(OSError):
            if holder is not None and (beat := path.stat().st_mtime) != self._beat:
                self._beat, self._seen = beat, now
        return now - self._seen < (2 * STALE if holder else 2)


def memory_of(pid: int) -> int:
    """Bytes that a process and its children hold: pages that several share count in parts (proportional set size)."""
    try:
        process = psutil.Process(pid)
        return sum(map(_share, [process, *process.children(recursive=True)]))
    except psutil.Error:
        return 0


def _share(process: psutil.Process) -> int:
    try:
        told = process.memory_full_info()
        return getattr(told, "pss", told.uss)
    except psutil.Error:
        return 0
