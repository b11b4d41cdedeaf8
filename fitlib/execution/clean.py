"""Removal of what no result depends on: superseded and failed runs, interrupted attempts, cached data."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fitlib.datasets import cache
from fitlib.storage.lock import locked
from fitlib.storage.manifest import write_manifest
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import FAILED, RECORD

MIB = 2**20


@dataclass(frozen=True)
class Leftover:
    """A folder that can be removed, with the reason, the number of its files and their bytes."""

    folder: Path
    reason: str
    files: int
    size: int

    def __str__(self) -> str:
        return f"{self.folder}: {self.reason}, {self.files} files, {self.size / MIB:.1f} MiB"


def leftovers(paths: ExperimentPaths, with_cache: bool = False) -> list[Leftover]:
    """List what `clean` would remove, attempts of a live process included."""
    found = [(paths.superseded, "replaced or failed earlier")] if paths.superseded.is_dir() else []
    failed = (marked.parent for marked in sorted(paths.root.glob(f"runs/*/*/run-*/{FAILED}")))
    found += [(folder, "failed") for folder in failed if not (folder / RECORD).exists()]
    found += [(folder, "interrupted") for folder in paths.attempts() if not (folder / FAILED).exists()]
    found += [(folder, "cached data of all experiments") for folder, _ in cache.entries()] if with_cache else []
    return [Leftover(folder, reason, *_size(folder)) for folder, reason in found]


def clean(paths: ExperimentPaths, removable: Iterable[Leftover]) -> str:
    """Remove the leftovers under the experiment's lock; return the root hash of the renewed manifest."""
    with locked(paths):
        paths.manifest.unlink(missing_ok=True)
        for leftover in removable:
            shutil.rmtree(leftover.folder, ignore_errors=True)
        return write_manifest(paths)


def _size(folder: Path) -> tuple[int, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)
