"""images: a user's images, as parquet in the layout of public data sets, or as a folder of files with a table.

Target and protected attributes are columns; images become squares of one size, decoded once and kept in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fitlib.datasets.dataset import Dataset, Split
from fitlib.datasets.images.decoding import Decoding, FileSource, decode, select_rows
from fitlib.datasets.images.folder import ImageFolder
from fitlib.datasets.images.parquet import ImageTable, part_named
from fitlib.datasets.options import ImagesOptions
from fitlib.datasets.tabular.columns import CodedColumn, Values, attributes_of, classes_of, levels_of, protected_columns
from fitlib.datasets.tabular.splitting import (
    NAMES,
    NONE,
    TEST,
    TRAIN,
    VALIDATION,
    check_members,
    draw_parts,
    limit_parts,
    parts_of_column,
)
from fitlib.errors import InputError

REMEDY = "set data.root to a parquet file, a folder of such, or a folder of image files with a table (data.table)"
IMAGES_REMEDY = "correct the table's names or data.root, or get the images again"
DRAWN_TEST_SHARE = 0.3  # where neither the data nor the options define the test part
Parts: TypeAlias = tuple[NDArray[np.int64], tuple[str, ...]]  # part of each row, and sentences on the parts


def describe(options: ImagesOptions) -> dict:
    """Return the names of the classes and, per protected attribute, of the groups; notes on omissions and guesses.

    Reads the columns, no image.
    """
    return custom_images(options).description()


def source_files(options: ImagesOptions) -> list[Path]:
    """Return the parquet files; or the table, and a small file of the cache that represents the images in use."""
    return custom_images(options).source_files()


def load(options: ImagesOptions) -> Dataset:
    """Make the data set; x is uint8 (rows, 3, size, size): the shorter side resized, the central square."""
    return custom_images(options).load()


def custom_images(options: ImagesOptions) -> CustomImages:
    """Return the data set before its images are decoded; InputError where there are no rows."""
    return CustomImages("images", image_rows(options), options)


def image_rows(options: ImagesOptions) -> ImageTable | ImageFolder:
    """Return the rows that the options name: parquet, or a folder with a table."""
    root = Path(options.root)
    if not root.exists():
        raise InputError("images", "data.root", options.root, "no such file or folder", REMEDY)
    if root.is_file() and root.suffix.lower() != ".parquet":
        remedy = "set data.root to the folder of the images, and data.table to their table"
        raise InputError("images", "data.root", options.root, "a file, but not a parquet file", remedy)
    packed = root.is_file() or any(True for pattern in ("*.parquet", "*/*.parquet") for _ in root.glob(pattern))
    if packed and options.table is None:
        return ImageTable(root, REMEDY, options.image)
    return ImageFolder(root, IMAGES_REMEDY, options.table, options.path)


@dataclass(frozen=True)
class CustomImages:
    """Rows of images with their labels, and the options that define their roles; no image is decoded yet."""

    name: str
    rows: ImageTable | ImageFolder
    options: ImagesOptions
    attribute: str | None = None  # name of the only protected attribute; None: that of its column

    def __post_init__(self) -> None:
        """Raise InputError where a column has two roles."""
        given = self.options
        named = [given.target, *protected_columns(given.protected), given.split, given.unit]
        repeated = [name for place, name in enumerate(named) if name is not None and name in named[:place]]
        if repeated:
            problem = "this column is named twice among target, protected, split and unit"
            raise InputError(self.where, "column", repeated[0], problem, "give every role its own column")

    @property
    def where(self) -> str:
        """Name of the data in messages."""
        return self.rows.file.name if isinstance(self.rows, ImageFolder) else self.rows.root.name

    @cached_property
    def target(self) -> CodedColumn:
        """The class of each row; class numbers with names in the data keep their order."""
        column, positive, classes = self.options.target, self.options.positive, self.options.classes
        coded = classes_of(self.where, column, self._cells(column), positive, classes)
        return reorder(coded, self.rows.names(column) if positive is None and classes is None else None)

    @cached_property
    def attributes(self) -> dict[str, CodedColumn]:
        """The groups of each row, by attribute; group numbers with names in the data keep their order."""
        given = self.options
        found = attributes_of(self.where, self._cells, given.protected, given.groups, given.bins)
        declared = given.groups is not None or given.bins is not None
        coded = [reorder(one, None if declared else self.rows.names(name)) for name, one in found.items()]
        return dict(zip([self.attribute] if self.attribute else found, coded, strict=True))

    @property
    def first(self) -> CodedColumn:
        """The protected attribute that methods use."""
        return next(iter(self.attributes.values()))

    @cached_property
    def unit(self) -> NDArray[np.int64]:
        """Test unit of each row: its number in the table, or that of its value in the column `unit`."""
        row_numbers = np.arange(len(self.target.numbers), dtype=np.int64)
        if self.options.unit is None:
            return row_numbers
        levels = levels_of(self.where, self.options.unit, self._cells(self.options.unit))
        return np.where(levels.places < 0, len(levels.values) + row_numbers, levels.places)

    @cached_property
    def parts(self) -> Parts:
        """Part of each row, -1 where it lacks a class or group, or is beyond a limit; sentences on the parts."""
        labelled = np.all([coded.numbers >= 0 for coded in (self.target, *self.attributes.values())], axis=0)
        found, notes = self._declared_parts() or self._random_parts(labelled)
        part = limit_parts(np.where(labelled, found, NONE), self.options.limit, self.options.test_limit)
        check_members(self.where, self.first.names, self.first.numbers[part != NONE], part[part != NONE])
        return part, notes

    @cached_property
    def used(self) -> NDArray[np.int64]:
        """Rows of any part, ascending; InputError where two of them name one image and there are no units."""
        found = np.flatnonzero(self.parts[0] != NONE)
        if isinstance(self.rows, ImageFolder) and self.options.unit is None:
            self.rows.check_unique(found)
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was guessed, left out and drawn, and on how many rows are used."""
        part, how = self.parts
        coded = [note for one in (self.target, *self.attributes.values()) for note in one.notes]
        sizes = {name: int((part == number).sum()) for number, name in NAMES.items()}
        parts = ", ".join(f"{size:,} in the {name} part" for name, size in sizes.items() if size)
        counted = f"{len(self.used):,} of {len(part):,} rows are used: {parts}"
        return tuple(dict.fromkeys([*self.rows.notes, *coded, *how, counted, *self._unit_notes()]))

    def description(self) -> dict:
        """Return classes, groups and notes, as plain values."""
        groups = {name: list(coded.names) for name, coded in self.attributes.items()}
        return {"classes": list(self.target.names), "groups": groups, "notes": list(self.notes)}

    def source_files(self) -> list[Path]:
        """Return the files that the data set is made from; InputError names the first missing image."""
        source = self.rows.source(self.used)
        return [*self.rows.files, *([source.note()] if isinstance(source, FileSource) else [])]

    def load(self) -> Dataset:
        """Make the data set, with its images."""
        side = self.options.size
        x = decode(self.rows.source(self.used), Decoding(shorter=side, crop=side))
        images = {number: select_rows(x, np.searchsorted(self.used, self._rows(number))) for number in NAMES}
        train, validation, test = (self._split(images[number], number) for number in (TRAIN, VALIDATION, TEST))
        return Dataset(
            self.name,
            train,
            test,
            self.target.names,
            self.first.names,
            validation=validation if len(validation) else None,
            attribute_groups={name: coded.names for name, coded in self.attributes.items()},
            notes=(*self.notes, *shared_image_notes(images[TRAIN], images[TEST])),
        )

    def _rows(self, number: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.parts[0] == number)

    def _split(self, images: NDArray[np.uint8], number: int) -> Split:
        rows = self._rows(number)
        attributes = {name: coded.numbers[rows] for name, coded in self.attributes.items()}
        return Split(images, self.target.numbers[rows], self.first.numbers[rows], self.unit[rows], attributes)

    def _cells(self, column: str) -> Values:
        """Return the cells of a column (rows,); class numbers with names in the data, as these names."""
        cells, names = self.rows.cells(column), self.rows.names(column)
        return cells if not names or not pa.types.is_integer(cells.type) else to_names(self.where, column, cells, names)

    def _declared_parts(self) -> Parts | None:
        """Return the parts in the column `split`, or of the data themselves; None where they are to be drawn."""
        given = self.options
        if given.split is not None:
            return parts_of_column(self.where, given.split, self._cells(given.split), given.test, given.validation)
        return None if given.test_share is not None else parts_by_name(self.rows.parts)

    def _random_parts(self, labelled: NDArray[np.bool_]) -> Parts:
        given, part = self.options, np.full(len(labelled), NONE)
        strata = self.target.numbers * len(self.first.names) + self.first.numbers
        share = DRAWN_TEST_SHARE if given.test_share is None else given.test_share
        seed, validation = given.split_seed, given.validation_share
        part[labelled] = draw_parts(strata[labelled], self.unit[labelled], share, validation, seed)
        by = f", by {given.unit}" if given.unit else ""
        return part, (f"the parts were drawn with seed {seed}, stratified by class and group{by}",)

    def _unit_notes(self) -> list[str]:
        part = self.parts[0]
        shared = len(np.intersect1d(self.unit[part == TRAIN], self.unit[part == TEST]))
        return [f"{shared:,} of the units {self.options.unit} are in the training and in the test part"] * bool(shared)


def reorder(coded: CodedColumn, names: Sequence[str] | None) -> CodedColumn:
    """Return it with its names in the order of `names`, if these contain all of them."""
    if not names or not set(coded.names) <= set(names):
        return coded
    order = [coded.names.index(name) for name in dict.fromkeys(names) if name in coded.names]
    new = np.append(np.argsort(order), -1)  # the last one, at index -1, maps -1 to itself
    return CodedColumn(tuple(coded.names[place] for place in order), new[coded.numbers], coded.notes)


def to_names(where: str, column: str, cells: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.object_]:
    """Return the names of class numbers (rows,), None for negative ones; InputError for a number without a name."""
    given = cells.to_numpy()
    numbers = np.where(np.isnan(given) | (given < 0), -1, given).astype(np.int64)
    if numbers.max(initial=-1) >= len(names):
        problem = f"the table's metadata name only {len(names)} classes"
        raise InputError(where, column, int(numbers.max()), problem, "write the table again, with all names or none")
    return np.array([*names, None], object)[numbers]


def parts_by_name(given: NDArray[np.str_] | None) -> Parts | None:
    """Return the parts by their names (rows,), which begin with train, test, val or dev, in any case.

    Without a test part, the validation part serves as one. None where there are no names, or none for training or for
    testing.
    """
    names, places = np.unique([] if given is None else given, return_inverse=True)
    parts = [part_named(name) for name in names.tolist()]
    if "train" not in parts or not {"test", "validation"} & set(parts):
        return None
    numbers = {"train": TRAIN, "validation": VALIDATION if "test" in parts else TEST, "test": TEST}
    part = np.array([numbers.get(name, NONE) for name in parts])[places]
    notes = [f"parts as the data name them: {', '.join(names)}"]
    notes += [] if "test" in parts else ["the validation part serves as test part: the data have no other"]
    gone = int((part == NONE).sum())
    return part, (*notes, *([f"{gone:,} rows of other parts left out"] if gone else []))


def shared_image_notes(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> list[str]:
    """Return a sentence on test images that equal a training image in every pixel (by 64 bits of hash), if any."""
    seen = {hash(image.tobytes()) for image in train}
    shared = sum(hash(image.tobytes()) in seen for image in test)
    note = f"{shared:,} of {len(test):,} images of the test part are in the training part too: accuracy is overstated"
    return [note] if shared else []
