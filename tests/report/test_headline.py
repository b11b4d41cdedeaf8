"""The finding: every technique is named with its verdict, and the size is that of the table."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from fitlib.report.headline import finding
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN, TOO_FEW
from tests.support.report_examples import Experiment, constant, experiment

NONE = pd.DataFrame()


@pytest.fixture(scope="module")
def usual() -> Experiment:
    return experiment(techniques=4)


def said(
    found: Experiment, verdicts: dict[str, str], differences: dict[str, float], warnings: dict[str, str] | None = None
) -> str:
    rows = found.comparisons[found.comparisons["metric"] == "DI"].copy()
    rows["verdict"] = [verdicts[name] for name in rows["technique"]]
    rows["difference"] = [differences.get(name, 0.0) for name in rows["technique"]]
    rows["warnings"] = [(warnings or {}).get(name, "") for name in rows["technique"]]
    return finding(rows, NONE, found.summary, found.plan, "DI")


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (FAIRER, "S-T1 cuts disparate impact by 15 points"),
        (LESS_FAIR, "S-T1 raises disparate impact by 15 points"),
        (LOWER, "S-T1 lowers disparate impact, by how much is open"),
        (HIGHER, "S-T1 raises disparate impact, by how much is open"),
        (EQUIVALENT, "S-T1 changes disparate impact by less than 1.00 points"),
        (OPEN, "whether S-T1 changes disparate impact, 6 runs cannot tell"),
        ("not FIT", "there is no verdict on S-T1"),
    ],
)
def test_each_verdict_has_its_clause(usual: Experiment, verdict: str, text: str) -> None:
    others = dict.fromkeys(("S-T2", "S-T3"), OPEN if verdict != OPEN else FAIRER)
    sentence = said(usual, {"S-T1": verdict, **others}, {"S-T1": -0.1519})
    assert text in sentence.replace("changes it", "changes disparate impact").replace(" it", " disparate impact")


def test_techniques_with_one_verdict_are_in_one_clause_the_largest_change_first(usual: Experiment) -> None:
    names = dict.fromkeys(("S-T1", "S-T2", "S-T3"), FAIRER)
    sentence = said(usual, names, {"S-T1": -0.02, "S-T2": -0.15, "S-T3": -0.005})
    assert sentence == "On this test set, S-T2 cuts disparate impact by 15 points, S-T1 by 2.0 and S-T3 by 0.50."


def test_the_price_in_accuracy_stands_in_the_same_sentence(usual: Experiment) -> None:
    lost, open_ones = {"S-T1": "accuracy fell by 47.2 points [42.5, 52.0]"}, dict.fromkeys(("S-T2", "S-T3"), OPEN)
    sentence = said(usual, {"S-T1": FAIRER, **open_ones}, {"S-T1": -0.43}, lost)
    assert sentence.endswith(", but accuracy fell: S-T1 by 47 points.") and "cuts disparate impact by 43" in sentence
    assert "accuracy" not in said(usual, {"S-T1": LESS_FAIR, **open_ones}, {"S-T1": 0.43}, lost)


def test_many_techniques_are_counted_with_their_range() -> None:
    found = experiment(techniques=6)
    names = [f"S-T{i}" for i in range(1, 6)]
    sentence = said(found, dict.fromkeys(names, FAIRER), {name: -0.02 * i for i, name in enumerate(names, 1)})
    assert sentence == "On this test set, 5 techniques cut disparate impact by 2.0 to 10 points, most S-T5."


def test_the_sizes_are_those_of_the_table(usual: Experiment) -> None:
    for metric in ("DP", "DI", "EOTP"):
        rows = usual.comparisons[usual.comparisons["metric"] == metric].set_index("technique")
        sentence = finding(usual.comparisons, NONE, usual.summary, usual.plan, metric)
        for name, size in re.findall(r"(S-T\d)[^;]*? by ([\d.]+)(?= points| and|,|;|\.$)", sentence):
            if rows.loc[name, "verdict"] in (FAIRER, LESS_FAIR):
                assert float(size) == pytest.approx(100 * abs(rows.loc[name, "difference"]), rel=0.05)
        assert all(name in sentence for name in rows.index)


def test_without_a_comparison_it_tells_how_far_runs_lie_apart() -> None:
    alone, single = experiment(techniques=1), experiment(techniques=1, runs=1)
    row = alone.summary[(alone.summary["metric"] == "DI") & (alone.summary["target"] == "overall")].iloc[0]
    text = finding(alone.comparisons, NONE, alone.summary, alone.plan, "DI")
    assert text.startswith("Over 6 runs of S-Base, disparate impact ranges from ") and row["min"] < row["max"]
    low, high = map(float, re.findall(r"from ([\d.]+) to ([\d.]+) points", text)[0])
    assert low == pytest.approx(100 * row["min"], rel=0.05) and high == pytest.approx(100 * row["max"], rel=0.05)
    assert finding(single.comparisons, NONE, single.summary, single.plan, "DI").startswith("One run of S-Base")


def test_too_few_runs_are_a_rehearsal(usual: Experiment) -> None:
    names = dict.fromkeys(("S-T1", "S-T2", "S-T3"), TOO_FEW)
    assert said(usual, names, {}) == "Fewer than 4 runs of a technique: a rehearsal, without a verdict."
    over = usual.comparisons.assign(verdict=TOO_FEW, n_seeds=3, noise="ulp").drop(columns="arm")
    text = finding(usual.comparisons, over, usual.summary, usual.plan, "DI")
    assert text == "Fewer than 4 seeds: a rehearsal, without a verdict."


def test_a_sentence_is_no_longer_than_a_reader_keeps(usual: Experiment) -> None:
    assert len(finding(usual.comparisons, NONE, usual.summary, usual.plan, "DI").split()) <= 30


def test_too_few_seeds_qualify_it(usual: Experiment) -> None:
    rows = usual.comparisons[usual.comparisons["metric"] == "DI"].assign(verdict=FAIRER, noise="ulp", n_seeds=5)
    said_of = [
        finding(usual.comparisons, rows.assign(qualification=text), usual.summary, usual.plan, "DI")
        for text in ("", "suggested")
    ]
    assert said_of[1].removesuffix(", with too few seeds or runs for an unqualified verdict.") + "." == said_of[0]


def test_constant_runs_have_no_range() -> None:
    found = experiment(techniques=1, alter=constant("S-Base"))
    text = finding(found.comparisons, NONE, found.summary, found.plan, "DI")
    assert re.fullmatch(r"In all 6 runs of S-Base, disparate impact was [\d.]+ points\.", text)
