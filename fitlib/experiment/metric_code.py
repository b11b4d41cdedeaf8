"""The code of custom metrics in the key of a technique's metrics: a changed function is computed again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fitlib.digest import cached_file_digest, digest_json
from fitlib.errors import InputError
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.custom_training import CustomCallable, versions_of
from fitlib.experiment.notebooks import notebook_path
from fitlib.storage.code_digest import code_digest, is_module


def metrics_code(custom: Mapping[str, Mapping[str, Any]] | None) -> str:
    """Return the part `code` of the key of `metrics.ipynb`.

    With custom metrics it covers their modules, the local modules that these import, and the versions of packages.
    """
    code = code_digest(fitlib_imports(notebook_path("metrics")))
    return digest_json([code, _user_code(custom)]) if custom else code


def _user_code(custom: Mapping[str, Mapping[str, Any]]) -> list[object]:
    modules: dict[str, Path] = {}
    named: set[str] = set()
    for given in custom.values():
        try:
            _, found, imported = CustomCallable(given["function"]).sources()
        except InputError:  # a missing module is reported where it is imported; finished metrics count as changed
            continue
        modules |= found
        named |= imported
    local = {name: cached_file_digest(path) for name, path in modules.items()}
    of_fitlib = code_digest(tuple(sorted(filter(is_module, named))))
    return [local, of_fitlib, versions_of(named - modules.keys())]
