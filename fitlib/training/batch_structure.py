"""Batches of any make: tensors or arrays in tuples, lists, mappings and dataclasses, one axis of samples in all."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fitlib.errors import InputError

PLAIN = (str, bytes, int, float, complex, bool, type(None))
Array = Tensor | np.ndarray


def leaves(batch: object, name: str = "batch") -> Iterator[tuple[str, object]]:
    """What a batch holds, (name, value) in its own order: `batch.0`, `batch.image`; a list of plain values is one."""
    children = _children(batch)
    if children is None:
        yield name, batch
    else:
        for key, value in children:
            yield from leaves(value, f"{name}.{key}")


def arrays(named: Iterator[tuple[str, object]]) -> Iterator[tuple[str, Array]]:
    """The same for digests: plain values as bytes of their text; of anything else the type alone."""
    for name, value in named:
        if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind != "O"):
            yield name, value
        else:
            yield name, np.frombuffer(json.dumps(_text(value)).encode(), np.uint8)


def n_samples(batch: object) -> int:
    """Length of the first axis of all tensors; InputError where there is no tensor, or they differ."""
    lengths = dict.fromkeys(len(value) for _, value in leaves(batch) if _has_rows(value))
    if len(lengths) != 1:
        problem = f"tensors of {', '.join(map(str, lengths))} rows" if lengths else "no tensor"
        remedy = "let all tensors of a batch have the samples as first axis, or use noise ulp"
        raise InputError("noise", "batch", type(batch).__name__, f"{problem} in a batch: what are its samples?", remedy)
    return next(iter(lengths))


def smallest(batch: object) -> tuple[str, Array]:
    """Name and tensor with the fewest bytes: the labels, normally. InputError where there is no tensor."""
    best, fewest = None, (True, 0)  # a tensor without an axis counts only where there is no other
    for name, value in leaves(batch):
        if isinstance(value, Array):
            size = (not value.ndim, value.nbytes)
            if best is None or size < fewest:
                best, fewest = (name, value), size
    if best is None:
        remedy = "let the loader give tensors, or tuples, lists or mappings of them"
        raise InputError("Recorder", "batch", type(batch).__name__, "no tensor in it", remedy)
    return best


def feed(total: hashlib._Hash, name: str, array: Array) -> None:
    """Add name, type, shape and bytes to a hash: every batch has to, so this is the quick way for small arrays."""
    kind, shape = array.dtype, tuple(array.shape)
    if isinstance(array, Tensor):
        array = array.detach().cpu().contiguous()
        array = (array.view(torch.int16) if kind == torch.bfloat16 else array).numpy()  # NumPy has no bfloat16
    total.update(f"{name} {kind} {shape}\n".encode())
    total.update(np.ascontiguousarray(array))


def take(batch: object, order: Tensor) -> object:
    """A copy with the samples in another order; lists of as many plain values follow, anything else stays."""
    there = cache(lambda device: order.to(device, non_blocking=True))

    def taken(value: object) -> object:
        if isinstance(value, Tensor):
            return value[there(value.device)] if value.dim() else value
        if isinstance(value, np.ndarray):
            return value[order.numpy()] if value.ndim else value
        children = _children(value)
        if children is not None:
            return _rebuilt(value, {key: taken(child) for key, child in children})
        if isinstance(value, list | tuple) and len(value) == len(order):
            return type(value)(value[row] for row in order.tolist())
        return value

    return taken(batch)


def converted(batch: object, convert: Callable[[Tensor], Tensor]) -> object:
    """A copy in which every tensor is `convert`'s; anything else stays."""
    if isinstance(batch, Tensor):
        return convert(batch)
    children = _children(batch)
    if children is None:
        return batch
    return _rebuilt(batch, {key: converted(child, convert) for key, child in children})


def _children(value: object) -> list[tuple[object, object]] | None:
    """Keys and values of a container, None where there is nothing to descend into."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        return None if all(isinstance(entry, PLAIN) for entry in value) else list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def _rebuilt(value: object, children: dict) -> object:
    """A container of the same kind with other content."""
    if isinstance(value, Mapping):
        made = copy.copy(value)
        for key, child in children.items():
            made[key] = child
        return made
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **children)
    named = hasattr(value, "_fields")
    return type(value)(*children.values()) if named else type(value)(children.values())


def _has_rows(value: object) -> bool:
    return isinstance(value, Array) and value.ndim > 0


def _text(value: object) -> object:
    if isinstance(value, np.ndarray):
        return [str(entry) for entry in value.ravel()]
    if isinstance(value, list | tuple):
        return [str(entry) for entry in value]
    return str(value) if isinstance(value, PLAIN) else type(value).__qualname__
