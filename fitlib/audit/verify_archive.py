"""Verification of an exported experiment: unpack the archive safely, compare it with its metadata, then verify.

An archive is not trusted: names that lead out of it, links and duplicate members are refused before anything is
written. Files left out at the export (rows of persons), and what cannot be derived without them, are remarks and no
deviations.
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
from fitlib.storage.manifest import is_personal
from fitlib.storage.records import RECORD

FETCH_AGAIN = "fetch the file again"
UNSAFE_CHARACTERS = ("\\", "\0")  # read by some systems as a separator or an end
MAX_SIZE = 1 << 40  # bytes; recorded sizes of files left out are believed up to this
LEFT_OUT = (
    "{} with rows of persons left out at the export, as MANIFEST.json lists them: without them the tables in "
    "techniques/ and pareto.csv are not derived again; all other tables are, from those in techniques/"
)


def verify_archive(archive: Path, kept: str | None = None, full: bool = False) -> Verification:
    """Verify FILE.zip as `fitlib.audit.verify.verify` does a folder; lines begin with paths within the archive.

    Raises InputError for anything but an archive of `fitlib export`, or an unsafe one; RunFailed for a damaged one.
    """
    with tempfile.TemporaryDirectory(prefix="fitlib-verify-") as name:
        folder = Path(name)
        _unpack(archive, folder)
        made_by = _check_kind(archive, folder)
        (root,) = _experiments(archive, folder)
        left_out = left_out_of(root)
        _write_placeholders(root, left_out)
        found = verify(root, kept, full, archive / FOLDER / root.name, frozenset(left_out))
        _check_description(found, archive, folder, left_out)
        if left_out:
            found.add_remark(".", LEFT_OUT.format(count(len(left_out), "file")))
        if made_by != fitlib.__version__:
            found.add_remark(
                ".", f"made by fitlib {made_by}, this is {fitlib.__version__}: code and notebooks may differ"
            )
        return found


# The archive


def _unpack(archive: Path, folder: Path) -> None:
    if not archive.is_file():
        raise InputError(
            str(archive), "FILE.zip", archive.name, "no such file", "give an archive written by fitlib export"
        )
    try:
        with zipfile.ZipFile(archive) as source:
            members = source.infolist()
            _check_names(archive, members, folder)
            for member in members:
                _extract(archive, source, member, folder)
    except zipfile.BadZipFile as error:
        problem = f"not a zip file, or cut off ({error})"
        raise InputError(str(archive), "FILE.zip", archive.name, problem, FETCH_AGAIN) from None


def _check_names(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    """Refuse unsafe names, links, encrypted members, duplicate names, and more bytes than the disk has free."""
    seen: set[str] = set()
    for member in members:
        problem = _unsafe(member) or ("it is in the archive twice" if member.filename in seen else "")
        if problem:
            raise InputError(str(archive), "member", member.filename, problem, "do not trust this file")
        seen.add(member.filename)
    size, free = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if size > free:
        raise InputError(str(archive), "size", size, f"unpacked it takes more than the {free} bytes free", "free space")


def _unsafe(member: zipfile.ZipInfo) -> str:
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    path = PurePosixPath(name)
    leads_out = path.is_absolute() or ".." in path.parts or not path.parts or PureWindowsPath(name).drive
    if leads_out or any(character in name for character in UNSAFE_CHARACTERS):
        return "its name leads out of the archive"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device, not a file"
    return "it is encrypted" if member.flag_bits & 1 else ""


def _extract(archive: Path, source: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / member.filename
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open(member) as content, target.open("wb") as copy:
            shutil.copyfileobj(content, copy, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise RunFailed(f"{archive / member.filename}: damaged, cannot be unpacked ({error}); {FETCH_AGAIN}") from None
    except (FileExistsError, NotADirectoryError):
        problem = "both a file and a folder"
        raise InputError(str(archive), "member", member.filename, problem, "do not trust this file") from None


def _check_kind(archive: Path, folder: Path) -> str:
    """Raise InputError if this version cannot read the archive; return the version of fitlib that made it."""
    environment, crate = read_json(folder / ENVIRONMENT), read_json(folder / METADATA)
    if environment is None or crate is None or not isinstance(environment.get("schema"), int):
        problem = f"no archive of fitlib export: {METADATA} or {ENVIRONMENT} is missing"
        raise InputError(str(archive), "FILE.zip", archive.name, problem, "give an archive written by fitlib export")
    if environment["schema"] != SCHEMA:
        problem = f"its layout is that of another fitlib ({environment.get('fitlib')}); this one reads layout {SCHEMA}"
        raise InputError(
            str(archive), "schema", environment["schema"], problem, "verify it with the fitlib that made it"
        )
    return str(environment.get("fitlib"))


def _experiments(archive: Path, folder: Path) -> list[Path]:
    folders = [path for path in sorted((folder / FOLDER).glob("*")) if path.is_dir()]
    if len(folders) != 1:
        problem = f"it holds {len(folders)} experiments, not one"
        raise InputError(str(archive), FOLDER, len(folders), problem, "give an archive written by fitlib export")
    return folders


# What was left out


def left_out_of(root: Path) -> list[str]:
    """Return the files with rows of persons in the manifest; none if any of them exists, as then all should."""
    files = (read_json(root / "MANIFEST.json") or {}).get("files")
    listed = sorted(name for name in files if is_personal(name)) if isinstance(files, dict) else []
    return [] if any((root / name).exists() for name in listed) else [name for name in listed if _within(root, name)]


def _within(root: Path, name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _write_placeholders(root: Path, left_out: list[str]) -> None:
    """Create files of the recorded sizes in place of those left out, so that records read as if they were present.

    Nothing reads their content, and they take no space on disk (they are sparse).
    """
    sizes = {}
    for path in sorted(root.rglob(RECORD)):
        outputs = (read_json(path) or {}).get("outputs")
        for name, output in outputs.items() if isinstance(outputs, dict) else ():
            with contextlib.suppress(ValueError):
                sizes[(path.parent / name).relative_to(root).as_posix()] = output
    for name in left_out:
        size = sizes[name].get("size") if isinstance(sizes.get(name), dict) else None
        if isinstance(size, int) and 0 <= size < MAX_SIZE:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with (root / name).open("wb") as stream:
                stream.truncate(size)


# The archive's metadata


def _check_description(found: Verification, archive: Path, folder: Path, left_out: list[str]) -> None:
    """Report files that the metadata do not describe or describe with another SHA-256, and missing ones."""
    with _reading_description(found, archive):
        described = dict(_described(json.loads((folder / METADATA).read_text(encoding="utf-8"))))
        prefix = found.paths.root.relative_to(folder).as_posix()
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        files -= {METADATA, *(f"{prefix}/{name}" for name in left_out)}
        for name in sorted(files | set(described)):
            problem = _difference(folder / name, described.get(name)) if name in files else "missing"
            if name not in described:
                problem = f"{METADATA} does not describe this file"
            if problem and not _is_reported(found, archive / name):
                found.add_deviation(archive / name, problem)


@contextlib.contextmanager
def _reading_description(found: Verification, archive: Path) -> Iterator[None]:
    """Turn any error while the metadata are read into a deviation of them."""
    try:
        yield
    except Exception as error:  # forged metadata may break their reader in any way
        found.add_deviation(archive / METADATA, f"cannot be parsed ({type(error).__name__}: {error})")


def _described(crate: Mapping) -> Iterator[tuple[str, object]]:
    """Yield name and SHA-256 of every file that the metadata describe."""
    for entity in crate["@graph"]:
        kinds = entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]
        if "File" in kinds:
            yield unquote(entity["@id"]), entity.get("sha256")


def _difference(path: Path, sha256: object) -> str:
    digest = digest_file(path)
    return "" if digest == sha256 else f"its SHA-256 is {digest[:12]}…, in {METADATA} it is {str(sha256)[:12]}…"


def _is_reported(found: Verification, path: Path) -> bool:
    return any(line.startswith(f"{path}: ") for line in found.deviations)
