"""Section "Would other runs say the same?": one run left out, k new runs, declared looks, and the runs it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import caption, run_counts
from fitlib.report.figures import runs_needed as runs_needed_figures
from fitlib.report.figures import style
from fitlib.report.notebook_display import Page, show_text
from fitlib.report.reader_tables import ReaderTable

QUESTION = (
    "Three answers: every run is left out once; k new runs of both techniques, trained in the same way, are imagined; "
    "and the runs are counted that the smallest effect takes."
)
KEYS = ["technique", "baseline", "arm", "attribute"]


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section; nothing but a sentence where there is no comparison."""
    comparisons, reversal, needed = frames["comparisons"], frames["reversal"], frames["runs_needed"]
    if words.distinct(comparisons).empty:
        show_text("Nothing was compared, so no verdict can change with other runs.")
        return
    show_text(QUESTION)
    show_text(stability(comparisons))
    page.show(REVERSAL, reversal)
    show_text([*reversals(reversal, plan), *looks(frames["sequential"], plan)])
    for attribute in plan["groups"]:
        rows = style.select(comparisons, plan, attribute)
        if len(runs_needed_figures.power_curves(rows, plan)):
            figure, alt = (
                runs_needed_figures.how_many_runs_figure(rows, plan),
                runs_needed_figures.alt_how_many_runs(rows, plan),
            )
            page.figure("how-many-runs", attribute, figure, alt, caption_curves(plan, rows))
    page.show(NEEDED, needed)
    show_text(runs_needed(needed, plan))


# Sentences


def stability(comparisons: pd.DataFrame, most: int = 6) -> list[str]:
    """Return how many verdicts depend on a single run, and which."""
    rows = words.judged(comparisons).dropna(subset=["verdict_changes"])
    if rows.empty:
        return ["Leaving out a run is not possible here: no verdict rests on three runs or more of each technique."]
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
    others = fmt.join_items(row["verdict_without_one"].split("; "))
    where = words.arm_and_attribute_suffix(frame, row)
    return (
        f"{row['technique']} against {row['baseline']}{where} on {row['metric']}: {row['verdict']}, but {others} "
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
            f"In {unclear} of {fmt.count(len(first), 'comparison')} the direction is not established: new runs may "
            "point the other way with a probability of up to ½."
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
            (f"{r.technique} on {r.metric} ({r.decision.split(': ')[1]})" for r in rows.itertuples()), 6
        )
        yield f"At {int(n)} runs, {len(rows)} of {fmt.count(of, 'comparison')} could stop: {named}."


def _unreachable(made: pd.DataFrame) -> Iterator[str]:
    blind = sorted({int(n) for n in made.loc[made["p_smallest"] > made["level"], "n"]})
    if blind:
        yield f"At {fmt.join_items(blind, 8)} runs no p could reach the level, so nothing could be decided there."


def runs_needed(needed: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return how many runs the declared effect takes, beside the number of present runs."""
    effect = fmt.points(plan["analysis"]["smallest_effect"])
    texts, known = [], needed.dropna(subset=["runs_for_mean"])
    if len(known):
        enough = int((known["runs_for_mean"] <= known[["n_baseline", "n_technique"]].min(axis=1)).sum())
        texts.append(
            f"To show a true difference of {effect} points with power .8 at the corrected α takes "
            f"{_spread_of(known['runs_for_mean'])} runs of each technique, by metric; "
            f"{enough} of {fmt.count(len(known), 'comparison')} {'has' if enough == 1 else 'have'} that many."
        )
    variance = needed["runs_for_variance"].dropna()
    if len(variance):
        texts.append(
            f"To show a standard deviation 1.5 times as large takes {_spread_of(variance)} runs of each, so fewer "
            "cannot show that the spread is unchanged."
        )
    beyond = int(needed["note"].str.startswith("more than").sum())
    return [*texts, f"For {fmt.count(beyond, 'comparison')} 10,000 runs would not do."] if beyond else texts


def _spread_of(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


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
    texts = {
        "Comparison": f"{row['technique']} v {row['baseline']}{words.arm_and_attribute_suffix(frame, row)}",
        "Direction established": f"{len(first.dropna(subset=['value']))} of {fmt.count(len(first), 'metric')}",
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


def needed_view(needed: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the runs needed by technique: metrics with the fewest and with the most, beside the present runs.

    Empty where nothing was tested.
    """
    if needed["alpha_corrected"].isna().all():
        return pd.DataFrame()
    groups = needed.groupby([*KEYS, "n_baseline", "n_technique"], sort=False)
    return pd.DataFrame([_needed_row(group, needed) for _, group in groups])


def _needed_row(group: pd.DataFrame, frame: pd.DataFrame) -> dict[str, str]:
    row = group.iloc[0]
    n = {int(row["n_baseline"]), int(row["n_technique"])}
    return {
        "Comparison": f"{row['technique']} v {row['baseline']}{words.arm_and_attribute_suffix(frame, row)}",
        "Runs now": " v ".join(map(str, sorted(n))),
        "For the mean": _by_metric(group, "runs_for_mean"),
        "For an interval within ± the effect": _by_metric(group, "runs_for_width"),
        "For an SD 1.5 times as large": _by_metric(group, "runs_for_variance"),
        "Power now (mean)": _powers(group["power_mean_now"]),
        "Power now (SD)": _powers(group["power_variance_now"]),
    }


def _by_metric(group: pd.DataFrame, column: str) -> str:
    """Return "7 (DP) to 41 (BA)", without the metrics where all take the same."""
    known = group.dropna(subset=[column])
    beyond = column != "runs_for_variance" and group["note"].str.startswith("more than").any()
    if known.empty:
        return "> 10,000" if beyond else "–"
    low, high = known.loc[known[column].idxmin()], known.loc[known[column].idxmax()]
    if low[column] == high[column] and not beyond:
        return str(int(low[column]))
    end = "> 10,000" if beyond else f"{int(high[column]):,} ({high['metric']})"
    return f"{int(low[column]):,} ({low['metric']}) to {end}"


def _powers(values: pd.Series) -> str:
    known = values.dropna()
    return fmt.value_range(known, fmt.power) if len(known) else "–"


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


def caption_curves(plan: Mapping, comparisons: pd.DataFrame) -> str:
    """Caption the figure."""
    return caption(
        plan,
        run_counts(comparisons),
        "Grey: the runs there are. Left: Welch's t test (paired where a training is shared) at the SDs seen and at α "
        f"{plan['analysis']['alpha']:g} divided by {words.family(comparisons)} tests; dotted: power .8. Right: normal "
        "runs; MaxDiff grows with n by itself.",
    )


def caption_needed(plan: Mapping, needed: pd.DataFrame) -> str:
    """Caption the table of runs needed."""
    effect = fmt.points(plan["analysis"]["smallest_effect"])
    return caption(
        plan,
        run_counts(needed),
        f"Runs of each technique, at the SDs seen, for power .8 to show {effect} points (Welch's t; paired t where a "
        f"training is shared) at α divided by {words.family(needed)} tests; until the 95 % interval of the difference "
        f"is at most ±{effect} points; and for power .8 of the Brown-Forsythe test at α divided by "
        f"{words.family(needed, 'family_size_variance')} (simulated normal runs). In brackets: the distinct metric. "
        "The SDs are themselves estimates.",
    )


REVERSAL = ReaderTable("Reversal by k new runs", caption_reversal, reversal_view, table_files.REVERSAL)
NEEDED = ReaderTable("Runs needed", caption_needed, needed_view, table_files.RUNS_NEEDED)
