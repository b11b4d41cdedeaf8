"""Images are decoded once, as declared, into a cache that never serves a partial entry."""

import io
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fitlib.datasets import cache, fairface
from fitlib.datasets.dataset import Ragged
from fitlib.datasets.images import decoding as images
from fitlib.datasets.images.decoding import Decoding, FileSource, decode, decode_ragged
from fitlib.datasets.images.parquet import ImageTable
from fitlib.datasets.options import FairFaceOptions
from fitlib.errors import InputError
from fitlib.experiment.registry.datasets import DATASETS

REMEDY = "get the images again"


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FITLIB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _encoded(width: int, height: int, seed: int = 0, form: str = "PNG", mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, form)
    return stream.getvalue()


def _files(folder: Path, *encoded: bytes) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(len(encoded))]
    for path, content in zip(paths, encoded, strict=True):
        path.write_bytes(content)
    return paths


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _entry(cache_dir: Path) -> Path:
    return next(path for path in (cache_dir / "images").iterdir() if path.is_dir())


# Decoding


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_without_a_step_pixels_are_pillow_s(tmp_path, form, mode):
    content = _encoded(9, 7, form=form, mode=mode)
    result = decode_ragged(FileSource(_files(tmp_path / "in", content), REMEDY), Decoding())
    assert (result.image(0).transpose(1, 2, 0) == np.asarray(_opened(content))).all()


def test_cut_resize_and_crop_are_what_the_study_s_transforms_do(tmp_path):
    content = _encoded(178, 218)
    fairalm = decode(FileSource(_files(tmp_path / "in", content), REMEDY), Decoding(cut=178, shorter=128, crop=128))
    expected = _opened(content).crop((0, 20, 178, 198)).resize((128, 128), Image.Resampling.BILINEAR)
    assert (fairalm[0].transpose(1, 2, 0) == np.asarray(expected)).all()
    nifr = decode(FileSource([tmp_path / "in" / "0.png"], REMEDY), Decoding(shorter=64, crop=64))
    expected = _opened(content).resize((64, 78), Image.Resampling.BILINEAR).crop((0, 7, 64, 71))
    assert (nifr[0].transpose(1, 2, 0) == np.asarray(expected)).all()


@pytest.mark.parametrize(("size", "result"), [((300, 200), (384, 256)), ((199, 301), (256, 387)), ((256, 999), None)])
def test_the_longer_side_is_rounded_down(size, result):
    assert Decoding(shorter=256).size(*size) == (result or size)


def test_images_of_different_sizes_stay_so(tmp_path):
    contents = [_encoded(40, 20), _encoded(20, 60, 1), _encoded(30, 30, 2)]
    result = decode_ragged(FileSource(_files(tmp_path / "in", *contents), REMEDY), Decoding(shorter=10))
    assert isinstance(result, Ragged)
    assert [result.image(row).shape for row in range(3)] == [(3, 10, 20), (3, 30, 10), (3, 10, 10)]
    expected = np.asarray(_opened(contents[1]).resize((10, 30), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert (result.image(1) == expected).all()


def test_several_threads_decode_what_one_does(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "CHUNK", 3)
    contents = [_encoded(80, 80, seed) for seed in range(20)]
    result = decode(FileSource(_files(tmp_path / "in", *contents), REMEDY), Decoding(crop=70))
    for number, content in enumerate(contents):
        assert (result[number] == Decoding(crop=70)(_opened(content))).all()


# Bad images


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no image", "not a JPEG or PNG"),
        (b"", "not a JPEG or PNG"),
        (_encoded(64, 64, form="JPEG")[:900], "cannot be decoded"),
        (_encoded(64, 64, form="GIF"), "not a JPEG or PNG"),
        (_encoded(8, 8), "smaller than 16 × 16"),
    ],
)
def test_a_damaged_image_is_named_and_nothing_is_kept(tmp_path, cache_dir, content, problem):
    paths = _files(tmp_path / "in", _encoded(20, 20), content, _encoded(20, 20, 1))
    with pytest.raises(InputError, match=problem) as raised:
        decode(FileSource(paths, REMEDY), Decoding(crop=16))
    assert "image = '1.png'" in str(raised.value) and str(raised.value).endswith(REMEDY)
    assert not [path for path in (cache_dir / "images").iterdir() if path.is_dir()]


def test_missing_images_are_counted_and_the_first_is_named(tmp_path):
    paths = _files(tmp_path / "in", *[_encoded(16, 16, seed) for seed in range(4)])
    paths[1].unlink()
    paths[3].unlink()
    with pytest.raises(InputError, match=r"'1.png': missing, as are 1 others of 4; get the images"):
        decode(FileSource(paths, REMEDY), Decoding(crop=16))


def test_the_mended_image_is_decoded_and_the_error_forgotten(tmp_path):
    paths = _files(tmp_path / "in", _encoded(16, 16), b"broken")
    with pytest.raises(InputError):
        decode(FileSource(paths, REMEDY), Decoding(crop=16))
    paths[1].write_bytes(_encoded(16, 16, 1))
    assert len(decode(FileSource(paths, REMEDY), Decoding(crop=16))) == 2


# The cache


def test_a_second_call_decodes_nothing(tmp_path, monkeypatch):
    source = FileSource(_files(tmp_path / "in", _encoded(16, 16)), REMEDY)
    first = decode(source, Decoding(crop=16))
    monkeypatch.setattr(images, "_fill", lambda *arguments: pytest.fail("decoded again"))
    assert (decode(source, Decoding(crop=16)) == first).all()


def test_other_content_or_decoding_is_another_entry_and_a_moved_folder_the_same(tmp_path, cache_dir):
    paths = _files(tmp_path / "in", _encoded(16, 16))
    for decoding in (Decoding(crop=16), Decoding(crop=8)):
        decode(FileSource(paths, REMEDY), decoding)
    moved = (tmp_path / "in").rename(tmp_path / "there") / "0.png"
    decode(FileSource([moved], REMEDY), Decoding(crop=8))
    assert len([path for path, _ in cache.entries() if path.parent.name == "images"]) == 2
    moved.write_bytes(_encoded(16, 16, 5))
    assert (decode(FileSource([moved], REMEDY), Decoding(crop=16))[0] == Decoding()(_opened(_encoded(16, 16, 5)))).all()


def test_what_is_written_into_an_array_stays_in_this_process(tmp_path):
    source = FileSource(_files(tmp_path / "in", _encoded(16, 16)), REMEDY)
    first = decode(source, Decoding(crop=16))
    kept = first.copy()
    first[:] = 0
    assert (decode(source, Decoding(crop=16)) == kept).all()


@pytest.mark.parametrize("damage", ["cut", "sizes", "partial"])
def test_a_half_written_entry_is_made_again(tmp_path, cache_dir, damage):
    source = FileSource(_files(tmp_path / "in", _encoded(16, 16)), REMEDY)
    kept = decode(source, Decoding(crop=16)).copy()
    entry = _entry(cache_dir)
    if damage == "cut":
        os.truncate(entry / "pixels.npy", 200)
    elif damage == "sizes":
        (entry / cache.SIZES).unlink()
    else:  # as a process leaves it that is killed before the end
        entry.rename(entry.with_name(f".{entry.name}.partial"))
    assert (decode(source, Decoding(crop=16)) == kept).all()
    assert [path.name for path in entry.parent.iterdir() if path.is_dir()] == [entry.name]


def _decode_and_count(folder: Path, made: Path) -> None:
    fill = images._fill

    def counted(*arguments) -> None:
        with open(made, "a") as stream:
            stream.write("x")
        fill(*arguments)

    images._fill = counted
    assert len(decode(FileSource(sorted(folder.iterdir()), REMEDY), Decoding(crop=16))) == 30


def test_of_several_processes_one_decodes(tmp_path):
    _files(tmp_path / "in", *[_encoded(16, 16, seed) for seed in range(30)])
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_decode_and_count, args=(tmp_path / "in", tmp_path / "made")) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert (tmp_path / "made").read_text() == "x"


def test_a_cache_that_cannot_be_written_says_how_to_choose_another(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FITLIB_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot be written.*FITLIB_CACHE_DIR to another folder"):
        decode(FileSource(_files(tmp_path / "in", _encoded(16, 16)), REMEDY), Decoding(crop=16))


# Image tables


def _table(path: Path, split: list[str] | None = None, nested: bool = True, **columns: list) -> Path:
    encoded = [_encoded(12, 12, seed) for seed in range(len(next(iter(columns.values()))))]
    cells = (
        {"image": [{"bytes": e, "path": f"{n}.png"} for n, e in enumerate(encoded)]} if nested else {"jpeg": encoded}
    )
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({**cells, **columns, **({"split": split} if split else {})}), path, row_group_size=2)
    return path


FACES = {"gender": ["Male", "Female"] * 3, "age": ["0-2", "3-9", "10-19", "0-2", "3-9", "10-19"]}
SPLIT = ["train"] * 4 + ["val"] * 2


@pytest.mark.parametrize("nested", [True, False])
def test_rows_of_a_table_are_decoded_in_the_order_asked_for(tmp_path, nested):
    table = ImageTable(_table(tmp_path / "t.parquet", SPLIT, nested, **FACES), REMEDY)
    result = decode(table.source(np.array([5, 0, 3])), Decoding(crop=12))
    for image, seed in zip(result, (5, 0, 3), strict=True):
        assert (image == Decoding()(_opened(_encoded(12, 12, seed)))).all()


def test_a_row_without_an_image_is_named(tmp_path):
    pq.write_table(pa.table({"image": [_encoded(12, 12), b"broken", None]}), tmp_path / "t.parquet")
    source = ImageTable(tmp_path / "t.parquet", REMEDY).source
    for row, problem in ((1, "not a JPEG or PNG"), (2, "the row holds no bytes")):
        with pytest.raises(InputError, match=f"row = {row}: .*{problem}"):
            decode(source(np.array([0, row])), Decoding(crop=12))


def test_parts_come_from_a_column_or_from_the_names_of_the_files(tmp_path):
    one = ImageTable(_table(tmp_path / "one.parquet", SPLIT, **FACES), REMEDY)
    assert one.rows("train").tolist() == [0, 1, 2, 3] and one.rows("test", "validation").tolist() == [4, 5]
    _table(tmp_path / "two" / "train-00000-of-00001.parquet", **FACES)
    _table(tmp_path / "two" / "validation-00000-of-00001.parquet", **FACES)
    two = ImageTable(tmp_path / "two", REMEDY)
    assert two.rows("train").tolist() == [*range(6)] and two.rows("validation").tolist() == [*range(6, 12)]
    with pytest.raises(InputError, match="part = 'test': no row of it; the table has train, validation"):
        two.rows("test")


def test_fairface_makes_classes_and_groups_of_its_columns(tmp_path):
    root = str(_table(tmp_path / "t.parquet", SPLIT, **FACES))
    data = fairface.load(FairFaceOptions(root=root, target="age", protected="gender", positive=["10-19"], size=8))
    assert data.classes == ("other", "10-19") and data.groups == ("Female", "Male")
    assert data.train.y.tolist() == [0, 0, 1, 0] and data.train.protected.tolist() == [1, 0, 1, 0]
    assert data.train.x.shape == (4, 3, 8, 8) and data.test.y.tolist() == [0, 1]
    assert data.train.by_attribute().keys() == {"protected"}
    declared = {"young": ["0-2"], "old": ["10-19", "3-9"]}
    named = fairface.load(FairFaceOptions(root=root, target="age", protected="gender", classes=declared, size=8))
    assert named.classes == ("young", "old") and named.train.y.tolist() == [0, 1, 1, 0]
    by_age = {"root": root, "target": "gender", "protected": "age"}
    merged = fairface.load(FairFaceOptions(**by_age, groups={"young": ["3-9", "0-2"], "older": ["10-19"]}, limit=3))
    assert merged.train.protected.tolist() == [0, 0, 1] and merged.groups == ("young", "older")
    some = fairface.load(FairFaceOptions(**by_age, groups={"young": ["3-9"], "older": ["10-19"]}))
    assert some.train.unit.tolist() == [1, 2]
    assert any(described.startswith("2 rows with age 0-2") for described in some.remarks())


def test_class_numbers_get_the_names_that_the_table_declares(tmp_path):
    path = _table(tmp_path / "t.parquet", SPLIT, gender=[0, 1] * 3, age=[0, 0, 1, 1, 0, 1])
    table = pq.read_table(path)
    declared = b'{"info": {"features": {"gender": {"names": ["Male", "Female"]}}}}'
    pq.write_table(table.replace_schema_metadata({b"huggingface": declared}), path)
    described = fairface.describe(FairFaceOptions(root=str(path), protected="age"))
    assert described["classes"] == ["Male", "Female"] and described["groups"] == {"protected": ["0", "1"]}
    assert fairface.load(FairFaceOptions(root=str(path), protected="age")).train.y.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"target": "Gender"}, "column = 'Gender': unknown; did you mean gender"),
        ({"positive": ["male"]}, r"positive \(gender\) = 'male': unknown; did you mean Male"),
        ({"groups": {"a": ["0-1"], "b": ["3-9"]}}, r"groups \(age\) = '0-1': unknown"),
    ],
)
def test_an_unknown_column_or_value_is_named_with_the_nearest(tmp_path, options, problem):
    root = str(_table(tmp_path / "t.parquet", SPLIT, **FACES))
    with pytest.raises(InputError, match=problem):
        fairface.load(FairFaceOptions(root=root, protected="age", **options))


@pytest.mark.parametrize("root", [None, "/nowhere"])
def test_without_the_table_its_source_is_told(root):
    with pytest.raises(InputError, match=r"fairface.*0\.5 GB.*github.com/joojs/fairface"):
        fairface.source_files(FairFaceOptions(root=root))


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "t.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"t\.parquet"):
        fairface.load(FairFaceOptions(root=str(tmp_path / "t.parquet")))


def test_real_faces(data_dir):
    root = str(data_dir / "data" / "faces" / "fairface_16k_64px.parquet")
    options = DATASETS["fairface"].options(root=root, protected="gender", target="race", limit=200, test_limit=100)
    data = DATASETS["fairface"].load_dataset(options.model_dump()).check()
    assert data.train.x.shape == (200, 3, 64, 64) and len(data.test) == 100 and data.train.x.dtype == np.uint8
    assert data.groups == ("Female", "Male") and len(data.classes) == 7
    assert np.bincount(data.test.protected).min() > 30
