"""Section "Would other runs say the same?": one run left out, k new runs, declared looks, and other numbers of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import caption, run_counts
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable
from fitlib.report.sections import planning

QUESTION = (
    "Three answers: every run is left out once; k new runs of both techniques, trained in the same way, are imagined; "
    "and the probability of each verdict is computed for other numbers of runs."
)
KEYS = ["technique", "baseline", "arm", "attribute"]


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section; nothing but a sentence where there is no comparison."""
    comparisons, reversal = frames["comparisons"], frames["reversal"]
    if words.distinct(comparisons).empty:
        show_text("Nothing was compared, so no verdict can change with other runs.")
        return
    show_text(QUESTION)
    show_text(stability(comparisons))
    page.show(REVERSAL, reversal)
    show_text([*reversals(reversal, plan), *looks(frames["sequential"], plan)])
    planning.show(page, frames, plan)


# Sentences


def stability(comparisons: pd.DataFrame, most: int = 6) -> list[str]:
    """Return how many verdicts depend on a single run, and which."""
    rows = words.judged(comparisons).dropna(subset=["verdict_changes"])
    if rows.empty:
        return ["Leaving out a run is not possible here: no verdict rests on five runs or more of each technique."]
    fragile = rows[rows["verdict_changes"] > 0]
    if fragile.empty:
        return [f"Leaving out any single run changes none of {fmt.count(len(rows), 'verdict')} on distinct metrics."]
    head = (
        f"{len(fragile)} of {fmt.count(len(rows), 'verdict')} on distinct metrics "
        f"{'hangs' if len(fragile) == 1 else 'hang'} on single runs: with one run left out, another verdict is reached."
    )
    worst = fragile.sort_values("verdict_changes", ascending=False, kind="stable")
    more = [f"{len(fragile) - most} more stand in the table of comparisons."] if len(fragile) > most else []
    return [head, *(_fragile(row, comparisons) for _, row in worst.head(most).iterrows()), *more]


def _fragile(row: pd.Series, frame: pd.DataFrame) -> str:
    paired = row["design"] == "paired by run"
    deletions = int(row["n_technique"]) + (0 if paired else int(row["n_baseline"]))
    others = fmt.join_items(f"“{name}”" for name in row["verdict_without_one"].split("; "))
    where = words.arm_and_attribute_suffix(frame, row)
    return (
        f"{row['technique']} against {row['baseline']}{where} on {row['metric']}: “{row['verdict']}”, but {others} "
        f"without {_any_of(int(row['verdict_changes']))} of the {deletions} {'pairs of runs' if paired else 'runs'}."
    )


def _any_of(n: int) -> str:
    return "one" if n == 1 else f"any one of {n}"


def reversals(reversal: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return how the probability of a reversed verdict falls with k, and where no direction is established."""
    if reversal.empty:
        return []
    known, first = reversal.dropna(subset=["value"]), reversal[reversal["k"] == 1]
    texts = [_by_k(known, plan)] if len(known) else []
    unclear = int(first["note"].str.startswith("direction not established").sum())
    if unclear:
        texts.append(
            f"In {unclear} of {fmt.count(unclear + int(first['value'].notna().sum()), 'comparison')} the direction is "
            "not established (no unadjusted interval excludes 0): new runs may point the other way with a probability "
            "of up to ½."
        )
    paired = int(first["note"].str.contains("share one training").sum())
    if paired:
        texts.append(
            f"Reversal is not computed for {fmt.count(paired, 'comparison')} of techniques that share one training."
        )
    return texts


def _by_k(known: pd.DataFrame, plan: Mapping) -> str:
    largest = known.loc[known.groupby("k")["high"].idxmax()]
    parts = [f"{_chance(row['value'])} {_chances(row)} for k = {int(row['k'])}" for _, row in largest.iterrows()]
    return (
        f"Where a direction is established, the means of k new runs of both, trained "
        f"{words.retraining_conditions(plan)}, point the other way with a probability of "
        f"{fmt.join_items(parts, 8)} (the "
        "comparison with the largest upper end at each k). Upper ends rise with k because fewer blocks of k runs "
        "were seen."
    )


def _chance(value: float) -> str:
    return "< 0.001" if 0 < value < 1e-3 else fmt.probability(value)


def _chances(row: Mapping) -> str:
    return f"[{_chance(row['low'])}, {_chance(row['high'])}]"


def looks(sequential: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return what the declared looks decided; nothing where none was declared."""
    at = plan["analysis"].get("looks")
    if not at or sequential.empty:
        return []
    made = sequential.dropna(subset=["p"])
    if made.empty:
        return [f"Looks were declared at {fmt.join_items(at, 8)} runs; none could be made."]
    stopped = made[made["decision"].str.startswith("stop")]
    comparisons = sequential.drop_duplicates([*KEYS, "metric"])
    return [_looks_head(made, at, plan), *_stopped(stopped, len(comparisons)), *_unreachable(made)]


def _looks_head(made: pd.DataFrame, at: Sequence[int], plan: Mapping) -> str:
    return (
        f"Looks were declared at {fmt.join_items(at, 8)} runs: each at level "
        f"{fmt.probability(made['level'].iloc[0])}, so "
        f"that all looks of all {int(made['family_size'].iloc[0])} comparisons together err with probability "
        f"{plan['analysis']['alpha']:g} at most (Pocock's level, α divided by the number of comparisons)."
        + (
            " They were declared after runs had finished, so this does not hold."
            if words.changed_later(plan, "looks")
            else ""
        )
    )


def _stopped(stopped: pd.DataFrame, of: int) -> Iterator[str]:
    if stopped.empty:
        yield f"No look at any of {fmt.count(of, 'comparison')} allowed to stop."
        return
    for n, rows in stopped.groupby("n"):
        named = fmt.join_items(
            (f"{r.technique} on {r.metric} ({r.decision.split(': ')[1]}{_repeated(r)})" for r in rows.itertuples()), 6
        )
        yield f"At {int(n)} runs, {len(rows)} of {fmt.count(of, 'comparison')} could stop: {named}."


def _repeated(row: Any) -> str:
    """Return the difference at a look with its repeated confidence interval, which is valid at whichever look it is."""
    if fmt.is_missing(row.difference_low):
        return ""
    interval = fmt.span(row.difference_low, row.difference_high)
    return f", {fmt.points(row.difference, signed=True)} points {interval}"


def stopping_sentence(sequential: pd.DataFrame, comparisons: pd.DataFrame, plan: Mapping) -> str:
    """Return what holds after a declared look ended the runs before the last one; "" where it did not."""
    at = plan["analysis"].get("looks")
    if not at or sequential.empty:
        return ""
    present = comparisons[["n_baseline", "n_technique"]].min(axis=1).max()
    stopped = sequential[sequential["decision"].str.startswith("stop") & (sequential["n"] <= present)]
    if stopped.empty or present >= at[-1]:
        return ""
    named = fmt.join_items((f"{r.technique} on {r.metric}{_repeated(r)}" for r in stopped.itertuples()), 4)
    return (
        f"The runs ended at n = {int(present)}, after a declared look allowed to stop: there differences are too large "
        f"on average, and ordinary intervals miss too often. Valid after stopping: {named}."
    )


def _unreachable(made: pd.DataFrame) -> Iterator[str]:
    blind = sorted({int(n) for n in made.loc[made["p_smallest"] > made["level"], "n"]})
    if blind:
        yield f"At {fmt.join_items(blind, 8)} runs no p could reach the level, so nothing could be decided there."


# Tables for readers


def reversal_view(reversal: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return P(reversal) by k for each technique: the distinct metric with the largest upper end.

    Empty where no direction is established at all.
    """
    if reversal["value"].isna().all():
        return pd.DataFrame()
    rows = [_reversal_row(group, reversal) for _, group in reversal.groupby(KEYS, sort=False)]
    return pd.DataFrame(rows).fillna("–")


def _reversal_row(group: pd.DataFrame, frame: pd.DataFrame) -> dict[str, str]:
    row, known = group.iloc[0], group.dropna(subset=["value"])
    first = group[group["k"] == 1]
    directions = len(first.dropna(subset=["value"]))
    texts = {
        "Comparison": f"{row['technique']} v {row['baseline']}{words.arm_and_attribute_suffix(frame, row)}",
        "Direction established (unadjusted)": f"{directions} of {fmt.count(len(first), 'metric')}",
    }
    if known.empty:
        return texts
    one = known[known["k"] == 1]
    metric = one.loc[one["high"].idxmax(), "metric"]
    values = {
        f"k = {int(r['k'])}": f"{_chance(r['value'])} {_chances(r)}"
        for _, r in known[known["metric"] == metric].iterrows()
    }
    return texts | {"Most doubtful metric": metric} | values


# Captions


def caption_reversal(plan: Mapping, reversal: pd.DataFrame) -> str:
    """Caption the table of reversals."""
    return caption(
        plan,
        run_counts(reversal),
        "Probability that the mean of k new runs of the technique lies on the other side of the mean of k new runs of "
        "the baseline than the difference found, with Newcombe's 95 % interval (of blocks of k runs); k at most half "
        f"of the runs. Retraining covered: {fmt.join_items(dict.fromkeys(reversal['retraining']))}. Shown: the "
        "distinct metric with the largest upper end at k = 1. No test is made here.",
    )


REVERSAL = ReaderTable("Reversal by k new runs", caption_reversal, reversal_view, table_files.REVERSAL)
