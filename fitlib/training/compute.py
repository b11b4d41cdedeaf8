"""How a network computes, whatever method trains it: precision, compilation, memory format, lack of memory.

Precision and compilation apply to the network's entry points (`ENTRY_POINTS`) only: losses, penalties and optimisers
around it always see float32, and methods need no code for either.
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
MEMORY_ERRORS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
)  # of PyTorch's allocators, CUDA and CPU


def configure_network(network: type[nn.Module], training: Training) -> type[nn.Module]:
    """Return a subclass with the declared precision and compilation; for plain float32, the class itself."""
    if training.compile and not any(map(shutil.which, (os.environ.get("CXX") or "g++", "c++", "clang++"))):
        problem = "torch.compile needs a C++ compiler, and none is installed"
        raise InputError("training", "compile", True, problem, "install one, such as g++, or leave out compile")
    changed: dict[str, object] = {}
    for name in (name for name in ENTRY_POINTS if hasattr(network, name)):
        function: Callable = getattr(network, name)
        if training.precision == "bfloat16":
            function = _in_bfloat16(function)
        if training.compile:
            function = torch.compile(function)
        changed[name] = function
    if training.precision == "float32" and not training.compile:
        return network
    return type(network.__name__, (network,), {**changed, "compute_dtype": getattr(torch, training.precision)})


def compute_dtype(model: nn.Module, parameter: nn.Parameter) -> torch.dtype:
    """Return the dtype in which a model multiplies with a parameter: that of the innermost network declaring one."""
    dtype = parameter.dtype
    for module in model.modules():  # outer modules come first
        declared = getattr(module, "compute_dtype", None)
        if isinstance(declared, torch.dtype) and any(p is parameter for p in module.parameters()):
            dtype = declared
    return dtype


def memory_format(x: Tensor, channels_last: bool) -> Tensor:
    """Convert images (n, channels, height, width) to the declared memory format; anything else is made contiguous."""
    wanted = torch.channels_last if channels_last and x.dim() == 4 else torch.contiguous_format
    return x.contiguous(memory_format=wanted)


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Raise RunFailed with the remedy if memory runs out inside."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        first = str(error).partition("\n")[0]
        if not isinstance(error, MemoryError) and not any(text in str(error).lower() for text in MEMORY_ERRORS):
            raise
        raise RunFailed(f"out of memory: {remedy} ({first[:160] or 'no detail'})") from error


def _in_bfloat16(function: Callable) -> Callable:
    """Wrap a function in autocast: products in bfloat16 (8 bits of precision), weights and outputs in float32."""

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
