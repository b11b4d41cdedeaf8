"""Section "What did it cost?": what lower bias came with, and who is on the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, caption, run_counts
from fitlib.report.figures import accuracy_bias_plane
from fitlib.report.figures.style import technique_colours
from fitlib.report.notebook_display import Page, heading, show_text
from fitlib.report.reader_tables import ReaderTable, sd_cell
from fitlib.tables.costs import COST_NAMES
from fitlib.tables.pareto import SHARE_RESAMPLES, plane_runs

COSTS = {
    "cost_accuracy": "lower accuracy",
    "cost_bias_variance": "a larger spread of bias",
    "cost_accuracy_variance": "a larger spread of accuracy",
    "any": "any of these",
}
MOST_ROWS = 60
NOTHING = "There is no comparison, so nothing can have cost anything."


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: counts of costs with their table, then the plane of one metric with its front."""
    costs, pareto, comparisons = frames["costs"], frames["pareto"], frames["comparisons"]
    first, *others = cost_sentences(costs)
    show_text(first)
    chosen = pareto[pareto["metric"] == first_metric(comparisons)]
    if "metrics" in frames and len(chosen):
        runs = plane_runs(frames["metrics"], dict(plan), [dict(entry) for entry in evidence])
        _show_planes(page, chosen, runs, plan)
    show_text(pareto_sentences(chosen))
    heading("Every cost, and the techniques that nothing beats", folded=True)
    show_text([*others, power_sentence(costs, comparisons)])
    page.show(costs_table(comparisons), costs)
    page.show(PARETO, chosen)


def _show_planes(page: Page, rows: pd.DataFrame, runs: pd.DataFrame, plan: Mapping) -> None:
    arm = rows["arm"].iloc[0]
    for attribute in plan["groups"]:
        chosen = plane_rows(rows, arm, attribute)
        where = (runs["arm"] == arm) & (runs["attribute"] == attribute) & (runs["metric"] == rows["metric"].iloc[0])
        if len(chosen):
            figure = accuracy_bias_plane.plane_figure(chosen, runs[where], technique_colours(plan))
            page.figure(
                "plane", attribute, figure, accuracy_bias_plane.alt_plane(chosen), caption_plane(plan, chosen, rows)
            )


def plane_rows(rows: pd.DataFrame, arm: str, attribute: str) -> pd.DataFrame:
    """Return the rows that one plane shows: one arm and attribute, with both means."""
    chosen = rows[(rows["arm"] == arm) & (rows["attribute"] == attribute)]
    return chosen.dropna(subset=["accuracy_mean", "bias_mean"])


def first_metric(comparisons: pd.DataFrame) -> str:
    """Return the primary metric, or else DI where it is distinct, or else the first that is ("DI" without any)."""
    names = list(dict.fromkeys(words.deciding(comparisons)["metric"]))
    return "DI" if "DI" in names or not names else names[0]


# Sentences


def cost_sentences(costs: pd.DataFrame) -> list[str]:
    """Return on how many pairs of technique and metric the verdict is fairer, and at which cost; then by the study."""
    if costs.empty:
        return [NOTHING]
    judged = costs[costs["decrease"] != ""]
    fell = judged[judged["decrease"] == "yes"]
    texts = []
    if len(judged):
        pairs = words.combinations(len(judged), costs, "technique", "distinct metric")
        texts.append(f"The verdict is fairer ({_scope(costs)}) on {len(fell)} of {pairs}{_with(fell)}.")
    if len(judged) < len(costs):
        more = fmt.count(len(costs) - len(judged), "more combination" if texts else "combination")
        texts.append(f"No answer on {more}: not FIT, too few runs, or not estimable.")
    known = costs[costs["decrease_study"] != ""]
    study = known[known["decrease_study"] == "yes"][[f"{name}_study" for name in COSTS]].set_axis(list(COSTS), axis=1)
    if len(known):
        texts.append(
            f"By the labels of Qian et al. (2021), uncorrected and with spreads relative to the mean, bias fell on "
            f"{len(study)} of {len(known)}{_with(study)}."
        )
    return texts


def _scope(costs: pd.DataFrame) -> str:
    if costs["arm"].str.endswith("random_state").all():
        return "over random states, on this test set"
    seeds = costs["seed"].dropna().unique()
    if not len(seeds):
        return "on this test set"
    return f"at {f'seed {int(seeds[0])}' if len(seeds) == 1 else 'the seed of each arm'}, on this test set"


def _with(fell: pd.DataFrame) -> str:
    if fell.empty:
        return ""
    if (fell[list(COSTS)] == "no").all(axis=None):
        return ", without a cost shown"
    parts = []
    for name, cost in COSTS.items():
        unknown = int((fell[name] == "").sum())
        open_ = f" (unknown on {unknown})" if unknown else ""
        parts.append(f"{cost} on {int((fell[name] == 'yes').sum())}{open_}")
    return f". Costs shown: {', '.join(parts[:2])}; {', '.join(parts[2:])}"


def power_sentence(costs: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """Return how likely these runs were to show a larger spread where none was shown; "" where nothing was asked."""
    fell = costs[costs["decrease"] == "yes"]
    keys = ["technique", "arm", "attribute", "metric"]
    columns = [*keys, "power_variance", "p_variance_raw_holm", "alpha"]
    quiet = fell[fell["cost_bias_variance"] == "no"].merge(comparisons[columns], on=keys)
    # Where a smaller spread was shown, a larger one is excluded.
    bias = quiet.loc[~(quiet["p_variance_raw_holm"] <= quiet["alpha"]), "power_variance"].dropna()
    accuracy = fell.loc[fell["cost_accuracy_variance"] == "no", "power_accuracy_variance"].dropna()
    known = [
        f"{fmt.value_range(p, fmt.power)} for {of}" for p, of in ((bias, "bias"), (accuracy, "accuracy")) if len(p)
    ]
    if not known:
        return ""
    return (
        "A larger spread that was not shown is not excluded: the power to show a standard deviation 1.5 times as large "
        f"at the corrected α was {' and '.join(known)}."
    )


def pareto_sentences(rows: pd.DataFrame) -> list[str]:
    """Return who is on the front of one metric, and how surely; one sentence per family, arm and attribute."""
    texts = []
    for _, family in rows.groupby(["baseline", "arm", "attribute"], sort=False):
        on = family[family["on_front"] == "yes"]
        if len(on):
            texts.append(_front_sentence(on, family, rows))
    aside = rows[rows["on_front"] == ""]
    if len(aside):
        names = dict.fromkeys(words.technique_label(rows, row) for _, row in aside.iterrows())
        texts.append(f"Not ranked: {fmt.join_items(names, 6)} (see the notes in the table).")
    return texts


def _front_sentence(on: pd.DataFrame, family: pd.DataFrame, frame: pd.DataFrame) -> str:
    first = family.iloc[0]
    criteria = "accuracy and bias" if on["note"].str.contains("churn not known").any() else "accuracy, bias and churn"
    names = [f"{r['technique']}{_share(r)}" for r in on.to_dict("records")]
    ranked = fmt.count(int((family["on_front"] != "").sum()), "technique")
    resampled = on["front_share"].notna().any()
    how = " In brackets: the share of resampled experiments in which it is on the front." if resampled else ""
    metric = f"{first['metric']}{words.arm_and_attribute_suffix(frame, first)}"
    return (
        f"Pareto front of {criteria}, by {metric} (means over runs): {len(on)} of {ranked}. On it: "
        f"{fmt.join_items(names, 10)}.{how}"
    )


def _share(row: Mapping) -> str:
    return "" if fmt.is_missing(row["front_share"]) else f" ({100 * row['front_share']:.0f} %)"


# Tables for readers


def costs_view(costs: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the pairs on which bias fell, with each answer; at most `MOST_ROWS`, those with a cost first."""
    fell = costs[costs["decrease"] == "yes"]
    if len(fell) > MOST_ROWS:
        fell = fell.loc[(fell["any"] != "yes").sort_values(kind="stable").index[:MOST_ROWS]].sort_index()
    return pd.DataFrame([_cost_row(row, costs) for _, row in fell.iterrows()])


def _cost_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    answers = {COSTS[name].removeprefix("a ").capitalize(): _answer(row[name]) for name in COST_NAMES}
    return {
        "Comparison": f"{row['technique']} v {row['baseline']}{words.arm_and_attribute_suffix(frame, row)}",
        "Metric": row["metric"],
        **answers,
        "Accuracy difference": fmt.points(row["accuracy_difference"], signed=True),
        "95 % interval": fmt.span(row["accuracy_low"], row["accuracy_high"]),
        "SD of accuracy, p (Holm)": f"{fmt.points(row['sd_accuracy_baseline'])} → "
        f"{fmt.points(row['sd_accuracy_technique'])}, {fmt.probability(row['p_accuracy_variance_holm'])}",
        "Study's labels": _study(row) if row["decrease_study"] == "yes" else "bias not lower",
    }


def _answer(text: str) -> str:
    return text or fmt.NOT_ESTIMABLE


def _study(row: pd.Series) -> str:
    """Return the costs by the study's labels, in words."""
    found = [COSTS[name] for name in COST_NAMES if row[f"{name}_study"] == "yes"]
    return ", ".join(found) or "no cost"


def pareto_view(rows: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return accuracy, bias, churn and place on the front of every technique, for one metric."""
    return pd.DataFrame([_pareto_row(row, rows) for _, row in rows.iterrows()])


def _pareto_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    by = row["dominated_by"].split("; ") if row["dominated_by"] else []
    return {
        "Technique": words.technique_label(frame, row),
        "Accuracy": fmt.points(row["accuracy_mean"]),
        "SD of accuracy": sd_cell(row["accuracy_sd"]),
        row["metric"]: fmt.points(row["bias_mean"]),
        f"SD of {row['metric']}": sd_cell(row["bias_sd"]),
        "Churn": "not known" if fmt.is_missing(row["churn_mean"]) else fmt.points(row["churn_mean"]),
        "On the front": row["on_front"] or "not ranked",
        "in resamples": "–" if fmt.is_missing(row["front_share"]) else f"{100 * row['front_share']:.0f} %",
        "Dominated by, or note": fmt.join_items(by, 4) if by else row["note"] or "–",
    }


# Captions


def costs_table(comparisons: pd.DataFrame) -> ReaderTable:
    """Return the table of costs; its caption names how many tests of bias `comparisons` corrects for."""
    return ReaderTable("Costs of lower bias", partial(caption_costs, comparisons), costs_view, table_files.COSTS)


def caption_costs(comparisons: pd.DataFrame, plan: Mapping, costs: pd.DataFrame) -> str:
    """Caption the table of costs."""
    fell = int((costs["decrease"] == "yes").sum())
    shown = min(fell, MOST_ROWS)
    part = f" Shown: {shown} of {fell} pairs." if shown < fell else ""
    sizes = costs["accuracy_family_size"].dropna()
    family, of_bias = int(sizes.max()) if len(sizes) else 0, words.family(comparisons, "family_size_variance")
    about = (
        "Pairs of technique and distinct metric with the verdict fairer; accuracy in points. Lower accuracy: 95 % "
        "interval of the difference of means (Welch; paired by run where a training is shared) below 0. Larger spread: "
        f"Brown-Forsythe test on raw values, corrected by Holm over {of_bias} tests of bias and {family} of accuracy "
        "(with no smallest attainable p unless the statistic is infinite), and a larger mean distance from the median; "
        "p is that of accuracy. Study's labels: Qian et al. (2021), uncorrected."
    )
    return caption(plan, run_counts(costs), about + part)


def caption_plane(plan: Mapping, shown: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Caption the plane."""
    arm = f"Arm {shown['arm'].iloc[0]}. " if rows["arm"].nunique() > 1 else ""
    about = (
        f"{arm}Means over runs with Hotelling's 95 % confidence region of the mean vector (normal runs, 3 or "
        "more); small dots: single runs. Churn: share of pairs of runs that disagree about a row. No test is made here."
    )
    return caption(plan, shown["n"], about)


PARETO = ReaderTable(
    "Accuracy, bias and churn",
    Caption(
        "Accuracy and churn in %, bias in points, over the classes defined in every run of all techniques. On the "
        "front: no other technique is at least as good in all three (in two where churn "
        "is not known of all) and better in one. In resamples: whole runs drawn "
        f"with replacement ({SHARE_RESAMPLES} times), with churn at its value. No test is made here."
    ),
    pareto_view,
    table_files.PARETO,
)
