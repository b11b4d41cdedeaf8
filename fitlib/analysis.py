"""From predictions to report: metrics per technique, statistics, pages. The same for fitlib's runs and for others'.

All of it can be derived again from the predictions, so older results are replaced as a whole; each has a record with
its key, so that nothing is computed twice and nothing half-written is believed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fitlib import plan as plans
from fitlib.attempts import attempt, each
from fitlib.errors import RunFailed
from fitlib.execution import notebook_path
from fitlib.keys import cached_file_digest
from fitlib.predictions import crossed_name
from fitlib.progress import Progress
from fitlib.store import (
    ExperimentPaths,
    new_attempt,
    read_json,
    read_record,
    replace_folder,
    write_manifest,
    write_record,
)

STATISTICS, REPORT = "statistics.json", "report.json"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
DERIVED = ("tables", "figures", "statistics.ipynb")


@dataclass(frozen=True)
class Study:
    """What is analysed: the plan and evidence (plain values), and where the predictions are.

    `predictions`: {technique: {arm: {"seed": int, "predictions": {"0": path, …}}}}; `hashes` the same shape with the
    SHA-256 of each file; `notebooks`: executed training notebooks with their state, for the index.
    """

    paths: ExperimentPaths
    plan: dict
    evidence: list[dict]
    predictions: Mapping[str, Mapping[str, Mapping]]
    hashes: Mapping[str, object]
    notebooks: list[dict] = field(default_factory=list)


@dataclass
class Outcome:
    """What an analysis did: tasks executed, failures in words, root hash of the manifest."""

    executed: int = 0
    failures: list[str] = field(default_factory=list)
    root: str = ""


def analyse(study: Study, jobs: int, progress: Progress, show_code: bool = False) -> Outcome:
    """Bring metrics, statistics, report, index and manifest up to date."""
    outcome = Outcome()
    waiting = [t for t in study.predictions if not _metrics_state(study, t).done]
    progress.start("metrics", len(waiting))
    each(lambda technique: _do(outcome, progress, _metrics, study, technique), waiting, jobs)
    current = [t for t in study.predictions if _metrics_state(study, t).done]
    for technique in set(_known(study)) - set(current):  # what stands there is of other runs
        shutil.rmtree(study.paths.technique(technique), ignore_errors=True)
    if current:
        _do_if_needed(outcome, progress, study, STATISTICS, _statistics_parts(study), _statistics)
    if current and study.paths.statistics.exists():
        _do_if_needed(outcome, progress, study, REPORT, _report_parts(study, show_code), _pages, show_code)
    if outcome.executed or outcome.failures or not study.paths.manifest.exists():
        write_manifest(study.paths)
    outcome.root = (read_json(study.paths.manifest) or {}).get("root", "")
    return outcome


def _known(study: Study) -> list[str]:
    return [t["technique"] for t in study.plan["techniques"]]


def _do(outcome: Outcome, progress: Progress, work: object, study: Study, *arguments: object) -> None:
    name = " ".join([work.__name__.strip("_"), *(a for a in arguments if isinstance(a, str))])
    study.paths.manifest.unlink(missing_ok=True)  # what it says does not hold until it is written again
    try:
        work(study, *arguments)
        outcome.executed += 1
        progress.done(name)
    except (RunFailed, OSError) as error:
        outcome.failures.append(f"{name}: {error}")
        progress.failed(name, str(error))


def _do_if_needed(
    outcome: Outcome,
    progress: Progress,
    study: Study,
    record: str,
    parts: dict[str, str],
    work: object,
    *arguments: object,
) -> None:
    if not plans.folder_state(study.paths.root, parts, record).done:
        progress.start(work.__name__.strip("_"), 1)
        _do(outcome, progress, work, study, *arguments)


def description(plan: Mapping) -> dict:
    """Classes and groups of a plan, as `metrics.ipynb` takes them."""
    groups, cross = plan["groups"], plan["analysis"].get("cross") or []
    made = {crossed_name(names) for names in cross}  # by the notebook, so files do not hold them
    return {
        "n_classes": len(plan["classes"]),
        "n_groups": {attribute: len(names) for attribute, names in groups.items() if attribute not in made},
        "classes": plan["classes"],
        "groups": groups,
        "cross": cross,
    }


def _metrics_parts(study: Study, technique: str) -> dict[str, str]:
    return plans.metrics_key_parts(technique, study.hashes[technique], description(study.plan))


def _metrics_state(study: Study, technique: str) -> plans.State:
    return plans.folder_state(study.paths.technique(technique), _metrics_parts(study, technique))


def _metrics(study: Study, technique: str) -> None:
    target = study.paths.technique(technique)
    folder = new_attempt(target, hidden=True)
    parameters = {"technique": technique, "predictions": study.predictions[technique], **description(study.plan)}
    parts = _metrics_parts(study, technique)
    attempt("metrics", notebook_path("metrics"), folder, {**parameters, "out_dir": str(folder)}, ONE_THREAD, parts)
    replace_folder(folder, target)


def _statistics_parts(study: Study) -> dict[str, str]:
    records = {t: read_record(study.paths.technique(t)) for t in _known(study)}
    inputs = {t: record and record["outputs"] for t, record in records.items()}
    return plans.statistics_key_parts(study.plan, study.evidence, inputs)


def _statistics(study: Study) -> None:
    paths, parts = study.paths, _statistics_parts(study)
    folder = new_attempt(paths.root / "statistics", hidden=True)
    parameters = {"experiment_dir": str(paths.root), "out_dir": str(folder)}
    parameters |= {"plan": study.plan, "evidence": study.evidence}
    attempt("statistics", notebook_path("statistics"), folder, parameters, ONE_THREAD, parts)
    (paths.root / STATISTICS).unlink(missing_ok=True)
    for name in DERIVED:
        target = paths.root / name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        (folder / name).rename(target)
    shutil.rmtree(folder)
    files = [p for name in DERIVED for p in [paths.root / name, *(paths.root / name).rglob("*")] if p.is_file()]
    names = sorted(str(p.relative_to(paths.root)) for p in files)
    write_record(paths.root, "statistics", parts, names, STATISTICS)


def _executed(study: Study) -> list[dict]:
    """Executed notebooks of runs and techniques that stand on disk, as rows of the index."""
    rows = list(study.notebooks)
    for technique in _known(study):
        state = "done" if read_record(study.paths.technique(technique)) else "missing"
        notebook = study.paths.technique(technique) / "metrics.ipynb"
        rows.append({"group": "Metrics of each technique", "task": technique, "state": state, "notebook": notebook})
    return [row for row in rows if row["notebook"].is_file()] + [r for r in rows if not r["notebook"].is_file()]


def _report_parts(study: Study, show_code: bool) -> dict[str, str]:
    present = [row["notebook"] for row in _executed(study) if row["notebook"].is_file()]
    digests = [cached_file_digest(p) for p in [study.paths.statistics, *present]]
    return plans.report_key_parts(digests, {"show_code": show_code})


def _pages(study: Study, show_code: bool) -> None:
    """Report, index and rendered notebooks; only what changed is rendered."""
    from fitlib import report

    paths, parts = study.paths, _report_parts(study, show_code)
    (paths.root / REPORT).unlink(missing_ok=True)
    report.write_assets(paths.assets)
    report.write_report(paths.statistics, paths.report, show_code)
    pages, rows = [paths.report, paths.index], [_front(paths)]
    for row in _executed(study):
        links = []
        if row["notebook"].is_file():
            page = row["notebook"].with_suffix(".html")
            report.render_notebook(row["notebook"], page, os.path.relpath(paths.assets, page.parent))
            pages.append(page)
            links = [("notebook", _relative(paths, page))]
        rows.append({**row, "links": links})
    report.write_index(paths.index, rows, title="Everything that was executed")
    write_record(paths.root, "report", parts, sorted(_relative(paths, p) for p in pages), REPORT)


def _front(paths: ExperimentPaths) -> dict:
    tables = sorted(p for p in paths.tables.glob("*") if p.is_file())
    links = [("report", "report.html"), *((p.name, _relative(paths, p)) for p in tables)]
    return {"group": "Results", "task": "report and tables", "state": "done", "links": links}


def _relative(paths: ExperimentPaths, path: Path) -> str:
    return Path(os.path.relpath(path, paths.root)).as_posix()
