"""The accuracy-fairness plane: where techniques lie, how surely, who is on the Pareto front, and their churn.

Figures as in `fitlib.report.figures.style`: tidy tables in (`fitlib.tables.pareto`), axes out. A diamond is on the
front of accuracy, bias and churn, a circle is dominated, a cross is not ranked. Every technique has its colour; a
baseline is hollow and grey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from scipy import stats

from fitlib.formatting import count, is_missing, join_items, points
from fitlib.report.figures.style import (
    GREY,
    INK,
    SMALL,
    figure_of,
    new_figure,
    palette_of,
    short,
    styled,
    write_n,
)
from fitlib.statistics.estimates import as_runs
from fitlib.tables.pareto import dominates

MOST_NAMES = 8  # more techniques are labelled by numbers, with a key beside the plane
KEY_ROW = 0.17  # inches
DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
FRONT_LINE: dict[str, Any] = {"color": INK, "linewidth": 0.9, "linestyle": (0, (4, 3))}
REGION = "_region"  # label of outlines; the underscore keeps it out of legends
HALO = [withStroke(linewidth=2, foreground="white")]
DISTANCES = (7, 14, 24, 38, 56)  # of a label from its point, in points of type


def mean_region(x: np.ndarray, y: np.ndarray, confidence: float = 0.95, corners: int = 120) -> np.ndarray | None:
    """Return the outline (corners, 2) of Hotelling's confidence region of the mean vector of two series (runs,).

    (m - μ)' S⁻¹ (m - μ) <= 2(n - 1)/(n(n - 2)) F(2, n - 2), S the covariance with ddof 1. A line where one series is
    constant; None for fewer than 3 runs, or where both are constant. ValueError if unequal in length.
    """
    values = np.stack([as_runs(x), as_runs(y)])
    n = values.shape[1]
    if n < 3 or not np.isfinite(values).all() or not np.ptp(values, axis=1).any():
        return None
    scale = 2 * (n - 1) / (n * (n - 2)) * stats.f.ppf(confidence, 2, n - 2)
    variances, axes = np.linalg.eigh(np.cov(values))
    angle = np.linspace(0, 2 * np.pi, corners)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    half = np.sqrt(scale * np.maximum(variances, 0))
    return (values.mean(axis=1)[:, None] + axes @ (half[:, None] * circle)).T


@styled
def plane(
    rows: pd.DataFrame, runs: pd.DataFrame, ax: Axes | None = None, palette: Mapping[str, str] | None = None
) -> Axes:
    """Draw a point per technique, mean accuracy against mean bias, with its 95 % region, its runs, and its churn.

    ``rows``: of `fitlib.tables.pareto.pareto`, ``runs``: of `fitlib.tables.pareto.plane_runs`, both of one metric, arm
    and attribute. Labels are placed when the figure's size is known, without overlap where there is room.

    >>> from fitlib import plots
    >>> from fitlib.results.example import example_results
    >>> results = example_results()
    >>> from fitlib.tables.pareto import plane_runs
    >>> rows = results.tables["pareto"].query("metric == 'DI'")
    >>> runs = plane_runs(results.tables["metrics"], results.plan, results.evidence).query("metric == 'DI'")
    >>> plots.accuracy_bias_plane(rows, runs).get_ylabel()
    'DI (points; lower is less biased)'
    """
    ax = ax if ax is not None else new_figure(figsize=(6.2, 4.6)).subplots()
    shown, palette = _shown(rows), _palette(rows, palette)
    for row in shown.to_dict("records"):
        _draw_technique(ax, row, runs[runs["technique"] == row["technique"]], palette)
    for front in _fronts(shown):
        ax.plot(*front.T, zorder=1.2, **FRONT_LINE)
    metric = str(rows["metric"].iloc[0]) if len(rows) else "bias"
    ax.set_xlabel("accuracy (% correct; further right is better)")
    ax.set_ylabel(f"{metric} (points; lower is less biased)")
    ax.margins(0.12)
    ax.autoscale_view()
    _place(ax, shown, _labels(shown))
    return ax


@styled
def plane_figure(rows: pd.DataFrame, runs: pd.DataFrame, palette: Mapping[str, str] | None = None) -> Figure:
    """Draw the plane with its legend, and a key where techniques are labelled by numbers."""
    shown, palette = _shown(rows), _palette(rows, palette)
    numbered = len(shown) > MOST_NAMES
    figure = new_figure(figsize=(7.5 if numbered else 6.4, max(5.4, KEY_ROW * len(shown) + 1.2 if numbered else 0)))
    figure.legend(handles=_legend(shown), loc="outside lower left", ncols=3, handlelength=2)
    write_n(figure, rows["n"])
    if numbered:
        ax, key = figure.subplots(1, 2, width_ratios=(5.2, 2.2))
        _write_key(key, shown, palette)
    else:
        ax = figure.subplots()
    plane(rows, runs, ax, palette)
    return figure


def alt_plane(rows: pd.DataFrame) -> str:
    """Return in one sentence which techniques are on the Pareto front."""
    shown = _shown(rows)
    if shown.empty:
        return "Plane of accuracy and bias: nothing to show."
    what = f"Accuracy and {shown['metric'].iloc[0]} of {count(len(shown), 'technique')}."
    if not (shown["on_front"] != "").any():
        return f"{what} None is ranked."
    on = [short(name, 16) for name in shown.loc[shown["on_front"] == "yes", "technique"]]
    return f"{what} On the front of accuracy, bias and churn: {join_items(on, 4) if on else 'none'}."


# Parts


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.dropna(subset=["accuracy_mean", "bias_mean"])


def _palette(rows: pd.DataFrame, palette: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return ``palette``; without one, a colour for every technique that is no baseline, in table order."""
    return palette_of(rows.loc[rows["technique"] != rows["baseline"], "technique"]) if palette is None else palette


def _is_baseline(row: Mapping[str, Any]) -> bool:
    return row["technique"] == row["baseline"]


def _marker(row: Mapping[str, Any], colour: str = INK) -> dict[str, Any]:
    """Return the mark of a technique: its shape shows whether it is on the front."""
    return {
        "marker": {"yes": "D", "no": "o"}.get(row["on_front"], "X"),
        "color": colour,
        "markerfacecolor": "white" if _is_baseline(row) else colour,
        "markersize": 6.5,
        "linestyle": "none",
        "markeredgewidth": 1.5,
    }


def _draw_technique(ax: Axes, row: dict, runs: pd.DataFrame, palette: Mapping[str, str]) -> None:
    colour = palette.get(row["technique"], GREY)
    x, y = 100 * runs["accuracy"].to_numpy(float), 100 * runs["bias"].to_numpy(float)
    ax.plot(x, y, "o", markersize=3, color=colour, alpha=0.5, markeredgewidth=0, zorder=1.5)
    outline = mean_region(x, y)
    if outline is not None:
        ax.plot(*outline.T, color=colour, linewidth=1, zorder=1.8, label=REGION)
    ax.plot(100 * row["accuracy_mean"], 100 * row["bias_mean"], zorder=3, **_marker(row, colour))


def _fronts(shown: pd.DataFrame) -> Iterator[np.ndarray]:
    """Return, for each of several families, the points (points, 2) that nothing beats in accuracy and bias alone."""
    for _, family in shown[shown["on_front"] != ""].groupby("baseline", sort=False):
        values = 100 * family[["accuracy_mean", "bias_mean"]].to_numpy(float)
        front = values[~dominates(values * (-1, 1)).any(axis=0)]
        if len(front) > 1:
            yield front[np.argsort(front[:, 0])]


def _labels(shown: pd.DataFrame) -> list[str]:
    if len(shown) > MOST_NAMES:
        return [str(i) for i in range(1, len(shown) + 1)]
    return [f"{_escaped(r['technique'])}\n{_churn(r)}" for r in shown.to_dict("records")]


def _churn(row: Mapping[str, Any]) -> str:
    return "churn not known" if is_missing(row["churn_mean"]) else f"churn {points(row['churn_mean'])} %"


def _escaped(name: object, most: int = 22) -> str:
    name = " ".join(str(name).split())
    return (name if len(name) <= most else f"{name[: most - 1]}…").replace("$", r"\$")


def _write_key(ax: Axes, shown: pd.DataFrame, palette: Mapping[str, str]) -> None:
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -1.5))
    ax.text(1, -1, "churn", ha="right", va="center", fontsize=SMALL, color=GREY)
    for i, row in enumerate(shown.to_dict("records")):
        bold = "bold" if row["on_front"] == "yes" else "normal"
        style: dict[str, Any] = {"va": "center", "fontsize": SMALL}
        ax.text(0.09, i, str(i + 1), ha="right", **style)
        ax.plot(0.15, i, **_marker(row, palette.get(row["technique"], GREY)) | {"markersize": 4.5})
        ax.text(0.21, i, _escaped(row["technique"], 16), fontweight=bold, **style)
        churn = "–" if is_missing(row["churn_mean"]) else f"{points(row['churn_mean'])} %"
        ax.text(1, i, churn, ha="right", color=GREY, **style)


def _legend(shown: pd.DataFrame) -> list[Line2D]:
    answers = set(shown["on_front"])
    answers_shown = [("yes", "on the front (accuracy, bias, churn)"), ("no", "dominated"), ("", "not ranked")]
    handles = [_handle(answer, text) for answer, text in answers_shown if answer in answers]
    hollow = _marker({"on_front": "no", "technique": "", "baseline": ""}, GREY)
    lines = [
        Line2D([], [], label="hollow: a baseline", **hollow),
        Line2D([], [], color=GREY, linewidth=0.9, label="95 % region of the means"),
        Line2D([], [], color=GREY, marker="o", markersize=3, alpha=0.6, linestyle="none", label="one run"),
    ]
    if any(True for _ in _fronts(shown)):
        lines.append(Line2D([], [], label="front without churn", **FRONT_LINE))
    return handles + lines


def _handle(answer: str, text: str) -> Line2D:
    return Line2D([], [], label=text, **_marker({"on_front": answer, "technique": "a", "baseline": ""}))


# Labels without overlap; boxes are (…, 4): left, bottom, right, top in pixels


def _place(ax: Axes, shown: pd.DataFrame, labels: Sequence[str]) -> None:
    """Annotate each point at the nearest place that is free of other labels, points and outlines."""
    if shown.empty:
        return
    figure = figure_of(ax)
    figure.draw_without_rendering()  # only now are sizes and places known
    scale = figure.dpi / 72
    at = ax.transData.transform(100 * shown[["accuracy_mean", "bias_mean"]].to_numpy(float))
    taken = np.concatenate([_squares(at, 4 * scale), _outlines(ax, scale)])
    frame = np.array(ax.get_window_extent().extents)
    for point, label, (_, row) in zip(at, labels, shown.iterrows(), strict=True):
        bold = "bold" if row["on_front"] == "yes" else "normal"
        note = ax.annotate(
            label, (100 * row["accuracy_mean"], 100 * row["bias_mean"]), (0, 0), textcoords="offset points",
            fontsize=SMALL, fontweight=bold, linespacing=1.0, zorder=4, path_effects=HALO,
        )  # fmt: skip
        note.set_in_layout(False)
        taken = np.vstack([taken, _settle(ax, note, point, taken, frame, scale)])


def _outlines(ax: Axes, scale: float) -> np.ndarray:
    """Return small boxes along every region that is drawn."""
    lines = [
        ax.transData.transform(np.asarray(line.get_xydata())[::3]) for line in ax.lines if line.get_label() == REGION
    ]
    return _squares(np.concatenate([np.empty((0, 2)), *lines]), scale)


def _squares(centres: np.ndarray, half: float) -> np.ndarray:
    return np.concatenate([centres - half, centres + half], axis=1)


def _settle(
    ax: Axes, note: Annotation, at: np.ndarray, taken: np.ndarray, frame: np.ndarray, scale: float
) -> np.ndarray:
    """Move a label to its best place, with a thin line to its point where that is far; return its box."""
    box = note.get_window_extent()
    boxes = _candidates(at, np.array([box.width + 2 * scale, box.height + 3 * scale]), scale)
    best = int(np.argmin(np.round(_crowding(boxes, taken, frame), 3)))  # of equals the nearest
    chosen = boxes[best]
    note.set_position(tuple((chosen[:2] - at) / scale + (1, 1.5)))
    note.set(ha="left", va="bottom")
    if best >= 2 * len(DIRECTIONS):
        ends = np.stack([at, np.clip(at, chosen[:2], chosen[2:])])
        line = ax.transData.inverted().transform(ends).T
        ax.plot(*line, color=GREY, linewidth=0.5, zorder=2, scalex=False, scaley=False)
    return chosen


def _candidates(at: np.ndarray, size: np.ndarray, scale: float) -> np.ndarray:
    """Return the boxes of a label of `size` around a point, the nearest first."""
    directions = np.array(DIRECTIONS, dtype=np.float64)
    reach = directions / np.linalg.norm(directions, axis=1, keepdims=True) * scale
    corners = [at + distance * reach - size * (1 - directions) / 2 for distance in DISTANCES]
    low = np.concatenate(corners)
    return np.concatenate([low, low + size], axis=1)


def _crowding(boxes: np.ndarray, taken: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return the area that each box would share with others, and far more where it would leave the frame."""
    size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return _shared(boxes, taken).sum(axis=1) + 100 * (size - _shared(boxes, frame[None])[:, 0])


def _shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the area in common of each box with each other, (boxes, others)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0).prod(axis=2)
