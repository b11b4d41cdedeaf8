"""Somebody's own training: a notebook or a function that an experiment names instead of fitlib's method and network.

What differs from fitlib's own trainings is here (`OwnTraining`) and in `fitlib.trainings` (`FitlibTraining`), two
classes with one interface; whoever plans, executes and reports knows nothing of the difference.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from fitlib import home, own_code
from fitlib.arms import Arm
from fitlib.digest import cached_file_digest, digest_json
from fitlib.errors import InputError, RunFailed
from fitlib.execution import notebook_path, suggested
from fitlib.options import DataPath, Options, expanded, options_of
from fitlib.own_code import Accepts, fitlib_imports
from fitlib.registry import DATASETS
from fitlib.storage.code_digest import code_digest, is_module
from fitlib.storage.keys import changed_parts, versions

UNKNOWN = "unknown"
GIVEN = ("run_dir", "run", "seed", "noise", "noise_seed", "device", "threads", "techniques", "data")
SOURCES = ("notebook", "callable")
FITLIB_ONLY = ("method", "inference", "network", "training")  # fields that an own training has no use for
OWN_ONLY = ("parameters", "inputs", "classes", "groups")  # fields that fitlib's trainings have no use for
USED = ("Recorder", "save_predictions")  # of `fitlib`, by own trainings whatever they import
_NAME_OWN = "name the notebook or callable that it is meant for"


# Fields of an experiment file


def _name(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"YAML reads a bare yes, no, on, off, true or false as {value}: quote it")
    return str(value) if isinstance(value, int) else value


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name is given twice")
    return names


Names = Annotated[
    list[Annotated[str, BeforeValidator(_name), Field(min_length=1)]], Field(min_length=2), AfterValidator(_distinct)
]


class OwnFields(Options):
    """Fields that name an own training, for all techniques of an experiment file or for one."""

    notebook: DataPath | None = None  # it receives run_dir, run, seed, noise and its own parameters
    callable: str | None = None  # package.module:function, called with the same
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: list[DataPath] | None = None  # files that decide about the result: if they change, runs are made again
    classes: Names | None = None  # names in the order of their numbers; null: as the runs save them
    groups: dict[str, Names] | None = None  # the same by protected attribute


def source_of(technique: OwnFields, top: OwnFields, where: str, field: str) -> dict[str, str] | None:
    """`{"notebook": …}` or `{"callable": …}` of a technique, else that of the whole file; None: fitlib trains it."""
    for fields, prefix in ((technique, f"{field}."), (top, "")):
        given = {name: getattr(fields, name) for name in SOURCES if getattr(fields, name) is not None}
        if len(given) > 1:
            raise InputError(where, f"{prefix}callable", given["callable"], "beside a notebook", "keep one of both")
        if given:
            return given
    return None


def settings_of(source: dict[str, str], technique: OwnFields, top: OwnFields, where: str, field: str) -> dict[str, Any]:
    """What an own training is, as plain values: source, parameters, inputs, names; a technique's win over the file's.

    Raises InputError where the technique also says how fitlib would train it, or names classes without groups.
    """
    for name in FITLIB_ONLY:
        if getattr(technique, name) is not None:
            (kind, value), remedy = next(iter(source.items())), "leave it out, or name the own training elsewhere only"
            problem = f"the technique is trained by {kind} {value}"
            raise InputError(where, f"{field}.{name}", getattr(technique, name), problem, remedy)
    chosen = {name: _first(getattr(technique, name), getattr(top, name)) for name in ("inputs", "classes", "groups")}
    if (chosen["classes"] is None) != (chosen["groups"] is None):
        missing = "groups" if chosen["groups"] is None else "classes"
        raise InputError(where, missing, None, "classes and groups go together", f"add {missing}:, or name neither")
    parameters = {**top.parameters, **technique.parameters}
    for name in parameters:
        if name in GIVEN:
            remedy = "rename it; seeds, noise, device, threads and data are fields of the file"
            raise InputError(where, f"parameters.{name}", parameters[name], "given by fitlib", remedy)
    return {**source, "parameters": parameters, **{k: v for k, v in chosen.items() if v is not None}}


def refuse_idle(checked: Any, own: Mapping[str, bool], where: str) -> None:
    """InputError for a field that no training of the file would look at; own: {technique: trained by own code?}."""
    for label, fields in checked.techniques.items():
        given = sorted(fields.model_fields_set & set(OWN_ONLY)) if not own[label] else []
        if given:
            field, value = f"techniques.{label}.{given[0]}", getattr(fields, given[0])
            raise InputError(where, field, value, "fitlib trains this technique", f"leave it out, or {_NAME_OWN}")
    idle = OWN_ONLY if not any(own.values()) else ("network", "training") if all(own.values()) else ()
    for name in (name for name in idle if name in checked.model_fields_set):
        fitlibs = "fitlib trains every technique of this file"
        problem = fitlibs if name in OWN_ONLY else "no technique of this file is trained by fitlib"
        remedy = f"leave it out, or {_NAME_OWN}" if name in OWN_ONLY else "leave it out, or name a technique's method"
        raise InputError(where, name, getattr(checked, name), problem, remedy)


def needed(arms: Iterable[Arm], noise_seed: int) -> list[str]:
    """Parameters without which what an experiment declares would have no effect on an own training."""
    emulated, seeded = any(arm.kind == "emulated" for arm in arms), any(arm.seed for arm in arms)
    effects = {"noise": emulated, "run": emulated, "noise_seed": emulated and noise_seed > 0, "seed": seeded}
    return [name for name, has_effect in effects.items() if has_effect]


def _first(*values: object) -> object:
    return next((value for value in values if value is not None), None)


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


class OwnNotebook:
    """A notebook with a `parameters` cell; parameters that fitlib gives are passed on as far as that cell has them."""

    def __init__(self, given: str):
        self.executed = Path(expanded(given))
        self.label, self.stem = f"notebook {self.executed.name}", self.executed.stem

    def accepts(self, where: str) -> Accepts:
        """What may be given; InputError where the file is no such notebook, or has no `run_dir`."""
        found = own_code.notebook_accepts(self.executed, where)
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
            return own_code.notebook_digest(self.executed) == notebook
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
        names = own_code.notebook_imports(self.executed)
        return own_code.notebook_digest(self.executed), *_reached(names, [Path.cwd()])


class OwnCallable:
    """A function; `call.ipynb` imports and calls it, with what it accepts of the parameters that fitlib gives."""

    executed = notebook_path("call")

    def __init__(self, given: str):
        self.given = given
        self.label, self.stem = f"callable {given}", given.replace(":", ".")

    def accepts(self, where: str) -> Accepts:
        """What may be given; InputError where there is no such function."""
        return own_code.callable_accepts(self.given, where)

    def passed(self, shared: Mapping[str, object], parameters: Mapping[str, object]) -> dict[str, object]:
        """Parameters of the notebook that a run executes."""
        return {**shared, "callable": self.given, "parameters": dict(parameters)}

    def is_known(self, notebook: str) -> bool:
        """Yes: every parameter is passed to `call.ipynb`, whatever the function accepts."""
        return True

    def sources(self) -> tuple[str, dict[str, Path], set[str]]:
        """Hash of `call.ipynb`, the function's module with the local ones it imports, and all that they name."""
        module = self.given.partition(":")[0]
        path = own_code.find_module(module)
        if path is None:
            raise InputError("plan", "callable", self.given, f"there is no module {module}", "correct the name")
        roots = {Path.cwd(): None, own_code.root_of(module, path): None}
        found, named = _reached([module], [root for root in roots if root])
        return own_code.notebook_digest(self.executed), {module: path, **found}, named | {module}


def _reached(names: Iterable[str], roots: Sequence[Path]) -> tuple[dict[str, Path], set[str]]:
    found = own_code.local_sources(names, roots)
    return found, set(names).union(*(own_code.imports_of(name, path) for name, path in found.items()))


# The training


class OwnTraining:
    """An own training as plan, batch and report see it; the same interface as `fitlib.trainings.FitlibTraining`."""

    select = "own"  # which epoch predicts is up to its code
    automatic_noise = "native"  # nobody knows from outside whether the code applies one
    checked = True  # what its runs save is compared with the runs before
    starts_apart = False  # if its runs start from different weights, nobody declared it

    def __init__(self, settings: Mapping[str, Any]):
        self._settings = settings
        self._code: Code = (
            OwnNotebook(settings["notebook"]) if "notebook" in settings else OwnCallable(settings["callable"])
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
        files = [path for e in entry for path in e.sibling("source_files")(**options_of(self.data))]
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
