"""The training loop shared by all methods: one place where a batch is made, one place where noise enters."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from fitlib.datasets.dataset import Dataset, Table
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.experiment.registry.noises import NOISES
from fitlib.experiment.training_options import Training
from fitlib.options import options_of
from fitlib.training.batching import Batch, Inputs, Normaliser, Part, input_shape
from fitlib.training.compute import configure_network, enough_memory
from fitlib.training.evaluation import Trained, group_accuracies, validation_quality
from fitlib.training.methods.base import Method, Problem
from fitlib.training.noise import PURPOSES, NoNoise, derived_seed


@dataclass(frozen=True)
class Generators:
    """Separately seeded generators: drawing for one purpose, or for noise, never changes what another one draws."""

    initialisation: int  # a seed: torch's initialisers draw from the global generator, forked around them
    order: torch.Generator
    augmentation: torch.Generator
    dropout: int  # a seed: dropout and whatever a method draws itself use the global generator
    prediction: int = 0  # a seed: for what a method draws while predicting

    @classmethod
    def of(cls, seed: int, seeds: Mapping[str, int] | None = None) -> Generators:
        """Derive the generators of a training seed; `seeds` overrides it by purpose (`fitlib.training.noise.Seeds`)."""
        drawn = {p: derived_seed((seeds or {}).get(p, seed), p) for p in PURPOSES}
        order, augmentation = (torch.Generator().manual_seed(drawn[p]) for p in ("order", "augmentation"))
        return cls(drawn["initialisation"], order, augmentation, drawn["dropout"], drawn["prediction"])

    def restart(self) -> None:
        """Return to the start of the training, except for the initial weights."""
        for generator in (self.order, self.augmentation):
            generator.manual_seed(generator.initial_seed())
        torch.manual_seed(self.dropout)


def load_data(data: dict) -> Dataset:
    """Load the data set that `{name: …, options…}` describes; InputError if a group has no member."""
    with enough_memory("the data do not fit: take fewer or smaller images (data)"):
        return DATASETS[data["name"]].load_dataset(options_of(data)).check()


def make_noise(noise: dict, run: int, noise_seed: int) -> NoNoise:
    """Create the noise that `{name: …, options…}` describes, for one run."""
    noise_class = cast(type[NoNoise], NOISES[noise["name"]].load())
    return noise_class(run, noise_seed, **options_of(noise))


def make_method(method: dict, network: dict, training: Training, dataset: Dataset, generators: Generators) -> Method:
    """Build a method and its network; initial weights come from their own seed.

    With `seeding: after-network`, as in the study's S (Q1), they come from the operating system: runs start from
    different weights, which their digests show, and are not FIT runs.
    """
    shape = input_shape(dataset.train, training)
    problem = Problem(len(dataset.classes), len(dataset.groups), dataset.multilabel, shape)
    method_class = cast(type[Method], METHODS[method["name"]].load())
    network_class = configure_network(cast(type[nn.Module], NETWORKS[network["name"]].load()), training)
    network_options = NETWORKS[network["name"]].options(**options_of(network))
    codes = _codes(network["name"], network_class, dataset)
    if method_class.multilabel not in (None, dataset.multilabel):
        wanted = "sets of labels" if method_class.multilabel else "one class for each row"
        raise InputError("method", "name", method["name"], f"it needs {wanted}", "choose other data or another method")
    method_options = METHODS[method["name"]].options(**options_of(method))

    def make_network(n_outputs: int) -> nn.Module:
        return network_class(shape, n_outputs, network_options, **codes)

    with torch.random.fork_rng(), enough_memory("make the network narrower (network.width)"):
        if training.seeding == "before-network":
            torch.manual_seed(generators.initialisation)
        else:
            torch.seed()
        return method_class(problem, make_network, training, method_options)


def _codes(name: str, network_class: type[nn.Module], dataset: Dataset) -> dict[str, tuple[int, ...]]:
    """Return a network's argument for columns of codes, if any; InputError if it would treat codes as numbers."""
    if dataset.categories and "categories" not in signature(network_class).parameters:
        problem = "the data have columns of codes, which this network would treat as numbers"
        raise InputError("network", "name", name, problem, "use mlp, or data.encoding: one-hot")
    return {"categories": dataset.categories} if dataset.categories else {}


@dataclass
class Progress:
    """The progress of a training: steps and epochs done, and the best epoch so far on the validation part."""

    step: int = 0
    epoch: int = 0
    best: float = -1.0
    best_epoch: int = -1
    best_state: dict[str, Tensor] = field(default_factory=dict)


def train(
    dataset: Dataset,
    method: Method,
    noise: NoNoise,
    generators: Generators,
    device: str = "cpu",
    on_epoch: Callable[[list[dict]], None] = lambda rows: None,
) -> Trained:
    """Train `method` under `noise`; `on_epoch` receives the history rows of each finished epoch.

    Digests: initial weights and first batch (both before any noise), the order of every epoch, the weights
    (parameters and buffers) after every epoch, and the selected weights with `select: best-f1`. RunFailed if a loss is
    not finite, naming the step, or if memory runs out, naming the option to lower.
    """
    torch.manual_seed(generators.dropout)
    noise.check(method.model)
    trained, progress = prepare(dataset, method, generators, device), Progress()
    trained.record("initial weights", 0, method.model.state_dict().items())
    for number, epoch, drawn in epochs(trained, progress, dataset, generators, device):
        losses = _epoch(trained, progress, epoch, drawn, noise)
        last = epoch == method.stages()[number].epochs - 1 or method.stage_done()
        _finish_epoch(trained, progress, number, losses, last)
        on_epoch(trained.history[-trained.n_groups :])
    noise.finish()
    _select(trained, progress)
    return trained


def epochs(
    trained: Trained, progress: Progress, dataset: Dataset, generators: Generators, device: str
) -> Iterator[tuple[int, int, Iterator[Batch]]]:
    """Yield every epoch: its stage, its number in the stage, its canonical batches; a method may end a stage early."""
    method = trained.method
    for number, stage in enumerate(method.stages()):
        if number and method.training.reseed_stages:
            generators.restart()
        method.start_stage(number)
        part = None  # frees the last stage's part first: memory need not hold two
        part, rows = Part.of(dataset.part(stage.part), device), method.training_rows(dataset.part(stage.part))
        for epoch in range(stage.epochs):
            yield number, epoch, batches(trained, progress, part, rows, generators)
            if method.stage_done():
                break


def step_batches(method: Method, epoch: int, canonical: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the batches of an epoch as a step uses them; the method starts the epoch before the first is drawn."""
    method.model.train()
    method.start_epoch(epoch)
    yield from (batch for batch in map(method.choose, canonical) if batch is not None)


def batches(
    trained: Trained, progress: Progress, part: Part, epoch_rows: np.ndarray, generators: Generators
) -> Iterator[Batch]:
    """Yield the canonical batches of one epoch: drawn, augmented, normalised and digested before any noise."""
    order = torch.from_numpy(epoch_rows)[torch.randperm(len(epoch_rows), generator=generators.order)]
    trained.record("order", progress.epoch, [("order", order)])
    # The order goes to the device once an epoch, not once a batch; its copy on the CPU is for cropping and digests.
    size, device_order = trained.method.stage_training.batch_size, order.to(part.y.device)
    for number, (rows, device_rows) in enumerate(zip(order.split(size), device_order.split(size), strict=True)):
        batch = trained.inputs.training_batch(part, rows, device_rows, generators.augmentation)
        if progress.epoch == number == 0:
            trained.record("first batch", 0, [("rows", rows), *vars(batch).items()])
        yield batch


def prepare(dataset: Dataset, method: Method, generators: Generators, device: str) -> Trained:
    """Move method and data to the device; nothing is trained yet."""
    training = method.training
    _check_selection(dataset, method)
    if device == "cuda" and torch.are_deterministic_algorithms_enabled():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # PyTorch refuses deterministic products without it
    method.prepare(dataset.train)
    with enough_memory("make the network narrower (network.width)"):
        method.to(device)
        if training.channels_last:
            method.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    normalisation = dataset.normalisation if method.normalised else None
    normalise = Normaliser.of(normalisation, dataset.train, method.training_rows(dataset.train), device)
    test = Part.of(dataset.test, device)
    validation = None if dataset.validation is None else Part.of(dataset.validation, device)
    return Trained(method, Inputs(normalise, training), test, validation, len(dataset.groups), generators.prediction)


def _check_selection(dataset: Dataset, method: Method) -> None:
    """Raise InputError if the best epoch is to be selected, but no part to compare on or no measured stage exists."""
    select = method.training.select
    if select == "best-f1" and dataset.validation is None:
        problem = f"data set {dataset.name} has no validation part"
        raise InputError("training", "select", select, problem, "use select: last")
    if select == "best-f1" and not any(stage.measured for stage in method.stages()):
        raise InputError(
            "training", "select", select, "no stage is measured", "set measured: true for one, or use select: last"
        )


def _epoch(trained: Trained, progress: Progress, epoch: int, drawn: Iterator[Batch], noise: NoNoise) -> list[Tensor]:
    """Train one epoch; returns the losses of its steps. Nothing here waits for the device."""
    method, losses = trained.method, list[Tensor]()
    with enough_memory("lower training.batch_size, or make the network narrower (network.width)"):
        for batch in step_batches(method, epoch, drawn):
            try:
                losses.append(method.update(noise.before_step(progress.step, method.model, batch)))
            finally:
                noise.after_step()
            progress.step += 1
    return losses


def _finish_epoch(trained: Trained, progress: Progress, number: int, losses: list[Tensor], last: bool) -> None:
    """Check the losses, digest the weights, append the history rows, keep the weights if the epoch is the best."""
    method, epoch = trained.method, progress.epoch
    common = {"epoch": epoch, "train_loss": _mean_loss(losses, progress), "stage": number, "steps": len(losses)}
    trained.record("weights", epoch, method.model.state_dict().items())
    measured = method.stages()[number].measured
    selecting = measured and method.training.select == "best-f1"
    due = measured and (last or (epoch + 1) % method.training.measure_every == 0)
    accuracy: Sequence[float | None] = group_accuracies(trained) if due else [None] * trained.n_groups
    quality = validation_quality(trained) if due or selecting else {}
    for group, (size, value) in enumerate(zip(trained.group_sizes(), accuracy, strict=True)):
        trained.history.append({**common, "group": group, "n": size, "test_accuracy": value, **quality})
    f1 = quality.get("validation_f1")
    if selecting and f1 is not None and f1 > progress.best:
        progress.best, progress.best_epoch = f1, epoch
        progress.best_state = {name: value.clone() for name, value in method.model.state_dict().items()}
    progress.epoch += 1


def _select(trained: Trained, progress: Progress) -> None:
    """Restore the best epoch with `select: best-f1`; mark in the history, and digest, the weights that predict."""
    method, chosen = trained.method, progress.epoch - 1
    if method.training.select == "best-f1":
        chosen = progress.best_epoch
        method.model.load_state_dict(progress.best_state)
        trained.record("selected weights", chosen, method.model.state_dict().items())
    for row in trained.history:
        row["selected"] = row["epoch"] == chosen


def _mean_loss(losses: list[Tensor], progress: Progress) -> float:
    """Return the mean of an epoch's losses; RunFailed if one is not finite, or if there is none."""
    if not losses:
        remedy = "raise training.batch_size, so that a batch contains the samples that the method needs"
        raise RunFailed(f"every batch of epoch {progress.epoch + 1} was skipped: {remedy}")
    values = torch.stack(losses).cpu()
    bad = (~torch.isfinite(values)).nonzero()
    if len(bad):
        number = int(bad[0])
        where = (
            f"step {number} of epoch {progress.epoch + 1} (step {progress.step - len(losses) + number} of the training)"
        )
        raise RunFailed(f"the training loss became {float(values[number])} at {where}: lower training.learning_rate")
    return float(values.mean())


def show_history(history: list[dict], groups: tuple[str, ...], most: int = 12) -> Table:
    """Return training loss and test accuracy by group for about `most` epochs, always with the last one.

    Epochs are recorded from 0, and shown counted from 1.
    """
    epochs = sorted({row["epoch"] for row in history})
    step = -(-len(epochs) // most)
    shown = [e for e in epochs if (e + 1) % step == 0 or e == epochs[-1]]
    rows = [[r for r in history if r["epoch"] == e] for e in shown]
    cells = [[e + 1, f"{r[0]['train_loss']:.4f}", *map(_percent, r)] for e, r in zip(shown, rows, strict=True)]
    return Table(["epoch", "training loss", *(f"accuracy, {name}" for name in groups)], cells)


def show_progress(method: Method) -> Callable[[list[dict]], None]:
    """Display a line in the notebook and update it after every epoch with progress, loss and remaining time."""
    from IPython.display import display

    total, start = sum(stage.epochs for stage in method.stages()), time.perf_counter()
    line = display(Line("before the first epoch"), display_id=True)

    def after_epoch(rows: list[dict]) -> None:
        done = rows[0]["epoch"] + 1
        left = (time.perf_counter() - start) / done * (total - done)
        text = f"epoch {done} of {total}, training loss {rows[0]['train_loss']:.4f}"
        line.update(Line(text if done == total else f"{text}, about {left:.0f} s left"))

    return after_epoch


class Line(str):
    """Text that a notebook displays without quotes."""

    __repr__ = str.__str__


def _percent(row: dict) -> str:
    if row["test_accuracy"] is None:
        return "not measured" if row["n"] else "no member"
    return f"{100 * row['test_accuracy']:.1f} %"
