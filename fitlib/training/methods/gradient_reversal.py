"""Gradient reversal: the identity in the forward pass, the gradient times a negative factor in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class GradientReversal(torch.autograd.Function):
    """y = x;  dL/dx = -factor · dL/dy.

    The layers after it learn to predict, the layers before it learn to prevent that.
    Reference: Ganin & Lempitsky, ICML 2015.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        """Return the input."""
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient, reversed and scaled; the factor has none."""
        return -ctx.factor * gradient, None


def reverse_gradient(x: Tensor, factor: float = 1.0) -> Tensor:
    """Return `x` unchanged; its gradient will be multiplied by -`factor`."""
    return GradientReversal.apply(x, factor)
