"""Somebody else's predictions to the same tables and report: `DIR/<technique>/*.csv|parquet`, one file per run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from fitlib.analysis import Outcome, Study, analyse
from fitlib.digest import digest_file, digest_json
from fitlib.errors import InputError
from fitlib.experiment import NAME, NAME_REMEDY, Analysis
from fitlib.predictions import Predictions, stack, with_crossed
from fitlib.progress import Progress
from fitlib.store import ExperimentPaths, locked

SUFFIXES = (".csv", ".parquet")
ARM = "runs"
COUNTED = "intervals and tests count every file as a run"


def analyze(
    folder: Path, baseline: str | None, out: Path, analysis: Analysis, jobs: int, progress: Progress
) -> Outcome:
    """Read and check all predictions of `folder`, then write metrics, statistics and report to `out`.

    Raises InputError before any work for anything that is wrong with the predictions, and for an `out` that holds
    something else than an earlier analysis.
    """
    _check_out(folder, out)
    files = find(folder)
    baseline = _baseline(files, baseline, folder)
    stacked = {name: stack(dict(enumerate(paths))) for name, paths in files.items()}
    description = _description(stacked, folder, analysis)
    _check_favourable(analysis, len(description["classes"]))
    paths = ExperimentPaths(out)
    with locked(paths):
        paths.sweep()
        study = _study(paths, files, stacked, baseline, description, analysis)
        return analyse(study, jobs, progress)


def _check_out(folder: Path, out: Path) -> None:
    """Refuse to write where something else than an earlier analysis lies: results there are replaced as a whole."""
    remedy = "choose another --out"
    if (out / "experiment.yaml").exists():
        raise InputError("analyze", "--out", str(out), "the folder belongs to an experiment", remedy)
    if folder.resolve().is_relative_to(out.resolve()):
        raise InputError("analyze", "--out", str(out), "the folder holds the predictions", remedy)
    if out.is_dir() and any(out.iterdir()) and not (out / "lock").is_file():
        raise InputError("analyze", "--out", str(out), "the folder is not empty and no earlier analysis", remedy)


def find(folder: Path) -> dict[str, list[Path]]:
    """Files of each technique in natural order of their names (run2 before run10), which is the order of the runs.

    Hidden files and folders, which editors and file managers leave, are passed over.
    """
    if not folder.is_dir():
        raise InputError(
            str(folder), "DIR", folder.name, "not a folder", "name the folder that holds <technique>/*.csv"
        )
    found = {}
    for sub in sorted(p for p in _visible(folder) if p.is_dir()):
        files = sorted((p for p in _visible(sub) if p.suffix.lower() in SUFFIXES), key=_natural)
        if files and not NAME.fullmatch(sub.name):
            raise InputError(str(folder), "technique", sub.name, "not a valid name", NAME_REMEDY)
        if files:
            found[sub.name] = files
    if not found:
        problem = "holds no predictions"
        raise InputError(
            str(folder), "DIR", folder.name, problem, "put one file per run into <technique>/*.csv|parquet"
        )
    return found


def _visible(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def _natural(path: Path) -> tuple:
    """Sorting key that compares the numbers in a name as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)], path.name


def _baseline(files: dict[str, list[Path]], baseline: str | None, folder: Path) -> str:
    if baseline is None and len(files) == 1:
        return next(iter(files))
    if baseline not in files:
        problem = "not among the techniques" if baseline else "no baseline among several techniques"
        raise InputError(str(folder), "--baseline", baseline, problem, f"choose one of {', '.join(files)}")
    return baseline


def _description(stacked: dict[str, Predictions], folder: Path, analysis: Analysis) -> dict:
    """Classes and groups that all techniques share, those of crossed attributes included."""
    first_name, first = next(iter(stacked.items()))
    for name, other in stacked.items():
        same = (other.multilabel, sorted(other.n_groups)) == (first.multilabel, sorted(first.n_groups))
        if not same or (first.multilabel and other.n_classes != first.n_classes):
            problem = f"multi-label, number of labels or protected attributes differ from {first_name}"
            raise InputError(str(folder / name), "columns", name, problem, "analyse different tasks apart")
    n_classes = max(p.n_classes for p in stacked.values())
    sizes = {a: max(p.n_groups[a] for p in stacked.values()) for a in first.n_groups}
    _check_cross(analysis, list(sizes))
    groups = {a: [_group_name(a, g, analysis) for g in range(n)] for a, n in sizes.items()}
    return {"classes": [str(c) for c in range(n_classes)], "groups": with_crossed(groups, analysis.cross)}


def _group_name(attribute: str, group: int, analysis: Analysis) -> str:
    """The number of a group; with its attribute where crossed groups would otherwise read "group 0 & group 0"."""
    return f"{attribute} {group}" if analysis.cross else f"group {group}"


def _check_cross(analysis: Analysis, attributes: list[str]) -> None:
    for names in analysis.cross or []:
        unknown = [name for name in names if name not in attributes]
        if unknown:
            remedy = f"the predictions have {', '.join(attributes)}"
            raise InputError("analyze", "--cross", unknown[0], "unknown protected attribute", remedy)
        if len(names) < 2 or len(set(names)) < len(names):
            problem = "not two or more different protected attributes"
            raise InputError("analyze", "--cross", ",".join(names), problem, "for example --cross sex,race")


def _check_favourable(analysis: Analysis, n_classes: int) -> None:
    if analysis.favourable is not None and analysis.favourable >= n_classes:
        remedy = f"use a class number from 0 to {n_classes - 1}"
        raise InputError("analyze", "--favourable", analysis.favourable, "class outside the range", remedy)


def _study(
    paths: ExperimentPaths,
    files: dict[str, list[Path]],
    stacked: dict[str, Predictions],
    baseline: str,
    description: dict,
    analysis: Analysis,
) -> Study:
    order = [baseline, *(name for name in files if name != baseline)]
    techniques = [
        {
            "technique": name,
            "training": name,
            "baseline": None if name == baseline else baseline,
            "method": "unknown",
            "inference": "unknown",
            "uses_protected": "unknown",
        }
        for name in order
    ]
    arm = {"arm": ARM, "noise": "unknown", "kind": "unknown", "role": "main", "seed": None, "options": {}}
    hashes = {name: [digest_file(path) for path in files[name]] for name in order}
    plan = {
        "techniques": techniques,
        "arms": [{**arm, "runs": max(map(len, files.values()))}],
        "data": {"name": "unknown"},
        **description,
        "analysis": analysis.model_dump(),
        "declared_hash": digest_json(analysis.model_dump()),
        "declared_before_first_run": False,
        "deviations": [*_differing_tests(stacked, order), *_copies(hashes, order)],
        "source": "predictions made elsewhere",
        "digests": {name: {ARM: hashes[name]} for name in order},
    }
    predictions = {
        name: {ARM: {"seed": 0, "predictions": {str(run): str(path.resolve()) for run, path in enumerate(files[name])}}}
        for name in order
    }
    return Study(paths, plan, [], predictions, hashes)


def _differing_tests(stacked: dict[str, Predictions], order: list[str]) -> list[str]:
    """Sentences about techniques that were tested on other rows than the baseline."""
    first = stacked[order[0]]
    return [
        f"{name} was tested on other rows than {order[0]}: the test set differs with the technique"
        for name in order[1:]
        if not _same_rows(first, stacked[name])
    ]


def _copies(hashes: dict[str, list[str]], order: list[str]) -> list[str]:
    """Sentences about techniques with files that are equal byte for byte: fewer runs than there are files."""
    return [
        f"{name}: only {len(set(hashes[name]))} of {len(hashes[name])} files differ (SHA-256), so some are copies or "
        f"runs that did not vary; {'they enter no test' if len(set(hashes[name])) == 1 else COUNTED}"
        for name in order
        if len(set(hashes[name])) < len(hashes[name])
    ]


def _same_rows(one: Predictions, other: Predictions) -> bool:
    equal = np.array_equal(one.idx, other.idx) and np.array_equal(one.ground_truth, other.ground_truth)
    return equal and all(np.array_equal(one.protected[a], other.protected[a]) for a in one.protected)
