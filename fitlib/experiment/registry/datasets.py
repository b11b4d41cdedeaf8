"""The registry of data sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

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
from fitlib.options import expanded

PATHS = ("root", "annotations", "file", "table")  # options of data sets that are paths


class DataEntry(Entry):
    """A data set: its functions receive paths (`PATHS`) filled in (`$NAME`, `~`), whatever the experiment file says."""

    def sibling(self, attribute: str) -> Callable:
        """A function of the data set's module: `load`, `describe` or `source_files`."""
        function = super().sibling(attribute)

        @wraps(function)
        def with_paths(**options: object) -> object:
            paths = {name: expanded(v) for name, v in options.items() if name in PATHS and isinstance(v, str)}
            return function(**{**options, **paths})

        return with_paths


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
        "fitlib.datasets.own_table:load",
        "a table of yours (CSV or parquet): target, protected attributes and features are columns",
        TableOptions,
        needs="a file: data.file; its columns: data.target, data.protected",
        tabular=True,
    ),
    "images": DataEntry(
        "fitlib.datasets.own_images:load",
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
