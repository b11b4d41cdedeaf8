"""docs/your-own.md: each of its sections, followed to the letter in an empty folder, ends with a report."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "your-own.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
REPORTS = {
    "A table": "outputs/patients",
    "Images": "outputs/digits",
    "Your training": "outputs/mine",
    "Predictions": "outputs/predictions",
}


def section(name):
    """Blocks of one section: language, file name or "", text."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    return BLOCK.findall(text)


def shell(command, folder):
    """Run a block of commands as a reader would, with the Python and the fitlib of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-euc", command], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return done.stdout.decode() + done.stderr.decode()


def test_every_section_is_complete_and_no_other_one_has_commands():
    named = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in named if any(kind == "sh" for kind, *_ in section(name))] == list(REPORTS)
    assert all(title for name in named for kind, title, _ in section(name) if kind != "sh")


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_a_section_leads_from_an_empty_folder_to_a_report(name, tmp_path):
    messages = ""
    for kind, title, text in section(name):
        if kind == "sh":
            messages += shell(text, tmp_path)
        else:
            (tmp_path / title).write_text(text, encoding="utf-8")
    report = (tmp_path / REPORTS[name] / "report.html").read_text(encoding="utf-8")
    assert f"{REPORTS[name]}/report.html" in messages
    assert "MANIFEST.json" in messages and len(report) > 100_000
