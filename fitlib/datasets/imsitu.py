"""imsitu: images of imSitu of a person of annotated gender; 211 verbs to distinguish.

The lists are those of Wang et al. (Balanced Datasets Are Not Enough, ICCV 2019), groups man and woman: 24,301 images
for training, 7,730 for validation, 7,669 for testing. imSitu: Yatskar et al., CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Mapping

from fitlib.datasets.people.annotations import Entry, Layout
from fitlib.datasets.people.assembly import dataset_functions


def entry(row: Mapping) -> Entry:
    """Read a row of a table, or of the study's pickled lists: image_name, verb, gender (0 man, 1 woman)."""
    return str(row["image_name"]), [int(row["verb"])], int(row["gender"])


def paths(file: str) -> tuple[str, ...]:
    """Return the possible paths of glaring_215.jpg: at the top (resized images), or in glaring/ (originals)."""
    return file, f"{file.rpartition('_')[0]}/{file}"


LAYOUT = Layout(
    name="imsitu",
    n_labels=211,
    multilabel=False,
    tables=("imsitu_verb_gender.csv", "imsitu_verb_gender.csv.gz"),
    names="verb_id.map",
    names_keys=("imsitu_verb_id_map", "id2verb"),
    entry=entry,
    paths=paths,
    per_group=3000,
    lists_from="get train.data, val.data, test.data, verb_id.map and train_ratio_1..3.ids from the repository "
    "uvavision/Balanced-Datasets-Are-Not-Enough, folder verb_classification/data (3 MB)",
    images_from="get of500_images_resized.tar (3.7 GB; the originals, of500_images.tar, have 34 GB) from imsitu.org "
    "and unpack it there, or set data.images: made to try it without photographs",
)

load, describe, source_files = dataset_functions(LAYOUT)
