"""CIFAR-10S: CIFAR-10 in two renderings, skewed by class in training, each test image in both.

The protected groups are the renderings: 0 *gray* (Pillow's mode L in three channels) and 1 *colour*. In training 95 %
of the images of each class are in the class's own rendering, odd classes in colour and even ones in gray; the test part
holds all gray images, then the same in colour. Wang et al., CVPR 2020; images: Krizhevsky 2009.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import random
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy._core import multiarray

from fitlib.datasets import cache
from fitlib.datasets.dataset import Dataset, Split
from fitlib.datasets.images.decoding import Decoding, decode
from fitlib.datasets.images.parquet import ImageTable
from fitlib.errors import InputError, RunFailed

if TYPE_CHECKING:  # a data set's module does not need pydantic to be imported
    from fitlib.datasets.options import Cifar10SOptions

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GROUPS = ("gray", "colour")
COLOUR_CLASSES = (1, 3, 5, 7, 9)

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
FOLDER = "cifar-10-batches-py"
MD5 = {  # of the official archive's files: an altered or truncated file is not read
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
FILES = {"train": [name for name in MD5 if name != "test_batch"], "test": ["test_batch"]}
REMEDY = f"get {URL} (170 MB) and unpack it, or set data.download: true"
ARRAYS = {  # everything that a pickled NumPy array names, by old and by new module
    (module, name): value
    for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
    for name, value in (("ndarray", np.ndarray), ("dtype", np.dtype), ("_reconstruct", multiarray._reconstruct))
}


def describe(options: Cifar10SOptions) -> dict:
    """Return the names of the classes and, per protected attribute, of the groups; without reading the data."""
    return {"classes": list(CLASSES), "groups": {"protected": list(GROUPS)}}


def source_files(options: Cifar10SOptions) -> list[Path]:
    """Return the batch files, or the parquet files; download them if that is asked for and they are missing."""
    return _originals(options).files


def load(options: Cifar10SOptions) -> Dataset:
    """Make the data set; x is uint8 (rows, 3, 32, 32).

    `root` is the unpacked official archive (python version), a parquet file or a folder of parquet files; None: the
    cache's copy of the archive, which `download` fetches. `skew` is the share of a class's training images in its own
    rendering, drawn with `split_seed`; `limit` and `test_limit` keep the first so many images of each class.
    """
    originals = _originals(options)
    limits = {"train": options.limit, "test": options.test_limit}
    rows = {part: first_of_each(originals.labels(part), limit) for part, limit in limits.items()}
    images = {part: originals.images(part, rows[part]) for part in rows}
    labels = {part: originals.labels(part)[rows[part]] for part in rows}
    train = _skewed(images["train"], labels["train"], options.skew, options.split_seed)
    return Dataset("cifar10s", train, _both_renderings(images["test"], labels["test"]), CLASSES, GROUPS)


def gray(images: np.ndarray) -> np.ndarray:
    """Return Pillow's mode L of uint8 images (rows, 3, h, w), in each channel.

    L = (19595 R + 38470 G + 7471 B + 2^15) >> 16.

    >>> gray(np.array([255, 0, 0], np.uint8).reshape(1, 3, 1, 1)).ravel().tolist()
    [76, 76, 76]
    """
    result = np.empty_like(images)
    for start in range(0, len(images), 1024):  # 32-bit sums of all images at once would need four times their memory
        red, green, blue = (images[start : start + 1024, channel].astype(np.uint32) for channel in range(3))
        result[start : start + 1024] = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)[:, None]
    return result


def skewed_groups(label: np.ndarray, skew: float, split_seed: int) -> np.ndarray:
    """Return the rendering of each training image, int64 (rows,).

    Python's generator, seeded once, draws from each class's ascending rows the round(skew · n) images, at most n - 1,
    that get the class's own rendering; the others get the other one.
    """
    draw, group = random.Random(split_seed), np.empty(len(label), np.int64)
    for c in range(len(CLASSES)):
        members, own = np.flatnonzero(label == c).tolist(), int(c in COLOUR_CLASSES)
        group[members] = 1 - own
        group[draw.sample(members, min(round(skew * len(members)), len(members) - 1))] = own
    return group


def first_of_each(label: np.ndarray, limit: int | None) -> np.ndarray:
    """Return the ascending rows of the first `limit` images of each class; all of them where it is None.

    InputError where a class has fewer than two images: one for each rendering.
    """
    sizes = np.bincount(label, minlength=len(CLASSES))
    if sizes.min() < 2:
        problem = f"only {sizes.min()} images of a part"
        raise InputError("cifar10s", "class", CLASSES[sizes.argmin()], problem, "give all of CIFAR-10")
    return np.sort(np.concatenate([np.flatnonzero(label == c)[:limit] for c in range(len(CLASSES))]))


def _skewed(images: np.ndarray, label: np.ndarray, skew: float, split_seed: int) -> Split:
    group = skewed_groups(label, skew, split_seed)
    images[group == 0] = gray(images[group == 0])
    return Split(images, label, group, np.arange(len(label)))


def _both_renderings(images: np.ndarray, label: np.ndarray) -> Split:
    """Return all gray images, then the same images in colour; two rows of one image have the same `unit`."""
    unit, group = np.tile(np.arange(len(label)), 2), np.repeat([0, 1], len(label))
    return Split(np.concatenate([gray(images), images]), np.tile(label, 2), group, unit)


# Sources of the images


def _originals(options: Cifar10SOptions) -> OfficialFiles | ParquetFiles:
    """Return the images under `root`, or in the cache; InputError where there are none."""
    folder = _official(options.download) if options.root is None else Path(options.root)
    for candidate in (folder, folder / FOLDER):
        if (candidate / "test_batch").is_file():
            return OfficialFiles(candidate)
    if folder.is_file() or (folder.is_dir() and any(folder.rglob("*.parquet"))):
        return ParquetFiles(folder)
    problem = f"it contains neither {FOLDER} nor a parquet file"
    raise InputError("cifar10s", "data.root", str(folder), problem, REMEDY)


class OfficialFiles:
    """The official batch files; a file with another MD5 is not read."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.files = [folder / name for name in MD5]

    @cached_property
    def _parts(self) -> dict[str, list[dict]]:
        return {part: [read_batch(self.folder / name) for name in names] for part, names in FILES.items()}

    def labels(self, part: str) -> np.ndarray:
        """Return the class of each image of a part, int64 (rows,)."""
        return np.concatenate([np.array(batch[b"labels"], np.int64) for batch in self._parts[part]])

    def images(self, part: str, rows: np.ndarray) -> np.ndarray:
        """Return some images of a part, uint8 (rows, 3, 32, 32), as a copy that the caller may change."""
        return np.concatenate([batch[b"data"] for batch in self._parts[part]]).reshape(-1, 3, 32, 32)[rows]


class ParquetFiles:
    """Parquet files with images, class numbers or names in a column `label`, and parts train and test."""

    def __init__(self, root: Path):
        self.table = ImageTable(root, REMEDY)
        self.files = self.table.files

    @cached_property
    def _labels(self) -> np.ndarray:
        label = self.table.column("label")
        if label.dtype.kind not in "iu":
            label = np.array([CLASSES.index(name) if name in CLASSES else -1 for name in label])
        if len(wrong := np.flatnonzero((label < 0) | (label >= len(CLASSES)))):
            raise InputError(
                str(self.table.root), "row", int(wrong[0]), "label is not a class of CIFAR-10", "give 0 to 9"
            )
        return label.astype(np.int64)

    def labels(self, part: str) -> np.ndarray:
        """Return the class of each image of a part, int64 (rows,)."""
        return self._labels[self.table.rows(part)]

    def images(self, part: str, rows: np.ndarray) -> np.ndarray:
        """Return some images of a part, uint8 (rows, 3, 32, 32), as a copy that the caller may change."""
        return np.array(decode(self.table.source(self.table.rows(part)[rows]), Decoding(shorter=32, crop=32)))


def read_batch(path: Path) -> dict:
    """Read one official batch file; InputError where it is missing or has another MD5."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(str(path.parent), "file", path.name, error.strerror or "missing", REMEDY) from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5[path.name]:
        problem = "altered or truncated: its MD5 is not the official file's"
        raise InputError(str(path.parent), "file", path.name, problem, REMEDY)
    return load_pickle(content, path)


def load_pickle(content: bytes, path: Path) -> Any:
    """Load a pickle of plain values and NumPy arrays; InputError where it names anything else or is damaged."""
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except _Refused as refused:
        problem = f"its pickle names {refused}, which is refused: loading it could run arbitrary code"
    except Exception as error:  # a damaged pickle can raise anything
        problem = f"not a readable pickle ({type(error).__name__})"
    raise InputError(str(path.parent), "file", path.name, problem, REMEDY)


class _Refused(Exception):
    """A name in a pickle that arrays do not need."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in ARRAYS:
            raise _Refused(f"{module}.{name}")
        return ARRAYS[module, name]


def _official(download: bool) -> Path:
    """Return the cache's unpacked copy of the official archive; InputError if it is missing and may not be fetched."""

    def fetch(folder: Path) -> None:
        if not download:
            raise InputError("cifar10s", "data.root", None, "not given, and the cache holds no CIFAR-10", REMEDY)
        _unpack(_download(folder), folder)

    return cache.entry("downloads", SHA256, fetch)


def _download(folder: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    try:
        get = pooch.HTTPDownloader(timeout=30)
        return Path(pooch.retrieve(URL, f"sha256:{SHA256}", "archive.tar.gz", folder, downloader=get))
    except Exception as error:  # requests, urllib3, pooch and the file system each have their own
        changed = isinstance(error, ValueError) and "hash" in str(error)
        problem = "the download has another SHA-256, so it is not used" if changed else type(error).__name__
        raise RunFailed(f"{URL} cannot be fetched ({problem}); {REMEDY.partition(', or')[0]}") from None


def _unpack(archive: Path, folder: Path) -> None:
    import tarfile  # only a download needs it

    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()
