"""Captions of tables and figures: n, what varied, what was fixed, interval method, how many tests are corrected for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from fitlib.formatting import listed, missing, points, ranged
from fitlib.report.vocabulary import again, data_name, distinct, epoch, family, noise, overall_rows, seed, trained_on
from fitlib.tables.metric_series import main_arms

PROPORTIONAL = (
    "∝: proportional to another metric in all runs, so it shows that metric's tests and counts once; its verdict is of "
    "its own size."
)


def caption(plan: Mapping, sizes: Iterable[int], extra: str = "") -> str:
    """The line under a table or figure: n, what varied, what was fixed, and `extra`."""
    known = sorted({int(n) for n in sizes if not missing(n) and n > 0})
    n = f"{known[0]} to {known[-1]}" if len(known) > 1 else str(known[0]) if known else "0"
    arms, data = main_arms(plan), data_name(plan)
    varied = listed(dict.fromkeys(noise(arm) for arm in arms))
    seeds = list(dict.fromkeys(map(seed, arms)))
    several = len(seeds) > 1
    fixed = f"{'in each arm one of the seeds ' if several else 'seed '}{listed(seeds, 8)}, {trained_on(plan)}"
    if all(arm["kind"] == "unknown" for arm in arms):
        fixed = "seed and training not recorded"
    test = f"test set{f' of {data}' if data else ''}{epoch(plan)}"
    n += f" run{'' if n == '1' else 's'} per technique{' and arm' if several else ''}"
    return f"n = {n}. Varied: noise {varied}. Fixed: {fixed}, {test}. {extra}".strip()


def caption_glance(plan: Mapping, summary: pd.DataFrame) -> str:
    """Under the first table."""
    about = "Points are percentage points; procedures stand under each table below."
    return caption(plan, overall_rows(summary)["n"], about)


def caption_identity(plan: Mapping, runs: pd.DataFrame) -> str:
    """Under the tables of evidence."""
    return caption(plan, _finished(runs), "Digests are SHA-256, shown by their first digits. No test is made here.")


def caption_runs(plan: Mapping, runs: pd.DataFrame) -> str:
    """Under the table of runs."""
    about = "Overall values in points, accuracy in %; weights and predictions by the first digits of their SHA-256."
    return caption(plan, _finished(runs), f"{about} No interval, no test.")


def caption_distributions(plan: Mapping, summary: pd.DataFrame) -> str:
    """Under the distributions."""
    about = "Overall values of every run, with the mean and its 95 % interval (Student's t). No test is made here."
    return caption(plan, overall_rows(summary)["n"], about)


def caption_summary(plan: Mapping, summary: pd.DataFrame) -> str:
    """Under the summary table."""
    return caption(
        plan,
        overall_rows(summary)["n"],
        "In points. Intervals: 95 %, of the mean by Student's t, of the standard deviation (SD) by Bonett's method. "
        "MaxDiff = largest − smallest run; it has no interval and grows with n. No test is made here.",
    )


def caption_risk(plan: Mapping, risk: pd.DataFrame, shown: int) -> str:
    """Under the risk table, of which `shown` rows are shown."""
    worst = int(risk["worst_of"].max()) if len(risk) else 0
    which = "some run" if shown == (risk["violated"] > 0).sum() else "most runs"
    part = f" Shown: {shown} of {len(risk)} pairs, those below 0.8 in {which}." if shown < len(risk) else ""
    return caption(
        plan,
        risk["n"],
        f"Retraining covered: {listed(dict.fromkeys(risk['retraining']))}. Intervals: Clopper-Pearson 95 %, of two "
        "runs disagreeing its image under "
        f"2p(1−p), so the estimate may lie above its upper end ½; for the worst of "
        f"{worst} pairs of technique and class, Bonferroni's. Turned by one: runs in which one person more or fewer "
        f"selected moves the ratio across 0.8. No test is made here.{part}",
    )


def caption_heat_map(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Under the heat map: how to read a cell, the family of tests and the smallest attainable p."""
    smallest, alpha = distinct(comparisons)["p_mean_smallest"].dropna(), float(plan["analysis"]["alpha"])
    attainable = f"smallest attainable before correction: {ranged(smallest)}" if len(smallest) else "no test was made"
    about = (
        "In each cell: difference of means, technique − baseline, in points (minus and blue: bias fell); verdict "
        f"against ±{points(plan['analysis']['smallest_effect'])} points; p of the exact rank test after Holm's "
        f"correction over {family(comparisons)} tests (*: at most {alpha:g}; {attainable})."
    )
    return caption(plan, _sizes(comparisons), about)


def caption_effects(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Under the interval plots."""
    band = f"grey band: ±{points(plan['analysis']['smallest_effect'])} points"
    return caption(
        plan, _sizes(comparisons), f"Differences of means with Welch's 95 % intervals; {band}. No test is shown."
    )


def caption_differences(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Under the table of differences between means."""
    paired = "; paired by run where a training is shared" if (comparisons["design"] == "paired by run").any() else ""
    return caption(
        plan,
        _sizes(comparisons),
        f"In points. Difference = technique − baseline with Welch's 95 % interval{paired}; verdict against a smallest "
        f"effect of ±{points(plan['analysis']['smallest_effect'])} points. Intervals and verdicts are not corrected "
        f"for their number. P(reversal): one new run of each, trained {again(plan)}, points the other way (Newcombe's "
        "95 % interval), where a direction is established (the 95 % interval of the difference excludes 0). d: "
        f"Cohen's, with Bonett's 95 % interval. {PROPORTIONAL} No test is made here.",
    )


def caption_tests(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Under the table of tests of the means."""
    paired = (comparisons["design"] == "paired by run").any()
    test = "Mann-Whitney on mid-ranks" + (", signed ranks where runs are paired" if paired else "")
    return caption(
        plan,
        _sizes(comparisons),
        f"p: exact two-sided rank test ({test}), beside the smallest p attainable with these n and ties and the values "
        "corrected by Holm, Benjamini-Hochberg (BH) and Benjamini-Yekutieli (BY). p (studentised): permutation test of "
        "the means by Welch's t, uncorrected, beside it for unequal spreads (in brackets: its smallest attainable p). "
        "The correction covers "
        f"{family(comparisons)} tests; accuracy stands outside. Power: to show a difference of "
        f"{points(plan['analysis']['smallest_effect'])} points at the corrected α; 0 where no p could reach it. "
        f"{PROPORTIONAL}",
    )


def caption_spread(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Under the table of differences in spread."""
    paired = " (paired by run where a training is shared)" if (comparisons["design"] == "paired by run").any() else ""
    return caption(
        plan,
        _sizes(comparisons),
        f"SD in points. p: Brown-Forsythe test{paired} on raw values (it has no smallest attainable value), beside the "
        f"values corrected by Holm, BH and BY over {family(comparisons, 'family_size_variance')} tests; on "
        "values / mean only for comparison, as a lower mean alone raises it. Power: to show an SD 1.5 times as large "
        "at the corrected α.",
    )


def _finished(runs: pd.DataFrame) -> pd.Series:
    return runs[runs["status"] == "done"].groupby(["technique", "arm", "attribute"]).size()


def _sizes(comparisons: pd.DataFrame) -> pd.Series:
    return pd.concat([comparisons["n_baseline"], comparisons["n_technique"]])
