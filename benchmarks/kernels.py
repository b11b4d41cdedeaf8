"""What a notebook costs before its first own line, cold and warm: wall-clock and processor time per notebook.

    python benchmarks/kernels.py [--notebooks 64]

Batches of notebooks that import torch, pandas, scipy and seaborn and do nothing else, one at a time, each batch in a
process of its own, whose start counts, as does the start of templates: papermill with the standard kernel (the peer),
papermill with the kernel `fitlib`, and fitlib's own way to execute (`fitlib.execution.run_notebook.execute`, as in
`fitlib run`). Processor time is that of the whole process tree.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from measure import machine, met, table

CODE = "import torch\nimport pandas as pd\nimport scipy.stats\nimport seaborn as sns"
WAYS = {"python3": "papermill, standard kernel", "fitlib": "papermill, kernel fitlib", "own": "fitlib run's own way"}
TARGETS = {"fitlib": 6, "own": 10}


def batch(way: str, folder: Path, notebooks: int) -> None:
    """Execute the notebook so many times in this process."""
    source = folder / "n.ipynb"
    for number in range(notebooks):
        target = folder / f"{way}-{number}.ipynb"
        if way == "own":
            from fitlib.execution.kernels.fork_client import EVERYTHING
            from fitlib.execution.run_notebook import execute

            execute(source, target, {}, {}, modules=EVERYTHING)
        else:
            import papermill

            papermill.execute_notebook(source, target, kernel_name=way, progress_bar=False)


def measured(way: str, folder: Path, notebooks: int) -> tuple[float, float]:
    """Seconds per notebook: by the clock, of the processor."""
    before, start = os.times(), time.perf_counter()
    command = [sys.executable, __file__, "--notebooks", str(notebooks), "--batch", way, str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    spent = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return (time.perf_counter() - start) / notebooks, spent / notebooks


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notebooks", type=int, default=64)
    parser.add_argument("--batch", nargs=2, metavar=("WAY", "FOLDER"), help="execute one batch in this process")
    options = parser.parse_args()
    if options.batch:
        batch(options.batch[0], Path(options.batch[1]), options.notebooks)
        return
    with tempfile.TemporaryDirectory() as name:
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
        made.metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
        nbformat.write(made, Path(name) / "n.ipynb")
        found = {way: measured(way, Path(name), options.notebooks) for way in WAYS}
    print(table(["notebook executed by", "by the clock", "processor", "ratios", "target"], rows(found)))
    print(f"\nMean of {options.notebooks} notebooks each. {machine('torch', 'papermill', 'ipykernel')}.")


def rows(found: dict[str, tuple[float, float]]) -> list[list[str]]:
    """Seconds per notebook, and how many times less than the peer's."""
    lines = []
    for way, seconds in found.items():
        ratios = [peer / own for peer, own in zip(found["python3"], seconds, strict=True)]
        target = TARGETS.get(way)
        told = met(min(ratios) >= target, f"≥ {target} × both") if target else ""
        shown = f"{ratios[0]:.1f} ×, {ratios[1]:.1f} ×"
        lines.append([WAYS[way], f"{seconds[0]:.3g} s", f"{seconds[1]:.3g} s", shown, told])
    return lines


if __name__ == "__main__":
    main()
