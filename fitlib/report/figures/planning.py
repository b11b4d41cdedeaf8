"""Planning: the probability of each verdict against the number of runs, a panel for each true difference.

`frame` arguments are rows of the table "planning" (`fitlib.tables.planning`). A row of panels for each kind of metric
("typical" and "worst", or the primary one). Of several comparisons the median is drawn within their range, of a single
one its probability within the range that the pilot leaves open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib import formatting as fmt
from fitlib.report.figures.style import GREY, INK, PALE, TEXT, WIDTH, new_figure, styled

VERDICTS = {"fairer": (INK, "-", "o"), "equivalent": (INK, "--", "^"), "undecided": (GREY, ":", "s")}
TICKS = (4, 8, 16, 32, 64, 128, 256)
TITLES = {
    "primary": "primary metric",
    "typical": "metric of median SD",
    "worst": "metric of largest SD",
    "only": "the metric",
}
COMPARISON = ["technique", "baseline", "arm", "attribute", "metric", "sd_baseline", "sd_technique", "sd_difference"]


def multiples(frame: pd.DataFrame) -> pd.Series:
    """Return the true difference of each row in smallest effects, towards fairer: whole numbers."""
    return (-frame["true_difference"] / frame["smallest_effect"]).round().astype(int)


def curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the curves: which, multiple, n, verdict, value, low, high.

    ``value``, ``low``, ``high``: median and range over comparisons; of a single comparison the probability and its
    range over the SDs that the pilot leaves open, NaN where they are declared. Only equal numbers of runs, and enough
    for a verdict.
    """
    equal = frame[(frame["n_baseline"] == frame["n_technique"]) & (frame["note"] == "")]
    equal = equal.assign(multiple=multiples(equal))
    several = equal[COMPARISON].drop_duplicates().shape[0] > equal["which"].nunique()
    by, parts = equal.groupby(["which", "multiple", "n_baseline"], sort=False), []
    for verdict in VERDICTS:
        low, high = by[f"{verdict}_low"].first(), by[f"{verdict}_high"].first()
        if several:
            low, high = by[verdict].min(), by[verdict].max()
        parts.append(pd.DataFrame({"value": by[verdict].median(), "low": low, "high": high}).assign(verdict=verdict))
    found = pd.concat(parts).reset_index().rename(columns={"n_baseline": "n"})
    return found.sort_values(["which", "multiple", "verdict", "n"], key=_order, kind="stable").reset_index(drop=True)


def _order(column: pd.Series) -> pd.Series:
    names = [*TITLES, *VERDICTS]
    return column.map(lambda x: names.index(x) if x in names else len(names)) if column.dtype == object else column


@styled
def planning_figure(frame: pd.DataFrame, present: Sequence[int] = ()) -> Figure:
    """Draw a panel for each kind of metric and true difference; grey: the ``present`` numbers of runs."""
    drawn = curves(frame)
    kinds, steps = list(dict.fromkeys(drawn["which"])), sorted(set(drawn["multiple"]))
    figure = new_figure(figsize=(WIDTH, 0.9 + 1.9 * len(kinds)))
    axes = figure.subplots(len(kinds), len(steps), sharex=True, sharey=True, squeeze=False)
    for kind, line in zip(kinds, axes, strict=True):
        for step, ax in zip(steps, line, strict=True):
            panel(drawn[(drawn["which"] == kind) & (drawn["multiple"] == step)], ax)
            _mark(ax, present)
        line[0].set_ylabel(f"{TITLES[kind]}\nprobability" if kind in TITLES else "probability")
    for step, ax in zip(steps, axes[0], strict=True):
        ax.set_title(_title(step, frame["smallest_effect"]), fontsize=TEXT)
    unit = "seeds" if (frame["design"] == "paired by seed").all() else "runs of each technique"
    figure.supxlabel(unit + (f" (grey: the {_span(present)} there are)" if present else ""), fontsize=TEXT, color=INK)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(VERDICTS))
    return figure


@styled
def panel(rows: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the probability of each verdict against n, with its range."""
    for verdict, (colour, dashes, marker) in VERDICTS.items():
        of = rows[rows["verdict"] == verdict]
        ax.fill_between(of["n"], of["low"], of["high"], color=colour, alpha=0.12, linewidth=0)
        look: dict[str, Any] = {
            "color": colour,
            "linestyle": dashes,
            "marker": marker,
            "markersize": 3.5,
            "markerfacecolor": "white" if marker == "^" else colour,
        }
        ax.plot(of["n"], of["value"], linewidth=1.2, label=verdict, **look)
    ax.set_xscale("log", base=2)
    n = rows["n"]
    ticks = [t for t in TICKS if n.min() <= t <= n.max()] or sorted(set(n))
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()
    ax.set(ylim=(-0.02, 1.02), xlim=(n.min() * 0.92, n.max() * 1.09))
    return ax


def _mark(ax: Axes, present: Sequence[int]) -> None:
    if present:
        ax.axvspan(min(present) * 0.97, max(present) * 1.03, color=PALE, linewidth=0, zorder=0.5)


def _title(multiple: int, effects: pd.Series) -> str:
    """Return the true difference of a panel, in points if the smallest effect is the same in all comparisons."""
    if multiple == 0:
        return "no true difference"
    points = f"\n({fmt.points(multiple * effects.iloc[0])} points)" if effects.nunique() == 1 else ""
    return f"fairer by {'' if multiple == 1 else multiple}δ{points}"


def _span(present: Sequence[int]) -> str:
    low, high = min(present), max(present)
    return str(low) if low == high else f"{low} to {high}"


def alt_planning(frame: pd.DataFrame) -> str:
    """Return in one sentence the probabilities at the present number of runs, or the largest drawn."""
    drawn = curves(frame)
    present = [n for n in present_numbers(frame) if n in set(drawn["n"])]
    n, kind = int(present[-1] if present else drawn["n"].max()), drawn["which"].iloc[0]
    rows = drawn[(drawn["which"] == kind) & (drawn["n"] == n)].set_index(["multiple", "verdict"])["value"]
    step = max(drawn["multiple"])
    return (
        f"Probability of each verdict. {n} runs, {TITLES.get(kind, f'{kind} metric')}: equivalent without a difference "
        f"{fmt.chance(rows[0, 'equivalent'])}, fairer at {step}δ {fmt.chance(rows[step, 'fairer'])}."
    )


def present_numbers(frame: pd.DataFrame) -> list[int]:
    """Return the numbers of runs that the SDs were estimated from, rising."""
    known = np.unique(frame[["pilot_baseline", "pilot_technique"]].stack().dropna().astype(int))
    return [int(n) for n in known]
