"""Section "What varied between the runs?": every run, what n does to it, and since when runs part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, caption, overall_counts
from fitlib.report.figures import distributions, spread_by_runs, style
from fitlib.report.figures import epochs as epochs_figures
from fitlib.report.notebook_display import Page, heading, show_text
from fitlib.report.reader_tables import ReaderTable
from fitlib.report.sections.costs import first_metric
from fitlib.report.sentences import runs as run_sentences
from fitlib.tables.epochs import growth_sentences
from fitlib.tables.metric_series import main_arms

DISTRIBUTIONS = Caption(
    "Overall values of every run, with the mean and, where estimable, its 95 % interval (Student's t). No test is made "
    "here.",
    sizes=overall_counts,
)
CURVES = Caption(
    "Test accuracy of every run after every epoch by group (thin), and its mean over runs (thick). No test."
)
DIVERGENCE = Caption(
    "Standard deviation between runs of test accuracy, and of the gap between the groups' accuracies, in points. "
    "Intervals (Bonett's, 95 %) stand in tables/epochs.csv. No test is made here."
)


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: distributions and overall values, the number of runs, and the epochs where known."""
    summary, metrics = frames["summary"], frames["metrics"]
    colours = style.technique_colours(plan)
    for attribute in plan["groups"]:
        values, means = (style.select(frame, plan, attribute) for frame in (metrics, summary))
        figures, alt = (
            distributions.distributions_figures(values, means, colours),
            distributions.alt_distributions(means),
        )
        page.figures("distributions", attribute, figures, alt, DISTRIBUTIONS(plan, means))
    show_text([*run_sentences.largest_difference(summary, plan, evidence), *run_sentences.constants(summary)])
    heading("Every overall value", folded=True)
    show_text([run_sentences.next_run(summary), *run_sentences.intervals(summary)])
    page.show(SUMMARY, summary)
    show_text(run_sentences.undefined_values(summary, plan))
    _numbers_of_runs(page, frames, plan)
    _epochs(page, frames, plan)


def _numbers_of_runs(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping) -> None:
    metric = first_metric(frames["comparisons"])
    heading("What would other numbers of runs show?", folded=True)
    for attribute in plan["groups"]:
        table = spread_by_runs.against_runs(style.select(frames["metrics"], plan, attribute), metric)
        if len(table):
            figure = spread_by_runs.by_runs_figure(table, style.technique_colours(plan))
            alt = spread_by_runs.alt_by_runs(table, metric)
            page.figure("runs-and-spread", attribute, figure, alt, caption_by_runs(plan, table, metric))


def caption_by_runs(plan: Mapping, table: pd.DataFrame, metric: str) -> str:
    """Caption the curves against the number of runs."""
    return caption(
        plan,
        table.groupby(["technique", "arm"])["n"].max(),
        f"Overall {metric}. MaxDiff of so many runs, the mean over all choices of them. No test is made here.",
    )


def _epochs(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping) -> None:
    history, epochs = frames.get("history", pd.DataFrame()), frames["epochs"]
    if epochs.empty:
        return
    heading("From which epoch do the runs part?", folded=True)
    arms = [arm["arm"] for arm in main_arms(plan)]
    attribute = next(iter(plan["groups"]))
    shown, names = history[history["arm"].isin(arms)], plan["groups"][attribute]
    figures, alt = (
        epochs_figures.training_curves_figures(shown, names),
        epochs_figures.alt_training_curves(shown, names),
    )
    page.figures("training-curves", attribute, figures, alt, CURVES(plan, epochs))
    colours = epochs_figures.training_colours(plan)
    figure, alt = epochs_figures.divergence_figure(epochs, colours), epochs_figures.alt_divergence(epochs)
    page.figure("divergence", attribute, figure, alt, DIVERGENCE(plan, epochs))
    show_text(growth_sentences(epochs))


# Table for readers


def summary_view(summary: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return overall values by technique and metric, with the class whose values differ most between runs.

    MaxDiff grows with n, so only classes with as many defined runs as any are compared.
    """
    overall = pd.concat([words.overall_rows(summary), _accuracy_rows(summary)]).sort_index()
    classes = summary[summary["target"] != "overall"].dropna(subset=["maxdiff"])
    keys = ["technique", "arm", "attribute", "metric"]
    classes = classes[classes["n"] == classes.groupby(keys)["n"].transform("max")]
    widest = classes.loc[classes.groupby(keys)["maxdiff"].idxmax()].set_index(keys) if len(classes) else classes
    return pd.DataFrame([_summary_row(row, summary, _at(widest, row, keys), plan) for _, row in overall.iterrows()])


def _accuracy_rows(summary: pd.DataFrame) -> pd.DataFrame:
    return summary[(summary["metric"] == "accuracy") & (summary["target"] == "overall") & summary["group"].isna()]


def _at(frame: pd.DataFrame, row: pd.Series, keys: list[str]) -> pd.Series | None:
    at = tuple(row[key] for key in keys)
    return frame.loc[at] if len(frame) and at in frame.index else None


def _summary_row(row: pd.Series, frame: pd.DataFrame, widest: pd.Series | None, plan: Mapping) -> dict[str, str]:
    constant = row["n"] > 1 and row["maxdiff"] == 0
    worst = (
        "–"
        if widest is None or widest["maxdiff"] == 0
        else f"{words.class_name(plan, widest['target'])}: {fmt.points(widest['maxdiff'])}"
    )
    return {
        "Technique": words.technique_label(frame, row),
        "Metric": row["metric"],
        "n": str(row["n"]),
        "Mean": fmt.points(row["mean"]),
        "95 % interval of the mean": f"constant in all {row['n']} runs"
        if constant
        else fmt.span(row["mean_low"], row["mean_high"]),
        "SD": "–" if constant else fmt.points(row["sd"]),
        "95 % interval of the SD": "–" if constant else fmt.span(row["sd_low"], row["sd_high"]),
        "Smallest run": fmt.points(row["min"]),
        "Largest run": fmt.points(row["max"]),
        "MaxDiff": "–" if row["n"] < 2 else fmt.points(row["maxdiff"]),
        "Class with the largest MaxDiff": worst if row["n"] > 1 else "–",
    }


SUMMARY = ReaderTable(
    "Overall values",
    Caption(
        "In points. Intervals: 95 %, of the mean by Student's t, of the standard deviation (SD) by Bonett's method. "
        "MaxDiff = largest − smallest run; it has no interval and grows with n. No test is made here.",
        sizes=overall_counts,
    ),
    summary_view,
    table_files.SUMMARY,
)
