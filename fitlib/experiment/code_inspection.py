"""A look at somebody's notebook or function without executing it: what it accepts, and which local files it imports.

Modules are found by name and read as text (`ast`), so that a plan is quick and a mistake is told before any work.
Imports that are made while running (`importlib.import_module(name)`) cannot be seen here.
"""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from fitlib.errors import InputError, did_you_mean
from fitlib.experiment.notebooks import Accepts, code_cells
from fitlib.storage.code_digest import is_module

TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
MAGIC = re.compile(r"^\s*[%!?].*$", re.MULTILINE)
NO_FUNCTION = (ast.Constant, ast.List, ast.Dict, ast.Tuple, ast.Set, ast.JoinedStr)
RE_EXPORTS = 8  # imports that are followed from one module to the next


# Notebooks


def notebook_imports(path: Path) -> set[str]:
    """Modules that the code cells import."""
    return {name for cell in code_cells(path) for name in _imports(_tree("".join(cell["source"])), "")}


def fitlib_imports(path: Path) -> tuple[str, ...]:
    """Modules of fitlib that the code cells import, sorted: the roots of the key of a task that executes them."""
    return tuple(sorted(filter(is_module, notebook_imports(path))))


# Callables


def callable_accepts(target: str, where: str) -> Accepts:
    """What the function `package.module:function` accepts.

    InputError where the text has another form, the module has no source, or the name is no function of it.
    """
    if not TARGET.fullmatch(target):
        raise InputError(where, "callable", target, "not of the form package.module:function", "name one function")
    module, _, name = target.partition(":")
    path = find_module(module)
    if path is None:
        remedy = "correct the name, install the package, or say the command in the folder that holds it"
        raise InputError(where, "callable", target, f"there is no module {module} with a Python source", remedy)
    return _accepts(target, where, path, module, name)


def find_module(name: str) -> Path | None:
    """Source file of a module in the current folder or among what is installed, found without importing anything."""
    local = module_file(name, Path.cwd())
    if local is not None:
        return local
    top, *parts = name.split(".")
    found = next((spec for finder in sys.meta_path if (spec := finder.find_spec(top, None))), None)
    for i, _ in enumerate(parts, 1):
        places = found.submodule_search_locations if found else None
        found = PathFinder.find_spec(".".join([top, *parts[:i]]), places) if places else None
    return _source(found)


def _source(spec: ModuleSpec | None) -> Path | None:
    path = Path(spec.origin) if spec and spec.has_location and spec.origin else None
    return path if path and path.suffix == ".py" and path.is_file() else None


def _accepts(target: str, where: str, path: Path, module: str, name: str, depth: int = 0) -> Accepts:
    tree = _parsed(target, where, path)
    node = next((node for bound, node in reversed(list(_bindings(tree.body))) if bound in (name, "*")), None)
    if isinstance(node, ast.FunctionDef):
        return _signature(node)
    if isinstance(node, ast.ImportFrom) and depth < RE_EXPORTS:
        there = _absolute(node, package_of(module, path))
        further = find_module(there)
        original = next((a.name for a in node.names if (a.asname or a.name) == name), None)
        return _accepts(target, where, further, there, original, depth + 1) if further and original else _UNKNOWN
    problem = _no_function(node, name)
    if problem:
        known = [bound for bound, found in _bindings(tree.body) if isinstance(found, ast.FunctionDef)]
        remedy = did_you_mean(name, known, f"functions there: {', '.join(known) or 'none'}")
        raise InputError(where, "callable", target, f"{problem} in {path.name}", remedy)
    return _UNKNOWN


_UNKNOWN = Accepts(anything=True)


def _no_function(node: ast.AST | None, name: str) -> str:
    """Why what a name is bound to can be no function; "" where it may be one."""
    if node is None:
        return f"there is no {name}"
    told = {ast.ClassDef: "a class", ast.AsyncFunctionDef: "an async function", ast.Import: "a module"}
    value = getattr(node, "value", None)
    if type(node) in told or isinstance(value, NO_FUNCTION):
        return f"{name} is {told.get(type(node), 'a value')}, no function,"
    return ""


def _bindings(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Names that a module's statements bind, in order, also those under `if` and `try`."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name.partition(".")[0], node) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((target.id, node) for target in targets if isinstance(target, ast.Name))
        for inner in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                yield from _bindings(getattr(node, inner, []))


def _signature(node: ast.FunctionDef) -> Accepts:
    if node.decorator_list:  # a decorator may change what is accepted
        return _UNKNOWN
    arguments = node.args
    plain, only = [a.arg for a in arguments.args], [a.arg for a in arguments.kwonlyargs]
    without = len(arguments.posonlyargs) + len(plain) - len(arguments.defaults)
    positional = [a.arg for a in arguments.posonlyargs] + plain
    needed = [a for a, default in zip(only, arguments.kw_defaults, strict=True) if default is None]
    return Accepts((*plain, *only), (*positional[:without], *needed), arguments.kwarg is not None)


def _parsed(target: str, where: str, path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        problem = f"{path.name} is not valid Python{f' (line {line})' if line else ''}"
        raise InputError(where, "callable", target, problem, "correct it") from None


# What is imported


def module_file(name: str, root: Path) -> Path | None:
    """Source file of a module or package below a folder; None where there is none."""
    base = root.joinpath(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def local_sources(names: Iterable[str], roots: Sequence[Path]) -> dict[str, Path]:
    """Modules below the folders `roots` that are reached from the named ones by import statements, name by name."""
    found: dict[str, Path] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path = next((p for root in roots if (p := module_file(name, root))), None)
        if path is None or name in found or name.partition(".")[0] == "fitlib":
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *imports_of(name, path)] if "." in name else imports_of(name, path)
    return dict(sorted(found.items()))


def imports_of(name: str, path: Path) -> set[str]:
    """Modules that a module imports; relative names are made absolute."""
    return _imports(_tree(path.read_text(encoding="utf-8", errors="replace")), package_of(name, path))


def package_of(name: str, path: Path) -> str:
    """The package that a module's relative imports start from."""
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def root_of(name: str, path: Path) -> Path | None:
    """The folder that a module is imported from; None where it is Python's own or that of installed packages."""
    steps = len(name.split(".")) - (path.name != "__init__.py")
    root = path.resolve().parents[steps]
    return None if root in _installed() else root


@cache
def _installed() -> frozenset[Path]:
    return frozenset(
        Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")
    )


def _imports(tree: ast.Module, package: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names - {""}


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """Dotted name of the module that `from … import` names, relative to a package."""
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def _tree(source: str) -> ast.Module:
    """The syntax tree of a cell or file; empty where it is no Python even without IPython's commands."""
    for text in (source, MAGIC.sub("", source)):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError):
            continue
    return ast.Module([], [])
