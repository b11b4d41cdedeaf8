"""The operators of a step: their inputs, their outputs, and the line of the user's code that called them.

An `OperatorRecorder` sees each operator that PyTorch dispatches (forward, backward and optimiser) and digests its
inputs before and its outputs after it ran. Operators with equal inputs but different outputs in two runs are the
culprits: any later difference is due to them. An operator of the backward pass is attributed to the line and module of
the forward operator whose gradient it computes, found by the sequence number that autograd assigns to both.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.hooks import RemovableHandle

from fitlib.digest import PACKAGE

HIDDEN = (str(Path(torch.__file__).parent) + os.sep, __file__)  # not the user's code
PLAIN = (int, float, complex, str, torch.dtype, torch.device, torch.memory_format)  # arguments that are digested
UNWRITTEN = ("empty", "new_empty", "resize")  # their outputs are arbitrary memory


@dataclass(frozen=True)
class Operator:
    """One call of an operator: digests of inputs and outputs, shapes, and its location in module and code."""

    name: str  # aten.convolution.default
    inputs: str
    outputs: str
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    module: str = ""  # dotted path in the model; in the backward pass, that of the forward operator
    line: str = ""  # file:number function: code, likewise
    node: str = ""  # its autograd node; empty in the forward pass

    @property
    def key(self) -> tuple:
        """The identity of the operator in other runs."""
        return self.name, self.node, self.module, self.line, self.input_shapes, self.output_shapes


@dataclass(frozen=True)
class Culprit:
    """An operator with equal inputs and different outputs: its number in the step, and in how many repetitions."""

    number: int
    operator: Operator
    times: int = 1


class OperatorRecorder(TorchDispatchMode):
    """A recorder of every operator that runs while it is watching, in `operators`."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Operator] = []
        self._modules: list[str] = []
        self._forward: dict[int, Operator] = {}  # autograd's sequence number -> operator

    def __torch_dispatch__(self, func: Any, types: tuple, args: tuple = (), kwargs: dict | None = None) -> object:
        kwargs = kwargs or {}
        if func.namespace == "profiler":
            return func(*args, **kwargs)
        # Inputs are digested first: an in-place operator overwrites them.
        inputs, input_shapes = _digest((args, kwargs))
        result = func(*args, **kwargs)
        outputs, output_shapes = ("", _shapes(result)) if _only_allocates(func) else _digest(result)
        operator = Operator(str(func), inputs, outputs, input_shapes, output_shapes)
        self.operators.append(self._placed(operator))
        return result

    @contextmanager
    def watching(self, model: nn.Module | None = None) -> Iterator[OperatorRecorder]:
        """Record the operators that run inside; with a model, also the path of the module that is running."""
        handles = [] if model is None else list(self._hooks(model))
        try:
            with self:
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def _hooks(self, model: nn.Module) -> Iterator[RemovableHandle]:
        for path, module in model.named_modules():
            name = path or type(module).__name__
            yield module.register_forward_pre_hook(lambda *_, name=name: self._modules.append(name))
            yield module.register_forward_hook(lambda *_: self._modules.pop() and None, always_call=True)

    def _placed(self, operator: Operator) -> Operator:
        """Return the operator with module and line; a forward operator is kept under autograd's sequence number."""
        node = torch._C._current_autograd_node()
        if node is not None:
            origin = self._forward.get(node._sequence_nr(), operator)
            line = origin.line or _line(sys._getframe(2))
            return replace(operator, module=origin.module, line=line, node=node.name().rpartition("::")[2])
        module = self._modules[-1] if self._modules else ""
        placed = replace(operator, module=module, line=_line(sys._getframe(2)))
        self._forward.setdefault(torch._C._autograd._get_sequence_nr() - 1, placed)
        return placed


def culprits(runs: Sequence[Sequence[Operator]]) -> list[Culprit]:
    """Return the operators with equal inputs but different outputs in the first and another run, in order.

    Only the operators that all runs have in common from the start of the step are compared: after the first unequal
    operator the runs cannot be aligned.
    """
    first, found = runs[0], []
    for number in range(n_common(runs)):
        here = first[number]
        if any(_differs(here, other[number]) for other in runs[1:]):
            found.append(Culprit(number, here))
    return found


def n_common(runs: Sequence[Sequence[Operator]]) -> int:
    """Return how many operators the runs have in common, from the start."""
    for number, calls in enumerate(zip(*runs, strict=False)):
        if len({(call.name, call.input_shapes) for call in calls}) > 1:
            return number
    return min(map(len, runs))


def count_repetitions(repetitions: Iterable[Iterable[Culprit]]) -> list[Culprit]:
    """Return the distinct culprits of several repetitions, with the number of repetitions in which each occurred."""
    counted: dict[int, Culprit] = {}
    for repetition in repetitions:
        for culprit in repetition:
            earlier = counted.get(culprit.number)
            counted[culprit.number] = culprit if earlier is None else replace(earlier, times=earlier.times + 1)
    return [counted[number] for number in sorted(counted)]


def culprits_of(function: Callable[[], object], repetitions: int = 8) -> list[Culprit]:
    """Find culprits in any code: `function` is called repeatedly, and must do the same each time.

    It sets its own seeds and starts from equal values. Each call is compared with the first one.
    """
    recorded = []
    for _ in range(repetitions):
        recorder = OperatorRecorder()
        with recorder.watching():
            function()
        recorded.append(recorder.operators)
    return count_repetitions(culprits([recorded[0], other]) for other in recorded[1:])


def _differs(here: Operator, there: Operator) -> bool:
    return here.inputs == there.inputs and here.outputs != there.outputs


def _only_allocates(func: Any) -> bool:
    """Return whether an operator only allocates memory, so that the content of its output is arbitrary."""
    return func.overloadpacket.__name__.startswith(UNWRITTEN)


def _digest(values: object) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """Return the SHA-256 of dtype, shape and bytes of all tensors and of all numbers in nested values; the shapes."""
    total, leaves = hashlib.sha256(), tree_flatten(values)[0]
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            total.update(f"{leaf.dtype}{tuple(leaf.shape)}".encode())
            total.update(_raw(leaf))
        elif isinstance(leaf, PLAIN):
            total.update(repr(leaf).encode())
    return total.hexdigest(), _shapes(leaves)


def _shapes(values: object) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(leaf.shape) for leaf in tree_flatten(values)[0] if isinstance(leaf, Tensor))


def _raw(tensor: Tensor) -> bytes | memoryview:
    """Return the bytes of a tensor, empty if it has no plain memory (sparse, quantised)."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        return b""
    plain = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return plain.detach().resolve_neg().contiguous().reshape(-1).view(torch.uint8).cpu().numpy().data


def _line(frame: FrameType | None) -> str:
    """Return `file:number function: code` of the innermost frame that is neither PyTorch's nor the recorder's."""
    while frame is not None and frame.f_code.co_filename.startswith(HIDDEN):
        frame = frame.f_back
    if frame is None:
        return ""
    return _described(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


@lru_cache(maxsize=4096)
def _described(file: str, number: int, function: str) -> str:
    code = linecache.getline(file, number).strip()
    return f"{_short_path(file)}:{number} {function}" + (f": {code}" if code else "")


def _short_path(file: str) -> str:
    """Return a path relative to fitlib or the working folder, else the file name; `cell` for a notebook's cell."""
    if "ipykernel_" in file or file.startswith("<"):
        return "cell"
    for base in (PACKAGE.parent, Path.cwd()):
        if Path(file).is_relative_to(base):
            return Path(file).relative_to(base).as_posix()
    return Path(file).name
