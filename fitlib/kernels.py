"""Kernels that execute notebooks: this Python, private sockets, a given environment, and a known way to end."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

SOCKET_BYTES = 90  # a Unix socket's path may have 104 bytes on some systems; jupyter_client adds "-1" to "-5"

_alive: dict[int, KernelManager] = {}
_guard = threading.Lock()
_ending = threading.Event()


class KernelManager(AsyncKernelManager):
    """Starts ipykernel under the running Python, whatever kernels a user has installed.

    Sockets are Unix sockets in a private folder where the system has them: TCP ports are chosen before they are bound,
    which fails now and then when kernels start side by side.
    """

    environment: Mapping[str, str] = {}
    log_file: Path | None = None  # what the kernel process itself writes; cells' output goes into the notebook
    started: Callable[[int], None] = staticmethod(lambda pid: None)

    def __init__(self, **kwargs: object):
        super().__init__(**kwargs)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._kernel_spec = KernelSpec(argv=command, display_name="fitlib", language="python")
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=_places()[0]))
        self.connection_file = str(self._folder / "kernel.json")
        socket = str(self._folder / "socket")
        if os.name == "posix" and len(socket.encode()) <= SOCKET_BYTES:
            self.transport, self.ip = "ipc", socket

    async def _async_start_kernel(self, **kwargs: object) -> None:
        kwargs["env"] = {**os.environ, **self.environment, **(kwargs.get("env") or {})}
        with open(self.log_file or os.devnull, "ab") as stream:
            await super()._async_start_kernel(**{"stdout": stream, "stderr": stream, **kwargs})
        with _guard:
            _alive[self.provisioner.pid] = self
        self.started(self.provisioner.pid)
        if _ending.is_set():  # it was being started while all others were ended
            end_all()

    start_kernel = _async_start_kernel

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart)
        if not restart:
            self.forget()

    cleanup_resources = _async_cleanup_resources

    def forget(self) -> None:
        """Remove the private folder and the entry among the living."""
        with _guard:
            for pid in [pid for pid, manager in _alive.items() if manager is self]:
                del _alive[pid]
        shutil.rmtree(self._folder, ignore_errors=True)


def manager_class(
    environment: Mapping[str, str], log: Path | None = None, started: Callable[[int], None] = lambda pid: None
) -> type[KernelManager]:
    """A kernel manager whose kernels get these environment variables on top of the process's own, and a log file.

    `started` is told the pid of each.
    """
    chosen = {"environment": dict(environment), "log_file": log, "started": staticmethod(started)}
    return type("KernelManager", (KernelManager,), chosen)


def begin() -> None:
    """Be ready to start kernels; remove the private folders that killed processes of this machine left behind."""
    _ending.clear()
    for folder in [f for place in _places() for f in Path(place).glob(f"{_prefix()}*-*")]:
        owner = folder.name.removeprefix(_prefix()).partition("-")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def ending() -> bool:
    """Are all kernels being ended?"""
    return _ending.is_set()


def _places() -> list[str]:
    """Folders for private folders, best first: the temporary folder, unless its path is too long for a socket."""
    usual = tempfile.gettempdir()
    name = f"{_prefix()}{os.getpid()}-12345678/socket"
    fits = len(os.path.join(usual, name).encode()) <= SOCKET_BYTES
    return [usual] if fits or not os.access("/tmp", os.W_OK) else ["/tmp", usual]


def _prefix() -> str:
    return f"fitlib-{platform.node()[:12]}-"  # short: the path of a Unix socket may have 104 bytes


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def end_all() -> None:
    """Kill every kernel of this process that runs or is being started."""
    _ending.set()
    with _guard:
        left = dict(_alive)
    for pid, manager in left.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        manager.forget()
