"""fairface: the data set `images` with the columns of FairFace.

Kärkkäinen & Joo, WACV 2021: 108,501 faces with age, gender and race, as parquet files; the test part is the published
validation part.
"""

from __future__ import annotations

from pathlib import Path

from fitlib.datasets.custom_images import CustomImages
from fitlib.datasets.dataset import Dataset
from fitlib.datasets.images.parquet import ImageTable
from fitlib.datasets.options import FairFaceOptions, ImagesOptions
from fitlib.errors import InputError

REMEDY = (
    "get the parquet files of FairFace (about 0.5 GB at 224 pixels; https://github.com/joojs/fairface, or "
    "https://huggingface.co/datasets/HuggingFaceM4/FairFace) and set data.root to the file or folder"
)


def describe(options: FairFaceOptions) -> dict:
    """Return the names of classes and groups, and notes on what is left out; reads the two columns, no image."""
    return fairface(options).description()


def source_files(options: FairFaceOptions) -> list[Path]:
    """Return the parquet files."""
    return fairface(options).source_files()


def load(options: FairFaceOptions) -> Dataset:
    """Make the data set; x is uint8 (rows, 3, size, size)."""
    return fairface(options).load()


def fairface(options: FairFaceOptions) -> CustomImages:
    """Return the data set before its images are decoded; InputError where it is missing.

    Its only protected attribute, whichever column that is, is named "protected".
    """
    if options.root is None or not Path(options.root).exists():
        problem = "not given" if options.root is None else "no such file or folder"
        raise InputError("fairface", "data.root", options.root, problem, REMEDY)
    rows, of_images = ImageTable(Path(options.root), REMEDY), ImagesOptions(**options.model_dump())
    return CustomImages("fairface", rows, of_images, "protected")
