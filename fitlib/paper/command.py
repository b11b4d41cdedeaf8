"""The command `paper`: recompute the published study in a notebook that writes tables, figures and a report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from fitlib.errors import InputError
from fitlib.execution.analysis_tasks import ONE_THREAD
from fitlib.execution.kernels import manager
from fitlib.execution.run_notebook import execute
from fitlib.experiment.notebooks import check_parameters, notebook_path
from fitlib.paper.published_files import contents, locate
from fitlib.report.pages import write_report
from fitlib.report.scope import back_links, name_of
from fitlib.storage.paths import new_attempt

NOTEBOOK, REPORT = "paper.ipynb", "report.html"
OUTPUTS = ("tables", "figures", NOTEBOOK, REPORT)  # replaced as a whole; nothing else in the folder is touched


def recompute(data: Path | None, out: Path, report: Callable[[str], None]) -> list[Path]:
    """Execute the paper notebook on the published numbers and write its outputs to `out`; return their paths.

    `report` is called with each line of progress. Raises InputError, before any work, if the numbers are missing or
    altered, or if `out` contains anything else; RunFailed if a download or the notebook fails, leaving `out` unchanged.
    """
    _check_out(out)
    folder = locate(data, report).resolve()
    contents(folder)
    notebook = notebook_path("paper")
    attempt = new_attempt(out.resolve() / "paper", hidden=True)
    try:
        parameters = {"data_dir": str(folder), "out_dir": str(attempt)}
        check_parameters(notebook, parameters)
        manager.begin()
        execute(notebook, attempt / NOTEBOOK, parameters, ONE_THREAD)
        write_report(attempt / NOTEBOOK, attempt / REPORT, name=name_of(out), back=back_links(out))
        return _replace(attempt, out)
    except KeyboardInterrupt:
        manager.end_all()
        raise
    finally:
        shutil.rmtree(attempt, ignore_errors=True)


def _check_out(out: Path) -> None:
    if not next(path for path in (out, *out.absolute().parents) if path.exists()).is_dir():
        raise InputError("paper", "--out", str(out), "not a folder", "choose another --out")
    others = [p for p in out.glob("*") if not p.name.startswith(".")] if out.is_dir() else []
    if others and not (out / NOTEBOOK).is_file():
        problem = "the folder is not empty and contains no earlier recomputation"
        raise InputError("paper", "--out", str(out), problem, "choose another --out")


def _replace(attempt: Path, out: Path) -> list[Path]:
    made = [name for name in OUTPUTS if (attempt / name).exists()]
    for name in made:
        old = out / name
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        (attempt / name).rename(old)
    return [out / name for name in made]
