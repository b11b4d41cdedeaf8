"""Data set `images`: parquet, or files with a table, become a data set; every error is one line."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fitlib.datasets import custom_images
from fitlib.datasets.custom_images import parts_by_name, reorder, shared_image_notes
from fitlib.datasets.images.decoding import Decoding
from fitlib.datasets.options import ImagesOptions
from fitlib.datasets.tabular.columns import CodedColumn
from fitlib.errors import InputError
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.training_options import Training

ROWS = 24
LABELS = {"diagnosis": ["benign", "malignant", "benign"] * 8, "sex": ["f", "f", "m", "m"] * 6}
ROLES = {"target": "diagnosis", "protected": "sex", "size": 8}


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FITLIB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def encoded(seed: int, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), np.uint8)).save(stream, form)
    return stream.getvalue()


def pixels(seed: int) -> np.ndarray:
    return Decoding(shorter=8, crop=8)(Image.open(io.BytesIO(encoded(seed))))


def written(folder: Path, names: list[object], separator: str = ",", encoding: str = "utf-8", **columns: list) -> Path:
    """A folder with an image for each row and the table `labels.csv`."""
    labels = {"path": names, **{**LABELS, **columns}}
    folder.mkdir(exist_ok=True)
    lines = [separator.join(labels)] + [separator.join(map(str, row)) for row in zip(*labels.values(), strict=True)]
    (folder / "labels.csv").write_bytes("\n".join(lines).encode(encoding))
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    names = [f"{number:02d}.png" for number in range(ROWS)]
    root = written(tmp_path / "skin", names)
    for seed, name in enumerate(names):
        (root / name).write_bytes(encoded(seed))
    return root


@pytest.fixture
def packed(tmp_path) -> Path:
    """The same images in two parquet files, in the layout of public data sets."""
    root = tmp_path / "packed"
    (root / "data").mkdir(parents=True)
    for part, rows in (("test", range(8)), ("train", range(8, ROWS))):
        cells = {"image": [{"bytes": encoded(row), "path": None} for row in rows]}
        labels = {name: [values[row] for row in rows] for name, values in LABELS.items()}
        pq.write_table(pa.table({**cells, **labels}), root / "data" / f"{part}-00000-of-00001.parquet")
    return root


def refused(match: str, **options: object) -> str:
    with pytest.raises(InputError, match=match) as raised:
        custom_images.source_files(ImagesOptions(**{**ROLES, **options}))
    assert "\n" not in str(raised.value)
    return str(raised.value)


# What becomes of good data


def test_a_folder_with_a_table_becomes_a_data_set(folder):
    data = custom_images.load(
        ImagesOptions(**ROLES, root=str(folder), table="labels.csv", path="path", test_share=0.25)
    )
    assert data.classes == ("benign", "malignant") and data.groups == ("f", "m")
    assert data.attribute_groups == {"sex": ("f", "m")} and list(data.train.attributes) == ["sex"]
    assert sorted([*data.train.unit, *data.test.unit]) == list(range(ROWS)) and data.validation is None
    for split in (data.train, data.test):
        for place, row in enumerate(split.unit.tolist()):
            assert (split.x[place] == pixels(row)).all()
            assert data.classes[split.y[place]] == LABELS["diagnosis"][row]
            assert data.groups[split.protected[place]] == LABELS["sex"][row]
    assert (data.test.attributes["sex"] == data.test.protected).all()


def test_parts_are_drawn_by_class_and_group_from_the_seed(folder):
    options = {**ROLES, "root": str(folder), "test_share": 0.25}
    first, again, other = (custom_images.load(ImagesOptions(**options, split_seed=seed)) for seed in (0, 0, 1))
    assert (first.test.unit == again.test.unit).all() and not np.array_equal(first.test.unit, other.test.unit)
    cells = np.bincount(first.test.y * 2 + first.test.protected, minlength=4)
    assert cells.tolist() == [2, 2, 1, 1]  # of 8, 8, 4 and 4 rows


def test_what_was_guessed_is_told(folder):
    described = custom_images.describe(ImagesOptions(**ROLES, root=str(folder)))["notes"]
    assert "rows read from labels.csv" in described and "images named by the column path" in described
    assert any(note.startswith("the parts were drawn with seed 0") for note in described)
    assert any(note.startswith("24 of 24 rows are used: ") for note in described)
    assert not [
        note for note in described if note not in custom_images.load(ImagesOptions(**ROLES, root=str(folder))).remarks()
    ]


def test_public_parquet_is_read_with_the_parts_that_its_files_name(packed):
    data = custom_images.load(ImagesOptions(**ROLES, root=str(packed)))
    assert data.test.unit.tolist() == list(range(8)) and data.train.unit.tolist() == list(range(8, ROWS))
    assert all((data.train.x[place] == pixels(8 + place)).all() for place in range(16))
    assert custom_images.source_files(ImagesOptions(**ROLES, root=str(packed))) == sorted(packed.rglob("*.parquet"))
    drawn = custom_images.load(ImagesOptions(**ROLES, root=str(packed), test_share=0.5))
    assert len(drawn.test) == 12 and drawn.test.unit.max() > 7


def test_parquet_and_files_give_the_same_arrays(folder, packed):
    one, two = (
        custom_images.load(ImagesOptions(**ROLES, root=str(root), test_share=0.25)) for root in (folder, packed)
    )
    for part in ("train", "test"):
        for (name, a), (_, b) in zip(one.part(part).arrays(), two.part(part).arrays(), strict=True):
            assert np.array_equal(a, b), name


def test_a_column_tells_the_parts(folder):
    fold = ["a", "b", "c", "c"] * 6
    written(folder, [f"{n:02d}.png" for n in range(ROWS)], fold=fold, sex=["f"] * 12 + ["m"] * 12)
    data = custom_images.load(ImagesOptions(**ROLES, root=str(folder), split="fold", test=["a"], validation=["b"]))
    by_part = {part: {fold[row] for row in data.part(part).unit} for part in ("train", "validation", "test")}
    assert by_part == {"train": {"c"}, "validation": {"b"}, "test": {"a"}}


@pytest.mark.parametrize(
    ("given", "expected", "described"),
    [
        (["Training", "val", "test"], [0, 1, 2], "parts as the data name them: Training, test, val"),
        (["train", "val"], [0, 2], "the validation part serves as test part"),
        (["train", "test", "extra"], [0, 2, -1], "1 rows of other parts left out"),
    ],
)
def test_parts_are_known_by_their_names(given, expected, described):
    part, notes = parts_by_name(np.array(given))
    assert part.tolist() == expected and any(note.startswith(described) for note in notes)


@pytest.mark.parametrize("given", [None, np.array(["train", "train"]), np.array(["a", "test"])])
def test_names_without_a_training_or_a_test_part_are_no_parts(given):
    assert parts_by_name(given) is None


def test_several_attributes_a_crossing_and_declared_values(folder):
    age = [20, 30, 40, 50, 60, 70] * 4
    written(folder, [f"{n:02d}.png" for n in range(ROWS)], age=age)
    declared = {
        "protected": ["age", "sex", ["sex", "age"]],
        "groups": {"sex": {"men": ["m"], "women": ["f"]}},
        "bins": {"age": [45]},
        "positive": ["malignant"],
    }
    data = custom_images.load(ImagesOptions(**{**ROLES, **declared}, root=str(folder), test_share=0.25))
    assert data.groups == ("< 45", ">= 45") and list(data.attribute_groups) == ["age", "sex", "sex x age"]
    assert (data.train.protected == (np.array(age)[data.train.unit] >= 45)).all()
    men = np.array(LABELS["sex"])[data.train.unit] == "m"
    assert (data.train.attributes["sex"] == np.where(men, 0, 1)).all()


def test_declared_classes_keep_their_order_and_leave_other_values_out(folder):
    stage = ["I", "II", "III", "IV"] * 6
    written(folder, [f"{n:02d}.png" for n in range(ROWS)], diagnosis=stage, sex=["f"] * 12 + ["m"] * 12)
    data = custom_images.load(ImagesOptions(**ROLES, root=str(folder), classes={"late": ["III", "IV"], "early": ["I"]}))
    assert data.classes == ("late", "early") and {stage[row] for row in data.train.unit} == {"I", "III", "IV"}
    assert (data.train.y == [stage[row] == "I" for row in data.train.unit]).all()


def test_rows_without_a_class_or_group_are_left_out_and_counted(folder):
    (folder / "00.png").unlink()  # nor need their images be there
    labels = {"diagnosis": ["", *LABELS["diagnosis"][1:]], "sex": [*LABELS["sex"][:-1], "?"]}
    written(folder, [f"{n:02d}.png" for n in range(ROWS)], **labels)
    data = custom_images.load(ImagesOptions(**ROLES, root=str(folder)))
    assert sorted([*data.train.unit, *data.test.unit]) == list(range(1, ROWS - 1))
    described = " ".join(data.remarks())
    assert "1 row without a value of the target diagnosis left out" in described
    assert "1 row without a value of the protected attribute sex left out" in described
    assert "22 of 24 rows are used" in described


def test_units_lie_in_one_part_and_may_share_an_image(folder):
    names = [f"{n // 2:02d}.png" for n in range(ROWS)]
    written(folder, names, patient=[f"p{n // 4}" for n in range(ROWS)])
    data = custom_images.load(ImagesOptions(**ROLES, root=str(folder), unit="patient"))
    assert not set(data.train.unit) & set(data.test.unit)
    assert len(np.unique(np.concatenate([data.train.unit, data.test.unit]))) == 6


@pytest.mark.parametrize(("separator", "encoding"), [(";", "utf-8-sig"), ("\t", "utf-16"), (",", "cp1252")])
def test_any_separator_and_encoding_is_read_and_accents_survive(folder, separator, encoding):
    names = [f"{n:02d}.png" for n in range(ROWS)]
    written(folder, names, separator, encoding, diagnosis=["bénigne", "maligne", "bénigne"] * 8)
    described = custom_images.describe(ImagesOptions(**ROLES, root=str(folder)))
    assert described["classes"] == ["bénigne", "maligne"]
    if encoding == "cp1252":
        assert "encoding Windows-1252 (not UTF-8)" in described["notes"]


@pytest.mark.parametrize("name", ["{:02d}", ".\\{:02d}.png", "./{:02d}.png"])
def test_names_without_an_ending_or_with_other_slashes_find_their_images(folder, name):
    written(folder, [name.format(n) for n in range(ROWS)])
    data = custom_images.load(ImagesOptions(**ROLES, root=str(folder)))
    assert (data.test.x[0] == pixels(int(data.test.unit[0]))).all()
    added = "ending .png added to the names of images" in data.notes
    assert added == (not name.endswith("png"))


def test_class_numbers_get_the_names_and_the_order_that_the_table_declares(tmp_path):
    names = ["malignant", "benign"]
    numbers = [names.index(label) for label in LABELS["diagnosis"]]
    table = pa.table({"img": [encoded(n) for n in range(ROWS)], "diagnosis": [*numbers[:-1], -1], "sex": LABELS["sex"]})
    declared = {"info": {"features": {"diagnosis": {"names": names}}}}
    path = tmp_path / "t.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(declared)}), path)
    described = custom_images.describe(ImagesOptions(**ROLES, root=str(path)))
    assert described["classes"] == names and any(
        "1 row without a value of the target" in note for note in described["notes"]
    )
    test = custom_images.load(ImagesOptions(**ROLES, root=str(path))).test
    assert (test.y == np.array(numbers)[test.unit]).all()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(declared).replace(', "benign"', "")}), path)
    refused("diagnosis = 1: the table's metadata name only 1 classes", root=str(path))


def test_names_are_put_in_order_and_their_numbers_follow():
    coded = CodedColumn(("a", "b", "c"), np.array([0, 1, 2, -1]))
    ordered = reorder(coded, ["c", "d", "a", "b"])
    assert ordered.names == ("c", "a", "b") and ordered.numbers.tolist() == [1, 2, 0, -1]
    assert reorder(coded, ["a", "b"]) is coded and reorder(coded, None) is coded


def test_the_only_column_of_bytes_is_the_image_whatever_its_name(tmp_path):
    cells = {"photo": [encoded(n) for n in range(ROWS)], **LABELS}
    pq.write_table(pa.table(cells), tmp_path / "t.parquet")
    described = custom_images.describe(ImagesOptions(**ROLES, root=str(tmp_path / "t.parquet")))["notes"]
    assert "images read from the column photo" in described
    pq.write_table(pa.table({**cells, "mask": cells["photo"]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"several columns of bytes, photo, mask; name it"):
        custom_images.load(ImagesOptions(**ROLES, root=str(tmp_path / "t.parquet")))
    assert len(custom_images.load(ImagesOptions(**ROLES, root=str(tmp_path / "t.parquet"), image="photo")).test)


def test_limits_keep_the_first_rows_of_each_part(packed):
    data = custom_images.load(ImagesOptions(**ROLES, root=str(packed), limit=10, test_limit=4))
    assert data.train.unit.tolist() == list(range(8, 18)) and data.test.unit.tolist() == list(range(4))


# What is wrong


def test_missing_images_are_counted_and_the_first_is_named(folder):
    for name in ("03.png", "07.png", "11.png"):
        (folder / name).unlink()
    assert "as are 2 others of 24" in refused(r"skin: image = '03\.png': missing", root=str(folder))


@pytest.mark.parametrize("content", [b"no image", encoded(3)[:60], encoded(3, "GIF")])
def test_a_damaged_image_is_named(folder, content):
    (folder / "05.png").write_bytes(content)
    with pytest.raises(InputError, match=r"image = '05\.png': (not a JPEG or PNG|cannot be decoded)"):
        custom_images.load(ImagesOptions(**ROLES, root=str(folder)))


def test_an_image_listed_twice_is_refused_with_the_count(folder):
    written(folder, [f"{min(n, 21):02d}.png" if n else "./01.png" for n in range(ROWS)])
    described = refused(
        r"labels\.csv: path = '01\.png': listed in 2 rows, and 1 other; list every image", root=str(folder)
    )
    assert "data.unit" in described


@pytest.mark.parametrize("name", ["../secret.png", "a/../../x.png", "/etc/x.png", "C:\\x.png", "..\\x.png"])
def test_names_that_leave_the_folder_are_refused(folder, name):
    written(folder, [name, name, *(f"{n:02d}.png" for n in range(2, ROWS))])
    refused(r"path = .*: it leaves the folder .*skin, and 1 other; give names below", root=str(folder))


def test_a_row_without_a_file_name_is_named(folder):
    written(folder, ["00.png", "", *(f"{n:02d}.png" for n in range(2, ROWS))])
    refused("path = None: no file name in row 1; fill it", root=str(folder))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"target": "Diagnosis"}, r"column = 'Diagnosis': unknown; did you mean diagnosis\?"),
        ({"protected": "gender"}, "column = 'gender': unknown; known: path, diagnosis, sex"),
        ({"split": "fold"}, "column = 'fold': unknown"),
        ({"unit": "pathh"}, r"column = 'pathh': unknown; did you mean path\?"),
        ({"path": "paths"}, r"path = 'paths': unknown; did you mean path\?"),
        ({"positive": ["Malignant"]}, r"positive \(diagnosis\) = 'Malignant': unknown; did you mean malignant\?"),
        ({"protected": "diagnosis"}, "column = 'diagnosis': this column is named twice"),
        ({"table": "label.csv"}, r"data\.table = 'label\.csv': not in .*skin, nor a path"),
        ({"root": "nowhere"}, r"data\.root = 'nowhere': no such file or folder"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest(folder, options, match):
    refused(match, **{"root": str(folder), **options})


def test_without_a_table_or_with_several_the_option_is_named(folder):
    (folder / "other.csv").write_text("a\n1\n")
    refused(r"2 tables there: labels\.csv, other\.csv; name one with data\.table", root=str(folder))
    (folder / "labels.csv").unlink()
    (folder / "other.csv").unlink()
    refused(r"0 tables there; name one with data\.table", root=str(folder))
    (folder / "one.csv").write_text("name,diagnosis,sex\na,yes,f\nb,no,m\nc,yes,m\nd,no,f\n")
    (folder / "one.csv").write_text((folder / "one.csv").read_text() + "e,yes,f\nf,yes,m\ng,no,m\nh,no,f\n")
    refused("no column of file names among name, diagnosis, sex; name it with data.path", root=str(folder))
    refused("a file, but not a parquet file; set data.root to the folder", root=str(folder / "one.csv"))


@pytest.mark.parametrize(
    ("sex", "match"),
    [
        (["f"] * ROWS, "protected = 'sex': it has only the value f: one group only"),
        ([f"p{n}" for n in range(ROWS)], "more than 100 groups"),
        ([*["f"] * (ROWS - 1), "m"], "group of the test part = 'm': it has no row"),
    ],
)
def test_a_protected_attribute_with_too_few_or_too_many_values_is_refused(tmp_path, sex, match):
    times = 5 if match.startswith("more") else 1
    sex = [f"p{n}" for n in range(ROWS * times)] if times > 1 else sex
    cells = {"jpeg": [encoded(0)] * len(sex), "diagnosis": LABELS["diagnosis"] * times, "sex": sex}
    pq.write_table(pa.table(cells), tmp_path / "t.parquet")
    refused(match, root=str(tmp_path / "t.parquet"))


def test_images_in_both_parts_are_counted(packed):
    (rows,) = [path for path in packed.rglob("*.parquet") if path.name.startswith("test")]
    table = pq.read_table(rows)
    cells = [{"bytes": encoded(8 + row if row < 2 else 90 + row), "path": None} for row in range(8)]
    pq.write_table(table.set_column(0, "image", pa.array(cells)), rows)
    data = custom_images.load(ImagesOptions(**ROLES, root=str(packed)))
    assert [note for note in data.remarks() if note.startswith("2 of 8 images of the test part are in the training")]


def test_images_that_differ_in_a_pixel_are_not_shared():
    train = np.zeros((2, 3, 4, 4), np.uint8)
    test = train.copy()
    test[0, 0, 0, 0] = 1
    assert shared_image_notes(train, test)[0].startswith("1 of 2 images")
    assert shared_image_notes(train, test[:1]) == []


def test_units_in_both_parts_are_counted(folder):
    split = ["train", "train", "test"] * 8
    written(folder, [f"{n:02d}.png" for n in range(ROWS)], split=split, patient=[n // 6 for n in range(ROWS)])
    described = custom_images.describe(ImagesOptions(**ROLES, root=str(folder), unit="patient"))["notes"]
    assert "4 of the units patient are in the training and in the test part" in described


def test_files_of_one_data_set_must_agree(packed):
    last = max(packed.rglob("*.parquet"))
    table = pq.read_table(last)
    pq.write_table(table.drop_columns("sex"), last)
    refused("file = 'train-00000-of-00001.parquet': cannot be read", root=str(packed))
    pq.write_table(table.set_column(2, "sex", pa.array([{"a": 1}] * 16)), last)
    refused("column = 'sex': its types differ between the files", root=str(packed))


# As a data set of fitlib


def test_the_registry_fills_in_paths_and_checks_options(folder, monkeypatch):
    monkeypatch.setenv("SKIN", str(folder))
    entry = DATASETS["images"]
    options = entry.options(root="$SKIN", table="labels.csv", target="diagnosis", protected="sex", size=8).model_dump()
    assert options["root"] == "$SKIN" and len(entry.load_dataset(options).check().train)
    table, note = entry.source_files(options)
    assert table == folder / "labels.csv"
    before = note.read_text()
    (folder / "00.png").write_bytes(encoded(99))
    assert entry.source_files(options)[1].read_text() != before


def test_planning_reads_no_image(folder, monkeypatch):
    monkeypatch.setattr("fitlib.datasets.custom_images.decode", lambda *given: pytest.fail("decoded"))
    custom_images.describe(ImagesOptions(**ROLES, root=str(folder)))
    custom_images.source_files(ImagesOptions(**ROLES, root=str(folder)))


METHODS_FOR_IMAGES = (
    *("baseline", "oversampling", "domain-independent", "domain-discriminative", "uniform-confusion"),
    *("gradient-projection", "group-loss-penalty", "fair-alm"),
)


def test_every_method_trains_on_them(folder):
    from fitlib.training.loop import Generators, load_data, make_method, make_noise, train

    data = load_data({"name": "images", **ROLES, "root": str(folder), "test_share": 0.5})
    training = Training(epochs=1, batch_size=8, learning_rate=0.01, flip=True)
    for name in METHODS_FOR_IMAGES:
        generators = Generators.of(0)
        options = METHODS[name].options().model_dump()
        method = make_method({"name": name, **options}, {"name": "small-cnn", "width": 2}, training, data, generators)
        trained = train(data, method, make_noise({"name": "none"}, 0, 0), generators)
        predicted = trained.predictions({name: method.first_rule()})[name]
        assert predicted.shape == data.test.y.shape and set(predicted.tolist()) <= {0, 1}, name


@pytest.mark.parametrize(("kind", "never"), [("packed", "pandas"), ("folder", "sklearn")])
def test_planning_imports_nothing_slow(kind, never, request):
    root = str(request.getfixturevalue(kind))
    code = (
        "import sys; from fitlib.datasets.options import ImagesOptions; from fitlib.datasets import custom_images; "
        f"custom_images.describe(ImagesOptions(root={root!r}, target='diagnosis', protected='sex')); "
        f"print([name for name in ('torch', 'PIL', {never!r}) if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_real_faces_by_two_attributes(data_dir):
    root = str(data_dir / "data" / "faces" / "fairface_16k_64px.parquet")
    given = {"target": "gender", "protected": ["race", "age"], "size": 16, "limit": 500, "test_limit": 500}
    data = custom_images.load(ImagesOptions(root=root, **given))
    assert data.classes == ("Female", "Male") and len(data.groups) == 7 and len(data.attribute_groups["age"]) == 9
    assert data.train.unit.max() < data.test.unit.min() and len(data.test) == 500
    assert "the validation part serves as test part: the data have no other" in data.remarks()
