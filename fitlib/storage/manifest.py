"""MANIFEST.json: the hash of every file of an experiment that is reproducible byte by byte, and their root hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from fitlib.digest import digest_file, digest_json
from fitlib.storage.atomic_files import write_json
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import SCHEMA

VOTES = "votes.parquet"
INPUTS = "inputs"  # folder of the estimators and data of `fitlib.repeat`
# Files that differ between equal experiments, and the manifest itself
UNCOVERED_FILES = {"events.jsonl", "timings.csv", "determinism.csv", "lock", "MANIFEST.json"}


def covered_files(paths: ExperimentPaths) -> list[str]:
    """Return the names of all files that the manifest lists, sorted: all but the hidden ones and `UNCOVERED_FILES`."""
    found = (p.relative_to(paths.root) for p in paths.root.rglob("*") if p.is_file())
    names = sorted(p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts))
    return [name for name in names if name not in UNCOVERED_FILES]


def is_personal(name: str) -> bool:
    """Return whether a file has a row for each person: predictions, the votes of the runs on each, data of estimators.

    >>> is_personal("techniques/S/votes.parquet"), is_personal("techniques/S/metrics.parquet")
    (True, False)
    """
    path = PurePosixPath(name)
    if path.parts[0] == INPUTS:
        return True
    return path.suffix == ".parquet" and ("predictions" in path.parts[:-1] or path.name == VOTES)


def manifest_of(files: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of MANIFEST.json; its root hash is the SHA-256 of {name: SHA-256} as canonical JSON."""
    return {"schema": SCHEMA, "root": digest_json(dict(files)), "files": dict(files)}


def write_manifest(paths: ExperimentPaths) -> str:
    """Write MANIFEST.json with the hash of every file that it covers, and return its root hash."""
    manifest = manifest_of({name: digest_file(paths.root / name) for name in covered_files(paths)})
    write_json(paths.manifest, manifest)
    return manifest["root"]
