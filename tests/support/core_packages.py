"""A folder with the packages of the light core only, linked from the environment of the tests."""

import os
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.conftest import ROOT


def core_packages(folder: Path) -> Path:
    """Link to what `pip install fitlib` installs, fitlib excepted; for PYTHONPATH beside `python -S`."""
    folder.mkdir()
    for found in _with_dependencies(_core()):
        for name in {
            Path(file).parts[0] for file in found.files or [] if Path(file).parts[0] not in ("..", "__pycache__")
        }:
            if not (folder / name).exists():
                (folder / name).symlink_to(found.locate_file(name), target_is_directory=True)
    return folder


def core_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process that finds the packages in `folder`, and fitlib."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}


def _core() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"]


def _with_dependencies(requirements: list[str]) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    waiting = [*requirements]
    while waiting:
        needed = Requirement(waiting.pop())
        if needed.name not in found and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
            found[needed.name] = distribution(needed.name)
            waiting += found[needed.name].requires or []
    return list(found.values())
