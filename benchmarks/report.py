"""Time and size of the report: from predictions to report.html, and from the executed notebook to the page.

    python benchmarks/report.py [--techniques 27] [--runs 16] [--classes 211] [--rows 8000] [--keep DIR]

Predictions are simulated. The peer of the page is nbconvert's own HTML of the same executed notebook (template "lab",
which loads scripts from the network). Exits 1 unless the report stays below 20 MB.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import machine, ratio, spread, table

from fitlib.report import pages
from fitlib.storage.predictions import write_predictions

MOST_MB = 20
REPETITIONS = 3


def simulate(folder: Path, techniques: int, runs: int, classes: int, rows: int) -> None:
    """Predictions of `techniques` in the layout of `fitlib analyze`: wrong ones by group, some changed by each run."""
    rng = np.random.default_rng(0)
    truth, group = rng.integers(0, classes, rows), rng.integers(0, 2, rows)
    for technique in range(techniques):
        wrong = rng.random(rows) < np.where(group == 1, 0.3 - 0.005 * technique, 0.2)
        usual = np.where(wrong, rng.integers(0, classes, rows), truth)
        place = folder / ("Base" if technique == 0 else f"T{technique:02d}")
        place.mkdir(parents=True)
        for run in range(runs):
            changed = rng.random(rows) < 0.04
            predicted = np.where(changed, rng.integers(0, classes, rows), usual)
            write_predictions(place / f"run-{run:02d}.parquet", np.arange(rows), truth, predicted, group)


def analyse(folder: Path, out: Path) -> str:
    """Seconds of `fitlib analyze` by the clock and of the processor, whatever is done already left out."""
    command = [sys.executable, "-m", "fitlib", "analyze", str(folder), "--baseline", "Base", "--out", str(out)]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    before = _processor_seconds()
    seconds = _seconds(lambda: subprocess.run(command, **quiet))
    return f"{seconds:.0f} s ({_processor_seconds() - before:.0f} s)"


def _processor_seconds() -> float:
    """Of all processes that this one started and that have ended, kernels included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def stock_page(notebook: Path) -> str:
    """nbconvert's own HTML, images inside."""
    from nbconvert import HTMLExporter

    return HTMLExporter(embed_images=True, exclude_input=True).from_filename(str(notebook))[0]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("techniques", 27), ("runs", 16), ("classes", 211), ("rows", 8000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--keep", type=Path, help="folder to keep the results in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        place = options.keep or Path(made)
        simulate(place / "predictions", options.techniques, options.runs, options.classes, options.rows)
        return measured(place / "predictions", place / "out", options)


def measured(predictions: Path, out: Path, options: argparse.Namespace) -> int:
    """Time each stage, print the table; 1 where the report is too large."""
    everything = analyse(predictions, out)
    (out / "statistics.json").unlink()
    again = analyse(predictions, out)
    notebook, page = out / "statistics.ipynb", out / "report.html"
    own = [_seconds(lambda: pages.write_report(notebook, page)) for _ in range(REPETITIONS)]
    stock = [_seconds(lambda: stock_page(notebook)) for _ in range(REPETITIONS)]
    megabytes, others = page.stat().st_size / 1e6, len(stock_page(notebook).encode()) / 1e6
    size = f"{options.techniques} techniques, {options.runs} runs, {options.classes} classes"
    rows = [[size, everything, again, spread(own), ratio(stock, own), f"{megabytes:.2f} MB"]]
    rows[0].append(f"{others:.2f} MB")
    heads = ["data", "metrics, statistics and pages", "statistics and pages", "page", "faster", "size", "nbconvert's"]
    print(table(heads, rows))
    print(f"Median [smallest, largest] of {REPETITIONS} repetitions of the page. {machine()}")
    return int(megabytes > MOST_MB)


if __name__ == "__main__":
    sys.exit(main())
