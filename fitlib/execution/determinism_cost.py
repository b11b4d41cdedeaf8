"""The cost of deterministic algorithms, as measured by the first run of every arm on its own hardware.

Times are not reproducible to the byte, so they have a file of their own and are in no table or report.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from fitlib.machine import STEP_COST_MIME
from fitlib.storage.atomic_files import write_atomically
from fitlib.storage.paths import ExperimentPaths

COLUMNS = ("training", "arm", "hardware", "on", "off", "ratio", "low", "high", "pairs", "steps", "problem")
UNITS = {"on": "on_ms", "off": "off_ms"}  # milliseconds of a step with and without deterministic algorithms


def read_costs(paths: ExperimentPaths) -> list[dict[str, Any]]:
    """Return one row for each training and arm whose first run measured the cost of a step."""
    notebooks = sorted(paths.root.glob("runs/*/*/run-00/train.ipynb"))
    return [_row(path, cost) for path in notebooks for cost in _costs_in(path)]


def write_costs(paths: ExperimentPaths) -> list[str]:
    """Write `determinism.csv` and return its summary; do nothing where nothing was measured."""
    rows = read_costs(paths)
    if not rows:
        return []
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([UNITS.get(name, name) for name in COLUMNS])
    writer.writerows([[row.get(name) for name in COLUMNS] for row in rows])
    if not paths.determinism.exists() or paths.determinism.read_text(encoding="utf-8") != stream.getvalue():
        write_atomically(paths.determinism, stream.getvalue())
    return sentences(rows)


def sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each hardware: how many times as long a step takes with deterministic algorithms."""
    lines = []
    for hardware in dict.fromkeys(str(row["hardware"]) for row in rows):
        rows_of_hardware = [row for row in rows if row["hardware"] == hardware]
        ratios = sorted(float(row["ratio"]) for row in rows_of_hardware if row.get("ratio") is not None)
        if ratios:
            measured = f"{len(ratios)} measurement{'s' if len(ratios) > 1 else ''}"
            extent = f" ({ratios[0]:.2f} to {ratios[-1]:.2f} in {measured})"
            lines.append(
                f"deterministic algorithms: a step takes {median(ratios):.2f} times as long{extent}; {hardware}"
            )
        problems = dict.fromkeys(str(row["problem"]) for row in rows_of_hardware if row.get("problem"))
        lines += [f"cost of determinism not measured: {problem}; {hardware}" for problem in problems]
    return lines


def _row(path: Path, cost: Mapping[str, Any]) -> dict[str, Any]:
    arm = path.parent.parent
    return {"training": arm.parent.name, "arm": arm.name, **cost}


def _costs_in(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the costs that the cells of an executed notebook display."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for cell in cells:
        for output in cell.get("outputs", ()):
            if STEP_COST_MIME in output.get("data", {}):
                yield output["data"][STEP_COST_MIME]
