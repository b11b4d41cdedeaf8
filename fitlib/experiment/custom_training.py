"""Custom trainings: a user's notebook or function in place of a fitlib method and network.

`CustomTraining` here and `FitlibTraining` in `fitlib.experiment.trainings` have one interface, so that planning,
execution and report do not depend on the difference.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from pydantic import JsonValue

from fitlib import home
from fitlib.digest import cached_file_digest, digest_json
from fitlib.errors import InputError, RunFailed
from fitlib.experiment import code_inspection, notebooks
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.custom_fields import FITLIB_PARAMETERS
from fitlib.experiment.notebooks import Signature, notebook_path, suggested
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.options import expand_path, options_of
from fitlib.storage.code_digest import code_digest, is_module
from fitlib.storage.keys import changed_parts, versions

RECORDING = ("Recorder", "save_predictions")  # of `fitlib`: in the key of a custom training whatever it imports


# Notebooks and functions


class Code(Protocol):
    """A user's notebook or function as a run executes it."""

    label: str  # in reports
    stem: str  # names the folder of its runs
    executed: Path  # the notebook that a run executes

    def signature(self, where: str) -> Signature:
        """Return the parameters that the code accepts; InputError where there is no such code."""
        ...

    def notebook_parameters(self, shared: Mapping[str, object], parameters: Mapping[str, object]) -> dict[str, object]:
        """Return the parameters of the notebook that a run executes."""
        ...

    def is_current(self, notebook: str) -> bool:
        """Return whether the parameters of a run of the notebook with this hash follow from today's code."""
        ...

    def sources(self) -> tuple[str, dict[str, Path], set[str]]:
        """Return the notebook's hash, the local modules that the code imports, and every module that these import."""
        ...


class CustomNotebook:
    """A notebook with a `parameters` cell, which receives those of fitlib's parameters that the cell defines."""

    def __init__(self, given: str):
        self.executed = Path(expand_path(given))
        self.label, self.stem = f"notebook {self.executed.name}", self.executed.stem

    def signature(self, where: str) -> Signature:
        """Return the accepted parameters; InputError where the file is not such a notebook, or has no `run_dir`."""
        found = notebooks.notebook_signature(self.executed, where)
        if "run_dir" not in found.names:
            remedy = 'add run_dir: str = "" to its parameters cell, and end with fitlib.save_predictions(run_dir, …)'
            raise InputError(where, "notebook", str(self.executed), "no parameter run_dir", remedy)
        return found

    def notebook_parameters(self, shared: Mapping[str, object], parameters: Mapping[str, object]) -> dict[str, object]:
        """Return the parameters of the notebook that a run executes."""
        return {**{name: value for name, value in shared.items() if self._accepted.takes(name)}, **parameters}

    def is_current(self, notebook: str) -> bool:
        """Return whether this is the hash of the notebook on disk, from which the parameters of a run follow."""
        try:
            return notebooks.notebook_digest(self.executed) == notebook
        except InputError:
            return False

    @cached_property
    def _accepted(self) -> Signature:
        try:
            return self.signature("plan")
        except InputError:  # the notebook is gone: nothing can be executed, but `status` must still answer
            return Signature(anything=True)

    def sources(self) -> tuple[str, dict[str, Path], set[str]]:
        """Return the hash of the code cells, the local modules they import, and the names of all imported modules."""
        names = code_inspection.notebook_imports(self.executed)
        return notebooks.notebook_digest(self.executed), *_reached(names, [Path.cwd()])


class CustomCallable:
    """A function, which `call.ipynb` calls with those of fitlib's parameters that it accepts."""

    executed = notebook_path("call")

    def __init__(self, given: str):
        self.given = given
        self.label, self.stem = f"callable {given}", given.replace(":", ".")

    def signature(self, where: str) -> Signature:
        """Return the accepted parameters; InputError where there is no such function."""
        return code_inspection.callable_signature(self.given, where)

    def notebook_parameters(self, shared: Mapping[str, object], parameters: Mapping[str, object]) -> dict[str, object]:
        """Return the parameters of the notebook that a run executes."""
        return {**shared, "callable": self.given, "parameters": dict(parameters)}

    def is_current(self, notebook: str) -> bool:
        """Return True: `call.ipynb` receives every parameter, whatever the function accepts."""
        return True

    def sources(self) -> tuple[str, dict[str, Path], set[str]]:
        """Return the hash of `call.ipynb`, the function's module with its local imports, and all imported modules."""
        module = self.given.partition(":")[0]
        path = code_inspection.find_module(module)
        if path is None:
            raise InputError("plan", "callable", self.given, f"there is no module {module}", "correct the name")
        roots = {Path.cwd(): None, code_inspection.root_of(module, path): None}
        found, named = _reached([module], [root for root in roots if root])
        return notebooks.notebook_digest(self.executed), {module: path, **found}, named | {module}


def _reached(names: Iterable[str], roots: Sequence[Path]) -> tuple[dict[str, Path], set[str]]:
    found = code_inspection.local_sources(names, roots)
    return found, set(names).union(*(code_inspection.imports_of(name, path) for name, path in found.items()))


# The training


class CustomTraining:
    """A custom training for plan, execution and report; the same interface as `trainings.FitlibTraining`."""

    select = "own"  # its code chooses the epoch that predicts
    automatic_noise = "native"  # whether the code applies a noise cannot be seen from outside
    checked = True  # what a run saves is checked and compared with earlier runs
    starts_apart = False  # different initial weights are never declared

    def __init__(self, settings: Mapping[str, Any]):
        self._settings = settings
        self._code: Code = (
            CustomNotebook(settings["notebook"]) if "notebook" in settings else CustomCallable(settings["callable"])
        )
        self.data: dict[str, Any] | None = settings.get("data")
        self.declared = {k: settings[k] for k in ("classes", "groups")} if "classes" in settings else None
        label = settings.get("label")
        self.name = re.sub(r"[^A-Za-z0-9._-]+", "-", label or self._code.stem).strip("-._") or "own"
        self.method, self.notebook = label or self._code.label, self._code.executed
        self.parameters: dict[str, Any] = settings["parameters"]

    def check(self, where: str, needed: Iterable[str]) -> None:
        """Raise InputError, before any work, for code, parameter names or inputs that cannot work.

        needed: parameters without which the declared noise or seeds would have no effect.
        """
        signature = self._code.signature(where)
        for name, value in self.parameters.items():
            if not signature.takes(name):
                candidates = [n for n in signature.names if n not in FITLIB_PARAMETERS]
                problem = f"{self.method} has no such parameter"
                raise InputError(
                    where, f"parameters.{name}", value, problem, suggested(name, candidates, signature.names)
                )
        for name in [n for n in signature.required if n not in FITLIB_PARAMETERS and n not in self.parameters]:
            raise InputError(where, f"parameters.{name}", None, f"{self.method} needs it", "give it a value")
        recorded = ("noise", "run", "noise_seed") if signature.takes("recorder") else ()  # what the recorder applies
        for name in [n for n in needed if not signature.takes(n) and n not in recorded]:
            problem, remedy = f"{self.method} has no parameter {name}", f"add it there, or leave {_FIELDS[name]} out"
            raise InputError(where, _FIELDS[name], None, problem, remedy)
        _check_inputs(where, self._inputs())

    def run_parameters(self, shared: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, object]:
        """Return the notebook's parameters for one run, without the folder."""
        return self._code.notebook_parameters(self._given(shared, techniques), self.parameters)

    def _given(self, shared: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, object]:
        return {**shared, "techniques": list(techniques), **({"data": self.data} if self.data else {})}

    def recorded_parameters(
        self, shared: Mapping[str, object], techniques: Mapping[str, str], notebook: str, names: Iterable[str]
    ) -> dict[str, object] | None:
        """Return the parameters of a run that executed the notebook of this hash, with parameters of these `names`.

        None where the notebook on disk has another hash and no names are given.
        """
        names = set(names)
        if self._code.is_current(notebook):
            return self.run_parameters(shared, techniques)
        chosen = {name: value for name, value in self._given(shared, techniques).items() if name in names}
        return {**chosen, **self.parameters} if names else None

    def key_parts(self, parameters: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, str]:
        """Return the parts of the key of a run with these parameters."""
        return {**self._parts, "parameters": self.parameters_part(parameters, techniques)}

    def parameters_part(self, parameters: Mapping[str, object], techniques: Mapping[str, str]) -> str:
        """Return the part `parameters` of a run's key."""
        return digest_json({**parameters, "techniques": list(techniques)})

    def check_unchanged(self) -> None:
        """Raise RunFailed where the code on disk is no longer that of the key."""
        changed = changed_parts(self._parts, self._parts_now())
        if changed:
            remedy = "run the command again: it lists the runs of the older code"
            raise RunFailed(f"{self.method}: {', '.join(changed)} changed while the experiment ran; {remedy}")

    @cached_property
    def _parts(self) -> dict[str, str]:
        return self._parts_now()

    def _parts_now(self) -> dict[str, str]:
        notebook, modules, named = self._sources()
        roots = {*fitlib_imports(notebook_path("call")), *map(home, RECORDING), *filter(is_module, named)}
        local = {name: cached_file_digest(path) for name, path in modules.items()}
        files: list[Path] = []
        if self.data:
            entry = DATASETS[self.data["name"]]
            roots.add(entry.module)
            files = entry.source_files(options_of(self.data))
        return {
            "notebook": notebook,
            "code": digest_json([code_digest(tuple(sorted(roots))), local]),
            "data": digest_json([cached_file_digest(Path(path)) for path in files]),
            "versions": digest_json({**versions("own"), **versions_of(named - modules.keys())}),
            "inputs": digest_json([_digest(path) for path in [*self._inputs(), *self._named_files()]]),
        }

    def _sources(self) -> tuple[str, dict[str, Path], set[str]]:
        try:
            return self._code.sources()
        except InputError:  # `check` reports it before any work; finished runs count as runs of other code
            return "", {}, set()

    def _inputs(self) -> list[Path]:
        return [Path(expand_path(path)) for path in self._settings.get("inputs", ())]

    def _named_files(self) -> list[Path]:
        """Return the files that parameters name."""
        return [Path(value) for value in _leaves(self.parameters) if isinstance(value, str) and _is_file(value)]


_FIELDS = {
    "noise": "noise",
    "run": "noise",
    "noise_seed": "noise_seed",
    "seed": "seeds",
}  # the field that makes a parameter necessary


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the modules' packages, as far as a package has the name of its module."""
    found = {}
    for name in {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"fitlib"}:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _check_inputs(where: str, paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.is_file():
            problem = "a folder" if path.is_dir() else "no such file"
            raise InputError(where, "inputs", str(path), problem, "name existing files")


def _digest(path: Path) -> str:
    return cached_file_digest(path) if path.is_file() else ""


def _leaves(value: JsonValue) -> Iterator[JsonValue]:
    """Yield the plain values inside lists and mappings."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a text that is not a valid path
        return False
