"""From an experiment's runs on disk to the inputs of its analyses, one for each family of techniques.

An experiment whose techniques all share classes and groups has its results in its own folder; one with several
families has them in `families/<name>/`, and lists them in its `index.html`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import partial
from typing import Any

from fitlib.errors import RunFailed
from fitlib.execution.analysis_tasks import (
    DERIVED,
    REPORT,
    STATISTICS,
    AnalysisInputs,
    Outcome,
    make_tasks,
    write_reports,
)
from fitlib.execution.progress import Progress
from fitlib.execution.saved_runs import finished, predictions_of, remarks, with_saved_names
from fitlib.execution.scheduler import Result, Task
from fitlib.experiment.declaration import read_declared
from fitlib.experiment.evidence import collect_evidence, experiment_plan
from fitlib.experiment.families import Family
from fitlib.experiment.model import Experiment
from fitlib.experiment.plan import Plan, PlannedRun, State, States
from fitlib.report import scope as scopes
from fitlib.storage.journal import deviations
from fitlib.storage.manifest import write_manifest
from fitlib.storage.paths import ExperimentPaths


class ExperimentAnalysis:
    """The analysis of an experiment: inputs for each family, collected when the runs that they need have ended."""

    def __init__(self, plan: Plan):
        self._plan, self._experiment, self._paths = plan, plan.experiment, plan.paths
        self._inputs: dict[str, AnalysisInputs] = {}

    def tasks(self, waiting: Iterable[PlannedRun] = ()) -> list[Task]:
        """Make the tasks, metrics of techniques and statistics of families, to follow the `waiting` runs they need."""
        names: dict[str, set[str]] = {}
        for run in waiting:
            names.setdefault(run.spec.name, set()).add(run.name)
        several = len(self._experiment.families) > 1
        found: list[Task] = []
        for family in self._experiment.families:
            needs = {t: frozenset(names.get(s.name, ())) for s in family.trainings for t in s.techniques}
            ordered = [t.name for t in self._experiment.techniques if t.name in needs]
            of_technique, of_family = partial(self._technique_inputs, family), partial(self._family_inputs, family)
            label = family.name if several else ""
            found += make_tasks(ordered, of_technique, of_family, needs, frozenset().union(*needs.values()), label)
        return found

    def write_reports(self, result: Result, progress: Progress, show_code: bool = False) -> Outcome:
        """Write pages and manifests of every family, after its tasks."""
        paths, analyses = self._paths, [self._family_inputs(family) for family in self._experiment.families]
        _remove_stale_results(paths, [inputs.paths for inputs in analyses])
        if len(analyses) == 1:
            return write_reports(analyses, result, progress, show_code)
        paths.manifest.unlink(missing_ok=True)  # it does not describe the folder until it is written again
        outcome = write_reports(analyses, result, progress, show_code)
        _write_index(paths, analyses)
        return Outcome(outcome.executed, outcome.failures, write_manifest(paths))

    def _technique_inputs(self, family: Family, technique: str) -> AnalysisInputs:
        """Collect what the metrics of one technique need: its predictions, and the names of classes and groups."""
        experiment, paths = self._experiment, self._paths
        states = self._plan.states([spec for spec in family.trainings if technique in spec.techniques])
        named = with_saved_names(experiment, family, finished(states))
        predictions, hashes = predictions_of(experiment, states)
        facts = experiment_plan(experiment, named, [], _declared_plan(paths))
        return AnalysisInputs(_results_paths(experiment, paths, family), facts, [], predictions, hashes)

    def _family_inputs(self, family: Family) -> AnalysisInputs:
        if family.name not in self._inputs:
            states = self._plan.states(family.trainings)
            self._inputs[family.name] = family_inputs(self._plan, family, states)
        return self._inputs[family.name]


def _results_paths(experiment: Experiment, paths: ExperimentPaths, family: Family) -> ExperimentPaths:
    """Return the paths of a family's results: the experiment's, or a folder of its own where there are several."""
    return paths if len(experiment.families) == 1 else paths.family(family.name)


def _declared_plan(paths: ExperimentPaths) -> dict[str, Any]:
    declared = read_declared(paths)
    if declared is None:
        raise RunFailed(f"{paths.declared}: no plan was declared")
    return declared


def family_inputs(plan: Plan, family: Family, states: States) -> AnalysisInputs:
    """Collect what the analysis of a family needs from the finished runs on disk."""
    experiment, paths = plan.experiment, plan.paths
    results = _results_paths(experiment, paths, family)
    of_family = [(run, state) for run, state in states if run.spec in family.trainings]
    family = with_saved_names(experiment, family, finished(of_family))
    predictions, hashes = predictions_of(experiment, of_family)
    notes = [*deviations(paths), *remarks(experiment, family, of_family, predictions)]
    return AnalysisInputs(
        results,
        experiment_plan(experiment, family, notes, _declared_plan(paths)),
        collect_evidence(of_family, results.root),
        {t.name: predictions[t.name] for t in experiment.techniques if t.name in predictions},
        hashes,
        [_row(run, state) for run, state in of_family],
    )


def _row(run: PlannedRun, state: State) -> dict[str, Any]:
    status = state.state if state.state in ("done", "failed") else "missing"
    notebook = run.folder / "train.ipynb"
    group = f"Runs of {run.spec.name}"
    place = {"training": run.spec.name, "arm": run.arm.name, "run": run.index}
    return {
        "group": group, "task": run.name, "state": status, "notebook": notebook, "note": state.reason, "run": place
    }  # fmt: skip


def _remove_stale_results(paths: ExperimentPaths, current: list[ExperimentPaths]) -> None:
    """Remove the results of earlier families that the experiment no longer has."""
    kept = {results.root for results in current}
    stale = [folder for folder in paths.root.glob("families/*") if folder not in kept]
    if paths.root not in kept:
        stale += [paths.root / name for name in (*DERIVED, "techniques", "report.html", STATISTICS, REPORT)]
    for path in stale:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _write_index(paths: ExperimentPaths, analyses: list[AnalysisInputs]) -> None:
    """Write the page that links to each family's report."""
    from fitlib.report import pages

    pages.write_assets(paths.assets)
    rows = []
    for inputs in analyses:
        folder = inputs.paths.root.relative_to(paths.root)
        state = "done" if inputs.paths.report.is_file() else "missing"
        links = [("report", f"{folder}/report.html"), ("everything executed", f"{folder}/index.html")]
        names = ", ".join(t["technique"] for t in inputs.plan["techniques"])
        rows.append({"group": "Families", "task": names, "state": state, "links": links if state == "done" else []})
    scope = scopes.Scope(scopes.name_of(paths.root), (scopes.written_by(),), scopes.back_links(paths.root))
    pages.write_index(paths.index, rows, title="Families of techniques", scope=scope)
