"""Families: the techniques of an experiment that share classes and groups, and are therefore analysed together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitlib.digest import digest_json
from fitlib.options import options_of
from fitlib.registry import DATASETS

if TYPE_CHECKING:
    from fitlib.experiment import TrainingSpec


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


def families(trainings: Iterable[TrainingSpec]) -> tuple[Family, ...]:
    """The families of an experiment's trainings, in the order of their first members."""
    told: dict[str, dict] = {}  # data settings -> what they hold
    members: dict[str, list[TrainingSpec]] = {}
    for spec in trainings:
        data = digest_json(spec.settings["data"])
        told[data] = told.get(data) or describe(spec.settings["data"])
        members.setdefault(digest_json(told[data]), []).append(spec)
    return tuple(_family(specs, told[digest_json(specs[0].settings["data"])]) for specs in members.values())


def describe(data: dict[str, Any]) -> dict[str, Any]:
    """Class names, and group names by protected attribute, of the data set `{name: …, options…}`."""
    return DATASETS[data["name"]].sibling("describe")(**options_of(data))


def _family(specs: list[TrainingSpec], description: dict[str, Any]) -> Family:
    groups = {attribute: list(names) for attribute, names in description["groups"].items()}
    return Family(next(iter(specs[0].techniques)), tuple(specs), tuple(description["classes"]), groups)
