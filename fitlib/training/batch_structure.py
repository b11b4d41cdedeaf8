"""Batches of any structure: tensors or arrays nested in tuples, lists, mappings and dataclasses.

All tensors of a batch share their first axis, the samples.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitlib.errors import InputError

PLAIN = (str, bytes, int, float, complex, bool, type(None))
Array = Tensor | np.ndarray


def leaves(batch: object, name: str = "batch") -> Iterator[tuple[str, object]]:
    """Yield the leaves of a batch as (name, value), in its own order.

    Names are paths such as `batch.0` or `batch.image`. A list of plain values is a single leaf.

    >>> list(leaves({"image": 1.0, "label": (2, [3, "a"])}))
    [('batch.image', 1.0), ('batch.label.0', 2), ('batch.label.1', [3, 'a'])]
    """
    children = _children(batch)
    if children is None:
        yield name, batch
    else:
        for key, value in children:
            yield from leaves(value, f"{name}.{key}")


def arrays(named: Iterator[tuple[str, object]]) -> Iterator[tuple[str, Array]]:
    """Yield the leaves as arrays for digests: plain values as bytes of their text, any other object as its type."""
    for name, value in named:
        if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind != "O"):
            yield name, value
        else:
            yield name, np.frombuffer(json.dumps(_text(value)).encode(), np.uint8)


def n_samples(batch: object) -> int:
    """Return the length of the first axis of all tensors; InputError if there is no tensor, or if lengths differ."""
    lengths = dict.fromkeys(len(value) for _, value in leaves(batch) if isinstance(value, Array) and value.ndim > 0)
    if len(lengths) != 1:
        problem = f"tensors of {', '.join(map(str, lengths))} rows" if lengths else "no tensor"
        remedy = "make the samples the first axis of all tensors of a batch, or use noise ulp"
        raise InputError(
            "noise", "batch", type(batch).__name__, f"{problem} in a batch, so its samples cannot be identified", remedy
        )
    return next(iter(lengths))


def smallest_array(batch: object) -> tuple[str, Array]:
    """Return name and tensor of the leaf with the fewest bytes, normally the labels; InputError without a tensor."""
    best, fewest = None, (True, 0)  # a tensor without an axis counts only where there is no other
    for name, value in leaves(batch):
        if isinstance(value, Array):
            size = (not value.ndim, value.nbytes)
            if best is None or size < fewest:
                best, fewest = (name, value), size
    if best is None:
        remedy = "use a loader that yields tensors, or tuples, lists or mappings of tensors"
        raise InputError("Recorder", "batch", type(batch).__name__, "it contains no tensor", remedy)
    return best


def update_hash(total: hashlib._Hash, name: str, array: Array) -> None:
    """Update a hash with name, dtype, shape and bytes of an array; fast for small arrays, as every batch needs it."""
    kind, shape = array.dtype, tuple(array.shape)
    if isinstance(array, Tensor):
        array = array.detach().cpu().contiguous()
        array = (array.view(torch.int16) if kind == torch.bfloat16 else array).numpy()  # NumPy has no bfloat16
    total.update(f"{name} {kind} {shape}\n".encode())
    total.update(np.ascontiguousarray(array).data)


def take_samples(batch: object, order: Tensor) -> object:
    """Return a copy with the samples reordered; so are lists of as many plain values, anything else is unchanged."""
    order_on = cache(lambda device: order.to(device, non_blocking=True))

    def reordered(value: object) -> object:
        if isinstance(value, Tensor):
            return value[order_on(value.device)] if value.dim() else value
        if isinstance(value, np.ndarray):
            return value[order.numpy()] if value.ndim else value
        children = _children(value)
        if children is not None:
            return _rebuilt(value, {key: reordered(child) for key, child in children})
        if isinstance(value, list | tuple) and len(value) == len(order):
            return type(value)(value[row] for row in order.tolist())
        return value

    return reordered(batch)


def map_tensors(batch: object, convert: Callable[[Tensor], Tensor]) -> object:
    """Return a copy with `convert` applied to every tensor; anything else is unchanged."""
    if isinstance(batch, Tensor):
        return convert(batch)
    children = _children(batch)
    if children is None:
        return batch
    return _rebuilt(batch, {key: map_tensors(child, convert) for key, child in children})


def _children(value: object) -> list[tuple[object, object]] | None:
    """Return keys and values of a container, None for a leaf."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        return None if all(isinstance(entry, PLAIN) for entry in value) else list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def _rebuilt(value: Any, children: dict) -> object:
    """Return a container of the same type with other content."""
    if isinstance(value, Mapping):
        changed: Any = copy.copy(value)  # not dict(value): the loader's own mapping type is kept
        for key, child in children.items():
            changed[key] = child
        return changed
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **children)
    is_named_tuple = hasattr(value, "_fields")
    return type(value)(*children.values()) if is_named_tuple else type(value)(children.values())


def _text(value: object) -> object:
    if isinstance(value, np.ndarray):
        return [str(entry) for entry in value.ravel()]
    if isinstance(value, list | tuple):
        return [str(entry) for entry in value]
    return str(value) if isinstance(value, PLAIN) else type(value).__qualname__
