"""The registry of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitlib.datasets.options import (
    ApplicantsSOptions,
    CelebAOptions,
    Cifar10SOptions,
    CocoOptions,
    DigitsSOptions,
    FairFaceOptions,
    ImagesOptions,
    PeopleOptions,
    TableOptions,
)
from fitlib.experiment.registry.entries import Entry
from fitlib.options import Options, expand_path

if TYPE_CHECKING:
    from fitlib.datasets.dataset import Dataset

PATHS = ("root", "annotations", "file", "table")  # options of data sets that are paths


class DataEntry(Entry):
    """A data set: its module's functions `load`, `describe` and `source_files` take its checked options.

    Paths (`PATHS`) are filled in (`$NAME`, `~`) at the call; the experiment file keeps them as they are written.
    """

    def load_dataset(self, options: Mapping[str, Any]) -> Dataset:
        """Make the data set."""
        return self._attribute("load")(self._checked(options))

    def describe(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the names of its classes and groups, and notes, without reading an image."""
        return self._attribute("describe")(self._checked(options))

    def source_files(self, options: Mapping[str, Any]) -> list[Path]:
        """Return the files that it is made from; InputError where one is missing."""
        return self._attribute("source_files")(self._checked(options))

    def _checked(self, options: Mapping[str, Any]) -> Options:
        paths = {name: expand_path(path) for name, path in options.items() if name in PATHS and isinstance(path, str)}
        return self.options(**{**options, **paths})


DATASETS = {
    "digits-s": DataEntry(
        "fitlib.datasets.digits_s:load",
        "1,797 handwritten digits in two renderings (gray, tinted), skewed by class as in CIFAR-10S; embedded",
        DigitsSOptions,
        reference="Wang et al., CVPR 2020 (the CIFAR-10S construction); scikit-learn's digits",
    ),
    "applicants-s": DataEntry(
        "fitlib.datasets.applicants_s:load",
        "12,288 simulated applications for jobs: three columns of codes, three numbers, two groups; embedded",
        ApplicantsSOptions,
        tabular=True,
    ),
    "cifar10s": DataEntry(
        "fitlib.datasets.cifar10s:load",
        "CIFAR-10 in gray and colour, 95 % of each class in one rendering; every test image in both",
        Cifar10SOptions,
        reference="Wang et al., CVPR 2020; images: Krizhevsky 2009",
        label="S",
        needs="170 MB from https://www.cs.toronto.edu/~kriz/cifar.html: data.root, or data.download: true",
    ),
    "celeba": DataEntry(
        "fitlib.datasets.celeba:load",
        "202,599 faces with 40 attributes: any one as target, any one as protected attribute",
        CelebAOptions,
        reference="Liu et al., ICCV 2015; parts nifr: Kehrenberg et al., ECCV 2020",
        label="A, N",
        needs="1.3 GB from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (research only): data.root",
    ),
    "fairface": DataEntry(
        "fitlib.datasets.fairface:load",
        "faces with age, gender and race, or any image table with a target and a protected column",
        FairFaceOptions,
        reference="Kärkkäinen & Joo, WACV 2021",
        needs="parquet files, about 0.5 GB, from https://github.com/joojs/fairface (CC BY 4.0): data.root",
    ),
    "table": DataEntry(
        "fitlib.datasets.custom_table:load",
        "a table of yours (CSV or parquet): target, protected attributes and features are columns",
        TableOptions,
        needs="a file: data.file; its columns: data.target, data.protected",
        tabular=True,
    ),
    "images": DataEntry(
        "fitlib.datasets.custom_images:load",
        "images of yours (parquet, or files and a table): target and protected attributes are columns",
        ImagesOptions,
        needs="parquet files, or image files with a table: data.root; its columns: data.target, data.protected",
    ),
    "coco": DataEntry(
        "fitlib.datasets.coco:load",
        "MS-COCO 2014 images with a person of annotated gender: 79 objects (multi-label) by gender",
        CocoOptions,
        reference="Wang et al., ICCV 2019 (lists); Lin et al., ECCV 2014 (images)",
        label="C",
        multilabel=True,
        needs="lists of Wang et al. (repository uvavision/Balanced-Datasets-Are-Not-Enough; the training list is not "
        "public); images train2014 (13 GB) and val2014 (6 GB) from cocodataset.org; decoded 8 GB",
    ),
    "imsitu": DataEntry(
        "fitlib.datasets.imsitu:load",
        "imSitu images with a person of annotated gender: 211 verbs by gender",
        PeopleOptions,
        reference="Wang et al., ICCV 2019 (lists); Yatskar et al., CVPR 2016 (images)",
        label="I",
        needs="lists of Wang et al. (repository uvavision/Balanced-Datasets-Are-Not-Enough); images "
        "of500_images_resized (3.7 GB; originals 34 GB) from imsitu.org; decoded 10 GB",
    ),
}
