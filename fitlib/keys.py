"""Keys: hashes of what is known before a task runs; they decide whether it must run again.

A key has named parts (notebook, code, parameters, data, versions, inputs), so that a plan can say why a task runs.
The code part covers just those fitlib modules that the kind of task imports: a changed comment in `plots` retrains
nothing. `fitlib.registry` only looks names up, and what it finds is named as a root of its own, so it is left out:
registering a method does not retrain the others.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from fitlib.digest import digest_file, digest_json

PACKAGE = Path(__file__).parent
LEFT_OUT = {"fitlib", "fitlib.registry", "fitlib.errors"}
NUMERIC = {
    "train": ("torch", "numpy", "pyarrow", "pillow"),
    "own": ("torch", "numpy", "pyarrow", "pandas", "scikit-learn"),
    "metrics": ("numpy", "pandas", "pyarrow"),
    "statistics": ("numpy", "pandas", "pyarrow", "scipy", "statsmodels", "matplotlib", "seaborn", "nbconvert"),
}


def key_parts(
    kind: str,
    notebook: Path,
    modules: Iterable[str],
    parameters: Mapping[str, object],
    data: Iterable[Path] = (),
    inputs: object = None,
) -> dict[str, str]:
    """Hashes of each part of a task's key; `modules` are the fitlib modules that the notebook starts from."""
    return {
        "notebook": cached_file_digest(notebook),
        "code": code_digest(tuple(sorted(modules))),
        "parameters": digest_json(dict(parameters)),
        "data": digest_json([cached_file_digest(path) for path in data]),
        "versions": digest_json(versions(kind)),
        "inputs": digest_json(inputs),
    }


def changed_parts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Names of the parts in which two keys differ."""
    return [part for part in new if old.get(part) != new[part]]


@lru_cache
def versions(kind: str) -> dict[str, str]:
    """Versions of Python and of the numeric packages that a kind of task computes with."""
    return {"python": python_version(), **{name: version(name) for name in NUMERIC[kind]}}


@lru_cache
def code_digest(roots: tuple[str, ...]) -> str:
    """Hash of the sources of the fitlib modules that the roots import, directly or not."""
    return digest_json([[name, cached_file_digest(module_file(name))] for name in imported_modules(roots)])


def imported_modules(roots: Collection[str]) -> list[str]:
    """Names of the fitlib modules reached from the roots by import statements, roots included, sorted.

    ValueError where a root names no module: a key that covers nothing would count stale results as done for ever.
    """
    found: set[str] = set()
    nothing = [name for name in roots if module_file(name) is None]
    if nothing:
        raise ValueError(f"no module of fitlib: {', '.join(nothing)}")
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or name in LEFT_OUT or module_file(name) is None:
            continue
        found.add(name)
        waiting += [name.rpartition(".")[0], *_imports(module_file(name))]
    return sorted(found)


def is_module(name: str) -> bool:
    """Does a dotted name stand for a module or package of fitlib, but `fitlib` itself?"""
    return name.startswith("fitlib.") and module_file(name) is not None


def module_file(name: str) -> Path | None:
    """Source file of a fitlib module or package; None where the name is neither."""
    base = PACKAGE.parent.joinpath(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def cached_file_digest(path: Path) -> str:
    """Hash of a file, computed once per (path, size, time of change) in this process."""
    stat = path.stat()
    return _file_digest(str(path), stat.st_size, stat.st_mtime_ns)


@cache
def _file_digest(path: str, size: int, changed: int) -> str:
    return digest_file(path)


@cache
def _imports(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.startswith("fitlib."))
