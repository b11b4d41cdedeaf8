"""Data sets: what every one of them returns."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np


@dataclass(frozen=True)
class Split:
    """One part of a data set, as arrays that share their first axis (rows).

    `x` float32 or uint8 (rows, …); `y` int64 (rows,), or 0/1 (rows, labels) for multi-label data; `protected` int64
    (rows,); `unit` int64 (rows,), the test unit, equal where one original stands in several groups.
    """

    x: np.ndarray
    y: np.ndarray
    protected: np.ndarray
    unit: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Split:
        """The given rows, in the given order."""
        return Split(self.x[rows], self.y[rows], self.protected[rows], self.unit[rows])


@dataclass(frozen=True)
class Dataset:
    """Training and test part with the names of classes and groups."""

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    multilabel: bool = False

    def counts(self, part: str) -> Table:
        """Rows of a part ("train" or "test") by group and class, as a table for a notebook."""
        split: Split = getattr(self, part)
        labels = split.y if self.multilabel else np.eye(len(self.classes), dtype=np.int64)[split.y]
        rows = [labels[split.protected == g].sum(0).tolist() for g in range(len(self.groups))]
        return Table(["group", *self.classes], [[name, *row] for name, row in zip(self.groups, rows, strict=True)])


@dataclass(frozen=True)
class Table:
    """A small table that notebooks show as HTML; cells are escaped."""

    header: list[str]
    rows: list[list[object]]

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in self.header)
        body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        return "\n".join("  ".join(f"{cell!s:>8}" for cell in row) for row in [self.header, *self.rows])
