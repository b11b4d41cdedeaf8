"""Verification that results follow from the runs: plan and evidence of the statistics, metrics, and all tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fitlib.audit.deviations import Json, ResultFolder, Verification
from fitlib.audit.executed_notebooks import Executed, check_parameters, read_executed
from fitlib.audit.file_hashes import record_of
from fitlib.audit.runs import Runs, folder_name
from fitlib.digest import digest_json
from fitlib.errors import RunFailed
from fitlib.execution.analysis_inputs import family_inputs
from fitlib.execution.analysis_tasks import STATISTICS, AnalysisInputs, description
from fitlib.experiment.plan import State
from fitlib.ingest.analyze import recorded_inputs
from fitlib.ingest.normalise import MAPPING
from fitlib.statistics.run_identity import finished_runs
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import RECORD, read_record

RUN_PATH = 6  # components of a predictions file's name: runs/<training>/<arm>/<run>/predictions/<file>
ANALYSED_PATH = 3  # of one made elsewhere: predictions/<technique>/<file>
ANALYSED = "predictions"  # folder of predictions made elsewhere, in that of their analysis


def check_results(
    found: Verification, runs: Runs, paths: ExperimentPaths, trained: bool
) -> tuple[list[Executed], list[Json]]:
    """Check notebooks and tables of one family, or (not ``trained``) of an analysis of predictions made elsewhere.

    Returns the executed notebooks and the evidence of the runs: from their records if readable, else as the statistics
    state it.
    """
    if trained and runs.states and not any(state.done for _, state in runs.states):
        return [], []
    statistics = read_executed(found, paths.statistics, paths.root / STATISTICS)
    results = _result_folder(found, runs, paths, statistics, trained)
    if results is None:
        found.add_remark(found.name_of(paths.tables), "not derived again: plan and records cannot be read")
        return [statistics] if statistics else [], []
    notebooks = [_metrics(found, results, technique, trained) for technique in results.techniques]
    _check_statistics_key(found, results, statistics)
    from fitlib.audit.tables import check_tables  # late: pandas and SciPy are slow to import

    check_tables(found, results)
    return [n for n in (statistics, *notebooks) if n], results.evidence


# Plan and evidence


def _result_folder(
    found: Verification, runs: Runs, paths: ExperimentPaths, statistics: Executed | None, trained: bool
) -> ResultFolder | None:
    """Return plan and evidence, from the declared plan and records if readable, else from the executed statistics."""
    given = statistics.parameters if statistics else {}
    claimed = [entry for entry in given.get("evidence") or [] if isinstance(entry, dict)]
    # What the statistics claim is the fallback, replaced below by what the records give.
    plan, evidence, inputs = given.get("plan"), claimed, None
    if runs.experiment and found.left_out and any(spec.source.checked for spec in runs.experiment.trainings):
        found.add_remark(
            "runs", "plan and evidence of custom trainings depend on their predictions, which are left out, too"
        )
    elif runs.experiment:
        with found.reading(found.paths.root / "runs"):  # names and rows saved by custom trainings may disagree
            plan, evidence = _expected_inputs(found, runs, paths)
            if statistics:
                check_parameters(found, statistics, {"plan": plan, "evidence": given.get("evidence")})
                _check_evidence(found, runs, statistics, evidence, claimed)
            evidence = _completed(found, runs, evidence, claimed)
    elif not trained:
        inputs = _analysed(found, statistics)
        plan = inputs.plan if inputs else plan
    return ResultFolder(paths, plan, evidence, description(plan), analysed=inputs) if plan else None


def _analysed(found: Verification, statistics: Executed | None) -> AnalysisInputs | None:
    """Return what was analysed, from the record of the predictions and their mapping; None if they cannot be read."""
    folder = found.paths.root / ANALYSED
    record_of(found, folder / RECORD)
    if statistics is None or not all(map(found.is_unaltered, (folder / RECORD, folder / MAPPING))):
        return None
    with found.reading(folder / MAPPING):
        inputs = recorded_inputs(found.paths, statistics.parameters["plan"])
        check_parameters(found, statistics, {"plan": inputs.plan, "evidence": []})
        return inputs
    return None


def _expected_inputs(found: Verification, runs: Runs, paths: ExperimentPaths) -> tuple[Json, list[Json]]:
    """Return the plan and evidence that the statistics should have been computed with, leaving out unsound runs."""
    if runs.experiment is None or runs.plan is None:
        raise RunFailed(f"{paths.root}: no plan was declared")
    states = [(r, s if not s.done or r.name in runs.sound else State("unsound")) for r, s in runs.states]
    families = runs.experiment.families
    family = next(f for f in families if len(families) == 1 or f.name == paths.root.name)
    inputs = family_inputs(runs.plan, family, states)
    return inputs.plan, inputs.evidence


def _key(entry: Mapping) -> tuple:
    return entry["training"], entry["arm"], entry["run"]


def _check_evidence(
    found: Verification, runs: Runs, statistics: Executed, evidence: Sequence[Json], claimed: Sequence[Json]
) -> None:
    """Report runs whose evidence in the statistics differs from what the run recorded."""
    claimed_by_run = {_key(entry): entry for entry in claimed}
    unsound = _unsound(found, runs)
    for entry in evidence:
        other = claimed_by_run.pop(_key(entry), {})
        names = [name for name in entry if entry[name] != other.get(name)]
        if names and _key(entry) not in unsound:
            text = f"parameter evidence: {', '.join(names)} of {folder_name(entry)} differ from the run's record"
            found.add_deviation(statistics.name, text if other else f"parameter evidence lacks {folder_name(entry)}")
    for entry in claimed_by_run.values():
        found.add_deviation(statistics.name, f"parameter evidence: no run {folder_name(entry)} is planned")


def _unsound(found: Verification, runs: Runs) -> set[tuple]:
    """Return the runs whose own evidence is altered or missing, which is already reported."""
    gone = {r.name for r, _ in runs.states if found.is_missing(r.folder / RECORD)}
    unsound = [r for r, s in runs.states if (s.done and r.name not in runs.sound) or r.name in gone]
    return {(r.spec.name, r.arm.name, r.index) for r in unsound}


def _completed(found: Verification, runs: Runs, evidence: Sequence[Json], claimed: Sequence[Json]) -> list[Json]:
    """Return the evidence of all runs; for altered or missing ones, as the statistics state it."""
    claimed_by_run, unsound = {_key(entry): entry for entry in claimed}, _unsound(found, runs)
    return [claimed_by_run.get(_key(entry), entry) if _key(entry) in unsound else entry for entry in evidence]


# Metrics


def _metrics(found: Verification, results: ResultFolder, technique: str, trained: bool) -> Executed | None:
    """Check a technique's notebook and the key of its record; add its predictions to `results` if they are intact."""
    folder = results.paths.technique(technique)
    files, hashes = (
        _recorded_predictions(found, results, technique) if trained else _analysed_predictions(results, technique)
    )
    if trained and not files and not folder.is_dir():
        return None  # none of its runs is finished
    executed = read_executed(found, folder / "metrics.ipynb", folder / RECORD)
    if executed and (trained or files):
        # Only the files' places within the folder are compared, as the folder may have been moved.
        given = _relocated(executed.parameters.get("predictions"), RUN_PATH if trained else ANALYSED_PATH)
        relocated = Executed(executed.name, (), {**executed.parameters, "predictions": given}, "")
        expected = {arm: {**g, "predictions": _relative(found, g["predictions"])} for arm, g in files.items()}
        check_parameters(found, relocated, {"technique": technique, "predictions": expected, **results.description})
    record = read_record(folder)
    if record and hashes is not None and record["key_parts"].get("inputs") != digest_json(hashes):
        found.add_deviation(found.name_of(folder / RECORD), "computed from other predictions than the recorded ones")
    if files and all(found.is_unaltered(path) for given in files.values() for path in given["predictions"].values()):
        results.predictions[technique] = files
    return executed


def _recorded_predictions(
    found: Verification, results: ResultFolder, technique: str
) -> tuple[dict[str, dict], dict[str, str]]:
    """Return the files of a technique's predictions by arm and run, and their hashes as recorded by its runs."""
    training = next(t["training"] for t in results.plan["techniques"] if t["technique"] == technique)
    files: dict[str, Json] = {}
    hashes: dict[str, str] = {}
    for arm in results.plan["arms"]:
        for entry in finished_runs(results.evidence, training, arm["arm"]) if arm["role"] != "control" else ():
            given = files.setdefault(arm["arm"], {"seed": arm["seed"], "predictions": {}})
            path = found.paths.root / folder_name(entry) / "predictions" / f"{technique}.parquet"
            given["predictions"][str(entry["run"])] = path
            predictions: Any = entry["predictions"]
            hashes[f"{arm['arm']}/{entry['run']}"] = predictions.get(technique)
    return files, hashes


def _analysed_predictions(results: ResultFolder, technique: str) -> tuple[dict[str, dict], object]:
    """Return the files of predictions made elsewhere, as they were analysed, and their recorded hashes."""
    if results.analysed is None or technique not in results.analysed.predictions:
        return {}, None
    files = {
        arm: {
            **given,
            "predictions": {run: _analysed_file(results, path) for run, path in given["predictions"].items()},
        }
        for arm, given in results.analysed.predictions[technique].items()
    }
    return files, results.analysed.hashes[technique]


def _analysed_file(results: ResultFolder, path: object) -> Path:
    return results.paths.root / _last_components(path, ANALYSED_PATH)


def _relocated(predictions: object, depth: int) -> object:
    """Return a notebook's predictions with each file relative to the experiment's folder, wherever that was."""
    if not isinstance(predictions, dict):
        return predictions
    return {
        arm: {**given, "predictions": {r: _last_components(path, depth) for r, path in given["predictions"].items()}}
        for arm, given in predictions.items()
    }


def _last_components(path: object, depth: int) -> str:
    return str(PurePosixPath(*PurePosixPath(str(path)).parts[-depth:]))


def _relative(found: Verification, files: Mapping[str, Path]) -> dict[str, str]:
    return {run: found.name_of(path) for run, path in files.items()}


# Statistics


def _check_statistics_key(found: Verification, results: ResultFolder, statistics: Executed | None) -> None:
    """Compare plan, evidence and long tables with their hashes in the record of the statistics."""
    path = results.paths.root / STATISTICS
    record = read_record(results.paths.root, STATISTICS)
    folders = {technique: results.paths.technique(technique) for technique in results.techniques}
    records = {technique: read_record(folder) for technique, folder in folders.items()}
    if record is None or statistics is None or found.name_of(path) in found.altered:
        return
    parts, given = record["key_parts"], statistics.parameters
    if parts.get("parameters") != digest_json({"plan": given.get("plan")}):
        found.add_deviation(found.name_of(path), "computed with another plan than the one in its notebook")
    inputs = [given.get("evidence"), {technique: r and r["outputs"] for technique, r in records.items()}]
    if parts.get("inputs") != digest_json(inputs) and not any(map(found.is_missing, folders.values())):
        found.add_deviation(found.name_of(path), "computed from other evidence or long tables than the present ones")
