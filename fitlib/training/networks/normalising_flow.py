"""An invertible network (normalising flow) of affine couplings, after Glow and the null-sampling study."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from fitlib.errors import InputError


class Flow(nn.Module):
    """An invertible map of images x (n, channels, height, width) to latents z (n, d), d = channels · height · width.

    `levels` times: space-to-depth by 2 (four times the channels), then `blocks` times an invertible 1x1 convolution
    and an affine coupling; after every level but the last, the first half of the channels is final ("factored out").
    z concatenates the factored-out parts and the last map, each flattened. With z distributed as N(0, I),
    log p(x) = log N(z; 0, I) + log|det dz/dx|.

    References: Dinh et al., ICLR 2017 (couplings, levels); Kingma & Dhariwal, NeurIPS 2018 (1x1 convolutions);
    Kehrenberg et al., ECCV 2020 (this arrangement: no normalisation layers, scales in (1/2, 3/2)).
    """

    def __init__(self, shape: tuple[int, ...], levels: int, blocks: int, hidden: int):
        super().__init__()
        _check_divisible(shape, levels)
        self.shapes = _level_shapes(shape, levels)
        self.size = math.prod(shape)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                layer for _ in range(blocks) for layer in (InvertibleConvolution(channels), Coupling(channels, hidden))
            )
            for channels, _, _ in self.shapes
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latents z (n, d) and log|det dz/dx| (n,)."""
        final, logdet = [], x.new_zeros(len(x))
        for level in self.levels:
            x = nn.functional.pixel_unshuffle(x, 2)
            for layer in cast(nn.ModuleList, level):
                x, change = layer(x)
                logdet = logdet + change
            if level is not self.levels[-1]:
                done, x = x.chunk(2, dim=1)
                final.append(done.flatten(1))
        return torch.cat([*final, x.flatten(1)], dim=1), logdet

    def inverse(self, z: Tensor) -> Tensor:
        """Return the images x (n, channels, height, width) that `forward` maps to z (n, d)."""
        *final, x = z.split(self.part_sizes(), dim=1)
        x = x.unflatten(1, self.shapes[-1])
        for number in reversed(range(len(self.levels))):
            if number < len(final):
                channels, *sides = self.shapes[number]
                x = torch.cat([final[number].unflatten(1, (channels // 2, *sides)), x], dim=1)
            for layer in reversed(cast(nn.ModuleList, self.levels[number])):
                x = cast(InvertibleConvolution | Coupling, layer).inverse(x)
            x = nn.functional.pixel_shuffle(x, 2)
        return x

    def part_sizes(self) -> list[int]:
        """Return the numbers of latents factored out after each level, then of the last map; their sum is d."""
        return [math.prod(shape) // 2 for shape in self.shapes[:-1]] + [math.prod(self.shapes[-1])]


class InvertibleConvolution(nn.Module):
    """y = W x at every pixel, W (channels x channels) = P L (U + diag(sign · exp(log_s))); log|det| = h · w · Σ log_s.

    P (a permutation) and sign are fixed; L (unit lower triangular), U (strictly upper triangular) and log_s are
    trained, from the LU factors of a random rotation.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int):
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diagonal().sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_s = nn.Parameter(upper.diagonal().abs().log())

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return L and U + diag(sign · exp(log_s))."""
        unit = torch.eye(len(self.log_s), dtype=self.log_s.dtype, device=self.log_s.device)
        return self.lower.tril(-1) + unit, self.upper.triu(1) + torch.diag(self.sign * self.log_s.exp())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return W x at every pixel, and log|det|, which is the same for every image."""
        lower, upper = self.factors()
        return _per_pixel(self.permutation @ lower @ upper, x), x[0, 0].numel() * self.log_s.sum()

    def inverse(self, y: Tensor) -> Tensor:
        """Return W⁻¹ y at every pixel, with W⁻¹ = (U + diag(s))⁻¹ L⁻¹ Pᵀ from two triangular systems."""
        lower, upper = self.factors()
        half = torch.linalg.solve_triangular(lower, self.permutation.T, upper=False, unitriangular=True)
        return _per_pixel(torch.linalg.solve_triangular(upper, half, upper=True), y)


class Coupling(nn.Module):
    """y = [a, scale(a) · b + shift(a)], (a, b) the halves of the channels; scale = sigmoid(raw) + 1/2.

    (raw, shift) are the output of a small network of a: 3x3, 1x1 and 3x3 convolution with `hidden` channels in between.
    Its last layer starts within ±0.001, so that scale is near 1 and shift near 0.  log|det| = Σ log scale.
    """

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels // 2, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 3, padding=1),
        )
        for layer in (self.net[0], self.net[2]):
            nn.init.xavier_normal_(cast(Tensor, layer.weight))
        for parameter in self.net[4].parameters():
            nn.init.uniform_(parameter, -1e-3, 1e-3)

    def scale_and_shift(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return factors in (1/2, 3/2) and summands for the second half, from the first half."""
        raw, shift = self.net(a).chunk(2, dim=1)
        return raw.sigmoid() + 0.5, shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coupled channels and log|det| (n,)."""
        a, b = x.chunk(2, dim=1)
        scale, shift = self.scale_and_shift(a)
        return torch.cat([a, scale * b + shift], dim=1), scale.log().flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Return [a, b] with b = (y_b - shift(a)) / scale(a)."""
        a, b = y.chunk(2, dim=1)
        scale, shift = self.scale_and_shift(a)
        return torch.cat([a, (b - shift) / scale], dim=1)


def negative_log_likelihood(z: Tensor, logdet: Tensor) -> Tensor:
    """Return the mean of -(log N(z; 0, I) + log|det|) / d, in nats per dimension, for z (n, d) and logdet (n,)."""
    log_density = -0.5 * (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi))
    return -(log_density + logdet).mean() / z.shape[1]


def _per_pixel(weight: Tensor, x: Tensor) -> Tensor:
    return nn.functional.conv2d(x, weight[:, :, None, None])


def _level_shapes(shape: tuple[int, ...], levels: int) -> list[tuple[int, int, int]]:
    """Return the shape after each level's space-to-depth.

    >>> _level_shapes((3, 64, 64), levels=3)
    [(12, 32, 32), (24, 16, 16), (48, 8, 8)]
    """
    channels, height, width = shape
    shapes = [(4 * channels, height // 2, width // 2)]
    for _ in range(levels - 1):
        channels, height, width = shapes[-1]
        shapes.append((2 * channels, height // 2, width // 2))
    return shapes


def _check_divisible(shape: tuple[int, ...], levels: int) -> None:
    if len(shape) != 3 or any(side % 2**levels for side in shape[1:]):
        problem = f"height and width of the images, {tuple(shape)}, cannot be halved {levels} times"
        raise InputError("method", "levels", levels, problem, "lower levels, or crop the images")
