"""Section "How to report": a paragraph to copy, filled with the experiment's own numbers.

`TEMPLATE` is the same paragraph with its blanks in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import vocabulary as words
from fitlib.report.notebook_display import Page, heading, show_text
from fitlib.report.sections.costs import first_metric
from fitlib.statistics.run_identity import SEEN_FROM_OUTSIDE, all_recorded, check_fit
from fitlib.statistics.verdict_names import RUNS, TOO_FEW
from fitlib.tables.metric_series import main_arms

SETTING = (
    "{technique} was compared with {baseline} on {metric} ({metric name}; overall value, {reading} reading) over "
    "{n technique} and {n baseline} {runs}. Noise: {noise}. Everything below holds at {seed}, on this test set "
    "({data}); device: {device}."
)
SPREAD = (
    "{technique}: mean {mean technique} points {mean interval technique}, standard deviation (SD) {sd technique} "
    "{sd interval technique}, MaxDiff {maxdiff technique} (n = {n technique}); {baseline}: mean {mean baseline} "
    "{mean interval baseline}, SD {sd baseline} {sd interval baseline}, MaxDiff {maxdiff baseline} (n = {n baseline}) "
    "(95 % intervals: Student's t for means, Bonett's for SDs; MaxDiff grows with n)."
)
DIFFERENCE = (
    "The difference of means, technique − baseline, was {difference} points {difference interval} (95 % interval, "
    "{difference method}; over {classes}), {simultaneous interval} together with {others} ({family}); against a "
    "smallest effect of {smallest effect} ({declared}) the verdict is {verdict} at {seed}, on this test set "
    "(unadjusted: {verdict alone})."
)
NO_VERDICT = (
    "The difference of means, technique − baseline, was {difference} points {difference interval} (95 % interval, "
    "{difference method}; over {classes}); fewer than {fewest} runs of a technique are too few for a verdict."
)
TEST = (
    "Exact rank test of the distributions: p = {p}, {p holm} after Holm's correction over {family size} tests; "
    "smallest attainable p before correction: {smallest p}; its power for a shift by {smallest effect} at the "
    "corrected α of {corrected alpha}: {power}. Studentised permutation test of the means: p = {p means}."
)
VARIANCE = (
    "Spread (Brown-Forsythe on raw values): p = {p variance}, {p variance holm} after Holm's correction over {variance "
    "family size} tests; power for an SD 1.5 times as large: {power variance}."
)
REVERSAL = (
    "One new run of {technique} and one of {baseline}, trained again {with the same seed}, would point the other way "
    "with probability {reversal} {reversal interval}."
)
SHORT = (
    "{technique} was compared with {baseline} on {metric} ({metric name}) over {n technique} and {n baseline} runs at "
    "{seed}; noise: {noise}. On this test set ({data}), the difference of means was {difference} points; "
    "{simultaneous interval} together with {others}. Against a smallest effect of {smallest effect} ({declared}), the "
    "verdict is {verdict}."
)
SCOPE = "Whether the difference holds over seeds, on other test data or on other hardware is not shown by these runs."
SCOPE_OF_RANDOM_STATES = (
    "Whether the difference holds with other training data, on other test data or on other hardware is not shown by "
    "these runs."
)
SENTENCES = (SETTING, SPREAD, DIFFERENCE, TEST, VARIANCE, REVERSAL, SCOPE)
BLANK = re.compile(r"\{([^}]+)\}")
TEMPLATE = BLANK.sub(r"[\1]", " ".join(SENTENCES))
"""The paragraph with its blanks in brackets, for documentation."""

SINGLE = (
    "{technique} was trained in {n technique} {runs}. Noise: {noise}. At {seed}, on this test set ({data}), its "
    "{metric} ({metric name}; overall value, {reading} reading) had mean {mean technique} points {mean interval "
    "technique}, standard deviation (SD) {sd technique} {sd interval technique} and MaxDiff {maxdiff technique} (95 % "
    "intervals: Student's t, Bonett's; MaxDiff grows with n); device: {device}. Nothing was compared."
)
NO_RUNS = "There is nothing to report: no run has metrics."
RUNS_BY_FIT = {
    "yes": "fixed-seed identical training (FIT) runs, shown by their digests to differ in nothing but the noise",
    "no": "runs that are not FIT: their records show that they were not identical",
    "unknown": "runs, with no record of whether they were identical",
}
RUNS_SEEN_FROM_OUTSIDE = f"fixed-seed identical training (FIT) runs as far as can be told ({SEEN_FROM_OUTSIDE})"
MOST_PACKAGES = 6
COMPUTING = (
    "torch", "torchvision", "lightning", "pytorch-lightning", "tensorflow", "jax", "numpy", "scipy", "pandas",
    "scikit-learn", "xgboost", "lightgbm", "catboost", "transformers",
)  # fmt: skip
Values = dict[str, str]


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the short paragraph where there is a verdict, and the one with all procedures."""
    short = in_short(frames, plan, evidence)
    show_text(short)
    if short:
        heading("With spread, tests and procedures", folded=True)
    show_text([how_to_report(frames, plan, evidence)], paragraphs=True)


def in_short(frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> str:
    """Return the comparison of `how_to_report` with its verdict alone; "" without a verdict."""
    row = _chosen(frames["comparisons"])
    if row is None or fmt.is_missing(row["difference_low"]) or row["verdict"] in ("", TOO_FEW):
        return ""
    arm = next(arm for arm in main_arms(plan) if arm["arm"] == row["arm"])
    values = _setting(row, arm, plan, evidence) | _of_both(row, frames["summary"]) | _difference(row, plan)
    return f"{_filled(SHORT, values)} {_over_seeds(frames, row, arm)}"


def how_to_report(frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> str:
    """Return the paragraph on the first technique's comparison on DI, or else on the first distinct metric.

    ``frames`` holds "comparisons" and "summary", and "over_seeds" where there is one. Without a comparison: on the
    first technique alone. What is not estimable or was not tested is said so; a verdict always carries its seed.
    """
    row = _chosen(frames["comparisons"])
    if row is None:
        return _alone(frames["summary"], plan, evidence)
    arm = next(arm for arm in main_arms(plan) if arm["arm"] == row["arm"])
    values = _setting(row, arm, plan, evidence) | _of_both(row, frames["summary"])
    texts = [SETTING, SPREAD]
    if fmt.is_missing(row["difference_low"]):
        texts.append(f"No test and no verdict: {_why(row)}.")
        return " ".join([*(_filled(text, values) for text in texts), _scope(arm)])
    values |= _difference(row, plan)
    difference = NO_VERDICT if row["verdict"] == TOO_FEW else DIFFERENCE
    texts += [difference, *_tests(row, values), *_reversal(row, values)]
    return " ".join([*(_filled(text, values) for text in texts), _over_seeds(frames, row, arm)])


def _chosen(comparisons: pd.DataFrame) -> pd.Series | None:
    """Return the first row on the metric of interest; an estimable comparison before one that is not."""
    rows = comparisons[comparisons["metric"] == first_metric(comparisons)] if len(comparisons) else comparisons
    known = rows.dropna(subset=["difference_low"])
    rows = known if len(known) else rows
    return rows.iloc[0] if len(rows) else None


def _filled(text: str, values: Values) -> str:
    return " ".join(BLANK.sub(lambda blank: values[blank[1]], text).split()).replace(" ,", ",")


# Parts of the paragraph


def _setting(row: Mapping, arm: Mapping, plan: Mapping, evidence: Sequence[Mapping]) -> Values:
    trainings = {t["technique"]: t["training"] for t in plan["techniques"]}
    named = [trainings[row[role]] for role in ("technique", "baseline") if role in row]
    by = f" by {row['attribute']}" if len(plan["groups"]) > 1 else ""
    recorded = all_recorded(e for e in evidence if e["training"] in named and e["status"] == "done")
    return {
        "technique": str(row["technique"]),
        "baseline": str(row.get("baseline", "")),
        "metric": f"{row['metric']}{by}",
        "metric name": words.METRIC_NAMES.get(row["metric"], words.CUSTOM),
        "reading": str(row["reading"]),
        "runs": _runs(row["fit"], arm, recorded),
        "noise": _noise(arm),
        "seed": _seed(arm),
        "data": words.data_name(plan) or "not named",
        "with the same seed": words.retraining_conditions(plan),
        "device": _device(evidence, named, arm["arm"]),
    }


def _runs(fit: str, arm: Mapping, recorded: bool) -> str:
    """Return what is known of the identity of the runs."""
    if fit == "yes" and arm["kind"] == words.VARIED:
        return f"runs that differ, as far as can be told, only in {words.varied(arm)}"
    return RUNS_SEEN_FROM_OUTSIDE if fit == "yes" and not recorded else RUNS_BY_FIT[fit]


def _noise(arm: Mapping) -> str:
    if arm["kind"] == "unknown":
        return "not recorded"
    if arm["kind"] == words.VARIED:
        return words.varied(arm)
    kind = {"emulated": "emulated: it claims nothing about a given GPU", "real": "real"}.get(arm["kind"], arm["kind"])
    return f"{arm['noise']} ({kind})"


def _seed(arm: Mapping) -> str:
    known = words.seed(arm)
    if arm["noise"] == words.RANDOM_STATE:
        return "varying random states"
    return "one seed (not recorded)" if known == "not recorded" else f"seed {known}"


def _device(evidence: Sequence[Mapping], trainings: Sequence[str], arm: str) -> str:
    """Return the machine that the runs recorded; several where they differ."""
    parts = [e["parts"] for e in evidence if e["training"] in trainings and e["arm"] == arm and e.get("parts")]
    found = dict.fromkeys(_machine(p) for p in parts)
    return fmt.join_items((name for name in found if name), 3) if any(found) else "not recorded"


def _machine(parts: Mapping[str, str]) -> str:
    gpu = str(parts.get("gpu", "none"))
    known = [parts.get("machine", ""), "" if gpu == "none" else gpu, _packages(str(parts.get("packages", "")))]
    return ", ".join(str(part) for part in known if part)


def _packages(text: str) -> str:
    """Return name and version of each package, as recorded; of many those that compute."""
    packages = text.split(", ")
    chosen = [package for package in packages if package.partition(" ")[0] in COMPUTING]
    return ", ".join(chosen) if len(packages) > MOST_PACKAGES else text


def _of_both(row: Mapping, summary: pd.DataFrame) -> Values:
    values: Values = {}
    for role in ("technique", "baseline"):
        values |= _moments(row, row[role], role, summary)
    return values


def _moments(row: Mapping, name: str, role: str, summary: pd.DataFrame) -> Values:
    """Return mean, SD and MaxDiff of one technique, with their intervals."""
    at = {"technique": name, "arm": row["arm"], "attribute": row["attribute"], "metric": row["metric"]}
    found = words.overall_rows(summary)
    for column, value in at.items():
        found = found[found[column] == value]
    s = found.iloc[0] if len(found) else pd.Series(dtype=object)
    n = 0 if fmt.is_missing(s.get("n")) else int(s["n"])
    constant = n > 1 and s["maxdiff"] == 0
    shown = {
        "n": str(n),
        "mean": fmt.points(s.get("mean")),
        "mean interval": f"(constant in all {n} runs)" if constant else _interval(s, "mean"),
        "sd": "none" if constant else fmt.points(s.get("sd")),
        "sd interval": "" if constant else _interval(s, "sd"),
        "maxdiff": "0" if constant else fmt.points(s.get("maxdiff")) if n > 1 else fmt.NOT_ESTIMABLE,
    }
    return {f"{what} {role}": text for what, text in shown.items()}


def _interval(row: Mapping, name: str, scale: float = 100.0) -> str:
    low, high = (row.get(f"{name}_{end}", float("nan")) for end in ("low", "high"))
    return words.interval(low, high, scale)


def _difference(row: Mapping, plan: Mapping) -> Values:
    before, changed = plan.get("declared_before_first_run"), words.changed_later(plan, "smallest_effect")
    classes = row["n_classes"]
    over = "all rows" if fmt.is_missing(classes) else fmt.count(int(classes), "class", "classes")
    left_out = f", without {row['dropped_classes']}, which some run leaves undefined" if row["dropped_classes"] else ""
    return {
        "difference": fmt.points(row["difference"], signed=True),
        "difference interval": _interval(row, "difference"),
        "difference method": "paired by run" if row["design"] == "paired by run" else "Welch",
        "smallest effect": words.smallest_effect_text(plan, row["metric"]),
        "classes": f"{over}{left_out}",
        "declared": "declared before the first run" if before and not changed else "not declared beforehand",
        "verdict": f"“{row['verdict']}”",
        "verdict alone": f"“{row['verdict_unadjusted']}”",
        "simultaneous interval": _interval(row, "simultaneous"),
        "others": _others(row),
        "fewest": str(RUNS),
        "family": "the primary metric" if row["primary"] == "yes" else "all distinct metrics",
    }


def _others(row: Mapping) -> str:
    """Return the number of other verdicts that hold together with this one."""
    number = row["verdicts_together"]
    return "no other" if fmt.is_missing(number) or number < 2 else fmt.count(int(number) - 1, "other verdict")


def _tests(row: Mapping, values: Values) -> list[str]:
    """Return the sentences of the two tests, each only where it was made, and fill in their values."""
    texts = []
    alpha, size = float(row["alpha"]), row["family_size"]
    if fmt.is_missing(row["p_mean"]) or fmt.is_missing(size):
        texts.append("No test of the means was made.")
    else:
        values |= {
            "p": fmt.probability(row["p_mean"]), "p holm": fmt.probability(row["p_mean_holm"]),
            "family size": str(int(size)), "smallest p": fmt.probability(row["p_mean_smallest"]),
            "p means": fmt.probability(row["p_mean_studentised"]),
            "power": _power(row["power_mean"]), "corrected alpha": fmt.probability(alpha / int(size)),
        }  # fmt: skip
        above = "No test possible at this n: the smallest attainable p exceeds α. "
        texts.append((above if row["p_mean_smallest"] > alpha else "") + TEST)
    if not (fmt.is_missing(row["p_variance_raw"]) or fmt.is_missing(row["p_variance_raw_holm"])):
        values |= {
            "p variance": fmt.probability(row["p_variance_raw"]),
            "p variance holm": fmt.probability(row["p_variance_raw_holm"]),
            "variance family size": str(int(row["family_size_variance"])),
            "power variance": _power(row["power_variance"]),
        }
        texts.append(VARIANCE)
    return texts


def _power(value: float) -> str:
    return fmt.NOT_ESTIMABLE if fmt.is_missing(value) else fmt.power(value)


def _reversal(row: Mapping, values: Values) -> list[str]:
    if fmt.is_missing(row["reversal"]):
        note = row["reversal_note"]
        return [f"P(verdict reversal): {note}."] if note else []
    values |= {"reversal": fmt.probability(row["reversal"]), "reversal interval": _interval(row, "reversal", 1)}
    return [REVERSAL]


def _why(row: Mapping) -> str:
    return "the runs are not FIT" if row["fit"] == "no" else row["note"] or "the difference is not estimable"


def _scope(arm: Mapping) -> str:
    """Return what the runs of an arm cannot show; with a random state for each run they do show other seeds."""
    return SCOPE_OF_RANDOM_STATES if words.seeded_by_run(arm) else SCOPE


def _over_seeds(frames: Mapping[str, pd.DataFrame], row: Mapping, arm: Mapping) -> str:
    """Return the verdict over seeds with its scope where several were tried, else what one seed cannot show."""
    table = frames.get("over_seeds")
    if table is None or table.empty:
        return _scope(arm)
    keys = ("technique", "baseline", "attribute", "metric")
    rows = table[(table[list(keys)] == [row[key] for key in keys]).all(axis=1)]
    if rows.empty or fmt.is_missing(rows.iloc[0]["low"]):
        return _scope(arm)
    over = rows.iloc[0]
    together = "" if fmt.is_missing(over["simultaneous_low"]) else f", {_interval(over, 'simultaneous')} together with "
    together += f"{_others(over)} over seeds" if together else ""
    return (
        f"{over['scope'][0].upper()}{over['scope'][1:]}: {fmt.points(over['difference'], signed=True)} points "
        f"{fmt.span(over['low'], over['high'])} (95 % interval, the seed a random factor){together}: the verdict is "
        f"“{over['verdict']}” (unadjusted: “{over['verdict_unadjusted']}”)."
    )


def _alone(summary: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping]) -> str:
    rows = words.overall_rows(summary).dropna(subset=["mean"])
    rows = rows[rows["technique"] == rows["technique"].iloc[0]] if len(rows) else rows
    if rows.empty:
        return NO_RUNS
    di = rows[rows["metric"] == "DI"]
    row = (di if len(di) else rows).iloc[0]
    arm = next(arm for arm in main_arms(plan) if arm["arm"] == row["arm"])
    training = next(t["training"] for t in plan["techniques"] if t["technique"] == row["technique"])
    fit = {True: "yes", False: "no", None: "unknown"}[check_fit(evidence, training, arm["arm"]).fit]
    known = {**row.to_dict(), "fit": fit}
    values = _setting(known, arm, plan, evidence) | _moments(row, row["technique"], "technique", summary)
    return _filled(SINGLE, values)
