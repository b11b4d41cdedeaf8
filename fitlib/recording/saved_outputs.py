"""Checks of what a run of a custom training saved: completeness, the declared noise, and the test rows.

fitlib's trainings raise where something is missing; custom code may end silently. Its outputs are therefore read and
compared before the run counts as finished, and every failure is one line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitlib.errors import InputError, RunFailed
from fitlib.recording.save_predictions import NAMES_FILE, NO_TECHNIQUE
from fitlib.storage.atomic_files import read_json
from fitlib.storage.predictions import Predictions, column_of, stack
from fitlib.storage.run_files import FINGERPRINT_FILE

if TYPE_CHECKING:
    from fitlib.experiment.families import Family
    from fitlib.experiment.plan import PlannedRun

SAVE = "end with fitlib.save_predictions(run_dir, …)"
SAME_ROWS = "predict the same test rows in every run: split the data with a separate, fixed seed"
IN_ORDER = "give idx (save_predictions then orders the rows by it), or do not shuffle the test rows"


@dataclass(frozen=True)
class Names:
    """Names of classes, and of groups by protected attribute, in the order of their numbers."""

    classes: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, classes: Sequence[str], groups: Mapping[str, Sequence[str]]) -> Names:
        """Return the names from lists, as stored in a file."""
        return cls(tuple(classes), {attribute: tuple(names) for attribute, names in groups.items()})


class FinishedRuns:
    """The names and test rows of the finished runs, which later runs are compared with; thread-safe.

    families: of the experiment; runs: its finished runs of custom trainings.
    """

    def __init__(self, families: Iterable[Family], runs: Iterable[PlannedRun]):
        self._families = tuple(families)
        self._guard = threading.RLock()
        self._rows: dict[str, tuple[str, Predictions]] = {}  # technique -> name of a run, its predictions
        self._names: dict[str, tuple[str, Names]] = {}  # family -> name of a run, its names
        for run in runs:
            if not set(run.spec.techniques) <= set(self._rows):
                self.compare(run, run.folder)

    def compare(self, run: PlannedRun, folder: Path) -> None:
        """Raise RunFailed where names or test rows of a run differ from those of earlier runs; else add them."""
        with self._guard:  # compare and add in one step: runs end in several threads
            family = next(f for f in self._families if run.spec in f.trainings)
            names = self._compared_names(run, family, read_names(folder))
            rows = {name: self._compared_rows(run, name, folder, names) for name in run.spec.techniques}
            self._names.setdefault(family.name, (run.name, names))
            for technique, predictions in rows.items():
                self._rows.setdefault(technique, (run.name, predictions))

    def _compared_names(self, run: PlannedRun, family: Family, found: Names | None) -> Names:
        """Return the names of the family: the declared ones, else those of an earlier run, else those of this run."""
        declared = Names.of(family.classes, family.groups) if family.has_names else None
        earlier, seen = self._names.get(family.name, ("", None))
        expected = declared or seen or found
        if expected is None:
            problem = f"no {NAMES_FILE}, and no classes and groups in the experiment file"
            raise RunFailed(f"{problem}: {SAVE}, or add classes: and groups:")
        found = _use_declared(found, declared) if found and declared else found
        _check_names(found or expected, expected, "those declared" if declared else f"those of {earlier}")
        return expected

    def _compared_rows(self, run: PlannedRun, technique: str, folder: Path, names: Names) -> Predictions:
        found = _read(folder, technique, names)
        if technique in self._rows:
            _check_rows(technique, found, *self._rows[technique])
        return found


def check_outputs(folder: Path, run: PlannedRun, finished: FinishedRuns) -> None:
    """Raise RunFailed (one line) where a custom run lacks predictions or noise, or has other names or rows."""
    check_files(folder, list(run.spec.techniques))
    check_noise(read_json(folder / FINGERPRINT_FILE), run)
    finished.compare(run, folder)


def read_names(folder: Path) -> Names | None:
    """Read the names that a run saved; None where it saved none. RunFailed for a file of another form."""
    if not (folder / NAMES_FILE).exists():
        return None
    content: Any = read_json(folder / NAMES_FILE)  # None, which has no items, where it is not a JSON object
    try:
        return Names.of(content["classes"], content["groups"])
    except (TypeError, KeyError, AttributeError):
        raise RunFailed(f"{NAMES_FILE} does not hold classes and groups: {SAVE}") from None


def agreed_names(found: Mapping[str, Names]) -> Names | None:
    """Return the names that all runs (by name) saved, None without a run; RunFailed where they differ."""
    expected: Names | None = None
    first = ""
    for run, names in found.items():
        if expected is None:
            expected, first = names, run
        _check_names(names, expected, f"those of {first}", f"{run}: ")
    return expected


# Files


def check_files(folder: Path, techniques: Sequence[str]) -> None:
    """Raise RunFailed where a custom run lacks predictions; unnamed ones get the name of the only technique."""
    saved = {p.stem for p in folder.glob("predictions/*.parquet")}
    if saved == {NO_TECHNIQUE} and len(techniques) == 1:
        saved = set(techniques)
        (folder / "predictions" / f"{NO_TECHNIQUE}.parquet").rename(folder / "predictions" / f"{techniques[0]}.parquet")
    if not saved:
        raise RunFailed(f"the training saved no predictions: {SAVE}")
    missing = [name for name in techniques if name not in saved]
    if missing:
        there = f"saved: {', '.join(sorted(saved))}"
        remedy = f'save them with technique="{missing[0]}"'
        raise RunFailed(f"the training saved no predictions of {', '.join(missing)} ({there}): {remedy}")


def check_noise(mark: dict | None, run: PlannedRun) -> None:
    """Raise RunFailed where the declared noise was not applied, or another one was.

    The options and the run index of an emulated noise are compared as well: runs with the same index would share their
    perturbation.
    """
    if mark is None or not isinstance(mark.get("parts"), dict):
        raise RunFailed(f"no {FINGERPRINT_FILE}: {SAVE}")
    noise, declared = mark.get("noise") or {}, run.arm.noise["name"]
    emulated = run.arm.kind == "emulated"
    if emulated and not noise.get("applied"):
        remedy = "train on fitlib.Recorder(model, run_dir, run=run, noise=noise).batches(loader), or set noise: native"
        raise RunFailed(f"noise {declared} was declared, but the training never applied it: {remedy}")
    if noise.get("applied") and noise.get("name", declared) != declared:
        remedy = "give the parameter noise to fitlib.Recorder"
        raise RunFailed(f"the training applied noise {noise['name']}, but {declared} was declared: {remedy}")
    for name, value in {**run.arm.noise, "run": run.index}.items() if emulated else ():
        if noise.get(name) != value:
            applied = f"the training applied noise {declared} with {name} {noise.get(name)}, not {value}"
            raise RunFailed(f"{applied}: give the parameters run and noise, as they come, to fitlib.Recorder")


# Names and rows


def _check_names(found: Names, expected: Names, whose: str, run: str = "") -> None:
    remedy = "give the same classes= and groups= to every save_predictions"
    if found.classes != expected.classes:
        raise RunFailed(
            f"{run}classes {_shorten(found.classes)} are not {whose} ({_shorten(expected.classes)}): {remedy}"
        )
    if list(found.groups) != list(expected.groups):
        problem = f"{_shorten(found.groups)} are not {whose} ({_shorten(expected.groups)})"
        raise RunFailed(f"{run}protected attributes {problem}: {remedy}")
    for attribute, names in found.groups.items():
        if names != expected.groups[attribute]:
            problem = f"{_shorten(names)} are not {whose} ({_shorten(expected.groups[attribute])})"
            raise RunFailed(f"{run}groups of {attribute} {problem}: {remedy}")


def _use_declared(found: Names, declared: Names) -> Names:
    """Return the saved names; where these are plain numbers, the declared names that they stand for."""
    groups = {a: _name_numbers(names, declared.groups.get(a, ())) for a, names in found.groups.items()}
    return Names(_name_numbers(found.classes, declared.classes), groups)


def _name_numbers(found: tuple[str, ...], declared: tuple[str, ...]) -> tuple[str, ...]:
    plain = len(found) <= len(declared) and list(found) == [str(number) for number in range(len(found))]
    return declared if plain else found


def _shorten(names: Iterable[str], most: int = 6) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (" …" if len(names) > most else "") or "none"


def _read(folder: Path, technique: str, names: Names) -> Predictions:
    path = folder / "predictions" / f"{technique}.parquet"
    try:
        sizes = {attribute: len(groups) for attribute, groups in names.groups.items()}
        return stack({0: path}, len(names.classes), sizes)
    except InputError as error:
        raise RunFailed(str(error).replace(str(path), f"predictions of {technique}")) from None


def _check_rows(technique: str, found: Predictions, run: str, expected: Predictions) -> None:
    """Raise RunFailed where the test rows are not those of an earlier run, naming the first difference."""
    ours, theirs = _columns(found), _columns(expected)
    if list(ours) != list(theirs):
        raise RunFailed(f"predictions of {technique} have the columns {_shorten(ours)}; {run} has {_shorten(theirs)}")
    if len(found.idx) != len(expected.idx):
        counts = f"{len(found.idx):,} test rows, but {run} has {len(expected.idx):,}"
        raise RunFailed(f"predictions of {technique} have {counts}: {SAME_ROWS}")
    for name, values in ours.items():
        if not np.array_equal(values, theirs[name]):
            row = _first_difference(values, theirs[name])
            cells = f"{_cell(values, row)} in row {row}, {run} has {_cell(theirs[name], row)}"
            same = np.array_equal(_sorted(ours), _sorted(theirs))
            problem, remedy = ("another order", IN_ORDER) if same else ("other test rows", SAME_ROWS)
            raise RunFailed(f"predictions of {technique} are of {problem} ({name} is {cells}): {remedy}")


def _columns(predictions: Predictions) -> dict[str, np.ndarray]:
    columns = {"idx": predictions.idx, "ground_truth": predictions.ground_truth}
    columns |= {column_of(attribute): rows for attribute, rows in predictions.protected.items()}
    return columns if predictions.unit is None else {**columns, "unit": predictions.unit}


def _first_difference(one: np.ndarray, other: np.ndarray) -> int:
    if one.shape != other.shape:
        return 0
    return int(np.argmax((one != other).reshape(len(one), -1).any(axis=1)))


def _cell(values: np.ndarray, row: int) -> str:
    return str(values[row].tolist())


def _sorted(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the rows in canonical order, without idx, which may only count them."""
    rows = np.column_stack([values.reshape(len(values), -1) for name, values in columns.items() if name != "idx"])
    return rows[np.lexsort(rows.T)]


def rows_differ(first: Path, second: Path) -> bool:
    """Return whether two files of predictions have different test rows."""
    one, other = (_columns(stack({0: path})) for path in (first, second))
    return list(one) != list(other) or any(not np.array_equal(one[name], other[name]) for name in one)
