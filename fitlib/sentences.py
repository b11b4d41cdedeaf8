"""Sentences computed from the tables: what may be said, and nothing more.

Every function is pure: tables (`fitlib.tables`), plan and evidence in, plain text out (no markup; whoever shows it
escapes it). A value that is not there reads "not estimable", one that never changes "constant in all n runs"; no NaN is
ever printed. Differences are technique − baseline: negative means that bias fell. Points are percentage points.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from fitlib import identity
from fitlib.metrics import BIAS_METRICS

METRIC_NAMES = {
    "DP": "demographic parity",
    "DI": "disparate impact",
    "SPSF": "statistical parity subgroup fairness",
    "FPSF": "false positive subgroup fairness",
    "EOFP": "equalised odds, false positives",
    "EOTP": "equalised odds, true positives",
    "BA": "bias amplification",
}
METRIC_MEANINGS = {
    "DP": "difference between the groups' shares predicted as the class",
    "DI": "1 − smallest share / largest share predicted as the class; the impact ratio is 1 − DI",
    "SPSF": "how far each group's predicted share lies from everybody's, weighted by group size",
    "FPSF": "how far each group's false positive rate lies from everybody's, weighted by its share not of the class",
    "EOFP": "difference between the groups' false positive rates",
    "EOTP": "difference between the groups' true positive rates",
    "BA": "how far a group's share among those predicted as the class lies from its share among those truly in it",
}
NOISE_MEANINGS = {
    "none": "nothing differs",
    "native": "nothing is added: what hardware and software do by themselves",
    "ulp": "one weight is moved by one unit in the last place",
    "reduction-order": "the order in which finished mini-batches are summed",
    "threads": "the number of threads, drawn at every step",
    "primitives": "the choice among equivalent primitives, drawn at every step",
}
NOT_ESTIMABLE, NO_TEST = "not estimable", "no test"
JUDGED = ("fairer", "less fair", "equivalent", "undecided")
VERDICTS = (*JUDGED, "not FIT", NOT_ESTIMABLE)
USES = {
    "no": "the protected attribute is not used",
    "training": "the protected attribute is used in training, not at prediction",
    "prediction": "the protected attribute is needed at prediction",
}
LEGAL = (
    "Four fifths is a rule of thumb of US employment law (29 CFR 1607.4(D)), neither necessary nor sufficient; "
    "no legal conclusion is drawn here."
)
NO_FAVOURABLE = (
    "No favourable class is declared, so 0.8 is a numerical landmark only: nothing passes or fails, and no legal "
    "conclusion is drawn."
)
NO_EVIDENCE = "No evidence was recorded on how these runs were trained: whether they were identical is unknown."
METHOD_LIMITS = (
    "Intervals of the mean assume that runs are roughly normal; those of the standard deviation cover less than 95 % "
    "where runs are skewed.",
    "Ground truth is taken as given: errors in labels are not accounted for.",
    "The impact ratio and all bias metrics compare groups as recorded; groups that were not recorded are not seen.",
)
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


# Numbers as text


def missing(value: object) -> bool:
    """True for None, NaN, pandas' NA and the empty text."""
    return value is None or value == "" if isinstance(value, str) or value is None else bool(pd.isna(value))


def decimals(value: float, places: int = 2, signed: bool = False) -> str:
    """`value` with `places` decimals; one that would round to zero keeps a significant digit, exact zero is "0"."""
    if missing(value):
        return NOT_ESTIMABLE
    value = float(value)
    text = f"{abs(value):.{places}f}"
    if value and float(text) == 0:
        text = f"{abs(value):.1g}" if abs(value) >= 1e-4 else scientific(abs(value))
    sign = "−" if value < 0 else "+" if signed and value > 0 else ""
    return "0" if value == 0 else sign + text


def points(value: float, signed: bool = False) -> str:
    """A share as percentage points: 0.0321 is "3.21"."""
    return NOT_ESTIMABLE if missing(value) else decimals(100 * float(value), signed=signed)


def scientific(value: float) -> str:
    """3.3e-09 is "3.3×10⁻⁹"."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def probability(p: float) -> str:
    """A probability or p-value with two significant digits; small ones as a power of ten, none as "no test"."""
    if missing(p):
        return NO_TEST
    p = float(p)
    if p in (0.0, 1.0):
        return str(int(p))
    return scientific(p) if p < 1e-3 else f"{p:.2g}" if p < 0.1 else "> 0.99" if p > 0.99 else f"{p:.2f}"


def span(low: float, high: float, scale: float = 100.0, places: int = 2) -> str:
    """An interval "[−1.20, 0.31]" (in points by default), or "not estimable"."""
    if missing(low) or missing(high):
        return NOT_ESTIMABLE
    return f"[{decimals(scale * float(low), places)}, {decimals(scale * float(high), places)}]"


def listed(items: Iterable[object], most: int = 4) -> str:
    """Three items read "a, b and c"; beyond `most`, "a, b, c, d and 3 more"; no item reads "none"."""
    names = [str(item) for item in items]
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names) or "none"


def count(n: int, noun: str, plural: str = "") -> str:
    """One reads "1 run", sixteen "16 runs"."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def power(value: float) -> str:
    """The power of a test; never told as certainty."""
    return "> 0.99" if not missing(value) and value > 0.99 else "–" if missing(value) else probability(value)


def ranged(values: pd.Series, show: Callable[[float], str] = probability) -> str:
    """Probabilities from the smallest to the largest: "0.12 to 0.64"."""
    low, high = show(values.min()), show(values.max())
    return low if low == high else f"{low} to {high}"


# The plan


def main_arms(plan: Mapping) -> list[Mapping]:
    """The arms that carry results, in plan order (control arms left out)."""
    return [arm for arm in plan["arms"] if arm["role"] == "main"]


def trainings(plan: Mapping) -> dict[str, list[str]]:
    """Trainings in plan order, each with the techniques that share it."""
    shared: dict[str, list[str]] = {}
    for technique in plan["techniques"]:
        shared.setdefault(technique["training"], []).append(technique["technique"])
    return shared


def class_name(plan: Mapping, target: object) -> str:
    """The name that the plan gives to a class number; the number itself where it gives none."""
    names, number = plan.get("classes") or [], int(target)
    return str(names[number]) if 0 <= number < len(names) else str(number)


def noise(arm: Mapping) -> str:
    """What varied between the runs of an arm: "ulp (emulated)", "native", "not recorded"."""
    if arm["kind"] == "unknown":
        return "not recorded"
    return f"{arm['noise']} (emulated)" if arm["kind"] == "emulated" else str(arm["noise"])


def noise_explained(plan: Mapping) -> str:
    """The noise of every main arm with what it does, each once."""
    meanings = {noise(arm): NOISE_MEANINGS.get(str(arm["noise"]), "") for arm in main_arms(plan)}
    return "; ".join(f"{name}: {meaning}" if meaning else name for name, meaning in meanings.items())


def seed(arm: Mapping) -> str:
    """The seed of an arm; "not recorded" for predictions made elsewhere."""
    return "not recorded" if arm["kind"] == "unknown" or missing(arm.get("seed")) else str(arm["seed"])


def what_varied(plan: Mapping) -> str:
    """Runs, noise and seed of every main arm, in one sentence."""
    arms = main_arms(plan)
    told = [f"{count(arm['runs'], 'run')}, noise {noise(arm)}, seed {seed(arm)}" for arm in arms]
    named = [f"arm {arm['arm']}: {text}" for arm, text in zip(arms, told, strict=True)] if len(arms) > 1 else told
    return f"For each technique: {'; '.join(named)}."


def deviations(plan: Mapping) -> list[str]:
    """One sentence on when the plan was fixed, then every deviation from it."""
    told = [str(text) for text in plan.get("deviations") or []]
    if not plan.get("declared_before_first_run"):
        return ["The plan was not declared before the first run: its choices may follow what was seen.", *told]
    first = f"The plan was declared before the first run (SHA-256 {str(plan.get('declared_hash') or '')[:16]}…)."
    return [first, *(told or ["No deviation from it is recorded."])]


def protected_use(plan: Mapping) -> list[str]:
    """Who uses the protected attribute, and when; use at prediction may be disparate treatment."""
    used = {when: [t["technique"] for t in plan["techniques"] if t.get("uses_protected") == when] for when in USES}
    told = [f"{listed(names, 8)}: {USES[when]}." for when, names in used.items() if names]
    unknown = [t["technique"] for t in plan["techniques"] if t.get("uses_protected") not in USES]
    told += [f"{listed(unknown, 8)}: use of the protected attribute is not recorded."] if unknown else []
    if used["prediction"]:
        told.append("Treating people differently by group at prediction may be disparate treatment: check before use.")
    return told


# What the runs of one technique did


def bias_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the seven bias metrics."""
    return frame[frame["metric"].isin(BIAS_METRICS)]


def overall_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Rows of the summary that hold a bias metric's overall value."""
    return bias_rows(summary[summary["target"] == "overall"])


def largest_difference(summary: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping] = ()) -> list[str]:
    """The largest difference between two runs that should be equal; one sentence per number of runs.

    MaxDiff grows with n, so techniques with unequal numbers of runs are never compared; runs that are not FIT are left
    out.
    """
    rows = _not_refuted(overall_rows(summary).dropna(subset=["maxdiff"]), plan, evidence)
    rows = rows[rows["n"] > 1]
    sizes = sorted({int(n) for n in rows["n"]}, reverse=True)
    if not sizes:
        return ["How much fairness varies between equal runs cannot be seen: no technique has two FIT runs or more."]
    top = [rows.loc[rows.loc[rows["n"] == n, "maxdiff"].idxmax()] for n in sizes]
    return [_largest(row, len(sizes) > 1, rows) for row in top]


def _not_refuted(rows: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """Rows of techniques whose runs are FIT, or of which nothing is known."""
    training = {t["technique"]: t["training"] for t in plan["techniques"]}
    keys = set(zip(rows["technique"], rows["arm"], strict=True))
    refuted = {key for key in keys if identity.check_fit(evidence, training[key[0]], key[1]).fit is False}
    return rows[[key not in refuted for key in zip(rows["technique"], rows["arm"], strict=True)]]


def _largest(row: pd.Series, unequal: bool, frame: pd.DataFrame) -> str:
    n, metric = int(row["n"]), str(row["metric"])
    among = f" among techniques with {n} runs" if unequal else ""
    if row["maxdiff"] == 0:
        return f"Every bias metric was constant in all {n} runs{among}."
    return (
        f"The {metric} ({METRIC_NAMES[metric]}) of {row['technique']}{place(frame, row)} ranged from "
        f"{points(row['min'])} to {points(row['max'])} points over its {n} runs: a difference of "
        f"{points(row['maxdiff'])} points (MaxDiff), the largest found{among}."
    )


def constants(summary: pd.DataFrame) -> list[str]:
    """Which overall values never changed, by technique."""
    rows = overall_rows(summary)
    rows = rows[(rows["n"] > 1) & (rows["maxdiff"] == 0)]
    groups = rows.groupby(["technique", "arm", "attribute", "n"], sort=False)
    return [
        f"{key[0]}{place(summary, group.iloc[0])}: {listed(group['metric'], 7)} constant in all {int(key[3])} runs."
        for key, group in groups
    ]


def next_run(summary: pd.DataFrame) -> str:
    """How likely the next run stays within the range seen: (n−1)/(n+1)."""
    rows = overall_rows(summary)
    sizes = sorted({int(n) for n in rows.loc[rows["maxdiff"] > 0, "n"]})
    told = [f"{probability((n - 1) / (n + 1))} (n = {n})" for n in sizes]
    return f"The next run falls within the range seen so far with probability {listed(told)}." if told else ""


def intervals(summary: pd.DataFrame) -> list[str]:
    """Where intervals are missing, and why."""
    rows = overall_rows(summary)
    single = list(dict.fromkeys(rows.loc[rows["n"] == 1, "technique"]))
    few = sorted({int(n) for n in rows.loc[rows["n"].between(2, 4), "n"]})
    told = [f"{listed(single)}: 1 run, so every interval and standard deviation is not estimable."] if single else []
    if few:
        told.append(f"With {listed(few)} runs the interval of the standard deviation is not estimable (5 needed).")
    return told


def undefined_values(summary: pd.DataFrame, plan: Mapping) -> str:
    """Which classes lacked a metric in some run."""
    rows = bias_rows(summary)
    rows = rows[(rows["target"] != "overall") & (rows["n_undefined_max"].fillna(0) > 0)]
    if rows.empty:
        return "Every metric of every class was defined in every run."
    classes = list(dict.fromkeys(class_name(plan, target) for target in rows["target"]))
    return (
        f"{count(len(classes), 'class', 'classes')} ({listed(classes)}) had undefined values of "
        f"{listed(dict.fromkeys(rows['metric']), 7)} in some run, for lack of predictions or of true cases. They are "
        "left out; comparisons use only classes defined in every run of both techniques."
    )


# Comparisons


def verdict(
    comparisons: pd.DataFrame, summary: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping] = ()
) -> list[str]:
    """The outcome in three sentences: who is fairer, how much equal runs differ, what limits it."""
    return [_outcome(comparisons, plan), largest_difference(summary, plan, evidence)[0], limit(plan)]


def limit(plan: Mapping) -> str:
    """What bounds every conclusion: the seed, and how the noise was made."""
    arms = main_arms(plan)
    if any(arm["kind"] == "unknown" for arm in arms):
        return (
            "How these predictions were made is not recorded: whether their runs were identical is unknown, and a "
            "technique cannot be told from its luck with a seed."
        )
    seeds = list(dict.fromkeys(map(seed, arms)))
    text = f"Only seed {seeds[0]} was tried: a technique cannot be told from its luck with that seed"
    if len(seeds) > 1:
        text = f"Seeds {listed(seeds)} were tried, each judged alone: no verdict over seeds is given"
    if any(arm["kind"] == "emulated" for arm in arms):
        text += "; the noise was emulated, so nothing is claimed about a given GPU"
    return f"{text}."


def distinct(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Rows of the declared family: bias metrics that do not repeat another one."""
    rows = bias_rows(comparisons)
    return rows[(rows["redundant_with"] == "") & rows["family_size"].notna()]


def judged(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Rows of the family that got a verdict (FIT or identity unknown, and estimable)."""
    rows = distinct(comparisons)
    return rows[rows["verdict"].isin(JUDGED)]


def outcomes(comparisons: pd.DataFrame) -> pd.DataFrame:
    """How often each verdict was reached on distinct metrics: one row per technique, baseline and arm."""
    rows = distinct(comparisons)
    keys = ["technique", "baseline", "arm"]
    counted = rows.groupby([*keys, "verdict"], sort=False).size().unstack("verdict", fill_value=0)
    order = pd.MultiIndex.from_frame(rows[keys].drop_duplicates())
    return counted.reindex(index=order, columns=list(VERDICTS), fill_value=0).reset_index()


def _outcome(comparisons: pd.DataFrame, plan: Mapping) -> str:
    if distinct(comparisons).empty:
        names = [t["technique"] for t in plan["techniques"]]
        return f"There is no comparison: nothing stands against {listed(names)}."
    table, arms = outcomes(comparisons), {arm["arm"]: arm for arm in main_arms(plan)}
    nouns = ("distinct metric", "") if comparisons["attribute"].nunique() == 1 else PAIRS
    told = []
    for arm in dict.fromkeys(table["arm"]):
        at = f"at seed {seed(arms[arm])}, on this test set".replace("seed not recorded", "the seed used")
        named = f"in arm {arm}, {at}, " if table["arm"].nunique() > 1 else f"{at}, "
        told.append(named + _arm_outcome(table[table["arm"] == arm], comparisons[comparisons["arm"] == arm], nouns))
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


PAIRS = ("pair of distinct metric and protected attribute", "pairs of distinct metric and protected attribute")


def _arm_outcome(table: pd.DataFrame, comparisons: pd.DataFrame, nouns: tuple[str, str]) -> str:
    with_verdict = table[table[list(JUDGED)].sum(axis=1) > 0]
    refused = [_refused(row, comparisons) for _, row in table.drop(with_verdict.index).iterrows()]
    if len(with_verdict) > 4:
        return "; ".join([_many(with_verdict, nouns[0]), *refused])
    return "; ".join([f"{row['technique']} {_one(row, nouns)}" for _, row in with_verdict.iterrows()] + refused)


def _one(row: Mapping, nouns: tuple[str, str]) -> str:
    """Of a row of `outcomes`: "is fairer than S-Base on 4 of 5 distinct metrics, undecided on 1"."""
    found = [(name, int(row[name])) for name in VERDICTS if row[name]]
    (first, n), rest = found[0], found[1:]
    link = {"fairer": "fairer than", "less fair": "less fair than", "equivalent": "equivalent to"}
    total = count(sum(k for _, k in found), *nouns)
    head = f"is {link.get(first, 'undecided against')} {row['baseline']} on {n} of {total}"
    return ", ".join([head, *(f"{name} on {k}" for name, k in rest)])


def _many(table: pd.DataFrame, noun: str) -> str:
    better, worse, total = table["fairer"] > 0, table["less fair"] > 0, table[list(VERDICTS)].sum(axis=1)
    every = table["fairer"] == total
    groups = {
        f"fairer than the baseline on every {noun}": every,
        "fairer on some, less fair on none": better & ~worse & ~every,
        "fairer on some, less fair on others": better & worse,
        "less fair on some, fairer on none": worse & ~better,
        "neither fairer nor less fair on any": ~better & ~worse,
    }
    told = [
        f"{int(mask.sum())} {'is' if mask.sum() == 1 else 'are'} {what} ({listed(table.loc[mask, 'technique'])})"
        for what, mask in groups.items()
        if mask.any()
    ]
    return f"of {count(len(table), 'technique')}, {'; '.join(told)}"


def _refused(row: pd.Series, comparisons: pd.DataFrame) -> str:
    pair = f"no verdict on {row['technique']} against {row['baseline']}"
    note = comparisons.loc[comparisons["technique"] == row["technique"], "note"].iloc[0]
    if row["not FIT"]:
        parts = dict.fromkeys(re.findall(r"(?:: |; )([^:;]+) differs in", note))
        return f"{pair}: not FIT runs ({listed(parts)} {'differs' if len(parts) == 1 else 'differ'} between runs)"
    same = re.findall(r"(\w+): ([\w ]+) bit-identical in (\d+ of \d+) runs", note)
    if same:
        told = listed(f"{what} of the {role} bit-identical in {runs}" for role, what, runs in same)
        return f"{pair}: {told} runs, and bit-identical runs enter no test"
    return f"{pair}: too few runs or no class defined in all of them, so the difference is not estimable"


def significance(comparisons: pd.DataFrame, plan: Mapping) -> str:
    """On how many tests the means differ after correction, and the smallest p attainable."""
    rows = judged(comparisons).dropna(subset=["p_mean"])
    alpha = float(plan["analysis"]["alpha"])
    if rows.empty:
        return "No test of the means was possible: too few runs, or runs that enter no test."
    smallest = rows["p_mean_smallest"]
    if smallest.min() > alpha:
        return f"No test possible at this n: the smallest attainable p is {ranged(smallest)}, above α = {alpha:g}."
    hits = int((rows["p_mean_holm"] <= alpha).sum())
    return (
        f"The means differ in {hits} of {count(len(rows), 'test')} (exact rank test, p ≤ {alpha:g} after Holm's "
        f"correction over {family(rows)} tests; smallest attainable p before correction: {ranged(smallest)})."
    )


def undecided(comparisons: pd.DataFrame, plan: Mapping) -> str:
    """How many verdicts are undecided, and how likely these runs were to show the declared effect."""
    rows = judged(comparisons)
    rows, all_rows = rows[rows["verdict"] == "undecided"], len(rows)
    if rows.empty:
        return "No verdict is undecided." if all_rows else ""
    powers = rows["power_mean"].dropna()
    known = f"their power to show it at the corrected α: {ranged(powers, power)}" if len(powers) else "power unknown"
    many = f"{len(rows)} of {count(all_rows, 'verdict')} {'is' if len(rows) == 1 else 'are'} undecided"
    effect = points(plan["analysis"]["smallest_effect"])
    return (
        f"{many}: these runs neither show nor exclude a difference of {effect} points ({known}). Undecided does not "
        "mean equal."
    )


def spread(comparisons: pd.DataFrame, plan: Mapping, most: int = 6) -> list[str]:
    """Which techniques vary more or less between runs than their baseline (raw values decide)."""
    rows = judged(comparisons).dropna(subset=["p_variance_raw"])
    if rows.empty:
        return ["No test of the spread was possible: too few runs, or values that never change."]
    hits = rows[rows["p_variance_raw_holm"] <= float(plan["analysis"]["alpha"])]
    told = [_spread(row, comparisons) for _, row in hits.head(most).iterrows()]
    told += [f"The spread differs in {len(hits) - most} more comparisons (table)."] if len(hits) > most else []
    quiet = rows.drop(hits.index)
    if quiet.empty:
        return told
    powers = quiet["power_variance"].dropna()
    known = f"the power to show a standard deviation 1.5 times as large was {ranged(powers, power)}"
    known = known if len(powers) else "the power to show one is not estimable"
    which = f"{len(quiet)} of {count(len(rows), 'test')}"
    return [*told, f"No difference in spread was shown in {which}; {known}. This does not show equal spread."]


def _spread(row: pd.Series, frame: pd.DataFrame) -> str:
    more = "more" if row["sd_technique"] > row["sd_baseline"] else "less"
    return (
        f"{row['technique']}{place(frame, row)} varies {more} between runs than {row['baseline']} on {row['metric']}: "
        f"standard deviation {points(row['sd_technique'])} against {points(row['sd_baseline'])} points "
        f"(Brown-Forsythe on raw values, p = {probability(row['p_variance_raw'])}, "
        f"{probability(row['p_variance_raw_holm'])} after Holm's correction over {family(frame)} tests)."
    )


def accuracy(comparisons: pd.DataFrame) -> list[str]:
    """Accuracy of each technique against its baseline, outside the family of tests."""
    rows = comparisons[comparisons["metric"] == "accuracy"].dropna(subset=["difference"])
    return [
        f"Accuracy of {row['technique']}{place(comparisons, row)}: {points(row['mean_technique'])} % against "
        f"{points(row['mean_baseline'])} % of {row['baseline']}, {points(row['difference'], signed=True)} points "
        f"{_interval(row['difference_low'], row['difference_high'])}."
        for _, row in rows.iterrows()
    ]


def redundant(comparisons: pd.DataFrame) -> str:
    """Which metrics repeat another one here and so count once."""
    rows = bias_rows(comparisons)
    rows = rows[rows["redundant_with"] != ""]
    pairs = dict.fromkeys(f"{row['metric']} repeats {row['redundant_with']}" for _, row in rows.iterrows())
    return f"Proportional in all runs of all techniques, so counted once: {listed(pairs, 7)}." if pairs else ""


def dropped(comparisons: pd.DataFrame) -> list[str]:
    """Comparisons that leave out classes, and classes that a technique stopped predicting."""
    rows = bias_rows(comparisons)
    keys = ["technique", "baseline", "dropped_classes"]
    told = [
        f"{technique} against {baseline} leaves out {classes} for {listed(group['metric'], 7)}: undefined in some run."
        for (technique, baseline, classes), group in rows[rows["dropped_classes"] != ""].groupby(keys, sort=False)
    ]
    stopped = rows.loc[rows["stopped_predicting"] != "", ["technique", "baseline", "stopped_predicting"]]
    return told + [
        f"{technique} predicts {classes} in fewer runs than {baseline}: what is not predicted cannot look unfair."
        for technique, baseline, classes in stopped.drop_duplicates().itertuples(index=False)
    ]


def reversals(comparisons: pd.DataFrame) -> list[str]:
    """How likely one new pair of runs points the wrong way, where a direction is established."""
    rows = judged(comparisons)
    known = rows.dropna(subset=["reversal"])
    told = []
    if len(known):
        top = known.loc[known["reversal_high"].idxmax()]
        told.append(
            "P(verdict reversal) is highest, where a direction is established, for "
            f"{top['technique']}{place(comparisons, top)} on {top['metric']}: one new run of it against one of "
            f"{top['baseline']}, trained again with the same seed, points the other way with probability "
            f"{probability(top['reversal'])} {_interval(top['reversal_low'], top['reversal_high'], scale=1)}."
        )
    unclear = int(rows["reversal_note"].str.startswith("direction not established").sum())
    if unclear:
        told.append(f"In {unclear} of {len(rows)} comparisons the direction is not established (up to ½).")
    return told


# Impact ratio and risk


def landmark(risk: pd.DataFrame, plan: Mapping) -> list[str]:
    """How often the impact ratio fell below 0.8, and how often two equal runs would disagree about it."""
    seen = risk[risk["n"] > 0]
    if seen.empty:
        return ["The impact ratio is undefined in every run: nobody was predicted as any class."]
    below = int((seen["violated"] > 0).sum())
    told = [f"The impact ratio fell below 0.8 in some run for {below} of {len(seen)} pairs of technique and class."]
    for rule, rows in seen.dropna(subset=["p_disagree"]).groupby("rule", sort=False):
        top = rows.loc[rows["p_disagree"].idxmax()]
        told += [_risk(top, str(rule), plan, risk)] if top["violated"] or rule == "four-fifths" else []
    same = risk[risk["note"].str.contains("bit-identical")]
    told += [
        f"{row['technique']}{place(risk, row)}: {row['note']}." for _, row in same.drop_duplicates(KEYS).iterrows()
    ]
    return [*told, NO_FAVOURABLE if plan["analysis"].get("favourable") is None else LEGAL]


KEYS = ["technique", "arm", "attribute"]


def _risk(row: pd.Series, rule: str, plan: Mapping, frame: pd.DataFrame) -> str:
    what = "violated four fifths" if rule == "four-fifths" else "had an impact ratio below 0.8"
    return (
        f"{row['technique']}{place(frame, row)} {what} for class {class_name(plan, row['target'])} in "
        f"{int(row['violated'])} of {int(row['n'])} runs (probability {probability(row['p_violated'])} "
        f"{_interval(row['p_violated_low'], row['p_violated_high'], scale=1)}); two runs with the {row['retraining']} "
        f"disagree about it with probability {probability(row['p_disagree'])} "
        f"{_interval(row['p_disagree_low'], row['p_disagree_high'], scale=1)}."
    )


# Evidence


def identities(plan: Mapping, evidence: Sequence[Mapping]) -> list[str]:
    """For each training and main arm: were its runs identical but for the noise, and do the results differ?"""
    if not evidence:
        return [NO_EVIDENCE]
    told: dict[str, list[str]] = {}
    for arm in main_arms(plan):
        where = f" in arm {arm['arm']}" if len(main_arms(plan)) > 1 else ""
        for training, names in trainings(plan).items():
            shared = f"{listed(names, 8)}{' (one training)' if len(names) > 1 else ''}{where}"
            told.setdefault(_identity(training, arm["arm"], evidence), []).append(shared)
    return [f"{listed(names, 30)}: {text}." for text, names in told.items()]


def _identity(training: str, arm: str, evidence: Sequence[Mapping]) -> str:
    found = identity.check_fit(evidence, training, arm)
    if found.fit is False:
        return f"{found.text}; these {found.n} runs are not compared"
    if not found.fit or found.n == 1:
        return found.text if found.fit is None else "1 run, so there is nothing to compare"
    finals = _finals(*identity.distinct_finals(evidence, training, arm))
    known = _starts_known(evidence, training, arm)
    started = f"the {found.n} runs started from identical weights and data ({found.text})" if known else found.text
    return f"{started}; {finals}"


def _starts_known(evidence: Sequence[Mapping], training: str, arm: str) -> bool:
    runs = identity.done_runs(evidence, training, arm)
    return all(run["parts"].get(part) for run in runs for part in ("initial weights", "first batch"))


def _finals(different: int, n: int) -> str:
    if different == 1:
        return f"all {n} final weights are bit-identical (SHA-256), so the noise changed nothing"
    if different == n:
        return f"{n} of {n} final weights differ (SHA-256)"
    return f"only {different} different final weights (SHA-256) among {n} runs, so the effective n is {different}"


def controls(plan: Mapping, evidence: Sequence[Mapping]) -> list[str]:
    """Outcome of every training's control arm, with what was compared; equal outcomes are told once."""
    told: dict[str, list[str]] = {}
    for training, names in trainings(plan).items() if evidence else ():
        told.setdefault(identity.check_control(evidence, training).text, []).append(listed(names))
    return [f"Control arm of {listed(names, 30)}: {text}." for text, names in told.items()]


def missing_runs(evidence: Sequence[Mapping], most: int = 12) -> list[str]:
    """Every planned run that failed or is missing, and why (last line of its traceback)."""
    gone = [e for e in evidence if e["status"] != "done"]
    if not gone:
        return [f"All {count(len(evidence), 'planned run')} finished."] if evidence else []
    told = [f"{e['training']}, arm {e['arm']}, run-{int(e['run']):02d} {_why(e)}." for e in gone[:most]]
    told += [f"And {len(gone) - most} more (table of runs)."] if len(gone) > most else []
    return [f"{len(gone)} of {len(evidence)} planned runs did not finish; the results rest on the others.", *told]


def _why(entry: Mapping) -> str:
    lines = str(entry.get("error") or "").strip().splitlines()
    error = " ".join(lines[-1].split()).rstrip(".") if lines else ""
    return f"{entry['status']}: {error}" if error else str(entry["status"])


# Limits


def cautions(plan: Mapping, comparisons: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """What may not be concluded from this experiment."""
    kinds = {arm["kind"] for arm in main_arms(plan)}
    sizes = {int(n) for n in overall_rows(summary)["n"].dropna()}
    told = {
        "Whether a technique is fairer over seeds: that takes at least 8 seeds with at least 2 runs each. The runs "
        "here share a seed, and a test on them answers that question wrongly far too often.": True,
        "How much fairness varies on a given GPU: emulated noise shows what perturbation can do.": "emulated" in kinds,
        "That the runs were identical: no evidence on their training was recorded.": "unknown" in kinds,
        "Which technique has the larger MaxDiff where numbers of runs differ: MaxDiff grows with n.": len(sizes) > 1,
        "Anything about how runs vary: one run shows no variation.": sizes == {1},
        "That the spread between runs is equal or unchanged: this many runs cannot show it.": bool(sizes),
        "That techniques are equal where the verdict is undecided.": "undecided" in set(judged(comparisons)["verdict"]),
        "Anything about other test data: the intervals cover training again, not other people.": True,
        "Anything legal.": True,
    }
    return [text for text, holds in told.items() if holds]


# Captions: n, what varied, what was fixed, interval method, how many tests the correction covers


def caption(plan: Mapping, sizes: Iterable[int], extra: str = "") -> str:
    """The line under a table or figure: n, what varied, what was fixed, and `extra`."""
    known = sorted({int(n) for n in sizes if not missing(n)})
    n = f"{known[0]} to {known[-1]}" if len(known) > 1 else str(known[0]) if known else "0"
    arms, data = main_arms(plan), plan.get("data", {}).get("name", "")
    varied = listed(dict.fromkeys(noise(arm) for arm in arms))
    fixed = f"seed {listed(dict.fromkeys(map(seed, arms)))}, training data"
    test = f"test set{f' of {data}' if data else ''}{', last epoch' if plan.get('source') == 'fitlib' else ''}"
    n += " run" if n == "1" else " runs"
    return f"n = {n} per technique. Varied: noise {varied}. Fixed: {fixed}, {test}. {extra}".strip()


def caption_distributions(plan: Mapping, summary: pd.DataFrame) -> str:
    """Under the distributions."""
    about = "Overall values of every run, with the mean and its 95 % interval (Student's t). No test is made here."
    return caption(plan, overall_rows(summary)["n"], about)


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


def caption_identity(plan: Mapping, runs: pd.DataFrame) -> str:
    """Under the tables of evidence."""
    return caption(plan, _finished(runs), "Digests are SHA-256, shown by their first digits. No test is made here.")


def classes_shown(plan: Mapping, targets: Sequence[int]) -> str:
    """Which classes the figure of impact ratios shows."""
    total = len(plan.get("classes") or targets)
    return "All classes." if len(targets) >= total else f"The {len(targets)} of {total} classes with the lowest ratios."


def caption_glance(plan: Mapping, summary: pd.DataFrame) -> str:
    """Under the first table."""
    about = "Points are percentage points; procedures stand under each table below."
    return caption(plan, overall_rows(summary)["n"], about)


def caption_runs(plan: Mapping, runs: pd.DataFrame) -> str:
    """Under the table of runs."""
    about = "Overall values in points, accuracy in %; weights and predictions by the first digits of their SHA-256."
    return caption(plan, _finished(runs), f"{about} No interval, no test.")


def _finished(runs: pd.DataFrame) -> pd.Series:
    return runs[runs["status"] == "done"].groupby(["technique", "arm", "attribute"]).size()


def _sizes(comparisons: pd.DataFrame) -> pd.Series:
    return pd.concat([comparisons["n_baseline"], comparisons["n_technique"]])


def caption_summary(plan: Mapping, summary: pd.DataFrame) -> str:
    """Under the summary table."""
    return caption(
        plan,
        overall_rows(summary)["n"],
        "In points. Intervals: 95 %, of the mean by Student's t, of the standard deviation (SD) by Bonett's method. "
        "MaxDiff = largest − smallest run; it has no interval and grows with n. No test is made here.",
    )


def caption_differences(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Under the table of differences between means."""
    paired = "; paired by run where a training is shared" if (comparisons["design"] == "paired by run").any() else ""
    return caption(
        plan,
        _sizes(comparisons),
        f"In points. Difference = technique − baseline with Welch's 95 % interval{paired}; verdict against a smallest "
        f"effect of ±{points(plan['analysis']['smallest_effect'])} points. P(reversal): one new run of each, trained "
        "with the same seed, points the other way (Newcombe's interval), where a direction is established. d: Cohen's, "
        f"with Bonett's interval. {PROPORTIONAL} No test is made here.",
    )


PROPORTIONAL = "∝: proportional to another metric in all runs, so it shows that metric's tests and counts once."


def caption_tests(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Under the table of tests of the means."""
    paired = (comparisons["design"] == "paired by run").any()
    test = "Mann-Whitney on mid-ranks" + (", signed ranks where runs are paired" if paired else "")
    return caption(
        plan,
        _sizes(comparisons),
        f"p: exact two-sided rank test ({test}), beside the smallest p attainable with these n and ties and the values "
        "corrected by Holm, Benjamini-Hochberg (BH) and Benjamini-Yekutieli (BY). The correction covers "
        f"{family(comparisons)} tests; accuracy stands outside. Power: to show a difference of "
        f"{points(plan['analysis']['smallest_effect'])} points at the corrected α. {PROPORTIONAL}",
    )


def caption_spread(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Under the table of differences in spread."""
    return caption(
        plan,
        _sizes(comparisons),
        "SD in points. p: Brown-Forsythe test on raw values (it has no smallest attainable value), beside the values "
        f"corrected by Holm, BH and BY over {family(comparisons)} tests; on values / mean only for comparison, as a "
        "lower mean alone raises it. Power: to show an SD 1.5 times as large at the corrected α.",
    )


def caption_risk(plan: Mapping, risk: pd.DataFrame, shown: int) -> str:
    """Under the risk table, of which `shown` rows are shown."""
    worst = int(risk["worst_of"].max()) if len(risk) else 0
    part = f" Shown: {shown} of {len(risk)} pairs, those below 0.8 in some run." if shown < len(risk) else ""
    return caption(
        plan,
        risk["n"],
        "Retraining covered: same seed. Intervals: Clopper-Pearson 95 %, of two runs disagreeing its image under "
        f"2p(1−p), so the estimate may lie above its upper end ½; for the worst of "
        f"{worst} pairs of technique and class, Bonferroni's. No test is made here.{part}",
    )


def family(comparisons: pd.DataFrame) -> str:
    """How many tests the correction covers, as text."""
    sizes = sorted({int(n) for n in comparisons["family_size"].dropna()})
    return " or ".join(map(str, sizes)) or "0"


def place(frame: pd.DataFrame, row: Mapping) -> str:
    """Arm and protected attribute of a row, told only where `frame` has several."""
    told = [f"arm {row['arm']}"] if frame["arm"].nunique() > 1 else []
    told += [f"by {row['attribute']}"] if frame["attribute"].nunique() > 1 else []
    return f" ({', '.join(told)})" if told else ""


def _interval(low: float, high: float, scale: float = 100.0) -> str:
    return f"(interval {NOT_ESTIMABLE})" if missing(low) or missing(high) else span(low, high, scale)
