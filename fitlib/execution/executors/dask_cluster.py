"""Dask: a running scheduler with its workers, or a cluster of processes on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fitlib.errors import InputError
from fitlib.execution.executors.base import missing
from fitlib.execution.jobs import Done, Job, Terms, fulfil
from fitlib.options import Options

PATIENCE = 10  # seconds to wait for a scheduler


def _resources(value: object) -> object:
    """`GPU=1,MEMORY=8` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",")]
    try:
        return {name.strip(): float(number) for name, _, number in pairs}
    except ValueError:
        raise ValueError("not of the form NAME=NUMBER, for example GPU=1") from None


class Settings(Options):
    """Settings of Dask."""

    resources: Annotated[dict[str, Annotated[float, Field(gt=0)]], BeforeValidator(_resources)] = {}  # of each training


class Dask:
    """A client's executor; trainings ask for `resources` of their worker."""

    slots, remote = None, True  # the scheduler keeps the queue

    def __init__(self, client: Any, cluster: Any | None, resources: dict[str, float]):
        self._client, self._cluster, self._resources = client, cluster, resources
        self._executor = client.get_executor(pure=False)

    def ready(self, terms: Terms) -> str:
        """Refuse workers with other software or without the folder, and a cluster without any worker."""
        where, dashboard = self._client.scheduler.address, self._client.dashboard_link
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            raise InputError("run", "--address", where, "the scheduler has no workers", f"dask worker {where}")
        self._check_resources(where, workers.values())
        try:
            self._client.run(fulfil, terms)
        except (ImportError, AttributeError) as error:
            problem = f"a worker cannot import fitlib ({error})"
            raise InputError("run", "--address", where, problem, "install fitlib for the workers") from None
        threads = sum(worker["nthreads"] for worker in workers.values())
        return f"{threads} at once by {len(workers)} workers of {where}; dashboard: {dashboard}"

    def submit(self, function: Callable[[Job], Done], job: Job) -> Future[Done]:
        """Hand a job to the scheduler; what is no training goes first and needs no resources."""
        if job.kind == "train":
            return self._executor.submit(function, job, resources=self._resources)
        return self._executor.submit(function, job, priority=10)

    def batch(self) -> AbstractContextManager:
        """Jobs are submitted one by one."""
        return nullcontext()

    def cancel(self) -> None:
        """Forget what waits; what runs ends by itself when the batch's lock is gone."""
        self._executor.shutdown(wait=False)
        self.close()

    def close(self) -> None:
        """Leave the scheduler; end the cluster if it is ours."""
        self._client.close()
        if self._cluster:
            self._cluster.close()

    def _check_resources(self, where: str, workers: Iterable[dict]) -> None:
        for name, amount in self._resources.items():
            if all(worker["resources"].get(name, 0) < amount for worker in workers):
                remedy = f"start workers with --resources {name}={amount:g}"
                raise InputError("run", "--with resources", f"{name}={amount:g}", "no worker has so much", remedy)


def connect(settings: Settings, address: str | None, jobs: int, device: str, folder: Path) -> Dask:
    """The scheduler at `address`, within ten seconds; without one `jobs` processes of this machine, one job each."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise missing("distributed", "dask") from None
    if address is None:
        cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, resources=settings.resources or None)
        return Dask(Client(cluster), cluster, settings.resources)
    try:
        return Dask(Client(address, timeout=PATIENCE), None, settings.resources)
    except (OSError, ValueError) as error:
        problem = f"no scheduler answers there within {PATIENCE} s ({' '.join(str(error).split())[:120]})"
        raise InputError("run", "--address", address, problem, "start it with: dask scheduler") from None
