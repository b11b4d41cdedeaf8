"""Who works in an experiment's folder: a file that one process at a time can create, and that it keeps fresh.

On one machine the operating system frees the lock with its holder, however that ends. Machines that share the file
system see by the heartbeat, the file's time of change, whether a holder elsewhere is still at work.
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

BEAT, STALE = 5.0, 60.0  # seconds between two heartbeats; after so many without one a holder elsewhere is gone
BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock; `boot` tells one start of a machine from the next, `token` one holding."""

    host: str
    pid: int
    boot: str
    token: str

    @classmethod
    def this_process(cls) -> Holder:
        """This process, with a token of its own."""
        return cls(os.uname().nodename, os.getpid(), _boot(), secrets.token_hex(8))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lock:
    """A lock that is held: keeps it fresh, and says so when somebody else has taken it."""

    def __init__(self, path: Path, holder: Holder):
        self.path, self.token = path, holder.token
        self._released = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def check(self) -> None:
        """RunFailed where another process has taken the lock, as it may when this one was halted for a minute."""
        holder = read_holder(self.path)
        if holder is None or holder.token != self.token:
            now = holder or "somebody who removed it"
            raise RunFailed(f"{self.path} is not held any more but by {now}: this process was halted for too long")

    def release(self) -> None:
        """Remove the file, if it is still this lock's."""
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
    """Hold the experiment's lock; RunFailed names who holds it already, InputError a folder that cannot be written."""
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        descriptor, holder = _taken(paths)
    except OSError as error:
        problem = f"output folder is not writable ({error.strerror})"
        raise InputError(
            str(paths.root), "folder", paths.root.name, problem, "change --outputs or its rights"
        ) from None
    try:
        lock = Lock(paths.lock, holder)
        try:
            yield lock
        finally:
            lock.release()
    finally:
        os.close(descriptor)  # after the file is gone: who waited for it sees that


def is_locked(paths: ExperimentPaths) -> bool:
    """Is somebody working in the experiment's folder?"""
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _flocked(descriptor, fcntl.LOCK_SH) or _works_elsewhere(paths.lock, time.time())
    finally:
        os.close(descriptor)


def is_held(path: Path, token: str) -> bool:
    """Does whoever took the lock with this token still keep it fresh, on whichever machine?"""
    holder = read_holder(path)
    try:
        return holder is not None and holder.token == token and _now_at(path.parent) - path.stat().st_mtime < STALE
    except OSError:
        return False


def read_holder(path: Path) -> Holder | None:
    """Who wrote the file; None where there is none, or what it says cannot be read."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _taken(paths: ExperimentPaths) -> tuple[int, Holder]:
    """The open and locked file, and this process as its holder."""
    holder = Holder.this_process()
    while True:
        descriptor = _created(paths.lock, holder)
        if descriptor is not None:
            return descriptor, holder
        with contextlib.suppress(FileNotFoundError):  # its holder has just ended
            descriptor = _taken_over(paths, holder)
            if descriptor is not None:
                return descriptor, holder


def _created(path: Path, holder: Holder) -> int | None:
    """A new file, whole from the moment at which it has its name; None where there is one already."""
    temporary = path.with_name(f".lock.json.{holder.token[:8]}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        _flocked(descriptor, fcntl.LOCK_EX)
        _write(descriptor, holder)
        os.link(temporary, path)
        return descriptor
    except FileExistsError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        temporary.unlink()


def _taken_over(paths: ExperimentPaths, holder: Holder) -> int | None:
    """The file that an ended process left; None where it was gone meanwhile. RunFailed where its holder is at work."""
    descriptor = os.open(paths.lock, os.O_RDWR)
    try:
        free = any(_flocked(descriptor, fcntl.LOCK_EX) or time.sleep(0.1) for _ in range(3))  # a look is no holder
        if not _is(descriptor, paths.lock):
            os.close(descriptor)
            return None
        if not free or _works_elsewhere(paths.lock, _now_at(paths.root)):
            owner = read_holder(paths.lock) or "another process"
            raise RunFailed(f"{paths.root} is in use by {owner}: wait for it, or end it")
        left = read_holder(paths.lock)
        _write(descriptor, holder)
        if left and left.boot != holder.boot:  # two machines may have found it at once: the last one to write has it
            time.sleep(1)
            if read_holder(paths.lock) != holder:
                raise RunFailed(f"{paths.root} is in use by {read_holder(paths.lock)}: wait for it, or end it")
        return descriptor
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise


def _works_elsewhere(path: Path, now: float) -> bool:
    """Is the holder on another machine, and was there a heartbeat? On this one the system frees what nobody holds."""
    holder = read_holder(path)
    if holder is None or holder.boot == _boot() or holder.host == os.uname().nodename:
        return False
    try:
        return now - path.stat().st_mtime < STALE
    except OSError:
        return False


def _now_at(folder: Path) -> float:
    """The time by the clock that gives the files of a folder their times, which may be another machine's."""
    probe = folder / f".lock.json.{secrets.token_hex(4)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _flocked(descriptor: int, kind: int) -> bool:
    """Whether the system's lock could be had; a file system that has none leaves it to the heartbeat."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in BUSY
    return True


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, holder: Holder) -> None:
    content = (json.dumps(asdict(holder), sort_keys=True) + "\n").encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _boot() -> str:
    """What tells this start of this machine from any other."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return f"unknown boot of {os.uname().nodename}"
