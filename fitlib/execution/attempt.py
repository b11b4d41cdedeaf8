"""One attempt at one task: execute its notebook in a folder of its own, read the outputs back, write the record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from fitlib.errors import Crashed, RunFailed
from fitlib.execution.kernels import manager
from fitlib.execution.kernels.fork_server import ANALYSIS, EVERYTHING, TRAINING
from fitlib.execution.kernels.last_line import LastLine
from fitlib.execution.limits import Watch
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
    watch: Watch | None = None,
    check: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Execute `notebook` into `folder` as `<kind>.ipynb` and write the record there; nothing else makes a task done.

    `check` raises RunFailed where the folder does not hold what the notebook had to save. On failure `failed.json`
    (with the last lines of the traceback) stands there instead, beside the executed notebook and the kernel's log, and
    RunFailed is raised; Crashed where the kernel was gone and no limit had ended it.
    """
    try:
        _execute(kind, notebook, folder, parameters, environment, watch)
        (folder / LOG).unlink(missing_ok=True)
        check(folder)
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        read_back(folder, names)
        write_record(folder, kind, parts, names)
    except Exception as error:  # whatever it is, the other tasks go on
        text = str(error) if isinstance(error, RunFailed | OSError) else f"{type(error).__name__}: {error}"
        if not manager.ending() and not (watch and watch.orphaned):  # an interrupted task has not failed
            mark_failed(folder, text, parts)
        raise (Crashed if isinstance(error, Crashed) else RunFailed)(text) from None


def mark_failed(folder: Path, error: str, parts: Mapping[str, str]) -> None:
    """Let `failed.json` stand in an attempt's folder, and no record."""
    with contextlib.suppress(OSError):  # a full disk: the missing record says enough
        (folder / RECORD).unlink(missing_ok=True)
        write_json(folder / FAILED, {"error": error, "key_parts": dict(parts)})


def _execute(
    kind: str,
    notebook: Path,
    folder: Path,
    parameters: Mapping[str, object],
    environment: Mapping[str, str],
    watch: Watch | None,
) -> None:
    started, line = watch.kernel if watch else lambda pid: None, LastLine(folder)
    target, log = folder / f"{kind}.ipynb", folder / LOG
    try:
        execute(notebook, target, parameters, environment, log, started, _modules(notebook), line)
        line.forget()
    except Crashed:
        if watch and watch.reason:
            raise RunFailed(watch.reason) from None
        raise


def _modules(notebook: Path) -> Sequence[str]:
    """What is imported once, before the kernels of a notebook are forked."""
    own = {notebook_path("train"): TRAINING, notebook_path("metrics"): ANALYSIS, notebook_path("statistics"): ANALYSIS}
    return own.get(notebook, EVERYTHING)


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
