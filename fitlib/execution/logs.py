"""Logs of a run: the line that it shows while it works, its error, the output of its cells and of its kernel."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fitlib.errors import InputError, did_you_mean
from fitlib.execution.attempt import LOG
from fitlib.experiment.plan import Plan
from fitlib.storage.atomic_files import read_json
from fitlib.storage.paths import PROGRESS, ExperimentPaths
from fitlib.storage.records import FAILED

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def log_lines(plan: Plan, name: str) -> list[str]:
    """Return all output of the run or technique `name` and of its earlier attempts; InputError if it does not exist."""
    paths = plan.paths
    folders = {run.name: run.folder for run in plan.runs}
    arms = {run.name: run.name.partition("/")[2] for run in plan.runs}
    folders |= {f"{t}/{arms[run.name]}": run.folder for run in plan.runs for t in run.spec.techniques}
    folders |= {t.name: folder for t in plan.experiment.techniques for folder in _technique_folders(paths, t.name)}
    chosen = [name] if name in folders else [full for full in folders if full.endswith(f"/{name}")]
    if not chosen:
        remedy = did_you_mean(name, folders, f"for example {next(iter(folders))}")
        raise InputError(str(paths.root), "RUN", name, "no such run", remedy)
    if len({folders[full] for full in chosen}) > 1:
        raise InputError(
            str(paths.root), "RUN", name, f"{len(chosen)} runs match", f"give the full name: {chosen[0]} …"
        )
    lines = [line for folder in _attempt_folders(paths, folders[chosen[0]]) for line in _log_of(folder)]
    return lines or [f"{chosen[0]}: nothing yet"]


def _technique_folders(paths: ExperimentPaths, technique: str) -> list[Path]:
    """Return the folders of a technique's metrics, whichever family it belongs to."""
    places = [paths, *(ExperimentPaths(folder) for folder in sorted(paths.root.glob("families/*")))]
    found = [place.technique(technique) for place in places]
    return [folder for folder in found if folder.is_dir()] or found[:1]


def _attempt_folders(paths: ExperimentPaths, folder: Path) -> list[Path]:
    """Return earlier attempts that were kept, the folder of the task, and attempts in progress, oldest first."""
    earlier = sorted((paths.superseded / folder.relative_to(paths.root)).parent.glob(f"{folder.name}-*"))
    attempts = sorted(p for p in paths.attempts() if p.parent == folder.parent and p.stem.lstrip(".") == folder.name)
    return [found for found in [*earlier, folder, *attempts] if found.is_dir()]


def _log_of(folder: Path) -> Iterator[str]:
    yield f"== {folder}"
    if (folder / PROGRESS).is_file():
        yield (folder / PROGRESS).read_text(encoding="utf-8", errors="replace").strip()
    for notebook in sorted(folder.glob("*.ipynb")):
        yield from _outputs(notebook)
    if (folder / LOG).is_file():
        yield from (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    failure = read_json(folder / FAILED)
    if failure:
        yield from ("-- failed", *str(failure.get("error")).splitlines())


def _outputs(notebook: Path) -> Iterator[str]:
    """Yield the text of every cell's output; nothing of a torn notebook."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return
    for number, cell in enumerate(cells):
        found = [line for output in cell.get("outputs", ()) for line in _text(output)]
        if found:
            yield f"-- {notebook.name}, cell {number}"
            yield from found


def _text(output: Mapping[str, Any]) -> list[str]:
    if output.get("output_type") == "error":
        text = "\n".join(output.get("traceback", ()))
    else:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
    return ESCAPES.sub("", text if isinstance(text, str) else "".join(text)).splitlines()
