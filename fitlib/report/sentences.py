"""Sentences computed from the tables: what may be said of the results, and nothing more.

Every function is pure: tables (`fitlib.tables.runs_and_summary`), plan and evidence in, plain text out (no markup;
whoever shows it escapes it). A value that is not there reads "not estimable", one that never changes "constant in all n
runs"; no NaN is ever printed. Differences are technique − baseline: negative means that bias fell. Points are
percentage points.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.formatting import (
    NOT_ESTIMABLE,
    count,
    is_missing,
    join_items,
    points,
    power,
    probability,
    span,
    value_range,
)
from fitlib.report.provenance import limit
from fitlib.report.vocabulary import (
    CUSTOM,
    JUDGED,
    METRIC_NAMES,
    VERDICTS,
    bias_rows,
    class_name,
    combinations,
    deciding,
    distinct,
    family,
    judged,
    overall_rows,
    retraining_conditions,
    seed,
    seeded_by_run,
    technique_label,
)
from fitlib.statistics import nested_design, run_identity
from fitlib.statistics.estimates import next_run_within
from fitlib.statistics.significance import INFINITE
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN, RUNS, TOO_FEW
from fitlib.tables.four_fifths import clean_runs_needed
from fitlib.tables.metric_series import main_arms

LEGAL = (
    "Four fifths is a rule of thumb of US employment law (29 CFR 1607.4(D)), neither necessary nor sufficient; "
    "no legal conclusion is drawn here."
)
NO_FAVOURABLE = (
    "No favourable class is declared, so 0.8 is a numerical landmark only: nothing passes or fails, and no legal "
    "conclusion is drawn."
)
METHOD_LIMITS = (
    "Intervals of the mean assume that runs are roughly normal; those of the standard deviation cover less than 95 % "
    "where runs are skewed.",
    "Ground truth is taken as given: errors in labels are not accounted for.",
    "The impact ratio and all bias metrics compare groups as recorded; groups that were not recorded are not seen.",
)


def custom_metrics(plan: Mapping) -> list[str]:
    """Return what is not computed for custom metrics; nothing without any."""
    names = list(plan["analysis"].get("metrics") or {})
    if not names:
        return []
    return [
        f"{join_items(names, 7)}: custom, so without a chance level, components of variance, the choice among runs, "
        "and intervals for new test data, which are computed for fitlib's own metrics only."
    ]


# What the runs of one technique did


def largest_difference(summary: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping] = ()) -> list[str]:
    """Return the largest difference between two runs that should be equal; one sentence per number of runs.

    MaxDiff grows with n, so techniques with unequal numbers of runs are never compared; runs that are not FIT are left
    out.
    """
    rows = _not_refuted(overall_rows(summary).dropna(subset=["maxdiff"]), plan, evidence)
    rows = rows[rows["n"] > 1]
    sizes = sorted({int(n) for n in rows["n"]}, reverse=True)
    if not sizes:
        return [
            "How much fairness varies between equal runs cannot be seen: no technique has two FIT runs in which a bias "
            "metric is defined."
        ]
    scope = _fit_scope(overall_rows(summary), rows)
    top = [rows.loc[rows.loc[rows["n"] == n, "maxdiff"].idxmax()] for n in sizes]
    return [_largest(row, scope if len(sizes) == 1 else f" of {int(row['n'])} runs{scope}", rows) for row in top]


def _fit_scope(all_rows: pd.DataFrame, kept: pd.DataFrame) -> str:
    """Return " of FIT runs" where the runs of some technique were left out for not being FIT."""
    left_out = set(all_rows["technique"] + all_rows["arm"]) - set(kept["technique"] + kept["arm"])
    varying = all_rows[(all_rows["technique"] + all_rows["arm"]).isin(left_out) & (all_rows["n"] > 1)]
    return " of FIT runs" if varying["maxdiff"].notna().any() else ""


def _not_refuted(rows: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """Return the rows of techniques whose runs are FIT, or of unknown identity."""
    training = {t["technique"]: t["training"] for t in plan["techniques"]}
    keys = set(zip(rows["technique"], rows["arm"], strict=True))
    refuted = {key for key in keys if run_identity.check_fit(evidence, training[key[0]], key[1]).fit is False}
    kept = [key not in refuted for key in zip(rows["technique"], rows["arm"], strict=True)]
    return rows[pd.Series(kept, rows.index, dtype=bool)]


def _largest(row: pd.Series, scope: str, frame: pd.DataFrame) -> str:
    """Describe the largest difference of an overall value among those of `scope`; classes may differ by more."""
    n, metric = int(row["n"]), str(row["metric"])
    if row["maxdiff"] == 0:
        return f"Every overall value{scope} was constant in all {n} runs."
    changing = "undefined" not in row["note"] and row["n_undefined_max"] > 0
    return (
        f"The {metric} ({METRIC_NAMES.get(metric, CUSTOM)}) of {technique_label(frame, row)} ranged from "
        f"{points(row['min'])} to {points(row['max'])} points over {_its_runs(row)}: a difference of "
        f"{points(row['maxdiff'])} points (MaxDiff), the largest found among overall values{scope}"
        f"{'; a run counts the classes that are defined in it' if changing else ''}."
    )


def _its_runs(row: pd.Series) -> str:
    """Return "its 16 runs"; of a value that is undefined in some run "the 15 runs in which it is defined"."""
    return f"the {int(row['n'])} runs in which it is defined" if "undefined" in row["note"] else f"its {row['n']} runs"


def constants(summary: pd.DataFrame) -> list[str]:
    """Return the overall values that never changed, by technique."""
    rows = overall_rows(summary)
    rows = rows[(rows["n"] > 1) & (rows["maxdiff"] == 0)]
    groups = rows.groupby(["technique", "arm", "attribute", "n"], sort=False)
    return [_constant(group, int(key[3]), summary) for key, group in groups]


def _constant(rows: pd.DataFrame, n: int, summary: pd.DataFrame) -> str:
    """Return that the overall values of `rows`, all of one technique and number of runs, never changed."""
    several = len(rows) > 1
    undefined = rows["note"].str.contains("undefined").any()
    where = f" in which {'they are' if several else 'it is'} defined" if undefined else ""
    return (
        f"{technique_label(summary, rows.iloc[0])}: the overall {'values' if several else 'value'} of "
        f"{join_items(rows['metric'], 7)} {'were' if several else 'was'} constant in all {n} runs{where}."
    )


def next_run(summary: pd.DataFrame) -> str:
    """Return how likely a value of the next run is within the range seen: (n−1)/(n+1), or more where values tie."""
    rows = overall_rows(summary)
    sizes = sorted({int(n) for n in rows.loc[rows["maxdiff"] > 0, "n"]})
    if not sizes:
        return ""
    texts = [f"{probability(next_run_within(n))} (n = {n})" for n in sizes]
    return (
        "Of one more run under the same conditions, any one overall value falls within the range that it had so far "
        f"with probability {join_items(texts)}, or more where runs have equal values.{_predicted(summary, rows)}"
    )


def _predicted(summary: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Return the prediction interval of the next run for the value that varies most."""
    known = rows.dropna(subset=["next_low", "next_high"])
    if known.empty:
        return ""
    row = known.loc[known["maxdiff"].idxmax()]
    return (
        f" For the {row['metric']} of {technique_label(summary, row)}, which varies most, the 95 % prediction interval "
        f"of one more run is {span(row['next_low'], row['next_high'])} points (normal runs)."
    )


def intervals(summary: pd.DataFrame) -> list[str]:
    """Return where intervals are missing, and why."""
    rows = overall_rows(summary).assign(attribute="")
    single = rows[(rows["n"] == 1) & ~rows["note"].str.contains("undefined")]
    names = dict.fromkeys(technique_label(rows, row) for _, row in single.iterrows())
    few = sorted({int(n) for n in rows.loc[rows["n"].between(2, 4), "n"]})
    texts = (
        [f"{join_items(names)}: 1 run, so no standard deviation and no interval of a mean is estimable."]
        if names
        else []
    )
    if few:
        texts.append(f"With {join_items(few)} runs the interval of the standard deviation is not estimable (5 needed).")
    return texts


def undefined_values(summary: pd.DataFrame, plan: Mapping) -> str:
    """Return the classes that lacked a metric in some run; "" without any class."""
    classes = bias_rows(summary)
    classes = classes[classes["target"] != "overall"]
    rows = classes[classes["n_undefined_max"].fillna(0) > 0]
    if rows.empty:
        return "Every metric of every class was defined in every run." if len(classes) else ""
    names = list(dict.fromkeys(class_name(plan, target) for target in rows["target"]))
    return (
        f"{count(len(names), 'class', 'classes')} ({join_items(names)}) had undefined values of "
        f"{join_items(dict.fromkeys(rows['metric']), 7)} in some run, for lack of cases predicted as the class, truly "
        "in it or outside it. "
        "They are left out; comparisons use only classes defined in every run of both techniques."
    )


# Comparisons


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
    texts = [_outcome(comparisons, plan), *verdict_warnings(comparisons)]
    return [*texts, largest_difference(summary, plan, evidence)[0], limit(plan)]


def outcomes(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Count how often each verdict was reached on the deciding metrics: one row per technique, baseline and arm."""
    rows = deciding(comparisons)
    keys = ["technique", "baseline", "arm"]
    counted = rows.groupby([*keys, "verdict"], sort=False).size().unstack("verdict", fill_value=0)
    order = pd.MultiIndex.from_frame(rows[keys].drop_duplicates())
    return counted.reindex(index=order, columns=list(VERDICTS), fill_value=0).reset_index()


def _outcome(comparisons: pd.DataFrame, plan: Mapping) -> str:
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
        texts.append(named + _arm_outcome(table[table["arm"] == arm], rows[rows["arm"] == arm]))
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
    sizes = rows.loc[rows["design"] != "paired by run", ["n_technique", "n_baseline"]]
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


def _arm_outcome(table: pd.DataFrame, rows: pd.DataFrame) -> str:
    nouns = ("distinct metric", "") if rows["attribute"].nunique() == 1 else PAIRS
    with_verdict = table[table[list(JUDGED)].sum(axis=1) > 0]
    refused = [_refused(row, rows) for _, row in table.drop(with_verdict.index).iterrows()]
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


def _refused(row: pd.Series, comparisons: pd.DataFrame) -> str:
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
        f"after Holm's correction over {family(rows)} tests; smallest attainable p before correction: "
        f"{value_range(smallest)}), their means in {means} (studentised permutation test, Holm's correction)."
        f"{_other_tests(quiet)}"
    )


def _other_tests(quiet: pd.DataFrame) -> str:
    """Return the power of the rank tests that showed no difference."""
    powers = quiet["power_mean"].dropna()
    if powers.empty:
        return ""
    return (
        f" In {len(quiet)} the rank test showed no difference; its power to show a shift by the smallest effect at the "
        f"corrected α was {value_range(powers, power)}."
    )


def undecided(comparisons: pd.DataFrame, plan: Mapping) -> str:
    """Return how many verdicts leave open whether, or by how much, bias differs."""
    rows = judged(comparisons)
    counts = {name: int((rows["verdict"] == name).sum()) for name in (OPEN, LOWER, HIGHER)}
    if not sum(counts.values()):
        return "No verdict is open." if len(rows) else ""
    texts = {
        OPEN: "the interval contains 0 and reaches beyond the smallest effect, so that these runs neither show nor "
        "exclude a difference that counts; open does not mean equal",
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
        f"{_interval(row['difference_low'], row['difference_high'])}."
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
        "Proportional in all runs compared, so counted once, as the primary metric or the largest in smallest effects: "
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
            f"{probability(top['reversal'])} {_interval(top['reversal_low'], top['reversal_high'], scale=1)}."
        )
    unclear = int(rows["reversal_note"].str.startswith("direction not established").sum())
    if unclear:
        texts.append(
            f"In {unclear} of {count(len(known) + unclear, 'comparison')} the direction is not established: the "
            "unadjusted 95 % interval of the difference contains 0 (reversal up to ½)."
        )
    return texts


# Impact ratio and risk


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
        f"probability {probability(row['p_disagree'])} {disagree}{', likewise' if adjusted else ''}{_beyond(row)}."
    )


def _risk_interval(row: pd.Series, name: str) -> str:
    """Return the interval that holds whichever row is chosen."""
    return _interval(row[f"{name}_low_bonferroni"], row[f"{name}_high_bonferroni"], scale=1)


def _beyond(row: pd.Series) -> str:
    """Explain an estimate above its interval: the unbiased share of pairs may exceed ½, 2p(1−p) may not."""
    high = row["p_disagree_high_bonferroni"]
    if is_missing(high) or row["p_disagree"] <= high:
        return ""
    return " (the pairs of these runs; over all runs it is at most ½, hence the interval)"


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


# Limits


def cautions(plan: Mapping, comparisons: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Return what may not be concluded from this experiment."""
    arms = main_arms(plan)
    kinds, one_seed = {arm["kind"] for arm in arms}, len({arm["seed"] for arm in arms}) == 1
    sizes, verdicts = {int(n) for n in overall_rows(summary)["n"].dropna()}, set(distinct(comparisons)["verdict"])
    texts = {
        f"Whether a technique is fairer over seeds: that takes at least {nested_design.SEEDS} seeds with at least "
        f"{nested_design.RUNS} runs each. {_shared_seed(arms)}, and a test on them answers that question wrongly far "
        "too often.": one_seed and not all(map(seeded_by_run, arms)),
        "Whether a technique is fairer on other training data or with another split: both are the same in all runs.": (
            all(map(seeded_by_run, arms))
        ),
        "Whether a technique is fairer over seeds, from the verdict at one of them: only the section on seeds is about "
        "that.": not one_seed,
        "How much fairness varies on a given GPU: emulated noise shows what perturbation can do.": "emulated" in kinds,
        "That the runs were identical: no evidence on their training was recorded.": "unknown" in kinds,
        "Which technique has the larger MaxDiff where numbers of runs differ: MaxDiff grows with n.": len(sizes) > 1,
        "Anything about how runs vary: one run shows no variation.": sizes == {1},
        "That the spread between runs is equal or unchanged: no test here can show it.": bool(sizes),
        "That techniques are equal where the verdict is open.": "open" in verdicts,
        "How large a difference is where the verdict leaves its size open.": bool(verdicts & {LOWER, HIGHER}),
        "Anything from a comparison with fewer than "
        f"{RUNS} runs of either technique: these are too few to judge.": TOO_FEW in verdicts,
        "Anything about other test data, unless an interval is named as one for new test data: the others cover "
        "training again, not other people.": True,
        "Anything legal.": True,
    }
    return [text for text, holds in texts.items() if holds]


def _shared_seed(arms: Sequence[Mapping]) -> str:
    """Return what is known of the seed of all runs."""
    if all(is_missing(arm.get("seed")) for arm in arms):
        return "The seeds of the runs here are not recorded"
    compared = any(arm["kind"] == "comparison" for arm in arms)
    return "Only one seed is compared here" if compared else "The runs here share a seed"


def _interval(low: float, high: float, scale: float = 100.0) -> str:
    return f"(interval {NOT_ESTIMABLE})" if is_missing(low) or is_missing(high) else span(low, high, scale)
