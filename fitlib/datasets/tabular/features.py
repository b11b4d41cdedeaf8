"""The features of a table: which columns are, what kind each is, and all that has to be told about them.

Nothing is encoded here: `table_encoding` does that, with what the training part shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fitlib.datasets.options import TableOptions
from fitlib.datasets.tabular.columns import Levels, levels_of
from fitlib.datasets.tabular.splitting import TEST, TRAIN
from fitlib.errors import InputError, known

FEW = 100  # different values of a category column that may be looked at for a leak


@dataclass(frozen=True)
class Feature:
    """A column of numbers, float64 (rows,) with NaN where a value is missing, or of categories (`levels`)."""

    name: str
    numbers: NDArray[np.float64] | None = None
    levels: Levels | None = None
    infinite: int = 0  # infinities, which count as missing

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Rows without a value (rows,)."""
        return np.isnan(self.numbers) if self.levels is None else self.levels.places < 0

    def take(self, rows: NDArray[np.bool_]) -> Feature:
        """The chosen rows; infinities are counted among them."""
        if self.levels is not None:
            return Feature(self.name, levels=Levels(self.levels.values, self.levels.places[rows]))
        numbers = self.numbers[rows]
        infinite = np.isinf(numbers)
        return Feature(self.name, np.where(infinite, np.nan, numbers), infinite=int(infinite.sum()))

    def bits(self) -> NDArray[np.uint64]:
        """The cells (rows,) as bits that are equal where cells are."""
        if self.levels is not None:
            return self.levels.places.astype(np.uint64)
        return np.where(self.missing, np.nan, self.numbers + 0.0).view(np.uint64)  # + 0.0: -0 becomes 0


@dataclass(frozen=True)
class LeftOut:
    """A column that is no feature, and why."""

    name: str
    why: str


def feature_columns(where: str, columns: list[str], options: TableOptions, protected: list[str]) -> list[str]:
    """Names of the columns that may be features: those listed, or all but the ones that have another role."""
    for field in ("drop", "categorical"):
        for name in getattr(options, field):
            known(where, field, name, columns)
    roles = {name: "it tells the parts or units" for name in (options.split, options.unit) if name}
    roles |= {} if options.protected_as_features else dict.fromkeys(protected, "protected")
    roles |= {options.target: "it is the target"}
    if options.features is None:
        return [name for name in columns if name not in roles and name not in options.drop]
    for name in options.features:
        known(where, "features", name, columns)
        if name in roles:
            is_protected = roles[name] == "protected"
            problem = "it is a protected attribute" if is_protected else roles[name]
            remedy = "set protected_as_features: true" if is_protected else "leave it out of the features"
            raise InputError(where, "features", name, problem, remedy)
    return [name for name in dict.fromkeys(options.features) if name not in options.drop]


def read_features(
    where: str, table: pa.Table, names: list[str], options: TableOptions
) -> tuple[list[Feature], list[LeftOut]]:
    """The columns as features, and those that cannot be: dates, lists, identifiers."""
    features, left = [], []
    for name in names:
        why = _unfit(table[name].type)
        feature = None if why else _feature(where, name, table[name], name in options.categorical)
        why = why or _identifies(feature)
        (left.append(LeftOut(name, why)) if why else features.append(feature))
    return features, left


def without_constant(features: list[Feature], part: NDArray[np.int64]) -> tuple[list[Feature], list[LeftOut]]:
    """The features that vary in the training part, and those that do not."""
    constant = {f.name for f in features if len(np.unique(f.bits()[part == TRAIN])) < 2}
    left = [LeftOut(name, "the same in the whole training part") for name in sorted(constant)]
    return [f for f in features if f.name not in constant], left


def check_complete(where: str, features: list[Feature]) -> None:
    """InputError for the first feature with missing or infinite values."""
    for feature in features:
        if n := int(feature.missing.sum()):
            problem = f"{n:,} of {len(feature.missing):,} rows without a value"
            problem += f" ({feature.infinite:,} infinite)" if feature.infinite else ""
            raise InputError(where, "feature", feature.name, problem, "fill them, drop the column, or missing: impute")


def told_of_features(
    features: list[Feature], left: list[LeftOut], part: NDArray[np.int64], y: NDArray[np.int64], most: int
) -> Iterator[str]:
    """Sentences on names, columns left out, missing values, rare and unseen categories, leaks and overlap."""
    yield f"{len(features)} features: {_few([f.name for f in features], 30)}"
    for why in dict.fromkeys(one.why for one in left):
        yield f"no feature, because {why}: {_few([one.name for one in left if one.why == why])}"
    yield from _told_of_missing(features)
    yield from _told_of_categories([f for f in features if f.levels is not None], part, most)
    leaks = [f.name for f in features if _tells(f, y, part == TRAIN)]
    if leaks:
        yield f"the class can be told from one feature alone, {_few(leaks)}: is it known before the outcome?"
    if n := overlap(features, y, part):
        yield (
            f"{n:,} of {int((part == TEST).sum()):,} test rows equal a training row in all features and in the class: "
            "if they are the same cases, accuracy is overstated"
        )


def overlap(features: list[Feature], y: NDArray[np.int64], part: NDArray[np.int64]) -> int:
    """Test rows that equal a training row in all features and in the class (by 64 bits of hash)."""
    rows = _hashed([*(feature.bits() for feature in features), y.astype(np.uint64)])
    return int(np.isin(rows[part == TEST], rows[part == TRAIN]).sum())


def _unfit(kind: pa.DataType) -> str:
    """Why a column of this type is no feature; empty where it is one."""
    if pa.types.is_temporal(kind):
        return "they are dates or times"
    if pa.types.is_null(kind):
        return "they hold no value"
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "" if text or pa.types.is_boolean(kind) or _is_number(kind) else "their cells are no single values"


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _feature(where: str, name: str, column: pa.ChunkedArray, categorical: bool) -> Feature:
    if categorical or not _is_number(column.type):
        return Feature(name, levels=levels_of(where, name, column))
    return Feature(name, column.cast(pa.float64()).fill_null(np.nan).to_numpy())


def _identifies(feature: Feature) -> str:
    """Why a column tells rows apart instead of describing them; empty where it does not."""
    n = int((~feature.missing).sum())
    if feature.levels is not None:
        return "they are identifiers, another text in every row" if 2 < n == len(feature.levels.values) else ""
    whole = n > 2 and n == len(feature.numbers) and np.ptp(feature.numbers) == n - 1
    return "they number the rows" if whole and len(np.unique(feature.numbers)) == n else ""


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _told_of_missing(features: list[Feature]) -> Iterator[str]:
    numbers = [f for f in features if f.levels is None and f.missing.any()]
    categories = [f for f in features if f.levels is not None and f.missing.any()]
    if numbers:
        yield f"missing numbers become the training part's median, with a column that marks them: {_counted(numbers)}"
    if categories:
        yield f"missing categories are a category of their own: {_counted(categories)}"


def _counted(features: list[Feature]) -> str:
    infinite = {f.name: f", {f.infinite:,} of them infinite" if f.infinite else "" for f in features}
    return _few([f"{f.name} ({int(f.missing.sum()):,}{infinite[f.name]})" for f in features])


def _told_of_categories(features: list[Feature], part: NDArray[np.int64], most: int) -> Iterator[str]:
    seen = {f.name: np.unique(f.levels.places[part == TRAIN]) for f in features}
    many = [f"{name} ({len(places)})" for name, places in seen.items() if len(places) > most]
    if many:
        yield f"rare categories stand together, beside the {most - 1} most frequent ones: {_few(many)}"
    rows = {f.name: int((~np.isin(f.levels.places[part == TEST], seen[f.name])).sum()) for f in features}
    unseen = [f"{name} ({n:,})" for name, n in rows.items() if n]
    if unseen:
        yield f"test rows with a category that the training part does not show: {_few(unseen)}"


def _tells(feature: Feature, y: NDArray[np.int64], train: NDArray[np.bool_]) -> bool:
    """Whether every category, or every one of as many ranges of numbers as there are classes, has one class only."""
    rows, classes = train & ~feature.missing, len(np.unique(y[train]))
    y = y[rows]
    if len(y) < train.sum() or classes < 2:
        return False
    if feature.levels is None:
        order = np.lexsort((y, feature.numbers[rows]))
        ends = feature.numbers[rows][order]
        changes = np.flatnonzero(np.diff(y[order]))
        return len(changes) == classes - 1 and bool((ends[changes] < ends[changes + 1]).all())
    cells = np.unique(feature.levels.places[rows] * (int(y.max()) + 1) + y)
    places = np.unique(feature.levels.places[rows])
    return len(cells) == len(places) <= FEW


def _hashed(columns: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """One number for each row; rows with equal cells have equal numbers, others with chance 2^-64."""
    found = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        found = _mixed(found * np.uint64(0x9E3779B97F4A7C15) + _mixed(column))
    return found


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit made to depend on every other one: the finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
