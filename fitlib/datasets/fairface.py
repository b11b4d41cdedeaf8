"""FairFace, or any image table with a column for the target and one for the protected attribute.

Parquet files in the layout of public image data sets (`fitlib.datasets.parquet`). Kärkkäinen & Joo, WACV 2021:
108,501 faces with age, gender and race; the test part is the published validation part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fitlib.datasets import Dataset, Split
from fitlib.datasets.images import Decoding, decoded, known
from fitlib.datasets.parquet import ImageTable
from fitlib.errors import InputError

REMEDY = (
    "get the parquet files of FairFace (about 0.5 GB at 224 pixels; https://github.com/joojs/fairface, or "
    "https://huggingface.co/datasets/HuggingFaceM4/FairFace) and set data.root to the file or folder"
)


def describe(
    root: str | None = None,
    target: str = "gender",
    protected: str = "race",
    positive: Sequence[str] | None = None,
    groups: dict[str, list[str]] | None = None,
    **options: object,
) -> dict:
    """Names of the classes and, per protected attribute, of the groups; reads the two columns, no image."""
    table = _table(root)
    classes, _ = classes_of(table, target, positive)
    return {"classes": list(classes), "groups": {"protected": list(groups_of(table, protected, groups)[0])}}


def source_files(root: str | None = None, **options: object) -> list[Path]:
    """The parquet files."""
    return _table(root).files


def load(
    root: str | None = None,
    target: str = "gender",
    protected: str = "race",
    positive: Sequence[str] | None = None,
    groups: dict[str, list[str]] | None = None,
    size: int = 64,
    limit: int | None = None,
    test_limit: int | None = None,
) -> Dataset:
    """Make the data set; x is uint8 (rows, 3, size, size): the shorter side resized, the central square.

    Classes are the values of the column `target`, or two, other and those that `positive` lists; groups are those of
    `protected`, or {name: [values, …]} of `groups`, which leaves rows with other values out. `limit` and `test_limit`
    keep the first so many rows of the training and the test part.
    """
    table = _table(root)
    classes, y = classes_of(table, target, positive)
    names, s = groups_of(table, protected, groups)
    parts = {"train": (table.rows("train"), limit), "test": (table.rows("test", "validation"), test_limit)}
    made = {}
    for part, (rows, most) in parts.items():
        rows = rows[s[rows] >= 0][:most]
        x = decoded(table.source(rows), Decoding(shorter=size, crop=size))
        made[part] = Split(x, y[rows], s[rows], rows)
    return Dataset("fairface", made["train"], made["test"], classes, names)


def classes_of(table: ImageTable, column: str, positive: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the classes and the class of each row, int64 (rows,)."""
    names, numbers = _values(table, column)
    if positive is None:
        return names, numbers
    chosen = [names.index(known(str(table.root), f"positive ({column})", value, names)) for value in positive]
    return ("other", ", ".join(positive)), np.isin(numbers, chosen).astype(np.int64)


def groups_of(
    table: ImageTable, column: str, merged: dict[str, list[str]] | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the groups and the group of each row, int64 (rows,); -1 where `merged` gives a value no group."""
    names, numbers = _values(table, column)
    if merged is None:
        return names, numbers
    group = np.full(len(names), -1, np.int64)
    for number, values in enumerate(merged.values()):
        group[[names.index(known(str(table.root), f"groups ({column})", value, names)) for value in values]] = number
    return tuple(merged), group[numbers]


def _values(table: ImageTable, column: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of a column's values, and each row's number among them; in the table's own order, else sorted."""
    cells, declared = table.column(column), table.names(column)
    if declared and cells.dtype.kind in "iu":
        return tuple(declared), cells.astype(np.int64)
    values, numbers = np.unique(cells, return_inverse=True)
    return tuple(str(value) for value in values), numbers.astype(np.int64)


def _table(root: str | None) -> ImageTable:
    if root is None or not Path(root).exists():
        raise InputError("fairface", "data.root", root, "not given" if root is None else "not there", REMEDY)
    return ImageTable(Path(root), REMEDY)
