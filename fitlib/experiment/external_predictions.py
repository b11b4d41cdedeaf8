"""The plan of predictions made elsewhere, in files or in memory: techniques, classes, groups, analysis, limits.

Whatever is checked here names the argument as the caller's user knows it: `--baseline` of the command, `baseline` of
the function.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from fitlib.datasets.tabular.label_encoding import key_of, suggestion
from fitlib.digest import digest_json
from fitlib.errors import InputError
from fitlib.experiment.registry.noises import kind_of
from fitlib.experiment.schema import Analysis
from fitlib.storage.predictions import with_crossed

ARM = "runs"
RANDOM_STATE = "random_state"  # what varies where every run has a seed of its own


def external_plan(
    found: Mapping[str, Any],
    order: Sequence[str],
    analysis: Analysis,
    digests: Mapping[str, Sequence[str]],
    seeds: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Return the plan of an analysis of predictions made elsewhere, as plain values.

    found: classes and groups (names by number), numeric ({attribute: whether its groups are numbers}), rows
    ({technique: hash of the test rows}), notes. order: techniques, the baseline first. digests: hash of the decisions
    of every run, by technique. seeds: that of every run, by technique, where recorded. Where every run has one of its
    own, which no other has, they are runs of one arm, in which the seed is what varies.
    """
    own = seeded_by_run(seeds)
    arms = {name: runs_by_arm(len(digests[name]), None if own or seeds is None else seeds[name]) for name in order}
    by_arm = {name: {arm: [digests[name][i] for i in of.runs] for arm, of in arms[name].items()} for name in order}
    return {
        "techniques": [_technique(name, order[0]) for name in order],
        "arms": _planned_arms(arms.values(), RANDOM_STATE if own else ""),
        "data": {"name": "unknown"},
        **_description(found, analysis),
        "analysis": analysis.model_dump(),
        "declared_hash": digest_json(analysis.model_dump()),
        "declared_before_first_run": False,
        "deviations": [*_other_test_rows(found["rows"], order), *_copies(by_arm, order)],
        "notes": [*found["notes"], *_favourable_notes(analysis, found["classes"])],
        "source": "predictions made elsewhere",
        "digests": by_arm,
        **({"seeds": {name: list((seeds or {})[name]) for name in order}} if own else {}),
    }


class ArmRuns(NamedTuple):
    """The runs of a technique in one arm: their seed (None: not recorded) and their positions among all its runs."""

    seed: int | None
    runs: tuple[int, ...]


def seeded_by_run(seeds: Mapping[str, Sequence[int]] | None) -> bool:
    """Return whether every run has a seed of its own, that no other run has, and some technique has several runs.

    Techniques that share seeds are compared seed by seed instead.

    >>> seeded_by_run({"A": [0, 1, 2], "B": [5]}), seeded_by_run({"A": [0, 1], "B": [0, 1]}), seeded_by_run({"A": [0]})
    (True, False, False)
    """
    given = list((seeds or {}).values())
    every = [seed for of in given for seed in of]
    return len(set(every)) == len(every) and any(len(of) > 1 for of in given)


def runs_by_arm(n_runs: int, seeds: Sequence[int] | None = None) -> dict[str, ArmRuns]:
    """Return the arms of one technique's runs: one for each seed, in ascending order, or one where none is recorded.

    >>> runs_by_arm(3)
    {'runs': ArmRuns(seed=None, runs=(0, 1, 2))}
    >>> list(runs_by_arm(4, seeds=[7, 0, 7, 0]).items())
    [('seed0.runs', ArmRuns(seed=0, runs=(1, 3))), ('seed7.runs', ArmRuns(seed=7, runs=(0, 2)))]
    """
    if seeds is None:
        return {ARM: ArmRuns(None, tuple(range(n_runs)))}
    positions = {seed: tuple(i for i, of in enumerate(seeds) if of == seed) for seed in sorted(set(seeds))}
    return {f"seed{seed}.{ARM}": ArmRuns(seed, runs) for seed, runs in positions.items()}


def _planned_arms(techniques: Iterable[Mapping[str, ArmRuns]], varied: str) -> list[dict[str, Any]]:
    """Return all arms of the techniques by ascending seed, each with its largest number of runs.

    varied: what is known to vary between the runs of an arm, "" where nothing is.
    """
    seeds: dict[str, int | None] = {}
    sizes: dict[str, int] = {}
    for arms in techniques:
        for name, (seed, runs) in arms.items():
            seeds[name], sizes[name] = seed, max(sizes.get(name, 0), len(runs))
    noise = {"noise": varied or "unknown", "kind": kind_of(varied) if varied else "unknown"}
    return [
        {"arm": name, **noise, "role": "main", "seed": seeds[name], "options": {}, "runs": sizes[name]}
        for name in sorted(seeds, key=lambda name: seeds[name] or 0)
    ]


def baseline_first(techniques: Iterable[str], baseline: str) -> list[str]:
    """Return the techniques in their order, but the baseline first.

    >>> baseline_first(["A", "B", "C"], "B")
    ['B', 'A', 'C']
    """
    return [baseline, *(name for name in techniques if name != baseline)]


def choose_baseline(techniques: Sequence[str], baseline: str | None, where: str, argument: str) -> str:
    """Return the baseline, of one technique that technique itself; InputError unless it is among the techniques."""
    if baseline is None and len(techniques) == 1:
        return techniques[0]
    if baseline is None or baseline not in techniques:
        problem = "not among the techniques" if baseline else "no baseline among several techniques"
        raise InputError(where, argument, baseline, problem, f"choose one of {', '.join(techniques)}")
    return baseline


def with_favourable(
    analysis: Analysis, given: str | None, classes: Sequence[str], argument: str
) -> tuple[Analysis, list[str]]:
    """Return `analysis` with the number of the favourable class, given by name or number, and notes on it.

    Raises InputError for a class that does not exist.
    """
    if given is None:
        return analysis, []
    numbers = list(map(str, range(len(classes))))
    number = _class_number(given, classes)
    if number is None:
        remedy = suggestion(given, classes)
        if list(classes) == numbers:
            remedy = f"use a class number from 0 to {len(classes) - 1}"
        raise InputError("analyze", argument, given, "no such class", remedy)
    analysis = analysis.model_copy(update={"favourable": number})
    return analysis, _favourable_notes(analysis, classes)


def _favourable_notes(analysis: Analysis, classes: Sequence[str]) -> list[str]:
    """Return a note with the favourable class by name, if that differs from its number."""
    number = analysis.favourable
    if number is None or list(classes) == list(map(str, range(len(classes)))):
        return []
    return [f"Favourable class: {classes[int(number)]}."]


def _class_number(given: str, classes: Sequence[str]) -> int | None:
    """Find a class by its name, in any spelling of a number, or (if all classes are text) by its number."""
    keys = [key_of(name) for name in classes]
    if given in classes or key_of(given) in keys:
        return list(classes).index(given) if given in classes else keys.index(key_of(given))
    if all(isinstance(key, str) for key in keys) and given.isdecimal() and int(given) < len(classes):
        return int(given)
    return None


def check_cross(analysis: Analysis, attributes: Sequence[str], argument: str, example: str) -> None:
    """Raise InputError unless every crossing is of two or more protected attributes that exist."""
    for names in analysis.cross or []:
        unknown = [name for name in names if name not in attributes]
        if unknown:
            remedy = f"the predictions have {', '.join(attributes)}"
            raise InputError("analyze", argument, unknown[0], "unknown protected attribute", remedy)
        if len(names) < 2 or len(set(names)) < len(names):
            problem = "not two or more different protected attributes"
            raise InputError("analyze", argument, ",".join(names), problem, f"for example {example}")


def _description(found: Mapping, analysis: Analysis) -> dict:
    """Return the names of classes and groups, including the groups of crossed attributes."""
    groups = {
        attribute: [_group_name(attribute, name, found["numeric"][attribute], analysis) for name in names]
        for attribute, names in found["groups"].items()
    }
    return {"classes": found["classes"], "groups": with_crossed(groups, analysis.cross)}


def _group_name(attribute: str, name: str, numeric: bool, analysis: Analysis) -> str:
    """Return a group's name; numbers get their attribute where crossed groups would otherwise read "0 & 0"."""
    if not numeric and name not in ("False", "True"):
        return name
    return f"{attribute} {name}" if analysis.cross or not numeric else f"group {name}"


def _technique(name: str, baseline: str) -> dict:
    return {
        "technique": name,
        "training": name,
        "baseline": None if name == baseline else baseline,
        "method": "unknown",
        "inference": "unknown",
        "uses_protected": "unknown",
    }


def _other_test_rows(rows: Mapping[str, str], order: Sequence[str]) -> list[str]:
    """Return a sentence for each technique that was tested on other rows than the baseline."""
    return [
        f"{name} was tested on other rows than {order[0]}: the test set differs with the technique"
        for name in order[1:]
        if rows[name] != rows[order[0]]
    ]


def _copies(digests: Mapping[str, Mapping[str, Sequence[str]]], order: Sequence[str]) -> list[str]:
    """Return a sentence for each technique and arm with runs that decide every row alike."""
    all_counted = "intervals and tests count every one as a run"
    return [
        f"{name}{_at_seed(arm)}: only {len(set(hashes))} of {len(hashes)} runs differ in any decision (SHA-256), so "
        f"some are copies or runs that did not vary; {'they enter no test' if len(set(hashes)) == 1 else all_counted}"
        for name in order
        for arm, hashes in digests[name].items()
        if len(set(hashes)) < len(hashes)
    ]


def _at_seed(arm: str) -> str:
    return "" if arm == ARM else f" at seed {arm.removesuffix(f'.{ARM}').removeprefix('seed')}"
