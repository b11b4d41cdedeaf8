"""Folders of images with a table: one row for each image, one column with its file name.

The table is read as `fitlib.datasets.tabular.reading` reads every table: CSV of any separator and encoding, or parquet.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from fitlib.datasets.images.decoding import FileSource
from fitlib.datasets.tabular.reading import TableFile, read_table
from fitlib.errors import InputError, one_of

PATH_COLUMNS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_name"),
    *("image_file", "image_id", "img", "img_path", "img_name"),
)
TABLES = (".csv", ".tsv", ".txt")
ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
OUTSIDE = re.compile(r"/|\.\.(/|$)|[A-Za-z]:/")  # absolute, above the folder, or on a Windows drive
INSIDE = "give names below data.root, such as faces/0001.jpg"


@dataclass(frozen=True)
class ImageFolder:
    """The rows of a table that names images in a folder; images stay encoded.

    `table` is a name in the folder or a separate path; None: the only table in the folder. `path`: the column of file
    names, relative to the folder; None: the first of `PATH_COLUMNS` that the table has.
    """

    root: Path
    remedy: str
    table: str | None = None
    path: str | None = None

    @cached_property
    def file(self) -> Path:
        """The table; InputError where it is missing, or not named and not the only one."""
        if self.table is not None:
            found = next((path for path in (self.root / self.table, Path(self.table)) if path.is_file()), None)
            if found is None:
                raise InputError("images", "data.table", self.table, f"not in {self.root}, nor a path", self.remedy)
            return found
        tables = tables_in(self.root)
        if len(tables) != 1:
            problem = f"{len(tables)} tables there" + (f": {', '.join(p.name for p in tables[:6])}" if tables else "")
            raise InputError("images", "data.root", str(self.root), problem, "name one with data.table")
        return tables[0]

    @property
    def files(self) -> list[Path]:
        """The table; the images themselves are represented by their source's note."""
        return [self.file]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was guessed."""
        guessed = () if self.path else (f"images named by the column {self.path_column}",)
        found = () if self.table else (f"rows read from {self.file.name}",)
        ending = (f"ending {self.ending} added to the names of images",) if self.ending else ()
        return (*found, *self._content.notes, *guessed, *ending)

    @cached_property
    def path_column(self) -> str:
        """Name of the column of file names."""
        columns = self._content.table.column_names
        if self.path is not None:
            return one_of(str(self.file), "path", self.path, columns)
        found = [name for usual in PATH_COLUMNS for name in columns if name.casefold() == usual]
        if not found:
            problem = f"no column of file names among {', '.join(columns[:12])}"
            raise InputError(str(self.file), "column", "path", problem, "name it with data.path")
        return found[0]

    @property
    def labels(self) -> list[str]:
        """Names of all columns."""
        return self._content.table.column_names

    def cells(self, name: str) -> pa.ChunkedArray:
        """Return a column, null where a row has no value; InputError with the nearest name if there is none."""
        return self._content.table.column(one_of(str(self.file), "column", name, self.labels))

    def names(self, column: str) -> None:
        """Return None: a table declares no names of class numbers."""

    @cached_property
    def parts(self) -> np.ndarray | None:
        """Cells of the column `split`, str (rows,); None where there is none, or a row has no value."""
        named = [name for name in self.labels if name.casefold() == "split"]
        column = self._content.table.column(named[0]) if named else None
        return None if column is None or column.null_count else column.to_numpy().astype(str)

    @cached_property
    def paths(self) -> np.ndarray:
        """File names below the folder, str (rows,); InputError for a missing one, and one that leaves the folder."""
        cells = self._content.table.column(self.path_column).to_pylist()
        empty = [row for row, cell in enumerate(cells) if cell is None]
        if empty:
            problem = f"no file name in row {empty[0]}{others(len(empty))}"
            raise InputError(str(self.file), self.path_column, None, problem, "fill it, or leave the row out")
        names = [posixpath.normpath(str(cell).replace("\\", "/")) for cell in cells]
        leaving = [row for row, name in enumerate(names) if OUTSIDE.match(name)]
        if leaving:
            problem = f"it leaves the folder {self.root}{others(len(leaving))}"
            raise InputError(str(self.file), self.path_column, cells[leaving[0]], problem, INSIDE)
        return np.array(names)

    @cached_property
    def ending(self) -> str:
        """The ending that turns the first name into that of a file; "" where none does."""
        first = str(self.root / self.paths[0])
        return next((ending for ending in ("", *ENDINGS) if Path(first + ending).is_file()), "")

    def check_unique(self, rows: np.ndarray) -> None:
        """Raise InputError where two of these rows name one image."""
        names, first, counts = np.unique(self.paths[rows], return_index=True, return_counts=True)
        repeated = np.flatnonzero(counts > 1)
        if len(repeated):
            name = str(names[repeated[np.argmin(first[repeated])]])  # the one that comes first in the table
            problem = f"listed in {counts[names == name][0]} rows{others(len(repeated))}"
            remedy = "list every image once, or name with data.unit the column of what belongs together"
            raise InputError(str(self.file), self.path_column, name, problem, remedy)

    def source(self, rows: np.ndarray) -> FileSource:
        """Return the images of some rows."""
        return FileSource([self.root / f"{name}{self.ending}" for name in self.paths[rows]], self.remedy)

    @property
    def _content(self) -> TableFile:
        stat = self.file.stat()
        return _table(self.file, stat.st_size, stat.st_mtime_ns)


def tables_in(folder: Path) -> list[Path]:
    """List the tables directly in a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if any(end in TABLES for end in path.suffixes[-2:]))


def others(count: int) -> str:
    """Describe how many more there are than the one that a message names.

    >>> others(1), others(2), others(3)
    ('', ', and 1 other', ', and 2 others')
    """
    return "" if count < 2 else f", and {count - 1} other{'s' if count > 2 else ''}"


@lru_cache(8)
def _table(path: Path, size: int, changed: int) -> TableFile:
    return read_table(path)
