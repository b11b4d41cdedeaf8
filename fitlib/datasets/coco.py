"""coco: images of MS-COCO 2014 that show a person of annotated gender; 79 objects to find (multi-label).

The lists are those of Wang et al. (Balanced Datasets Are Not Enough, ICCV 2019): the 80 things of COCO without person,
groups man and woman. Validation and test list are both cut from val2014. The training list is not public: whoever has
it adds it, and `training_list: val` trains on every other row of the validation list instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.datasets.dataset import Dataset
from fitlib.datasets.people.annotations import Entry, Layout
from fitlib.datasets.people.assembly import People

if TYPE_CHECKING:  # a data set's module does not need pydantic to be imported
    from fitlib.datasets.options import CocoOptions

PER_GROUP = 1500  # men, and women, in the study's balanced evaluation subset


def entry(row: Mapping) -> Entry:
    """A table's row (file_name, object_ids such as "3 10", gender_index) or an entry of the study's pickled lists
    (file_name, objects as 79 zeros and ones, gender as [man, woman])."""
    if "object_ids" in row:
        return str(row["file_name"]), [int(number) for number in row["object_ids"].split()], int(row["gender_index"])
    objects, gender = list(row["objects"]), list(row["gender"])
    if len(objects) != LAYOUT.n_labels or sorted(gender) != [0, 1]:
        raise ValueError(f"not {LAYOUT.n_labels} objects and one of two genders")
    return str(row["file_name"]), [number for number, there in enumerate(objects) if there], gender.index(1)


def places(file: str) -> tuple[str, ...]:
    """COCO_val2014_000000391895.jpg lies in val2014/, or at the top."""
    return (f"{file.split('_')[1]}/{file}", file) if file.count("_") == 2 else (file,)


LAYOUT = Layout(
    name="coco",
    n_labels=79,
    multilabel=True,
    tables=tuple(f"coco{infix}_gender_objects.csv{end}" for infix in ("", "_val_test") for end in ("", ".gz")),
    names="object_id.map",
    names_keys=("coco_object_id_map", "id2object"),
    entry=entry,
    places=places,
    lists_from="get val.data, test.data, object_id.map and train_ratio_1..3.ids from the repository "
    "uvavision/Balanced-Datasets-Are-Not-Enough, folder object_multilabel/data (6 MB)",
    images_from="get train2014.zip (13 GB) and val2014.zip (6 GB) from cocodataset.org and unpack both there, "
    "or set data.images: made to try the path without photographs",
    no_training="the list is not public: add it as train.data or as rows with split train, "
    "or set data.training_list: val to train on half of the validation list",
)


def load(options: CocoOptions) -> Dataset:
    """The data set; x is `Ragged` uint8, y 0/1 (rows, 79), unit the row in the list."""
    return People(LAYOUT, options, PER_GROUP).load()


def describe(options: CocoOptions) -> dict:
    """Names of the objects and groups, without reading the lists."""
    return People(LAYOUT, options).describe()


def source_files(options: CocoOptions) -> list[Path]:
    """The lists, and files that stand for the images; InputError says what is missing and where to get it."""
    return People(LAYOUT, options).source_files()
