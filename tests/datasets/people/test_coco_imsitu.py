"""coco and imsitu: lists as tables or pickles, images as files or synthetic, and the errors."""

import gzip
import json
import os
import pickle

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from fitlib.datasets import coco, imsitu
from fitlib.datasets.options import CocoOptions, PeopleOptions
from fitlib.datasets.people.annotations import GROUPS, read_lists, read_pickle, read_rows
from fitlib.datasets.people.assembly import People, synthetic_image
from fitlib.datasets.people.subsets import label_counts
from fitlib.digest import digest_arrays
from fitlib.errors import InputError
from fitlib.experiment.registry.datasets import DATASETS

SIZES = {  # men and women, by list
    "coco": {"val": (3813, 1554), "test": (3894, 1579)},
    "imsitu": {"train": (14199, 10102), "val": (4457, 3273), "test": (4517, 3152)},
}
ROWS = [("train", 0), ("train", 1), ("train", 1), ("val", 0), ("val", 1), ("test", 0), ("test", 1)]


@pytest.fixture
def lists(data_dir):
    """Folder of the real lists."""
    return str(data_dir / "data" / "annotations")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder with seven entries of imsitu, as a table, and a folder for its images; a cache of its own."""
    monkeypatch.setenv("FITLIB_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "lists").mkdir()
    (tmp_path / "images").mkdir()
    _table(tmp_path, [f"{gender},{number},verb_{number}.jpg,{part}" for number, (part, gender) in enumerate(ROWS)])
    return tmp_path


def _table(folder, rows, header="gender,verb,image_name,split"):
    (folder / "lists" / "imsitu_verb_gender.csv").write_text("\n".join([header, *rows]) + "\n")


def _images(folder, names, size=(30, 20)):
    for name in names:
        path = folder / "images" / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size, (len(name) * 10, 50, 90)).save(path)


def _load(name, **options):
    entry = DATASETS[name]
    return entry.load_dataset(entry.options(**options).model_dump())


def _small(folder, **options):
    return _load("imsitu", annotations=str(folder / "lists"), root=str(folder / "images"), **options)


def _made(name, lists, **options):
    given = {"limit": 12, "test_limit": 8, "size": 32, **options}
    return _load(
        name, annotations=lists, images="made", **({"training_list": "val"} if name == "coco" else {}), **given
    )


@pytest.mark.parametrize("module", [coco, imsitu])
def test_the_lists_have_the_published_sizes(data_dir, module):
    found = read_lists(data_dir / "data" / "annotations", module.LAYOUT)
    assert {part: tuple(np.bincount(rows.protected)) for part, rows in found.items()} == SIZES[module.LAYOUT.name]
    assert all(rows.y.max() == (1 if module is coco else 210) for rows in found.values())


@pytest.mark.parametrize("name", ["coco", "imsitu"])
def test_made_images_take_the_whole_path_and_are_the_same_at_every_load(lists, name):
    first, second = (_made(name, lists) for _ in range(2))
    for part, rows in {"train": 12, "test": 8, "validation": 8}.items():
        split = first.part(part)
        assert np.bincount(split.protected).tolist() == [rows // 2, rows // 2] and len(split.x) == rows
        assert digest_arrays(split.arrays()) == digest_arrays(second.part(part).arrays())
        assert split.x.sizes.min() == 32 and len(np.unique(split.x.sizes[:, 1])) > 1
    options = {"annotations": lists, "images": "made"}
    assert DATASETS[name].describe(options)["classes"] == list(first.classes)
    assert all(path.is_file() for path in DATASETS[name].source_files(options))
    assert first.multilabel == (name == "coco") and first.groups == GROUPS
    assert first.train.y.shape[1:] == ((79,) if name == "coco" else ())


def test_a_made_image_shows_its_labels_and_its_gender():
    man, woman, other = (
        synthetic_image("a.jpg", [3], 0, 9, 30),
        synthetic_image("a.jpg", [3], 1, 9, 30),
        synthetic_image("a.jpg", [4], 0, 9, 30),
    )
    assert (man != woman).any() and (man != other).any()
    assert (man[:, 10:20, :10] == man[:, 10:11, :1]).all()  # label 3 of 9: second row, first field
    assert man.shape[1] == 30 <= man.shape[2] <= 37


def test_the_balanced_subset_is_one_for_all_ratios_and_the_study_s_another_for_each(lists):
    def chosen(evaluation, ratio):
        given = {"annotations": lists, "images": "made", "ratio": ratio, "evaluation": evaluation}
        return People(imsitu.LAYOUT, PeopleOptions(**given)).rows["test"]

    assert (chosen("balanced", None) == chosen("balanced", 2)).all()
    assert (chosen("balanced", None) == chosen("balanced-study", None)).all()
    assert (chosen("balanced", None) != chosen("balanced-study", 2)).any()


def test_the_test_part_is_the_study_s_subset_men_first(lists):
    given = {"annotations": lists, "images": "made", "evaluation": "balanced-study", "training_list": "val"}
    people = People(coco.LAYOUT, CocoOptions(**given))
    rows = people.rows["test"]
    protected = people.lists["test"].protected[rows]
    assert (protected == np.repeat([0, 1], 1500)).all() and len(np.unique(rows)) == 3000


def test_half_of_the_validation_list_trains_where_there_is_no_training_list(lists):
    people = People(coco.LAYOUT, CocoOptions(annotations=lists, images="made", training_list="val"))
    assert not set(people.lists["train"].files) & set(people.lists["val"].files)
    assert len(people.lists["train"]) + len(people.lists["val"]) == sum(SIZES["coco"]["val"])
    with pytest.raises(InputError, match=r"no training part; the list is not public.*training_list: val"):
        _load("coco", annotations=lists, images="made")


def test_only_the_training_part_is_a_ratio_subset(lists):
    people = People(imsitu.LAYOUT, PeopleOptions(annotations=lists, images="made", ratio=1))
    train = people.lists["train"].take(people.rows["train"])
    men, women = label_counts(np.eye(211, dtype=int)[train.y], train.protected, 2)
    assert (men == women).all() and len(train) == 14_684
    assert len(people.rows["val"]) == sum(SIZES["imsitu"]["val"])


def test_a_fixed_index_list_is_taken_as_it_is(small):
    (small / "lists" / "train_ratio_1.ids").write_bytes(pickle.dumps([2, 0], protocol=0))
    _images(small, [f"verb_{number}.jpg" for number in range(7)])
    assert _small(small, ratio=1, size=16).train.unit.tolist() == [2, 0]
    assert small / "lists" / "train_ratio_1.ids" in imsitu.source_files(
        PeopleOptions(annotations=str(small / "lists"), root=str(small / "images"), ratio=1)
    )


@pytest.mark.parametrize(
    "content", [b"3 1 2", b"[3, 1, 2]", b"3\n1\n2\n", *(pickle.dumps([3, 1, 2], p) for p in (0, 2, 4))]
)
def test_index_lists_are_plain_numbers_or_pickles_and_keep_their_order(tmp_path, content):
    (tmp_path / "x.ids").write_bytes(content)
    assert read_rows(tmp_path / "x.ids", 4).tolist() == [3, 1, 2]


def test_a_pickled_set_of_python_2_is_read_in_ascending_order(tmp_path):
    (tmp_path / "x.ids").write_bytes(b"c__builtin__\nset\np0\n((lp1\nI9\naI3\naI4\natp2\nRp3\n.")
    assert read_rows(tmp_path / "x.ids", 10).tolist() == [3, 4, 9]


@pytest.mark.parametrize("content", [b"", b"1 1", b"5", pickle.dumps({1: 2}), pickle.dumps([True]), b"\x80\x04garbage"])
def test_an_index_list_that_does_not_fit_is_refused(tmp_path, content):
    (tmp_path / "x.ids").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.ids: file"):
        read_rows(tmp_path / "x.ids", 5)


class _Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_names_any_class_is_refused_and_nothing_runs(tmp_path, protocol):
    path = tmp_path / "val.data"
    path.write_bytes(pickle.dumps([_Runs(tmp_path / "made")], protocol))
    with pytest.raises(InputError, match=r"refused: it names \w+\.mkdir"):
        read_pickle(path)
    path.write_bytes(pickle.dumps([np.float64(1)], protocol))
    with pytest.raises(InputError, match="refused: it names"):
        read_lists(tmp_path, imsitu.LAYOUT)
    assert not (tmp_path / "made").exists()


def test_the_study_s_pickles_say_the_same_as_a_table(small):
    table = read_lists(small / "lists", imsitu.LAYOUT)
    (small / "lists" / "imsitu_verb_gender.csv").unlink()
    for part in ("train", "val", "test"):
        rows = [{"gender": g, "verb": n, "image_name": f"verb_{n}.jpg"} for n, (p, g) in enumerate(ROWS) if p == part]
        (small / "lists" / f"{part}.data").write_bytes(pickle.dumps(rows, protocol=0))
    pickled = read_lists(small / "lists", imsitu.LAYOUT)
    assert list(pickled) == list(table)
    assert all(digest_arrays(vars(pickled[p]).items()) == digest_arrays(vars(table[p]).items()) for p in table)


def test_pickled_objects_of_coco_are_vectors_and_gender_is_one_hot(tmp_path):
    objects = [int(number in (3, 10)) for number in range(79)]
    row = {"image_id": 7, "file_name": "COCO_val2014_000000000007.jpg", "objects": objects, "gender": [0, 1]}
    for part in ("val", "test"):
        (tmp_path / f"{part}.data").write_bytes(pickle.dumps([row]))
    val = read_lists(tmp_path, coco.LAYOUT)["val"]
    assert np.flatnonzero(val.y[0]).tolist() == [3, 10] and val.protected.tolist() == [1]
    assert coco.paths(row["file_name"])[0] == "val2014/COCO_val2014_000000000007.jpg"


@pytest.mark.parametrize(
    "row, message",
    [
        ("2,1,verb_1.jpg,train", r"row 0: gender = 2: neither 0 \(man\) nor 1 \(woman\)"),
        (",1,verb_1.jpg,train", "row 0.*not a row of imsitu"),
        ("0,211,verb_1.jpg,train", "row 0: label = 211: no such class"),
        ("0,-1,verb_1.jpg,train", "row 0: label = -1: no such class"),
        ("0,x,verb_1.jpg,train", "row 0.*not a row of imsitu"),
        ("0,1,../verb_1.jpg,train", "row 0: file name.*not below the folder"),
        ("0,1,/etc/verb_1.jpg,train", "row 0: file name.*not below the folder"),
        ("0,1,verb_1.jpg,train", "split = 'val': no list of this part"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named(small, row, message):
    _table(small, [row])
    with pytest.raises(InputError, match=message):
        read_lists(small / "lists", imsitu.LAYOUT)


def test_a_table_without_a_column_or_with_damage_is_named(small):
    _table(small, ["0,1,train"], header="gender,verb,split")
    with pytest.raises(InputError, match="KeyError: 'image_name'"):
        read_lists(small / "lists", imsitu.LAYOUT)
    (small / "lists" / "imsitu_verb_gender.csv").unlink()
    table = b"gender,verb,image_name,split\n" + b"0,1,a_1.jpg,train\n" * 99
    (small / "lists" / "imsitu_verb_gender.csv.gz").write_bytes(gzip.compress(table)[:-12])
    with pytest.raises(InputError, match="cannot be read"):
        read_lists(small / "lists", imsitu.LAYOUT)


@pytest.mark.parametrize("name", ["coco", "imsitu"])
def test_missing_lists_are_told_with_their_source(tmp_path, name):
    with pytest.raises(InputError, match=r"no lists of .*uvavision/Balanced-Datasets-Are-Not-Enough"):
        DATASETS[name].describe({"annotations": str(tmp_path), "images": "made"})


def test_images_are_read_at_their_shorter_side_from_either_place(small):
    _images(small, ["verb_0.jpg", *(f"verb/verb_{number}.jpg" for number in range(1, 7))])
    data = _small(small, size=16)
    assert data.train.x.sizes.tolist() == [[16, 24]] * 3 and data.train.x.pixels.dtype == np.uint8
    assert data.train.y.tolist() == [0, 1, 2] and data.test.unit.tolist() == [0, 1]
    assert data.normalisation[0] == (0.485, 0.456, 0.406) and len(data.validation) == 2
    assert "class 0" in data.classes


def test_within_a_limit_only_its_images_are_needed(small):
    _images(small, [f"verb_{number}.jpg" for number in (0, 1, 3, 4, 5, 6)])
    data = _small(small, size=16, limit=2)
    assert data.train.unit.tolist() == [0, 1] and len(data.train.x) == 2
    with pytest.raises(InputError, match=r"image = 'verb_2\.jpg': missing; get .*3\.7 GB.*imsitu\.org"):
        _small(small, size=16)


def test_what_is_missing_is_counted_and_told_before_any_work(small):
    options = {"annotations": str(small / "lists"), "root": str(small / "images")}
    with pytest.raises(InputError, match=r"image = 'verb_0\.jpg': missing, as are 2 others of 3; get .*3\.7 GB"):
        DATASETS["imsitu"].source_files(options)
    with pytest.raises(InputError, match=r"data\.root = .*no folder of images; get .*imsitu\.org"):
        DATASETS["imsitu"].source_files({**options, "root": str(small / "nowhere")})


def test_a_corrupt_image_is_named(small):
    _images(small, [f"verb_{number}.jpg" for number in range(7)])
    (small / "images" / "verb_1.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"image = 'verb_1\.jpg': not a JPEG or PNG"):
        _small(small, size=16)


def test_the_images_are_part_of_what_a_training_depends_on(small):
    _images(small, [f"verb_{number}.jpg" for number in range(7)])

    def contents():
        files = imsitu.source_files(PeopleOptions(annotations=str(small / "lists"), root=str(small / "images")))
        return [path.read_bytes() for path in files]

    before = contents()
    _images(small, ["verb_1.jpg"], size=(31, 20))
    assert contents() != before


def test_a_balanced_subset_of_too_few_people_is_an_error(small):
    with pytest.raises(InputError, match=r"data\.evaluation = 'balanced': group 0 has 1 of the 3000 members"):
        _load("imsitu", annotations=str(small / "lists"), images="made", evaluation="balanced")


def test_options_without_a_folder_of_images_or_with_another_ratio_are_refused():
    for options in ({}, {"images": "made", "ratio": 4}, {"images": "made", "limit": 1}, {"images": "made", "crop": 3}):
        with pytest.raises(ValidationError):
            DATASETS["imsitu"].options(annotations="lists", **options)
    assert DATASETS["coco"].options(annotations="lists", images="made").training_list == "train"


def test_class_names_come_from_the_map_beside_the_lists(small):
    options = PeopleOptions(annotations=str(small / "lists"), images="made")
    names = {str(number): f"verb-{number}" for number in range(211)}
    (small / "lists" / "label_maps.json").write_text(json.dumps({"imsitu_verb_id_map": {"id2verb": names}}))
    assert imsitu.describe(options)["classes"][210] == "verb-210"
    pickled = {"id2verb": {number: f"pickled-{number}" for number in range(211)}}
    (small / "lists" / "verb_id.map").write_bytes(pickle.dumps(pickled))
    assert imsitu.describe(options)["classes"][210] == "pickled-210"
    (small / "lists" / "verb_id.map").write_bytes(pickle.dumps({"id2verb": {0: "one"}}))
    with pytest.raises(InputError, match="no map of 211 class names"):
        imsitu.describe(options)
