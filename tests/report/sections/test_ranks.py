"""The section on ranks: who comes first, how often, and what the share is not."""

import pandas as pd

from fitlib.report.sections import ranks as section
from fitlib.tables.schemas import RANKS, table_of


def rows(**best: float) -> pd.DataFrame:
    """Return ranks on DP of techniques whose means rise in the order given, with these shares of first places."""
    shared = {"baseline": "Base", "arm": "ulp", "attribute": "protected", "metric": "DP", "n": 16, "note": ""}
    return table_of(
        [
            shared | {"technique": name, "mean": 0.01 * i, "rank": i, "p_best": p, "rank_low": i, "rank_high": i + 1}
            for i, (name, p) in enumerate(best.items(), 1)
        ],
        RANKS,
    )


def test_the_first_is_named_with_its_share_and_its_strongest_rival() -> None:
    text, caution = section.sentences(rows(Fair=0.7, Noisy=0.1, Base=0.2))
    assert text == (
        "Of 3 techniques Fair has the lowest DP (1.00 points): it comes first in 70 % of the resampled experiments "
        "(20 %: Base), 95 % interval of its rank 1 to 2."
    )
    assert "1/k on average" in caution and "fewer than 8 runs" not in caution


def test_few_runs_are_warned_of_and_near_certainty_is_not_rounded_to_it() -> None:
    frame = rows(Fair=0.999, Noisy=0.001, Base=0.0).assign(note="certainty is overstated below 8 runs")
    text, caution = section.sentences(frame)
    assert "first in > 99 % of" in text and "(< 1 %: Noisy)" in text and "With fewer than 8 runs" in caution


def test_two_techniques_are_not_ranked() -> None:
    assert section.ranked(rows(Fair=0.7, Base=0.3), "DP").empty
    assert len(section.ranked(rows(Fair=0.7, Base=0.2, Noisy=0.1), "DP")) == 3
    assert section.ranked(rows(Fair=0.7, Base=0.2, Noisy=0.1), "DI").empty


def test_the_table_is_in_the_order_of_the_ranks() -> None:
    cells = section.view(rows(Fair=0.7, Noisy=0.1, Base=0.2).iloc[::-1], {})
    assert cells["Technique"].tolist() == ["Fair", "Noisy", "Base"] and cells["P(best)"].tolist() == [
        "70 %",
        "10 %",
        "20 %",
    ]
