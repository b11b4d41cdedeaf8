"""The files of the published study: finding or downloading them, and verifying that they are the published ones.

The source is the study's public repository at one commit; `published_files.sha256` lists all files (made by
`sha256sum`). A file with another SHA-256 is never used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from fitlib.errors import InputError, RunFailed

COMMIT = "c2cc2d3e1f8a8c833eab19be8922d4a606a1d8a3"
BASE_URL = f"https://raw.githubusercontent.com/lin-tan/fairness-variance/{COMMIT}/"
HASHES = Path(__file__).with_name("published_files.sha256")
# Local folder -> folder in the repository, where they differ
FOLDERS = {"model_perf": "dlfairness/other/bias_result_display/model_perf"}
DOWNLOADS = 8  # in parallel
REMEDY = "give a folder with the published numbers: --data DIR, or FITLIB_DATA_DIR with a folder paper in it"


def locate(data: Path | str | None = None, report: Callable[[str], None] = lambda line: None) -> Path:
    """Return the folder with the published numbers: `data`, else FITLIB_DATA_DIR/paper, else the user's filled cache.

    `report` is called with a line before anything is downloaded. Raises InputError if a given folder does not exist,
    RunFailed if a download fails.
    """
    if data is not None:
        return _given(Path(data), "--data")
    if os.environ.get("FITLIB_DATA_DIR"):
        return _given(Path(os.environ["FITLIB_DATA_DIR"]) / "paper", "FITLIB_DATA_DIR")
    return download(cache(), report)


def cache() -> Path:
    """Return the folder in the user's cache for downloaded numbers."""
    import pooch

    return Path(pooch.os_cache("fitlib")) / "paper"


def download(folder: Path, report: Callable[[str], None] = lambda line: None) -> Path:
    """Download every file that is missing or altered from the public repository, several in parallel."""
    missing = [name for name in hashes() if not _is_published(folder / name, hashes()[name])]
    if missing:
        report(f"fetching {len(missing)} of {len(hashes())} files of the published study from {BASE_URL} into {folder}")
        _download(folder, missing)
    return folder


def _download(folder: Path, names: list[str]) -> None:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    urls = {name: BASE_URL + _remote(name) for name in names}
    registry = {name: f"sha256:{hashes()[name]}" for name in names}
    source = pooch.create(path=folder, base_url=BASE_URL, registry=registry, urls=urls)
    get = pooch.HTTPDownloader(timeout=20)
    for parent in {(folder / name).parent for name in names}:  # pooch's own creation of folders is not thread-safe
        parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        waiting = {pool.submit(source.fetch, name, downloader=get): name for name in names}
        for future, name in waiting.items():
            try:
                future.result()
            except Exception as error:  # requests, urllib3, pooch and the file system raise different ones
                pool.shutdown(wait=True, cancel_futures=True)
                raise RunFailed(f"{urls[name]}: {_reason(error)}, or {REMEDY}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError) and "hash" in str(error):
        return "the download has another SHA-256 than the published file, so it is not used; try again later"
    return f"cannot be fetched ({type(error).__name__}); check the network and try again"


def _given(folder: Path, field: str) -> Path:
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise InputError(str(folder), field, str(folder), problem, REMEDY)
    return folder


def _remote(name: str) -> str:
    top, _, rest = name.partition("/")
    return f"{FOLDERS.get(top, top)}/{rest}"


@lru_cache
def hashes() -> dict[str, str]:
    """Return {path: SHA-256} of every published file."""
    lines = HASHES.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def _is_published(path: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        return False


# Contents


def contents(folder: Path) -> dict[str, bytes]:
    """Read {path: bytes} of every published file, from a folder laid out as downloaded or as the public repository.

    Every file is compared with its SHA-256. Raises InputError for the first that is missing or altered.
    """
    return {name: _checked(folder, name, digest) for name, digest in hashes().items()}


def _checked(folder: Path, name: str, digest: str) -> bytes:
    path = folder / name
    if not path.exists() and (folder / _remote(name)).exists():
        path = folder / _remote(name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(str(folder), "file", name, "missing", REMEDY) from None
    except OSError as error:
        raise InputError(str(folder), "file", name, f"cannot be read ({error.strerror})", REMEDY) from None
    if hashlib.sha256(content).hexdigest() != digest:
        problem = "altered or truncated: its SHA-256 is not the published file's"
        raise InputError(str(folder), "file", name, problem, REMEDY)
    return content
