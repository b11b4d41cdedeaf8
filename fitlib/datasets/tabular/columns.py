"""Columns of users' tables as class and group numbers: values mapped, merged, cut into ranges, or crossed.

Pure functions of a column's values. The notes count whatever is left out; what cannot be a class or a group is an
InputError with table, field, column and remedy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import quantity, text_of
from fitlib.errors import InputError, one_of
from fitlib.storage.predictions import MAX_CLASSES, MAX_GROUPS, crossed_groups, crossed_name

Values: TypeAlias = NDArray[Any] | pa.ChunkedArray
Getter: TypeAlias = Callable[[str], Values]

CUT = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*")
OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
COMPARE = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
SPELLINGS = {True: ("yes", "true", "on", "y", "t"), False: ("no", "false", "off", "n", "f")}  # YAML reads No as false
OTHER = "other"
CONTINUOUS = "name the values of class 1 (positive: [...]) or a cut (positive: '> 50000')"
MERGE = "merge values (groups: {name: [values], ...}) or cut numbers into ranges (bins: [25, 45])"


@dataclass(frozen=True)
class CodedColumn:
    """A column as numbers: `names[k]` is the name of number k.

    `numbers` int64 (rows,), -1 where the row belongs to none; `notes`: sentences on what was left out or cut.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.int64]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Levels:
    """A column's different values, sorted (numbers as numbers, text alphabetically), and the value of each row.

    `places`: the index of the row's value, int64 (rows,), -1 where the row has no value: null, NaN.
    """

    values: tuple[Any, ...]
    places: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        """The values as text; whole numbers without a decimal point."""
        return tuple(map(text_of, self.values))

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)

    @property
    def fractional(self) -> bool:
        """Whether there are numbers that are not whole."""
        return self.numeric and any(not float(v).is_integer() for v in self.values)


def levels_of(where: str, column: str, values: Values) -> Levels:
    """Return the different values of a column (rows,) of numbers, booleans, dates or text; InputError for lists.

    >>> levels_of("table", "grade", np.array([10.0, 9.0, np.nan, 10.0])).names
    ('9', '10')
    """
    if isinstance(values, pa.ChunkedArray | pa.Array):
        if pa.types.is_nested(values.type):
            raise InputError(where, "column", column, f"its cells are {values.type}", "give every row one value")
        found, places = _of_arrow(values)
    else:
        found, places = _of_numpy(np.asarray(values))
    return _sorted(found, places)


def classes_of(
    where: str,
    column: str,
    values: Values,
    positive: Sequence[object] | None = None,
    classes: Mapping[str, Sequence[object]] | None = None,
) -> CodedColumn:
    """Return the target as class numbers.

    Every value is a class; or the classes are {name: [values]}, and rows with other values belong to none; or class 1
    are the values `positive`, or those that a cut such as "> 50000" admits, and class 0 is the rest (called "other"
    where it has several values). InputError for one class only, for more than 1,000, and for numbers that are not
    whole.

    >>> income = np.array([20_000, 60_000, 75_000])
    >>> coded = classes_of("table", "income", income, positive=["> 50000"])
    >>> coded.names, coded.numbers.tolist()
    (('<= 50000', '> 50000'), [0, 1, 1])
    """
    levels = levels_of(where, column, values)
    notes = _missing(column, levels, "target")
    if len(levels.values) < 2:
        problem = f"it has {'only the value ' + levels.names[0] if levels.values else 'no value'}"
        raise InputError(where, "target", column, problem, "choose a column with two values or more")
    if positive is not None and classes is not None:
        raise InputError(where, "positive", list(positive), "classes are declared too", "declare only one of the two")
    if positive is not None:
        return _binary(where, column, levels, list(positive), notes)
    if classes is not None:
        return _merged(where, "classes", column, levels, classes, notes)
    if levels.fractional or len(levels.values) > MAX_CLASSES:
        kind = "numbers that are not whole" if levels.fractional else "different values"
        problem = f"it is continuous: {len(levels.values)} {kind}, which cannot be a class each"
        raise InputError(where, "target", column, problem, CONTINUOUS if levels.numeric else "choose another column")
    return CodedColumn(levels.names, levels.places, notes)


def groups_of(
    where: str,
    column: str,
    values: Values,
    groups: Mapping[str, Sequence[object]] | None = None,
    bins: Sequence[float] | None = None,
) -> CodedColumn:
    """Return a protected attribute as group numbers.

    Every value is a group; or the groups are {name: [values]}, and rows with other values belong to none; or numbers
    are cut into the ranges below, between and from `bins` on. InputError for one group only, for more than 100 that
    are not declared, and for a declared one without rows.

    >>> groups_of("table", "age", np.array([19, 44, 25]), bins=[25]).names
    ('< 25', '>= 25')
    """
    levels = levels_of(where, column, values)
    if groups is not None and bins is not None:
        raise InputError(where, "bins", column, "groups are declared too", "declare only one of the two")
    missing = _missing(column, levels, "protected attribute")
    if groups is not None:
        return _merged(where, "groups", column, levels, groups, missing)
    if bins is not None:
        return _ranges(where, column, levels, bins)
    if len(levels.values) < 2:
        problem = f"it has {'only the value ' + levels.names[0] if levels.values else 'no value'}: one group only"
        raise InputError(where, "protected", column, problem, "choose a column with two values or more")
    if len(levels.values) > MAX_GROUPS:
        problem = f"it has {len(levels.values)} different values, more than {MAX_GROUPS} groups"
        raise InputError(where, "protected", column, problem, MERGE)
    return CodedColumn(levels.names, levels.places, missing)


def attributes_of(
    where: str,
    column: Getter,
    protected: str | Sequence[str | Sequence[str]],
    groups: Mapping[str, Any] | None = None,
    bins: Mapping[str, Sequence[float]] | Sequence[float] | None = None,
) -> dict[str, CodedColumn]:
    """Return {attribute: its groups}; an element of `protected` that is a list is a crossing of its columns.

    `column(name)` gives the values. `groups` and `bins` are those of the only column, or {column: those of it}.
    Combinations of a crossing without a row are no groups.
    """
    elements = [protected] if isinstance(protected, str) else list(protected)
    columns = protected_columns(protected)
    if not columns:
        raise InputError(where, "protected", protected, "no column is named", "name the protected attribute's column")
    merged = _by_column(where, "groups", columns, groups, lambda given: _all_are(given, Mapping))
    cuts = _by_column(where, "bins", columns, bins, lambda given: isinstance(given, Mapping))
    coded = {name: groups_of(where, name, column(name), merged.get(name), cuts.get(name)) for name in columns}
    attributes: dict[str, CodedColumn] = {}
    for element in elements:
        parts = [element] if isinstance(element, str) else list(element)
        name = crossed_name(parts)
        if name in attributes or len(set(parts)) < len(parts) or not parts:
            raise InputError(where, "protected", element, "given twice, or empty", "name every column once")
        attributes[name] = coded[parts[0]] if len(parts) == 1 else _cross(name, {part: coded[part] for part in parts})
    return attributes


def protected_columns(protected: str | Sequence[str | Sequence[str]]) -> list[str]:
    """Return the columns that `protected` names, each once, in the order of their first appearance.

    >>> protected_columns(["sex", ["race", "sex"]])
    ['sex', 'race']
    """
    elements = [protected] if isinstance(protected, str) else protected
    return list(dict.fromkeys(c for element in elements for c in ([element] if isinstance(element, str) else element)))


# Labels of rows


def natural_key(text: str) -> tuple:
    """Return a sorting key for text that compares the numbers in it as numbers.

    >>> sorted(["run10", "run2"], key=natural_key)
    ['run2', 'run10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)], text


def row_labels(where: str, field: str, column: Values) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the different labels of a column in natural order, and for every row the position of its label.

    Raises InputError for missing labels, and for different ones that read alike, such as 1 and "1".

    >>> row_labels("table", "run", np.array(["run10", "run2", "run10"]))
    (('run2', 'run10'), array([1, 0, 1]))
    """
    levels = levels_of(where, field, column)
    absent = levels.places < 0
    if absent.any():
        problem = f"missing in {quantity(int(absent.sum()), 'row')}, the first row {int(np.argmax(absent))}"
        raise InputError(where, field, None, problem, "fill it in")
    names = [name.strip() for name in levels.names]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(where, field, twice, "different labels that read alike", "give each of them one spelling")
    order = sorted(range(len(names)), key=lambda code: natural_key(names[code]))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return tuple(names[code] for code in order), rank[levels.places]


# Different values


def _of_arrow(values: pa.ChunkedArray | pa.Array) -> tuple[list[object], NDArray[np.int64]]:
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    if not pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_encode()
    places, present = np.full(len(whole), -1, np.int64), pc.indices_nonzero(whole.indices.is_valid())
    # Not to_numpy or fill_null: these import pandas, which takes longer than all the rest of a plan.
    places[np.from_dlpack(present)] = np.from_dlpack(pc.drop_null(whole.indices))
    return whole.dictionary.to_pylist(), places


def _of_numpy(values: NDArray) -> tuple[list[object], NDArray[np.int64]]:
    if values.dtype.kind != "O":
        found, inverse = np.unique(values, return_inverse=True)
        return found.tolist(), inverse.astype(np.int64)
    order: dict[object, int] = {}
    places = [-1 if _is_missing(value) else order.setdefault(value, len(order)) for value in values.tolist()]
    return list(order), np.array(places, np.int64)


def _sorted(found: list[object], places: NDArray[np.int64]) -> Levels:
    """Sort the values, without missing ones and values without a row."""
    used = np.bincount(places[places >= 0], minlength=len(found)) > 0
    present = [place for place, value in enumerate(found) if used[place] and not _is_missing(value)]
    order = sorted(present, key=lambda place: _key(found[place]))
    new = np.full(len(found) + 1, -1, np.int64)  # the last one, at index -1, maps -1 to itself
    new[order] = np.arange(len(order))
    return Levels(tuple(found[place] for place in order), new[places])


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _key(value: object) -> tuple[int, Any]:
    """Return a sort key, numbers before everything else: a column may hold both."""
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _missing(column: str, levels: Levels, role: str) -> tuple[str, ...]:
    n = int((levels.places < 0).sum())
    return (f"{quantity(n, 'row')} without a value of the {role} {column} left out",) if n else ()


# Declared values


def places_of(where: str, field: str, column: str, given: Iterable[object], levels: Levels) -> list[int]:
    """Return the places of declared values; InputError, with the nearest one, for a value that the column lacks."""
    return [levels.names.index(_named(where, f"{field} ({column})", value, levels.names)) for value in given]


def _named(where: str, field: str, value: object, names: tuple[str, ...]) -> str:
    text = text_of(value)
    spelt = [name for name in names if isinstance(value, bool) and name.casefold() in SPELLINGS[value]]
    return spelt[0] if text not in names and len(spelt) == 1 else one_of(where, field, text, names)


def _binary(where: str, column: str, levels: Levels, positive: list[object], notes: tuple[str, ...]) -> CodedColumn:
    """Return class 1 as declared, class 0 for the rest."""
    admitted, names = _admitted(where, column, levels, positive)
    if admitted.all() or not admitted.any():
        problem = f"{'every' if admitted.all() else 'no'} value of the target {column} would be of class 1"
        raise InputError(where, "positive", positive, problem, "leave values for both classes")
    return CodedColumn(names, np.where(levels.places < 0, -1, admitted[levels.places].astype(np.int64)), notes)


def _admitted(
    where: str, column: str, levels: Levels, positive: list[object]
) -> tuple[NDArray[np.bool_], tuple[str, str]]:
    """Return which values (values,) are of class 1, and the names of classes 0 and 1."""
    cut = CUT.fullmatch(positive[0]) if len(positive) == 1 and isinstance(positive[0], str) else None
    if cut and positive[0] not in levels.names:
        if not levels.numeric:
            raise InputError(where, "positive", positive[0], f"the target {column} has no numbers", "list its values")
        names = f"{OPPOSITE[cut[1]]} {cut[2]}", f"{cut[1]} {cut[2]}"
        return COMPARE[cut[1]](np.array(levels.values, float), float(cut[2])), names
    chosen = sorted(set(places_of(where, "positive", column, positive, levels)))
    rest = [name for place, name in enumerate(levels.names) if place not in chosen]
    named = ", ".join(dict.fromkeys(levels.names[place] for place in chosen))
    return np.isin(np.arange(len(levels.values)), chosen), (rest[0] if len(rest) == 1 else OTHER, named)


def _merged(
    where: str,
    field: str,
    column: str,
    levels: Levels,
    declared: Mapping[str, Sequence[object]],
    notes: tuple[str, ...],
) -> CodedColumn:
    """Return classes or groups declared as {name: [values]}; other values belong to none."""
    if len(declared) < 2:
        raise InputError(where, f"{field} ({column})", list(declared), "only one is declared", "declare two or more")
    number = np.full(len(levels.values) + 1, -1, np.int64)
    for k, (name, values) in enumerate(declared.items()):
        places = places_of(where, field, column, values, levels)
        if any(number[place] >= 0 for place in places) or not places:
            problem = "one of its values is in another one too" if places else "it has no value"
            raise InputError(where, f"{field} ({column})", name, problem, "list every value under one name only")
        number[places] = k
    return CodedColumn(tuple(declared), number[levels.places], (*notes, *_others(column, levels, number)))


def _others(column: str, levels: Levels, group: NDArray[np.int64]) -> tuple[str, ...]:
    """Return a sentence on the values in no declared class or group."""
    left = [place for place in range(len(levels.values)) if group[place] < 0]
    if not left:
        return ()
    n = int(np.isin(levels.places, left).sum())
    named = ", ".join(levels.names[place] for place in left[:8]) + (" …" if len(left) > 8 else "")
    return (f"{quantity(n, 'row')} with {column} {named}, which is not declared, left out",)


def _ranges(where: str, column: str, levels: Levels, bins: Sequence[float]) -> CodedColumn:
    """Return the groups by range: below the first bin, [bins[i], bins[i + 1]), from the last bin on."""
    if not levels.numeric:
        raise InputError(where, f"bins ({column})", list(bins), "the column has no numbers", "use groups instead")
    if not bins or any(b <= a for a, b in pairwise(bins)):
        raise InputError(where, f"bins ({column})", list(bins), "not ascending numbers", "for example [25, 45]")
    ends = [text_of(end) for end in bins]
    between = [f"{a} to < {b}" for a, b in pairwise(ends)]
    names = (f"< {ends[0]}", *between, f">= {ends[-1]}")
    group = np.append(np.digitize(np.array(levels.values, float), bins), -1).astype(np.int64)
    empty = set(range(len(names))) - set(group.tolist())
    if empty:
        raise InputError(where, f"bins ({column})", list(bins), f"no row is {names[min(empty)]}", "cut elsewhere")
    return CodedColumn(names, group[levels.places], _missing(column, levels, "protected attribute"))


# Several attributes


def _all_are(given: Mapping[str, object], kind: type) -> bool:
    return all(isinstance(value, kind) for value in given.values())


def _by_column(
    where: str, field: str, columns: Sequence[str], given: Any, is_nested: Callable[[Any], bool]
) -> dict[str, Any]:
    """Return {column: its own declaration}; InputError where it is unclear which of several columns is meant."""
    if given is None:
        return {}
    if not is_nested(given):
        if len(columns) > 1:
            problem = f"which of the columns {', '.join(columns)} is meant?"
            raise InputError(where, field, given, problem, f"write {field}: {{{columns[0]}: ...}}")
        return {columns[0]: given}
    return {one_of(where, field, str(name), columns): declared for name, declared in given.items()}


def _cross(name: str, parts: Mapping[str, CodedColumn]) -> CodedColumn:
    """Return all combinations with a row, the last attribute varying fastest; -1 where one of the parts is -1."""
    numbers = np.stack([coded.numbers for coded in parts.values()])
    whole = (numbers >= 0).all(0)
    shape = tuple(len(coded.names) for coded in parts.values())
    cell = np.full(numbers.shape[1], -1, np.int64)
    cell[whole] = np.ravel_multi_index(tuple(numbers[:, whole]), shape)
    names = crossed_groups({part: coded.names for part, coded in parts.items()}, list(parts))
    present = np.unique(cell[whole])
    new = np.full(len(names) + 1, -1, np.int64)
    new[present] = np.arange(len(present))
    notes = [note for coded in parts.values() for note in coded.notes]
    absent = [names[k] for k in range(len(names)) if k not in set(present.tolist())]
    notes += [f"no row is of the groups {', '.join(absent)} of {name}"] if absent else []
    return CodedColumn(tuple(names[k] for k in present), new[cell], tuple(notes))
