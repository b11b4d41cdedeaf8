"""The Dask executor: a running scheduler with its workers, or a cluster of processes on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fitlib.errors import InputError
from fitlib.execution.jobs import AttemptResult, Job, Terms, fulfil
from fitlib.extras import require
from fitlib.options import Options

PATIENCE = 10  # seconds to wait for a scheduler


def _resources(value: object) -> object:
    """Parse `GPU=1,MEMORY=8` as a mapping."""
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
    """The executor of a Dask client; trainings ask for `resources` of their worker."""

    slots: int | None = None  # the scheduler keeps the queue
    remote = True

    def __init__(self, client: Any, cluster: Any | None, resources: dict[str, float]):
        self._client, self._cluster, self._resources = client, cluster, resources
        self._executor = client.get_executor(pure=False)

    def check_workers(self, terms: Terms) -> str:
        """Raise InputError for workers with other software or without the folder, and for a cluster without workers."""
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

    def submit(self, function: Callable[[Job], AttemptResult], job: Job) -> Future[AttemptResult]:
        """Submit a job to the scheduler; all but trainings go first and need no resources."""
        if job.kind == "train":
            return self._executor.submit(function, job, resources=self._resources)
        return self._executor.submit(function, job, priority=10)

    def batch(self) -> AbstractContextManager:
        """Return an empty context: jobs are submitted one by one."""
        return nullcontext()

    def cancel(self) -> None:
        """Forget waiting jobs; running ones end by themselves when the batch's lock is gone."""
        self._executor.shutdown(wait=False)
        self.close()

    def close(self) -> None:
        """Disconnect from the scheduler; end the cluster if it was started here."""
        self._client.close()
        if self._cluster:
            self._cluster.close()

    def _check_resources(self, where: str, workers: Iterable[dict]) -> None:
        for name, amount in self._resources.items():
            if all(worker["resources"].get(name, 0) < amount for worker in workers):
                remedy = f"start workers with --resources {name}={amount:g}"
                raise InputError("run", "--with resources", f"{name}={amount:g}", "no worker has that much", remedy)


def connect(settings: Settings, address: str | None, jobs: int, device: str, folder: Path) -> Dask:
    """Connect to the scheduler at `address`, within ten seconds; without one start `jobs` processes on this machine."""
    require("dask")
    from distributed import Client, LocalCluster

    if address is None:
        cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, resources=settings.resources or None)
        return Dask(Client(cluster), cluster, settings.resources)
    try:
        return Dask(Client(address, timeout=PATIENCE), None, settings.resources)
    except (OSError, ValueError) as error:
        problem = f"no scheduler answers there within {PATIENCE} s ({' '.join(str(error).split())[:120]})"
        raise InputError("run", "--address", address, problem, "start it with: dask scheduler") from None
