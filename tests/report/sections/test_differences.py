"""The section on differences: its captions name the verdicts that hold together."""

import pytest

from fitlib.report.sections import differences
from fitlib.tables.schemas import COMPARISONS, table_of
from tests.support.table_examples import compare, drawn, metrics_of, plan, technique


def table_and_plan(runs: int = 8, **analysis: object) -> tuple:
    declared = plan(technique("Base", None), technique("Fair"), **analysis)
    data = metrics_of(Base=drawn(0, runs=runs), Fair=drawn(1, runs=runs))
    return compare(data, declared), declared | {"data": {}, "source": "fitlib"}


@pytest.mark.parametrize(
    ("analysis", "named"),
    [
        ({}, "with those of all 5 on distinct metrics."),
        ({"primary": "DI"}, "with those of all 5 on distinct metrics and all 1 on the primary metric."),
    ],
)
def test_the_caption_names_the_families(analysis: dict, named: str) -> None:
    table, declared = table_and_plan(**analysis)
    assert f"Verdict: from the interval that holds together {named}" in differences.caption_differences(declared, table)


def test_without_a_verdict_nothing_holds_together() -> None:
    table, declared = table_and_plan(runs=3)
    assert "holds together" not in differences.caption_differences(declared, table)
    nothing = table_of([], COMPARISONS)
    assert "verdicts" not in differences.caption_differences(declared, nothing)


def test_the_heat_map_says_with_what_a_primary_metric_holds() -> None:
    table, declared = table_and_plan(primary="DI")
    caption = differences.caption_heat_map(declared, table)
    assert "holds together with all others (on DI, the primary metric, with those on it)" in caption
