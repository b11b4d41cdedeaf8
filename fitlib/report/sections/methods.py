"""Section "Methods and limits": what every result rests on, and the bias metrics in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.report import provenance
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable
from fitlib.report.sentences import limits as limit_sentences


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section."""
    show_text([provenance.what_varied(plan), *limit_sentences.METHOD_LIMITS, *limit_sentences.custom_metrics(plan)])
    page.show(METRICS, frames["summary"])


def metrics_view(summary: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the bias metrics in words."""
    rows = [
        {"Metric": m, "Name": words.METRIC_NAMES[m], "What it is, for one class": words.METRIC_MEANINGS[m]}
        for m in BIAS_METRICS
    ]
    rows += [
        {"Metric": name, "Name": words.CUSTOM, "What it is, for one class": words.custom_meaning(given)}
        for name, given in (plan["analysis"].get("metrics") or {}).items()
    ]
    return pd.DataFrame(rows)


METRICS = ReaderTable("The bias metrics", Caption(), metrics_view)
