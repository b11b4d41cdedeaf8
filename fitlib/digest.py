"""Digests: SHA-256 over the exact bytes of arrays, files and JSON values; equal digests mean equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 1 << 20
PACKAGE = Path(__file__).parent
EXCLUDED = (
    "fitlib",
    "fitlib.errors",
    "fitlib.datasets.options",
    "fitlib.storage.code_digest",
    "fitlib.storage.keys",
)  # modules that decide about no number; and the registry, see is_excluded
REGISTRY = "fitlib.experiment.registry"


def digest_arrays(named: Iterable[tuple[str, object]]) -> str:
    """Return the hex SHA-256 over (name, dtype, shape, bytes) of NumPy arrays or torch tensors, in the given order.

    >>> digest_arrays([("w", np.zeros(2))])[:16]
    '2da22e6409f0bad5'
    >>> digest_arrays([("w", np.zeros(2))]) == digest_arrays([("w", -np.zeros(2))])  # -0.0 has other bytes than 0.0
    False
    """
    total = hashlib.sha256()
    for name, array in named:
        dtype, shape, raw = _describe(array)
        total.update(json.dumps([name, dtype, shape]).encode())
        total.update(raw)
    return total.hexdigest()


def digest_file(path: Path | str) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    total = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            total.update(chunk)
    return total.hexdigest()


def cached_file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes, computed once per (path, size, modification time) in this process."""
    stat = path.stat()
    return _file_digest(str(path), stat.st_size, stat.st_mtime_ns)


@cache
def _file_digest(path: str, size: int, modified: int) -> str:
    return digest_file(path)


def is_excluded(module: str) -> bool:
    """Return whether a module of fitlib is excluded from keys and fingerprints.

    Excluded are the modules that compute keys, and the declarations: registry and options only name code, whose digest
    counts by itself, and declare defaults, which a task receives as resolved parameters.

    >>> is_excluded("fitlib.experiment.registry.methods"), is_excluded("fitlib.metrics.counts")
    (True, False)
    """
    return module in EXCLUDED or f"{module}.".startswith(f"{REGISTRY}.")


def digest_json(value: object) -> str:
    """Return the hex SHA-256 of a value's canonical JSON (sorted keys, no spaces, no NaN).

    >>> digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical_json(value)).hexdigest()


def canonical_json(value: object) -> bytes:
    """Return JSON that is the same bytes for equal values; raise ValueError for NaN and infinity.

    >>> canonical_json({"b": 1, "a": [0.5, None]})
    b'{"a":[0.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def _describe(array: Any) -> tuple[str, list[int], memoryview]:
    """Return dtype, shape and bytes in C order, whatever the memory layout."""
    if hasattr(array, "detach"):  # a torch tensor, without importing torch here
        # NumPy knows no bfloat16, so torch itself reinterprets the elements as bytes.
        flat = array.detach().cpu().contiguous().reshape(-1)
        return str(array.dtype), list(array.shape), flat.view(_byte_type()).numpy().data
    array = np.ascontiguousarray(array)
    return str(array.dtype), list(array.shape), array.reshape(-1).view(np.uint8).data


def _byte_type() -> Any:
    import torch

    return torch.uint8
