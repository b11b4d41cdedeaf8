"""Digests of fitlib's own code: of a module and everything that it imports, wherever in the tree they are.

A module's digest is a Merkle digest: the hash of its source in which each import from fitlib is replaced by the
imported names and the digest of the module that defines them. It changes with every function that the module can
reach and with nothing else: moving or renaming a module leaves it alone.

Two kinds of imports count by their names only. Modules that are `left_out`: the registry looks code up by name and
whatever it finds is a root of its own, so a newly registered method does not retrain the others. And imports for type
checkers, which are never executed.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fitlib.digest import PACKAGE, digest_json, left_out


@dataclass(frozen=True)
class Source:
    """A module's text without its imports from fitlib, and those: (names as the module uses them, defining module)."""

    text: str
    imports: tuple[tuple[str, str], ...]


class SourceTree:
    """The modules of the package `fitlib` in a folder, read once each."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._sources: dict[str, Source] = {}
        self._digests: dict[str, str] = {}
        self._open: list[str] = []  # modules whose digest waits for that of a module they import

    def file(self, name: str) -> Path | None:
        """Source file of a module or package; None where the name is neither."""
        base = self._folder.joinpath(*name.split("."))
        return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)

    def digest(self, name: str) -> str:
        """Hex SHA-256 of a module and all that it reaches; ValueError in a circle of imports."""
        if name in self._open:
            raise ValueError(f"a circle of imports: {' -> '.join([*self._open, name])}")
        if name not in self._digests:
            self._open.append(name)
            source = self.source(name)
            imports = sorted([names, "" if left_out(of) else self.digest(of)] for names, of in source.imports)
            self._digests[name] = digest_json([source.text, imports])
            self._open.pop()
        return self._digests[name]

    def reached(self, roots: Collection[str]) -> list[str]:
        """Names of the modules that the digests of `roots` cover, sorted."""
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            name = waiting.pop()
            if name not in found and not left_out(name):
                found.add(name)
                waiting += [of for _, of in self.source(name).imports]
        return sorted(found)

    def source(self, name: str) -> Source:
        """The parsed source of a module; ValueError where the name is none."""
        if name not in self._sources:
            path = self.file(name)
            if path is None:
                raise ValueError(f"no module of fitlib: {name}")
            self._sources[name] = self._parsed(path.read_text(encoding="utf-8"))
        return self._sources[name]

    def _parsed(self, text: str) -> Source:
        tree = ast.parse(text)
        never_executed = set(_imports_for_type_checkers(tree))
        lines: list[str] = text.splitlines()
        imports: list[tuple[str, str]] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = list(self._from_fitlib(node))
                imports += found if node not in never_executed else []
                if found:
                    lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
        return Source("\n".join(line for line in lines if line.strip()), tuple(imports))

    def _from_fitlib(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
        """(name in use, or several; module) of an import; a module's own name counts only where the source uses it."""
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
    """Hex SHA-256 of the code that the modules `roots` reach; ValueError where one of them is no module of fitlib."""
    return digest_json(sorted({FITLIB.digest(name) for name in roots}))


def imported_modules(roots: Collection[str]) -> list[str]:
    """Names of the modules that `code_digest` of these roots covers, sorted."""
    return FITLIB.reached(roots)


def is_module(name: str) -> bool:
    """Does a dotted name stand for a module or package inside fitlib?"""
    return name.startswith(f"{PACKAGE.name}.") and FITLIB.file(name) is not None
