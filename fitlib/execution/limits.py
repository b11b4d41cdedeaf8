"""Limits of a run, enforced while its kernel works: time, memory, and that the batch that wants it still exists."""

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

INTERVAL = 0.5  # seconds between two checks
ORPHANED = "its batch has ended or was restarted"
GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """The limits of a run; None: unlimited."""

    seconds: float | None = None
    memory: int | None = None  # bytes


@dataclass(frozen=True)
class Lease:
    """The lock of the batch that wants a run, wherever that run is executed."""

    lock: str
    token: str


class Watchdog:
    """A thread that kills a kernel exceeding its limits or outliving its batch; `reason` then describes why."""

    def __init__(self, limits: Limits, lease: Lease | None = None):
        self.limits, self.reason = limits, ""
        self._lease = LeaseMonitor(lease) if lease else None
        self._pid: int | None = None
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def watch(self, pid: int) -> None:
        """Watch the kernel with this pid."""
        self._pid = pid

    @property
    def orphaned(self) -> bool:
        """Whether the batch ended before its run: its results are of no use then."""
        return self.reason == ORPHANED

    def _poll(self) -> None:
        while not self._ended.wait(INTERVAL):
            if self._pid is not None and not self.reason:
                self.reason = self._reason_to_end(self._pid)
                if self.reason:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._pid, signal.SIGKILL)

    def _reason_to_end(self, pid: int) -> str:
        seconds, memory = self.limits.seconds, self.limits.memory
        if seconds is not None and time.monotonic() - self._began > seconds:
            return f"took longer than {seconds:g} s, its limit: raise --timeout or reduce the work"
        if memory is not None and (used := memory_in_use(pid)) > memory:
            excess = f"used {used / GIB:.2f} GiB of memory, more than its limit of {memory / GIB:.2f} GiB"
            return f"{excess}: raise --memory or reduce the work"
        return "" if self._lease is None or self._lease.is_held() else ORPHANED


class LeaseMonitor:
    """A monitor of the batch that holds a lock: the batch is alive as long as this machine sees the lock change."""

    def __init__(self, lease: Lease):
        self._lease = lease
        self._beat, self._seen = 0.0, time.monotonic()

    def is_held(self) -> bool:
        """Return whether the lock is there, the same batch's, and fresh; a single failed look proves nothing."""
        path, now = Path(self._lease.lock), time.monotonic()
        holder = read_holder(path)
        if holder is not None and holder.token != self._lease.token:
            return False
        # Only changes of the heartbeat count, timed by this machine's clock: another machine's clock may differ.
        with contextlib.suppress(OSError):
            if holder is not None and (beat := path.stat().st_mtime) != self._beat:
                self._beat, self._seen = beat, now
        return now - self._seen < (2 * STALE if holder else 2)


def memory_in_use(pid: int) -> int:
    """Return the bytes that a process and its children use; shared pages count in parts (proportional set size)."""
    try:
        process = psutil.Process(pid)
        return sum(map(_share, [process, *process.children(recursive=True)]))
    except psutil.Error:
        return 0


def _share(process: psutil.Process) -> int:
    try:
        info = process.memory_full_info()
        return getattr(info, "pss", info.uss)  # Linux only has the proportional size
    except psutil.Error:
        return 0
