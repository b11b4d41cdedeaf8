"""Which task of a finished experiment made which of its files, from what and when: read from records and events.

Names of files are relative to the experiment's folder. Nothing here knows the format in which this is told.
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

PLACES = ("runs/*/*/run-*", "techniques/*", "families/*/techniques/*")
ENDS = ("done", "failed", "finished")  # events
LONG = (6, 3)  # last components of a path of predictions, of runs and of an analysis


@dataclass(frozen=True)
class Action:
    """A task that was executed.

    ``notebook``: name and SHA-256 of what was executed ("" for pages, which fitlib itself makes); ``used`` and
    ``made``: names of files; ``parameters``: those that a run was given; ``error``: why it failed, else "".
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
    """Every task that left a record or a failure: runs, metrics, statistics, pages."""
    known, times = set(files), task_times(paths)
    folders = sorted(folder for place in PLACES for folder in paths.root.glob(place) if folder.is_dir())
    found = [_task(paths, folder, known, times) for folder in folders]
    for place in [paths, *(ExperimentPaths(f) for f in sorted(paths.root.glob("families/*")))]:
        found += [_statistics(paths, place, known, times), _pages(paths, place, known)]
    return [action for action in found if action]


def _task(paths: ExperimentPaths, folder: Path, known: set[str], times: Mapping[str, tuple]) -> Action | None:
    """The task of one folder: a run (finished or failed) or the metrics of a technique."""
    record, failure = read_json(folder / RECORD), read_json(folder / FAILED)
    place = folder.relative_to(paths.root).as_posix()
    run = place.startswith("runs/")
    name = place.removeprefix("runs/")
    if record:
        notebook = record["key_parts"].get("notebook", "")
        given = _parameters(folder / ("train.ipynb" if run else "metrics.ipynb"))
        made = _inside(place, [*record["outputs"], RECORD], known)
        used = _declared(known) if run else _predictions(given, known)
        values = {n: v for n, v in given.items() if n not in FOLDERS} if run else {}
        when = times.get(name if run else f"metrics {folder.name}", ("", ""))
        return Action(name, "train" if run else "metrics", notebook, used, made, values, *when)
    if failure:
        made = tuple(n for n in sorted(known) if n.startswith(f"{place}/"))
        error = last_line(failure.get("error"))
        kind = "train" if run else "metrics"
        return Action(name, kind, "", _declared(known), made, {}, *times.get(name, ("", "")), error)
    return None


def _statistics(
    paths: ExperimentPaths, place: ExperimentPaths, known: set[str], times: Mapping[str, tuple]
) -> Action | None:
    record, prefix = read_json(place.root / STATISTICS), _prefix(paths, place)
    if not record:
        return None
    used = (n for n in sorted(known) if n.startswith(f"{prefix}techniques/") and n.endswith(".parquet"))
    made, notebook = _inside(prefix, [*record["outputs"], STATISTICS], known), record["key_parts"].get("notebook", "")
    when = times.get("statistics" if not prefix else f"statistics {place.root.name}", ("", ""))
    return Action(f"{prefix}statistics", "statistics", notebook, tuple(used), made, {}, *when)


def _pages(paths: ExperimentPaths, place: ExperimentPaths, known: set[str]) -> Action | None:
    record, prefix = read_json(place.root / REPORT), _prefix(paths, place)
    if not record:
        return None
    made = _inside(prefix, [*record["outputs"], REPORT], known)
    pages = [n for n in made if n.endswith(".html")]
    notebooks = {str(PurePosixPath(n).with_suffix(".ipynb")) for n in pages} | {f"{prefix}statistics.ipynb"}
    return Action(f"{prefix}report", "report", "", tuple(sorted(notebooks & known)), made)


def _prefix(paths: ExperimentPaths, place: ExperimentPaths) -> str:
    return "" if place.root == paths.root else f"{place.root.relative_to(paths.root).as_posix()}/"


def _inside(place: str, outputs: Iterable[str], known: set[str]) -> tuple[str, ...]:
    """Names of a record's outputs; those that are not among the files are left out."""
    names = (normpath(f"{place}/{output}") if place else normpath(output) for output in outputs)
    return tuple(sorted(name for name in names if name in known))


def _declared(known: set[str]) -> tuple[str, ...]:
    return tuple(sorted(n for n in known if "/" not in n and n.startswith("experiment") and n.endswith(".yaml")))


def _predictions(given: Mapping, known: set[str]) -> tuple[str, ...]:
    """Files of predictions that a technique's metrics were computed from, as far as they are among the files."""
    paths = [str(p) for arm in (given.get("predictions") or {}).values() for p in arm["predictions"].values()]
    tails = {str(PurePosixPath(*PurePosixPath(path).parts[-n:])) for path in paths for n in LONG}
    return tuple(sorted(tails & known))


def _parameters(notebook: Path) -> dict[str, object]:
    """The parameters that an executed notebook was given; {} where it does not tell."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return injected_parameters(json.loads(notebook.read_text(encoding="utf-8"))["cells"]) or {}
    return {}


# Times


def task_times(paths: ExperimentPaths) -> dict[str, tuple[str, str]]:
    """Start and end of the last attempt at each task, by the name that events.jsonl has for it."""
    begun: dict[str, float] = {}
    found: dict[str, tuple[str, str]] = {}
    for event in events(paths):
        task = str(event.get("task"))
        if event["event"] == "started":
            begun[task] = event["time"]
        elif event["event"] in ENDS and task in begun:
            start = event.get("began")
            found[task] = (moment(start if isinstance(start, int | float) else begun[task]), moment(event["time"]))
    return found


def events(paths: ExperimentPaths) -> list[dict]:
    """What events.jsonl tells, oldest first; a line torn by a crash is passed over."""
    found = []
    for line in paths.events.read_text(encoding="utf-8").splitlines() if paths.events.is_file() else []:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and {"event", "time"} <= set(event) and isinstance(event["time"], int | float):
                found.append(event)
    return found


def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
