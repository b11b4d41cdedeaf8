"""Lists of images of people: file, labels and gender of each, as tables (CSV) or as the study's pickles.

A folder of lists holds either one table with a column `split` (train, val, test), or `train.data`, `val.data` and
`test.data`: pickled lists of dictionaries. A pickle can name code to run, so an unpickler reads them that refuses every
class but `set`. The folder may also hold a map of class names, and `train_ratio_<r>.ids`: the rows of a ratio subset.
"""

from __future__ import annotations

import csv
import gzip
import json
import pickle
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fitlib.errors import InputError

PARTS = ("train", "val", "test")
GROUPS = ("man", "woman")
Entry = tuple[str, list[int], int]  # file name, labels, gender (0 man, 1 woman)


@dataclass(frozen=True)
class Layout:
    """The format of one data set's lists, and the sources of its files."""

    name: str
    n_labels: int
    multilabel: bool
    tables: tuple[str, ...]  # accepted names of the table
    names: str  # pickled map of class names in the study's artifact
    names_keys: tuple[str, str]  # path to the same map in label_maps.json
    entry: Callable[[Mapping[str, Any]], Entry]  # of a row of a table or of a pickled list
    paths: Callable[[str], tuple[str, ...]]  # possible paths of an image below the root, by its file name
    per_group: int  # men, and women, in the study's balanced evaluation subset
    lists_from: str  # remedy for missing lists: their source
    images_from: str  # remedy for missing images: their source and size
    no_training: str = "add the training list"  # remedy for a missing training list


@dataclass(frozen=True)
class ImageList:
    """One list: files str (rows,), y int64 (rows,) or 0/1 (rows, labels), protected int64 (rows,)."""

    files: np.ndarray
    y: np.ndarray
    protected: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: np.ndarray) -> ImageList:
        """Return the given rows, in the given order."""
        return ImageList(self.files[rows], self.y[rows], self.protected[rows])


def list_files(folder: Path, layout: Layout) -> list[Path]:
    """Return the files that hold the lists: a table, or pickles; InputError where there are none."""
    table = next((folder / name for name in layout.tables if (folder / name).is_file()), None)
    found = [table] if table else [folder / f"{p}.data" for p in PARTS if (folder / f"{p}.data").is_file()]
    if not found:
        problem = f"no lists of {layout.name} there ({layout.tables[0]}, or train.data, val.data, test.data)"
        raise InputError(layout.name, "data.annotations", str(folder), problem, layout.lists_from)
    return found


def read_lists(folder: Path, layout: Layout) -> dict[str, ImageList]:
    """Read the lists by part; InputError with file and row of an invalid entry, or for a missing part."""
    entries: dict[str, list[Entry]] = {}
    for path in list_files(folder, layout):
        for number, (part, row) in enumerate(_rows(path)):
            entries.setdefault(part, []).append(_entry(row, layout, path, number))
    for part in ("val", "test"):
        if part not in entries:
            raise InputError(str(folder), "split", part, "no list of this part", layout.lists_from)
    return {part: _image_list(found, layout) for part, found in entries.items()}


def class_names(folder: Path, layout: Layout) -> tuple[str, ...]:
    """Return the names of the classes from the map beside the lists; their numbers where there is none."""
    path = names_file(folder, layout)
    if path is None:
        return tuple(f"class {number}" for number in range(layout.n_labels))
    outer, inner = layout.names_keys
    try:
        found = json.loads(path.read_text(encoding="utf-8"))[outer] if path.suffix == ".json" else read_pickle(path)
        names = {int(number): str(name) for number, name in found[inner].items()}
        return tuple(names[number] for number in range(layout.n_labels))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"no map of {layout.n_labels} class names ({type(error).__name__}: {error})"
        raise InputError(str(path), "file", path.name, problem, layout.lists_from) from None


def names_file(folder: Path, layout: Layout) -> Path | None:
    """Return the file with the class names, if there is one."""
    return next((folder / n for n in (layout.names, "label_maps.json") if (folder / n).is_file()), None)


def ratio_file(folder: Path, ratio: int | None) -> Path | None:
    """Return the fixed index list of a ratio subset, if there is one."""
    path = folder / f"train_ratio_{ratio}.ids"
    return path if ratio is not None and path.is_file() else None


def read_rows(path: Path, n_rows: int) -> np.ndarray:
    """Read an index list, int64: a pickled list or set of numbers, or plain numbers; below `n_rows`, none twice.

    A list keeps its order; a set has none and is read in ascending order. InputError otherwise.
    """
    content = path.read_bytes()
    plain = re.fullmatch(rb"[\s\d,\[\]]*", content)
    found = [int(number) for number in re.findall(rb"\d+", content)] if plain else read_pickle(path)
    found = sorted(found) if isinstance(found, set) else found
    if not isinstance(found, list) or not all(type(row) is int and 0 <= row < n_rows for row in found):
        problem = f"not a list of row numbers below {n_rows}"
        raise InputError(str(path), "file", path.name, problem, "use the index list that belongs to this training list")
    if not found or len(set(found)) < len(found):
        raise InputError(str(path), "file", path.name, "empty, or a row is listed twice", "list every row once")
    return np.array(found, np.int64)


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler of lists, dicts, numbers, texts and sets, which refuses all else that a pickle names."""

    def find_class(self, module: str, name: str) -> type:
        if (module, name) in {("builtins", "set"), ("__builtin__", "set")}:
            return set
        raise pickle.UnpicklingError(f"it names {module}.{name}, which could run code")


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain values (Python 2's texts as Latin-1); InputError where it names a class or is damaged."""
    try:
        with path.open("rb") as stream:
            return _PlainUnpickler(stream, encoding="latin-1").load()
    except Exception as error:  # a damaged pickle raises nearly anything
        remedy = "only pickles of lists, dicts, numbers, texts and sets are read; get the file from its source"
        raise InputError(str(path), "file", path.name, f"refused: {error}", remedy) from None


def _rows(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield part and content of every row of a table or of a pickled list."""
    if path.suffix == ".data":
        found = read_pickle(path)
        if not isinstance(found, list):
            raise InputError(str(path), "file", path.name, "not a list of entries", "get the file from its source")
        yield from ((path.stem, row) for row in found)
        return
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as stream:
            yield from ((row.get("split"), row) for row in csv.DictReader(stream))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), "file", path.name, f"cannot be read ({error})", "get it again") from None


def _entry(row: Any, layout: Layout, path: Path, number: int) -> Entry:
    """Return a row's entry, checked; InputError with the number of the row (from 0)."""
    where = f"{path} row {number}"
    try:
        file, labels, gender = layout.entry(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"not a row of {layout.name} ({type(error).__name__}: {error})"
        raise InputError(where, "row", row, problem, layout.lists_from) from None
    if gender not in (0, 1):
        remedy = "leave out images of people whose gender was not annotated"
        raise InputError(where, "gender", gender, "neither 0 (man) nor 1 (woman)", remedy)
    unknown = [label for label in labels if not 0 <= label < layout.n_labels]
    if unknown:
        remedy = f"{layout.name} has classes 0 to {layout.n_labels - 1}"
        raise InputError(where, "label", unknown[0], "no such class", remedy)
    if file.startswith("/") or ".." in file.split("/"):
        raise InputError(where, "file name", file, "not below the folder of images", "give names only")
    return file, labels, gender


def _image_list(entries: list[Entry], layout: Layout) -> ImageList:
    files, labels, genders = zip(*entries, strict=True)
    if layout.multilabel:
        y = np.zeros((len(labels), layout.n_labels), np.int64)
        y[
            np.repeat(np.arange(len(labels)), [len(of_image) for of_image in labels]),
            [k for of_image in labels for k in of_image],
        ] = 1
    else:
        y = np.array([of_image[0] for of_image in labels], np.int64)
    return ImageList(np.array(files), y, np.array(genders, np.int64))
