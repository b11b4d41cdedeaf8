"""Kernels that execute notebooks: under this Python, with private sockets, a given environment and a sure end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import LocalProvisioner

from fitlib.execution.kernels import sockets
from fitlib.execution.kernels.client import WaitingKernelManager
from fitlib.execution.kernels.fork_client import end_templates
from fitlib.execution.kernels.last_line import client_class_with_listener
from fitlib.execution.kernels.provisioner import ForkProvisioner

_running: dict[int, KernelManager] = {}
_guard = threading.Lock()
_ending = threading.Event()


class KernelManager(WaitingKernelManager):
    """A manager that starts ipykernel under the running Python, whatever kernels are installed, by a fork if possible.

    Sockets are Unix sockets in a private folder where the system has them: TCP ports are chosen before they are bound,
    which sometimes fails when kernels start at the same time.
    """

    environment: Mapping[str, str] = {}
    log_file: Path | None = None  # output of the kernel process itself; cells' output goes into the notebook
    on_start: Callable[[int], None] = staticmethod(lambda pid: None)
    modules: Sequence[str] = ()  # imported before the first cell, most often before a fork; none: an ordinary kernel
    on_output: Callable[[Mapping[str, Any]], None] | None = None  # called with every message of the kernel's output

    def __init__(self, **kwargs: object):
        super().__init__(**kwargs)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        if self.on_output:
            self.client_factory = client_class_with_listener(self.on_output)
        self._kernel_spec = KernelSpec(argv=command, display_name="fitlib", language="python")
        self._folder = sockets.private_folder()
        self.connection_file = str(self._folder / "kernel.json")
        socket = sockets.socket_path(self._folder)
        if socket:
            self.transport, self.ip = "ipc", socket
        self.kernel_id = str(uuid.uuid4())
        fields = {"kernel_id": self.kernel_id, "kernel_spec": self._kernel_spec, "parent": self}
        modules = list(self.modules)
        self.provisioner = ForkProvisioner(modules=modules, **fields) if modules else LocalProvisioner(**fields)

    async def _async_start_kernel(self, **kwargs: Any) -> None:
        kwargs["env"] = {**os.environ, **self.environment, **(kwargs.get("env") or {})}
        with open(self.log_file or os.devnull, "ab") as stream:
            await super()._async_start_kernel(**{"stdout": stream, "stderr": stream, **kwargs})
        with _guard:
            _running[self._pid()] = self
        self.on_start(self._pid())
        if _ending.is_set():  # it was starting while all others were ended
            end_all()

    start_kernel = _async_start_kernel  # type: ignore[assignment]  # jupyter_client assigns its coroutine likewise

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart)
        if not restart:
            self.forget()

    cleanup_resources = _async_cleanup_resources  # type: ignore[assignment]  # likewise

    def _pid(self) -> int:
        if not isinstance(self.provisioner, LocalProvisioner) or self.provisioner.pid is None:
            raise RuntimeError("the kernel has no process")
        return self.provisioner.pid

    def forget(self) -> None:
        """Remove the private folder and the entry among the running kernels."""
        with _guard:
            for pid in [pid for pid, manager in _running.items() if manager is self]:
                del _running[pid]
        shutil.rmtree(self._folder, ignore_errors=True)


def manager_class(
    environment: Mapping[str, str],
    log: Path | None = None,
    on_start: Callable[[int], None] = lambda pid: None,
    modules: Sequence[str] = (),
    on_output: Callable[[Mapping[str, Any]], None] | None = None,
) -> type[KernelManager]:
    """Return a kernel manager class whose kernels have these environment variables besides the process's, and a log.

    on_start: called with the pid of each kernel; modules: imported before the first cell, once for all kernels that are
    forked (none: ordinary kernels); on_output: called with each message of a kernel's output, see
    `fitlib.execution.kernels.last_line`.
    """
    chosen: dict[str, Any] = {"environment": dict(environment), "log_file": log, "on_start": staticmethod(on_start)}
    chosen |= {"modules": tuple(modules), "on_output": on_output and staticmethod(on_output)}
    return type("KernelManager", (KernelManager,), chosen)


def begin() -> None:
    """Prepare to start kernels; remove the private folders of killed processes of this machine."""
    _ending.clear()
    sockets.remove_stale_folders()


def is_ending() -> bool:
    """Return whether all kernels are being ended."""
    return _ending.is_set()


def end_all() -> None:
    """Kill every kernel of this process that is running or starting."""
    _ending.set()
    with _guard:
        left = dict(_running)
    for pid, manager in left.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        manager.forget()
    end_templates()
