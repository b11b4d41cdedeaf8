"""Replicas: runs of one training that are stepped side by side in one process.

A replica goes through fitlib's training loop (`fitlib.training.loop.epochs`) and pauses before every step, so that the
others can catch up. Its state before the step is saved: the step can be repeated, with every operator recorded. Each
replica has its own state of PyTorch's global generators, which it sets while it draws from them.
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
class RandomState:
    """State of PyTorch's global generators, for the CPU and, if used, the GPU."""

    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def current(cls, device: str) -> RandomState:
        """Return the current state."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state() if device == "cuda" else None)

    def restore(self) -> None:
        """Set the generators to this state."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)


@dataclass(frozen=True)
class State:
    """State of a replica: all attributes of its method, and the state of the random generators."""

    method: Mapping[str, object]
    random: RandomState


class Replica:
    """One run, stepped from outside: `prepare` draws the next batch and saves the state, `step` takes the step."""

    def __init__(self, settings: Mapping, seed: int, noise: NoNoise, dataset: Dataset, device: str):
        """Build the run at its start from the resolved `method`, `network` and `training` in `settings`."""
        self.noise, self.dataset, self.device = noise, dataset, device
        self.name = f"run-{noise.run:02d}"
        generators = Generators.of(seed, noise.seeds)
        training = Training(**settings["training"])
        self.method = make_method(settings["method"], settings["network"], training, dataset, generators)
        outer = RandomState.current(device)
        torch.manual_seed(generators.dropout)
        noise.check(self.method.model)
        self.progress = Progress()
        self.trained = prepare(dataset, self.method, generators, device)
        self.random = RandomState.current(device)
        outer.restore()
        self._batches = self._step_batches(generators)
        self.batch: Batch | None = None
        self.saved: State | None = None
        self.failed = ""  # where and why the run crashed

    def _step_batches(self, generators: Generators) -> Iterator[Batch]:
        for _, epoch, drawn in epochs(self.trained, self.progress, self.dataset, generators, self.device):
            yield from step_batches(self.method, epoch, drawn)
            self.progress.epoch += 1

    def prepare(self, keep: bool = True) -> bool:
        """Draw the next batch and, with `keep`, save the state before the step; returns False after the last step."""
        self.progress.step += self.batch is not None
        with self._own_random(), self._named("crashed while its batch was drawn"):
            self.batch = next(self._batches, None)
        self.saved = self.state() if keep and self.batch is not None else None
        return self.batch is not None

    @contextmanager
    def noisy_batch(self) -> Iterator[Batch]:
        """Apply the noise for the duration of the step; yields the batch that the step uses."""
        if self.batch is None:
            raise RuntimeError("no batch was drawn: call prepare first")
        try:
            yield self.noise.before_step(self.progress.step, self.method.model, self.batch)
        finally:
            self.noise.after_step()

    def step(self, record: bool = False) -> tuple[Tensor, list[Operator]]:
        """Take the step, noise first; returns its loss and, if recorded, its operators.

        RunFailed if the step crashes or the loss is not finite.
        """
        return self._step(OperatorRecorder() if record else None)

    def repeat(self) -> tuple[Tensor, list[Operator]]:
        """Repeat the current step from the state before it, with its operators recorded."""
        self.rewind()
        return self._step(OperatorRecorder())

    def rewind(self) -> None:
        """Return to the state before the step."""
        if self.saved is None:
            raise RuntimeError("no state was saved: call prepare with keep=True first")
        self.restore(self.saved)

    def state(self) -> State:
        """Return a copy of the current state."""
        return State(self._copied(vars(self.method)), self.random)

    def restore(self, state: State) -> None:
        """Set the replica to a state, which is copied and can be used again."""
        vars(self.method).clear()
        vars(self.method).update(self._copied(state.method))
        self.random = state.random

    def predictions(self) -> Tensor:
        """Return predictions (rows,) or (rows, labels) on the test part, by the method's first rule."""
        # `scores` leaves modules in evaluation mode; a replica is asked between steps, so the modes are restored.
        modes = {module: module.training for module in self.method.model.modules()}
        prediction = self.trained.decide(self.method.first_rule(), self.trained.scores(), self.trained.test)
        for module, mode in modes.items():
            module.training = mode
        return torch.from_numpy(prediction)

    def weights(self) -> Tensor:
        """Return all weights as one vector (n,), float64, on the CPU."""
        return torch.cat([p.detach().reshape(-1) for p in self.method.model.parameters()]).double().cpu()

    def finish(self) -> None:
        """Raise RunFailed if the training ended before the noise entered it."""
        self.noise.finish()

    def _step(self, recorder: OperatorRecorder | None) -> tuple[Tensor, list[Operator]]:
        remedy = "lower training.batch_size, or trace fewer runs"
        with self._own_random(), self._named("crashed"), enough_memory(remedy), self.noisy_batch() as batch:
            if recorder is None:
                return _finite(self.method.update(batch)), []
            with recorder.watching(self.method.model):
                loss = self.method.update(batch)
            return _finite(loss), recorder.operators

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Add run and step to an error's message; InputError is passed on unchanged."""
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
        outer = RandomState.current(self.device)
        self.random.restore()
        try:
            yield
        finally:
            self.random = RandomState.current(self.device)
            outer.restore()

    def _copied(self, attributes: Mapping[str, object]) -> dict[str, object]:
        """Copy all attributes of a method, in one call so that shared objects stay shared; data are not copied."""
        splits = [v for v in [*vars(self.dataset).values(), *self.dataset.extra.values()] if isinstance(v, Split)]
        return copy.deepcopy(dict(attributes), {id(split): split for split in splits})


def _finite(loss: Tensor) -> Tensor:
    if not bool(torch.isfinite(loss)):
        raise RunFailed(f"the training loss became {float(loss)}: lower training.learning_rate")
    return loss


def make_replicas(
    settings: Mapping, seed: int, noise: dict, noise_seed: int, runs: int, dataset: Dataset, device: str
) -> list[Replica]:
    """Create the first `runs` runs of a training under a noise, and set deterministic algorithms as it declares."""
    torch.use_deterministic_algorithms(make_noise(noise, 0, noise_seed).deterministic)
    noises = [make_noise(noise, run, noise_seed) for run in range(runs)]
    return [Replica(settings, seed, run_noise, dataset, device) for run_noise in noises]
