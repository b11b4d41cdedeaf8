"""`outputs/index.html`: every experiment with its state, n, noise, verdict and links, read from what is on disk.

Plan, evidence and verdict are those of the executed statistics notebook, so this page cannot disagree with the report.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fitlib.storage.lock import is_locked
from fitlib.storage.paths import ExperimentPaths

VERDICT = "## The verdict"
MARKS = ("experiment.yaml", "statistics.ipynb", "report.html")  # a folder with one of them is an experiment's
NO_VERDICT = "no report yet"
MOST_NAMED = 4  # noises and seeds listed one by one


def write_overview(outputs: str | Path) -> Path:
    """Write the page that lists the experiments of the folder `outputs`, and return its path."""
    from fitlib.report.pages import write_page

    outputs = Path(outputs)
    rows = [row for folder in experiments(outputs) for row in rows_of(folder)]
    return write_page("overview", outputs / "index.html", title="Experiments", rows=rows)


def experiments(outputs: Path) -> list[Path]:
    """Return the folders of experiments, by name."""
    found = {path.parent for mark in MARKS for path in outputs.glob(f"*/{mark}")}
    return sorted(path for path in found if not path.name.startswith("."))


def rows_of(folder: Path) -> list[dict]:
    """Return one row for an experiment, or for each of its families."""
    families = sorted(path.parent for path in folder.glob("families/*/statistics.ipynb"))
    return [_row(folder, place) for place in families or [folder]]


def _row(folder: Path, place: Path) -> dict:
    known = _read(place / "statistics.ipynb")
    parameters = known.get("metadata", {}).get("papermill", {}).get("parameters", {})
    plan, evidence = parameters.get("plan") or {}, parameters.get("evidence") or []
    name = folder.name if place == folder else f"{folder.name}: {place.name}"
    return {
        "name": name,
        "state": state(folder, evidence),
        **_of_plan(plan),
        "verdict": next(iter(_verdict(known)), NO_VERDICT),
        "links": _links(folder, place),
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
    return [html.unescape(part.removeprefix("**").removesuffix("**")) for part in paragraphs]


def _source(cell: Mapping) -> str:
    return "".join(cell.get("source", ""))


def _markdown(output: Mapping) -> str:
    return "".join(output.get("data", {}).get("text/markdown", ""))


def _links(folder: Path, place: Path) -> list[tuple[str, str]]:
    """Return text and relative address of the pages that exist."""
    pages = {"report": place / "report.html", "everything executed": place / "index.html"}
    return [(text, page.relative_to(folder.parent).as_posix()) for text, page in pages.items() if page.is_file()]
