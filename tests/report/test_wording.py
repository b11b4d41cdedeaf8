"""The words of whole reports: short sentences, estimates within their intervals, no reason that does not hold."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest

import fitlib
from fitlib.report.sections import reporting, verdict
from fitlib.results.example import example_results
from fitlib.results.results import Results
from tests.report.test_report_length import unfolded
from tests.support.report_examples import experiment

MOST_WORDS = 25
NUMBER = r"([-+]?\d+(?:\.\d+)?)"
ESTIMATE = re.compile(rf"{NUMBER}(?: points| %)? ?\[{NUMBER}, {NUMBER}\]")
TEXTS = re.compile(r"<(p|li|figcaption|caption)(?: [^>]*)?>(.*?)</\1>", re.DOTALL)
ROWS = 160


def runs(rng: np.random.Generator, truth: np.ndarray, women: np.ndarray, n: int, extra: float) -> np.ndarray:
    return np.where(rng.random((n, ROWS)) < 0.15 + extra * women, 0, truth)


def two_attributes() -> Results:
    rng = np.random.default_rng(0)
    truth, women = rng.integers(0, 3, ROWS), rng.random(ROWS) < 0.4
    groups = {"sex": np.where(women, "f", "m"), "age": np.where(rng.random(ROWS) < 0.5, "old", "young")}
    predicted = {name: runs(rng, truth, women, 5, extra) for name, extra in (("A", 0.2), ("B", 0.0))}
    return fitlib.analyze(truth, predicted, sensitive_features=groups, baseline="A")


def favourable() -> Results:
    rng = np.random.default_rng(1)
    truth, women = rng.integers(0, 2, ROWS), rng.random(ROWS) < 0.4
    predicted = {name: runs(rng, truth, women, 6, extra) for name, extra in (("A", 0.3), ("B", 0.1))}
    given = {"sensitive_features": {"sex": np.where(women, "f", "m")}, "baseline": "A", "favourable": 1}
    return fitlib.analyze(truth, predicted, **given)


@pytest.fixture(scope="module", params=[example_results, two_attributes, favourable])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = request.param().report(tmp_path_factory.mktemp("report") / "report.html")
    text = path.read_text(encoding="utf-8")
    main = text[text.index("<main") : text.index("</main>")]
    return re.sub(r'data:image[^"]*|<header.*?</header>', "", main, flags=re.DOTALL)


def sentences(page: str) -> list[str]:
    texts = [html.unescape(re.sub(r"<[^>]+>", "", text)) for _, text in TEXTS.findall(page)]
    return [one for text in texts for one in re.split(r"(?<=[.?!])\s+(?=[A-Z])", text)]


def test_sentences_that_are_not_folded_are_short(page: str) -> None:
    found = sentences(unfolded(page))
    assert len(found) > 20
    assert [text for text in found if len(text.split()) > MOST_WORDS] == []


def test_estimates_lie_within_their_intervals(page: str) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", " ", page)).replace("−", "-")
    found = [match.group() for match in ESTIMATE.finditer(text)]
    assert len(found) > 30
    ends = {match: [float(number) for number in ESTIMATE.fullmatch(match).groups()] for match in found}
    assert [match for match, (value, low, high) in ends.items() if not low <= value <= high] == []


def test_random_states_are_not_said_to_hide_other_seeds() -> None:
    found = experiment()
    own = {**found.plan["arms"][0], "noise": "random_state", "kind": "varied"}
    frames = {"comparisons": found.comparisons, "summary": found.summary}
    text = reporting.how_to_report(frames, {**found.plan, "arms": [own, found.plan["arms"][1]]}, found.evidence)
    assert "over seeds" not in text and "with other training data" in text
    assert "over seeds" in reporting.how_to_report(frames, found.plan, found.evidence)


def test_techniques_left_out_of_the_runs_were_not_run() -> None:
    found = experiment()
    gone = {"status": "missing", "parts": {}, "final_weights": "", "predictions": {}}
    evidence = [{**run, **gone} if run["training"] == "training-S-T2" else run for run in found.evidence]
    rows = found.comparisons["technique"] == "S-T2"
    columns = ["difference", "simultaneous_low", "simultaneous_high"]
    comparisons = found.comparisons.assign(verdict=found.comparisons["verdict"].mask(rows, "not estimable"))
    comparisons.loc[rows, columns] = np.nan
    frames = {"comparisons": comparisons, "summary": found.summary, "over_seeds": comparisons.iloc[:0]}
    texts = verdict.verdict(frames, found.plan, evidence)
    assert texts[0].endswith("; S-T2 was not run.") and "S-T2 was not run." in texts[1]


def test_of_several_arms_the_finding_names_its_own() -> None:
    found = experiment()
    second = {**found.plan["arms"][0], "arm": "order"}
    plan = {**found.plan, "arms": [*found.plan["arms"], second]}
    frames = {"comparisons": found.comparisons, "summary": found.summary, "over_seeds": found.comparisons.iloc[:0]}
    assert verdict.verdict(frames, plan, found.evidence)[0].startswith("In arm ulp, on this test set, ")
