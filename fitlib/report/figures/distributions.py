"""Distributions: every run of every technique as a point, with the mean and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib.formatting import count, is_missing, points
from fitlib.report.figures.style import (
    INK,
    in_figures,
    name_rows,
    new_axes,
    palette_for,
    panels,
    row_labels,
    rows_of,
    run_numbers,
    run_points,
    short,
    stacked,
    styled,
    write_n,
)
from fitlib.report.vocabulary import METRIC_NAMES, overall_rows


@styled
def distribution(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    metric: str,
    palette: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw every run's overall value of `metric` as a point, by technique, with mean and 95 % interval.

    `metrics`: long metric table of one reading and attribute; `summary`: the summary of the same. Within a row, runs
    are stacked in run order. An interval that is not estimable is not drawn. `palette`: the colours of techniques
    that are no baseline; the axis of a bias metric begins at 0, no bias.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> metrics = results.tables["metrics"].query("reading == 'strict'")
    >>> ax = plots.distribution(metrics, results.tables["summary"], "DI")
    >>> ax.get_title(loc="left"), ax.get_xlabel()
    ('DI', 'points (0: no bias)')
    """
    rows = metrics[(metrics["metric"] == metric) & metrics["target"].isna() & metrics["group"].isna()]
    labels, palette = row_labels(rows), palette_for(rows, palette)
    ax = ax if ax is not None else new_axes(len(labels))
    for height, key in enumerate(labels):
        values = 100 * rows_of(rows, key).sort_values("run")["value"].to_numpy(float)
        ax.plot(values, height + stacked(len(values)), **run_points(palette.get(key[0])))
        _draw_mean(ax, height, rows_of(_overall_rows(summary, metric), key))
    name_rows(ax, list(labels.values()))
    _widen(ax)
    if metric in METRIC_NAMES:
        _begin_at_no_bias(ax)
    ax.set_title(metric)
    ax.set_xlabel("% correct" if metric == "accuracy" else "points (0: no bias)")
    return ax


@styled
def distributions_figures(
    metrics: pd.DataFrame, summary: pd.DataFrame, palette: Mapping[str, str] | None = None
) -> list[Figure]:
    """Draw a panel per bias metric, and one for accuracy, in as many figures as fit printed pages."""
    names = list(metrics["metric"].unique())
    rows = len(row_labels(metrics))
    palette = palette_for(metrics, palette)
    return [_distributions(metrics, summary, palette, part, rows) for part in in_figures(names, rows)]


def _distributions(
    metrics: pd.DataFrame, summary: pd.DataFrame, palette: Mapping[str, str], names: Sequence[str], rows: int
) -> Figure:
    figure, axes = panels(len(names), rows=rows)
    for name, ax in zip(names, axes, strict=False):
        distribution(metrics, summary, name, palette, ax)
    write_n(figure, run_numbers(metrics))
    return figure


def alt_distributions(summary: pd.DataFrame) -> str:
    """Return in one sentence on which metric equal runs differ most."""
    rows = overall_rows(summary).dropna(subset=["maxdiff"])
    what = f"Every run on {count(overall_rows(summary)['metric'].nunique(), 'metric')}."
    if rows.empty:
        return f"{what} No spread between runs is estimable."
    wide = rows.loc[rows["maxdiff"].idxmax()]
    ends = f"{points(wide['min'])} to {points(wide['max'])} points"
    return f"{what} Widest: {wide['metric']} of {short(wide['technique'])}, {ends}."


def _overall_rows(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the overall rows of one metric, accuracy included (its per-group rows left out)."""
    return summary[(summary["metric"] == metric) & (summary["target"] == "overall") & summary["group"].isna()]


def _draw_mean(ax: Axes, height: int, rows: pd.DataFrame) -> None:
    for _, row in rows.head(1).iterrows():
        if not is_missing(row["mean"]):
            ax.plot(100 * row["mean"], height, "|", color=INK, markersize=13, markeredgewidth=1.6)
        if not (is_missing(row["mean_low"]) or is_missing(row["mean_high"])):
            ax.plot([100 * row["mean_low"], 100 * row["mean_high"]], [height] * 2, color=INK, linewidth=1.6)


def _widen(ax: Axes) -> None:
    """Leave half a point to either side where all values are equal, so that rounding is not magnified."""
    if 0 <= ax.dataLim.width < 1e-6:  # without any value the width is -inf
        ax.set_xlim(ax.dataLim.x0 - 0.5, ax.dataLim.x0 + 0.5)


def _begin_at_no_bias(ax: Axes) -> None:
    low, high = ax.dataLim.x0, ax.get_xlim()[1]
    if low >= 0:
        ax.set_xlim(-0.02 * high, max(high, 1))
        ax.spines["left"].set_visible(False)
    ax.axvline(0, color=INK, linewidth=1)
