"""Are all files those that MANIFEST.json and the records name? Re-hashes every artifact; nothing is parsed but JSON."""

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
from fitlib.storage.manifest import OUTSIDE, covered, manifest_of
from fitlib.storage.records import RECORD, well_formed

HASH = 12  # hex digits of a hash that a line shows


def hash_files(found: Verification) -> None:
    """Hash every file that the promises cover; hidden ones are named as passed over."""
    for name in (name for name in covered(found.paths) if name not in found.left_out):
        with found.reading(found.paths.root / name):
            found.hashes[name] = digest_file(found.paths.root / name)
    files = (found.name(path) for path in found.paths.root.rglob("*") if path.is_file())
    for name in sorted(files):
        if any(part.startswith(".") for part in PurePosixPath(name).parts):
            found.remark(name, "hidden: no part of the experiment, and not compared")
    found.count("files", len(found.hashes))


def check_manifest(found: Verification, kept: str | None = None) -> None:
    """Compare all files with MANIFEST.json, and its root hash with the one that somebody kept."""
    manifest = _manifest(found)
    if manifest is None:
        if kept:
            found.deviates("MANIFEST.json", f"there is no list with the root hash {kept[:HASH]}… that was kept")
        return
    if kept and found.root != kept:
        found.deviates("MANIFEST.json", f"its root hash is {found.root}, not {kept} as was kept")
    _name_missing(found, [name for name in manifest if name not in found.hashes and name not in found.left_out])
    for name, digest in found.hashes.items():
        if name not in manifest:
            found.deviates(name, "MANIFEST.json does not list this file")
        elif digest != manifest[name]:
            _alter(found, name, "MANIFEST.json", manifest[name])


def _manifest(found: Verification) -> dict[str, str] | None:
    """The manifest's list {name: SHA-256}; whatever is wrong with the file itself is named."""
    path = found.paths.manifest
    if not path.is_file():
        text = "missing: nothing says which files belong to the experiment (fitlib run writes it when all else is done)"
        found.deviates("MANIFEST.json", text)
        return None
    with found.reading(path):
        text = path.read_text(encoding="utf-8")
        manifest = json.loads(text)
        files = manifest["files"]
        if not all(isinstance(digest, str) for digest in files.values()):
            raise ValueError("a hash is no text")
        expected = manifest_of(files)
        found.root = str(expected["root"])
        if manifest.get("root") != found.root:
            found.deviates("MANIFEST.json", "its root hash is not the hash of its list")
        elif text != json_text(expected):
            found.deviates("MANIFEST.json", "not byte for byte as fitlib writes this list")
        return dict(files)
    return None


def _name_missing(found: Verification, names: list[str]) -> None:
    """One line for each missing file, or for the outermost folder that is missing with all its files."""
    places = Counter(_outermost(found.paths.root, name) for name in names)
    for place, number in places.items():
        found.gone.add(place)
        files = "" if place in names else f", with its {number} files that MANIFEST.json lists"
        what = "the run is missing" if PurePosixPath(place).name.startswith("run-") else "missing"
        found.deviates(place, what + files)


def _outermost(root: Path, name: str) -> str:
    missing = [p for p in PurePosixPath(name).parents if p.parts and not (root / p).is_dir()]
    return str(missing[-1]) if missing else name


def _alter(found: Verification, name: str, witness: str, digest: object) -> None:
    found.altered.add(name)
    found.deviates(name, f"altered: its SHA-256 is {found.hashes[name][:HASH]}…, {witness} says {str(digest)[:HASH]}…")


# Records


def check_records(found: Verification) -> None:
    """Compare every record's key with its parts, and all outputs with the sizes and hashes that it names.

    Not those in `superseded/`: a damaged run that was redone is kept there as it was found.
    """
    for name in sorted(found.hashes):
        if PurePosixPath(name).name in (RECORD, STATISTICS, REPORT) and not name.startswith("superseded/"):
            record = record_of(found, found.paths.root / name)
            if record is not None:
                _check_outputs(found, name, record)
                found.count("records")


def record_of(found: Verification, path: Path) -> Json | None:
    """A well-formed record; None where there is none, which is named unless it is named already."""
    if not path.is_file():
        if not found.is_gone(path):
            found.deviates(found.name(path), "missing: nothing says what was computed here, and from what")
        return None
    with found.reading(path):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not well_formed(record):
            raise ValueError("no record, or its key is not the hash of its parts")
        return record
    return None


def _check_outputs(found: Verification, record_name: str, record: Mapping) -> None:
    folder = PurePosixPath(record_name).parent
    for output, described in record["outputs"].items():
        name = normpath(str(folder / output))
        if name in found.left_out:
            continue
        if name not in found.hashes:
            if name not in OUTSIDE and not found.is_gone(found.paths.root / name):
                found.gone.add(name)
                found.deviates(name, f"missing: {record_name} lists it")
        elif found.hashes[name] != described.get("sha256") and name not in found.altered:
            _alter(found, name, record_name, described.get("sha256"))
        elif name not in found.altered and (found.paths.root / name).stat().st_size != described["size"]:
            found.deviates(name, f"its size is not the one that {record_name} names")
