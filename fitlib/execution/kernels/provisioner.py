"""The provisioner of the Jupyter kernel `fitlib`: forks it from a template process, or starts it cold."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner
from traitlets import List, Unicode

from fitlib.execution.kernels.fork_client import (
    EVERYTHING,
    LINUX,
    ForkedKernel,
    NamesTaken,
    TemplateError,
    alone,
    available,
    template,
)
from fitlib.execution.kernels.sockets import private_folder, socket_path

LAUNCHER = ["-m", "ipykernel_launcher", "-f"]
UNDERSTOOD = {"env", "cwd", "stdout", "stderr", "stdin", "independent", "kernel_id", "extra_arguments"}
POLL_SECONDS = 1  # how often to check whether a kernel is still running while no message about it arrives


class ForkProvisioner(LocalProvisioner):
    """A provisioner that forks kernels; registered as `fitlib-fork` among jupyter_client's kernel provisioners.

    Where forking is not available (`fork_client.available`) or fails, it starts a cold kernel that imports the same
    modules before its first cell: nothing that a kernel computes or records shows which of the two it is. The kernel
    is started by its own command, like any other, on systems other than Linux, where the command is not ipykernel's,
    and where its folder contains a module with the name of an imported one.
    """

    modules = List(Unicode(), list(EVERYTHING), help="modules that the template process imports").tag(config=True)
    _folder: Path | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Give the kernel Unix sockets in a private folder, unless the manager has an address of its own choice."""
        manager = self.parent
        if manager is not None and self._folder is None and (manager.transport, manager.ip) == ("tcp", "127.0.0.1"):
            self._folder = private_folder()
            path = socket_path(self._folder)
            if path:
                manager.transport, manager.ip = "ipc", path
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel, or start a cold one; a forked one has bound its sockets on return."""
        if not LINUX or cmd[1:4] != LAUNCHER:
            return await super().launch_kernel(cmd, **kwargs)
        try:
            if available() and set(kwargs) <= UNDERSTOOD and not kwargs.get("independent"):
                return await self._launch_forked(cmd, kwargs)
        except NamesTaken:
            return await super().launch_kernel(cmd, **kwargs)
        except (TemplateError, OSError) as error:
            self.log.warning("No forked kernel, so a cold one is started: %s", error)
        return await super().launch_kernel(alone(cmd, self.modules), **kwargs)

    async def _launch_forked(self, command: Sequence[str], options: Mapping[str, Any]) -> KernelConnectionInfo:
        kernel = await asyncio.to_thread(self._fork, command, options)
        self.process = kernel  # type: ignore[assignment]  # it has the methods of Popen that are used
        self.pid = self.pgid = kernel.pid
        self.cwd = options.get("cwd") or os.getcwd()
        return self.connection_info

    def _fork(self, command: Sequence[str], options: Mapping[str, Any]) -> ForkedKernel:
        environment = {**(options.get("env") or os.environ)}
        environment.pop("JPY_PARENT_PID", None)
        found = template(command[0], self.modules, environment)
        cwd = os.path.abspath(options.get("cwd") or os.getcwd())
        if found.names & {name.partition(".")[0] for name in os.listdir(cwd)}:
            raise NamesTaken
        environment["JPY_PARENT_PID"] = str(os.getpid())
        stdout, stderr = (_descriptor(options.get(name), n) for n, name in ((1, "stdout"), (2, "stderr")))
        return found.fork(command, environment, cwd, stdout, stderr)

    async def wait(self) -> int | None:
        """Wait until the kernel has ended; a forked one's template reports that, so it is not polled for."""
        if isinstance(self.process, ForkedKernel):
            await _wait_for_end(self.process)
            self.process = None
            return 0
        return await super().wait()

    async def cleanup(self, restart: bool = False) -> None:
        """Release ports; remove the private folder."""
        await super().cleanup(restart)
        if not restart and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


async def _wait_for_end(kernel: ForkedKernel) -> None:
    loop = asyncio.get_running_loop()
    while kernel.poll() is None:
        readable, descriptor = loop.create_future(), kernel.fileno()
        loop.add_reader(descriptor, _set_done, readable)
        try:
            await asyncio.wait([readable], timeout=POLL_SECONDS)
        finally:
            loop.remove_reader(descriptor)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _descriptor(stream: Any, default: int) -> int:
    """Return the descriptor of a stream in any form that Popen accepts; this process's own where none is given."""
    if stream is None:
        return default
    return stream if isinstance(stream, int) and stream >= 0 else stream.fileno()
