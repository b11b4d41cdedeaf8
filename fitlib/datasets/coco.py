"""coco: images of MS-COCO 2014 of a person of annotated gender; 79 objects to find (multi-label).

The lists are those of Wang et al. (Balanced Datasets Are Not Enough, ICCV 2019): COCO's 80 object categories without
person, groups man and woman. Validation and test list are both cut from val2014. The training list is not public: add
it if you have it, or train on every other row of the validation list (`training_list: val`).
"""

from __future__ import annotations

from collections.abc import Mapping

from fitlib.datasets.people.annotations import Entry, Layout
from fitlib.datasets.people.assembly import dataset_functions


def entry(row: Mapping) -> Entry:
    """Read a row of a table, or of the study's pickled lists.

    Table: file_name, object_ids such as "3 10", gender_index. Pickle: file_name, objects as 79 zeros and ones, gender
    as [man, woman].
    """
    if "object_ids" in row:
        return str(row["file_name"]), [int(number) for number in row["object_ids"].split()], int(row["gender_index"])
    objects, gender = list(row["objects"]), list(row["gender"])
    if len(objects) != LAYOUT.n_labels or sorted(gender) != [0, 1]:
        raise ValueError(f"not {LAYOUT.n_labels} objects and one of two genders")
    return str(row["file_name"]), [number for number, present in enumerate(objects) if present], gender.index(1)


def paths(file: str) -> tuple[str, ...]:
    """Return the possible paths of COCO_val2014_000000391895.jpg: in val2014/, or at the top."""
    return (f"{file.split('_')[1]}/{file}", file) if file.count("_") == 2 else (file,)


LAYOUT = Layout(
    name="coco",
    n_labels=79,
    multilabel=True,
    tables=tuple(f"coco{infix}_gender_objects.csv{end}" for infix in ("", "_val_test") for end in ("", ".gz")),
    names="object_id.map",
    names_keys=("coco_object_id_map", "id2object"),
    entry=entry,
    paths=paths,
    per_group=1500,
    lists_from="get val.data, test.data, object_id.map and train_ratio_1..3.ids from the repository "
    "uvavision/Balanced-Datasets-Are-Not-Enough, folder object_multilabel/data (6 MB)",
    images_from="get train2014.zip (13 GB) and val2014.zip (6 GB) from cocodataset.org and unpack both there, "
    "or set data.images: made to try it without photographs",
    no_training="the list is not public: add it as train.data or as rows with split train, "
    "or set data.training_list: val to train on half of the validation list",
)

load, describe, source_files = dataset_functions(LAYOUT)
