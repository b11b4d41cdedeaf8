"""CONTRIBUTING.md, ARCHITECTURE.md and README.md: their links lead somewhere, and their worked examples work."""

import re
import sys
import types

import numpy as np
import pytest
import torch

from fitlib.experiment.registry.methods import METHODS
from tests.conftest import ROOT
from tests.support.count_examples import random_cells
from tests.support.method_examples import Example, trained

PAGES = sorted(ROOT.glob("*.md"))
CODE = re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_module_that_is_named_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+\w*(?:\.py)?)`", text)) - {"outputs/X/runs/"}
    places = {name: [ROOT / name, ROOT / "fitlib" / name] for name in named}
    missing = {name for name, found in places.items() if not any(place.exists() for place in found)}
    assert len(named) > 10 and missing <= {"data/", "build/docs"}  # the user's; made by `make docs`


@pytest.fixture
def group_weights(monkeypatch):
    """The worked method as the module and the registry entry that the page makes of it."""
    method, entry, _ = CODE
    module = types.ModuleType("fitlib.training.methods.group_weights")
    exec(method, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    before = set(METHODS)
    exec(entry, {"METHODS": METHODS})
    yield "group-weights"
    for name in set(METHODS) - before:
        del METHODS[name]


def test_the_worked_method_learns(group_weights):
    torch.use_deterministic_algorithms(True)
    first, second = (trained(group_weights, Example()) for _ in range(2))
    torch.use_deterministic_algorithms(False)
    assert first.digests == second.digests
    losses = [row["train_loss"] for row in first.history]
    assert losses[-1] < 0.5 * losses[0]


def test_the_worked_metric_is_a_gap_of_precisions():
    space: dict = {}
    exec(CODE[2], space)
    cells = random_cells(n_classes=3, n_groups=3)
    precision = cells.tp / (cells.tp + cells.fp)
    expected = precision.max(axis=1) - precision.min(axis=1)
    assert np.allclose(space["predictive_parity"](cells).values(), expected)


def test_the_version_is_that_of_the_citation():
    import fitlib

    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    assert cited and cited[1] == fitlib.__version__
