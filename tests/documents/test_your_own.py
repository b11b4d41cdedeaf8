"""docs/how-to: each page, followed to the letter in an empty folder, ends with a report."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
REPORTS = {
    "table": "outputs/patients",
    "images": "outputs/digits",
    "training": "outputs/mine",
    "repeat": "outputs/models",
    "predictions": "outputs/predictions",
    "metric": "outputs/metric",
}


def blocks(name):
    """Code blocks of a page: language, file name or "", text."""
    return BLOCK.findall((PAGES / f"{name}.md").read_text(encoding="utf-8"))


def shell(command, folder):
    """Run a block of commands as a reader would, with the Python and the fitlib of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-euc", command], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return done.stdout.decode() + done.stderr.decode()


def test_every_page_is_followed_and_all_files_on_it_have_names():
    assert {path.stem for path in PAGES.glob("*.md")} == set(REPORTS)
    assert all(title for name in REPORTS for kind, title, _ in blocks(name) if kind != "sh")


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_a_page_leads_from_an_empty_folder_to_a_report(name, tmp_path):
    messages = ""
    for kind, title, text in blocks(name):
        if kind == "sh":
            messages += shell(text, tmp_path)
        else:
            (tmp_path / title).parent.mkdir(exist_ok=True)
            (tmp_path / title).write_text(text, encoding="utf-8")
    report = (tmp_path / REPORTS[name] / "report.html").read_text(encoding="utf-8")
    assert f"{REPORTS[name]}/report.html" in messages
    assert "MANIFEST.json" in messages and len(report) > 100_000
