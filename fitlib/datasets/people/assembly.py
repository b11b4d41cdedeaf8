"""Data sets of images of people (`coco`, `imsitu`): from lists and a folder of images to a `Dataset`.

Training part: the training list or a ratio subset of it. Validation part: the whole validation list. Test part: the
test list or a balanced subset of it. Images are decoded once, shorter side `size`; the training loop crops them.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitlib.datasets.dataset import Dataset, Ragged, Split
from fitlib.datasets.images.decoding import Decoding, FileSource, decode_ragged
from fitlib.datasets.people import subsets
from fitlib.datasets.people.annotations import (
    GROUPS,
    PARTS,
    ImageList,
    Layout,
    class_names,
    list_files,
    names_file,
    ratio_file,
    read_lists,
    read_rows,
)
from fitlib.errors import InputError

if TYPE_CHECKING:  # a data set's module does not need pydantic to be imported
    from fitlib.datasets.options import PeopleOptions

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # means and SDs by channel, of images in [0, 1]

Load = Callable[["PeopleOptions"], Dataset]
Describe = Callable[["PeopleOptions"], dict[str, Any]]
SourceFiles = Callable[["PeopleOptions"], list[Path]]


def dataset_functions(layout: Layout) -> tuple[Load, Describe, SourceFiles]:
    """Return `load`, `describe` and `source_files` of the data set with this layout, functions of its options."""

    def load(options: PeopleOptions) -> Dataset:
        """Make the data set; x is `Ragged` uint8, y as in `ImageList`, unit the row in the list."""
        return People(layout, options).load()

    def describe(options: PeopleOptions) -> dict[str, Any]:
        """Return the names of the classes and groups, without reading the lists."""
        return People(layout, options).describe()

    def source_files(options: PeopleOptions) -> list[Path]:
        """Return the lists, and files that represent the images; InputError names what is missing, and its source."""
        return People(layout, options).source_files()

    return load, describe, source_files


@dataclass(frozen=True)
class People:
    """A data set before its images are read: its layout, its options and what follows from them."""

    layout: Layout
    options: PeopleOptions

    @property
    def folder(self) -> Path:
        """The folder of lists."""
        return Path(self.options.annotations)

    @property
    def training_list(self) -> str:
        """The list that the training part is taken from, "train" or "val"; an option of `coco` only."""
        return getattr(self.options, "training_list", "train")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return class_names(self.folder, self.layout)

    def describe(self) -> dict[str, Any]:
        """Return the names of classes and groups; InputError where there are no lists."""
        list_files(self.folder, self.layout)
        return {"classes": list(self.classes), "groups": {"protected": list(GROUPS)}}

    def source_files(self) -> list[Path]:
        """Return lists, names, index list, and one file for all images of each part; InputError if one is missing."""
        beside = (names_file(self.folder, self.layout), ratio_file(self.folder, self.options.ratio))
        files = [*list_files(self.folder, self.layout), *(path for path in beside if path)]
        return files if self._is_synthetic else files + [self._source(part).note() for part in PARTS]

    def load(self) -> Dataset:
        """Make the data set, with its images."""
        splits = {part: self._split(part) for part in PARTS}
        return Dataset(
            self.layout.name,
            splits["train"],
            splits["test"],
            self.classes,
            GROUPS,
            self.layout.multilabel,
            validation=splits["val"],
            normalisation=IMAGENET,
        )

    @cached_property
    def _lists_as_read(self) -> dict[str, ImageList]:
        return read_lists(self.folder, self.layout)

    @cached_property
    def lists(self) -> dict[str, ImageList]:
        """Training, validation and test list; InputError where there is no training list."""
        found = self._lists_as_read
        if self.training_list == "val":
            rows = np.arange(len(found["val"]))
            return {**found, "train": found["val"].take(rows[::2]), "val": found["val"].take(rows[1::2])}
        if "train" not in found:
            problem, remedy = "the lists have no training part", self.layout.no_training
            raise InputError(self.layout.name, "data.annotations", self.options.annotations, problem, remedy)
        return found

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """Rows of each list that are in the part, in their order."""
        chosen = {"train": self._ratio_rows(), "val": np.arange(len(self.lists["val"])), "test": self._test_rows()}
        return {part: rows[self._first(part, rows)] for part, rows in chosen.items()}

    @property
    def _is_synthetic(self) -> bool:
        return self.options.images == "made"

    def _limit(self, part: str) -> int | None:
        return self.options.limit if part == "train" else self.options.test_limit

    def _first(self, part: str, rows: np.ndarray) -> np.ndarray:
        return subsets.first_of_each(self.lists[part].protected[rows], self._limit(part))

    def _ratio_rows(self) -> np.ndarray:
        """Rows of the training part: those of the index list if there is one, else fitlib's own ratio subset."""
        train, ratio = self.lists["train"], self.options.ratio
        if ratio is None:
            return np.arange(len(train))
        path = ratio_file(self.folder, ratio)
        # The index lists number the rows of the study's training list, not those of half a validation list.
        if path is not None and self.training_list == "train":
            return read_rows(path, len(train))
        return subsets.ratio_subset(train.y, train.protected, ratio, self.options.ratio_seed)

    def _test_rows(self) -> np.ndarray:
        """Rows of the test part: all, or the study's balanced subset (`balanced`: its baseline's for every ratio)."""
        test, evaluation = self.lists["test"].protected, self.options.evaluation
        if evaluation == "full":
            return np.arange(len(test))
        ratio = None if evaluation == "balanced" else self.options.ratio
        training = subsets.STUDY_TRAINING[self.layout.name][ratio]
        validation = np.bincount(self._lists_as_read["val"].protected, minlength=len(GROUPS))
        try:
            return subsets.balanced_evaluation((*training, *validation), test, self.layout.per_group)
        except ValueError as error:
            raise InputError(self.layout.name, "data.evaluation", evaluation, str(error), "use full") from None

    def _split(self, part: str) -> Split:
        """Return a part with its images; a whole list is decoded once, whichever rows of it are used."""
        chosen = self.lists[part].take(self.rows[part])
        if self._is_synthetic:
            x = self._synthetic_images(chosen)
        else:
            x = decode_ragged(self._source(part), Decoding(shorter=self.options.size))[self._positions(part)]
        return Split(x, chosen.y, chosen.protected, self.rows[part])

    def _decoded_rows(self, part: str) -> np.ndarray:
        """Rows of a list whose images are decoded: all, or those within a limit."""
        return np.arange(len(self.lists[part])) if self._limit(part) is None else np.sort(self.rows[part])

    def _positions(self, part: str) -> np.ndarray:
        """Positions of the part's images among the decoded ones."""
        return np.searchsorted(self._decoded_rows(part), self.rows[part])

    def _source(self, part: str) -> FileSource:
        root, remedy = self.options.root, self.layout.images_from
        if not root or not Path(root).is_dir():
            problem = "no folder of images" if root else "not given"
            raise InputError(self.layout.name, "data.root", root, problem, remedy)
        files = self.lists[part].files[self._decoded_rows(part)]
        return FileSource([self._path(Path(root), file) for file in files.tolist()], remedy)

    def _path(self, root: Path, file: str) -> Path:
        paths = [root / path for path in self.layout.paths(file)]
        return next((path for path in paths if path.is_file()), paths[0])

    def _synthetic_images(self, chosen: ImageList) -> Ragged:
        multilabel = self.layout.multilabel
        labels = [np.flatnonzero(y).tolist() for y in chosen.y] if multilabel else chosen.y[:, None].tolist()
        rows = zip(chosen.files.tolist(), labels, chosen.protected.tolist(), strict=True)
        return Ragged.of([synthetic_image(*row, self.layout.n_labels, self.options.size) for row in rows])


TINTS = np.array([[48, 0, 0], [0, 0, 48]], np.uint8)  # added to red for men, to blue for women


def synthetic_image(file: str, labels: Sequence[int], gender: int, n_labels: int, size: int) -> np.ndarray:
    """Draw the synthetic image of one entry: uint8 (3, size, width), width from `size` to 5/4 of it by the file's name.

    Noise drawn from the name, tinted by gender; label k is a bright square in the k-th cell of a grid that the labels
    fill row by row, in the colour of k.

    >>> synthetic_image("a.jpg", [3], 0, 9, 32).shape[:2]
    (3, 32)
    """
    rng = np.random.default_rng(zlib.crc32(file.encode()))
    image = rng.integers(0, 128, (3, size, size + int(rng.integers(size // 4 + 1))), np.uint8)
    image += TINTS[gender][:, None, None]
    cells = math.ceil(math.sqrt(n_labels))
    for label in labels:
        (top, bottom), (left, right) = _cell(label // cells, cells, size), _cell(label % cells, cells, size)
        image[:, top:bottom, left:right] = 176 + 16 * (np.array([label, label // 5, label // 25]) % 5)[:, None, None]
    return image


def _cell(number: int, cells: int, size: int) -> tuple[int, int]:
    return number * size // cells, (number + 1) * size // cells
