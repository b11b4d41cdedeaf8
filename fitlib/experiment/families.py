"""Families: the techniques of an experiment that share classes and groups, and are therefore analysed together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitlib.digest import digest_json
from fitlib.errors import InputError, known
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
        """Names of the techniques."""
        return frozenset(name for spec in self.trainings for name in spec.techniques)

    @property
    def known(self) -> bool:
        """Whether classes and groups have names already; of own trainings they may come with the first runs."""
        return bool(self.classes)


def families(trainings: Iterable[TrainingSpec]) -> tuple[Family, ...]:
    """The families of an experiment's trainings, in the order of their first members.

    Own trainings whose names only their runs will tell join the one family that is known; of several families, or of
    none, they are one family of their own.
    """
    told: dict[str, dict] = {}  # data settings -> what they hold
    members: dict[str, list[TrainingSpec]] = {}
    found = {spec.name: _names_of(spec, told) for spec in trainings}
    keys = dict.fromkeys(digest_json(names) for names in found.values() if names["classes"])
    for spec in trainings:
        names = found[spec.name]
        key = next(iter(keys)) if len(keys) == 1 else digest_json(names)
        members.setdefault(key, []).append(spec)
    known = {digest_json(names): names for names in found.values()}
    return tuple(_family(specs, known[key]) for key, specs in members.items())


def _names_of(spec: TrainingSpec, told: dict[str, dict]) -> dict[str, Any]:
    """Names of classes and groups, from the experiment file or the data set; none where only the runs will tell."""
    source = spec.source
    if source.declared or not source.data:
        return source.declared or {"classes": [], "groups": {}}
    data = digest_json(source.data)
    told[data] = told.get(data) or describe(source.data)
    return {name: told[data][name] for name in ("classes", "groups")}


def class_number(favourable: int | str | None, classes: Sequence[str], where: str) -> int | None:
    """The favourable class, declared by its number or its name, as a number; InputError where there is none such."""
    field = "analysis.favourable"
    if isinstance(favourable, str):
        return classes.index(known(where, field, favourable, classes))
    if favourable is not None and favourable >= len(classes):
        remedy = f"use its name, or a class number from 0 to {len(classes) - 1}"
        raise InputError(where, field, favourable, "class outside the range", remedy)
    return favourable


def notes_on(family: Family) -> list[str]:
    """What the data sets of a family tell about themselves (rows left out, values mapped), each sentence once."""
    told = [describe(spec.source.data).get("notes", []) for spec in family.trainings if spec.source.data]
    return list(dict.fromkeys(note for notes in told for note in notes))


def describe(data: dict[str, Any]) -> dict[str, Any]:
    """Class names, and group names by protected attribute, of the data set `{name: …, options…}`."""
    return DATASETS[data["name"]].describe(options_of(data))


def _family(specs: list[TrainingSpec], description: dict[str, Any]) -> Family:
    groups = {attribute: list(names) for attribute, names in description["groups"].items()}
    return Family(next(iter(specs[0].techniques)), tuple(specs), tuple(description["classes"]), groups)
