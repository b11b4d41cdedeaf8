"""Image tables: parquet files with a column of encoded images, in the layout of public image data sets.

Images are a column of bytes or of {bytes, path}: the one that is named, else `image`, `img` or `jpeg`, else the only
such column. Parts are a column `split` or the beginning of the file's name (`train-…`, `test-…`, `val…`); class numbers
get the names in the table's metadata, if any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fitlib.datasets.tabular.columns import levels_of
from fitlib.digest import cached_file_digest, digest_arrays, digest_json
from fitlib.errors import InputError, one_of

IMAGE_COLUMNS = ("image", "img", "jpeg")
PARTS = {"train": "train", "test": "test", "val": "validation", "dev": "validation"}  # beginning of a name -> part


@dataclass(frozen=True)
class ImageTable:
    """The rows of one or several parquet files, in the order of the files' names; images stay encoded."""

    root: Path
    remedy: str
    image: str | None = None  # name of the column of images; None: found by its name or its type

    @cached_property
    def files(self) -> list[Path]:
        """The parquet files; InputError where there is none."""
        found = [self.root] if self.root.is_file() else sorted(self.root.rglob("*.parquet"))
        if not found:
            raise InputError(str(self.root), "root", str(self.root), "it contains no parquet file", self.remedy)
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the first file; InputError where it is not a parquet file."""
        return self._of(self.files[0], pq.read_schema)

    @cached_property
    def image_column(self) -> str:
        """Name of the column of images; InputError where there is none, or several without a usual name."""
        if self.image is not None:
            return one_of(str(self.root), "image", self.image, self.schema.names)
        encoded = [field.name for field in self.schema if _may_hold_images(field.type)]
        found = [name for name in IMAGE_COLUMNS if name in self.schema.names] or encoded
        if not found or (len(found) > 1 and found[0] not in IMAGE_COLUMNS):
            columns = f"several columns of bytes, {', '.join(found)}" if found else "no column of images"
            problem = f"the table has {columns}" + ("" if found else f", only {', '.join(self.schema.names)}")
            raise InputError(str(self.root), "column", "image", problem, "name it image, img or jpeg")
        return found[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on the column of images, where it was chosen by its type."""
        guessed = self.image is None and self.image_column not in IMAGE_COLUMNS
        return (f"images read from the column {self.image_column}",) if guessed else ()

    @property
    def labels(self) -> list[str]:
        """Names of the columns that may be a target or a protected attribute."""
        return [
            field.name for field in self.schema if field.name not in IMAGE_COLUMNS and not _may_hold_images(field.type)
        ]

    def cells(self, name: str) -> pa.ChunkedArray:
        """Return a column of labels as it is stored, null where a row has no value; InputError if there is none."""
        return self.chunks(one_of(str(self.root), "column", name, self.labels))

    def column(self, name: str) -> np.ndarray:
        """Return a column's numbers or strings (rows,); InputError where it or one of its values is missing."""
        return self._complete(name).to_numpy()

    def names(self, column: str) -> list[str] | None:
        """Return the names of a column's class numbers in the table's metadata; None where it has none."""
        try:
            features = json.loads((self.schema.metadata or {})[b"huggingface"])["info"]["features"]
            return [str(name) for name in features[column]["names"]]
        except (KeyError, TypeError, ValueError):
            return None

    @cached_property
    def parts(self) -> np.ndarray:
        """Part of each row: "train", "test", "validation", or another name in the table."""
        if "split" in self.schema.names:
            levels = levels_of(str(self.root), "split", self._complete("split"))
            names, places = list(levels.names), levels.places
        else:
            names = [file.name for file in self.files]
            lengths = [self._of(file, pq.read_metadata).num_rows for file in self.files]
            places = np.repeat(np.arange(len(names)), lengths)
        return np.array([part_named(name) for name in names])[places]

    def rows(self, *parts: str) -> np.ndarray:
        """Return the rows of the first of these parts that the table has, ascending; InputError if it has none."""
        for part in parts:
            if len(rows := np.flatnonzero(self.parts == part)):
                return rows
        problem = f"no row of it; the table has {', '.join(np.unique(self.parts))}"
        raise InputError(
            str(self.root), "part", parts[0], problem, "name parts in a column split, or files train*, test*"
        )

    def source(self, rows: np.ndarray) -> ParquetSource:
        """Return the images of some rows."""
        return ParquetSource(self, rows)

    def chunks(self, column: str) -> pa.ChunkedArray:
        """Return a column as it is stored, over all files; InputError where its types do not agree."""
        # Not pq.read_table: it imports pandas and pyarrow's file systems, which takes longer than reading.
        tables = [self._of(file, lambda f: pq.ParquetFile(f).read([column]).select([column])) for file in self.files]
        try:
            return pa.concat_tables(tables, promote_options="permissive").column(0)
        except pa.ArrowException as error:
            problem = f"its types differ between the files ({error})"
            raise InputError(str(self.root), "column", column, problem, self.remedy) from None

    def _complete(self, name: str) -> pa.ChunkedArray:
        values = self.cells(name)
        if values.null_count:
            raise InputError(str(self.root), "column", name, f"{values.null_count} rows without a value", "fill them")
        return values

    def _of(self, file: Path, read: Callable[[Path], Any]) -> Any:
        try:
            return read(file)
        except (OSError, KeyError, pa.ArrowException) as error:
            problem = f"cannot be read ({type(error).__name__})"
            raise InputError(str(self.root), "file", file.name, problem, self.remedy) from None


@dataclass(frozen=True)
class ParquetSource:
    """Images of some rows of a table, a `decoding.Source`."""

    table: ImageTable
    chosen: np.ndarray

    @property
    def remedy(self) -> str:
        """Remedy for a damaged image."""
        return self.table.remedy

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, number: int) -> bytes:
        """Return the bytes of one image; ValueError where the row has none."""
        chunk = int(np.searchsorted(self._ends, self.chosen[number], side="right"))
        chunks = self._bytes
        content = chunks[chunk][int(self.chosen[number] - self._ends[chunk] + len(chunks[chunk]))]
        if not content.is_valid:
            raise ValueError("the row holds no bytes")
        return content.as_py()

    def place(self, number: int) -> tuple[str, str, object]:
        """Return table and row."""
        return str(self.table.root), "row", int(self.chosen[number])

    def digest(self) -> str:
        """Return a hash of the files and of the chosen rows."""
        files = [cached_file_digest(file) for file in self.table.files]
        return digest_json([files, self.table.image_column, digest_arrays([("rows", self.chosen)])])

    @cached_property
    def _bytes(self) -> Sequence[pa.Array]:
        column = self.table.chunks(self.table.image_column)
        return (pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column).chunks

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(chunk) for chunk in self._bytes])


def _may_hold_images(kind: pa.DataType) -> bool:
    """Return whether a column of this type can hold encoded images."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def part_named(name: str) -> str:
    """Return the part that a name begins with, else the name itself.

    >>> part_named("dev-00000-of-00001.parquet"), part_named("Training"), part_named("fold 1")
    ('validation', 'train', 'fold 1')
    """
    return next((part for beginning, part in PARTS.items() if name.lower().startswith(beginning)), name)
