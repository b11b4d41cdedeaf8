"""Columns that tell runs or techniques apart, and that were not named as such.

The rows of all runs would pass for the test rows of a single one, and no verdict would show it.
"""

from __future__ import annotations

import numpy as np

from fitlib.datasets.tabular.column_vocabulary import fits
from fitlib.errors import InputError
from fitlib.results.array_inputs import WHERE
from fitlib.results.frame_columns import Columns, row_codes
from fitlib.results.frame_layout import Layout

WORDS = {  # argument -> words in the name of such a column
    "run": "run trial rep repetition replicate repeat seed random_state iteration",
    "technique": "technique method model algorithm approach classifier estimator",
}


def refuse_forgotten_columns(table: Columns, layout: Layout) -> None:
    """Raise InputError for an unnamed column "seed" or "model" each of whose values has the same test rows.

    The rows are the same if there are equally many of each true class and group; a column that only describes test
    rows hardly ever has that, and may be left out of the frame.
    """
    named = _named(layout)
    for role, words in WORDS.items():
        if role in layout.keys or (role == "run" and "seeds" in layout.keys) or not _one_run_each(layout):
            continue
        for column in table.names:
            if column not in named and fits(column, words) and _repeats_test_rows(table, layout, column):
                found = len(np.unique(row_codes(table.values(role, column))))
                problem = f"{found} values, each with as many rows of every true class and group"
                remedy = f"if it tells apart what was trained, name it: {role}={column!r}; otherwise drop it"
                raise InputError(WHERE, f"column {column!r}", role, problem, remedy)


def _named(layout: Layout) -> set[str]:
    """Return the columns that have a meaning."""
    several = [
        layout.y_true,
        *(of for table in (layout.predictions, layout.scores) for runs in table.values() for of in runs),
    ]
    listed = [name for of in several for name in ([of] if isinstance(of, str) else of)]
    return {*listed, *layout.groups, *layout.keys.values(), *filter(None, (layout.unit, layout.row))}


def _one_run_each(layout: Layout) -> bool:
    """Whether one column holds all predictions, as in a frame with a row for each run and test row."""
    return list(layout.predictions) == [""] and len(layout.predictions[""]) == 1


def _repeats_test_rows(table: Columns, layout: Layout, column: str) -> bool:
    """Whether every value of the column has equally many rows of each true class, group and named run or technique."""
    value = row_codes(table.values("data", column))
    if value.min() < 0 or value.max() < 1 or len(value) == value.max() + 1:
        return False
    described = [layout.y_true, *layout.groups, *layout.keys.values()]
    cell = np.unique(
        np.column_stack([row_codes(table.values("data", of)) for of in described]), axis=0, return_inverse=True
    )[1]
    counts = np.bincount(cell.ravel() * (value.max() + 1) + value, minlength=(cell.max() + 1) * (value.max() + 1))
    by_value = counts.reshape(-1, value.max() + 1)
    return bool((by_value == by_value[:, :1]).all())
