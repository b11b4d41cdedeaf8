"""Files of predictions made elsewhere: finding them in a folder, and reading the runs that each contains."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import quantity
from fitlib.datasets.tabular.columns import levels_of, natural_key, row_labels
from fitlib.datasets.tabular.label_encoding import Vocabulary, key_of, list_values
from fitlib.datasets.tabular.reading import DECOMPRESSORS, read_table
from fitlib.errors import InputError
from fitlib.ingest.column_roles import guessed_roles, roles_of
from fitlib.storage.prediction_columns import SCORES, fail_at, is_list, labels, one_line, parse_lists, scores
from fitlib.storage.predictions import MAX_CLASSES, MAX_GROUPS, SAME_TEST_SET, attribute_of

# .txt are mostly notes: read only if there is nothing else
SUFFIXES = ((".csv", ".tsv", ".parquet"), (".data", ".dat", ".txt"))
UNNAMED_TECHNIQUE = ""  # technique of files directly in the folder
LAYOUT = "put one file per run into <technique>/*.csv|parquet, or name a column with --column run=NAME"


# Files


def find_files(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each technique in natural order of their names (run2 before run10): the order of the runs.

    Files directly in `folder` are of technique `UNNAMED_TECHNIQUE`, and are used if no subfolder has any; `folder` may
    also be a file. Hidden files and folders, which editors and file managers create, are ignored. Raises InputError if
    there are no files, and for two files of the same name.
    """
    if folder.is_file():
        return {UNNAMED_TECHNIQUE: [folder]}
    if not folder.is_dir():
        remedy = "give the folder that contains <technique>/*.csv, or a file"
        raise InputError(str(folder), "DIR", folder.name, "not a folder", remedy)
    for suffixes in SUFFIXES:
        folders = {sub.name: _tables(sub, suffixes) for sub in sorted(p for p in _visible(folder) if p.is_dir())}
        if found := {name: files for name, files in folders.items() if files}:
            return found
        if here := _tables(folder, suffixes):
            return {UNNAMED_TECHNIQUE: here}
    raise InputError(str(folder), "DIR", folder.name, "no predictions in it", LAYOUT)


def unread_note(folder: Path, files: Mapping[str, Sequence[Path]]) -> list[str]:
    """Return a note on tables in the folder, or in its subfolders, that are not read."""
    if folder.is_file():
        return []
    used = {path for paths in files.values() for path in paths}
    tables = [p for parent in (folder, *_visible(folder)) if parent.is_dir() for p in _visible(parent) if p.is_file()]
    unused = [p for p in tables if p not in used and any(_suffix(p) in suffixes for suffixes in SUFFIXES)]
    left = sorted(p.relative_to(folder).as_posix() for p in unused)
    return [f"Not read: {list_values(left)}."] if left else []


def _visible(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def _suffix(path: Path) -> str:
    bare = path.with_suffix("") if path.suffix.lower() in DECOMPRESSORS else path
    return bare.suffix.lower()


def _tables(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the tables with these suffixes in natural order; InputError for two of the same name."""
    files = sorted((p for p in _visible(folder) if p.is_file() and _suffix(p) in suffixes), key=_natural_name_key)
    stems = [p.name[: p.name.lower().rindex(_suffix(p))] for p in files]
    for i, stem in enumerate(stems):
        if stem in stems[:i]:
            problem = f"{files[stems.index(stem)].name} has the same name: one run, or two?"
            raise InputError(str(folder), "file", files[i].name, problem, "keep one, or rename it")
    return files


def _natural_name_key(path: Path) -> tuple:
    """Return a sorting key for a file by the natural order of its name."""
    return natural_key(path.name)


# Runs


@dataclass(frozen=True)
class RunPredictions:
    """The predictions of one run as read: R rows.

    idx int64 (R,), or None without such a column; truth and prediction: codes int16 (R,), or 0/1 int8 (R, labels);
    protected {attribute: codes (R,)}; unit int64 (R,) or None; scores {class as its column names it, or "": float64
    (R,) or (R, classes)}; run: its label in the column of runs, or "".
    """

    where: str
    technique: str
    run: str
    idx: NDArray | None
    truth: NDArray
    prediction: NDArray
    protected: dict[str, NDArray]
    unit: NDArray | None
    scores: dict[str, NDArray]

    def take(self, rows: NDArray) -> RunPredictions:
        """Return the given rows, in the given order."""
        return replace(
            self,
            idx=None if self.idx is None else self.idx[rows],
            truth=self.truth[rows],
            prediction=self.prediction[rows],
            protected={attribute: codes[rows] for attribute, codes in self.protected.items()},
            unit=None if self.unit is None else self.unit[rows],
            scores={name: score[rows] for name, score in self.scores.items()},
        )


@dataclass
class Reader:
    """A reader of one file after another, with classes, groups and row names that are the same for all of them.

    `given`: {role: column}, `map`: {predicted value: class} and `columns`: names of all columns, of the command line.
    Everything guessed is collected in `notes`: {sentence: files}.
    """

    given: Mapping[str, str]
    map: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[str] | None = None
    classes: Vocabulary = field(default_factory=lambda: Vocabulary("class", MAX_CLASSES))
    groups: dict[str, Vocabulary] = field(default_factory=dict)
    names: dict[str, dict[str, int]] = field(default_factory=lambda: {"idx": {}, "unit": {}})  # of text, to numbers
    texts: dict[str, tuple[str, bool]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    first: tuple[str, tuple[str, ...], bool] | None = None
    mapped: set[Hashable] = field(default_factory=set)

    def runs(self, technique: str, path: Path) -> Iterator[RunPredictions]:
        """Yield the runs in a file: one, or as many as its columns technique and run distinguish."""
        found, where = read_table(path, self.columns), str(path)
        optional = ("run", "technique") if technique == UNNAMED_TECHNIQUE else ("run",)
        roles = roles_of(where, found.table.column_names, self.given, optional)
        self._add_notes(where, found.notes, found.table.column_names, roles, found.index is not None)
        columns = {role: found.table[name] for role, name in roles.items()}
        if "idx" not in columns and found.index is not None:
            columns["idx"] = found.index
        marked = [note for note in found.notes if "read as missing" in note]
        whole = self._read(where, technique, columns, roles, f" ({'; '.join(marked)})" if marked else "")
        yield from _split_runs(whole, columns)

    def _add_notes(self, where: str, notes: Sequence[str], columns: Sequence[str], roles: Mapping, index: bool) -> None:
        sentences = [f"{note[0].upper()}{note[1:]}." for note in notes]
        other = {
            role: f"{one_line(column, 40)} is {_role_description(role)}"
            for role, column in guessed_roles(roles).items()
        }
        chosen = [text for role, text in other.items() if role in self.given]
        found = [text for role, text in other.items() if role not in self.given]
        sentences += [f"Columns as given: {', '.join(chosen)}."] if chosen else []
        sentences += [f"Columns found by their names: {', '.join(found)}."] if found else []
        unused = [one_line(c, 40) for c in columns if c not in roles.values()]
        sentences += [f"Columns not used: {list_values(unused, 8)}."] if unused else []
        if "idx" not in roles:
            how = "the unnamed first column is idx" if index else "rows are matched by their place in the file"
            sentences.append(f"No column idx: {how}.")
        for sentence in sentences:
            self.notes.setdefault(sentence, []).append(where)

    def _read(self, where: str, technique: str, columns: Mapping, roles: Mapping, missing: str) -> RunPredictions:
        names = {role: roles.get(role, role) for role in columns}
        truth, prediction = self._targets(where, columns, names, missing)
        self._check_alike(where, columns, truth.ndim == 2)
        attributes = {attribute_of(r): r for r in columns if r.partition(".")[0] == "protected"}
        scored = {r.partition(".")[2]: r for r in columns if r.partition(".")[0] == "score"}
        return RunPredictions(
            where,
            technique,
            "",
            self._names(where, "idx", names["idx"], columns["idx"]) if "idx" in columns else None,
            truth,
            prediction,
            {a: self._group(where, a, names[r], columns[r], missing) for a, r in attributes.items()},
            self._names(where, "unit", names["unit"], columns["unit"]) if "unit" in columns else None,
            {of: _score_values(where, names[r], columns[r]) for of, r in scored.items()},
        )

    def _group(self, where: str, attribute: str, name: str, column: pa.ChunkedArray, missing: str) -> NDArray:
        words = self.groups.setdefault(attribute, Vocabulary(f"group of {attribute}", MAX_GROUPS))
        codes = words.encode(where, name, column, missing)
        if codes.min() == codes.max():
            remedy = "give predictions for at least two groups"
            raise InputError(where, name, column[0].as_py(), "all rows are of one group", remedy)
        return codes

    def _targets(self, where: str, columns: Mapping, names: Mapping, missing: str) -> tuple[NDArray, NDArray]:
        pair = [_lists(where, columns[role], role) for role in ("ground_truth", "prediction")]
        several = [is_list(column.type) for column in pair]
        if several[0] != several[1]:
            value = columns["prediction"][0].as_py()
            problem = "one of ground truth and prediction is a list"
            raise InputError(where, names["prediction"], value, problem, "write both as lists of 0 and 1, or none")
        named = [names[role] for role in ("ground_truth", "prediction")]
        if several[0]:
            truth, prediction = (labels(where, *both) for both in zip(named, pair, strict=True))
            if truth.shape != prediction.shape:
                problem = f"lists of another length than in {named[0]} ({truth.shape[1]})"
                raise InputError(where, named[1], prediction.shape[1], problem, "write one list of 0 and 1 per row")
            return truth, prediction
        true = self.classes.encode(where, named[0], pair[0], missing)
        renamed = {key_of(value): meant for value, meant in self.map.items()}
        if renamed:
            self.mapped |= renamed.keys() & {key_of(value) for value in levels_of(where, named[1], pair[1]).values}
        return true, self.classes.encode(where, named[1], pair[1], missing, renamed)

    def check_map(self) -> None:
        """Add a note on the values that were mapped; InputError for one that no prediction has."""
        for value in self.map:
            if key_of(value) not in self.mapped:
                raise InputError("analyze", "--map", value, "no prediction has this value", "correct or omit it")
        if self.map:
            read = list_values(f"{one_line(value, 40)} as {one_line(of, 40)}" for value, of in self.map.items())
            self.notes[f"Predictions read as given by --map: {read}."] = []

    def _names(self, where: str, role: str, name: str, column: pa.ChunkedArray) -> NDArray[np.int64]:
        """Return names of rows or units as whole numbers; text is numbered in the order of its appearance."""
        if column.null_count:
            row = pc.index(column.is_null(), True).as_py()
            problem = f"missing in {quantity(column.null_count, 'row')}, the first row {row}"
            raise InputError(where, name, None, problem, "fill it in")
        try:
            text, numbers = False, column.cast(pa.int64()).to_numpy()
        except pa.ArrowException:
            text, numbers = True, _number_text(column, self.names[role])
        first, expected = self.texts.setdefault(role, (where, text))
        if text != expected:
            problem = f"{'text' if text else 'whole numbers'}, but not in {first}"
            raise InputError(where, name, column[0].as_py(), problem, "write it in the same way in all files")
        return numbers

    def _check_alike(self, where: str, roles: Iterable[str], several: bool) -> None:
        """Raise InputError unless all files have the same roles, except scores, which may differ between techniques."""
        shared = tuple(r for r in roles if r.partition(".")[0] not in ("score", "run", "technique"))
        first, expected, lists = self.first = self.first or (where, shared, several)
        differing = sorted(set(shared) ^ set(expected))
        if differing:
            one, other = (where, first) if differing[0] in shared else (first, where)
            problem = f"{one} has it, {Path(other).name} does not"
            raise InputError(where, "column", differing[0], problem, "give all files the same columns, or use --column")
        if several != lists:
            problem = f"{Path(first).name} has {'lists' if lists else 'one class a row'}"
            raise InputError(where, "prediction", "lists" if several else "one class a row", problem, SAME_TEST_SET)


def _number_text(column: pa.ChunkedArray, names: dict[str, int]) -> NDArray[np.int64]:
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    numbers = [names.setdefault(text, len(names)) for text in encoded.dictionary.to_pylist()]
    return np.array(numbers, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]


def _role_description(role: str) -> str:
    head, _, detail = role.partition(".")
    if head == "protected":
        return f"the protected attribute {detail}" if detail else "the protected attribute"
    return f"the score of {detail}" if detail else {"idx": "idx"}.get(head, f"the {head.replace('_', ' ')}")


def _lists(where: str, column: pa.ChunkedArray, role: str) -> pa.ChunkedArray:
    """Parse text such as "[0, 1, 0]" into lists."""
    if column.null_count or is_list(column.type):
        return column
    return parse_lists(where, pa.table({role: column}), role)[role]


def _score_values(where: str, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    column = _lists(where, column, "score")
    if pa.types.is_string(column.type):
        column = _numbers(where, name, column)
    return scores(where, column)


def _numbers(where: str, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.float64())
    except pa.ArrowException:
        wrong = [(r, v) for r, v in enumerate(column.to_pylist()) if v and not _is_float(v)]
        # of a column with decimal commas, the cell that keeps it from being numbers, not its first comma
        row, value = next(((r, v) for r, v in wrong if not _is_float(v.replace(",", ".", 1))), wrong[0])
        if "%" in value:
            fail_at(where, name, row, value, "a percent sign", "write scores as numbers from 0 to 1")
        fail_at(where, name, row, value, "not a number", SCORES)


def _is_float(text: str) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False


# Several runs in a file


def _split_runs(whole: RunPredictions, columns: Mapping[str, pa.ChunkedArray]) -> Iterator[RunPredictions]:
    """Yield the runs of a file: techniques by name, the runs of each in natural order of their labels."""
    keyed = {role: row_labels(whole.where, role, columns[role]) for role in ("technique", "run") if role in columns}
    names, codes = keyed.get("technique", ((whole.technique,), 0))
    run_names, run_codes = keyed.get("run", (("",), 0))
    # One number per (technique, run), so that a stable sort groups the rows of each run in their order.
    run_of_row = np.broadcast_to(codes * len(run_names) + run_codes, len(whole.truth))
    order = np.argsort(run_of_row, kind="stable")
    counts = np.bincount(run_of_row, minlength=len(names) * len(run_names))
    for number, rows in enumerate(np.split(order, counts.cumsum()[:-1])):
        technique, run = names[number // len(run_names)], run_names[number % len(run_names)]
        if len(rows):
            yield replace(whole if len(rows) == len(order) else whole.take(rows), technique=technique, run=run)
