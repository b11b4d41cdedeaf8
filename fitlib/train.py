"""The training loop that all methods share: one place where a batch is made, one place where noise enters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from fitlib.datasets import Dataset, Split, Table
from fitlib.digest import digest_arrays
from fitlib.errors import RunFailed
from fitlib.noise import NoNoise, derived_seed
from fitlib.options import Training, options_of
from fitlib.registry import DATASETS, METHODS, NETWORKS, NOISES
from fitlib.techniques import Batch, Method, Problem

EVALUATION_ROWS = 1024  # rows a forward pass when predicting; fixed, since it may touch the last bits


@dataclass(frozen=True)
class Generators:
    """Separately seeded generators, so that noise and the purposes never leak into each other."""

    initialisation: int  # a seed: torch's initialisers draw from the global generator, which is forked around them
    order: torch.Generator
    augmentation: torch.Generator
    dropout: int

    @classmethod
    def of(cls, seed: int) -> Generators:
        """Generators of one training seed."""
        own = [torch.Generator().manual_seed(derived_seed(seed, p)) for p in ("order", "augmentation")]
        return cls(derived_seed(seed, "initialisation"), *own, derived_seed(seed, "dropout"))


@dataclass(frozen=True)
class Normaliser:
    """Per-channel standardisation with the mean and population SD of the training rows in use."""

    mean: Tensor
    sd: Tensor

    @classmethod
    def of(cls, train: Split, rows: np.ndarray, device: str) -> Normaliser:
        """Constants of a training part and the rows that one epoch uses."""
        x = train.x[rows].astype(np.float64)
        axes = (0, *range(2, x.ndim))
        shape = (1, -1, *[1] * (x.ndim - 2))
        constants = (x.mean(axes), np.maximum(x.std(axes), 1e-12))
        return cls(*(torch.tensor(c.reshape(shape), dtype=torch.float32, device=device) for c in constants))

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.sd


@dataclass(frozen=True)
class Trained:
    """A training in progress or done: the method with its network, the test part, history rows and digests."""

    method: Method
    normalise: Normaliser
    test: Batch
    n_groups: int
    history: list[dict] = field(default_factory=list)  # epoch, group, n, train_loss, test_accuracy
    digests: list[dict] = field(default_factory=list)  # part, epoch, digest

    def record(self, part: str, epoch: int, named: Iterable[tuple[str, object]]) -> None:
        """Append the digest of named tensors."""
        self.digests.append({"part": part, "epoch": epoch, "digest": digest_arrays(named)})

    def digest(self, part: str) -> str:
        """The last digest of a part."""
        return [row["digest"] for row in self.digests if row["part"] == part][-1]

    @torch.no_grad()
    def scores(self) -> Tensor:
        """Scores of all test rows, in evaluation mode."""
        self.method.model.eval()
        parts = self.test.x.split(EVALUATION_ROWS)
        return torch.cat([self.method.scores(self.normalise(x)) for x in parts])

    def predictions(self, rules: dict[str, str]) -> dict[str, np.ndarray]:
        """Predictions (rows,) on the test part for `{technique: inference rule}`."""
        scores, protected = self.scores(), self.test.protected
        return {name: self.method.decide(rule, scores, protected).cpu().numpy() for name, rule in rules.items()}


def load_data(data: dict) -> Dataset:
    """The data set that `{name: …, options…}` describes."""
    return DATASETS[data["name"]].load()(**options_of(data))


def make_noise(noise: dict, run: int, noise_seed: int) -> NoNoise:
    """The noise that `{name: …, options…}` describes, for one run."""
    return NOISES[noise["name"]].load()(run, noise_seed, **options_of(noise))


def make_method(method: dict, network: dict, training: Training, dataset: Dataset, generators: Generators) -> Method:
    """Build network and optimiser of a method; initial weights come from their own seed."""
    problem = Problem(len(dataset.classes), len(dataset.groups), dataset.multilabel)
    network_class = NETWORKS[network["name"]].load()
    shape = dataset.train.x.shape[1:]

    def make_network(n_outputs: int) -> nn.Module:
        return network_class(shape, n_outputs, **options_of(network))

    with torch.random.fork_rng():
        torch.manual_seed(generators.initialisation)
        return METHODS[method["name"]].load()(problem, make_network, training, **options_of(method))


def train(
    dataset: Dataset,
    method: Method,
    noise: NoNoise,
    generators: Generators,
    device: str = "cpu",
    on_epoch: Callable[[list[dict]], None] = lambda rows: None,
) -> Trained:
    """Train `method` under `noise`; `on_epoch` receives the history rows of each finished epoch.

    Digests: initial weights and first batch (both before any noise), the order of every epoch, and the weights
    (parameters and buffers) after every epoch. Raises RunFailed where a loss is not finite, naming the step.
    """
    torch.manual_seed(generators.dropout)
    noise.check(method.model)
    method.model.to(device)
    rows = method.training_rows(dataset.train)
    normalise = Normaliser.of(dataset.train, rows, device)
    trained = Trained(method, normalise, resident(dataset.test, device), len(dataset.groups))
    trained.record("initial weights", 0, method.model.state_dict().items())
    part, step = resident(dataset.train, device), 0
    for epoch in range(method.training.epochs):
        method.model.train()
        method.start_epoch(epoch)
        losses = []
        for batch in batches(part, rows, trained, generators, epoch):
            losses.append(method.update(noise.before_step(step, method.model, batch)))
            step += 1
        trained.record("weights", epoch, method.model.state_dict().items())
        trained.history.extend(_evaluated(trained, epoch, _mean_loss(losses, epoch)))
        on_epoch(trained.history[-trained.n_groups :])
    noise.finish()
    return trained


def batches(part: Batch, rows: np.ndarray, trained: Trained, generators: Generators, epoch: int) -> Iterator[Batch]:
    """The canonical batches of one epoch: drawn, augmented, normalised and digested before any noise."""
    training = trained.method.training
    order = torch.from_numpy(rows)[torch.randperm(len(rows), generator=generators.order)]
    trained.record("order", epoch, [("order", order)])
    for number, chosen in enumerate(order.split(training.batch_size)):
        raw = part.take(chosen.to(part.x.device))
        batch = Batch(trained.normalise(augment(raw.x, training, generators.augmentation)), raw.y, raw.protected)
        if epoch == number == 0:
            trained.record("first batch", epoch, [("rows", chosen), *vars(batch).items()])
        yield batch


def resident(split: Split, device: str) -> Batch:
    """One part of the data as tensors on the device."""
    return Batch(*(torch.from_numpy(array).to(device) for array in (split.x, split.y, split.protected)))


def augment(x: Tensor, training: Training, generator: torch.Generator) -> Tensor:
    """Random shifts (crop after zero padding) and horizontal flips, drawn in batch order."""
    n, _, height, width = x.shape if x.dim() == 4 else (len(x), 0, 0, 0)
    if training.shift:
        s = training.shift
        offset = torch.randint(0, 2 * s + 1, (2, n, 1), generator=generator).to(x.device)
        padded = nn.functional.pad(x, (s, s, s, s))
        rows = (offset[0] + torch.arange(height, device=x.device))[:, :, None]
        columns = (offset[1] + torch.arange(width, device=x.device))[:, None, :]
        x = padded[torch.arange(n, device=x.device)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)
    if training.flip:
        flipped = (torch.rand(n, generator=generator) < 0.5).to(x.device)
        x = torch.where(flipped[:, None, None, None], x.flip(3), x)
    return x.contiguous()


def show_history(history: list[dict], groups: tuple[str, ...], most: int = 12) -> Table:
    """Training loss and test accuracy by group, at most about `most` epochs, the last one always."""
    epochs = sorted({row["epoch"] for row in history})
    step = -(-len(epochs) // most)
    shown = [e for e in epochs if e % step == 0 or e == epochs[-1]]
    rows = [[r for r in history if r["epoch"] == e] for e in shown]
    cells = [[e, f"{r[0]['train_loss']:.4f}", *map(_percent, r)] for e, r in zip(shown, rows, strict=True)]
    return Table(["epoch", "training loss", *(f"accuracy, {name}" for name in groups)], cells)


def _percent(row: dict) -> str:
    return "no member" if row["test_accuracy"] is None else f"{100 * row['test_accuracy']:.1f} %"


def _mean_loss(losses: list[Tensor], epoch: int) -> float:
    values = torch.stack(losses)
    bad = (~torch.isfinite(values)).nonzero()
    if len(bad):
        where = f"step {int(bad[0])} of epoch {epoch}"
        raise RunFailed(f"the training loss became {float(values[bad[0]])} at {where}: lower training.learning_rate")
    return float(values.mean())


def _evaluated(trained: Trained, epoch: int, train_loss: float) -> list[dict]:
    """One history row per group: accuracy on the test part under the method's first inference rule."""
    rule = next(iter(trained.method.rules))
    protected = trained.test.protected
    right = (trained.method.decide(rule, trained.scores(), protected) == trained.test.y).float()
    rows = []
    for group in range(trained.n_groups):
        member = protected == group
        accuracy = float(right[member].mean()) if bool(member.any()) else None
        common = {"epoch": epoch, "group": group, "n": int(member.sum())}
        rows.append({**common, "train_loss": train_loss, "test_accuracy": accuracy})
    return rows
