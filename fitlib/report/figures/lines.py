"""Lines of techniques against n or epoch; each has the colour, dashes and mark of its technique."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fitlib.report.figures import style
from fitlib.report.figures.style import GREY, INK

MOST_LINES = 8  # techniques with a line of their own; of more, their range is drawn


def draw_lines(ax: Axes, table: pd.DataFrame, x: str, y: str, palette: Mapping[str, str], marked: bool = True) -> None:
    """Draw a line per technique and arm, ``marked`` or bare; of more than `MOST_LINES` their range and median."""
    looks = _looks(table, palette)
    if len(looks) > MOST_LINES:
        spread = table.groupby(x)[y]
        ax.fill_between(spread.min().index, spread.min(), spread.max(), color=GREY, alpha=0.25, linewidth=0)
        ax.plot(spread.median().index, spread.median(), color=INK, linewidth=1.6)
        return
    for key, look in looks.items():
        rows = style.rows_of(table, key)
        marks = {"markersize": 4, "markevery": max(1, len(rows) // 10)} if marked else {"marker": ""}
        ax.plot(rows[x], rows[y], **look | marks, linewidth=1.5)


def write_key(figure: Figure, table: pd.DataFrame, palette: Mapping[str, str], marked: bool = True) -> None:
    """Explain the lines of `draw_lines` below a figure."""
    looks, labels = _looks(table, palette), style.row_labels(table)
    handles: list[Any]
    if len(looks) > MOST_LINES:
        handles = [Patch(facecolor=GREY, alpha=0.25, label=f"{len(looks)} rows, smallest to largest")]
        handles.append(Line2D([], [], color=INK, linewidth=1.6, label="their median"))
    else:
        bare = {} if marked else {"marker": ""}
        handles = [
            Line2D([], [], **look | bare, linewidth=1.5, markersize=4, label=style.plain(labels[key]))
            for key, look in looks.items()
        ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4)


def _looks(table: pd.DataFrame, palette: Mapping[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the look of each technique and arm; of several arms each has dashes and a mark of its own."""
    keys = list(style.row_labels(table))
    arms = list(dict.fromkeys(arm for _, arm in keys))
    own = [
        {"linestyle": style.DASHES[i % len(style.DASHES)], "marker": style.MARKERS[i % len(style.MARKERS)]}
        for i in range(len(arms))
    ]
    of_arm = dict(zip(arms, own, strict=True)) if len(arms) > 1 else {}
    return {key: style.line_look(key[0], palette) | of_arm.get(key[1], {}) for key in keys}
