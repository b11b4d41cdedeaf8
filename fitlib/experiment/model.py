"""A checked experiment as a value: its techniques, trainings and arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fitlib.digest import digest_json
from fitlib.experiment.arms import Arm
from fitlib.experiment.families import Family, families
from fitlib.experiment.schema import Analysis
from fitlib.experiment.trainings import TrainingSpec


@dataclass(frozen=True)
class Technique:
    """A row of the results: one training with one inference rule."""

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
        """The declared options of the analysis."""
        return Analysis(**self.declared["analysis"])

    @cached_property
    def declared_hash(self) -> str:
        """Hex SHA-256 of the declared plan."""
        return plan_hash(self.declared)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The techniques grouped by classes and groups, which the data sets are asked for."""
        return families(self.trainings)


def plan_hash(declared: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of a declared plan's plain values; the order of the techniques is part of it."""
    return digest_json({**declared, "techniques": list(declared["techniques"].items())})
