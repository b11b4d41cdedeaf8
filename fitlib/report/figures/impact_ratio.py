"""Impact ratios: by class and run, and how many runs lie on either side of four fifths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib import formatting as fmt
from fitlib.formatting import decimals
from fitlib.report import vocabulary as words
from fitlib.report.figures import style
from fitlib.report.figures.style import (
    GREY,
    INK,
    PALE,
    SMALL,
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


@styled
def impact_ratio(
    metrics: pd.DataFrame, technique: str, plan: Mapping, ax: Axes | None = None, targets: Sequence[int] | None = None
) -> Axes:
    """Draw the impact ratio (1 − DI, strict reading) of each class, every run a point, with the 0.8 landmark.

    The landmark is called four fifths only for the class that the plan declares favourable.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> plots.impact_ratio(results.tables["metrics"].query("reading == 'strict'"), "Plain", results.plan).get_xlabel()
    'impact ratio (dashed: 0.8)'
    """
    rows = _ratios(metrics)
    targets = lowest_classes(metrics, plan) if targets is None else targets
    rows = rows[rows["technique"] == technique]
    ax = ax if ax is not None else new_axes(len(targets))
    for height, target in enumerate(targets):
        ratios = rows.loc[rows["target"] == target].sort_values("run")["ratio"].dropna().to_numpy(float)
        if len(ratios):
            _ratio_points(ax, height, ratios, style.technique_colours(plan).get(technique))
        else:
            place = ax.get_yaxis_transform()
            ax.text(0.02, height, "undefined in every run", va="center", fontsize=SMALL, color=GREY, transform=place)
    ax.axvline(0.8, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    name_rows(ax, [_class_label(plan, target) for target in targets])
    start = min(0.6, np.floor(10 * np.nan_to_num(_ratios(metrics)["ratio"].min(), nan=0.6)) / 10)
    ax.set(xlim=(start - 0.02, 1.02), xlabel="impact ratio (dashed: 0.8)")
    ax.set_title(plain(technique))
    return ax


def _ratio_points(ax: Axes, height: int, ratios: np.ndarray, colour: str | None) -> None:
    offsets, low, look = height + stacked(len(ratios)), _below(ratios), run_points(colour)
    ax.plot(ratios[~low], offsets[~low], **look)
    ax.plot(ratios[low], offsets[low], **look | {"marker": "^", "markersize": 4})


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
    style.write_n(figure, style.run_numbers(metrics))
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
    """Return in one sentence the lowest impact ratio, and how many classes of techniques lie below 0.8 in some run."""
    rows = _ratios(metrics).dropna(subset=["ratio"])
    if rows.empty:
        return "Impact ratio by class: undefined in every run."
    low = rows.loc[rows["ratio"].idxmin()]
    cells = rows.groupby(["technique", "target"])["ratio"].min()
    place = f"{style.short(low['technique'])}, {style.short(words.class_name(plan, low['target']), 16)}"
    return (
        f"Impact ratio by class and run. Lowest: {decimals(low['ratio'])} ({place}). Below 0.8 in some run: "
        f"{int(_below(cells).sum())} of {len(cells)} rows."
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


def split_rows(risk: pd.DataFrame) -> pd.DataFrame:
    """Return one row per technique and arm: the favourable class where one is declared, else where runs disagree most.

    Of classes on which runs disagree alike, the one with the lowest mean ratio.
    """
    rows = risk[risk["n"] > 0]
    if (rows["rule"] == "four-fifths").any():
        return rows[rows["rule"] == "four-fifths"]
    split = (rows["violated"] / rows["n"] - 0.5).abs()  # 0 where half of the runs lie on either side
    ranked = rows.assign(split=split).sort_values(["split", "ratio_mean"], kind="stable").drop(columns="split")
    return ranked.drop_duplicates(["technique", "arm", "attribute"]).sort_index()


@styled
def sides(risk: pd.DataFrame, plan: Mapping, ax: Axes | None = None) -> Axes:
    """Draw the share of runs below 0.8 and of runs not below, with the 95 % interval of the share below.

    One row per technique: the favourable class (Clopper-Pearson), else that on which its runs disagree most
    (Bonferroni's: it was chosen).

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> plots.impact_ratio_sides(results.tables["risk"], results.plan).get_title(loc="left")
    'Impact ratio below 0.8'
    """
    rows, colours = split_rows(risk), style.technique_colours(plan)
    ax = ax if ax is not None else style.new_axes(1.3 * len(rows), width=6.4)
    for height, row in enumerate(rows.to_dict("records")):
        _sides_row(ax, height, row, colours.get(row["technique"]))
    labels = [f"{r['technique']} · class {words.class_name(plan, r['target'])}" for _, r in rows.iterrows()]
    ax.set_yticks(range(len(labels)), [style.plain(label, 34) for label in labels])
    ax.set(
        xlim=(0, 1), ylim=(len(labels) - 0.4, -0.6), xlabel="share of runs (black: 95 % interval of the share below)"
    )
    ax.set_title("Violates four fifths" if (rows["rule"] == "four-fifths").any() else "Impact ratio below 0.8")
    ax.grid(False, axis="y")
    return ax


def _sides_row(ax: Axes, height: int, row: Mapping, colour: str | None) -> None:
    share, n, below = float(row["p_violated"]), int(row["n"]), int(row["violated"])
    look: dict[str, Any] = {"color": colour or "white", "edgecolor": GREY if colour is None else "white"}
    ax.barh(height, share, height=0.62, hatch="////", linewidth=0, alpha=0.75, **look)
    ax.barh(height, 1 - share, left=share, height=0.62, color=PALE, linewidth=0)
    end = "" if row["rule"] == "four-fifths" else "_bonferroni"
    low, high = row[f"p_violated_low{end}"], row[f"p_violated_high{end}"]
    if not (fmt.is_missing(low) or fmt.is_missing(high)):
        ax.errorbar(
            [share], [height], xerr=[[share - low], [high - share]], color=INK, capsize=3, fmt="|", linewidth=1.4
        )
    text = f"{below} below, {n - below} not"
    ax.annotate(text, (1, height), (8, 0), ax.get_yaxis_transform(), "offset points", va="center", fontsize=SMALL)


def alt_sides(risk: pd.DataFrame, plan: Mapping) -> str:
    """Return in one sentence where runs are most evenly split between below 0.8 and not."""
    rows = split_rows(risk)
    if rows.empty:
        return "Impact ratio below 0.8: undefined in every run."
    row = rows.loc[(rows["violated"] / rows["n"] - 0.5).abs().idxmin()]
    place = f"{style.short(row['technique'])}, {style.short(words.class_name(plan, row['target']), 16)}"
    return f"Runs with an impact ratio below 0.8. Most evenly split: {row['violated']} of {row['n']} ({place})."
