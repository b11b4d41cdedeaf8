"""What there is: methods, data sets, networks, noises, each with its options; nothing heavy is imported.

One entry names the object that does the work (`module:attribute`, imported when it is needed) and a pydantic model
of its options, so that an experiment file is checked completely without importing torch. To add a technique's
method, a data set or a network: write its module and add one entry here.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field

from pydantic import Field

from fitlib.options import Options


class DigitsSOptions(Options):
    """Options of `digits-s`."""

    skew: float = Field(0.95, gt=0.5, lt=1)  # share of a class's training digits in its own rendering
    test_share: float = Field(0.4, ge=0.05, le=0.9)  # both parts keep several digits of every class
    split_seed: int = Field(0, ge=0)


class SmallCNNOptions(Options):
    """Options of `small-cnn`."""

    width: int = Field(16, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)


class NoOptions(Options):
    """No options."""


class UlpOptions(Options):
    """Options of the noise `ulp`."""

    step: int = Field(0, ge=0)  # the weight is moved before this step (batch) of the training


class OversamplingOptions(Options):
    """Options of `oversampling`."""

    max_copies: int | None = Field(None, ge=1)  # at most so many copies of one sample; null: as many as balance needs


@dataclass(frozen=True)
class Entry:
    """One registered name: where its code is, its options, one line about it."""

    target: str  # "module:attribute"
    summary: str
    options: type[Options] = NoOptions
    rules: dict[str, str] = field(default_factory=dict)  # methods: inference rule -> uses_protected
    reference: str = ""

    @property
    def module(self) -> str:
        """Dotted name of the module that holds the code."""
        return self.target.partition(":")[0]

    def load(self) -> object:
        """Import and return the registered object."""
        return self.sibling(self.target.partition(":")[2])

    def sibling(self, attribute: str) -> object:
        """Another object of the same module; data sets have `describe` and `source_files` beside `load`."""
        return getattr(importlib.import_module(self.module), attribute)


DATASETS = {
    "digits-s": Entry(
        "fitlib.datasets.digits_s:load",
        "1,797 handwritten digits in two renderings (gray, tinted), skewed by class as in CIFAR-10S; embedded",
        DigitsSOptions,
        reference="Wang et al., CVPR 2020 (the CIFAR-10S construction); scikit-learn's digits",
    ),
}

NETWORKS = {
    "small-cnn": Entry(
        "fitlib.networks.small_cnn:SmallCNN",
        "two convolutions with batch normalisation, one hidden layer, for small images",
        SmallCNNOptions,
    ),
}

METHODS = {
    "baseline": Entry(
        "fitlib.techniques.baseline:Baseline",
        "cross entropy on the training set as it is",
        rules={"argmax": "no"},
    ),
    "oversampling": Entry(
        "fitlib.techniques.oversampling:Oversampling",
        "cross entropy on a training set in which the rarer groups of each class are repeated",
        OversamplingOptions,
        rules={"argmax": "training"},
        reference="Wang et al., CVPR 2020, strategic sampling",
    ),
    "domain-independent": Entry(
        "fitlib.techniques.domain_independent:DomainIndependent",
        "one shared network, one classifier per protected group",
        rules={"conditional": "prediction", "sum": "training"},
        reference="Wang et al., CVPR 2020, domain-independent training",
    ),
}

NOISES = {
    "none": Entry("fitlib.noise:NoNoise", "control: deterministic algorithms; runs must be bit-identical"),
    "native": Entry("fitlib.noise:Native", "real: whatever hardware and software do by themselves"),
    "ulp": Entry("fitlib.noise:Ulp", "emulated: one weight moved by one unit in the last place", UlpOptions),
    "reduction-order": Entry(
        "fitlib.noise:ReductionOrder", "emulated: the order of the samples inside each finished mini-batch"
    ),
}

NOISE_KINDS = {"none": "control", "native": "real", "ulp": "emulated", "reduction-order": "emulated"}
