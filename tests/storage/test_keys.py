"""Keys change with everything that a task depends on, and with nothing else."""

import ast
import inspect
import re

import nbformat
import pytest

from fitlib.digest import EXCLUDED, REGISTRY
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.notebooks import notebook_path
from fitlib.experiment.plan import PAGES
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.experiment.registry.noises import NOISES
from fitlib.storage import keys
from fitlib.storage.code_digest import FITLIB, SourceTree, code_digest, imported_modules, is_module
from fitlib.storage.keys import changed_parts, key_parts


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
        ({"modules": ("fitlib.metrics.bias_metrics",)}, "code"),
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


def roots(notebook):
    return fitlib_imports(notebook_path(notebook))


def test_training_depends_on_no_module_of_the_analysis():
    modules = imported_modules([*roots("train"), "fitlib.training.methods.baseline"])
    assert {"fitlib.training.loop", "fitlib.digest", "fitlib.training.methods.base"} <= set(modules)
    assert "fitlib.training.methods.oversampling" not in modules  # another method's code retrains only that method


ENTRIES = {**DATASETS, **METHODS, **NETWORKS, **NOISES}


@pytest.mark.parametrize("name", ENTRIES)
def test_the_key_of_a_training_covers_what_trains_and_nothing_else(name):
    modules = set(imported_modules([*roots("train"), ENTRIES[name].module])) - {"fitlib.experiment.training_options"}
    base = {"digest", "formatting", "machine", "options", "yaml_files"}
    assert {module.split(".")[1] for module in modules} <= base | {"datasets", "recording", "storage", "training"}
    assert not {"fitlib.storage.keys", "fitlib.storage.code_digest", "fitlib.datasets.options"} & modules


def test_whatever_is_excluded_from_keys_exists():
    assert all(FITLIB.file(name) for name in (*EXCLUDED, REGISTRY))


@pytest.mark.parametrize("name", {**METHODS, **NETWORKS, **NOISES})
def test_options_in_the_registry_only_declare(name):
    """A task receives them resolved, so their code is excluded from keys: it must not compute."""
    options = ENTRIES[name].options
    defined = [value for value in vars(options).values() if getattr(value, "__module__", "") == options.__module__]
    assert not [value for value in defined if inspect.isfunction(value) or isinstance(value, property)]


def test_the_analysis_depends_on_no_module_of_the_training():
    training = {
        "fitlib.training.loop",
        "fitlib.training.noise",
        "fitlib.training.methods.base",
        "fitlib.execution.run_experiment",
    }
    for modules in (roots("metrics"), roots("statistics"), PAGES):
        assert not training & set(imported_modules(modules))
    assert "fitlib.report.figures.style" in imported_modules(PAGES)


def test_pages_depend_on_no_module_that_makes_tables():
    assert not {"fitlib.tables.all_tables", "fitlib.statistics.estimates", "fitlib.execution.analysis_tasks"} & set(
        imported_modules(PAGES)
    )


@pytest.mark.parametrize("name", ["train", "call", "metrics", "statistics"])
def test_the_key_of_a_notebook_covers_every_module_that_it_imports(name):
    cells = nbformat.read(notebook_path(name), as_version=4).cells
    nodes = [node for cell in cells if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))]
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module.startswith("fitlib")]
    imported = {node.module for node in found} | {f"{node.module}.{a.name}" for node in found for a in node.names}
    assert set(filter(is_module, imported)) == set(roots(name)) != set()


# Digests of code


def tree(folder, **modules):
    """A package `fitlib` of these modules; `a__b` is `a/b.py`."""
    for name, source in modules.items():
        path = folder.joinpath("fitlib", *name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return SourceTree(folder)


TOP = """\
from fitlib.low import f, g as h
from fitlib import side
def top():
    from fitlib.late import late
    return f() + h() + side.s() + late()
"""
MODULES = {"top": TOP, "low": "def f(): ...\ndef g(): ...\n", "side": "def s(): ...\n", "late": "def late(): ...\n"}


def test_moving_modules_changes_no_digest(tmp_path):
    moved = {
        "report__top": TOP.replace("fitlib.low", "fitlib.base.low")
        .replace("from fitlib import side", "from fitlib.base import side")
        .replace("fitlib.late import late", "fitlib.base.a_longer_name import (\n        late,\n    )"),
        "base__low": MODULES["low"],
        "base__side": MODULES["side"],
        "base__a_longer_name": MODULES["late"],
    }
    before, after = tree(tmp_path / "before", **MODULES), tree(tmp_path / "after", **moved)
    assert before.digest("fitlib.top") == after.digest("fitlib.report.top")
    assert before.digest("fitlib.low") == after.digest("fitlib.base.low")


@pytest.mark.parametrize("changed", ["low", "side", "late"])
def test_a_changed_function_changes_the_digest_of_what_uses_it(tmp_path, changed):
    before = tree(tmp_path / "before", **MODULES)
    after = tree(tmp_path / "after", **{**MODULES, changed: MODULES[changed].replace("...", "1")})
    assert before.digest("fitlib.top") != after.digest("fitlib.top")
    assert [before.digest(f"fitlib.{n}") == after.digest(f"fitlib.{n}") for n in ("low", "side", "late")] == [
        name != changed for name in ("low", "side", "late")
    ]


def test_other_names_taken_from_a_module_change_the_digest(tmp_path):
    before = tree(tmp_path / "before", **MODULES)
    after = tree(tmp_path / "after", **{**MODULES, "top": TOP.replace("f, g as h", "g as f, f as h")})
    assert before.digest("fitlib.top") != after.digest("fitlib.top")


def test_registering_code_and_imports_for_type_checkers_leave_the_digest_alone(tmp_path):
    source = "from fitlib.experiment.registry.entries import ENTRIES\n"
    source += "if TYPE_CHECKING:\n    from fitlib.types import T\ndef top(): ...\n"
    before = tree(tmp_path / "before", top=source, experiment__registry__entries="ENTRIES = {}\n", types="T = int\n")
    after = tree(
        tmp_path / "after", top=source, experiment__registry__entries="ENTRIES = {'new': 1}\n", types="T = float\n"
    )
    assert before.digest("fitlib.top") == after.digest("fitlib.top")
    assert after.reached(["fitlib.top"]) == ["fitlib.top"]


def test_a_circle_of_imports_is_named(tmp_path):
    circle = tree(tmp_path, a="from fitlib.b import x\n", b="def f():\n    from fitlib.a import y\n")
    with pytest.raises(ValueError, match=re.escape("a circle of imports: fitlib.a -> fitlib.b -> fitlib.a")):
        circle.digest("fitlib.a")


def test_the_code_digest_is_stable_and_depends_on_the_sources():
    assert code_digest(("fitlib.digest",)) == code_digest(("fitlib.digest",))
    assert code_digest(("fitlib.digest",)) != code_digest(("fitlib.options",))


@pytest.mark.parametrize("modules", [("fitlib.nowhere",), ("fitlib.digest", "fitlib.execution.kernels.nowhere")])
def test_a_root_that_names_no_module_is_refused_instead_of_hashing_less(modules):
    with pytest.raises(ValueError, match=r"no module of fitlib: fitlib.*nowhere"):
        imported_modules(modules)
    with pytest.raises(ValueError, match="nowhere"):
        code_digest(modules)
