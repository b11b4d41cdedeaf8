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
    found: dict[tuple[str, str], Distribution] = {}  # by name and extra: bleach[css] needs more than bleach
    waiting = [(line, "") for line in requirements]
    while waiting:
        line, asking = waiting.pop()
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": asking}):
            for extra in {"", *needed.extras} - {of for name, of in found if name == needed.name}:
                found[needed.name, extra] = distribution(needed.name)
                waiting += [(dependency, extra) for dependency in found[needed.name, extra].requires or []]
    return list(found.values())
