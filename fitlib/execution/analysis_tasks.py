"""Tasks from predictions to report: metrics per technique, statistics, pages; for predictions of any origin.

All results can be derived again from the predictions, so older ones are replaced as a whole. Each has a record with its
key, so that nothing is computed twice and nothing half-written is used.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fitlib.digest import cached_file_digest
from fitlib.errors import RunFailed
from fitlib.execution.event_log import recording_events
from fitlib.execution.executors.local import Local
from fitlib.execution.jobs import AttemptResult, Job
from fitlib.execution.progress import Progress
from fitlib.execution.scheduler import Result, Task, execute_tasks
from fitlib.experiment import plan as plans
from fitlib.experiment.notebooks import notebook_path
from fitlib.machine import THREAD_VARIABLES
from fitlib.report import scope as scopes
from fitlib.report.executed_notebooks import executed_on
from fitlib.storage.atomic_files import read_json
from fitlib.storage.manifest import write_manifest
from fitlib.storage.paths import ExperimentPaths, move_to_superseded, replace_folder
from fitlib.storage.predictions import crossed_name
from fitlib.storage.records import read_record, write_record

STATISTICS, REPORT = "statistics.json", "report.json"
INDEX = "index.html"
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
DERIVED = ("tables", "figures", "statistics.ipynb")


@dataclass(frozen=True)
class AnalysisInputs:
    """The inputs of one analysis: plan and evidence (plain values), and where the predictions are.

    `predictions`: {technique: {arm: {"seed": int, "predictions": {"0": path, …}}}}; `hashes` the same shape with the
    SHA-256 of each file; `notebooks`: executed training notebooks with their state, for the index.
    """

    paths: ExperimentPaths
    plan: dict[str, Any]
    evidence: list[dict[str, Any]]
    predictions: Mapping[str, Mapping[str, Mapping[str, Any]]]
    hashes: Mapping[str, object]
    notebooks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Outcome:
    """The outcome of an analysis: number of tasks executed, failures, root hash of the manifest."""

    executed: int = 0
    failures: list[str] = field(default_factory=list)
    root: str = ""


def analyse(inputs: AnalysisInputs, jobs: int, progress: Progress, show_code: bool = False) -> Outcome:
    """Bring metrics, statistics, report, index and manifest of one analysis up to date, `jobs` notebooks at once."""
    tasks = make_tasks(inputs.predictions, lambda technique: inputs, lambda: inputs)
    with recording_events(inputs.paths, progress) as listener, closing(Local(jobs)) as executor:
        result = execute_tasks(tasks, executor, listener)
    return write_reports([inputs], result, progress, show_code)


def make_tasks(
    techniques: Iterable[str],
    technique_inputs: Callable[[str], AnalysisInputs],
    family_inputs: Callable[[], AnalysisInputs],
    needs: Mapping[str, frozenset[str]] = MappingProxyType({}),
    also: frozenset[str] = frozenset(),
    label: str = "",
) -> list[Task]:
    """Make the scheduler's tasks: metrics of each technique, then the statistics.

    technique_inputs: returns inputs with at least one technique's predictions, called when its metrics can run;
    family_inputs: returns all inputs, called when the statistics can run; needs: names of the tasks that a technique's
    predictions come from; also: names of further tasks that the statistics wait for; label: the family's name, where
    there are several.
    """
    metrics = [_metrics_task(t, technique_inputs, needs.get(t, frozenset())) for t in techniques]
    before = also.union(task.name for task in metrics)
    return [*metrics, _statistics_task(" ".join(["statistics", *([label] if label else [])]), family_inputs, before)]


def _metrics_task(technique: str, inputs_of: Callable[[str], AnalysisInputs], needs: frozenset[str]) -> Task:
    latest: list[AnalysisInputs] = []  # as they were when the job was made

    def job() -> Job | None:
        latest[:] = [inputs_of(technique)]
        waiting = technique in latest[0].predictions and not _metrics_state(latest[0], technique).done
        return _metrics_job(latest[0], technique) if waiting else None

    def accept(result: AttemptResult) -> str:
        if not result.error:
            replace_folder(Path(result.folder), latest[0].paths.technique(technique))
        elif result.folder:
            move_to_superseded(latest[0].paths, Path(result.folder), f"techniques/{technique}")
        return ""

    return Task(f"metrics {technique}", "metrics", needs, job, accept)


def _statistics_task(name: str, inputs_of: Callable[[], AnalysisInputs], needs: frozenset[str]) -> Task:
    latest: list[AnalysisInputs] = []  # as they were when the job was made

    def job() -> Job | None:
        latest[:] = [inputs_of()]
        current = _current_techniques(latest[0])
        outdated = set(_technique_names(latest[0])) - set(current)  # their metrics are those of other runs
        for technique in outdated:
            shutil.rmtree(latest[0].paths.technique(technique), ignore_errors=True)
        parts = _statistics_parts(latest[0])
        done = plans.folder_state(latest[0].paths.root, parts, STATISTICS).done
        return _statistics_job(latest[0], parts) if current and not done else None

    def accept(result: AttemptResult) -> str:
        if not result.error:
            _commit_statistics(latest[0], Path(result.folder))
        elif result.folder:
            move_to_superseded(latest[0].paths, Path(result.folder), "statistics")
        return ""

    return Task(name, "statistics", needs, job, accept)


def write_reports(
    analyses: Sequence[AnalysisInputs], result: Result, progress: Progress, show_code: bool = False
) -> Outcome:
    """Write report, index and manifest of each analysis, after its tasks; the root hash is that of the last one."""
    outcome = Outcome(result.executed, list(result.failures))
    for inputs in analyses:
        if _current_techniques(inputs) and inputs.paths.statistics.exists():
            _update_pages(outcome, progress, inputs, show_code)
        if outcome.executed or outcome.failures or not inputs.paths.manifest.exists():
            write_manifest(inputs.paths)
        outcome.root = (read_json(inputs.paths.manifest) or {}).get("root", "")
    return outcome


def _update_pages(outcome: Outcome, progress: Progress, inputs: AnalysisInputs, show_code: bool) -> None:
    if plans.folder_state(inputs.paths.root, _report_parts(inputs, show_code), REPORT).done:
        return
    inputs.paths.manifest.unlink(missing_ok=True)  # it does not describe the folder until it is written again
    progress.expect("report", 1)
    try:
        _write_pages(inputs, show_code)
        outcome.executed += 1
        progress.done("report", "pages")
    except (RunFailed, OSError) as error:
        outcome.failures.append(f"pages: {error}")
        progress.failed("report", "pages", str(error))


def _technique_names(inputs: AnalysisInputs) -> list[str]:
    return [t["technique"] for t in inputs.plan["techniques"]]


def _current_techniques(inputs: AnalysisInputs) -> list[str]:
    """Return the techniques whose metrics are those of their current runs."""
    return [t for t in inputs.predictions if _metrics_state(inputs, t).done]


def description(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return classes, groups and custom metrics of a plan as the parameters of `metrics.ipynb`."""
    groups, cross = plan["groups"], plan["analysis"].get("cross") or []
    crossed = {crossed_name(names) for names in cross}  # made by the notebook: no column of the predictions
    custom = plan["analysis"].get("metrics")
    return {
        "n_classes": len(plan["classes"]),
        "n_groups": {attribute: len(names) for attribute, names in groups.items() if attribute not in crossed},
        "classes": plan["classes"],
        "groups": groups,
        "cross": cross,
        **({"custom_metrics": custom} if custom else {}),
    }


def _metrics_parts(inputs: AnalysisInputs, technique: str) -> dict[str, str]:
    return plans.metrics_key_parts(technique, inputs.hashes[technique], description(inputs.plan))


def _metrics_state(inputs: AnalysisInputs, technique: str) -> plans.State:
    return plans.folder_state(inputs.paths.technique(technique), _metrics_parts(inputs, technique))


def _metrics_job(inputs: AnalysisInputs, technique: str) -> Job:
    inputs.paths.manifest.unlink(missing_ok=True)  # it does not describe the folder until it is written again
    parameters = {"technique": technique, "predictions": inputs.predictions[technique], **description(inputs.plan)}
    target, parts = inputs.paths.technique(technique).absolute(), _metrics_parts(inputs, technique)
    notebook = str(notebook_path("metrics"))
    return Job(f"metrics {technique}", "metrics", notebook, str(target), "out_dir", parameters, dict(ONE_THREAD), parts)


def _statistics_parts(inputs: AnalysisInputs) -> dict[str, str]:
    records = {t: read_record(inputs.paths.technique(t)) for t in _technique_names(inputs)}
    outputs = {t: record and record["outputs"] for t, record in records.items()}
    return plans.statistics_key_parts(inputs.plan, inputs.evidence, outputs)


def _statistics_job(inputs: AnalysisInputs, parts: Mapping[str, str]) -> Job:
    inputs.paths.manifest.unlink(missing_ok=True)
    root = inputs.paths.root.absolute()
    parameters = {"experiment_dir": str(root), "plan": inputs.plan, "evidence": inputs.evidence}
    notebook = str(notebook_path("statistics"))
    target = str(root / "statistics")
    return Job("statistics", "statistics", notebook, target, "out_dir", parameters, dict(ONE_THREAD), parts)


def _commit_statistics(inputs: AnalysisInputs, folder: Path) -> None:
    """Replace the statistics by those of a finished attempt; their record is written last."""
    paths, record = inputs.paths, read_record(folder)
    if record is None:
        raise RunFailed(f"{folder}: no valid record")
    (paths.root / STATISTICS).unlink(missing_ok=True)
    for name in DERIVED:
        target = paths.root / name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        (folder / name).rename(target)
    shutil.rmtree(folder)
    files = [p for name in DERIVED for p in [paths.root / name, *(paths.root / name).rglob("*")] if p.is_file()]
    names = sorted(str(p.relative_to(paths.root)) for p in files)
    write_record(paths.root, "statistics", record["key_parts"], names, STATISTICS)


def _index_rows(inputs: AnalysisInputs) -> list[dict[str, Any]]:
    """Return the notebooks of runs and techniques as rows of the index, executed ones first."""
    rows = list(inputs.notebooks)
    for technique in _technique_names(inputs):
        state = "done" if read_record(inputs.paths.technique(technique)) else "missing"
        notebook = inputs.paths.technique(technique) / "metrics.ipynb"
        rows.append({"group": "Metrics of each technique", "task": technique, "state": state, "notebook": notebook})
    return [row for row in rows if row["notebook"].is_file()] + [r for r in rows if not r["notebook"].is_file()]


def _report_parts(inputs: AnalysisInputs, show_code: bool) -> dict[str, str]:
    present = [row["notebook"] for row in _index_rows(inputs) if row["notebook"].is_file()]
    digests = [cached_file_digest(p) for p in [inputs.paths.statistics, *present]]
    root = inputs.paths.root
    place = {"name": scopes.name_of(root), "back": scopes.back_links(root)}  # a renamed folder has other pages
    return plans.report_key_parts(digests, {"show_code": show_code, **place})


def _write_pages(inputs: AnalysisInputs, show_code: bool) -> None:
    """Write report, index and rendered notebooks; only what changed is rendered."""
    from fitlib.report import pages as pages_report

    paths, parts, listed = inputs.paths, _report_parts(inputs, show_code), _index_rows(inputs)
    (paths.root / REPORT).unlink(missing_ok=True)
    name, back = scopes.name_of(paths.root), scopes.back_links(paths.root)
    pages_report.write_assets(paths.assets)
    pages_report.write_report(paths.statistics, paths.report, show_code, name, back, (("Everything executed", INDEX),))
    pages, rows = [paths.report, paths.index], [_results_row(paths)]
    for row in listed:
        links = []
        if row["notebook"].is_file():
            page = row["notebook"].with_suffix(".html")
            assets = os.path.relpath(paths.assets, page.parent)
            pages_report.render_notebook(row["notebook"], page, assets, _scope(inputs, row, listed))
            pages.append(page)
            links = [("notebook", _relative(paths, page))]
        rows.append({**row, "links": links})
    statistics = read_json(paths.statistics) or {}
    scope = scopes.notebook_scope(statistics, name, back, (("Report", paths.report.name),))
    pages_report.write_index(paths.index, rows, title="Everything that was executed", scope=scope)
    write_record(paths.root, "report", parts, sorted(_relative(paths, p) for p in pages), REPORT)


def _scope(inputs: AnalysisInputs, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> scopes.Scope:
    """Return the scope of the page of a run or of a technique's metrics, with links to the runs before and after it."""
    root, place = inputs.paths.root, row["notebook"].parent
    name, date = scopes.name_of(root), executed_on(read_json(row["notebook"]) or {})
    back = _seen_from(place, root, (*scopes.back_links(root), (name, INDEX)))
    on = _seen_from(place, root, (("Report", inputs.paths.report.name),))
    if "run" not in row:
        return scopes.of_technique(inputs.plan, row["task"], name, date, back, on)
    others = {r["run"]["run"]: r["notebook"] for r in rows if "run" in r and _arm(r) == _arm(row)}
    steps = {"Run before": row["run"]["run"] - 1, "Run after": row["run"]["run"] + 1}
    beside = {text: others[run] for text, run in steps.items() if run in others and others[run].is_file()}
    links = tuple((text, os.path.relpath(path.with_suffix(".html"), place)) for text, path in beside.items())
    return scopes.of_run(inputs.plan, row["run"], name, date, back, (*on, *links))


def _arm(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["run"]["training"], row["run"]["arm"]


def _seen_from(place: Path, root: Path, links: scopes.Links) -> scopes.Links:
    """Return links of a page in `root` for a page in the folder `place`."""
    return tuple((text, Path(os.path.relpath(root / href, place)).as_posix()) for text, href in links)


def _results_row(paths: ExperimentPaths) -> dict[str, Any]:
    tables = sorted(p for p in paths.tables.glob("*") if p.is_file() and _has_rows(p))
    links = [("report", "report.html"), *((p.name, _relative(paths, p)) for p in tables)]
    return {"group": "Results", "task": "report and tables", "state": "done", "links": links}


def _has_rows(table: Path) -> bool:
    """Return whether a file of the folder of tables has more than the names of columns."""
    with table.open("rb") as file:
        return table.suffix != ".csv" or len(list(itertools.islice(file, 2))) > 1


def _relative(paths: ExperimentPaths, path: Path) -> str:
    return Path(os.path.relpath(path, paths.root)).as_posix()
