"""Section "Which technique is the least biased?": the order of all techniques, and how firm it is."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption
from fitlib.report.notebook_display import Page, heading, show_text
from fitlib.report.reader_tables import ReaderTable
from fitlib.report.sections.costs import first_metric

PLACE = ["arm", "attribute", "baseline"]


def show(page: Page, frames: Mapping[str, pd.DataFrame]) -> None:
    """Display the section on the metric of interest; nothing where fewer than three techniques can be ranked."""
    rows = ranked(frames["ranks"], first_metric(frames["comparisons"]))
    if rows.empty:
        return
    heading("Which technique is the least biased?", folded=True)
    show_text(sentences(rows))
    page.show(RANKS, rows)


def ranked(ranks: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the ranked techniques on one metric, where there are three or more of them."""
    rows = ranks[(ranks["metric"] == metric) & ranks["rank"].notna()]
    return rows[rows.groupby(PLACE, dropna=False)["technique"].transform("size") > 2]


def sentences(rows: pd.DataFrame) -> list[str]:
    """Return the technique of lowest mean with P(best) and its interval of ranks, and what P(best) is not."""
    texts = []
    for _, group in rows.groupby(PLACE, dropna=False, sort=False):
        first = group.loc[group["rank"].idxmin()]
        n, rival = len(group), group.drop(first.name).sort_values("p_best", ascending=False).iloc[0]
        texts.append(
            f"Of {n} techniques {words.technique_label(rows, first)} has the lowest {first['metric']} "
            f"({fmt.points(first['mean'])} points): it comes first in {_percent(first['p_best'])} of the resampled "
            f"experiments ({_percent(rival['p_best'])}: {rival['technique']}), 95 % interval of its rank "
            f"{_ranks(first)}."
        )
    few = rows["note"].str.contains("certainty is overstated").any()
    more = " With fewer than 8 runs it is overstated." if few else ""
    return [
        *texts,
        f"If k techniques do not differ, this share is 1/k on average and may be anything in one case.{more}",
    ]


def _percent(share: float) -> str:
    return (
        f"{100 * share:.0f} %" if 0.005 <= share <= 0.995 or share in (0, 1) else "< 1 %" if share < 0.5 else "> 99 %"
    )


def _ranks(row: Mapping) -> str:
    return f"{row['rank_low']:g} to {row['rank_high']:g}"


def view(rows: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the techniques in the order of their means, with rank, its interval and P(best)."""
    ordered = rows.sort_values([*PLACE, "rank"], kind="stable")
    return pd.DataFrame([_row(row, rows) for _, row in ordered.iterrows()])


def _row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Technique": words.technique_label(frame, row),
        "Metric": row["metric"],
        "Mean": fmt.points(row["mean"]),
        "Rank": f"{row['rank']:g}",
        "95 % interval of the rank": _ranks(row),
        "P(best)": _percent(row["p_best"]),
    }


RANKS = ReaderTable(
    "Ranks",
    Caption(
        "Mean in points over the classes defined in every run of all techniques compared; rank 1 = least biased. Rank "
        "and P(best), the share of first places, over 4,000 resamples of whole runs. No test is made here."
    ),
    view,
    table_files.RANKS,
)
