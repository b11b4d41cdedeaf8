"""Experiment files: their schema, their checks, and the experiment that they describe.

One YAML file in `params/` becomes an `Experiment`: trainings, arms, techniques, everything resolved, so that equal
experiments are equal values. Nothing is imported here that is slow; torch is not.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from fitlib import own
from fitlib.arms import Arm, arm_name, arms_of, repeated
from fitlib.digest import digest_json
from fitlib.errors import InputError, did_you_mean
from fitlib.families import Family, class_number, families
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.options import Options, Training
from fitlib.own import OwnFields
from fitlib.registry import DATASETS, METHODS, NETWORKS, NOISE_KINDS, NOISES, Entry, check_images
from fitlib.trainings import Source, source_of
from fitlib.yaml_files import parse_yaml, read_yaml

BRANCH = re.compile(r"str|int|float|bool|constrained-int|(dict|list|union)\[.*")  # of a union, as pydantic says it
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LABEL_RULE = "threshold"  # decides on a set of labels; every other rule on one class
SEEDS = 2**31  # seeds are below it: every generator takes them
NAME_REMEDY = "use letters, digits, '.', '_' and '-' only, starting with a letter or digit"


class Analysis(Options):
    """How the runs are analysed; declared before the first run."""

    # The class that is good to get, by number or name: only then is four fifths spoken of.
    favourable: Annotated[int, Field(ge=0)] | str | None = None
    smallest_effect: float = Field(0.01, gt=0)  # δ: a difference of means below it does not matter
    alpha: float = Field(0.05, gt=0, lt=1)
    family: list[str] | None = None  # metrics that the correction covers; null: all
    min_group: int = Field(30, ge=1)
    protocol: Literal["fitlib", "paper"] = "fitlib"  # paper: the study's tables are written as well
    reading: Literal["strict", "published"] = "strict"
    looks: list[int] | None = None  # numbers of runs at which sequential looks are taken
    cross: list[list[str]] | None = None  # protected attributes to cross, as [[sex, race]]


class TechniqueFields(OwnFields):
    """One technique of an experiment file: a method of fitlib, or an own training."""

    method: str | dict[str, Any] | None = None
    inference: str | None = None
    data: str | dict[str, Any] | None = None
    network: str | dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    baseline: str | None = None
    uses_protected: Literal["no", "training", "prediction"] | None = None


class ExperimentFields(OwnFields):
    """An experiment file as written; everything has a default but the techniques."""

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


@dataclass(frozen=True)
class TrainingSpec:
    """What is actually trained, and the inference rules applied to the result."""

    name: str
    settings: dict[str, Any]  # method, data, network, training; or those of an own training: all resolved
    techniques: dict[str, str]  # technique -> inference rule

    @cached_property
    def source(self) -> Source:
        """What trains it: fitlib or somebody's own code, behind one interface."""
        return source_of(self.settings)


@dataclass(frozen=True)
class Technique:
    """A row of the results: one training under one inference rule."""

    name: str
    training: str
    inference: str
    baseline: str | None
    uses_protected: str


@dataclass(frozen=True)
class Experiment:
    """A checked experiment; `declared` is the whole of it as plain values, without the name."""

    name: str
    declared: dict[str, Any]
    trainings: tuple[TrainingSpec, ...]
    techniques: tuple[Technique, ...]
    arms: tuple[Arm, ...]

    @property
    def main_arms(self) -> tuple[Arm, ...]:
        """The arms whose runs are analysed, one per seed."""
        return tuple(arm for arm in self.arms if arm.role == "main")

    @cached_property
    def analysis(self) -> Analysis:
        """How the runs are analysed, as declared."""
        return Analysis(**self.declared["analysis"])

    @cached_property
    def declared_hash(self) -> str:
        """Hex SHA-256 of the declared plan."""
        return plan_hash(self.declared)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The techniques that share classes and groups, family by family; asks the data sets for both."""
        return families(self.trainings)


def plan_hash(declared: Mapping[str, Any]) -> str:
    """Hex SHA-256 of a declared plan's plain values; the order of the techniques is part of it."""
    return digest_json({**declared, "techniques": list(declared["techniques"].items())})


def read_experiment(path: Path, overrides: Iterable[str] = (), runs: int | None = None) -> Experiment:
    """Read and check an experiment file; `overrides` are `key=value` with dotted keys and YAML values.

    Raises InputError (one line: file, field, value, remedy) for anything that is wrong.
    """
    fields = _mapping(read_yaml(path), str(path))
    for override in overrides:
        _set(fields, override)
    if runs is not None:
        fields["runs"] = runs
    experiment = make_experiment(fields, str(path), default_name=path.stem)
    for spec in experiment.trainings:
        spec.source.check(str(path), own.needed(experiment.arms, experiment.declared["noise_seed"]))
    return experiment


def make_experiment(fields: object, where: str, default_name: str) -> Experiment:
    """The experiment that plain values describe; `where` names their origin in errors."""
    checked = validated(ExperimentFields, _mapping(fields, where), where, "")
    name = _checked_name(checked.name or default_name, where, "name")
    resolved = [_resolve(label, t, checked, where) for label, t in checked.techniques.items()]
    own.refuse_idle(checked, {r["label"]: r["uses"] is None for r in resolved}, where)
    trainings = _trainings(resolved)
    techniques = tuple(_technique(r, trainings, checked, where) for r in resolved)
    _check_baselines(techniques, where)
    arms = _arms(checked, trainings, where)
    experiment = Experiment(name, _declared(checked, resolved, techniques, arms), trainings, techniques, arms)
    _check_analysis(checked.analysis, experiment, where)
    return experiment


def _mapping(fields: object, where: str) -> dict:
    if not isinstance(fields, dict):
        raise InputError(where, "file", fields, "not a mapping of fields", "start with 'techniques:'")
    return fields


def _set(fields: dict, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError("--set", "argument", override, "not of the form key=value", "for example --set runs=4")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        raise InputError("--set", key, text, "the value is not valid YAML", "quote it") from None
    *path, last = key.split(".")
    for step in path:
        inner = fields.get(step)
        inner = {} if inner is None else {"name": inner} if isinstance(inner, str) else inner
        if not isinstance(inner, dict):
            raise InputError("--set", key, inner, f"{step} has no fields", f"set it as a whole: --set {step}=...")
        fields[step] = dict(inner)  # a copy: the file's aliases (*name) share one mapping
        fields = fields[step]
    fields[last] = value


def validated(model: type[Options], fields: object, where: str, prefix: str = "") -> Any:
    """`fields` as a checked model; InputError for the first thing that is wrong."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(step) for step in first["loc"] if not BRANCH.fullmatch(str(step))]
        if first["type"] == "invalid_key" or path[-1:] == ["[key]"]:
            field = prefix + ".".join(path[: -2 if path[-1] == "[key]" else -1])
            raise InputError(where, field or "field", first["input"], "a name that is no text", "quote it") from None
        raise InputError(where, prefix + ".".join(path), first["input"], *_explained(first, path, model)) from None


def _explained(error: Mapping[str, Any], path: list[str], model: type[Options]) -> tuple[str, str]:
    if error["type"] == "extra_forbidden":
        known = list(TechniqueFields.model_fields if path[0] == "techniques" else model.model_fields)
        known = list(Analysis.model_fields) if path[0] == "analysis" and len(path) > 1 else known
        return "unknown field", _suggestion(path[-1], known)
    if error["type"] == "missing":
        return "field is missing", f"add '{path[-1]}:'"
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"invalid value: {message}", "correct the value"


def _suggestion(name: object, known: Iterable[str]) -> str:
    known = sorted(known)
    return did_you_mean(str(name), known, f"known: {', '.join(known) or 'none'}")


def _checked_name(name: str, where: str, field: str) -> str:
    if not NAME.fullmatch(name):
        raise InputError(where, field, name, "not a valid name", NAME_REMEDY)
    return name


def _named(value: str | dict, registry: Mapping[str, Entry], where: str, field: str) -> dict[str, Any]:
    """`name` or `{name: …, options…}` with all options checked and filled in."""
    given = {"name": value} if isinstance(value, str) else dict(value)
    name = given.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise InputError(where, field, name, f"unknown {field.split('.')[-1]}", _suggestion(name, registry))
    options = validated(registry[name].options, given, where, f"{field}.")
    return {"name": name, **options.model_dump()}


def _resolve(label: str, technique: TechniqueFields, checked: ExperimentFields, where: str) -> dict[str, Any]:
    field = f"techniques.{label}"
    _checked_name(label, where, "techniques")
    given = technique.data or (checked.data if "data" in checked.model_fields_set else None)
    source = own.source_of(technique, checked, where, field)
    if source:
        settings = own.settings_of(source, technique, checked, where, field)
        settings |= {"data": _data(given, technique, where, field)} if given else {}
        return {"label": label, "settings": settings, "inference": None, "given": technique, "uses": None}
    if technique.method is None:
        remedy = "add 'method:', or 'notebook:' or 'callable:' for your own training"
        raise InputError(where, f"{field}.method", None, "field is missing", remedy)
    settings = {
        "method": _named(technique.method, METHODS, where, f"{field}.method"),
        "data": _data(given or checked.data, technique, where, field),
        "network": _named(
            technique.network or checked.network,
            NETWORKS,
            where,
            f"{field}.network" if technique.network else "network",
        ),
        "training": validated(
            Training, {**checked.training, **(technique.training or {})}, where, "training."
        ).model_dump(),
    }
    inference = _inference(technique.inference, settings, where, f"{field}.inference")
    check_images(settings, where, field, "network" if technique.network is None else f"{field}.network")
    in_features = settings["data"].get("protected_as_features")
    uses = "prediction" if in_features else METHODS[settings["method"]["name"]].rules[inference]
    return {"label": label, "settings": settings, "inference": inference, "given": technique, "uses": uses}


def _data(given: str | dict[str, Any], technique: TechniqueFields, where: str, field: str) -> dict[str, Any]:
    return _named(given, DATASETS, where, f"{field}.data" if technique.data else "data")


def _inference(given: str | None, settings: Mapping[str, Any], where: str, field: str) -> str:
    """The inference rule, checked against method and data, before anything is trained."""
    method, data, fitting = settings["method"]["name"], settings["data"]["name"], _first_rule(settings)
    rule = given or fitting
    if rule not in METHODS[method].rules:
        remedy = _suggestion(rule, METHODS[method].rules)
        raise InputError(where, field, rule, f"unknown inference rule of method {method}", remedy)
    if DATASETS[data].multilabel != (rule == LABEL_RULE):
        remedy = "choose another method" if fitting == rule else f"use {fitting}"
        raise InputError(where, field, rule, f"not a rule for the data set {data}", remedy)
    return rule


def _first_rule(settings: Mapping[str, Any]) -> str:
    """The rule that is meant where none is given: the method's first, for sets of labels its rule for those."""
    rules = METHODS[settings["method"]["name"]].rules
    labels = DATASETS[settings["data"]["name"]].multilabel and LABEL_RULE in rules
    return LABEL_RULE if labels else next(iter(rules))


def _trainings(resolved: list[dict[str, Any]]) -> tuple[TrainingSpec, ...]:
    """Techniques with equal settings share one training, named after its method (further ones after a technique)."""
    specs: dict[str, TrainingSpec] = {}
    names: set[str] = set()
    for r in resolved:
        spec = specs.get(digest_json(r["settings"]))
        if spec is None:
            name = source_of(r["settings"]).name
            spec = TrainingSpec(f"{name}.{r['label']}" if name in names else name, r["settings"], {})
            specs[digest_json(r["settings"])] = spec
            names.add(name)
        spec.techniques[r["label"]] = r["inference"] or own.UNKNOWN
    return tuple(specs.values())


def _technique(
    r: dict[str, Any], trainings: tuple[TrainingSpec, ...], checked: ExperimentFields, where: str
) -> Technique:
    label, given = r["label"], r["given"]
    baseline = given.baseline or checked.baseline
    if baseline is not None and baseline not in checked.techniques:
        field = f"techniques.{label}.baseline" if given.baseline else "baseline"
        remedy = _suggestion(baseline, checked.techniques)
        raise InputError(where, field, baseline, "not among the techniques", remedy)
    training = next(t for t in trainings if label in t.techniques)
    uses = given.uses_protected or r["uses"] or own.UNKNOWN
    return Technique(label, training.name, training.techniques[label], None if baseline == label else baseline, uses)


def _check_baselines(techniques: tuple[Technique, ...], where: str) -> None:
    if len(techniques) > 1 and all(t.baseline is None for t in techniques):
        names = ", ".join(t.name for t in techniques)
        raise InputError(where, "baseline", None, "no baseline among several techniques", f"choose one of {names}")
    folded = [t.name.casefold() for t in techniques]
    if len(set(folded)) < len(folded):
        twice = next(t.name for t in techniques if folded.count(t.name.casefold()) > 1)
        raise InputError(where, "techniques", twice, "two names differ in case only", "rename one")


def _arms(checked: ExperimentFields, trainings: Sequence[TrainingSpec], where: str) -> tuple[Arm, ...]:
    if checked.arms is not None and "noise" in checked.model_fields_set:
        raise InputError(where, "noise", checked.noise, "beside arms", "list it under arms, or leave arms out")
    given = checked.arms if checked.arms is not None else [checked.noise]
    fields = [f"arms.{i}" for i in range(len(given))] if checked.arms is not None else ["noise"]
    noises = [_noise(value, checked, trainings, where, field) for value, field in zip(given, fields, strict=True)]
    twice = repeated(checked.seeds)
    if twice is not None:
        raise InputError(where, "seeds", checked.seeds, f"seed {twice} is given twice", "give every seed once")
    twice = repeated([arm_name(noise, 0) for noise in noises])
    if twice is not None:
        raise InputError(where, "arms", twice, "an arm is given twice", "give every noise with its options once")
    return arms_of(noises, checked.seeds, checked.runs, checked.control_runs)


def _noise(
    given: str | dict[str, Any], checked: ExperimentFields, trainings: Sequence[TrainingSpec], where: str, field: str
) -> dict[str, Any]:
    """A noise with its options, checked against the networks and against trainings that are not fitlib's."""
    if given == "auto" or given == {"name": "auto"}:
        given = _automatic_noise(checked.device, {spec.source.automatic_noise for spec in trainings}, where)
    noise = _named(given, NOISES, where, field if field == "noise" else f"{field}.noise")
    if "reduction-order" in (noise["name"], noise.get("implementation")):
        _refuse_dropout(checked, where)
    own_ones = [spec.name for spec in trainings if "method" not in spec.settings]
    if NOISE_KINDS[noise["name"]] == "comparison" and own_ones:
        problem = f"fitlib cannot seed training {own_ones[0]}, which is your own"
        raise InputError(where, field, noise["name"], problem, "compare seeds with seeds: [0, 1, 2, …]")
    return noise


def _automatic_noise(device: str, on_cpu: set[str], where: str) -> str:
    """What noise `auto` means: `native` on cuda, else what the trainings have in common."""
    if device == "cuda":
        return "native"
    if len(on_cpu) > 1:
        problem = "on the CPU it is ulp for fitlib's trainings and native for your own"
        raise InputError(where, "noise", "auto", problem, "say which, for example noise: ulp")
    return next(iter(on_cpu))


def _refuse_dropout(checked: ExperimentFields, where: str) -> None:
    networks = [checked.network, *(t.network for t in checked.techniques.values() if t.network)]
    dropout = [n["dropout"] for n in networks if isinstance(n, dict) and n.get("dropout")]
    if dropout:
        problem = "reduction-order would move dropout masks to other samples"
        raise InputError(where, "network.dropout", dropout[0], problem, "set it to 0 or use noise ulp")


def _check_analysis(analysis: Analysis, experiment: Experiment, where: str) -> None:
    unknown = [m for m in analysis.family or [] if m not in BIAS_METRICS]
    if unknown or analysis.family == []:
        value = unknown[0] if unknown else []
        raise InputError(where, "analysis.family", value, "unknown bias metric", f"known: {', '.join(BIAS_METRICS)}")
    _check_looks(analysis.looks, experiment.declared["runs"], where)
    for family in experiment.families:
        _check_comparable(family, experiment.techniques, where)
        if family.known:
            check_names(analysis, family, where)


def check_names(analysis: Analysis, family: Family, where: str) -> None:
    """InputError where the analysis names a class or a protected attribute that a family does not have."""
    _check_cross(analysis.cross, list(family.groups), where)
    class_number(analysis.favourable, family.classes, where)


def _check_comparable(family: Family, techniques: Sequence[Technique], where: str) -> None:
    for technique in techniques:
        if technique.baseline and technique.name in family.techniques and technique.baseline not in family.techniques:
            field, problem = f"techniques.{technique.name}.baseline", "its data have other classes or groups"
            raise InputError(where, field, technique.baseline, problem, "name a baseline on the same data set")


def _check_looks(looks: list[int] | None, runs: int, where: str) -> None:
    if looks is None:
        return
    if not looks or looks[0] < 2 or any(b <= a for a, b in itertools.pairwise(looks)):
        problem, remedy = "looks are not ascending numbers of runs from 2 on", "for example [5, 8, 12, 16]"
        raise InputError(where, "analysis.looks", looks, problem, remedy)
    if looks[-1] > runs:
        remedy = f"use at most {runs}, raise runs, or declare no looks"
        raise InputError(where, "analysis.looks", looks[-1], f"a look beyond the {runs} runs", remedy)


def _check_cross(cross: list[list[str]] | None, attributes: list[str], where: str) -> None:
    for crossed in cross or []:
        unknown = [name for name in crossed if name not in attributes]
        if unknown:
            problem = "unknown protected attribute of the data set"
            raise InputError(where, "analysis.cross", unknown[0], problem, _suggestion(unknown[0], attributes))
        if len(crossed) < 2 or repeated(crossed) is not None:
            problem = "not two or more different protected attributes"
            raise InputError(where, "analysis.cross", crossed, problem, "for example [[sex, race]]")
    twice = repeated([sorted(crossed) for crossed in cross or []])
    if twice is not None:
        raise InputError(where, "analysis.cross", twice, "crossed twice", "give every crossing once")


def _declared(
    checked: ExperimentFields, resolved: list[dict[str, Any]], techniques: tuple[Technique, ...], arms: tuple[Arm, ...]
) -> dict[str, Any]:
    """The plan as plain values: itself a valid experiment file, with every default written out."""
    rows = {
        t.name: {
            **r["settings"],
            "inference": r["inference"],
            "baseline": t.baseline or t.name,
            "uses_protected": r["given"].uses_protected or r["uses"],
        }
        for r, t in zip(resolved, techniques, strict=True)
    }
    return {
        **checked.model_dump(include={"device", "threads", "runs", "seeds", "noise_seed", "control_runs", "analysis"}),
        "techniques": rows,
        **_declared_noise(checked, arms),
    }


def _declared_noise(checked: ExperimentFields, arms: tuple[Arm, ...]) -> dict[str, Any]:
    """`noise`, or `arms` where the file lists them; every noise with its options."""
    if checked.arms is None:
        return {"noise": arms[0].noise}
    noises = [arm.noise for arm in arms if arm.seed == arms[0].seed and arm.role != "control"]
    given = [noise if isinstance(noise, str) else noise.get("name") for noise in checked.arms]
    return {"arms": [*noises, *([{"name": "none"}] if "none" in given[1:] else [])]}
