"""Pictures of the spread: how it grows with epochs and with the number of runs, what it consists of, training curves.

Figures as in `fitlib.report.figures.style`: tidy tables in, axes out. Lines carry markers or dashes, so that none is
told apart by colour alone. `alt_…` functions say in words, from the data, what a figure shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fitlib import formatting as fmt
from fitlib.report.figures import style as style_figures
from fitlib.report.figures.style import BLUE, GREY, INK, VERMILION, WIDTH, styled
from fitlib.statistics import power
from fitlib.statistics.estimates import is_constant

MOST_LINES = 5  # techniques with a line of their own; of more, their range is drawn
MARKERS = "osD^v"
COLOURS, DASHES = (BLUE, VERMILION, INK, GREY), ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (5, 1, 1, 1)))
MEASURES = {"accuracy": "accuracy", "gap": "the gap between groups"}
COMPONENTS = {
    "sd_between_runs": ("o", INK, "between runs, on this test set"),
    "sd_run": ("D", BLUE, "of the run, whatever the test set"),
    "sd_test_set": ("s", VERMILION, "of the draw of the test set"),
    "sd_interaction": ("^", GREY, "run × test set"),
    "floor_sd": ("|", GREY, "floor: independent flips"),
}


# Against the number of runs


def expected_maxdiff(values: np.ndarray, k: int) -> float:
    """Mean MaxDiff of all choices of `k` of the runs (runs,).

    Σ x₍ᵢ₎ (C(i−1, k−1) − C(n−i, k−1)) / C(n, k) over the sorted values.
    """
    x, n = np.sort(np.asarray(values, float)), len(values)
    weights = [(comb(i, k - 1) - comb(n - 1 - i, k - 1)) / comb(n, k) for i in range(n)]
    return float(x @ weights)


def against_runs(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """By technique, arm and number of runs: mean MaxDiff of that many of the runs, and the expected interval width.

    Width: of Student's 95 % interval of the mean, at the SD of all runs. Columns technique, arm, n, maxdiff, width; in
    points. Values that are constant in all runs are left out.
    """
    rows = metrics[(metrics["metric"] == metric) & metrics["target"].isna() & metrics["group"].isna()]
    found = []
    for (technique, arm), group in rows.groupby(["technique", "arm"], sort=False):
        values = 100 * group["value"].dropna().to_numpy(float)
        if values.size < 2 or is_constant(values):
            continue
        for k in range(2, len(values) + 1):
            found.append((technique, arm, k, expected_maxdiff(values, k), _width(values, k)))
    return pd.DataFrame(found, columns=["technique", "arm", "n", "maxdiff", "width"])


def _width(values: np.ndarray, k: int) -> float:
    return 2 * power.mean_half_width(k) * float(values.std(ddof=1))


@styled
def by_runs(table: pd.DataFrame, what: str, ax: Axes | None = None) -> Axes:
    """A column of `against_runs`, "maxdiff" or "width", against the number of runs (widths from 3 runs on)."""
    ax = ax if ax is not None else Figure(figsize=(4.4, 3), layout="constrained").subplots()
    few = what == "width" and (table["n"] > 2).any()  # at 2 runs the interval is several times as wide as at 3
    _lines(ax, table[table["n"] > 2] if few else table, "n", what)
    titles = {"maxdiff": "MaxDiff grows with n", "width": "The interval of the mean narrows"}
    labels = {"maxdiff": "mean MaxDiff, points", "width": "width of the 95 % interval, points"}
    ax.set(title=titles[what], ylabel=labels[what], xlabel="number of runs", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


@styled
def by_runs_figure(table: pd.DataFrame) -> Figure:
    """MaxDiff and the width of the interval of the mean, side by side."""
    return _two(table, "n", ("maxdiff", "width"), by_runs)


def alt_by_runs(table: pd.DataFrame, metric: str) -> str:
    """What the figure shows, in words."""
    if table.empty:
        return "Curves against the number of runs: no technique has two runs."
    told = []
    for (technique, _), rows in list(table.groupby(["technique", "arm"], sort=False))[:8]:
        first, last = rows.iloc[0], rows.iloc[-1]
        told.append(
            f"{technique}: MaxDiff {fmt.decimals(first['maxdiff'])} points for 2 runs, "
            f"{fmt.decimals(last['maxdiff'])} for {int(last['n'])}; width {fmt.decimals(last['width'])}"
        )
    return f"Curves of {metric} against the number of runs, a line per technique. {'. '.join(told)}."


# Against the epoch


# Training curves


# What the spread consists of


# Shared


def _two(table: pd.DataFrame, x: str, columns: Sequence[str], draw: object) -> Figure:
    """Two panels with the techniques explained below."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    for ax, column in zip(figure.subplots(1, 2), columns, strict=True):
        draw(table, column, ax)
    figure.legend(handles=_key(table), loc="outside lower left", ncols=5, fontsize=8.5, handlelength=4)
    return figure


def _lines(ax: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """A line per technique and arm; of more than `MOST_LINES` their range and median."""
    labels = style_figures.row_labels(table)
    if len(labels) > MOST_LINES:
        spread = table.groupby(x)[y]
        ax.fill_between(spread.min().index, spread.min(), spread.max(), color=BLUE, alpha=0.2, linewidth=0)
        ax.plot(spread.median().index, spread.median(), color=INK, linewidth=1.6)
        return
    for key, style in zip(labels, _styles(), strict=False):
        rows = style_figures.rows_of(table, key)
        ax.plot(rows[x], rows[y], **style, linewidth=1.3, markersize=3.6, markevery=max(1, len(rows) // 10))


def _styles() -> list[dict]:
    return [
        {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i]}
        for i in range(MOST_LINES)
    ]


def _key(table: pd.DataFrame) -> list:
    labels = style_figures.row_labels(table)
    if len(labels) > MOST_LINES:
        band = Patch(facecolor=BLUE, alpha=0.2, label=f"{len(labels)} rows, smallest to largest")
        return [band, Line2D([], [], color=INK, linewidth=1.6, label="their median")]
    return [
        Line2D([], [], **style, markersize=3.6, label=style_figures.plain(label))
        for label, style in zip(labels.values(), _styles(), strict=False)
    ]
