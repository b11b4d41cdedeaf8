"""The schema of an experiment file (pydantic), with its errors in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from fitlib.errors import InputError, did_you_mean
from fitlib.experiment.custom_fields import CustomFields
from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.metrics.metric_sources import normalise
from fitlib.metrics.smallest_effects import DEFAULT, Declared, check
from fitlib.options import Options

# Steps of a union in pydantic's error locations.
BRANCH = re.compile(r"str|int|float|bool|constrained-int|(dict|list|union)\[.*")
SEEDS = 2**31  # exclusive upper bound of seeds: every generator accepts them


class CustomMetric(Options):
    """A custom metric, `module:function`."""

    function: str
    larger_is_fairer: bool = False


class Analysis(Options):
    """How the runs are analysed; declared before the first run."""

    # Custom metrics beside the seven; before the fields that may name them.
    metrics: dict[str, CustomMetric] | None = None
    # The favourable class, by number or name: the four-fifths rule is applied only where it is declared.
    favourable: Annotated[int, Field(ge=0)] | str | None = None
    # δ: a difference of means below it does not matter. A number, a share of the baseline's mean, or one per metric.
    smallest_effect: float | str | dict[str, float | str] = DEFAULT
    alpha: float = Field(default=0.05, gt=0, lt=1)
    primary: str | None = None  # the metric that decides; null: every verdict holds together with all others
    family: list[str] | None = None  # metrics that the correction covers; null: all
    min_group: int = Field(default=30, ge=1)
    protocol: Literal["fitlib", "paper"] = "fitlib"  # paper: the study's tables are written as well
    reading: Literal["strict", "published"] = "strict"
    looks: list[int] | None = None  # numbers of runs at which a sequential analysis looks at the results
    cross: list[list[str]] | None = None  # protected attributes to cross, as [[sex, race]]

    @field_validator("metrics", mode="before")
    @classmethod
    def _in_one_form(cls, metrics: object) -> object:
        return None if metrics is None else normalise(metrics)

    @field_validator("smallest_effect")
    @classmethod
    def _effect(cls, value: Declared, info: ValidationInfo) -> Declared:
        check(value, bias_metrics_of(info.data))
        return value

    @field_validator("primary")
    @classmethod
    def _known(cls, primary: str | None, info: ValidationInfo) -> str | None:
        known = bias_metrics_of(info.data)
        if primary is None or primary in known:
            return primary
        if f"1 - {primary}" in known:  # as it was declared, before larger became less fair
            return f"1 - {primary}"
        raise ValueError(f"unknown bias metric; known: {', '.join(known)}")

    @model_validator(mode="after")
    def _primary_in_family(self) -> Analysis:
        if self.primary is not None and self.family is not None and self.primary not in self.family:
            raise ValueError(f"primary = {self.primary}: not in the family {', '.join(self.family)}")
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Without custom metrics the plan, and its hash, are those of versions that had none.
        return {name: value for name, value in dump(self).items() if name != "metrics" or value}


class TechniqueFields(CustomFields):
    """One technique of an experiment file: a method of fitlib, or a custom training."""

    method: str | dict[str, Any] | None = None
    inference: str | None = None
    data: str | dict[str, Any] | None = None
    network: str | dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    baseline: str | None = None
    uses_protected: Literal["no", "training", "prediction"] | None = None


class ExperimentFields(CustomFields):
    """An experiment file as written; everything but the techniques has a default."""

    name: str | None = None
    data: str | dict[str, Any] = "digits-s"
    network: str | dict[str, Any] = "small-cnn"
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(1, ge=1)
    training: dict[str, Any] = Field(default_factory=dict)
    techniques: dict[str, TechniqueFields] = Field(min_length=1)
    baseline: str | None = None
    runs: int = Field(16, ge=1)
    seeds: list[Annotated[int, Field(ge=0, lt=SEEDS)]] = Field(default_factory=lambda: [0], min_length=1)
    noise: str | dict[str, Any] = "auto"
    arms: list[str | dict[str, Any]] | None = Field(None, min_length=1)  # several noises, instead of `noise`
    noise_seed: int = Field(0, ge=0, lt=SEEDS)
    control_runs: int = Field(2, ge=0)
    analysis: Analysis = Field(default_factory=Analysis)


def validated(model: type[Options], fields: object, where: str, prefix: str = "") -> Any:
    """Return `fields` as a validated model; raise InputError for the first mistake."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(step) for step in first["loc"] if not BRANCH.fullmatch(str(step))]
        if first["type"] == "invalid_key" or path[-1:] == ["[key]"]:
            field = prefix + ".".join(path[: -2 if path[-1] == "[key]" else -1])
            raise InputError(where, field or "field", first["input"], "a name that is not text", "quote it") from None
        raise InputError(where, prefix + ".".join(path), first["input"], *_explained(first, path, model)) from None


def _explained(error: Mapping[str, Any], path: list[str], model: type[Options]) -> tuple[str, str]:
    if error["type"] == "extra_forbidden":
        known = list(TechniqueFields.model_fields if path[0] == "techniques" else model.model_fields)
        known = list(Analysis.model_fields) if path[0] == "analysis" and len(path) > 1 else known
        known = list(CustomMetric.model_fields) if "metrics" in path[:2] else known
        return "unknown field", suggestion(path[-1], known)
    if error["type"] == "missing":
        return "field is missing", f"add '{path[-1]}:'"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"invalid value: {message}", "correct the value"


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return the remedy for an unknown name: the closest known one, or all of them."""
    known = sorted(known)
    return did_you_mean(str(name), known, f"known: {', '.join(known) or 'none'}")
