"""The provenance of a finished experiment's files: which task made them, from what and when, by records and events.

Names of files are relative to the experiment's folder. The format in which provenance is exported is up to the caller.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from posixpath import normpath

from fitlib.execution.analysis_tasks import REPORT, STATISTICS
from fitlib.experiment.notebooks import FOLDERS, injected_parameters
from fitlib.experiment.plan import last_line
from fitlib.storage.atomic_files import read_json
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import FAILED, RECORD

Times = Mapping[str, tuple[str, str]]  # task -> start and end
TASK_FOLDERS = ("runs/*/*/run-*", "techniques/*", "families/*/techniques/*")
END_EVENTS = ("done", "failed", "finished")
PREDICTIONS_DEPTHS = (6, 3)  # components of a predictions file's name: of a run, of an analysis


@dataclass(frozen=True)
class Action:
    """An executed task.

    ``notebook``: SHA-256 of the notebook executed ("" for pages, which fitlib itself makes); ``used`` and ``made``:
    names of files; ``parameters``: those given to a run; ``error``: why it failed, else "".
    """

    name: str
    kind: str
    notebook: str
    used: tuple[str, ...]
    made: tuple[str, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)
    start: str = ""
    end: str = ""
    error: str = ""


def actions_of(paths: ExperimentPaths, files: Sequence[str]) -> list[Action]:
    """List every task that left a record or a failure: runs, metrics, statistics, pages."""
    names, times = set(files), task_times(paths)
    folders = sorted(folder for pattern in TASK_FOLDERS for folder in paths.root.glob(pattern) if folder.is_dir())
    found = [_task(paths, folder, names, times) for folder in folders]
    for results in [paths, *(ExperimentPaths(f) for f in sorted(paths.root.glob("families/*")))]:
        found += [_statistics(paths, results, names, times), _pages(paths, results, names)]
    return [action for action in found if action]


def _task(paths: ExperimentPaths, folder: Path, names: set[str], times: Times) -> Action | None:
    """Return the task of one folder: a run (finished or failed) or the metrics of a technique."""
    record, failure = read_json(folder / RECORD), read_json(folder / FAILED)
    prefix = folder.relative_to(paths.root).as_posix()
    run = prefix.startswith("runs/")
    name = prefix.removeprefix("runs/")
    if record:
        notebook = record["key_parts"].get("notebook", "")
        given = _parameters(folder / ("train.ipynb" if run else "metrics.ipynb"))
        made = _inside(prefix, [*record["outputs"], RECORD], names)
        used = _declared(names) if run else _predictions(given, names)
        values = {n: v for n, v in given.items() if n not in FOLDERS} if run else {}
        when = times.get(name if run else f"metrics {folder.name}", ("", ""))
        return Action(name, "train" if run else "metrics", notebook, used, made, values, *when)
    if failure:
        made = tuple(n for n in sorted(names) if n.startswith(f"{prefix}/"))
        error = last_line(failure.get("error"))
        kind = "train" if run else "metrics"
        return Action(name, kind, "", _declared(names), made, {}, *times.get(name, ("", "")), error)
    return None


def _statistics(paths: ExperimentPaths, results: ExperimentPaths, names: set[str], times: Times) -> Action | None:
    record, prefix = read_json(results.root / STATISTICS), _prefix(paths, results)
    if not record:
        return None
    used = (n for n in sorted(names) if n.startswith(f"{prefix}techniques/") and n.endswith(".parquet"))
    made, notebook = _inside(prefix, [*record["outputs"], STATISTICS], names), record["key_parts"].get("notebook", "")
    when = times.get("statistics" if not prefix else f"statistics {results.root.name}", ("", ""))
    return Action(f"{prefix}statistics", "statistics", notebook, tuple(used), made, {}, *when)


def _pages(paths: ExperimentPaths, results: ExperimentPaths, names: set[str]) -> Action | None:
    record, prefix = read_json(results.root / REPORT), _prefix(paths, results)
    if not record:
        return None
    made = _inside(prefix, [*record["outputs"], REPORT], names)
    pages = [n for n in made if n.endswith(".html")]
    notebooks = {str(PurePosixPath(n).with_suffix(".ipynb")) for n in pages} | {f"{prefix}statistics.ipynb"}
    return Action(f"{prefix}report", "report", "", tuple(sorted(notebooks & names)), made)


def _prefix(paths: ExperimentPaths, results: ExperimentPaths) -> str:
    return "" if results.root == paths.root else f"{results.root.relative_to(paths.root).as_posix()}/"


def _inside(prefix: str, outputs: Iterable[str], names: set[str]) -> tuple[str, ...]:
    """Return the names of a record's outputs that are among the files."""
    made = {normpath(f"{prefix}/{output}") if prefix else normpath(output) for output in outputs}
    return tuple(sorted(made & names))


def _declared(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(n for n in names if "/" not in n and n.startswith("experiment") and n.endswith(".yaml")))


def _predictions(given: Mapping, names: set[str]) -> tuple[str, ...]:
    """Return the files of predictions that a technique's metrics were computed from and that are among the files."""
    paths = [str(p) for arm in (given.get("predictions") or {}).values() for p in arm["predictions"].values()]
    tails = {str(PurePosixPath(*PurePosixPath(path).parts[-n:])) for path in paths for n in PREDICTIONS_DEPTHS}
    return tuple(sorted(tails & names))


def _parameters(notebook: Path) -> dict[str, object]:
    """Read the parameters injected into an executed notebook; {} if they cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return injected_parameters(json.loads(notebook.read_text(encoding="utf-8"))["cells"]) or {}
    return {}


# Times


def task_times(paths: ExperimentPaths) -> dict[str, tuple[str, str]]:
    """Return start and end of the last attempt at each task, by its name in events.jsonl."""
    begun: dict[str, float] = {}
    found: dict[str, tuple[str, str]] = {}
    for event in events(paths):
        task = str(event.get("task"))
        if event["event"] == "started":
            begun[task] = event["time"]
        elif event["event"] in END_EVENTS and task in begun:
            start = event.get("began")
            found[task] = (moment(start if isinstance(start, int | float) else begun[task]), moment(event["time"]))
    return found


def events(paths: ExperimentPaths) -> list[dict]:
    """Read events.jsonl, oldest event first; a line truncated by a crash is skipped."""
    found = []
    for line in paths.events.read_text(encoding="utf-8").splitlines() if paths.events.is_file() else []:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and {"event", "time"} <= set(event) and isinstance(event["time"], int | float):
                found.append(event)
    return found


def moment(seconds: float) -> str:
    """Format seconds since 1970 as ISO 8601, UTC.

    >>> moment(86400)
    '1970-01-02T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
