"""Sentences on the outcome: who is fairer than whom, and what belongs beside the verdicts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.formatting import count, is_missing, join_items, points, span
from fitlib.report.provenance import limit
from fitlib.report.sentences.runs import largest_difference
from fitlib.report.vocabulary import JUDGED, VERDICTS, deciding, not_run, seed, seeded_by_run
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN, RUNS, TOO_FEW
from fitlib.tables.metric_series import main_arms

PAIRS = ("pair of distinct metric and protected attribute", "pairs of distinct metric and protected attribute")
REHEARSAL = f"fewer than {RUNS} runs of a technique show too little of its spread for one, so this is a rehearsal"
LEADS = {
    FAIRER: "is fairer than {}",
    LOWER: "has lower bias than {}, by how much is open,",
    EQUIVALENT: "is equivalent to {}",
    OPEN: "cannot be told from {}",
    HIGHER: "has higher bias than {}, by how much is open,",
    LESS_FAIR: "is less fair than {}",
}
FURTHER = {LOWER: "lower (size open)", HIGHER: "higher (size open)"}


def verdict(
    comparisons: pd.DataFrame, summary: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping] = ()
) -> list[str]:
    """Return the outcome in a few sentences: who is fairer, what stands beside it, how much equal runs differ."""
    texts = [_outcome(comparisons, plan, not_run(plan, evidence)), *verdict_warnings(comparisons)]
    return [*texts, largest_difference(summary, plan, evidence)[0], limit(plan)]


def outcomes(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Count how often each verdict was reached on the deciding metrics: one row per technique, baseline and arm."""
    rows = deciding(comparisons)
    keys = ["technique", "baseline", "arm"]
    counted = rows.groupby([*keys, "verdict"], sort=False).size().unstack("verdict", fill_value=0)
    order = pd.MultiIndex.from_frame(rows[keys].drop_duplicates())
    return counted.reindex(index=order, columns=list(VERDICTS), fill_value=0).reset_index()


def _outcome(comparisons: pd.DataFrame, plan: Mapping, absent: Sequence[str] = ()) -> str:
    rows = deciding(comparisons)
    if rows.empty:
        names = [t["technique"] for t in plan["techniques"]]
        return f"There is no comparison: nothing stands against {join_items(names)}."
    if set(rows["verdict"]) == {TOO_FEW}:
        return f"There is no verdict: {REHEARSAL}."
    table, arms = outcomes(comparisons), {arm["arm"]: arm for arm in main_arms(plan)}
    texts = []
    for arm in dict.fromkeys(table["arm"]):
        at = "over random states, " if seeded_by_run(arms[arm]) else f"at seed {seed(arms[arm])}, "
        at = f"{at}on this test set".removeprefix("at seed not recorded, ")
        named = f"in arm {arm}, {at}, " if table["arm"].nunique() > 1 else f"{at}, "
        texts.append(named + _arm_outcome(table[table["arm"] == arm], rows[rows["arm"] == arm], absent))
    text = "; ".join(texts)
    return f"{text[0].upper()}{text[1:]}. {together(rows, plan)}".strip()


def together(rows: pd.DataFrame, plan: Mapping) -> str:
    """Return how far the verdicts of these rows hold together, with the metric that was declared to decide."""
    alpha, number = float(plan["analysis"]["alpha"]), rows["verdicts_together"].max()
    if is_missing(number) or number < 2:
        return ""
    metric = f" on {rows['metric'].iloc[0]}, the primary metric," if (rows["primary"] == "yes").all() else ""
    few = " With so few runs against so many it may be twice that." if _few_against_many(rows) else ""
    return (
        f"These {int(number)} verdicts{metric} hold together: if nothing differs, the chance that any of them is "
        f"fairer or less fair is at most {100 * alpha:g} %.{few}"
    )


def _few_against_many(rows: pd.DataFrame) -> bool:
    """Return whether fewer than 8 runs meet at least twice as many, where intervals miss too often (simulated)."""
    if "n_seeds" in rows:
        return False
    counted = (rows["design"] != "paired by run") & rows["verdict"].isin(JUDGED)
    sizes = rows.loc[counted, ["n_technique", "n_baseline"]]
    low, high = sizes.min(axis=1), sizes.max(axis=1)
    return bool(((low < 8) & (high >= 2 * low)).any())


def verdict_warnings(comparisons: pd.DataFrame) -> list[str]:
    """Return what stands beside verdicts, one sentence per technique; the baseline's warnings once."""
    rows = comparisons[comparisons["warnings"] != ""].drop_duplicates(["technique", "warnings"])
    found: dict[str, list[str]] = {}
    for row in rows.itertuples():
        for text in row.warnings.split("; "):
            role, _, rest = text.partition(" ")
            role, rest = (role, rest) if role in ("technique", "baseline") else ("", text)
            name = row.baseline if role == "baseline" else row.technique
            found.setdefault(name, []).append(f"its {rest}" if not role else rest)
    return [f"Beside the verdicts: {name}: {join_items(dict.fromkeys(texts), 8)}." for name, texts in found.items()]


def small_groups(summary: pd.DataFrame, plan: Mapping, metric: str) -> list[str]:
    """Return where a metric rests on fewer rows of a group than the declared `min_group`, by attribute."""
    least = plan["analysis"].get("min_group")
    rows = summary[(summary["metric"] == metric) & (summary["target"] == "overall")]
    if least is None or "smallest_denominator" not in rows:
        return []
    found = rows.groupby("attribute", sort=False)["smallest_denominator"].min().dropna()
    texts = [
        f"{metric} by {attribute} rests on a group with only {count(int(n), 'row')}"
        for attribute, n in found[found < least].items()
    ]
    return [f"Beside the verdicts: {join_items(texts)}: single persons can move it."] if texts else []


def _arm_outcome(table: pd.DataFrame, rows: pd.DataFrame, absent: Sequence[str]) -> str:
    nouns = ("distinct metric", "") if rows["attribute"].nunique() == 1 else PAIRS
    with_verdict = table[table[list(JUDGED)].sum(axis=1) > 0]
    refused = [_refused(row, rows, absent) for _, row in table.drop(with_verdict.index).iterrows()]
    if len(with_verdict) > 4:
        return "; ".join([_many(with_verdict, nouns[0]), *refused])
    return "; ".join([_one(row, rows, nouns) for _, row in with_verdict.iterrows()] + refused)


def _one(row: Mapping, rows: pd.DataFrame, nouns: tuple[str, str]) -> str:
    """Describe a row of `outcomes`: "S-DI2 is fairer than S-Base on 4 of 5 distinct metrics, open on 1".

    The most frequent verdict leads. On a single metric the difference stands with its interval.
    """
    mine = rows[(rows["technique"] == row["technique"]) & (rows["arm"] == row["arm"])]
    (first, n), *rest = most_frequent_first({name: int(row[name]) for name in VERDICTS})
    lead = f"{row['technique']} {LEADS[first].format(row['baseline'])}"
    if len(mine) == 1:
        return f"{lead} on {mine.iloc[0]['metric']}{difference_and_interval(mine.iloc[0])}"
    total = count(n + sum(k for _, k in rest), *nouns)
    return ", ".join([f"{lead} on {n} of {total}", *(f"{FURTHER.get(name, name)} on {k}" for name, k in rest)])


def most_frequent_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the verdicts that came up, the most frequent first, of equally frequent ones the least favourable.

    Verdicts come before what is none, such as "not estimable".
    """
    caution = [LESS_FAIR, HIGHER, OPEN, EQUIVALENT, LOWER, FAIRER]
    found = [(name, n) for name, n in counts.items() if n]
    return sorted(
        found,
        key=lambda pair: (pair[0] not in JUDGED, -pair[1], caution.index(pair[0]) if pair[0] in caution else 0),
    )


def difference_and_interval(row: Mapping) -> str:
    """Return the difference with its simultaneous interval: ": −1.20 points [−1.50, −0.90]"."""
    interval = span(row["simultaneous_low"], row["simultaneous_high"])
    return f": {points(row['difference'], signed=True)} points {interval}"


def _many(table: pd.DataFrame, noun: str) -> str:
    """Describe many techniques in groups, the largest group first."""
    better, worse, total = table[FAIRER] > 0, table[LESS_FAIR] > 0, table[list(VERDICTS)].sum(axis=1)
    every = table[FAIRER] == total
    groups = {
        f"fairer than the baseline on every {noun}": every,
        "fairer on some, less fair on none": better & ~worse & ~every,
        "fairer on some, less fair on others": better & worse,
        "less fair on some, fairer on none": worse & ~better,
        "neither fairer nor less fair on any": ~better & ~worse,
    }
    texts = [
        f"{int(mask.sum())} {'is' if mask.sum() == 1 else 'are'} {what} ({join_items(table.loc[mask, 'technique'])})"
        for what, mask in sorted(groups.items(), key=lambda group: -group[1].sum())
        if mask.any()
    ]
    return f"of {count(len(table), 'technique')}, {'; '.join(texts)}"


def _refused(row: pd.Series, comparisons: pd.DataFrame, absent: Sequence[str]) -> str:
    if row["technique"] in absent or row["baseline"] in absent:
        return f"{row['technique'] if row['technique'] in absent else row['baseline']} was not run"
    on = f" on {comparisons['metric'].iloc[0]}" if (comparisons["primary"] == "yes").all() else ""
    pair = f"no verdict on {row['technique']} against {row['baseline']}{on}"
    note = comparisons.loc[comparisons["technique"] == row["technique"], "note"].iloc[0]
    if row["not FIT"]:
        parts = dict.fromkeys(re.findall(r"(?:: |; )([^:;]+) differs in", note))
        return f"{pair}: not FIT runs ({join_items(parts)} {'differs' if len(parts) == 1 else 'differ'} between runs)"
    same = re.findall(r"(\w+): ([\w ]+) bit-identical in (\d+ of \d+) runs", note)
    if same:
        texts = join_items(f"{what} of the {role} bit-identical in {runs}" for role, what, runs in same)
        return f"{pair}: {texts} runs, and bit-identical runs enter no test"
    if row[TOO_FEW]:
        return f"{pair}: fewer than {RUNS} runs of one of them"
    constant = re.search(r"constant (?:in both|difference in all runs); nothing to estimate with n = [\w ]+", note)
    return f"{pair}: {constant[0] if constant else 'too few runs, or no class defined in all of them'}"
