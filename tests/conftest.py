"""Fixtures that several test modules share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with `data/` and `paper/`; users get the files from their sources."""
    value = os.environ.get("FITLIB_DATA_DIR")
    if not value:
        pytest.skip("FITLIB_DATA_DIR is not set: the published numbers and real data are not here")
    return Path(value)


@pytest.fixture(scope="session")
def fitlib_command():
    """Run the command line in a process of its own: `fitlib_command("run", …, cwd=…)`."""

    def run(*arguments: object, cwd: Path, env: dict | None = None, timeout: int = 300) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "fitlib", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
