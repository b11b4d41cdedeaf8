"""CIFAR-10S is the study's: its skew, its gray, its draw; and nothing but official files and plain arrays is read."""

import hashlib
import io
import os
import pickle
import random
import struct
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fitlib.datasets import cifar10s
from fitlib.datasets.options import Cifar10SOptions
from fitlib.digest import digest_arrays
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.registry.datasets import DATASETS

PER_BATCH = 40  # images in a made batch


def _python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 pickled it with protocol 2, written opcode by opcode: the official files' layout."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R"
    shape = b"".join(map(number, data.shape)) + b"\x86"
    array += b"(" + number(1) + shape + dtype + b"\x89" + text(data.tobytes()) + b"tb"
    listed = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


def _made(part: int) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(part)
    return rng.integers(0, 256, (PER_BATCH, 3072), np.uint8), rng.permutation(np.arange(PER_BATCH) % 10).tolist()


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """A folder with six made batch files, for which the checksums are made to fit."""
    folder = tmp_path / "in" / cifar10s.FOLDER
    folder.mkdir(parents=True)
    for part, name in enumerate(cifar10s.MD5):
        content = _python2_pickle(*_made(part))
        (folder / name).write_bytes(content)
        monkeypatch.setitem(cifar10s.MD5, name, hashlib.md5(content).hexdigest())
    return folder.parent


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FITLIB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _as_parquet(path: Path, split: bool = True) -> None:
    """The made batches as lossless images, in one table or in one for each part."""
    path.mkdir(exist_ok=True)
    rows = []
    for part, name in enumerate(cifar10s.MD5):
        for pixels, label in zip(*_made(part), strict=True):
            stream = io.BytesIO()
            Image.fromarray(pixels.reshape(3, 32, 32).transpose(1, 2, 0)).save(stream, "PNG")
            image = {"bytes": stream.getvalue(), "path": None}
            rows.append({"image": image, "label": label, "split": "test" if name == "test_batch" else "train"})
    if split:
        pq.write_table(pa.Table.from_pylist(rows), path / "all.parquet")
        return
    for part in ("train", "test"):
        columns = [{k: v for k, v in row.items() if k != "split"} for row in rows if row["split"] == part]
        pq.write_table(pa.Table.from_pylist(columns), path / f"{part}-00000-of-00001.parquet")


# The construction


def test_of_5000_images_a_class_4750_are_in_its_own_rendering():
    label = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
    group = cifar10s.skewed_groups(label, 0.95, 42)
    for c in range(10):
        assert np.bincount(group[label == c]).tolist() == ([250, 4750] if c % 2 else [4750, 250])


def test_the_draw_is_python_s_with_one_seed_for_all_classes():
    label = np.tile(np.arange(10), 500)
    random.seed(42)
    expected = np.zeros(len(label), int)
    for c in range(10):
        rows = [row for row in range(len(label)) if label[row] == c]
        drawn = set(random.sample(rows, 475))
        for row in rows:
            expected[row] = (row in drawn) if c in (1, 3, 5, 7, 9) else (row not in drawn)
    assert (cifar10s.skewed_groups(label, 0.95, 42) == expected).all()
    assert (cifar10s.skewed_groups(label, 0.95, 1) != expected).any()


def test_gray_is_pillow_s_mode_l():
    images = np.random.default_rng(0).integers(0, 256, (1500, 3, 4, 4), np.uint8)
    images[0, :, 0] = [[0] * 4, [255] * 4, [255, 254, 1, 0]]
    result = cifar10s.gray(images)
    for image, ours in zip(images, result, strict=True):
        expected = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L"))
        assert (ours == expected).all()


def test_every_test_image_stands_once_in_each_rendering(archive):
    test = cifar10s.load(Cifar10SOptions(root=str(archive))).test
    half = len(test) // 2
    assert test.protected.tolist() == [0] * half + [1] * half
    assert (test.unit[:half] == test.unit[half:]).all() and (test.y[:half] == test.y[half:]).all()
    assert (test.x[:half] == cifar10s.gray(test.x[half:])).all()
    assert (test.x[half:] == _made(5)[0].reshape(-1, 3, 32, 32)).all()


def test_training_keeps_the_order_and_grays_what_is_in_group_gray(archive):
    train = cifar10s.load(Cifar10SOptions(root=str(archive))).train
    original = np.concatenate([_made(part)[0] for part in range(5)]).reshape(-1, 3, 32, 32)
    gray = train.protected == 0
    assert (train.x[~gray] == original[~gray]).all() and (train.x[gray] == cifar10s.gray(original[gray])).all()
    assert train.y.tolist() == [label for part in range(5) for label in _made(part)[1]]
    for c in range(10):
        assert np.bincount(train.protected[train.y == c]).tolist() == ([1, 19] if c % 2 else [19, 1])


def test_limits_keep_the_first_of_each_class_in_order(archive):
    data = cifar10s.load(Cifar10SOptions(root=str(archive), limit=4, test_limit=2))
    assert np.bincount(data.train.y).tolist() == [4] * 10 and np.bincount(data.test.y).tolist() == [4] * 10
    whole = cifar10s.load(Cifar10SOptions(root=str(archive))).train.y
    first = sorted(row for c in range(10) for row in np.flatnonzero(whole == c)[:4])
    assert data.train.y.tolist() == whole[first].tolist()
    assert np.bincount(data.train.protected[data.train.y == 0]).tolist() == [3, 1]  # both renderings in each class


@pytest.mark.parametrize("split", [True, False])
def test_parquet_gives_the_same_data_as_the_official_layout(archive, tmp_path, split):
    _as_parquet(tmp_path / "table", split)
    for options in ({}, {"limit": 3, "test_limit": 2}):
        roots = (str(archive), str(tmp_path / "table"))
        one, other = (cifar10s.load(Cifar10SOptions(root=root, **options)) for root in roots)
        for part in ("train", "test"):
            assert digest_arrays(one.part(part).arrays()) == digest_arrays(other.part(part).arrays())


# What is read, and what is refused


class _Command:
    def __reduce__(self) -> tuple:
        return os.system, ("true",)


@pytest.mark.parametrize("value", [_Command(), {"data": _Command()}, [random.Random], {b"x": Path("x")}])
def test_a_pickle_that_names_a_class_is_refused(value):
    with pytest.raises(InputError, match=r"data_batch_1.*its pickle names .* refused"):
        cifar10s.load_pickle(pickle.dumps(value), Path("data_batch_1"))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(list(range(99)))[:-5]])
def test_a_damaged_pickle_is_named(content):
    with pytest.raises(InputError, match="not a readable pickle"):
        cifar10s.load_pickle(content, Path("data_batch_1"))


def test_arrays_pass_in_the_layout_of_python_2_and_of_today():
    pixels, labels = _made(0)
    batch = cifar10s.load_pickle(_python2_pickle(pixels, labels), Path("x"))
    assert (batch[b"data"] == pixels).all() and batch[b"labels"] == labels
    assert (cifar10s.load_pickle(pickle.dumps(pixels, protocol=4), Path("x")) == pixels).all()


def test_the_names_of_the_classes_are_those_of_the_data(data_dir):
    path = data_dir / "data" / "cifar10" / "batches.meta"
    names = cifar10s.load_pickle(path.read_bytes(), path)["label_names"]
    assert tuple(n.decode() if isinstance(n, bytes) else n for n in names) == cifar10s.CLASSES


def test_another_checksum_is_named_before_anything_is_unpickled(archive, monkeypatch):
    (archive / cifar10s.FOLDER / "data_batch_3").write_bytes(pickle.dumps(_Command()))
    monkeypatch.setattr(cifar10s, "load_pickle", lambda content, path: {b"labels": [], b"data": np.zeros((0, 3072))})
    with pytest.raises(InputError, match="file = 'data_batch_3': altered or truncated: its MD5"):
        cifar10s.load(Cifar10SOptions(root=str(archive)))


def test_a_missing_batch_file_is_named(archive):
    (archive / cifar10s.FOLDER / "data_batch_2").unlink()
    with pytest.raises(InputError, match=r"file = 'data_batch_2': No such file.*cifar-10-python"):
        cifar10s.load(Cifar10SOptions(root=str(archive)))


@pytest.mark.parametrize("label", [[0, 10], ["cat", "cow"]])
def test_a_label_that_is_no_class_is_named(tmp_path, label):
    table = pa.table({"image": [b"", b""], "label": label, "split": ["train", "test"]})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="row = 1: label is not a class of CIFAR-10"):
        cifar10s.load(Cifar10SOptions(root=str(tmp_path / "t.parquet")))


def test_a_class_without_images_is_named(tmp_path):
    table = pa.table({"image": [b""] * 4, "label": [0, 0, 1, 1], "split": ["train", "test"] * 2})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match="class = 'bird': only 0 images"):
        cifar10s.load(Cifar10SOptions(root=str(tmp_path / "t.parquet")))


# Where it comes from


@pytest.mark.parametrize("root", [None, "/nowhere"])
def test_without_data_the_source_and_its_size_are_told(root):
    with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz \(170 MB\).*data\.download: true"):
        cifar10s.load(Cifar10SOptions(root=root))


@pytest.fixture
def served(archive, tmp_path, monkeypatch) -> Path:
    """The made archive, packed; a download copies it, as pooch does it after the check of the hash."""
    import pooch

    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(archive / cifar10s.FOLDER, cifar10s.FOLDER)
    monkeypatch.setattr(cifar10s, "URL", packed.as_uri())
    copy = lambda url, target, *rest, **named: Path(target).write_bytes(packed.read_bytes()) and None  # noqa: E731
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **options: copy)
    return packed


def test_a_download_is_checked_unpacked_and_kept(served, archive, monkeypatch):
    monkeypatch.setattr(cifar10s, "SHA256", hashlib.sha256(served.read_bytes()).hexdigest())
    files = cifar10s.source_files(Cifar10SOptions(download=True))
    assert [path.name for path in files] == [*cifar10s.MD5]
    kept = cifar10s.load(Cifar10SOptions())  # without download: what is there is used
    given = cifar10s.load(Cifar10SOptions(root=str(archive)))
    assert digest_arrays(kept.train.arrays()) == digest_arrays(given.train.arrays())


def test_a_download_with_another_hash_is_not_used(served, cache_dir):
    with pytest.raises(RunFailed, match="the download has another SHA-256, so it is not used"):
        cifar10s.load(Cifar10SOptions(download=True))
    assert not [path for path in (cache_dir / "downloads").iterdir() if path.is_dir()]


def test_real_images(data_dir):
    root = str(data_dir / "data" / "cifar10" / "cifar10_60k_jpeg.parquet")
    options = DATASETS["cifar10s"].options(root=root, limit=20, test_limit=10)
    data = DATASETS["cifar10s"].load_dataset(options.model_dump()).check()
    assert data.train.x.shape == (200, 3, 32, 32) and data.test.x.shape == (200, 3, 32, 32)
    assert data.train.x.dtype == np.uint8 and data.normalisation == "training"
    gray = data.train.x[data.train.protected == 0]
    assert (gray[:, 0] == gray[:, 2]).all() and not data.remarks()
    assert DATASETS["cifar10s"].describe(options.model_dump())["classes"] == list(data.classes)
