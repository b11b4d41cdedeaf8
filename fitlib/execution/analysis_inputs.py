"""From an experiment's runs on disk to the inputs of its analyses, one for each family of techniques.

An experiment whose techniques all share classes and groups has its results in its own folder; one with several
families has them in `families/<name>/`, and lists them in its `index.html`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
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
from fitlib.execution.scheduler import Result, Task
from fitlib.experiment.declaration import read_declared
from fitlib.experiment.evidence import collect_evidence, experiment_plan, prediction_hashes
from fitlib.experiment.families import Family
from fitlib.experiment.model import Experiment
from fitlib.experiment.parse import check_names
from fitlib.experiment.plan import Plan, PlannedRun, State, States
from fitlib.recording.saved_outputs import agreed_names, read_names, rows_differ
from fitlib.storage.journal import deviations
from fitlib.storage.manifest import write_manifest
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import read_record


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
        named = _with_saved_names(experiment, family, _done(states))
        predictions, hashes = _predictions(experiment, states)
        facts = experiment_plan(experiment, named, [], _declared_plan(paths))
        return AnalysisInputs(_results_paths(experiment, paths, family), facts, [], predictions, hashes)

    def _family_inputs(self, family: Family) -> AnalysisInputs:
        if family.name not in self._inputs:
            states = self._plan.states(family.trainings)
            self._inputs[family.name] = family_inputs(self._plan, family, states)
        return self._inputs[family.name]


def _done(states: States) -> list[PlannedRun]:
    return [run for run, state in states if state.done]


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
    family = _with_saved_names(experiment, family, _done(of_family))
    predictions, hashes = _predictions(experiment, of_family)
    remarks = [*deviations(paths), *_other_data(experiment, family), *_other_rows(experiment, family, predictions)]
    remarks += _unplanned(_done(of_family))
    return AnalysisInputs(
        results,
        experiment_plan(experiment, family, remarks, _declared_plan(paths)),
        collect_evidence(of_family, results.root),
        {t.name: predictions[t.name] for t in experiment.techniques if t.name in predictions},
        hashes,
        [_row(run, state) for run, state in of_family],
    )


def _predictions(experiment: Experiment, states: States) -> tuple[dict[str, dict], dict[str, dict]]:
    """Return files and hashes of the predictions of finished main runs, in the shape of `AnalysisInputs`."""
    predictions: dict[str, dict] = {}
    hashes: dict[str, dict] = {}
    order = {arm.name: i for i, arm in enumerate(experiment.arms)}
    for run, state in sorted(states, key=lambda pair: (order[pair[0].arm.name], pair[0].index)):
        if not state.done or run.arm.role == "control":
            continue
        found = _recorded_hashes(run)
        for technique in run.spec.techniques:
            arm = predictions.setdefault(technique, {}).setdefault(run.arm.name, {"seed": run.arm.seed})
            path = run.folder / "predictions" / f"{technique}.parquet"
            arm.setdefault("predictions", {})[str(run.index)] = str(path)
            hashes.setdefault(technique, {})[f"{run.arm.name}/{run.index}"] = found[technique]
    return predictions, hashes


def _recorded_hashes(run: PlannedRun) -> dict[str, str]:
    """Return the SHA-256 of each technique's predictions of a finished run."""
    record = read_record(run.folder)
    if record is None:
        raise RunFailed(f"{run.name}: its record or an output has changed while it was read")
    return prediction_hashes(record)


def _with_saved_names(experiment: Experiment, family: Family, done: list[PlannedRun]) -> Family:
    """Return the family with the names that its finished runs saved, where experiment file and data have none.

    RunFailed where the runs saved different names; InputError where the analysis uses a name that they lack.
    """
    found = {run.name: read_names(run.folder) for run in done} if not family.has_names else {}
    names = agreed_names({name: names for name, names in found.items() if names})
    if names is None:
        return family
    named = replace(family, classes=names.classes, groups={a: list(groups) for a, groups in names.groups.items()})
    check_names(experiment.analysis, named, experiment.name)
    return named


def _other_data(experiment: Experiment, family: Family) -> list[str]:
    """Return a sentence for each technique whose data settings are not its baseline's."""
    data = {name: spec.source.data for spec in family.trainings for name in spec.techniques}
    return [
        f"{t.name} and its baseline {t.baseline} have different data settings: their test sets may differ"
        for t in experiment.techniques
        if t.name in data and t.baseline and data[t.baseline] and data[t.name] and data[t.name] != data[t.baseline]
    ]


def _other_rows(experiment: Experiment, family: Family, predictions: dict[str, dict[str, Any]]) -> list[str]:
    """Return a sentence for each custom training that predicted other test rows than its baseline."""
    custom = {name for spec in family.trainings if spec.source.checked for name in spec.techniques}
    files = {name: next(iter(next(iter(arms.values()))["predictions"].values())) for name, arms in predictions.items()}
    pairs = [(t.name, t.baseline) for t in experiment.techniques if t.baseline in files and t.name in files]
    return [
        f"{name} was tested on other rows than {baseline}: the test set differs with the technique"
        for name, baseline in pairs
        if {name, baseline} & custom and rows_differ(Path(files[name]), Path(files[baseline]))
    ]


def _unplanned(done: list[PlannedRun]) -> list[str]:
    """Return a sentence for each custom training that saved predictions of techniques outside the plan."""
    found: dict[str, set[str]] = {}
    for run in (run for run in done if run.spec.source.checked):
        saved = _recorded_hashes(run)
        found.setdefault(run.spec.name, set()).update(set(saved) - set(run.spec.techniques))
    return [
        f"{training} also saved predictions of {', '.join(sorted(names))}: no technique of the plan, so left out"
        for training, names in found.items()
        if names
    ]


def _row(run: PlannedRun, state: State) -> dict[str, Any]:
    status = state.state if state.state in ("done", "failed") else "missing"
    notebook = run.folder / "train.ipynb"
    group = f"Runs of {run.spec.name}"
    return {"group": group, "task": run.name, "state": status, "notebook": notebook, "note": state.reason}


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
    pages.write_index(paths.index, rows, title="Families of techniques")
