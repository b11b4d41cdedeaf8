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
    widest = testset.widest(components)
    for attribute in plan["groups"]:
        rows = widest[(widest["attribute"] == attribute) & (widest["sd_between_runs"] >= ROUNDING)]
        if len(rows):
            figure, alt = testset.components_figure(rows, plan), testset.alt_components(rows, plan)
            page.figure("components", attribute, figure, alt, COMPONENTS.caption(plan, rows))


# Sentences: chance


def chance_sentences(summary: pd.DataFrame) -> list[str]:
    """Return which overall values are no larger than chance alone gives on this test set; else the closest one."""
    rows = words.overall_rows(summary).dropna(subset=["mean", "expectation"])
    rows = rows[rows["expectation"] > 0]
    if rows.empty:
        return ["What chance alone gives is not estimable here: no overall value is defined."]
    ratio = rows["mean"] / rows["expectation"]
    within = rows[ratio <= 1]
    about = (
        "What chance alone gives, the expectation without any disparity, is found by permuting the protected attribute "
        "in the test set."
    )
    if within.empty:
        row = rows.loc[ratio.idxmin()]
        closest = f"{row['metric']} of {words.technique_label(summary, row)}"
        return [about, f"Every overall value lies above it; closest comes {closest}: {_against(row)}."]
    named = fmt.join_items(_named(row, summary) for _, row in within.iterrows())
    n = f"{len(within)} of {fmt.count(len(rows), 'overall value')}"
    return [about, f"{n} {'is' if len(within) == 1 else 'are'} no larger than chance alone gives: {named}."]


def _named(row: pd.Series, frame: pd.DataFrame) -> str:
    return f"{row['metric']} of {words.technique_label(frame, row)} ({_against(row)})"


def _against(row: pd.Series) -> str:
    return f"{fmt.points(row['mean'])} points against {fmt.points(row['expectation'])}"


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
        f"{len(few)} of {len(rows)} values of a class rest on a denominator below the declared {limit} (noted in the "
        f"table's file); the smallest is {row['smallest_denominator']}: {row['metric']} of {row['technique']}"
        f"{words.arm_and_attribute_suffix(summary, row)}, class {words.class_name(plan, row['target'])}."
    )


# Sentences: components


def component_sentences(components: pd.DataFrame, plan: Mapping) -> list[str]:
    """Compare the largest spread between runs with that of another test set, and with independent flips."""
    rows = components.dropna(subset=["sd_between_runs"])
    if rows.empty:
        return ["Components of the spread are not estimable: no technique has two runs or more."]
    row = rows.loc[rows["sd_between_runs"].idxmax()]
    if row["sd_between_runs"] < ROUNDING:
        return ["No signed difference changed between runs: the spread has no components."]
    where = (
        f"{row['metric']} of {words.technique_label(components, row)}, class {words.class_name(plan, row['target'])}"
    )
    first = (
        f"The signed difference that spreads most over {int(row['n'])} runs is {where}: SD "
        f"{fmt.points(row['sd_between_runs'])} points on this test set. {_of_another_test_set(row)}"
    )
    return [first, _of_flips(row)]


def _of_another_test_set(row: pd.Series) -> str:
    if fmt.is_missing(row["variance_test_set"]):
        return "The components are not estimable."
    run, test = _component(row, "run"), _component(row, "test_set")
    return f"Of the run, whatever the test set: {run}; of the draw of the test set: {test}."


def _component(row: pd.Series, name: str) -> str:
    return "none found (estimated ≤ 0)" if row[f"variance_{name}"] <= 0 else f"SD {_sd(row, name)} points"


def _of_flips(row: pd.Series) -> str:
    floor, spread = row["floor_sd"], row["sd_between_runs"]
    if fmt.is_missing(floor):
        return ""
    share = fmt.decimals(floor**2 / spread**2)
    return (
        f"If its predictions flipped between runs independently of each other, that alone would give SD "
        f"{fmt.points(floor)} points ({share} of the variance found): a floor that only a larger test set lowers."
    )


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
        return ["What becomes of the fairest run is not estimable: no technique has two runs or more."]
    row = rows.loc[rows["regression"].idxmax()]
    if row["regression"] < ROUNDING:
        return ["No run was fairer than the others on either half of the test set, so there was none to choose."]
    named = f"{row['metric']} of {words.technique_label(selection, row)}"
    kept = (rows["selected_off"] < rows["mean"]).sum()
    return [
        f"The fairest of {int(row['n'])} runs regresses, most for {named}: chosen on half of the test set it has "
        f"{fmt.points(row['selected_on'])} points there, {fmt.points(row['selected_off'])} on the other half, where "
        f"all runs have {fmt.points(row['mean'])} on average (means over random halves).",
        f"On the half that did not choose it, the fairest run lay below the mean of all runs in {kept} of "
        f"{fmt.count(len(rows), 'pair')} of technique and metric (tables/selection.csv). Whoever picks a run must "
        "report it on other data.",
    ]


# Tables for readers


def chance_view(summary: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return overall values and their expectation without disparity, one row per technique, arm and attribute."""
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
    expected = "–" if fmt.is_missing(row["expectation"]) else fmt.points(row["expectation"])
    return f"{fmt.points(row['mean'])} / {expected}"


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
        "In points: mean over runs / expectation without disparity (protected attribute permuted among test units, "
        "within the true class for FPSF, EOFP, EOTP and BA). No interval, no test.",
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
