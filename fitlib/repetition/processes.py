"""Processes that make the runs in memory: the caller's side of `fitlib.repetition.host`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fitlib.errors import RunFailed
from fitlib.machine import THREAD_VARIABLES
from fitlib.repetition.host import START, Job


def make_runs(jobs: Sequence[Job], parallel: int, threads: int, log: Path, ended: Callable[[str, str], None]) -> None:
    """Make all runs, `parallel` at once; `ended` gets name and error ("" if none) of each as it ends.

    log: a file for what the host prints. Whatever happens here, interrupts included, no process is left behind. Raises
    RunFailed where the host itself ends early.
    """
    command = [sys.executable, "-c", START.format("main"), json.dumps([path or os.getcwd() for path in sys.path])]
    waiting = {job["name"] for job in jobs}
    with log.open("w") as errors:
        host = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environment(threads), text=True,
            encoding="utf-8", start_new_session=True,
        )  # fmt: skip
        try:
            assert host.stdin is not None and host.stdout is not None
            host.stdin.write(json.dumps({"parallel": parallel, "jobs": list(jobs)}) + "\n")
            host.stdin.flush()  # and left open: the host ends when it is closed
            for line in host.stdout:
                answer = json.loads(line)
                waiting.discard(answer["name"])
                ended(answer["name"], answer["error"])
        finally:
            _end(host)
    if waiting:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no message"]
        raise RunFailed(f"the process that makes the runs ended early: {lines[-1]}")


def _environment(threads: int) -> Mapping[str, str]:
    """Return the environment of runs: threads as given, and sets of text in one order unless the user chose another."""
    return {"PYTHONHASHSEED": "0"} | os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))


def _end(host: subprocess.Popen) -> None:
    """Kill the host with all that it started, and what these left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(host.pid, signal.SIGKILL)
    host.wait()
    for pipe in (host.stdin, host.stdout):
        with contextlib.suppress(OSError):
            if pipe:
                pipe.close()
