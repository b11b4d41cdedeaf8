"""The finished runs of an experiment's folder: predictions, names of classes and groups, remarks on their test rows.

Nothing that executes is imported here, so that runs can be read without Jupyter.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fitlib.errors import RunFailed
from fitlib.experiment.evidence import prediction_hashes
from fitlib.experiment.families import Family
from fitlib.experiment.model import Experiment
from fitlib.experiment.parse import check_names
from fitlib.experiment.plan import PlannedRun, States
from fitlib.recording.saved_outputs import agreed_names, read_names, rows_differ
from fitlib.storage.records import read_record


def finished(states: States) -> list[PlannedRun]:
    """Return the runs that are done."""
    return [run for run, state in states if state.done]


def predictions_of(experiment: Experiment, states: States) -> tuple[dict[str, dict], dict[str, dict]]:
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


def with_saved_names(experiment: Experiment, family: Family, done: list[PlannedRun]) -> Family:
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


def remarks(
    experiment: Experiment, family: Family, states: States, predictions: dict[str, dict[str, Any]]
) -> list[str]:
    """Return a sentence for each technique with other data or test rows than its baseline, or without a plan."""
    found = [*_other_data(experiment, family), *_other_rows(experiment, family, predictions)]
    return [*found, *_unplanned(finished(states))]


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
