"""What a run of an own training saved: is it all there, of the declared noise, and of the same test rows as before?

fitlib's own training raises where something is missing; somebody else's code may end without a word. So its outputs are
read and compared before the run counts, and every failure is one line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
SAME_ROWS = "predict the same test rows in every run: split the data with a fixed seed of its own"
IN_ORDER = "give idx (save_predictions then orders the rows by it), or do not shuffle the test rows"


@dataclass(frozen=True)
class Names:
    """Names of classes, and of groups by protected attribute, in the order of their numbers."""

    classes: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, classes: Sequence[str], groups: Mapping[str, Sequence[str]]) -> Names:
        """From lists, as a file holds them."""
        return cls(tuple(classes), {attribute: tuple(names) for attribute, names in groups.items()})


class Finished:
    """Names and test rows of the finished runs, against which the next ones are checked; safe for several threads.

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
        """RunFailed where names or test rows of a run are not those of the runs before; else it joins them."""
        with self._guard:
            family = next(f for f in self._families if run.spec in f.trainings)
            names = self._compared_names(run, family, read_names(folder))
            rows = {name: self._compared_rows(run, name, folder, names) for name in run.spec.techniques}
            self._names.setdefault(family.name, (run.name, names))
            for technique, predictions in rows.items():
                self._rows.setdefault(technique, (run.name, predictions))

    def _compared_names(self, run: PlannedRun, family: Family, found: Names | None) -> Names:
        """Names of the family: those known, else those that the run saved."""
        known = Names.of(family.classes, family.groups) if family.known else None
        earlier, seen = self._names.get(family.name, ("", None))
        if found is None and not (known or seen):
            problem = f"no {NAMES_FILE}, and no classes and groups in the experiment file"
            raise RunFailed(f"{problem}: {SAVE}, or add classes: and groups:")
        expected = known or seen or found
        found = _named(found, known) if found and known else found
        _check_names(found or expected, expected, "those declared" if known else f"those of {earlier}")
        return expected

    def _compared_rows(self, run: PlannedRun, technique: str, folder: Path, names: Names) -> Predictions:
        found = _read(folder, technique, names)
        if technique in self._rows:
            _check_rows(technique, found, *self._rows[technique])
        return found


def check(folder: Path, run: PlannedRun, finished: Finished) -> None:
    """RunFailed (one line) where a run of an own training lacks predictions or noise, or has other names or rows."""
    check_files(folder, list(run.spec.techniques))
    check_noise(read_json(folder / FINGERPRINT_FILE), run)
    finished.compare(run, folder)


def read_names(folder: Path) -> Names | None:
    """Names that a run saved; None where it saved none. RunFailed for a file of another form."""
    if not (folder / NAMES_FILE).exists():
        return None
    content = read_json(folder / NAMES_FILE)
    try:
        return Names.of(content["classes"], content["groups"])
    except (TypeError, KeyError, AttributeError):
        raise RunFailed(f"{NAMES_FILE} does not hold classes and groups: {SAVE}") from None


def agreed_names(found: Mapping[str, Names]) -> Names | None:
    """The names that all runs (by name) saved, None of no run; RunFailed where they differ."""
    expected, first = None, ""
    for run, names in found.items():
        expected, first = (names, run) if expected is None else (expected, first)
        _check_names(names, expected, f"those of {first}", f"{run}: ")
    return expected


# Files


def check_files(folder: Path, techniques: Sequence[str]) -> None:
    """RunFailed where a run of an own training lacks predictions; those without a name get the only technique's."""
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
    """RunFailed where a noise that only the training itself can apply was not applied, or where another one was.

    Of an emulated noise its options and the run index, too: runs that share an index would share their perturbation.
    """
    if mark is None or not isinstance(mark.get("parts"), dict):
        raise RunFailed(f"no {FINGERPRINT_FILE}: {SAVE}")
    noise, declared = mark.get("noise") or {}, run.arm.noise["name"]
    emulated = run.arm.kind == "emulated"
    if emulated and not noise.get("applied"):
        remedy = "train on fitlib.Recorder(model, run_dir, run=run, noise=noise).batches(loader), or say noise: native"
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
        raise RunFailed(f"{run}classes {_told(found.classes)} are not {whose} ({_told(expected.classes)}): {remedy}")
    if list(found.groups) != list(expected.groups):
        told = f"{_told(found.groups)} are not {whose} ({_told(expected.groups)})"
        raise RunFailed(f"{run}protected attributes {told}: {remedy}")
    for attribute, names in found.groups.items():
        if names != expected.groups[attribute]:
            told = f"{_told(names)} are not {whose} ({_told(expected.groups[attribute])})"
            raise RunFailed(f"{run}groups of {attribute} {told}: {remedy}")


def _named(found: Names, known: Names) -> Names:
    """Names as saved; where those are plain numbers that the declared names can stand for, these."""
    groups = {a: _name_numbers(names, known.groups.get(a, ())) for a, names in found.groups.items()}
    return Names(_name_numbers(found.classes, known.classes), groups)


def _name_numbers(found: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    plain = len(found) <= len(known) and list(found) == [str(number) for number in range(len(found))]
    return known if plain else found


def _told(names: Iterable[str], most: int = 6) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (" …" if len(names) > most else "") or "none"


def _read(folder: Path, technique: str, names: Names) -> Predictions:
    path = folder / "predictions" / f"{technique}.parquet"
    try:
        sizes = {attribute: len(groups) for attribute, groups in names.groups.items()}
        return stack({0: path}, len(names.classes), sizes)
    except InputError as error:
        told = str(error).replace(str(path), f"predictions of {technique}")
        raise RunFailed(told) from None


def _check_rows(technique: str, found: Predictions, run: str, expected: Predictions) -> None:
    """RunFailed where the test rows are not those of an earlier run, with what differs first."""
    ours, theirs = _columns(found), _columns(expected)
    if list(ours) != list(theirs):
        raise RunFailed(f"predictions of {technique} have the columns {_told(ours)}; {run} has {_told(theirs)}")
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
    """The rows in an order of their own, without idx, which may just count them."""
    rows = np.column_stack([values.reshape(len(values), -1) for name, values in columns.items() if name != "idx"])
    return rows[np.lexsort(rows.T)]


def other_rows(first: Path, second: Path) -> bool:
    """Whether two files of predictions have other test rows."""
    one, other = (_columns(stack({0: path})) for path in (first, second))
    return list(one) != list(other) or any(not np.array_equal(one[name], other[name]) for name in one)
