"""Figures by epoch: how far apart runs are, and their training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fitlib import formatting as fmt
from fitlib.report.figures import style
from fitlib.report.figures.lines import draw_lines, write_key
from fitlib.report.figures.style import GREY, INK, WIDTH, new_figure, styled

MEASURES = {"accuracy": "accuracy", "gap": "the gap between groups"}


@styled
def divergence(
    epochs: pd.DataFrame, measure: str, palette: Mapping[str, str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the SD between runs after every epoch, by training; of one training with Bonett's 95 % interval.

    ``epochs``: table of `fitlib.tables.epochs.epochs_table`; ``measure``: "accuracy" or "gap";
    ``palette``: the colours of trainings, as `training_colours` gives them.

    >>> from fitlib import plots
    >>> import pandas as pd
    >>> rows = [("base", "ulp", 1, 0.01, None, None), ("base", "ulp", 2, 0.02, None, None)]
    >>> names = ["training", "arm", "epoch", "accuracy_sd", "accuracy_sd_low", "accuracy_sd_high"]
    >>> plots.epochs(pd.DataFrame(rows, columns=names), "accuracy").get_ylabel()
    'points'
    """
    ax = ax if ax is not None else new_figure(figsize=(4.4, 3)).subplots()
    rows = epochs.rename(columns={"training": "technique"}).assign(value=100 * epochs[f"{measure}_sd"])
    draw_lines(ax, rows.dropna(subset=["value"]), "epoch", "value", style.palette_for(rows, palette), marked=False)
    if len(style.row_labels(rows)) == 1:
        ends = 100 * rows[[f"{measure}_sd_low", f"{measure}_sd_high"]].to_numpy(float)
        ax.fill_between(rows["epoch"], *ends.T, color=GREY, alpha=0.2, linewidth=0)
    ax.set(title=f"SD of {MEASURES[measure]}", ylabel="points", xlabel="epoch", ylim=(0, None))
    ax.set_xlim(epochs["epoch"].min() - 0.3, epochs["epoch"].max() + 0.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


@styled
def divergence_figure(epochs: pd.DataFrame, palette: Mapping[str, str] | None = None) -> Figure:
    """Draw the spread of accuracy above the spread of the gap between groups, with their key."""
    rows = epochs.rename(columns={"training": "technique"})
    figure = new_figure(figsize=(WIDTH, 4.6))
    for ax, measure in zip(figure.subplots(2, 1, sharex=True), MEASURES, strict=True):
        divergence(epochs, measure, palette, ax)
    figure.axes[0].set_xlabel("")
    write_key(figure, rows, style.palette_for(rows, palette), marked=False)
    style.write_n(figure, epochs["n"].dropna(), whose="training")
    return figure


def training_colours(plan: Mapping) -> dict[str, str]:
    """Return the colour of each training: that of the one technique it serves, ink where several share it.

    Trainings of baselines are left out: they are grey.
    """
    colours, users = style.technique_colours(plan), dict[str, list[str]]()
    for technique in plan["techniques"]:
        users.setdefault(technique["training"], []).append(technique["technique"])
    known = {training: names for training, names in users.items() if all(name in colours for name in names)}
    return {training: colours[names[0]] if len(names) == 1 else INK for training, names in known.items()}


def alt_divergence(epochs: pd.DataFrame) -> str:
    """Return in one sentence how far apart runs are after the last epoch."""
    last = epochs.loc[epochs.groupby(["training", "arm"], sort=False)["epoch"].idxmax()]
    ends = [fmt.value_range(100 * last[f"{measure}_sd"].dropna(), fmt.decimals) for measure in MEASURES]
    return f"SD between runs by epoch. After the last, in points: accuracy {ends[0]}, gap between groups {ends[1]}."


@styled
def training_curves(history: pd.DataFrame, key: tuple[str, str], names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw test accuracy by epoch of one training and arm: a thin line per run and group, a thick one for their mean.

    ``history``: of `fitlib.tables.epochs.gather_history`; ``names``: of the groups.

    >>> from fitlib import plots
    >>> import pandas as pd
    >>> rows = [("base", "ulp", run, epoch, 0, 0.8 + 0.02 * epoch) for run in range(2) for epoch in range(3)]
    >>> names = ["training", "arm", "run", "epoch", "group", "test_accuracy"]
    >>> ax = plots.training_curves(pd.DataFrame(rows, columns=names), ("base", "ulp"), ["everybody"])
    >>> len(ax.lines), ax.get_ylabel()
    (3, 'accuracy, %')
    """
    ax = ax if ax is not None else new_figure(figsize=(4.4, 3)).subplots()
    rows = history[(history["training"] == key[0]) & (history["arm"] == key[1])]
    for place, (group, found) in enumerate(rows.groupby("group", sort=True)):
        wide = 100 * found.pivot_table(index="epoch", columns="run", values="test_accuracy", aggfunc="first")
        at = wide.index.to_numpy() + 1  # epochs are recorded from 0, and counted from 1
        dashes = style.group_look(place)["linestyle"]
        ax.plot(at, wide.to_numpy(float), color=GREY, linestyle=dashes, linewidth=0.5, alpha=0.5)
        ax.plot(at, wide.mean(axis=1), color=INK, linestyle=dashes, linewidth=1.8, label=_name(names, int(group)))
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
    across = style.columns_of(len(labels))
    down = -(-len(labels) // across)
    figure = new_figure(figsize=(WIDTH if across > 1 else 5.5, 0.4 + 2.3 * down))
    axes = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for (key, label), ax in zip(labels.items(), axes, strict=False):
        training_curves(history, key, names, ax).set_title(style.plain(label))
    for ax in axes[len(labels) :]:
        ax.set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=4)
    style.write_n(figure, history.groupby(["training", "arm"])["run"].nunique(), whose="training")
    return figure


def alt_training_curves(history: pd.DataFrame, names: Sequence[str]) -> str:
    """Return in one sentence which group of which training ends with the lowest and the highest accuracy."""
    rows = history.dropna(subset=["test_accuracy"])
    last = rows[rows["epoch"] == rows.groupby(["training", "arm"])["epoch"].transform("max")]
    means = last.groupby(["training", "group"], sort=False)["test_accuracy"].mean()
    ends = [
        f"{fmt.points(means[at])} % ({style.short(at[0], 16)}, {style.short(_name(names, int(at[1])), 12)})"
        for at in (means.idxmin(), means.idxmax())
    ]
    return f"Test accuracy of every run by epoch and group. At the end: {' to '.join(ends)}."
