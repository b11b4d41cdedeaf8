"""Where Jupyter gets the kernel `fitlib` from: forked from a template process, or started cold."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import LocalProvisioner
from traitlets import List, Unicode

from fitlib.execution.kernels.fork_server import (
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
LOOK_SECONDS = 1  # how often it is looked whether a kernel runs that nothing is told of


class ForkProvisioner(LocalProvisioner):
    """Forks kernels; registered as `fitlib-fork` among jupyter_client's kernel provisioners.

    Where forking is not available (`templates.available`) or fails, a kernel is started that imports the same modules
    beforehand: nothing that it computes or records tells the two apart. The kernel is started by its command, as any
    other, on a system other than Linux, where the command is not ipykernel's, and where its folder holds a module of
    the name of an imported one.
    """

    modules = List(Unicode(), list(EVERYTHING), help="modules that the template process imports").tag(config=True)
    _folder: Path | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Give the kernel Unix sockets in a private folder, unless the manager was told where it shall listen."""
        manager = self.parent
        if manager is not None and self._folder is None and (manager.transport, manager.ip) == ("tcp", "127.0.0.1"):
            self._folder = private_folder()
            path = socket_path(self._folder)
            if path:
                manager.transport, manager.ip = "ipc", path
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Mapping[str, Any]:
        """Fork a kernel; returns when it has bound its sockets."""
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

    async def _launch_forked(self, command: Sequence[str], options: Mapping[str, Any]) -> Mapping[str, Any]:
        self.process = await asyncio.to_thread(self._fork, command, options)
        self.pid = self.pgid = self.process.pid
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
        """Wait for the end of the kernel: told by its template, not polled for."""
        if isinstance(self.process, ForkedKernel):
            await _readable_until_ended(self.process)
            self.process = None
            return 0
        return await super().wait()

    async def cleanup(self, restart: bool = False) -> None:
        """Give back ports; remove the private folder."""
        await super().cleanup(restart)
        if not restart and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


async def _readable_until_ended(kernel: ForkedKernel) -> None:
    loop = asyncio.get_running_loop()
    while kernel.poll() is None:
        told, descriptor = loop.create_future(), kernel.fileno()
        loop.add_reader(descriptor, lambda future=told: future.done() or future.set_result(None))
        try:
            await asyncio.wait([told], timeout=LOOK_SECONDS)
        finally:
            loop.remove_reader(descriptor)


def _descriptor(stream: Any, default: int) -> int:
    """Descriptor of a stream that Popen would take; this process's own where none is given."""
    if stream is None:
        return default
    return stream if isinstance(stream, int) and stream >= 0 else stream.fileno()
