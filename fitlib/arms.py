"""Arms: the conditions under which every training of an experiment is repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitlib.registry import NOISE_KINDS


@dataclass(frozen=True)
class Arm:
    """The conditions under which every training is repeated."""

    name: str
    noise: dict[str, Any]
    role: str  # main | control
    seed: int
    runs: int

    @property
    def kind(self) -> str:
        """What the noise is: control, real, emulated."""
        return NOISE_KINDS[self.noise["name"]]


def arms_of(noise: dict[str, Any], seeds: Sequence[int], runs: int, control_runs: int) -> tuple[Arm, ...]:
    """A main arm for each seed, and the control arm where it has runs and is not a main arm already."""
    main = tuple(Arm(arm_name(noise, seed), noise, "main", seed, runs) for seed in seeds)
    # The seed changes what is trained, not which operators run: the first seed's control arm stands for all.
    none = {"name": "none"}
    control = Arm(arm_name(none, seeds[0]), none, "control", seeds[0], control_runs)
    return (*main, control) if control.runs and main[0].name != control.name else main


def arm_name(noise: Mapping[str, Any], seed: int) -> str:
    """`ulp`, `ulp-k100` (from step 100 on), `seed3.ulp`."""
    name = noise["name"]
    if noise.get("step"):
        name += f"-k{noise['step']}"
    return f"seed{seed}.{name}" if seed else name


def repeated(values: Sequence[object]) -> object | None:
    """The first value that an earlier one equals; None if all are distinct."""
    return next((value for i, value in enumerate(values) if value in values[:i]), None)
