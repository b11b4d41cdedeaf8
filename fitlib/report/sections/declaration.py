"""Section "The plan, and every deviation from it"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.report import provenance
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: when the plan was fixed, every deviation, techniques and analysis as declared."""
    show_text([*provenance.deviations(plan), *provenance.notes(plan), *provenance.protected_use(plan)])
    page.show(TECHNIQUES, frames["summary"])
    page.show(ANALYSIS, frames["summary"])


def techniques_view(summary: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return every technique as planned."""
    names = {"technique": "Technique", "baseline": "Baseline", "method": "Method", "inference": "Inference"}
    names |= {"training": "Training", "uses_protected": "Uses the protected attribute"}
    rows = [{shown: str(t.get(key) or "–") for key, shown in names.items()} for t in plan["techniques"]]
    return pd.DataFrame(rows, columns=list(names.values()))


def analysis_view(summary: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the declared analysis."""
    analysis, favourable = plan["analysis"], plan["analysis"].get("favourable")
    rows = {
        "Smallest effect": words.smallest_effect_text(plan),
        "Primary metric": analysis.get("primary") or "none declared",
        "α": f"{analysis['alpha']:g}",
        "Family of tests": fmt.join_items(analysis.get("family") or bias_metrics_of(analysis), 7),
        "Favourable class": "none declared" if favourable is None else words.class_name(plan, favourable),
        "Reading of the metrics": analysis["reading"],
        "Protocol of the tests": analysis["protocol"],
        "Classes": fmt.join_items(plan.get("classes") or [], 20),
        "Groups": "; ".join(f"{name}: {fmt.join_items(groups, 12)}" for name, groups in plan["groups"].items()),
        "Source": str(plan.get("source", "")),
    }
    return pd.DataFrame({"Declared": list(rows), "Value": list(rows.values())})


TECHNIQUES = ReaderTable("Techniques as planned", Caption(), techniques_view)
ANALYSIS = ReaderTable("Analysis as declared", Caption(), analysis_view)
