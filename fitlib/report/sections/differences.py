"""Is a technique fairer than its baseline: heat map, differences with intervals, tests, and spread between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.report import captions, reader_tables, sentences
from fitlib.report.figures import differences, style
from fitlib.report.notebook_display import Page, heading, tell

SOURCE = "tables/comparisons.csv"
PAPER = (
    "Protocol paper was declared: the study's own tests (one-sided in the direction of the means, Levene's on values / "
    "mean, uncorrected) stand in tables/stat_tests.csv and tables/raw_data.csv. Verdicts and tests below are fitlib's."
)


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section; without any comparison only the sentences that say so."""
    comparisons = frames["comparisons"]
    if plan["analysis"].get("protocol") == "paper":
        tell(PAPER)
    tell("On which metrics did bias fall or rise, by more than the smallest effect that was declared to count?")
    for attribute, rows in _by_attribute(comparisons, plan):
        figures = differences.heat_maps(rows, plan)
        page.figures(
            "comparisons", attribute, figures, differences.alt_heat_map(rows), captions.caption_heat_map(plan, rows)
        )
    told = [sentences.significance(comparisons, plan), sentences.redundant(comparisons)]
    tell([*told, *sentences.dropped(comparisons)])
    if len(comparisons):
        _effects(page, comparisons, plan)
        _spread(page, comparisons, plan)


def _by_attribute(comparisons: pd.DataFrame, plan: Mapping) -> list[tuple[str, pd.DataFrame]]:
    chosen = [(attribute, style.select(comparisons, plan, attribute)) for attribute in plan["groups"]]
    return [(attribute, rows) for attribute, rows in chosen if len(rows)]


def _effects(page: Page, comparisons: pd.DataFrame, plan: Mapping) -> None:
    heading("How large are the differences, and how surely are they known?")
    tell("A bar wholly beyond the grey band decides; one that touches it leaves it open, unless it lies wholly inside.")
    for attribute, rows in _by_attribute(comparisons, plan):
        figures, alt = differences.effects_figures(rows, plan), differences.alt_effects(rows)
        page.figures("effects", attribute, figures, alt, captions.caption_effects(plan, rows))
    told = [sentences.undecided(comparisons, plan), *sentences.reversals(comparisons, plan)]
    tell([*told, *sentences.accuracy(comparisons)])
    effects, tests = reader_tables.effects_view(comparisons), reader_tables.tests_view(comparisons)
    page.table("Differences of means", effects, captions.caption_differences(plan, comparisons), SOURCE)
    page.table("Tests of the means", tests, captions.caption_tests(plan, comparisons), SOURCE)


def _spread(page: Page, comparisons: pd.DataFrame, plan: Mapping) -> None:
    heading("Does a technique make the runs more alike, or less?")
    tell("A technique can lower bias on average and yet make a single training less predictable.")
    tell(sentences.spread(comparisons, plan))
    caption = captions.caption_spread(plan, comparisons)
    page.table("Spread between runs", reader_tables.spread_view(comparisons), caption, SOURCE)
