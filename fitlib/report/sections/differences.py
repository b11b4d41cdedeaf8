"""Is a technique fairer than its baseline: heat map, differences with intervals, tests, and spread between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import caption, run_counts
from fitlib.report.figures import differences, style
from fitlib.report.notebook_display import Page, heading, show_text
from fitlib.report.reader_tables import (
    CORRECTIONS,
    ReaderTable,
    comparison_cell,
    estimate_cell,
    metric_cell,
    p_cell,
    sd_cell,
    verdict_cell,
)
from fitlib.report.sections import new_test_data, ranks
from fitlib.report.sentences import comparisons as comparison_sentences

PROPORTIONAL = (
    "∝: proportional to another metric in all runs, so it shows that metric's tests and counts once; its verdict is of "
    "its own size."
)
BAND = (
    "The thin bar decides: wholly beyond the grey band it means fairer or less fair, wholly inside equivalent; if it "
    "excludes 0 but reaches into the band, the direction is shown and the size is open."
)
PAPER = (
    "Protocol paper was declared: the study's own tests (one-sided in the direction of the means, Levene's on values / "
    "mean, uncorrected) stand in tables/stat_tests.csv and tables/raw_data.csv. Verdicts and tests below are fitlib's."
)


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section; without any comparison only the sentences that say so."""
    comparisons = frames["comparisons"]
    if plan["analysis"].get("protocol") == "paper":
        show_text(PAPER)
    limit = differences.strongest(comparisons, plan)
    for attribute, rows in _by_attribute(comparisons, plan):
        figures = differences.heat_maps(rows, plan, limit)
        page.figures("comparisons", attribute, figures, differences.alt_heat_map(rows), caption_heat_map(plan, rows))
    texts = [comparison_sentences.redundant(comparisons), *comparison_sentences.dropped(comparisons)]
    show_text([comparison_sentences.undecided(comparisons, plan), *texts])
    if len(comparisons):
        _effects(page, comparisons, plan)
        new_test_data.show(page, frames)
        ranks.show(page, frames)
        _spread(page, comparisons, plan)


def _by_attribute(comparisons: pd.DataFrame, plan: Mapping) -> list[tuple[str, pd.DataFrame]]:
    chosen = [(attribute, style.select(comparisons, plan, attribute)) for attribute in plan["groups"]]
    return [(attribute, rows) for attribute, rows in chosen if len(rows)]


def _effects(page: Page, comparisons: pd.DataFrame, plan: Mapping) -> None:
    heading("How large are the differences, and how surely are they known?", folded=True)
    show_text(BAND)
    for attribute, rows in _by_attribute(comparisons, plan):
        figures, alt = differences.effects_figures(rows, plan), differences.alt_effects(rows)
        page.figures("effects", attribute, figures, alt, caption_effects(plan, rows))
    texts = [
        comparison_sentences.significance(comparisons, plan),
        *comparison_sentences.unequal_arms(words.bias_rows(comparisons)),
        *comparison_sentences.reversals(comparisons, plan),
    ]
    show_text([*texts, *comparison_sentences.accuracy(comparisons)])
    heading("Every difference and test", folded=True)
    page.show(DIFFERENCES, comparisons)
    page.show(TESTS, comparisons)


def _spread(page: Page, comparisons: pd.DataFrame, plan: Mapping) -> None:
    heading("Does a technique make the runs more alike, or less?", folded=True)
    show_text("A technique can lower bias on average and yet make a single training less predictable.")
    show_text(comparison_sentences.spread(comparisons, plan))
    page.show(SPREAD, comparisons)


# Captions


def caption_heat_map(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Caption the heat map: how to read a cell, the tests corrected together and the smallest attainable p."""
    smallest, alpha = words.distinct(comparisons)["p_mean_smallest"].dropna(), float(plan["analysis"]["alpha"])
    attainable = (
        f"smallest attainable before correction: {fmt.value_range(smallest)}" if len(smallest) else "no test was made"
    )
    about = (
        "In each cell: difference of means, technique − baseline, in points (minus and blue: bias fell). Verdict "
        f"against {words.smallest_effect_text(plan)}; it holds together with {_others(plan)}. Below it p of the exact "
        f"rank test, by Holm over {words.family(comparisons)} tests (*: at most {alpha:g}; {attainable})."
    )
    return caption(plan, run_counts(comparisons), about)


def _others(plan: Mapping) -> str:
    primary = plan["analysis"].get("primary")
    return f"all others (on {primary}, the primary metric, with those on it)" if primary else "all others"


def caption_effects(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Caption the interval plots."""
    band = f"grey band: the smallest effect, {words.smallest_effect_text(plan)}"
    return caption(
        plan,
        run_counts(comparisons),
        f"Differences of means. Thick: Welch's 95 % intervals; thin: the intervals that hold together, on which the "
        f"verdicts rest. {band[0].upper()}{band[1:]}. No test is shown.",
    )


def caption_differences(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Caption the table of differences between means."""
    paired = "; paired by run where a training is shared" if (comparisons["design"] == "paired by run").any() else ""
    trained = words.retraining_conditions(plan)
    return caption(
        plan,
        run_counts(comparisons),
        f"In points. Difference = technique − baseline with Welch's 95 % interval{paired}. {_together(comparisons)}"
        f"Smallest effect: {words.smallest_effect_text(plan)}; alone: the unadjusted verdict, from the 95 % interval, "
        "where it is another. "
        f"P(reversal): one new run of each, trained {trained}, points the other way "
        "(Newcombe's 95 % interval), where a direction is established (the 95 % interval of the difference excludes "
        f"0). Cohen's d is in the file. {PROPORTIONAL} No test is made here.",
    )


def caption_tests(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Caption the table of tests of the means."""
    paired = (comparisons["design"] == "paired by run").any()
    test = "Mann-Whitney on mid-ranks" + (", signed ranks where runs are paired" if paired else "")
    return caption(
        plan,
        run_counts(comparisons),
        f"p: exact two-sided rank test ({test}), beside the smallest p attainable with these n and ties and the values "
        "corrected by Holm, Benjamini-Hochberg (BH) and Benjamini-Yekutieli (BY); it tests whether the distributions "
        "differ. p (means): permutation test of the means by Welch's t, uncorrected (in brackets: its smallest "
        f"attainable p). The correction covers {words.family(comparisons)} tests; accuracy stands outside. Power: of "
        f"the rank test to show a shift by {words.smallest_effect_text(plan).removeprefix('±')} at the corrected α; 0 "
        "where no p could reach it. "
        f"{PROPORTIONAL}",
    )


def caption_spread(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Caption the table of differences in spread."""
    paired = " (paired by run where a training is shared)" if (comparisons["design"] == "paired by run").any() else ""
    return caption(
        plan,
        run_counts(comparisons),
        f"SD in points. p: Brown-Forsythe test{paired} on raw values (it has no smallest attainable value), beside the "
        f"values corrected by Holm, BH and BY over {words.family(comparisons, 'family_size_variance')} tests; on "
        "values / mean only for comparison, as a lower mean alone raises it. Power: to show an SD 1.5 times as large "
        "at the corrected α.",
    )


def _together(comparisons: pd.DataFrame) -> str:
    """Return which verdicts hold together; "" without any."""
    rows = comparisons.dropna(subset=["verdicts_together"])
    parts = [
        f"all {int(n)} {'on the primary metric' if primary else 'on distinct metrics'}"
        for primary, of in rows.groupby(rows["primary"] == "yes")
        for n in sorted(of["verdicts_together"].unique())
    ]
    return f"Verdict: from the interval that holds together with those of {fmt.join_items(parts)}. " if parts else ""


# Tables for readers


def effects_view(comparisons: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the differences between means, each beside its interval, with the verdict."""
    return pd.DataFrame([_effect_row(row, comparisons) for _, row in comparisons.iterrows()])


def _effect_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": comparison_cell(row, frame),
        "Metric": metric_cell(row),
        "Baseline": fmt.points(row["mean_baseline"]),
        "Technique": fmt.points(row["mean_technique"]),
        "Difference": fmt.points(row["difference"], signed=True),
        "95 % interval": fmt.span(row["difference_low"], row["difference_high"]),
        "Holding together": fmt.span(row["simultaneous_low"], row["simultaneous_high"]) if row["verdict"] else "–",
        "Verdict": verdict_cell(row),
        "P(reversal)": estimate_cell(row, "reversal", fmt.probability, 2),
    }


def tests_view(comparisons: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the tests of the means: each p beside its smallest attainable and corrected values, with the power.

    Empty where nothing was tested.
    """
    if comparisons["p_mean"].isna().all():
        return pd.DataFrame()
    return pd.DataFrame([_test_row(row, comparisons) for _, row in comparisons.iterrows()])


def _test_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": comparison_cell(row, frame),
        "Metric": metric_cell(row),
        "p": fmt.probability(row["p_mean"]),
        "Smallest attainable": fmt.probability(row["p_mean_smallest"]) if not fmt.is_missing(row["p_mean"]) else "–",
        "p (means)": _studentised(row),
        **{shown: p_cell(row, f"p_mean_{key}") for key, shown in CORRECTIONS.items()},
        "Power": fmt.power(row["power_mean"]),
        **({"Runs": row["design"]} if frame["design"].nunique() > 1 else {}),
    }


def _studentised(row: pd.Series) -> str:
    """Return p with its smallest attainable value in brackets."""
    p, smallest = (fmt.probability(row[f"p_mean_studentised{end}"]) for end in ("", "_smallest"))
    return p if fmt.is_missing(row["p_mean_studentised"]) else f"{p} ({smallest})"


def spread_view(comparisons: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the differences in the spread between runs; empty where nothing was tested."""
    if comparisons["p_variance_raw"].isna().all():
        return pd.DataFrame()
    return pd.DataFrame([_spread_row(row, comparisons) for _, row in comparisons.iterrows()])


def _spread_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": comparison_cell(row, frame),
        "Metric": metric_cell(row),
        "SD of the baseline": sd_cell(row["sd_baseline"]),
        "SD of the technique": sd_cell(row["sd_technique"]),
        "p (raw values)": fmt.probability(row["p_variance_raw"]),
        **{shown: p_cell(row, f"p_variance_raw_{key}") for key, shown in CORRECTIONS.items()},
        "Power": fmt.power(row["power_variance"]),
        "p (values / mean)": fmt.probability(row["p_variance_relative"]),
    }


DIFFERENCES = ReaderTable("Differences of means", caption_differences, effects_view, table_files.COMPARISONS)
TESTS = ReaderTable("Tests of the means", caption_tests, tests_view, table_files.COMPARISONS)
SPREAD = ReaderTable("Spread between runs", caption_spread, spread_view, table_files.COMPARISONS)
