"""Findings on the study's tests and counts, quirk by quirk; the list of all findings; its headline claims.

As in `fitlib.paper.findings_on_metrics`, functions take a `fitlib.paper.review.Review` and return a `Finding`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from fitlib.formatting import count, decimals, join_items, points, probability
from fitlib.paper.findings_on_metrics import (
    NO_TEST_MADE,
    Finding,
    display_label,
    forced_zeros,
    metric_weights,
    misaligned_classes,
    other_composition,
    runs_of,
    unpredicted_classes,
)
from fitlib.paper.review import Review, distinct_metrics
from fitlib.report.vocabulary import JUDGED
from fitlib.statistics import estimates as st
from fitlib.statistics import significance as sig
from fitlib.statistics.paper_protocol import label
from fitlib.statistics.power import SD_RATIO, power_variance

POWER_SEED = 2006  # power of the variance test is simulated from this seed


# Q7


def accuracy_variance(review: Review) -> Finding:
    """Review Q7: the sign of an accuracy-variance label compares a raw variance with a variance of values/mean."""
    rows = []
    for row in review.accuracy[review.accuracy["label_mean"] != ""].to_dict("records"):
        b, t = review.performance[review.baselines[row["technique"]]], review.performance[row["technique"]]
        relative = label(row["p_variance"], *(float(st.sds(x)) / float(st.means(x)) for x in (b, t)))
        labels = {"Published": row["label_variance"], "both / mean": relative, "both raw": row["label_variance_raw"]}
        if len(set(labels.values())) > 1:
            sds = {"SD of the baseline": decimals(float(st.sds(b)), 4), "SD": decimals(float(st.sds(t)), 4)}
            rows.append({"Technique": row["technique"]} | sds | {k: display_label(v) for k, v in labels.items()})
    changed = [f"{row['Technique']} from {row['Published']} to {row['both raw']}" for row in rows]
    costs = review.costs.groupby("judged", sort=False)["cost_accuracy_variance"].sum()
    turned = f"Labels on one scale, raw: {join_items(changed, 9)}." if changed else "No label depends on the scale."
    sentences = (
        f"{turned} Lower bias at the cost of a higher accuracy variance: "
        f"{count(costs['published'], 'case')} as published, {costs['raw']} on raw variances.",
    )
    method = (
        "SDs in each task's own unit. Levene about medians, α = 0.05, not corrected; only labels that differ are shown."
    )
    return Finding("Q7", "Accuracy variance on two scales", sentences, pd.DataFrame(rows), method)


# Q13


def chosen_side(review: Review) -> Finding:
    """Review Q13: one-sided tests on the side seen, no correction, redundant metrics counted repeatedly."""
    labels, table = review.labels, review.table
    exact = pd.Series([_exact(review, *pair) for pair in zip(labels["technique"], labels["metric"], strict=True)])
    alpha, distinct = review.alpha, table[table["redundant_with"] == ""]
    rows = [
        _corrected_together("Mean: one-sided U, as published", labels["p_mean"], alpha),
        _corrected_together("Mean: two-sided exact U", exact, alpha),
        _corrected_by_task("Mean: strict, distinct metrics, by task", distinct, "p_exact", "p_holm", alpha),
        _corrected_together("Variance: on values/mean, as published", labels["p_variance"], alpha),
        _corrected_by_task(
            "Variance: raw, strict, distinct, by task", distinct, "p_variance_raw", "p_variance_raw_holm", alpha
        ),
    ]
    moved = labels[(exact > review.alpha) != (labels["label_mean"] == "NS")]
    named = f" ({join_items(moved['technique'] + ' on ' + moved['metric'])})" if len(moved) else ""
    holm_rises, bh_rises = (
        _significant_rises(labels, correct, alpha) for correct in (sig.holm, sig.benjamini_hochberg)
    )
    sentences = (
        f"Tested two-sided and exactly, {count(len(moved), 'mean label')} of {len(labels)} would differ{named}.",
        f"Of {rows[3]['p ≤ α']} significant variance labels {rows[3]['Holm']} survive Holm's correction over "
        f"{rows[3]['Tests']} tests, {holm_rises} of them +; "
        f"{rows[3]['Benjamini-Hochberg']} that of Benjamini and Hochberg, {bh_rises} of them +.",
        f"Metrics that repeat another one in all runs of a task add tests, not evidence: {_repeated(review)}.",
    )
    method = (
        f"α = {review.alpha:g}. Corrected within the family: all tests, or the task's techniques × distinct metrics."
    )
    return Finding("Q13", "The side chosen after looking, nothing corrected", sentences, pd.DataFrame(rows), method)


def _significant_rises(labels: pd.DataFrame, correct: Callable, alpha: float) -> int:
    """Count the variance labels "+" that stay significant after a correction over all variance tests."""
    tested = labels.dropna(subset=["p_variance"])
    return int(((tested["label_variance"] == "+") & (correct(tested["p_variance"].to_numpy()) <= alpha)).sum())


def _exact(review: Review, technique: str, metric: str) -> float:
    baseline = review.overall[review.baselines[technique]][metric]
    p = sig.mann_whitney_exact(baseline, review.overall[technique][metric]).p
    return np.nan if p is None else p


def _corrected_together(name: str, p: pd.Series, alpha: float) -> dict[str, str]:
    """Count the p at or below alpha, as they are and corrected together."""
    tested = p.dropna().to_numpy(float)
    return _significant_counts(name, alpha, tested, sig.holm(tested), sig.benjamini_hochberg(tested))


def _corrected_by_task(name: str, rows: pd.DataFrame, p: str, p_holm: str, alpha: float) -> dict[str, str]:
    """Count the p at or below alpha, as they are and corrected task by task."""
    tested = rows.dropna(subset=[p])
    bh = [sig.benjamini_hochberg(part[p].to_numpy()) for _, part in tested.groupby("baseline", sort=False)]
    return _significant_counts(
        name, alpha, tested[p].to_numpy(), tested[p_holm].to_numpy(), np.concatenate([*bh, np.empty(0)])
    )


def _significant_counts(name: str, alpha: float, *p: np.ndarray) -> dict[str, str]:
    counts = [str(int((values <= alpha).sum())) for values in p]
    columns = ("p ≤ α", "Holm", "Benjamini-Hochberg")
    return {"Test": name, "Tests": str(p[0].size), **dict(zip(columns, counts, strict=True))}


def _repeated(review: Review) -> str:
    tasks = {b: distinct_metrics(review, b)[1] for b in dict.fromkeys(review.table["baseline"])}
    repeats = [
        f"{b[0]}: {join_items((f'{m} ∝ {first}' for m, first in pairs.items()), 7)}"
        for b, pairs in tasks.items()
        if pairs
    ]
    return "; ".join(repeats) or "none"


# Q20, with Q8


def constant_baseline(review: Review) -> Finding:
    """Review Q20, with Q8: against a baseline whose runs are all equal, every variance label is "+" by construction."""
    quirk, title = "Q20, Q8", "A baseline that never changes"
    baselines = dict.fromkeys(review.baselines.values())
    constant = [b for b in baselines if all(map(st.is_constant, review.overall[b].values()))]
    labels = review.labels[review.labels["technique"].map(dict(review.baselines)).isin(constant)]
    rows = [_constant_row(review, row) for row in labels.to_dict("records")]
    plus = int((labels["label_variance"] == "+").sum())
    sentences = (
        f"{join_items(constant)} is constant in all {runs_of(review)}; whether bit-identical, only digests could tell. "
        f"Whatever varies at all varies more: {plus} of {len(labels)} variance labels against it are + by "
        "construction. fitlib makes no test there.",
        "Baseline and technique also differ in training distribution, test set and bit depth (Q8): not even the "
        "difference of their means is the technique's effect alone.",
    )
    nothing = ("No baseline is constant.",)
    return Finding(
        quirk, title, sentences if rows else nothing, pd.DataFrame(rows), "Levene on values/mean, not corrected."
    )


def _constant_row(review: Review, row: dict) -> dict[str, str]:
    values = review.overall[row["technique"]][row["metric"]]
    return {
        "Technique": row["technique"],
        "Metric": row["metric"],
        "SD of the baseline": f"constant in all {runs_of(review)}",
        "SD": points(float(st.sds(values))),
        "Published": f"{display_label(row['label_variance'])} (p = {probability(row['p_variance'])})",
        "fitlib": "no test",
    }


# Q23


def counted_techniques(review: Review) -> Finding:
    """Review Q23: how many techniques have a variance "+" on some metric, and how many a mean "+"."""
    labels, every = review.labels, review.labels["technique"].nunique()
    columns = {"label_variance": "variance +", "label_mean": "mean +", "label_variance_raw": "variance +, raw values"}
    found = {name: labels.loc[labels[column] == "+", "technique"].unique() for column, name in columns.items()}
    rows = [
        {"Label on some metric": n, "Techniques": str(len(t)), "Which": join_items(t, 30)} for n, t in found.items()
    ]
    sentences = (
        f"{len(found['variance +'])} of {every} techniques have a variance label + on some metric, on raw values "
        f"{len(found['variance +, raw values'])}. The study says 15; that is the number with a mean label +: here "
        f"{len(found['mean +'])}.",
    )
    method = "One-sided U; Levene about medians, on values/mean or on raw values; α = 0.05, not corrected."
    return Finding("Q23", "How many techniques vary more", sentences, pd.DataFrame(rows), method)


# Q24


def relative_variance(review: Review) -> Finding:
    """Review Q24: spread of values divided by their mean rises when bias falls, though nothing varies more."""
    labels, costs = review.labels, review.costs.groupby("judged", sort=False)["cost_bias_variance"].sum()
    rows = [_label_counts(technique, part) for technique, part in labels.groupby("technique", sort=False)]
    before, after = (int((labels[column] == "+").sum()) for column in ("label_variance", "label_variance_raw"))
    tested = after - int(
        ((labels["label_variance_raw"] == "+") & (review.table["label_variance_raw"] == "no test")).sum()
    )
    flipped = labels[(labels["label_variance"] == "+") & (labels["label_variance_raw"] == "-")]
    every = [t for t, n in flipped["technique"].value_counts().items() if n == labels["metric"].nunique()]
    sentences = (
        f"A lower mean alone makes values/mean spread more. Labels +: {before} as published, {after} on raw values; "
        f"{tested} without those against a baseline that never changes.",
        f"Lower bias at the cost of a higher bias variance: {count(costs['published'], 'case')} as published, "
        f"{costs['raw']} on raw values.",
        f"From + to − on all metrics: {join_items(every)}.",
    )
    method = "Labels counted over the metrics, where the counts differ. Levene about medians, α = 0.05, not corrected."
    frame = pd.DataFrame([row for row in rows if row["Published"] != row["Raw values"]])
    return Finding("Q24", "Variance of values divided by their mean", sentences, frame, method)


def _label_counts(technique: str, part: pd.DataFrame) -> dict[str, str]:
    def counts(column: str) -> str:
        return ", ".join(f"{display_label(sign)} {(part[column] == sign).sum()}" for sign in ("+", "-", "NS"))

    return {"Technique": technique, "Published": counts("label_variance"), "Raw values": counts("label_variance_raw")}


# Effects


def effects(review: Review) -> Finding:
    """Review what labels leave out: how large the differences are, and what "NS" can and cannot mean."""
    table, delta = review.table, f"{points_text(review.smallest_effect)}"
    counted = table.groupby(["label_mean", "verdict"]).size()
    rows = [
        {"Mean label": display_label(found)}
        | {verdict: str(int(counted.get((found, verdict), 0))) for verdict in JUDGED}
        for found in ("-", "+", "NS")
    ]
    significant = table[table["label_mean"].isin(("+", "-"))]
    small, agree = int((significant["verdict"] == "equivalent").sum()), int((table["agreement_mean"] == "yes").sum())
    against = table[((table["label_mean"] == "-") & (table["verdict"] == "less fair"))
                    | ((table["label_mean"] == "+") & (table["verdict"] == "fairer"))]  # fmt: skip
    sentences = (
        f"{small} of {len(significant)} significant mean labels stand on differences shown to be smaller than {delta} "
        f"(90 % interval within ±{delta}): significant, and too small to matter if {delta} is what matters.",
        f"Label and verdict say the same in {agree} of {len(table)} cases, the opposite in {len(against)}.",
        _power(review),
    )
    method = (
        f"Verdicts: each alone, 95 % Welch interval against ±{delta}, unadjusted; strict reading as far as it can be "
        "recomputed, by task."
    )
    return Finding("Effects", "Significant is not large", sentences, pd.DataFrame(rows), method)


def points_text(effect: float) -> str:
    """Format an effect in percentage points.

    >>> points_text(0.01), points_text(0.005)
    ('1 point', '0.5 points')
    """
    return f"{100 * effect:g} point{'' if np.isclose(effect, 0.01) else 's'}"


def _power(review: Review) -> str:
    """Return a sentence on the power of the variance tests, and so on what NS can show."""
    labels, n = review.labels, len(next(iter(review.performance.values())))
    quiet, family = int((labels["label_variance"] == "NS").sum()), int(review.table["family_size"].max())
    single, corrected = (
        power_variance(n, n, alpha, SD_RATIO, rng=np.random.default_rng([POWER_SEED, n]))
        for alpha in (review.alpha, review.alpha / family)
    )
    return (
        f"{quiet} of {len(labels)} variance labels are NS. With {runs_of(review)} each, an SD {SD_RATIO:g} times as "
        f"large is found with probability {probability(single)}, and {probability(corrected)} at the corrected α of "
        f"the largest family ({family} tests): NS does not show that the variance is unchanged."
    )


# All


REGISTER: dict[str, Callable[[Review], Finding]] = {
    "Q4": forced_zeros,
    "Q5": unpredicted_classes,
    "Q6": misaligned_classes,
    "Q7": accuracy_variance,
    "Q12": other_composition,
    "Q13": chosen_side,
    "Q18": metric_weights,
    "Q20": constant_baseline,
    "Q23": counted_techniques,
    "Q24": relative_variance,
    "effects": effects,
}
NOT_RECOMPUTED = (
    "EOTP forced to zero (Q4): no other published metric holds the lost gap.",
    "BA against the own composition (Q12), and evaluation sets that differ between techniques (Q10): that takes the "
    "predictions.",
    "Runs of S that started from different weights (Q1): their spread is that of seeds rather than of FIT runs, and no "
    "value tells how much of it.",
    "Accuracy of C and I on selected-on validation data (Q11), and N-Base predicting in training mode (Q9).",
    "Anything over seeds: one seed is a sample of one. Every verdict here holds at that seed, on that evaluation set.",
)


def findings(review: Review, *quirks: str) -> list[Finding]:
    """Return the findings on some entries of the register, or on all."""
    return [REGISTER[quirk](review) for quirk in quirks or REGISTER]


def claims(review: Review) -> pd.DataFrame:
    """Compare the study's headline numbers with the recomputed ones: a table of text."""
    labels = review.labels
    ranges = {(t, m): float(np.ptp(x)) for t, metrics in review.overall.items() for m, x in metrics.items()}
    (widest_t, widest_m), widest = max(ranges.items(), key=lambda item: item[1])
    plus = labels[labels["label_variance"] == "+"]
    rows = [
        ("Technique × metric comparisons", "154", str(len(labels))),
        ("Largest overall MaxDiff", "A-L2 on DP, 12.6 %", f"{widest_t} on {widest_m}, {100 * widest:.1f} %"),
        ("Overall MaxDiff of S-GR on DI", "11.8 %", f"{100 * ranges['S-GR', 'DI']:.1f} %"),
        ("Variance labels +", "53 of 154", f"{len(plus)} of {len(labels)}"),
        (
            "Techniques with a variance label +",
            "15 of 22",
            f"{plus['technique'].nunique()} of {labels['technique'].nunique()}",
        ),
    ]
    frame = pd.DataFrame(rows, columns=["Claim", "Study", "Recomputed"])
    return frame.assign(Same=["yes" if study == made else "no" for _, study, made in rows])


def claims_summary(claims: pd.DataFrame) -> str:
    """Return a sentence on how many of `claims` come out the same, and which do not."""
    same = claims["Same"] == "yes"
    others = f"; not so: {join_items(claims.loc[~same, 'Claim'], 9)}" if not same.all() else ""
    return f"{same.sum()} of {len(claims)} headline claims come out the same{others}."


def caption(review: Review, method: str = NO_TEST_MADE, note: str = "") -> str:
    """Return a caption: n, what varied, what was fixed, and `method`; ``note``: that numbers are simulated."""
    varied = (
        "a random draw" if note else "what hardware and software did by themselves (in S also the initial weights, Q1)"
    )
    return f"{note} n = {runs_of(review)} per technique. Varied: {varied}. Fixed: one seed. {method}".strip()


# Views


def labels_and_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Return technique × metric as text: the published mean label and fitlib's verdict in every cell."""
    space = "\N{NO-BREAK SPACE}"
    cells = table["label_mean"].map(display_label) + f"{space}·{space}" + table["verdict"].str.replace(" ", space)
    wide = cells.groupby([table["technique"], table["metric"]], sort=False).first().unstack("metric")
    order = [table["technique"].unique(), table["metric"].unique()]
    return wide.loc[order[0], order[1]].rename_axis(index=None, columns=None).reset_index(names="Technique")


def costs_view(costs: pd.DataFrame) -> pd.DataFrame:
    """Count how often lower bias came with each cost, with any and with none, by way of judging variances."""
    names = {"cost_accuracy": "lower accuracy", "cost_accuracy_variance": "accuracy varies more",
             "cost_bias_variance": "bias varies more", "any": "any of them"}  # fmt: skip
    rows = []
    for judged, part in costs.groupby("judged", sort=False):
        fell = int(part["bias_decrease"].sum())
        counted = {name: str(int(part[column].sum())) for column, name in names.items()}
        row = {"Variances": {"published": "as published"}.get(judged, judged), "Bias fell": str(fell), **counted}
        rows.append(row | {"none": str(fell - int(part["any"].sum()))})
    return pd.DataFrame(rows)


def overlap_summary(overlap: pd.DataFrame) -> str:
    """Return a sentence on how often the ranges of technique and baseline overlap, so that single runs mislead."""
    rows, bad = int(overlap["overlap"].sum()), int(overlap["overlap_bad"].sum())
    return (
        f"In {rows} of {len(overlap)} comparisons the ranges of the runs overlap: one run of each could show either as "
        f"the fairer one. In {bad} of them bias rose."
    )
