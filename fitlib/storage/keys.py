"""Keys: hashes of what is known before a task runs; they decide whether it must run again.

A key has named parts (notebook, code, parameters, data, versions, inputs), so that a plan can report why a task runs.
The code part covers only the modules that the kind of task imports (`code_digest`): a changed figure retrains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from fitlib.digest import cached_file_digest, digest_json
from fitlib.storage.code_digest import code_digest

NUMERIC_PACKAGES = {
    "train": ("torch", "numpy", "pyarrow", "pillow"),
    "own": ("torch", "numpy", "pyarrow", "pandas", "scikit-learn"),
    "metrics": ("numpy", "pandas", "pyarrow"),
    "statistics": ("numpy", "pandas", "pyarrow", "scipy", "matplotlib", "seaborn"),
}


def key_parts(
    kind: str,
    notebook: Path,
    modules: Iterable[str],
    parameters: Mapping[str, object],
    data: Iterable[Path] = (),
    inputs: object = None,
) -> dict[str, str]:
    """Return the hash of each part of a task's key; `modules` are the fitlib modules that the notebook imports."""
    return {
        "notebook": cached_file_digest(notebook),
        "code": code_digest(tuple(sorted(modules))),
        "parameters": digest_json(dict(parameters)),
        "data": digest_json([cached_file_digest(path) for path in data]),
        "versions": digest_json(versions(kind)),
        "inputs": digest_json(inputs),
    }


def changed_parts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the names of the parts in which a new key differs from an old one.

    >>> changed_parts({"code": "a", "data": "b"}, {"code": "a", "data": "c"})
    ['data']
    """
    return [part for part in new if old.get(part) != new[part]]


@lru_cache
def versions(kind: str) -> dict[str, str]:
    """Return the versions of Python and of the numeric packages that a kind of task computes with.

    A custom training ("own") may do without any of them; for others PackageNotFoundError is raised.
    """
    of = installed_version if kind == "own" else version
    return {"python": python_version(), **{name: of(name) for name in NUMERIC_PACKAGES[kind]}}


def installed_version(package: str) -> str:
    """Return the version of a package, "missing" where it is not installed.

    >>> installed_version("no-such-package")
    'missing'
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
