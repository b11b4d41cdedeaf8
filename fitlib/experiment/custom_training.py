"""Somebody's own training: a notebook or a function that an experiment names instead of fitlib's method and network.

What differs from fitlib's own trainings is here (`CustomTraining`) and in `fitlib.experiment.trainings`
(`FitlibTraining`), two classes with one interface; whoever plans, executes and reports knows nothing of the difference.
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
from fitlib.experiment.custom_fields import GIVEN
from fitlib.experiment.notebooks import Accepts, notebook_path, suggested
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.options import expanded, options_of
from fitlib.storage.code_digest import code_digest, is_module
from fitlib.storage.keys import changed_parts, versions

USED = ("Recorder", "save_predictions")  # of `fitlib`, by own trainings whatever they import


# Fields of an experiment file


# Notebooks and functions


class Code(Protocol):
    """Somebody's code, as it is executed by a run."""

    label: str  # in reports
    stem: str  # names the folder of its runs
    executed: Path  # the notebook that a run executes

    def accepts(self, where: str) -> Accepts: ...

    def passed(self, shared: Mapping[str, object], parameters: Mapping[str, object]) -> dict[str, object]: ...

    def is_known(self, notebook: str) -> bool: ...

    def sources(self) -> tuple[str, dict[str, Path], set[str]]: ...


class CustomNotebook:
    """A notebook with a `parameters` cell; parameters that fitlib gives are passed on as far as that cell has them."""

    def __init__(self, given: str):
        self.executed = Path(expanded(given))
        self.label, self.stem = f"notebook {self.executed.name}", self.executed.stem

    def accepts(self, where: str) -> Accepts:
        """What may be given; InputError where the file is no such notebook, or has no `run_dir`."""
        found = notebooks.notebook_accepts(self.executed, where)
        if "run_dir" not in found.names:
            remedy = 'add run_dir: str = "" to its parameters cell, and end with fitlib.save_predictions(run_dir, …)'
            raise InputError(where, "notebook", str(self.executed), "no parameter run_dir", remedy)
        return found

    def passed(self, shared: Mapping[str, object], parameters: Mapping[str, object]) -> dict[str, object]:
        """Parameters of the notebook that a run executes."""
        return {**{name: value for name, value in shared.items() if self._known.takes(name)}, **parameters}

    def is_known(self, notebook: str) -> bool:
        """Is the notebook of this hash the one that is here, so that it can be said what a run of it is passed?"""
        try:
            return notebooks.notebook_digest(self.executed) == notebook
        except InputError:
            return False

    @cached_property
    def _known(self) -> Accepts:
        try:
            return self.accepts("plan")
        except InputError:  # there is none any more, and nothing to execute: a status is told all the same
            return Accepts(anything=True)

    def sources(self) -> tuple[str, dict[str, Path], set[str]]:
        """Hash of the code cells, local modules that they import, and all that these name in import statements."""
        names = code_inspection.notebook_imports(self.executed)
        return notebooks.notebook_digest(self.executed), *_reached(names, [Path.cwd()])


class CustomCallable:
    """A function; `call.ipynb` imports and calls it, with what it accepts of the parameters that fitlib gives."""

    executed = notebook_path("call")

    def __init__(self, given: str):
        self.given = given
        self.label, self.stem = f"callable {given}", given.replace(":", ".")

    def accepts(self, where: str) -> Accepts:
        """What may be given; InputError where there is no such function."""
        return code_inspection.callable_accepts(self.given, where)

    def passed(self, shared: Mapping[str, object], parameters: Mapping[str, object]) -> dict[str, object]:
        """Parameters of the notebook that a run executes."""
        return {**shared, "callable": self.given, "parameters": dict(parameters)}

    def is_known(self, notebook: str) -> bool:
        """Yes: every parameter is passed to `call.ipynb`, whatever the function accepts."""
        return True

    def sources(self) -> tuple[str, dict[str, Path], set[str]]:
        """Hash of `call.ipynb`, the function's module with the local ones it imports, and all that they name."""
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
    """An own training as plan, batch and report see it; the same interface as `trainings.FitlibTraining`."""

    select = "own"  # which epoch predicts is up to its code
    automatic_noise = "native"  # nobody knows from outside whether the code applies one
    checked = True  # what its runs save is compared with the runs before
    starts_apart = False  # if its runs start from different weights, nobody declared it

    def __init__(self, settings: Mapping[str, Any]):
        self._settings = settings
        self._code: Code = (
            CustomNotebook(settings["notebook"]) if "notebook" in settings else CustomCallable(settings["callable"])
        )
        self.data: dict[str, Any] | None = settings.get("data")
        self.declared = {k: settings[k] for k in ("classes", "groups")} if "classes" in settings else None
        self.name = re.sub(r"[^A-Za-z0-9._-]+", "-", self._code.stem).strip("-._") or "own"
        self.method, self.notebook = self._code.label, self._code.executed
        self.parameters: dict[str, Any] = settings["parameters"]

    def check(self, where: str, needed: Iterable[str]) -> None:
        """Refuse what cannot work, before any work: code, names of parameters, inputs.

        needed: parameters without which the declared noise or seeds would have no effect.
        """
        accepts = self._code.accepts(where)
        for name, value in self.parameters.items():
            if not accepts.takes(name):
                own = [known for known in accepts.names if known not in GIVEN]
                problem = f"{self.method} has no such parameter"
                raise InputError(where, f"parameters.{name}", value, problem, suggested(name, own, accepts.names))
        for name in [n for n in accepts.required if n not in GIVEN and n not in self.parameters]:
            raise InputError(where, f"parameters.{name}", None, f"{self.method} needs it", "give it a value")
        for name in [n for n in needed if not accepts.takes(n)]:
            problem, remedy = f"{self.method} has no parameter {name}", f"add it there, or leave {_FIELDS[name]} out"
            raise InputError(where, _FIELDS[name], None, problem, remedy)
        _check_inputs(where, self._inputs())

    def run_parameters(self, shared: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, object]:
        """Parameters of the notebook for one run, without the folder."""
        return self._code.passed(self._given(shared, techniques), self.parameters)

    def _given(self, shared: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, object]:
        return {**shared, "techniques": list(techniques), **({"data": self.data} if self.data else {})}

    def recorded_parameters(
        self, shared: Mapping[str, object], techniques: Mapping[str, str], notebook: str, names: Iterable[str]
    ) -> dict[str, object] | None:
        """What a run was passed that executed the notebook of this hash and has parameters of these `names`.

        None where the hash is not that of the notebook that is here and no names are given.
        """
        names = set(names)
        if self._code.is_known(notebook):
            return self.run_parameters(shared, techniques)
        chosen = {name: value for name, value in self._given(shared, techniques).items() if name in names}
        return {**chosen, **self.parameters} if names else None

    def key_parts(self, parameters: Mapping[str, object], techniques: Mapping[str, str]) -> dict[str, str]:
        """Parts of the key of a run with these parameters."""
        return {**self._parts, "parameters": self.parameters_part(parameters, techniques)}

    def parameters_part(self, parameters: Mapping[str, object], techniques: Mapping[str, str]) -> str:
        """The part `parameters` of a run's key."""
        return digest_json({**parameters, "techniques": list(techniques)})

    def check_unchanged(self) -> None:
        """RunFailed where the code on disk is not any more that of the key."""
        changed = changed_parts(self._parts, self._parts_now())
        if changed:
            remedy = "say the command again: it tells which runs are of the older code"
            raise RunFailed(f"{self.method}: {', '.join(changed)} changed while the experiment ran; {remedy}")

    @cached_property
    def _parts(self) -> dict[str, str]:
        return self._parts_now()

    def _parts_now(self) -> dict[str, str]:
        notebook, modules, named = self._sources()
        entry = [DATASETS[self.data["name"]]] if self.data else []
        roots = {*fitlib_imports(notebook_path("call")), *map(home, USED), *(e.module for e in entry)}
        roots |= set(filter(is_module, named))
        local = {name: cached_file_digest(path) for name, path in modules.items()}
        files = [path for e in entry for path in e.source_files(options_of(self.data))]
        return {
            "notebook": notebook,
            "code": digest_json([code_digest(tuple(sorted(roots))), local]),
            "data": digest_json([cached_file_digest(Path(path)) for path in files]),
            "versions": digest_json({**versions("own"), **_versions_of(named - modules.keys())}),
            "inputs": digest_json([_digest(path) for path in [*self._inputs(), *self._named_files()]]),
        }

    def _sources(self) -> tuple[str, dict[str, Path], set[str]]:
        try:
            return self._code.sources()
        except InputError:  # `check` says why, before any work; finished runs count as those of other code
            return "", {}, set()

    def _inputs(self) -> list[Path]:
        return [Path(expanded(path)) for path in self._settings.get("inputs", ())]

    def _named_files(self) -> list[Path]:
        """Files that parameters name."""
        return [Path(value) for value in _leaves(self.parameters) if isinstance(value, str) and _is_file(value)]


_FIELDS = {"noise": "noise", "run": "noise", "noise_seed": "noise_seed", "seed": "seeds"}  # what asks for a parameter


def _versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Versions of the named modules' packages, as far as a package has the name of its module."""
    found = {}
    for name in {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"fitlib"}:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _check_inputs(where: str, paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.is_file():
            problem = "a folder" if path.is_dir() else "no such file"
            raise InputError(where, "inputs", str(path), problem, "name files that are there")


def _digest(path: Path) -> str:
    return cached_file_digest(path) if path.is_file() else ""


def _leaves(value: JsonValue) -> Iterator[JsonValue]:
    """The plain values inside lists and mappings."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a text that no file system takes
        return False
