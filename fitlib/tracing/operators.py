"""Every operator of a step: what it got, what it gave, and where it stands in the user's code.

A `OperatorRecorder` sees each operator that PyTorch dispatches (forward, backward and optimiser) and digests its inputs
before and its outputs after it ran. Operators that got equal inputs in two runs and gave different outputs are the
culprits: whatever differs later differs because of them. For an operator of the backward pass, line and module are
those of the forward operator whose gradient it computes, found by the sequence number that autograd gives both.
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

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from fitlib.digest import PACKAGE

HIDDEN = (str(Path(torch.__file__).parent) + os.sep, __file__)  # no lines of the user's code
PLAIN = (int, float, complex, str, torch.dtype, torch.device, torch.memory_format)  # arguments that are digested
UNWRITTEN = ("empty", "new_empty", "resize")  # their outputs are whatever the memory held


@dataclass(frozen=True)
class Operator:
    """One call of an operator: digests of inputs and outputs, shapes, and its place in module and code."""

    name: str  # aten.convolution.default
    inputs: str
    outputs: str
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    module: str = ""  # dotted path in the model; of the forward operator for one of the backward pass
    line: str = ""  # file:number function: code, likewise
    node: str = ""  # autograd node that it belongs to; empty in the forward pass

    @property
    def key(self) -> tuple:
        """What makes it the same operator in another run."""
        return self.name, self.node, self.module, self.line, self.input_shapes, self.output_shapes


@dataclass(frozen=True)
class Culprit:
    """An operator whose inputs were equal and outputs differed: its number in the step, and in how many repetitions."""

    number: int
    operator: Operator
    times: int = 1


class OperatorRecorder(TorchDispatchMode):
    """Records in `operators` every operator that runs while it watches."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Operator] = []
        self._modules: list[str] = []
        self._forward: dict[int, Operator] = {}  # autograd's sequence number -> the operator it was given to

    def __torch_dispatch__(self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> object:
        kwargs = kwargs or {}
        if func.namespace == "profiler":
            return func(*args, **kwargs)
        given, given_shapes = _digest((args, kwargs))
        result = func(*args, **kwargs)
        made, made_shapes = ("", _shapes(result)) if _unwritten(func) else _digest(result)
        operator = Operator(str(func), given, made, given_shapes, made_shapes)
        self.operators.append(self._placed(operator))
        return result

    @contextmanager
    def watching(self, model: nn.Module | None = None) -> Iterator[OperatorRecorder]:
        """Record what happens inside; with a model, also the path of its module that is at work."""
        handles = [] if model is None else list(self._hooks(model))
        try:
            with self:
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def _hooks(self, model: nn.Module) -> Iterator[object]:
        for path, module in model.named_modules():
            name = path or type(module).__name__
            yield module.register_forward_pre_hook(lambda *_, name=name: self._modules.append(name))
            yield module.register_forward_hook(lambda *_: self._modules.pop() and None, always_call=True)

    def _placed(self, operator: Operator) -> Operator:
        """The operator with module and line; a forward one is remembered under autograd's number."""
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
    """Operators whose inputs were equal in the first and another run while their outputs differed, in order.

    Compared are the operators that all runs have in common from the start of the step; from the first one on that is
    not the same operator, nothing can be said.
    """
    first, found = runs[0], []
    for number in range(common(runs)):
        here = first[number]
        if any(_parts(here, other[number]) for other in runs[1:]):
            found.append(Culprit(number, here))
    return found


def common(runs: Sequence[Sequence[Operator]]) -> int:
    """How many operators the runs have in common, from the start."""
    for number, calls in enumerate(zip(*runs, strict=False)):
        if len({(call.name, call.input_shapes) for call in calls}) > 1:
            return number
    return min(map(len, runs))


def counted(repetitions: Iterable[Iterable[Culprit]]) -> list[Culprit]:
    """Culprits of several repetitions, each once, with the number of repetitions in which it was one."""
    found: dict[int, Culprit] = {}
    for repetition in repetitions:
        for culprit in repetition:
            known = found.get(culprit.number)
            found[culprit.number] = culprit if known is None else replace(known, times=known.times + 1)
    return [found[number] for number in sorted(found)]


def culprits_of(function: Callable[[], object], repetitions: int = 8) -> list[Culprit]:
    """Culprits in code of your own: `function` is called again and again, and must do the same each time.

    It sets its own seeds and starts from equal values. Each call is compared with the first one.
    """
    recorded = []
    for _ in range(repetitions):
        recorder = OperatorRecorder()
        with recorder.watching():
            function()
        recorded.append(recorder.operators)
    return counted(culprits([recorded[0], other]) for other in recorded[1:])


def _parts(here: Operator, there: Operator) -> bool:
    return here.inputs == there.inputs and here.outputs != there.outputs


def _unwritten(func: Callable) -> bool:
    """Whether an operator only allocates: what its output holds has no meaning yet."""
    return func.overloadpacket.__name__.startswith(UNWRITTEN)


def _digest(values: object) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """SHA-256 over dtype, shape and bytes of all tensors and over all numbers in nested values; the shapes."""
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


def _raw(tensor: Tensor) -> object:
    """Bytes of a tensor; none of one that has no plain memory (sparse, or of another kind)."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        return b""
    plain = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return plain.detach().resolve_neg().contiguous().reshape(-1).view(torch.uint8).cpu().numpy()


def _line(frame: FrameType | None) -> str:
    """`file:number function: code` of the innermost frame that is neither PyTorch's nor the recorder's."""
    while frame is not None and frame.f_code.co_filename.startswith(HIDDEN):
        frame = frame.f_back
    if frame is None:
        return ""
    return _told(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


@lru_cache(maxsize=4096)
def _told(file: str, number: int, function: str) -> str:
    code = linecache.getline(file, number).strip()
    return f"{_shown(file)}:{number} {function}" + (f": {code}" if code else "")


def _shown(file: str) -> str:
    """A path as it is told: within fitlib, within the working folder, or the name alone; a notebook's cell."""
    if "ipykernel_" in file or file.startswith("<"):
        return "cell"
    for base in (PACKAGE.parent, Path.cwd()):
        if Path(file).is_relative_to(base):
            return Path(file).relative_to(base).as_posix()
    return Path(file).name
