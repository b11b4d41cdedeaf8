"""Figures by epoch: how far apart runs are, and their training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fitlib import formatting as fmt
from fitlib.report.figures import style
from fitlib.report.figures.lines import COLOURS, DASHES, draw_lines, two_panels
from fitlib.report.figures.style import BLUE, WIDTH, new_figure, styled

MEASURES = {"accuracy": "accuracy", "gap": "the gap between groups"}


@styled
def divergence(epochs: pd.DataFrame, measure: str, ax: Axes | None = None) -> Axes:
    """Draw the SD between runs after every epoch, by training; of one training with Bonett's 95 % interval.

    ``epochs``: table of `fitlib.tables.epochs.epochs_table`; ``measure``: "accuracy" or "gap".
    """
    ax = ax if ax is not None else new_figure(figsize=(4.4, 3)).subplots()
    rows = epochs.rename(columns={"training": "technique"}).assign(value=100 * epochs[f"{measure}_sd"])
    draw_lines(ax, rows.dropna(subset=["value"]), "epoch", "value")
    if len(style.row_labels(rows)) == 1:
        ends = 100 * rows[[f"{measure}_sd_low", f"{measure}_sd_high"]].to_numpy(float)
        ax.fill_between(rows["epoch"], *ends.T, color=BLUE, alpha=0.15, linewidth=0)
    ax.set(title=f"SD of {MEASURES[measure]}", ylabel="points", xlabel="epoch", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


@styled
def divergence_figure(epochs: pd.DataFrame) -> Figure:
    """Draw the spread of accuracy and of the gap between groups, side by side."""
    return two_panels(epochs.rename(columns={"training": "technique"}), tuple(MEASURES), _divergence)


def _divergence(rows: pd.DataFrame, measure: str, ax: Axes) -> Axes:
    return divergence(rows.rename(columns={"technique": "training"}), measure, ax)


def alt_divergence(epochs: pd.DataFrame) -> str:
    """Describe the figure in words."""
    texts = []
    for (training, _), rows in list(epochs.groupby(["training", "arm"], sort=False))[:8]:
        first, last = rows.iloc[0], rows.iloc[-1]
        texts.append(
            f"{training}: accuracy {fmt.points(first['accuracy_sd'])} to {fmt.points(last['accuracy_sd'])}, gap "
            f"{fmt.points(first['gap_sd'])} to {fmt.points(last['gap_sd'])}"
        )
    about = "Curves of the standard deviation between runs, in points, from the first epoch to the last."
    return f"{about} {'. '.join(texts)}."


@styled
def training_curves(history: pd.DataFrame, key: tuple[str, str], names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw test accuracy by epoch of one training and arm: a thin line per run and group, a thick one for their mean.

    ``history``: of `fitlib.tables.epochs.gather_history`; ``names``: of the groups.
    """
    ax = ax if ax is not None else new_figure(figsize=(4.4, 3)).subplots()
    rows = history[(history["training"] == key[0]) & (history["arm"] == key[1])]
    for place, (group, found) in enumerate(rows.groupby("group", sort=True)):
        wide = 100 * found.pivot_table(index="epoch", columns="run", values="test_accuracy", aggfunc="first")
        colour, dashes = COLOURS[place % 4], DASHES[place // 4 % 4 if len(names) > 4 else place % 4]
        at = wide.index.to_numpy() + 1
        ax.plot(at, wide.to_numpy(float), color=colour, linewidth=0.5, alpha=0.45)
        ax.plot(at, wide.mean(axis=1), color=colour, linestyle=dashes, linewidth=1.8, label=_name(names, int(group)))
    ax.set(xlabel="epoch", ylabel="accuracy, %", title=style.plain(key[0]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def _name(names: Sequence[str], group: int) -> str:
    return style.plain(names[group] if group < len(names) else str(group))


@styled
def training_curves_figures(history: pd.DataFrame, names: Sequence[str]) -> list[Figure]:
    """Draw a panel per training and arm, the groups explained above, in as many figures as it takes."""
    rows = history.dropna(subset=["test_accuracy"]).rename(columns={"training": "technique"})
    return [_curves(history, part, names) for part in style.split_labels(style.row_labels(rows), 12)]


def _curves(history: pd.DataFrame, labels: Mapping, names: Sequence[str]) -> Figure:
    across = min(3, len(labels))
    down = -(-len(labels) // across)
    figure = new_figure(figsize=(WIDTH if across > 1 else 5.5, 0.4 + 2.3 * down))
    axes = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for (key, label), ax in zip(labels.items(), axes, strict=False):
        training_curves(history, key, names, ax).set_title(style.plain(label))
    for ax in axes[len(labels) :]:
        ax.set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=6, fontsize=8.5, handlelength=4)
    return figure


def alt_training_curves(history: pd.DataFrame, names: Sequence[str]) -> str:
    """Describe the figures in words: the last epoch's range over runs, by training and group."""
    rows = history.dropna(subset=["test_accuracy"])
    last = rows[rows["epoch"] == rows.groupby(["training", "arm"])["epoch"].transform("max")]
    texts = [
        f"{training}, {_name(names, int(group))}: {fmt.points(found.min())} to {fmt.points(found.max())} %"
        for (training, _, group), found in list(
            last.groupby(["training", "arm", "group"], sort=False)["test_accuracy"]
        )[:12]
    ]
    about = "Lines of test accuracy by epoch, one per run and group, a panel per training."
    return f"{about} After the last epoch: {'; '.join(texts)}."
