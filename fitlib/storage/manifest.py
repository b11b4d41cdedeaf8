"""MANIFEST.json: the hash of every file that an experiment promises, and their root hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from fitlib.digest import digest_file, digest_json
from fitlib.storage.atomic_files import write_json
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import SCHEMA

VOTES = "votes.parquet"
# outside every promise of byte equality
OUTSIDE = {"events.jsonl", "timings.csv", "determinism.csv", "lock", "MANIFEST.json"}


def covered(paths: ExperimentPaths) -> list[str]:
    """Names of all files that the promises cover: all but the hidden ones and `OUTSIDE`, sorted."""
    found = (p.relative_to(paths.root) for p in paths.root.rglob("*") if p.is_file())
    names = sorted(p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts))
    return [name for name in names if name not in OUTSIDE]


def personal(name: str) -> bool:
    """Has the file of this name a row for each person tested? Predictions, and the votes of the runs on each."""
    path = PurePosixPath(name)
    return path.suffix == ".parquet" and ("predictions" in path.parts[:-1] or path.name == VOTES)


def manifest_of(files: Mapping[str, str]) -> dict[str, object]:
    """The content of MANIFEST.json; its root hash is the SHA-256 of the list {name: SHA-256} as canonical JSON."""
    return {"schema": SCHEMA, "root": digest_json(dict(files)), "files": dict(files)}


def write_manifest(paths: ExperimentPaths) -> str:
    """Hash every file that the promises cover into MANIFEST.json; returns its root hash."""
    manifest = manifest_of({name: digest_file(paths.root / name) for name in covered(paths)})
    write_json(paths.manifest, manifest)
    return manifest["root"]
