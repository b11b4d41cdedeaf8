"""What a verification knows so far: which files are there, and every deviation in a line that begins with a path."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fitlib.errors import InputError
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.prediction_columns import one_line

if TYPE_CHECKING:
    from fitlib.execution.analysis_tasks import AnalysisInputs

SHORT = 60  # characters of a value that a line shows
Json = dict[str, object]


@dataclass
class Verification:
    """Deviations, and remarks on what was not or not fully compared, of one experiment's folder.

    ``hashes``: SHA-256 of every file that is there, by name relative to the folder; ``altered`` and ``gone``: names of
    files that are not as MANIFEST.json or a record says, and of files or whole folders that are missing.
    """

    paths: ExperimentPaths
    full: bool = False
    hashes: dict[str, str] = field(default_factory=dict)
    altered: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    deviations: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    root: str = ""  # hash of the manifest's list, as recomputed
    counted: dict[str, int] = field(default_factory=dict)  # what was compared: files, runs, notebooks, tables
    shown: Path | None = None  # where lines say that the folder lies; None: where it does
    left_out: frozenset[str] = frozenset()  # names of files that this copy does without

    @property
    def intact(self) -> bool:
        """No deviation?"""
        return not self.deviations

    @property
    def place(self) -> Path:
        """Where lines say that the folder lies."""
        return self.shown or self.paths.root

    def deviates(self, path: Path | str, text: str) -> None:
        """Name a deviation; the same line is told once."""
        self._tell(self.deviations, path, text)

    def remark(self, path: Path | str, text: str) -> None:
        """Say what was not compared, or how else; no deviation."""
        self._tell(self.remarks, path, text)

    def _tell(self, lines: list[str], path: Path | str, text: str) -> None:
        line = " ".join(f"{self.place / path}: {text}".encode(errors="replace").decode().split())
        if line not in lines:
            lines.append(line)

    def count(self, what: str, number: int = 1) -> None:
        """Add to what was compared."""
        self.counted[what] = self.counted.get(what, 0) + number

    def name(self, path: Path) -> str:
        """A path as MANIFEST.json names it."""
        return path.relative_to(self.paths.root).as_posix()

    def unaltered(self, path: Path) -> bool:
        """Is the file there with the bytes that manifest and record name? Only then are binary files parsed."""
        name = self.name(path)
        return name in self.hashes and name not in self.altered

    def without(self, path: Path) -> bool:
        """Is it a file that this copy does without?"""
        return self.name(path) in self.left_out

    def is_gone(self, path: Path) -> bool:
        """Was the file, or a folder that holds it, already named as missing?"""
        name = self.name(path)
        return any(name == lost or name.startswith(f"{lost}/") for lost in self.gone)

    @contextlib.contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Whatever goes wrong while a file is read or compared is a deviation of that file, and no crash."""
        try:
            yield
        except InputError as error:
            self.deviates(self.name(path), f"{error.field}: {error.problem}")
        except Exception as error:  # a forged file may stumble anything that reads it
            self.deviates(self.name(path), f"cannot be read as what it should be ({type(error).__name__}: {error})")


@dataclass
class Place:
    """Where the results of one family (or of an analysis) stand, and what they were made from.

    ``predictions``: {technique: {arm: {"seed": int, "predictions": {run: path}}}}; techniques whose files are not here,
    or not what was recorded, are left out.
    """

    paths: ExperimentPaths
    plan: Json
    evidence: list[Json]
    description: Json
    predictions: dict[str, dict[str, dict]] = field(default_factory=dict)
    analysed: AnalysisInputs | None = None  # predictions made elsewhere, as they were analysed

    @property
    def techniques(self) -> list[str]:
        """Names of the techniques, in plan order."""
        return [t["technique"] for t in self.plan["techniques"]]


def shown(value: object) -> str:
    """A value in one short line."""
    return one_line(value if isinstance(value, str) else repr(value), SHORT)
