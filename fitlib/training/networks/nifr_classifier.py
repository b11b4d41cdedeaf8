"""The small convolutional classifier of the null-sampling study."""

from __future__ import annotations

from torch import Tensor, nn

from fitlib.errors import InputError
from fitlib.experiment.registry.networks import NifrClassifierOptions

DEPTH = 5  # convolutions, each followed by a 2x2 pool


class NifrClassifier(nn.Module):
    """Five convolutions, each with batch normalisation, LeakyReLU(0.01) and a 2x2 maximum pool; one linear layer.

    5x5 to `width` channels without padding, then padded 3x3 to 2, 4, 8 and 16 times `width`: sides 60, 30, 15, 7, 3, 1
    at 64x64 pixels, 512 features at width 32. With `one_logit` (two classes) the layer has a single output z, returned
    as the pair (0, z): cross entropy of the pair is binary cross entropy of z, argmax is "sigmoid(z) > 1/2".
    Reference: Kehrenberg et al., Null-sampling for Interpretable and Fair Representations, ECCV 2020.
    """

    def __init__(self, shape: tuple[int, int, int], n_outputs: int, options: NifrClassifierOptions):
        super().__init__()
        width, (channels, *sides) = options.width, shape
        self.n_features = 2 ** (DEPTH - 1) * width * _pooled(sides[0], shape) * _pooled(sides[1], shape)
        widths = [width * 2**number for number in range(DEPTH)]
        blocks = [_block(channels, width, kernel=5, padding=0)]
        blocks += [_block(inputs, 2 * inputs, kernel=3, padding=1) for inputs in widths[:-1]]
        self.body = nn.Sequential(*blocks, nn.Flatten())
        self.head = (_OneLogit if options.one_logit else nn.Linear)(self.n_features, n_outputs)

    def features(self, x: Tensor) -> Tensor:
        """Return the features (n, n_features) that the head classifies."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, n_outputs)."""
        return self.head(self.features(x))


class _OneLogit(nn.Linear):
    """A linear layer with one output z, returned as (0, z)."""

    def __init__(self, n_features: int, n_outputs: int):
        if n_outputs != 2:
            problem = f"the method asks for {n_outputs} outputs; one logit can only separate two classes"
            raise InputError("network", "one_logit", True, problem, "set one_logit to false")
        super().__init__(n_features, 1)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.pad(super().forward(features), (1, 0))


def _block(inputs: int, outputs: int, kernel: int, padding: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=padding)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.01), nn.MaxPool2d(2))


def _pooled(side: int, shape: tuple[int, int, int]) -> int:
    remaining = (side - 4) // 2**DEPTH
    if remaining < 1:
        problem = "the images are too small for five poolings"
        raise InputError("network", "nifr-cnn", shape, problem, "use images of 36 pixels or more, or small-cnn")
    return remaining
