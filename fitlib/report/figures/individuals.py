"""Decisions that change between runs: the share of a group's cases beyond each share of disagreeing pairs of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import comb

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.figures import style
from fitlib.report.figures.style import GREY, INK, TEXT, WIDTH, new_figure, styled

MOST_PANELS = 15  # in one figure
MOST_LINES = 8  # groups with a line of their own; of more, the range over groups is drawn
MOST_RUNS = 100  # with more, attainable shares lie so close together that they are not told apart
ABOVE = {0.0: "share_never", **{x / 100: f"above_{x}" for x in (10, 20, 30, 40)}, 0.5: "share_coin_flip"}


def distribution_figures(individuals: pd.DataFrame, plan: Mapping, attribute: str) -> list[Figure]:
    """Draw the distributions of all techniques, in as many figures as fit printed pages."""
    parts = style.split_labels(style.row_labels(individuals), MOST_PANELS)
    return [distribution_figure(style.rows_with_labels(individuals, part), plan, attribute) for part in parts]


@styled
def distribution_figure(individuals: pd.DataFrame, plan: Mapping, attribute: str) -> Figure:
    """Draw one panel per technique and arm, one line per group."""
    panels = list(individuals.groupby(["technique", "arm"], sort=False))
    across = style.columns_of(len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(figsize=(WIDTH, 0.8 + 1.9 * down))
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for (_, rows), ax in zip(panels, axes, strict=False):
        distribution(rows, plan["groups"][attribute], ax)
        ax.set(title=style.plain(words.technique_label(individuals, rows.iloc[0])), xlabel="", ylabel="")
    axes[0].set_ylim(bottom=0)
    figure.supylabel("% of the group's cases", fontsize=TEXT)
    figure.supxlabel(DISAGREES, fontsize=TEXT)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=4)
    style.write_n(figure, individuals["n_runs"])
    return figure


DISAGREES = "more than this share of pairs of runs disagrees"


@styled
def distribution(individuals: pd.DataFrame, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw the share of cases (%) beyond a churn by group, of one technique and arm; groups differ by dashes and mark.

    Marks: the shares of the table. The line falls only where some number of pairs is attainable with so many runs.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> rows = results.tables["individuals"].query("technique == 'Plain' and target == 'overall'")
    >>> plots.churn(rows, results.plan["groups"]["sex"]).get_legend_handles_labels()[1]
    ['female', 'male']
    """
    ax = ax or new_figure(figsize=(5, 3)).subplots()
    groups = individuals[individuals["group"].notna()]
    ax.set(xlim=(-0.02, 0.52), xlabel=DISAGREES, ylabel="% of the group's cases")
    if len(groups) > MOST_LINES:
        return _range_over_groups(groups, ax)
    for _, row in groups.iterrows():
        look = style.group_look(int(row["group"])) | {"markersize": 4.5}
        name, values = style.plain(names[int(row["group"])]), _shares(row)
        ax.plot(*steps(values, row["n_runs"]), color=INK, linestyle=look["linestyle"], linewidth=1.3)
        ax.plot(list(ABOVE), values, **look | {"linestyle": "none"})
        ax.plot([], [], **look, label=name)
    return ax


def steps(values: Sequence[float], runs: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (x, y) of the line through the values at the shares `ABOVE`.

    Between two of these the value can change only where so many runs can disagree so much: at one attainable share it
    drops there; between several, which of them is unknown and the line slopes from the first to the last.
    """
    at = list(ABOVE)
    x, y = [at[0]], [values[0]]
    attainable = attainable_shares(int(runs)) if 1 < runs <= MOST_RUNS else np.linspace(0, 0.5, 501)
    for low, high, before, after in zip(at, at[1:], values, values[1:], strict=False):
        within = attainable[(attainable > low + 1e-9) & (attainable <= high - (1e-9 if high == 0.5 else -1e-9))]
        if len(within):
            x += [within[0], within[-1]]
            y += [before, after]
    return np.array([*x, at[-1]]), np.array([*y, values[-1]])


@cache
def attainable_shares(runs: int) -> np.ndarray:
    """Return, rising, the shares of pairs of runs that can disagree about a case, whatever the number of classes.

    1 − Σ c(c − 1) / n(n − 1) over the numbers c of runs that choose the same class.

    >>> attainable_shares(3) * comb(3, 2)
    array([0., 2., 3.])
    """
    squares = [np.zeros(runs**2 + 1, bool) for _ in range(runs + 1)]  # whether m runs can have this sum of c²
    squares[0][0] = True
    for m in range(1, runs + 1):
        for c in range(1, m + 1):
            squares[m][c * c :] |= squares[m - c][: runs**2 + 1 - c * c]
    return np.sort((runs**2 - np.flatnonzero(squares[runs])) / 2 / comb(runs, 2))


def _shares(row: Mapping) -> list[float]:
    """Return the share, in %, of a group's cases beyond each churn in `ABOVE`."""
    return [100 * (1 - row[name] if name == "share_never" else row[name]) for name in ABOVE.values()]


def _range_over_groups(groups: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the smallest to the largest share over many groups, and their median."""
    shares = pd.DataFrame([_shares(row) for _, row in groups.iterrows()], columns=list(ABOVE))
    label = f"{len(groups)} groups, smallest to largest"
    ends = [steps(list(shares.agg(how)), groups["n_runs"].min()) for how in ("min", "median", "max")]
    ax.fill_between(ends[0][0], ends[0][1], ends[2][1], color=GREY, alpha=0.25, linewidth=0, label=label)
    ax.plot(*ends[1], color=INK, label="median of the groups")
    return ax


def alt_distribution(individuals: pd.DataFrame, plan: Mapping, attribute: str) -> str:
    """Return in one sentence in which group of which technique the most and the fewest decisions change."""
    rows = individuals[individuals["group"].notna()].dropna(subset=["share_never"])
    if rows.empty:
        return f"Decisions that change between runs, by {style.short(attribute, 16)}: not estimable."
    ends = [_changing(rows.loc[index], plan) for index in (rows["share_never"].idxmin(), rows["share_never"].idxmax())]
    return f"Cases whose decision changes between runs. Most: {ends[0]}; fewest: {ends[1]}."


def _changing(row: pd.Series, plan: Mapping) -> str:
    group = str(plan["groups"][row["attribute"]][int(row["group"])])
    return f"{fmt.points(1 - row['share_never'])} % ({style.short(row['technique'], 16)}, {style.short(group, 12)})"
