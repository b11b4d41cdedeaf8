"""What `fitlib.Recorder` costs a plain PyTorch loop: one epoch under it against one without it.

    python benchmarks/recorder.py [--pairs 15]

Epochs alternate, and the ratio is taken within each pair, in seconds of processor time at one thread, since others use
the machine too. The Recorder digests first batch, labels and, at the end of the epoch, all weights; its noise is
`none`, and both sides use deterministic algorithms. Most of it costs the same for every batch, however small, so that
the smallest networks pay most.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable

import torch
from measure import machine, median, met, spread, table
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fitlib.experiment.registry.networks import SmallCNNOptions
from fitlib.recording.recorder import Recorder
from fitlib.training.networks.small_cnn import SmallCNN

TARGET = 1.02


def perceptron() -> nn.Module:
    """Two hidden layers for a table of 30 columns."""
    return nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))


def epoch(model: nn.Module, batches: Iterable) -> Callable[[], None]:
    """One epoch of a plain loop."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def run() -> None:
        for x, y in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return run


def small_cnn() -> nn.Module:
    """A small convolutional network with 10 outputs."""
    return SmallCNN((3, 32, 32), 10, SmallCNNOptions())


def ratios(make: Callable[[], nn.Module], batches: Iterable, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of an epoch without the Recorder, and the ratios with it, pair by pair."""
    plain = epoch(make(), batches)
    model = make()
    recorded = epoch(model, Recorder(model, tempfile.mkdtemp()).batches(batches))
    seconds = []
    for number in range(pairs + 1):
        order = (plain, recorded) if number % 2 else (recorded, plain)
        taken = {run: _seconds(run) for run in order}
        seconds.append((taken[plain], taken[recorded]))
    return [bare for bare, _ in seconds[1:]], [own / bare for bare, own in seconds[1:]]


def _seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def cases() -> dict[str, tuple[Callable[[], nn.Module], Iterable]]:
    """Networks and loaders, by description."""
    rows = TensorDataset(torch.randn(20_000, 30), torch.randint(2, (20_000,)))
    images = [(torch.randn(64, 3, 32, 32), torch.randint(10, (64,))) for _ in range(16)]
    loader = DataLoader(rows, 256, shuffle=True)
    return {
        "small-cnn, 1,024 images of 32×32, batches of 64 that are ready": (small_cnn, images),
        "perceptron 64-32, 20,000 rows, batches of 256 from a DataLoader": (perceptron, loader),
        "the same, batches that are ready": (perceptron, list(loader)),
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=15)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    rows = []
    for name, (make, batches) in cases().items():
        seconds, found = ratios(make, batches, pairs)
        shown = f"{median(found):.3f} [{min(found):.3f}, {max(found):.3f}]"
        rows.append([name, spread(seconds), shown, met(median(found) < TARGET, f"< {TARGET}")])
    print(table(["training", "epoch without", "with the Recorder, against without", "target"], rows))
    print(f"\nMedian [smallest, largest] of {pairs} pairs; processor time, 1 thread. {machine('torch')}.")


if __name__ == "__main__":
    main()
