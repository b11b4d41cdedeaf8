"""Fields of an experiment file that name a custom training in place of a fitlib method and network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from fitlib.errors import InputError
from fitlib.experiment.arms import Arm
from fitlib.experiment.registry.noises import VARIED
from fitlib.options import DataPath, Options

UNKNOWN = "unknown"
FITLIB_PARAMETERS = (
    "run_dir", "run", "seed", "noise", "noise_seed", "device", "threads", "techniques", "data", "recorder",
)  # fmt: skip
SOURCES = ("notebook", "callable")
FITLIB_ONLY = ("method", "inference", "network", "training")  # fields without a meaning for a custom training
CUSTOM_ONLY = ("label", "parameters", "inputs", "classes", "groups")  # fields without a meaning for fitlib's trainings
_NAME_CUSTOM = "name the notebook or callable that it is meant for"


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


class CustomFields(Options):
    """Fields that name a custom training, for all techniques of an experiment file or for one."""

    notebook: DataPath | None = None  # it receives run_dir, run, seed, noise and its parameters
    callable: str | None = None  # package.module:function, called with the same
    label: str | None = None  # names the training in reports and folders; null: after notebook or function
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: list[DataPath] | None = None  # files that the result depends on: if they change, runs are repeated
    classes: Names | None = None  # names in the order of their numbers; null: as the runs save them
    groups: dict[str, Names] | None = None  # likewise, by protected attribute


def source_of(technique: CustomFields, top: CustomFields, where: str, field: str) -> dict[str, str] | None:
    """Return `{"notebook": …}` or `{"callable": …}` of a technique, else of the file; None where fitlib trains it."""
    for fields, prefix in ((technique, f"{field}."), (top, "")):
        given = {name: getattr(fields, name) for name in SOURCES if getattr(fields, name) is not None}
        if len(given) > 1:
            raise InputError(where, f"{prefix}callable", given["callable"], "beside a notebook", "keep one of them")
        if given:
            return given
    return None


def settings_of(
    source: dict[str, str], technique: CustomFields, top: CustomFields, where: str, field: str
) -> dict[str, Any]:
    """Return a custom training as plain values: source, parameters, inputs, names; a technique's override the file's.

    Raises InputError where the technique has fields of a fitlib training as well, or names classes without groups.
    """
    for name in FITLIB_ONLY:
        if getattr(technique, name) is not None:
            (kind, value), remedy = (
                next(iter(source.items())),
                "leave it out, or name the custom training for other techniques only",
            )
            problem = f"the technique is trained by {kind} {value}"
            raise InputError(where, f"{field}.{name}", getattr(technique, name), problem, remedy)
    names = ("label", "inputs", "classes", "groups")
    chosen = {name: _first(getattr(technique, name), getattr(top, name)) for name in names}
    if (chosen["classes"] is None) != (chosen["groups"] is None):
        missing = "groups" if chosen["groups"] is None else "classes"
        raise InputError(where, missing, None, "classes and groups go together", f"add {missing}:, or name neither")
    parameters = {**top.parameters, **technique.parameters}
    for name in parameters:
        if name in FITLIB_PARAMETERS:
            remedy = "rename it; seeds, noise, device, threads and data are fields of the file"
            raise InputError(where, f"parameters.{name}", parameters[name], "given by fitlib", remedy)
    return {**source, "parameters": parameters, **{k: v for k, v in chosen.items() if v is not None}}


def refuse_unused(checked: Any, custom: Mapping[str, bool], where: str) -> None:
    """Raise InputError for a field that no training of the file uses; custom: {technique: is its training custom?}."""
    for label, fields in checked.techniques.items():
        given = sorted(fields.model_fields_set & set(CUSTOM_ONLY)) if not custom[label] else []
        if given:
            field, value = f"techniques.{label}.{given[0]}", getattr(fields, given[0])
            raise InputError(where, field, value, "fitlib trains this technique", f"leave it out, or {_NAME_CUSTOM}")
    unused = CUSTOM_ONLY if not any(custom.values()) else ("network", "training") if all(custom.values()) else ()
    for name in (name for name in unused if name in checked.model_fields_set):
        without_custom = "fitlib trains every technique of this file"
        problem = without_custom if name in CUSTOM_ONLY else "no technique of this file is trained by fitlib"
        remedy = (
            f"leave it out, or {_NAME_CUSTOM}" if name in CUSTOM_ONLY else "leave it out, or name a technique's method"
        )
        raise InputError(where, name, getattr(checked, name), problem, remedy)


def needed_parameters(arms: Iterable[Arm], noise_seed: int) -> list[str]:
    """Return the parameters without which the declared noise or seeds would have no effect on a custom training."""
    arms = tuple(arms)
    emulated, seeded = any(arm.kind == "emulated" for arm in arms), any(arm.seed for arm in arms)
    varied = {arm.noise["name"] for arm in arms if arm.kind == VARIED}
    effects = {
        "noise": emulated or bool(varied - {"run"}),
        "run": emulated or bool(varied),
        "noise_seed": emulated and noise_seed > 0,
        "seed": seeded,
    }
    return [name for name, has_effect in effects.items() if has_effect]


def _first(*values: object) -> object:
    return next((value for value in values if value is not None), None)
