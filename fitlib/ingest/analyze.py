"""Analysis of predictions made elsewhere: `DIR/<technique>/*.csv|parquet`, one file per run, to tables and report.

Files are first normalised (`fitlib.ingest.normalise`); everything guessed on the way is listed on stderr and in the
report.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fitlib.digest import digest_json
from fitlib.errors import InputError
from fitlib.execution.analysis_tasks import AnalysisInputs, Outcome, analyse
from fitlib.execution.progress import Progress
from fitlib.experiment.parse import NAME, NAME_REMEDY
from fitlib.experiment.schema import Analysis
from fitlib.ingest.column_roles import suggestion
from fitlib.ingest.label_encoding import key_of
from fitlib.ingest.normalise import FOLDER, MAPPING, Choices, normalise_predictions
from fitlib.storage.atomic_files import read_json
from fitlib.storage.lock import locked
from fitlib.storage.manifest import UNCOVERED_FILES
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.predictions import with_crossed
from fitlib.storage.records import RECORD

ARM = "runs"
ALL_COUNTED = "intervals and tests count every file as a run"


def analyze(
    folder: Path,
    baseline: str | None,
    out: Path,
    analysis: Analysis,
    jobs: int,
    progress: Progress,
    choices: Choices | None = None,
) -> Outcome:
    """Read and check all predictions of `folder`, then write metrics, statistics and report to `out`.

    `choices`: columns, classes and the favourable class (by name or number) given by the user. Raises InputError before
    any work for anything wrong with the predictions, and for an `out` that contains anything but an earlier analysis.
    """
    _check_out(folder, out)
    # Everything is read and checked before the folder is locked and anything in it replaced.
    paths, choices = ExperimentPaths(out), choices or Choices()
    found, write = normalise_predictions(folder, paths, choices)
    _check_names(folder, found["runs"])
    baseline = _choose_baseline(list(found["runs"]), baseline, folder)
    analysis, notes = _with_favourable(analysis, choices.favourable, found["classes"])
    _check_cross(analysis, list(found["groups"]))
    notes = [*found["notes"], *notes]
    with locked(paths):
        _remove_leftovers(paths)
        for note in notes:
            progress.print_line(note)
        write()
        return analyse(_inputs(paths, found, baseline, analysis), jobs, progress)


def _remove_leftovers(paths: ExperimentPaths) -> None:
    paths.sweep()
    for leftover in paths.root.glob(f".{FOLDER}.*"):
        shutil.rmtree(leftover)


def _check_out(folder: Path, out: Path) -> None:
    """Refuse a folder with anything but an earlier analysis, as results in it are replaced as a whole."""
    remedy = "choose another --out"
    if (out / "experiment.yaml").exists():
        raise InputError("analyze", "--out", str(out), "the folder belongs to an experiment", remedy)
    if folder.resolve().is_relative_to(out.resolve()):
        raise InputError("analyze", "--out", str(out), "the folder contains the predictions", remedy)
    if out.is_dir() and not _is_analysis(out):
        raise InputError("analyze", "--out", str(out), "the folder is neither empty nor an earlier analysis", remedy)


def _is_analysis(out: Path) -> bool:
    """Return whether the folder is empty or that of an earlier, perhaps interrupted, analysis."""
    names = {path.name for path in out.iterdir()}
    return FOLDER in names or all(name in UNCOVERED_FILES or name.startswith(f".{FOLDER}.") for name in names)


def _check_names(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if not NAME.fullmatch(name):
            usable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
            remedy = f"{NAME_REMEDY}: {usable}" if usable else NAME_REMEDY
            raise InputError(str(folder), "technique", name, "not a valid name", remedy)


def _choose_baseline(techniques: Sequence[str], baseline: str | None, folder: Path) -> str:
    if baseline is None and len(techniques) == 1:
        return techniques[0]
    if baseline is None or baseline not in techniques:
        problem = "not among the techniques" if baseline else "no baseline among several techniques"
        raise InputError(str(folder), "--baseline", baseline, problem, f"choose one of {', '.join(techniques)}")
    return baseline


def _with_favourable(analysis: Analysis, given: str | None, classes: Sequence[str]) -> tuple[Analysis, list[str]]:
    """Return `analysis` with the number of the favourable class, given by name or number, and notes on it."""
    if given is None:
        return analysis, []
    numbers = list(map(str, range(len(classes))))
    number = _class_number(given, classes)
    if number is None:
        remedy = suggestion(given, classes)
        if list(classes) == numbers:
            remedy = f"use a class number from 0 to {len(classes) - 1}"
        raise InputError("analyze", "--favourable", given, "no such class", remedy)
    analysis = analysis.model_copy(update={"favourable": number})
    return analysis, _favourable_notes(analysis, classes)


def _favourable_notes(analysis: Analysis, classes: Sequence[str]) -> list[str]:
    """Return a note with the favourable class by name, if that differs from its number."""
    number = analysis.favourable
    if number is None or list(classes) == list(map(str, range(len(classes)))):
        return []
    return [f"Favourable class: {classes[int(number)]}."]


def _class_number(given: str, classes: Sequence[str]) -> int | None:
    """Find a class by its name, in any spelling of a number, or (if all classes are text) by its number."""
    keys = [key_of(name) for name in classes]
    if given in classes or key_of(given) in keys:
        return list(classes).index(given) if given in classes else keys.index(key_of(given))
    if all(isinstance(key, str) for key in keys) and given.isdecimal() and int(given) < len(classes):
        return int(given)
    return None


def _description(found: Mapping, analysis: Analysis) -> dict:
    """Return the names of classes and groups, including the groups of crossed attributes."""
    groups = {
        attribute: [_group_name(attribute, name, found["numeric"][attribute], analysis) for name in names]
        for attribute, names in found["groups"].items()
    }
    return {"classes": found["classes"], "groups": with_crossed(groups, analysis.cross)}


def _group_name(attribute: str, name: str, numeric: bool, analysis: Analysis) -> str:
    """Return a group's name; numbers get their attribute where crossed groups would otherwise read "0 & 0"."""
    if not numeric and name not in ("False", "True"):
        return name
    return f"{attribute} {name}" if analysis.cross or not numeric else f"group {name}"


def _check_cross(analysis: Analysis, attributes: list[str]) -> None:
    for names in analysis.cross or []:
        unknown = [name for name in names if name not in attributes]
        if unknown:
            remedy = f"the predictions have {', '.join(attributes)}"
            raise InputError("analyze", "--cross", unknown[0], "unknown protected attribute", remedy)
        if len(names) < 2 or len(set(names)) < len(names):
            problem = "not two or more different protected attributes"
            raise InputError("analyze", "--cross", ",".join(names), problem, "for example --cross sex,race")


def recorded_inputs(paths: ExperimentPaths, plan: Mapping) -> AnalysisInputs:
    """Return the inputs of the analysis in this folder, from its mapping and the choices in its plan.

    Raises InputError (or another exception) if record, mapping or plan are not those of an analysis.
    """
    baseline = next(t["technique"] for t in plan["techniques"] if t["baseline"] is None)
    mapping = _read_required(paths.root / FOLDER / MAPPING)
    return _inputs(paths, mapping, baseline, Analysis.model_validate(plan["analysis"]))


def _read_required(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if content is None:
        raise InputError(str(path.parent), "file", path.name, "missing or damaged", "run fitlib analyze again")
    return content


def _inputs(paths: ExperimentPaths, found: Mapping, baseline: str, analysis: Analysis) -> AnalysisInputs:
    order = [baseline, *(name for name in found["runs"] if name != baseline)]
    written, digests = _hashes(paths, found, order)
    unknown = dict.fromkeys(("noise", "kind"), "unknown")
    arm: dict[str, Any] = {"arm": ARM, **unknown, "role": "main", "seed": None, "options": {}}
    plan = {
        "techniques": [_technique(name, baseline) for name in order],
        "arms": [{**arm, "runs": max(map(len, found["runs"].values()))}],
        "data": {"name": "unknown"},
        **_description(found, analysis),
        "analysis": analysis.model_dump(),
        "declared_hash": digest_json(analysis.model_dump()),
        "declared_before_first_run": False,
        "deviations": [*_other_test_rows(found["rows"], order), *_copies(digests, order)],
        "notes": [*found["notes"], *_favourable_notes(analysis, found["classes"])],
        "source": "predictions made elsewhere",
        "digests": {name: {ARM: digests[name]} for name in order},
    }
    folder = (paths.root / FOLDER).resolve()
    predictions = {
        name: {str(run): str(folder / name / f"run-{run:02d}.parquet") for run in range(len(found["runs"][name]))}
        for name in order
    }
    arms = {name: {ARM: {"seed": 0, "predictions": files}} for name, files in predictions.items()}
    return AnalysisInputs(paths, plan, [], arms, written)


def _hashes(paths: ExperimentPaths, found: Mapping, order: Sequence[str]) -> tuple[dict, dict]:
    """Return, per technique, the SHA-256 of what was written for every run, and of the file that it was read from.

    A run read from a file with several runs is identified by what was written for it.
    """
    outputs = _read_required(paths.root / FOLDER / RECORD)["outputs"]
    sources = [source["file"] for runs in found["runs"].values() for source in runs]
    written = {n: [outputs[f"{n}/run-{r:02d}.parquet"]["sha256"] for r in range(len(found["runs"][n]))] for n in order}
    digests = {
        name: [
            source["sha256"] if sources.count(source["file"]) == 1 else digest
            for source, digest in zip(found["runs"][name], written[name], strict=True)
        ]
        for name in order
    }
    return written, digests


def _technique(name: str, baseline: str) -> dict:
    return {
        "technique": name,
        "training": name,
        "baseline": None if name == baseline else baseline,
        "method": "unknown",
        "inference": "unknown",
        "uses_protected": "unknown",
    }


def _other_test_rows(rows: Mapping[str, str], order: Sequence[str]) -> list[str]:
    """Return a sentence for each technique that was tested on other rows than the baseline."""
    return [
        f"{name} was tested on other rows than {order[0]}: the test set differs with the technique"
        for name in order[1:]
        if rows[name] != rows[order[0]]
    ]


def _copies(hashes: dict[str, list[str]], order: list[str]) -> list[str]:
    """Return a sentence for each technique with files that are equal byte for byte, so with fewer runs than files."""
    return [
        f"{name}: only {len(set(hashes[name]))} of {len(hashes[name])} files differ (SHA-256), so some are copies or "
        f"runs that did not vary; {'they enter no test' if len(set(hashes[name])) == 1 else ALL_COUNTED}"
        for name in order
        if len(set(hashes[name])) < len(hashes[name])
    ]
