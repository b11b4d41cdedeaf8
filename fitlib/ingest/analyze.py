"""Analysis of predictions made elsewhere: `DIR/<technique>/*.csv|parquet`, one file per run, to tables and report.

Files are first normalised (`fitlib.ingest.normalise`); everything guessed on the way is listed on stderr and in the
report.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fitlib.datasets.tabular.cells import quantity
from fitlib.datasets.tabular.label_encoding import list_values
from fitlib.errors import InputError
from fitlib.execution.analysis_tasks import AnalysisInputs, Outcome, analyse
from fitlib.execution.progress import Progress
from fitlib.experiment.external_predictions import (
    ARM,
    baseline_first,
    check_cross,
    choose_baseline,
    external_plan,
    with_favourable,
)
from fitlib.experiment.parse import NAME, NAME_REMEDY
from fitlib.experiment.schema import Analysis
from fitlib.ingest.choices import Choices
from fitlib.ingest.normalise import FOLDER, MAPPING, normalise_predictions
from fitlib.results.analysis import arms_of, tables_of
from fitlib.results.array_inputs import EncodedArrays
from fitlib.results.results import Results
from fitlib.storage.atomic_files import read_json
from fitlib.storage.lock import locked
from fitlib.storage.manifest import UNCOVERED_FILES
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.prediction_columns import one_line
from fitlib.storage.predictions import stack
from fitlib.storage.records import RECORD


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
    baseline, analysis, notes = _check_request(folder, found, baseline, analysis, choices)
    with locked(paths):
        _remove_leftovers(paths)
        for note in notes:
            progress.print_line(note)
        write()
        return analyse(_inputs(paths, found, baseline, analysis), jobs, progress)


def check(folder: Path, baseline: str | None, analysis: Analysis, choices: Choices) -> list[str]:
    """Return lines that describe what is read as what; InputError for whatever `analyze` would refuse."""
    with TemporaryDirectory() as unused:
        found, _ = normalise_predictions(folder, ExperimentPaths(Path(unused)), choices)
    baseline, _, notes = _check_request(folder, found, baseline, analysis, choices)
    runs = [f"{name}: {quantity(len(of), 'run')}" for name, of in found["runs"].items()]
    rows = quantity(sum(next(iter(found["sizes"].values())).values()), "row")
    return [*runs, f"baseline: {baseline}", f"test set: {rows}", f"classes: {list_values(found['classes'])}", *notes]


def analyze_in_memory(folder: Path, baseline: str | None, analysis: Analysis, choices: Choices) -> Results:
    """Return the results of a folder or file of predictions, without an output folder, notebooks and report."""
    with TemporaryDirectory() as scratch:
        paths = ExperimentPaths(Path(scratch) / FOLDER)
        found, write = normalise_predictions(folder, paths, choices)
        baseline, analysis, notes = _check_request(folder, found, baseline, analysis, choices)
        write()
        classes, groups = len(found["classes"]), {name: len(of) for name, of in found["groups"].items()}
        predictions = {
            name: stack({run: paths.root / FOLDER / name / f"run-{run:02d}.parquet" for run in range(len(of))},
                        classes, groups)
            for name, of in found["runs"].items()
        }  # fmt: skip
    plan = external_plan(found, baseline_first(found["runs"], baseline), analysis, _decisions(found))
    arrays = EncodedArrays(predictions, found | {"notes": notes}, _decisions(found), None)
    rows = len(predictions[baseline].idx)
    arms = arms_of(arrays)
    return Results(plan, tables_of(arms, plan, {}), rows, predictions=arms)


def _check_request(
    folder: Path, found: Mapping[str, Any], baseline: str | None, analysis: Analysis, choices: Choices
) -> tuple[str, Analysis, list[str]]:
    """Return baseline, analysis and notes; InputError for what the predictions do not have."""
    _check_names(folder, found["runs"])
    baseline = choose_baseline(list(found["runs"]), baseline, str(folder), "--baseline")
    analysis, notes = with_favourable(analysis, choices.favourable, found["classes"], "--favourable")
    check_cross(analysis, list(found["groups"]), "--cross", "--cross sex,race")
    return baseline, analysis, [*found["notes"], *_size_lines(found), *notes]


def _size_lines(found: Mapping[str, Any]) -> list[str]:
    """Return a line with the rows of every group for each attribute."""
    listed = {a: list_values(f"{name} {rows:,}" for name, rows in sizes.items()) for a, sizes in found["sizes"].items()}
    return [f"Rows by {one_line(attribute, 40)}: {sizes}." for attribute, sizes in listed.items()]


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
    order = baseline_first(found["runs"], baseline)
    written, digests = _hashes(paths, found, order)
    plan = external_plan(found, order, analysis, digests)
    folder = (paths.root / FOLDER).resolve()
    predictions = {
        name: {str(run): str(folder / name / f"run-{run:02d}.parquet") for run in range(len(found["runs"][name]))}
        for name in order
    }
    arms = {name: {ARM: {"seed": 0, "predictions": files}} for name, files in predictions.items()}
    return AnalysisInputs(paths, plan, [], arms, written)


def _hashes(paths: ExperimentPaths, found: Mapping, order: Sequence[str]) -> tuple[dict, dict]:
    """Return, per technique, the SHA-256 of what was written for every run, and of its decisions."""
    outputs = _read_required(paths.root / FOLDER / RECORD)["outputs"]
    written = {n: [outputs[f"{n}/run-{r:02d}.parquet"]["sha256"] for r in range(len(found["runs"][n]))] for n in order}
    return written, _decisions(found)


def _decisions(found: Mapping) -> dict[str, list[str]]:
    """Return, per technique, the SHA-256 of every run's decisions."""
    return {name: [source["decisions"] for source in runs] for name, runs in found["runs"].items()}
