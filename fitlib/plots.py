"""Pictures of the tables, in one visual language that does not depend on colour.

Every function draws a tidy table on `ax` (a new axes where None) and returns the axes; `…_figure` functions arrange
several. Techniques stand in rows, so that 2 and 27 of them read alike. Metrics are shown in points (percentage
points). The baseline is hollow and grey, a technique filled and blue; what fell below a landmark is a vermilion
triangle. `alt_…` functions say in words, from the data, what a figure shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fitlib import formatting as fmt
from fitlib import wording
from fitlib.formatting import decimals, listed, missing, points, probability
from fitlib.wording import bias_rows, overall_rows

BLUE, VERMILION, GREY, INK, PALE = "#0072b2", "#c44900", "#6b6b6b", "#1f1f1f", "#e4e4e4"  # Okabe and Ito, darkened
DIVERGING = mpl.colormaps["RdBu_r"].with_extremes(bad="#efefef")
STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same bytes everywhere
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9a9a9a",
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "fitlib",
    "svg.fonttype": "path",
    "path.simplify": False,
}
MOST_CLASSES = 15  # impact ratios of more classes than this are limited to the lowest
MOST_HEAT_ROWS = 17  # of a heat map in one figure
ROW = 0.27  # height of a row, inches
WIDTH = 9.0  # of a full figure, inches
TALLEST = 11.0  # inches: what still fits a printed page at WIDTH; more becomes several figures


def styled(draw: Callable) -> Callable:
    """Run a drawing function under fitlib's style, whatever the reader's matplotlib settings are."""

    @wraps(draw)
    def inside(*args, **kwargs):
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return inside


@styled
def save(figure: Figure, folder: str | Path, stem: str) -> tuple[Path, Path]:
    """Write `stem`.svg and `stem`.png into `folder`; the same figure gives the same bytes (no date, no version)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    svg, png = folder / f"{stem}.svg", folder / f"{stem}.png"
    figure.draw_without_rendering()
    tight = figure.get_tightbbox().padded(0.1)  # once: savefig would draw the figure again for each file to find it
    figure.savefig(svg, bbox_inches=tight, metadata={"Date": None, "Creator": None})
    figure.savefig(png, bbox_inches=tight, dpi=150, metadata={"Software": None})
    return svg, png


def select(frame: pd.DataFrame, plan: Mapping, attribute: str) -> pd.DataFrame:
    """Rows of a table that belong to a protected attribute, in the declared reading (accuracy has no reading)."""
    reading = (frame["reading"] == plan["analysis"]["reading"]) | (frame["metric"] == "accuracy")
    return frame[reading & (frame["attribute"] == attribute)]


def stem(name: str, plan: Mapping, attribute: str) -> str:
    """File name of a figure: numbered by protected attribute where there are several."""
    attributes = list(plan["groups"])
    return name if len(attributes) == 1 else f"{name}-{attributes.index(attribute) + 1}"


# Distributions


@styled
def distribution(
    metrics: pd.DataFrame, summary: pd.DataFrame, metric: str, baselines: Collection[str] = (), ax: Axes | None = None
) -> Axes:
    """Every run's overall value of `metric` as a point, by technique, with mean and 95 % interval.

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
        _mean(ax, height, rows_of(overall_or_accuracy(summary, metric), key))
    name_rows(ax, list(labels.values()))
    _widen(ax)
    ax.set_title(metric)
    ax.set_xlabel("% correct" if metric == "accuracy" else "points (0: no bias)")
    return ax


def overall_or_accuracy(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Overall rows of one metric, accuracy included (its per-group rows left out)."""
    return summary[(summary["metric"] == metric) & (summary["target"] == "overall") & summary["group"].isna()]


@styled
def distributions_figures(
    metrics: pd.DataFrame, summary: pd.DataFrame, baselines: Collection[str] = ()
) -> list[Figure]:
    """One panel per bias metric, and one for accuracy; in as many figures as fit printed pages."""
    names = [m for m in (*wording.BIAS_METRICS, "accuracy") if (metrics["metric"] == m).any()]
    rows = len(row_labels(metrics))
    return [_distributions(metrics, summary, baselines, part, rows) for part in _in_figures(names, rows)]


def _distributions(
    metrics: pd.DataFrame, summary: pd.DataFrame, baselines: Collection[str], names: Sequence[str], rows: int
) -> Figure:
    figure, axes = panels(len(names), rows=rows)
    for name, ax in zip(names, axes, strict=False):
        distribution(metrics, summary, name, baselines, ax)
    return figure


def alt_distributions(summary: pd.DataFrame) -> str:
    """What the distributions show, in words."""
    rows = overall_rows(summary)
    told = [_range_of(metric, group) for metric, group in rows.groupby("metric", sort=False)]
    return f"Dot plots, one panel per metric, one row per technique, one dot per run. {' '.join(told)}"


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


# Impact ratios


@styled
def impact_ratio(
    metrics: pd.DataFrame, technique: str, plan: Mapping, ax: Axes | None = None, targets: Sequence[int] | None = None
) -> Axes:
    """Impact ratio (1 − DI, strict reading) of each class, every run a point, with the 0.8 landmark.

    The landmark is called four fifths only for the class that the plan declares favourable.
    """
    rows = _ratios(metrics)
    targets = lowest_classes(metrics, plan) if targets is None else targets
    rows = rows[rows["technique"] == technique]
    ax = ax if ax is not None else new_axes(len(targets))
    for height, target in enumerate(targets):
        ratios = rows.loc[rows["target"] == target].sort_values("run")["ratio"].dropna().to_numpy(float)
        if len(ratios):
            _ratio_points(ax, height, ratios)
        else:
            place = ax.get_yaxis_transform()
            ax.text(0.02, height, "undefined in every run", va="center", fontsize=7.5, color=GREY, transform=place)
    ax.axvline(0.8, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    name_rows(ax, [_class_label(plan, target) for target in targets])
    start = min(0.6, np.floor(10 * np.nan_to_num(_ratios(metrics)["ratio"].min(), nan=0.6)) / 10)
    ax.set(xlim=(start - 0.02, 1.02), xlabel="impact ratio (dashed: 0.8)")
    ax.set_title(plain(technique))
    return ax


def _ratio_points(ax: Axes, height: int, ratios: np.ndarray) -> None:
    offsets, low = height + stacked(len(ratios)), _below(ratios)
    ax.plot(ratios[~low], offsets[~low], **run_points(False))
    ax.plot(ratios[low], offsets[low], "^", markersize=3.6, color=VERMILION, alpha=0.85, markeredgewidth=0)


@styled
def impact_ratios_figures(metrics: pd.DataFrame, plan: Mapping) -> list[Figure]:
    """One panel per technique; in as many figures as fit printed pages."""
    names = [t["technique"] for t in plan["techniques"] if (metrics["technique"] == t["technique"]).any()]
    targets = lowest_classes(metrics, plan)
    return [_impact_ratios(metrics, plan, part, targets) for part in _in_figures(names, len(targets))]


def _impact_ratios(metrics: pd.DataFrame, plan: Mapping, names: Sequence[str], targets: Sequence[int]) -> Figure:
    figure, axes = panels(len(names), rows=len(targets))
    for name, ax in zip(names, axes, strict=False):
        impact_ratio(metrics, name, plan, ax, targets)
    return figure


def lowest_classes(metrics: pd.DataFrame, plan: Mapping) -> list[int]:
    """Classes shown: all, or the MOST_CLASSES with the lowest ratio anywhere; the favourable one always."""
    rows = _ratios(metrics)
    lowest = rows.groupby("target")["ratio"].min().sort_values(na_position="last", kind="stable")
    shown = [int(target) for target in lowest.index[:MOST_CLASSES]]
    favourable = plan["analysis"].get("favourable")
    if favourable is not None and favourable in lowest.index and favourable not in shown:
        shown[-1] = int(favourable)
    return sorted(shown)


def alt_impact_ratios(metrics: pd.DataFrame, plan: Mapping) -> str:
    """What the impact ratios show, in words."""
    rows = _ratios(metrics).dropna(subset=["ratio"])
    if rows.empty:
        return "Impact ratio by class: undefined in every run."
    low = rows.loc[rows["ratio"].idxmin()]
    below = rows[_below(rows["ratio"])].groupby("technique", sort=False)["target"].nunique()
    told = [f"{name}: {n} classes below 0.8 in some run" for name, n in below.items()] or ["none below 0.8"]
    return (
        f"Dot plots of the impact ratio by class, one panel per technique, one dot per run, dashed line at 0.8. "
        f"Lowest: {decimals(low['ratio'])} ({low['technique']}, class {wording.class_name(plan, low['target'])}). "
        f"{listed(told, 8)}."
    )


def _below(ratio: np.ndarray | pd.Series) -> np.ndarray | pd.Series:
    """Below 0.8, where 1 − DI of exactly 0.8 may have been rounded down."""
    return ratio < 0.8 - 1e-12


def _ratios(metrics: pd.DataFrame) -> pd.DataFrame:
    rows = metrics[(metrics["metric"] == "DI") & metrics["target"].notna()]
    return rows.assign(ratio=1 - rows["value"].astype(float), target=rows["target"].astype(int))


def _class_label(plan: Mapping, target: int) -> str:
    name = wording.class_name(plan, target)
    return f"{name} (four fifths)" if plan["analysis"].get("favourable") == target else name


# Comparisons


@styled
def heat_map(comparisons: pd.DataFrame, plan: Mapping, ax: Axes | None = None, limit: float | None = None) -> Axes:
    """Technique × metric: difference in points, verdict and corrected p written in every cell; colour repeats them.

    ``limit``: the difference in points of the strongest colour; default: the largest, at least the smallest effect.
    """
    rows = bias_rows(comparisons)
    labels = _comparison_labels(rows)
    names = [m for m in wording.BIAS_METRICS if (rows["metric"] == m).any()]
    ax = ax if ax is not None else new_axes(2.1 * len(labels), width=1.15 * len(names) + 1.6)
    if rows.empty:
        ax.set_axis_off()
        return ax
    where = ["technique", "arm", "metric"]
    cells = rows.drop_duplicates(where).set_index(where)
    grid = 100 * cells["difference"].astype(float).unstack().reindex(index=list(labels), columns=names)
    limit = limit or _strongest(rows, plan)
    look = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit, "cbar": False, "linewidths": 2}
    across, down = [_metric_label(rows, name) for name in names], [plain(label) for label in labels.values()]
    seaborn.heatmap(grid.to_numpy(), xticklabels=across, yticklabels=down, ax=ax, **look)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0, labelrotation=0)
    ax.grid(False)
    for (*key, name), cell in cells.iterrows():
        i, j = grid.index.get_loc(tuple(key)), grid.columns.get_loc(name)
        dark = abs(grid.iat[i, j]) > 0.62 * limit  # False for NaN
        _write_cell(ax, i + 0.5, j + 0.5, cell, "white" if dark else INK, float(plan["analysis"]["alpha"]))
    return ax


@styled
def heat_maps(comparisons: pd.DataFrame, plan: Mapping) -> list[Figure]:
    """The heat map, its rows in as many figures as fit printed pages, all with the same colours."""
    rows = bias_rows(comparisons)
    limit = _strongest(rows, plan)
    parts = parted(_comparison_labels(rows), MOST_HEAT_ROWS) or [{}]
    return [heat_map(among(rows, part), plan, limit=limit).figure for part in parts]


def _strongest(rows: pd.DataFrame, plan: Mapping) -> float:
    largest = rows["difference"].astype(float).abs().max()
    return 100 * max(0.0 if missing(largest) else largest, float(plan["analysis"]["smallest_effect"]))


def among(rows: pd.DataFrame, labels: Collection[tuple[str, str]]) -> pd.DataFrame:
    """Rows of the techniques and arms in `labels`."""
    kept = [key in labels for key in zip(rows["technique"], rows["arm"], strict=True)]
    return rows[pd.Series(kept, rows.index, dtype=bool)]


def _write_cell(ax: Axes, y: float, x: float, cell: pd.Series, colour: str, alpha: float) -> None:
    p = cell["p_mean_holm"]
    significant = not missing(p) and float(p) <= alpha
    effect = points(cell["difference"], signed=True) if not missing(cell["difference"]) else "–"
    verdict = cell["verdict"] or fmt.NOT_ESTIMABLE
    style = {"ha": "center", "va": "center", "color": colour}
    ax.text(x, y - 0.27, effect, fontsize=9.5, fontweight="bold", **style)
    ax.text(x, y, verdict, fontsize=7.5, **style)
    text = f"p {probability(p)}{' *' if significant else ''}" if not missing(p) else fmt.NO_TEST
    ax.text(x, y + 0.27, text, fontsize=7, **style)


def alt_heat_map(comparisons: pd.DataFrame) -> str:
    """What the heat map shows, in words."""
    rows = bias_rows(comparisons)
    told = []
    for key, label in _comparison_labels(rows).items():
        counts = rows_of(rows, key)["verdict"].value_counts(sort=False)
        told.append(f"{label.splitlines()[0]}: {listed((f'{name} on {n}' for name, n in counts.items()), 6)}")
    return f"Heat map of techniques by metrics. {'. '.join(told)}." if told else "Heat map without comparisons."


@styled
def effect(comparisons: pd.DataFrame, metric: str, plan: Mapping, ax: Axes | None = None) -> Axes:
    """Difference of means with its interval for each comparison on one metric; the band is ± the smallest effect."""
    rows = comparisons[comparisons["metric"] == metric]
    labels = _comparison_labels(rows)
    ax = ax if ax is not None else new_axes(len(labels))
    delta = 100 * float(plan["analysis"]["smallest_effect"])
    ax.axvspan(-delta, delta, color=PALE, linewidth=0)
    ax.axvline(0, color=GREY, linewidth=0.8)
    for height, key in enumerate(labels):
        _effect_row(ax, height, rows_of(rows, key).iloc[0])
    baselines = list(dict.fromkeys(rows["baseline"]))
    alone = len(baselines) == 1
    name_rows(ax, [label.split("\n")[0] if alone else label.replace("\n", " ") for label in labels.values()])
    ax.set_title(_metric_label(rows, metric).replace("\n", " "))
    ax.set_xlabel(f"points (technique − {plain(baselines[0]) if alone else 'baseline'})")
    return ax


def _effect_row(ax: Axes, height: int, row: pd.Series) -> None:
    marker = {"fairer": "<", "less fair": ">", "equivalent": "s"}.get(row["verdict"], "o")
    if not missing(row["difference"]):
        filled = BLUE if marker in "<>s" else "white"
        style = {"color": BLUE, "markerfacecolor": filled, "markersize": 5.5, "linestyle": "none"}
        ax.plot(100 * row["difference"], height, marker, **style)
    if not (missing(row["difference_low"]) or missing(row["difference_high"])):
        ax.plot([100 * row["difference_low"], 100 * row["difference_high"]], [height] * 2, color=BLUE, linewidth=1.6)
    ax.annotate(row["verdict"], (1, height), (3, 0), ax.get_yaxis_transform(), "offset points", va="center", fontsize=7)


@styled
def effects_figures(comparisons: pd.DataFrame, plan: Mapping) -> list[Figure]:
    """One panel of effects per bias metric, and one that explains the markers; as many figures as fit printed pages."""
    names = [m for m in wording.BIAS_METRICS if (comparisons["metric"] == m).any()]
    rows = len(_comparison_labels(bias_rows(comparisons)))
    return [_effects(comparisons, plan, part, rows) for part in _in_figures([*names, ""], rows)]


def _effects(comparisons: pd.DataFrame, plan: Mapping, names: Sequence[str], rows: int) -> Figure:
    figure, axes = panels(len(names), rows=rows, width=WIDTH + 1.5)
    for name, ax in zip(names, axes, strict=False):
        if name:
            effect(comparisons, name, plan, ax)
        else:
            _effects_key(ax, plan)
    return figure


def _effects_key(ax: Axes, plan: Mapping) -> None:
    """The markers, explained in the panel that is left over."""
    ax.set_axis_off()
    told = {"<": "fairer", ">": "less fair", "s": "equivalent", "o": "undecided"}
    style = {"linestyle": "none", "color": BLUE, "markersize": 5.5}
    handles = [Line2D([], [], marker=m, markerfacecolor="white" if m == "o" else BLUE, **style) for m in told]
    band = f"band: ±{points(plan['analysis']['smallest_effect'])} points"
    labels = [*told.values(), f"{band},\nthe smallest effect\nthat counts"]
    ax.legend([*handles, Patch(facecolor=PALE)], labels, loc="upper left", fontsize=8.5)


def alt_effects(comparisons: pd.DataFrame) -> str:
    """What the interval plots show, in words."""
    rows = bias_rows(comparisons).dropna(subset=["difference"])
    if rows.empty:
        return "Interval plots of differences: not estimable."
    low, high = rows.loc[rows["difference"].idxmin()], rows.loc[rows["difference"].idxmax()]
    ends = [
        f"{what}: {row['technique']} on {row['metric']}, {points(row['difference'], signed=True)} points."
        for what, row in (("Lowest", low), ("Highest", high))
    ]
    return f"Interval plots of differences from the baseline, one panel per metric. {' '.join(ends)}"


# Shared pieces


def parted(labels: Mapping, most: int) -> list[dict]:
    """Rows or panels in portions of nearly equal size, each at most `most`."""
    items, n = list(labels.items()), -(-len(labels) // most)
    size = -(-len(items) // max(n, 1))
    return [dict(items[i : i + size]) for i in range(0, len(items), max(size, 1))]


def new_axes(rows: float, width: float = 5.0) -> Axes:
    """Axes of their own for `rows` rows."""
    return Figure(figsize=(width, 0.9 + ROW * max(rows, 2)), layout="constrained").subplots()


def panels(n: int, rows: int, across: int = 4, width: float = WIDTH) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `n` panels that share their rows; only the leftmost of each line names them."""
    across = min(across, max(n, 1))
    down = -(-n // across)
    figure = Figure(figsize=(width, down * (0.85 + ROW * max(rows, 2))), layout="constrained")
    axes = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for ax in axes[n:]:
        ax.set_visible(False)
    return figure, axes[:n]


def _in_figures(names: Sequence[str], rows: int, across: int = 4) -> list[list[str]]:
    """Names of panels with so many rows, in portions that `panels` draws no taller than `TALLEST`."""
    lines = max(1, int(TALLEST // (0.85 + ROW * max(rows, 2))))
    return [list(part) for part in parted(dict.fromkeys(names), lines * across)]


def row_labels(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(technique, arm) in table order, each with its label; the arm is told only where there are several."""
    keys = list(dict.fromkeys(zip(rows["technique"], rows["arm"], strict=True)))
    several = len({arm for _, arm in keys}) > 1
    return {key: f"{key[0]} · {key[1]}" if several else key[0] for key in keys}


def _comparison_labels(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    against = {(r.technique, r.arm): r.baseline for r in rows.itertuples()}
    return {key: f"{label}\nv {against[key]}" for key, label in row_labels(rows).items()}


def _metric_label(rows: pd.DataFrame, metric: str) -> str:
    repeated = [name for name in rows.loc[rows["metric"] == metric, "redundant_with"] if name]
    return f"{metric}\n(repeats {repeated[0]})" if repeated else metric


def rows_of(rows: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    """Rows of one technique and arm."""
    return rows[(rows["technique"] == key[0]) & (rows["arm"] == key[1])]


def stacked(n: int) -> np.ndarray:
    """Vertical offsets of `n` runs in run order: nothing random, and the order stays visible."""
    return np.linspace(-0.28, 0.28, n) if n > 1 else np.zeros(n)


def run_points(hollow: bool) -> dict:
    """Style of the points of runs: hollow and grey for a baseline, filled and blue for a technique."""
    size = {"marker": "o", "linestyle": "none", "markersize": 3.4}
    if hollow:
        return {**size, "markerfacecolor": "none", "markeredgecolor": GREY, "markeredgewidth": 0.8}
    return {**size, "color": BLUE, "alpha": 0.55, "markeredgewidth": 0}


def _mean(ax: Axes, height: int, rows: pd.DataFrame) -> None:
    for _, row in rows.head(1).iterrows():
        if not missing(row["mean"]):
            ax.plot(100 * row["mean"], height, "|", color=INK, markersize=13, markeredgewidth=1.6)
        if not (missing(row["mean_low"]) or missing(row["mean_high"])):
            ax.plot([100 * row["mean_low"], 100 * row["mean_high"]], [height] * 2, color=INK, linewidth=1.6)


def name_rows(ax: Axes, labels: list[str]) -> None:
    """Names at the left, the first row on top."""
    ax.set_yticks(range(len(labels)), [plain(label) for label in labels])
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(False, axis="y")


def _widen(ax: Axes) -> None:
    """Half a point to either side where all values are equal, so that rounding is not magnified."""
    if 0 <= ax.dataLim.width < 1e-6:  # without any value the width is -inf
        ax.set_xlim(ax.dataLim.x0 - 0.5, ax.dataLim.x0 + 0.5)


def plain(text: str, most: int = 24) -> str:
    """A name as it is: no mathematics between dollar signs, one line, shortened."""
    lines = [" ".join(line.split()) for line in str(text).split("\n")]
    return "\n".join(line if len(line) <= most else line[: most - 1] + "…" for line in lines).replace("$", r"\$")
