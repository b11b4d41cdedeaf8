"""Gradient reversal: identity forwards, gradient times a negative factor backwards."""

from __future__ import annotations

import torch
from torch import Tensor


class GradientReversal(torch.autograd.Function):
    """y = x;  dL/dx = -factor · dL/dy.

    What comes after it learns to predict, what comes before it learns to prevent that.
    Reference: Ganin & Lempitsky, ICML 2015.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, factor: float) -> Tensor:
        """The input itself."""
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient, reversed and scaled; the factor gets none."""
        return -ctx.factor * gradient, None


def reverse_gradient(x: Tensor, factor: float = 1.0) -> Tensor:
    """`x` as it is; its gradient is multiplied by -`factor`."""
    return GradientReversal.apply(x, factor)
