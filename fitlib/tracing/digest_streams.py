"""Digest streams: the state of a training after every step, as SHA-256 digests by which runs are compared.

After each step four parts are digested: the loss, the gradients, the weights and the buffers. A stream contains the
digests of one run and can be saved, so that runs from different processes or machines can be compared as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fitlib.errors import InputError, RunFailed

PARTS = ("loss", "gradients", "weights", "buffers")
FORMAT = 1  # of the files; streams in another format are refused
Named = Sequence[tuple[str, Tensor]]


@dataclass
class Stream:
    """Digests of one run: `steps[k]` has those of step k, in the order of `PARTS`; `failed` describes a crash."""

    run: str
    about: Mapping[str, Any] = field(default_factory=dict)  # training, noise, seeds and device
    layout: list[list] = field(default_factory=list)  # [name, dtype, shape] of every weight and buffer
    start: str = ""  # digest of initial weights and buffers
    steps: list[tuple[str, ...]] = field(default_factory=list)
    failed: str = ""


def parts_of(model: nn.Module, loss: Tensor) -> dict[str, Named]:
    """Return the named tensors of each part after a step; a weight without a gradient has none."""
    weights = list(model.named_parameters())
    gradients = [(name, p.grad) for name, p in weights if p.grad is not None]
    return {
        "loss": [("loss", loss)],
        "gradients": gradients,
        "weights": weights,
        "buffers": list(model.named_buffers()),
    }


def step_digests(model: nn.Module, loss: Tensor) -> tuple[str, ...]:
    """Return one digest for each of `PARTS`."""
    return tuple(digest_flat(named) for named in parts_of(model, loss).values())


def digest_flat(named: Named) -> str:
    """Return the hex SHA-256 of all names, dtypes and shapes, and then of all bytes, in the given order.

    The bytes are concatenated on the device first, so that a step costs one transfer and one pass, not one per tensor.
    """
    total = hashlib.sha256(_header(tuple((name, t.dtype, t.shape) for name, t in named)))
    if named:
        total.update(torch.cat([_bytes(t) for _, t in named]).cpu().numpy().data)
    return total.hexdigest()


def layout(model: nn.Module) -> list[list]:
    """Return [name, dtype, shape] of every weight and buffer."""
    return [_row(name, t.dtype, t.shape) for name, t in [*model.named_parameters(), *model.named_buffers()]]


def differing(first: Named, second: Named) -> list[str]:
    """Return the names of tensors whose bytes differ, or that only one side has, in the order of the first."""
    others = dict(second)
    unequal = [name for name, t in first if name not in others or not same_bytes(t, others[name])]
    return unequal + [name for name in others if name not in dict(first)]


def same_bytes(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors have equal dtype, shape and bytes; unlike `==`, NaN equals NaN and 0.0 is not -0.0.

    >>> same_bytes(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    True
    >>> same_bytes(torch.tensor([0.0]), torch.tensor([-0.0]))
    False
    """
    comparable = first.dtype == second.dtype and first.shape == second.shape
    return comparable and torch.equal(_bytes(first), _bytes(second))


def first_difference(streams: Sequence[Stream]) -> tuple[int, list[str]] | None:
    """Return the first step after which streams differ, with the parts that differ; step -1: they started apart.

    None: equal over all common steps. InputError if they cannot be compared (fewer than two, another training,
    unequal shapes); RunFailed if one crashed while its steps were equal to the others'.
    """
    _check_comparable(streams)
    if len({s.start for s in streams}) > 1:
        return -1, ["weights"]
    for step, rows in enumerate(zip(*(s.steps for s in streams), strict=False)):
        if len(set(rows)) > 1:
            return step, [part for part, *values in zip(PARTS, *rows, strict=True) if len(set(values)) > 1]
    for stream in streams:
        if stream.failed:
            raise RunFailed(f"{stream.run} crashed at step {len(stream.steps)}, until then equal: {stream.failed}")
    return None


def write_stream(path: Path, stream: Stream) -> None:
    """Write a stream to a JSON file."""
    path.write_text(json.dumps({"format": FORMAT, **asdict(stream)}, indent=1) + "\n", encoding="utf-8")


def read_stream(path: Path) -> Stream:
    """Read a stream; InputError if the file is not a stream, or has another format."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found.pop("format")
    except OSError as error:
        raise InputError(str(path), "file", path.name, error.strerror or "unreadable", "correct the path") from None
    except (ValueError, AttributeError, KeyError, TypeError):
        remedy = "give files written by fitlib trace --out, or one experiment file"
        raise InputError(str(path), "file", path.name, "not a digest stream", remedy) from None
    if version != FORMAT:
        remedy = "trace both runs again with one version of fitlib"
        problem = f"digests of another version of fitlib (this one reads format {FORMAT})"
        raise InputError(str(path), "format", version, problem, remedy)
    return _stream(found, path)


def check_layouts(layouts: Mapping[str, list[list]]) -> None:
    """Raise InputError for the first tensor whose name, dtype or shape is not the same in all runs."""
    (first, expected), *others = layouts.items()
    for run, found in others:
        for here, there in zip_longest(expected, found):
            if here != there:
                _refuse_layout(first, here, run, there)


def _refuse_layout(first: str, here: list | None, run: str, there: list | None) -> None:
    described = [f"{_describe(tensor)} in {where}" for tensor, where in ((here, first), (there, run))]
    problem = f"unlike shapes: {' but '.join(described)}"
    raise InputError("trace", "tensor", (here or there or ["?"])[0], problem, "compare runs of one training")


def _describe(tensor: list | None) -> str:
    return "no such tensor" if tensor is None else f"{tensor[0]} {tensor[1]} {tuple(tensor[2])}"


def _check_comparable(streams: Sequence[Stream]) -> None:
    if len(streams) < 2:
        problem = "one run has nothing to diverge from"
        raise InputError("trace", "runs", len(streams), problem, "give two or more")
    check_layouts({s.run: s.layout for s in streams})
    if min(len(s.steps) for s in streams) == 0 and not any(s.failed for s in streams):
        empty = next(s.run for s in streams if not s.steps)
        raise InputError("trace", "steps", 0, f"{empty} has no step", "trace it for one step or more")


def _stream(found: dict, path: Path) -> Stream:
    try:
        steps = [tuple(row) for row in found.pop("steps")]
        complete = all(len(row) == len(PARTS) for row in steps)
        if complete:
            return Stream(**found, steps=steps)
    except (TypeError, KeyError):
        pass
    raise InputError(str(path), "steps", path.name, "incomplete digest stream", "trace the run again")


def _bytes(tensor: Tensor) -> Tensor:
    """Return the bytes (n,) of a tensor, in the logical order of its entries."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


@lru_cache(maxsize=64)
def _header(described: tuple) -> bytes:
    return json.dumps([_row(*tensor) for tensor in described]).encode()


def _row(name: str, dtype: torch.dtype, shape: Iterable[int]) -> list:
    return [name, str(dtype), list(shape)]
