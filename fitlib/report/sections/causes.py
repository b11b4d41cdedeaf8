"""Section "Which cause spreads how much?": the arms of an experiment compared; causes are never added up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from fitlib import formatting as fmt
from fitlib.report import table_files
from fitlib.report import vocabulary as words
from fitlib.report.captions import Caption, caption, run_counts
from fitlib.report.figures.causes import alt_causes, arm_label, causes_figure, tested_metrics
from fitlib.report.notebook_display import Page, heading, show_text
from fitlib.report.reader_tables import ReaderTable
from fitlib.tables import causes
from fitlib.tables.individuals import ENOUGH_RUNS
from fitlib.tables.metric_series import main_arms

VIEWS = {
    causes.CONTROL: "control: neither",
    causes.IMPLEMENTATION: "implementation only",
    causes.ALGORITHM: "algorithm only: the seed",
    causes.BOTH: "both",
}
MOST_PAIRS, MOST_RANGES = 24, 2  # pairs in the table; metrics whose range of spreads is described
FITS = {"yes": "FIT", "by design": "a seed differs", "no": "not FIT", "unknown": "not known"}


def show(page: Page, frames: Mapping[str, pd.DataFrame], plan: Mapping, evidence: Sequence[Mapping]) -> None:
    """Display the section; nothing where the experiment has one arm only, on one kind of hardware."""
    table, tests, churn = (frames[name] for name in ("causes", "cause_tests", "cause_churn"))
    if table.empty:
        return
    heading("Which cause spreads how much?")
    show_text(sentences(table, tests, plan))
    for attribute in plan["groups"]:
        rows = table[table["attribute"] == attribute]
        for technique, own in rows.groupby("technique", sort=False):
            figure, alt = causes_figure(own, tests, churn, plan), alt_causes(own)
            name = "causes" if rows["technique"].nunique() == 1 else f"causes-{technique}"
            page.figure(name, attribute, figure, alt, caption_figure(plan, own, rows["technique"].nunique() > 1))
    page.show(SOURCES, table)
    page.show(SPREAD, table)
    page.show(CHURN, churn)
    page.show(TESTS, tests)


# Sentences


def sentences(table: pd.DataFrame, tests: pd.DataFrame, plan: Mapping) -> list[str]:
    """Return what the arms show: range of spreads, distinct results, tests with power, what is compared where."""
    texts = [*_ranges(table, tests), _four(table, tests), _effective(table), *_controls(table)]
    texts += [*_omnibus(tests), _pairs(tests), _hardware(table), _main(table, plan)]
    return [text for text in texts if text]


def _ranges(table: pd.DataFrame, tests: pd.DataFrame) -> Iterator[str]:
    """Yield, for each metric, the arms with the smallest and the largest SD, of those that vary."""
    for metric in tested_metrics(table, tests)[:MOST_RANGES]:
        for (technique, attribute), rows in _varying(table[table["metric"] == metric]):
            low, high = rows.loc[rows["sd"].idxmin()], rows.loc[rows["sd"].idxmax()]
            ends = " to ".join(f"{_sd(row)} points in arm {arm_label(row)}" for row in (low, high))
            name = f"{technique}{_by(table, attribute)}, {metric}"
            yield f"{name}: of the {len(rows)} arms in which it varies, the SD over runs goes from {ends}."


def _varying(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield the arms with a spread of FIT runs, or of runs that differ by design, if their SDs are not all equal."""
    for key, of in rows[(rows["sd"] > 0) & (rows["fit"] != "no")].groupby(["technique", "attribute"], sort=False):
        if of["sd"].nunique() > 1:
            yield key, of


def _by(table: pd.DataFrame, attribute: str) -> str:
    return f" by {attribute}" if table.loc[table["attribute"] != "", "attribute"].nunique() > 1 else ""


def _sd(row: Mapping) -> str:
    """Return an SD with its interval, in points."""
    if fmt.is_missing(row["sd"]):
        return fmt.NOT_ESTIMABLE
    if row["sd"] == 0:
        same = not fmt.is_missing(row["distinct"]) and row["distinct"] == 1
        return "0 (bit-identical)" if same else f"constant in all {row['n']} runs"
    known = not fmt.is_missing(row["sd_low"])
    return f"{fmt.points(row['sd'])} {fmt.span(row['sd_low'], row['sd_high'])}" if known else fmt.points(row["sd"])


def _four(table: pd.DataFrame, tests: pd.DataFrame) -> str:
    """Compare algorithm, implementation and both on the first metric: one arm each."""
    rows = _four_rows(table, (tested_metrics(table, tests) or [""])[0])
    texts = [f"{row['view']} ({arm_label(row)}) {_sd(row)}" for row in rows if row["view"] != causes.CONTROL]
    if len(texts) < 2:
        return ""
    whose = f" of {rows[-1]['technique']}" if table["technique"].nunique() > 1 else ""
    whose += _by(table, rows[-1]["attribute"])
    return (
        f"SD of {rows[-1]['metric']}{whose} by source, in points: {'; '.join(texts)}. These are compared, not added "
        "up: variances of single causes do not sum to that of all together."
    )


def _four_rows(table: pd.DataFrame, metric: str) -> list[Mapping]:
    """Return the first arm of each view for one metric, of the first technique and attribute, as `VIEWS` has them."""
    first = table.iloc[0]
    mine = table[(table["technique"] == first["technique"]) & table["attribute"].isin(["", first["attribute"]])]
    mine = mine[mine["metric"].isin(["", metric])]
    found = (mine[mine["view"] == view] for view in VIEWS)
    return [rows.iloc[0].to_dict() for rows in found if len(rows)]


def _effective(table: pd.DataFrame) -> str:
    """Name the arms with fewer distinct results than runs."""
    rows = table[(table["metric"] != "")].drop_duplicates(["technique", "arm", "hardware"])
    few = rows[rows["distinct"].notna() & (rows["distinct"] < rows["n"])]
    if rows["distinct"].isna().all():
        return ""
    if few.empty:
        where = "In every arm" if rows["distinct"].notna().all() else "Wherever it was recorded,"
        return f"{where} all runs ended in different weights or predictions: the effective n is the number of runs."
    several = table["technique"].nunique() > 1
    texts = [_whose(row, several) + f"{arm_label(row)} {_distinct(row)}" for row in few.to_dict("records")]
    return f"Effective n (different final weights and predictions), where it is below n: {fmt.join_items(texts, 8)}."


def _whose(row: Mapping, several: bool) -> str:
    return f"{row['technique']}, " if several else ""


def _distinct(row: Mapping) -> str:
    return f"{row['distinct']} of {row['n']}" + (" (bit-identical)" if row["distinct"] == 1 else "")


def _controls(table: pd.DataFrame) -> Iterator[str]:
    for row in table[table["view"] == causes.CONTROL].to_dict("records"):
        if row["metric"] in ("", "accuracy"):
            yield f"{row['technique']}, arm {row['arm']}: {row['note'] or 'not judged'}."


def _omnibus(tests: pd.DataFrame) -> Iterator[str]:
    """Yield whether spreads differ at all, by set of arms."""
    rows = tests[(tests["test"] == causes.OMNIBUS) & tests["p"].notna()]
    for name, of in rows.groupby("arm_a", sort=False):
        several = tests["technique"].nunique() > 1
        texts = [
            f"{_whose(row, several)}{row['metric']}{_by(tests, row['attribute'])} {_p(row['p_holm'])}"
            for row in of.to_dict("records")
        ]
        yield (
            f"Do the spreads of {fmt.value_range(of['n_arms'], str)} arms ({name}) differ at all? Corrected p (Holm, "
            f"{fmt.count(int(of['family_size'].iloc[0]), 'test')}): {fmt.join_items(texts, 14)}; power to show one arm "
            f"with 1.5 times the others' SD: {fmt.value_range(of['power'], fmt.power)}."
        )


def _p(value: float) -> str:
    return fmt.probability(value)


def _pairs(tests: pd.DataFrame) -> str:
    rows = tests[(tests["test"] == causes.PAIR) & tests["p"].notna()]
    if rows.empty:
        return ""
    shown = rows[rows["p_holm"] <= rows["alpha"]]
    pairs = f"{len(shown)} of {fmt.count(len(rows), 'pair of arms', 'pairs of arms and metric')}"
    tests_made = fmt.count(int(rows["family_size"].iloc[0]), "test")
    text = f"After Holm's correction over {tests_made}, {pairs} {'differs' if len(shown) == 1 else 'differ'} in spread"
    if len(shown) == len(rows):
        return f"{text}."
    return (
        f"{text}. This does not show that the others are equal: the power of one such test to show an SD ratio of 1.5 "
        f"was {fmt.value_range(rows['power'], fmt.power)}."
    )


def _hardware(table: pd.DataFrame) -> str:
    kinds = [name for name in dict.fromkeys(table["hardware"]) if name]
    if len(kinds) < 2:
        return ""
    return (
        f"Runs come from {len(kinds)} kinds of hardware ({fmt.join_items(kinds)}): they are kept apart "
        "here as a factor, not pooled; runs of an arm that mixes them are no FIT runs and are not compared elsewhere "
        "in this report."
    )


def _main(table: pd.DataFrame, plan: Mapping) -> str:
    if len(plan["techniques"]) < 2:
        return ""
    arms = [arm["arm"] for arm in main_arms(plan)]
    which = f"arm {arms[0]}, the first one" if len(arms) == 1 else f"the arms {fmt.join_items(arms, 16)}"
    return f"Techniques are compared in {which}, only."


def _compared_arms(plan: Mapping) -> list[dict]:
    return causes.compared_arms(dict(plan))


# Tables for readers


def sources_view(table: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return control, implementation, algorithm and both (after Zhuang et al.): the first arm of each, SD by metric."""
    found = []
    for (technique, attribute), rows in table[table["metric"] != ""].groupby(["technique", "attribute"], sort=False):
        control = table[(table["technique"] == technique) & (table["metric"] == "") & (table["view"] == causes.CONTROL)]
        for name, source in VIEWS.items():
            own = pd.concat([rows, control])
            own = own[own["view"] == name]
            if len(own):
                own = own[(own["arm"] == own["arm"].iloc[0]) & (own["hardware"] == own["hardware"].iloc[0])]
                row = _spread_row(own, table, technique, attribute)
                named = {"Technique": row.pop("Technique")} if "Technique" in row else {}
                found.append({**named, "Source": source, **row})
    view = pd.DataFrame(found).fillna("–")
    return view if len(view) > 2 else view.iloc[:0]


def spread_view(table: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return one row per arm: noise, n, distinct results, SD of every metric with its interval."""
    rows = table[table["metric"] != ""]
    keys = ["technique", "attribute", "arm", "hardware"]
    found = [_spread_row(own, table, key[0], key[1]) for key, own in rows.groupby(keys, sort=False)]
    return pd.DataFrame(found).fillna("–")


def _spread_row(own: pd.DataFrame, table: pd.DataFrame, technique: str, attribute: str) -> dict[str, str]:
    first = own.iloc[0]
    named = f"{technique}{_by(table, attribute)}" if table["technique"].nunique() > 1 or _by(table, attribute) else ""
    row = {"Technique": named} if named else {}
    row |= {"Arm": arm_label(first), "Noise": words.noise(first), "n": str(first["n"])}
    row |= {"Runs": FITS.get(first["fit"], first["fit"])}
    row |= {"Distinct": "not known" if fmt.is_missing(first["distinct"]) else str(first["distinct"])}
    return row | {r["metric"]: _sd(r) for r in own.to_dict("records") if r["metric"]}


def churn_view(churn: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return one row per arm: churn of everybody and of each group, with intervals."""
    found = []
    for (technique, attribute, arm), rows in churn.groupby(["technique", "attribute", "arm"], sort=False):
        several = churn["technique"].nunique() > 1 or _by(churn, attribute)
        row = {"Technique": f"{technique}{_by(churn, attribute)}"} if several else {}
        row |= {"Arm": arm}
        for r in rows.to_dict("records"):
            group = "Everybody" if fmt.is_missing(r["group"]) else str(plan["groups"][attribute][int(r["group"])])
            row[group] = _churn(r)
        found.append(row)
    return pd.DataFrame(found).fillna("–")


def _churn(row: Mapping) -> str:
    if fmt.is_missing(row["churn"]):
        return fmt.NOT_ESTIMABLE
    known = not fmt.is_missing(row["churn_low"])
    return fmt.points(row["churn"]) + (f" {fmt.span(row['churn_low'], row['churn_high'])}" if known else "")


def tests_view(tests: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Return the omnibus tests, then the pairs with the smallest p, at most `MOST_PAIRS`."""
    pairs = tests[tests["test"] == causes.PAIR].sort_values("p", kind="stable").head(MOST_PAIRS)
    rows = pd.concat([tests[tests["test"] == causes.OMNIBUS], pairs])
    return pd.DataFrame([_test_row(row, tests) for row in rows.to_dict("records")])


def _test_row(row: Mapping, tests: pd.DataFrame) -> dict[str, str]:
    whole = row["test"] == causes.OMNIBUS
    who = f"{row['arm_a']} ({row['n_arms']} at once)" if whole else f"{row['arm_a']} v {row['arm_b']}"
    several = tests["technique"].nunique() > 1
    n = [row["n_a"]] if row["n_a"] == row["n_b"] else [row["n_a"], row["n_b"]]
    return {
        "Arms": f"{row['technique']}: {who}" if several else who,
        "Metric": row["metric"] + _by(tests, row["attribute"]),
        "n": " and ".join(map(str, n)),
        "SDs": f"{fmt.points(row['sd_a'])} {'to' if whole else 'v'} {fmt.points(row['sd_b'])}",
        "Ratio": fmt.decimals(row["ratio"]),
        "p": _p(row["p"]),
        "Holm": _p(row["p_holm"]),
        "BH": _p(row["p_bh"]),
        "BY": _p(row["p_by"]),
        "Power": fmt.power(row["power"]),
    }


# Captions


def caption_figure(plan: Mapping, table: pd.DataFrame, several: bool = False) -> str:
    """Caption the figure, which names its technique where there are several."""
    whose = f"{table['technique'].iloc[0]}: " if several else ""
    about = (
        f"{whose}SD over runs with Bonett's 95 % interval, by arm, in points; circle: implementation noise, square: "
        "the seed, diamond: both, triangle: one purpose of the seed. Last: churn, with its 95 % interval. No test is "
        "shown."
    )
    return _caption(plan, table["n"], about)


def caption_tests(plan: Mapping, tests: pd.DataFrame) -> str:
    """Caption the table of tests."""
    sizes = {name: int(tests.loc[tests["test"] == name, "p"].notna().sum()) for name in (causes.PAIR, causes.OMNIBUS)}
    shown = min(MOST_PAIRS, int((tests["test"] == causes.PAIR).sum()))
    about = (
        "Brown-Forsythe tests on raw values, with no smallest attainable p unless the statistic is infinite. They "
        "compare mean distances from the median, so SDs may point the other way. Corrected over "
        f"{fmt.count(sizes['pair'], 'pair')} and over {fmt.count(sizes['omnibus'], 'omnibus test')}; power for an SD "
        f"ratio of 1.5 at the corrected level. Shown: all omnibus tests and the {fmt.count(shown, 'pair')} with the "
        "smallest p."
    )
    return _caption(plan, run_counts(tests), about)


def _caption(plan: Mapping, sizes: pd.Series, about: str) -> str:
    """Return a caption as usual, but with all arms of the first seed in place of the main one."""
    arms = [{**arm, "role": "main"} for arm in _compared_arms(plan)]
    seeds = " Arms of seeds have a seed for each run in place of the fixed one."
    return caption(
        {**plan, "arms": arms}, sizes, about + (seeds if any(a["kind"] == "comparison" for a in arms) else "")
    )


SOURCES = ReaderTable(
    "Four views of the spread",
    Caption(
        "SD over runs in points, with Bonett's 95 % interval (5 runs or more); sources after Zhuang et al. (MLSys "
        "2022). Causes are compared, never added up. No test is made here.",
        line=_caption,
    ),
    sources_view,
    table_files.CAUSES,
)
SPREAD = ReaderTable(
    "Spread by cause",
    Caption(
        "SD over runs in points, with Bonett's 95 % interval (5 runs or more), over the classes that are defined in "
        "every run of all arms. Distinct: different final weights and predictions (SHA-256), the effective n. Arms of "
        "seeds are no FIT runs. No test is made here.",
        line=_caption,
    ),
    spread_view,
    table_files.CAUSES,
)
CHURN = ReaderTable(
    "Churn by cause",
    Caption(
        "Churn in %: share of pairs of runs that disagree about a test row; of a group within the true classes. "
        "Intervals: 95 %, bootstrap over runs and test units (3 runs or more; too narrow with fewer than "
        f"{ENOUGH_RUNS} where runs differ as wholes). No test is made here.",
        line=_caption,
    ),
    churn_view,
    table_files.CAUSE_CHURN,
)
TESTS = ReaderTable("Spreads compared", caption_tests, tests_view, table_files.CAUSE_TESTS)
