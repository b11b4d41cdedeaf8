"""Lines of techniques against n or epoch; they carry markers and dashes, so that none is recognised by colour alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fitlib.report.figures import style as style_figures
from fitlib.report.figures.style import BLUE, GREY, INK, VERMILION, WIDTH, new_figure

MOST_LINES = 5  # techniques with a line of their own; of more, their range is drawn
MARKERS = "osD^v"
COLOURS, DASHES = (BLUE, VERMILION, INK, GREY), ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (5, 1, 1, 1)))


def two_panels(table: pd.DataFrame, columns: Sequence[str], draw: Callable[[pd.DataFrame, str, Axes], Axes]) -> Figure:
    """Draw two panels with the techniques explained below."""
    figure = new_figure(figsize=(WIDTH, 3.4))
    for ax, column in zip(figure.subplots(1, 2), columns, strict=True):
        draw(table, column, ax)
    figure.legend(handles=_key(table), loc="outside lower left", ncols=5, fontsize=8.5, handlelength=4)
    return figure


def draw_lines(ax: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """Draw a line per technique and arm; of more than `MOST_LINES` their range and median."""
    labels = style_figures.row_labels(table)
    if len(labels) > MOST_LINES:
        spread = table.groupby(x)[y]
        ax.fill_between(spread.min().index, spread.min(), spread.max(), color=BLUE, alpha=0.2, linewidth=0)
        ax.plot(spread.median().index, spread.median(), color=INK, linewidth=1.6)
        return
    for key, style in zip(labels, _styles(), strict=False):
        rows = style_figures.rows_of(table, key)
        ax.plot(rows[x], rows[y], **style, linewidth=1.3, markersize=3.6, markevery=max(1, len(rows) // 10))


def _styles() -> list[dict[str, Any]]:
    return [
        {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i]}
        for i in range(MOST_LINES)
    ]


def _key(table: pd.DataFrame) -> list:
    labels = style_figures.row_labels(table)
    if len(labels) > MOST_LINES:
        band = Patch(facecolor=BLUE, alpha=0.2, label=f"{len(labels)} rows, smallest to largest")
        return [band, Line2D([], [], color=INK, linewidth=1.6, label="their median")]
    return [
        Line2D([], [], **style, markersize=3.6, label=style_figures.plain(label))
        for label, style in zip(labels.values(), _styles(), strict=False)
    ]
