"""What coco and imsitu share: from lists of images of people and a folder of images to a data set.

Training part: the training list or a ratio subset of it. Validation part: the whole validation list. Test part: the
test list or a balanced subset of it. Images are decoded once, shorter side `size`; the loop crops them.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitlib.datasets.dataset import Dataset, Ragged, Split
from fitlib.datasets.images.decoding import Decoding, FileSource, decoded
from fitlib.datasets.people import annotations, subsets
from fitlib.datasets.people.annotations import GROUPS, ImageList, Layout
from fitlib.errors import InputError

if TYPE_CHECKING:  # a data set's module does not need pydantic to be imported
    from fitlib.datasets.options import PeopleOptions

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # means and SDs by channel, of images in [0, 1]


@dataclass(frozen=True)
class People:
    """A data set before its images are read: the options of `coco` or `imsitu` and what follows from them."""

    layout: Layout
    options: PeopleOptions
    per_group: int = 1500  # members of each group in the balanced evaluation subsets

    @property
    def folder(self) -> Path:
        """The folder of lists."""
        return Path(self.options.annotations)

    @property
    def training_list(self) -> str:
        """The list that trains, "train" or "val": an option of `coco` alone."""
        return getattr(self.options, "training_list", "train")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return annotations.class_names(self.folder, self.layout)

    def describe(self) -> dict:
        """Names of classes and groups; InputError where there are no lists."""
        annotations.list_files(self.folder, self.layout)
        return {"classes": list(self.classes), "groups": {"protected": list(GROUPS)}}

    def source_files(self) -> list[Path]:
        """Lists, names, index list, and one file for all images of each part; InputError names what is missing."""
        beside = (
            annotations.names_file(self.folder, self.layout),
            annotations.ratio_file(self.folder, self.options.ratio),
        )
        files = [*annotations.list_files(self.folder, self.layout), *(path for path in beside if path)]
        return (
            files
            if self.options.images == "made"
            else files + [self._source(part).note() for part in annotations.PARTS]
        )

    def load(self) -> Dataset:
        """The data set with its images."""
        splits = {part: self._split(part) for part in annotations.PARTS}
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
    def _given(self) -> dict[str, ImageList]:
        return annotations.read_lists(self.folder, self.layout)

    @cached_property
    def lists(self) -> dict[str, ImageList]:
        """Training, validation and test list; InputError where there is no training list."""
        found = self._given
        if self.training_list == "val":
            halves = {"train": found["val"].take(np.s_[::2]), "val": found["val"].take(np.s_[1::2])}
            return {**found, **halves}
        if "train" not in found:
            problem = "the lists have no training part"
            raise InputError(
                self.layout.name, "data.annotations", self.options.annotations, problem, self.layout.no_training
            )
        return found

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """Rows of each list that are in the part, in their order."""
        chosen = {"train": self._ratio_rows(), "val": np.arange(len(self.lists["val"])), "test": self._test_rows()}
        return {part: rows[self._first(part, rows)] for part, rows in chosen.items()}

    def _first(self, part: str, rows: np.ndarray) -> np.ndarray:
        limit = self.options.limit if part == "train" else self.options.test_limit
        return subsets.first_of_each(self.lists[part].protected[rows], limit)

    def _ratio_rows(self) -> np.ndarray:
        """Rows of the training part: those of the index list where one is there, else fitlib's own ratio subset."""
        train, path = self.lists["train"], annotations.ratio_file(self.folder, self.options.ratio)
        if self.options.ratio is None:
            return np.arange(len(train))
        if path is not None and self.training_list == "train":
            return annotations.read_rows(path, len(train))
        return subsets.ratio_subset(train.y, train.protected, self.options.ratio, self.options.ratio_seed)

    def _test_rows(self) -> np.ndarray:
        """Rows of the test part: all, or the study's balanced subset (`balanced`: its baseline's for every ratio)."""
        test = self.lists["test"].protected
        if self.options.evaluation == "full":
            return np.arange(len(test))
        training = subsets.STUDY_TRAINING[self.layout.name][
            None if self.options.evaluation == "balanced" else self.options.ratio
        ]
        validation = np.bincount(self._given["val"].protected, minlength=len(GROUPS))
        try:
            return subsets.balanced_evaluation((*training, *validation), test, self.per_group)
        except ValueError as error:
            raise InputError(
                self.layout.name, "data.evaluation", self.options.evaluation, str(error), "use full"
            ) from None

    def _split(self, part: str) -> Split:
        """A part with its images; a whole list is decoded once, whatever rows of it are used."""
        chosen = self.lists[part].take(self.rows[part])
        if self.options.images == "made":
            x = self._made(chosen)
        else:
            x = decoded(self._source(part), Decoding(shorter=self.options.size))[self._places(part)]
        return Split(x, chosen.y, chosen.protected, self.rows[part])

    def _stored(self, part: str) -> np.ndarray:
        """Rows of a list whose images are decoded: all, or those within a limit."""
        limit = self.options.limit if part == "train" else self.options.test_limit
        return np.arange(len(self.lists[part])) if limit is None else np.sort(self.rows[part])

    def _places(self, part: str) -> np.ndarray:
        """Where the part's images stand among the decoded ones."""
        return np.searchsorted(self._stored(part), self.rows[part])

    def _source(self, part: str) -> FileSource:
        if not self.options.root or not Path(self.options.root).is_dir():
            problem = "no folder of images" if self.options.root else "not given"
            raise InputError(self.layout.name, "data.root", self.options.root, problem, self.layout.images_from)
        files = self.lists[part].files[self._stored(part)]
        return FileSource([self._path(file) for file in files.tolist()], self.layout.images_from)

    def _path(self, file: str) -> Path:
        places = [Path(self.options.root, place) for place in self.layout.places(file)]
        return next((path for path in places if path.is_file()), places[0])

    def _made(self, chosen: ImageList) -> Ragged:
        multilabel = self.layout.multilabel
        labels = [np.flatnonzero(y).tolist() for y in chosen.y] if multilabel else chosen.y[:, None].tolist()
        rows = zip(chosen.files.tolist(), labels, chosen.protected.tolist(), strict=True)
        return Ragged.of([made_image(*row, self.layout.n_labels, self.options.size) for row in rows])


TINTS = np.array([[48, 0, 0], [0, 0, 48]], np.uint8)  # added to red for men, to blue for women


def made_image(file: str, labels: Sequence[int], gender: int, n_labels: int, size: int) -> np.ndarray:
    """The made image of one entry: uint8 (3, size, width), width from `size` to 5/4 of it by the file's name.

    Noise drawn from the name, tinted by gender; label k is a bright square in the k-th field of a grid that all labels
    fill row by row, in the colour of k.
    """
    rng = np.random.default_rng(zlib.crc32(file.encode()))
    image = rng.integers(0, 128, (3, size, size + int(rng.integers(size // 4 + 1))), np.uint8)
    image += TINTS[gender][:, None, None]
    fields = math.ceil(math.sqrt(n_labels))
    for label in labels:
        (top, bottom), (left, right) = _field(label // fields, fields, size), _field(label % fields, fields, size)
        image[:, top:bottom, left:right] = 176 + 16 * (np.array([label, label // 5, label // 25]) % 5)[:, None, None]
    return image


def _field(number: int, fields: int, size: int) -> tuple[int, int]:
    return number * size // fields, (number + 1) * size // fields
