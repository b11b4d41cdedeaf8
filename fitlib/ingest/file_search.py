"""Files of predictions made elsewhere, found in a folder of folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fitlib.datasets.tabular.columns import natural_key
from fitlib.datasets.tabular.label_encoding import list_values
from fitlib.datasets.tabular.other_formats import CONVERSIONS
from fitlib.datasets.tabular.reading import suffix_of
from fitlib.errors import InputError

# .npz are often weights, .txt notes and .json settings: read only if there is nothing else
SUFFIXES = (
    (".csv", ".tsv", ".parquet"),
    (".feather", ".arrow", ".jsonl", ".ndjson", ".npz", ".xlsx"),
    (".data", ".dat", ".txt", ".json", ".npy"),
)
UNNAMED_TECHNIQUE = ""  # technique of files directly in the folder
LAYOUT = "put one file per run into <technique>/*.csv|parquet, or name a column with --column run=NAME"


def find_files(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each technique in natural order of their names (run2 before run10): the order of the runs.

    Files directly in `folder` are of technique `UNNAMED_TECHNIQUE`, and are used if no subfolder has any; `folder` may
    also be a file. Hidden files and folders, which editors and file managers create, are ignored. Raises InputError if
    there are no files, and for two files of the same name.
    """
    if folder.is_file():
        return {UNNAMED_TECHNIQUE: [folder]}
    if not folder.is_dir():
        remedy = "give the folder that contains <technique>/*.csv, or a file"
        raise InputError(str(folder), "DIR", folder.name, "not a folder", remedy)
    for suffixes in SUFFIXES:
        folders = {sub.name: _tables(sub, suffixes) for sub in sorted(p for p in _visible(folder) if p.is_dir())}
        if found := {name: files for name, files in folders.items() if files}:
            return found
        if here := _tables(folder, suffixes):
            return {UNNAMED_TECHNIQUE: here}
    raise _no_predictions(folder)


def _no_predictions(folder: Path) -> InputError:
    """Return the error for a folder without a file that is read, with what is in it and how to convert that."""
    files = [p for parent in (folder, *_visible(folder)) if parent.is_dir() for p in _visible(parent) if p.is_file()]
    for suffix, remedy in CONVERSIONS.items():
        found = sorted(p.relative_to(folder).as_posix() for p in files if suffix_of(p) == suffix)
        if found:
            problem = f"no predictions in it that can be read, but {list_values(found, 3)}"
            return InputError(str(folder), "DIR", folder.name, problem, remedy)
    return InputError(str(folder), "DIR", folder.name, "no predictions in it", LAYOUT)


def unread_note(folder: Path, files: Mapping[str, Sequence[Path]]) -> list[str]:
    """Return a note on tables in the folder, or in its subfolders, that are not read."""
    if folder.is_file():
        return []
    used = {path for paths in files.values() for path in paths}
    tables = [p for parent in (folder, *_visible(folder)) if parent.is_dir() for p in _visible(parent) if p.is_file()]
    unused = [p for p in tables if p not in used and any(suffix_of(p) in suffixes for suffixes in SUFFIXES)]
    left = sorted(p.relative_to(folder).as_posix() for p in unused)
    return [f"Not read: {list_values(left)}."] if left else []


def _visible(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def _tables(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the tables with these suffixes in natural order; InputError for two of the same name."""
    files = sorted((p for p in _visible(folder) if p.is_file() and suffix_of(p) in suffixes), key=_natural_name_key)
    stems = [p.name[: p.name.lower().rindex(suffix_of(p))] for p in files]
    for i, stem in enumerate(stems):
        if stem in stems[:i]:
            problem = f"{files[stems.index(stem)].name} has the same name: one run, or two?"
            raise InputError(str(folder), "file", files[i].name, problem, "keep one, or rename it")
    return files


def _natural_name_key(path: Path) -> tuple:
    """Return a sorting key for a file by the natural order of its name."""
    return natural_key(path.name)
