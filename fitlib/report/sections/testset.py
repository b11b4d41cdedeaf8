"""Section "How much of this is the test set?": chance on a finite test set, components of the spread, selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.metrics.testset import COMPONENT_METRICS
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, overall_counts
from fitlib.report.figures import testset
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable

KEYS = ["technique", "arm", "attribute"]
ALPHA = 0.05  # of the comparison with chance, one value at a time
ROUNDING = 1e-12  # a spread below is that of rounding: the value is constant
NO_TABLE = "What the test set contributes is not known: the metrics of these techniques were made without it."
QUESTION = (
    "A distance between groups is above zero by chance alone, and another test set would give another value. What do "
    "these values look like beside chance, and how much of the spread is the training, how much the test set?"
)
RATE_NAMES = {"DP": "share predicted as the class", "EOFP": "false positive rate", "EOTP": "true positive rate"}


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: overall values beside chance, components of the largest spreads, selection, direction."""
    summary, components, selection = (frames[name] for name in ("summary", "components", "selection"))
    if summary["expectation"].isna().all() and components.empty:
        show_text(NO_TABLE)
        return
    show_text(QUESTION)
    show_text([*chance_sentences(summary), denominator_sentence(summary, plan)])
    page.show(CHANCE, summary)
    show_text([*component_sentences(components, plan)])
    _components(page, components, plan)
    page.show(COMPONENTS, components)
    show_text([direction_sentence(summary, plan), *selection_sentences(selection)])


def _components(page: Page, components: pd.DataFrame, plan: Mapping) -> None:
    for attribute in plan["groups"]:
        rows = spread_rows(components, attribute)
        if len(rows):
            figure, alt = testset.components_figure(rows, plan), testset.alt_components(rows, plan)
            page.figure("components", attribute, figure, alt, COMPONENTS.caption(plan, rows))


def spread_rows(components: pd.DataFrame, attribute: str) -> pd.DataFrame:
    """Return the rows that the figure shows: the largest spread of each technique, where there is one."""
    widest = testset.widest(components)
    return widest[(widest["attribute"] == attribute) & (widest["sd_between_runs"] >= ROUNDING)]


# Sentences: chance


def chance_sentences(summary: pd.DataFrame) -> list[str]:
    """Return which overall values exceed what chance alone gives on this test set; without p, beside its expectation.

    Chance exceeds its own expectation often, so that a value above it alone shows nothing.
    """
    rows = words.overall_rows(summary).dropna(subset=["mean", "expectation"])
    rows = rows[rows["expectation"] > 0]
    if rows.empty:
        return ["What chance alone gives is not known here: no overall value has an expectation above 0."]
    about = (
        "What chance alone gives, without any disparity, is found by permuting the protected attribute in the test set."
    )
    tested, others = rows[rows["chance_p"].notna()], rows[rows["chance_p"].isna()]
    texts = [_beyond_chance(tested, summary)] if len(tested) else []
    return [about, *texts, *([_beside_expectation(others, summary)] if len(others) else [])]


def _beyond_chance(rows: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return how many values exceed chance at p ≤ .05, and name the others."""
    within = rows[rows["chance_p"] > ALPHA]
    beyond = len(rows) - len(within)
    text = (
        f"{beyond} of {fmt.count(len(rows), 'overall value')} {'exceeds' if beyond == 1 else 'exceed'} it (median p of "
        f"the runs ≤ {ALPHA:g}, uncorrected)"
    )
    named = fmt.join_items(
        f"{_named(row, summary)}, p = {fmt.probability(row['chance_p'])})" for _, row in within.iterrows()
    )
    return f"{text}; not shown to: {named}." if len(within) else f"{text}."


def _beside_expectation(rows: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return which values without p are no larger than the expectation; else the closest."""
    ratio = rows["mean"] / rows["expectation"]
    within, untested = rows[ratio <= 1], f"{fmt.count(len(rows), 'overall value')} without p"
    if within.empty:
        closest = _named(rows.loc[ratio.idxmin()], summary)
        return (
            f"Of {untested} none is as small as the expectation of chance, closest {closest}); chance exceeds its own "
            "expectation often, so this does not show a disparity."
        )
    named = fmt.join_items(f"{_named(row, summary)})" for _, row in within.iterrows())
    is_ = "is" if len(within) == 1 else "are"
    return f"Of {untested} {len(within)} {is_} no larger than the expectation of chance: {named}."


def _named(row: pd.Series, frame: pd.DataFrame) -> str:
    """Return a value beside the expectation, in a bracket that is left open."""
    values = f"{fmt.points(row['mean'])} points, expectation {fmt.points(row['expectation'])}"
    return f"{row['metric']} of {words.technique_label(frame, row)} ({values}"


def denominator_sentence(summary: pd.DataFrame, plan: Mapping) -> str:
    """Return how many classes have a denominator below the declared `min_group`, and where the smallest is."""
    limit = int(plan["analysis"].get("min_group", 0))
    rows = words.bias_rows(summary)
    rows = rows[(rows["target"] != "overall") & rows["smallest_denominator"].notna()]
    few = rows[rows["smallest_denominator"] < limit]
    if rows.empty:
        return ""
    if few.empty:
        return f"No denominator lies below the declared {limit}; the smallest is {rows['smallest_denominator'].min()}."
    row = few.loc[few["smallest_denominator"].astype(int).idxmin()]
    return (
        f"{len(few)} of {fmt.count(len(rows), 'value')} of a class {'rests' if len(few) == 1 else 'rest'} on a "
        f"denominator below the declared {limit} (noted in the "
        f"table's file); the smallest is {row['smallest_denominator']}: {row['metric']} of {row['technique']}"
        f"{words.arm_and_attribute_suffix(summary, row)}, class {words.class_name(plan, row['target'])}."
    )


# Sentences: components


def component_sentences(components: pd.DataFrame, plan: Mapping) -> list[str]:
    """Compare the largest spread between runs with that of another test set, and with independent flips."""
    rows = components.dropna(subset=["sd_between_runs"])
    if rows.empty:
        return ["Components of the spread are not estimable: no signed difference is defined in two runs or more."]
    row = rows.loc[rows["sd_between_runs"].idxmax()]
    if row["sd_between_runs"] < ROUNDING:
        return ["No signed difference changed between runs: the spread has no components."]
    where = (
        f"{row['metric']} of {words.technique_label(components, row)}, class {words.class_name(plan, row['target'])}"
    )
    first = (
        f"The signed difference that spreads most is {where}: SD {fmt.points(row['sd_between_runs'])} points over "
        f"{int(row['n'])} runs on this test set. {_of_another_test_set(row)}"
    )
    return [first, _of_flips(row)]


def _of_another_test_set(row: pd.Series) -> str:
    if fmt.is_missing(row["variance_test_set"]):
        return "The components are not estimable."
    run, test = _component(row, "run"), _component(row, "test_set")
    return f"Of the run, whatever the test set: {run}; of the draw of the test set: {test}."


def _component(row: pd.Series, name: str) -> str:
    if fmt.is_missing(row[f"variance_{name}"]):
        return fmt.NOT_ESTIMABLE
    return "none found (estimated ≤ 0)" if row[f"variance_{name}"] <= 0 else f"SD {_sd(row, name)} points"


def _of_flips(row: pd.Series) -> str:
    floor, spread = row["floor_sd"], row["sd_between_runs"]
    if fmt.is_missing(floor):
        return ""
    given = (
        "If its predictions flipped between runs independently of each other, that alone would give SD "
        f"{fmt.points(floor)} points"
    )
    if floor > spread:
        return f"{given}, more than was found: nothing beyond such flips is seen."
    share = fmt.decimals(floor**2 / spread**2)
    return f"{given} ({share} of the variance found): with as many flips, only a larger test set lowers it."


def _sd(row: pd.Series, name: str) -> str:
    """Return an SD in points; "≤ 0" where the variance was estimated as negative."""
    variance = row[f"variance_{name}"]
    if fmt.is_missing(variance):
        return fmt.NOT_ESTIMABLE
    return "≤ 0" if variance < 0 else fmt.points(row[f"sd_{name}"])


# Sentences: direction and selection


def direction_sentence(summary: pd.DataFrame, plan: Mapping) -> str:
    """Return in how many classes the group with the lower rate changed between runs, with the most frequent change."""
    rows = summary[summary["metric"].isin(COMPONENT_METRICS) & (summary["target"] != "overall")]
    rows = rows[(rows["lower_group"] != "") & (rows["n"] > 1)]
    if rows.empty:
        return ""
    changed = rows[rows["lower_group_changes"] > 0]
    signed = (
        f"{fmt.count(len(rows), 'signed difference')} ({fmt.join_items(COMPONENT_METRICS)}, by technique and class)"
    )
    if changed.empty:
        return f"In {signed} the same group had the lowest rate in all runs."
    row = changed.loc[changed["lower_group_changes"].astype(int).idxmax()]
    return (
        f"In {len(changed)} of {signed} the group with the lowest rate was not the same in all runs; most often in "
        f"{row['metric']} of {words.technique_label(summary, row)}, class "
        f"{words.class_name(plan, row['target'])}: {row['lower_group']} has the lowest {RATE_NAMES[row['metric']]} on "
        f"average, another group in {int(row['lower_group_changes'])} of {int(row['n'])} runs."
    )


def selection_sentences(selection: pd.DataFrame) -> list[str]:
    """Return what the fairest of n runs would have looked like on test data that did not choose it."""
    rows = selection.dropna(subset=["regression"])
    if rows.empty:
        return [
            "What becomes of the fairest run is not estimable: no metric is defined on both halves of the test set in "
            "two runs or more."
        ]
    row = rows.loc[rows["regression"].idxmax()]
    if rows["regression"].abs().max() < ROUNDING:
        return ["No run was fairer than the others on either half of the test set, so there was none to choose."]
    if row["regression"] < ROUNDING:
        return ["The fairest run of one half of the test set was as fair on the other half, on every metric."]
    named = f"{row['metric']} of {words.technique_label(selection, row)}"
    pairs = words.combinations(len(rows), selection, "technique", "metric")
    kept = int((rows["selected_off"] < rows["mean"] - ROUNDING).sum())
    return [
        f"The fairest of {int(row['n'])} runs regresses, most for {named}: chosen on half of the test set it has "
        f"{fmt.points(row['selected_on'])} points there, {fmt.points(row['selected_off'])} on the other half, where "
        f"all runs have {fmt.points(row['mean'])} on average (means over random halves).",
        f"On the half that did not choose it, the fairest run lay below the mean of all runs in {kept} of "
        f"{pairs} (tables/selection.csv). Whoever picks a run must report it on other data.",
    ]


# Tables for readers


def chance_view(summary: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return overall values beside what chance alone gives, one row per technique, arm and attribute."""
    rows = words.overall_rows(summary)
    view = []
    for _, group in rows.groupby(KEYS, sort=False):
        found = {row["metric"]: _found_and_expected(row) for _, row in group.iterrows()}
        first = group.iloc[0]
        name = {"Technique": words.technique_label(summary, first)}
        view.append(name | {metric: found.get(metric, fmt.NOT_ESTIMABLE) for metric in BIAS_METRICS})
    return pd.DataFrame(view)


def _found_and_expected(row: pd.Series) -> str:
    if fmt.is_missing(row["mean"]):
        return fmt.NOT_ESTIMABLE
    chance = ("–" if fmt.is_missing(row[name]) else fmt.points(row[name]) for name in ("expectation", "chance_95"))
    return " / ".join([fmt.points(row["mean"]), *chance])


def components_view(components: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the components of the largest spread between runs of each technique, arm and attribute."""
    widest = testset.widest(components)
    return pd.DataFrame([_component_row(row, components, plan) for _, row in widest.iterrows()])


def _component_row(row: pd.Series, frame: pd.DataFrame, plan: Mapping) -> dict[str, str]:
    spread = row["sd_between_runs"]
    constant = spread < ROUNDING
    return {
        "Technique": words.technique_label(frame, row),
        "Metric": row["metric"],
        "Class": words.class_name(plan, row["target"]),
        "Between runs": f"constant in all {int(row['n'])} runs" if constant else fmt.points(spread),
        "Run": "–" if constant else _sd(row, "run"),
        "Test set": _sd(row, "test_set"),
        "Run × test set": "–" if constant else _sd(row, "interaction"),
        "Floor": "–" if constant or fmt.is_missing(row["floor_sd"]) else fmt.points(row["floor_sd"]),
    }


CHANCE = ReaderTable(
    "Beside chance",
    Caption(
        "In points: mean over runs / expectation without disparity / 95 % quantile of one run without disparity "
        "(protected attribute permuted among test units, within the true class for FPSF, EOFP, EOTP and BA). No "
        "interval; p in tables/summary.csv.",
        sizes=overall_counts,
    ),
    chance_view,
    table_files.SUMMARY,
)
COMPONENTS = ReaderTable(
    "Run and test set",
    Caption(
        f"SDs in points of the signed difference, of the class and metric ({fmt.join_items(COMPONENT_METRICS)}) "
        "with the largest spread between runs. Run: covariance over runs on disjoint random halves of the test units; "
        "test set: sampling of the test units; "
        "floor: independent flips of single predictions. ≤ 0: estimated as negative. "
        "No interval, no test."
    ),
    components_view,
    table_files.COMPONENTS,
)
