"""What a command prints when an experiment or analysis has ended: verdict, reports, root hash, failures."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.cli.terminal import show
from fitlib.errors import RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fitlib.execution.analysis_tasks import Outcome
    from fitlib.results.results import Results
    from fitlib.storage.paths import ExperimentPaths


def print_summary(outputs: Path, paths: ExperimentPaths, outcome: Outcome) -> int:
    """Renew the overview of `outputs`, print the verdict and where the reports are; RunFailed where a task failed.

    Return the exit status 0.
    """
    from fitlib.execution import determinism_cost

    if paths.root.parent == outputs:
        from fitlib.report.overview import write_overview

        write_overview(outputs)
    reports = paths.reports()
    for line in determinism_cost.write_costs(paths):
        print(line)
    for report in reports:
        _print_verdict(report, paths.root)
        print(f"report: {report}")
    if reports:
        print(f"root hash of {paths.manifest.name}: {outcome.root}")
    if outcome.failures:
        raise RunFailed(_failures(paths, outcome.failures))
    return 0


def _print_verdict(report: Path, root: Path) -> None:
    """Print the verdict of a report, wrapped; of one of several families after its name."""
    from fitlib.report.overview import read_verdict

    family = "" if report.parent == root else f" of {report.parent.name}"
    _print_sentences(read_verdict(report.with_name("statistics.ipynb")) or ["not to be read from the report"], family)


def _print_sentences(sentences: Sequence[str], family: str = "") -> None:
    from fitlib.formatting import visible

    width = max(40, min(shutil.get_terminal_size().columns, 110))
    for paragraph in (f"verdict{family}: {sentences[0]}", *sentences[1:]):
        print(textwrap.fill(visible(paragraph), width, subsequent_indent="  "))


def print_results(results: Results) -> None:
    """Print notes, a table of every metric of every technique, and the verdict."""
    for note in results.plan["notes"]:
        show(note)
    show(_table(results))
    _print_sentences(results.verdict)


def _table(results: Results) -> str:
    """Return mean, SD and range over the runs in points, and the verdict, one line per technique and metric."""
    summary, compared = results.summary, results.comparisons
    overall = summary[(summary["target"] == "overall") & summary["group"].isna()]
    keys = ["technique", "arm", "attribute", "metric"]
    found = overall.merge(compared[[*keys, "verdict"]], how="left", on=keys)
    shown = {"mean": "mean", "sd": "SD", "min": "min", "max": "max"}
    numbers = (100 * found[list(shown)]).rename(columns=shown).map("{:.2f}".format).replace("nan", "")
    table = found[[*keys, "n"]].rename(columns={"n": "runs"}).join(numbers).assign(verdict=found["verdict"].fillna(""))
    table = table.drop(columns="arm") if table["arm"].nunique() == 1 else table
    return str(table.to_string(index=False))


def _failures(paths: ExperimentPaths, failures: list[str]) -> str:
    first = failures[0].strip().splitlines()
    task = first[0].partition(": ")[0]
    # a traceback's last line names the error; it repeats the task's name where the failure is a single line
    problem = f"{len(failures)} failed, the first: {task}: {first[-1].removeprefix(f'{task}: ')}"
    return f"{problem}; find {paths.root} -name failed.json shows more; then run the same command again"
