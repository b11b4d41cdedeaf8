"""The one figure that answers at a glance: every run of every technique on one metric, and what follows from it.

A row for each technique, its baseline above it. At the left the runs, from 0 (equal treatment); at the right what was
concluded, in columns. With a favourable class a second panel shows the impact ratio of every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fitlib.formatting import NOT_ESTIMABLE, count, decimals, is_missing, points, span
from fitlib.report.figures.style import (
    GREY,
    INK,
    ROW,
    SMALL,
    in_blocks,
    name_rows,
    new_figure,
    run_points,
    select,
    short,
    stacked,
    styled,
    technique_colours,
)
from fitlib.report.vocabulary import METRIC_NAMES, class_name, deciding
from fitlib.tables.metric_series import main_arms

STRIP, BAND = "#f2f2f2", "#d9d9d9"  # from the least to the largest run of a baseline; its mean ± the smallest effect
FOUR_FIFTHS = 0.8
WIDEST = 11.0  # inches: the one figure that is wider than the others
NOTE: dict[str, Any] = {"fontsize": SMALL, "color": GREY, "va": "center"}
Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class TechniqueRuns:
    """A row of the figure: a technique on one metric, against its baseline (None: it is one)."""

    name: str
    baseline: str | None
    values: np.ndarray  # (runs,), points
    ratios: np.ndarray  # (runs,), impact ratio of the favourable class; empty without one
    risk: Mapping[str, Any]  # of the favourable class
    summary: Mapping[str, Any]
    comparison: Mapping[str, Any]
    accuracy: float
    churn: float


def shown_metric(comparisons: pd.DataFrame, plan: Mapping) -> str:
    """Return the metric of the figure: the primary one, else DI where it is distinct, else the first that is."""
    names = list(dict.fromkeys(deciding(comparisons)["metric"]))
    return str(plan["analysis"].get("primary") or ("DI" if "DI" in names or not names else names[0]))


@styled
def verdict_figure(frames: Frames, plan: Mapping, metric: str = "", attribute: str = "", arm: str = "") -> Figure:
    """Draw the runs of every technique on one metric of one protected attribute in one arm, and what was concluded.

    ``frames``: metrics (long), summary, comparisons, individuals, risk and, if any, over_seeds. Default:
    `shown_metric`, the first attribute, the first main arm or all seeds.
    """
    metric = metric or shown_metric(frames["comparisons"], plan)
    rows = technique_runs(frames, plan, metric, attribute or next(iter(plan["groups"])), arm)
    favourable = plan["analysis"].get("favourable")
    widths = [1.0, 1.0] if favourable is None else [0.8, 0.45, 1.3]
    height = 1.25 + 1.5 * ROW * max(len(rows), 2)
    figure = new_figure(figsize=(WIDEST + (0 if favourable is None else 1.5), height))
    left, *middle, right = figure.subplots(1, len(widths), sharey=True, width_ratios=widths)
    colours = technique_colours(plan)
    draw_runs(left, rows, metric, colours)
    place = [f"by {attribute or next(iter(plan['groups']))}"] if len(plan["groups"]) > 1 else []
    if len(main_arms(plan)) > 1:
        alone = arm or _over_seeds(frames, plan, metric, attribute or next(iter(plan["groups"]))) is None
        place.append(f"arm {arm or main_arms(plan)[0]['arm']}" if alone else "all seeds")
    left.set_title(", ".join([left.get_title("left"), *place]))
    for ax in middle:
        _draw_ratios(ax, rows, class_name(plan, favourable), colours)
    _write_conclusions(right, rows)
    return figure


def technique_runs(frames: Frames, plan: Mapping, metric: str, attribute: str, arm: str = "") -> list[TechniqueRuns]:
    """Return the rows of the figure: each baseline before the techniques that are compared with it.

    Without ``arm``, and where techniques are compared over seeds, the runs at all seeds and the comparison over seeds.
    """
    seeds = _over_seeds(frames, plan, metric, attribute) if not arm else None
    arms = [one["arm"] for one in main_arms(plan)] if seeds is not None else [arm or main_arms(plan)[0]["arm"]]
    metrics, summary, comparisons = (
        rows[rows["arm"].isin(arms)]
        for rows in (select(frames[name], plan, attribute) for name in ("metrics", "summary", "comparisons"))
    )
    persons, risk = (
        rows[(rows["attribute"] == attribute) & rows["arm"].isin(arms)]
        for rows in (frames["individuals"], frames["risk"])
    )
    compared = comparisons[comparisons["metric"] == metric] if seeds is None else seeds
    favourable = plan["analysis"].get("favourable")
    found = []
    for name, baseline in in_blocks(plan, metrics["technique"]):
        own, means = metrics[metrics["technique"] == name], summary[summary["technique"] == name]
        found.append(
            TechniqueRuns(
                name=name,
                baseline=baseline,
                values=100 * _run_values(own, metric),
                ratios=np.empty(0) if favourable is None else 1 - _run_values(own, "DI", int(favourable)),
                risk=_four_fifths(risk[risk["technique"] == name], favourable),
                summary=_over_arms(_overall(means, metric), ("mean", "expectation")),
                comparison=_first(compared[compared["technique"] == name]),
                accuracy=_overall(means, "accuracy")["mean"].mean(),
                churn=_overall(persons[persons["technique"] == name])["churn"].mean(),
            )
        )
    return found


def _over_seeds(frames: Frames, plan: Mapping, metric: str, attribute: str) -> pd.DataFrame | None:
    """Return the comparisons over seeds on the metric, under the first noise; None where there are none."""
    if "over_seeds" not in frames or frames["over_seeds"].empty:
        return None
    rows = select(frames["over_seeds"], plan, attribute)
    rows = rows[rows["metric"] == metric]
    return rows[rows["noise"] == rows["noise"].iloc[0]] if len(rows) else None


def _over_arms(rows: pd.DataFrame, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the row of one arm, or the means over several, which have no interval here."""
    return _first(rows) if len(rows) < 2 else {name: rows[name].mean() for name in names}


def _four_fifths(risk: pd.DataFrame, favourable: int | None) -> dict[str, Any]:
    """Return in how many runs of how many the favourable class violates the rule, {} without one."""
    rows = risk.iloc[:0] if favourable is None else risk[risk["target"] == favourable]
    return {name: int(rows[name].sum()) for name in ("violated", "n")} if len(rows) else {}


def _run_values(metrics: pd.DataFrame, metric: str, target: int | None = None) -> np.ndarray:
    """Return the defined values of the runs in run order, overall or of one class."""
    where = metrics["target"].isna() if target is None else metrics["target"] == target
    rows = metrics[(metrics["metric"] == metric) & where & metrics["group"].isna()]
    return rows.sort_values(["seed", "run"], kind="stable")["value"].dropna().to_numpy(float)


def _overall(rows: pd.DataFrame, metric: str | None = None) -> pd.DataFrame:
    rows = rows if metric is None else rows[rows["metric"] == metric]
    return rows[(rows["target"].astype(str) == "overall") & rows["group"].isna()]


def _first(rows: pd.DataFrame) -> dict[str, Any]:
    return rows.iloc[0].to_dict() if len(rows) else {}


# The runs


@styled
def draw_runs(ax: Axes, rows: list[TechniqueRuns], metric: str, colours: Mapping[str, str]) -> Axes:
    """Draw every run as a point, with mean and 95 % interval, from 0; behind them what the baseline alone would do.

    Pale strip: from the least to the largest run of the baseline. Darker band: its mean ± the smallest effect. Short
    line: what chance alone gives on average.
    """
    for height, row in enumerate(rows):
        if row.baseline is None:
            last = height + sum(other.baseline == row.name for other in rows)
            _draw_reference(ax, row, [other for other in rows if other.baseline == row.name], (height, last))
        ax.plot(row.values, height + stacked(len(row.values)), **_run_style(row, colours))
        _draw_mean(ax, height, row, INK if row.baseline is None else colours[row.name])
    name_rows(ax, [row.name for row in rows])
    ax.set_xlim(left=min([0.0, *(row.values.min() for row in rows if len(row.values))]))
    ax.axvline(0, color=INK, linewidth=1.2)
    ax.set_title(" · ".join(filter(None, (metric, METRIC_NAMES.get(metric, "")))))
    ax.set_xlabel("points (0: groups are treated alike)" if metric in METRIC_NAMES else "points")
    return ax


def _run_style(row: TechniqueRuns, colours: Mapping[str, str]) -> dict[str, Any]:
    return run_points(colours.get(row.name)) | {"markersize": 4.2}


def _draw_reference(ax: Axes, row: TechniqueRuns, against: list[TechniqueRuns], heights: tuple[int, int]) -> None:
    """Shade the baseline's runs and its smallest effect behind all that is compared with it, and name its extremes."""
    top, bottom = heights[0] - 0.5, heights[1] + 0.5
    if not len(row.values):
        return
    low, high = row.values.min(), row.values.max()
    ax.fill_betweenx([top, bottom], low, high, color=STRIP, linewidth=0, zorder=0)
    effects = [other.comparison.get("smallest_effect", np.nan) for other in against]
    effect = 100 * next((value for value in effects if not is_missing(value)), np.nan)
    mean = 100 * row.summary.get("mean", np.nan)
    if not is_missing(effect + mean):
        ax.fill_betweenx([top, bottom], mean - effect, mean + effect, color=BAND, linewidth=0, zorder=0.1)
    chance = row.summary.get("expectation", np.nan)
    if not is_missing(chance):
        ax.plot([100 * chance] * 2, [top, bottom], color=GREY, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0.2)
        ax.annotate("chance", (100 * chance, bottom), (3, 6), textcoords="offset points", **NOTE)
    if against:
        ax.axhline(heights[0] + 0.5, color=GREY, linewidth=0.6)
    if high > low:
        ax.annotate(points(low / 100), (low, heights[0]), (-5, 11), textcoords="offset points", ha="right", **NOTE)
        ax.annotate(points(high / 100), (high, heights[0]), (5, 11), textcoords="offset points", ha="left", **NOTE)


def _draw_mean(ax: Axes, height: int, row: TechniqueRuns, colour: str) -> None:
    mean, low, high = (row.summary.get(name, np.nan) for name in ("mean", "mean_low", "mean_high"))
    if not is_missing(mean):
        ax.plot(100 * mean, height, "|", color=colour, markersize=15, markeredgewidth=1.8)
    if not (is_missing(low) or is_missing(high)):
        ax.plot([100 * low, 100 * high], [height] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")


def _draw_ratios(ax: Axes, rows: list[TechniqueRuns], name: str, colours: Mapping[str, str]) -> None:
    """Draw the impact ratio of the favourable class in every run, beside four fifths."""
    for height, row in enumerate(rows):
        ax.plot(row.ratios, height + stacked(len(row.ratios)), **_run_style(row, colours))
    ax.axvline(FOUR_FIFTHS, color=INK, linewidth=1)
    ax.set_xlim(min([0.7, *(row.ratios.min() - 0.03 for row in rows if len(row.ratios))]), 1.02)
    ax.grid(False, axis="y")
    ax.tick_params(labelleft=False)
    ax.set_title(f"Impact ratio of {name}")
    ax.set_xlabel("ratio (four fifths: 0.8)")


# What was concluded


def _write_conclusions(ax: Axes, rows: list[TechniqueRuns]) -> None:
    """Write the columns at the right."""
    headings = ["difference\n[simultaneous interval]", "verdict", "lower in pairs\nof runs"]
    headings += ["accuracy", "flip between\ntwo runs", *(["below\n0.8"] if any(row.risk for row in rows) else [])]
    places = (0.0, 0.31, 0.56, 0.73, 0.86) if len(headings) == 5 else (0.0, 0.27, 0.52, 0.665, 0.775, 0.92)
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    style: dict[str, Any] = {"fontsize": SMALL, "va": "center"}
    for place, text in zip(places, headings, strict=True):
        ax.text(place, 1.0, text, fontsize=SMALL, color=GREY, va="bottom", transform=ax.transAxes)
    baselines = {row.name: row.values for row in rows}
    for height, row in enumerate(rows):
        below = [f"{row.risk['violated']} of {row.risk['n']}" if row.risk else ""]
        texts = [*_conclusions(row, baselines), *below[: len(places) - 5]]
        for place, text in zip(places, texts, strict=True):
            ax.text(place, height, text, **style, fontweight="bold" if place == places[1] else "normal")


def _conclusions(row: TechniqueRuns, baselines: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    accuracy, flips = (
        "" if is_missing(share) else f"{decimals(100 * share, 1)} %" for share in (row.accuracy, row.churn)
    )
    if row.baseline is None:
        return f"(baseline, {count(len(row.values), 'run')})", "", "", accuracy, flips
    found = row.comparison
    ends = found.get("simultaneous_low", np.nan), found.get("simultaneous_high", np.nan)
    difference = found.get("difference", np.nan)
    text = NOT_ESTIMABLE if is_missing(difference) else f"{points(difference, signed=True)}  {_interval(*ends)}"
    return (
        text,
        str(found.get("verdict", "")) or NOT_ESTIMABLE,
        _lower_pairs(row.values, baselines[row.baseline]),
        accuracy,
        flips,
    )


def _interval(low: float, high: float) -> str:
    return "" if is_missing(low) or is_missing(high) else span(low, high, places=1)


def _lower_pairs(values: np.ndarray, baseline: np.ndarray) -> str:
    """Return in how many pairs of one run of each the technique has the smaller value: what one run would show."""
    lower = int((values[:, None] < baseline[None]).sum())
    return f"{lower} of {len(values) * len(baseline)}"


def alt_verdict(rows: list[TechniqueRuns], metric: str) -> str:
    """Return in one sentence the lowest mean on the metric, its verdict, and its baseline's mean."""
    known = {row.name: row for row in rows if not is_missing(row.summary.get("mean", np.nan))}
    if not known:
        return f"Every run on {metric}: not estimable."
    low = min(known.values(), key=lambda row: row.summary["mean"])
    text = f"Every run on {metric}. Lowest mean: {short(low.name)}, {points(low.summary['mean'])} points"
    if low.baseline is None:
        return f"{text} (baseline)."
    verdict = low.comparison.get("verdict") or NOT_ESTIMABLE
    base = known.get(low.baseline)
    against = f"; {short(base.name)}: {points(base.summary['mean'])}" if base else ""
    return f"{text} ({verdict}){against}."
