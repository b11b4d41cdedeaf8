"""Arrays that users give, read and checked: each kind of fault is found in one place, and has one text.

`where` is the function that was called, `field` the argument; every fault is an `InputError` of one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitlib.errors import InputError

GIVE_ARRAYS = "give an array, a list, a column of a data frame, or a tensor on the CPU"
ONE_PER_ROW = "give one value for each test row"
RUNS = "give (runs, rows), or a list of one array for each run"
FILL = "fill them in, or leave these rows out of every argument"
MOST_EXACT = 2**53  # beyond it, not all whole numbers are floats


def read_array(where: str, field: str, values: object, fewest_axes: int = 1) -> NDArray:
    """Return anything with `__array__`, or nested lists, as an array; missing values stay missing.

    Raises InputError for a ragged list, a tensor on a GPU, and (`fewest_axes`) for a single value.

    >>> read_array("analyze", "y_pred", ["a", None]).tolist(), read_array("analyze", "y_pred", [[0, 1]]).shape
    (['a', None], (1, 2))
    """
    if hasattr(values, "combine_chunks"):  # NumPy would read a null of Arrow's categories as one of the categories
        values = values.combine_chunks()
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        filled = np.ma.getdata(values).astype(object)
        filled[np.ma.getmaskarray(values)] = None
        values = filled
    try:
        array = np.asarray(values)
        # NumPy turns None and NaN between text into the text "None" and "nan"; objects keep them as they are.
        array = np.array(values, object) if array.dtype.kind in "US" and not hasattr(values, "dtype") else array
    except (TypeError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        problem = f"not an array ({text if len(text) <= 80 else text[:77] + '...'})"
        raise InputError(where, field, type(values).__name__, problem, GIVE_ARRAYS) from error
    if array.ndim < fewest_axes:
        raise InputError(where, field, values, "not an array", GIVE_ARRAYS)
    return array


def read_column(where: str, field: str, values: object, rows: int) -> NDArray:
    """Return one value for each test row, (rows,); (rows, 1) is one, too."""
    array = read_array(where, field, values)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.ndim != 1:
        raise InputError(where, f"shape of {field}", array.shape, "not (rows,)", ONE_PER_ROW)
    if len(array) != rows:
        raise InputError(where, f"length of {field}", len(array), f"y_true has {rows:,} rows", ONE_PER_ROW)
    return array


def named_columns(where: str, field: str, values: Any) -> dict[Any, Any] | None:
    """Return the columns of a mapping or a data frame of any library by name; None for anything else.

    Raises InputError without a column, and for two that have the same name as text.
    """
    if isinstance(values, Mapping):
        names = list(values)
    else:
        columns = getattr(values, "column_names", None)  # of Arrow; `columns` of pandas and polars
        columns = getattr(values, "columns", None) if columns is None else columns
        if columns is None:
            return None
        names = list(columns)
    if not names:
        raise InputError(where, field, names, "no column", "give at least one: {name: array}")
    texts = list(map(str, names))
    repeated = [name for i, name in enumerate(texts) if name in texts[:i]]
    if repeated:
        raise InputError(where, field, repeated[0], "two columns of this name", "rename one of them")
    return {name: values[name] for name in names}


def listed_classes(where: str, classes: Any) -> list:
    """Return the declared classes, or names of labels, as a list."""
    if not isinstance(classes, str):
        try:
            return list(classes)
        except TypeError:
            pass
    raise InputError(where, "classes", classes, "not a list of classes", "list every class")


def check_names(where: str, field: str, names: Iterable[str]) -> None:
    """Refuse names of techniques or attributes that are blank, or alike but for case and blanks."""
    seen: dict[str, str] = {}
    for name in names:
        key = "".join(name.casefold().split())
        if not key:
            raise InputError(where, field, name, "a blank name", "give it a name")
        if key in seen:
            problem = f"differs from {seen[key]!r} in case or blanks only"
            raise InputError(where, field, name, problem, "rename one of them")
        seen[key] = name


# Shapes


def check_run(where: str, field: str, shape: tuple[int, ...], truth: tuple[int, ...]) -> None:
    """Refuse predictions of one run that have other rows, or labels, than the truth."""
    if shape != truth:
        raise InputError(where, f"shape of {field}", shape, f"y_true is {truth}", RUNS)


def check_runs(where: str, field: str, shape: tuple[int, ...], truth: tuple[int, ...]) -> None:
    """Refuse predictions of several runs, the runs in front, that have other rows, or the runs behind the rows."""
    if shape[1:] == truth:
        return
    swapped = shape[:1] == truth[:1] and shape[2:] == truth[1:]
    if len(shape) == len(truth) + 1 and (swapped or shape[0] > shape[1]):
        turned = f"{field}.T" if len(truth) == 1 else f"np.moveaxis({field}, 1, 0)"
        problem = f"the runs come first, and y_true is {truth}"
        raise InputError(where, f"shape of {field}", shape, problem, f"transpose it: {turned}")
    raise InputError(where, f"shape of {field}", shape, f"y_true is {truth}", RUNS)


# Values


def check_missing(where: str, field: str, array: NDArray) -> None:
    """Refuse missing values: None, NaN, NaT, NA, blank text and the text "nan"."""
    missing = _missing(array)
    if missing.any():
        first, rows = tuple(np.argwhere(missing)[0].tolist()), "rows" if array.ndim == 1 else "values"
        value = str(array[first]).strip() if isinstance(array[first], str) else None
        problem = f"missing in {missing.sum():,} of {missing.size:,} {rows}, the first {_place(first)}"
        raise InputError(where, field, value, problem, FILL)


def _missing(array: NDArray) -> NDArray[np.bool_]:
    kind = array.dtype.kind
    if kind == "O":
        import pandas as pd

        blank = [value for value in _distinct(array) if isinstance(value, str) and value.strip() in ("", "nan")]
        missing = np.asarray(pd.isna(array))
        return missing | np.isin(array, blank) if blank else missing
    if kind == "U":  # np.array(["a", nan]) makes text of a missing value
        return np.isin(np.char.strip(array), ("", "nan"))
    return np.isnat(array) if kind in "mM" else np.isnan(array) if kind in "fc" else np.zeros(array.shape, dtype=bool)


def _distinct(array: NDArray) -> Iterable[object]:
    """Return the different objects in an array; none of those that cannot be told apart, such as lists."""
    import pandas as pd

    try:
        return pd.unique(array.ravel())
    except TypeError:
        return ()


def _place(index: tuple[int, ...]) -> str:
    return f"row {index[0]}" if len(index) == 1 else f"at {index}"


def check_kind(where: str, field: str, array: NDArray) -> None:
    """Refuse what are neither classes nor groups: dates, complex numbers, bytes, records."""
    if array.dtype.kind not in "biufOU":
        remedy = "give integers, booleans or strings"
        raise InputError(where, field, array.dtype.name, "no type of classes or groups", remedy)


def check_whole(where: str, field: str, array: NDArray, remedy: str) -> None:
    """Refuse floats that are no classes, such as scores."""
    if array.dtype.kind != "f":
        return
    broken = ~np.isfinite(array) | (np.rint(array) != array)
    large = np.abs(array) > MOST_EXACT
    if broken.any():
        raise InputError(where, field, array[broken][0].item(), "not a whole number, so no class", remedy)
    if large.any():
        remedy = "give numbers below 2**53, or strings"
        raise InputError(where, field, array[large][0].item(), "too large for a class", remedy)


def check_zero_one(where: str, field: str, values: NDArray) -> None:
    """Refuse labels, (rows, labels) or (runs, rows, labels), other than 0 and 1."""
    wrong = ~np.isin(values, (0, 1))
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0].tolist())
        problem = f"neither 0 nor 1, {_place(first)}"
        value = values[first].item() if isinstance(values[first], np.generic) else values[first]
        raise InputError(where, field, value, problem, "write every label as 0 or 1")
