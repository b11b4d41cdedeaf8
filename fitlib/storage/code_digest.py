"""Digests of fitlib's source: of a module and everything that it imports, wherever in the tree they are.

A module's digest is a Merkle digest: the hash of its source in which each import from fitlib is replaced by the
imported names and the digest of the module that defines them. It changes with every line that the module can reach;
moving or renaming a module does not affect it.

Imports of excluded modules (`fitlib.digest.is_excluded`) count by their names only: the registry looks code up by name,
and whatever it finds has a digest of its own, so that registering a method does not retrain the others. Imports for
type checkers do not count: they are never executed.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fitlib.digest import PACKAGE, digest_json, is_excluded


@dataclass(frozen=True)
class Source:
    """A module's text without its imports from fitlib, and these imports: (names in use, defining module)."""

    text: str
    imports: tuple[tuple[str, str], ...]


class SourceTree:
    """The modules of the package `fitlib` in a folder, read once each."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._sources: dict[str, Source] = {}
        self._digests: dict[str, str] = {}
        self._pending: list[str] = []  # modules whose digest waits for that of a module they import

    def file(self, name: str) -> Path | None:
        """Return the source file of a module or package; None if the name is neither."""
        base = self._folder.joinpath(*name.split("."))
        return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)

    def digest(self, name: str) -> str:
        """Return the hex SHA-256 of a module and everything that it imports; raise ValueError for circular imports."""
        if name in self._pending:
            raise ValueError(f"a circle of imports: {' -> '.join([*self._pending, name])}")
        if name not in self._digests:
            self._pending.append(name)
            source = self.source(name)
            # Sorted by names, then by digest: neither the order of the imports nor the module's name counts.
            imports = sorted([names, "" if is_excluded(of) else self.digest(of)] for names, of in source.imports)
            self._digests[name] = digest_json([source.text, imports])
            self._pending.pop()
        return self._digests[name]

    def reached(self, roots: Collection[str]) -> list[str]:
        """Return the names of the modules that the digests of `roots` cover, sorted."""
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name not in found and not is_excluded(name):
                found.add(name)
                waiting += [of for _, of in self.source(name).imports]
        return sorted(found)

    def source(self, name: str) -> Source:
        """Parse a module once; raise ValueError if there is no such module."""
        if name not in self._sources:
            path = self.file(name)
            if path is None:
                raise ValueError(f"no module of fitlib: {name}")
            self._sources[name] = self._parse(path.read_text(encoding="utf-8"))
        return self._sources[name]

    def _parse(self, text: str) -> Source:
        tree = ast.parse(text)
        never_executed = set(_imports_for_type_checkers(tree))
        lines = text.splitlines(keepends=True)
        removed: set[int] = set()
        imports: list[tuple[str, str]] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = list(self._from_fitlib(node))
                imports += found if node not in never_executed else []
                if found:
                    removed.update(range(node.lineno - 1, node.end_lineno or node.lineno))
        return Source("".join(line for i, line in enumerate(lines) if i not in removed), tuple(imports))

    def _from_fitlib(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
        """Yield (name in use, module) of each name that an import takes from fitlib.

        The path of an imported module is not part of the name, so that moving it changes nothing.
        """
        module = node.module if isinstance(node, ast.ImportFrom) else None
        for alias in node.names:
            full = f"{module}.{alias.name}" if module else alias.name
            if full.partition(".")[0] != PACKAGE.name:
                continue
            if module is None or self.file(full):
                yield alias.asname or alias.name.rpartition(".")[2], full
            else:
                yield f"{alias.name} as {alias.asname or alias.name}", module


def _imports_for_type_checkers(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from node.body


FITLIB = SourceTree(PACKAGE.parent)


@lru_cache
def code_digest(roots: tuple[str, ...]) -> str:
    """Return the hex SHA-256 of the code that the modules `roots` import, directly or not, their own included.

    Raises ValueError if one of them is no module of fitlib.
    """
    return digest_json(sorted({FITLIB.digest(name) for name in roots}))


def imported_modules(roots: Collection[str]) -> list[str]:
    """Return the names of the modules that `code_digest` of these roots covers, sorted."""
    return FITLIB.reached(roots)


def is_module(name: str) -> bool:
    """Return whether a dotted name is that of a module inside fitlib; a package holds no code of its own.

    >>> is_module("fitlib.storage.keys"), is_module("fitlib.storage"), is_module("numpy.linalg")
    (True, False, False)
    """
    path = FITLIB.file(name) if name.startswith(f"{PACKAGE.name}.") else None
    return path is not None and path.name != "__init__.py"
