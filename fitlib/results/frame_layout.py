"""Which column of a data frame means what: the names that `fitlib.analyze` is given, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from fitlib.errors import InputError
from fitlib.results.array_inputs import WHERE
from fitlib.results.frame_columns import Columns, Reference

WIDE = 'name one column for each run: y_pred=["run0", "run1"]; or one column, and that of the runs: run=…'
FRAME = 'analyze(frame, y_true="label", …)'
KEYS: tuple[str, ...] = ("technique", "seeds", "run")  # what tells the rows of one run from those of another


@dataclass(frozen=True)
class GivenColumns:
    """The columns of a frame by their meaning, as `fitlib.analyze` is given them."""

    y_true: Any
    y_pred: Any
    sensitive_features: Any
    y_score: Any = None
    unit: Any = None
    seeds: Any = None
    run: Any = None
    technique: Any = None
    row: Any = None


class Layout(NamedTuple):
    """Names of existing columns. predictions, scores: by technique ("" where rows or nothing name it), run by run."""

    y_true: Reference
    predictions: dict[str, list[Reference]]
    groups: list[str]
    scores: dict[str, list[Reference]]
    unit: str | None
    keys: dict[str, str]  # technique, seeds, run: the columns that tell runs apart
    row: str | None


def read_layout(table: Columns, given: GivenColumns) -> Layout:
    """Return the columns by meaning; InputError for columns that do not exist, or have two meanings."""
    y_true = _reference(table, "y_true", given.y_true)
    names = {"technique": given.technique, "run": given.run, "row": given.row, "unit": given.unit}
    named = {argument: table.name(argument, name) for argument, name in names.items() if name is not None}
    if isinstance(given.seeds, str):
        named["seeds"] = table.name("seeds", given.seeds)
    keys = {role: named[role] for role in KEYS if role in named}
    predictions = _predictions(table, given.y_pred, y_true, keys)
    features = given.sensitive_features
    listed = features if _is_list(features) else [features]
    if not listed:
        raise InputError(WHERE, "sensitive_features", listed, "no attribute", 'name a column: ["sex"]')
    groups = [table.name("sensitive_features", name) for name in listed]
    scores = _scores(table, given.y_score, predictions)
    _check_meanings(y_true, predictions, groups, keys)
    return Layout(y_true, predictions, groups, scores, named.get("unit"), keys, named.get("row"))


def refuse_columns(y_true: object, given: Mapping[str, object]) -> None:
    """Refuse names of columns where there is no data frame, and a data frame of which no column is named y_true."""
    if y_true is None:
        raise InputError(WHERE, "y_true", None, "no true classes", f"give an array, or a frame and a column: {FRAME}")
    columns = list(y_true) if isinstance(y_true, Mapping) else getattr(y_true, "columns", [])
    known = set(map(str, getattr(y_true, "column_names", columns)))
    for argument, value in {"y_true": y_true, **given}.items():
        listed = _is_list(value) and all(isinstance(name, str) and name in known for name in value[:1])
        if not isinstance(value, str) and not (known and listed):
            continue
        if known:
            raise InputError(WHERE, "y_true", None, "a data frame, and no column of true classes", f"name it: {FRAME}")
        raise InputError(WHERE, argument, value, "a column's name, but no data frame", f"give it first: {FRAME}")


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value lists names, as pandas' Index and range do as well."""
    return (isinstance(value, Sequence) and not isinstance(value, str)) or type(value).__name__ == "Index"


def _reference(table: Columns, argument: str, names: object) -> Reference:
    """Return one column, or the columns of several labels; a list of one is that one."""
    if not _is_list(names):
        return table.name(argument, names)
    found = tuple(table.name(argument, name) for name in names)
    if not found:
        raise InputError(WHERE, argument, list(names), "no column", "name a column")
    return found[0] if len(found) == 1 else found


def _predictions(
    table: Columns, y_pred: object, y_true: Reference, keys: Mapping[str, str]
) -> dict[str, list[Reference]]:
    """Return the columns of all runs, by technique."""
    if y_pred is None:
        raise InputError(WHERE, "y_pred", None, "no column of predictions", WIDE)
    named = dict(y_pred) if isinstance(y_pred, Mapping) else {"": y_pred}
    if isinstance(y_pred, Mapping) and keys:
        role, column = next(iter(keys.items()))
        problem = f"columns by technique, though {role}={column!r} says that a row belongs to one run"
        raise InputError(WHERE, "y_pred", list(named), problem, f"name one column, or leave {role} out")
    found = {name: _run_columns(table, columns, y_true) for name, columns in named.items()}
    for columns in found.values():
        if len(columns) > 1 and "run" in keys:
            problem = f"several columns, though run={keys['run']!r} says that a row belongs to one run"
            raise InputError(WHERE, "y_pred", columns, problem, "name one column, or leave run out")
    return found


def _run_columns(table: Columns, columns: object, y_true: Reference) -> list[Reference]:
    """Return the columns of each run: one, or several with labels."""
    if isinstance(y_true, str) or not _is_list(columns) or not any(map(_is_list, columns)):
        one_run = not isinstance(y_true, str) or not _is_list(columns)
        runs = [columns] if one_run else list(columns) if _is_list(columns) else []
    else:
        runs = list(columns)
    if not runs:
        raise InputError(WHERE, "y_pred", columns, "no column of predictions", WIDE)
    found = [_reference(table, "y_pred", run) for run in runs]
    for run in found:
        if isinstance(y_true, str) and not isinstance(run, str):
            raise InputError(WHERE, "y_pred", list(run), "several columns for one run", WIDE)
    return found


def _scores(
    table: Columns, y_score: object, predictions: Mapping[str, Sequence[Reference]]
) -> dict[str, list[Reference]]:
    """Return the columns of scores beside those of predictions, by technique."""
    if y_score is None:
        return {}
    named = dict(y_score) if isinstance(y_score, Mapping) else dict.fromkeys(predictions, y_score)
    if not isinstance(y_score, Mapping) and len(predictions) > 1:
        raise InputError(WHERE, "y_score", y_score, "y_pred has names", "give {technique: columns of scores}")
    for name in named:
        if name not in predictions:
            known = ", ".join(name for name in predictions if name) or "y_pred without names"
            raise InputError(WHERE, "y_score", name, "not among the techniques", f"there is {known}")
    return {name: _score_columns(table, columns, len(predictions[name])) for name, columns in named.items()}


def _score_columns(table: Columns, columns: Any, runs: int) -> list[Reference]:
    listed = list(columns) if _is_list(columns) else [columns]
    if runs == 1 and len(listed) > 1 and not any(map(_is_list, listed)):
        listed = [listed]  # one column for each class
    if len(listed) != runs:
        problem = f"{len(listed)} given, for {runs} of predictions"
        raise InputError(WHERE, "y_score", columns, problem, "name as many columns of scores as of predictions")
    return [_reference(table, "y_score", column) for column in listed]


def _check_meanings(
    y_true: Reference, predictions: Mapping[str, Sequence[Reference]], groups: Sequence[str], keys: Mapping[str, str]
) -> None:
    """Refuse a column that is given two meanings, or twice the same."""
    single = {"y_true": [y_true], "sensitive_features": groups, **{role: [name] for role, name in keys.items()}}
    seen: dict[str, str] = {}
    columns = [("y_pred", of) for runs in predictions.values() for of in runs]
    for argument, reference in [*columns, *((role, of) for role, names in single.items() for of in names)]:
        for name in [reference] if isinstance(reference, str) else reference:
            pair = {argument, seen.get(name, "")}
            if name in seen and ("y_pred" in pair or argument == seen[name]):
                problem = "named twice" if argument == seen[name] else f"{seen[name]} has it too"
                raise InputError(WHERE, argument, name, problem, "name every column once")
            seen.setdefault(name, argument)
