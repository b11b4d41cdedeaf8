"""Normalisation of predictions made elsewhere: read, mapped, aligned, checked, and written as parquet.

    DIR/<technique>/*.csv ... -> OUT/predictions/<technique>/run-00.parquet, and OUT/predictions/mapping.json,
    which lists how columns and values were read.

The same files and choices are read once: the record next to the mapping has their key.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import quantity
from fitlib.datasets.tabular.column_vocabulary import NO_GROUP, one_of
from fitlib.datasets.tabular.label_encoding import (
    LabelMapping,
    Vocabulary,
    in_two_codes,
    list_values,
    pair_codes,
    single_group_note,
)
from fitlib.datasets.tabular.number_ranges import range_names
from fitlib.digest import digest_arrays, digest_file, digest_json
from fitlib.errors import InputError
from fitlib.ingest.choices import Choices
from fitlib.ingest.column_roles import fold_name
from fitlib.ingest.file_search import UNNAMED_TECHNIQUE, find_files, unread_note
from fitlib.ingest.prediction_files import Reader
from fitlib.ingest.row_alignment import align_rows, check_unique, row_order
from fitlib.ingest.run_predictions import RunPredictions
from fitlib.ingest.score_columns import Used, check_declared, score_of, usable_scores
from fitlib.storage.atomic_files import read_json, write_json
from fitlib.storage.code_digest import code_digest
from fitlib.storage.keys import versions
from fitlib.storage.paths import ExperimentPaths, new_attempt, replace_folder
from fitlib.storage.prediction_columns import one_line
from fitlib.storage.predictions import write_predictions
from fitlib.storage.records import read_record, write_record

FOLDER, MAPPING = "predictions", "mapping.json"
FEW = 0.05  # share of the rows below which a group is pointed out
Json = dict[str, Any]


@dataclass
class _Technique:
    """The runs of a technique: rows, ground truth and groups once, predictions and scores of every run."""

    first: RunPredictions
    runs: list[RunPredictions] = field(default_factory=list)


def normalise_predictions(folder: Path, paths: ExperimentPaths, choices: Choices) -> tuple[Json, Callable[[], None]]:
    """Return the content of mapping.json for the predictions of `folder`, and a function that writes them.

    Call the function under the lock; it does nothing if they are already written. Raises InputError before anything is
    written.
    """
    files = find_files(folder)
    parts = _key_parts(folder, files, choices)
    target = paths.root / FOLDER
    record, written = read_record(target), read_json(target / MAPPING)
    if written is not None and record is not None and record["key_parts"] == parts:
        return written, lambda: None
    techniques, reader = _read(folder, files, choices)
    mapping, forms = _mapping_and_forms(techniques, reader, choices)
    mapping["notes"] = [*unread_note(folder, files), *mapping["notes"]]
    mapping["runs"] = {name: [_source(folder, run) for run in t.runs] for name, t in techniques.items()}
    return mapping, lambda: _write(paths, mapping, forms, parts)


def default_name(folder: Path) -> str:
    """Return the name of a folder, or of a file without its suffixes, reduced to valid characters of a technique."""
    path = folder.resolve()
    name = path.name.partition(".")[0] if path.is_file() else path.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-") or FOLDER


# Reading


def _key_parts(folder: Path, files: Mapping[str, Sequence[Path]], choices: Choices) -> dict[str, str]:
    """Return the hashes of everything that determines what is written."""
    named = [[name, _relative(folder, str(path)), digest_file(path)] for name, paths in files.items() for path in paths]
    options = [choices.as_json(), default_name(folder)]
    return {
        "inputs": digest_json([named, unread_note(folder, files)]),
        "parameters": digest_json(options),
        "code": code_digest((__name__,)),
        "versions": digest_json({n: v for n, v in versions("metrics").items() if n != "pandas"}),
    }


def _relative(folder: Path, path: str) -> str:
    return Path(path).name if folder.is_file() else Path(path).relative_to(folder).as_posix()


def _read(folder: Path, files: Mapping[str, Sequence[Path]], choices: Choices) -> tuple[dict[str, _Technique], Reader]:
    reader, moved = Reader(choices), []
    techniques: dict[str, _Technique] = {}
    for name, paths in files.items():
        for path in paths:
            for run in reader.runs(name, path):
                run = run if run.technique != UNNAMED_TECHNIQUE else replace(run, technique=default_name(folder))
                if _add(techniques, run, reader):
                    moved.append(str(path))
    reader.check_choices()
    _finish_notes(reader, folder, [path for paths in files.values() for path in paths], moved)
    return techniques, reader


def _add(techniques: dict[str, _Technique], run: RunPredictions, reader: Reader) -> bool:
    """Add a run to its technique, rows in the order of the first run; return whether they had to be moved."""
    names = list(reader.names["idx"])
    if run.technique in techniques:
        technique = techniques[run.technique]
        run, moved = align_rows(run, technique.first, names)
    else:
        check_unique(run, names)
        first = next((t.first for t in techniques.values()), run)
        order = None if run.idx is None else row_order(run, first)
        moved = order is not None and len(order) > 0
        run = run.take(order) if order is not None and moved else run
        technique = techniques[run.technique] = _Technique(run)
    # Of later runs only what differs is kept: many runs of many rows would not fit in memory.
    technique.runs.append(replace(run, idx=None, truth=technique.first.truth[:0], protected={}, unit=None))
    return moved


def _finish_notes(reader: Reader, folder: Path, files: Sequence[Path], moved: Sequence[str]) -> None:
    """Add to every note in how many files it holds, unless that is all of them."""
    if moved:
        reader.notes[f"Rows put in the order of {_relative(folder, str(files[0]))}, matched by idx."] = list(moved)
    notes: dict[str, list[str]] = {}
    for note, where in reader.notes.items():
        some = len(set(where)) < len(files)
        at = "" if len(files) == 1 or not some else f" (in {len(set(where))} of {len(files)} files)"
        notes[f"{note[:-1]}{at}."] = where
    reader.notes = notes


# Mapping


@dataclass(frozen=True)
class _Form:
    """How the runs of a technique are written."""

    technique: _Technique
    classes: LabelMapping
    groups: Mapping[str, LabelMapping]
    used: Used
    several: bool


def _mapping_and_forms(
    techniques: Mapping[str, _Technique], reader: Reader, choices: Choices
) -> tuple[Json, dict[str, _Form]]:
    """Return the content of mapping.json, and for every technique how its runs are written."""
    several = next(iter(techniques.values())).first.truth.ndim == 2
    _check_labels(techniques)
    classes = _labels(techniques) if several else _classes(techniques, reader, choices)
    groups, left_out = _groups(techniques, reader)
    sizes = _group_sizes(next(iter(techniques.values())).first, groups)
    notes = [*reader.notes, *left_out, classes.sentence("Classes"), *classes.remarks]
    for attribute, group in groups.items():
        notes += [group.sentence(f"Groups of {attribute}"), *group.remarks, *_small_groups(attribute, sizes[attribute])]
    used: dict[str, Used] = {}
    sentences: dict[str, list[str]] = {}
    later = classes.numbers == 1
    for name, technique in techniques.items():
        check_declared([*choices.columns], [*technique.first.scores], classes.names, choices.favourable)
        used[name], sentence = usable_scores(technique.runs, later, classes.names, several, choices.favourable)
        sentences.setdefault(sentence, []).append(name)
    for sentence, names in sentences.items():
        notes += [sentence.replace("{}", f" of {list_values(names)}" if len(sentences) > 1 else "")] if sentence else []
    forms = {name: _Form(t, classes, groups, used[name], several) for name, t in techniques.items()}
    mapping = {
        "classes": list(classes.names),
        "groups": {attribute: list(group.names) for attribute, group in groups.items()},
        "numeric": {attribute: group.numeric for attribute, group in groups.items()},
        "sizes": sizes,
        "rows": {name: _rows_digest(t.first) for name, t in techniques.items()},
        "notes": [note for note in notes if note],
    }
    return mapping, forms


def _check_labels(techniques: Mapping[str, _Technique]) -> None:
    """Raise InputError unless all techniques have the same number of labels."""
    first = next(iter(techniques.values())).first
    for technique in techniques.values():
        if technique.first.truth.shape[1:] != first.truth.shape[1:]:
            problem = f"{first.where} has lists of {first.truth.shape[1]} labels"
            found = technique.first.truth.shape[1]
            raise InputError(technique.first.where, "labels", found, problem, "analyse different tasks separately")


def _labels(techniques: Mapping[str, _Technique]) -> LabelMapping:
    number = next(iter(techniques.values())).first.truth.shape[1]
    return LabelMapping(tuple(map(str, range(number))), np.arange(number), True)


def _classes(techniques: Mapping[str, _Technique], reader: Reader, choices: Choices) -> LabelMapping:
    """Return all classes: as declared, or those of the ground truth; InputError for a prediction of another class."""
    words, declared = reader.classes, _declared(techniques, reader, choices)
    known = np.zeros(len(words.codes) + len(declared or ()), bool)
    if declared is None:
        for technique in techniques.values():
            known[technique.first.truth] = True
    else:
        known[[words.code(value) for value in declared]] = True
        for technique in techniques.values():
            _check_values(technique.first.where, "ground_truth", technique.first.truth, known, reader, True)
    for technique in techniques.values():
        _check_codes(technique, words, declared is not None)
        for run in technique.runs:
            _check_values(run.where, "prediction", run.prediction, known, reader, declared is not None)
    return words.finish(declared)


def _check_codes(technique: _Technique, words: Vocabulary, declared: bool) -> None:
    """Raise InputError where a technique's predictions are in another code than its ground truth."""
    names = [spellings[0] for spellings in words.spellings.values()]
    true = [names[code] for code in np.unique(technique.first.truth)]
    predicted = [names[code] for code in sorted({c for run in technique.runs for c in np.unique(run.prediction)})]
    if not in_two_codes(true, predicted, declared):
        return
    options = [f"--map={shlex.quote(f'{given}={meant}')}" for given, meant in pair_codes(true, predicted)]
    remedy = "translate the predictions: " + (" ".join(options) or "--map VALUE=CLASS, once for every value")
    remedy += " (or the other way round)" if len(options) == 2 else ""
    problem = f"another code than the ground truth, {list_values(true)}"
    raise InputError(technique.first.where, "prediction", ", ".join(predicted[:8]), problem, remedy)


def _declared(techniques: Mapping[str, _Technique], reader: Reader, choices: Choices) -> Sequence[object] | None:
    """Return the declared classes; lists of n scores declare 0 … n-1, even where no row is of such a class."""
    if choices.classes is not None:
        return choices.classes
    lengths = [score.shape[1] for t in techniques.values() for score in t.runs[0].scores.values() if score.ndim == 2]
    number = max(lengths, default=0)
    return list(range(number)) if number and set(reader.classes.codes) <= set(range(number)) else None


def _check_values(where: str, column: str, codes: NDArray, known: NDArray, reader: Reader, declared: bool) -> None:
    wrong = ~known[codes]
    if not wrong.any():
        return
    names = [spellings[0] for spellings in reader.classes.spellings.values()]
    row = int(np.argmax(wrong))
    value, valid = names[codes[row]], [name for name, is_known in zip(names, known, strict=False) if is_known]
    seen = "not among --classes" if declared else "never in the ground truth"
    close = [name for name in valid if fold_name(name) == fold_name(value)]
    remedy = f"did you mean {close[0]!r}?" if close else f"known: {list_values(valid)}; declare all: --classes A,B,C"
    raise InputError(
        where, column, value, f"{seen}, in {quantity(int(wrong.sum()), 'row')}, the first row {row}", remedy
    )


def _rows_digest(first: RunPredictions) -> str:
    """Hash what two techniques share if they were tested on the same rows."""
    arrays = {"idx": first.idx, "ground_truth": first.truth, **first.protected}
    return digest_arrays((name, values) for name, values in arrays.items() if values is not None)


# Groups


def _groups(techniques: Mapping[str, _Technique], reader: Reader) -> tuple[dict[str, LabelMapping], list[str]]:
    """Return the groups of every attribute that has two or more, and notes on the others.

    InputError where no attribute has two groups among the rows of every technique.
    """
    groups = {
        attribute: words.finish(range_names(reader.bins[attribute]) if attribute in reader.bins else None)
        for attribute, words in reader.groups.items()
    }
    single: dict[str, RunPredictions] = {}
    for technique in techniques.values():
        codes = technique.first.protected
        single |= {attribute: technique.first for attribute in groups if len(np.unique(codes[attribute])) < 2}
    names = {a: groups[a].names[groups[a].numbers[run.protected[a][0]]] for a, run in single.items()}
    if len(single) == len(groups):
        attribute, run = next(iter(single.items()))
        remedy = "give predictions for at least two groups"
        raise InputError(run.where, attribute, names[attribute], "all rows are of one group", remedy)
    notes = [single_group_note(attribute, names[attribute]) for attribute in single]
    return {attribute: group for attribute, group in groups.items() if attribute not in single}, notes


def _group_sizes(first: RunPredictions, groups: Mapping[str, LabelMapping]) -> dict[str, dict[str, int]]:
    """Return the rows of every group in the test set."""
    counted = {
        attribute: np.bincount(group.numbers[first.protected[attribute]], minlength=len(group.names)).tolist()
        for attribute, group in groups.items()
    }
    return {attribute: dict(zip(groups[attribute].names, rows, strict=True)) for attribute, rows in counted.items()}


def _small_groups(attribute: str, sizes: Mapping[str, int]) -> list[str]:
    """Return a note on groups that are few, or no group but what is left: each counts in the largest difference."""
    total = sum(sizes.values())
    few = [name for name, rows in sizes.items() if rows < FEW * total or one_of(name, NO_GROUP)]
    if not few or len(sizes) < 3:
        return []
    listed = list_values(f"{one_line(name, 40)} ({quantity(sizes[name], 'row')} of {total:,})" for name in few)
    counts = "counts" if len(few) == 1 else "count"
    option = shlex.quote(f"{attribute}={few[0]}")
    return [f"{listed} of {one_line(attribute, 40)} {counts} as much as large groups; --drop-group {option} omits it."]


# Writing


def _source(folder: Path, run: RunPredictions) -> dict[str, str]:
    """Return the source of a run: file, SHA-256 of the file and of the decisions, its label in a column of runs."""
    decisions = digest_arrays([("prediction", run.prediction)])
    return {
        "file": _relative(folder, run.where),
        "sha256": digest_file(run.where),
        "decisions": decisions,
        "run": run.run,
    }


def _write(paths: ExperimentPaths, mapping: Json, forms: Mapping[str, _Form], parts: Mapping[str, str]) -> None:
    paths.manifest.unlink(missing_ok=True)  # outdated until it is written again
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


def _write_run(path: Path, form: _Form, run: RunPredictions) -> None:
    first, numbers = form.technique.first, form.classes.numbers
    write_predictions(
        path,
        np.arange(len(first.truth)) if first.idx is None else first.idx,
        first.truth if form.several else numbers[first.truth],
        run.prediction if form.several else numbers[run.prediction],
        {attribute: group.numbers[first.protected[attribute]] for attribute, group in form.groups.items()},
        first.unit,
        score_of(run, form.used, len(form.classes.names)),
    )
