"""The features of a table: which columns are features, of which kind, and the notes about them.

Nothing is encoded here: `encoding` does that, fitted on the training part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fitlib.datasets.options import TableOptions
from fitlib.datasets.tabular.columns import Levels, levels_of
from fitlib.datasets.tabular.splitting import TEST, TRAIN
from fitlib.errors import InputError, one_of

FEW = 100  # most categories of a column that is checked for a leak


@dataclass(frozen=True)
class Numbers:
    """A feature of numbers, float64 (rows,) with NaN where a value is missing."""

    name: str
    values: NDArray[np.float64]
    infinite: int = 0  # infinities, which count as missing

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Rows without a value (rows,)."""
        return np.isnan(self.values)

    def take(self, rows: NDArray[np.bool_]) -> Numbers:
        """Return the chosen rows; infinities are counted, and become NaN."""
        values = self.values[rows]
        infinite = np.isinf(values)
        return Numbers(self.name, np.where(infinite, np.nan, values), int(infinite.sum()))

    def bits(self) -> NDArray[np.uint64]:
        """Return the cells (rows,) as bits, which are equal where cells are."""
        return np.where(self.missing, np.nan, self.values + 0.0).view(np.uint64)  # + 0.0: -0 becomes 0


@dataclass(frozen=True)
class Categories:
    """A feature of categories."""

    name: str
    levels: Levels
    infinite: ClassVar[int] = 0

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Rows without a value (rows,)."""
        return self.levels.places < 0

    def take(self, rows: NDArray[np.bool_]) -> Categories:
        """Return the chosen rows."""
        return Categories(self.name, Levels(self.levels.values, self.levels.places[rows]))

    def bits(self) -> NDArray[np.uint64]:
        """Return the cells (rows,) as bits, which are equal where cells are."""
        return self.levels.places.astype(np.uint64)


Feature: TypeAlias = Numbers | Categories


@dataclass(frozen=True)
class ExcludedColumn:
    """A column that is not a feature, and why."""

    name: str
    why: str


def feature_columns(where: str, columns: list[str], options: TableOptions, protected: list[str]) -> list[str]:
    """Return the columns that may be features: those listed, or all without another role."""
    for field in ("drop", "categorical"):
        for name in getattr(options, field):
            one_of(where, field, name, columns)
    roles = {name: "it tells the parts or units" for name in (options.split, options.unit) if name}
    roles |= {} if options.protected_as_features else dict.fromkeys(protected, "protected")
    roles |= {options.target: "it is the target"}
    if options.features is None:
        return [name for name in columns if name not in roles and name not in options.drop]
    for name in options.features:
        one_of(where, "features", name, columns)
        if name in roles:
            is_protected = roles[name] == "protected"
            problem = "it is a protected attribute" if is_protected else roles[name]
            remedy = "set protected_as_features: true" if is_protected else "leave it out of the features"
            raise InputError(where, "features", name, problem, remedy)
    return [name for name in dict.fromkeys(options.features) if name not in options.drop]


def read_features(
    where: str, table: pa.Table, names: list[str], options: TableOptions
) -> tuple[list[Feature], list[ExcludedColumn]]:
    """Return the columns as features, and those that cannot be features: dates, lists, identifiers."""
    columns = [_feature(where, name, table[name], name in options.categorical) for name in names]
    features = [column for column in columns if not isinstance(column, ExcludedColumn)]
    return features, [column for column in columns if isinstance(column, ExcludedColumn)]


def without_constant(features: list[Feature], part: NDArray[np.int64]) -> tuple[list[Feature], list[ExcludedColumn]]:
    """Return the features that vary in the training part, and those that do not."""
    constant = {f.name for f in features if len(np.unique(f.bits()[part == TRAIN])) < 2}
    left = [ExcludedColumn(name, "the same in the whole training part") for name in sorted(constant)]
    return [f for f in features if f.name not in constant], left


def check_complete(where: str, features: list[Feature]) -> None:
    """Raise InputError for the first feature with missing or infinite values."""
    for feature in features:
        if n := int(feature.missing.sum()):
            problem = f"{n:,} of {len(feature.missing):,} rows without a value"
            problem += f" ({feature.infinite:,} infinite)" if feature.infinite else ""
            raise InputError(where, "feature", feature.name, problem, "fill them, drop the column, or missing: impute")


def feature_notes(
    features: list[Feature], left: list[ExcludedColumn], part: NDArray[np.int64], y: NDArray[np.int64], most: int
) -> Iterator[str]:
    """Yield sentences on names, columns left out, missing values, rare and unseen categories, leaks and overlap."""
    yield f"{len(features)} features: {_few([f.name for f in features], 30)}"
    for why in dict.fromkeys(column.why for column in left):
        yield f"no feature, because {why}: {_few([column.name for column in left if column.why == why])}"
    yield from _missing_notes(features)
    yield from _category_notes([f for f in features if isinstance(f, Categories)], part, most)
    leaks = [f.name for f in features if _determines(f, y, part == TRAIN)]
    if leaks:
        yield f"the class can be told from one feature alone, {_few(leaks)}: is it known before the outcome?"
    if n := overlap(features, y, part):
        yield (
            f"{n:,} of {int((part == TEST).sum()):,} test rows equal a training row in all features and in the class: "
            "if they are the same cases, accuracy is overstated"
        )


def overlap(features: list[Feature], y: NDArray[np.int64], part: NDArray[np.int64]) -> int:
    """Count the test rows that equal a training row in all features and in the class (by 64 bits of hash)."""
    rows = _hash_rows([*(feature.bits() for feature in features), y.astype(np.uint64)])
    return int(np.isin(rows[part == TEST], rows[part == TRAIN]).sum())


def _unfit(kind: pa.DataType) -> str:
    """Return why a column of this type cannot be a feature; empty where it can."""
    if pa.types.is_temporal(kind):
        return "they are dates or times"
    if pa.types.is_null(kind):
        return "they hold no value"
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "" if text or pa.types.is_boolean(kind) or _is_number(kind) else "their cells are no single values"


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _feature(where: str, name: str, column: pa.ChunkedArray, categorical: bool) -> Feature | ExcludedColumn:
    why = _unfit(column.type)
    if why:
        return ExcludedColumn(name, why)
    feature: Feature
    if categorical or not _is_number(column.type):
        feature = Categories(name, levels_of(where, name, column))
    else:
        feature = Numbers(name, column.cast(pa.float64()).fill_null(np.nan).to_numpy())
    why = _identifies(feature)
    return ExcludedColumn(name, why) if why else feature


def _identifies(feature: Feature) -> str:
    """Return why a column identifies rows instead of describing them; empty where it does not."""
    n = int((~feature.missing).sum())
    if isinstance(feature, Categories):
        return "they are identifiers, another text in every row" if 2 < n == len(feature.levels.values) else ""
    whole = n > 2 and n == len(feature.values) and np.ptp(feature.values) == n - 1
    return "they number the rows" if whole and len(np.unique(feature.values)) == n else ""


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _missing_notes(features: list[Feature]) -> Iterator[str]:
    numbers = [f for f in features if isinstance(f, Numbers) and f.missing.any()]
    categories = [f for f in features if isinstance(f, Categories) and f.missing.any()]
    if numbers:
        yield f"missing numbers become the training part's median, with a column that marks them: {_counts(numbers)}"
    if categories:
        yield f"missing categories are a category of their own: {_counts(categories)}"


def _counts(features: Sequence[Feature]) -> str:
    infinite = {f.name: f", {f.infinite:,} of them infinite" if f.infinite else "" for f in features}
    return _few([f"{f.name} ({int(f.missing.sum()):,}{infinite[f.name]})" for f in features])


def _category_notes(features: list[Categories], part: NDArray[np.int64], most: int) -> Iterator[str]:
    seen = {f.name: np.unique(f.levels.places[part == TRAIN]) for f in features}
    many = [f"{name} ({len(places)})" for name, places in seen.items() if len(places) > most]
    if many:
        yield f"rare categories stand together, beside the {most - 1} most frequent ones: {_few(many)}"
    rows = {f.name: int((~np.isin(f.levels.places[part == TEST], seen[f.name])).sum()) for f in features}
    unseen = [f"{name} ({n:,})" for name, n in rows.items() if n]
    if unseen:
        yield f"test rows with a category that the training part does not show: {_few(unseen)}"


def _determines(feature: Feature, y: NDArray[np.int64], train: NDArray[np.bool_]) -> bool:
    """Return whether a feature alone determines the class.

    It does if each category has one class, or each of as many ranges of numbers as there are classes.
    """
    rows, classes = train & ~feature.missing, len(np.unique(y[train]))
    y = y[rows]
    if len(y) < train.sum() or classes < 2:
        return False
    if isinstance(feature, Numbers):
        order = np.lexsort((y, feature.values[rows]))
        ends = feature.values[rows][order]
        # Sorted by number, then class: with one range for each class, the class changes once from one to the next,
        # and between two different numbers.
        changes = np.flatnonzero(np.diff(y[order]))
        return len(changes) == classes - 1 and bool((ends[changes] < ends[changes + 1]).all())
    cells = np.unique(feature.levels.places[rows] * (int(y.max()) + 1) + y)
    places = np.unique(feature.levels.places[rows])
    return len(cells) == len(places) <= FEW


def _hash_rows(columns: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return one number for each row: equal for rows with equal cells, for others with probability 2^-64."""
    found = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        found = _mix(found * np.uint64(0x9E3779B97F4A7C15) + _mix(column))
    return found


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Make every bit depend on every other one: the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
