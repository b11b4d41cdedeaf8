"""Digests: SHA-256 over exact bytes of arrays, files and JSON values; equal digests mean equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

CHUNK = 1 << 20
PACKAGE = Path(__file__).parent
LEFT_OUT = ("fitlib", "fitlib.errors")  # modules of fitlib on which no number depends; and the registry, see left_out
REGISTRY = "fitlib.experiment.registry"


def digest_arrays(named: Iterable[tuple[str, object]]) -> str:
    """Hex SHA-256 over (name, dtype, shape, bytes) of NumPy arrays or torch tensors, in the given order."""
    total = hashlib.sha256()
    for name, array in named:
        dtype, shape, raw = _described(array)
        total.update(json.dumps([name, dtype, shape]).encode())
        total.update(raw)
    return total.hexdigest()


def digest_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes."""
    total = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            total.update(chunk)
    return total.hexdigest()


def cached_file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, computed once per (path, size, time of change) in this process."""
    stat = path.stat()
    return _file_digest(str(path), stat.st_size, stat.st_mtime_ns)


@cache
def _file_digest(path: str, size: int, changed: int) -> str:
    return digest_file(path)


def left_out(module: str) -> bool:
    """Does a module of fitlib count neither in keys nor in fingerprints? The registry only looks code up by name."""
    return module in LEFT_OUT or f"{module}.".startswith(f"{REGISTRY}.")


def digest_json(value: object) -> str:
    """Hex SHA-256 of a value's canonical JSON (sorted keys, no spaces, no NaN)."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def canonical_json(value: object) -> bytes:
    """JSON that is the same bytes for equal values; NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def _described(array: object) -> tuple[str, list[int], memoryview]:
    if hasattr(array, "detach"):  # a torch tensor, without importing torch here
        flat = array.detach().cpu().contiguous().reshape(-1)
        raw = flat.view(_byte_type()).numpy()
        return str(array.dtype), list(array.shape), memoryview(raw)
    array = np.ascontiguousarray(array)
    return str(array.dtype), list(array.shape), memoryview(array.reshape(-1).view(np.uint8))


def _byte_type() -> object:
    import torch

    return torch.uint8
