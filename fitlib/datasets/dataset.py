"""The `Dataset` that every data set returns, and its parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from html import escape
from typing import Any

import numpy as np

from fitlib.errors import InputError


@dataclass(frozen=True)
class Ragged:
    """Images of different sizes, as they are stored; a batch takes a random crop of each.

    `pixels` uint8 (bytes,), the images one after another, each as (3, height, width); `sizes` int64 (images, 2),
    height and width; `rows` int64 (rows,), the image of each row, so that parts of a data set share their pixels.

    >>> images = Ragged.of([np.zeros((3, 2, 4)), np.ones((3, 5, 3))])
    >>> len(images), images[np.array([1])].image(0).shape
    (2, (3, 5, 3))
    """

    pixels: np.ndarray
    sizes: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, images: list[np.ndarray]) -> Ragged:
        """Build it from uint8 images (3, height, width), one row each."""
        sizes = np.array([image.shape[1:] for image in images], np.int64).reshape(-1, 2)
        flat = [np.ascontiguousarray(image, np.uint8).reshape(-1) for image in images]
        return cls(np.concatenate([np.zeros(0, np.uint8), *flat]), sizes, np.arange(len(images)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray) -> Ragged:
        """Return the given rows, in the given order; the pixels are shared."""
        return Ragged(self.pixels, self.sizes, self.rows[rows])

    @cached_property
    def offsets(self) -> np.ndarray:
        """Start of each image in `pixels`, and the end of the last one; int64 (images + 1,)."""
        return np.concatenate([[0], np.cumsum(3 * self.sizes.prod(1))])

    def compact(self) -> Ragged:
        """Copy the pixels of these rows only: the share of a common array that a device has to hold."""
        used, rows = np.unique(self.rows, return_inverse=True)
        pieces = [self.pixels[self.offsets[i] : self.offsets[i + 1]] for i in used]
        return Ragged(np.concatenate([self.pixels[:0], *pieces]), self.sizes[used], rows)

    def image(self, row: int) -> np.ndarray:
        """Return the uint8 image (3, height, width) of one row."""
        number = self.rows[row]
        return self.pixels[self.offsets[number] : self.offsets[number + 1]].reshape(3, *self.sizes[number])


@dataclass(frozen=True)
class Split:
    """One part of a data set, as arrays that share their first axis (rows).

    `x` float32 (rows, …), uint8 (rows, …) scaled to [0, 1] by the batch, or `Ragged`; `y` int64 (rows,), or 0/1
    (rows, labels) for multi-label data; `protected` int64 (rows,), the groups that methods use; `unit` int64 (rows,),
    the test unit, equal where one original appears in several groups; `attributes` int64 (rows,) for each protected
    attribute, the first of which equals `protected`; empty: a single one, named "protected".
    """

    x: np.ndarray | Ragged
    y: np.ndarray
    protected: np.ndarray
    unit: np.ndarray
    attributes: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Split:
        """Return the given rows, in the given order."""
        attributes = {name: numbers[rows] for name, numbers in self.attributes.items()}
        return Split(self.x[rows], self.y[rows], self.protected[rows], self.unit[rows], attributes)

    def by_attribute(self) -> dict[str, np.ndarray]:
        """Return the groups int64 (rows,) of every protected attribute."""
        return self.attributes or {"protected": self.protected}

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield name and content of every array, for digests."""
        for name, value in vars(self).items():
            if isinstance(value, Ragged):
                yield from ((f"{name}.{array.name}", getattr(value, array.name)) for array in fields(value))
            elif isinstance(value, dict):
                yield from ((f"{name}.{key}", numbers) for key, numbers in value.items())
            else:
                yield name, value


Normalisation = str | tuple[tuple[float, ...], tuple[float, ...]] | None


@dataclass(frozen=True)
class Dataset:
    """Training and test part with the names of classes and groups.

    `validation` chooses between epochs (`select: best-f1`); `extra` holds further parts that a stage may train on.
    `normalisation` is applied to every image in [0, 1], channel by channel: "training" (mean and SD of the training
    rows in use), None (nothing), or (means, SDs). `attribute_groups` names the groups of every protected attribute,
    the first of which equals `groups`; empty: a single one, named "protected". `categories` are the sizes of the
    categorical columns: their codes, whole numbers, are the last columns of x. `notes` are sentences on what was left
    out, mapped or guessed.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    multilabel: bool = False
    validation: Split | None = None
    extra: dict[str, Split] = field(default_factory=dict)
    normalisation: Normalisation = "training"
    attribute_groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    categories: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def part(self, name: str) -> Split:
        """Return a part: "train", "validation", "test" or one of `extra`; InputError where there is none."""
        parts = {"train": self.train, "test": self.test, "validation": self.validation, **self.extra}
        split = parts.get(name)
        if split is None:
            present = ", ".join(key for key, split in parts.items() if split is not None)
            raise InputError(self.name, "part", name, "the data set has no such part", f"it has {present}")
        return split

    def check(self) -> Dataset:
        """Return the data set itself; InputError where a group has no member in the training or the test part."""
        for part in ("train", "test"):
            sizes = np.bincount(self.part(part).protected, minlength=len(self.groups))
            for name in (name for name, size in zip(self.groups, sizes, strict=True) if not size):
                remedy = "its fairness cannot be measured: choose other data or another protected attribute"
                raise InputError(self.name, f"group of the {part} part", name, "it has no member", remedy)
        return self

    def remarks(self) -> list[str]:
        """Return the notes, and sentences on classes without a row in a part, for a notebook to print."""
        remarks = list(self.notes)
        for part in ("train", "test"):
            sizes = self._labels(self.part(part)).sum(0)
            names = [name for name, size in zip(self.classes, sizes, strict=True) if not size]
            if names:
                listed = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
                remarks.append(f"{len(names)} of {len(self.classes)} classes without a row in part {part}: {listed}.")
        return remarks

    def counts(self, part: str) -> Table:
        """Count the rows of a part ("train" or "test") by group and class, as a table for a notebook."""
        split = self.part(part)
        labels = self._labels(split)
        rows = [labels[split.protected == g].sum(0).tolist() for g in range(len(self.groups))]
        return Table(["group", *self.classes], [[name, *row] for name, row in zip(self.groups, rows, strict=True)])

    def _labels(self, split: Split) -> np.ndarray:
        return split.y if self.multilabel else np.eye(len(self.classes), dtype=np.int64)[split.y]


@dataclass(frozen=True)
class Table:
    """A small table that notebooks show as HTML; cells are escaped."""

    header: list[str]
    rows: list[list[Any]]

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in self.header)
        body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        rows: list[list[Any]] = [self.header, *self.rows]
        return "\n".join("  ".join(f"{cell!s:>8}" for cell in row) for row in rows)
