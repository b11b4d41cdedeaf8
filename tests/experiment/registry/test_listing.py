"""`fitlib techniques` and `fitlib datasets` list the registry; the committed page is generated from it."""

import subprocess
import sys
from pathlib import Path

import pytest

from fitlib.cli.main import main
from fitlib.experiment.registry import listing
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.experiment.registry.noises import NOISES

PAGE = Path(__file__).parents[3] / "docs" / "techniques.md"
IMAGES = [f"S-{kind}" for kind in ("Base", "RS", "UC", "GR", "DD1", "DD2", "DD3", "DD4", "DI1", "DI2")]
PEOPLE = [f"{task}-{kind}" for task in "CI" for kind in ("Base", "R1", "R2", "R3", "A4", "A5")]
LABELS = [*IMAGES, *PEOPLE, "A-Base", "A-L2", "A-ALM", "N-Base", "N-Flow"]


def test_the_committed_page_is_made_from_the_registry():
    assert PAGE.read_text(encoding="utf-8") == listing.markdown(), (
        "say: fitlib techniques --markdown > docs/techniques.md"
    )


def test_the_studys_labels_each_have_one_method():
    found = [label for entry in METHODS.values() for label in entry.label.split(", ") if label]
    assert sorted(found) == sorted(LABELS)


def test_one_line_each_with_label_needs_and_source(capsys):
    assert main(["techniques"]) == 0
    messages = capsys.readouterr().out.splitlines()
    for name in (*METHODS, *NETWORKS, *NOISES):
        assert sum(line.split()[0] == name for line in messages if line.startswith("  ")) == 1
    assert main(["datasets"]) == 0
    messages = capsys.readouterr().out.splitlines()
    for name, entry in DATASETS.items():
        line = next(line for line in messages if line.split()[0] == name)
        assert all(fact in line for fact in (entry.summary, entry.label, entry.needs, entry.reference))


@pytest.mark.parametrize(
    "entries", [METHODS, DATASETS, NETWORKS, NOISES], ids=["methods", "data", "networks", "noises"]
)
def test_the_page_names_every_option_with_its_default_and_meaning(entries):
    page = listing.markdown()
    for name, entry in entries.items():
        part = page.partition(f"\n### {name}\n")[2].partition("\n##")[0]
        rows = {line.split("`")[1]: line for line in part.splitlines() if line.startswith("| `")}
        assert set(entry.options.model_fields) <= set(rows), name
        assert not [row for row in rows.values() if row.endswith("|  |")], f"{name}: an option without a comment"


def test_listing_imports_neither_torch_nor_tables():
    code = "import sys; from fitlib.cli.main import main; main(['techniques']); main(['datasets']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "pandas", "pyarrow"}.isdisjoint(done.stdout.splitlines()[-1].split())
