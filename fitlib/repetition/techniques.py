"""What is repeated, technique by technique: a function, an estimator or a notebook, as fields of an experiment file."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitlib.errors import InputError
from fitlib.experiment.notebooks import accepted_parameters
from fitlib.repetition.estimators import check_variation, is_estimator
from fitlib.repetition.importing import importable
from fitlib.repetition.pickles import IN_A_MODULE, WHERE, pickled, pickled_by_value

ONLY = "model"  # the technique, where there is one without a name
KINDS = "give a function, an estimator, the path of a notebook, or {technique: any of these}"
ESTIMATOR, FUNCTION = "fitlib.repetition.estimators:train", "fitlib.repetition.pickles:call"


@dataclass(frozen=True)
class Repeated:
    """One technique's training.

    kind: estimator, function or notebook. label: in reports. target: the function to import, or the path of the
    notebook; "" for a function that cannot be imported. content: the pickle of an estimator or of such a function.
    parameters: of fitlib's that a function or notebook names.
    """

    kind: str
    label: str
    target: str = ""
    content: bytes = b""
    parameters: tuple[str, ...] = ()

    def fields(self, folder: Path, technique: str, vary: str, shared: list[Path]) -> dict[str, Any]:
        """Return the technique's fields in an experiment file; pickles are written into `folder`.

        shared: files that every estimator reads.
        """
        if self.kind == "notebook":
            return {"notebook": self.target}
        if self.target and self.kind == "function":
            return {"callable": self.target}
        path = folder / f"{technique}.pkl"
        path.write_bytes(self.content)
        if self.kind == "function":
            return {"callable": FUNCTION, "label": self.label, "parameters": {"function": str(path.absolute())}}
        parameters = {"estimator": path.name, "vary": vary}
        inputs = [str(file) for file in (path, *shared)]
        return {"callable": ESTIMATOR, "label": self.label, "parameters": parameters, "inputs": inputs}


def techniques_of(train: object, vary: str, on_disk: bool) -> dict[str, Repeated]:
    """Return the trainings by technique; InputError for what cannot be repeated.

    on_disk: whether they become an experiment on disk, which a later session must be able to resume.
    """
    if not isinstance(train, Mapping):
        return {ONLY: _repeated("train", train, vary, on_disk)}
    if not train:
        raise InputError(WHERE, "train", {}, "no technique", "give at least one: {name: training}")
    for name in train:
        if not isinstance(name, str):
            raise InputError(WHERE, "train", name, "not the name of a technique", "use text as the keys of train")
    return {name: _repeated(f"train[{name!r}]", value, vary, on_disk) for name, value in train.items()}


def _repeated(field: str, value: object, vary: str, on_disk: bool) -> Repeated:
    if isinstance(value, str | Path):
        path = Path(value)
        if path.suffix != ".ipynb" or not path.is_file():
            problem = "no such file" if path.suffix == ".ipynb" else "not a notebook (.ipynb)"
            raise InputError(WHERE, field, str(value), problem, KINDS)
        return Repeated("notebook", path.stem, str(path), parameters=tuple(accepted_parameters(path)))
    if is_estimator(value):
        return _estimator(field, value, vary, on_disk)
    if inspect.isclass(value) and callable(getattr(value, "fit", None)):
        name = value.__name__
        raise InputError(WHERE, field, name, "a class, not an estimator", f"give an instance: {name}()")
    if not callable(value) or inspect.isclass(value):
        raise InputError(WHERE, field, type(value).__name__, "nothing that can be trained", KINDS)
    return _function(field, value, on_disk)


def _estimator(field: str, value: Any, vary: str, on_disk: bool) -> Repeated:
    check_variation("" if field == "train" else field, value, vary)
    fresh = _unfitted(value)
    if not _in_main(type(value)):
        try:
            return Repeated("estimator", type(value).__name__, content=pickled(fresh))
        except Exception:  # a part of it that pickle cannot write, a lambda for instance
            pass
    if on_disk:
        problem = "its class, or a part of it, cannot be imported by a later session, which out= is for"
        raise InputError(WHERE, field, type(value).__name__, problem, f"{IN_A_MODULE}, or leave out= out")
    return Repeated("estimator", type(value).__name__, content=pickled_by_value(field, fresh))


def _unfitted(estimator: Any) -> Any:
    """Return an unfitted copy where scikit-learn can make one; else the estimator, whose `fit` starts anew."""
    base = sys.modules.get("sklearn.base")
    try:
        return base.clone(estimator) if base else estimator
    except (TypeError, RuntimeError):  # not one of scikit-learn's
        return estimator


def _in_main(value: Any) -> bool:
    return getattr(value, "__module__", None) in ("__main__", None)


def _function(field: str, value: Any, on_disk: bool) -> Repeated:
    target = importable(value)
    name = getattr(value, "__qualname__", type(value).__name__)
    parameters = _parameters(field, value)
    if target:
        return Repeated("function", name, target, parameters=parameters)
    if on_disk:
        problem = "defined in a notebook, script or function: a later session, which out= is for, cannot import it"
        raise InputError(WHERE, field, name, problem, f"{IN_A_MODULE}, or leave out= out")
    return Repeated("function", name, content=pickled_by_value(field, value), parameters=parameters)


def _parameters(field: str, value: Any) -> tuple[str, ...]:
    """Return the names of the parameters; InputError where one needs a value that fitlib cannot give."""
    from fitlib.experiment.custom_fields import FITLIB_PARAMETERS

    found = inspect.signature(value).parameters.values()
    for p in found:
        needed = p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        if needed and p.name not in FITLIB_PARAMETERS:
            problem = f"it needs {p.name}, and fitlib gives {', '.join(FITLIB_PARAMETERS)}"
            raise InputError(WHERE, field, p.name, problem, "give it a default, or use functools.partial")
    return tuple(p.name for p in found)


# Noise


def noise_of(given: object, techniques: Mapping[str, Repeated], vary: str) -> object:
    """Return the noise of the experiment: the given one, or what these trainings vary.

    auto: `vary` for estimators; for functions and notebooks `ulp` where they ask for a recorder, `run` where they name
    `run` (and no `noise`), else `native`; where estimators and others are mixed, `run`.
    """
    kinds = {name: _automatic(training, vary) for name, training in techniques.items()}
    estimators = [name for name, training in techniques.items() if training.kind == "estimator"]
    if given != "auto":
        if estimators:
            problem = f"{estimators[0]} is an estimator, and vary says what differs between its runs"
            raise InputError(WHERE, "noise", given, problem, "leave noise out")
        return given
    found = set(kinds.values())
    if len(found) > 1:
        found = {"run"} if found <= {"run", vary} else found
    if len(found) > 1:
        said = ", ".join(f"{name}: {kind}" for name, kind in kinds.items())
        raise InputError(
            WHERE, "noise", "auto", f"it differs between the techniques ({said})", 'for example noise="run"'
        )
    return found.pop()


def _automatic(training: Repeated, vary: str) -> str:
    if training.kind == "estimator":
        return vary
    if "recorder" in training.parameters:
        return "ulp"
    return "run" if "run" in training.parameters and "noise" not in training.parameters else "native"
