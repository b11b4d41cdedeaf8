"""The structure of the package: small folders, docstrings in `__init__.py`, light imports."""

import ast
import subprocess
import sys
from collections import Counter

import pytest

from tests.conftest import ROOT

MODULES = sorted((ROOT / "fitlib").rglob("*.py"))
PUBLIC_FACES = {"fitlib", "fitlib/metrics"}  # they export the names of `__all__`, loaded on first use
HEAVY = {"torch", "pandas", "matplotlib", "scipy", "sklearn", "pyarrow"}


def test_no_folder_has_more_than_32_modules():
    sizes = Counter(path.parent for path in MODULES)
    assert {str(folder): n for folder, n in sizes.items() if n > 32} == {}


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=lambda p: str(p.parent.name))
def test_a_package_is_one_docstring(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if path.parent.relative_to(ROOT).as_posix() in PUBLIC_FACES:
        body = [node for node in body if not is_lazy_export(node)]
    assert len(body) == 1


def is_lazy_export(node):
    """Return whether a statement imports for type checkers or from the standard library, or defines names lazily."""
    if isinstance(node, ast.ImportFrom):
        return node.module in {"__future__", "importlib", "typing"}
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.Assign | ast.FunctionDef)


def test_no_module_outside_the_tests_is_named_as_a_test():
    assert [path for path in MODULES if path.name.startswith("test_")] == []


@pytest.mark.parametrize(
    "module",
    [
        "fitlib",
        "fitlib.cli.main",
        "fitlib.experiment.registry.methods",
        "fitlib.experiment.registry.datasets",
        "fitlib.metrics.counts",
        "fitlib.metrics.functions",
    ],
)
def test_it_is_imported_without_heavy_packages(module):
    code = f"import sys, {module}; print(*sorted({HEAVY} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == ""


def test_every_package_has_tests():
    folders = {path.parent.relative_to(ROOT / "fitlib").as_posix() for path in MODULES} - {"."}
    tested = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    untested = {folder for folder in folders if not any(t == folder or t.startswith(f"{folder}/") for t in tested)}
    assert untested <= {"report/templates"}
