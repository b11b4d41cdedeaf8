"""The section on new test data: what changes, what holds, and nothing where there is nothing to compare."""

import pandas as pd
import pytest

from fitlib.report.notebook_display import Page
from fitlib.report.sections import new_test_data as section
from fitlib.tables.schemas import COMPARISONS, NEW_TEST_DATA, table_of

PLAN = {
    "techniques": [{"technique": "Base", "training": "b"}, {"technique": "Fair", "training": "f"}],
    "arms": [{"arm": "ulp", "noise": "ulp", "kind": "emulated", "role": "main", "seed": 0, "runs": 8}],
    "groups": {"protected": ["a", "b"]},
    "analysis": {"smallest_effect": 0.01, "alpha": 0.05},
}


def row(metric: str = "DP", verdict: str = "fairer", **changes: object) -> dict:
    keys = {"technique": "Fair", "baseline": "Base", "arm": "ulp", "attribute": "protected", "metric": metric}
    numbers = {"difference": -0.03, "difference_low": -0.04, "difference_high": -0.02, "family_size": 2}
    counts = {"n_baseline": 8, "n_technique": 8, "verdicts_together": 2, "primary": ""}
    return keys | numbers | counts | {"verdict": verdict, "redundant_with": ""} | changes


def new_row(metric: str = "DP", verdict: str = "fairer", **changes: object) -> dict:
    keys = {"technique": "Fair", "baseline": "Base", "arm": "ulp", "attribute": "protected", "metric": metric}
    return keys | {"low": -0.06, "high": 0.0, "verdict": verdict, "share_units": 0.8} | changes


def tables(here: list[str], there: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return "new_test_data" and "comparisons" of one comparison on as many metrics as there are verdicts."""
    metrics = ("DP", "DI", "BA")[: len(here)]
    new = [new_row(metric, verdict) for metric, verdict in zip(metrics, there, strict=True)]
    rows = [row(metric, verdict) for metric, verdict in zip(metrics, here, strict=True)]
    return table_of([*new, new_row(baseline="")], NEW_TEST_DATA), table_of(rows, COMPARISONS)


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (["fairer"], ["fairer"], "This verdict holds for new test data of this kind, too."),
        (["fairer", "open"], ["fairer", "open"], "These verdicts hold for new test data of this kind, too."),
        (["fairer"], ["open"], "For new test data of this kind the verdict would be “open”."),
        (
            ["fairer", "open"],
            ["open", "open"],
            "1 of these 2 verdicts would be another one: those above are for this test set.",
        ),
        (
            ["fairer", "fairer"],
            ["open", "open"],
            "2 of these 2 verdicts would be others: those above are for this test set.",
        ),
        (["too few to judge"], ["too few to judge"], ""),
        (["not estimable"], ["fairer"], ""),
    ],
)
def test_the_headline_keeps_the_narrower_scope_where_a_verdict_changes(here, there, expected) -> None:
    found = section.scope_sentence(*tables(here, there))
    assert expected in found and bool(found) == bool(expected)


def test_redundant_metrics_and_other_families_do_not_count() -> None:
    new, compared = tables(["fairer", "open"], ["fairer", "fairer"])
    compared.loc[1, "redundant_with"] = "DP"
    assert section.scope_sentence(new, compared) == "This verdict holds for new test data of this kind, too."
    new, compared = tables(["fairer", "open"], ["fairer", "fairer"])
    compared["primary"] = ["yes", ""]
    assert section.scope_sentence(new, compared) == "This verdict holds for new test data of this kind, too."


def test_changed_verdicts_are_named_and_the_share_of_the_units_is_given() -> None:
    new, compared = tables(["fairer", "fairer", "open"], ["open", "fairer", "open"])
    new.loc[1, "share_units"] = 0.25
    texts = section.sentences(section.differences(new, compared))
    assert texts[0] == "1 of 3 verdicts would be another one: Fair v Base on DP “open” instead of “fairer”."
    assert "makes up 25 % to 80 % of the variance" in texts[1]
    new, compared = tables(["fairer"], ["fairer"])
    assert section.sentences(section.differences(new, compared))[0] == "The verdict is the same for new test data."


def test_the_table_shows_both_scopes_and_nothing_where_there_is_no_interval(tmp_path, capsys) -> None:
    new, compared = tables(["fairer"], ["open"])
    cells = section.view(section.differences(new, compared), PLAN).iloc[0]
    assert cells["On this test set"] == "[−4.00, −2.00]" and cells["For new test data"] == "[−6.00, 0]"
    assert (cells["Verdict here"], cells["Verdict there"]) == ("fairer", "open")
    capsys.readouterr()
    frames = {"new_test_data": new.assign(low=float("nan")), "comparisons": compared}
    section.show(Page(PLAN, tmp_path), frames)
    assert not capsys.readouterr().out
