"""Training, validation and test part of a table's rows: read from a column, or drawn by class, group and unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import quantity
from fitlib.datasets.tabular.columns import Values, levels_of, places_of
from fitlib.errors import InputError

TRAIN, VALIDATION, TEST, NONE = 0, 1, 2, -1
NAMES = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}


def parts_of_column(
    where: str, column: str, values: Values, test: Sequence[object], validation: Sequence[object] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the part of each row, int64 (rows,), -1 where the column has no value, and sentences on the choices made.

    Values in neither `test` nor `validation` make the training part. InputError for a value that the column
    does not have, and where no value is left for training.
    """
    levels = levels_of(where, column, values)
    part = np.append(np.full(len(levels.values), TRAIN, np.int64), NONE)
    for number, field, given in ((VALIDATION, "validation", validation), (TEST, "test", test)):
        part[places_of(where, field, column, given, levels)] = number
    training = [name for name, number in zip(levels.names, part, strict=False) if number == TRAIN]
    if not training:
        problem = "no row is left for the training part"
        raise InputError(where, "test", list(test), problem, f"name some values of column {column} only")
    missing = int((levels.places < 0).sum())
    notes = [f"training part: the rows with {column} {', '.join(training)}"] if len(training) > 1 else []
    notes += (
        [f"{quantity(missing, 'row')} without a value of {column}, which tells the parts, left out"] if missing else []
    )
    return part[levels.places], tuple(notes)


def draw_parts(
    strata: NDArray[np.int64],
    unit: NDArray[np.int64],
    test_share: float,
    validation_share: float = 0.0,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Draw the part of each row, int64 (rows,), with the same shares in every stratum and each unit in one part.

    `strata` and `unit` int64 (rows,); a unit belongs to the stratum of its first row. Of a stratum's n units
    round(share n) are drawn for a part, at least one of two or more, and at least one is left for training.

    >>> draw_parts(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 3, 3, 4]), 0.3).tolist()
    [0, 0, 2, 0, 0, 2]
    """
    rng = np.random.default_rng(seed)
    _, first, of_row = np.unique(unit, return_index=True, return_inverse=True)
    part, stratum = np.full(len(first), TRAIN, np.int64), strata[first]
    for number in np.unique(stratum):
        units = rng.permutation(np.flatnonzero(stratum == number))
        whole = len(units)
        for name, share in ((TEST, test_share), (VALIDATION, validation_share)):
            n = min(max(round(share * whole), 1), len(units) - 1) if share else 0
            part[units[:n]], units = name, units[n:]
    return part[of_row]


def limit_parts(part: NDArray[np.int64], limit: int | None, test_limit: int | None) -> NDArray[np.int64]:
    """Keep only the first so many rows of the training and of the test part.

    >>> limit_parts(np.array([TRAIN, TRAIN, TEST, TEST]), 1, None).tolist()
    [0, -1, 2, 2]
    """
    part = part.copy()
    for number, most in ((TRAIN, limit), (TEST, test_limit)):
        if most is not None:
            part[np.flatnonzero(part == number)[most:]] = NONE
    return part


def check_members(where: str, groups: Sequence[str], numbers: NDArray[np.int64], part: NDArray[np.int64]) -> None:
    """Raise InputError where a group has no row in the training or the test part."""
    for which in (TRAIN, TEST):
        sizes = np.bincount(numbers[part == which], minlength=len(groups))
        for name in (name for name, size in zip(groups, sizes, strict=True) if not size):
            remedy = "merge it with another one (groups: {name: [values], ...}), or draw the parts in another way"
            raise InputError(where, f"group of the {NAMES[which]} part", name, "it has no row", remedy)
