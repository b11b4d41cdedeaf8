"""Records: the evidence that a task is done.

A task is done if and only if its folder holds a valid record: the key is the task's, and every output has the size
that was measured when it was read back and hashed. Nothing else on disk counts, least of all a notebook's own status.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fitlib.digest import digest_file, digest_json
from fitlib.storage.atomic_files import read_json, write_json

RECORD, FAILED = "record.json", "failed.json"
SCHEMA = 1


def measure_files(folder: Path, names: list[str]) -> dict[str, dict]:
    """Return the size and SHA-256 of files in a folder, read back from disk."""
    return {n: {"size": (folder / n).stat().st_size, "sha256": digest_file(folder / n)} for n in names}


def write_record(folder: Path, kind: str, parts: Mapping[str, str], names: list[str], name: str = RECORD) -> None:
    """Write the record of a finished task: last of all, in the process that executed it and read its outputs back."""
    record = {"schema": SCHEMA, "kind": kind, "key": digest_json(dict(parts)), "key_parts": dict(parts)}
    write_json(folder / name, {**record, "outputs": measure_files(folder, names)})


def read_record(folder: Path, name: str = RECORD) -> dict | None:
    """Read a well-formed record whose outputs all exist in the recorded sizes; return None if there is none."""
    record = read_json(folder / name)
    try:
        if record is None or not is_well_formed(record):
            return None
        complete = all((folder / n).stat().st_size == o["size"] for n, o in record["outputs"].items())
    except (OSError, ValueError):  # ValueError: a name that no file system accepts, or a key that cannot be encoded
        return None
    return record if complete else None


def is_well_formed(record: dict) -> bool:
    """Return whether a record has all required fields, and its key is the hash of its parts."""
    outputs, parts = record.get("outputs"), record.get("key_parts")
    return (
        record.get("schema") == SCHEMA
        and isinstance(outputs, dict)
        and bool(outputs)
        and all(isinstance(o, dict) and type(o.get("size")) is int for o in outputs.values())
        and isinstance(parts, dict)
        and all(isinstance(part, str) for part in parts.values())
        and record.get("key") == digest_json(parts)
    )


def altered_outputs(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Return the names of a record's outputs that cannot be read or differ from the recorded hash."""
    return [name for name, output in record["outputs"].items() if not _has_digest(folder / name, output.get("sha256"))]


def _has_digest(path: Path, digest: object) -> bool:
    try:
        return digest_file(path) == digest
    except OSError:
        return False
