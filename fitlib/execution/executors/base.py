"""The interface of executors: anything that takes a function and returns a future, with its choice and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fitlib.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from fitlib.execution.jobs import AttemptResult, Job, Terms

ADAPTERS = {"local": "local", "dask": "dask_cluster", "slurm": "slurm"}


class Executor(Protocol):
    """An executor of jobs.

    `slots`: how many jobs it takes at once, None if it has a queue of its own; `remote`: whether its workers may be on
    other machines.
    """

    @property
    def slots(self) -> int | None:
        """Return how many jobs it takes at once."""
        ...

    @property
    def remote(self) -> bool:
        """Return whether workers may be on other machines."""
        ...

    def check_workers(self, terms: Terms) -> str:
        """Check existing workers against the terms; return a sentence that describes the workers."""
        ...

    def submit(self, function: Callable[[Job], AttemptResult], job: Job) -> Future[AttemptResult]:
        """Execute a job in a worker."""
        ...

    def batch(self) -> AbstractContextManager:
        """Return a context; jobs submitted inside it may be handed on together."""
        ...

    def cancel(self) -> None:
        """End running jobs, forget waiting ones."""
        ...

    def close(self) -> None:
        """Release the workers."""
        ...


@dataclass(frozen=True)
class ExecutorChoice:
    """A user's choice of an executor: its name, the address of its scheduler, settings `key=value`."""

    name: str = "local"
    address: str | None = None
    settings: Sequence[str] = field(default_factory=tuple)

    def validated_settings(self) -> Any:
        """Return the settings as the adapter's model; InputError for an unknown executor, setting or value."""
        from fitlib.experiment.schema import validated

        if self.name not in ADAPTERS:
            remedy = did_you_mean(self.name, ADAPTERS, f"known: {', '.join(ADAPTERS)}")
            raise InputError("run", "--executor", self.name, "unknown executor", remedy)
        if self.address and self.name != "dask":
            raise InputError("run", "--address", self.address, f"executor {self.name} has no scheduler", "leave it out")
        return validated(self._adapter().Settings, _parse_settings(self.settings), "run", "--with ")

    def open(self, jobs: int, device: str, folder: Path) -> Executor:
        """Open the executor: `jobs` at once where fitlib decides that, for trainings on `device`."""
        return self._adapter().connect(self.validated_settings(), self.address, jobs, device, folder)

    def _adapter(self) -> Any:
        return import_module(f"fitlib.execution.executors.{ADAPTERS[self.name]}")


def _parse_settings(settings: Sequence[str]) -> Mapping[str, object]:
    from fitlib.yaml_files import parse_yaml

    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise InputError("run", "--with", setting, "not of the form key=value", "for example --with time=60")
        found[key] = parse_yaml(value)
    return found
