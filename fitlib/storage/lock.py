"""A lock on an experiment's folder, held by one process at a time and kept alive by a heartbeat.

On one machine the operating system releases the lock when its holder ends, however it ends. Machines that share the
file system see from the heartbeat, the file's modification time, whether a holder elsewhere is still alive.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fitlib.errors import InputError, RunFailed
from fitlib.storage.paths import ExperimentPaths

BEAT, STALE = 5.0, 60.0  # seconds between two heartbeats, and without one until a holder elsewhere counts as dead
BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock; `boot` identifies the start of its machine, `token` this holding of the lock."""

    host: str
    pid: int
    boot: str
    token: str

    @classmethod
    def this_process(cls) -> Holder:
        """Return this process as a holder, with a new token."""
        return cls(os.uname().nodename, os.getpid(), _boot_id(), secrets.token_hex(8))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lock:
    """A lock that this process holds: a thread keeps it alive, and `check` notices if another process has taken it."""

    def __init__(self, path: Path, holder: Holder):
        self.path, self.token = path, holder.token
        self._released = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def check(self) -> None:
        """Raise RunFailed if another process has taken the lock, as it may once this one was suspended for a minute."""
        holder = read_holder(self.path)
        if holder is None or holder.token != self.token:
            change = f"taken over by {holder}" if holder else "removed"
            raise RunFailed(
                f"{self.path} was {change}, as this process was suspended for too long; run the command again"
            )

    def release(self) -> None:
        """Stop the heartbeat, and remove the file if it still belongs to this lock."""
        self._released.set()
        self._beating.join()
        holder = read_holder(self.path)
        if holder and holder.token == self.token:
            self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._released.wait(BEAT):
            holder = read_holder(self.path)
            if holder and holder.token == self.token:
                with contextlib.suppress(OSError):
                    os.utime(self.path)


@contextlib.contextmanager
def locked(paths: ExperimentPaths) -> Iterator[Lock]:
    """Hold the experiment's lock; raise RunFailed if another process holds it, InputError if nothing can be written."""
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        descriptor, holder = _acquire(paths)
    except OSError as error:
        problem = f"output folder is not writable ({error.strerror})"
        raise InputError(
            str(paths.root), "folder", paths.root.name, problem, "change --outputs or its permissions"
        ) from None
    try:
        lock = Lock(paths.lock, holder)
        try:
            yield lock
        finally:
            lock.release()
    finally:
        os.close(descriptor)  # only now, so that a process waiting for it finds the file gone (`_is_file_at`)


def is_locked(paths: ExperimentPaths) -> bool:
    """Return whether a process is working in the experiment's folder."""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _try_flock(descriptor, fcntl.LOCK_SH) or _is_held_elsewhere(paths.lock, time.time())
    finally:
        os.close(descriptor)


def is_held(path: Path, token: str) -> bool:
    """Return whether the holder with this token still keeps the lock alive, on whichever machine."""
    holder = read_holder(path)
    try:
        return holder is not None and holder.token == token and _time_at(path.parent) - path.stat().st_mtime < STALE
    except OSError:
        return False


def read_holder(path: Path) -> Holder | None:
    """Return the holder that a lock file names; None if there is no file or it cannot be read."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _acquire(paths: ExperimentPaths) -> tuple[int, Holder]:
    """Return the open and locked file, and this process as its holder."""
    holder = Holder.this_process()
    while True:
        descriptor = _create(paths.lock, holder)
        if descriptor is not None:
            return descriptor, holder
        with contextlib.suppress(FileNotFoundError):  # its holder has just ended
            descriptor = _take_over(paths, holder)
            if descriptor is not None:
                return descriptor, holder


def _create(path: Path, holder: Holder) -> int | None:
    """Create the lock file, complete from the moment it has its name; return None if there is one already."""
    temporary = path.with_name(f".lock.json.{holder.token[:8]}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        _try_flock(descriptor, fcntl.LOCK_EX)
        _write(descriptor, holder)
        os.link(temporary, path)  # unlike a rename, a link fails where the name exists
        return descriptor
    except FileExistsError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        temporary.unlink()


def _take_over(paths: ExperimentPaths, holder: Holder) -> int | None:
    """Take over the file of an ended process; return None if it is gone, raise RunFailed if its holder is alive."""
    descriptor = os.open(paths.lock, os.O_RDWR)
    try:
        free = _wait_for_flock(descriptor)
        if not _is_file_at(descriptor, paths.lock):
            os.close(descriptor)
            return None
        if not free or _is_held_elsewhere(paths.lock, _time_at(paths.root)):
            owner = read_holder(paths.lock) or "another process"
            raise RunFailed(f"{paths.root} is in use by {owner}: wait for it, or end it")
        previous = read_holder(paths.lock)
        _write(descriptor, holder)
        if previous and previous.boot != holder.boot:  # another machine may take it over, too: the last writer has it
            time.sleep(1)
            if read_holder(paths.lock) != holder:
                raise RunFailed(f"{paths.root} is in use by {read_holder(paths.lock)}: wait for it, or end it")
        return descriptor
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise


def _is_held_elsewhere(path: Path, now: float) -> bool:
    """Return whether the holder is alive on another machine; on this one the system's lock is the answer."""
    holder = read_holder(path)
    if holder is None or holder.boot == _boot_id() or holder.host == os.uname().nodename:
        return False
    try:
        return now - path.stat().st_mtime < STALE
    except OSError:
        return False


def _time_at(folder: Path) -> float:
    """Return the time on the clock of a folder's file system, which may be that of a file server."""
    probe = folder / f".lock.json.{secrets.token_hex(4)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _wait_for_flock(descriptor: int) -> bool:
    """Try three times: `is_locked` of another process holds the system's lock for an instant only."""
    for _ in range(3):
        if _try_flock(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(0.1)
    return False


def _try_flock(descriptor: int, kind: int) -> bool:
    """Try to get the system's lock; True also on a file system without locks, where only the heartbeat counts."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in BUSY
    return True


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, holder: Holder) -> None:
    content = (json.dumps(asdict(holder), sort_keys=True) + "\n").encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _boot_id() -> str:
    """Return an identifier of this start of this machine."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return f"unknown boot of {os.uname().nodename}"
