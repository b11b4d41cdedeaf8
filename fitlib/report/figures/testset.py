"""Components of the variance: runs, test set, and their interaction."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.figures import style
from fitlib.report.figures.style import BLUE, GREY, INK, ROW, VERMILION, WIDTH, new_figure, styled

COMPONENTS = {
    "sd_between_runs": ("o", INK, "between runs, on this test set"),
    "sd_run": ("D", BLUE, "of the run, whatever the test set"),
    "sd_test_set": ("s", VERMILION, "of the draw of the test set"),
    "sd_interaction": ("^", GREY, "run × test set"),
    "floor_sd": ("|", GREY, "floor: independent flips"),
}


def widest(components: pd.DataFrame) -> pd.DataFrame:
    """Return, by technique and arm, the metric and class whose signed difference spreads most between runs."""
    rows = components.dropna(subset=["sd_between_runs"])
    keys = ["technique", "arm", "attribute"]
    return rows.loc[rows.groupby(keys, sort=False)["sd_between_runs"].idxmax()].sort_index()


@styled
def components(table: pd.DataFrame, plan: Mapping, ax: Axes | None = None) -> Axes:
    """Draw the standard deviations that the spread consists of, side by side (variances are never stacked).

    ``table``: rows of the table of components, one per row of the figure; negative estimates stand at 0.
    """
    ax = ax if ax is not None else style.new_axes(len(table) * 1.4, width=7.0)
    for height, row in enumerate(table.to_dict("records")):
        values = [(name, 100 * row[name]) for name in COMPONENTS if not fmt.is_missing(row[name])]
        ends = [min(v for _, v in values), max(v for _, v in values)]
        ax.plot(ends, [height] * 2, color=style.PALE, linewidth=4, zorder=1)
        for name, value in values:
            marker, colour, _ = COMPONENTS[name]
            face = "white" if name == "sd_between_runs" else colour
            size = 12 if marker == "|" else 6.5
            ax.plot(value, height, marker, color=colour, markerfacecolor=face, markersize=size, markeredgewidth=1.5)
    labels = [
        f"{words.technique_label(table, r)}: {r['metric']}, {words.class_name(plan, r['target'])}"
        for _, r in table.iterrows()
    ]
    style.name_rows(ax, [style.plain(label, 40) for label in labels])
    ax.set(xlabel="standard deviation, points", xlim=(0, None), title="What the spread consists of")
    return ax


@styled
def components_figure(table: pd.DataFrame, plan: Mapping) -> Figure:
    """Draw the components with their key."""
    figure = new_figure(figsize=(WIDTH, 1.5 + 1.2 * ROW * max(len(table), 2)))
    components(table, plan, figure.subplots())
    handles = [
        Line2D([], [], marker=m, color=c, markerfacecolor="white" if i == 0 else c, linestyle="none", label=text,
               markersize=12 if m == "|" else 6.5, markeredgewidth=1.5)
        for i, (m, c, text) in enumerate(COMPONENTS.values())
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=8)
    return figure


def alt_components(table: pd.DataFrame, plan: Mapping) -> str:
    """Describe the figure in words."""
    texts = [
        f"{r['technique']}, {r['metric']} of class {words.class_name(plan, r['target'])}: between runs "
        f"{fmt.points(r['sd_between_runs'])}, of the run {fmt.points(r['sd_run'])}, of the test set "
        f"{fmt.points(r['sd_test_set'])}"
        for _, r in table.head(12).iterrows()
    ]
    return f"Dot plot of standard deviations in points, a row per technique. {'. '.join(texts)}."
