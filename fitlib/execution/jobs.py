"""Jobs: one attempt at one task as plain values, which any process that sees the experiment's folder can perform.

A worker executes the job's notebook in a new folder beside the task's and writes the record there. Only the holder of
the experiment's lock gives the folder its final name.
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
from fitlib.execution.limits import Lease, Limits, Watchdog
from fitlib.execution.worker_software import refuse_other_software, refuse_without_kernel, software_versions
from fitlib.recording.saved_outputs import check_files
from fitlib.storage.lock import is_held
from fitlib.storage.paths import new_attempt

NOT_SHARED = "fitlib needs a file system that all workers share, mounted at the same path"


@dataclass(frozen=True)
class Terms:
    """What a worker in another process has to fulfil: the same files, software and working directory."""

    token: str  # a file in the experiment's folder that the worker must see
    software: Mapping[str, str]
    folder: str
    lease: Lease


@dataclass(frozen=True)
class Job:
    """An attempt to be made.

    name: the task's; target: final folder of the attempt; folder_parameter: the notebook's parameter for the attempt's
    folder; terms: None in the process that holds the lock.
    """

    name: str
    kind: str  # train · metrics · statistics
    notebook: str
    target: str
    folder_parameter: str
    parameters: Mapping[str, object]
    environment: Mapping[str, str]
    parts: Mapping[str, str]
    saves: tuple[str, ...] = ()  # techniques whose predictions a custom training must save
    limits: Limits = field(default_factory=Limits)
    terms: Terms | None = None


@dataclass(frozen=True)
class AttemptResult:
    """The result of an attempt: its folder, an error where it failed, who made it, when and how long it took."""

    folder: str
    error: str = ""
    crashed: bool = False
    began: float = 0.0  # seconds since 1970
    seconds: float = 0.0
    host: str = ""
    pid: int = 0
    device: str = ""  # CUDA_VISIBLE_DEVICES of the kernel


def perform(job: Job) -> AttemptResult:
    """Make the attempt; InputError where this process must not (other versions, another file system)."""
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
    host, pid = os.uname().nodename, os.getpid()
    return AttemptResult(str(folder), error, crashed, round(began, 3), seconds, host, pid, device)


def _attempt(job: Job, folder: Path) -> None:
    parameters = {**job.parameters, job.folder_parameter: str(folder)}
    with Watchdog(job.limits, job.terms.lease if job.terms else None) as watchdog:
        try:
            attempt(
                job.kind, Path(job.notebook), folder, parameters, job.environment, job.parts, watchdog,
                lambda saved: check_files(saved, job.saves) if job.saves else None,
            )  # fmt: skip
        finally:
            if watchdog.orphaned:
                rmtree(folder, ignore_errors=True)


def fulfil(terms: Terms) -> str:
    """Check the terms in a worker and change to the batch's working directory; return the worker's name."""
    worker = f"process {os.getpid()} on {os.uname().nodename}"
    refuse_without_kernel()
    refuse_other_software(terms.software, software_versions(), worker)
    if not Path(terms.token).is_file():
        raise InputError("worker", "outputs", str(Path(terms.token).parent), f"{worker} does not see it", NOT_SHARED)
    if not is_held(Path(terms.lease.lock), terms.lease.token):
        problem = "the command that wanted this job has ended"
        raise InputError("worker", "lock", terms.lease.lock, problem, "run it again")
    if Path.cwd() != Path(terms.folder):
        os.chdir(terms.folder)
    return worker
