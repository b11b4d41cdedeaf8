"""Section "Beyond this test set": do the verdicts hold for new test data of this kind?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fitlib import formatting as fmt
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption
from fitlib.report.notebook_display import Page, heading, show_text
from fitlib.report.reader_tables import ReaderTable, comparison_cell

KEYS = ["technique", "baseline", "arm", "attribute", "metric"]
QUESTION = (
    "The runs answer for this test set. Other people, drawn in the same way, would give other values: these intervals "
    "cover new runs and new test data of this kind together."
)


def show(page: Page, frames: Mapping[str, pd.DataFrame]) -> None:
    """Display the section; nothing without comparisons that have an interval for new test data."""
    rows = differences(frames["new_test_data"], frames["comparisons"])
    if rows["low_new"].isna().all():
        return
    heading("Do the verdicts hold beyond this test set?", folded=True)
    show_text([QUESTION, *sentences(rows)])
    page.show(NEW_TEST_DATA, rows)


def differences(new_test_data: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of "comparisons" on distinct metrics with columns …_new of the table "new_test_data"."""
    new = new_test_data[new_test_data["baseline"] != ""]
    columns = ["low", "high", "verdict", "share_units", "note"]
    return words.distinct(comparisons).merge(
        new[[*KEYS, *columns]].rename(columns={name: f"{name}_new" for name in columns}), on=KEYS, how="left"
    )


def scope_sentence(new_test_data: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """Return whether the deciding verdicts hold for new test data, too; where one does not, the narrower scope."""
    here = differences(new_test_data, words.deciding(comparisons))
    here = here[here["verdict"].isin(words.JUDGED)]
    rows = here[here["verdict_new"].isin(words.JUDGED)]
    if rows.empty:
        return ""
    other = rows[rows["verdict"] != rows["verdict_new"]]
    custom = not here["metric"].isin(BIAS_METRICS).all()  # test units are not resampled for these
    if other.empty:
        hold = "This verdict holds" if len(rows) == 1 else "These verdicts hold"
        if custom:
            hold = f"Of these verdicts, {_on_own(len(rows))} {'holds' if len(rows) == 1 else 'hold'}"
        return f"{hold} for new test data of this kind, too."
    if len(rows) == 1:
        which = f"the verdict on {rows.iloc[0]['metric']}" if custom else "the verdict"
        return f"For new test data of this kind {which} would be “{rows.iloc[0]['verdict_new']}”."
    of = _on_own(len(rows)) if custom else f"these {len(rows)} verdicts"
    return (
        f"For new test data of this kind {len(other)} of {of} would be "
        f"{'another one' if len(other) == 1 else 'others'}: those above are for this test set."
    )


def _on_own(n: int) -> str:
    return "the one on fitlib's own metrics" if n == 1 else f"the {n} on fitlib's own metrics"


def sentences(rows: pd.DataFrame) -> list[str]:
    """Return which verdicts change for new test data, and how much of the uncertainty the test units make up."""
    judged = rows[rows["verdict"].isin(words.JUDGED) & rows["verdict_new"].isin(words.JUDGED)]
    other = judged[judged["verdict"] != judged["verdict_new"]]
    texts = []
    if len(other):
        named = fmt.join_items(_changed(row, rows) for _, row in other.iterrows())
        texts.append(f"{len(other)} of {fmt.count(len(judged), 'verdict')} would be another one: {named}.")
    elif len(judged):
        every = "The verdict is" if len(judged) == 1 else f"All {len(judged)} verdicts are"
        texts.append(f"{every} the same for new test data.")
    shares = rows["share_units_new"].dropna()
    if len(shares):
        texts.append(
            f"The draw of the test units makes up {fmt.value_range(100 * shares, _percent)} of the variance of the "
            "differences; more runs lower the rest only."
        )
    return texts


def _changed(row: pd.Series, frame: pd.DataFrame) -> str:
    return f"{comparison_cell(row, frame)} on {row['metric']} “{row['verdict_new']}” instead of “{row['verdict']}”"


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def view(rows: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return both intervals and verdicts of every difference."""
    return pd.DataFrame([_row(row, rows) for _, row in rows.iterrows()])


def _row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    share = row["share_units_new"]
    return {
        "Comparison": comparison_cell(row, frame),
        "Metric": row["metric"],
        "Difference": fmt.points(row["difference"], signed=True),
        "On this test set": fmt.span(row["difference_low"], row["difference_high"]),
        "For new test data": fmt.span(row["low_new"], row["high_new"]),
        "Verdict here": row["verdict"],
        "Verdict there": row["verdict_new"] if isinstance(row["verdict_new"], str) else "–",
        "Share of the test units": "–" if fmt.is_missing(share) else _percent(100 * share),
    }


NEW_TEST_DATA = ReaderTable(
    "Beyond this test set",
    Caption(
        "Differences in points with unadjusted 95 % intervals: over runs (on this test set), and over runs and test "
        "units (1,000 resamples of whole test units, the same for technique and baseline). Both verdicts at the level "
        "at which all hold together. Share: of the variance of the difference. No test is made here."
    ),
    view,
    table_files.NEW_TEST_DATA,
)
