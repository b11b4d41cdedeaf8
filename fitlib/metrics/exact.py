"""Ratios of counts as doubles, so that equal ratios are equal doubles and means of equal ratios are equal, too.

Every bias metric of a class is one ratio of integers. Its value is the nearest double, the result of one division, and
what the double lacks is kept as a remainder (value + remainder is right to about 32 digits). Means over classes are
taken of values with remainders and rounded once: the gaps .1, .2, .3 and .3, .2, .1 of three classes have the mean .2,
whereas sums of the doubles differ in the last digit, and a rank test would take that for a difference.

Two numbers of different exact value get the same double only where doubles cannot tell them apart. Two equal ones get
different doubles only if the exact value lies within 1e-31 of the middle between two doubles, which for ratios with a
common denominator below 2**46 is impossible and beyond that a chance of some 1e-14.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
SPLITTER = 2.0**27 + 1  # halves the 53 digits of a double (Dekker 1971)


class Ratio(NamedTuple):
    """Ratios part / whole of integers of one shape, below 2**53; whole 0 = undefined."""

    part: Counts
    whole: Counts

    def values(self) -> Values:
        """Return the nearest doubles, NaN where undefined.

        >>> Ratio(np.array([1, 2, 0]), np.array([3, 6, 0])).values().tolist()
        [0.3333333333333333, 0.3333333333333333, nan]
        """
        part, whole = self.part.astype(np.float64), self.whole.astype(np.float64)
        return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)

    def remainders(self, values: Values) -> Values:
        """Return what the exact ratios exceed their `values` by; NaN where undefined."""
        part, whole = self.part.astype(np.float64), self.whole.astype(np.float64)
        product, error = _product(values, whole)
        # The first difference is exact: both numbers agree in all but the last digits.
        return np.divide((part - product) - error, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def mean_of(values: Values, remainders: Values, counted: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Return means over the last axis of the ``counted`` entries, as nearest doubles and remainders.

    All of one shape (..., classes); means (...). NaN where nothing is counted.

    >>> gaps = Ratio(np.array([[1, 2, 3], [3, 2, 1]]), np.full((2, 3), 10))
    >>> values = gaps.values()
    >>> mean, _ = mean_of(values, gaps.remainders(values), np.ones((2, 3), dtype=bool))
    >>> mean.tolist(), values.mean(axis=1).tolist()
    ([0.2, 0.2], [0.20000000000000004, 0.19999999999999998])
    """
    terms = np.where(counted, values, 0.0)
    low = np.where(counted, remainders, 0.0).sum(axis=-1)
    while terms.shape[-1] > 1:  # halves are added to each other, and what rounding loses is kept
        half = terms.shape[-1] // 2
        sums, errors = _sum(terms[..., :half], terms[..., half : 2 * half])
        low += errors.sum(axis=-1)
        terms = np.concatenate([sums, terms[..., 2 * half :]], axis=-1)
    total = terms.sum(axis=-1)  # of one term, or of none
    number = counted.sum(axis=-1).astype(np.float64)
    missing = np.full(number.shape, np.nan)
    quotient = np.divide(total, number, out=missing, where=number > 0)
    product, error = _product(quotient, number)
    rest = np.divide(((total - product) - error) + low, number, out=missing.copy(), where=number > 0)
    return _sum(quotient, rest)


def _sum(a: Values, b: Values) -> tuple[Values, Values]:
    """Return a + b as the nearest double and its error (Knuth's two-sum)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _product(a: Values, b: Values) -> tuple[Values, Values]:
    """Return a * b as the nearest double and its error (Dekker's product)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(x: Values) -> tuple[Values, Values]:
    scaled = SPLITTER * x
    high = scaled - (scaled - x)
    return high, x - high
