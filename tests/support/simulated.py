"""A simulated experiment on disk, as a finished one, without executing anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fitlib.explore.simulated_runs import example_experiment

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def write_simulated(outputs: Path, name: str = "sim", change: Mapping | None = None, runs: int = 5) -> Path:
    """Write the experiment to `outputs/name`; ``change``: fields of the plan that differ from the example's."""
    example = example_experiment(outputs / name, runs=runs)
    plan = {**example.plan, **(change or {})}
    for folder in example.root.glob("runs/*/*/run-*"):
        (folder / "train.ipynb").write_text(json.dumps(notebook("print('trained')")))
    cell = f"plan = {plan!r}\nevidence = {example.evidence!r}"
    (example.root / "statistics.ipynb").write_text(json.dumps(notebook(cell, "injected-parameters")))
    return example.root


def notebook(source: str, *tags: str) -> dict:
    """Return a notebook of one executed code cell."""
    cell = {
        "cell_type": "code",
        "metadata": {"tags": list(tags)},
        "source": source,
        "outputs": [],
        "execution_count": 1,
    }
    return {"cells": [{**cell, "id": "one"}], "metadata": KERNEL, "nbformat": 4, "nbformat_minor": 5}
