"""Static inspection of a user's notebook or function: the parameters that it accepts and the local files it imports.

Modules are found by name and parsed (`ast`), never imported, so that a plan is quick and mistakes are reported before
any work. Imports made at run time (`importlib.import_module(name)`) cannot be seen here.
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
from fitlib.experiment.notebooks import Signature, code_cells
from fitlib.storage.code_digest import is_module

TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
MAGIC = re.compile(r"^\s*[%!?].*$", re.MULTILINE)
NO_FUNCTION = (ast.Constant, ast.List, ast.Dict, ast.Tuple, ast.Set, ast.JoinedStr)
RE_EXPORTS = 8  # imports that are followed from one module to the next


# Notebooks


def notebook_imports(path: Path) -> set[str]:
    """Return the modules that the code cells import."""
    return {name for cell in code_cells(path) for name in _imports(_tree("".join(cell["source"])), "")}


def fitlib_imports(path: Path) -> tuple[str, ...]:
    """Return the fitlib modules that the code cells import, sorted: the roots of the code part of a notebook's key."""
    return tuple(sorted(filter(is_module, notebook_imports(path))))


# Callables


def callable_signature(target: str, where: str) -> Signature:
    """Return the parameters that the function `package.module:function` accepts.

    InputError where the text has another form, the module has no source, or the name is not a function in it.
    """
    if not TARGET.fullmatch(target):
        raise InputError(where, "callable", target, "not of the form package.module:function", "name one function")
    module, _, name = target.partition(":")
    path = find_module(module)
    if path is None:
        remedy = "correct the name, install the package, or run the command in the folder that contains it"
        raise InputError(where, "callable", target, f"there is no module {module} with a Python source", remedy)
    return _signature_of(target, where, path, module, name)


def find_module(name: str) -> Path | None:
    """Return the source file of a module, local or installed, without importing anything; None if there is none."""
    local = module_file(name, Path.cwd())
    if local is not None:
        return local
    # Not importlib.util.find_spec(name): it imports the parent packages, which may be slow or have side effects.
    top, *parts = name.split(".")
    found = next((spec for finder in sys.meta_path if (spec := finder.find_spec(top, None))), None)
    for i, _ in enumerate(parts, 1):
        places = found.submodule_search_locations if found else None
        found = PathFinder.find_spec(".".join([top, *parts[:i]]), places) if places else None
    return _source(found)


def _source(spec: ModuleSpec | None) -> Path | None:
    path = Path(spec.origin) if spec and spec.has_location and spec.origin else None
    return path if path and path.suffix == ".py" and path.is_file() else None


def _signature_of(target: str, where: str, path: Path, module: str, name: str, depth: int = 0) -> Signature:
    tree = _parsed(target, where, path)
    node = next((node for bound, node in reversed(list(_bindings(tree.body))) if bound in (name, "*")), None)
    if isinstance(node, ast.FunctionDef):
        return _function_signature(node)
    if isinstance(node, ast.ImportFrom) and depth < RE_EXPORTS:
        there = _absolute(node, package_of(module, path))
        further = find_module(there)
        original = next((a.name for a in node.names if (a.asname or a.name) == name), None)
        return _signature_of(target, where, further, there, original, depth + 1) if further and original else _UNKNOWN
    problem = _no_function(node, name)
    if problem:
        functions = [bound for bound, found in _bindings(tree.body) if isinstance(found, ast.FunctionDef)]
        remedy = did_you_mean(name, functions, f"functions there: {', '.join(functions) or 'none'}")
        raise InputError(where, "callable", target, f"{problem} in {path.name}", remedy)
    return _UNKNOWN


_UNKNOWN = Signature(anything=True)


def _no_function(node: ast.AST | None, name: str) -> str:
    """Return why the node bound to a name cannot be a function; "" where it may be one."""
    if node is None:
        return f"there is no {name}"
    kinds: dict[type, str] = {
        ast.ClassDef: "a class",
        ast.AsyncFunctionDef: "an async function",
        ast.Import: "a module",
    }
    value = getattr(node, "value", None)
    if type(node) in kinds or isinstance(value, NO_FUNCTION):
        return f"{name} is {kinds.get(type(node), 'a value')}, not a function,"
    return ""


def _bindings(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that a module's statements bind, in order, including those under `if` and `try`."""
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


def _function_signature(node: ast.FunctionDef) -> Signature:
    if node.decorator_list:  # a decorator may change what is accepted
        return _UNKNOWN
    arguments = node.args
    plain, only = [a.arg for a in arguments.args], [a.arg for a in arguments.kwonlyargs]
    without = len(arguments.posonlyargs) + len(plain) - len(arguments.defaults)
    positional = [a.arg for a in arguments.posonlyargs] + plain
    needed = [a for a, default in zip(only, arguments.kw_defaults, strict=True) if default is None]
    return Signature((*plain, *only), (*positional[:without], *needed), arguments.kwarg is not None)


def _parsed(target: str, where: str, path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        problem = f"{path.name} is not valid Python{f' (line {line})' if line else ''}"
        raise InputError(where, "callable", target, problem, "correct it") from None


# What is imported


def module_file(name: str, root: Path) -> Path | None:
    """Return the source file of a module or package below a folder; None where there is none."""
    base = root.joinpath(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def local_sources(names: Iterable[str], roots: Sequence[Path]) -> dict[str, Path]:
    """Return the modules below the folders `roots` that the named ones import, directly or not, by name."""
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
    """Return the modules that a module imports; relative names are made absolute."""
    return _imports(_tree(path.read_text(encoding="utf-8", errors="replace")), package_of(name, path))


def package_of(name: str, path: Path) -> str:
    """Return the package that a module's relative imports start from.

    >>> package_of("work.loop", Path("work/loop.py")), package_of("work", Path("work/__init__.py"))
    ('work', 'work')
    """
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def root_of(name: str, path: Path) -> Path | None:
    """Return the folder that a module is imported from; None for the standard library and installed packages."""
    steps = len(name.split(".")) - (path.name != "__init__.py")
    root = path.resolve().parents[steps]
    return None if root in _installed() else root


@cache
def _installed() -> frozenset[Path]:
    return frozenset(
        Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")
    )


def _imports(tree: ast.Module, package: str) -> set[str]:
    # `from a import b`: b may be a name in a or a submodule, so a.b is listed as well; names without a file are dropped
    # later, by `local_sources`.
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names - {""}


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the dotted name of the module in a `from … import` statement, relative to a package."""
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def _tree(source: str) -> ast.Module:
    """Parse a cell or file; return an empty tree where it is not Python even without IPython's commands."""
    for text in (source, MAGIC.sub("", source)):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError):
            continue
    return ast.Module([], [])
