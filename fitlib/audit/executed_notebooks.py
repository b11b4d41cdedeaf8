"""Were the executed notebooks left as they ran? Every cell ran; cells and parameters are those they were made of."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fitlib.audit.deviations import Json, Verification, shown
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
    """An executed notebook: its cells but the one that papermill adds, the parameters of that one, and its source."""

    name: str
    cells: tuple[Cell, ...]
    parameters: Json
    source: str  # SHA-256 of the notebook that was executed, as the record names it
    code: str = ""  # hash of its code cells: an own training's record names the notebook by these
    own: bool = False  # is it a run of an own training?

    @property
    def kind(self) -> str:
        """Stem of its file name."""
        return Path(self.name).stem


def read_executed(found: Verification, path: Path, record_path: Path) -> Executed | None:
    """Read an executed notebook and name every cell that did not run or failed; None where it cannot be read."""
    if not path.is_file():
        if not found.is_gone(path):
            found.deviates(found.name(path), "missing: nothing shows how this was computed")
        return None
    record = record_of(found, record_path) or {"key_parts": {}}
    with found.reading(path):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        _check_ran(found, found.name(path), cells)
        injected = sum(map(is_injected, cells))
        if injected != 1:
            found.deviates(found.name(path), f"{injected} cells hold its parameters, not one")
        parameters = injected_parameters(cells) or {}
        own = [cell for cell in cells if not is_injected(cell)]
        code = cells_digest(cell for cell in own if cell["cell_type"] == "code")
        kept = tuple((cell["cell_type"], _source(cell)) for cell in own)
        found.count("notebooks")
        return Executed(found.name(path), kept, parameters, str(record["key_parts"].get("notebook")), code)
    return None


def _check_ran(found: Verification, name: str, cells: Sequence[Json]) -> None:
    """Every code cell ran, once and in order, without an error."""
    codes = [(i, cell) for i, cell in enumerate(cells) if cell["cell_type"] == "code" and _source(cell).strip()]
    for expected, (i, cell) in enumerate(codes, 1):
        if cell["execution_count"] is None:
            found.deviates(name, f"cell {i} was not run")
        elif cell["execution_count"] != expected:
            found.deviates(name, f"cell {i} was run as number {cell['execution_count']}, not {expected}")
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            found.deviates(name, f"cell {i} ended with an error")


def _source(cell: Mapping) -> str:
    return "".join(cell["source"])


def check_parameters(found: Verification, executed: Executed, expected: Mapping[str, object]) -> None:
    """Name every parameter that is not the expected one; folders say where, not what, and are free."""
    names = {*expected, *executed.parameters} - set(FOLDERS)
    for name in sorted(names):
        given = executed.parameters.get(name)
        if given != expected.get(name):
            text = f"parameter {name} is {shown(given)}, not {shown(expected.get(name))} as plan and records say"
            found.deviates(executed.name, text)


# Cells


def check_cells(found: Verification, notebooks: Sequence[Executed], own: Iterable[Path] = ()) -> None:
    """Compare every cell with the notebook of the recorded hash; of another version of fitlib's, with the other copies.

    The record of an own training names its notebook by a hash of the code cells alone, so the copy can be compared with
    that; ``own``: notebooks of own trainings that are here, to name the cell that differs.
    """
    executed_own = _own_originals(own)
    originals = {digest_file(path): _cells(path) for path in map(notebook_path, KINDS) if path.is_file()}
    groups: dict[tuple[str, str], list[Executed]] = {}
    for notebook in notebooks:
        groups.setdefault((notebook.kind, notebook.source), []).append(notebook)
    for (kind, source), copies in groups.items():
        original = originals.get(source)
        if original is None and (source in executed_own or any(copy.own or copy.code == source for copy in copies)):
            _check_own(found, copies, executed_own.get(source))
            continue
        if original is None:
            text = f"made from another {kind}.ipynb than this fitlib's: its cells were compared with those of"
            found.remark(copies[0].name, f"{text} {len(copies) - 1} other copies")
            original, _ = Counter(copy.cells for copy in copies).most_common(1)[0]
        for copy in copies:
            _compare_cells(found, copy, original)


def _own_originals(paths: Iterable[Path]) -> dict[str, tuple[Cell, ...]]:
    """Code cells of the notebooks that are here, by the hash that a record has of them."""
    known = {}
    for path in paths:
        with contextlib.suppress(InputError):
            cells = read_notebook(path, "verify")["cells"]
            known[notebook_digest(path)] = tuple((c["cell_type"], _source(c)) for c in cells if not is_injected(c))
    return known


def _check_own(found: Verification, copies: Sequence[Executed], original: tuple[Cell, ...] | None) -> None:
    """Compare the code cells of copies; text between them is no part of the hash by which records name a notebook."""
    whole = next((copy.cells for copy in copies if copy.code == copy.source), ())
    for copy in (copy for copy in copies if copy.code != copy.source):
        if not original and not whole:
            found.deviates(copy.name, "its code cells are not those that its record has the hash of")
            continue
        code = [tuple(cell for cell in cells if cell[0] == "code") for cells in (copy.cells, original or whole)]
        _compare_cells(found, replace(copy, cells=code[0]), code[1], "code cell")


def _cells(path: Path) -> tuple[Cell, ...]:
    return tuple((c["cell_type"], _source(c)) for c in json.loads(path.read_text(encoding="utf-8"))["cells"])


def _compare_cells(found: Verification, copy: Executed, original: tuple[Cell, ...], what: str = "cell") -> None:
    if len(copy.cells) != len(original):
        text = f"it has {len(copy.cells)} {what}s beside its parameters, the notebook it was made from {len(original)}"
        found.deviates(copy.name, text)
        return
    for i, (cell, expected) in enumerate(zip(copy.cells, original, strict=True)):
        if cell != expected:
            lines = itertools.zip_longest(cell[1].split("\n"), expected[1].split("\n"), fillvalue="")
            first = next((f": {shown(one)} instead of {shown(other)}" for one, other in lines if one != other), "")
            found.deviates(copy.name, f"{what} {i} beside its parameters is not that of its notebook{first}")
