"""Values of somebody's classes and groups as numbers, the same for all files: "no" is 0, "yes" is 1.

Values are collected file by file, each gets a code in the order of its appearance, and once all are known the codes
become numbers: numbers sorted as numbers, then text alphabetically. 1, 1.0, "1" and true are one value.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fitlib import formatting
from fitlib.datasets.tabular.columns import Levels, levels_of, text_of
from fitlib.errors import InputError
from fitlib.storage.prediction_columns import one_line

Codes = NDArray[np.int16]  # of values, fewer than there are numbers; many runs are held at once
Numbers = NDArray[np.int64]

WHOLE = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0+)?")
SPELT = {"true": 1, "false": 0}
SHOWN = 12  # values listed in a sentence


@dataclass
class Vocabulary:
    """The different values of a meaning ("class", "group of sex") over all files; `most` values at most."""

    what: str
    most: int
    codes: dict[Hashable, int] = field(default_factory=dict)
    spellings: dict[Hashable, list[str]] = field(default_factory=dict)

    def encode(self, where: str, column: str, values: pa.ChunkedArray, missing: str = "") -> Codes:
        """Codes (rows,) of a column (rows,).

        Raises InputError for missing values (how many, and the first; `missing` says what was read as missing), lists,
        numbers that are not whole, and more than `most` different values.
        """
        levels = levels_of(where, column, values)
        self._check(where, column, levels, missing)
        return np.array([self.code(value) for value in levels.values], np.int16)[levels.places]

    def code(self, value: object) -> int:
        """Code of one value; a new one for a value not seen before."""
        key, spelling = key_of(value), _text(value)
        seen = self.spellings.setdefault(key, [])
        if spelling not in seen:
            seen.append(spelling)
        return self.codes.setdefault(key, len(self.codes))

    def _check(self, where: str, column: str, levels: Levels, missing: str) -> None:
        gone = levels.places < 0
        if gone.any():
            problem = f"missing in {gone.sum():,} of {len(gone):,} rows, the first row {int(np.argmax(gone))}{missing}"
            remedy = "fill it in, or remove these rows from every file"
            raise InputError(where, column, None, problem, remedy)
        broken = [v for v in levels.values if isinstance(v, float) and not v.is_integer()]
        if broken:
            remedy = "give the predicted class, and scores in a column of their own: --column score=NAME"
            remedy = remedy if self.what == "class" else "cut numbers into a few ranges, and name these"
            raise InputError(where, column, broken[0], f"not a whole number, so no {self.what}", remedy)
        if len(levels.values) > self.most or len(self.codes) > self.most:
            problem = f"{max(len(levels.values), len(self.codes)):,} different values, more than {self.most:,}"
            remedy = f"identifiers are no {self.what}: choose another column (--column), or merge values"
            raise InputError(where, column, levels.names[-1], problem, remedy)

    def finish(self, declared: Sequence[object] | None = None) -> Mapped:
        """The numbers of all values seen so far: in order, or as `declared` has them (all of them)."""
        order = sorted(self.codes, key=lambda key: (isinstance(key, str), key))
        order = order if declared is None else list(dict.fromkeys(map(key_of, declared)))
        numbers = np.empty(max(len(order), 1), np.int64)
        numbers[[self.codes[key] for key in order]] = np.arange(len(order))
        names = tuple(self._name(key) for key in order)
        return Mapped(names, numbers, order == list(range(len(order))), tuple(self._remarks()))

    def _name(self, key: Hashable) -> str:
        words = all(spelling.casefold() in SPELT for k in self.codes for spelling in self.spellings[k])
        return str(key) if not isinstance(key, str) and not words else self.spellings[key][0]

    def _remarks(self) -> Iterable[str]:
        for spellings in self.spellings.values():
            if len(spellings) > 1:
                yield f"{listed(map(repr, spellings))} are read as one {self.what}."
        alike: dict[str, list[str]] = {}
        for key in self.codes:
            if isinstance(key, str):
                alike.setdefault("".join(key.casefold().split()), []).append(key)
        for names in alike.values():
            if len(names) > 1:
                told = listed(map(repr, sorted(names)))
                yield f"{told} differ in case or blanks only and count as different: spell them alike if they are one."


@dataclass(frozen=True)
class Mapped:
    """Numbers of all values: `names[k]` is what number k stands for, `numbers[code]` the number of a code.

    `plain`: the values are the whole numbers 0, 1, … themselves; `remarks`: sentences on values that look alike.
    """

    names: tuple[str, ...]
    numbers: Numbers
    plain: bool
    remarks: tuple[str, ...] = ()

    def sentence(self, what: str) -> str:
        """What stands for what, in one sentence; "" where numbers stay as they are."""
        words = self.names == ("False", "True")
        if self.plain and not words:
            return ""
        told = [f"{number} is {one_line(name, 40)}" for number, name in enumerate(self.names[:SHOWN])]
        more = [f"{len(self.names) - SHOWN} more"] if len(self.names) > SHOWN else []
        return f"{what}: {', '.join([*told, *more])}."

    @property
    def numeric(self) -> bool:
        """Are all values numbers, which say little without what they are numbers of?"""
        return all(WHOLE.fullmatch(name) for name in self.names)


def key_of(value: object) -> Hashable:
    """What makes two values the same: whole numbers and booleans in any spelling are the number, all else is text."""
    if isinstance(value, bool | int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    text = _text(value)
    if text.casefold() in SPELT:
        return SPELT[text.casefold()]
    return int(text.partition(".")[0]) if WHOLE.fullmatch(text) else text


def listed(values: Iterable[object], most: int = 8) -> str:
    """Values in a row: "a, b and c", the first of many."""
    return formatting.listed((one_line(value, 40) for value in values), most)


def _text(value: object) -> str:
    return text_of(value).strip()
