"""The cost of determinism: the time of a training step with PyTorch's deterministic algorithms on and off.

It is measured at the end of a run, with the run's network, batch and optimiser, after everything else is saved: these
steps are not part of the training. The two settings alternate, so that a drift of the machine affects both.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import torch

from fitlib.datasets.dataset import Dataset
from fitlib.machine import STEP_COST_MIME, machine
from fitlib.training.batching import Batch, Part
from fitlib.training.evaluation import Trained
from fitlib.training.methods.base import Method

PAIRS = 6  # the true median ratio is between the smallest and the largest of 6 with confidence 1 - 2 / 2^6 = 97 %
BLOCK = 0.04  # seconds for a block of steps, approximately
MOST = 50  # steps in a block


@dataclass(frozen=True)
class StepCost:
    """Milliseconds for a step, and their ratio on / off with an interval for the median of `pairs` ratios.

    `problem`: why there are no figures, such as an operator without a deterministic algorithm.
    """

    hardware: str
    on: float | None = None
    off: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    steps: int = 0
    problem: str = ""

    def __str__(self) -> str:
        if self.ratio is None:
            return f"cost of determinism not measured: {self.problem} ({self.hardware})"
        ratio = f"{self.ratio:.2f} times as long [{self.low:.2f}, {self.high:.2f}]"
        how = f"({self.pairs} pairs of {self.steps} steps, {self.hardware})"
        return f"a step takes {self.on:.2f} ms with deterministic algorithms, {self.off:.2f} ms without: {ratio} {how}"

    def _repr_mimebundle_(self, **options: object) -> dict[str, object]:
        return {"text/plain": str(self), STEP_COST_MIME: asdict(self)}


def step_cost(trained: Trained, dataset: Dataset, device: str = "cpu") -> StepCost:
    """Measure the step cost of a finished training; its network takes further steps, the process is left unchanged."""
    method, before = trained.method, torch.are_deterministic_algorithms_enabled()
    hardware = torch.cuda.get_device_name() if device == "cuda" else machine()
    hardware += f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    batch = _batch(trained, dataset, device)
    if batch is None:
        return StepCost(hardware, problem="the method takes no step on the first batch")
    try:
        return _measured(method, batch, hardware, device)
    except RuntimeError as error:  # the message names the operator
        return StepCost(hardware, problem=str(error).partition("\n")[0][:200])
    finally:
        torch.use_deterministic_algorithms(before)


def _batch(trained: Trained, dataset: Dataset, device: str) -> Batch | None:
    """Return the first rows of the last stage's part as a training batch."""
    method = trained.method
    split = dataset.part(method.stages()[-1].part)
    rows = torch.from_numpy(np.asarray(method.training_rows(split))[: method.stage_training.batch_size])
    part, generator = Part.of(split, device), torch.Generator().manual_seed(0)
    method.model.train()
    return method.choose(trained.inputs.training_batch(part, rows, rows.to(part.y.device), generator))


def _measured(method: Method, batch: Batch, hardware: str, device: str) -> StepCost:
    warm_up = [_seconds(method, batch, mode, 1, device) for mode in (True, False) * 2]  # the first step of each is slow
    steps = int(min(MOST, max(1, BLOCK / min(warm_up))))
    on, off = list[float](), list[float]()
    for pair in range(PAIRS):
        order = ((True, on), (False, off))
        for deterministic, times in order if pair % 2 else reversed(order):
            times.append(_seconds(method, batch, deterministic, steps, device))
    ratios = sorted(a / b for a, b in zip(on, off, strict=True))
    return StepCost(hardware, 1e3 * median(on), 1e3 * median(off), median(ratios), ratios[0], ratios[-1], PAIRS, steps)


def _seconds(method: Method, batch: Batch, deterministic: bool, steps: int, device: str) -> float:
    """Return the seconds for a step, averaged over `steps`."""
    torch.use_deterministic_algorithms(deterministic)
    _wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        method.update(batch)
    _wait(device)
    return (time.perf_counter() - start) / steps


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
