"""Section "Every run": its state, overall values and digests, with a link to its executed notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, finished_counts
from fitlib.report.notebook_display import Page
from fitlib.report.reader_tables import ReaderTable


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the table of runs, with links where they left an executed notebook."""
    page.show(RUNS, frames["runs"], links={"Run": run_links(frames["runs"], evidence)})


def runs_view(runs: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return every planned run: state, overall values, and the first digits of what identifies it."""
    metrics = ("accuracy", *bias_metrics_of(plan["analysis"]))
    return pd.DataFrame([_run_row(row, runs, metrics) for _, row in runs.iterrows()])


def _run_row(row: pd.Series, frame: pd.DataFrame, metrics: Sequence[str]) -> dict[str, str]:
    digests = {"initial_weights": "Initial weights", "final_weights": "Final weights", "predictions": "Predictions"}
    return {
        "Technique": words.technique_label(frame, row),
        "Run": f"run-{int(row['run']):02d}",
        "State": row["status"],
        "FIT": row["fit"],
        **{m: "–" if fmt.is_missing(row[m]) else fmt.points(row[m]) for m in metrics},
        **{shown: row[key][:8] or "–" for key, shown in digests.items()},
    }


def run_links(runs: pd.DataFrame, evidence: Sequence[Mapping]) -> list[str]:
    """Return, for each row of the table of runs, the address of its executed notebook ("" where there is none)."""
    known = {(e["training"], e["arm"], e["run"]): str(e.get("link") or "") for e in evidence if e["status"] == "done"}
    return [known.get((row.training, row.arm, row.run), "") for row in runs.itertuples()]


RUNS = ReaderTable(
    "Runs",
    Caption(
        "Overall values in points, accuracy in %; weights and predictions by the first digits of their SHA-256. No "
        "interval, no test.",
        sizes=finished_counts,
    ),
    runs_view,
    table_files.RUNS,
)
