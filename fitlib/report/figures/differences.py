"""Differences from the baseline: the heat map of verdicts and the intervals of effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fitlib import formatting as fmt
from fitlib.formatting import is_missing, join_items, points, probability
from fitlib.report.figures.style import (
    BLUE,
    DIVERGING,
    GREY,
    INK,
    PALE,
    WIDTH,
    figure_of,
    in_figures,
    name_rows,
    new_axes,
    panels,
    plain,
    row_labels,
    rows_of,
    rows_with_labels,
    split_labels,
    styled,
)
from fitlib.report.vocabulary import bias_rows
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN

MOST_HEAT_ROWS = 17  # of a heat map in one figure
MARKERS = {  # of a verdict: shape, and filled where the verdict is more than a direction
    FAIRER: ("<", BLUE),
    LOWER: ("<", "white"),
    EQUIVALENT: ("s", BLUE),
    OPEN: ("o", "white"),
    HIGHER: (">", "white"),
    LESS_FAIR: (">", BLUE),
}
KEY: dict[str, Any] = {"loc": "upper left", "fontsize": 7.5, "labelspacing": 0.35, "borderpad": 0.2}


@styled
def heat_map(comparisons: pd.DataFrame, plan: Mapping, ax: Axes | None = None, limit: float | None = None) -> Axes:
    """Draw technique × metric: difference in points, verdict and corrected p in every cell; colour repeats them.

    ``limit``: the difference in points of the strongest colour; default: the largest, at least the smallest effect.
    """
    rows = bias_rows(comparisons)
    labels = _comparison_labels(rows)
    names = list(dict.fromkeys(rows["metric"]))
    ax = ax if ax is not None else new_axes(2.1 * len(labels), width=1.15 * len(names) + 1.6)
    if rows.empty:
        ax.set_axis_off()
        return ax
    where = ["technique", "arm", "metric"]
    cells = rows.drop_duplicates(where).set_index(where)
    grid = 100 * cells["difference"].astype(float).unstack().reindex(index=list(labels), columns=names)
    limit = limit or _strongest(rows, plan)
    look = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit, "cbar": False, "linewidths": 2}
    across, down = [_metric_label(rows, name) for name in names], [plain(label) for label in labels.values()]
    import seaborn  # late: takes half a second

    seaborn.heatmap(grid.to_numpy(), xticklabels=across, yticklabels=down, ax=ax, **look)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelrotation=0)
    ax.grid(False)
    for (*key, name), cell in cells.iterrows():
        i, j = grid.index.get_loc(tuple(key)), grid.columns.get_loc(name)
        dark = abs(grid.iat[i, j]) > 0.62 * limit  # False for NaN
        _write_cell(ax, i + 0.5, j + 0.5, cell, "white" if dark else INK, float(plan["analysis"]["alpha"]))
    return ax


@styled
def heat_maps(comparisons: pd.DataFrame, plan: Mapping) -> list[Figure]:
    """Draw the heat map, its rows in as many figures as fit printed pages, all with the same colours."""
    rows = bias_rows(comparisons)
    limit = _strongest(rows, plan)
    parts = split_labels(_comparison_labels(rows), MOST_HEAT_ROWS) or [{}]
    return [figure_of(heat_map(rows_with_labels(rows, part), plan, limit=limit)) for part in parts]


def _strongest(rows: pd.DataFrame, plan: Mapping) -> float:
    largest = rows["difference"].astype(float).abs().max()
    return 100 * max(0.0 if is_missing(largest) else largest, rows["smallest_effect"].max(), 0.001)


def _write_cell(ax: Axes, y: float, x: float, cell: pd.Series, colour: str, alpha: float) -> None:
    p = cell["p_mean_holm"]
    significant = not is_missing(p) and float(p) <= alpha
    effect = points(cell["difference"], signed=True) if not is_missing(cell["difference"]) else "–"
    verdict = cell["verdict"] or fmt.NOT_ESTIMABLE
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
    ax.text(x, y - 0.27, effect, fontsize=9.5, fontweight="bold", **style)
    ax.text(x, y, verdict, fontsize=7.5, **style)
    text = f"p {probability(p)}{' *' if significant else ''}" if not is_missing(p) else fmt.NO_TEST
    ax.text(x, y + 0.27, text, fontsize=7, **style)


def alt_heat_map(comparisons: pd.DataFrame) -> str:
    """Describe the heat map in words."""
    rows = bias_rows(comparisons)
    texts = []
    for key, label in _comparison_labels(rows).items():
        counts = rows_of(rows, key)["verdict"].value_counts(sort=False)
        texts.append(f"{label.splitlines()[0]}: {join_items((f'{name} on {n}' for name, n in counts.items()), 6)}")
    return f"Heat map of techniques by metrics. {'. '.join(texts)}." if texts else "Heat map without comparisons."


@styled
def effect(comparisons: pd.DataFrame, metric: str, plan: Mapping, ax: Axes | None = None) -> Axes:
    """Draw the difference of means with its interval for each comparison on one metric; band: ± the smallest effect."""
    rows = comparisons[comparisons["metric"] == metric]
    labels = _comparison_labels(rows)
    ax = ax if ax is not None else new_axes(len(labels))
    for height, key in enumerate(labels):
        _effect_row(ax, height, rows_of(rows, key).iloc[0])
    ax.axvline(0, color=GREY, linewidth=0.8)
    baselines = list(dict.fromkeys(rows["baseline"]))
    alone = len(baselines) == 1
    name_rows(ax, [label.split("\n")[0] if alone else label.replace("\n", " ") for label in labels.values()])
    ax.set_title(_metric_label(rows, metric).replace("\n", " "))
    ax.set_xlabel(f"points (technique − {plain(baselines[0]) if alone else 'baseline'})")
    return ax


def draw_band(ax: Axes, height: float, effect: float) -> None:
    """Shade the smallest effect behind one row; as a share of the baseline's mean it differs between rows."""
    if not is_missing(effect):
        ax.fill_betweenx([height - 0.5, height + 0.5], -100 * effect, 100 * effect, color=PALE, linewidth=0, zorder=0)


def _effect_row(ax: Axes, height: int, row: pd.Series) -> None:
    draw_band(ax, height, row["smallest_effect"])
    marker, filled = MARKERS.get(row["verdict"], MARKERS[OPEN])
    if not is_missing(row["simultaneous_low"]):
        ends = [100 * row["simultaneous_low"], 100 * row["simultaneous_high"]]
        ax.plot(ends, [height] * 2, color=BLUE, linewidth=0.8)
    if not is_missing(row["difference"]):
        style: dict[str, Any] = {"color": BLUE, "markerfacecolor": filled, "markersize": 5.5, "linestyle": "none"}
        ax.plot(100 * row["difference"], height, marker, **style)
    if not (is_missing(row["difference_low"]) or is_missing(row["difference_high"])):
        ax.plot([100 * row["difference_low"], 100 * row["difference_high"]], [height] * 2, color=BLUE, linewidth=2.4)
    ax.annotate(row["verdict"], (1, height), (3, 0), ax.get_yaxis_transform(), "offset points", va="center", fontsize=7)


@styled
def effects_figures(comparisons: pd.DataFrame, plan: Mapping) -> list[Figure]:
    """Draw a panel of effects per bias metric, and one that explains the markers, in figures that fit printed pages."""
    bias = bias_rows(comparisons)
    names, rows = list(dict.fromkeys(bias["metric"])), len(_comparison_labels(bias))
    return [_effects(comparisons, plan, part, rows) for part in in_figures([*names, ""], rows)]


def _effects(comparisons: pd.DataFrame, plan: Mapping, names: Sequence[str], rows: int) -> Figure:
    figure, axes = panels(len(names), rows=rows, width=WIDTH + 1.5)
    for name, ax in zip(names, axes, strict=False):
        if name:
            effect(comparisons, name, plan, ax)
        else:
            _effects_key(ax, plan)
    return figure


def _effects_key(ax: Axes, plan: Mapping) -> None:
    """Explain the markers in the panel that is left over."""
    ax.set_axis_off()
    style: dict[str, Any] = {"linestyle": "none", "color": BLUE, "markersize": 5.5}
    handles: list[Any] = [Line2D([], [], marker=m, markerfacecolor=fill, **style) for m, fill in MARKERS.values()]
    handles += [Line2D([], [], color=BLUE, linewidth=width) for width in (2.4, 0.8)]
    labels = [*MARKERS, "95 % interval", "holds together\nwith all others"]
    ax.legend([*handles, Patch(facecolor=PALE)], [*labels, "the smallest effect\nthat counts"], **KEY)


def alt_effects(comparisons: pd.DataFrame) -> str:
    """Describe the interval plots in words."""
    rows = bias_rows(comparisons).dropna(subset=["difference"])
    if rows.empty:
        return "Interval plots of differences: not estimable."
    low, high = rows.loc[rows["difference"].idxmin()], rows.loc[rows["difference"].idxmax()]
    ends = [
        f"{what}: {row['technique']} on {row['metric']}, {points(row['difference'], signed=True)} points."
        for what, row in (("Lowest", low), ("Highest", high))
    ]
    return f"Interval plots of differences from the baseline, one panel per metric. {' '.join(ends)}"


# Labels


def _comparison_labels(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    against = {(r.technique, r.arm): r.baseline for r in rows.itertuples()}
    return {key: f"{label}\nv {against[key]}" for key, label in row_labels(rows).items()}


def _metric_label(rows: pd.DataFrame, metric: str) -> str:
    repeated = [name for name in rows.loc[rows["metric"] == metric, "redundant_with"] if name]
    return f"{metric}\n(repeats {repeated[0]})" if repeated else metric
