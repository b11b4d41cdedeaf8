"""Image tables: parquet files with a column of encoded images, in the layout of public image data sets.

Images are a column `image`, `img` or `jpeg`, of bytes or of {bytes, path}; parts are a column `split` or the beginning
of the file's name (`train-…`, `test-…`, `val…`); class numbers get the names in the table's own metadata, if any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fitlib.datasets.images import known
from fitlib.digest import digest_arrays, digest_json
from fitlib.errors import InputError
from fitlib.keys import cached_file_digest

IMAGE_COLUMNS = ("image", "img", "jpeg")
PARTS = {"train": "train", "test": "test", "val": "validation", "dev": "validation"}  # beginning of a name -> part


@dataclass(frozen=True)
class ImageTable:
    """The rows of one or several parquet files, in the order of the files' names; images stay encoded."""

    root: Path
    remedy: str

    @cached_property
    def files(self) -> list[Path]:
        """The parquet files; InputError where there is none."""
        found = [self.root] if self.root.is_file() else sorted(self.root.rglob("*.parquet"))
        if not found:
            raise InputError(str(self.root), "root", str(self.root), "no parquet file is there", self.remedy)
        return found

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns of the first file; InputError where it is no parquet file."""
        return self._of(self.files[0], pq.read_schema)

    @property
    def image_column(self) -> str:
        """Name of the column of images; InputError where there is none."""
        found = [name for name in IMAGE_COLUMNS if name in self.schema.names]
        if not found:
            problem = f"the table has no column of images, only {', '.join(self.schema.names)}"
            raise InputError(str(self.root), "column", "image", problem, "name it image, img or jpeg")
        return found[0]

    def column(self, name: str) -> np.ndarray:
        """The values of a column, numbers or strings (rows,); InputError where there is no such column."""
        labels = [n for n in self.schema.names if n not in IMAGE_COLUMNS]
        values = self.chunks(known(str(self.root), "column", name, labels))
        if values.null_count:
            raise InputError(str(self.root), "column", name, f"{values.null_count} rows without a value", "fill them")
        return values.to_numpy()

    def names(self, column: str) -> list[str] | None:
        """Names of a column's class numbers, as the table's metadata gives them; None where it does not."""
        try:
            features = json.loads((self.schema.metadata or {})[b"huggingface"])["info"]["features"]
            return [str(name) for name in features[column]["names"]]
        except (KeyError, TypeError, ValueError):
            return None

    @cached_property
    def parts(self) -> np.ndarray:
        """Part of each row: "train", "test", "validation", or what else the table says."""
        if "split" in self.schema.names:
            given = self.column("split").astype(str)
        else:
            lengths = [self._of(file, pq.read_metadata).num_rows for file in self.files]
            given = np.repeat([file.name for file in self.files], lengths)
        names, inverse = np.unique(given, return_inverse=True)
        return np.array([_part(name) for name in names])[inverse]

    def rows(self, *parts: str) -> np.ndarray:
        """Rows of the first of these parts that the table has, ascending; InputError where it has none of them."""
        for part in parts:
            if len(rows := np.flatnonzero(self.parts == part)):
                return rows
        problem = f"no row of it; the table has {', '.join(np.unique(self.parts))}"
        raise InputError(
            str(self.root), "part", parts[0], problem, "name parts in a column split, or files train*, test*"
        )

    def source(self, rows: np.ndarray) -> ParquetSource:
        """The images of some rows."""
        return ParquetSource(self, rows)

    def chunks(self, column: str) -> pa.ChunkedArray:
        """A column as it is stored, over all files."""
        tables = [self._of(file, lambda file: pq.read_table(file, columns=[column])) for file in self.files]
        return pa.chunked_array([chunk for table in tables for chunk in table.column(0).chunks])

    def _of(self, file: Path, read: Callable) -> object:
        try:
            return read(file)
        except (OSError, KeyError, pa.ArrowException) as error:
            problem = f"cannot be read ({type(error).__name__})"
            raise InputError(str(self.root), "file", file.name, problem, self.remedy) from None


@dataclass(frozen=True)
class ParquetSource:
    """Images of some rows of a table (`images.Source`)."""

    table: ImageTable
    chosen: np.ndarray

    @property
    def remedy(self) -> str:
        """What to do about a damaged image."""
        return self.table.remedy

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, number: int) -> bytes:
        """The bytes of one image; ValueError where the row has none."""
        chunk = int(np.searchsorted(self._ends, self.chosen[number], side="right"))
        chunks = self._bytes
        content = chunks[chunk][int(self.chosen[number] - self._ends[chunk] + len(chunks[chunk]))]
        if not content.is_valid:
            raise ValueError("the row holds no bytes")
        return content.as_py()

    def place(self, number: int) -> tuple[str, str, object]:
        """Table and row."""
        return str(self.table.root), "row", int(self.chosen[number])

    def digest(self) -> str:
        """Hash of the files and of the chosen rows."""
        files = [cached_file_digest(file) for file in self.table.files]
        return digest_json([files, self.table.image_column, digest_arrays([("rows", self.chosen)])])

    @cached_property
    def _bytes(self) -> Sequence[pa.Array]:
        column = self.table.chunks(self.table.image_column)
        return (pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column).chunks

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(chunk) for chunk in self._bytes])


def _part(name: str) -> str:
    return next((part for beginning, part in PARTS.items() if name.lower().startswith(beginning)), name)
