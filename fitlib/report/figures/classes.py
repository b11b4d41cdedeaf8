"""A metric class by class: every class and run.

Up to `FEW` classes are rows with their names; of more, every technique is a ridge over all classes, which keep one
order. On DI a dashed line marks an impact ratio of 0.8, and triangles the runs below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.figures import style
from fitlib.report.figures.style import GREY, INK, ROW, SMALL, WIDTH, new_figure, styled

FEW = 24  # classes with a row and a name of their own
NAMED = 6  # classes named on the axis of ridges
MOST_RIDGES = 14  # techniques in one figure
RIDGE = 0.62  # height of a ridge, inches
LANDMARKS = {"DI": 20}  # points beyond which the impact ratio, 1 − DI, is below 0.8


def class_values(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the values of a metric by technique, arm, target and run, where defined; in points."""
    rows = metrics[(metrics["metric"] == metric) & metrics["target"].notna() & metrics["group"].isna()]
    rows = rows.assign(target=rows["target"].astype(int), value=100 * rows["value"].astype(float))
    return rows[["technique", "arm", "run", "target", "value"]].dropna(subset=["value"])


def class_order(values: pd.DataFrame) -> list[int]:
    """Return the classes from the largest mean to the smallest, over all techniques: the order in figures."""
    return values.groupby("target")["value"].mean().sort_values(ascending=False, kind="stable").index.tolist()


# Strips: few classes


@styled
def strip(
    values: pd.DataFrame,
    key: tuple[str, str],
    plan: Mapping,
    order: Sequence[int],
    ax: Axes | None = None,
    landmark: float = np.inf,
) -> Axes:
    """Draw one technique and arm: a row per class, every run a point (beyond ``landmark`` a triangle)."""
    ax = ax if ax is not None else style.new_axes(len(order))
    rows, look = style.rows_of(values, key), style.run_points(style.technique_colours(plan).get(key[0]))
    for height, target in enumerate(order):
        found = rows.loc[rows["target"] == target].sort_values("run")["value"].to_numpy(float)
        offsets, beyond = height + style.stacked(len(found)), found > landmark + 1e-9
        ax.plot(found[~beyond], offsets[~beyond], **look)
        ax.plot(found[beyond], offsets[beyond], **look | {"marker": "^", "markersize": 4})
        if len(found):
            ax.plot(found.mean(), height, "|", color=INK, markersize=11, markeredgewidth=1.6)
        else:
            _undefined(ax, height)
    style.name_rows(ax, [words.class_name(plan, target) for target in order])
    if np.isfinite(landmark):
        ax.axvline(landmark, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    ax.set_xlabel(_axis_label(landmark))
    return ax


def _axis_label(landmark: float) -> str:
    return "points (0: no bias)" if np.isinf(landmark) else "points (dashed: impact ratio 0.8)"


def _undefined(ax: Axes, height: int) -> None:
    place = ax.get_yaxis_transform()
    ax.text(0.02, height, "undefined in every run", va="center", fontsize=SMALL, color=GREY, transform=place)


# Ridges: many classes


@styled
def ridge(
    values: pd.DataFrame,
    key: tuple[str, str],
    order: Sequence[int],
    limit: float,
    ax: Axes | None = None,
    colour: str = GREY,
) -> Axes:
    """Draw one technique over all classes: the band from the smallest to the largest run, the mean as a line."""
    ax = ax if ax is not None else new_figure(figsize=(WIDTH, 1.4)).subplots()
    runs = style.rows_of(values, key).groupby("target")["value"].agg(["min", "mean", "max"]).reindex(order)
    edges = np.arange(len(order) + 1) - 0.5
    ax.stairs(runs["max"], edges, baseline=runs["min"].to_numpy(float), fill=True, color=colour, alpha=0.4, linewidth=0)
    ax.stairs(runs["mean"], edges, baseline=None, color=INK, linewidth=0.8)
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0, limit))
    ax.grid(False, axis="x")
    return ax


def _named_classes(order: Sequence[int], plan: Mapping, ax: Axes) -> None:
    """Name some classes below the axis, evenly spaced, including the first and the last."""
    at = np.unique(np.linspace(0, len(order) - 1, min(NAMED, len(order))).astype(int))
    ax.set_xticks(at, [style.plain(words.class_name(plan, order[i]), 12) for i in at], fontsize=SMALL)
    ax.set_xlabel(f"all {len(order)} classes, from the largest mean over techniques to the smallest")


# Figures


@styled
def per_class_figures(metrics: pd.DataFrame, metric: str, plan: Mapping) -> list[Figure]:
    """Draw a metric class by class for every technique: strips or ridges, in as many figures as it takes."""
    values = class_values(metrics, metric)
    order, labels = class_order(values), style.row_labels(values)
    if not order:
        return []
    if len(order) > FEW:
        return [_ridges(values, part, order, metric, plan) for part in style.split_labels(labels, MOST_RIDGES)]
    most = 3 * max(1, int(style.TALLEST // (0.85 + ROW * max(len(order), 2))))
    return [_strips(values, part, order, metric, plan) for part in style.split_labels(labels, most)]


@styled
def technique_classes(
    metrics: pd.DataFrame, metric: str, technique: str, plan: Mapping, ax: Axes | None = None
) -> Axes:
    """Draw a metric of one technique class by class, on the axis that all techniques share.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> ax = plots.classes(results.tables["metrics"].query("reading == 'strict'"), "DI", "Plain", results.plan)
    >>> ax.get_title(loc="left")
    'DI, Plain'
    """
    values = class_values(metrics, metric)
    order = class_order(values)
    key = next(key for key in style.row_labels(values) if key[0] == technique)
    if len(order) > FEW:
        colour = style.technique_colours(plan).get(technique, GREY)
        ax = ridge(values, key, order, 1.05 * values["value"].max() or 1.0, ax, colour)
        _named_classes(order, plan, ax)
        ax.set_ylabel("points (0: no bias)")
    else:
        ax = strip(values, key, plan, order, ax, LANDMARKS.get(metric, np.inf))
        ax.set_xlim(_limits(values["value"]))
    ax.set_title(f"{metric}, {style.plain(technique)}")
    return ax


def _strips(values: pd.DataFrame, labels: Mapping, order: Sequence[int], metric: str, plan: Mapping) -> Figure:
    figure, axes = style.panels(len(labels), rows=len(order))
    limits = _limits(values["value"])
    for (key, label), ax in zip(labels.items(), axes, strict=False):
        strip(values, key, plan, order, ax, LANDMARKS.get(metric, np.inf)).set_xlim(limits)
        ax.set_title(f"{metric}, {style.plain(label)}")
    style.write_n(figure, style.run_numbers(values))
    return figure


def _limits(values: pd.Series) -> tuple[float, float]:
    """Give all techniques the same axis, so that they can be compared."""
    low, high = min(0.0, values.min()), values.max()
    margin = 0.04 * ((high - low) or 1.0)
    return low - margin, high + margin


def _ridges(values: pd.DataFrame, labels: Mapping, order: Sequence[int], metric: str, plan: Mapping) -> Figure:
    figure = new_figure(figsize=(WIDTH, 0.8 + RIDGE * max(len(labels), 2)))
    axes = figure.subplots(len(labels), 1, sharex=True, sharey=True, squeeze=False).ravel()
    for (key, label), ax in zip(labels.items(), axes, strict=True):
        colour = style.technique_colours(plan).get(key[0], GREY)
        ridge(values, key, order, 1.05 * values["value"].max() or 1.0, ax, colour)
        ax.set_ylabel(style.plain(label, 16), rotation=0, ha="right", va="center")
    _named_classes(order, plan, axes[-1])
    axes[0].set_title(f"{metric}, points (band: smallest to largest run; line: mean)")
    style.write_n(figure, style.run_numbers(values))
    return figure


def alt_per_class(metrics: pd.DataFrame, metric: str, plan: Mapping) -> str:
    """Return in one sentence in which class the metric is largest, and where it spreads most over runs."""
    values = class_values(metrics, metric)
    if values.empty:
        return f"{metric} by class: undefined in every run."
    spread = values.groupby(["technique", "arm", "target"], sort=False)["value"].agg(["mean", "min", "max"])
    top, wide = spread["mean"].idxmax(), (spread["max"] - spread["min"]).idxmax()
    ends = " to ".join(fmt.decimals(spread.loc[wide, end]) for end in ("min", "max"))
    return (
        f"{metric} by class, in points. Largest mean: {fmt.decimals(spread.loc[top, 'mean'])} ({_place(top, plan)}). "
        f"Widest over runs: {ends} ({_place(wide, plan)})."
    )


def _place(key: tuple, plan: Mapping) -> str:
    return f"{style.short(key[0], 16)}, {style.short(words.class_name(plan, key[2]), 12)}"
