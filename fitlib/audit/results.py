"""Are the results those of the runs? Plan and evidence that the statistics were made with, metrics, and all tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from fitlib.audit.deviations import Json, Place, Verification
from fitlib.audit.executed_notebooks import Executed, check_parameters, read_executed
from fitlib.audit.file_hashes import record_of
from fitlib.audit.runs import Runs, folder_name
from fitlib.digest import digest_json
from fitlib.execution.analysis_inputs import family_inputs
from fitlib.execution.analysis_tasks import STATISTICS, AnalysisInputs, description
from fitlib.experiment.plan import State
from fitlib.ingest.analyze import recorded_inputs
from fitlib.ingest.normalise import MAPPING
from fitlib.statistics.run_identity import done_runs
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import RECORD, read_record

RUN_PATH = 6  # last components of a predictions file's path: runs/<training>/<arm>/<run>/predictions/<file>
ANALYSED_PATH = 3  # of one that was made elsewhere: predictions/<technique>/<file>
ANALYSED = "predictions"  # their folder in that of the analysis


def check_results(
    found: Verification, runs: Runs, paths: ExperimentPaths, trained: bool
) -> tuple[list[Executed], list[Json]]:
    """Check notebooks and tables of one family, or (not ``trained``) of an analysis of predictions made elsewhere.

    Returns the executed notebooks and the evidence of the runs: as they recorded it where that can be read, else as
    the statistics have it.
    """
    if trained and runs.states and not any(state.done for _, state in runs.states):
        return [], []
    statistics = read_executed(found, paths.statistics, paths.root / STATISTICS)
    place = _place(found, runs, paths, statistics, trained)
    if place is None:
        found.remark(found.name(paths.tables), "not derived again: what was planned and recorded cannot be read")
        return [statistics] if statistics else [], []
    notebooks = [_metrics(found, place, technique, trained) for technique in place.techniques]
    _check_statistics_key(found, place, statistics)
    from fitlib.audit.tables import check_tables  # pandas and SciPy take longer than all the rest

    check_tables(found, place)
    return [n for n in (statistics, *notebooks) if n], place.evidence


# Plan and evidence


def _place(
    found: Verification, runs: Runs, paths: ExperimentPaths, statistics: Executed | None, trained: bool
) -> Place | None:
    """Plan and evidence from declared plan and records; from the executed statistics where those do not tell."""
    given = statistics.parameters if statistics else {}
    claimed = [entry for entry in given.get("evidence") or [] if isinstance(entry, dict)]
    plan, evidence, inputs = given.get("plan"), claimed, None
    if runs.experiment and found.left_out and any(spec.source.checked for spec in runs.experiment.trainings):
        found.remark("runs", "plan and evidence of own trainings rest on their predictions, which are left out, too")
    elif runs.experiment:
        with found.reading(found.paths.root / "runs"):  # names and rows that own trainings saved may not agree
            plan, evidence = _rebuilt(found, runs, paths)
            if statistics:
                check_parameters(found, statistics, {"plan": plan, "evidence": given.get("evidence")})
                _check_evidence(found, runs, statistics, evidence, claimed)
            evidence = _completed(found, runs, evidence, claimed)
    elif not trained:
        inputs = _analysed(found, statistics)
        plan = inputs.plan if inputs else plan
    return Place(paths, plan, evidence, description(plan), analysed=inputs) if plan else None


def _analysed(found: Verification, statistics: Executed | None) -> AnalysisInputs | None:
    """What was analysed, by the record of the predictions and their mapping; None where those do not tell."""
    folder = found.paths.root / ANALYSED
    record_of(found, folder / RECORD)
    if statistics is None or not all(map(found.unaltered, (folder / RECORD, folder / MAPPING))):
        return None
    with found.reading(folder / MAPPING):
        inputs = recorded_inputs(found.paths, statistics.parameters["plan"])
        check_parameters(found, statistics, {"plan": inputs.plan, "evidence": []})
        return inputs
    return None


def _rebuilt(found: Verification, runs: Runs, paths: ExperimentPaths) -> tuple[Json, list[Json]]:
    """The plan and the evidence that the statistics should have been made with; without the runs that are not sound."""
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
    """What the statistics say of every run must be what the run recorded."""
    told = {_key(entry): entry for entry in claimed}
    unsound = _unsound(found, runs)
    for entry in evidence:
        other = told.pop(_key(entry), {})
        names = [name for name in entry if entry[name] != other.get(name)]
        if names and _key(entry) not in unsound:
            text = f"parameter evidence: {', '.join(names)} of {folder_name(entry)} not as the run recorded"
            found.deviates(statistics.name, text if other else f"parameter evidence lacks {folder_name(entry)}")
    for entry in told.values():
        found.deviates(statistics.name, f"parameter evidence: no run {folder_name(entry)} is planned")


def _unsound(found: Verification, runs: Runs) -> set[tuple]:
    """Runs whose own evidence is altered or missing, which is named already."""
    gone = {r.name for r, _ in runs.states if found.is_gone(r.folder / RECORD)}
    unsound = [r for r, s in runs.states if (s.done and r.name not in runs.sound) or r.name in gone]
    return {(r.spec.name, r.arm.name, r.index) for r in unsound}


def _completed(found: Verification, runs: Runs, evidence: Sequence[Json], claimed: Sequence[Json]) -> list[Json]:
    """The evidence of all runs; of those that are altered or missing, what the statistics say of them."""
    told, unsound = {_key(entry): entry for entry in claimed}, _unsound(found, runs)
    return [told.get(_key(entry), entry) if _key(entry) in unsound else entry for entry in evidence]


# Metrics


def _metrics(found: Verification, place: Place, technique: str, trained: bool) -> Executed | None:
    """Check a technique's notebook and the key of its record; fills in where its predictions are, if they are there."""
    folder = place.paths.technique(technique)
    files, hashes = _recorded(found, place, technique) if trained else _elsewhere(place, technique)
    if trained and not files and not folder.is_dir():
        return None  # no run of it is finished
    executed = read_executed(found, folder / "metrics.ipynb", folder / RECORD)
    if executed and (trained or files):
        given = _located(executed.parameters.get("predictions"), RUN_PATH if trained else ANALYSED_PATH)
        own = Executed(executed.name, (), {**executed.parameters, "predictions": given}, "")
        expected = {arm: {**g, "predictions": _relative(found, g["predictions"])} for arm, g in files.items()}
        check_parameters(found, own, {"technique": technique, "predictions": expected, **place.description})
    record = read_record(folder)
    if record and hashes is not None and record["key_parts"].get("inputs") != digest_json(hashes):
        found.deviates(found.name(folder / RECORD), "computed from other predictions than those that are recorded")
    if files and all(found.unaltered(path) for given in files.values() for path in given["predictions"].values()):
        place.predictions[technique] = files
    return executed


def _recorded(found: Verification, place: Place, technique: str) -> tuple[dict[str, dict], dict[str, str]]:
    """Files of a technique's predictions by arm and run, and their hashes as its runs recorded them."""
    training = next(t["training"] for t in place.plan["techniques"] if t["technique"] == technique)
    files: dict[str, dict] = {}
    hashes = {}
    for arm in place.plan["arms"]:
        for entry in done_runs(place.evidence, training, arm["arm"]) if arm["role"] != "control" else ():
            given = files.setdefault(arm["arm"], {"seed": arm["seed"], "predictions": {}})
            path = found.paths.root / folder_name(entry) / "predictions" / f"{technique}.parquet"
            given["predictions"][str(entry["run"])] = path
            hashes[f"{arm['arm']}/{entry['run']}"] = entry["predictions"].get(technique)
    return files, hashes


def _elsewhere(place: Place, technique: str) -> tuple[dict[str, dict], object]:
    """Files of predictions made elsewhere, in the form in which they were analysed, and their recorded hashes."""
    if place.analysed is None or technique not in place.analysed.predictions:
        return {}, None
    files = {
        arm: {**given, "predictions": {run: _own_file(place, path) for run, path in given["predictions"].items()}}
        for arm, given in place.analysed.predictions[technique].items()
    }
    return files, place.analysed.hashes[technique]


def _own_file(place: Place, path: object) -> Path:
    return place.paths.root / _tail(path, ANALYSED_PATH)


def _located(predictions: object, depth: int) -> object:
    """Predictions as a notebook has them, each file by its place in the experiment's folder, wherever that lay."""
    if not isinstance(predictions, dict):
        return predictions
    return {
        arm: {**given, "predictions": {r: _tail(path, depth) for r, path in given["predictions"].items()}}
        for arm, given in predictions.items()
    }


def _tail(path: object, depth: int) -> str:
    return str(PurePosixPath(*PurePosixPath(str(path)).parts[-depth:]))


def _relative(found: Verification, files: Mapping[str, Path]) -> dict[str, str]:
    return {run: found.name(path) for run, path in files.items()}


# Statistics


def _check_statistics_key(found: Verification, place: Place, statistics: Executed | None) -> None:
    """The record of the statistics names plan, evidence and long tables by their hashes: are they what is there?"""
    path = place.paths.root / STATISTICS
    record = read_record(place.paths.root, STATISTICS)
    folders = {technique: place.paths.technique(technique) for technique in place.techniques}
    records = {technique: read_record(folder) for technique, folder in folders.items()}
    if record is None or statistics is None or found.name(path) in found.altered:
        return
    parts, given = record["key_parts"], statistics.parameters
    if parts.get("parameters") != digest_json({"plan": given.get("plan")}):
        found.deviates(found.name(path), "computed with another plan than its notebook has")
    inputs = [given.get("evidence"), {technique: r and r["outputs"] for technique, r in records.items()}]
    if parts.get("inputs") != digest_json(inputs) and not any(map(found.is_gone, folders.values())):
        found.deviates(found.name(path), "computed from other evidence or long tables than those that are there")
