"""The registry of noises and their options."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fitlib.experiment.registry.entries import Entry
from fitlib.options import Options

Implementation = Literal["none", "native", "ulp", "reduction-order", "threads", "primitives"]


class EmulatedOptions(Options):
    """Options of every emulated noise."""

    entropy: Literal["run", "os"] = "run"  # drawn from run index and noise_seed, or by the operating system


class UlpOptions(EmulatedOptions):
    """Options of the noise `ulp`."""

    step: int = Field(0, ge=0)  # the weight is moved before this step (batch) of the training
    units: int = Field(1, ge=1, le=4096)  # by so many units in the last place


class ThreadsOptions(EmulatedOptions):
    """Options of the noise `threads`."""

    most: int = Field(2, ge=2)  # threads of a step: 1 to so many


class SeedOptions(Options):
    """Options of the noises of kind comparison."""

    implementation: Implementation = "none"  # an implementation noise that acts as well, with its default options


NOISES = {
    "none": Entry("fitlib.training.noise:NoNoise", "control: deterministic algorithms; runs must be bit-identical"),
    "native": Entry("fitlib.training.noise:Native", "real: whatever hardware and software do by themselves"),
    "ulp": Entry("fitlib.training.noise:Ulp", "emulated: one weight moved by one unit in the last place", UlpOptions),
    "reduction-order": Entry(
        "fitlib.training.noise:ReductionOrder",
        "emulated: the order of samples in each finished mini-batch",
        EmulatedOptions,
    ),
    "threads": Entry(
        "fitlib.training.noise:Threads", "emulated: the number of threads, drawn at every step", ThreadsOptions
    ),
    "primitives": Entry(
        "fitlib.training.noise:Primitives",
        "emulated: oneDNN on or off and the memory format of images, drawn at every step",
        EmulatedOptions,
    ),
    "seed": Entry(
        "fitlib.training.noise:Seeds", "comparison: every run has a seed of its own; no FIT runs", SeedOptions
    ),
    "seed-init": Entry(
        "fitlib.training.noise:SeedInit", "comparison: a seed of its own for the initial weights only", SeedOptions
    ),
    "seed-order": Entry(
        "fitlib.training.noise:SeedOrder", "comparison: a seed of its own for the order of the data only", SeedOptions
    ),
    "seed-augmentation": Entry(
        "fitlib.training.noise:SeedAugmentation", "comparison: a seed of its own for the augmentation only", SeedOptions
    ),
}
# What a custom training varies by itself, from the index of the run; its control runs all get index 0.
VARIATIONS = {
    "run": Entry("", "varied: whatever the training makes of the index of the run"),
    "random_state": Entry("", "varied: the random state of each run"),
    "order": Entry("", "varied: the order of the training rows"),
    "split": Entry("", "varied: which 80 % of the training rows are used"),
    "bootstrap": Entry("", "varied: the training rows, drawn with replacement"),
}
NOISE_KINDS = {
    "none": "control",
    "native": "real",
    **dict.fromkeys(("ulp", "reduction-order", "threads", "primitives"), "emulated"),
    **dict.fromkeys(("seed", "seed-init", "seed-order", "seed-augmentation"), "comparison"),
}
VARIED = "varied"  # the kind of all `VARIATIONS`


def kind_of(noise: str) -> str:
    """Return the kind of a noise: control, real, emulated, comparison, or varied.

    >>> kind_of("ulp"), kind_of("random_state")
    ('emulated', 'varied')
    """
    return VARIED if noise in VARIATIONS else NOISE_KINDS[noise]
