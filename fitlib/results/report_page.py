"""The report as one self-contained page, without an executed notebook: neither a kernel nor Jupyter is needed.

Prose and the order of the sections are those of `notebooks/statistics.ipynb`. Its cells that read and write files carry
the tag "files"; here they are left out, and what they define is given to the others, which run in this process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any

import pandas as pd

from fitlib.experiment.notebooks import notebook_path
from fitlib.report.notebook_display import Page, collect_outputs
from fitlib.report.pages import Cell, joined, write_cells
from fitlib.report.scope import of_experiment

LEFT_OUT = {"parameters", "files"}  # tags of cells


def write_report_page(
    path: str | Path,
    frames: Mapping[str, pd.DataFrame],
    plan: Mapping,
    evidence: Sequence[Mapping],
    name: str = "",
    date: str = "",
) -> Path:
    """Write the report of an analysis and return its path.

    ``frames``: all tables, the long "metrics" and the "history" of trainings among them; ``name``, ``date``: of the
    experiment and its statistics, "" where not recorded. The page has no links, since there are no files beside it.
    """
    scope = of_experiment(plan, evidence, name, date)
    return write_cells(list(execute_cells(frames, plan, evidence)), path, scope)


def execute_cells(
    frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]
) -> Iterator[dict[str, Any]]:
    """Yield the cells of the report with their outputs, executed in this process on tables in memory."""
    given: dict[str, Any] = {"frames": frames, "plan": plan, "evidence": evidence}
    given |= {"page": Page(plan), "everything": (frames, plan, evidence)}
    for cell, code in _cells():
        if code is None:
            yield dict(cell)
            continue
        with collect_outputs() as outputs:
            exec(code, given)  # of fitlib's own notebook
        yield {**cell, "outputs": outputs}


@lru_cache
def _cells() -> list[tuple[Cell, CodeType | None]]:
    """Return the cells to show, with the code of those that have any."""
    path = notebook_path("statistics")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    kept = [cell for cell in cells if not LEFT_OUT & set(cell["metadata"].get("tags", ()))]
    return [(cell, _compiled(cell, path) if cell["cell_type"] == "code" else None) for cell in kept]


def _compiled(cell: Cell, path: Path) -> CodeType:
    return compile(joined(cell["source"]), f"{path.name}, cell {cell['id']}", "exec")
