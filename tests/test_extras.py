"""Optional packages: every import is of the core or of an extra, as pyproject.toml and the lock have them."""

import ast
import pickle
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fitlib.cli.main import main
from fitlib.extras import EXTRAS, MODULES, MissingPackages, extra_named, package_of, require
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = PROJECT["optional-dependencies"]
CORE = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}


@cache
def imported() -> frozenset[str]:
    """The packages, other than Python's and fitlib, from which a module of fitlib imports, anywhere in it."""
    found = set()
    for path in (ROOT / "fitlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return frozenset({name.partition(".")[0] for name in found} - set(sys.stdlib_module_names) - {"fitlib"})


def names(requirements):
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def test_every_import_is_of_the_core_or_of_an_extra():
    ours = CORE | {"pydantic-core"} | {name for packages in EXTRAS.values() for name in packages}
    assert {package_of(module) for module in imported()} - ours == set()
    assert {"torch", "papermill", "scikit-learn", "numpy"} <= {package_of(module) for module in imported()}


def test_every_package_of_the_core_is_imported():
    brought = {canonicalize_name(name) for module in imported() for name in packages_distributions().get(module, [])}
    assert CORE - brought == set()


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_the_packages_that_errors_name_it_for(extra):
    assert set(EXTRAS[extra]) <= names(DECLARED[extra])


def test_modules_are_known_by_the_names_of_their_packages():
    found = packages_distributions()
    for package in {name for packages in EXTRAS.values() for name in packages}:
        module = MODULES.get(package, package.replace("-", "_"))
        assert package in {canonicalize_name(name) for name in found.get(module, [package])}, module


def test_all_is_every_extra_for_users():
    (everything,) = map(Requirement, DECLARED["all"])
    assert everything.name == PROJECT["name"]
    assert everything.extras == set(DECLARED) - {"all", "docs", "test"}


def test_the_lock_satisfies_every_requirement():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    for line in [*PROJECT["dependencies"], *(line for extra in DECLARED.values() for line in extra)]:
        needed = Requirement(line)
        name = canonicalize_name(needed.name)
        assert name == PROJECT["name"] or pinned[name] in needed.specifier, line


# Errors


@pytest.fixture
def without(monkeypatch):
    """A function that hides packages, as if they were not installed."""

    def hide(*packages):
        for package in packages:
            monkeypatch.setitem(sys.modules, MODULES.get(package, package.replace("-", "_")), None)

    return hide


def test_all_missing_packages_and_their_extras_are_in_one_line(without):
    without("torch", "papermill")
    with pytest.raises(MissingPackages) as error:
        require("lab", "train", "slurm")
    assert str(error.value) == 'not installed: papermill, torch; pip install "fitlib[lab,train]"'
    assert isinstance(error.value, ImportError)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_many_missing_packages_are_counted(without):
    without(*EXTRAS["lab"])
    with pytest.raises(MissingPackages, match=rf"ipykernel, ipython, ipywidgets, {len(EXTRAS['lab']) - 3} more; pip"):
        require("lab")


def test_a_failed_import_names_the_extra(without):
    without("scikit-learn")
    with (
        pytest.raises(MissingPackages, match=r'not installed: scikit-learn; pip install "fitlib\[train\]"'),
        extra_named(),
    ):
        import sklearn.impute  # noqa: F401


@pytest.mark.parametrize("name", ["my_training", "torch.nothing"])
def test_other_failed_imports_stay_what_they_are(name):
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'"), extra_named():
        __import__(name)


@pytest.mark.parametrize(
    "command, package, extra",
    [
        ("run params/quickstart.yaml", "torch", "train"),
        ("run params/quickstart.yaml", "papermill", "lab"),
        ("report quickstart", "papermill", "lab"),
        ("plan params/quickstart.yaml", "torch", "train"),
        ("analyze folder", "papermill", "lab"),
        ("export quickstart --to x.zip", "rocrate", "crate"),
        ("paper", "pooch", "lab"),
    ],
)
def test_a_command_names_what_it_misses_before_any_work(command, package, extra, without, capsys):
    without(package)
    assert main(command.split()) == 2
    assert capsys.readouterr().err == f'fitlib: not installed: {package}; pip install "fitlib[{extra}]"\n'
