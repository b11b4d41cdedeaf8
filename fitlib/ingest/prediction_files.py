"""Files of predictions made elsewhere: reading the runs that each contains."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import quantity
from fitlib.datasets.tabular.columns import levels_of, row_labels
from fitlib.datasets.tabular.label_encoding import Vocabulary, key_of, list_values, suggestion
from fitlib.datasets.tabular.number_ranges import bins_of, cut, ranges_note
from fitlib.datasets.tabular.reading import read_table
from fitlib.errors import InputError
from fitlib.ingest.choices import Choices
from fitlib.ingest.column_roles import guessed_roles, roles_of
from fitlib.ingest.file_search import UNNAMED_TECHNIQUE
from fitlib.ingest.run_columns import decide, rows_of_group, runs_side_by_side
from fitlib.ingest.run_predictions import RunPredictions, split_blocks
from fitlib.storage.prediction_columns import SCORES, fail_at, is_list, labels, one_line, parse_lists, scores
from fitlib.storage.predictions import MAX_CLASSES, MAX_GROUPS, SAME_TEST_SET, attribute_of


@dataclass
class Reader:
    """A reader of one file after another, with classes, groups and row names that are the same for all of them.

    Everything guessed is collected in `notes`: {sentence: files}. `bins`: where an attribute's numbers are cut.
    """

    choices: Choices = field(default_factory=Choices)
    classes: Vocabulary = field(default_factory=lambda: Vocabulary("class", MAX_CLASSES))
    groups: dict[str, Vocabulary] = field(default_factory=dict)
    names: dict[str, dict[str, int]] = field(default_factory=lambda: {"idx": {}, "unit": {}})  # of text, to numbers
    texts: dict[str, tuple[str, bool]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    first: tuple[str, tuple[str, ...], bool] | None = None
    mapped: set[Hashable] = field(default_factory=set)
    attributes: dict[str, str] = field(default_factory=dict)  # as first spelled, by their names without case
    bins: dict[str, list[float]] = field(default_factory=dict)
    dropped: dict[tuple[str, str], int] = field(default_factory=dict)

    def runs(self, technique: str, path: Path) -> Iterator[RunPredictions]:
        """Yield the runs in a file: one, or as many as its columns technique and run distinguish."""
        found, where = read_table(path, self.choices.names), str(path)
        optional = ("run", "technique") if technique == UNNAMED_TECHNIQUE else ("run",)
        threshold = self.choices.threshold
        roles = roles_of(where, found.table.column_names, self.choices.columns, optional, threshold is not None)
        roles = self._as_first_spelled(where, roles)
        self._add_notes(where, found.notes, found.table.column_names, roles, found.index is not None)
        columns = {role: found.table[name] for role, name in roles.items()}
        if "idx" not in columns and found.index is not None:
            columns["idx"] = found.index
        columns = self._without_dropped(where, columns)
        if threshold is not None and not any(role.partition(".")[0] == "prediction" for role in columns):
            columns["prediction"], sentence = decide(where, columns, roles, self.choices, threshold)
            self._note(where, sentence)
        marked = [note for note in found.notes if "read as missing" in note]
        missing = f" ({'; '.join(marked)})" if marked else ""
        for label, one in runs_side_by_side(columns):
            named = roles | ({"prediction": label} if label else {})
            for run in _split_runs(self._read(where, technique, one, named, missing), one):
                run = replace(run, run=f"{run.run} {label}".strip())
                yield from [run] if run.run else split_blocks(run, self.choices.rows_per_run)

    def _as_first_spelled(self, where: str, roles: Mapping[str, str]) -> dict[str, str]:
        """Return the roles with attributes in the spelling of the first file: SEX in one and sex in another are one."""
        found: dict[str, str] = {}
        for role, column in roles.items():
            head, _, attribute = role.partition(".")
            first = self.attributes.setdefault(attribute.casefold(), attribute) if head == "protected" else attribute
            known = first == attribute or f"{head}.{first}" in roles
            found[role if known else f"{head}.{first}"] = column
            if not known:
                self._note(where, f"Column {one_line(column, 40)} read as the protected attribute {first}.")
        return found

    def _without_dropped(self, where: str, columns: dict[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
        """Return the columns without the rows of groups that the user leaves out."""
        for attribute, group in self.choices.drop_groups:
            members = rows_of_group(where, columns, attribute, group)
            rows = int(members.sum())
            self.dropped[attribute, group] = self.dropped.get((attribute, group), 0) + rows
            if rows:
                kept = pa.array(~members)
                columns = {role: column.filter(kept) for role, column in columns.items()}
                named = f"{attribute} {group}".strip()
                self._note(where, f"{quantity(rows, 'row')} of the group {one_line(named, 40)} left out, as asked.")
        return columns

    def _note(self, where: str, sentence: str) -> None:
        self.notes.setdefault(sentence, []).append(where)

    def _add_notes(self, where: str, notes: Sequence[str], columns: Sequence[str], roles: Mapping, index: bool) -> None:
        sentences = [f"{note[0].upper()}{note[1:]}." for note in notes]
        other = {
            role: f"{one_line(column, 40)} is {_role_description(role)}"
            for role, column in guessed_roles(roles).items()
            if not role.startswith("prediction.")
        }
        given = self.choices.columns
        chosen = [text for role, text in other.items() if role in given]
        found = [text for role, text in other.items() if role not in given]
        runs = [one_line(column, 40) for role, column in roles.items() if role.startswith("prediction.")]
        sentences += (
            [f"Columns side by side read as the predictions of one run each: {list_values(runs)}."] if runs else []
        )
        sentences += [f"Columns as given: {', '.join(chosen)}."] if chosen else []
        sentences += [f"Columns found by their names: {', '.join(found)}."] if found else []
        unused = [one_line(c, 40) for c in columns if c not in roles.values()]
        sentences += [f"Columns not used: {list_values(unused, 8)}."] if unused else []
        if "idx" not in roles:
            how = "the unnamed first column is idx" if index else "rows are matched by their place in the file"
            sentences.append(f"No column idx: {how}.")
        for sentence in sentences:
            self._note(where, sentence)

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
        if attribute not in self.groups and (bins := bins_of(where, name, attribute, column)) is not None:
            self.bins[attribute] = bins
        words = self.groups.setdefault(attribute, Vocabulary(f"group of {attribute}", MAX_GROUPS))
        if attribute in self.bins:
            column = cut(where, name, column, self.bins[attribute])
            self._note(where, ranges_note(attribute, self.bins[attribute]))
        return words.encode(where, name, column, missing)

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
        renamed = {key_of(value): meant for value, meant in self.choices.map.items()}
        if renamed:
            self.mapped |= renamed.keys() & {key_of(value) for value in levels_of(where, named[1], pair[1]).values}
        return true, self.classes.encode(where, named[1], pair[1], missing, renamed)

    def check_choices(self) -> None:
        """Add a note on the values that were mapped; InputError for a value or a dropped group that no row has."""
        for value in self.choices.map:
            if key_of(value) not in self.mapped:
                raise InputError("analyze", "--map", value, "no prediction has this value", "correct or omit it")
        if self.choices.map:
            read = list_values(f"{one_line(value, 40)} as {one_line(of, 40)}" for value, of in self.choices.map.items())
            self.notes[f"Predictions read as given by --map: {read}."] = []
        for (attribute, group), rows in self.dropped.items():
            if not rows:
                known = [name for words in self.groups.values() for of in words.spellings.values() for name in of[:1]]
                given = f"{attribute}={group}" if attribute else group
                raise InputError("analyze", "--drop-group", given, "no row is of this group", suggestion(group, known))

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
