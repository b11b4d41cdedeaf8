"""The SLURM executor, through submitit: each job is a job of the cluster; jobs that can run at once form an array."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree, which
from typing import Any, Literal

from pydantic import Field

from fitlib.errors import InputError
from fitlib.execution.jobs import AttemptResult, Job, Terms
from fitlib.extras import require
from fitlib.options import Options

RESULT_INTERVAL = 1.0  # seconds between two checks for results
QUEUE_INTERVAL = 5.0  # seconds between two checks of the queue
FOLDER = ".submitit"


class Settings(Options):
    """Settings of SLURM; None: the cluster's default."""

    partition: str | None = None
    account: str | None = None
    time: int = Field(default=60, ge=1)  # minutes that a job may take
    gpus: int = Field(default=0, ge=0)  # of each training
    cpus: int = Field(default=1, ge=1)
    memory: float | None = Field(default=None, gt=0)  # GiB
    array: int = Field(default=256, ge=1)  # jobs of an array at once
    array_size: int = Field(default=1000, ge=1)  # jobs in an array; clusters allow 1001 by default
    cluster: Literal["slurm", "local"] = "slurm"  # local: processes on this machine, for trying it out


class Slurm:
    """An executor that submits jobs in arrays and polls for their results."""

    slots: int | None = None  # the cluster keeps the queue
    remote = True

    def __init__(self, make: Callable[[bool], Any], settings: Settings, folder: Path):
        self._trainings, self._others = make(True), make(False)
        self._settings, self._folder = settings, folder
        self._collected: list[tuple[Callable, Job, Future]] = []
        self._waiting: dict[Future, Any] = {}
        self._guard, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def check_workers(self, terms: Terms) -> str:
        """Describe the workers; as none exists before its job, each job checks the terms itself at its start."""
        partition = f"partition {self._settings.partition}" if self._settings.partition else "the default partition"
        return f"up to {self._settings.array} at once in {partition} of {self._settings.cluster}"

    def submit(self, function: Callable[[Job], AttemptResult], job: Job) -> Future[AttemptResult]:
        """Collect a job; it is submitted at the end of the batch."""
        future: Future[AttemptResult] = Future()
        self._collected.append((function, job, future))
        return future

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Submit the jobs collected inside as arrays."""
        yield
        collected, self._collected = self._collected, []
        for executor, kind in ((self._trainings, True), (self._others, False)):
            chosen = [entry for entry in collected if (entry[1].kind == "train") is kind]
            for start in range(0, len(chosen), self._settings.array_size):
                self._submit(executor, chosen[start : start + self._settings.array_size])

    def cancel(self) -> None:
        """Cancel all waiting and running jobs."""
        with self._guard:
            left = list(self._waiting.values())
        for job in left:
            with suppress(Exception):  # it may have ended meanwhile
                job.cancel(check=False)
        self.close()

    def close(self) -> None:
        """Stop polling, and remove the files of submitit's jobs."""
        self._ended.set()
        self._thread.join()
        rmtree(self._folder, ignore_errors=True)

    def _submit(self, executor: Any, part: list) -> None:
        with executor.batch():
            jobs = [executor.submit(function, job) for function, job, _ in part]
        with self._guard:
            self._waiting |= {future: job for (_, _, future), job in zip(part, jobs, strict=True)}

    def _poll(self) -> None:
        missed: set[str] = set()
        looked = time.monotonic()
        while not self._ended.wait(RESULT_INTERVAL):
            with self._guard:
                waiting = dict(self._waiting)
            gone: set[str] = set()
            if waiting and self._settings.cluster == "slurm" and time.monotonic() - looked > QUEUE_INTERVAL:
                looked, absent = time.monotonic(), _jobs_not_queued({job.job_id for job in waiting.values()})
                gone, missed = absent & missed, absent  # absent twice: a result can take a moment to become visible
            for future, job in waiting.items():
                if not self._ended.is_set() and (self._has_ended(job) or job.job_id in gone):
                    with self._guard:
                        del self._waiting[future]
                    _resolve(future, job)

    def _has_ended(self, job: Any) -> bool:
        """Return whether a job has a result; submitit would query the job accounting, which not every cluster has."""
        return job.done() if self._settings.cluster == "local" else job.paths.result_pickle.exists()


def _jobs_not_queued(submitted: set[str]) -> set[str]:
    """Return the jobs that are no longer in the cluster's queue."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        return submitted - set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    except (OSError, subprocess.SubprocessError):
        return set()  # it does not answer at the moment


def _resolve(future: Future, job: Any) -> None:
    """Set a future to its job's result or exception."""
    try:
        if not job.paths.result_pickle.exists():
            raise RuntimeError(f"job {job.job_id} left no result: killed, out of time or of memory")
        result = job.result()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def connect(settings: Settings, address: str | None, jobs: int, device: str, folder: Path) -> Slurm:
    """Connect to the cluster to which this machine can submit jobs."""
    require("slurm")
    import submitit

    if settings.cluster == "slurm" and which("sbatch") is None:
        problem, remedy = "this machine has no sbatch", "run it on a login node of the cluster"
        raise InputError("run", "--executor", "slurm", problem, remedy)
    files = folder / FOLDER / f"{time.time_ns():x}"

    def make(training: bool) -> Any:
        executor = submitit.AutoExecutor(files, cluster=settings.cluster)
        executor.update_parameters(**_parameters(settings, training))
        return executor

    return Slurm(make, settings, folder / FOLDER)


def _parameters(settings: Settings, training: bool) -> dict[str, object]:
    """Return the parameters for submitit; only trainings ask for GPUs."""
    chosen = {
        "name": "fitlib",
        "timeout_min": settings.time,
        "cpus_per_task": settings.cpus,
        "gpus_per_node": settings.gpus if training and settings.gpus else None,
        "mem_gb": settings.memory,
        "slurm_partition": settings.partition,
        "slurm_account": settings.account,
        "slurm_array_parallelism": settings.array,
    }
    return {name: value for name, value in chosen.items() if value is not None}
