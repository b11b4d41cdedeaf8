"""Components of the variance: runs, test set, and their interaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.figures import style
from fitlib.report.figures.style import GREY, INK, ROW, WIDTH, new_figure, styled

COMPONENTS = {
    "sd_between_runs": ("o", INK, "between runs, on this test set"),
    "sd_run": ("D", INK, "of the run, whatever the test set"),
    "sd_test_set": ("s", GREY, "of the draw of the test set"),
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

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> plots.testset(results.tables["components"].head(3), results.plan).get_xlabel()
    'standard deviation, points'
    """
    ax = ax if ax is not None else style.new_axes(len(table) * 1.4, width=6.4)
    for height, row in enumerate(table.to_dict("records")):
        values = [(name, 100 * row[name]) for name in COMPONENTS if not fmt.is_missing(row[name])]
        ends = [min(v for _, v in values), max(v for _, v in values)]
        ax.plot(ends, [height] * 2, color=style.PALE, linewidth=4, zorder=1)
        for name, value in values:
            marker, colour, _ = COMPONENTS[name]
            face = "white" if name == "sd_between_runs" else colour
            size = 12 if marker == "|" else 6.5
            look: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": size}
            ax.plot(value, height, marker, **look, markeredgewidth=1.5, clip_on=False)
    labels = [
        f"{words.technique_label(table, r)}: {r['metric']}, {words.class_name(plan, r['target'])}"
        for _, r in table.iterrows()
    ]
    style.name_rows(ax, labels, most=40)
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
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    style.write_n(figure, table["n"])
    return figure


def alt_components(table: pd.DataFrame, plan: Mapping) -> str:
    """Return in one sentence the largest spread between runs, and how much of it is the run's own."""
    row = table.loc[table["sd_between_runs"].idxmax()]
    name = style.short(words.class_name(plan, row["target"]), 12)
    place = f"{style.short(row['technique'], 16)}, {row['metric']} of {name}"
    return (
        f"What the spread consists of. Widest: SD {fmt.points(row['sd_between_runs'])} points between runs, "
        f"{fmt.points(row['sd_run'])} of the run ({place})."
    )
