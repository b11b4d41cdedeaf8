"""The verdict and the table at a glance as a block of HTML for notebooks, wherever the results come from."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.report.notebook_display import table_html


def verdict_html(
    verdict: Sequence[str], plan: Mapping, evidence: Sequence[Mapping], tables: Mapping[str, pd.DataFrame]
) -> str:
    """Return the sentences of the verdict, the table at a glance, and the names of all tables."""
    from fitlib.report.sections.verdict import GLANCE, glance_view  # late: imports matplotlib

    texts = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in verdict)
    view = glance_view(plan, evidence, tables["comparisons"])
    glance = table_html(GLANCE.title, view, GLANCE.caption(plan, tables["summary"]))
    names = ", ".join(f"<code>{html.escape(name)}</code>" for name in tables)
    return f"{texts}{glance}<p><code>tables</code>: {names}</p>"
