"""Keys change with what a task depends on, and with nothing else."""

import ast

import nbformat
import pytest

from fitlib import keys
from fitlib.execution import notebook_path
from fitlib.keys import changed_parts, code_digest, imported_modules, key_parts
from fitlib.own import ROOTS as OWN_ROOTS
from fitlib.plan import METRICS_ROOTS, REPORT_ROOTS, STATISTICS_ROOTS
from fitlib.trainings import TRAIN_ROOTS


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_text("{}")
    return path


def parts(notebook, **changes):
    arguments = {"modules": ("fitlib.digest",), "parameters": {"a": 1}, "inputs": ["x"], **changes}
    return key_parts("train", notebook, **arguments)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"modules": ("fitlib.metrics",)}, "code"),
        ({"parameters": {"a": 2}}, "parameters"),
        ({"inputs": ["y"]}, "inputs"),
    ],
)
def test_each_cause_changes_its_own_part(notebook, change, part):
    old, new = parts(notebook), parts(notebook, **change)
    assert changed_parts(old, new) == [part]


def test_an_edited_notebook_and_other_data_change_the_key(notebook, tmp_path):
    old = parts(notebook, data=[notebook])
    notebook.write_text("{ }")
    assert changed_parts(old, parts(notebook, data=[notebook])) == ["notebook", "data"]


def test_other_package_versions_change_the_key(notebook, monkeypatch):
    old = parts(notebook)
    monkeypatch.setattr(keys, "versions", lambda kind: {"torch": "9.9"})
    assert changed_parts(old, parts(notebook)) == ["versions"]


def test_training_depends_on_no_module_of_the_analysis():
    modules = imported_modules([*TRAIN_ROOTS, "fitlib.techniques.baseline"])
    assert {"fitlib.train", "fitlib.noise", "fitlib.digest", "fitlib.techniques"} <= set(modules)
    analysis = {*METRICS_ROOTS, *STATISTICS_ROOTS, *REPORT_ROOTS} - {"fitlib.predictions"}
    others = {"statistics", "significance", "risk", "series", "wording", "cli", "experiment"}
    assert not (analysis | {f"fitlib.{name}" for name in others}) & set(modules)
    assert "fitlib.techniques.oversampling" not in modules  # another method's code retrains only that method


def test_the_analysis_depends_on_no_module_of_the_training():
    for roots in (METRICS_ROOTS, STATISTICS_ROOTS):
        assert not {"fitlib.train", "fitlib.noise", "fitlib.techniques", "fitlib.batch"} & set(imported_modules(roots))
    assert "fitlib.report" in imported_modules(REPORT_ROOTS)


@pytest.mark.parametrize(
    ("name", "roots"),
    [("train", TRAIN_ROOTS), ("call", OWN_ROOTS), ("metrics", METRICS_ROOTS), ("statistics", STATISTICS_ROOTS)],
)
def test_the_key_of_a_notebook_covers_every_module_that_it_imports(name, roots):
    cells = nbformat.read(notebook_path(name), as_version=4).cells
    nodes = [node for cell in cells if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))]
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("fitlib")]
    direct = {f"fitlib.{alias.name}" for node in found if node.module == "fitlib" for alias in node.names}
    assert direct | {node.module for node in found} - {"fitlib"} <= set(roots)


def test_the_code_digest_is_stable_and_depends_on_the_sources():
    assert code_digest(("fitlib.digest",)) == code_digest(("fitlib.digest",))
    assert code_digest(("fitlib.digest",)) != code_digest(("fitlib.options",))


@pytest.mark.parametrize("roots", [("fitlib.nowhere",), ("fitlib.digest", "fitlib.warm.nowhere")])
def test_a_root_that_names_no_module_is_refused_instead_of_hashing_less(roots):
    with pytest.raises(ValueError, match="no module of fitlib: fitlib.*nowhere"):
        imported_modules(roots)
    with pytest.raises(ValueError, match="nowhere"):
        code_digest(roots)
