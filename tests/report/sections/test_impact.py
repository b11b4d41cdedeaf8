"""Captions of the section "Impact ratio" name what their rows are about."""

from __future__ import annotations

import pytest

from fitlib.report.sections import impact as section
from tests.support.report_examples import experiment

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(
    ("attributes", "pairs"),
    [
        ({"sex": ["f", "m"]}, "9 pairs of technique and class"),
        ({"sex": ["f", "m"], "race": ["a", "b"]}, "18 combinations of technique, class and attribute"),
    ],
)
def test_intervals_are_those_of_the_worst_of_all_rows(attributes: dict, pairs: str):
    found = experiment(attributes=attributes)
    of_sex = found.risk[found.risk["attribute"] == "sex"]
    assert f"for the worst of {pairs}." in section.caption_sides(found.plan, of_sex, found.risk)
    assert f"for the worst of {pairs}, Bonferroni's" in section.caption_risk(found.plan, found.risk)


def test_undefined_ratios_get_no_number():
    found = experiment()
    row = section.risk_view(found.risk.head(1).assign(n=0, violated=0, p_violated=None), found.plan).iloc[0]
    assert row["Mean ratio"] == "undefined" and row["P(below)"] == "–" and row["lowest to highest"] == "–"


def test_of_many_rows_those_below_are_shown_and_counted():
    found = experiment()
    below = int((found.risk["violated"] > 0).sum())
    assert 1 < below < len(found.risk)
    caption = section.caption_risk(found.plan, found.risk, most=below)
    assert caption.endswith(f"Shown: {below} of {len(found.risk)} rows, those below 0.8 in some run.")
    assert "below 0.8 in most runs." in section.caption_risk(found.plan, found.risk, most=1)
    assert "Shown" not in section.caption_risk(found.plan, found.risk)
