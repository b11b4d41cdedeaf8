"""Section "What varied between the runs?": every run, what n does to it, and since when runs part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.report import captions, reader_tables, sentences
from fitlib.report.captions import caption
from fitlib.report.figures import distributions, spread_by_runs, style
from fitlib.report.figures import epochs as epochs_figures
from fitlib.report.notebook_display import Page, heading, tell
from fitlib.report.sections.costs import first_metric
from fitlib.tables.epochs import still_growing
from fitlib.tables.metric_series import main_arms


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: distributions and overall values, the number of runs, and the epochs where known."""
    summary, metrics = frames["summary"], frames["metrics"]
    baselines = {t["technique"] for t in plan["techniques"] if t["baseline"] is None}
    for attribute in plan["groups"]:
        values, means = (style.select(frame, plan, attribute) for frame in (metrics, summary))
        figures, alt = (
            distributions.distributions_figures(values, means, baselines),
            distributions.alt_distributions(means),
        )
        page.figures("distributions", attribute, figures, alt, captions.caption_distributions(plan, means))
    tell([*sentences.largest_difference(summary, plan, evidence), *sentences.constants(summary)])
    tell([sentences.next_run(summary), *sentences.intervals(summary)])
    about = captions.caption_summary(plan, summary)
    page.table("Overall values", reader_tables.summary_view(summary, plan), about, "tables/summary.csv")
    tell(sentences.undefined_values(summary, plan))
    _numbers_of_runs(page, frames, plan)
    _epochs(page, frames, plan)


def _numbers_of_runs(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping) -> None:
    metric = first_metric(frames["comparisons"])
    for attribute in plan["groups"]:
        table = spread_by_runs.against_runs(style.select(frames["metrics"], plan, attribute), metric)
        if len(table):
            figure, alt = spread_by_runs.by_runs_figure(table), spread_by_runs.alt_by_runs(table, metric)
            page.figure("runs-and-spread", attribute, figure, alt, caption_by_runs(plan, table, metric))


def caption_by_runs(plan: Mapping, table: pd.DataFrame, metric: str) -> str:
    """Under the curves against the number of runs."""
    return caption(
        plan,
        table.groupby(["technique", "arm"])["n"].max(),
        f"Overall {metric}. Left: MaxDiff of so many runs, the mean over all choices of them. Right: expected width of "
        "Student's 95 % interval of the mean at the SD of all runs. No test is made here.",
    )


def _epochs(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping) -> None:
    history, epochs = frames.get("history", pd.DataFrame()), frames["epochs"]
    if epochs.empty:
        return
    heading("From which epoch do the runs part?")
    arms = [arm["arm"] for arm in main_arms(plan)]
    attribute = next(iter(plan["groups"]))
    shown, names = history[history["arm"].isin(arms)], plan["groups"][attribute]
    figures, alt = (
        epochs_figures.training_curves_figures(shown, names),
        epochs_figures.alt_training_curves(shown, names),
    )
    page.figures("training-curves", attribute, figures, alt, caption_curves(plan, epochs))
    figure, alt = epochs_figures.divergence_figure(epochs), epochs_figures.alt_divergence(epochs)
    page.figure("divergence", attribute, figure, alt, caption_divergence(plan, epochs))
    tell(still_growing(epochs))


def caption_curves(plan: Mapping, epochs: pd.DataFrame) -> str:
    """Under the training curves."""
    about = "Test accuracy of every run after every epoch by group (thin), and its mean over runs (thick). No test."
    return caption(plan, epochs["n"], about)


def caption_divergence(plan: Mapping, epochs: pd.DataFrame) -> str:
    """Under the growth of the spread."""
    about = (
        "Standard deviation between runs of test accuracy, and of the gap between the groups' accuracies, in points. "
        "Intervals (Bonett's, 95 %) stand in tables/epochs.csv. No test is made here."
    )
    return caption(plan, epochs["n"], about)
