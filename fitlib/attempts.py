"""One attempt at one task: execute its notebook in a folder of its own, read the outputs back, write the record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fitlib import kernels
from fitlib.errors import RunFailed
from fitlib.execution import execute
from fitlib.store import FAILED, write_json, write_record

LOG = "kernel.log"


def attempt(
    kind: str,
    notebook: Path,
    folder: Path,
    parameters: Mapping[str, object],
    environment: Mapping[str, str],
    parts: Mapping[str, str],
    check: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Execute `notebook` into `folder` as `<kind>.ipynb` and write the record there; nothing else makes a task done.

    `check` raises RunFailed where the folder does not hold what the notebook had to save. On failure `failed.json`
    (with the last lines of the traceback) stands there instead, beside the executed notebook and the kernel's log, and
    RunFailed is raised.
    """
    try:
        execute(notebook, folder / f"{kind}.ipynb", parameters, environment, folder / LOG)
        (folder / LOG).unlink(missing_ok=True)
        check(folder)
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        read_back(folder, names)
        write_record(folder, kind, parts, names)
    except Exception as error:  # whatever it is, the other tasks go on
        text = str(error) if isinstance(error, RunFailed | OSError) else f"{type(error).__name__}: {error}"
        if not kernels.ending():  # an interrupted task has not failed
            with contextlib.suppress(OSError):  # a full disk: the missing record says enough
                write_json(folder / FAILED, {"error": text, "key_parts": dict(parts)})
        raise RunFailed(text) from None


def each(work: Callable[[Any], None], items: Sequence[Any], jobs: int) -> None:
    """Call `work` on every item, `jobs` at a time, in order; an interrupt ends all kernels and waits for the rest."""
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        try:
            list(pool.map(work, items))
        except BaseException:
            kernels.end_all()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def read_back(folder: Path, names: list[str]) -> None:
    """Read every output as what it is; RunFailed names the one that cannot be read."""
    for name in names:
        try:
            if name.endswith(".parquet"):
                pq.read_table(folder / name)
            elif name.endswith((".json", ".ipynb")):
                json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunFailed(f"{name} cannot be read back: {error}") from None
