"""Decoding of images: once, in parallel, into uint8 arrays that every process maps from the cache.

A `Source` (files, or rows of a parquet table) locates images, a `Decoding` describes how one becomes pixels, `decode`
combines both. The arrays are keyed by the content of the source, the decoding and the version of the decoder.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fitlib.datasets import cache
from fitlib.datasets.dataset import Ragged
from fitlib.digest import digest_json
from fitlib.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

FORMATS = ("JPEG", "PNG")
CHUNK = 256  # images that a thread decodes at a time
SMALL = 64 * 64  # pixels; with smaller images, threads wait for each other longer than they decode


@dataclass(frozen=True)
class Decoding:
    """The steps from an image to pixels; a step that is None is skipped.

    `cut` pixels: the central square of the original; `shorter` pixels: resized (bilinear, antialiased) so that the
    shorter side has so many and the longer int(shorter · long / short); `crop` pixels: the central square of that.
    Without `cut` and `crop` the results differ in size. Odd margins are rounded half to even.

    >>> Decoding(shorter=128).size(178, 218), Decoding(shorter=64, crop=64).size(178, 218)
    ((128, 156), (64, 64))
    """

    cut: int | None = None
    shorter: int | None = None
    crop: int | None = None

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height after `shorter`."""
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
        """Return width and height of the result for an original of this size."""
        return (self.side, self.side) if self.side else self.resized(width, height)

    def __call__(self, image: PillowImage) -> np.ndarray:
        """Return the pixels uint8 (3, height, width); ValueError where the image is smaller than a square to cut."""
        from PIL import Image

        image = _central(image if image.mode == "RGB" else image.convert("RGB"), self.cut)
        if image.size != (size := self.resized(*image.size)):
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(_central(image, self.crop)).transpose(2, 0, 1)


def _central(image: PillowImage, side: int | None) -> PillowImage:
    if side is None or image.size == (side, side):
        return image
    width, height = image.size
    if min(width, height) < side:
        raise ValueError(f"{width} × {height} pixels, smaller than {side} × {side}")
    left, top = round((width - side) / 2), round((height - side) / 2)
    return image.crop((left, top, left + side, top + side))


class Source(Protocol):
    """Images that are still encoded; `remedy` tells users how to get one that is missing or damaged."""

    @property
    def remedy(self) -> str:
        """Last part of the error messages."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> bytes:
        """Return the bytes of one image; an OSError or ValueError where there are none."""

    def place(self, number: int) -> tuple[str, str, object]:
        """Return file or folder, field and value that identify the image in a message."""

    def digest(self) -> str:
        """Return a hash of everything that the images are made from."""


@dataclass(frozen=True)
class FileSource:
    """Image files, one for each image."""

    paths: Sequence[Path]
    remedy: str

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, number: int) -> bytes:
        """Return the file's bytes."""
        return self.paths[number].read_bytes()

    def place(self, number: int) -> tuple[str, str, object]:
        """Return folder and name."""
        return str(self.paths[number].parent), "image", self.paths[number].name

    def digest(self) -> str:
        """Return a hash of names and contents."""
        return self.note().read_text().strip()

    def note(self) -> Path:
        """Return the small file that represents all images among a data set's source files.

        InputError with the name of the first missing image, and the number of others.
        """
        try:
            return cache.contents(self.paths)
        except FileNotFoundError:
            missing = [number for number, path in enumerate(self.paths) if not path.is_file()]
            others = f", as are {len(missing) - 1} others of {len(self)}" if len(missing) > 1 else ""
            raise InputError(*self.place(missing[0]), f"missing{others}", self.remedy) from None


def decode(source: Source, decoding: Decoding) -> np.ndarray:
    """Decode all images of a source to squares of one size: uint8 (images, 3, side, side).

    Mapped from the cache; changes to the array stay in this process. InputError names the first image that is missing
    or cannot be decoded; ValueError for a decoding without `cut` and `crop`.
    """
    side = decoding.side
    if side is None:
        raise ValueError(f"{decoding} gives no squares: use decode_ragged")
    return _decoded(source, decoding)[0].reshape(-1, 3, side, side)


def decode_ragged(source: Source, decoding: Decoding) -> Ragged:
    """Decode all images of a source, each to its own size; otherwise as `decode`."""
    pixels, sizes = _decoded(source, decoding)
    return Ragged(pixels, sizes, np.arange(len(sizes)))


def _decoded(source: Source, decoding: Decoding) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (bytes,), mapped from the cache, and sizes (images, 2) of a source's images."""
    key = digest_json([1, source.digest(), asdict(decoding), _decoder()])
    folder = cache.entry("images", key, lambda folder: _fill(folder, source, decoding))
    pixels = np.asarray(np.load(folder / "pixels.npy", mmap_mode="c"))
    return pixels, np.load(folder / "sizes.npy")


def select_rows(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return some rows: as a view where they are contiguous, so that they stay in the cache's file."""
    if len(rows) and (np.diff(rows) == 1).all():
        return x[rows[0] : rows[-1] + 1]
    return x[rows]


def _decoder() -> list[str | None]:
    """Return the versions of the libraries that decide on the last bit of a pixel."""
    from PIL import __version__, features

    return [__version__, features.version("libjpeg_turbo") or features.version("jpg")]


def _fill(folder: Path, source: Source, decoding: Decoding) -> None:
    """Decode all images into `pixels.npy` (bytes,), one after another, and `sizes.npy` (images, 2)."""
    sizes = _sizes(source, decoding)
    ends = np.cumsum(3 * sizes.prod(1))
    pixels = _new_array(folder / "pixels.npy", int(ends[-1]))

    def decode(number: int) -> None:
        image = _with_image(source, number, decoding)
        pixels[ends[number] - image.size : ends[number]] = image.reshape(-1)

    _in_parallel(decode, len(source), 1 if sizes.prod(1).mean() < SMALL else _threads())
    pixels.flush()
    np.save(folder / "sizes.npy", sizes)


def _sizes(source: Source, decoding: Decoding) -> np.ndarray:
    """Return height and width of every result, int64 (images, 2); from the images' headers where they differ."""
    sizes = np.full((len(source), 2), decoding.side or 0, np.int64)

    def measure(number: int) -> None:
        sizes[number] = _with_image(source, number, lambda image: decoding.size(*image.size))[::-1]

    if not decoding.side:
        _in_parallel(measure, len(sizes), _threads())
    return sizes


def _with_image(source: Source, number: int, use: Callable[[PillowImage], Any]) -> Any:
    """Open one image and return what `use` makes of it; InputError with its name where it is missing or damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source.read(number)), formats=FORMATS) as image:
            return use(image)
    except FileNotFoundError:
        problem = "missing"
    except Image.UnidentifiedImageError:
        problem = f"not a {' or '.join(FORMATS)}"
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        problem = f"cannot be decoded ({error})"
    raise InputError(*source.place(number), problem, source.remedy)


def _new_array(path: Path, size: int) -> np.memmap:
    """Map a new .npy file as a writable uint8 array.

    Its space on the disk is allocated at once, so that a full disk is an OSError here and not a crash (SIGBUS) later.
    """
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(size,))
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return pixels


def _in_parallel(work: Callable[[int], None], count: int, threads: int) -> None:
    """Call `work` for each number below `count`, in chunks; the first failure, in their order, ends it."""

    def work_on_chunk(start: int) -> None:
        for number in range(start, min(start + CHUNK, count)):
            work(number)

    work(0)  # alone: whatever a source prepares at its first use, it prepares once
    pool = ThreadPoolExecutor(threads)
    try:
        for _ in pool.map(work_on_chunk, range(1, count, CHUNK)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
