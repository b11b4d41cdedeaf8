"""Labels of any kind in arrays, lists, pandas objects or tensors: checked, and counted by run, group and class.

Every problem is an `InputError` of one line that names the function, the argument and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fitlib.errors import InputError
from fitlib.metrics.arrays import (
    check_kind,
    check_missing,
    check_run,
    check_runs,
    check_whole,
    check_zero_one,
    listed_classes,
    named_columns,
    read_array,
    read_column,
)
from fitlib.metrics.counts import Cells, Counts, cells_of, confusion, label_counts

if TYPE_CHECKING:
    import pandas as pd

MOST_COUNTS = 2**27  # entries of a count array: 1 GiB
CLASSES_OF = {"integer": np.int64, "boolean": np.bool_, "floating": np.float64, "string": object}


@dataclass(frozen=True)
class CountedArrays:
    """Counts of predictions with the labels of their axes.

    counts: `confusion`, or `label_counts` if multilabel; `has_runs`: whether y_pred had an axis of runs.
    """

    counts: Counts
    multilabel: bool
    has_runs: bool
    classes: pd.Index
    groups: pd.Index

    @property
    def cells(self) -> Cells:
        """The cells of each class, or label, against the rest: (runs, groups, classes)."""
        return cells_of(self.counts, self.multilabel)


def count_arrays(
    function: str,
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    classes: Sequence | None = None,
    fewest_classes: int = 2,
) -> CountedArrays:
    """Count y_pred (rows,) or (runs, rows), multi-label (rows, labels) or (runs, rows, labels), against y_true.

    y_true (rows,) or (rows, labels); sensitive_features (rows,), or several columns, which are crossed, or None: all
    rows are one group. classes: all classes, in this order (multi-label: names of the labels); default: those that
    occur, sorted, and both where all are 0/1. `function` is named in errors.

    >>> counted = count_arrays("f", ["no", "yes", "yes"], ["no", "yes", "no"], ["m", "m", "f"])
    >>> counted.counts.tolist(), counted.classes.tolist(), counted.groups.tolist()
    ([[[[0, 0], [1, 0]], [[1, 0], [0, 1]]]], ['no', 'yes'], ['f', 'm'])
    """
    truth, prediction = _class_array(function, "y_true", y_true), _class_array(function, "y_pred", y_pred)
    _check_shapes(function, truth, prediction)
    group, groups = _groups(function, sensitive_features, len(truth))
    runs = prediction if prediction.ndim > truth.ndim else prediction[None]
    if truth.ndim == 2:
        names = _label_names(function, (y_true, y_pred), truth.shape[1], classes)
        truth, runs = _zero_one(function, "y_true", truth), _zero_one(function, "y_pred", runs)
        counts = label_counts(truth, runs, group, len(groups))
    else:
        names = _classes(function, truth, runs, classes, fewest_classes)
        _check_size(function, len(runs), len(groups), len(names))
        coded = (_codes(truth, names), _codes(runs, names))
        counts = confusion(*coded, group, len(names), len(groups))
    return CountedArrays(counts, truth.ndim == 2, prediction.ndim > truth.ndim, names, groups)


# Arrays of labels


def _as_array(function: str, name: str, values: Any) -> NDArray:
    """Return values as an array with at least one entry and no missing value."""
    array = read_array(function, name, values)
    if array.size == 0:
        raise InputError(function, name, array.shape, "empty", "give at least one row and one run")
    check_missing(function, name, array)
    return array


def _class_array(function: str, name: str, values: Any) -> NDArray:
    """Return classes as integers, booleans or text (dtype object); floats must be whole numbers."""
    array = _as_array(function, name, values)
    check_kind(function, name, array)
    if array.dtype.kind in "OU":
        array = _typed(function, name, array)
    if array.dtype.kind == "f":
        check_whole(function, name, array, f"give classes; of scores, for example {name} >= 0.5")
        return array.astype(np.int64)
    return array


def _typed(function: str, name: str, array: NDArray) -> NDArray:
    """Return an array of objects in the type that all of them have."""
    from pandas.api.types import infer_dtype

    kind = infer_dtype(array.ravel(), skipna=False)
    if kind not in CLASSES_OF:
        remedy = "give integers, booleans or strings only"
        raise InputError(function, name, array.flat[0], f"not all classes are of one type ({kind})", remedy)
    try:
        return array.astype(CLASSES_OF[kind])
    except OverflowError:
        remedy = "give numbers below 2**63, or strings"
        raise InputError(function, name, max(array.flat, key=abs), "too large for a class", remedy) from None


# Shapes


def _check_shapes(function: str, truth: NDArray, prediction: NDArray) -> None:
    """Raise InputError unless y_pred has the shape of y_true, with or without an axis of runs in front."""
    if truth.ndim > 2 or (truth.ndim == 2 and truth.shape[1] == 1):
        remedy = "give (rows,), or (rows, labels) of 0/1 for two labels or more; one y_true serves all runs"
        raise InputError(function, "y_true", truth.shape, "no shape of true classes", remedy)
    axes = "rows, labels" if truth.ndim == 2 else "rows"
    if prediction.ndim not in (truth.ndim, truth.ndim + 1):
        remedy = f"give ({axes}{',' if truth.ndim == 1 else ''}) or (runs, {axes}), with y_true ({axes})"
        raise InputError(function, "y_pred", prediction.shape, f"no shape for y_true {truth.shape}", remedy)
    check_shape = check_run if prediction.ndim == truth.ndim else check_runs
    check_shape(function, "y_pred", prediction.shape, truth.shape)


def _check_size(function: str, n_runs: int, n_groups: int, n_classes: int) -> None:
    """Raise InputError if the counts of so many classes would not fit into memory."""
    if n_runs * n_groups * n_classes**2 > MOST_COUNTS:
        problem = f"{n_classes} classes in {n_groups} groups and {n_runs} runs are too many to count"
        raise InputError(
            function, "y_pred", n_classes, problem, "give classes, not measurements, or fewer runs at once"
        )


# Classes


def _classes(
    function: str, truth: NDArray, prediction: NDArray, declared: Sequence | None, fewest: int = 2
) -> pd.Index:
    """Return the classes, those that occur (sorted) unless declared."""
    import pandas as pd

    text = [array.dtype == object for array in (truth, prediction)]
    if text[0] != text[1]:
        kinds = ["strings" if of_text else "numbers" for of_text in text]
        remedy = "name the classes alike in both"
        raise InputError(
            function, "y_pred", prediction.ravel()[:1].tolist()[0], f"{kinds[1]}, but y_true has {kinds[0]}", remedy
        )
    found = sorted({*pd.unique(truth).tolist(), *pd.unique(prediction.ravel()).tolist()})
    if declared is not None:
        return _declared(function, declared, found)
    if not text[0] and {0, 1}.issuperset(found):
        boolean = truth.dtype == prediction.dtype == np.bool_
        found = [False, True] if boolean else [0, 1]
    if len(found) < fewest:
        raise InputError(function, "y_true", found[0], "one class only", "list all classes in classes=")
    return pd.Index(found, name="class")


def _declared(function: str, declared: Sequence, found: Sequence) -> pd.Index:
    """Return the declared classes; raise InputError unless they are different and cover those that occur."""
    import pandas as pd

    declared = listed_classes(function, declared)
    classes = pd.Index(_class_array(function, "classes", declared), name="class")
    if not classes.is_unique or len(classes) < 2:
        raise InputError(function, "classes", declared, "not two or more different classes", "list each once")
    absent = [value for value in found if value not in set(classes.tolist())]
    if absent:
        raise InputError(function, "classes", declared, f"{absent[0]!r} occurs, too", "list every class")
    return classes


def _codes(values: NDArray, classes: pd.Index) -> Counts:
    """Return the positions of values among the classes, int64 of the same shape."""
    import pandas as pd

    if classes.tolist() == list(range(len(classes))):  # by far the most frequent case; needs no look-up
        return values.astype(np.int64, copy=False)
    if values.dtype != object:  # booleans among numbers, or the other way round
        classes, values = pd.Index(classes.to_numpy().astype(np.int64)), values.astype(np.int64)
    return np.asarray(classes.get_indexer(values.ravel()), dtype=np.int64).reshape(values.shape)


def _zero_one(function: str, name: str, values: NDArray) -> Counts:
    """Return entries of multi-label arrays as int64."""
    check_zero_one(function, name, values)
    return values.astype(np.int64)


def _label_names(function: str, frames: Sequence[Any], n_labels: int, declared: Sequence | None) -> pd.Index:
    """Return the names of labels: declared, or columns of the first data frame, or numbers from 0."""
    import pandas as pd

    names = [frame.columns.tolist() for frame in frames if isinstance(frame, pd.DataFrame)]
    if len(names) == 2 and names[0] != names[1]:
        remedy = "give y_pred the columns of y_true, in their order"
        raise InputError(function, "y_pred", names[1], f"y_true has the labels {names[0]}", remedy)
    if declared is not None:
        names = [listed_classes(function, declared)]
    labels = pd.Index(names[0] if names else range(n_labels), name="class")
    if len(labels) != n_labels or not labels.is_unique:
        raise InputError(function, "classes", names[0], f"not {n_labels} different labels", "name each label once")
    return labels


# Groups


def _groups(function: str, sensitive_features: Any, n_rows: int) -> tuple[Counts, pd.Index]:
    """Return the group of each row as int64 (rows,), and the groups; several columns are crossed."""
    import pandas as pd

    if sensitive_features is None:
        return np.zeros(n_rows, dtype=np.int64), pd.Index(["all"], name="group")
    columns = _columns(function, sensitive_features, n_rows)
    factors = [_factorize(function, values) for values in columns.values()]
    if len(factors) == 1:
        return factors[0][0], pd.Index(factors[0][1], name=next(iter(columns)))
    # Combinations without rows are no groups.
    present, group = np.unique(np.column_stack([codes for codes, _ in factors]), axis=0, return_inverse=True)
    levels = [labels[codes] for codes, (_, labels) in zip(present.T, factors, strict=True)]
    return group.reshape(-1).astype(np.int64), pd.MultiIndex.from_arrays(levels, names=list(columns))


def _columns(function: str, features: Any, n_rows: int) -> dict[Any, NDArray]:
    """Return the columns of sensitive features (rows,) by name, without missing values."""
    field = "sensitive_features"
    named = named_columns(function, field, features)
    if named is None:
        array = _as_array(function, field, features)
        if array.ndim > 2:
            raise InputError(function, field, array.shape, "no shape of groups", "give (rows,) or (rows, attributes)")
        name = getattr(features, "name", None)
        several = {f"attribute {i}": column for i, column in enumerate(array.T)} if array.ndim == 2 else {}
        named = several or {"group" if name is None else name: array}
        fields = dict.fromkeys(named, field)
    else:
        fields = {name: f"{field}[{name!r}]" for name in named}
    columns = {name: read_column(function, fields[name], values, n_rows) for name, values in named.items()}
    for name, values in columns.items():
        check_missing(function, fields[name], values)
    return columns


def _factorize(function: str, values: NDArray) -> tuple[Counts, NDArray]:
    """Return codes int64 (rows,) and the sorted labels; labels of several types are sorted by type first."""
    import pandas as pd

    try:
        codes, labels = pd.factorize(values)
    except TypeError as error:
        raise InputError(function, "sensitive_features", values[0], f"no labels ({error})", "give strings") from None
    try:
        order = np.array(sorted(range(len(labels)), key=lambda i: labels[i]))
    except TypeError:
        order = np.array(sorted(range(len(labels)), key=lambda i: (type(labels[i]).__name__, str(labels[i]))))
    return np.argsort(order)[codes].astype(np.int64), labels[order]
