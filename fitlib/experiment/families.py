"""Families: the techniques of an experiment that share classes and groups and are therefore analysed together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitlib.digest import digest_json
from fitlib.errors import InputError, one_of
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.options import options_of

if TYPE_CHECKING:
    from fitlib.experiment.trainings import TrainingSpec


@dataclass(frozen=True)
class Family:
    """Techniques with the same classes and groups, named after the first of them."""

    name: str
    trainings: tuple[TrainingSpec, ...]
    classes: tuple[str, ...]
    groups: dict[str, list[str]]  # protected attribute -> names of its groups

    @property
    def techniques(self) -> frozenset[str]:
        """The names of the techniques."""
        return frozenset(name for spec in self.trainings for name in spec.techniques)

    @property
    def has_names(self) -> bool:
        """Whether the classes and groups have names yet; those of custom trainings may come with their first runs."""
        return bool(self.classes)


def families(trainings: Iterable[TrainingSpec]) -> tuple[Family, ...]:
    """Return the families of an experiment's trainings, in the order of their first members.

    Custom trainings whose classes and groups get their names only from their runs join the one family that has names;
    where there are several such families, or none, they form a family of their own.
    """
    described: dict[str, dict] = {}  # data settings -> classes and groups of that data set
    members: dict[str, list[TrainingSpec]] = {}
    found = {spec.name: _names_of(spec, described) for spec in trainings}
    # Keys in order of first appearance; trainings without names yet are placed once all others are known.
    keys = dict.fromkeys(digest_json(names) for names in found.values() if names["classes"])
    for spec in trainings:
        names = found[spec.name]
        key = next(iter(keys)) if len(keys) == 1 else digest_json(names)
        members.setdefault(key, []).append(spec)
    descriptions = {digest_json(names): names for names in found.values()}
    return tuple(_family(specs, descriptions[key]) for key, specs in members.items())


def _names_of(spec: TrainingSpec, described: dict[str, dict]) -> dict[str, Any]:
    """Return the names of classes and groups, from the experiment file or the data set; empty until runs save them."""
    source = spec.source
    if source.declared or not source.data:
        return source.declared or {"classes": [], "groups": {}}
    data = digest_json(source.data)
    described[data] = described.get(data) or describe(source.data)
    return {name: described[data][name] for name in ("classes", "groups")}


def class_number(favourable: int | str | None, classes: Sequence[str], where: str) -> int | None:
    """Return the number of the favourable class, declared by number or name; InputError where there is no such class.

    >>> class_number("granted", ["refused", "granted"], "credit.yaml")
    1
    """
    field = "analysis.favourable"
    if isinstance(favourable, str):
        return classes.index(one_of(where, field, favourable, classes))
    if favourable is not None and favourable >= len(classes):
        remedy = f"use its name, or a class number from 0 to {len(classes) - 1}"
        raise InputError(where, field, favourable, "class outside the range", remedy)
    return favourable


def data_notes(family: Family) -> list[str]:
    """Return the remarks of a family's data sets (rows left out, values mapped), each sentence once."""
    remarks = [describe(spec.source.data).get("notes", []) for spec in family.trainings if spec.source.data]
    return list(dict.fromkeys(note for notes in remarks for note in notes))


def describe(data: dict[str, Any]) -> dict[str, Any]:
    """Return class names, and group names by protected attribute, of the data set `{name: …, options…}`."""
    return DATASETS[data["name"]].describe(options_of(data))


def _family(specs: list[TrainingSpec], description: dict[str, Any]) -> Family:
    groups = {attribute: list(names) for attribute, names in description["groups"].items()}
    return Family(next(iter(specs[0].techniques)), tuple(specs), tuple(description["classes"]), groups)
