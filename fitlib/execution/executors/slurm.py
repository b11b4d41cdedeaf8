"""SLURM through submitit: every job is a job of the cluster, many that can run at once are one array."""

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
from fitlib.execution.executors.base import missing
from fitlib.execution.jobs import Done, Job, Terms
from fitlib.options import Options

LOOK = 1.0  # seconds between two looks at the results
QUEUE = 5.0  # seconds between two looks at the queue
FOLDER = ".submitit"


class Settings(Options):
    """Settings of SLURM; None: as the cluster has it."""

    partition: str | None = None
    account: str | None = None
    time: int = Field(default=60, ge=1)  # minutes that a job may take
    gpus: int = Field(default=0, ge=0)  # of each training
    cpus: int = Field(default=1, ge=1)
    memory: float | None = Field(default=None, gt=0)  # GiB
    array: int = Field(default=256, ge=1)  # jobs of an array at once
    array_size: int = Field(default=1000, ge=1)  # jobs in an array; clusters allow 1001 unless told otherwise
    cluster: Literal["slurm", "local"] = "slurm"  # local: processes of this machine, to try it out


class Slurm:
    """Submits jobs in arrays and watches for their results."""

    slots, remote = None, True  # the cluster keeps the queue

    def __init__(self, make: Callable[[bool], Any], settings: Settings, folder: Path):
        self._trainings, self._others = make(True), make(False)
        self._settings, self._folder = settings, folder
        self._collected: list[tuple[Callable, Job, Future]] = []
        self._waiting: dict[Future, Any] = {}
        self._guard, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def ready(self, terms: Terms) -> str:
        """Workers do not exist before their jobs: each job checks the terms itself, before anything else."""
        partition = f"partition {self._settings.partition}" if self._settings.partition else "the default partition"
        return f"up to {self._settings.array} at once in {partition} of {self._settings.cluster}"

    def submit(self, function: Callable[[Job], Done], job: Job) -> Future[Done]:
        """Take a job; it is handed on at the end of the batch."""
        future: Future[Done] = Future()
        self._collected.append((function, job, future))
        return future

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Hand on what is submitted inside, as arrays."""
        yield
        collected, self._collected = self._collected, []
        for executor, kind in ((self._trainings, True), (self._others, False)):
            chosen = [entry for entry in collected if (entry[1].kind == "train") is kind]
            for start in range(0, len(chosen), self._settings.array_size):
                self._submit(executor, chosen[start : start + self._settings.array_size])

    def cancel(self) -> None:
        """Cancel everything that waits or runs."""
        with self._guard:
            left = list(self._waiting.values())
        for job in left:
            with suppress(Exception):  # it may have ended meanwhile
                job.cancel(check=False)
        self.close()

    def close(self) -> None:
        """Stop watching, and remove what submitit keeps for its jobs."""
        self._ended.set()
        self._thread.join()
        rmtree(self._folder, ignore_errors=True)

    def _submit(self, executor: Any, part: list) -> None:
        with executor.batch():
            jobs = [executor.submit(function, job) for function, job, _ in part]
        with self._guard:
            self._waiting |= {future: job for (_, _, future), job in zip(part, jobs, strict=True)}

    def _watch(self) -> None:
        missed: set[str] = set()
        looked = time.monotonic()
        while not self._ended.wait(LOOK):
            with self._guard:
                waiting = dict(self._waiting)
            gone: set[str] = set()
            if waiting and self._settings.cluster == "slurm" and time.monotonic() - looked > QUEUE:
                looked, absent = time.monotonic(), _absent({job.job_id for job in waiting.values()})
                gone, missed = absent & missed, absent  # absent twice: a result may be slow to be seen
            for future, job in waiting.items():
                if not self._ended.is_set() and (self._has_ended(job) or job.job_id in gone):
                    with self._guard:
                        del self._waiting[future]
                    _settle(future, job)

    def _has_ended(self, job: Any) -> bool:
        """By its result alone: submitit would ask for the cluster's accounts, which not every cluster keeps."""
        return job.done() if self._settings.cluster == "local" else job.paths.result_pickle.exists()


def _absent(known: set[str]) -> set[str]:
    """Jobs that are in the cluster's queue no more."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    try:
        return known - set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    except (OSError, subprocess.SubprocessError):
        return set()  # it does not answer just now


def _settle(future: Future, job: Any) -> None:
    """Pass a job's result or exception on."""
    try:
        if not job.paths.result_pickle.exists():
            raise RuntimeError(f"job {job.job_id} left no result: killed, out of time or of memory")
        result = job.result()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def connect(settings: Settings, address: str | None, jobs: int, device: str, folder: Path) -> Slurm:
    """The cluster to which this machine can submit."""
    try:
        import submitit
    except ImportError:
        raise missing("submitit", "slurm") from None
    if settings.cluster == "slurm" and which("sbatch") is None:
        problem, remedy = "this machine has no sbatch", "run it on a login node of the cluster"
        raise InputError("run", "--executor", "slurm", problem, remedy)
    place = folder / FOLDER / f"{time.time_ns():x}"

    def make(training: bool) -> Any:
        executor = submitit.AutoExecutor(place, cluster=settings.cluster)
        executor.update_parameters(**_parameters(settings, training))
        return executor

    return Slurm(make, settings, folder / FOLDER)


def _parameters(settings: Settings, training: bool) -> dict[str, object]:
    """What submitit is told; only trainings ask for GPUs."""
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
