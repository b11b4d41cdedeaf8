"""Tampering with a finished experiment: one byte, one cell, one file; and a forger who mends the hashes afterwards."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fitlib.storage.atomic_files import json_text
from fitlib.storage.manifest import UNCOVERED_FILES, covered_files, write_manifest
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import measure_files

RECORDS = ("record.json", "statistics.json", "report.json")


def flip_byte(path: Path, rng: np.random.Generator) -> None:
    """Change one byte at a random place."""
    content = bytearray(path.read_bytes())
    place = int(rng.integers(len(content)))
    content[place] ^= int(rng.integers(1, 256))
    path.write_bytes(content)


def change_cell(path: Path, rng: np.random.Generator) -> None:
    """Change one cell of a table, a notebook or a JSON file; one byte of anything else."""
    change = {".csv": _csv_cell, ".parquet": _parquet_cell, ".ipynb": _notebook_cell, ".json": _json_value}
    change.get(path.suffix, flip_byte)(path, rng)


def _csv_cell(path: Path, rng: np.random.Generator) -> None:
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    row = rows[int(rng.integers(len(rows)))]
    column = int(rng.integers(len(row)))
    row[column] = f"{row[column]}1"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def _parquet_cell(path: Path, rng: np.random.Generator) -> None:
    table = pq.read_table(path)
    place, row = int(rng.integers(table.num_columns)), int(rng.integers(table.num_rows))
    values = table.column(place).to_pylist()
    field = table.schema.field(place)
    values[row] = _other(values[row], field.type)
    pq.write_table(table.set_column(place, field, pa.array(values, field.type)), path, compression="zstd")


def _other(value: object, kind: pa.DataType) -> object:
    if pa.types.is_string(kind):
        return f"{value}x"
    if pa.types.is_list(kind):
        return [*value[:-1], (value[-1] or 0) + 1]
    return not value if pa.types.is_boolean(kind) else (value or 0) + 1


def _notebook_cell(path: Path, rng: np.random.Generator) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell = notebook["cells"][int(rng.integers(len(notebook["cells"])))]
    cell["source"] = "".join(cell["source"]) + " "
    path.write_text(json.dumps(notebook, indent=1), encoding="utf-8")


def _json_value(path: Path, rng: np.random.Generator) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    name = sorted(content)[int(rng.integers(len(content)))]
    content[name] = "other"
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def files_of(root: Path) -> list[str]:
    """Names of all files that the promises cover, MANIFEST.json among them."""
    return [*covered_files(ExperimentPaths(root)), "MANIFEST.json"]


def change_json(path: Path, change: Callable[[dict], object]) -> None:
    """Change the content of a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json_text(content), encoding="utf-8")


def mend(root: Path) -> None:
    """What a forger does who knows the format: every record and the manifest name the bytes that are there now."""
    for name in files_of(root):
        path = root / name
        if path.name in RECORDS and name not in UNCOVERED_FILES:
            record = json.loads(path.read_text(encoding="utf-8"))
            record["outputs"] = measure_files(path.parent, sorted(record["outputs"]))
            path.write_text(json_text(record), encoding="utf-8")
    write_manifest(ExperimentPaths(root))
