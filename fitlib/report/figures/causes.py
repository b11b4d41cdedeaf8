"""The spread of one technique under every cause of variance: SD of metrics by arm, and churn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib import formatting as fmt
from fitlib.report.figures import style
from fitlib.report.figures.style import INK, SMALL, styled
from fitlib.tables import causes

MARKERS = {causes.IMPLEMENTATION: "o", causes.ALGORITHM: "s", causes.BOTH: "D", "": "^"}


def arm_label(row: Mapping) -> str:
    """Return the name of an arm, with the hardware where there are several kinds."""
    return f"{row['arm']} on {row['hardware']}" if row["hardware"] else str(row["arm"])


def tested_metrics(table: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """Return the metrics that tests were made of, else those of the table; accuracy left out."""
    names = list(dict.fromkeys(tests["metric"])) or list(dict.fromkeys(table["metric"]))
    return [name for name in names if name not in ("", "accuracy")]


@styled
def causes_figure(table: pd.DataFrame, tests: pd.DataFrame, churn: pd.DataFrame, plan: Mapping) -> Figure:
    """Draw SD of each tested metric and of accuracy by arm, and churn; `table`: rows of one technique and attribute."""
    rows = table[table["metric"] != ""]
    metrics = [*tested_metrics(rows, tests)[:3], "accuracy"]
    arms = rows.drop_duplicates(["arm", "hardware"]).to_dict("records")
    figure, axes = style.panels(len(metrics) + 1, rows=len(arms))
    colour = style.technique_colours(plan).get(rows["technique"].iloc[0], INK)
    for metric, ax in zip(metrics, axes, strict=False):
        for height, arm in enumerate(arms):
            own = rows[(rows["metric"] == metric) & (rows["arm"] == arm["arm"]) & (rows["hardware"] == arm["hardware"])]
            _draw(ax, height, own, ("sd", "sd_low", "sd_high"), colour)
        ax.set(title=metric, xlabel="SD over runs, points")
    first = rows.iloc[0]
    mine = churn[(churn["technique"] == first["technique"]) & (churn["attribute"] == first["attribute"])]
    for height, arm in enumerate(arms):
        own = mine[(mine["arm"] == arm["arm"]) & mine["group"].isna()].assign(
            view=arm["view"], distinct=arm["distinct"]
        )
        _draw(axes[-1], height, own, ("churn", "churn_low", "churn_high"), colour)
    axes[-1].set(title="churn", xlabel="% of pairs of runs")
    for ax in axes:
        style.name_rows(ax, [arm_label(arm) for arm in arms])
        ax.set_xlim(left=0)
    style.write_n(figure, rows["n"], whose="arm")
    return figure


def _draw(ax: Axes, height: int, rows: pd.DataFrame, columns: tuple[str, str, str], colour: str) -> None:
    """Draw a value with its interval; words where nothing varies."""
    if rows.empty or fmt.is_missing(rows.iloc[0][columns[0]]):
        return
    row = rows.iloc[0]
    value, low, high = (100 * float(row[c]) for c in columns)
    if row["distinct"] == 1:
        ax.annotate("bit-identical", (0, height), (4, 0), textcoords="offset points", va="center", fontsize=SMALL)
        return
    if not np.isnan(low):
        ax.plot([low, high], [height] * 2, color=colour, linewidth=1.6)
    ax.plot(value, height, MARKERS[row["view"]], color=colour, markersize=5.5)


def alt_causes(table: pd.DataFrame) -> str:
    """Return in one sentence the arms with the smallest and the largest SD of the first metric."""
    rows = table[~table["metric"].isin(["", "accuracy"])].dropna(subset=["sd"])
    if rows.empty:
        return "SD over runs by arm: not estimable."
    rows = rows[rows["metric"] == rows["metric"].iloc[0]]
    ends = [rows.loc[index] for index in (rows["sd"].idxmin(), rows["sd"].idxmax())]
    texts = [f"{_sd(row)} ({style.short(arm_label(row))})" for row in ends]
    return f"SD of {ends[0]['metric']} over runs by arm, in points: {' to '.join(texts)}."


def _sd(row: Mapping) -> str:
    return "0, bit-identical" if row["sd"] == 0 and row["distinct"] == 1 else fmt.points(row["sd"])
