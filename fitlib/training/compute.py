"""How a network computes, whatever method trains it: precision, compilation, memory format, and running out of memory.

Precision and compilation belong to the network's own functions (`ENTRY_POINTS`): losses, penalties and optimisers
around it always see float32, and a method needs to know nothing of either.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import torch
from torch import Tensor, nn

from fitlib.errors import InputError, RunFailed
from fitlib.experiment.training_options import Training

ENTRY_POINTS = ("forward", "features", "maps", "forward_with")
SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory")  # of PyTorch's allocators, CUDA and CPU


def computing(network: type[nn.Module], training: Training) -> type[nn.Module]:
    """The network class that computes as the options say; the class itself for float32 without compilation."""
    if training.compile and not any(map(shutil.which, (os.environ.get("CXX") or "g++", "c++", "clang++"))):
        problem = "torch.compile needs a C++ compiler, and there is none"
        raise InputError("training", "compile", True, problem, "install one, such as g++, or leave compile out")
    changed: dict[str, object] = {}
    for name in (name for name in ENTRY_POINTS if hasattr(network, name)):
        function = getattr(network, name)
        if training.precision == "bfloat16":
            function = _in_bfloat16(function)
        if training.compile:
            function = torch.compile(function)
        changed[name] = function
    if training.precision == "float32" and not training.compile:
        return network
    return type(network.__name__, (network,), {**changed, "compute_dtype": getattr(torch, training.precision)})


def compute_dtype(model: nn.Module, parameter: nn.Parameter) -> torch.dtype:
    """The type in which a model multiplies with a parameter: that of the innermost network that declares one."""
    found = parameter.dtype
    for module in model.modules():  # outer ones first
        if hasattr(module, "compute_dtype") and any(p is parameter for p in module.parameters()):
            found = module.compute_dtype
    return found


def memory_format(x: Tensor, channels_last: bool) -> Tensor:
    """Images (n, channels, height, width) in the memory format that the options name; anything else as it is."""
    wanted = torch.channels_last if channels_last and x.dim() == 4 else torch.contiguous_format
    return x.contiguous(memory_format=wanted)


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """RunFailed with the remedy where memory runs out inside."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        if not isinstance(error, MemoryError) and not any(sign in str(error).lower() for sign in SIGNS):
            raise
        raise RunFailed(f"out of memory: {remedy} ({first[:160] or 'no detail'})") from error


def _in_bfloat16(function: Callable) -> Callable:
    """Autocast: products in bfloat16 (8 bits of precision), weights and what leaves the network in float32."""

    @wraps(function)
    def run(self: nn.Module, x: Tensor, *args: object, **options: object) -> object:
        with torch.autocast(x.device.type, torch.bfloat16):
            out = function(self, x, *args, **options)
        return _in_float32(out)

    return run


def _in_float32(out: object) -> object:
    if isinstance(out, dict):
        return {name: _in_float32(value) for name, value in out.items()}
    if isinstance(out, tuple):
        return tuple(_in_float32(value) for value in out)
    return out.float() if isinstance(out, Tensor) and out.is_floating_point() else out
