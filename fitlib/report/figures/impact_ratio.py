"""Impact ratios: by class and run, and how many runs lie on either side of four fifths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib import formatting as fmt
from fitlib.formatting import decimals, join_items
from fitlib.report import vocabulary as words
from fitlib.report.figures import style
from fitlib.report.figures.style import (
    GREY,
    INK,
    PALE,
    VERMILION,
    in_figures,
    name_rows,
    new_axes,
    panels,
    plain,
    run_points,
    stacked,
    styled,
)

MOST_CLASSES = 15  # impact ratios of more classes than this are limited to the lowest
BELOW = "#f3cfb4"  # pale vermilion, hatched


@styled
def impact_ratio(
    metrics: pd.DataFrame, technique: str, plan: Mapping, ax: Axes | None = None, targets: Sequence[int] | None = None
) -> Axes:
    """Draw the impact ratio (1 − DI, strict reading) of each class, every run a point, with the 0.8 landmark.

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
    """Draw a panel per technique, in as many figures as fit printed pages."""
    names = [t["technique"] for t in plan["techniques"] if (metrics["technique"] == t["technique"]).any()]
    targets = lowest_classes(metrics, plan)
    return [_impact_ratios(metrics, plan, part, targets) for part in in_figures(names, len(targets))]


def _impact_ratios(metrics: pd.DataFrame, plan: Mapping, names: Sequence[str], targets: Sequence[int]) -> Figure:
    figure, axes = panels(len(names), rows=len(targets))
    for name, ax in zip(names, axes, strict=False):
        impact_ratio(metrics, name, plan, ax, targets)
    return figure


def lowest_classes(metrics: pd.DataFrame, plan: Mapping) -> list[int]:
    """Return the classes to show: all, or the MOST_CLASSES with the lowest ratio; the favourable one always."""
    rows = _ratios(metrics)
    lowest = rows.groupby("target")["ratio"].min().sort_values(na_position="last", kind="stable")
    shown = [int(target) for target in lowest.index[:MOST_CLASSES]]
    favourable = plan["analysis"].get("favourable")
    if favourable is not None and favourable in lowest.index and favourable not in shown:
        shown[-1] = int(favourable)
    return sorted(shown)


def alt_impact_ratios(metrics: pd.DataFrame, plan: Mapping) -> str:
    """Describe the impact ratios in words."""
    rows = _ratios(metrics).dropna(subset=["ratio"])
    if rows.empty:
        return "Impact ratio by class: undefined in every run."
    low = rows.loc[rows["ratio"].idxmin()]
    below = rows[_below(rows["ratio"])].groupby("technique", sort=False)["target"].nunique()
    texts = [f"{name}: {n} classes below 0.8 in some run" for name, n in below.items()] or ["none below 0.8"]
    return (
        f"Dot plots of the impact ratio by class, one panel per technique, one dot per run, dashed line at 0.8. "
        f"Lowest: {decimals(low['ratio'])} ({low['technique']}, class {words.class_name(plan, low['target'])}). "
        f"{join_items(texts, 8)}."
    )


def _below(ratio: np.ndarray | pd.Series) -> np.ndarray | pd.Series:
    """Return where ratios lie below 0.8; 1 − DI of exactly 0.8 may have been rounded down."""
    return ratio < 0.8 - 1e-12


def _ratios(metrics: pd.DataFrame) -> pd.DataFrame:
    rows = metrics[(metrics["metric"] == "DI") & metrics["target"].notna()]
    return rows.assign(ratio=1 - rows["value"].astype(float), target=rows["target"].astype(int))


def _class_label(plan: Mapping, target: int) -> str:
    name = words.class_name(plan, target)
    return f"{name} (four fifths)" if plan["analysis"].get("favourable") == target else name


def worst_rows(risk: pd.DataFrame) -> pd.DataFrame:
    """Return one row per technique and arm: the favourable class where one is declared, else that most often below."""
    rows = risk[risk["n"] > 0]
    if (rows["rule"] == "four-fifths").any():
        return rows[rows["rule"] == "four-fifths"]
    ranked = rows.sort_values(["p_violated", "ratio_mean"], ascending=[False, True], kind="stable")
    return ranked.drop_duplicates(["technique", "arm", "attribute"]).sort_index()


@styled
def sides(risk: pd.DataFrame, plan: Mapping, ax: Axes | None = None) -> Axes:
    """Draw the share of runs below 0.8 and of runs not below, with the 95 % interval of the share below.

    One row per technique: the favourable class (Clopper-Pearson), else its worst class (Bonferroni's: it was chosen).
    """
    rows = worst_rows(risk)
    ax = ax if ax is not None else style.new_axes(1.3 * len(rows), width=7.0)
    for height, row in enumerate(rows.to_dict("records")):
        _sides_row(ax, height, row)
    labels = [f"{r['technique']} · class {words.class_name(plan, r['target'])}" for _, r in rows.iterrows()]
    ax.set_yticks(range(len(labels)), [style.plain(label, 34) for label in labels])
    ax.set(
        xlim=(0, 1), ylim=(len(labels) - 0.4, -0.6), xlabel="share of runs (black: 95 % interval of the share below)"
    )
    ax.set_title("Violates four fifths" if (rows["rule"] == "four-fifths").any() else "Impact ratio below 0.8")
    ax.grid(False, axis="y")
    return ax


def _sides_row(ax: Axes, height: int, row: Mapping) -> None:
    share, n, below = float(row["p_violated"]), int(row["n"]), int(row["violated"])
    ax.barh(height, share, height=0.62, color=BELOW, hatch="////", edgecolor=VERMILION, linewidth=0)
    ax.barh(height, 1 - share, left=share, height=0.62, color=PALE, linewidth=0)
    end = "" if row["rule"] == "four-fifths" else "_bonferroni"
    low, high = row[f"p_violated_low{end}"], row[f"p_violated_high{end}"]
    if not (fmt.is_missing(low) or fmt.is_missing(high)):
        ax.errorbar(
            [share], [height], xerr=[[share - low], [high - share]], color=INK, capsize=3, fmt="|", linewidth=1.4
        )
    text = f"{below} below, {n - below} not"
    ax.annotate(text, (1, height), (4, 0), ax.get_yaxis_transform(), "offset points", va="center", fontsize=7.5)


def alt_sides(risk: pd.DataFrame, plan: Mapping) -> str:
    """Describe the figure in words."""
    rows = worst_rows(risk)
    texts = [
        f"{words.technique_label(rows, r)}, class {words.class_name(plan, r['target'])}: {int(r['violated'])} of "
        f"{int(r['n'])} runs"
        for _, r in rows.iterrows()
    ]
    return f"Bars of the share of runs below 0.8 on the impact ratio, by technique. {fmt.join_items(texts, 30)}."
