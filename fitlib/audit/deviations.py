"""The state of a verification: hashes of the files present, and deviations, each a line that begins with a path."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitlib.errors import InputError
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.prediction_columns import one_line

if TYPE_CHECKING:
    from fitlib.execution.analysis_tasks import AnalysisInputs

MAX_VALUE_LENGTH = 60  # characters
Json = dict[str, Any]


@dataclass
class Verification:
    """The deviations found in one experiment's folder, and remarks on what was not or not fully compared.

    ``hashes``: SHA-256 of every file present, by its name relative to the folder; ``altered`` and ``missing``: names of
    files that differ from MANIFEST.json or a record, and of files or whole folders that are missing.
    """

    paths: ExperimentPaths
    full: bool = False
    hashes: dict[str, str] = field(default_factory=dict)
    altered: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    deviations: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    root: str = ""  # hash of the manifest's file list, recomputed
    counted: dict[str, int] = field(default_factory=dict)  # how many files, runs, notebooks and tables were compared
    displayed_as: Path | None = None  # the root that lines begin with; None: that of `paths`
    left_out: frozenset[str] = frozenset()  # names of files deliberately absent from this copy

    @property
    def intact(self) -> bool:
        """Whether no deviation was found."""
        return not self.deviations

    @property
    def display_root(self) -> Path:
        """The folder as lines name it."""
        return self.displayed_as or self.paths.root

    def add_deviation(self, path: Path | str, text: str) -> None:
        """Add a deviation; a repeated line is kept once."""
        self._add_line(self.deviations, path, text)

    def add_remark(self, path: Path | str, text: str) -> None:
        """Add a remark on what was not compared, or was compared differently; it is no deviation."""
        self._add_line(self.remarks, path, text)

    def _add_line(self, lines: list[str], path: Path | str, text: str) -> None:
        line = " ".join(f"{self.display_root / path}: {text}".encode(errors="replace").decode().split())
        if line not in lines:
            lines.append(line)

    def count(self, what: str, number: int = 1) -> None:
        """Count something as compared."""
        self.counted[what] = self.counted.get(what, 0) + number

    def name_of(self, path: Path) -> str:
        """Return the name of a path in MANIFEST.json."""
        return path.relative_to(self.paths.root).as_posix()

    def is_unaltered(self, path: Path) -> bool:
        """Return whether a file has the recorded bytes; binary files are parsed only then."""
        name = self.name_of(path)
        return name in self.hashes and name not in self.altered

    def is_left_out(self, path: Path) -> bool:
        """Return whether a file is deliberately absent from this copy."""
        return self.name_of(path) in self.left_out

    def is_missing(self, path: Path) -> bool:
        """Return whether the file, or a folder that contains it, is already reported as missing."""
        name = self.name_of(path)
        return any(name == lost or name.startswith(f"{lost}/") for lost in self.missing)

    @contextlib.contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Turn any error while a file is read or compared into a deviation of that file."""
        try:
            yield
        except InputError as error:
            self.add_deviation(self.name_of(path), f"{error.field}: {error.problem}")
        except Exception as error:  # a forged file may break any of its readers in any way
            self.add_deviation(self.name_of(path), f"cannot be parsed ({type(error).__name__}: {error})")


@dataclass
class ResultFolder:
    """The folder with the results of one family (or of an analysis), and what they were computed from.

    ``predictions``: {technique: {arm: {"seed": int, "predictions": {run: path}}}}, without techniques whose files are
    missing or altered.
    """

    paths: ExperimentPaths
    plan: Json
    evidence: list[Json]
    description: Json
    predictions: dict[str, Json] = field(default_factory=dict)
    analysed: AnalysisInputs | None = None  # the inputs of an analysis of predictions made elsewhere

    @property
    def techniques(self) -> list[str]:
        """Names of the techniques, in plan order."""
        return [t["technique"] for t in self.plan["techniques"]]


def shorten(value: object) -> str:
    r"""Format a value as one short line, unprintable characters as "?".

    >>> shorten("two\nlines"), shorten(0.5), shorten("\x1b[2J")
    ('two lines', '0.5', '?[2J')
    """
    return one_line(value if isinstance(value, str) else repr(value), MAX_VALUE_LENGTH)
