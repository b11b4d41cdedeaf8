"""One attempt at one task as plain values: any process that sees the experiment's folder can perform it.

Whoever performs a job executes its notebook in a folder of its own beside the task's and writes the record there.
Giving the folder its final name is left to the holder of the experiment's lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

from fitlib.errors import Crashed, InputError, RunFailed
from fitlib.execution.attempt import attempt
from fitlib.execution.limits import Lease, Limits, Watch
from fitlib.execution.worker_software import refuse_other_software, refuse_without_kernel, software
from fitlib.recording.saved_outputs import check_files
from fitlib.storage.lock import is_held
from fitlib.storage.paths import new_attempt

NOT_SHARED = "fitlib needs a file system that all workers share, mounted at the same path"


@dataclass(frozen=True)
class Terms:
    """What a worker in another process has to fulfil: the same files, software and folder to work in."""

    token: str  # a file in the experiment's folder that it must see
    software: Mapping[str, str]
    folder: str
    lease: Lease


@dataclass(frozen=True)
class Job:
    """An attempt to be made.

    name: as people know the task; target: the folder that the attempt is to become; place: the notebook's parameter
    that takes the attempt's folder; terms: None in the process that holds the lock.
    """

    name: str
    kind: str  # train · metrics · statistics
    notebook: str
    target: str
    place: str
    parameters: Mapping[str, object]
    environment: Mapping[str, str]
    parts: Mapping[str, str]
    saves: tuple[str, ...] = ()  # techniques of whose predictions an own training must not lack any
    limits: Limits = field(default_factory=Limits)
    terms: Terms | None = None


@dataclass(frozen=True)
class Done:
    """What became of an attempt: its folder, an error where it failed, who made it, when and how long it took."""

    folder: str
    error: str = ""
    crashed: bool = False
    began: float = 0.0  # seconds since 1970
    seconds: float = 0.0
    host: str = ""
    pid: int = 0
    device: str = ""  # CUDA_VISIBLE_DEVICES of the kernel


def perform(job: Job) -> Done:
    """Make the attempt; InputError where this process may not (other versions, another file system)."""
    if job.terms:
        fulfil(job.terms)
    began, start = time.time(), time.monotonic()
    folder = new_attempt(Path(job.target), hidden=job.kind != "train")
    error, crashed = "", False
    try:
        _attempt(job, folder)
    except Crashed as failure:
        error, crashed = str(failure), True
    except RunFailed as failure:
        error = str(failure)
    device = job.environment.get("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    seconds = round(time.monotonic() - start, 3)
    return Done(str(folder), error, crashed, round(began, 3), seconds, os.uname().nodename, os.getpid(), device)


def _attempt(job: Job, folder: Path) -> None:
    parameters = {**job.parameters, job.place: str(folder)}
    with Watch(job.limits, job.terms and job.terms.lease) as watch:
        try:
            attempt(
                job.kind, Path(job.notebook), folder, parameters, job.environment, job.parts, watch,
                lambda made: check_files(made, job.saves) if job.saves else None,
            )  # fmt: skip
        finally:
            if watch.orphaned:
                rmtree(folder, ignore_errors=True)


def fulfil(terms: Terms) -> str:
    """Check the terms in a worker, and work in the same folder as the batch; returns the worker's name."""
    worker = f"process {os.getpid()} on {os.uname().nodename}"
    refuse_without_kernel()
    refuse_other_software(terms.software, software(), worker)
    if not Path(terms.token).is_file():
        raise InputError("worker", "outputs", str(Path(terms.token).parent), f"{worker} does not see it", NOT_SHARED)
    if not is_held(Path(terms.lease.lock), terms.lease.token):
        problem = "the command that wanted this job has ended"
        raise InputError("worker", "lock", terms.lease.lock, problem, "say it again")
    if Path.cwd() != Path(terms.folder):
        os.chdir(terms.folder)
    return worker
