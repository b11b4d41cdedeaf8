"""The verdict as a block of HTML for notebooks, wherever results come from: sentences, figure, table at a glance."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.report.notebook_display import table_html

Frames = Mapping[str, pd.DataFrame]


def verdict_html(
    verdict: Sequence[str], plan: Mapping, evidence: Sequence[Mapping], tables: Frames, has_figure: bool = True
) -> str:
    """Return the finding, its figure and the verdict; below, folded, the table at a glance; the names of tables."""
    from fitlib.report.sections.verdict import GLANCE, glance_view  # late: imports matplotlib

    finding, *others = (html.escape(sentence) for sentence in verdict)
    texts = "".join(f"<p>{sentence}</p>" for sentence in others)
    figure = figure_html(tables, plan) if has_figure else ""
    view = glance_view(plan, evidence, tables["comparisons"])
    glance = table_html(GLANCE.title, view, GLANCE.caption(plan, tables["summary"]))
    names = ", ".join(f"<code>{html.escape(name)}</code>" for name in tables)
    folded = f"<details><summary>{GLANCE.title}</summary>{glance}</details>"
    return f"<p><b>{finding}</b></p>{figure}{texts}{folded}<p><code>tables</code>: {names}</p>"


def figure_html(tables: Frames, plan: Mapping) -> str:
    """Return the figure of the verdict as a picture with its text alternative."""
    from fitlib.report.figures import style, verdict  # late: imports matplotlib

    names = ("metrics", "summary", "comparisons", "individuals", "risk", "over_seeds")
    frames = {name: pd.DataFrame(tables[name]) for name in names}
    metric = verdict.shown_metric(frames["comparisons"], plan)
    alt = verdict.alt_verdict(verdict.technique_runs(frames, plan, metric, next(iter(plan["groups"]))), metric)
    picture = base64.b64encode(style.svg_text(verdict.verdict_figure(frames, plan)).encode()).decode()
    source = f"data:image/svg+xml;base64,{picture}"
    return f'<p><img style="max-width: 100%" alt="{html.escape(alt, quote=True)}" src="{source}"></p>'
