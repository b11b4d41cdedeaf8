"""Template processes from the side of their owner: started when first needed, asked for kernels, ended with the owner.

One template serves the kernels of one Python, one list of modules and one environment: what libraries read from the
environment while they are loaded (thread numbers, allocators, back ends) is then the same as in a cold kernel.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SCRIPT = Path(__file__).with_name("fork_server.py")
COLD = "FITLIB_COLD_KERNELS"  # where this variable is set, no kernel is forked
LINUX = sys.platform == "linux"  # macOS has libraries that do not survive a fork, Windows has no fork
MOST = 4  # templates of one process; beyond that, the least recently used one ends
START_SECONDS, FORK_SECONDS = 120, 60
OF_A_KERNEL = ("JPY_", "PAPERMILL_", "FITLIB_")  # variables that may differ between kernels of one template …
SINGLE = ("CUDA_VISIBLE_DEVICES", "PWD", "OLDPWD", "SHLVL", "_")  # … since nothing reads them before the fork

# Imported in this order. torch itself imports torch._dynamo when the first optimiser is made.
TRAINING = ("numpy", "pyarrow.parquet", "torch", "torch._dynamo", "pydantic")
ANALYSIS = ("numpy", "pyarrow.parquet", "pandas", "scipy.stats", "matplotlib.pyplot", "seaborn")
EVERYTHING = tuple(dict.fromkeys((*ANALYSIS, *TRAINING)))


def alone(command: Sequence[str], modules: Sequence[str]) -> list[str]:
    """Return the command of a cold kernel that imports the modules before its first cell, as a template does."""
    return [command[0], str(SCRIPT), "alone", json.dumps(list(modules)), *command]


def available() -> bool:
    """Return whether kernels can be forked on this system and cold ones were not asked for."""
    return LINUX and not os.environ.get(COLD)


class TemplateError(Exception):
    """A template could not be started or did not fork a kernel; a cold one can be started instead."""


class NamesTaken(TemplateError):
    """The kernel's folder contains a module with the name of an imported one, which the kernel must import instead."""


class KernelKilled(RuntimeError):
    """A forked kernel was killed while it started; a cold one would have been killed, too."""


class Template:
    """One template process; it ends when it is closed or no longer referenced."""

    def __init__(self, python: str, modules: Sequence[str], environment: Mapping[str, str]):
        self._sending = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [python, str(SCRIPT), str(theirs.fileno()), json.dumps(list(modules))]
        with theirs, tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                command, env=dict(environment), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            )  # fmt: skip
            theirs.close()
            answer = _receive(self._control, START_SECONDS) or {}
            if "names" not in answer:
                self.close()
                errors.seek(0)
                lines = errors.read().decode(errors="replace").strip().splitlines()
                raise TemplateError(answer.get("error") or (lines or ["it ended"])[-1])
        self.names, self._stamp = frozenset(answer["names"]), _stamp(answer["path"])
        self._path = answer["path"]

    def usable(self) -> bool:
        """Return whether it is running and no package was installed or removed since it imported its modules."""
        return self._process.poll() is None and _stamp(self._path) == self._stamp

    def fork(
        self, command: Sequence[str], environment: Mapping[str, str], cwd: str, stdout: int, stderr: int
    ) -> ForkedKernel:
        """Fork a kernel and return it once it has bound its sockets; TemplateError where that fails."""
        request = json.dumps({"command": list(command), "env": dict(environment), "cwd": cwd}).encode()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kernel = ForkedKernel(self, ours)
        try:
            with theirs, self._sending:
                socket.send_fds(self._control, [request], [stdout, stderr, theirs.fileno()])
        except OSError as error:
            raise TemplateError(f"the template cannot be asked: {error}") from None
        kernel.wait_until_bound()
        return kernel

    def close(self) -> None:
        """End the process and its kernels; the process is gone on return."""
        self.abandon()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def abandon(self) -> None:
        """Close this end of the socket, which ends the process unless another process holds it too."""
        self._control.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


class ForkedKernel:
    """A forked kernel, with the methods of `subprocess.Popen` that jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, template: Template, status: socket.socket):
        self.pid, self.returncode = 0, None
        self._template = template  # it would end if it were not referenced
        self._status, self._reading, self._bound = status, threading.Lock(), False

    def wait_until_bound(self) -> None:
        """Block until the kernel's sockets are bound; TemplateError where it ends before that or takes too long.

        KernelKilled where it was killed, for example because memory ran out.
        """
        end = time.monotonic() + FORK_SECONDS
        while not self._bound:
            if self.returncode == -signal.SIGKILL and self._template.usable():
                raise KernelKilled("the kernel was killed while it started")
            if self.returncode is not None or time.monotonic() > end:
                self.kill()
                raise TemplateError(f"the forked kernel did not start (exit status {self.returncode})")
            self._read(max(end - time.monotonic(), 0))

    def poll(self) -> int | None:
        """Return the exit status as `subprocess` does, None while the kernel is running."""
        while self.returncode is None and self._read(0):
            pass
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended and return the exit status; TimeoutExpired where that takes longer than `timeout`."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired("kernel", timeout or 0)
            self._read(left)
        return self.returncode

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is a message about the kernel."""
        return self._status.fileno()

    def send_signal(self, signum: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _read(self, seconds: float | None) -> bool:
        """Process the next message if one arrives within `seconds`; return whether one did."""
        with self._reading:
            if self.returncode is not None:
                return False
            message = _receive(self._status, seconds)
            if message is None:
                return False
            self.pid, self._bound = message.get("pid", self.pid), self._bound or "ready" in message
            if "exit" in message:
                self.returncode = message["exit"]
                self._status.close()
        return True


def _receive(channel: socket.socket, seconds: float | None) -> dict | None:
    """Return the next message; None where none came in time. A closed channel means that the process was killed."""
    channel.settimeout(seconds)
    try:
        data = channel.recv(1 << 20)
    except (BlockingIOError, TimeoutError):
        return None
    except OSError:
        data = b""
    return json.loads(data) if data else {"exit": -signal.SIGKILL}


def _stamp(path: Sequence[str]) -> tuple[int, ...]:
    """Return the times at which the folders of installed packages were changed."""
    return tuple(os.stat(folder).st_mtime_ns if os.path.isdir(folder) else 0 for folder in path)


# Templates of this process

_templates: dict[tuple, Template] = {}
_failed: set[tuple] = set()
_starting: dict[tuple, threading.Lock] = {}
_guard = threading.Lock()


def template(python: str, modules: Sequence[str], environment: Mapping[str, str]) -> Template:
    """Return the template for this Python, these modules and this environment; start it where there is none.

    TemplateError where it cannot be started; a template that failed once is not started again.
    """
    shared = {k: v for k, v in environment.items() if not k.startswith(OF_A_KERNEL) and k not in SINGLE}
    key = (python, tuple(modules), tuple(sorted(shared.items())))
    with _guard:
        starting = _starting.setdefault(key, threading.Lock())
    with starting:
        found = _templates.get(key)
        if found is None or not found.usable():
            found = _start(key, shared)
        with _guard:
            _templates.pop(key, None)
            _templates[key] = found  # in order of last use
            for old in list(_templates)[:-MOST]:
                del _templates[old]
        return found


def _start(key: tuple, environment: Mapping[str, str]) -> Template:
    if key in _failed:
        raise TemplateError("it could not be started before")
    try:
        return Template(key[0], key[1], environment)
    except (TemplateError, OSError) as error:
        _failed.add(key)
        raise TemplateError(str(error)) from None


def end_templates() -> None:
    """End every template of this process, with all kernels that were forked from them."""
    with _guard:
        ending = list(_templates.values())
        _templates.clear()
    for each in ending:
        each.abandon()
    for each in ending:
        each.close()


def _leave_to_parent() -> None:
    """Give up the templates in a fork of their owner: they end with the owner."""
    for each in _templates.values():
        each.abandon()
    _templates.clear()


atexit.register(end_templates)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
