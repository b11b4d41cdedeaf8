"""Somebody else's predictions brought into one form: read, mapped, aligned, checked, and written as parquet.

    DIR/<technique>/*.csv ... -> OUT/predictions/<technique>/run-00.parquet, and OUT/predictions/mapping.json,
    which says what was read as what.

The same files and choices are read once: the record beside the mapping has their key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import counted
from fitlib.digest import digest_arrays, digest_file, digest_json
from fitlib.errors import InputError
from fitlib.ingest.column_roles import squeezed
from fitlib.ingest.label_encoding import Mapped, listed
from fitlib.ingest.prediction_files import HERE, Read, Reader, find, passed_over
from fitlib.ingest.row_alignment import aligned, check_unique, order_of
from fitlib.ingest.score_columns import Used, check_declared, score_of, used_scores
from fitlib.storage.atomic_files import read_json, write_json
from fitlib.storage.code_digest import code_digest
from fitlib.storage.keys import versions
from fitlib.storage.paths import ExperimentPaths, new_attempt, replace_folder
from fitlib.storage.predictions import write
from fitlib.storage.records import read_record, write_record

FOLDER, MAPPING = "predictions", "mapping.json"


@dataclass(frozen=True)
class Choices:
    """What the user said about the files: {role: column}, all classes (None: those of the ground truth), and the
    favourable class.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    favourable: str | None = None


@dataclass
class _Technique:
    """Runs of a technique: rows, ground truth and groups once, predictions and scores of every run."""

    first: Read
    runs: list[Read] = field(default_factory=list)


def normalised(folder: Path, paths: ExperimentPaths, choices: Choices) -> tuple[dict, object]:
    """What the predictions of `folder` are, as mapping.json says it, and a function that writes them.

    The function is to be called under the lock; it does nothing where they stand already. Raises InputError before
    anything is written.
    """
    files = find(folder)
    parts = _key_parts(folder, files, choices)
    target = paths.root / FOLDER
    record, known = read_record(target), read_json(target / MAPPING)
    if known is not None and record is not None and record["key_parts"] == parts:
        return known, lambda: None
    techniques, reader = _read(folder, files, choices)
    mapping, forms = _mapped(techniques, reader, choices)
    mapping["notes"] = [*passed_over(folder, files), *mapping["notes"]]
    mapping["runs"] = {name: [_source(folder, run) for run in t.runs] for name, t in techniques.items()}
    return mapping, lambda: _write(paths, mapping, forms, parts)


def default_name(folder: Path) -> str:
    """The name of a folder, or of a file without its endings, in letters that a technique's name may have."""
    path = folder.resolve()
    name = path.name.partition(".")[0] if path.is_file() else path.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-") or FOLDER


# Reading


def _key_parts(folder: Path, files: Mapping[str, Sequence[Path]], choices: Choices) -> dict[str, str]:
    """Hashes of all that decides about what is written."""
    named = [[name, _relative(folder, str(path)), digest_file(path)] for name, paths in files.items() for path in paths]
    options = [sorted(choices.columns.items()), choices.classes, choices.favourable, default_name(folder)]
    return {
        "inputs": digest_json([named, passed_over(folder, files)]),
        "parameters": digest_json(options),
        "code": code_digest((__name__,)),
        "versions": digest_json({n: v for n, v in versions("metrics").items() if n != "pandas"}),
    }


def _relative(folder: Path, path: str) -> str:
    return Path(path).name if folder.is_file() else Path(path).relative_to(folder).as_posix()


def _read(folder: Path, files: Mapping[str, Sequence[Path]], choices: Choices) -> tuple[dict[str, _Technique], Reader]:
    reader, techniques, moved = Reader(choices.columns), {}, []
    for name, paths in files.items():
        for path in paths:
            for run in reader.runs(name, path):
                run = run if run.technique != HERE else replace(run, technique=default_name(folder))
                if _add(techniques, run, reader):
                    moved.append(str(path))
    _tell(reader, folder, [path for paths in files.values() for path in paths], moved)
    return techniques, reader


def _add(techniques: dict[str, _Technique], run: Read, reader: Reader) -> bool:
    """Put a run to its technique, rows in the order of the first run; was another order found?"""
    names = list(reader.names["idx"])
    if run.technique in techniques:
        technique = techniques[run.technique]
        run, moved = aligned(run, technique.first, names)
    else:
        check_unique(run, names)
        first = next((t.first for t in techniques.values()), run)
        order = None if run.idx is None else order_of(run, first)
        moved = order is not None and len(order) > 0
        run = run.take(order) if moved else run
        technique = techniques[run.technique] = _Technique(run)
    # Of later runs only what differs is kept: many runs of many rows would not fit.
    technique.runs.append(replace(run, idx=None, truth=technique.first.truth[:0], protected={}, unit=None))
    return moved


def _tell(reader: Reader, folder: Path, files: Sequence[Path], moved: Sequence[str]) -> None:
    """What was guessed in how many files, as sentences with nothing in `reader.notes` left but their files."""
    if moved:
        reader.notes[f"Rows put in the order of {_relative(folder, str(files[0]))}, matched by idx."] = list(moved)
    told = {}
    for note, where in reader.notes.items():
        some = len(set(where)) < len(files)
        at = "" if len(files) == 1 or not some else f" (in {len(set(where))} of {len(files)} files)"
        told[f"{note[:-1]}{at}."] = where
    reader.notes = told


# Mapping


@dataclass(frozen=True)
class _Form:
    """How the runs of a technique are written."""

    technique: _Technique
    classes: Mapped
    groups: Mapping[str, Mapped]
    used: Used
    several: bool


def _mapped(techniques: Mapping[str, _Technique], reader: Reader, choices: Choices) -> tuple[dict, dict[str, _Form]]:
    """mapping.json, and for every technique what is written of it."""
    several = next(iter(techniques.values())).first.truth.ndim == 2
    _check_labels(techniques)
    classes = _labels(techniques) if several else _classes(techniques, reader, choices)
    groups = {attribute: words.finish() for attribute, words in reader.groups.items()}
    notes = [*reader.notes, classes.sentence("Classes"), *classes.remarks]
    for attribute, found in groups.items():
        notes += [found.sentence(f"Groups of {attribute}"), *found.remarks]
    scored, told = {}, {}
    later = classes.numbers == 1
    for name, technique in techniques.items():
        check_declared([*choices.columns], [*technique.first.scores], classes.names, choices.favourable)
        scored[name], sentence = used_scores(technique.runs, later, classes.names, several, choices.favourable)
        told.setdefault(sentence, []).append(name)
    for sentence, names in told.items():
        notes += [sentence.replace("{}", f" of {listed(names)}" if len(told) > 1 else "")] if sentence else []
    forms = {name: _Form(t, classes, groups, scored[name], several) for name, t in techniques.items()}
    found = {
        "classes": list(classes.names),
        "groups": {attribute: list(found.names) for attribute, found in groups.items()},
        "numeric": {attribute: found.numeric for attribute, found in groups.items()},
        "rows": {name: _rows_digest(t.first) for name, t in techniques.items()},
        "notes": [note for note in notes if note],
    }
    return found, forms


def _check_labels(techniques: Mapping[str, _Technique]) -> None:
    """The same number of labels everywhere."""
    first = next(iter(techniques.values())).first
    for technique in techniques.values():
        if technique.first.truth.shape[1:] != first.truth.shape[1:]:
            problem = f"{first.where} has lists of {first.truth.shape[1]} labels"
            found = technique.first.truth.shape[1]
            raise InputError(technique.first.where, "labels", found, problem, "analyse different tasks apart")


def _labels(techniques: Mapping[str, _Technique]) -> Mapped:
    number = next(iter(techniques.values())).first.truth.shape[1]
    return Mapped(tuple(map(str, range(number))), np.arange(number), True)


def _classes(techniques: Mapping[str, _Technique], reader: Reader, choices: Choices) -> Mapped:
    """All classes: as declared, or those of the ground truth; InputError for a prediction of another one."""
    words, declared = reader.classes, _declared(techniques, reader, choices)
    known = np.zeros(len(words.codes) + len(declared or ()), bool)
    if declared is None:
        for technique in techniques.values():
            known[technique.first.truth] = True
    else:
        known[[words.code(value) for value in declared]] = True
        for technique in techniques.values():
            _check_known(technique.first.where, "ground_truth", technique.first.truth, known, reader, True)
    for technique in techniques.values():
        for run in technique.runs:
            _check_known(run.where, "prediction", run.prediction, known, reader, declared is not None)
    return words.finish(declared)


def _declared(techniques: Mapping[str, _Technique], reader: Reader, choices: Choices) -> Sequence[object] | None:
    """Classes as declared; whole numbers below the length of a row's scores are classes too, though nobody is of it."""
    if choices.classes is not None:
        return choices.classes
    lengths = [score.shape[1] for t in techniques.values() for score in t.runs[0].scores.values() if score.ndim == 2]
    number = max(lengths, default=0)
    return list(range(number)) if number and set(reader.classes.codes) <= set(range(number)) else None


def _check_known(where: str, column: str, codes: NDArray, known: NDArray, reader: Reader, declared: bool) -> None:
    wrong = ~known[codes]
    if not wrong.any():
        return
    names = [spellings[0] for spellings in reader.classes.spellings.values()]
    row = int(np.argmax(wrong))
    value, there = names[codes[row]], [name for name, is_known in zip(names, known, strict=False) if is_known]
    seen = "not among --classes" if declared else "never in the ground truth"
    close = [name for name in there if squeezed(name) == squeezed(value)]
    remedy = f"did you mean {close[0]!r}?" if close else f"known: {listed(there)}; declare all: --classes A,B,C"
    raise InputError(
        where, column, value, f"{seen}, in {counted(int(wrong.sum()), 'row')}, the first row {row}", remedy
    )


def _rows_digest(first: Read) -> str:
    """What two techniques share that were tested on the same rows."""
    arrays = {"idx": first.idx, "ground_truth": first.truth, **first.protected}
    return digest_arrays((name, values) for name, values in arrays.items() if values is not None)


# Writing


def _source(folder: Path, run: Read) -> dict[str, str]:
    """Where a run comes from: file, SHA-256 of the file, and its label in a column of runs."""
    return {"file": _relative(folder, run.where), "sha256": digest_file(run.where), "run": run.run}


def _write(paths: ExperimentPaths, mapping: dict, forms: Mapping[str, _Form], parts: Mapping[str, str]) -> None:
    paths.manifest.unlink(missing_ok=True)  # what it says does not hold until it is written again
    target = paths.root / FOLDER
    attempt = new_attempt(target, hidden=True)
    names = [MAPPING]
    for technique, form in forms.items():
        (attempt / technique).mkdir()
        for number, run in enumerate(form.technique.runs):
            names.append(f"{technique}/run-{number:02d}.parquet")
            _write_run(attempt / names[-1], form, run)
    write_json(attempt / MAPPING, mapping)
    write_record(attempt, "predictions", parts, names)
    replace_folder(attempt, target)


def _write_run(path: Path, form: _Form, run: Read) -> None:
    first, numbers = form.technique.first, form.classes.numbers
    write(
        path,
        np.arange(len(first.truth)) if first.idx is None else first.idx,
        first.truth if form.several else numbers[first.truth],
        run.prediction if form.several else numbers[run.prediction],
        {attribute: form.groups[attribute].numbers[codes] for attribute, codes in first.protected.items()},
        first.unit,
        score_of(run, form.used, len(form.classes.names)),
    )
