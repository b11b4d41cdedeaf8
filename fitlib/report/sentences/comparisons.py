"""Sentences on differences between techniques: tests, open verdicts, spread, accuracy and reversals."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fitlib.formatting import count, join_items, points, power, probability, value_range
from fitlib.report.vocabulary import (
    bias_rows,
    distinct,
    family,
    interval,
    judged,
    retraining_conditions,
    technique_label,
)
from fitlib.statistics.significance import INFINITE
from fitlib.statistics.verdict_names import HIGHER, LOWER, OPEN


def significance(comparisons: pd.DataFrame, plan: Mapping) -> str:
    """Return on how many tests distributions and means differ after correction, and the smallest p attainable."""
    rows = distinct(comparisons).dropna(subset=["p_mean"])
    rows = rows[rows["verdict"] != "not FIT"]
    alpha = float(plan["analysis"]["alpha"])
    if rows.empty:
        return "No test was possible: too few runs, or runs that enter no test."
    smallest = rows["p_mean_smallest"]
    if smallest.min() > alpha:
        return f"No test possible at this n: the smallest attainable p is {value_range(smallest)}, above α = {alpha:g}."
    hits, means = (int((rows[name] <= alpha).sum()) for name in ("p_mean_holm", "p_mean_studentised_holm"))
    quiet = rows[~(rows["p_mean_holm"] <= alpha)]
    return (
        f"The distributions of the runs differ in {hits} of {count(len(rows), 'test')} (exact rank test, p ≤ {alpha:g} "
        f"after Holm's correction over {family(rows)} tests). Their means differ in {means} (studentised permutation "
        f"test, Holm's correction). Smallest attainable p before correction: {value_range(smallest)}."
        f"{_other_tests(quiet)}"
    )


def _other_tests(quiet: pd.DataFrame) -> str:
    """Return the power of the rank tests that showed no difference."""
    powers = quiet["power_mean"].dropna()
    if powers.empty:
        return ""
    return (
        f" In {len(quiet)} the rank test showed no difference. Its power to show a shift by the smallest effect at the "
        f"corrected α was {value_range(powers, power)}."
    )


def undecided(comparisons: pd.DataFrame, plan: Mapping) -> str:
    """Return how many verdicts leave open whether, or by how much, bias differs."""
    rows = judged(comparisons)
    counts = {name: int((rows["verdict"] == name).sum()) for name in (OPEN, LOWER, HIGHER)}
    if not sum(counts.values()):
        return "No verdict is open." if len(rows) else ""
    texts = {
        OPEN: "the interval contains 0 and reaches beyond the smallest effect. These runs neither show nor exclude a "
        "difference that counts: open does not mean equal",
        LOWER: "bias is lower, but whether by more than the smallest effect is open",
        HIGHER: "bias is higher, but whether by more than the smallest effect is open",
    }
    of = count(len(rows), "verdict")
    found = [f"In {counts[name]} of {of} {text}." for name, text in texts.items() if counts[name]]
    return " ".join(found)


def spread(comparisons: pd.DataFrame, plan: Mapping, most: int = 6) -> list[str]:
    """Return which techniques vary more or less between runs than their baseline (raw values decide)."""
    rows = distinct(comparisons).dropna(subset=["p_variance_raw"])
    if rows.empty:
        return [
            "No test of the spread was possible: too few runs, values that never change, or runs that enter no test."
        ]
    hits = rows[rows["p_variance_raw_holm"] <= float(plan["analysis"]["alpha"])]
    texts = [_spread(row, comparisons) for _, row in hits.head(most).iterrows()]
    more = count(len(hits) - most, "more test")
    texts += [f"The spread differs in {more} (table)."] if len(hits) > most else []
    quiet = rows.drop(hits.index)
    if quiet.empty:
        return texts
    powers = quiet["power_variance"].dropna()
    known = f"was {value_range(powers, power)}" if len(powers) else "is not estimable"
    which = f"{len(quiet)} of {count(len(rows), 'test')}"
    return [
        *texts,
        f"No difference in spread was shown in {which}; the power to show a standard deviation 1.5 times as large at "
        f"the corrected α {known}. This does not show equal spread.",
    ]


def _spread(row: pd.Series, frame: pd.DataFrame) -> str:
    """Describe a spread that differs; its direction is that of mean |value − median|, which the test compares."""
    more = "more" if row["deviation_technique"] > row["deviation_baseline"] else "less"
    paired = ", paired by run" if row["design"] == "paired by run" else ""
    return (
        f"{technique_label(frame, row)} varies {more} between runs than {row['baseline']} on {row['metric']}: "
        f"mean distance from the median {_deviation(row, 'technique')} against {_deviation(row, 'baseline')} "
        f"(Brown-Forsythe on raw values{paired}{INFINITE if INFINITE in row['procedures'] else ''}, "
        f"p = {probability(row['p_variance_raw'])}, "
        f"{probability(row['p_variance_raw_holm'])} after Holm's correction over "
        f"{family(frame, 'family_size_variance')} tests)."
    )


def _deviation(row: pd.Series, role: str) -> str:
    """Return mean |value − median| of baseline or technique, with the SD, which may point the other way."""
    if row[f"sd_{role}"] == 0:
        return f"none (constant in all {row[f'n_{role}']} runs)"
    return f"{points(row[f'deviation_{role}'])} points (standard deviation {points(row[f'sd_{role}'])})"


def unequal_arms(comparisons: pd.DataFrame) -> list[str]:
    """Return a warning where few runs are compared with many: there Welch's interval covers less than it claims.

    2 or 3 runs against 16 cover the true difference in 82 to 93 % of simulations with normal and skewed runs.
    """
    rows = comparisons[(comparisons["design"] != "paired by run") & comparisons["difference_low"].notna()]
    sizes = rows[["n_technique", "n_baseline"]]
    rows = rows[(sizes.min(axis=1) < 4) & (sizes.max(axis=1) > 2 * sizes.min(axis=1))]
    return [
        f"Intervals of the difference from {baseline} are too narrow for {join_items(of['technique'].unique(), 8)}: "
        f"with {n_t} runs against {n_b} they cover the true difference less often than in 95 %."
        for (baseline, n_t, n_b), of in rows.groupby(["baseline", "n_technique", "n_baseline"], sort=False)
    ]


def accuracy(comparisons: pd.DataFrame, most: int = 6) -> list[str]:
    """Compare the accuracy of each technique with its baseline's, outside the corrected tests and any attribute."""
    rows = comparisons[(comparisons["metric"] == "accuracy") & (comparisons["fit"] != "no")]
    rows = rows.dropna(subset=["difference"]).drop_duplicates(["technique", "baseline", "arm"]).assign(attribute="")
    if len(rows) > most:
        return [_accuracies(rows), *unequal_arms(rows)]
    texts = [
        f"Accuracy of {technique_label(rows, row)}: {points(row['mean_technique'])} % against "
        f"{points(row['mean_baseline'])} % of {row['baseline']}, {points(row['difference'], signed=True)} points "
        f"{interval(row['difference_low'], row['difference_high'])}."
        for _, row in rows.iterrows()
    ]
    return [*texts, *unequal_arms(rows)]


def _accuracies(rows: pd.DataFrame) -> str:
    higher, lower = int((rows["difference_low"] > 0).sum()), int((rows["difference_high"] < 0).sum())
    unknown = int(rows["difference_low"].isna().sum())
    without = f"; {unknown} without an interval" if unknown else ""
    return (
        f"Accuracy is higher than the baseline's in {higher} and lower in {lower} of {len(rows)} comparisons (95 % "
        f"interval of the difference beyond 0, uncorrected{without})."
    )


def redundant(comparisons: pd.DataFrame) -> str:
    """Return which metrics repeat another one here and so count once."""
    rows = bias_rows(comparisons)
    rows = rows[rows["redundant_with"] != ""]
    pairs = dict.fromkeys(f"{row['metric']} repeats {row['redundant_with']}" for _, row in rows.iterrows())
    if not pairs:
        return ""
    return (
        "Metrics proportional in all runs count once, as the primary one or the largest in smallest effects. "
        f"{join_items(pairs, 7)}."
    )


def dropped(comparisons: pd.DataFrame) -> list[str]:
    """Return the comparisons that leave out classes, and the classes that a technique stopped predicting."""
    rows = bias_rows(comparisons)
    keys = ["technique", "baseline", "arm", "attribute", "dropped_classes"]
    texts = [
        f"{technique_label(comparisons, group.iloc[0])} against {key[1]} leaves out {_classes(key[4])} for "
        f"{join_items(group['metric'], 7)}: undefined in some run."
        for key, group in rows[rows["dropped_classes"] != ""].groupby(keys, sort=False)
    ]
    stopped = rows[rows["stopped_predicting"] != ""].drop_duplicates(["technique", "baseline", "arm"])
    return texts + [
        f"{technique_label(comparisons.assign(attribute=''), row)} predicts {_classes(row['stopped_predicting'])} in a "
        f"smaller share of its runs than {row['baseline']}: what is not predicted cannot look unfair."
        for _, row in stopped.iterrows()
    ]


def _classes(names: str) -> str:
    several = names.split("; ")
    return f"{'classes' if len(several) > 1 else 'class'} {join_items(several, 8)}"


def reversals(comparisons: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return how likely one new pair of runs points the wrong way, where a direction is established."""
    rows = judged(comparisons)
    known = rows.dropna(subset=["reversal"]).sort_values(["reversal", "reversal_high"], kind="stable")
    texts = []
    if len(known):
        top = known.iloc[-1]
        texts.append(
            "P(verdict reversal) is highest, where the unadjusted interval of the difference excludes 0, for "
            f"{technique_label(comparisons, top)} on {top['metric']}: one new run of it against one of "
            f"{top['baseline']}, trained again {retraining_conditions(plan)}, points the other way with probability "
            f"{probability(top['reversal'])} {interval(top['reversal_low'], top['reversal_high'], scale=1)}."
        )
    unclear = int(rows["reversal_note"].str.startswith("direction not established").sum())
    if unclear:
        texts.append(
            f"In {unclear} of {count(len(known) + unclear, 'comparison')} the direction is not established: the "
            "unadjusted 95 % interval of the difference contains 0 (reversal up to ½)."
        )
    return texts
