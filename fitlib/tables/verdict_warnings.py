"""Warnings that touch a verdict: a nearly constant predictor, a failed control arm, a loss of accuracy.

A technique that predicts one class for nearly everybody treats all groups alike: its bias metrics fall although nothing
was learnt. A failed control arm means that runs differ where nothing should. Each warning is text for the column
``warnings`` of "comparisons" and "over_seeds", and stands beside every verdict of the technique or its baseline.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.metrics.smallest_effects import DEFAULT
from fitlib.statistics.run_identity import check_control
from fitlib.tables.metric_series import main_arms, noise_name
from fitlib.tables.schemas import Json, join_notes

RARE = 0.2  # predictions of all other classes, as a share of the rows truly of them, below which one class is all
Place = tuple[str, str]  # technique, arm


def add_warnings(comparisons: pd.DataFrame, counts: pd.DataFrame | None, plan: Json, evidence: Sequence[Json]) -> None:
    """Fill in the column ``warnings`` of "comparisons"; empty for accuracy, which has no verdict."""
    constant, failed = constant_predictors(counts, plan), failed_controls(plan, evidence)
    lost = _lost_accuracy(comparisons, plan)
    comparisons["warnings"] = [
        "" if row.metric == "accuracy" else _warnings(row.technique, row.baseline, [row.arm], constant, failed, lost)
        for row in comparisons.itertuples()
    ]


def add_warnings_over_seeds(
    over_seeds: pd.DataFrame, counts: pd.DataFrame | None, plan: Json, evidence: Sequence[Json]
) -> None:
    """Fill in the column ``warnings`` of "over_seeds": those of any seed; an empty table stays as it is."""
    if over_seeds.empty:
        return
    constant, failed = constant_predictors(counts, plan), failed_controls(plan, evidence)
    arms: dict[str, list[str]] = {}
    for arm in main_arms(plan):
        arms.setdefault(noise_name(arm), []).append(arm["arm"])
    rows = over_seeds[over_seeds["metric"] == "accuracy"]
    lost: dict[Place, str] = {}
    for row in rows.itertuples():
        text = _loss(row.difference, row.low, row.high, plan)
        lost |= {(row.technique, arm): text for arm in arms.get(row.noise, []) if text}
    over_seeds["warnings"] = [
        ""
        if row.metric == "accuracy"
        else _warnings(row.technique, row.baseline, arms[row.noise], constant, failed, lost)
        for row in over_seeds.itertuples()
    ]


def _warnings(
    technique: str,
    baseline: str,
    arms: Sequence[str],
    constant: Mapping[Place, str],
    failed: Mapping[str, str],
    lost: Mapping[Place, str],
) -> str:
    found = []
    for role, name in (("technique", technique), ("baseline", baseline)):
        texts = [*(constant.get((name, arm), "") for arm in arms), failed.get(name, "")]
        found += [f"{role} {text}" for text in dict.fromkeys(texts) if text]
    return join_notes(*found, *dict.fromkeys(lost.get((technique, arm), "") for arm in arms))


def constant_predictors(counts: pd.DataFrame | None, plan: Json) -> dict[Place, str]:
    """Return a text for every technique and arm that hardly predicts anything but one class, or hardly any label.

    In the mean over runs, fewer rows are predicted as other classes than `RARE` of the rows truly of them; of labels:
    fewer positives are predicted than `RARE` of the true ones.
    """
    if counts is None or counts.empty:
        return {}
    rows = counts[counts["attribute"] == next(iter(plan["groups"]))]
    describe = _hardly_any_label if "target" in rows else _one_class
    places = rows.groupby(["technique", "arm"], sort=False)
    return {key: text for key, part in places for text in [describe(part, plan["classes"])] if text}


def _one_class(rows: pd.DataFrame, classes: Sequence[str]) -> str:
    predicted, true = rows.groupby("predicted")["n"].sum(), rows.groupby("true")["n"].sum()
    total, usual = predicted.sum(), predicted.idxmax()
    truly = true.get(usual, 0)
    if total - predicted[usual] >= RARE * (total - truly):
        return ""
    return (
        f"predicts class {classes[int(usual)]} for {100 * predicted[usual] / total:.1f} % of the rows "
        f"(truly {100 * truly / total:.1f} %)"
    )


def _hardly_any_label(rows: pd.DataFrame, classes: Sequence[str]) -> str:
    predicted, true = (rows["tp"] + rows["fp"]).sum(), (rows["tp"] + rows["fn"]).sum()
    if predicted >= RARE * true:
        return ""
    return f"predicts hardly any label ({100 * predicted / true:.1f} % as often as they occur)"


def failed_controls(plan: Json, evidence: Sequence[Json]) -> dict[str, str]:
    """Return a text for every technique whose training's control arm was not bit-identical."""
    failed = {t["training"]: check_control(evidence, t["training"]).identical is False for t in plan["techniques"]}
    text = "has a failed control arm: its runs differ where nothing should"
    return {t["technique"]: text for t in plan["techniques"] if failed[t["training"]]}


def _lost_accuracy(comparisons: pd.DataFrame, plan: Json) -> dict[Place, str]:
    rows = comparisons[comparisons["metric"] == "accuracy"]
    texts = {
        (row.technique, row.arm): _loss(row.difference, row.difference_low, row.difference_high, plan)
        for row in rows.itertuples()
    }
    return {place: text for place, text in texts.items() if text}


def _loss(difference: float, low: float, high: float, plan: Json) -> str:
    """Return the loss of accuracy in points where the mean fell by more than the smallest effect, "" otherwise.

    The smallest effect of accuracy is the declared number, or one point where none is declared for all metrics.
    """
    declared = plan["analysis"]["smallest_effect"]
    # Effects by metric and shares of the baseline's mean are declared for bias metrics, and say nothing of accuracy.
    effect = float(declared) if isinstance(declared, int | float) else DEFAULT
    if not difference < -effect:
        return ""
    interval = "" if pd.isna(low) else f" [{100 * -high:.1f}, {100 * -low:.1f}]"
    return f"accuracy fell by {100 * -difference:.1f} points{interval}"
