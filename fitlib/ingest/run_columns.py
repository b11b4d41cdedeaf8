"""Columns of a file of predictions: runs side by side, decisions made from scores, rows of a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import MISSING
from fitlib.datasets.tabular.columns import levels_of
from fitlib.datasets.tabular.label_encoding import key_of, list_values
from fitlib.errors import InputError
from fitlib.ingest.choices import Choices
from fitlib.ingest.score_columns import class_of
from fitlib.storage.prediction_columns import one_line
from fitlib.storage.predictions import attribute_of

Columns = Mapping[str, pa.ChunkedArray]


def runs_side_by_side(columns: Columns) -> Iterator[tuple[str, dict[str, pa.ChunkedArray]]]:
    """Yield the columns of every run with its label: those of the file, "", or with one column of predictions each."""
    runs = [role for role in columns if role.startswith("prediction.")]
    shared = {role: column for role, column in columns.items() if role not in runs}
    if not runs:
        yield "", shared
    for role in runs:
        yield role.removeprefix("prediction."), shared | {"prediction": columns[role]}


def decide(
    where: str, columns: Columns, roles: Mapping[str, str], choices: Choices, threshold: float
) -> tuple[pa.ChunkedArray, str]:
    """Return decisions made from scores, and a sentence on them.

    Of two classes, that of the score is chosen from `threshold` on: the one that the column names, else the
    favourable one, else the later one. InputError unless the ground truth has two classes.
    """
    truth = levels_of(where, roles["ground_truth"], columns["ground_truth"])
    classes = choices.classes or truth.names
    role = next(name for name in columns if name.partition(".")[0] == "score")
    if len(classes) != 2:
        problem = f"a threshold decides between two classes, and there are {len(classes)} ({list_values(classes)})"
        raise InputError(where, "--threshold", threshold, problem, "add a column with the predicted class")
    ordered = sorted(classes, key=lambda name: (isinstance(key_of(name), str), key_of(name)))
    named = class_of(role.partition(".")[2], ordered, choices.favourable) if "." in role else None
    given = class_of(choices.favourable, ordered, None) if choices.favourable else None
    number = next(place for place in (named, given, 1) if place is not None)
    scores = _numbers(where, roles[role], columns[role])
    above = scores >= threshold
    chosen = pa.array(np.where(above, ordered[number], ordered[1 - number]))
    text = f"Class {one_line(ordered[number], 40)} decided from {one_line(roles[role], 40)} >= {threshold:g}."
    return pa.chunked_array([chosen]), text


def _numbers(where: str, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    try:
        scores = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        raise InputError(where, name, str(column[0].as_py()), "not numbers", "give a column of scores") from None
    if not np.isfinite(scores).all():
        row = int(np.argmin(np.isfinite(scores)))
        raise InputError(where, name, scores[row].item(), f"not a finite number, in row {row}", "fill it in")
    return scores


def rows_of_group(where: str, columns: Columns, attribute: str, group: str) -> NDArray[np.bool_]:
    """Return which rows (rows,) are of a group, of any attribute if that is ""; "?" and the like are no value."""
    members = np.zeros(len(next(iter(columns.values()))), bool)
    for role, column in columns.items():
        fits = not attribute or attribute_of(role).casefold() == attribute.casefold()
        if role.partition(".")[0] == "protected" and fits:
            levels = levels_of(where, role, column)
            same = [place for place, name in enumerate(levels.names) if key_of(name) == key_of(group)]
            members |= np.isin(levels.places, [*same, *([-1] if group in MISSING else [])])
    return members
