"""Kernels that execute notebooks: this Python, private sockets, a given environment, and a known way to end."""

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
from fitlib.execution.kernels.client import PromptManager
from fitlib.execution.kernels.fork_server import end_templates
from fitlib.execution.kernels.last_line import client_heard_by
from fitlib.execution.kernels.provisioner import ForkProvisioner

_alive: dict[int, KernelManager] = {}
_guard = threading.Lock()
_ending = threading.Event()


class KernelManager(PromptManager):
    """Starts ipykernel under the running Python, whatever kernels a user has installed; forked where that is possible.

    Sockets are Unix sockets in a private folder where the system has them: TCP ports are chosen before they are bound,
    which fails now and then when kernels start side by side.
    """

    environment: Mapping[str, str] = {}
    log_file: Path | None = None  # what the kernel process itself writes; cells' output goes into the notebook
    started: Callable[[int], None] = staticmethod(lambda pid: None)
    modules: Sequence[str] = ()  # imported before the first cell, most often before a fork; none: an ordinary kernel
    told: Callable[[Mapping[str, Any]], None] | None = None  # hears every message of the kernel's output

    def __init__(self, **kwargs: object):
        super().__init__(**kwargs)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        if self.told:
            self.client_factory = client_heard_by(self.told)
        self._kernel_spec = KernelSpec(argv=command, display_name="fitlib", language="python")
        self._folder = sockets.private_folder()
        self.connection_file = str(self._folder / "kernel.json")
        socket = sockets.socket_path(self._folder)
        if socket:
            self.transport, self.ip = "ipc", socket
        self.kernel_id = str(uuid.uuid4())
        known = {"kernel_id": self.kernel_id, "kernel_spec": self._kernel_spec, "parent": self}
        modules = list(self.modules)
        self.provisioner = ForkProvisioner(modules=modules, **known) if modules else LocalProvisioner(**known)

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
    environment: Mapping[str, str],
    log: Path | None = None,
    started: Callable[[int], None] = lambda pid: None,
    modules: Sequence[str] = (),
    told: Callable[[Mapping[str, Any]], None] | None = None,
) -> type[KernelManager]:
    """A kernel manager whose kernels get these environment variables on top of the process's own, and a log file.

    `started` is told the pid of each. modules: imported before the first cell, once for all kernels that are forked
    (`fitlib.execution.kernels`); none: ordinary kernels. told: hears what they show, see
    `fitlib.execution.kernels.last_line`.
    """
    chosen = {"environment": dict(environment), "log_file": log, "started": staticmethod(started)}
    chosen |= {"modules": tuple(modules), "told": told and staticmethod(told)}
    return type("KernelManager", (KernelManager,), chosen)


def begin() -> None:
    """Be ready to start kernels; remove the private folders that killed processes of this machine left behind."""
    _ending.clear()
    sockets.sweep()


def ending() -> bool:
    """Are all kernels being ended?"""
    return _ending.is_set()


def end_all() -> None:
    """Kill every kernel of this process that runs or is being started."""
    _ending.set()
    with _guard:
        left = dict(_alive)
    for pid, manager in left.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        manager.forget()
    end_templates()
