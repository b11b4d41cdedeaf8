"""Section "Who is affected?": decisions that change from run to run, by group within the true class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, caption
from fitlib.report.figures.individuals import alt_distribution, distribution_figures
from fitlib.report.notebook_display import Page, heading, show_text
from fitlib.report.reader_tables import ReaderTable
from fitlib.report.vocabulary import interval
from fitlib.tables.individuals import ENOUGH_RUNS

NO_TABLE = "How many decisions change is not known: the metrics of these techniques were made without it."
MOST = 4  # techniques described one by one
MOST_GROUPS = 3  # groups listed one by one
MOST_ROWS = 90  # rows of the table; of more, the groups with the smallest and the largest churn
SHOWN = (0.25, 0.4, 0.5, 0.6, 0.75)  # thresholds in the table for readers


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section: churn by group, the groups that four fifths compares, and thresholds where scores exist."""
    table, risk, thresholds = (frames.get(name, pd.DataFrame()) for name in ("individuals", "risk", "thresholds"))
    show_text(NO_TABLE if table.empty else in_short(table, plan))
    heading("Churn, groups and thresholds: figure and numbers", folded=True)
    if len(table):
        _figures(page, table, plan)
        show_text(sentences(table, plan))
    if len(table) and overall(table)["churn"].notna().any():
        page.show(CHURN, table)
    if len(risk):
        page.show(GROUPS, risk)
    if len(thresholds):
        page.show(THRESHOLDS, thresholds)
        show_text(threshold_sentences(thresholds, plan))


def _figures(page: Page, table: pd.DataFrame, plan: Mapping) -> None:
    for attribute in plan["groups"]:
        rows = overall(table[table["attribute"] == attribute])
        if (rows["churn"] > 0).any():
            figures = distribution_figures(rows, plan, attribute)
            page.figures("churn", attribute, figures, alt_distribution(rows, plan, attribute), DISTRIBUTION(plan, rows))


def overall(individuals: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over all true classes."""
    return individuals[individuals["target"] == "overall"]


# Sentences


def sentences(individuals: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return how many decisions change, whose, and how sure the difference between groups is."""
    rows = overall(individuals)
    everybody = rows[rows["group"].isna()]
    texts = [_sentence(row, rows, plan) for _, row in everybody.head(MOST).iterrows()]
    if len(everybody) > MOST:
        texts.append(f"{len(everybody) - MOST} more in the table.")
    few = everybody[everybody["churn_low"].notna() & (everybody["n_runs"] < ENOUGH_RUNS)]
    texts += [few_runs(few["n_runs"])] if len(few) else []
    return [text for text in [*texts, _ambiguity(everybody), _classes(individuals, plan)] if text]


def in_short(individuals: pd.DataFrame, plan: Mapping) -> str:
    """Return the range of churn over the techniques, and the largest gap between groups that is established."""
    rows = overall(individuals)
    everybody = rows[rows["group"].isna()].dropna(subset=["churn"])
    if everybody.empty or not everybody["churn"].any():
        return ""
    text = f"Two runs decide differently about {fmt.value_range(100 * everybody['churn'], fmt.decimals)} % of cases"
    groups = rows[rows["group"].notna()].dropna(subset=["gap_low"])
    clear = groups[groups["gap_low"] > 0]
    if clear.empty:
        known = "; that a group is met more often is not established" if len(groups) else ""
        return f"{text}{known}."
    top = clear.loc[clear["gap"].idxmax()]
    where = words.technique_label(rows, top)
    return (
        f"{text}. The largest gap within true classes: {group_name(plan, top)} − others, "
        f"{fmt.points(top['gap'], signed=True)} points {interval(top['gap_low'], top['gap_high'])}, of {where}."
    )


def few_runs(n: pd.Series) -> str:
    """Return the warning about intervals of churn from fewer than `ENOUGH_RUNS` runs; `n`: their numbers."""
    return (
        f"Intervals of churn and of its gaps from {fmt.join_items(sorted(set(n)))} runs are too narrow where runs "
        f"differ as wholes: they need {ENOUGH_RUNS} runs."
    )


def _sentence(row: pd.Series, rows: pd.DataFrame, plan: Mapping) -> str:
    who = words.technique_label(rows, row)
    if fmt.is_missing(row["churn"]):
        return f"{who}: how many decisions change is {row['note'] or fmt.NOT_ESTIMABLE}."
    if row["churn"] == 0:
        return f"{who}: {row['note'] or 'no decision changed'}."
    keys = ("technique", "arm", "attribute")
    groups = rows[rows["group"].notna() & (rows[list(keys)] == row[list(keys)]).all(axis=1)].dropna(subset=["gap"])
    shares = ", ".join(f"{group_name(plan, g)} {fmt.points(g['churn'])} %" for _, g in groups.iterrows())
    shares = f"{shares}; " if len(groups) <= MOST_GROUPS else ""
    within = f" Within the true classes: {shares}{_gap(groups, plan)}." if len(groups) else ""
    return (
        f"{who}: two runs decide differently about {fmt.points(row['churn'])} % of cases "
        f"{interval(row['churn_low'], row['churn_high'])}; about {fmt.points(row['share_coin_flip'])} % at least half "
        f"of the pairs of runs disagree.{within}"
    )


def _gap(groups: pd.DataFrame, plan: Mapping) -> str:
    """Describe the largest gap; of more than two groups it was chosen for being the largest."""
    top = groups.loc[groups["gap"].idxmax()]
    chosen = f", the largest of {len(groups)} groups (interval not adjusted for that)," if len(groups) > 2 else ""
    ends = (top["gap_low"], top["gap_high"])
    texts = f"{group_name(plan, top)} − others{chosen} {fmt.points(top['gap'], signed=True)} points {interval(*ends)}"
    if any(map(fmt.is_missing, ends)):
        return texts
    return texts if ends[0] > 0 or ends[1] < 0 else f"{texts}: a difference between groups is not established"


def _ambiguity(everybody: pd.DataFrame) -> str:
    rows = everybody.dropna(subset=["ambiguity"])
    if not (rows["ambiguity"] > 0).any():
        return ""
    runs, shares = int(rows["ambiguity_runs"].iloc[0]), 100 * rows["ambiguity"]
    equal = (
        " (the fewest of any technique with two or more, so that all compare)" if rows["n_runs"].nunique() > 1 else ""
    )
    return f"Of {runs} runs{equal}, not all agree about {fmt.value_range(shares, fmt.decimals)} % of cases (ambiguity)."


def _classes(individuals: pd.DataFrame, plan: Mapping) -> str:
    """Return how often the gap within one true class is established."""
    rows = individuals[(individuals["target"] != "overall") & individuals["group"].notna()]
    sizes = {name: len(groups) for name, groups in plan["groups"].items()}
    # of two groups, one gap is the other's negative
    rows = rows[(rows["group"] > 0) | (rows["attribute"].map(sizes) > 2)].dropna(subset=["gap_low"])
    if rows.empty:
        return ""
    clear = int(((rows["gap_low"] > 0) | (rows["gap_high"] < 0)).sum())
    chance = "more than" if (rows["n_runs"] < ENOUGH_RUNS).any() else "about"
    return (
        f"Within single true classes the interval of the gap excludes 0 in {clear} of {fmt.count(len(rows), 'case')}; "
        f"uncorrected, so {chance} 1 in 20 would without any difference."
    )


def threshold_sentences(thresholds: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return whether the comparison with 0.8 depends on the threshold."""
    rule = "violates four fifths" if plan["analysis"].get("favourable") is not None else "has an impact ratio below 0.8"
    rows, texts = thresholds.dropna(subset=["below_four_fifths"]), []
    for _, group in list(rows.groupby(["technique", "arm", "attribute"], sort=False))[:MOST]:
        some, name = group[group["below_four_fifths"] > 0], words.technique_label(rows, group.iloc[0])
        grid = fmt.count(len(group), "threshold")
        found = f"some run {rule} at {len(some)} of {grid}" if len(some) else f"no run {rule} at any of {grid}"
        texts.append(f"{name}, class {words.class_name(plan, group['target'].iloc[0])}: {found} that have a ratio.")
    notes = thresholds[thresholds["note"].str.contains("outside")]
    return texts + [f"{words.technique_label(thresholds, row)}: {row['note']}." for _, row in notes.iterrows()]


# Tables for readers


def churn_view(individuals: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return churn of everybody and by group, with gap and intervals; of many rows, the extreme groups."""
    rows = overall(individuals)
    shown = rows if len(rows) <= MOST_ROWS else _extremes(rows)
    return pd.DataFrame([_churn_row(row, rows, plan) for _, row in shown.iterrows()])


def _extremes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return everybody, and the groups with the smallest and largest churn, of each technique, arm and attribute."""
    known = rows[rows["group"].notna()].dropna(subset=["churn"])
    by = known.groupby(["technique", "arm", "attribute"], sort=False)["churn"]
    kept = {*rows.index[rows["group"].isna()], *by.idxmin(), *by.idxmax()}
    return rows[rows.index.isin(kept)]


def _churn_row(row: pd.Series, frame: pd.DataFrame, plan: Mapping) -> dict[str, str]:
    everybody = fmt.is_missing(row["group"])
    return {
        "Technique": words.technique_label(frame, row),
        "Group": "everybody" if everybody else group_name(plan, row),
        "Cases": str(row["rows"]),
        "Churn, %": fmt.points(row["churn"]),
        "95 % interval": fmt.span(row["churn_low"], row["churn_high"]),
        "Gap to the others": "–" if everybody else fmt.points(row["gap"], signed=True),
        "95 % interval of the gap": "–" if everybody else fmt.span(row["gap_low"], row["gap_high"]),
        "Never changes, %": fmt.points(row["share_never"]),
        "Coin flips, %": fmt.points(row["share_coin_flip"]),
    }


def threshold_view(thresholds: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return accuracy, bias and impact ratio at some thresholds."""
    rows = thresholds[thresholds["threshold"].isin(SHOWN)]
    return pd.DataFrame([_threshold_row(row, rows) for _, row in rows.iterrows()])


def _threshold_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    ratio = "–" if fmt.is_missing(row["ratio"]) else fmt.decimals(row["ratio"])
    return {
        "Technique": words.technique_label(frame, row),
        "Threshold": f"{row['threshold']:.2f}",
        "Accuracy, %": fmt.points(row["accuracy"]),
        **{name: fmt.points(row[name]) for name in ("DP", "EOFP", "EOTP")},
        "Impact ratio": ratio,
        "lowest to highest run": "–"
        if fmt.is_missing(row["ratio"])
        else fmt.span(row["ratio_min"], row["ratio_max"], 1),
        "Runs below 0.8, %": "–" if fmt.is_missing(row["below_four_fifths"]) else fmt.points(row["below_four_fifths"]),
    }


def groups_view(risk: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the lowest and highest group of the favourable class by technique, and in how many runs they differ."""
    rows = risk[(risk["rule"] == "four-fifths") & (risk["lowest_group"] != "")]
    return pd.DataFrame([_groups_row(row, rows, plan) for _, row in rows.iterrows()])


def _groups_row(row: pd.Series, frame: pd.DataFrame, plan: Mapping) -> dict[str, str]:
    tests = {"p < .05": row["significant"], "Beyond 2 SD": row["beyond_two_sd"]}
    return {
        "Technique": words.technique_label(frame, row),
        "Class": words.class_name(plan, row["target"]),
        "Lowest group": f"{row['lowest_group']} (n = {row['size_lowest']})",
        "its rate, %": fmt.points(row["rate_lowest"]),
        "Highest group": f"{row['highest_group']} (n = {row['size_highest']})",
        "its rate, % ": fmt.points(row["rate_highest"]),
        **{
            name: "no test" if fmt.is_missing(k) else f"{k} of {row['n'] + row['n_undefined']}"
            for name, k in tests.items()
        },
        "Test": row["test"].split(";")[0] or "–",
    }


def group_name(plan: Mapping, row: Mapping) -> str:
    """Return the name that the plan gives to a row's group."""
    return str(plan["groups"][row["attribute"]][int(row["group"])])


# Captions


def caption_churn(plan: Mapping, individuals: pd.DataFrame) -> str:
    """Caption the table of churn."""
    unequal = individuals["n_runs"].nunique() > 1
    extreme = len(overall(individuals)) > MOST_ROWS
    return caption(
        plan,
        individuals["n_runs"],
        "Churn: share of pairs of runs that disagree about a case, mean over cases; of a group within the true "
        "classes, with everybody's classes as weights. Gap: group − all other groups, in points. Intervals: 95 %, "
        "bootstrap over runs and test units (3 runs or more; too narrow with fewer than "
        f"{ENOUGH_RUNS} where runs differ as wholes). Coin flips: at least half of the pairs of runs disagree. No test "
        "is made here."
        + (" “Never changes” and “coin flips” depend on n: compare them at equal n only." if unequal else "")
        + (" Shown: of each technique the groups with the smallest and the largest churn." if extreme else ""),
    )


def caption_thresholds(plan: Mapping, thresholds: pd.DataFrame) -> str:
    """Caption the table of thresholds."""
    target = words.class_name(plan, thresholds["target"].iloc[0])
    return caption(
        plan,
        thresholds["n"],
        f"Selected for class {target}: score at least the threshold. Means over runs, in points; the impact ratio with "
        "its lowest and highest run. The ground truth stays as it is. No interval, no test.",
    )


CHURN = ReaderTable("Changing decisions", caption_churn, churn_view, table_files.INDIVIDUALS)
GROUPS = ReaderTable(
    "Lowest and highest group",
    Caption(
        "Rates: share predicted as the class, mean over runs; n: rows of the group. p < .05, beyond 2 SD: runs in "
        "which lowest and highest group differ by the exact two-sided test named, and by more than two standard "
        "deviations; one test a run, uncorrected, as the rule is used; of more than two groups the extreme pair, so p "
        "is too small.",
    ),
    groups_view,
    table_files.RISK,
)
THRESHOLDS = ReaderTable("Other thresholds", caption_thresholds, threshold_view, table_files.THRESHOLDS)
DISTRIBUTION = Caption(
    "Share of a group's cases (all true classes together) about which more than this share of pairs of runs disagrees; "
    "at 0.5: at least half. Level where no share is attainable with this n. No interval, no test."
)
