"""Do the tables follow from the stored predictions? Every table is derived again and compared.

Byte for byte first; where that fails, value by value. Other software or another processor may change the last digits of
a number, which is said and is no deviation; anything else is.
"""

from __future__ import annotations

import csv
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from fitlib.audit.deviations import Place, Verification, shown
from fitlib.digest import digest_json
from fitlib.execution.analysis_tasks import STATISTICS
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.notebooks import notebook_path
from fitlib.machine import machine
from fitlib.metrics.long_tables import technique_tables
from fitlib.storage.atomic_files import read_json
from fitlib.storage.code_digest import code_digest
from fitlib.storage.keys import versions
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.predictions import crossed, stack, write_table
from fitlib.storage.records import RECORD
from fitlib.tables import all_tables
from fitlib.tables.epochs import gather_history
from fitlib.tables.schemas import DATA_PACKAGE, package_columns

LONG = ("metrics", "counts", "votes", "testset", "persons")
DRAWN = {"testset", "persons"}  # hold what is drawn at random
CLOSE = 1e-9  # relative; two processors or versions agree to more digits


def check_tables(found: Verification, place: Place) -> None:
    """Derive the long tables of every technique from its predictions, all other tables from those, and compare."""
    with tempfile.TemporaryDirectory(prefix="fitlib-verify-") as name, threadpool_limits(1):
        derived = ExperimentPaths(Path(name))
        whole = [_technique(found, place, technique, derived.technique(technique)) for technique in place.techniques]
        if not all(whole):
            text = "not derived again: what they are made from is altered or missing"
            found.remark(found.name(place.paths.tables), text)
            return
        with found.reading(place.paths.tables):
            _experiment_tables(found, place, derived)


# Techniques


def _technique(found: Verification, place: Place, technique: str, folder: Path) -> bool:
    """Fill ``folder`` with the technique's long tables, derived where possible, else as stored; False: not whole."""
    stored = place.paths.technique(technique)
    folder.mkdir(parents=True)
    if not stored.is_dir() and technique not in place.predictions:
        return True  # no run of it is finished, so nothing stands here and nothing is missing
    tables = {name: stored / f"{name}.parquet" for name in LONG}
    full = found.full or not all(found.unaltered(tables[name]) for name in DRAWN)
    if technique in place.predictions:
        with found.reading(stored):
            _derive(place, technique, folder, full)
    else:
        if not found.left_out:
            found.remark(found.name(stored), "not derived again: its predictions are altered, missing, or not here")
    same = _same_software(place, stored / RECORD, "metrics")
    for path in tables.values():
        target = folder / path.name
        if target.is_file() and path.is_file():
            with found.reading(path):
                _compare_long(found, path, target, same, full)
        if not target.is_file() and found.unaltered(path):
            shutil.copyfile(path, target)
    return all((folder / path.name).is_file() or found.without(path) for path in tables.values())


def _derive(place: Place, technique: str, folder: Path, full: bool) -> None:
    described = place.description
    arms = {}
    for arm, given in place.predictions[technique].items():
        runs = stack(given["predictions"], described["n_classes"], described["n_groups"])
        for names in described["cross"]:
            runs = crossed(runs, names)
        arms[arm] = (given["seed"], runs)
    for name, table in technique_tables(technique, arms, full).items():
        write_table(folder / f"{name}.parquet", table, name)


def _compare_long(found: Verification, stored: Path, derived: Path, same: bool, full: bool) -> None:
    """Compare a long table; without what is drawn at random, its intervals are taken as they are stored."""
    if full or stored.stem not in DRAWN:
        _compare(found, stored, derived, same)
    elif found.unaltered(stored):
        frame, own = pd.read_parquet(stored), pd.read_parquet(derived)
        if len(frame) == len(own):
            write_table(derived, own.assign(low=frame["low"], high=frame["high"]), stored.stem)
        _compare(found, stored, derived, same)


# Tables of the experiment


def _experiment_tables(found: Verification, place: Place, derived: ExperimentPaths) -> None:
    gathered = all_tables.gather(derived.root, place.plan)
    histories = [found.paths.root / folder / "history.parquet" for folder in _folders(place)]
    known = all(found.unaltered(path) for path in histories if path.is_file() or found.is_gone(path))
    if known:
        gathered["history"] = gather_history(place.paths.root, place.evidence)
    frames = all_tables.tables_of(gathered, place.plan, place.evidence)
    all_tables.write({**frames, **all_tables.study_tables(gathered["metrics"], place.plan)}, derived.tables)
    write_table(derived.tables / "metrics.parquet", gathered["metrics"], "metrics")
    if not known:
        text = "not derived again: the history of a run is altered or missing"
        found.remark(found.name(place.paths.tables / "epochs.csv"), text)
    unknown = ([] if known else ["epochs.csv"]) + (["pareto.csv"] if found.left_out else [])  # made from votes, too
    for name in unknown:
        (derived.tables / name).unlink()
    _compare_folders(found, place, derived, unknown)


def _folders(place: Place) -> list[str]:
    done = [entry for entry in place.evidence if entry["status"] == "done"]
    return [f"runs/{e['training']}/{e['arm']}/run-{int(e['run']):02d}" for e in done]


def _compare_folders(found: Verification, place: Place, derived: ExperimentPaths, unknown: Sequence[str]) -> None:
    """Compare all tables but those ``unknown``, which were not derived."""
    same = _same_software(place, place.paths.root / STATISTICS, "statistics")
    stored = {path.name: path for path in place.paths.tables.glob("*") if path.is_file()}
    for path in sorted(derived.tables.iterdir()):
        if path.name in stored:
            with found.reading(stored[path.name]):
                _compare(found, stored[path.name], path, same)
        elif same and not found.is_gone(place.paths.tables / path.name):
            found.deviates(found.name(place.paths.tables / path.name), "missing: the predictions give this table")
    told = found.deviates if same else found.remark
    for name in sorted(set(stored) - {path.name for path in derived.tables.iterdir()} - set(unknown)):
        told(found.name(stored[name]), "no table that this fitlib derives from the predictions")


def _same_software(place: Place, record: Path, kind: str) -> bool:
    """Were these tables made by this fitlib, with these packages, on this kind of processor? Then bytes are equal."""
    parts = (read_json(record) or {}).get("key_parts")
    mine = {"code": code_digest(fitlib_imports(notebook_path(kind))), "versions": digest_json(versions(kind))}
    machines = {entry["parts"].get("machine") for entry in place.evidence if entry["status"] == "done"}
    known = isinstance(parts, dict)  # a record that was tampered with says nothing
    return known and machines == {machine()} and all(parts.get(name) == value for name, value in mine.items())


# Two files


def _compare(found: Verification, stored: Path, derived: Path, same: bool) -> None:
    """Compare a stored table with the derived one; ``same``: by the same software on the same kind of processor."""
    found.count("tables")
    if stored.read_bytes() == derived.read_bytes():
        return
    name, one, other = found.name(stored), cells(stored), cells(derived)
    if len(one) != len(other) or (same and one[0] != other[0]):
        sizes = [f"{len(table) - 1} rows of {len(table[0])} columns" for table in (one, other)]
        found.deviates(name, f"it has {sizes[0]}, the predictions give {sizes[1]} or other columns")
        return
    differing = list(differences(one, other))
    far = [cell for cell in differing if not _close(*cell[2:])]
    if far:
        line, column, value, expected = far[0]
        text = f"{len(far)} values are not what the predictions give; the first, row {line}, {column}: "
        found.deviates(name, f"{text}{shown(value) or 'nothing'}, not {shown(expected) or 'nothing'}")
    elif same:
        what = f"{len(differing)} values in their last digits" if differing else "the way it is written"
        found.deviates(name, f"{what} not what the same software gives from the predictions")
    else:
        agreement = f"to {CLOSE:.0e}, not to the last digit" if differing else "but not byte for byte"
        found.remark(name, f"equal to what the predictions give {agreement}: made by other software or elsewhere")


def cells(path: Path) -> list[list[str]]:
    """A table as text, row by row, its columns' names first; numbers as they read back, missing values empty."""
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as stream:
            return list(csv.reader(stream))
    if path.name == DATA_PACKAGE:
        return package_columns(read_json(path) or {})
    if path.suffix != ".parquet":
        return [["line"], *([line] for line in path.read_text(encoding="utf-8").splitlines())]
    table = pq.read_table(path)
    columns = [["" if value is None else str(value) for value in column.to_pylist()] for column in table.columns]
    return [table.column_names, *map(list, zip(*columns, strict=True))]


def differences(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> Iterator[tuple[int, str, str, str]]:
    """Row, column, and the two values of every differing cell in the columns that both tables have."""
    places = _shared(one[0], other[0])
    for line, (row, expected) in enumerate(zip(one[1:], other[1:], strict=True), 1):
        if list(row) == list(expected):
            continue
        for column, (i, j) in places.items():
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
