"""How many runs: the power of the mean test and the widths of intervals against the number of runs.

`frame` arguments are the table of comparisons of one protected attribute (`plots.select`). Curves are drawn for each
technique's typical distinct metric (the one with the median standard deviation) and for its worst (the largest).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.figures.style import BLUE, GREY, INK, VERMILION, WIDTH, styled
from fitlib.statistics import power

MOST_LINES = 5  # techniques with a curve of their own; of more, the range over techniques is drawn
MARKERS = "osD^v"
NUMBERS = (3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128)
TICKS = (4, 8, 16, 32, 64, 128)


def power_curves(frame: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the power to show the smallest effect by technique, arm, which ("typical", "worst") metric and n.

    Columns technique, arm, which, metric, n, power. Empty where nothing was tested.
    """
    tested = words.distinct(frame).dropna(subset=["p_mean"])
    parts = [_curves(rows, plan["analysis"]) for _, rows in tested.groupby(["technique", "arm"], sort=False)]
    columns = ["technique", "arm", "which", "metric", "n", "power"]
    return pd.DataFrame([row for part in parts for row in part], columns=columns).dropna(subset=["power"])


def _curves(rows: pd.DataFrame, analysis: Mapping) -> list[tuple]:
    rows = rows.assign(sd=np.hypot(rows["sd_baseline"], rows["sd_technique"]))
    rows = rows.assign(sd=rows["sd_difference"].fillna(rows["sd"])).sort_values("sd", kind="stable")
    chosen = {"typical": rows.iloc[(len(rows) - 1) // 2], "worst": rows.iloc[-1]}
    return [
        (row["technique"], row["arm"], which, row["metric"], n, power_at(row, n, analysis))
        for which, row in chosen.items()
        for n in NUMBERS
    ]


def power_at(row: Mapping, n: int, analysis: Mapping) -> float | None:
    """Return the power for the smallest effect with `n` runs of each, at a comparison's SDs and corrected α.

    0 where the exact rank test cannot reach that level with so few runs.
    """
    effect, alpha = analysis["smallest_effect"], analysis["alpha"] / row["family_size"]
    paired = row["design"] == "paired by run"
    if paired:
        found = power.power_paired(effect, row["sd_difference"], n, alpha)
    else:
        found = power.power_mean(effect, row["sd_baseline"], row["sd_technique"], n, n, alpha)
    return found if found is None or n >= power.runs_for_ranks(alpha, paired) else 0.0


@styled
def how_many_runs_figure(frame: pd.DataFrame, plan: Mapping) -> Figure:
    """Draw two panels against n: power for the mean; SD interval and expected MaxDiff. Present runs are marked."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    today = sorted({int(n) for n in [*frame["n_baseline"], *frame["n_technique"]] if n > 1})
    mean_power(power_curves(frame, plan), plan, left)
    spread_widths(right)
    for ax in (left, right):
        _runs_axis(ax, today)
    return figure


@styled
def mean_power(curves: pd.DataFrame, plan: Mapping, ax: Axes) -> Axes:
    """Draw power against n: solid for the typical metric, dashed for the worst; of many techniques, their range."""
    effect = fmt.points(plan["analysis"]["smallest_effect"])
    several = curves["arm"].nunique() > 1
    labels = curves["technique"] + (" · " + curves["arm"] if several else "")
    curves = curves.assign(label=labels.str.replace("$", r"\$"))
    handles = _lines(curves, ax) if curves["label"].nunique() <= MOST_LINES else _ranges(curves, ax)
    ax.axhline(0.8, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    ax.set(ylim=(0, 1.02), ylabel="power")
    ax.set_title(f"Power to show {effect} points of the mean")
    if handles:
        ax.legend(handles=handles, ncols=2, fontsize=7.5, handlelength=3, **BELOW)
    else:
        ax.text(0.5, 0.5, "no test was made", ha="center", transform=ax.transAxes, color=GREY)
    return ax


BELOW: dict[str, Any] = {
    "loc": "upper center",
    "bbox_to_anchor": (0.5, -0.2),
    "frameon": False,
}  # a legend that covers no curve
LINES: dict[str, tuple[str, Any]] = {"typical": (BLUE, "-"), "worst": (VERMILION, (0, (5, 2)))}


def _lines(curves: pd.DataFrame, ax: Axes) -> list:
    names = list(dict.fromkeys(curves["label"]))
    for (label, which), rows in curves.groupby(["label", "which"], sort=False):
        colour, dashes = LINES[which]
        marker = MARKERS[names.index(label)]
        ax.plot(rows["n"], rows["power"], color=colour, linestyle=dashes, marker=marker, markersize=3.6, linewidth=1.2)
    own = [Line2D([], [], color=GREY, linestyle="none", marker=MARKERS[i], label=n) for i, n in enumerate(names)]
    return [*own, *_kinds(curves)]


def _ranges(curves: pd.DataFrame, ax: Axes) -> list:
    """Draw the range over techniques and its median curve, of typical and of worst metrics."""
    for which, rows in curves.groupby("which", sort=False):
        colour, dashes = LINES[which]
        by_n = rows.groupby("n")["power"]
        low, high = by_n.min(), by_n.max()
        ax.fill_between(low.index, low, high, color=colour, alpha=0.1, linewidth=0)
        for edge in (low, high):
            ax.plot(edge.index, edge, color=colour, linestyle=dashes, linewidth=0.6)
        ax.plot(low.index, by_n.median(), color=colour, linestyle=dashes, linewidth=1.6)
    band = Patch(facecolor=GREY, alpha=0.2, label=f"{curves['label'].nunique()} techniques (thick: the median)")
    return [band, *_kinds(curves)]


def _kinds(curves: pd.DataFrame) -> list[Line2D]:
    present = [which for which in LINES if (curves["which"] == which).any()]
    texts = {"typical": "metric of median SD", "worst": "metric of largest SD"}
    return [Line2D([], [], color=LINES[w][0], linestyle=LINES[w][1], label=texts[w]) for w in present]


@styled
def spread_widths(ax: Axes) -> Axes:
    """Draw the interval of the SD and expected MaxDiff of normal runs against n, both in standard deviations."""
    ends = np.array([power.sd_ratios(n) for n in NUMBERS])
    ranges = [power.expected_range(n) for n in NUMBERS]
    ax.fill_between(
        NUMBERS, ends[:, 0], ends[:, 1], color=BLUE, alpha=0.18, linewidth=0, label="95 % interval of the SD"
    )
    ax.plot(NUMBERS, ranges, color=INK, marker="o", markersize=3, linewidth=1.2, label="expected MaxDiff")
    ax.axhline(1, color=BLUE, linewidth=0.9)
    ax.set(ylim=(0, 6.4), ylabel="standard deviations")
    ax.set_title("What n does to SD and MaxDiff")
    ax.legend(ncols=2, fontsize=7.5, **BELOW)
    return ax


def _runs_axis(ax: Axes, today: list[int]) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(TICKS, [str(n) for n in TICKS])
    ax.minorticks_off()
    ax.set(xlim=(NUMBERS[0] * 0.95, NUMBERS[-1] * 1.05), xlabel="runs of each technique")
    if today:
        ax.axvspan(today[0] * 0.985, today[-1] * 1.015, color=GREY, alpha=0.45, linewidth=0, zorder=0.5)
        n = str(today[0]) if len(today) == 1 else f"{today[0]} to {today[-1]}"
        ax.set_xlabel(f"runs of each technique (grey: the {n} there are)")


def alt_how_many_runs(frame: pd.DataFrame, plan: Mapping) -> str:
    """Describe the figure in words."""
    curves = power_curves(frame, plan)
    spread = (
        f"Right: the 95 % interval of a standard deviation shrinks from {_times(5)} at 5 runs to {_times(64)} at 64; "
        f"the expected MaxDiff grows from {power.expected_range(5):.1f} to {power.expected_range(64):.1f} standard "
        "deviations."
    )
    if curves.empty:
        return f"Curves against the number of runs. Left: no test was made. {spread}"
    texts = [_powers_at(curves, n) for n in (8, 16, 64)]
    return (
        f"Curves against the number of runs. Left: power for the metric of median SD, {fmt.join_items(texts)}. {spread}"
    )


def _powers_at(curves: pd.DataFrame, n: int) -> str:
    found = curves[(curves["n"] == n) & (curves["which"] == "typical")]["power"]
    return f"{fmt.value_range(found, fmt.power)} at {n} runs"


def _times(n: int) -> str:
    low, high = power.sd_ratios(n)
    return f"[{low:.2f}, {high:.2f}] times itself"
