"""table: a user's table, CSV or parquet, with columns for target, protected attributes and features.

Reading, coding and splitting (`prepare`) need no scikit-learn and happen when the experiment is planned; encoding
happens once, when the first run loads the data, and is kept in the cache: later runs map the arrays.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fitlib.datasets import cache
from fitlib.datasets.dataset import Dataset, Split
from fitlib.datasets.options import TableOptions
from fitlib.datasets.tabular import encoding
from fitlib.datasets.tabular.columns import CodedColumn, attributes_of, classes_of, levels_of, protected_columns
from fitlib.datasets.tabular.features import (
    ExcludedColumn,
    Feature,
    check_complete,
    feature_columns,
    feature_notes,
    read_features,
    without_constant,
)
from fitlib.datasets.tabular.reading import read_table
from fitlib.datasets.tabular.splitting import (
    NAMES,
    NONE,
    TEST,
    TRAIN,
    VALIDATION,
    check_members,
    draw_parts,
    limit_parts,
    parts_of_column,
)
from fitlib.digest import cached_file_digest, digest_json
from fitlib.errors import InputError, RunFailed, one_of
from fitlib.storage.code_digest import code_digest

ENCODERS = ("scikit-learn", "numpy")  # packages that decide on the last bit of an encoded cell
ARRAYS = ("x", "y", "part", "unit", "attributes")


@dataclass(frozen=True)
class PreparedTable:
    """The rows of a table in use: class, groups, unit and part of each (rows,), and the features."""

    classes: tuple[str, ...]
    y: NDArray[np.int64]
    attributes: dict[str, CodedColumn]
    unit: NDArray[np.int64]
    part: NDArray[np.int64]
    features: list[Feature]
    notes: tuple[str, ...]

    def description(self) -> dict:
        """Return classes, groups and notes, as plain values."""
        groups = {name: list(coded.names) for name, coded in self.attributes.items()}
        return {"classes": list(self.classes), "groups": groups, "notes": list(self.notes)}


def source_files(options: TableOptions) -> list[Path]:
    """Return the table's file; InputError where it is missing."""
    path = Path(options.file)
    if not path.is_file():
        raise InputError("table", "data.file", str(path), "no such file", "correct the path")
    return [path]


def describe(options: TableOptions) -> dict:
    """Return the names of the classes and, per protected attribute, of the groups; notes on omissions and mappings."""
    source_files(options)

    def make(folder: Path) -> None:
        (folder / "description.json").write_text(json.dumps(prepare(options).description()))

    return json.loads((cache.entry("table", _key(options), make) / "description.json").read_text())


def load(options: TableOptions) -> Dataset:
    """Make the data set; x is float32 (rows, inputs): numbers, then one-hot columns or codes."""
    source_files(options)
    key = digest_json([_key(options), *map(version, ENCODERS)])
    folder = cache.entry("table-arrays", key, lambda folder: _fill(folder, options))
    x, y, part, unit, numbers = (np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in ARRAYS)
    described = json.loads((folder / "description.json").read_text())
    groups = {name: tuple(names) for name, names in described["groups"].items()}
    whole = Split(x, y, numbers[0], unit, dict(zip(groups, numbers, strict=True)))
    validation = whole.take(np.flatnonzero(part == VALIDATION))
    return Dataset(
        "table",
        whole.take(np.flatnonzero(part == TRAIN)),
        whole.take(np.flatnonzero(part == TEST)),
        tuple(described["classes"]),
        next(iter(groups.values())),
        validation=validation if len(validation) else None,
        normalisation=None,  # numbers are scaled already; columns of 0 and 1 and codes must stay as they are
        attribute_groups=groups,
        categories=tuple(described["categories"]),
        notes=tuple(described["notes"]),
    )


def prepare(options: TableOptions) -> PreparedTable:
    """Read, code, split and check the table; every InputError that its columns can cause is raised here."""
    where, file = Path(options.file).name, read_table(options.file, options.names)
    table, protected = file.table, protected_columns(options.protected)
    _check_roles(where, table.column_names, options, protected)
    target = classes_of(where, options.target, table[options.target], options.positive, options.classes)
    attributes = attributes_of(where, lambda name: table[name], options.protected, options.groups, options.bins)
    unit = _units(where, table, options)
    part, split_notes = _parts(where, table, options, [target, *attributes.values()], unit)
    used = part != NONE
    rows = _take(attributes, used)
    first = next(iter(rows.values()))
    check_members(where, first.names, first.numbers, part[used])
    features, left = _features(where, table, options, protected, part)
    notes = [
        *file.notes,
        *target.notes,
        *(note for coded in attributes.values() for note in coded.notes),
        *split_notes,
        _part_note(part),
        *_protected_notes(protected, options),
        *feature_notes(features, left, part[used], target.numbers[used], options.most_categories),
    ]
    return PreparedTable(
        target.names, target.numbers[used], rows, unit[used], part[used], features, tuple(dict.fromkeys(notes))
    )


def _features(
    where: str, table: pa.Table, options: TableOptions, protected: list[str], part: NDArray[np.int64]
) -> tuple[list[Feature], list[ExcludedColumn]]:
    """Return the features, of the rows in use, and the columns that are none; InputError where no feature is left."""
    columns, used = feature_columns(where, table.column_names, options, protected), part != NONE
    candidates, unfit = read_features(where, table, columns, options)
    features, constant = without_constant([feature.take(used) for feature in candidates], part[used])
    if not features:
        raise InputError(where, "features", columns, "no column is left as a feature", "name some: features: [...]")
    if options.missing == "refuse":
        check_complete(where, features)
    dropped = [ExcludedColumn(name, "data.drop names them") for name in dict.fromkeys(options.drop)]
    return features, [*dropped, *unfit, *constant]


def _key(options: TableOptions) -> str:
    """Return the hash of the file's content, the options and the code that reads them."""
    declared = options.model_dump(exclude={"file"})
    return digest_json([cached_file_digest(Path(options.file)), declared, code_digest((__name__,))])


def _fill(folder: Path, options: TableOptions) -> None:
    """Encode the table and write it as arrays."""
    prepared = prepare(options)
    categories = _encode_in_subprocess(folder / "x.npy", prepared, options)
    numbers = np.stack([coded.numbers for coded in prepared.attributes.values()])
    for name, array in zip(ARRAYS[1:], (prepared.y, prepared.part, prepared.unit, numbers), strict=True):
        np.save(folder / f"{name}.npy", array)
    (folder / "description.json").write_text(json.dumps({**prepared.description(), "categories": categories}))


def _encode_in_subprocess(path: Path, prepared: PreparedTable, options: TableOptions) -> list[int]:
    """Encode x in a process of its own, write it, and return the sizes of the columns of codes.

    scikit-learn sets environment variables (KMP_...) and loads libraries: the run that happens to encode would differ
    in its fingerprint from all others, and not count as identical.
    """
    given = pickle.dumps((prepared.features, prepared.part, options.encoding == "one-hot", options.most_categories))
    code = f"import sys; from {encoding.__name__} import main; main(sys.argv[1])"
    search = {**os.environ, "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(path)], input=given, capture_output=True, env=search)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise RunFailed(f"{Path(options.file).name}: encoding failed ({lines[-1] if lines else done.returncode})")
    return json.loads(done.stdout)


def _check_roles(where: str, columns: list[str], options: TableOptions, protected: list[str]) -> None:
    """Raise InputError for a column that is missing, or has two roles."""
    roles: dict[str, str] = {}
    named: list[tuple[str, str | None]] = [("target", options.target), *(("protected", name) for name in protected)]
    named += [("split", options.split), ("unit", options.unit)]
    for role, name in named:
        if name is None:
            continue
        one_of(where, role, name, columns)
        if name in roles:
            raise InputError(where, role, name, f"this column is also the {roles[name]}", "choose another column")
        roles[name] = role


def _units(where: str, table: pa.Table, options: TableOptions) -> NDArray[np.int64]:
    """Return the test unit of each row: its number in the table, or that of its value in the column `unit`."""
    row_numbers = np.arange(table.num_rows, dtype=np.int64)
    if options.unit is None:
        return row_numbers
    levels = levels_of(where, options.unit, table[options.unit])
    return np.where(levels.places < 0, len(levels.values) + row_numbers, levels.places)


def _parts(
    where: str, table: pa.Table, options: TableOptions, coded: list[CodedColumn], unit: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the part of each row, -1 where it has none or lacks a class or group; sentences on the rows left out."""
    part = np.full(table.num_rows, NONE)
    notes: tuple[str, ...] = ()
    labelled = np.all([column.numbers >= 0 for column in coded], axis=0)
    if options.split is not None:
        found, notes = parts_of_column(where, options.split, table[options.split], options.test, options.validation)
        part[labelled] = found[labelled]
    elif labelled.any():
        target, first = coded[:2]
        strata = target.numbers * len(first.names) + first.numbers
        shares = options.test_share, options.validation_share
        part[labelled] = draw_parts(strata[labelled], unit[labelled], *shares, options.split_seed)
        by = f", by {options.unit}" if options.unit else ""
        notes = (f"the parts were drawn with seed {options.split_seed}, stratified by class and group{by}",)
    return limit_parts(part, options.limit, options.test_limit), notes


def _take(attributes: dict[str, CodedColumn], used: NDArray[np.bool_]) -> dict[str, CodedColumn]:
    return {name: CodedColumn(coded.names, coded.numbers[used]) for name, coded in attributes.items()}


def _part_note(part: NDArray[np.int64]) -> str:
    sizes = {NAMES[number]: int((part == number).sum()) for number in NAMES}
    parts = ", ".join(f"{size:,} in the {name} part" for name, size in sizes.items() if size)
    return f"{sum(sizes.values()):,} of {len(part):,} rows are used: {parts}"


def _protected_notes(protected: list[str], options: TableOptions) -> list[str]:
    columns = ", ".join(protected)
    if options.protected_as_features:
        kept = [name for name in protected if name not in options.drop]
        kept = [name for name in kept if options.features is None or name in options.features]
        return [f"protected columns among the features, so prediction needs them: {', '.join(kept)}"] if kept else []
    return [f"protected columns are no features (protected_as_features: false): {columns}"]
