"""Numbers and lists as text, for sentences, captions, tables and figures.

A missing value reads "not estimable"; NaN is never printed. Points are percentage points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

NOT_ESTIMABLE, NO_TEST = "not estimable", "no test"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def missing(value: object) -> bool:
    """True for None, NaN, pandas' NA and the empty text."""
    return value is None or value == "" if isinstance(value, str) or value is None else bool(pd.isna(value))


def decimals(value: float, places: int = 2, signed: bool = False) -> str:
    """`value` with `places` decimals; one that would round to zero keeps a significant digit, exact zero is "0"."""
    if missing(value):
        return NOT_ESTIMABLE
    value = float(value)
    text = f"{abs(value):.{places}f}"
    if value and float(text) == 0:
        text = f"{abs(value):.1g}" if abs(value) >= 1e-4 else scientific(abs(value))
    sign = "−" if value < 0 else "+" if signed and value > 0 else ""
    return "0" if value == 0 else sign + text


def points(value: float, signed: bool = False) -> str:
    """A share as percentage points: 0.0321 is "3.21"."""
    return NOT_ESTIMABLE if missing(value) else decimals(100 * float(value), signed=signed)


def scientific(value: float) -> str:
    """3.3e-09 is "3.3×10⁻⁹"."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def probability(p: float) -> str:
    """A probability or p-value with two significant digits; small ones as a power of ten, none as "no test"."""
    if missing(p):
        return NO_TEST
    p = float(p)
    if p in (0.0, 1.0):
        return str(int(p))
    return scientific(p) if p < 1e-3 else f"{p:.2g}" if p < 0.1 else "> 0.99" if p > 0.99 else f"{p:.2f}"


def span(low: float, high: float, scale: float = 100.0, places: int = 2) -> str:
    """An interval "[−1.20, 0.31]" (in points by default), or "not estimable"."""
    if missing(low) or missing(high):
        return NOT_ESTIMABLE
    return f"[{decimals(scale * float(low), places)}, {decimals(scale * float(high), places)}]"


def listed(items: Iterable[object], most: int = 4) -> str:
    """Three items read "a, b and c"; beyond `most`, "a, b, c, d and 3 more"; no item reads "none"."""
    names = [str(item) for item in items]
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names) or "none"


def count(n: int, noun: str, plural: str = "") -> str:
    """One reads "1 run", sixteen "16 runs"."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def power(value: float) -> str:
    """The power of a test; never told as certainty."""
    return "> 0.99" if not missing(value) and value > 0.99 else "–" if missing(value) else probability(value)


def ranged(values: pd.Series, show: Callable[[float], str] = probability) -> str:
    """Probabilities from the smallest to the largest: "0.12 to 0.64"."""
    low, high = show(values.min()), show(values.max())
    return low if low == high else f"{low} to {high}"
