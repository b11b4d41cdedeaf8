"""Where the plan's tasks are executed: anything that takes a function and returns a future, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fitlib.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from fitlib.execution.jobs import Done, Job, Terms

ADAPTERS = {"local": "local", "dask": "dask_cluster", "slurm": "slurm"}


class Executor(Protocol):
    """Executes jobs. `slots`: how many it takes at once, None if it keeps a queue of its own; `remote`: elsewhere?"""

    slots: int | None
    remote: bool

    def ready(self, terms: Terms) -> str:
        """Check the workers against the terms as far as they are there; a sentence that says what works."""
        ...

    def submit(self, function: Callable[[Job], Done], job: Job) -> Future[Done]: ...

    def batch(self) -> AbstractContextManager:
        """Whatever is submitted inside may be handed on together."""
        ...

    def cancel(self) -> None:
        """End what runs, forget what waits."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Choice:
    """An executor as a user names it: its name, the address of its scheduler, settings `key=value`."""

    name: str = "local"
    address: str | None = None
    settings: Sequence[str] = field(default_factory=tuple)

    def checked(self) -> Any:
        """The settings as the adapter's own model; InputError for an unknown executor, setting or value."""
        from fitlib.experiment.schema import validated

        if self.name not in ADAPTERS:
            remedy = did_you_mean(self.name, ADAPTERS, f"known: {', '.join(ADAPTERS)}")
            raise InputError("run", "--executor", self.name, "unknown executor", remedy)
        if self.address and self.name != "dask":
            raise InputError("run", "--address", self.address, f"executor {self.name} has no scheduler", "leave it out")
        return validated(self._adapter().Settings, _mapping(self.settings), "run", "--with ")

    def open(self, jobs: int, device: str, folder: Path) -> Executor:
        """The executor itself: `jobs` at once where it is up to fitlib, for trainings on `device`."""
        return self._adapter().connect(self.checked(), self.address, jobs, device, folder)

    def _adapter(self) -> Any:
        return import_module(f"fitlib.execution.executors.{ADAPTERS[self.name]}")


def _mapping(settings: Sequence[str]) -> Mapping[str, object]:
    from fitlib.yaml_files import parse_yaml

    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise InputError("run", "--with", setting, "not of the form key=value", "for example --with time=60")
        found[key] = parse_yaml(value)
    return found


@contextmanager
def opened(executor: Executor) -> Iterator[Executor]:
    """The executor, closed at the end."""
    try:
        yield executor
    finally:
        executor.close()


def missing(package: str, extra: str) -> InputError:
    """The error where an optional package is not installed."""
    remedy = f'pip install "fitlib[{extra}]"'
    return InputError("run", "--executor", extra, f"the package {package} is not installed", remedy)
