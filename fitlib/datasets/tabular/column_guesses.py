"""Guesses on the columns of an unknown table: target, protected attributes, parts, units, features to leave out.

Pure functions on an Arrow table. Names count before types; a guess comes with its reason and the other candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fitlib.datasets.tabular import column_vocabulary as words
from fitlib.datasets.tabular.cells import text_of
from fitlib.errors import InputError

MOST_VALUES = 1000  # most different values that are listed one by one
MOST_CLASSES = 20  # most values of a column of numbers with a class or group for each, and of a guessed attribute
MOST_NAMED = 50  # most classes of a column of text
MOST_GROUPS = 8  # most groups of one attribute, beside "other"
MOST_ATTRIBUTES = 3
ENOUGH = (10, 2)  # fewest rows of a group in each part; the second if the first leaves fewer than two groups
NEARLY = 0.95  # share of rows with their value's usual class from which a column nearly tells the target
MOSTLY = 0.8  # share of rows with a value that a guessed attribute should have
TEST_SHARE = 0.3
PART_NAMES = {
    "test": ("test", "testing"),
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
}
AGES = ((25, 45), (30, 50), (40,))


@dataclass(frozen=True)
class ColumnProfile:
    """The profile of one column: its kind and its values.

    `kind`: text, boolean, whole (numbers), number, date or other; `counts`: (value, rows) sorted by value, where there
    are at most MOST_VALUES different ones; `distinct` and `missing` count values and empty cells.
    """

    name: str
    kind: str
    column: pa.ChunkedArray
    distinct: int
    counts: tuple[tuple[Any, int], ...]

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return self.column.null_count

    @property
    def present(self) -> int:
        """Rows with a value."""
        return len(self.column) - self.missing

    @property
    def numeric(self) -> bool:
        """Whether it is a column of numbers."""
        return self.kind in ("whole", "number")

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The finite values of a column of numbers, in any order."""
        values = self.column.drop_null().cast(pa.float64()).to_numpy()
        return values[np.isfinite(values)]

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """The index of each row's value in `counts` (rows,); -1 where it has none."""
        values = pa.array([value for value, _ in self.counts], self.column.type)
        return pc.fill_null(pc.index_in(self.column, values), -1).to_numpy().astype(np.int64)


@dataclass(frozen=True)
class Guess:
    """A chosen column, the reason, and the other candidates; `given` where the user named it."""

    look: ColumnProfile
    why: str
    others: tuple[str, ...] = ()
    given: bool = False


def profile_column(name: str, column: pa.ChunkedArray) -> ColumnProfile:
    """Return the profile of one column of a table that `reading.read_table` read."""
    kind = _kind(column)
    if kind == "other":
        return ColumnProfile(name, kind, column, 0, ())
    distinct = pc.count_distinct(column, mode="only_valid").as_py()
    if distinct > MOST_VALUES:
        return ColumnProfile(name, kind, column, distinct, ())
    entries = pc.value_counts(column.drop_null()).to_pylist()
    return ColumnProfile(
        name, kind, column, distinct, tuple(sorted((entry["values"], entry["counts"]) for entry in entries))
    )


def _kind(column: pa.ChunkedArray) -> str:
    kind = column.type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_string(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "whole"
    if pa.types.is_floating(kind):
        finite = column.filter(pc.is_finite(column))
        return "whole" if pc.all(pc.equal(pc.floor(finite), finite)).as_py() else "number"
    return "date" if pa.types.is_temporal(kind) else "other"


# Target


def guess_target(where: str, looks: Sequence[ColumnProfile]) -> Guess:
    """Guess the column to predict: by its whole name, as the last one with two values, by a part of its name, or alone.

    Alone is the only column with two values. InputError, with the candidates, where all fail.
    """
    fit = [look for look in looks if _may_be_target(look)]
    # Of two equally good names the later column wins: tables usually end with the target.
    named = sorted(
        (rank, -place, look.name) for place, look in enumerate(fit) if (rank := _target_rank(look)) is not None
    )
    two = [look.name for look in fit if look.distinct == 2]
    others = dict.fromkeys([name for *_, name in named] + two)
    last = two[-1] if two and two[-1] == looks[-1].name else None
    whole = next((name for *_, name in named if words.consists_of(name, *words.TARGETS)), None)
    whole = whole or next((name for *_, name in named if name in two and words.ends_with(name, *words.TARGETS)), None)
    if whole or (named and last in (None, named[0][2])):
        name, why = whole or named[0][2], "by its name"
    elif len(two) == 1:
        name, why = two[0], "the only column with two values"
    elif last is not None:
        name, why = last, "the last column, of two values"
    else:
        raise _no_guess(where, "--target", "target", two or [look.name for look in fit])
    return Guess(_of(looks, name), why, tuple(other for other in others if other != name))


def _may_be_target(look: ColumnProfile) -> bool:
    if look.distinct < 2 or look.kind in ("date", "other") or words.kind_of_attribute(look.name) or parts_of(look):
        return False
    return look.distinct <= MOST_NAMED if look.kind == "text" else not is_identifier(look)


def _target_rank(look: ColumnProfile) -> int | None:
    """Rank a name as that of a target, 0 best; None where it is none. Numbers need one of the words in TARGET."""
    if words.fits(look.name, words.TARGET):
        return 0 if needs_no_cut(look) else 2
    ranked = words.fits(look.name, words.GAIN, words.HARM, words.INCOME, words.OTHER_TARGETS)
    return 1 if ranked and needs_no_cut(look) else None


def needs_no_cut(look: ColumnProfile) -> bool:
    """Return whether every value can be a class."""
    return not look.numeric or (look.kind == "whole" and look.distinct <= MOST_CLASSES)


def cut_of(look: ColumnProfile) -> str:
    """Return where to cut numbers into two classes, above the median, as a value of `positive`."""
    values = look.numbers
    median = float(np.quantile(values, 0.5, method="lower"))
    cut = median if median < values.max() else float(values[values < median].max())
    short = float(f"{cut:.4g}")
    return f"> {_plain(short if values.min() <= short < values.max() else cut)}"


def favourable_of(look: ColumnProfile, classes: Sequence[str]) -> tuple[str | None, str]:
    """Return the clearly favourable class, and why; None where the names of column and classes do not suggest one."""
    good = [name for name in classes if words.one_of(name, words.GOOD_VALUES)]
    if len(good) == 1:
        return good[0], "by its name"
    gain, harm = words.fits(look.name, words.GAIN, words.INCOME), words.fits(look.name, words.HARM)
    listed = words.YES_VALUES + (f" {words.TRUE_VALUES}" if gain else "")
    yes = [name for name in classes if words.one_of(name, listed)]
    plain = gain or words.fits(look.name, words.TARGET, words.OTHER_TARGETS)  # "smoker: yes" is not favourable
    if harm and not gain and len(classes) == 2:
        bad = [name for name in classes if words.one_of(name, f"{words.YES_VALUES} {words.TRUE_VALUES}")]
        return (
            (next(name for name in classes if name not in bad), "the column names a harm")
            if len(bad) == 1
            else (None, "")
        )
    if len(yes) == 1 and plain and not harm:
        return yes[0], "by the names of column and class"
    if gain and len(classes) == 2 and classes[1].startswith(">"):
        return classes[1], "by the column's name"
    return None, ""


# Protected attributes


def guess_protected(where: str, looks: Sequence[ColumnProfile], target: ColumnProfile) -> list[Guess]:
    """Guess up to three protected attributes by their names; age, or many values, only if there is nothing else.

    InputError, with the candidates, where no name suggests one.
    """
    kinds = list(words.PROTECTED)
    found = [(kinds.index(kind), look) for look in looks if (kind := _attribute_kind(look, target))]
    found.sort(key=lambda pair: (pair[1].present < MOSTLY * len(pair[1].column), pair[0]))
    named = [look for _, look in found]
    handy = [look for rank, look in found if kinds[rank] != "age" and _handy(look)]
    first = handy[:MOST_ATTRIBUTES] or named[:1]
    few = [look.name for look in looks if _may_be_protected(look) and look is not target and look.distinct <= 10]
    if not first:
        raise _no_guess(where, "--protected", "protected attribute", few)
    taken = {look.name for look in first}
    others = tuple(name for name in dict.fromkeys([look.name for look in named] + few) if name not in taken)
    return [Guess(look, "by its name", others) for look in first]


def _attribute_kind(look: ColumnProfile, target: ColumnProfile) -> str | None:
    if look is target or not _may_be_protected(look):
        return None
    kind = words.kind_of_attribute(look.name)
    return None if kind and kind != "age" and look.numeric and not needs_no_cut(look) else kind


def _handy(look: ColumnProfile) -> bool:
    return look.distinct <= MOST_CLASSES and look.present >= MOSTLY * len(look.column)


def _may_be_protected(look: ColumnProfile) -> bool:
    return look.distinct > 1 and look.kind not in ("date", "other") and not parts_of(look) and not is_identifier(look)


@dataclass(frozen=True)
class Groups:
    """The groups of a column's values: `merged` {name: values} or `bins`, both None where each value is a group.

    `sizes`: rows of each group, in the order of the groups; `left_out`: values (as text) that are in no group.
    """

    sizes: dict[str, int]
    merged: dict[str, list[object]] | None = None
    bins: list[float] | None = None
    left_out: tuple[str, ...] = ()


def groups_of(where: str, look: ColumnProfile, test_rows: NDArray[np.bool_] | None) -> Groups:
    """Form groups with members in both parts: rare values are merged, or left out if they are too few.

    `test_rows` (rows,) marks the test part; None where it is to be drawn. InputError where fewer than two are left.
    """
    if look.numeric and not needs_no_cut(look):
        return _ranges(where, look)
    members = np.array([_smallest_part(look.codes == code, test_rows) for code in range(len(look.counts))])
    candidates = (_merge_rare(look, members, enough) for enough in ENOUGH)
    found = next((groups for groups in candidates if len(groups.sizes) > 1), None)
    if found is None:
        problem = f"fewer than two of its values ({look.distinct:,}) have {ENOUGH[-1]} rows in each part"
        raise InputError(where, "--protected", look.name, problem, "choose another column, or more rows")
    return found


def _merge_rare(look: ColumnProfile, members: NDArray[np.float64], enough: int) -> Groups:
    """Keep the largest groups of `enough` members in each part, and merge the rest into the group "other"."""
    largest = sorted(np.flatnonzero(members >= enough), key=lambda code: -look.counts[code][1])[:MOST_GROUPS]
    if len(largest) == len(look.counts):
        return Groups({text_of(value): rows for value, rows in look.counts})
    groups = {text_of(look.counts[code][0]): [look.counts[code][0]] for code in sorted(largest)}
    rest = [code for code in range(len(look.counts)) if code not in largest]
    left_out = _add_other(groups, [look.counts[code][0] for code in rest], bool(members[rest].sum() >= enough))
    rows = dict(look.counts)
    return Groups({name: sum(rows[v] for v in values) for name, values in groups.items()}, groups, None, left_out)


def _add_other(groups: dict[str, list[Any]], rest: list[Any], many: bool) -> tuple[str, ...]:
    """Add the rare values to the group "other"; return those left out, as too few for a new group."""
    other = next((name for name in groups if name.casefold() == "other"), None)
    if other is None and not many:
        return tuple(map(text_of, rest))
    groups[other or "other"] = [*groups.get(other or "other", []), *rest]
    return ()


def _smallest_part(members: NDArray[np.bool_], test_rows: NDArray[np.bool_] | None) -> float:
    if test_rows is None:
        return members.sum() * min(TEST_SHARE, 1 - TEST_SHARE)
    return min((members & test_rows).sum(), (members & ~test_rows).sum())


def _ranges(where: str, look: ColumnProfile) -> Groups:
    """Cut numbers into ranges: an age at usual ages, all else into three parts of equal size, or at the median."""
    values, whole = look.numbers, look.kind == "whole"
    thirds = np.quantile(values, [1 / 3, 2 / 3])
    candidates = [*(AGES if words.kind_of_attribute(look.name) == "age" else ()), thirds, [np.median(values)]]
    for cuts in candidates:
        bins = sorted({float(np.ceil(cut)) if whole else float(f"{cut:.4g}") for cut in cuts})
        sizes = np.bincount(np.digitize(values, bins), minlength=len(bins) + 1)
        if len(bins) == len(cuts) and sizes.min() >= max(0.05 * len(values), ENOUGH[-1] / TEST_SHARE):
            ends = [_plain(cut) for cut in bins]
            names = [f"< {ends[0]}", *(f"{a} to < {b}" for a, b in pairwise(ends)), f">= {ends[-1]}"]
            plain = [int(cut) if cut.is_integer() else cut for cut in bins]
            return Groups(dict(zip(names, sizes.tolist(), strict=True)), None, plain)
    problem = "its numbers cannot be cut into two groups"
    raise InputError(where, "--protected", look.name, problem, "choose another column")


# Parts and units


def parts_of(look: ColumnProfile) -> dict[str, list[str]] | None:
    """Return {"test": values, "train": values, "validation": values} of a column of parts; None for any other."""
    if look.kind != "text" or not 2 <= look.distinct <= 4:
        return None
    found = {part: [v for v, _ in look.counts if v.casefold() in names] for part, names in PART_NAMES.items()}
    complete = sum(map(len, found.values())) == look.distinct and found["test"] and found["train"]
    return found if complete else None


def guess_unit(looks: Sequence[ColumnProfile], taken: Sequence[str]) -> ColumnProfile | None:
    """Guess a column that identifies persons with several rows, who must not be in both parts; None without one."""
    for look in looks:
        repeated = 20 <= look.distinct < 0.9 * look.present and not look.missing and look.kind in ("text", "whole")
        if look.name not in taken and repeated and words.fits(look.name, words.UNIT) and _is_id_name(look.name):
            return look
    return None


# Features


def exclusion_reason(look: ColumnProfile, target: ColumnProfile, cut: str | None) -> str | None:
    """Return why a column cannot be a feature; None where it can."""
    if look.kind == "other":
        return "its cells are no single values"
    if look.distinct < 2:
        return "the same value in every row" if look.distinct else "no value in any row"
    if look.kind == "date":
        return "a date"
    if look.kind == "text" and look.distinct > 10 and words.fits(look.name, words.PERSON):
        return "names or contacts of persons"
    if look.kind == "text" and look.distinct > max(0.5 * look.present, MOST_NAMED):
        return f"free text or an identifier: {look.distinct:,} different values"
    if is_identifier(look):
        return "an identifier: another value in every row"
    return "tells the target: each value goes with one class only" if _determines(look, target, cut) else None


def warning(look: ColumnProfile, target: ColumnProfile, cut: str | None) -> str | None:
    """Return why a feature may be none: its values nearly tell the target, or identify persons or days; else None."""
    rows, agreeing, usual = _agreement(look, target, cut)
    if rows and agreeing >= NEARLY * rows and rows - agreeing <= (rows - usual) / 5:
        return f"nearly tells the target: the same class for the same value in {agreeing:,} of {rows:,} rows"
    if _is_id_name(look.name) and look.distinct > look.present / 2:
        return "its name is that of an identifier"
    if words.fits(look.name, words.PERSON):
        return "its name is that of names or contacts of persons"
    return "its name is that of a date" if words.fits(look.name, words.DATE) and look.distinct > MOST_CLASSES else None


def _agreement(look: ColumnProfile, target: ColumnProfile, cut: str | None) -> tuple[int, int, int]:
    """Return the rows with a value of both, how many have their value's usual class, and the most frequent class's.

    No rows where values are too many for that.
    """
    if not look.counts or look.distinct > look.present / 10:
        return 0, 0, 0
    classes = target_codes(target, cut)
    both = (classes >= 0) & (look.codes >= 0)
    table = np.zeros((len(look.counts), classes.max() + 1), np.int64)
    np.add.at(table, (look.codes[both], classes[both]), 1)
    return int(both.sum()), int(table.max(axis=1).sum()), int(table.sum(axis=0).max())


def is_identifier(look: ColumnProfile) -> bool:
    """Return whether every row has another value, as names and numbers of rows do."""
    if look.distinct < len(look.column) or look.kind not in ("whole", "text"):
        return False
    return look.kind == "text" or _is_id_name(look.name) or bool(np.ptp(look.numbers) + 1 == len(look.column))


def _is_id_name(name: str) -> bool:
    return words.fits(name, words.IDENTIFIER) or name.casefold().endswith("id")


def _determines(look: ColumnProfile, target: ColumnProfile, cut: str | None) -> bool:
    """Return whether every value has one class only, so often that it is not by chance."""
    classes = target_codes(target, cut)
    rows = (classes >= 0) & look.column.is_valid().to_numpy()
    if not rows.any() or len(np.unique(classes[rows])) < 2:
        return False
    if look.counts and look.distinct <= rows.sum() / 10:
        pairs = np.unique(np.stack([look.codes[rows], classes[rows]]), axis=1)
        return len(np.unique(pairs[0])) == pairs.shape[1]
    return look.numeric and _are_separated(look.column.cast(pa.float64()).to_numpy()[rows], classes[rows])


def _are_separated(values: NDArray[np.float64], classes: NDArray[np.int64]) -> bool:
    """Return whether a number separates two classes, with 20 rows or more each."""
    sides = [values[classes == code] for code in np.unique(classes)]
    if len(sides) != 2 or min(map(len, sides)) < 20:
        return False
    return bool(sides[0].max() < sides[1].min() or sides[1].max() < sides[0].min())


def target_codes(target: ColumnProfile, cut: str | None) -> NDArray[np.int64]:
    """Return the class of each row (rows,), -1 where it has none; `cut` as `cut_of` returns it."""
    if cut is None:
        return target.codes
    values = target.column.cast(pa.float64()).to_numpy()
    return np.where(np.isnan(values), -1, values > float(cut.removeprefix("> "))).astype(np.int64)


def is_categorical(look: ColumnProfile) -> bool:
    """Return whether numbers are codes of categories, by the column's name."""
    return look.kind == "whole" and 2 < look.distinct <= MOST_VALUES and words.fits(look.name, words.CODE)


# Words


def _plain(number: float) -> str:
    return text_of(float(f"{number:.12g}"))


def _of(looks: Sequence[ColumnProfile], name: str) -> ColumnProfile:
    return next(look for look in looks if look.name == name)


def _no_guess(where: str, option: str, role: str, candidates: Sequence[str]) -> InputError:
    listed = words.listing(candidates, 12) or "none"
    problem = f"no column's name or type suggests the {role}; candidates: {listed}"
    return InputError(where, option, None, problem, f"name it: {option} COLUMN")
