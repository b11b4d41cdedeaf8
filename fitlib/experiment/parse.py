"""Experiment files: reading and checking them, and the experiment that they describe.

One YAML file in `params/` becomes an `Experiment`: trainings, arms and techniques with everything resolved, so that
equal experiments are equal values. Nothing slow is imported here, in particular not torch.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fitlib.digest import digest_json
from fitlib.errors import InputError
from fitlib.experiment import custom_fields
from fitlib.experiment.arms import Arm, arm_name, arms_of, first_repeated
from fitlib.experiment.families import Family, class_number
from fitlib.experiment.model import Experiment, Technique
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.registry.entries import Entry
from fitlib.experiment.registry.image_checks import check_images
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.experiment.registry.noises import NOISES, VARIATIONS, VARIED, kind_of
from fitlib.experiment.schema import Analysis, ExperimentFields, TechniqueFields, suggestion, validated
from fitlib.experiment.training_options import Training
from fitlib.experiment.trainings import TrainingSpec, source_of
from fitlib.metrics import metric_sources
from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.yaml_files import parse_yaml, read_yaml

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LABEL_RULE = "threshold"  # predicts a set of labels; every other rule predicts one class
NAME_REMEDY = "use letters, digits, '.', '_' and '-' only, starting with a letter or digit"


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
    metric_sources.load(experiment.declared["analysis"].get("metrics"), str(path))
    for spec in experiment.trainings:
        spec.source.check(
            str(path), custom_fields.needed_parameters(experiment.arms, experiment.declared["noise_seed"])
        )
    return experiment


def make_experiment(fields: object, where: str, default_name: str) -> Experiment:
    """Return the experiment that plain values describe; `where` names their origin in errors."""
    checked = validated(ExperimentFields, _mapping(fields, where), where, "")
    name = _checked_name(checked.name or default_name, where, "name")
    resolved = [_resolve(label, t, checked, where) for label, t in checked.techniques.items()]
    custom_fields.refuse_unused(checked, {r["label"]: r["uses"] is None for r in resolved}, where)
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
        fields[step] = dict(inner)  # a copy: aliases (*name) in the file share one mapping
        fields = fields[step]
    fields[last] = value


def _checked_name(name: str, where: str, field: str) -> str:
    if not NAME.fullmatch(name):
        raise InputError(where, field, name, "not a valid name", NAME_REMEDY)
    return name


def _resolve_entry(value: str | dict, registry: Mapping[str, Entry], where: str, field: str) -> dict[str, Any]:
    """Return `{name: …, options…}` of a name or such a mapping, with all options checked and filled in."""
    given = {"name": value} if isinstance(value, str) else dict(value)
    name = given.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise InputError(where, field, name, f"unknown {field.split('.')[-1]}", suggestion(name, registry))
    options = validated(registry[name].options, given, where, f"{field}.")
    return {"name": name, **options.model_dump()}


def _resolve(label: str, technique: TechniqueFields, checked: ExperimentFields, where: str) -> dict[str, Any]:
    field = f"techniques.{label}"
    _checked_name(label, where, "techniques")
    given = technique.data or (checked.data if "data" in checked.model_fields_set else None)
    source = custom_fields.source_of(technique, checked, where, field)
    if source:
        settings = custom_fields.settings_of(source, technique, checked, where, field)
        settings |= {"data": _data(given, technique, where, field)} if given else {}
        return {"label": label, "settings": settings, "inference": None, "given": technique, "uses": None}
    if technique.method is None:
        remedy = "add 'method:', or 'notebook:' or 'callable:' for a custom training"
        raise InputError(where, f"{field}.method", None, "field is missing", remedy)
    settings = {
        "method": _resolve_entry(technique.method, METHODS, where, f"{field}.method"),
        "data": _data(given or checked.data, technique, where, field),
        "network": _resolve_entry(
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
    return _resolve_entry(given, DATASETS, where, f"{field}.data" if technique.data else "data")


def _inference(given: str | None, settings: Mapping[str, Any], where: str, field: str) -> str:
    """Return the inference rule, checked against method and data before anything is trained."""
    method, data, fitting = settings["method"]["name"], settings["data"]["name"], _first_rule(settings)
    rule = given or fitting
    if rule not in METHODS[method].rules:
        remedy = suggestion(rule, METHODS[method].rules)
        raise InputError(where, field, rule, f"unknown inference rule of method {method}", remedy)
    if DATASETS[data].multilabel != (rule == LABEL_RULE):
        remedy = "choose another method" if fitting == rule else f"use {fitting}"
        raise InputError(where, field, rule, f"not a rule for the data set {data}", remedy)
    return rule


def _first_rule(settings: Mapping[str, Any]) -> str:
    """Return the default rule: the method's first one, or for sets of labels its rule for those."""
    rules = METHODS[settings["method"]["name"]].rules
    labels = DATASETS[settings["data"]["name"]].multilabel and LABEL_RULE in rules
    return LABEL_RULE if labels else next(iter(rules))


def _trainings(resolved: list[dict[str, Any]]) -> tuple[TrainingSpec, ...]:
    """Return the trainings: techniques with equal settings share one, named after its method.

    Further trainings of the same method have the name of their first technique appended.
    """
    specs: dict[str, TrainingSpec] = {}
    names: set[str] = set()
    for r in resolved:
        spec = specs.get(digest_json(r["settings"]))
        if spec is None:
            name = source_of(r["settings"]).name
            spec = TrainingSpec(f"{name}.{r['label']}" if name in names else name, r["settings"], {})
            specs[digest_json(r["settings"])] = spec
            names.add(name)
        spec.techniques[r["label"]] = r["inference"] or custom_fields.UNKNOWN
    return tuple(specs.values())


def _technique(
    r: dict[str, Any], trainings: tuple[TrainingSpec, ...], checked: ExperimentFields, where: str
) -> Technique:
    label, given = r["label"], r["given"]
    baseline = given.baseline or checked.baseline
    if baseline is not None and baseline not in checked.techniques:
        field = f"techniques.{label}.baseline" if given.baseline else "baseline"
        remedy = suggestion(baseline, checked.techniques)
        raise InputError(where, field, baseline, "not among the techniques", remedy)
    training = next(t for t in trainings if label in t.techniques)
    uses = given.uses_protected or r["uses"] or custom_fields.UNKNOWN
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
    twice = first_repeated(checked.seeds)
    if twice is not None:
        raise InputError(where, "seeds", checked.seeds, f"seed {twice} is given twice", "give every seed once")
    twice = first_repeated([arm_name(noise, 0) for noise in noises])
    if twice is not None:
        raise InputError(where, "arms", twice, "an arm is given twice", "give every noise with its options once")
    return arms_of(noises, checked.seeds, checked.runs, checked.control_runs)


def _noise(
    given: str | dict[str, Any], checked: ExperimentFields, trainings: Sequence[TrainingSpec], where: str, field: str
) -> dict[str, Any]:
    """Return a noise with its options, checked against the networks and against custom trainings."""
    if given == "auto" or given == {"name": "auto"}:
        given = _automatic_noise(checked.device, {spec.source.automatic_noise for spec in trainings}, where)
    custom = [spec.name for spec in trainings if "method" not in spec.settings]
    name = given if isinstance(given, str) else given.get("name")
    known = NOISES | VARIATIONS if len(custom) == len(trainings) or name in tuple(VARIATIONS) else NOISES
    noise = _resolve_entry(given, known, where, field if field == "noise" else f"{field}.noise")
    kind = kind_of(noise["name"])
    if "reduction-order" in (noise["name"], noise.get("implementation")):
        _refuse_dropout(checked, where)
    if kind == VARIED and len(custom) < len(trainings):
        problem, remedy = "fitlib trains techniques of this file, and only custom trainings vary it", "use noise: ulp"
        raise InputError(where, field, noise["name"], problem, remedy)
    if kind == "comparison" and custom:
        problem = f"fitlib cannot seed training {custom[0]}, which is custom"
        raise InputError(where, field, noise["name"], problem, "compare seeds with seeds: [0, 1, 2, …]")
    return noise


def _automatic_noise(device: str, on_cpu: set[str], where: str) -> str:
    """Return what noise `auto` means: `native` on cuda, else what the trainings have in common."""
    if device == "cuda":
        return "native"
    if len(on_cpu) > 1:
        problem = "on the CPU it is ulp for fitlib's trainings and native for custom ones"
        raise InputError(where, "noise", "auto", problem, "choose one, for example noise: ulp")
    return next(iter(on_cpu))


def _refuse_dropout(checked: ExperimentFields, where: str) -> None:
    networks = [checked.network, *(t.network for t in checked.techniques.values() if t.network)]
    dropout = [n["dropout"] for n in networks if isinstance(n, dict) and n.get("dropout")]
    if dropout:
        problem = "reduction-order would move dropout masks to other samples"
        raise InputError(where, "network.dropout", dropout[0], problem, "set it to 0 or use noise ulp")


def _check_analysis(analysis: Analysis, experiment: Experiment, where: str) -> None:
    known = bias_metrics_of(experiment.declared["analysis"])
    unknown = [m for m in analysis.family or [] if m not in known]
    if unknown or analysis.family == []:
        value = unknown[0] if unknown else []
        raise InputError(where, "analysis.family", value, "unknown bias metric", f"known: {', '.join(known)}")
    _check_looks(analysis.looks, experiment.declared["runs"], where)
    for family in experiment.families:
        _check_comparable(family, experiment.techniques, where)
        if family.has_names:
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
            raise InputError(where, "analysis.cross", unknown[0], problem, suggestion(unknown[0], attributes))
        if len(crossed) < 2 or first_repeated(crossed) is not None:
            problem = "not two or more different protected attributes"
            raise InputError(where, "analysis.cross", crossed, problem, "for example [[sex, race]]")
    twice = first_repeated([sorted(crossed) for crossed in cross or []])
    if twice is not None:
        raise InputError(where, "analysis.cross", twice, "crossed twice", "give every crossing once")


def _declared(
    checked: ExperimentFields, resolved: list[dict[str, Any]], techniques: tuple[Technique, ...], arms: tuple[Arm, ...]
) -> dict[str, Any]:
    """Return the plan as plain values: itself a valid experiment file, with every default written out."""
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
    """Return `noise`, or `arms` where the file lists them, every noise with its options."""
    if checked.arms is None:
        return {"noise": arms[0].noise}
    noises = [arm.noise for arm in arms if arm.seed == arms[0].seed and arm.role != "control"]
    given = [noise if isinstance(noise, str) else noise.get("name") for noise in checked.arms]
    return {"arms": [*noises, *([{"name": "none"}] if "none" in given[1:] else [])]}
