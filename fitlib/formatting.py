"""Numbers and lists as text, for sentences, captions, tables and figures.

A missing value reads "not estimable"; NaN is never printed. Points are percentage points.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

NOT_ESTIMABLE, NO_TEST = "not estimable", "no test"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Controls of terminals (all but tabs and ends of lines) and of the direction of text: they would show another text.
_HIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Return a text in which characters that control a terminal or the direction of text are shown by their codes.

    >>> print(visible("\x1b[2J"), visible("a\u202eb"))
    \x1b[2J a\u202eb
    """
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, pandas' NA or the empty string."""
    return value is None or value == "" if isinstance(value, str) or value is None else bool(pd.isna(value))


def decimals(value: float, places: int = 2, signed: bool = False) -> str:
    """Format a number with `places` decimals; one that would round to zero keeps a significant digit.

    >>> decimals(-1.234), decimals(0.0004), decimals(0.0), decimals(float("nan"))
    ('−1.23', '0.0004', '0', 'not estimable')
    """
    if is_missing(value):
        return NOT_ESTIMABLE
    value = float(value)
    text = f"{abs(value):.{places}f}"
    if value and float(text) == 0:
        text = f"{abs(value):.1g}" if abs(value) >= 1e-4 else scientific(abs(value))
    sign = "−" if value < 0 else "+" if signed and value > 0 else ""
    return "0" if value == 0 else sign + text


def points(value: float, signed: bool = False) -> str:
    """Format a share in percentage points.

    >>> points(0.0321), points(0.0321, signed=True)
    ('3.21', '+3.21')
    """
    return NOT_ESTIMABLE if is_missing(value) else decimals(100 * float(value), signed=signed)


def scientific(value: float) -> str:
    """Format a number as a power of ten.

    >>> scientific(3.3e-09)
    '3.3×10⁻⁹'
    """
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def probability(p: float) -> str:
    """Format a probability or p-value with two significant digits; a missing one is "no test".

    >>> [probability(p) for p in (0.0000033, 0.0123, 0.5, 0.999, None)]
    ['3.3×10⁻⁶', '0.012', '0.50', '> 0.99', 'no test']
    """
    if is_missing(p):
        return NO_TEST
    p = float(p)
    if p in (0.0, 1.0):
        return str(int(p))
    return scientific(p) if p < 1e-3 else f"{p:.2g}" if p < 0.1 else "> 0.99" if p > 0.99 else f"{p:.2f}"


def span(low: float, high: float, scale: float = 100.0, places: int = 2) -> str:
    """Format an interval, in percentage points by default; a missing end makes it "not estimable".

    >>> span(-0.012, 0.0031)
    '[−1.20, 0.31]'
    """
    if is_missing(low) or is_missing(high):
        return NOT_ESTIMABLE
    return f"[{decimals(scale * float(low), places)}, {decimals(scale * float(high), places)}]"


def number_ranges(numbers: Sequence[int]) -> str:
    """Format ascending numbers of runs, as their folders have them, with consecutive ones as a range.

    >>> number_ranges([0, 1, 2, 5]), number_ranges([7])
    ('00…02, 05', '07')
    """
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    return ", ".join(f"{r[0]:02d}…{r[-1]:02d}" if len(r) > 1 else f"{r[0]:02d}" for r in ranges)


def join_items(items: Iterable[object], most: int = 4) -> str:
    """Join items as in a sentence; beyond `most` the rest is counted, and no items are "none".

    >>> join_items("abc"), join_items("abcdefg"), join_items([])
    ('a, b and c', 'a, b, c, d and 3 more', 'none')
    """
    names = [str(item) for item in items]
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names) or "none"


def count(n: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun in the singular or plural.

    >>> count(1, "run"), count(16, "run"), count(2, "class", "classes")
    ('1 run', '16 runs', '2 classes')
    """
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def power(value: float) -> str:
    """Format the power of a test: never as certainty, and "–" where there is none."""
    return "> 0.99" if not is_missing(value) and value > 0.99 else "–" if is_missing(value) else probability(value)


def chance(value: float) -> str:
    """Format a computed probability with two decimals: never as certainty unless it is, and "–" where there is none.

    >>> [chance(p) for p in (0.0, 0.001, 0.304, 0.999, None)]
    ['0', '< 0.01', '0.30', '> 0.99', '–']
    """
    if is_missing(value):
        return "–"
    return (
        str(int(value))
        if value in (0, 1)
        else "< 0.01"
        if value < 0.005
        else "> 0.99"
        if value > 0.995
        else f"{value:.2f}"
    )


def value_range(values: pd.Series, show: Callable[[float], str] = probability) -> str:
    """Format the range of values, probabilities by default.

    >>> value_range(pd.Series([0.64, 0.12, 0.3]))
    '0.12 to 0.64'
    """
    low, high = show(values.min()), show(values.max())
    return low if low == high else f"{low} to {high}"
