"""Replicas: runs of one training that are stepped side by side in one process.

A replica walks through fitlib's own loop (`fitlib.training.loop.epochs`) and stops before every step, so that the
others can catch up. What it is before the step is kept: the step can be taken again, with every operator recorded.
Random numbers that the training draws from PyTorch's global generator belong to the replica; it brings them along.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from fitlib.datasets.dataset import Dataset, Split
from fitlib.errors import FitlibError, InputError, RunFailed
from fitlib.experiment.training_options import Training
from fitlib.tracing.operators import Operator, OperatorRecorder
from fitlib.training.batching import Batch
from fitlib.training.compute import enough_memory
from fitlib.training.loop import Generators, Progress, epochs, make_method, make_noise, prepare, step_batches
from fitlib.training.noise import NoNoise


@dataclass(frozen=True)
class Random:
    """State of PyTorch's global generators, of the CPU and, where it is used, the GPU."""

    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def now(cls, device: str) -> Random:
        """What it is now."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state() if device == "cuda" else None)

    def put_back(self) -> None:
        """Make it what it was."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)


@dataclass(frozen=True)
class State:
    """What a replica is at a moment: everything that its method holds, and the random numbers to come."""

    method: Mapping[str, object]
    random: Random


class Replica:
    """One run, stepped from outside: `prepare` draws the next batch and keeps the state, `step` takes the step."""

    def __init__(self, settings: Mapping, seed: int, noise: NoNoise, dataset: Dataset, device: str):
        """`settings`: the resolved `method`, `network` and `training` of a training."""
        self.noise, self.dataset, self.device = noise, dataset, device
        self.name = f"run-{noise.run:02d}"
        generators = Generators.of(seed, noise.seeds)
        training = Training(**settings["training"])
        self.method = make_method(settings["method"], settings["network"], training, dataset, generators)
        outer = Random.now(device)
        torch.manual_seed(generators.dropout)
        noise.check(self.method.model)
        self.progress = Progress()
        self.trained = prepare(dataset, self.method, generators, device)
        self.random = Random.now(device)
        outer.put_back()
        self._batches, self.batch = self._walk(generators), None
        self.kept: State | None = None
        self.failed = ""  # where and why it crashed

    def _walk(self, generators: Generators) -> Iterator[Batch]:
        for _, epoch, drawn in epochs(self.trained, self.progress, self.dataset, generators, self.device):
            yield from step_batches(self.method, epoch, drawn)
            self.progress.epoch += 1

    def prepare(self, keep: bool = True) -> bool:
        """Draw the next batch, and keep the state before the step; False: the training is over."""
        self.progress.step += self.batch is not None
        with self._own_random(), self._named("crashed while its batch was drawn"):
            self.batch = next(self._batches, None)
        self.kept = self.state() if keep and self.batch is not None else None
        return self.batch is not None

    @contextmanager
    def disturbed(self) -> Iterator[Batch]:
        """Let the noise enter, for as long as the step takes; the batch that it uses."""
        try:
            yield self.noise.before_step(self.progress.step, self.method.model, self.batch)
        finally:
            self.noise.after_step()

    def step(self, record: bool = False) -> tuple[Tensor, list[Operator]]:
        """Take the step, noise first; its loss and, where they are recorded, its operators.

        RunFailed where the step crashes or the loss is not finite.
        """
        return self._step(OperatorRecorder() if record else None)

    def again(self) -> tuple[Tensor, list[Operator]]:
        """Take the present step once more, from the state before it, with its operators recorded."""
        self.back()
        return self._step(OperatorRecorder())

    def back(self) -> None:
        """Return to the state before the step."""
        self.put_back(self.kept)

    def state(self) -> State:
        """A copy of the present state."""
        return State(self._copied(vars(self.method)), self.random)

    def put_back(self, state: State) -> None:
        """Make the replica what it was; the state can be used again."""
        vars(self.method).clear()
        vars(self.method).update(self._copied(state.method))
        self.random = state.random

    def predictions(self) -> Tensor:
        """Predictions (rows,) or (rows, labels) on the test part, by the method's first rule; nothing is changed."""
        modes = {module: module.training for module in self.method.model.modules()}
        decided = self.trained.decide(self.method.first_rule(), self.trained.scores(), self.trained.test)
        for module, mode in modes.items():
            module.training = mode
        return torch.from_numpy(decided)

    def weights(self) -> Tensor:
        """All weights as one vector (n,), float64, on the CPU."""
        return torch.cat([p.detach().reshape(-1) for p in self.method.model.parameters()]).double().cpu()

    def finish(self) -> None:
        """RunFailed where the training is over and the noise never entered it."""
        self.noise.finish()

    def _step(self, recorder: OperatorRecorder | None) -> tuple[Tensor, list[Operator]]:
        remedy = "lower training.batch_size, or trace fewer runs"
        with self._own_random(), self._named("crashed"), enough_memory(remedy), self.disturbed() as batch:
            if recorder is None:
                return _finite(self.method.update(batch)), []
            with recorder.watching(self.method.model):
                loss = self.method.update(batch)
            return _finite(loss), recorder.operators

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Say of an error which run it was and at which step; wrong parameters stay what they are."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            text = str(error).strip().partition("\n")[0] or type(error).__name__
            kind = "" if isinstance(error, FitlibError) else f"{type(error).__name__}: "
            self.failed = f"{self.name} {what} at step {self.progress.step}: {kind}{text}"
            raise RunFailed(self.failed) from error

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        outer = Random.now(self.device)
        self.random.put_back()
        try:
            yield
        finally:
            self.random = Random.now(self.device)
            outer.put_back()

    def _copied(self, attributes: Mapping[str, object]) -> dict[str, object]:
        """Copies of all that a method holds, in one go, so that what is shared stays shared; data are not copied."""
        splits = [v for v in [*vars(self.dataset).values(), *self.dataset.extra.values()] if isinstance(v, Split)]
        return copy.deepcopy(dict(attributes), {id(split): split for split in splits})


def _finite(loss: Tensor) -> Tensor:
    if not bool(torch.isfinite(loss)):
        raise RunFailed(f"the training loss became {float(loss)}: lower training.learning_rate")
    return loss


def make_replicas(
    settings: Mapping, seed: int, noise: dict, noise_seed: int, runs: int, dataset: Dataset, device: str
) -> list[Replica]:
    """The first `runs` runs of a training under a noise, each at its start; deterministic algorithms are set."""
    torch.use_deterministic_algorithms(make_noise(noise, 0, noise_seed).deterministic)
    noises = [make_noise(noise, run, noise_seed) for run in range(runs)]
    return [Replica(settings, seed, one, dataset, device) for one in noises]
