"""The user's cache: decoded images, downloads and digests, each entry a folder named by the hash of its ingredients.

An entry is made by one process at a time, in a folder beside its final name, and gets that name when all of it has
reached the disk; others wait for it and then map the same files. So nothing half-written is ever used, whoever is
killed when.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fitlib.digest import digest_file, digest_json
from fitlib.errors import InputError

VARIABLE = "FITLIB_CACHE_DIR"
SIZES = "sizes.json"  # written last: name -> size of every file of the entry
REMEDY = f"make room there or change its rights, or set {VARIABLE} to another folder"


def cache_folder() -> Path:
    """FITLIB_CACHE_DIR where it is set, else the user's cache folder of this operating system."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    import pooch

    return Path(pooch.os_cache("fitlib"))


def entry(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """Folder of an entry; where there is none, or a damaged one, `make(folder)` fills a new one first.

    InputError where the cache cannot be written; whatever `make` raises leaves nothing behind.
    """
    target = cache_folder() / kind / key
    if not _whole(target):
        with _writable(), _locked(target):
            if not _whole(target):  # another process was not quicker
                _make(target, make)
    return target


def contents(files: Sequence[Path]) -> Path:
    """A small file with the digest of many files' names and contents, in their order: it stands for them in a key.

    The files are read once and again only when a size or time of change differs. A missing file is a
    FileNotFoundError that names it.
    """
    stats = [(str(path.absolute()), path.stat()) for path in files]
    key = digest_json([[path, stat.st_size, stat.st_mtime_ns] for path, stat in stats])
    return entry("contents", key, lambda folder: _note_contents(folder / "digest", files)) / "digest"


def entries() -> list[tuple[Path, int]]:
    """Finished and interrupted entries, and their sizes in bytes."""
    found = [path for path in cache_folder().glob("*/*") if path.is_dir()]
    return [(path, sum(p.stat().st_size for p in path.rglob("*") if p.is_file())) for path in sorted(found)]


def _note_contents(path: Path, files: Sequence[Path]) -> None:
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
        digests = list(pool.map(digest_file, files))
    path.write_text(digest_json([[file.name, digest] for file, digest in zip(files, digests, strict=True)]) + "\n")


def _make(target: Path, make: Callable[[Path], None]) -> None:
    """Fill a folder beside the target and rename it; only for the holder of the lock."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir()
    try:
        make(partial)
        _seal(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _seal(folder: Path) -> None:
    """Write down the sizes of the files once all of them have reached the disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    (folder / SIZES).write_text(json.dumps({p.relative_to(folder).as_posix(): p.stat().st_size for p in files}))
    for path in [*files, folder / SIZES]:
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())


def _whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / SIZES).read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"the cache cannot be written ({error.strerror or error})"
        raise InputError("cache", VARIABLE, str(cache_folder()), problem, REMEDY) from None


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the entry's lock, waiting for it; the operating system frees it with the process, however that ends."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f".{target.name}.lock"), "a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
