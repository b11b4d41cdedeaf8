"""The study's figures redrawn in fitlib's style (`fitlib.report.figures.style`): signs repeat what colours show.

Every function draws a tidy table of `fitlib.statistics.paper_protocol` on `ax` (new axes if None) and returns the axes.
Techniques are rows, with a line between tasks. ▼ bias fell, ▲ bias rose (the study's d is positive where bias fell;
arrows cannot be misread). The `alt_…` functions describe in words, from the data, what a figure shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from fitlib.formatting import count, decimals, join_items, points
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.paper.study import TASKS
from fitlib.report.figures.style import BLUE, DIVERGING, GREY, INK, PALE, ROW, VERMILION, styled
from fitlib.statistics.paper_protocol import COSTS

EDGES = (0.2, 0.5, 0.8, 1.2, 2.0)  # of |d|; an edge belongs to the outer bin
BINS = 2 * len(EDGES) + 1
BOX = "#9ec7e6"  # fill of a technique's box; a baseline's is hollow
OWN_TARGET, BALANCED = "*", "o"  # the technique's target; BA of tasks with balanced evaluation sets
BOX_TECHNIQUES = ("S-Base", "S-GR", "A-Base", "A-L2", "A-ALM", "N-Base", "N-Flow")
COST_NAMES = {
    "cost_accuracy": "Accuracy",
    "cost_accuracy_variance": "Accuracy variance",
    "cost_bias_variance": "Bias variance",
}
_WORSE = {
    "cost_accuracy": "lower accuracy",
    "cost_accuracy_variance": "a higher accuracy variance",
    "cost_bias_variance": "a higher bias variance",
}
COLOURS = ListedColormap(
    [*DIVERGING(np.linspace(0.04, 0.40, 5)), mpl.colors.to_rgba(PALE), *DIVERGING(np.linspace(0.60, 0.96, 5))]
)


# Bias


def effect_bin(d: float, label: str) -> int:
    """Return the bin, −5 … 5, of the study's Cohen's d (positive: bias fell): negative if bias fell, 0 if small or NS.

    >>> effect_bin(0.9, "-"), effect_bin(-0.9, "+"), effect_bin(0.9, "NS")
    (-3, 3, 0)
    """
    if label == "NS" or np.isnan(d):
        return 0
    return int(-np.sign(d) * np.searchsorted(EDGES, abs(d), side="right"))


@styled
def mean_bias(labels: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw technique × metric: |d| with its direction, NS where not significant; * and o as in the study."""
    names = _techniques(labels)
    cells = {(r["technique"], r["metric"]): r for r in labels.to_dict("records")}
    ax = ax if ax is not None else _axes(len(names), 8.4, extra=0.75)
    grid = [[effect_bin(cells[t, m]["d"], cells[t, m]["label_mean"]) for m in BIAS_METRICS] for t in names]
    _grid(ax, np.array(grid), [[_effect(cells[t, m]) for m in BIAS_METRICS] for t in names], names, BIAS_METRICS)
    for i, technique in enumerate(names):
        for j, metric in enumerate(BIAS_METRICS):
            _mark(ax, i, j, target_mark(technique, metric), grid[i][j])
    _add_bins_key(ax)
    return ax


def target_mark(technique: str, metric: str) -> str:
    """Return `*` for the metric that the task aims at, `o` for BA of C and I, whose evaluation sets were balanced."""
    task = TASKS.get(technique[:1])
    if task is not None and task.target == metric:
        return OWN_TARGET
    return BALANCED if metric == "BA" and technique[:2] in ("C-", "I-") else ""


def _effect(row: Mapping) -> str:
    if row["label_mean"] in ("NS", ""):
        return row["label_mean"] or "–"
    size = abs(row["d"])
    return f"{_arrow(row['label_mean'])} {size:.{2 if size < 10 else 1 if size < 100 else 0}f}"


def _arrow(label: str) -> str:
    return {"+": "▲", "-": "▼"}.get(label, "")


def alt_mean_bias(labels: pd.DataFrame) -> str:
    """Describe the heat map of mean bias."""
    fell, rose, still = ((labels["label_mean"] == sign).sum() for sign in ("-", "+", "NS"))
    sentences = [f"Bias fell in {fell}, rose in {rose} and did not change significantly in {still} cells."]
    for sign, what in (("-", "largest fall"), ("+", "largest rise")):
        rows = labels[labels["label_mean"] == sign]
        if len(rows):
            top = rows.loc[rows["d"].abs().idxmax()]
            sentences.append(f"The {what}: {top['technique']} on {top['metric']}, d {decimals(abs(top['d']))}.")
    aimed = labels[
        [target_mark(*pair) == OWN_TARGET for pair in zip(labels["technique"], labels["metric"], strict=True)]
    ]
    sentences.append(
        f"On their own target {(aimed['label_mean'] == '-').sum()} of {count(len(aimed), 'technique')} lower bias."
    )
    size = f"{labels['technique'].nunique()} techniques by {labels['metric'].nunique()} metrics"
    return f"Heat map of Cohen's d, {size}. {' '.join(sentences)}"


@styled
def variance(labels: pd.DataFrame, ax: Axes | None = None, raw: bool = False) -> Axes:
    """Draw technique × metric: variance label; X where it is significant and the mean label is not "−".

    ``raw``: labels of raw values instead of values divided by their mean.
    """
    names, column = _techniques(labels), f"label_variance{'_raw' if raw else ''}"
    ax = ax if ax is not None else _axes(len(names), 6.2)
    cells = {(r["technique"], r["metric"]): r for r in labels.to_dict("records")}
    signs = [[cells[t, m][column] for m in BIAS_METRICS] for t in names]
    texts = [[_signed(cells[t, m][column], _crossed(cells[t, m], column)) for m in BIAS_METRICS] for t in names]
    _grid(ax, _strength(signs), texts, names, BIAS_METRICS)
    return ax


@styled
def variance_figure(labels: pd.DataFrame) -> Figure:
    """Draw the variance labels as published next to those of raw values."""
    figure = Figure(figsize=(10.2, 1.1 + ROW * labels["technique"].nunique()))
    axes = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.03})
    for ax, raw, title in zip(axes, (False, True), ("As published: values / mean", "Raw values"), strict=True):
        variance(labels, ax, raw)
        ax.set_title(title, pad=22)
    return figure


def _crossed(row: Mapping, column: str) -> bool:
    return row[column] in ("+", "-") and row["label_mean"] != "-"


def _signed(label: str, crossed: bool) -> str:
    sign = {"+": "▲ +", "-": "▼ −"}.get(label, label or "–")
    return f"{sign}  X" if crossed else sign


def _strength(signs: Sequence[Sequence[str]], better: str = "-") -> np.ndarray:
    """Return bins for signs: as strong as a large effect, cold for what is better."""
    return np.array([[0 if s not in ("+", "-") else -4 if s == better else 4 for s in row] for row in signs])


def alt_variance(labels: pd.DataFrame) -> str:
    """Describe the heat maps of variance labels."""
    sentences = []
    for name, column in (("values divided by their mean", "label_variance"), ("raw values", "label_variance_raw")):
        rose, fell = ((labels[column] == sign).sum() for sign in ("+", "-"))
        crossed = sum(_crossed(row, column) for row in labels.to_dict("records"))
        sentences.append(
            f"On {name} the variance rises in {rose} and falls in {fell} of {len(labels)} cells ({crossed} crossed)."
        )
    changed = labels[labels["label_variance"] != labels["label_variance_raw"]]
    most = join_items(changed["technique"].value_counts(sort=True).index[:3])
    return f"Two heat maps of variance labels. {' '.join(sentences)} {len(changed)} labels differ, most of {most}."


# Accuracy


@styled
def accuracy(frame: pd.DataFrame, labels: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw technique × accuracy and its variance: label, and mean or SD of the technique (baseline's in brackets).

    ``frame``: of `fitlib.statistics.paper_protocol.accuracy_frame`. X where a label is significant and the technique
    lowers bias on no metric.
    """
    rows = frame[frame["label_mean"] != ""].to_dict("records")
    names = [row["technique"] for row in rows]
    ax = ax if ax is not None else _axes(len(names), 6.4)
    helps = set(labels.loc[labels["label_mean"] == "-", "technique"])
    grid = np.hstack(
        [_strength([[r["label_mean"]] for r in rows], "+"), _strength([[r["label_variance"]] for r in rows])]
    )
    texts = [_accuracy_texts(row, frame, row["technique"] not in helps) for row in rows]
    _grid(ax, grid, texts, names, ("Accuracy (or mAP), %", "Its variance"))
    return ax


def _accuracy_texts(row: Mapping, frame: pd.DataFrame, useless: bool) -> list[str]:
    task = TASKS[row["technique"][:1]]
    base = frame.loc[frame["technique"] == task.baseline, "mean"].iloc[0]
    mean, mean_b = (decimals(100 * x / task.scale, 2) for x in (row["mean"], base))
    sd, sd_b = (decimals(100 * np.sqrt(row[f"variance_{who}"]) / task.scale, 2) for who in ("technique", "baseline"))
    both = ((row["label_mean"], mean, mean_b), (row["label_variance"], f"SD {sd}", sd_b))
    return [f"{_signed(s, useless and s in ('+', '-'))}   {value} ({base})" for s, value, base in both]


def alt_accuracy(frame: pd.DataFrame) -> str:
    """Describe the heat map of accuracy."""
    rows = frame[frame["label_mean"] != ""]
    sentences = []
    for what, column in (("Accuracy", "label_mean"), ("Its variance", "label_variance")):
        up, down = (rows.loc[rows[column] == sign, "technique"] for sign in ("+", "-"))
        sentences.append(
            f"{what} rises for {join_items(up, 5)} and falls for {join_items(down, 5)}, of {len(rows)} techniques."
        )
    return f"Heat map of accuracy and accuracy-variance labels. {' '.join(sentences)}"


# Costs


@styled
def costs_venn(venn: pd.DataFrame, ax: Axes | None = None, judged: str = "published") -> Axes:
    """Draw three unweighted circles: in how many cases lower bias came with which costs.

    ``venn``: of `fitlib.statistics.paper_protocol.venn_frame`.
    """
    ax = ax if ax is not None else Figure(figsize=(5.0, 4.3)).subplots()
    regions = _regions(venn, judged)
    ax.set(xlim=(-2.75, 2.75), ylim=(-2.35, 2.15), aspect="equal")
    ax.set_axis_off()
    looks = zip(_CENTRES, (BLUE, VERMILION, GREY), ("-", (0, (5, 2)), (0, (1, 1.5))), strict=True)
    for i, ((x, y), colour, line) in enumerate(looks):
        ax.add_patch(Circle((x, y), 1.15, facecolor=colour, alpha=0.13, linewidth=0))
        ax.add_patch(Circle((x, y), 1.15, fill=False, edgecolor=colour, linewidth=1.8, linestyle=line))
        name, total = COST_NAMES[COSTS[i]], sum(n for region, n in regions.items() if region[i])
        ax.text(*_NAMES[i], f"{name}\n{total}", ha="center", va="center", fontweight="bold")
    for region, (x, y) in _PLACES.items():
        ax.text(x, y, str(regions[region]), ha="center", va="center", fontsize=12)
    free = regions[False, False, False]
    ax.text(2.7, -2.2, f"no cost: {free} of {sum(regions.values())}", ha="right", va="center")
    return ax


@styled
def costs_figure(venn: pd.DataFrame) -> Figure:
    """Draw the Venn diagram as published next to the one with variances judged on raw values."""
    figure = Figure(figsize=(10.2, 4.4))
    for ax, judged in zip(figure.subplots(1, 2), ("published", "raw"), strict=True):
        costs_venn(venn, ax, judged).set_title({"published": "As published", "raw": "Raw variances"}[judged])
    return figure


_CENTRES = ((-0.68, 0.5), (0.68, 0.5), (0.0, -0.68))
_NAMES = ((-2.0, 1.75), (2.0, 1.75), (-1.9, -1.6))
_PLACES = {
    (True, False, False): (-1.15, 0.72), (False, True, False): (1.15, 0.72), (False, False, True): (0.0, -1.25),
    (True, True, False): (0.0, 0.98), (True, False, True): (-0.78, -0.32), (False, True, True): (0.78, -0.32),
    (True, True, True): (0.0, 0.12),
}  # fmt: skip


def _regions(venn: pd.DataFrame, judged: str) -> dict[tuple[bool, ...], int]:
    rows = venn[venn["judged"] == judged].to_dict("records")
    return {tuple(bool(row[cost]) for cost in COSTS): int(row["pairs"]) for row in rows}


def alt_costs(venn: pd.DataFrame) -> str:
    """Describe the Venn diagrams."""
    sentences = []
    for judged, name in (("published", "As published"), ("raw", "With variances judged on raw values")):
        regions = _regions(venn, judged)
        costs = [f"{sum(n for r, n in regions.items() if r[i])} with {_WORSE[c]}" for i, c in enumerate(COSTS)]
        every, free = sum(regions.values()), regions[False, False, False]
        sentences.append(
            f"{name}, {join_items(costs)}, of {count(every, 'case')} of lower bias; {free} with none of these."
        )
    return f"Venn diagrams of three costs. {' '.join(sentences)}"


# Runs


@styled
def box_plots_figure(
    overall: Mapping[str, Mapping[str, np.ndarray]], techniques: Sequence[str] = BOX_TECHNIQUES
) -> Figure:
    """Draw the overall values of all runs: a row of panels per metric, a column per task, boxes by technique."""
    tasks = list(dict.fromkeys(technique[0] for technique in techniques))
    figure = Figure(figsize=(10.2, 0.5 + 0.98 * len(BIAS_METRICS)))
    axes = figure.subplots(len(BIAS_METRICS), len(tasks), squeeze=False, gridspec_kw={"hspace": 0.42, "wspace": 0.26})
    for j, task in enumerate(tasks):
        names = [technique for technique in techniques if technique[0] == task]
        for i, metric in enumerate(BIAS_METRICS):
            _boxes(axes[i, j], overall, names, metric, first=j == 0)
        axes[0, j].set_title(f"{task} · {TASKS[task].title}")
        axes[-1, j].set_xlabel("points (0: no bias)")
    return figure


def _boxes(ax: Axes, overall: Mapping, names: Sequence[str], metric: str, first: bool) -> None:
    line, middle = {"color": INK, "linewidth": 0.9}, {"color": INK, "linewidth": 1.6}
    drawn = ax.boxplot(
        [100 * overall[technique][metric] for technique in names],
        positions=range(len(names)),
        orientation="horizontal",
        widths=0.62,
        patch_artist=True,
        boxprops={"edgecolor": INK, "linewidth": 0.9},
        whiskerprops=line,
        capprops=line,
        medianprops=middle,
        flierprops={"marker": "d", "markersize": 3.5, "markerfacecolor": INK, "markeredgecolor": INK},
        tick_labels=names,
    )
    ax.invert_yaxis()
    for technique, box in zip(names, drawn["boxes"], strict=True):
        box.set_facecolor("white" if technique == TASKS[technique[0]].baseline else BOX)
    ax.set(xlabel="", ylabel=metric if first else "")
    ax.yaxis.label.set(rotation=0, ha="right", va="center", fontweight="bold")
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    ax.tick_params(axis="x", labelsize=7.5)
    ax.grid(False, axis="y")


def alt_box_plots(overall: Mapping[str, Mapping[str, np.ndarray]], techniques: Sequence[str] = BOX_TECHNIQUES) -> str:
    """Describe the box plots."""
    ranges = {(t, m): float(np.ptp(overall[t][m])) for t in techniques for m in BIAS_METRICS}
    (technique, metric), widest = max(ranges.items(), key=lambda item: item[1])
    still = [t for t in techniques if all(ranges[t, m] == 0 for m in BIAS_METRICS)]
    constant = f" {join_items(still)}: constant in all {len(overall[technique][metric])} runs." if still else ""
    return (
        f"Box plots of the runs' overall values, {len(BIAS_METRICS)} metrics of {join_items(techniques, 9)}. "
        f"Widest range: {technique} on {metric}, {points(widest)} points between runs that should be equal.{constant}"
    )


# Shared pieces


def _techniques(labels: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(labels["technique"]))


def _axes(rows: int, width: float, extra: float = 0.0) -> Axes:
    return Figure(figsize=(width, 0.7 + extra + ROW * max(rows, 2))).subplots()


def _grid(
    ax: Axes, bins: np.ndarray, texts: Sequence[Sequence[str]], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Draw a heat map of bins −5 … 5 with a text in every cell, and a line between tasks."""
    ax.pcolormesh(bins, cmap=COLOURS, norm=BoundaryNorm(np.arange(BINS + 1) - BINS / 2, BINS), edgecolor="white")
    ax.set_xticks(np.arange(len(columns)) + 0.5, list(columns))
    ax.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    ax.spines[:].set_visible(False)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelrotation=0)
    ax.grid(False)
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            ax.text(j + 0.5, i + 0.52, text, ha="center", va="center", fontsize=8, color=_ink(bins[i, j]))
    for i in range(1, len(rows)):
        if rows[i][0] != rows[i - 1][0]:
            ax.axhline(i, color=INK, linewidth=1.2)


def _ink(level: int) -> str:
    return "white" if abs(level) >= 4 else INK


def _mark(ax: Axes, i: int, j: int, mark: str, level: int) -> None:
    if mark:
        ax.text(j + 0.9, i + 0.5, mark, ha="center", va="center", fontsize=9, fontweight="bold", color=_ink(level))


def _add_bins_key(ax: Axes) -> None:
    """Add a colour key under the heat map: sizes of d on both sides of "small"."""
    image = ax.collections[0]
    bar = ax.figure.colorbar(image, ax=ax, location="bottom", aspect=45, pad=0.02, shrink=0.9)
    inner = [f"{edge:g}" for edge in EDGES]
    bar.set_ticks([i - BINS / 2 for i in range(1, BINS)], labels=[*inner[::-1], *inner])
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    bar.set_label("▼ bias fell      |Cohen's d| (grey: NS, or below 0.2)      bias rose ▲")
