"""Sentences of the first screen: what lower bias cost, and the weightiest warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from fitlib.formatting import count, decimals, join_items, value_range
from fitlib.report.sentences.verdicts import verdict_warnings
from fitlib.report.vocabulary import bias_rows, class_name, distinct, technique_label, trainings
from fitlib.statistics.run_identity import check_fit
from fitlib.tables.metric_series import main_arms

NAMED = 3  # techniques whose accuracy is listed one by one


def cost(table: pd.DataFrame, individuals: pd.DataFrame, plan: Mapping) -> str:
    """Return what happened to accuracy, and about how many cases two equal runs disagree; "" where neither is known.

    ``table``: "comparisons", or "over_seeds" where techniques are compared over seeds; of the first arm or noise.
    """
    rows = table[table["metric"] == "accuracy"].dropna(subset=["difference"])
    place = "arm" if "arm" in rows else "noise"
    rows = rows[rows[place] == rows[place].iloc[0]].drop_duplicates(["technique", "baseline"]) if len(rows) else rows
    changes = {row["technique"]: decimals(100 * row["difference"], 1, signed=True) for _, row in rows.iterrows()}
    texts = [f"accuracy changed by {_changes(changes)} points"] if changes else []
    churn = _churn(individuals, plan)
    texts += [f"equal runs disagree about {value_range(churn, _percent)} of cases"] if len(churn) else []
    text = "; ".join(texts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _changes(changes: Mapping[str, str]) -> str:
    """Return "+2.5 (S-RS) and −0.3 (S-DI1)"; of many techniques the smallest and the largest change."""
    if len(changes) <= NAMED:
        return join_items([f"{text} ({name})" for name, text in changes.items()])
    ordered = sorted(changes.values(), key=lambda text: float(text.replace("−", "-")))
    return f"{ordered[0]} to {ordered[-1]}"


def _churn(individuals: pd.DataFrame, plan: Mapping) -> pd.Series:
    """Return the churn of every technique in the first main arm, in percent."""
    if individuals.empty:
        return pd.Series(dtype=float)
    everybody = individuals[(individuals["target"] == "overall") & individuals["group"].isna()]
    chosen = everybody[everybody["arm"] == main_arms(plan)[0]["arm"]].drop_duplicates("technique")
    return 100 * chosen["churn"].dropna()


def _percent(value: float) -> str:
    return f"{decimals(value, 1)} %"


def weightiest_warning(frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> str:
    """Return the first warning that applies, in the order of docs/statistics.md; "" where none does.

    Four fifths violated; identity refuted; control arm failed; a nearly constant predictor; accuracy lost; values
    within chance; too few runs for any corrected test. That identity is unknown for want of records is no warning of
    its own: the limit beside it says so.
    """
    return next(_warnings(frames, plan, evidence), "")


def _warnings(frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> Iterator[str]:
    comparisons, over_seeds = frames["comparisons"], frames["over_seeds"]
    yield from _violated(frames["risk"], plan)
    yield from _refuted(plan, evidence)
    beside = verdict_warnings(over_seeds if len(over_seeds) else comparisons)
    for about in ("control arm", "predict", "accuracy fell"):
        yield from (text for text in beside if about in text)
    yield from beside
    yield from _within_chance(frames["summary"], comparisons)
    yield from _too_few(comparisons, plan)


def _violated(risk: pd.DataFrame, plan: Mapping) -> Iterator[str]:
    """Yield where the favourable class violates four fifths most often."""
    rows = risk[(risk["rule"] == "four-fifths") & (risk["violated"] > 0)]
    if len(rows):
        top = rows.loc[(rows["violated"] / rows["n"]).idxmax()]
        yield (
            f"Four fifths is violated in {int(top['violated'])} of {count(int(top['n']), 'run')} of "
            f"{technique_label(risk, top)} (class {class_name(plan, top['target'])})."
        )


def _refuted(plan: Mapping, evidence: Sequence[Mapping]) -> Iterator[str]:
    """Yield whose runs were shown not to be identical."""
    arms = [arm["arm"] for arm in main_arms(plan)]
    names = [
        name
        for training, techniques in trainings(plan).items()
        if any(check_fit(evidence, training, arm).fit is False for arm in arms)
        for name in techniques
    ]
    if names:
        yield f"The runs of {join_items(names)} were not the same training, so they are not compared."


def _within_chance(summary: pd.DataFrame, comparisons: pd.DataFrame) -> Iterator[str]:
    """Yield that the mean of every technique on a metric lies below what chance gives in 95 % of cases."""
    rows = bias_rows(summary[(summary["target"] == "overall") & summary["group"].isna()])
    rows = rows[rows["metric"].isin(distinct(comparisons)["metric"])].dropna(subset=["mean", "chance_95"])
    within = (rows["mean"] <= rows["chance_95"]).groupby(rows["metric"], sort=False).all()
    names = list(within.index[within.to_numpy(bool)])
    if names:
        yield f"All values of {join_items(names)} are within what chance alone gives on this test set."


def _too_few(comparisons: pd.DataFrame, plan: Mapping) -> Iterator[str]:
    """Yield that no corrected test could have shown anything with so few runs."""
    rows = distinct(comparisons).dropna(subset=["p_mean_smallest"])
    if len(rows) and (rows["p_mean_smallest"] * rows["family_size"] > float(plan["analysis"]["alpha"])).all():
        yield "With so few runs no test could show a difference after correction."
