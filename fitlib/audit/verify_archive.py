"""Verify an exported experiment: unpack the archive safely, compare it with what it says of itself, then verify.

Nothing in an archive is believed: names that lead out of it, links and files twice are refused before anything is
written. Files left out at the export (rows of persons) are told, and are no deviation; what cannot be derived without
them is told too.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

import fitlib
from fitlib.audit.deviations import Verification
from fitlib.audit.export import ENVIRONMENT, FOLDER, METADATA, SCHEMA
from fitlib.audit.verify import verify
from fitlib.digest import digest_file
from fitlib.errors import InputError, RunFailed
from fitlib.formatting import count
from fitlib.storage.atomic_files import read_json
from fitlib.storage.manifest import personal
from fitlib.storage.records import RECORD

AGAIN = "get the file again"
ODD = ("\\", "\0")  # what some systems read as a folder or an end
MOST = 1 << 40  # bytes of a file left out that a record may tell
LEFT_OUT = (
    "{} with rows of persons left out at the export, as MANIFEST.json lists them: without them the tables in "
    "techniques/ and pareto.csv are not derived again; all other tables are, from those in techniques/"
)


def verify_archive(archive: Path, kept: str | None = None, full: bool = False) -> Verification:
    """Verify FILE.zip as `fitlib.audit.verify.verify` does a folder; paths in the lines are those within the archive.

    Raises InputError for what is no archive of `fitlib export`, or an unsafe one; RunFailed for a damaged one.
    """
    with tempfile.TemporaryDirectory(prefix="fitlib-verify-") as name:
        place = Path(name)
        _unpack(archive, place)
        made_by = _check_kind(archive, place)
        (root,) = _experiments(archive, place)
        left_out = left_out_of(root)
        _stand_in(root, left_out)
        found = verify(root, kept, full, archive / FOLDER / root.name, frozenset(left_out))
        _check_description(found, archive, place, left_out)
        if left_out:
            found.remark(".", LEFT_OUT.format(count(len(left_out), "file")))
        if made_by != fitlib.__version__:
            found.remark(".", f"made by fitlib {made_by}, this is {fitlib.__version__}: code and notebooks may differ")
        return found


# The archive


def _unpack(archive: Path, place: Path) -> None:
    if not archive.is_file():
        raise InputError(str(archive), "FILE.zip", archive.name, "no such file", "name a file of fitlib export")
    try:
        with zipfile.ZipFile(archive) as source:
            members = source.infolist()
            _check_names(archive, members, place)
            for member in members:
                _extract(archive, source, member, place)
    except zipfile.BadZipFile as error:
        problem = f"not a zip file, or cut off ({error})"
        raise InputError(str(archive), "FILE.zip", archive.name, problem, AGAIN) from None


def _check_names(archive: Path, members: list[zipfile.ZipInfo], place: Path) -> None:
    """Refuse names that lead out of the archive, links, encrypted members, names twice, and more than fits the disk."""
    seen: set[str] = set()
    for member in members:
        problem = _unsafe(member) or ("it is there twice" if member.filename in seen else "")
        if problem:
            raise InputError(str(archive), "member", member.filename, problem, "do not trust this file")
        seen.add(member.filename)
    size, free = sum(member.file_size for member in members), shutil.disk_usage(place).free
    if size > free:
        raise InputError(str(archive), "size", size, f"unpacked it takes more than the {free} bytes free", "free space")


def _unsafe(member: zipfile.ZipInfo) -> str:
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    path = PurePosixPath(name)
    leads = path.is_absolute() or ".." in path.parts or not path.parts or PureWindowsPath(name).drive
    if leads or any(odd in name for odd in ODD):
        return "its name leads out of the archive"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device, not a file"
    return "it is encrypted" if member.flag_bits & 1 else ""


def _extract(archive: Path, source: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> None:
    target = place / member.filename
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open(member) as content, target.open("wb") as copy:
            shutil.copyfileobj(content, copy, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise RunFailed(f"{archive / member.filename}: damaged, cannot be unpacked ({error}); {AGAIN}") from None
    except (FileExistsError, NotADirectoryError):
        problem = "it is a file and a folder at once"
        raise InputError(str(archive), "member", member.filename, problem, "do not trust this file") from None


def _check_kind(archive: Path, place: Path) -> str:
    """Is it an archive of `fitlib export` that this version reads? Returns the version that made it."""
    told, crate = read_json(place / ENVIRONMENT), read_json(place / METADATA)
    if told is None or crate is None or not isinstance(told.get("schema"), int):
        problem = f"no archive of fitlib export: it lacks {METADATA} or {ENVIRONMENT}"
        raise InputError(str(archive), "FILE.zip", archive.name, problem, "name a file of fitlib export")
    if told["schema"] != SCHEMA:
        problem = f"its layout is of another fitlib ({told.get('fitlib')}); this one reads layout {SCHEMA}"
        raise InputError(str(archive), "schema", told["schema"], problem, "verify it with the fitlib that made it")
    return str(told.get("fitlib"))


def _experiments(archive: Path, place: Path) -> list[Path]:
    folders = [path for path in sorted((place / FOLDER).glob("*")) if path.is_dir()]
    if len(folders) != 1:
        problem = f"it holds {len(folders)} experiments, not one"
        raise InputError(str(archive), FOLDER, len(folders), problem, "name a file of fitlib export")
    return folders


# What was left out


def left_out_of(root: Path) -> list[str]:
    """Files with rows of persons that the manifest lists; none where any of them is there, for then all should be."""
    files = (read_json(root / "MANIFEST.json") or {}).get("files")
    listed = sorted(name for name in files if personal(name)) if isinstance(files, dict) else []
    return [] if any((root / name).exists() for name in listed) else [name for name in listed if _within(root, name)]


def _within(root: Path, name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _stand_in(root: Path, left_out: list[str]) -> None:
    """Empty files of the recorded sizes, so that records read as they do with the files; nothing reads their content.

    They take no space on the disk (they are sparse).
    """
    sizes = {}
    for path in sorted(root.rglob(RECORD)):
        outputs = (read_json(path) or {}).get("outputs")
        for name, output in outputs.items() if isinstance(outputs, dict) else ():
            with contextlib.suppress(ValueError):
                sizes[(path.parent / name).relative_to(root).as_posix()] = output
    for name in left_out:
        size = sizes[name].get("size") if isinstance(sizes.get(name), dict) else None
        if isinstance(size, int) and 0 <= size < MOST:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with (root / name).open("wb") as stream:
                stream.truncate(size)


# What the archive says of itself


def _check_description(found: Verification, archive: Path, place: Path, left_out: list[str]) -> None:
    """Every file is described with its SHA-256, and every described file is there."""
    with _reading_description(found, archive):
        described = dict(_described(json.loads((place / METADATA).read_text(encoding="utf-8"))))
        inside, stood_in = found.paths.root.relative_to(place).as_posix(), set(left_out)
        files = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
        files -= {METADATA, *(f"{inside}/{name}" for name in stood_in)}
        for name in sorted(files | set(described)):
            problem = _difference(place / name, described.get(name)) if name in files else "missing"
            if name not in described:
                problem = f"{METADATA} does not describe this file"
            if problem and not _told(found, archive / name):
                found.deviates(archive / name, problem)


@contextlib.contextmanager
def _reading_description(found: Verification, archive: Path) -> Iterator[None]:
    """Whatever is wrong with the description is a deviation of it, and no crash."""
    try:
        yield
    except Exception as error:  # a forged description may stumble anything that reads it
        found.deviates(archive / METADATA, f"cannot be read as what it should be ({type(error).__name__}: {error})")


def _described(crate: Mapping) -> Iterator[tuple[str, object]]:
    """Name and SHA-256 of every file that the metadata describe."""
    for entity in crate["@graph"]:
        kinds = entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]
        if "File" in kinds:
            yield unquote(entity["@id"]), entity.get("sha256")


def _difference(path: Path, sha256: object) -> str:
    digest = digest_file(path)
    return "" if digest == sha256 else f"its SHA-256 is {digest[:12]}…, {METADATA} says {str(sha256)[:12]}…"


def _told(found: Verification, path: Path) -> bool:
    return any(line.startswith(f"{path}: ") for line in found.deviations)
