"""Call a user's function for one run and save what it returns; used by `call.ipynb`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitlib.errors import InputError, did_you_mean
from fitlib.experiment.registry.noises import VARIATIONS
from fitlib.extras import extra_named
from fitlib.recording.save_predictions import save_predictions

if TYPE_CHECKING:
    from torch import nn

    from fitlib.recording.recorder import Recorder

ALWAYS = ("run_dir", "run", "seed", "noise")  # passed to a function that accepts any name (**options)
RETURNS = "return the arguments of fitlib.save_predictions as a mapping, {technique: mapping}, or None"


def load(target: str) -> Callable[..., object]:
    """Import the function `package.module:function`, with the current folder on sys.path.

    InputError where it cannot be imported or is not a function; errors raised by its module are passed on.
    """
    module, _, name = target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        remedy = "install it, or run the command in the folder that contains it"
        raise InputError("callable", "module", module, f"cannot be imported ({error})", remedy) from error
    if not callable(function) or inspect.isclass(function):
        raise InputError("callable", "function", target, "not a function", "name a function of the module")
    return function


def arguments(
    function: Callable[..., object], given: Mapping[str, object], parameters: Mapping[str, object]
) -> dict[str, object]:
    """Return the parameters, and those of `given` that the function's signature names (for `**options`: `ALWAYS`).

    >>> arguments(lambda run_dir, seed, width: None, {"run_dir": "out", "seed": 3, "noise": "ulp"}, {"width": 8})
    {'run_dir': 'out', 'seed': 3, 'width': 8}
    """
    accepted = inspect.signature(function).parameters.values()
    named = {p.name for p in accepted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    named |= set(ALWAYS) if any(p.kind == p.VAR_KEYWORD for p in accepted) else set()
    return {**{name: value for name, value in given.items() if name in named}, **parameters}


@dataclass(frozen=True, repr=False)
class RunRecorder:
    """The `recorder` that a function may ask for: called with the network, it makes the `fitlib.Recorder` of the run.

    settings: the run's run_dir, run, seed, noise and noise_seed.
    """

    settings: Mapping[str, Any]

    def __call__(self, model: nn.Module) -> Recorder:
        """Return the recorder of a network before its first step, as `fitlib.Recorder(model, run_dir, …)`."""
        with extra_named():  # torch
            from fitlib.recording.recorder import Recorder

        given = dict(self.settings)
        if given["noise"]["name"] in VARIATIONS:  # applied by the function itself
            given["noise"] = "none"
        return Recorder(model, **given)

    def __repr__(self) -> str:
        return "fitlib.Recorder of this run, for recorder(model)"


def with_recorder(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a run that a function may ask for by name, with `recorder` among them."""
    names = ("run_dir", "run", "seed", "noise", "noise_seed")
    return {**own, "recorder": RunRecorder({name: own[name] for name in names})}


def save_returned(returned: object, run_dir: str, techniques: Sequence[str]) -> list[Path]:
    """Save what the function returned, unless it saved its predictions itself; return the run's predictions files.

    returned: None, the arguments of `fitlib.save_predictions`, or {technique: such arguments}. InputError for anything
    else.
    """
    if returned is not None:
        for technique, fields in _by_technique(returned, techniques).items():
            columns: dict[str, Any] = {"technique": technique, **fields}
            save_predictions(run_dir, **columns)
    return sorted(Path(run_dir).glob("predictions/*.parquet"))


def _by_technique(returned: object, techniques: Sequence[str]) -> dict[str | None, Mapping[str, object]]:
    if not isinstance(returned, Mapping):
        raise InputError("callable", "returned", type(returned).__name__, "not a mapping", RETURNS)
    found = {None: returned} if "prediction" in returned else dict(returned)
    for technique, fields in found.items():
        if not isinstance(fields, Mapping):
            problem = f"neither a technique ({', '.join(techniques)}) with its mapping, nor is there a 'prediction'"
            raise InputError("callable", "returned", technique, problem, RETURNS)
        _check_fields(fields)
    return found


def _check_fields(fields: Mapping[str, object]) -> None:
    accepted = {name: p for name, p in inspect.signature(save_predictions).parameters.items() if name != "run_dir"}
    needed = [name for name, p in accepted.items() if p.default is p.empty]
    for name in [name for name in fields if name not in accepted]:
        remedy = did_you_mean(str(name), accepted, f"known: {', '.join(accepted)}")
        raise InputError("callable", "returned", name, "not an argument of fitlib.save_predictions", remedy)
    for name in [name for name in needed if name not in fields]:
        raise InputError("callable", "returned", name, "is missing", RETURNS)
