"""Software of a worker, so that one with other versions is refused before it changes any number."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec

from fitlib.digest import PACKAGE, digest_file, digest_json
from fitlib.errors import InputError
from fitlib.storage.keys import NUMERIC_PACKAGES, installed_version

FITLIB = "fitlib source"


@cache
def software_versions() -> Mapping[str, str]:
    """Return the versions of Python, of the packages that tasks compute with, and of fitlib's source."""
    packages = sorted({"ipykernel", *(name for names in NUMERIC_PACKAGES.values() for name in names)})
    found = {"python": platform.python_version(), **{name: installed_version(name) for name in packages}}
    sources = sorted(path for path in PACKAGE.rglob("*.py"))
    digest = digest_json([[str(p.relative_to(PACKAGE)), digest_file(p)] for p in sources])
    return {**found, FITLIB: digest[:12]}


def refuse_other_software(expected: Mapping[str, str], found: Mapping[str, str], worker: str) -> None:
    """Raise InputError listing every package of which a worker has another version."""
    other = [name for name in expected if found.get(name) != expected[name]]
    if other:
        differences = ", ".join(f"{name} {found.get(name, 'missing')} instead of {expected[name]}" for name in other)
        remedy = "install the same requirements.lock and fitlib there"
        raise InputError("worker", "versions", worker, f"it has {differences}", remedy)


def refuse_without_kernel() -> None:
    """Raise InputError where this Python has no kernel that could execute a notebook."""
    if find_spec("ipykernel") is None:
        raise InputError("kernel", "ipykernel", None, "this Python has no kernel", 'pip install "fitlib[lab]"')
