"""`outputs/index.html`: every experiment with date, state, n, noise, effects, verdict and links, the newest first.

Plan, evidence and verdict are those of the executed statistics notebook, so this page cannot disagree with the report.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fitlib.report.executed_notebooks import HASHED, executed_on, parameters_of
from fitlib.report.glance import SHOWN, drawing, read_effects
from fitlib.storage.lock import is_locked
from fitlib.storage.paths import ExperimentPaths

VERDICT = "## The verdict"
MARKS = ("experiment.yaml", "statistics.ipynb", "report.html")  # a folder with one of them is an experiment's
NO_VERDICT = "no report yet"
STUDY = "paper.ipynb"  # executed notebook of a recomputed study
MOST_NAMED = 4  # noises and seeds listed one by one


def write_overview(outputs: str | Path) -> Path:
    """Write the page that lists the experiments of the folder `outputs`, and return its path."""
    from fitlib.report.pages import write_page

    outputs = Path(outputs)
    found = sorted((rows_of(folder) for folder in experiments(outputs)), key=_latest, reverse=True)
    rows = [row for of_one in found for row in of_one]
    return write_page("overview", outputs / "index.html", title="Experiments", rows=rows)


def _latest(rows: list[dict]) -> str:
    return max(row["moment"] for row in rows)


def experiments(outputs: Path) -> list[Path]:
    """Return the folders of experiments, by name."""
    found = {path.parent for mark in MARKS for path in outputs.glob(f"*/{mark}")}
    return sorted(path for path in found if not path.name.startswith("."))


def rows_of(folder: Path) -> list[dict]:
    """Return one row for an experiment, or for each of its families."""
    families = sorted(path.parent for path in folder.glob("families/*/statistics.ipynb"))
    return [_row(folder, place) for place in families or [folder]]


def _row(folder: Path, place: Path) -> dict:
    if (place / STUDY).is_file() and not (place / "statistics.ipynb").is_file():
        return _study_row(folder)
    known = _read(place / "statistics.ipynb")
    parameters = parameters_of(known)
    plan, evidence = parameters.get("plan") or {}, parameters.get("evidence") or []
    name = folder.name if place == folder else f"{folder.name}: {place.name}"
    return {
        "name": name,
        **_when(folder, known),
        "state": state(folder, evidence),
        **_of_plan(plan),
        **_effects(place, plan),
        "verdict": next(iter(_verdict(known)), NO_VERDICT),
        "root": str(_read(folder / "MANIFEST.json").get("root", ""))[:HASHED],
        "links": _links(folder, place),
    }


def _study_row(folder: Path) -> dict:
    """Return the row of a study that was recomputed: it has a report, and no runs of its own."""
    known = _read(folder / STUDY)
    titles = [_source(cell).splitlines()[0] for cell in known.get("cells", []) if _source(cell).startswith("# ")]
    return {
        "name": folder.name,
        **_when(folder, known),
        "state": "recomputed",
        **_of_plan({}),
        **_effects(folder, {}),
        "verdict": f"{titles[0].removeprefix('# ')}." if titles else "",
        "root": "",
        "links": _links(folder, folder),
    }


def _when(folder: Path, notebook: Mapping) -> dict[str, str]:
    """Return the day of the statistics, and the moment that orders the rows: without statistics that of its plan."""
    noted = (notebook.get("metadata", {}).get("papermill") or {}).get("end_time")
    times = [path.stat().st_mtime for mark in MARKS if (path := folder / mark).is_file()]
    written = datetime.fromtimestamp(max(times, default=0), UTC).isoformat()
    return {"date": executed_on(notebook) or "–", "moment": str(noted or written)}


def _effects(place: Path, plan: Mapping) -> dict[str, Any]:
    metric, effects = read_effects(place / "tables", plan) if plan else ("", [])
    lines = [(effect.technique, effect.text) for effect in effects if effect.text != "baseline"]
    more = f"and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return {
        "metric": metric,
        "effects": lines[:SHOWN],
        "more": more,
        "drawing": drawing(effects, metric) if effects else "",
    }


def _read(notebook: Path) -> dict:
    try:
        return json.loads(notebook.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def state(folder: Path, evidence: Sequence[Mapping]) -> str:
    """Return how many runs are done, failed and missing: by the report's evidence, without one by what is on disk."""
    if is_locked(ExperimentPaths(folder)):
        return f"running, {_on_disk(folder)}"
    counts = Counter(run["status"] for run in evidence)
    if not counts:
        return _on_disk(folder)
    if set(counts) == {"done"}:
        return f"all {counts['done']} runs done"
    return ", ".join(f"{counts[name]} {name}" for name in ("done", "failed", "missing") if counts[name])


def _on_disk(folder: Path) -> str:
    done = sum(1 for _ in folder.glob("runs/*/*/run-*/record.json"))
    failed = sum(1 for _ in folder.glob("runs/*/*/run-*/failed.json"))
    texts = [f"{n} {name}" for n, name in ((done, "done"), (failed, "failed")) if n]
    return ", ".join(texts) or ("no run yet" if (folder / "experiment.yaml").is_file() else "done")


def _of_plan(plan: Mapping) -> dict[str, str]:
    """Return techniques, runs of each, noise and seeds, in words; dashes without a plan."""
    if not plan:
        return dict.fromkeys(("techniques", "n", "noise", "seeds"), "–")
    from fitlib.report import vocabulary as words
    from fitlib.tables.metric_series import main_arms

    arms = main_arms(plan)
    return {
        "techniques": str(len(plan["techniques"])),
        "n": _several(arm["runs"] for arm in arms),
        "noise": _several(words.noise(arm) for arm in arms),
        "seeds": _several(words.seed(arm) for arm in arms),
    }


def _several(values: Iterable[object]) -> str:
    """List distinct values in their order, the rest counted."""
    from fitlib.formatting import join_items

    return join_items(dict.fromkeys(values), MOST_NAMED)


def read_verdict(statistics_notebook: Path) -> list[str]:
    """Return the paragraphs of the verdict in an executed statistics notebook; [] where there is none."""
    return _verdict(_read(statistics_notebook))


def _verdict(notebook: Mapping) -> list[str]:
    cells = notebook.get("cells", [])
    start = next((i for i, cell in enumerate(cells) if _source(cell).startswith(VERDICT)), len(cells))
    texts = [text for cell in cells[start + 1 : start + 2] for text in map(_markdown, cell.get("outputs", [])) if text]
    paragraphs = [part for text in texts for part in text.split("\n\n") if not part.startswith("#")]
    plain = (html.unescape(part.removeprefix("**").removesuffix("**")) for part in paragraphs)
    return list(dict.fromkeys(plain))  # the first screen and the folded rest share some


def _source(cell: Mapping) -> str:
    return "".join(cell.get("source", ""))


def _markdown(output: Mapping) -> str:
    return "".join(output.get("data", {}).get("text/markdown", ""))


def _links(folder: Path, place: Path) -> list[tuple[str, str]]:
    """Return text and relative address of the pages that exist."""
    pages = {"report": place / "report.html", "everything executed": place / "index.html"}
    return [(text, page.relative_to(folder.parent).as_posix()) for text, page in pages.items() if page.is_file()]
