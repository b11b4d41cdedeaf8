"""The finding with its size, in one sentence: what each technique does to the metric that the figure shows.

Pure functions of tables and plan, as `fitlib.report.sentences`; the verdicts are those that hold together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.formatting import count, decimals, is_missing, join_items
from fitlib.report.vocabulary import METRIC_NAMES, smallest_effect_text
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN, RUNS, TOO_FEW
from fitlib.tables.metric_series import main_arms, noise_name

QUANTITIES = {  # of the metrics whose name does not read as a quantity
    "DP": "the demographic parity difference",
    "EOFP": "the gap between false positive rates",
    "EOTP": "the gap between true positive rates",
}
FELL = re.compile(r"accuracy fell by ([\d.]+) points \[\d")  # in the warnings of a comparison; an interval above 0
NAMED = 3  # techniques with a verdict in common that are named, before the others are counted


def finding(
    comparisons: pd.DataFrame,
    over_seeds: pd.DataFrame,
    summary: pd.DataFrame,
    plan: Mapping,
    metric: str,
    absent: Sequence[str] = (),
) -> str:
    """Return what each technique does to ``metric`` (first attribute, first main arm), by how many points.

    "S-DI2 cuts disparate impact by 15 points; whether S-DI1 changes it, 16 runs cannot tell." Without a comparison: how
    far the runs of the first technique lie apart. ``absent``: techniques that were not run.
    """
    rows = _rows(over_seeds if len(over_seeds) else comparisons, plan, metric)
    quantity = QUANTITIES.get(metric, METRIC_NAMES.get(metric, metric)) + _attribute(plan)
    if rows.empty:
        return _spread(summary, plan, metric, quantity)
    if set(rows["verdict"]) == {TOO_FEW}:
        what = "seeds" if "n_seeds" in rows else "runs of a technique"
        return f"Fewer than {RUNS} {what}: a rehearsal, without a verdict."
    clauses = [
        text
        for verdict, describe in CLAUSES.items()
        for members in [rows[rows["verdict"] == verdict]]
        for text in ([describe(members, plan, metric)] if len(members) else [])
    ]
    rest = rows[~rows["verdict"].isin(list(CLAUSES))]["technique"]
    gone, rest = rest[rest.isin(list(absent))], rest[~rest.isin(list(absent))]
    clauses += [f"{join_items(gone, NAMED)} {'was' if len(gone) == 1 else 'were'} not run"] if len(gone) else []
    clauses += [f"there is no verdict on {join_items(rest, NAMED)}"] if len(rest) else []
    text = "; ".join(clauses).replace(QUANTITY, quantity, 1).replace(QUANTITY, "it")
    return f"{_where(rows, plan)}, {text}{_price(rows)}{_few(rows)}."


def _where(rows: pd.DataFrame, plan: Mapping) -> str:
    """Return "On this test set", and in which arm or under which noise where the experiment has several."""
    arms = main_arms(plan)
    if "noise" in rows:
        several = len(set(map(noise_name, arms))) > 1
        return f"Under noise {rows['noise'].iloc[0]}, on this test set" if several else "On this test set"
    return f"In arm {rows['arm'].iloc[0]}, on this test set" if len(arms) > 1 else "On this test set"


QUANTITY = "\0"  # placeholder: named where it comes first, "it" afterwards


def _price(rows: pd.DataFrame) -> str:
    """Return the accuracy that techniques with a lower value lost, "" where none did."""
    lower = rows[rows["verdict"].isin([FAIRER, LOWER])]
    found = {name: FELL.search(str(text)) for name, text in zip(lower["technique"], lower["warnings"], strict=True)}
    lost = sorted(((float(match[1]), name) for name, match in found.items() if match), reverse=True)
    if len(lost) == len(rows) == 1:
        return f", but its accuracy fell by {_size(lost[0][0])} points"
    listed = join_items([f"{name} by {_size(size)} points" for size, name in lost], NAMED)
    return f", but accuracy fell: {listed}" if lost else ""


def _few(rows: pd.DataFrame) -> str:
    """Return that seeds or runs are too few for an unqualified verdict, "" where they are not."""
    few = "qualification" in rows and (rows["qualification"] != "").any()
    return ", with too few seeds or runs for an unqualified verdict" if few else ""


def _rows(table: pd.DataFrame, plan: Mapping, metric: str) -> pd.DataFrame:
    """Return the rows of the metric in the declared reading, of the first attribute and the first arm or noise."""
    attribute = next(iter(plan["groups"]))
    chosen = (table["metric"] == metric) & (table["attribute"] == attribute)
    rows = table[chosen & (table["reading"] == plan["analysis"]["reading"])]
    place = "arm" if "arm" in rows else "noise"
    return rows[rows[place] == rows[place].iloc[0]] if len(rows) else rows


def _attribute(plan: Mapping) -> str:
    attributes = list(plan["groups"])
    return f" by {attributes[0]}" if len(attributes) > 1 else ""


# Clauses, one for the techniques of each verdict


def _cut(rows: pd.DataFrame, plan: Mapping, metric: str) -> str:
    return _by_how_much(rows, "cuts", "cut")


def _raised(rows: pd.DataFrame, plan: Mapping, metric: str) -> str:
    return _by_how_much(rows, "raises", "raise")


def _by_how_much(rows: pd.DataFrame, verb: str, plural: str) -> str:
    """Return "A cuts it by 15 points and B by 11": the largest change first; of many their range."""
    sizes = 100 * rows["difference"].astype(float).abs()
    order = sizes.sort_values(ascending=False).index
    if len(rows) > NAMED:
        ends = f"{_size(sizes.min())} to {_size(sizes.max())}"
        return f"{len(rows)} techniques {plural} {QUANTITY} by {ends} points, most {rows.loc[order[0], 'technique']}"
    first, *others = [(rows.loc[i, "technique"], _size(sizes[i])) for i in order]
    texts = [f"{first[0]} {verb} {QUANTITY} by {first[1]} points", *(f"{name} by {size}" for name, size in others)]
    return join_items(texts, NAMED)


def _lower(rows: pd.DataFrame, plan: Mapping, metric: str) -> str:
    return f"{_names(rows)} {_verb(rows, 'lower')} {QUANTITY}, by how much is open"


def _higher(rows: pd.DataFrame, plan: Mapping, metric: str) -> str:
    return f"{_names(rows)} {_verb(rows, 'raise')} {QUANTITY}, by how much is open"


def _unchanged(rows: pd.DataFrame, plan: Mapping, metric: str) -> str:
    effect = smallest_effect_text(plan, metric).removeprefix("±")
    return f"{_names(rows)} {_verb(rows, 'change')} {QUANTITY} by less than {effect}"


def _unknown(rows: pd.DataFrame, plan: Mapping, metric: str) -> str:
    if "n_seeds" in rows:
        sizes, noun = sorted({int(n) for n in rows["n_seeds"].dropna()}), "seed"
    else:
        sizes, noun = sorted({int(n) for n in rows[["n_technique", "n_baseline"]].min(axis=1)}), "run"
    known = count(sizes[0], noun) if len(sizes) == 1 else f"{join_items(sizes)} {noun}s"
    return f"whether {_names(rows)} {_verb(rows, 'change')} {QUANTITY}, {known} cannot tell"


CLAUSES = {FAIRER: _cut, LOWER: _lower, EQUIVALENT: _unchanged, OPEN: _unknown, HIGHER: _higher, LESS_FAIR: _raised}


def _names(rows: pd.DataFrame) -> str:
    return join_items(rows["technique"], NAMED)


def _verb(rows: pd.DataFrame, verb: str) -> str:
    return verb if len(rows) > 1 else f"{verb}s"


def _size(points: float) -> str:
    """Return points with two significant digits, as many as a reader keeps."""
    return decimals(points, 0 if points >= 9.95 else 1 if points >= 0.95 else 2)


def _spread(summary: pd.DataFrame, plan: Mapping, metric: str, quantity: str) -> str:
    """Return how far the runs of the first technique lie apart, where nothing is compared."""
    rows = _rows(summary[summary["target"] == "overall"], plan, metric)
    rows = rows[rows["arm"] == main_arms(plan)[0]["arm"]]
    if rows.empty or is_missing(rows.iloc[0]["min"]):
        return f"{quantity[0].upper()}{quantity[1:]} is not estimable."
    row = rows.iloc[0]
    low, high = (_size(100 * float(row[end])) for end in ("min", "max"))
    if row["n"] < 2:
        return f"One run of {row['technique']}: {quantity} of {low} points, and no other run to tell its luck."
    if row["maxdiff"] == 0:
        return f"In all {row['n']} runs of {row['technique']}, {quantity} was {low} points."
    return f"Over {row['n']} runs of {row['technique']}, {quantity} ranges from {low} to {high} points."
