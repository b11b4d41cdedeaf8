"""Comparison of every file with its hash in MANIFEST.json and the records. Nothing is parsed but JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath

from fitlib.audit.deviations import Json, Verification
from fitlib.digest import digest_file
from fitlib.execution.analysis_tasks import REPORT, STATISTICS
from fitlib.storage.atomic_files import json_text
from fitlib.storage.manifest import UNCOVERED_FILES, covered_files, manifest_of
from fitlib.storage.records import RECORD, is_well_formed

HASH = 12  # hex digits shown of a hash


def hash_files(found: Verification) -> None:
    """Hash every file that the manifest covers; remark on hidden ones, which are ignored."""
    for name in (name for name in covered_files(found.paths) if name not in found.left_out):
        with found.reading(found.paths.root / name):
            found.hashes[name] = digest_file(found.paths.root / name)
    files = (found.name_of(path) for path in found.paths.root.rglob("*") if path.is_file())
    for name in sorted(files):
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            found.add_remark(name, "hidden: not part of the experiment, not compared")
    found.count("files", len(found.hashes))


def check_manifest(found: Verification, kept: str | None = None) -> None:
    """Compare all files with MANIFEST.json, and its root hash with the expected one (``kept``), if any."""
    manifest = _manifest(found)
    if manifest is None:
        if kept:
            found.add_deviation(
                "MANIFEST.json", f"missing, so the expected root hash {kept[:HASH]}… cannot be compared"
            )
        return
    if kept and found.root != kept:
        found.add_deviation("MANIFEST.json", f"its root hash is {found.root}, expected {kept}")
    _report_missing(found, [name for name in manifest if name not in found.hashes and name not in found.left_out])
    for name, digest in found.hashes.items():
        if name not in manifest:
            found.add_deviation(name, "MANIFEST.json does not list this file")
        elif digest != manifest[name]:
            _report_altered(found, name, "MANIFEST.json", manifest[name])


def _manifest(found: Verification) -> dict[str, str] | None:
    """Read the manifest's list {name: SHA-256}; report whatever is wrong with the file itself."""
    path = found.paths.manifest
    if not path.is_file():
        text = "missing: which files belong to the experiment is not recorded (fitlib run writes it last)"
        found.add_deviation("MANIFEST.json", text)
        return None
    with found.reading(path):
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        files = manifest["files"]
        if not all(isinstance(digest, str) for digest in files.values()):
            raise ValueError("a hash is not text")
        expected = manifest_of(files)
        found.root = str(expected["root"])
        if manifest.get("root") != found.root:
            found.add_deviation("MANIFEST.json", "its root hash is not the hash of its list")
        # The text too: a duplicate key, for example, would not survive parsing.
        elif text != json_text(expected):
            found.add_deviation("MANIFEST.json", "not formatted byte for byte as fitlib writes it")
        return dict(files)
    return None


def _report_missing(found: Verification, names: list[str]) -> None:
    """Report each missing file, or the outermost folder that is missing with all its files, in one line."""
    outermost = Counter(_outermost(found.paths.root, name) for name in names)
    for path, number in outermost.items():
        found.missing.add(path)
        files = "" if path in names else f", with its {number} files that MANIFEST.json lists"
        what = "the run is missing" if PurePosixPath(path).name.startswith("run-") else "missing"
        found.add_deviation(path, what + files)


def _outermost(root: Path, name: str) -> str:
    missing = [p for p in PurePosixPath(name).parents if p.parts and not (root / p).is_dir()]
    return str(missing[-1]) if missing else name


def _report_altered(found: Verification, name: str, source: str, digest: object) -> None:
    found.altered.add(name)
    found.add_deviation(
        name, f"altered: its SHA-256 is {found.hashes[name][:HASH]}…, in {source} it is {str(digest)[:HASH]}…"
    )


# Records


def check_records(found: Verification) -> None:
    """Compare every record's key with its parts, and all outputs with the recorded sizes and hashes.

    Records in `superseded/` are skipped: a damaged run that was redone is kept there, damage included.
    """
    for name in sorted(found.hashes):
        if PurePosixPath(name).name in (RECORD, STATISTICS, REPORT) and not name.startswith("superseded/"):
            record = record_of(found, found.paths.root / name)
            if record is not None:
                _check_outputs(found, name, record)
                found.count("records")


def record_of(found: Verification, path: Path) -> Json | None:
    """Read a well-formed record; report a missing or malformed one, and return None."""
    if not path.is_file():
        if not found.is_missing(path):
            found.add_deviation(found.name_of(path), "missing: what was computed here, and from what, is not recorded")
        return None
    with found.reading(path):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not is_well_formed(record):
            raise ValueError("not a record, or its key is not the hash of its parts")
        return record
    return None


def _check_outputs(found: Verification, record_name: str, record: Mapping) -> None:
    folder = PurePosixPath(record_name).parent
    for output, described in record["outputs"].items():
        name = normpath(str(folder / output))
        if name in found.left_out:
            continue
        if name not in found.hashes:
            if name not in UNCOVERED_FILES and not found.is_missing(found.paths.root / name):
                found.missing.add(name)
                found.add_deviation(name, f"missing: {record_name} lists it")
        elif found.hashes[name] != described.get("sha256") and name not in found.altered:
            _report_altered(found, name, record_name, described.get("sha256"))
        elif name not in found.altered and (found.paths.root / name).stat().st_size != described["size"]:
            found.add_deviation(name, f"its size differs from the one in {record_name}")
