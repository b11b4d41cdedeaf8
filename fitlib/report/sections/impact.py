"""Section "Impact ratio": on which side of 0.8 the runs lie, class by class, and whether another run would agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.report import captions, reader_tables, sentences
from fitlib.report.captions import caption
from fitlib.report.figures import classes, impact_ratio, style
from fitlib.report.notebook_display import Page, tell

QUESTION = (
    "Does a run's impact ratio (lowest group's share predicted as a class, over the highest group's) fall below 0.8, "
    "and would another run agree? Hatched: the share of runs below; of the single runs, triangles lie below 0.8."
)


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: sides of 0.8, every run's ratio, sentences, the table."""
    risk = frames["risk"]
    tell(QUESTION)
    for attribute in plan["groups"]:
        _figures(page, frames["metrics"], risk[risk["attribute"] == attribute], plan, attribute)
    tell(sentences.landmark(risk, plan))
    view = reader_tables.risk_view(risk, plan)
    page.table("Impact ratio by class", view, captions.caption_risk(plan, risk, len(view)), "tables/risk.csv")


def _figures(page: Page, metrics: pd.DataFrame, risk: pd.DataFrame, plan: Mapping, attribute: str) -> None:
    if len(classes.worst_rows(risk)):
        figure, alt = impact_ratio.sides(risk, plan).figure, impact_ratio.alt_sides(risk, plan)
        page.figure("impact-ratio-sides", attribute, figure, alt, caption_sides(plan, risk))
    values = style.select(metrics, plan, attribute)
    figures, alt = impact_ratio.impact_ratios_figures(values, plan), impact_ratio.alt_impact_ratios(values, plan)
    about = sentences.classes_shown(plan, impact_ratio.lowest_classes(values, plan))
    page.figures("impact-ratio", attribute, figures, alt, caption(plan, risk["n"], f"{about} No test is made here."))


def caption_sides(plan: Mapping, risk: pd.DataFrame) -> str:
    """Under the shares of runs on each side of 0.8."""
    rows = classes.worst_rows(risk)
    if (rows["rule"] == "four-fifths").any():
        about = "Share of runs that violate four fifths for the favourable class, with Clopper-Pearson's 95 % interval."
    else:
        about = (
            "Share of runs below 0.8 (a numerical landmark) for each technique's class that lies below it most often, "
            f"with Bonferroni's interval for the worst of {int(rows['worst_of'].max())} pairs."
        )
    return caption(plan, rows["n"], f"{about} No test is made here.")
