"""One small configuration per method, on which the tests of all methods (`test_methods`, `test_noise`) train it.

A method that works with the toy classes and the small network needs no entry here. One that needs more, such as feature
maps, labels or its own stages, has an entry in `EXAMPLES`, which overrides the defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from fitlib.datasets.dataset import Dataset, Split
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.experiment.training_options import Training
from fitlib.options import Options
from fitlib.training.evaluation import Trained
from fitlib.training.loop import Generators, make_method, train
from fitlib.training.noise import NoNoise

torch.set_num_threads(1)  # fastest for networks this small, and fair to tests that run in parallel

NETWORK = {"name": "small-cnn", "width": 4, "dropout": 0.0}


def toy(n: int = 240, seed: int = 0) -> Dataset:
    """Return three classes that differ in the position of the light; group 1 is darker; classes differ in size."""
    rng = np.random.default_rng(seed)
    y, protected = rng.integers(0, 3, n), (rng.random(n) < 0.3).astype(np.int64)
    x = 0.1 * rng.random((n, 3, 8, 8), dtype=np.float32)
    for c in range(3):
        x[y == c, c, 2 * c : 2 * c + 3] += 0.8
    x[protected == 1] *= 0.7
    split = Split(x, y.astype(np.int64), protected, np.arange(n))
    return Dataset("toy", split, split, ("a", "b", "c"), ("light", "dark"))


def two_classes() -> Dataset:
    """Return the toy with the classes a (0) and b or c (1)."""
    whole = toy()
    split = replace(whole.train, y=(whole.train.y > 0).astype(np.int64))
    return replace(whole, train=split, test=split, classes=("a", "other"))


def table() -> Dataset:
    """Return three classes with two numbers and two columns of codes, the second being the class; two groups."""
    rng = np.random.default_rng(0)
    y, protected = rng.integers(0, 3, 240), rng.integers(0, 2, 240)
    numbers = np.stack([y + 0.1 * rng.normal(size=240), rng.normal(size=240)], axis=1)
    codes = np.stack([rng.integers(0, 5, 240), y], axis=1)
    split = Split(np.hstack([numbers, codes]).astype(np.float32), y, protected, np.arange(240))
    return Dataset("toy", split, split, ("a", "b", "c"), ("x", "y"), normalisation=None, categories=(5, 3))


def labels() -> Dataset:
    """Return the toy with three labels a row instead of a class: every label's light is on or off independently."""
    rng, whole = np.random.default_rng(1), toy()
    y = (rng.random((len(whole.train), 3)) < 0.5).astype(np.int64)
    x = 0.1 * rng.random(whole.train.x.shape, dtype=np.float32)
    for c in range(3):
        x[y[:, c] == 1, c, 2 * c : 2 * c + 3] += 0.8
    split = replace(whole.train, x=x, y=y)
    return replace(whole, train=split, test=split, multilabel=True)


@dataclass(frozen=True)
class Example:
    """A method with its options, data, network and options of the loop, and the results to expect."""

    options: dict = field(default_factory=dict)
    data: Callable[[], Dataset] = toy
    network: dict = field(default_factory=lambda: NETWORK)
    training: dict = field(default_factory=dict)  # added to the default's
    epochs: int = 8
    falls_to: float = 0.5  # the last epoch's loss, as a share of the first epoch's
    same_loss: Callable[[int], bool] = lambda epoch: True  # epochs that have one and the same kind of loss
    accuracy: float = 0.9  # at least, under every rule that fits the data

    def loop(self, **changes: object) -> Training:
        """Return the options of the loop, with changes."""
        options = {"batch_size": 32, "learning_rate": 0.05, **self.training, **changes}
        return Training(**options if "stages" in options else {"epochs": self.epochs, **options})


EXAMPLES: dict[str, Example] = {}
EXAMPLES["null-sampling"] = Example(
    options={"levels": 1, "blocks": 2, "hidden": 16, "discriminators": 2, "discriminator_width": 16},
    training={"stages": [{"epochs": 3, "optimizer": "radam", "learning_rate": 1e-3}, {"epochs": 5}]},
)
EXAMPLES["gradient-projection"] = Example(training={"learning_rate": 0.01})  # what reverses a gradient is unbounded
EXAMPLES["map-adversary"] = Example(training={"learning_rate": 0.01})
EXAMPLES["uniform-confusion"] = Example(falls_to=0.65, same_loss=lambda epoch: epoch % 3 == 0)  # never below log 2
TWO_STAGES = {"stages": [{"epochs": 4, "frozen": True}, {"epochs": 4}], "optimizer": "adam", "learning_rate": 0.01}
BY_SIXES = {"layer": "layer1", "hidden": 16, "per_group": 6, "class_weights": "clamped"}
MLP = {"name": "mlp", "hidden": [16], "dropout": 0.0, "embedding": None}


def on_table(method: str) -> Example:
    """Return the method's example on the table, which needs more epochs than images."""
    example = EXAMPLES.get(method, Example())
    return replace(example, data=table, network=MLP, epochs=24, falls_to=max(0.6, example.falls_to))


VARIANTS = {  # further configurations of a method
    "baseline, labels": ("baseline", Example(data=labels)),
    "fair-alm, study": ("fair-alm", Example({"duals": "study"}, two_classes)),
    "gradient-projection, study": (
        "gradient-projection",
        Example({"order": "study"}, training={"learning_rate": 0.01}),
    ),
    "map-adversary, labels": ("map-adversary", Example(BY_SIXES, labels, training=TWO_STAGES, falls_to=0.7)),
    "ratio-balanced, labels": ("ratio-balanced", Example({"ratio": 2.0, "class_weights": "study"}, labels)),
    **{f"{name}, table": (name, on_table(name)) for name, entry in METHODS.items() if not entry.needs_images},
}


def configurations(methods: object) -> dict[str, tuple[str, Example]]:
    """Return everything the tests train: {name of the configuration: (method, example)}."""
    return {name: (name, EXAMPLES.get(name, Example())) for name in methods} | VARIANTS


def checked_options(registered: type, **options: object) -> Options:
    """Return the options of a registered method or network as its entry's model, checked and completed."""
    name = f"{registered.__module__}:{registered.__name__}"
    entry = next(entry for entry in [*METHODS.values(), *NETWORKS.values()] if entry.target == name)
    return entry.options(**options)


def make_network(
    network: type[nn.Module],
    shape: tuple[int, ...],
    n_outputs: int,
    categories: tuple[int, ...] = (),
    **options: object,
) -> nn.Module:
    """Build a registered network from single options."""
    codes = {"categories": categories} if categories else {}
    return network(shape, n_outputs, checked_options(network, **options), **codes)


def built(
    method: str, example: Example, seed: int = 0, seeds: dict | None = None, **changes: object
) -> tuple[object, Generators]:
    """Return the method before training, with its generators."""
    generators = Generators.of(seed, seeds)
    named = {"name": method, **example.options}
    return make_method(named, example.network, example.loop(**changes), example.data(), generators), generators


def trained(method: str, example: Example, seed: int = 0, noise: object = None, **changes: object) -> Trained:
    """Train the method on its example, by default without noise."""
    noise = noise or NoNoise(0, 0)
    learner, generators = built(method, example, seed, noise.seeds, **changes)
    return train(example.data(), learner, noise, generators)


def learn(training: Training, dataset: Dataset | None = None, method: type | None = None, device: str = "cpu"):
    """Train the baseline (or another class in its place) without noise on the toy or another data set."""
    dataset, generators = dataset or toy(), Generators.of(0)
    learner = make_method({"name": "baseline"}, NETWORK, training, dataset, generators)
    learner.__class__ = method or learner.__class__
    return train(dataset, learner, NoNoise(0, 0), generators, device)


def with_validation(whole: Dataset) -> Dataset:
    """Return the data set with a validation part: every second row of the training part."""
    return replace(whole, validation=whole.train.take(np.arange(0, len(whole.train), 2)))


def bytes_of(split: Split) -> Split:
    """Return the same images as bytes."""
    return replace(split, x=np.round(255 * np.minimum(split.x, 1)).astype(np.uint8))


def parts(result: Trained, part: str) -> list[str]:
    """Return the digests of a part, in order."""
    return [row["digest"] for row in result.digests if row["part"] == part]
