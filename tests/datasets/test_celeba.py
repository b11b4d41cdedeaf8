"""CelebA: any attribute against any other, the official parts and those of null-sampling, the studies' transforms."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fitlib.datasets import celeba
from fitlib.datasets.images.decoding import FileSource, decode
from fitlib.datasets.options import CelebAOptions
from fitlib.errors import InputError
from fitlib.experiment.registry.datasets import DATASETS

SMALL = 20


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FITLIB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path) -> Path:
    """A made CelebA of 20 small images and 3 attributes."""
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    rng = np.random.default_rng(0)
    values = np.where(rng.random((SMALL, 3)) < 0.5, -1, 1)
    names = [f"{number + 1:06d}.jpg" for number in range(SMALL)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (218, 178, 3), np.uint8)).save(folder / "img_align_celeba" / name)
    rows = [f"{name} " + " ".join(f"{v:2d}" for v in row) for name, row in zip(names, values, strict=True)]
    (folder / celeba.ATTRIBUTES).write_text(f"{SMALL}\nAttractive Male Smiling \n" + "\n".join(rows) + "\n")
    parts = [0] * 12 + [1] * 3 + [2] * 5
    lines = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
    (folder / celeba.PARTITION).write_text("\n".join(lines) + "\n")
    return folder


def _attribute(root: Path, name: str) -> list[int]:
    lines = (root / celeba.ATTRIBUTES).read_text().splitlines()
    column = 1 + lines[1].split().index(name)
    return [int(line.split()[column] == "1") for line in lines[2:]]


def test_the_official_parts_hold_their_rows_labels_and_groups(root):
    data = celeba.load(CelebAOptions(root=str(root), transform="nifr"))
    assert [len(data.part(part)) for part in ("train", "validation", "test")] == [12, 3, 5]
    assert data.test.unit.tolist() == [15, 16, 17, 18, 19]
    for part in ("train", "validation", "test"):
        split = data.part(part)
        assert split.y.tolist() == [_attribute(root, "Attractive")[row] for row in split.unit]
        assert split.protected.tolist() == [_attribute(root, "Male")[row] for row in split.unit]
    assert data.classes == ("not Attractive", "Attractive") and data.groups == ("female", "male")


@pytest.mark.parametrize(("transform", "side", "box"), [("fairalm", 128, (0, 20, 178, 198)), ("nifr", 64, None)])
def test_the_transforms_are_the_studies(root, transform, side, box):
    data = celeba.load(CelebAOptions(root=str(root), transform=transform))
    with Image.open(root / "img_align_celeba" / "000013.jpg") as image:
        if box:
            expected = image.crop(box).resize((side, side), Image.Resampling.BILINEAR)
        else:
            expected = image.resize((64, 78), Image.Resampling.BILINEAR).crop((0, 7, 64, 71))
    assert data.train.x.shape == (12, 3, side, side) and data.train.x.dtype == np.uint8
    assert (data.validation.x[0].transpose(1, 2, 0) == np.asarray(expected)).all()
    assert data.normalisation == (None if box else ((0.5,) * 3, (0.5,) * 3))


@pytest.mark.parametrize("split", ["nifr-sequential", "nifr-shuffled"])
def test_null_sampling_s_parts_do_not_overlap_and_train_is_mixed_as_asked(root, split):
    for mixing, expected in ((0.0, {True}), (1.0, {False}), (0.5, {True, False})):
        data = celeba.load(
            CelebAOptions(root=str(root), target="Smiling", split=split, mixing=mixing, transform="nifr")
        )
        parts = [data.part(name).unit for name in ("train", "pretrain", "test")]
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)) <= SMALL
        assert set((data.train.y == data.train.protected).tolist()) == expected
        assert [len(part) for part in parts[1:]] == [8, 4]
    assert len(data.train) == 8 and (split != "nifr-sequential" or min(data.train.unit) == 12)


def test_every_row_of_a_random_part_has_its_own_image(root):
    data = celeba.load(CelebAOptions(root=str(root), split="nifr-shuffled", transform="nifr"))
    decoding, _ = celeba.TRANSFORMS["nifr"]
    for part in ("train", "pretrain", "test"):
        split = data.part(part)
        paths = [root / "img_align_celeba" / f"{row + 1:06d}.jpg" for row in split.unit]
        assert (split.x == decode(FileSource(paths, ""), decoding)).all()


def test_limit_keeps_the_first_rows_of_each_part_and_needs_no_other_image(root):
    for path in (root / "img_align_celeba").iterdir():
        if path.stem not in ("000001", "000002", "000013", "000014", "000016", "000017"):
            path.unlink()
    data = celeba.load(CelebAOptions(root=str(root), limit=2))
    assert [data.part(part).unit.tolist() for part in ("train", "validation", "test")] == [[0, 1], [12, 13], [15, 16]]
    with pytest.raises(InputError, match=r"image = '000003\.jpg': missing, as are 13 others of 20.*1\.3 GB"):
        celeba.load(CelebAOptions(root=str(root)))


def test_source_files_change_with_the_images_that_are_used_and_with_no_other(root):
    def content(**options: object) -> list[bytes]:
        return [path.read_bytes() for path in celeba.source_files(CelebAOptions(root=str(root), **options))]

    before, few = content(), content(limit=2)
    shutil.copy(root / "img_align_celeba" / "000001.jpg", root / "img_align_celeba" / "000020.jpg")
    assert content()[:2] == before[:2] and content()[2] != before[2] and content(limit=2) == few


@pytest.mark.parametrize("option", ["target", "protected"])
def test_an_attribute_that_the_list_lacks_is_named_with_the_nearest(root, option):
    for function in (celeba.load, celeba.source_files):
        with pytest.raises(
            InputError, match=r"list_attr_celeba\.txt: attribute = 'smilling': unknown; did you mean Smiling"
        ):
            function(CelebAOptions(root=str(root), **{option: "smilling"}))


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("list_attr_celeba.txt", lambda text: text.rstrip()[:-3], "words instead of 4"),
        ("list_attr_celeba.txt", lambda text: "", "unknown"),
        (
            "list_eval_partition.txt",
            lambda text: text.replace(".jpg 0", ".jpg", 1),
            "line = 1: 1 words instead of 2",
        ),
        ("list_eval_partition.txt", lambda text: text.replace(".jpg 0", ".jpg x", 1), "part = 'x': unknown"),
        ("list_attr_celeba.txt", lambda text: text.rstrip().rpartition("\n")[0], "20 images, but only 19 in list_attr"),
    ],
)
def test_a_damaged_list_is_named_with_its_line(root, name, change, problem):
    (root / name).write_text(change((root / name).read_text()))
    with pytest.raises(InputError, match=problem):
        celeba.load(CelebAOptions(root=str(root)))


@pytest.mark.parametrize("missing", [celeba.ATTRIBUTES, celeba.PARTITION])
def test_a_missing_list_says_where_it_comes_from(root, missing):
    (root / missing).unlink()
    with pytest.raises(InputError, match=f"{missing} is missing; get img_align_celeba.zip .1.3 GB."):
        celeba.source_files(CelebAOptions(root=str(root)))


def test_without_a_root_the_source_and_its_size_are_told():
    with pytest.raises(InputError, match=r"data\.root = None: not given; get .*1\.3 GB.*mmlab"):
        celeba.load(CelebAOptions())


def test_the_real_lists_give_the_official_sizes_and_the_study_s_test_parts(data_dir):
    folder = data_dir / "data" / "celeba"
    parts = celeba.official_parts(celeba.partition(folder / f"{celeba.PARTITION}.xz"))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 162770, "validation": 19867, "test": 19962}
    y, s = celeba.attributes(folder / f"{celeba.ATTRIBUTES}.xz", ("Smiling", "Male"))
    for shuffled, men in ((False, 17013), (True, 16999)):  # the smaller group of the study's two test parts
        parts = celeba.nifr_parts(y, s, shuffled, 0.5, 1)
        assert {name: len(rows) for name, rows in parts.items()} == {"train": 81040, "test": 40520, "pretrain": 81039}
        assert s[parts["test"]].sum() == men


def test_real_images(data_dir, tmp_path):
    source, names = data_dir / "data" / "celeba", [f"{number:06d}.jpg" for number in range(1, 33)]
    root = tmp_path / "real"
    root.mkdir()
    (root / "img_align_celeba").symlink_to(source / "img_align_celeba")
    (root / f"{celeba.ATTRIBUTES}.xz").symlink_to(source / f"{celeba.ATTRIBUTES}.xz")
    (root / celeba.PARTITION).write_text("\n".join(f"{n} {2 * (i % 2)}" for i, n in enumerate(names)) + "\n")
    options = DATASETS["celeba"].options(root=str(root), target="Smiling").model_dump()
    data = DATASETS["celeba"].load_dataset(options).check()
    assert data.train.x.shape == (16, 3, 128, 128) and data.train.y[0] == 1 and data.train.protected[0] == 0
    assert 20 < data.train.x.mean() < 235
    assert DATASETS["celeba"].describe(options)["classes"] == list(data.classes)
