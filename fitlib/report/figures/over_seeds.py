"""Differences from the baseline at every seed, and over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.figures import style
from fitlib.report.figures.differences import MARKERS, draw_band, share_span, shared_span, verdict_look
from fitlib.report.figures.style import GREY, INK, ROW, WIDTH, new_figure, styled

DRAWN = ("difference", "low", "high", "simultaneous_low", "simultaneous_high", "seed_low", "seed_high")


@styled
def seeds_figure(over_seeds: pd.DataFrame, by_seed: pd.DataFrame, plan: Mapping) -> Figure:
    """Draw a panel per distinct metric: the difference at every seed, and over seeds; rows are techniques.

    `over_seeds`, `by_seed`: rows of one protected attribute.
    """
    rows = words.distinct(over_seeds)
    metrics, labels = list(dict.fromkeys(rows["metric"])), _labels(rows)
    across = style.columns_of(len(metrics))
    down = -(-len(metrics) // across)
    row = ROW * (3.4 if len(labels) < 5 else 2)
    figure = new_figure(figsize=(WIDTH, 0.5 + down * (0.9 + row * max(len(labels), 1.4))))
    axes = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for ax in axes[len(metrics) :]:
        ax.set_visible(False)
    span = shared_span(_with_seeds(rows, by_seed), DRAWN)
    for metric, ax in zip(metrics, axes, strict=False):
        own = rows[rows["metric"] == metric]
        _panel(ax, own, by_seed[by_seed["metric"] == metric], plan)
        share_span(ax, own, span)
        ax.set_title(metric)
        style.name_rows(ax, list(labels.values()))
    marks = [Line2D([], [], **verdict_look(name, INK), markersize=6, label=name) for name in MARKERS]
    figure.legend(handles=marks, loc="outside lower left", ncols=3, handlelength=1.5)
    n = sorted({int(n) for n in rows["n_seeds"].dropna()})
    style.write_n(figure, rows["n_runs"], whose=f"technique at each of {fmt.join_items(n)} seeds")
    return figure


def _with_seeds(rows: pd.DataFrame, by_seed: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the ends of the widest seed on the same metric: difference ± standard error."""
    used = by_seed[by_seed["used"] == "yes"]
    error = used["standard_error"].fillna(0)
    ends = used.assign(seed_low=used["difference"] - error, seed_high=used["difference"] + error)
    ends = ends.groupby("metric").agg({"seed_low": "min", "seed_high": "max"})
    return rows.merge(ends, on="metric", how="left")


def _panel(ax: Axes, rows: pd.DataFrame, by_seed: pd.DataFrame, plan: Mapping) -> None:
    ax.axvline(0, color=GREY, linewidth=0.8)
    colours = style.technique_colours(plan)
    for height, (_, row) in enumerate(rows.iterrows()):
        draw_band(ax, height, row["smallest_effect"])
        same = (by_seed["technique"] == row["technique"]) & (by_seed["noise"] == row["noise"])
        _draw_seeds(ax, height, by_seed[same & (by_seed["used"] == "yes")])
        _draw_mean(ax, height, row, colours[row["technique"]])
    ax.set_xlabel("points (technique −\nbaseline)")


def _draw_seeds(ax: Axes, height: int, seeds: pd.DataFrame) -> None:
    at = height + np.linspace(-0.38, 0.14, len(seeds))
    values, errors = 100 * seeds["difference"].to_numpy(), 100 * seeds["standard_error"].fillna(0).to_numpy()
    ax.hlines(at, values - errors, values + errors, color=GREY, linewidth=0.8)
    ax.plot(values, at, "o", markersize=3.2, color=GREY)


def _draw_mean(ax: Axes, height: int, row: pd.Series, colour: str) -> None:
    if fmt.is_missing(row["difference"]):
        return
    at = height + 0.32
    if not fmt.is_missing(row["simultaneous_low"]):
        ends = [100 * row["simultaneous_low"], 100 * row["simultaneous_high"]]
        ax.plot(ends, [at] * 2, color=colour, linewidth=0.9)
    if not fmt.is_missing(row["low"]):
        ax.plot([100 * row["low"], 100 * row["high"]], [at] * 2, color=colour, linewidth=2.4)
    ax.plot(100 * row["difference"], at, **verdict_look(row["verdict"], colour), markersize=7)


def _labels(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    keys = rows.drop_duplicates(["technique", "noise"])
    several = keys["noise"].nunique() > 1
    return {
        (row.technique, row.noise): f"{row.technique}\nv {row.baseline}" + (f"\n{row.noise}" if several else "")
        for row in keys.itertuples()
    }


def alt_seeds(over_seeds: pd.DataFrame, by_seed: pd.DataFrame) -> str:
    """Return in one sentence the lowest difference over seeds, and how it varies between seeds."""
    rows = words.distinct(over_seeds).dropna(subset=["difference"])
    if rows.empty:
        return "Differences at every seed and over seeds: not estimable."
    row = rows.loc[rows["difference"].idxmin()]
    same = by_seed[(by_seed[["technique", "noise", "metric"]] == row[["technique", "noise", "metric"]]).all(axis=1)]
    seeds = same.loc[same["used"] == "yes", "difference"]
    ends = " to ".join(fmt.points(end, signed=True) for end in (seeds.min(), seeds.max()))
    return (
        f"Differences at every seed. Lowest over seeds: {style.short(row['technique'])} on {row['metric']}, "
        f"{fmt.points(row['difference'], signed=True)} points; single seeds {ends}."
    )
