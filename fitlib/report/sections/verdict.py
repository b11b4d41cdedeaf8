"""The verdict in three sentences, and what an auditor asks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.report import captions, reader_tables, sentences
from fitlib.report.notebook_display import Page, tell
from fitlib.report.sections import over_seeds as over_seeds_sections


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the verdict and the table at a glance."""
    tell(verdict(frames, plan, evidence), paragraphs=True)
    view = reader_tables.glance_view(plan, evidence, frames["comparisons"])
    page.table("At a glance", view, captions.caption_glance(plan, frames["summary"]))


def verdict(frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> list[str]:
    """The outcome, how much equal runs differ, and what limits both; over seeds where the design has several."""
    told = sentences.verdict(frames["comparisons"], frames["summary"], plan, evidence)
    over_seeds = frames["over_seeds"]
    return told if over_seeds.empty else [over_seeds_sections.verdict_sentence(over_seeds, plan), *told[1:]]
