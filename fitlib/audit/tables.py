"""Verification that the tables follow from the stored predictions: every table is derived again and compared.

Tables are compared byte for byte, then, if they differ, value by value. Other software or another processor may change
the last digits of a number, which is a remark and no deviation; any other difference is a deviation.
"""

from __future__ import annotations

import csv
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from fitlib.audit.deviations import ResultFolder, Verification, shorten
from fitlib.digest import digest_json
from fitlib.errors import InputError
from fitlib.execution.analysis_tasks import STATISTICS
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.metric_code import metrics_code
from fitlib.experiment.notebooks import notebook_path
from fitlib.machine import machine
from fitlib.metrics import metric_sources
from fitlib.metrics.long_tables import technique_tables
from fitlib.storage.atomic_files import read_json
from fitlib.storage.code_digest import code_digest
from fitlib.storage.keys import versions
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.predictions import cross_attributes, stack, write_table
from fitlib.storage.records import RECORD
from fitlib.tables import all_tables
from fitlib.tables.epochs import gather_history
from fitlib.tables.schemas import DATA_PACKAGE, package_columns

LONG = ("metrics", "counts", "votes", "testset", "resampled", "persons")
DRAWN = {"testset", "resampled", "persons"}  # contain what is drawn at random
CLOSE = 1e-9  # relative; different processors or versions agree more closely than this


def check_tables(found: Verification, results: ResultFolder) -> None:
    """Derive the long tables of every technique from its predictions, all other tables from those, and compare."""
    with tempfile.TemporaryDirectory(prefix="fitlib-verify-") as name, threadpool_limits(1):
        derived = ExperimentPaths(Path(name))
        whole = [
            _technique(found, results, technique, derived.technique(technique)) for technique in results.techniques
        ]
        if not all(whole):
            text = "not derived again: their inputs are altered or missing"
            found.add_remark(found.name_of(results.paths.tables), text)
            return
        with found.reading(results.paths.tables):
            _experiment_tables(found, results, derived)


# Techniques


def _technique(found: Verification, results: ResultFolder, technique: str, folder: Path) -> bool:
    """Write the technique's long tables to ``folder``, derived if possible, else as stored; return if complete."""
    stored = results.paths.technique(technique)
    folder.mkdir(parents=True)
    if not stored.is_dir() and technique not in results.predictions:
        return True  # none of its runs is finished, so nothing is missing
    tables = {name: stored / f"{name}.parquet" for name in LONG}
    # An altered table of random draws cannot be taken over as stored, so it is derived like the others.
    full = found.full or not all(found.is_unaltered(tables[name]) for name in DRAWN)
    if technique in results.predictions:
        with found.reading(stored):
            _derive(found, results, technique, folder, full)
    else:
        if not found.left_out:
            found.add_remark(found.name_of(stored), "not derived again: its predictions are altered or missing")
    same = _same_software(results, stored / RECORD, "metrics")
    for path in tables.values():
        target = folder / path.name
        if target.is_file() and path.is_file():
            with found.reading(path):
                _compare_long(found, path, target, same, full)
        if not target.is_file() and found.is_unaltered(path):
            shutil.copyfile(path, target)
    return all((folder / path.name).is_file() or found.is_left_out(path) for path in tables.values())


def _derive(found: Verification, results: ResultFolder, technique: str, folder: Path, full: bool) -> None:
    described = results.description
    try:
        custom = metric_sources.load(described.get("custom_metrics"), "plan")
    except InputError as error:
        missing = f"{error.field.removeprefix('metrics.')} ({error.value}) {error.problem}"
        found.add_remark(found.name_of(results.paths.technique(technique)), f"not derived again: metric {missing}")
        return
    arms = {}
    for arm, given in results.predictions[technique].items():
        runs = stack(given["predictions"], described["n_classes"], described["n_groups"])
        for names in described["cross"]:
            runs = cross_attributes(runs, names)
        arms[arm] = (given["seed"], runs)
    for name, table in technique_tables(technique, arms, full, custom).items():
        write_table(folder / f"{name}.parquet", table, name)


def _compare_long(found: Verification, stored: Path, derived: Path, same: bool, full: bool) -> None:
    """Compare a long table; if random draws are not repeated, its stored intervals are taken over unchecked."""
    if full or stored.stem not in DRAWN:
        _compare(found, stored, derived, same)
    elif found.is_unaltered(stored):
        frame, fresh = pd.read_parquet(stored), pd.read_parquet(derived)
        if len(frame) == len(fresh):
            write_table(derived, fresh.assign(low=frame["low"], high=frame["high"]), stored.stem)
        _compare(found, stored, derived, same)


# Tables of the experiment


def _experiment_tables(found: Verification, results: ResultFolder, derived: ExperimentPaths) -> None:
    gathered = all_tables.gather(derived.root, results.plan)
    histories = [found.paths.root / folder / "history.parquet" for folder in _folders(results)]
    histories_intact = all(found.is_unaltered(path) for path in histories if path.is_file() or found.is_missing(path))
    if histories_intact:
        gathered["history"] = gather_history(results.paths.root, results.evidence)
    frames = all_tables.tables_of(gathered, results.plan, results.evidence)
    all_tables.write({**frames, **all_tables.study_tables(gathered["metrics"], results.plan)}, derived.tables)
    write_table(derived.tables / "metrics.parquet", gathered["metrics"], "metrics")
    if not histories_intact:
        text = "not derived again: the history of a run is altered or missing"
        found.add_remark(found.name_of(results.paths.tables / "epochs.csv"), text)
    not_derived = [] if histories_intact else ["epochs.csv"]
    not_derived += ["pareto.csv"] if found.left_out else []  # it is made from votes, too
    for name in not_derived:
        (derived.tables / name).unlink()
    _compare_folders(found, results, derived, not_derived)


def _folders(results: ResultFolder) -> list[str]:
    done = [entry for entry in results.evidence if entry["status"] == "done"]
    return [f"runs/{e['training']}/{e['arm']}/run-{int(e['run']):02d}" for e in done]


def _compare_folders(
    found: Verification, results: ResultFolder, derived: ExperimentPaths, not_derived: Sequence[str]
) -> None:
    """Compare all tables except those ``not_derived``."""
    same = _same_software(results, results.paths.root / STATISTICS, "statistics")
    stored = {path.name: path for path in results.paths.tables.glob("*") if path.is_file()}
    for path in sorted(derived.tables.iterdir()):
        if path.name in stored:
            with found.reading(stored[path.name]):
                _compare(found, stored[path.name], path, same)
        elif same and not found.is_missing(results.paths.tables / path.name):
            found.add_deviation(
                found.name_of(results.paths.tables / path.name), "missing: this table follows from the predictions"
            )
    report = found.add_deviation if same else found.add_remark
    for name in sorted(set(stored) - {path.name for path in derived.tables.iterdir()} - set(not_derived)):
        report(found.name_of(stored[name]), "not a table that this version of fitlib derives from the predictions")


def _same_software(results: ResultFolder, record: Path, kind: str) -> bool:
    """Return whether code, packages and processor are those that made the tables; then even bytes must agree."""
    parts = (read_json(record) or {}).get("key_parts")
    current = {"code": _code(results, kind), "versions": digest_json(versions(kind))}
    machines = {entry["parts"].get("machine") for entry in results.evidence if entry["status"] == "done"}
    if not isinstance(parts, dict):  # a missing record, or one tampered with
        return False
    return machines == {machine()} and all(parts.get(name) == value for name, value in current.items())


def _code(results: ResultFolder, kind: str) -> str:
    if kind == "metrics":
        return metrics_code(results.description.get("custom_metrics"))
    return code_digest(fitlib_imports(notebook_path(kind)))


# Two files


def _compare(found: Verification, stored: Path, derived: Path, same: bool) -> None:
    """Compare a stored table with the derived one; ``same``: by the same software on the same kind of processor."""
    found.count("tables")
    if stored.read_bytes() == derived.read_bytes():
        return
    name, one, other = found.name_of(stored), cells(stored), cells(derived)
    if len(one) != len(other) or (same and one[0] != other[0]):
        sizes = [f"{len(table) - 1} rows of {len(table[0])} columns" for table in (one, other)]
        found.add_deviation(name, f"it has {sizes[0]}, the predictions give {sizes[1]} or other columns")
        return
    differing = list(differences(one, other))
    far = [cell for cell in differing if not _close(*cell[2:])]
    if far:
        line, column, value, expected = far[0]
        text = f"{len(far)} values are not what the predictions give; the first, row {line}, {column}: "
        found.add_deviation(name, f"{text}{shorten(value) or 'nothing'}, not {shorten(expected) or 'nothing'}")
    elif same:
        what = f"{len(differing)} values in their last digits" if differing else "its formatting"
        found.add_deviation(name, f"{what} not what the same software gives from the predictions")
    else:
        agreement = f"to {CLOSE:.0e}, not to the last digit" if differing else "but not byte for byte"
        found.add_remark(name, f"equal to what the predictions give {agreement}: made by other software or elsewhere")


def cells(path: Path) -> list[list[str]]:
    """Read a table as text, row by row, column names first; numbers as they read back, missing values empty.

    Each entry of a list has a column of its own.
    """
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as stream:
            return list(csv.reader(stream))
    if path.name == DATA_PACKAGE:
        return package_columns(read_json(path) or {})
    if path.suffix != ".parquet":
        return [["line"], *([line] for line in path.read_text(encoding="utf-8").splitlines())]
    columns = dict(_flat_columns(pq.read_table(path)))
    texts = [["" if value is None else str(value) for value in values] for values in columns.values()]
    return [list(columns), *map(list, zip(*texts, strict=True))]


def _flat_columns(table: pa.Table) -> Iterator[tuple[str, Sequence[object]]]:
    """Yield the columns by name; a column of lists as one column for each position in them."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        values = column.to_pylist()
        if pa.types.is_list(column.type):
            yield from ((f"{name}[{i}]", entries) for i, entries in enumerate(zip_longest(*values)))
        else:
            yield name, values


def differences(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> Iterator[tuple[int, str, str, str]]:
    """Yield row, column and both values of every differing cell, in the columns that both tables have.

    >>> list(differences([["a", "b"], ["1", "2"]], [["a", "b"], ["1", "3"]]))
    [(1, 'b', '2', '3')]
    """
    positions = _shared(one[0], other[0])
    for line, (row, expected) in enumerate(zip(one[1:], other[1:], strict=True), 1):
        if list(row) == list(expected):
            continue
        for column, (i, j) in positions.items():
            pair = (row[i] if i < len(row) else "", expected[j] if j < len(expected) else "")
            if pair[0] != pair[1]:
                yield line, column, *pair


def _shared(one: Sequence[str], other: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    if list(one) == list(other):
        return {f"column {i + 1} ({name})" if one.count(name) > 1 else name: (i, i) for i, name in enumerate(one)}
    return {name: (one.index(name), other.index(name)) for name in one if name in other}


def _close(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=CLOSE, abs_tol=CLOSE)
    except ValueError:
        return False
