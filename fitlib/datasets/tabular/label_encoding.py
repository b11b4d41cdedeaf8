"""Encoding of classes and groups as numbers that are the same for all files: "no" is 0, "yes" is 1.

Values are collected file by file, each with a code in the order of its appearance. Once all are known, the codes become
numbers: numbers in numerical order, then text in alphabetical order. 1, 1.0, "1" and true are one value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.columns import Levels, Values, levels_of, text_of
from fitlib.errors import InputError
from fitlib.formatting import join_items
from fitlib.storage.prediction_columns import one_line

Codes = NDArray[np.int16]  # 16 bits, as many runs are held in memory at once
Numbers = NDArray[np.int64]

WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0+)?")
BOOLEAN_WORDS = {"true": 1, "false": 0}
MAX_VALUES_IN_SENTENCE = 12


class Remedies(NamedTuple):
    """What to do about values that cannot be encoded, in the words of those who gave them."""

    missing: str
    fractional_class: str
    fractional_group: str
    too_many: str  # with {} for what they are


IN_FILES = Remedies(
    "fill them in, or remove these rows from every file (of a group: --drop-group ?)",
    "these are scores: --column score=NAME, and --threshold 0.5 where no column has the predicted class",
    "divide the numbers into a few ranges, and name these",
    "identifiers are no {}: choose another column (--column), or merge values",
)
IN_ARRAYS = IN_FILES._replace(
    fractional_class="give the predicted classes, and their scores as y_score",
    too_many="identifiers are no {}: merge values",
)  # missing values are found before


@dataclass
class Vocabulary:
    """The distinct values of a kind (`what`: "class", "group of sex") over all files, at most `most` of them."""

    what: str
    most: int
    codes: dict[Hashable, int] = field(default_factory=dict)
    spellings: dict[Hashable, list[str]] = field(default_factory=dict)
    remedies: Remedies = IN_FILES

    def encode(
        self,
        where: str,
        column: str,
        values: Values,
        missing: str = "",
        renamed: Mapping[Hashable, object] | None = None,
    ) -> Codes:
        """Return the codes (rows,) of a column (rows,); `renamed`: {key of a value: the value that it stands for}.

        Raises InputError for missing values (how many, and the first; `missing` adds what was read as missing), lists,
        fractions, and more than `most` different values.
        """
        levels = levels_of(where, column, values)
        self._check(where, column, levels, missing)
        renamed = renamed or {}
        meant = [renamed.get(key_of(value), value) for value in levels.values]
        return np.array([self.code(value) for value in meant], np.int16)[levels.places]

    def code(self, value: object) -> int:
        """Return the code of a value, a new one for a value not seen before."""
        key, spelling = key_of(value), _text(value)
        seen = self.spellings.setdefault(key, [])
        if spelling not in seen:
            seen.append(spelling)
        return self.codes.setdefault(key, len(self.codes))

    def _check(self, where: str, column: str, levels: Levels, missing: str) -> None:
        absent = levels.places < 0
        if absent.any():
            first = int(np.argmax(absent))
            problem = f"missing in {absent.sum():,} of {len(absent):,} rows, the first row {first}{missing}"
            raise InputError(where, column, None, problem, self.remedies.missing)
        broken = [v for v in levels.values if isinstance(v, float) and not v.is_integer()]
        if broken:
            remedy = self.remedies.fractional_class if self.what == "class" else self.remedies.fractional_group
            raise InputError(where, column, broken[0], f"not a whole number, so no {self.what}", remedy)
        if len(levels.values) > self.most or len(self.codes) > self.most:
            problem = f"{max(len(levels.values), len(self.codes)):,} different values, more than {self.most:,}"
            raise InputError(where, column, levels.names[-1], problem, self.remedies.too_many.format(self.what))

    def finish(self, declared: Sequence[object] | None = None) -> LabelMapping:
        """Return the mapping of all values seen to numbers: in sorted order, or in that of `declared` (all values)."""
        order = sorted(self.codes, key=lambda key: (isinstance(key, str), key))
        order = order if declared is None else list(dict.fromkeys(map(key_of, declared)))
        numbers = np.empty(max(len(order), 1), np.int64)
        numbers[[self.codes[key] for key in order]] = np.arange(len(order))
        names = tuple(self._name(key) for key in order)
        return LabelMapping(names, numbers, order == list(range(len(order))), tuple(self._remarks()))

    def _name(self, key: Hashable) -> str:
        words = all(spelling.casefold() in BOOLEAN_WORDS for k in self.codes for spelling in self.spellings[k])
        return str(key) if not isinstance(key, str) and not words else self.spellings[key][0]

    def _remarks(self) -> Iterable[str]:
        for spellings in self.spellings.values():
            if len(spellings) > 1:
                yield f"{list_values(map(repr, spellings))} are read as one {self.what}."
        alike: dict[str, list[str]] = {}
        for key in self.codes:
            if isinstance(key, str):
                alike.setdefault("".join(key.casefold().split()), []).append(key)
        for names in alike.values():
            if len(names) > 1:
                spelled = list_values(map(repr, sorted(names)))
                remedy = "spell them alike if they are one"
                yield f"{spelled} differ in case or blanks only and count as different: {remedy}."


@dataclass(frozen=True)
class LabelMapping:
    """The mapping of values to numbers: `names[k]` is the value of number k, `numbers[code]` the number of a code.

    `plain`: the values are the whole numbers 0, 1, … themselves; `remarks`: sentences on values that look alike.
    """

    names: tuple[str, ...]
    numbers: Numbers
    plain: bool
    remarks: tuple[str, ...] = ()

    def sentence(self, what: str) -> str:
        """Return the mapping as one sentence; "" if numbers stay as they are."""
        words = self.names == ("False", "True")
        if self.plain and not words:
            return ""
        named = [f"{number} is {one_line(name, 40)}" for number, name in enumerate(self.names[:MAX_VALUES_IN_SENTENCE])]
        more = [f"{len(self.names) - MAX_VALUES_IN_SENTENCE} more"] if len(self.names) > MAX_VALUES_IN_SENTENCE else []
        return f"{what}: {', '.join([*named, *more])}."

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers, which mean little without the name of their attribute."""
        return all(WHOLE_NUMBER.fullmatch(name) for name in self.names)


def key_of(value: object) -> Hashable:
    """Return a key that is equal for equal values: whole numbers and booleans in any spelling, other values as text.

    >>> key_of("1.0"), key_of(True), key_of("true"), key_of(" yes ")
    (1, 1, 1, 'yes')
    """
    if isinstance(value, bool | int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    text = _text(value)
    if text.casefold() in BOOLEAN_WORDS:
        return BOOLEAN_WORDS[text.casefold()]
    return int(text.partition(".")[0]) if WHOLE_NUMBER.fullmatch(text) else text


def in_two_codes(true: Sequence[str], predicted: Sequence[str], declared: bool = False) -> bool:
    """Return whether predictions are coded otherwise than the ground truth.

    That is where they have no value in common, or two values each that are not the same, unless the classes are
    declared.

    >>> in_two_codes(["<=50K", ">50K"], ["0", "1"]), in_two_codes(["0", "1"], ["-1", "1"]), in_two_codes("01", "1")
    (True, True, False)
    """
    shared = set(true) & set(predicted)
    return not shared or (not declared and len(true) == len(predicted) == 2 and len(shared) < 2)


def pair_codes(true: Sequence[str], predicted: Sequence[str]) -> list[tuple[str, str]]:
    """Pair each predicted value with the class that it may stand for, in the order of the values; [] if impossible.

    >>> pair_codes([">50K", "<=50K"], ["1", "0"])
    [('0', '<=50K'), ('1', '>50K')]
    """
    if len(true) != len(predicted):
        return []
    pairs = zip(*(sorted(names, key=_value_order) for names in (predicted, true)), strict=True)
    return [(given, meant) for given, meant in pairs if given != meant]


def _value_order(name: str) -> tuple[bool, Any]:
    key = key_of(name)
    return isinstance(key, str), key


def single_group_note(attribute: str, group: str) -> str:
    """Return a sentence on an attribute that is left out for its only group."""
    return f"Attribute {one_line(attribute, 40)} left out: all rows are of the group {one_line(group, 40)}."


def list_values(values: Iterable[object], most: int = 8) -> str:
    """Join values of a file as in a sentence, each shortened to one line."""
    return join_items((one_line(value, 40) for value in values), most)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a remedy with the nearest of the known names, or all of them."""
    names = list(known)
    folded = {n.casefold(): n for n in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1)
    return f"did you mean {folded[close[0]]!r}?" if close else f"there is {one_line(', '.join(names))}"


def _text(value: object) -> str:
    return text_of(value).strip()
