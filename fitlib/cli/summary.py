"""What a command prints when an experiment or analysis has ended: verdict, reports, root hash, failures."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.errors import RunFailed

if TYPE_CHECKING:
    from fitlib.execution.analysis_tasks import Outcome
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
    width = max(40, min(shutil.get_terminal_size().columns, 110))
    first, *others = read_verdict(report.with_name("statistics.ipynb")) or ["not to be read from the report"]
    for paragraph in (f"verdict{family}: {first}", *others):
        print(textwrap.fill(paragraph, width, subsequent_indent="  "))


def _failures(paths: ExperimentPaths, failures: list[str]) -> str:
    first = failures[0].strip().splitlines()
    task = first[0].partition(": ")[0]
    # a traceback's last line names the error; it repeats the task's name where the failure is a single line
    problem = f"{len(failures)} failed, the first: {task}: {first[-1].removeprefix(f'{task}: ')}"
    return f"{problem}; find {paths.root} -name failed.json shows more; then run the same command again"
