"""Arms: the conditions under which every training of an experiment is repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitlib.experiment.registry.noises import kind_of


@dataclass(frozen=True)
class Arm:
    """The conditions under which every training is repeated."""

    name: str
    noise: dict[str, Any]
    role: str  # main | cause | control
    seed: int
    runs: int

    @property
    def kind(self) -> str:
        """The kind of the noise: control, real, emulated, comparison or varied."""
        return kind_of(self.noise["name"])


def arms_of(noises: Sequence[dict[str, Any]], seeds: Sequence[int], runs: int, control_runs: int) -> tuple[Arm, ...]:
    """Return the arms of an experiment, the main ones first.

    The first noise makes a main arm at each seed, where techniques are compared. Every further noise makes an arm of
    role `cause` at the first seed, where spreads are compared. `none` as a further noise is the control arm, with as
    many runs as the others; otherwise the control arm has `control_runs` runs, and there is none where the first noise
    is `none` itself.

    >>> [(arm.name, arm.role, arm.runs) for arm in arms_of([{"name": "ulp"}], seeds=[0, 3], runs=16, control_runs=2)]
    [('ulp', 'main', 16), ('seed3.ulp', 'main', 16), ('none', 'control', 2)]
    """
    first, *others = noises
    main = tuple(Arm(arm_name(first, seed), first, "main", seed, runs) for seed in seeds)
    causes = tuple(Arm(arm_name(n, seeds[0]), n, "cause", seeds[0], runs) for n in others if n["name"] != "none")
    # The seed changes what is trained, not which operators run: the first seed's control arm stands for all.
    none = {"name": "none"}
    if none in others:
        control_runs = max(runs, control_runs)
    control = Arm(arm_name(none, seeds[0]), none, "control", seeds[0], control_runs)
    return (*main, *causes, control) if control.runs and main[0].name != control.name else (*main, *causes)


def arm_name(noise: Mapping[str, Any], seed: int) -> str:
    """Return the name of the arm with this noise at this seed.

    >>> arm_name({"name": "ulp"}, 0), arm_name({"name": "ulp", "step": 100, "units": 16}, 3)
    ('ulp', 'seed3.ulp-k100-x16')
    >>> arm_name({"name": "seed", "implementation": "ulp"}, 0)
    'seed-ulp'
    """
    name = noise["name"]
    if noise.get("implementation", "none") != "none":
        name += f"-{noise['implementation']}"
    for option, letter, usual in (("step", "k", 0), ("units", "x", 1), ("most", "t", 2)):
        if noise.get(option, usual) != usual:
            name += f"-{letter}{noise[option]}"
    name += "-os" if noise.get("entropy") == "os" else ""
    return f"seed{seed}.{name}" if seed else name


def first_repeated(values: Sequence[object]) -> object | None:
    """Return the first value that equals an earlier one; None if all are distinct.

    >>> first_repeated([0, 3, 5, 3])
    3
    """
    return next((value for i, value in enumerate(values) if value in values[:i]), None)
