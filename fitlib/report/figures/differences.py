"""Differences from the baseline: the heat map of verdicts and the intervals of effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fitlib import formatting as fmt
from fitlib.formatting import is_missing, points, probability
from fitlib.report.figures.style import (
    DIVERGING,
    GREY,
    INK,
    PALE,
    SMALL,
    TEXT,
    figure_of,
    in_figures,
    name_rows,
    new_axes,
    panels,
    plain,
    readable_ink,
    row_labels,
    rows_of,
    rows_with_labels,
    short,
    split_labels,
    styled,
    technique_colours,
    write_n,
)
from fitlib.report.vocabulary import bias_rows
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN

MOST_HEAT_ROWS = 14  # of a heat map in one figure
ENDS = ("difference", "difference_low", "difference_high", "simultaneous_low", "simultaneous_high")
MARKERS = {  # of a verdict: shape, and filled where the verdict is more than a direction
    FAIRER: ("<", True),
    LOWER: ("<", False),
    EQUIVALENT: ("s", True),
    OPEN: ("o", False),
    HIGHER: (">", False),
    LESS_FAIR: (">", True),
}


@styled
def heat_map(comparisons: pd.DataFrame, plan: Mapping, ax: Axes | None = None, limit: float | None = None) -> Axes:
    """Draw technique × metric: difference in points, verdict and corrected p in every cell; colour repeats them.

    ``limit``: the difference in points of the strongest colour; default: the largest, at least the smallest effect.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> ax = plots.heat_map(results.tables["comparisons"], results.plan)
    >>> [label.get_text().split() for label in ax.get_yticklabels()]
    [['Fairer', 'v', 'Plain'], ['Same', 'v', 'Plain']]
    """
    rows = bias_rows(comparisons)
    labels = _comparison_labels(rows)
    names = list(dict.fromkeys(rows["metric"]))
    ax = ax if ax is not None else new_axes(2.4 * len(labels), width=0.88 * len(names) + 1.2)
    if rows.empty:
        ax.set_axis_off()
        return ax
    where = ["technique", "arm", "metric"]
    cells = rows.drop_duplicates(where).set_index(where)
    grid = 100 * cells["difference"].astype(float).unstack().reindex(index=list(labels), columns=names)
    limit = limit or strongest(rows, plan)
    look = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit, "cbar": False, "linewidths": 2}
    across, down = [_metric_label(rows, name) for name in names], [plain(label) for label in labels.values()]
    import seaborn  # late: takes half a second

    seaborn.heatmap(grid.to_numpy(), xticklabels=across, yticklabels=down, ax=ax, **look)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelrotation=0)
    ax.grid(False)
    for (*key, name), cell in cells.iterrows():
        i, j = grid.index.get_loc(tuple(key)), grid.columns.get_loc(name)
        ink = readable_ink(DIVERGING(0.5 + grid.iat[i, j] / (2 * limit)))
        _write_cell(ax, i + 0.5, j + 0.5, cell, ink, float(plan["analysis"]["alpha"]))
    return ax


@styled
def heat_maps(comparisons: pd.DataFrame, plan: Mapping, limit: float | None = None) -> list[Figure]:
    """Draw the heat map, its rows in as many figures as fit printed pages, all with the same colours.

    ``limit``: as of `heat_map`; `strongest` of all attributes gives their heat maps the same colours.
    """
    rows = bias_rows(comparisons)
    limit = limit or strongest(rows, plan)
    parts = split_labels(_comparison_labels(rows), MOST_HEAT_ROWS) or [{}]
    figures = [figure_of(heat_map(rows_with_labels(rows, part), plan, limit=limit)) for part in parts]
    for figure in figures:
        write_n(figure, _sizes(rows))
    return figures


def _sizes(rows: pd.DataFrame) -> pd.Series:
    """Return the numbers of runs of both sides of the comparisons."""
    return pd.concat([rows["n_baseline"], rows["n_technique"]])


def strongest(comparisons: pd.DataFrame, plan: Mapping) -> float:
    """Return the largest difference of a bias metric, in points, at least the smallest effect."""
    rows = bias_rows(comparisons)
    largest = rows["difference"].astype(float).abs().max()
    return 100 * max(0.0 if is_missing(largest) else largest, rows["smallest_effect"].max(), 0.001)


def _write_cell(ax: Axes, y: float, x: float, cell: pd.Series, colour: str, alpha: float) -> None:
    p = cell["p_mean_holm"]
    significant = not is_missing(p) and float(p) <= alpha
    effect = points(cell["difference"], signed=True) if not is_missing(cell["difference"]) else "–"
    verdict = fill(cell["verdict"] or fmt.NOT_ESTIMABLE, 11)
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
    ax.text(x, y - 0.3, effect, fontsize=TEXT, fontweight="bold", **style)
    ax.text(x, y, verdict, fontsize=SMALL, linespacing=1.15, **style)
    text = f"p {probability(p)}{' *' if significant else ''}" if not is_missing(p) else fmt.NO_TEST
    ax.text(x, y + 0.32, text, fontsize=SMALL, **style)


def alt_heat_map(comparisons: pd.DataFrame) -> str:
    """Return in one sentence which technique is fairer, and which less fair, on most metrics."""
    rows = bias_rows(comparisons)
    if rows.empty:
        return "Heat map without comparisons."
    texts = [_most_often(rows, verdict) for verdict in (FAIRER, LESS_FAIR)]
    return f"Differences by technique and metric. {' '.join(texts)}"


def _most_often(rows: pd.DataFrame, verdict: str) -> str:
    counts = rows[rows["verdict"] == verdict].groupby(["technique", "arm"], sort=False).size()
    name = verdict.capitalize()
    if counts.empty:
        return f"{name}: none."
    return f"{name} most often: {short(counts.idxmax()[0])}, on {fmt.count(int(counts.max()), 'metric')}."


@styled
def effect(comparisons: pd.DataFrame, metric: str, plan: Mapping, ax: Axes | None = None, named: bool = True) -> Axes:
    """Draw the difference of means with its interval for each comparison on one metric; band: ± the smallest effect.

    ``named``: write the verdicts, which the marks show, at the right.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> plots.effect(results.tables["comparisons"], "DI", results.plan).get_xlabel()
    'points (technique − Plain)'
    """
    rows = comparisons[comparisons["metric"] == metric]
    labels, colours = _comparison_labels(rows), technique_colours(plan)
    ax = ax if ax is not None else new_axes(len(labels))
    for height, key in enumerate(labels):
        row = rows_of(rows, key).iloc[0]
        _effect_row(ax, height, row, colours[key[0]])
        if named:
            place: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
            ax.annotate(row["verdict"], (1, height), (3, 0), va="center", fontsize=SMALL, **place)
    ax.axvline(0, color=GREY, linewidth=0.8)
    baselines = list(dict.fromkeys(rows["baseline"]))
    alone = len(baselines) == 1
    name_rows(ax, [label.split("\n")[0] if alone else label.replace("\n", " ") for label in labels.values()])
    ax.set_title(metric)
    ax.set_xlabel(f"points (technique − {plain(baselines[0]) if alone else 'baseline'})")
    return ax


def draw_band(ax: Axes, height: float, effect: float) -> None:
    """Shade the smallest effect behind one row; as a share of the baseline's mean it differs between rows."""
    if not is_missing(effect):
        ax.fill_betweenx([height - 0.5, height + 0.5], -100 * effect, 100 * effect, color=PALE, linewidth=0, zorder=0)


def verdict_look(verdict: str, colour: str) -> dict[str, Any]:
    """Return the mark of a verdict in a technique's colour, hollow where the verdict is a direction only, or open."""
    marker, filled = MARKERS.get(verdict, MARKERS[OPEN])
    return {"marker": marker, "color": colour, "markerfacecolor": colour if filled else "white", "linestyle": "none"}


def _effect_row(ax: Axes, height: int, row: pd.Series, colour: str) -> None:
    draw_band(ax, height, row["smallest_effect"])
    if not is_missing(row["simultaneous_low"]):
        ends = [100 * row["simultaneous_low"], 100 * row["simultaneous_high"]]
        ax.plot(ends, [height] * 2, color=colour, linewidth=0.9)
    if not (is_missing(row["difference_low"]) or is_missing(row["difference_high"])):
        ax.plot([100 * row["difference_low"], 100 * row["difference_high"]], [height] * 2, color=colour, linewidth=2.4)
    if not is_missing(row["difference"]):
        ax.plot(100 * row["difference"], height, **verdict_look(row["verdict"], colour), markersize=6)


@styled
def effects_figures(comparisons: pd.DataFrame, plan: Mapping) -> list[Figure]:
    """Draw a panel of effects per distinct bias metric, in as many figures as fit printed pages, with their key.

    The band of the smallest effect has the same width in all panels. Metrics in proportion to another have no panel.
    """
    bias = bias_rows(comparisons)
    names = list(dict.fromkeys(bias["metric"]))
    left_out = {name: other for name in names if (other := repeated(bias, name))}
    rows, shown = len(_comparison_labels(bias)), [name for name in names if name not in left_out]
    span = shared_span(bias[bias["metric"].isin(shown)], ENDS)
    figures = [_effects(bias, plan, part, rows, span) for part in in_figures(shown, rows)]
    for figure in figures:
        _write_key(figure, left_out)
        write_n(figure, _sizes(bias))
    return figures


def shared_span(rows: pd.DataFrame, columns: Sequence[str]) -> tuple[float, float]:
    """Return from where to where all panels reach, in smallest effects: what ``columns`` hold, and the band."""
    size = rows.groupby("metric")["smallest_effect"].transform("max")
    ends = rows[list(columns)].div(size.where(size > 0), axis=0)
    return float(np.nanmin([*ends.min(), -1.5])), float(np.nanmax([*ends.max(), 1.5]))


def share_span(ax: Axes, rows: pd.DataFrame, span: tuple[float, float]) -> None:
    """Give the panel of one metric the span that all panels share, so that their bands are equally wide."""
    size, margin = 100 * rows["smallest_effect"].max(), 0.03 * (span[1] - span[0])
    if size > 0:
        ax.set_xlim((span[0] - margin) * size, (span[1] + margin) * size)


def _effects(
    comparisons: pd.DataFrame, plan: Mapping, names: Sequence[str], rows: int, span: tuple[float, float]
) -> Figure:
    figure, axes = panels(len(names), rows=rows, key=0.9)
    for name, ax in zip(names, axes, strict=True):
        effect(comparisons, name, plan, ax, named=False)
        share_span(ax, comparisons[comparisons["metric"] == name], span)
    return figure


def _write_key(figure: Figure, left_out: Mapping[str, str]) -> None:
    """Explain the marks below the panels, and name the metrics without a panel."""
    handles: list[Any] = [Line2D([], [], **verdict_look(name, INK), markersize=6, label=name) for name in MARKERS]
    handles.append(Line2D([], [], color=INK, linewidth=2.4, label="95 % interval"))
    handles.append(Line2D([], [], color=INK, linewidth=0.9, label="holds together with all others"))
    handles.append(Patch(facecolor=PALE, label="± the smallest effect"))
    texts = [f"{name} ∝ {other}: not drawn" for name, other in left_out.items()]
    handles += [Line2D([], [], color=INK, linestyle="none", label=text) for text in texts]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, handlelength=1.5)


def alt_effects(comparisons: pd.DataFrame) -> str:
    """Return in one sentence the lowest and the highest difference."""
    rows = bias_rows(comparisons).dropna(subset=["difference"])
    if rows.empty:
        return "Interval plots of differences: not estimable."
    ends = [
        f"{short(row['technique'])} on {row['metric']}, {points(row['difference'], signed=True)}"
        for row in (rows.loc[rows["difference"].idxmin()], rows.loc[rows["difference"].idxmax()])
    ]
    return f"Differences from the baseline in points. Lowest: {ends[0]}; highest: {ends[1]}."


# Labels


def _comparison_labels(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    against = {(r.technique, r.arm): r.baseline for r in rows.itertuples()}
    return {key: f"{label}\nv {against[key]}" for key, label in row_labels(rows).items()}


def repeated(rows: pd.DataFrame, metric: str) -> str:
    """Return the metric that this one is proportional to in all comparisons, "" for none."""
    others = rows.loc[rows["metric"] == metric, "redundant_with"]
    return str(others.iloc[0]) if len(others) and (others != "").all() else ""


def _metric_label(rows: pd.DataFrame, metric: str) -> str:
    found = [name for name in rows.loc[rows["metric"] == metric, "redundant_with"] if name]
    return f"{metric}\n(repeats\n{found[0]})" if found else metric
