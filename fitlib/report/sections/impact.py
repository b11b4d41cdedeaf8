"""Section "Impact ratio": on which side of 0.8 the runs lie, class by class, and whether another run would agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import caption
from fitlib.report.figures import impact_ratio, style
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable, estimate_cell
from fitlib.report.sections.costs import first_metric
from fitlib.report.sentences import impact as impact_sentences
from fitlib.report.sentences.impact import at_most_half

QUESTION = (
    "Does a run's impact ratio (lowest group's share predicted as a class, over the highest group's) fall below 0.8, "
    "and would another run agree? Hatched: the share of runs below."
)
MOST_ROWS = 60  # of the table; of more, those below 0.8 in most runs


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: sides of 0.8, every run's ratio, sentences, the table."""
    risk = frames["risk"]
    show_text(QUESTION)
    for attribute in plan["groups"]:
        _figures(page, frames, plan, attribute)
    show_text(impact_sentences.landmark(risk, plan))
    page.show(RISK, risk)


def _figures(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, attribute: str) -> None:
    """Display the figures; the impact ratio of every class only if the section on classes does not show DI, 1 − it."""
    risk = frames["risk"][frames["risk"]["attribute"] == attribute]
    if len(impact_ratio.split_rows(risk)):
        figure, alt = style.figure_of(impact_ratio.sides(risk, plan)), impact_ratio.alt_sides(risk, plan)
        page.figure("impact-ratio-sides", attribute, figure, alt, caption_sides(plan, risk, frames["risk"]))
    if first_metric(frames["comparisons"]) == "DI":
        return
    values = style.select(frames["metrics"], plan, attribute)
    figures, alt = impact_ratio.impact_ratios_figures(values, plan), impact_ratio.alt_impact_ratios(values, plan)
    about = impact_sentences.classes_shown(plan, impact_ratio.lowest_classes(values, plan))
    page.figures("impact-ratio", attribute, figures, alt, caption(plan, risk["n"], f"{about} No test is made here."))


def caption_sides(plan: Mapping, risk: pd.DataFrame, all_rows: pd.DataFrame) -> str:
    """Caption the shares of runs on each side of 0.8; ``risk``: the rows of one attribute, of `all_rows`."""
    rows = impact_ratio.split_rows(risk)
    pairs = words.combinations(int(rows["worst_of"].max()), all_rows, *impact_sentences.RISK_ROWS)
    if (rows["rule"] == "four-fifths").any():
        about = "Share of runs that violate four fifths for the favourable class, with Clopper-Pearson's 95 % interval."
    else:
        about = (
            "Share of runs below 0.8 (a numerical landmark) for the class on which a technique's runs disagree most, "
            f"with Bonferroni's interval for the worst of {pairs}."
        )
    return caption(plan, rows["n"], f"{about} No test is made here.")


# Table for readers


def risk_view(risk: pd.DataFrame, plan: Mapping, most: int = MOST_ROWS) -> pd.DataFrame:
    """Return impact ratios against 0.8 by technique and class; of more than `most`, those below 0.8 in most runs."""
    return pd.DataFrame([_risk_row(row, risk, plan) for _, row in _shown(risk, most).iterrows()])


def _shown(risk: pd.DataFrame, most: int) -> pd.DataFrame:
    below = risk[risk["violated"] > 0].sort_values(["violated", "ratio_mean"], ascending=[False, True], kind="stable")
    return risk if len(risk) <= most else below.head(most).sort_index()


def _risk_row(row: pd.Series, frame: pd.DataFrame, plan: Mapping) -> dict[str, str]:
    worst = fmt.span(row["p_violated_low_bonferroni"], row["p_violated_high_bonferroni"], 1)
    return {
        "Technique": words.technique_label(frame, row),
        "Class": words.class_name(plan, row["target"]),
        "Rule": row["rule"].replace("four-fifths", "four fifths"),
        "Runs below": f"{row['violated']} of {row['n']}",
        "Turned by one": f"{row['flips']} of {row['n']}",
        "P(below)": estimate_cell(row, "p_violated", fmt.probability, 2),
        "for the worst pair": worst if row["n"] else "–",
        "P(two runs disagree)": estimate_cell(row, "p_disagree", lambda p: fmt.probability(at_most_half(p)), 2),
        "Mean ratio": fmt.decimals(row["ratio_mean"]) if row["n"] else "undefined",
        "lowest to highest": " to ".join(fmt.decimals(row[f"ratio_{end}"]) for end in ("min", "max") if row["n"])
        or "–",
    }


def caption_risk(plan: Mapping, risk: pd.DataFrame, most: int = MOST_ROWS) -> str:
    """Caption the risk table, of which at most `most` rows are shown."""
    shown = len(_shown(risk, most))
    worst = int(risk["worst_of"].max()) if len(risk) else 0
    which = "some run" if shown == (risk["violated"] > 0).sum() else "most runs"
    part = f" Shown: {shown} of {len(risk)} rows, those below 0.8 in {which}." if shown < len(risk) else ""
    return caption(
        plan,
        risk["n"],
        f"Retraining covered: {fmt.join_items(dict.fromkeys(risk['retraining']))}. Intervals: Clopper-Pearson 95 "
        "%, of two runs disagreeing its image under "
        f"2p(1−p), of which the estimate is shown as ½ at most; for the worst of "
        f"{words.combinations(worst, risk, *impact_sentences.RISK_ROWS)}, Bonferroni's. Turned by one: runs in which "
        "one person more or fewer "
        f"selected moves the ratio across 0.8. No test is made here.{part}",
    )


RISK = ReaderTable("Impact ratio by class", caption_risk, risk_view, table_files.RISK)
