"""Images: decoded once, in parallel, into uint8 arrays that every process maps from the cache.

A source (files, or rows of a parquet table) says where images are; `Decoding` says how one becomes pixels; `decoded`
brings both together. The arrays are keyed by the content of the source, the decoding and the version of the decoder.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from fitlib.datasets import cache
from fitlib.datasets.dataset import Ragged
from fitlib.digest import digest_json
from fitlib.errors import InputError

FORMATS = ("JPEG", "PNG")
CHUNK = 256  # images that a thread decodes at a time
SMALL = 64 * 64  # pixels; with images below this, threads wait for each other longer than they decode


@dataclass(frozen=True)
class Decoding:
    """How an image becomes pixels, step by step; what is None is left out.

    `cut` pixels: the central square of the original; `shorter` pixels: resized (bilinear, antialiased) so that the
    shorter side has so many and the longer int(shorter · long / short); `crop` pixels: the central square of that.
    Without `crop` images keep sizes of their own. Odd margins are rounded half to even.
    """

    cut: int | None = None
    shorter: int | None = None
    crop: int | None = None

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after `shorter`; both as they are without it."""
        if self.shorter is None or min(width, height) == self.shorter:
            return width, height
        short, long = min(width, height), max(width, height)
        longer = max(self.shorter, self.shorter * long // short)
        return (self.shorter, longer) if width <= height else (longer, self.shorter)

    @property
    def side(self) -> int | None:
        """Side of the result where all results are squares of one size."""
        if self.crop is not None or self.cut is None:
            return self.crop
        return self.shorter or self.cut

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the result for an original of this size."""
        return (self.side, self.side) if self.side else self.resized(width, height)

    def __call__(self, image: object) -> np.ndarray:
        """Pixels uint8 (3, height, width) of a Pillow image; ValueError where it is smaller than a square to cut."""
        from PIL import Image

        image = _central(image if image.mode == "RGB" else image.convert("RGB"), self.cut)
        if image.size != (size := self.resized(*image.size)):
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(_central(image, self.crop)).transpose(2, 0, 1)


def _central(image: object, side: int | None) -> object:
    if side is None or image.size == (side, side):
        return image
    width, height = image.size
    if min(width, height) < side:
        raise ValueError(f"{width} × {height} pixels, smaller than {side} × {side}")
    left, top = round((width - side) / 2), round((height - side) / 2)
    return image.crop((left, top, left + side, top + side))


class Source(Protocol):
    """Where images are; `remedy` says how to come by what is missing or damaged."""

    remedy: str

    def __len__(self) -> int: ...

    def read(self, number: int) -> bytes:
        """The bytes of one image; an OSError or ValueError where there are none."""

    def place(self, number: int) -> tuple[str, str, object]:
        """File or folder, field and value that name the image in a message."""

    def digest(self) -> str:
        """Hash of everything that the images are made from."""


@dataclass(frozen=True)
class FileSource:
    """One image a file."""

    paths: Sequence[Path]
    remedy: str

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, number: int) -> bytes:
        """The file's bytes."""
        return self.paths[number].read_bytes()

    def place(self, number: int) -> tuple[str, str, object]:
        """Folder and name."""
        return str(self.paths[number].parent), "image", self.paths[number].name

    def digest(self) -> str:
        """Hash of names and contents."""
        return self.note().read_text().strip()

    def note(self) -> Path:
        """The small file that stands for all images among a data set's source files.

        InputError names the first image that is missing, and counts the others.
        """
        try:
            return cache.contents(self.paths)
        except FileNotFoundError:
            missing = [number for number, path in enumerate(self.paths) if not path.is_file()]
            others = f", as are {len(missing) - 1} others of {len(self)}" if len(missing) > 1 else ""
            raise InputError(*self.place(missing[0]), f"missing{others}", self.remedy) from None


def decoded(source: Source, decoding: Decoding) -> np.ndarray | Ragged:
    """All images of a source: uint8 (images, 3, side, side), or `Ragged` where the decoding leaves sizes alone.

    Mapped from the cache; changes to the array stay in this process. InputError names the first image that is missing
    or cannot be decoded.
    """
    key = digest_json([1, source.digest(), asdict(decoding), _decoder()])
    folder = cache.entry("images", key, lambda folder: _fill(folder, source, decoding))
    pixels = np.asarray(np.load(folder / "pixels.npy", mmap_mode="c"))
    sizes = np.load(folder / "sizes.npy")
    side = decoding.side
    return pixels.reshape(-1, 3, side, side) if side else Ragged(pixels, sizes, np.arange(len(sizes)))


def rows_of(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows: a view where they lie side by side, so that they stay in the cache's file."""
    if len(rows) and (np.diff(rows) == 1).all():
        return x[rows[0] : rows[-1] + 1]
    return x[rows]


def _decoder() -> list[str | None]:
    """Versions that decide on the last bit of a pixel."""
    from PIL import __version__, features

    return [__version__, features.version("libjpeg_turbo") or features.version("jpg")]


def _fill(folder: Path, source: Source, decoding: Decoding) -> None:
    """Decode everything into `pixels.npy` (bytes,), the images one after another, and `sizes.npy` (images, 2)."""
    sizes = _sizes(source, decoding)
    ends = np.cumsum(3 * sizes.prod(1))
    pixels = _new_array(folder / "pixels.npy", int(ends[-1]))

    def decode(number: int) -> None:
        image = _opened(source, number, decoding)
        pixels[ends[number] - image.size : ends[number]] = image.reshape(-1)

    _in_parallel(decode, len(source), 1 if sizes.prod(1).mean() < SMALL else _threads())
    pixels.flush()
    np.save(folder / "sizes.npy", sizes)


def _sizes(source: Source, decoding: Decoding) -> np.ndarray:
    """Height and width of every result, int64 (images, 2); from the images' headers where they differ."""
    sizes = np.full((len(source), 2), decoding.side or 0, np.int64)

    def measure(number: int) -> None:
        sizes[number] = _opened(source, number, lambda image: decoding.size(*image.size))[::-1]

    if not decoding.side:
        _in_parallel(measure, len(sizes), _threads())
    return sizes


def _opened(source: Source, number: int, use: Callable) -> object:
    """`use` of one opened Pillow image; InputError that names it where it is missing or damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source.read(number)), formats=FORMATS) as image:
            return use(image)
    except FileNotFoundError:
        problem = "missing"
    except Image.UnidentifiedImageError:
        problem = f"no {' or '.join(FORMATS)}"
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        problem = f"cannot be decoded ({error})"
    raise InputError(*source.place(number), problem, source.remedy)


def _new_array(path: Path, size: int) -> np.ndarray:
    """A writable uint8 array in a new .npy file; its room on the disk is taken at once: a full disk is an OSError."""
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(size,))
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return pixels


def _in_parallel(work: Callable[[int], None], count: int, threads: int) -> None:
    """`work` for each number below `count`, in chunks; the first failure, in their order, ends it."""
    work(0)  # alone: what a source gets ready at its first use, it gets ready once
    starts = range(1, count, CHUNK)
    pool = ThreadPoolExecutor(threads)
    try:
        for _ in pool.map(lambda start: [work(n) for n in range(start, min(start + CHUNK, count))], starts):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
