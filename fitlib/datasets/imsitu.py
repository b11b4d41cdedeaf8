"""imsitu: images of imSitu that show a person of annotated gender; 211 verbs to tell apart.

The lists are those of Wang et al. (Balanced Datasets Are Not Enough, ICCV 2019), groups man and woman: 24,301 images
for training, 7,730 for validation, 7,669 for testing. imSitu: Yatskar et al., CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.datasets.dataset import Dataset
from fitlib.datasets.people.annotations import Entry, Layout
from fitlib.datasets.people.assembly import People

if TYPE_CHECKING:  # a data set's module does not need pydantic to be imported
    from fitlib.datasets.options import PeopleOptions

PER_GROUP = 3000  # men, and women, in the study's balanced evaluation subset


def entry(row: Mapping) -> Entry:
    """A table's row or an entry of the study's pickled lists: image_name, verb, gender (0 man, 1 woman)."""
    return str(row["image_name"]), [int(row["verb"])], int(row["gender"])


def places(file: str) -> tuple[str, ...]:
    """glaring_215.jpg lies at the top (resized images), or in glaring/ (originals)."""
    return file, f"{file.rpartition('_')[0]}/{file}"


LAYOUT = Layout(
    name="imsitu",
    n_labels=211,
    multilabel=False,
    tables=("imsitu_verb_gender.csv", "imsitu_verb_gender.csv.gz"),
    names="verb_id.map",
    names_keys=("imsitu_verb_id_map", "id2verb"),
    entry=entry,
    places=places,
    lists_from="get train.data, val.data, test.data, verb_id.map and train_ratio_1..3.ids from the repository "
    "uvavision/Balanced-Datasets-Are-Not-Enough, folder verb_classification/data (3 MB)",
    images_from="get of500_images_resized.tar (3.7 GB; the originals, of500_images.tar, have 34 GB) from imsitu.org "
    "and unpack it there, or set data.images: made to try the path without photographs",
)


def load(options: PeopleOptions) -> Dataset:
    """The data set; x is `Ragged` uint8, y verbs (rows,), unit the row in the list."""
    return People(LAYOUT, options, PER_GROUP).load()


def describe(options: PeopleOptions) -> dict:
    """Names of the verbs and groups, without reading the lists."""
    return People(LAYOUT, options).describe()


def source_files(options: PeopleOptions) -> list[Path]:
    """The lists, and files that stand for the images; InputError says what is missing and where to get it."""
    return People(LAYOUT, options).source_files()
