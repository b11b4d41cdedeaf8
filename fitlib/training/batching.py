"""From a data set to batches: parts on the device, cropping, augmentation and normalisation.

Random numbers are drawn on the CPU, in canonical batch order, from the generator passed in, so they are the same for
every device; the images themselves never leave the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fitlib.datasets.dataset import Normalisation, Ragged, Split
from fitlib.errors import InputError
from fitlib.experiment.training_options import Training
from fitlib.training.compute import enough_memory, memory_format

CHUNK = 1024  # images per pass when pixels are summed


class Images:
    """`Ragged` images on the device; `images[row]` is a view (3, height, width) of the row's pixels."""

    def __init__(self, ragged: Ragged, device: str):
        ragged = ragged if device == "cpu" else ragged.compact()
        self.pixels = torch.from_numpy(ragged.pixels).to(device)
        self.sizes = torch.from_numpy(ragged.sizes[ragged.rows])
        self.starts = ragged.offsets[ragged.rows].tolist()

    def __getitem__(self, row: int) -> Tensor:
        height, width = self.sizes[row].tolist()
        return self.pixels[self.starts[row] : self.starts[row] + 3 * height * width].view(3, height, width)


@dataclass(frozen=True)
class Part:
    """One part of the data on the device: x as stored, y and protected (rows, …)."""

    x: Tensor | Images
    y: Tensor
    protected: Tensor

    @classmethod
    def of(cls, split: Split, device: str) -> Part:
        """Copy a split to the device, once."""
        with enough_memory(f"the data do not fit into the memory of {device}: take fewer or smaller images (data)"):
            x = Images(split.x, device) if isinstance(split.x, Ragged) else torch.from_numpy(split.x).to(device)
            return cls(x, *(torch.from_numpy(array).to(device) for array in (split.y, split.protected)))

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Normaliser:
    """Per-channel standardisation, (x - mean) / SD, each (1, channels, …); the identity without constants."""

    constants: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, normalisation: Normalisation, split: Split, rows: np.ndarray, device: str) -> Normaliser:
        """Take the constants that a data set declares; for "training", mean and population SD of the given rows."""
        if normalisation is None:
            return cls(None)
        mean, sd = _moments(split.x, rows) if normalisation == "training" else map(np.asarray, normalisation)
        dims = 4 if isinstance(split.x, Ragged) else split.x.ndim
        shape = (1, -1, *[1] * (dims - 2))
        center, scale = (
            torch.tensor(c.reshape(shape), dtype=torch.float32, device=device) for c in (mean, np.maximum(sd, 1e-12))
        )
        return cls((center, scale))

    def __call__(self, x: Tensor) -> Tensor:
        """Standardise a batch of inputs (n, channels, …)."""
        if self.constants is None:
            return x
        mean, sd = self.constants
        return (x - mean) / sd


@dataclass(frozen=True)
class Inputs:
    """The path from stored images to a network's inputs: crop, augmentation, float in [0, 1], normalisation, format."""

    normalise: Normaliser
    training: Training

    def training_batch(self, part: Part, rows: Tensor, device_rows: Tensor, generator: torch.Generator) -> Batch:
        """Make a training batch from rows (n,), given on CPU and device, so that no step waits for a copy."""
        x = augment(crop(part.x, rows, device_rows, self.training.crop, generator), self.training, generator)
        x = self._finished(x, noisy=True, generator=generator)
        return Batch(x, part.y[device_rows], part.protected[device_rows])

    def prediction_inputs(self, part: Part, size: int) -> Iterator[Tensor]:
        """Yield the inputs of all rows in order, `size` at a time: central crops, no augmentation."""
        for rows in torch.arange(len(part)).split(size):
            x = crop(part.x, rows, rows.to(part.y.device), self.training.crop)
            yield self._finished(x, noisy=self.training.noisy_predictions)

    def _finished(self, x: Tensor, noisy: bool, generator: torch.Generator | None = None) -> Tensor:
        floats = x.float() / 255 if x.dtype == torch.uint8 else x
        if self.training.bits:
            noise = torch.rand(x.shape, generator=generator).to(x.device, non_blocking=True) if noisy else 0.5
            floats = dequantise(floats, self.training.bits, noise)
        return memory_format(self.normalise(floats), self.training.channels_last)


def input_shape(split: Split, training: Training) -> tuple[int, ...]:
    """Return the shape of one input; InputError if images of different sizes have no crop, or are smaller than it."""
    x, side = split.x, training.crop
    if side is None:
        if isinstance(x, Ragged):
            problem = "the images have different sizes"
            raise InputError("training", "crop", side, problem, "give the side of the crop in pixels, such as 224")
        return x.shape[1:]
    smallest = int(x.sizes[x.rows].min()) if isinstance(x, Ragged) else min(x.shape[2:])
    if smallest < side:
        problem = f"the smallest image has a side of only {smallest} pixels"
        raise InputError("training", "crop", side, problem, "reduce crop, or load larger images")
    return (3 if isinstance(x, Ragged) else x.shape[1], side, side)


def crop(
    x: Tensor | Images, rows: Tensor, device_rows: Tensor, side: int | None, generator: torch.Generator | None = None
) -> Tensor:
    """Return the stored images of the given rows, cropped to (n, channels, side, side).

    With a generator the crops are random, each position equally likely; without one they are central, with odd margins
    rounded half to even. `side` None: whole images, which must be of one size.
    """
    if side is None:
        if not isinstance(x, Tensor):
            raise TypeError("images of unlike sizes need a side")  # `input_shape` refuses them without a crop
        return x[device_rows]
    sizes = x.sizes[rows] if isinstance(x, Images) else torch.tensor(x.shape[2:]).expand(len(rows), 2)
    free = sizes - side
    if generator is None:
        starts = (free / 2).round().long()
    else:
        starts = (torch.rand(free.shape, generator=generator, dtype=torch.float64) * (free + 1)).long()
    chosen = zip(rows.tolist(), starts.tolist(), strict=True)
    return torch.stack([x[row][:, top : top + side, left : left + side] for row, (top, left) in chosen])


def augment(x: Tensor, training: Training, generator: torch.Generator) -> Tensor:
    """Apply random shifts (crop after zero padding) and horizontal flips, drawn in batch order."""
    if training.shift:
        x = shift(x, training.shift, generator)
    if training.flip:
        flipped = (torch.rand(len(x), generator=generator) < 0.5).to(x.device, non_blocking=True)
        x = torch.where(flipped[:, None, None, None], x.flip(3), x)
    return x.contiguous()


def shift(x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Shift each image by up to `most` pixels, uniformly and independently in both directions; zeros move in."""
    n, _, height, width = x.shape
    offset = torch.randint(0, 2 * most + 1, (2, n, 1), generator=generator).to(x.device, non_blocking=True)
    padded = nn.functional.pad(x, (most, most, most, most))
    # One gather with an index array for each axis instead of a crop for each image: a batch costs one kernel.
    rows = (offset[0] + torch.arange(height, device=x.device))[:, :, None]
    columns = (offset[1] + torch.arange(width, device=x.device))[:, None, :]
    return padded[torch.arange(n, device=x.device)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


def dequantise(x: Tensor, bits: int, noise: Tensor | float) -> Tensor:
    """Quantise values in [0, 1] to floor(2^bits x) steps of 2^-bits and add `noise` steps.

    `noise` is drawn from [0, 1) for each value, or is its mean, 1/2.

    >>> dequantise(torch.tensor([0.0, 0.3, 1.0]), bits=2, noise=0.5).tolist()
    [0.125, 0.375, 0.875]
    """
    steps = 2**bits
    return ((steps * x).floor().clamp(0, steps - 1) + noise) / steps


def _moments(x: np.ndarray | Ragged, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and population SD (channels,) over the rows' pixels, in [0, 1]; exact integer sums for bytes."""
    if not isinstance(x, Ragged) and x.dtype != np.uint8:
        values, axes = x[rows].astype(np.float64), (0, *range(2, x.ndim))
        return values.mean(axes), values.std(axes)
    n, total, squares = 0, np.zeros(1, np.int64), np.zeros(1, np.int64)
    for pixels in _chunks(x, rows):  # (images, channels, pixels)
        wide = pixels.astype(np.int64)
        n += wide.shape[0] * wide.shape[2]
        total, squares = total + wide.sum((0, 2)), squares + np.square(wide).sum((0, 2))
    mean = total / n
    return mean / 255, np.sqrt(np.maximum(squares / n - mean**2, 0)) / 255


def _chunks(x: np.ndarray | Ragged, rows: np.ndarray) -> Iterator[np.ndarray]:
    if isinstance(x, Ragged):
        yield from (x.image(row).reshape(1, 3, -1) for row in rows)
    else:
        pieces = np.array_split(rows, -(-len(rows) // CHUNK))
        yield from (x[piece].reshape(len(piece), x.shape[1], -1) for piece in pieces)


@dataclass(frozen=True)
class Batch:
    """The samples of one step on the device: x (n, …), y (n,) or (n, labels), protected (n,)."""

    x: Tensor
    y: Tensor
    protected: Tensor

    def take(self, rows: Tensor) -> Batch:
        """Return the given samples, in the given order."""
        return Batch(self.x[rows], self.y[rows], self.protected[rows])
