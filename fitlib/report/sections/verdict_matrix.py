"""The verdicts of all techniques on all distinct metrics as a small matrix of glyphs."""

from __future__ import annotations

import html

import pandas as pd

from fitlib.report import vocabulary as words
from fitlib.report.notebook_display import display
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN

GLYPHS = {FAIRER: "◀", LOWER: "◁", EQUIVALENT: "■", OPEN: "○", HIGHER: "▷", LESS_FAIR: "▶"}
KEY = ("◀ fairer", "◁ lower, size open", "■ within the smallest effect", "○ open", "▷ higher, size open", "▶ less fair")
MOST_ROWS = 10  # of the matrix on the first screen; a longer one is folded


def matrix_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts, a row for each comparison and a column for each distinct metric; "" where there is none."""
    rows = words.distinct(table)
    if "arm" not in rows:
        rows = rows.assign(arm=rows["noise"])
    rows = rows.assign(label=[words.technique_label(rows, row) for _, row in rows.iterrows()])
    wide = rows.pivot_table(index="label", columns="metric", values="verdict", aggfunc="first", sort=False)
    return wide.fillna("")


def show_matrix(rows: pd.DataFrame) -> None:
    """Display the matrix: a glyph in each cell, and its verdict as text for screen readers."""
    head = "".join(f'<th scope="col">{html.escape(str(metric))}</th>' for metric in rows.columns)
    body = "".join(
        f'<tr><th scope="row">{html.escape(str(label))}</th>{"".join(map(_cell, verdicts))}</tr>\n'
        for label, *verdicts in rows.itertuples(name=None)
    )
    title, key = "Verdicts by technique and metric", " · ".join(KEY)
    content = (
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0"><table class="matrix short">'
        f'<caption>{key}</caption>\n<thead><tr><th scope="col">Technique</th>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>"
    )
    display({"text/html": content, "text/plain": rows.to_string()})


def _cell(verdict: str) -> str:
    shown = html.escape(verdict or "no verdict")
    return f'<td><span aria-hidden="true">{GLYPHS.get(verdict, "–")}</span><span class="spoken">{shown}</span></td>'
