"""`fitlib.save_predictions`: write the predictions, names, history and evidence of a custom training for fitlib.

torch is not imported here. The `fitlib.Recorder` of a training is found by its run folder, and its evidence written;
without one the fingerprint contains what can be observed from outside the training.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fitlib.digest import digest_arrays
from fitlib.errors import InputError
from fitlib.recording.fingerprint import observed_parts, with_hash
from fitlib.recording.label_encoding import (
    WHERE,
    LabelNames,
    as_array,
    columns_of,
    label_lists,
    names_of,
    numbered,
    whole_numbers,
)
from fitlib.storage.prediction_columns import one_line
from fitlib.storage.predictions import attribute_of, column_of, write_predictions
from fitlib.storage.run_files import (
    FINGERPRINT_FILE,
    HISTORY,
    HISTORY_FILE,
    write_digests,
    write_fingerprint,
    write_history,
)

NAMES_FILE = "names.json"
NO_TECHNIQUE = "predictions"  # the file name where no technique is named
TECHNIQUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SAVE_ONCE = "save each technique once, in a separate folder for every run"


class Evidence(Protocol):
    """What a recorder provides about a run; implemented by `fitlib.Recorder`."""

    step: int  # batches taken so far
    complete: bool  # whether it saw the start and the course of the training

    def evidence(self) -> tuple[list[dict], dict[str, str], dict[str, object]]:
        """Return digest rows, parts of the fingerprint, and what the noise did; RunFailed where nothing was."""
        ...

    @property
    def unsaved(self) -> bool:
        """Whether a training was recorded whose evidence has not been saved."""
        ...


RECORDERS: dict[Path, Evidence] = {}  # by run folder: how save_predictions finds the recorder of its run
_temporary_folder: list[Path] = []  # where run_dir is "": the folder of the current run, at most one


@dataclass(frozen=True)
class Rows:
    """Checked test rows in ascending order of idx, as numbers, and the names of their classes and groups."""

    idx: NDArray[np.int64]
    ground_truth: NDArray
    prediction: NDArray
    protected: dict[str, NDArray[np.int64]]
    unit: NDArray[np.int64] | None
    score: NDArray[np.float64] | None
    classes: LabelNames
    groups: dict[str, LabelNames]

    def names(self) -> dict[str, object]:
        """Return the content of `names.json`."""
        groups = {attribute: list(names.names) for attribute, names in self.groups.items()}
        return {"classes": list(self.classes.names), "groups": groups}

    def test_digest(self) -> str:
        """Return the hash of the test rows: every column but prediction and score."""
        columns = {"idx": self.idx, "ground_truth": self.ground_truth, **self.protected}
        return digest_arrays([*columns.items(), *([] if self.unit is None else [("unit", self.unit)])])


def save_predictions(
    run_dir: str | Path,
    *,
    ground_truth: object,
    prediction: object,
    protected: object,
    idx: object = None,
    unit: object = None,
    score: object = None,
    technique: str | None = None,
    classes: Sequence[object] | None = None,
    groups: Sequence[object] | Mapping[str, Sequence[object]] | None = None,
    history: object = None,
) -> Path:
    """Save a run's predictions of the test rows with the evidence of its training; return the predictions file.

    All columns are lists, arrays, tensors or columns of data frames of one length. ground_truth and prediction (rows,)
    classes (numbers or names), or (rows, labels) of 0/1; protected (rows,) groups, or {attribute: (rows,)}; idx (rows,)
    whole numbers that name the test rows (default 0, 1, …), by which they are ordered; unit (rows,) where one test
    unit has several rows; score (rows,) of class 1 of two, or (rows, classes). classes, groups ({attribute: names}, or
    the names alone where there is one attribute): names in the order of their numbers; without them numbers from 0 on
    are kept, other values are numbered in sorted order of the ground truth. history: rows (or a data frame) of epoch
    from 0, group, test_accuracy, and further columns of `fitlib.storage.run_files.HISTORY`. technique: required where
    one run has several.

    run_dir "": a temporary folder, whose path is printed. Raises InputError (one line) for columns that do not fit
    together, a missing value, an unknown class or group, a single group, idx twice, a technique saved before, or other
    test rows than an earlier technique's, or where a training was recorded for another run_dir only; RunFailed where
    the Recorder of this run_dir recorded no training or noise.
    """
    rows = checked_rows(ground_truth, prediction, protected, idx, unit, score, classes, groups)
    epochs = [] if history is None else _history(history, rows)
    name = _technique(technique)
    folder, is_temporary = _run_folder(run_dir, name)
    path = folder / "predictions" / f"{name}.parquet"
    digests, mark = _evidence(folder, rows)
    # Everything is checked before the first file is written: a refused call leaves the folder unchanged.
    _check_files(folder, path, mark, rows, epochs)
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / NAMES_FILE).write_text(json.dumps(rows.names(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_digests(folder, digests)
    write_fingerprint(folder, mark)
    if epochs or not (folder / HISTORY_FILE).exists():
        write_history(folder, epochs)
    write_predictions(path, rows.idx, rows.ground_truth, rows.prediction, rows.protected, rows.unit, rows.score)
    _report(rows, path if is_temporary else None)
    return path


def folder_of(run_dir: str | Path) -> Path:
    """Return a run's absolute folder; for "" a new temporary one, which `save_predictions` with "" uses as well."""
    if str(run_dir):
        return Path(run_dir).resolve()
    _temporary_folder[:] = [Path(tempfile.mkdtemp(prefix="fitlib-run-")).resolve()]
    return _temporary_folder[0]


# Rows


def checked_rows(
    ground_truth: object,
    prediction: object,
    protected: object,
    idx: object = None,
    unit: object = None,
    score: object = None,
    classes: Sequence[object] | None = None,
    groups: Sequence[object] | Mapping[str, Sequence[object]] | None = None,
) -> Rows:
    """Check the arguments of `save_predictions` and encode them as numbers; InputError where they do not fit.

    >>> rows = checked_rows(["yes", "no"], ["yes", "yes"], {"sex": ["f", "m"]})
    >>> rows.classes.names, rows.ground_truth.tolist(), rows.protected["sex"].tolist()
    (('no', 'yes'), [1, 0], [0, 1])
    """
    truth, predicted = as_array("ground_truth", ground_truth), as_array("prediction", prediction)
    columns = {column_of(name): as_array(column_of(name), rows) for name, rows in columns_of(protected).items()}
    scores = None if score is None else _scores(score)
    numbers = np.arange(len(truth)) if idx is None else whole_numbers("idx", idx)
    units = None if unit is None else _units(as_array("unit", unit))
    optional = {"idx": numbers, "unit": units, "score": scores}
    _check_lengths(truth, {"prediction": predicted, **columns, **{k: v for k, v in optional.items() if v is not None}})
    named, truth, predicted = _targets(truth, predicted, scores, classes)
    group_names, coded = _groups(columns, groups)
    order = _order(numbers)
    return Rows(
        numbers[order],
        truth[order],
        predicted[order],
        {name: rows[order] for name, rows in coded.items()},
        None if units is None else units[order],
        None if scores is None else scores[order],
        named,
        group_names,
    )


def _scores(score: object) -> NDArray[np.float64]:
    array = as_array("score", score)
    if array.dtype.kind not in "fiub":
        raise InputError(WHERE, "score", array.ravel()[0].item(), "not a number", "give numbers, or leave score out")
    return array.astype(np.float64)


def _units(array: NDArray) -> NDArray[np.int64]:
    """Return units as whole numbers; names are numbered in sorted order."""
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return np.unique(array.astype(str), return_inverse=True)[1].astype(np.int64)


def _check_lengths(truth: NDArray, columns: Mapping[str, NDArray]) -> None:
    for field, array in columns.items():
        if len(array) != len(truth):
            problem = f"{len(array):,} rows, but {len(truth):,} in ground_truth"
            raise InputError(WHERE, field, array.shape, problem, "give one row for each test row, in the same order")
        if array.ndim == 2 and field not in ("prediction", "score"):
            raise InputError(WHERE, field, array.shape, "several columns", "give one value for each test row")
    if columns["prediction"].shape != truth.shape:
        problem = f"not the shape {truth.shape} of ground_truth"
        remedy = "give classes, not scores (argmax(axis=1)), or lists of labels in both"
        raise InputError(WHERE, "shape of prediction", columns["prediction"].shape, problem, remedy)


def _targets(
    truth: NDArray, predicted: NDArray, scores: NDArray | None, classes: Sequence[object] | None
) -> tuple[LabelNames, NDArray, NDArray]:
    """Return the names of the classes (labels), and ground truth and prediction as numbers."""
    width = 0 if scores is None else scores.shape[1] if scores.ndim == 2 else 2
    if truth.ndim == 2:
        names = LabelNames(tuple(map(str, range(truth.shape[1]) if classes is None else classes)), None)
        truth, predicted = label_lists("ground_truth", truth), label_lists("prediction", predicted)
        _check_count("classes", len(names.names), truth.shape[1], "labels in a list")
    else:
        names = names_of("ground_truth", truth, classes, width)
        truth, predicted = numbered("ground_truth", truth, names), numbered("prediction", predicted, names)
    if scores is not None and (width != len(names.names) or (truth.ndim == 2 and scores.ndim == 1)):
        remedy = "give a score of class 1 of two, or one for each class, or leave score out"
        problem = f"not one score for each of {len(names.names)} classes"
        raise InputError(WHERE, "shape of score", scores.shape, problem, remedy)
    return names, truth, predicted


def _check_count(field: str, given: int, found: int, what: str) -> None:
    if given != found:
        raise InputError(WHERE, field, given, f"{found} {what}", "give one name for each")


def _groups(
    columns: Mapping[str, NDArray], declared: Sequence[object] | Mapping[str, Sequence[object]] | None
) -> tuple[dict[str, LabelNames], dict[str, NDArray[np.int64]]]:
    """Return the names and numbers of the groups, by attribute."""
    attributes = {column: attribute_of(column) for column in columns}
    given = declared if isinstance(declared, Mapping) else dict.fromkeys(attributes.values(), declared)
    if declared is not None and not isinstance(declared, Mapping) and len(attributes) > 1:
        remedy = "give {attribute: names}"
        raise InputError(WHERE, "groups", declared, f"{len(attributes)} protected attributes", remedy)
    for name in given:
        if name not in attributes.values():
            raise InputError(WHERE, "groups", name, "no such protected attribute", f"known: {', '.join(columns)}")
    names, numbers = {}, {}
    for column, rows in columns.items():
        attribute = attributes[column]
        names[attribute] = names_of(column, rows, given.get(attribute))
        numbers[attribute] = numbered(column, rows, names[attribute])
        if (numbers[attribute] == numbers[attribute][0]).all():
            remedy = "give predictions of at least two groups"
            raise InputError(WHERE, column, str(rows[0]), "all rows are of one group", remedy)
    return names, numbers


def _order(idx: NDArray[np.int64]) -> NDArray[np.intp]:
    order = np.argsort(idx, kind="stable")
    repeated = np.flatnonzero(np.diff(idx[order]) == 0)
    if repeated.size:
        value, problem = int(idx[order[repeated[0]]]), f"{repeated.size} rows have the idx of another row"
        raise InputError(WHERE, "idx", value, problem, "give every test row its own idx, and units as unit")
    return order


# History


def _history(history: Any, rows: Rows) -> list[dict]:
    """Return history rows with the columns of `HISTORY`: groups as numbers of the first attribute, sizes filled in."""
    records = history.to_dict("records") if hasattr(history, "columns") else list(history)
    names = next(iter(rows.groups.values()))
    sizes = np.bincount(next(iter(rows.protected.values())), minlength=len(names.names))
    made = [_history_row(number, record, names, sizes) for number, record in enumerate(records)]
    keys = [(row["epoch"], row["group"]) for row in made]
    if len(set(keys)) < len(keys):
        double = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise InputError(
            WHERE, "history", double, "this epoch and group twice", "give one row for each epoch and group"
        )
    return made


def _history_row(number: int, record: object, names: LabelNames, sizes: NDArray) -> dict:
    where = f"history row {number}"
    if not isinstance(record, Mapping) or not {"epoch", "group", "test_accuracy"} <= record.keys():
        remedy = "give rows with epoch, group and test_accuracy"
        raise InputError(WHERE, where, record, "a column is missing", remedy)
    for name in record:
        if name not in HISTORY.names:
            remedy = f"known: {', '.join(HISTORY.names)}"
            raise InputError(WHERE, where, name, "no such column", remedy)
    accuracy = record["test_accuracy"]
    if accuracy is not None and not 0 <= accuracy <= 1:
        raise InputError(WHERE, f"{where}, test_accuracy", accuracy, "not a share", "give a share from 0 to 1, or None")
    group = _history_group(where, record["group"], names)
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in record.items()}
    return {"n": int(sizes[group]), **plain, "group": group, "epoch": int(record["epoch"])}


def _history_group(where: str, group: object, names: LabelNames) -> int:
    if str(group) in names.names and (names.mapped or isinstance(group, str)):
        return names.names.index(str(group))
    return int(numbered(f"protected, {where}", np.array([group]), names)[0])


# Files


def _technique(technique: str | None) -> str:
    name = NO_TECHNIQUE if technique is None else technique
    if not isinstance(name, str) or not TECHNIQUE.fullmatch(name):
        remedy = "use letters without accents, digits, '.', '_' and '-', a letter or digit first"
        raise InputError(WHERE, "technique", technique, "not a valid technique name", remedy)
    return name


def _run_folder(run_dir: str | Path, name: str) -> tuple[Path, bool]:
    """Return the run's folder, and whether it is temporary; what an earlier run saved in one is never overwritten."""
    if str(run_dir):
        return folder_of(run_dir), False
    taken = not _temporary_folder or (_temporary_folder[0] / "predictions" / f"{name}.parquet").exists()
    return (folder_of("") if taken else _temporary_folder[0]), True


def _evidence(folder: Path, rows: Rows) -> tuple[list[dict], dict[str, object]]:
    """Return digest rows and fingerprint, from the run's recorder or as observed from outside the training."""
    digests: list[dict] = []
    parts: dict[str, str] = {}
    noise: dict[str, object] = {"applied": False}
    recorder = RECORDERS.get(folder)
    if recorder is None:
        _refuse_unsaved(folder)
    else:
        digests, parts, noise = recorder.evidence()
    mark = with_hash({"test data": rows.test_digest(), **parts, **observed_parts()})
    return digests, {**mark, "noise": noise, "recorded": recorder is not None and recorder.complete}


def _refuse_unsaved(folder: Path) -> None:
    """Raise InputError where a training was recorded for another folder only: its evidence would be lost silently."""
    other = next((place for place, recorder in reversed(RECORDERS.items()) if recorder.unsaved), None)
    if other:
        problem = f"the last training was recorded for run_dir {other}"
        remedy = "give fitlib.Recorder the same run_dir, or restart if that training was abandoned"
        raise InputError(WHERE, "run_dir", str(folder), problem, remedy)


def _check_files(folder: Path, path: Path, mark: dict, rows: Rows, epochs: Iterable[dict]) -> None:
    """Raise InputError where the technique is saved already, or others have other test rows, names or a history."""
    if path.exists():
        raise InputError(WHERE, "technique", path.stem, f"its predictions are saved in {path}", SAVE_ONCE)
    if not (folder / FINGERPRINT_FILE).exists():
        return
    earlier = json.loads((folder / FINGERPRINT_FILE).read_text())["parts"].get("test data")
    names = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
    if earlier != mark["parts"]["test data"] or names != rows.names():
        problem = f"other test rows, classes or groups than of the technique saved before in {folder}"
        raise InputError(WHERE, "technique", path.stem, problem, "let all techniques of a run predict the same rows")
    before = pq.read_table(folder / HISTORY_FILE).num_rows
    if epochs and before:
        raise InputError(WHERE, "history", before, "the run has a history already", "give it with one technique only")


def _report(rows: Rows, path: Path | None) -> None:
    """Print how values were encoded, and the folder where it is a temporary one."""
    mapped = {"classes": rows.classes, **{f"groups of {name}": names for name, names in rows.groups.items()}}
    for what, names in mapped.items():
        if names.mapped:
            print(one_line(f"{what}: {names.describe()}", 400))
    if path:
        print(f"no run_dir: saved in the temporary folder {path.parent.parent}")
