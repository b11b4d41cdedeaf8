"""Verification of executed notebooks: every cell ran, and cells and parameters are those of the original."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fitlib.audit.deviations import Json, Verification, shorten
from fitlib.audit.file_hashes import record_of
from fitlib.digest import digest_file
from fitlib.errors import InputError
from fitlib.experiment.notebooks import (
    FOLDERS,
    cells_digest,
    injected_parameters,
    is_injected,
    notebook_digest,
    notebook_path,
    read_notebook,
)

KINDS = ("train", "metrics", "statistics")
Cell = tuple[str, str]  # type and source


@dataclass(frozen=True)
class Executed:
    """An executed notebook: its cells without the one that papermill injects, the injected parameters, its source."""

    name: str
    cells: tuple[Cell, ...]
    parameters: Json
    source: str  # SHA-256 of the original notebook, from the record
    code: str = ""  # hash of its code cells, by which the record of a custom training identifies the notebook
    custom: bool = False  # whether it is a run of a custom training

    @property
    def kind(self) -> str:
        """The stem of its file name."""
        return Path(self.name).stem


def read_executed(found: Verification, path: Path, record_path: Path) -> Executed | None:
    """Read an executed notebook and report every cell that did not run or failed; None if it cannot be read."""
    if not path.is_file():
        if not found.is_missing(path):
            found.add_deviation(found.name_of(path), "missing, so how this was computed cannot be checked")
        return None
    record = record_of(found, record_path) or {"key_parts": {}}
    with found.reading(path):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        _check_ran(found, found.name_of(path), cells)
        injected = sum(map(is_injected, cells))
        if injected != 1:
            found.add_deviation(found.name_of(path), f"{injected} cells contain injected parameters, expected one")
        parameters = injected_parameters(cells) or {}
        original = [cell for cell in cells if not is_injected(cell)]
        code = cells_digest(cell for cell in original if cell["cell_type"] == "code")
        kept = tuple((cell["cell_type"], _source(cell)) for cell in original)
        found.count("notebooks")
        return Executed(found.name_of(path), kept, parameters, str(record["key_parts"].get("notebook")), code)
    return None


def _check_ran(found: Verification, name: str, cells: Sequence[Json]) -> None:
    """Report code cells that were not run exactly once, in order and without an error."""
    codes = [(i, cell) for i, cell in enumerate(cells) if cell["cell_type"] == "code" and _source(cell).strip()]
    for expected, (i, cell) in enumerate(codes, 1):
        if cell["execution_count"] is None:
            found.add_deviation(name, f"cell {i} was not run")
        elif cell["execution_count"] != expected:
            found.add_deviation(name, f"cell {i} was run as number {cell['execution_count']}, not {expected}")
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            found.add_deviation(name, f"cell {i} ended with an error")


def _source(cell: Mapping) -> str:
    return "".join(cell["source"])


def check_parameters(found: Verification, executed: Executed, expected: Mapping[str, object]) -> None:
    """Report every parameter that differs from the expected one; folders may differ, as they only locate files."""
    names = {*expected, *executed.parameters} - set(FOLDERS)
    for name in sorted(names):
        given = executed.parameters.get(name)
        if given != expected.get(name):
            text = f"parameter {name} is {shorten(given)}, but {shorten(expected.get(name))} in plan and records"
            found.add_deviation(executed.name, text)


# Cells


def check_cells(found: Verification, notebooks: Sequence[Executed], custom: Iterable[Path] = ()) -> None:
    """Compare every cell with the notebook of the recorded hash, or with the other copies if that notebook has changed.

    The record of a custom training identifies its notebook by a hash of the code cells alone, which is computable from
    an executed copy. ``custom``: notebooks of custom trainings that still exist, to report the cell that differs.
    """
    custom_originals = _custom_originals(custom)
    originals = {digest_file(path): _cells(path) for path in map(notebook_path, KINDS) if path.is_file()}
    # Grouped by source, so that without the original the most frequent copy can take its place.
    groups: dict[tuple[str, str], list[Executed]] = {}
    for notebook in notebooks:
        groups.setdefault((notebook.kind, notebook.source), []).append(notebook)
    for (kind, source), copies in groups.items():
        original = originals.get(source)
        if original is None and (
            source in custom_originals or any(copy.custom or copy.code == source for copy in copies)
        ):
            _check_custom_cells(found, copies, custom_originals.get(source))
            continue
        if original is None:
            text = f"executed from another version of {kind}.ipynb: its cells were compared only with"
            found.add_remark(copies[0].name, f"{text} {len(copies) - 1} other copies")
            original, _ = Counter(copy.cells for copy in copies).most_common(1)[0]
        for copy in copies:
            _compare_cells(found, copy, original)


def _custom_originals(paths: Iterable[Path]) -> dict[str, tuple[Cell, ...]]:
    """Read the code cells of existing notebooks, by the hash that a record has of them."""
    originals = {}
    for path in paths:
        with contextlib.suppress(InputError):
            cells = read_notebook(path, "verify")["cells"]
            originals[notebook_digest(path)] = tuple((c["cell_type"], _source(c)) for c in cells if not is_injected(c))
    return originals


def _check_custom_cells(found: Verification, copies: Sequence[Executed], original: tuple[Cell, ...] | None) -> None:
    """Compare the code cells of copies; the text between them is not part of the recorded hash."""
    # A copy whose code cells still have the recorded hash is as good as the original.
    whole = next((copy.cells for copy in copies if copy.code == copy.source), ())
    for copy in (copy for copy in copies if copy.code != copy.source):
        if not original and not whole:
            found.add_deviation(copy.name, "its code cells do not have the hash in its record")
            continue
        code = [tuple(cell for cell in cells if cell[0] == "code") for cells in (copy.cells, original or whole)]
        _compare_cells(found, replace(copy, cells=code[0]), code[1], "code cell")


def _cells(path: Path) -> tuple[Cell, ...]:
    return tuple((c["cell_type"], _source(c)) for c in json.loads(path.read_text(encoding="utf-8"))["cells"])


def _compare_cells(found: Verification, copy: Executed, original: tuple[Cell, ...], what: str = "cell") -> None:
    if len(copy.cells) != len(original):
        text = f"{len(copy.cells)} {what}s besides its parameters, {len(original)} in the original notebook"
        found.add_deviation(copy.name, text)
        return
    for i, (cell, expected) in enumerate(zip(copy.cells, original, strict=True)):
        if cell != expected:
            lines = itertools.zip_longest(cell[1].split("\n"), expected[1].split("\n"), fillvalue="")
            first = next((f": {shorten(one)} instead of {shorten(other)}" for one, other in lines if one != other), "")
            found.add_deviation(
                copy.name, f"{what} {i} besides its parameters differs from the original notebook{first}"
            )
