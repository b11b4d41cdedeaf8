"""Image rate of fitlib's training loop against a bare PyTorch loop over the same network and batches, side by side.

    python benchmarks/training.py [--images 512] [--batch 128] [--rounds 3] [--threads 2] [--device cuda] [--full]

CIFAR ResNet-18 on made images of 32x32 pixels. Both loops augment nothing; fitlib's draws the order, makes batches from
bytes, normalises, applies the noise and checks the losses; the bare one has float batches ready. Rounds alternate, and
the best of each counts, since others use the machine too. `--full`: one epoch of 50,000 images with augmentation and
20,000 predictions, as in CIFAR-10S, in bfloat16 and channels-last, and what 96 trainings of 200 epochs come to.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from measure import machine, met, table
from torch import nn

from fitlib.datasets.dataset import Dataset, Split
from fitlib.experiment.registry.networks import CifarResNetOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Part
from fitlib.training.loop import Generators, Progress, _epoch, batches, make_method, prepare, train
from fitlib.training.networks.resnet import CifarResNet18
from fitlib.training.noise import NoNoise

FAST = {"precision": "bfloat16", "channels_last": True}


def made(images: int, test: int = 10) -> Dataset:
    """Random images in ten classes and two groups."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        x = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        return Split(x, rng.integers(0, 10, n), np.arange(n) % 2, np.arange(n))

    return Dataset("made", split(images), split(test), tuple("0123456789"), ("gray", "colour"))


def bare(data: Dataset, batch: int, device: str) -> Callable[[], None]:
    """One epoch of a plain loop: forward, loss, backward, SGD step, on batches that are ready."""
    model = CifarResNet18((3, 32, 32), 10, CifarResNetOptions()).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    x = (torch.from_numpy(data.train.x).float() / 255).to(device)
    y = torch.from_numpy(data.train.y).to(device)
    ready = list(zip(x.split(batch), y.split(batch), strict=True))

    def epoch() -> None:
        for images, classes in ready:
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(images), classes).backward()
            optimizer.step()

    return epoch


def fitlib_loop(data: Dataset, batch: int, device: str, **options: object) -> Callable[[], None]:
    """One epoch of fitlib's loop, with the method `baseline`."""
    generators, noise = Generators.of(0), NoNoise(0, 0)
    training = Training(batch_size=batch, **options)
    method = make_method({"name": "baseline"}, {"name": "resnet18-cifar"}, training, data, generators)
    trained, progress = prepare(data, method, generators, device), Progress()
    method.start_stage(0)
    rows = np.arange(len(data.train))
    part = Part.of(data.train, device)

    def epoch() -> None:
        losses = _epoch(trained, progress, 0, batches(trained, progress, part, rows, generators), noise)
        torch.stack(losses).cpu()

    return epoch


def seconds(epoch: Callable[[], None], device: str) -> float:
    """Time of one epoch, the device's queue included."""
    start = time.perf_counter()
    epoch()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def side_by_side(loops: dict[str, Callable[[], None]], rounds: int, device: str) -> dict[str, float]:
    """Shortest time of an epoch of each loop, in turns; the first turn is not counted."""
    turns = [{name: seconds(epoch, device) for name, epoch in loops.items()} for _ in range(rounds + 1)][1:]
    return {name: min(turn[name] for turn in turns) for name in loops}


def full_epoch(device: str) -> str:
    """Seconds of the second of two epochs of CIFAR-10S size, and the projection to task S."""
    data, generators, ends = made(50_000, 20_000), Generators.of(0), [time.perf_counter()]
    training = Training(epochs=2, batch_size=128, shift=4, flip=True, **FAST)
    method = make_method({"name": "baseline"}, {"name": "resnet18-cifar"}, training, data, generators)
    train(data, method, NoNoise(0, 0), generators, device, lambda rows: ends.append(time.perf_counter()))
    one = ends[2] - ends[1]
    hours = 96 * 200 * one / 3600
    return f"one epoch (50,000 images, 20,000 predictions): {one:.2f} s; 96 trainings of 200 such epochs: {hours:.1f} h"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"images": 512, "batch": 128, "rounds": 3, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    data, size = made(chosen.images), (chosen.batch, chosen.device)
    loops = {"bare PyTorch, float32": bare(data, *size), "fitlib, float32": fitlib_loop(data, *size)}
    loops |= {"fitlib, bfloat16 and channels-last": fitlib_loop(data, *size, **FAST)}
    found = side_by_side(loops, chosen.rounds, chosen.device)
    rates = {name: chosen.images / s for name, s in found.items()}
    print(machine("torch"), f"; {chosen.threads} threads, batches of {chosen.batch}")
    first, own, fast = rates.values()
    print(
        table(["loop", "images / s", "against bare"], [[n, f"{r:.1f}", f"{r / first:.2f}"] for n, r in rates.items()])
    )
    print(met(own >= 0.9 * first, "at least 0.9 of the bare loop"))
    print(met(fast >= 2 * own, "bfloat16 and channels-last at least twice the float32 rate"))
    if chosen.full:
        print(full_epoch(chosen.device))


if __name__ == "__main__":
    main()
