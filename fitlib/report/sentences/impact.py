"""Sentences on the impact ratio: on which side of 0.8 runs lie, and who is selected less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.formatting import count, is_missing, join_items, points, probability
from fitlib.report.vocabulary import class_name, combinations, interval, retraining_conditions, technique_label
from fitlib.tables.four_fifths import clean_runs_needed

LEGAL = (
    "Four fifths is a rule of thumb of US employment law (29 CFR 1607.4(D)), neither necessary nor sufficient; "
    "no legal conclusion is drawn here."
)
NO_FAVOURABLE = (
    "No favourable class is declared, so 0.8 is a numerical landmark only: nothing passes or fails, and no legal "
    "conclusion is drawn."
)
KEYS = ["technique", "arm", "attribute"]
RISK_ROWS = ("technique", "class")  # what a row of the risk table is about


def landmark(risk: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return how often the impact ratio fell below 0.8, and how often two equal runs would disagree about it."""
    seen = risk[risk["n"] > 0]
    if seen.empty:
        return [
            "The impact ratio is undefined in every run: no row was predicted as any class, or fewer than two groups "
            "have members."
        ]
    below, pairs = int((seen["violated"] > 0).sum()), combinations(len(seen), risk, *RISK_ROWS)
    texts = [f"The impact ratio fell below 0.8 in some run for {below} of {pairs}."]
    for rule, rows in seen[seen["fit"] != "no"].dropna(subset=["p_disagree"]).groupby("rule", sort=False):
        top = rows.loc[rows["p_disagree"].idxmax()]
        texts += [_risk(top, str(rule), plan, risk)] if top["violated"] or rule == "four-fifths" else []
    few = risk[risk["note"].str.contains("smallest group")]
    if len(few):
        size = count(int(few["smallest_group"].min()), "row")
        texts.append(f"Groups are small: one has only {size}, so its shares move in big steps.")
    texts += four_fifths(risk, plan)
    same = risk[risk["note"].str.contains("bit-identical")]
    texts += [f"{technique_label(risk, row)}: {row['note']}." for _, row in same.drop_duplicates(KEYS).iterrows()]
    return [*texts, NO_FAVOURABLE if plan["analysis"].get("favourable") is None else LEGAL]


def _risk(row: pd.Series, rule: str, plan: Mapping, frame: pd.DataFrame) -> str:
    what = "violated four fifths" if rule == "four-fifths" else "had an impact ratio below 0.8"
    undefined = f" (it is undefined in {row['n_undefined']} more)" if row["n_undefined"] else ""
    adjusted = f", Bonferroni's over {combinations(row['worst_of'], frame, *RISK_ROWS)}" if row["worst_of"] > 1 else ""
    share, disagree = (_risk_interval(row, name) for name in ("p_violated", "p_disagree"))
    return (
        f"{technique_label(frame, row)} {what} for class {class_name(plan, row['target'])} in "
        f"{int(row['violated'])} of {count(int(row['n']), 'run')}{undefined} (probability "
        f"{probability(row['p_violated'])} {share}{adjusted}); two runs "
        f"{'under' if 'conditions' in row['retraining'] else 'with'} the {row['retraining']} disagree about it with "
        f"probability {probability(at_most_half(row['p_disagree']))} {disagree}{', likewise' if adjusted else ''}."
    )


def _risk_interval(row: pd.Series, name: str) -> str:
    """Return the interval that holds whichever row is chosen."""
    return interval(row[f"{name}_low_bonferroni"], row[f"{name}_high_bonferroni"], scale=1)


def at_most_half(p_disagree: float) -> float:
    """Return the probability that two runs disagree, at most ½ as it must be.

    The share of pairs of runs that disagree is unbiased and so may exceed ½, the largest value of 2p(1−p).

    >>> at_most_half(0.53), at_most_half(0.2)
    (0.5, 0.2)
    """
    return p_disagree if is_missing(p_disagree) else min(float(p_disagree), 0.5)


def violations(risk: pd.DataFrame, most: int = 4) -> list[str]:
    """Return in how many runs of each technique the favourable class violates four fifths; [] where none does."""
    rows = risk[(risk["rule"] == "four-fifths") & (risk["n"] > 0)]
    found = rows[rows["violated"] > 0]
    if found.empty:
        return []
    texts = [
        f"in {int(row['violated'])} of {count(int(row['n']), 'run')} of {technique_label(risk, row)}"
        for _, row in rows.head(most).iterrows()
    ]
    if len(rows) > most:
        texts = [f"in some run of {len(found)} of {count(len(rows), 'technique')}"]
    return [f"Beside the verdicts: four fifths is violated {join_items(texts)}."]


def four_fifths(risk: pd.DataFrame, plan: Mapping, most: int = 4) -> list[str]:
    """Return, of the favourable class, who is selected less, how sure that is, and what a clean record would take."""
    rows = risk[(risk["rule"] == "four-fifths") & (risk["n"] > 0)]
    unequal = rows[rows["disadvantaged"] != ""]
    texts = [_groups(row, plan, risk) for _, row in unequal.head(most).iterrows()]
    texts += [f"{len(unequal) - most} more in the table of groups."] if len(unequal) > most else []
    small = list(dict.fromkeys(name for names in rows["small_groups"] for name in names.split(", ") if name))
    if small:
        texts.append(f"Under 2 % of the data, so hardly to be judged by shares: {join_items(small)}.")
    if len(rows):
        texts.append(
            f"To claim that fewer than 5 % of runs trained {retraining_conditions(plan)} violate four fifths takes "
            f"{clean_runs_needed(0.05)} runs without a violation (95 % confidence, number of runs fixed beforehand)."
        )
    return texts


def _groups(row: pd.Series, plan: Mapping, frame: pd.DataFrame) -> str:
    n = int(row["n"] + row["n_undefined"])
    test, *_ = str(row["test"]).split(";")
    chosen = "; chosen as the extremes of more than two groups, so p is too small" if "too small" in row["note"] else ""
    sure = f"{test}: p < .05 in {row['significant']} of {count(n, 'run')}, uncorrected{chosen}"
    return (
        f"{technique_label(frame, row)} selects {row['disadvantaged']} least for class "
        f"{class_name(plan, row['target'])}: {points(row['rate_lowest'])} % of {row['size_lowest']} against "
        f"{points(row['rate_highest'])} % of {row['size_highest']} ({row['highest_group']}), mean over runs "
        f"({sure if test else 'no test of the difference'}). "
        f"One person's changed decision would turn four fifths in {row['flips']} of {count(int(row['n']), 'run')}."
    )


def classes_shown(plan: Mapping, targets: Sequence[int]) -> str:
    """Return which classes the figure of impact ratios shows."""
    total = len(plan.get("classes") or targets)
    if len(targets) >= total:
        return "All classes."
    always = "" if plan["analysis"].get("favourable") is None else ", the favourable one always among them"
    return f"The {len(targets)} of {total} classes with the lowest ratios{always}."
