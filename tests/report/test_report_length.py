"""How much of a report a reader meets before opening any part."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.page_examples import report_page
from tests.support.report_examples import experiment, without_record

TOKENS = re.compile(r"(</?details[^>]*>|<summary>.*?</summary>)", re.DOTALL)
MOST_WORDS = 1500
EXPERIMENTS = {
    "two attributes": lambda: experiment(attributes={"sex": ["f", "m"], "race": ["a", "b"]}),
    "no record": lambda: without_record(experiment()),
}


def unfolded(source: str) -> str:
    """Return a page without what is folded and without drawings; of a folded part its heading is kept."""
    depth, kept = 0, []
    for token in TOKENS.split(source[source.index("<main") :].split("</main>")[0]):
        if token.startswith("<details"):
            depth += 1
        elif token.startswith("</details"):
            depth -= 1
        elif depth == 0 or (depth == 1 and token.startswith("<summary")):
            kept.append(token)
    return re.sub(r"<svg.*?</svg>", " ", "".join(kept), flags=re.DOTALL)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_few_words_stand_outside_folded_parts(name: str, tmp_path: Path) -> None:
    text = re.sub(r"<[^>]+>", " ", unfolded(report_page(EXPERIMENTS[name](), tmp_path).source))
    assert len(text.split()) <= MOST_WORDS
    assert "The verdict" in text and "I audit it" in text
