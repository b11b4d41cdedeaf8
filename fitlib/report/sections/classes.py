"""Section "Class by class": where bias lies, and in which classes equal runs differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, caption
from fitlib.report.figures import classes, style
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable
from fitlib.report.sections.costs import first_metric

MOST_ROWS = 60
MOST_SENTENCES = 6
KEYS = ["technique", "arm", "attribute"]
EXPLORATORY = (
    "Values of single classes are for exploring: no test is made class by class, and the class that stands out was "
    "chosen for standing out."
)


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: one metric class by class, in figures, sentences and a table."""
    metric = first_metric(frames["comparisons"])
    rows = class_rows(frames["summary"], metric, plan)
    beyond = " Triangles: runs whose impact ratio, 1 − DI, is below 0.8." if metric == "DI" else ""
    about_figure = Caption(f"{metric} of single classes, all runs.{beyond} No interval, no test.")
    for attribute in plan["groups"]:
        values = style.select(frames["metrics"], plan, attribute)
        figures, alt = (
            classes.per_class_figures(values, metric, plan),
            classes.alt_per_class(values, metric, plan),
        )
        page.figures("per-class", attribute, figures, alt, about_figure(plan, rows))
    show_text([*sentences(rows, metric, plan), EXPLORATORY])
    page.show(class_table(metric), rows)


def class_rows(summary: pd.DataFrame, metric: str, plan: Mapping) -> pd.DataFrame:
    """Return the rows of single classes of one metric in the declared reading."""
    chosen = (summary["metric"] == metric) & (summary["target"] != "overall") & summary["group"].isna()
    return summary[chosen & (summary["reading"] == plan["analysis"]["reading"])]


def sentences(rows: pd.DataFrame, metric: str, plan: Mapping) -> list[str]:
    """Return, for each technique, its class of largest mean, and the one that spreads most over runs."""
    groups = list(rows.dropna(subset=["mean"]).groupby(KEYS, sort=False))
    texts = [f"{_largest(group, metric, rows, plan)}{_widest(group, plan)}." for _, group in groups[:MOST_SENTENCES]]
    more = [f"{len(groups) - MOST_SENTENCES} more in the figure."] if len(groups) > MOST_SENTENCES else []
    return [*texts, *more]


def _largest(group: pd.DataFrame, metric: str, rows: pd.DataFrame, plan: Mapping) -> str:
    """Return in which class the mean is largest; of two classes, for instance, DP is the same in both."""
    top, who = group[group["mean"] == group["mean"].max()], words.technique_label(rows, group.iloc[0])
    size = f"{fmt.points(top['mean'].iloc[0])} points {'on average' if top['n'].max() > 1 else 'in 1 run'}"
    if len(group) == len(top) > 1:
        return f"{who}: {metric} is equally large in all {len(group)} classes, {size}"
    return f"{who}: {metric} is largest in {_classes(top, plan)}, {size}"


def _widest(group: pd.DataFrame, plan: Mapping) -> str:
    """Return in which class the range over runs is widest, among those defined in most runs (MaxDiff grows with n)."""
    spread = group[(group["n"] > 1) & (group["n"] == group["n"].max())].dropna(subset=["maxdiff"])
    if spread.empty:
        return ""
    n, fewer = int(spread["n"].iloc[0]), len(spread) < len(group)
    among = f" (of the {fmt.count(len(spread), 'class', 'classes')} defined in {n} runs)" if fewer else ""
    wide = spread[spread["maxdiff"] == spread["maxdiff"].max()]
    first = wide.iloc[0]
    if first["maxdiff"] == 0:
        return f"; constant in all {n} runs in every class{among}"
    return f"; widest over runs in {_classes(wide, plan)}{among}, {_ranges(wide)}"


def _ranges(wide: pd.DataFrame) -> str:
    """Return from where to where values range; only how far in several classes whose ranges differ."""
    first = wide.iloc[0]
    if wide[["min", "max"]].drop_duplicates().shape[0] > 1:
        return f"{fmt.points(first['maxdiff'])} points from the smallest to the largest run"
    return f"{fmt.points(first['min'])} to {fmt.points(first['max'])} points"


def _classes(rows: pd.DataFrame, plan: Mapping) -> str:
    names = [words.class_name(plan, target) for target in rows["target"]]
    return f"{'class' if len(names) == 1 else 'classes'} {fmt.join_items(names)}"


def class_table(metric: str) -> ReaderTable:
    """Return the table of one metric class by class."""
    return ReaderTable(f"{metric} by class", partial(caption_table, metric), classes_view, table_files.SUMMARY)


def classes_view(rows: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return every class of every technique; of more than `MOST_ROWS`, those with the largest MaxDiff."""
    if len(rows) > MOST_ROWS:
        rows = rows.sort_values("maxdiff", ascending=False, kind="stable").head(MOST_ROWS).sort_index()
    return pd.DataFrame([_row(row, rows, plan) for _, row in rows.iterrows()])


def _row(row: pd.Series, frame: pd.DataFrame, plan: Mapping) -> dict[str, str]:
    constant = row["n"] > 1 and row["maxdiff"] == 0
    return {
        "Technique": words.technique_label(frame, row),
        "Class": words.class_name(plan, row["target"]),
        "n": str(row["n"]),
        "Mean": fmt.points(row["mean"]),
        "95 % interval": f"constant in all {row['n']} runs"
        if constant
        else fmt.span(row["mean_low"], row["mean_high"]),
        "SD": "–" if constant else fmt.points(row["sd"]),
        "95 % interval of the SD": "–" if constant else fmt.span(row["sd_low"], row["sd_high"]),
        "MaxDiff": "–" if row["n"] < 2 else fmt.points(row["maxdiff"]),
    }


def caption_table(metric: str, plan: Mapping, rows: pd.DataFrame) -> str:
    """Caption the table."""
    shown = min(len(rows), MOST_ROWS)
    part = f" Shown: the {shown} of {len(rows)} rows with the largest MaxDiff." if shown < len(rows) else ""
    about = (
        f"{metric} in points; n: the runs in which it is defined. Intervals: 95 %, of the mean by Student's t, of the "
        f"SD by Bonett's method. No test.{part}"
    )
    return caption(plan, rows["n"], about)
