"""Distributions: every run of every technique as a point, with the mean and its interval."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib.formatting import is_missing, points
from fitlib.report.figures.style import (
    INK,
    in_figures,
    name_rows,
    new_axes,
    panels,
    row_labels,
    rows_of,
    run_points,
    stacked,
    styled,
)
from fitlib.report.vocabulary import overall_rows


@styled
def distribution(
    metrics: pd.DataFrame, summary: pd.DataFrame, metric: str, baselines: Collection[str] = (), ax: Axes | None = None
) -> Axes:
    """Draw every run's overall value of `metric` as a point, by technique, with mean and 95 % interval.

    `metrics`: long metric table of one reading and attribute; `summary`: the summary of the same. Within a row, runs
    are stacked in run order. An interval that is not estimable is not drawn.
    """
    rows = metrics[(metrics["metric"] == metric) & metrics["target"].isna() & metrics["group"].isna()]
    labels = row_labels(rows)
    ax = ax if ax is not None else new_axes(len(labels))
    for height, key in enumerate(labels):
        values = 100 * rows_of(rows, key).sort_values("run")["value"].to_numpy(float)
        hollow = key[0] in baselines
        ax.plot(values, height + stacked(len(values)), **run_points(hollow))
        _draw_mean(ax, height, rows_of(_overall_rows(summary, metric), key))
    name_rows(ax, list(labels.values()))
    _widen(ax)
    ax.set_title(metric)
    ax.set_xlabel("% correct" if metric == "accuracy" else "points (0: no bias)")
    return ax


@styled
def distributions_figures(
    metrics: pd.DataFrame, summary: pd.DataFrame, baselines: Collection[str] = ()
) -> list[Figure]:
    """Draw a panel per bias metric, and one for accuracy, in as many figures as fit printed pages."""
    names = list(metrics["metric"].unique())
    rows = len(row_labels(metrics))
    return [_distributions(metrics, summary, baselines, part, rows) for part in in_figures(names, rows)]


def _distributions(
    metrics: pd.DataFrame, summary: pd.DataFrame, baselines: Collection[str], names: Sequence[str], rows: int
) -> Figure:
    figure, axes = panels(len(names), rows=rows)
    for name, ax in zip(names, axes, strict=False):
        distribution(metrics, summary, name, baselines, ax)
    return figure


def alt_distributions(summary: pd.DataFrame) -> str:
    """Describe the distributions in words."""
    rows = overall_rows(summary)
    texts = [_range_of(metric, group) for metric, group in rows.groupby("metric", sort=False)]
    return f"Dot plots, one panel per metric, one row per technique, one dot per run. {' '.join(texts)}"


def _range_of(metric: str, group: pd.DataFrame) -> str:
    group = group.dropna(subset=["mean"])
    if group.empty:
        return f"{metric}: not estimable."
    low, high = group.loc[group["mean"].idxmin()], group.loc[group["mean"].idxmax()]
    if low["technique"] == high["technique"]:
        return f"{metric}: mean {points(low['mean'])} points ({low['technique']})."
    return (
        f"{metric}: means from {points(low['mean'])} ({low['technique']}) to {points(high['mean'])} points "
        f"({high['technique']})."
    )


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
