"""The user's cache: decoded images, downloads and digests, each entry a folder named by the hash of its inputs.

One process at a time fills an entry, in a folder beside its final name, and renames it when all of it has reached the
disk; others wait and then map the same files. So no partial entry is ever used, whichever process is killed when.
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
REMEDY = f"free space there or change its permissions, or set {VARIABLE} to another folder"


def cache_folder() -> Path:
    """Return FITLIB_CACHE_DIR where it is set, else the user's cache folder of this operating system."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    import pooch

    return Path(pooch.os_cache("fitlib"))


def entry(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of an entry; if there is none, or a damaged one, `make(folder)` fills a new one first.

    InputError where the cache cannot be written; an exception in `make` leaves nothing behind.
    """
    target = cache_folder() / kind / key
    if not _is_whole(target):
        with _writable(), _locked(target):
            if not _is_whole(target):  # another process may have made it while this one waited for the lock
                _make(target, make)
    return target


def contents(files: Sequence[Path]) -> Path:
    """Return a small file that represents many files in a key: the digest of their names and contents, in their order.

    The files are read once, and again only when a size or modification time differs. FileNotFoundError, with its name,
    for a missing file.
    """
    stats = [(str(path.absolute()), path.stat()) for path in files]
    key = digest_json([[path, stat.st_size, stat.st_mtime_ns] for path, stat in stats])
    return entry("contents", key, lambda folder: _note_contents(folder / "digest", files)) / "digest"


def entries() -> list[tuple[Path, int]]:
    """List finished and interrupted entries, and their sizes in bytes."""
    found = [path for path in cache_folder().glob("*/*") if path.is_dir()]
    return [(path, sum(p.stat().st_size for p in path.rglob("*") if p.is_file())) for path in sorted(found)]


def _note_contents(path: Path, files: Sequence[Path]) -> None:
    with ThreadPoolExecutor() as pool:  # hashing releases the GIL
        digests = list(pool.map(digest_file, files))
    path.write_text(digest_json([[file.name, digest] for file, digest in zip(files, digests, strict=True)]) + "\n")


def _make(target: Path, make: Callable[[Path], None]) -> None:
    """Fill a folder beside the target and rename it; the caller holds the lock."""
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
    """Record the sizes of the files, and flush all of them to the disk before the entry gets its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    (folder / SIZES).write_text(json.dumps({p.relative_to(folder).as_posix(): p.stat().st_size for p in files}))
    for path in [*files, folder / SIZES]:
        with open(path, "rb") as stream:
            os.fsync(stream.fileno())


def _is_whole(folder: Path) -> bool:
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
    """Wait for the entry's lock and hold it; the operating system frees it when the process ends, however that ends."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f".{target.name}.lock"), "a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
