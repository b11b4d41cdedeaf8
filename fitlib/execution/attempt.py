"""One attempt at one task: execute its notebook in a new folder, read the outputs back, write the record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from fitlib.errors import Crashed, RunFailed
from fitlib.execution.kernels import manager
from fitlib.execution.kernels.fork_client import ANALYSIS, EVERYTHING, TRAINING
from fitlib.execution.kernels.last_line import LastLine
from fitlib.execution.limits import Watchdog
from fitlib.execution.run_notebook import execute
from fitlib.experiment.notebooks import notebook_path
from fitlib.storage.atomic_files import write_json
from fitlib.storage.records import FAILED, RECORD, write_record

LOG = "kernel.log"


def attempt(
    kind: str,
    notebook: Path,
    folder: Path,
    parameters: Mapping[str, object],
    environment: Mapping[str, str],
    parts: Mapping[str, str],
    watchdog: Watchdog | None = None,
    check: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Execute `notebook` into `folder` as `<kind>.ipynb` and write the record there; nothing else makes a task done.

    `check` raises RunFailed where the folder lacks what the notebook had to save. On failure `failed.json` (with the
    last lines of the traceback) is written instead, beside the executed notebook and the kernel's log, and RunFailed
    is raised; Crashed where the kernel was gone although no limit had been exceeded.
    """
    try:
        _execute(kind, notebook, folder, parameters, environment, watchdog)
        (folder / LOG).unlink(missing_ok=True)
        check(folder)
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        read_back(folder, names)
        write_record(folder, kind, parts, names)
    except Exception as error:  # whatever it is, the other tasks go on
        text = str(error) if isinstance(error, RunFailed | OSError) else f"{type(error).__name__}: {error}"
        if not manager.is_ending() and not (watchdog and watchdog.orphaned):  # an interrupted task has not failed
            mark_failed(folder, text, parts)
        raise (Crashed if isinstance(error, Crashed) else RunFailed)(text) from None


def mark_failed(folder: Path, error: str, parts: Mapping[str, str]) -> None:
    """Mark an attempt as failed: write `failed.json`, remove the record."""
    with contextlib.suppress(OSError):  # a full disk: the missing record suffices
        (folder / RECORD).unlink(missing_ok=True)
        write_json(folder / FAILED, {"error": error, "key_parts": dict(parts)})


def _execute(
    kind: str,
    notebook: Path,
    folder: Path,
    parameters: Mapping[str, object],
    environment: Mapping[str, str],
    watchdog: Watchdog | None,
) -> None:
    on_start, last_line = watchdog.watch if watchdog else lambda pid: None, LastLine(folder)
    target, log = folder / f"{kind}.ipynb", folder / LOG
    try:
        execute(notebook, target, parameters, environment, log, on_start, _preloaded_modules(notebook), last_line)
        last_line.remove()
    except Crashed:
        if watchdog and watchdog.reason:
            raise RunFailed(watchdog.reason) from None
        raise


def _preloaded_modules(notebook: Path) -> Sequence[str]:
    """Return the modules that are imported once, before the kernels of a notebook are forked."""
    of_fitlib = {
        notebook_path("train"): TRAINING,
        notebook_path("metrics"): ANALYSIS,
        notebook_path("statistics"): ANALYSIS,
    }
    return of_fitlib.get(notebook, EVERYTHING)


def read_back(folder: Path, names: list[str]) -> None:
    """Read every output by its format; RunFailed names the one that cannot be read."""
    for name in names:
        try:
            if name.endswith(".parquet"):
                pq.read_table(folder / name)
            elif name.endswith((".json", ".ipynb")):
                json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunFailed(f"{name} cannot be read back: {error}") from None
