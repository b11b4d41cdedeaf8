"""What digests cost: of every step (a trace), of every epoch (each training), and the whole trace of the quickstart.

    python benchmarks/trace.py [--rounds 9] [--threads 1] [--full]

Loops with and without digests take the same batches in turn, epoch by epoch, in one process, and each turn's ratio of
processor time is noted. The epoch's share is the time inside digests over that of the training. Traces are timed by the
clock. `--full` adds the CIFAR ResNet-18 on batches of 128 made images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import machine, median, met, spread, table

from fitlib.datasets.dataset import Dataset, Split
from fitlib.experiment.parse import read_experiment
from fitlib.experiment.training_options import Training
from fitlib.tracing.digest_streams import step_digests
from fitlib.tracing.replicas import make_replicas
from fitlib.tracing.trace import trace
from fitlib.training.batching import Batch, Part
from fitlib.training.evaluation import Trained
from fitlib.training.loop import Generators, Progress, batches, load_data, make_method, prepare, train
from fitlib.training.methods.base import Method
from fitlib.training.noise import NoNoise

QUICKSTART = Path(__file__).parent.parent / "params" / "quickstart.yaml"
CLOCK = time.process_time  # of all threads: what else runs on the machine counts little
Record = Callable[[torch.nn.Module, torch.Tensor], object]


def made(images: int) -> Dataset:
    """Random images of 32x32 pixels in ten classes and two groups."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (images, 3, 32, 32), dtype=np.uint8)
    split = Split(x, rng.integers(0, 10, images), np.arange(images) % 2, np.arange(images))
    return Dataset("made", split, split, tuple("0123456789"), ("gray", "colour"))


def ready(settings: dict, data: Dataset) -> tuple[Method, list[Batch]]:
    """The method at its start, and the batches of an epoch."""
    generators, training = Generators.of(0), Training(**settings["training"])
    method = make_method(settings["method"], settings["network"], training, data, generators)
    trained, progress = prepare(data, method, generators, "cpu"), Progress()
    method.start_stage(0)
    method.model.train()
    method.start_epoch(0)
    rows = method.training_rows(data.train)
    return method, list(batches(trained, progress, Part.of(data.train, "cpu"), rows, generators))


def epoch(method: Method, drawn: list[Batch], record: Record | None = None) -> float:
    """Processor seconds of an epoch's steps, each followed by `record`."""
    start = CLOCK()
    for batch in drawn:
        loss = method.update(batch)
        if record is not None:
            record(method.model, loss)
    return CLOCK() - start


def stream_cost(settings: dict, data: Dataset, rounds: int) -> list[float]:
    """Overhead of a step-level stream, one ratio a turn."""
    method, drawn = ready(settings, data)
    epoch(method, drawn, step_digests)
    turns = [(epoch(method, drawn), epoch(method, drawn, step_digests)) for _ in range(rounds)]
    return [digested / plain - 1 for plain, digested in turns]


def epoch_cost(settings: dict, data: Dataset, rounds: int) -> list[float]:
    """Share of a training's time that is spent in its digests (weights, order, first batch)."""
    return [_share(settings, data) for _ in range(rounds)]


def _share(settings: dict, data: Dataset) -> float:
    spent, plain = [0.0], Trained.record

    def timed(self: Trained, *what: object) -> None:
        start = CLOCK()
        plain(self, *what)
        spent[0] += CLOCK() - start

    generators = Generators.of(0)
    training = Training(**{**settings["training"], "epochs": 3})
    method = make_method(settings["method"], settings["network"], training, data, generators)
    Trained.record = timed
    start = CLOCK()
    try:
        train(data, method, NoNoise(0, 0), generators)
    finally:
        Trained.record = plain
    return spent[0] / (CLOCK() - start)


def step_costs(settings: dict, data: Dataset, steps: int) -> dict[str, list[float]]:
    """Seconds of a plain step, of keeping the state before it, and of the step with its operators recorded."""
    (replica,) = make_replicas(settings, 0, {"name": "none"}, 0, 1, data, "cpu")
    costs: dict[str, list[float]] = {"a plain step": [], "keeping the state": [], "with operators recorded": []}
    for _ in range(steps):
        replica.prepare()
        for name, work in zip(costs, (replica.step, replica.state, lambda: replica.step(True)), strict=True):
            start = CLOCK()
            work()
            costs[name].append(CLOCK() - start)
    return costs


def percent(shares: list[float]) -> str:
    """Median [smallest, largest] in per cent."""
    return f"{100 * median(shares):.2g} % [{100 * min(shares):.2g}, {100 * max(shares):.2g}]"


def whole(settings: dict, noise: dict, threads: int) -> tuple[float, int]:
    """Seconds of a trace of up to 500 steps, data included; steps compared."""
    start = time.perf_counter()
    found = trace(settings, noise, threads=threads)
    return time.perf_counter() - start, found.steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--full", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    settings = read_experiment(QUICKSTART).trainings[0].settings
    data, rounds = load_data(settings["data"]), chosen.rounds
    stream, epochs = stream_cost(settings, data, rounds), epoch_cost(settings, data, rounds)
    print(machine("torch"), f"; {chosen.threads} threads; {rounds} turns, median [smallest, largest]")
    rows = [
        ["quickstart's network, a digest stream of every step", percent(stream), met(median(stream) < 0.3, "< 30 %")]
    ]
    rows += [["quickstart, the digests of each epoch", percent(epochs), met(median(epochs) < 0.02, "< 2 %")]]
    if chosen.full:
        resnet = {**settings, "network": {"name": "resnet18-cifar"}, "training": {"batch_size": 128}}
        rows += [["CIFAR ResNet-18, batches of 128, a digest stream", percent(stream_cost(resnet, made(256), 2)), ""]]
        rows += [["CIFAR ResNet-18, the digests of each epoch of 256", percent(epoch_cost(resnet, made(256), 1)), ""]]
    print(table(["what", "overhead", "target"], rows))
    print(
        table(
            ["step of the quickstart", "processor time"],
            [[n, spread(t)] for n, t in step_costs(settings, data, 40).items()],
        )
    )
    for noise in ({"name": "none"}, {"name": "ulp", "step": 20}):
        seconds, steps = whole(settings, noise, chosen.threads)
        print(f"trace of two runs under {noise['name']}: {seconds:.1f} s, {steps} steps;", met(seconds < 60, "< 60 s"))


if __name__ == "__main__":
    main()
