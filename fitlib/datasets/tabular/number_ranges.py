"""Protected attributes that are numbers, such as an age in years, cut into ranges: the same ones for all files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fitlib.datasets.tabular import column_guesses
from fitlib.datasets.tabular.column_vocabulary import CODE, fits, kind_of_attribute
from fitlib.datasets.tabular.columns import text_of
from fitlib.datasets.tabular.label_encoding import list_values
from fitlib.errors import InputError
from fitlib.storage.prediction_columns import one_line


def bins_of(where: str, field: str, name: str, column: pa.ChunkedArray) -> list[float] | None:
    """Return where to cut the numbers of attribute `name`, as `fitlib init` does; None where every value is a group.

    That is where they are not numbers, are few (20 or fewer whole ones), or are codes or identifiers by their name.
    InputError, about `field`, where they are too few for ranges.

    >>> ages = pa.chunked_array([list(range(20, 50))])
    >>> [bins_of("a.csv", name, name, ages) for name in ("age", "id", "sex")]
    [[40], None, None]
    """
    look = column_guesses.profile_column(name, column)
    kind = kind_of_attribute(name)
    if not look.numeric or column_guesses.needs_no_cut(look) or kind not in (None, "age") or fits(name, CODE):
        return None
    if kind is None and column_guesses.is_identifier(look):
        return None
    try:
        return column_guesses.groups_of(where, look, None).bins
    except InputError:
        remedy = "write the ranges that you mean, such as 'under 40', in its place"
        raise InputError(where, field, text_of(look.numbers[0].item()), "too few rows for ranges", remedy) from None


def range_names(bins: Sequence[float]) -> list[str]:
    """Return the names of the ranges in their order.

    >>> range_names([25, 45])
    ['< 25', '25 to < 45', '>= 45']
    """
    ends = [text_of(end) for end in bins]
    return [f"< {ends[0]}", *(f"{a} to < {b}" for a, b in pairwise(ends)), f">= {ends[-1]}"]


def ranges_note(name: str, bins: Sequence[float]) -> str:
    """Return a sentence on the ranges that were guessed."""
    return f"Numbers of {one_line(name, 40)} cut into ranges: {list_values(range_names(bins))} (guessed)."


def cut(where: str, name: str, column: pa.ChunkedArray, bins: Sequence[float]) -> pa.ChunkedArray:
    """Return the name of every row's range (rows,), null where it has no number; InputError for text."""
    try:
        numbers = column.cast(pa.float64()).combine_chunks()
    except pa.ArrowException:
        raise InputError(
            where, name, column[0].as_py(), "text, and numbers in another file", "write both alike"
        ) from None
    places = np.digitize(pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False), bins)
    places = pa.array(places, mask=pc.is_null(numbers, nan_is_null=True).to_numpy(zero_copy_only=False))
    return pa.chunked_array([pa.array(range_names(bins)).take(places)])
