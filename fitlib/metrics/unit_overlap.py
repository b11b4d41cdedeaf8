"""Overlap of test units between groups: whether two groups consist of different units, the same units, or a mixture.

Groups of different units are compared by tests for independent samples. If every unit appears once in each of two
groups, as every image of digits-s does, only the units decided differently in both are informative (McNemar,
Psychometrika 12, 1947): b units are selected in the first group only, c in the second only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fitlib.metrics.counts import unit_numbers
from fitlib.metrics.individuals import person_row

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

Integers = NDArray[np.int64]

INDEPENDENT, PAIRED, REPEATED = "independent", "paired", "repeated"
ALPHA, TWO_SDS = 0.05, 2.0  # level and number of SDs that agencies and courts use in tests beside the four-fifths rule


def extreme_groups(selected: NDArray, size: NDArray) -> tuple[int, int] | None:
    """Return the groups with the lowest and the highest mean selection rate over runs; the first of equal ones.

    selected (runs, groups), size (groups,). Groups without members are left out; None if fewer than two remain.

    >>> extreme_groups(np.array([[3, 5, 1]]), np.array([10, 10, 10]))
    (2, 1)
    """
    size = np.asarray(size)
    members = np.flatnonzero(size > 0)
    if members.size < 2:
        return None
    rates = np.asarray(selected)[:, members].sum(axis=0) / size[members]
    low = int(rates.argmin())
    high = int(np.delete(rates, low).argmax())
    return int(members[low]), int(np.delete(members, low)[high])


def design_of(unit: Integers | None, group: Integers, pair: tuple[int, int]) -> str:
    """Classify how units (rows,) are spread over two groups of `group` (rows,): "independent", "paired" or "repeated".

    "paired" if every unit appears exactly once in both, "independent" if no unit appears in two rows, else "repeated".

    >>> design_of(np.array([7, 8, 8, 7]), np.array([0, 0, 1, 1]), (0, 1))
    'paired'
    """
    if unit is None:
        return INDEPENDENT
    a, b = (unit[group == g] for g in pair)
    both = np.concatenate([a, b])
    if np.unique(both).size == both.size:
        return INDEPENDENT
    alone = np.unique(a).size == a.size and np.unique(b).size == b.size
    return PAIRED if alone and np.array_equal(np.sort(a), np.sort(b)) else REPEATED


def discordant_counts(
    chosen: NDArray[np.bool_], unit: Integers, group: Integers, pair: tuple[int, int]
) -> tuple[Integers, Integers]:
    """Count the units selected in the first group of a "paired" `pair` only, and in the second only, each (runs,).

    chosen (runs, rows): whether a row is selected.
    """
    first, second = (np.flatnonzero(group == g) for g in pair)
    a, b = (chosen[:, rows[np.argsort(unit[rows])]] for rows in (first, second))
    return (a & ~b).sum(axis=1), (b & ~a).sum(axis=1)


def mcnemar(b: NDArray, c: NDArray) -> NDArray[np.float64]:
    """Return the exact two-sided p of discordant counts b and c: twice the binomial tail of the smaller, at most 1.

    >>> mcnemar(np.array([1, 4]), np.array([9, 4])).round(4).tolist()
    [0.0215, 1.0]
    """
    b, c = np.asarray(b), np.asarray(c)
    return np.minimum(1.0, 2 * stats.binom.cdf(np.minimum(b, c), b + c, 0.5))


def paired_z(b: NDArray, c: NDArray) -> NDArray[np.float64]:
    """Return the difference of paired shares in SDs under equality, (b - c)/sqrt(b + c); 0 if both are 0."""
    b, c = np.asarray(b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    return np.divide(b - c, np.sqrt(b + c), out=np.zeros(np.broadcast(b, c).shape), where=b + c > 0)


def unit_rows(predictions: Predictions, attribute: str) -> list[dict[str, object]]:
    """Return rows of the long table `persons` about the overlap of units between the `extreme_groups` of each class.

    The row's group is the lowest one. Quantities: "units independent", "units paired" or "units repeated" (value:
    runs); of paired ones also "units paired: p < .05" (runs in which McNemar's exact p is smaller) and "units paired:
    |z| > 2". Classes without two groups have no rows.
    """
    p, group, unit, rows = predictions, predictions.protected[attribute], unit_numbers(predictions), []
    members = np.bincount(group, minlength=p.n_groups[attribute])
    designs: dict[frozenset[int], str] = {}
    for target in range(p.n_classes):
        chosen = p.prediction[..., target] == 1 if p.multilabel else p.prediction == target
        pair = extreme_groups(_selected(chosen, group, members.size), members)
        if pair is None:
            continue
        if frozenset(pair) not in designs:
            designs[frozenset(pair)] = design_of(unit, group, pair)
        design = designs[frozenset(pair)]
        rows.append(person_row(f"units {design}", target, pair[0], len(chosen)))
        if design == PAIRED:
            rows += _paired_rows(discordant_counts(chosen, unit, group, pair), target, pair[0])
    return rows


def _selected(chosen: NDArray[np.bool_], group: Integers, n_groups: int) -> Integers:
    return np.stack([chosen[:, group == g].sum(axis=1) for g in range(n_groups)], axis=1)


def _paired_rows(counts: tuple[Integers, Integers], target: int, lowest: int) -> list[dict[str, object]]:
    significant, apart = (mcnemar(*counts) < ALPHA).sum(), (np.abs(paired_z(*counts)) > TWO_SDS).sum()
    return [
        person_row("units paired: p < .05", target, lowest, significant),
        person_row("units paired: |z| > 2", target, lowest, apart),
    ]
