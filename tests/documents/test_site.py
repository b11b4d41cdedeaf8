"""The documentation in docs/: links lead somewhere, and the reference lists the public names."""

import inspect
import re
from pathlib import Path

import pytest

import fitlib
import fitlib.metrics
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CODE = re.compile(r"^```(?s:.*?)^```$|^    .*$", re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)")


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and the site make them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        earlier = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in found)
        found.append(f"{slug}-{earlier}" if earlier else slug)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    page = page.resolve()
    dead = []
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(f"{path}#{anchor}")
    assert dead == []


@pytest.mark.parametrize("package", [fitlib, fitlib.metrics], ids=lambda package: package.__name__)
def test_the_reference_lists_every_public_name(package) -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))
    listed = set(re.findall(rf":: (?:{re.escape(package.__name__)}\.)?(\w+)$", pages, re.MULTILINE))
    assert {name for name in package.__all__ if not inspect.ismodule(getattr(package, name))} <= listed
