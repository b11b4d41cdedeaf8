"""Optional packages, each with the extra of fitlib that installs it: `pip install "fitlib[lab,train]"`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from fitlib.errors import InputError

# As in pyproject.toml, without what fitlib neither imports nor asks for its version.
EXTRAS = {
    "train": ("pillow", "pooch", "scikit-learn", "torch"),
    "lab": (
        "ipykernel", "ipython", "ipywidgets", "jupyter-client", "nbconvert", "nbformat", "nh3", "papermill", "pooch",
        "psutil", "rich", "threadpoolctl", "traitlets",
    ),
    "crate": ("rocrate",),
    "dask": ("distributed",),
    "excel": ("openpyxl",),
    "slurm": ("submitit",),
}  # fmt: skip
MODULES = {"ipython": "IPython", "pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}  # where the names differ


class MissingPackages(InputError, ImportError):
    """Packages that are not installed, with the extras that bring them; an ImportError, too.

    >>> print(MissingPackages(["papermill", "torch"], ["lab", "train"]))
    not installed: papermill, torch; pip install "fitlib[lab,train]"
    """

    def __init__(self, packages: Iterable[str], extras: Iterable[str]):
        self.packages, self.extras = tuple(packages), tuple(extras)
        shown = [*self.packages[:3], *([f"{len(self.packages) - 3} more"] if len(self.packages) > 3 else [])]
        remedy = f'pip install "fitlib[{",".join(self.extras)}]"'
        Exception.__init__(self, f"not installed: {', '.join(shown)}; {remedy}")

    def __reduce__(self) -> tuple:
        return type(self), (self.packages, self.extras)


def require(*extras: str) -> None:
    """Raise MissingPackages, naming all packages of these extras that are not installed; nothing is imported.

    >>> require()
    """
    missing = {extra: [name for name in EXTRAS[extra] if not _installed(name)] for extra in extras}
    packages = dict.fromkeys(name for names in missing.values() for name in names)
    if packages:
        raise MissingPackages(packages, [extra for extra in extras if missing[extra]])


@contextmanager
def extra_named() -> Iterator[None]:
    """Turn the failed import of a package that an extra installs into MissingPackages; others stay what they are."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = package_of(error.name or "")
        extras = [extra for extra, names in EXTRAS.items() if package in names]
        if not extras or _installed(package):
            raise
        raise MissingPackages([package], extras[:1]) from None


def package_of(module: str) -> str:
    """Return the name under which the package of a module is installed.

    >>> package_of("sklearn.impute"), package_of("jupyter_client")
    ('scikit-learn', 'jupyter-client')
    """
    top = module.partition(".")[0]
    names = {module: package for package, module in MODULES.items()}
    return names.get(top, top.replace("_", "-"))


def _installed(package: str) -> bool:
    module = MODULES.get(package, package.replace("-", "_"))
    return sys.modules.get(module) is not None or find_spec(module) is not None
