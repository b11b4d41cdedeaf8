"""Pictures of the spread: how it grows with epochs and with the number of runs, what it consists of, training curves.

Figures as in `fitlib.plots`: tidy tables in, axes out. Lines carry markers or dashes, so that none is told apart by
colour alone. `alt_…` functions say in words, from the data, what a figure shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fitlib import formatting as fmt
from fitlib import plots
from fitlib import wording as say
from fitlib.plots import BLUE, GREY, INK, ROW, VERMILION, WIDTH, styled
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


@styled
def divergence(epochs: pd.DataFrame, measure: str, ax: Axes | None = None) -> Axes:
    """Standard deviation between runs after every epoch, by training; of one training with Bonett's 95 % interval.

    ``epochs``: table of `fitlib.tables.epochs.epochs_table`; ``measure``: "accuracy" or "gap".
    """
    ax = ax if ax is not None else Figure(figsize=(4.4, 3), layout="constrained").subplots()
    rows = epochs.rename(columns={"training": "technique"}).assign(value=100 * epochs[f"{measure}_sd"])
    _lines(ax, rows.dropna(subset=["value"]), "epoch", "value")
    if len(plots.row_labels(rows)) == 1:
        ends = 100 * rows[[f"{measure}_sd_low", f"{measure}_sd_high"]].to_numpy(float)
        ax.fill_between(rows["epoch"], *ends.T, color=BLUE, alpha=0.15, linewidth=0)
    ax.set(title=f"SD of {MEASURES[measure]}", ylabel="points", xlabel="epoch", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


@styled
def divergence_figure(epochs: pd.DataFrame) -> Figure:
    """Spread of accuracy and of the gap between groups, side by side."""
    return _two(epochs.rename(columns={"training": "technique"}), "epoch", tuple(MEASURES), _divergence)


def _divergence(rows: pd.DataFrame, measure: str, ax: Axes) -> Axes:
    return divergence(rows.rename(columns={"technique": "training"}), measure, ax)


def alt_divergence(epochs: pd.DataFrame) -> str:
    """What the figure shows, in words."""
    told = []
    for (training, _), rows in list(epochs.groupby(["training", "arm"], sort=False))[:8]:
        first, last = rows.iloc[0], rows.iloc[-1]
        told.append(
            f"{training}: accuracy {fmt.points(first['accuracy_sd'])} to {fmt.points(last['accuracy_sd'])}, gap "
            f"{fmt.points(first['gap_sd'])} to {fmt.points(last['gap_sd'])}"
        )
    about = "Curves of the standard deviation between runs, in points, from the first epoch to the last."
    return f"{about} {'. '.join(told)}."


# Training curves


@styled
def training_curves(history: pd.DataFrame, key: tuple[str, str], names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Test accuracy by epoch of one training and arm: a thin line per run and group, a thick one for the group's mean.

    ``history``: of `fitlib.tables.epochs.gather_history`; ``names``: of the groups.
    """
    ax = ax if ax is not None else Figure(figsize=(4.4, 3), layout="constrained").subplots()
    rows = history[(history["training"] == key[0]) & (history["arm"] == key[1])]
    for place, (group, found) in enumerate(rows.groupby("group", sort=True)):
        wide = 100 * found.pivot_table(index="epoch", columns="run", values="test_accuracy", aggfunc="first")
        colour, dashes = COLOURS[place % 4], DASHES[place // 4 % 4 if len(names) > 4 else place % 4]
        at = wide.index.to_numpy() + 1
        ax.plot(at, wide.to_numpy(float), color=colour, linewidth=0.5, alpha=0.45)
        ax.plot(at, wide.mean(axis=1), color=colour, linestyle=dashes, linewidth=1.8, label=_name(names, int(group)))
    ax.set(xlabel="epoch", ylabel="accuracy, %", title=plots.plain(key[0]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def _name(names: Sequence[str], group: int) -> str:
    return plots.plain(names[group] if group < len(names) else str(group))


@styled
def training_curves_figures(history: pd.DataFrame, names: Sequence[str]) -> list[Figure]:
    """A panel per training and arm, the groups explained above; in as many figures as it takes."""
    rows = history.dropna(subset=["test_accuracy"]).rename(columns={"training": "technique"})
    return [_curves(history, part, names) for part in plots.parted(plots.row_labels(rows), 12)]


def _curves(history: pd.DataFrame, labels: Mapping, names: Sequence[str]) -> Figure:
    across = min(3, len(labels))
    down = -(-len(labels) // across)
    figure = Figure(figsize=(WIDTH if across > 1 else 5.5, 0.4 + 2.3 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for (key, label), ax in zip(labels.items(), axes, strict=False):
        training_curves(history, key, names, ax).set_title(plots.plain(label))
    for ax in axes[len(labels) :]:
        ax.set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=6, fontsize=8.5, handlelength=4)
    return figure


def alt_training_curves(history: pd.DataFrame, names: Sequence[str]) -> str:
    """What the figures show, in words: the last epoch's range over runs, by training and group."""
    rows = history.dropna(subset=["test_accuracy"])
    last = rows[rows["epoch"] == rows.groupby(["training", "arm"])["epoch"].transform("max")]
    told = [
        f"{training}, {_name(names, int(group))}: {fmt.points(found.min())} to {fmt.points(found.max())} %"
        for (training, _, group), found in list(
            last.groupby(["training", "arm", "group"], sort=False)["test_accuracy"]
        )[:12]
    ]
    about = "Lines of test accuracy by epoch, one per run and group, a panel per training."
    return f"{about} After the last epoch: {'; '.join(told)}."


# What the spread consists of


def widest(components: pd.DataFrame) -> pd.DataFrame:
    """Of each technique and arm, the metric and class whose signed difference spreads most between runs."""
    rows = components.dropna(subset=["sd_between_runs"])
    keys = ["technique", "arm", "attribute"]
    return rows.loc[rows.groupby(keys, sort=False)["sd_between_runs"].idxmax()].sort_index()


@styled
def components(table: pd.DataFrame, plan: Mapping, ax: Axes | None = None) -> Axes:
    """Standard deviations that the spread consists of, side by side (variances of causes are never stacked).

    ``table``: rows of the table of components, one per row of the figure; negative estimates stand at 0.
    """
    ax = ax if ax is not None else plots.new_axes(len(table) * 1.4, width=7.0)
    for height, row in enumerate(table.to_dict("records")):
        values = [(name, 100 * row[name]) for name in COMPONENTS if not fmt.missing(row[name])]
        ax.plot(
            [min(v for _, v in values), max(v for _, v in values)],
            [height] * 2,
            color=plots.PALE,
            linewidth=4,
            zorder=1,
        )
        for name, value in values:
            marker, colour, _ = COMPONENTS[name]
            face = "white" if name == "sd_between_runs" else colour
            size = 12 if marker == "|" else 6.5
            ax.plot(value, height, marker, color=colour, markerfacecolor=face, markersize=size, markeredgewidth=1.5)
    labels = [
        f"{r['technique']}{say.place(table, r)}: {r['metric']}, {say.class_name(plan, r['target'])}"
        for _, r in table.iterrows()
    ]
    plots.name_rows(ax, [plots.plain(label, 40) for label in labels])
    ax.set(xlabel="standard deviation, points", xlim=(0, None), title="What the spread consists of")
    return ax


@styled
def components_figure(table: pd.DataFrame, plan: Mapping) -> Figure:
    """The components with their key."""
    figure = Figure(figsize=(WIDTH, 1.5 + 1.2 * ROW * max(len(table), 2)), layout="constrained")
    components(table, plan, figure.subplots())
    handles = [
        Line2D([], [], marker=m, color=c, markerfacecolor="white" if i == 0 else c, linestyle="none", label=text,
               markersize=12 if m == "|" else 6.5, markeredgewidth=1.5)
        for i, (m, c, text) in enumerate(COMPONENTS.values())
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=8)
    return figure


def alt_components(table: pd.DataFrame, plan: Mapping) -> str:
    """What the figure shows, in words."""
    told = [
        f"{r['technique']}, {r['metric']} of class {say.class_name(plan, r['target'])}: between runs "
        f"{fmt.points(r['sd_between_runs'])}, of the run {fmt.points(r['sd_run'])}, of the test set "
        f"{fmt.points(r['sd_test_set'])}"
        for _, r in table.head(12).iterrows()
    ]
    return f"Dot plot of standard deviations in points, a row per technique. {'. '.join(told)}."


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
    labels = plots.row_labels(table)
    if len(labels) > MOST_LINES:
        spread = table.groupby(x)[y]
        ax.fill_between(spread.min().index, spread.min(), spread.max(), color=BLUE, alpha=0.2, linewidth=0)
        ax.plot(spread.median().index, spread.median(), color=INK, linewidth=1.6)
        return
    for key, style in zip(labels, _styles(), strict=False):
        rows = plots.rows_of(table, key)
        ax.plot(rows[x], rows[y], **style, linewidth=1.3, markersize=3.6, markevery=max(1, len(rows) // 10))


def _styles() -> list[dict]:
    return [
        {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i]}
        for i in range(MOST_LINES)
    ]


def _key(table: pd.DataFrame) -> list:
    labels = plots.row_labels(table)
    if len(labels) > MOST_LINES:
        band = Patch(facecolor=BLUE, alpha=0.2, label=f"{len(labels)} rows, smallest to largest")
        return [band, Line2D([], [], color=INK, linewidth=1.6, label="their median")]
    return [
        Line2D([], [], **style, markersize=3.6, label=plots.plain(label))
        for label, style in zip(labels.values(), _styles(), strict=False)
    ]
