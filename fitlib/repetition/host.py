"""The host of runs in memory: a process that imports the training once and forks a process for every run.

Every run starts from the same state of the interpreter, whatever earlier runs did to theirs. Where forking is unsafe
(macOS; a module that started threads when it was imported), every run gets a process of its own that imports anew.

Protocol: one line of JSON on standard input, `{"parallel": n, "jobs": [job, …]}`; for every run that ends one line on
standard output, `{"name": …, "error": …}`. The host ends when standard input is closed: no run survives its caller.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from fitlib.errors import FitlibError
from fitlib.recording.call_function import arguments, load, save_returned, with_recorder

Job = Mapping[str, Any]  # name, folder, callable, parameters, own (the values of the run that a function may ask for)
LOG = "output.log"  # what a run printed
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from fitlib.repetition.host import {0}; {0}()"

FORKABLE = ("jemalloc_bg_thd",)  # threads that are prepared for a fork: of Arrow's memory allocator


def main() -> None:
    """Make all runs that standard input asks for."""
    asked = json.loads(sys.stdin.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what modules print on import must not be taken for an answer
    fork = _preload(asked["jobs"])
    for name, error in _outcomes(asked["jobs"], int(asked["parallel"]), fork):
        answers.write(json.dumps({"name": name, "error": error}) + "\n")
        answers.flush()


def main_of_run() -> None:
    """Make the one run that standard input asks for, in this process."""
    job = json.loads(sys.stdin.readline())
    answer = os.dup(1)
    _run(job, answer)


def _preload(jobs: Sequence[Job]) -> bool:
    """Import what the trainings need; return whether forking is safe afterwards."""
    for target in dict.fromkeys(job["callable"] for job in jobs):
        try:
            load(target)
            module = importlib.import_module(target.partition(":")[0])
            for job in jobs:
                if job["callable"] == target and hasattr(module, "preload"):
                    module.preload(job["own"]["run_dir"], **job["parameters"])
        except Exception:  # every run will report it
            traceback.print_exc()
    threads = Path("/proc/self/task")
    names = [(thread / "comm").read_text().strip() for thread in threads.iterdir()] if threads.is_dir() else []
    return len([name for name in names if name not in FORKABLE]) == 1


def _outcomes(jobs: Sequence[Job], parallel: int, fork: bool) -> Any:
    """Yield name and error ("" if none) of every run as it ends, `parallel` at once."""
    waiting, selector = list(jobs), selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    running = 0
    while waiting or running:
        while waiting and running < parallel:
            job = waiting.pop(0)
            selector.register(_forked(job) if fork else _spawned(job), selectors.EVENT_READ, job["name"])
            running += 1
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:  # the caller is gone
                os.killpg(0, signal.SIGKILL)
            selector.unregister(key.fileobj)
            running -= 1
            yield key.data, _answer(key.fileobj)


def _answer(pipe: Any) -> str:
    """Read the error that a run reports at its end; a run that ends without a report was killed."""
    with pipe:
        text = pipe.readline()  # not up to the end: processes that the run started may hold the pipe open
    return json.loads(text)["error"] if text else "its process was killed (out of memory?) or ended by itself"


def _forked(job: Job) -> IO[str]:
    """Start a run in a copy of this process; return the pipe on which it reports."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _run(job, writing)
    os.close(writing)
    return os.fdopen(reading, encoding="utf-8")


def _spawned(job: Job) -> IO[str]:
    """Start a run in a new process; return the pipe on which it reports."""
    command = [sys.executable, "-c", START.format("main_of_run"), json.dumps(sys.path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.close()
    return process.stdout


def _run(job: Job, answer: int) -> None:
    """Make a run, report its error, and end the process."""
    Path(job["folder"]).mkdir(parents=True, exist_ok=True)
    log = os.open(Path(job["folder"]) / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, stream)
    error = ""
    try:
        train(job)
    except FitlibError as failure:
        error = str(failure)
    except BaseException:
        error = traceback.format_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answer, (json.dumps({"error": error}) + "\n").encode())
    os._exit(0)  # a copy of the host must not run the host's handlers at exit


def train(job: Job) -> None:
    """Call the training of a run and save its predictions in the folder of the run, as `call.ipynb` does."""
    own, function = job["own"], load(job["callable"])
    returned = function(**arguments(function, with_recorder(own), job["parameters"]))
    save_returned(returned, own["run_dir"], own["techniques"])
