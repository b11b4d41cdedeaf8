"""The tables of persons: churn by group within the true class, and the sweep over thresholds.

The long tables `persons` of all techniques (`fitlib.metrics.long_tables`) in, pandas frames out, in plan order and with
main arms only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from fitlib.metrics.individuals import ABOVE, FEWEST_RUNS
from fitlib.metrics.threshold_sweep import FIGURES, SWEPT
from fitlib.statistics.estimates import NOT_ESTIMABLE
from fitlib.tables.fit_findings import CheckFit, Findings
from fitlib.tables.metric_series import main_arms
from fitlib.tables.schemas import INDIVIDUALS, THRESHOLDS, Json, joined, table_of

INTERVAL = "bootstrap over runs and test units (crossed), percentiles, 95 %"
FEW = f"interval {NOT_ESTIMABLE}fewer than {FEWEST_RUNS} runs"
OUTSIDE = NOT_ESTIMABLE + "scores outside 0 to 1"
ALL = -1  # stands for "all" among targets and groups

Values = dict[tuple[str, float | None], tuple[float, float, float]]  # (quantity, at) -> value, low, high


def individuals(
    persons: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """Churn per technique, main arm, attribute, target ("overall" or class) and group (missing: everybody).

    ``rows``: test rows (multi-label: rows and labels), and ``n_runs`` behind it. ``churn``: probability that two runs
    disagree, of a group within the true classes; ``gap``: the group's churn - that of all other groups, within the
    true classes; both with intervals over runs and test units. ``ambiguity``: expected share on which not all of
    ``ambiguity_runs`` runs agree, for as many runs as every technique has. Shares of rows: ``share_never`` (no pair of
    runs disagrees), ``share_coin_flip`` (half the pairs or more do), ``above_10`` to ``above_40`` (churn beyond .1 to
    .4); ``churn_median``, ``churn_90``, ``churn_99``: quantiles over rows. Bit-identical runs get no interval.
    """
    known, places = Findings(evidence, check_fit, plan), list(_places(plan, _cells(persons)))
    common = min((n for n in (_runs(found) for *_, found in places) if n > 1), default=0)
    rows = []
    for technique, arm, keys, found in places:
        same, fit = known.bit_identical(technique, arm), known.fit(technique, arm)
        for (target, group), values in sorted(found.items()):
            if ("rows", None) not in values:
                continue
            row = keys | {"target": "overall" if target == ALL else str(target), "fit": fit, "n_runs": _runs(found)}
            row |= {"group": None if group == ALL else group} | _churn(values, common)
            rows.append(row | _certainty(row, same))
    return table_of(rows, INDIVIDUALS)


def thresholds(
    persons: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """The sweep of the favourable class (none declared: class 1) per technique, main arm, attribute and threshold.

    Accuracy, DP, EOFP, EOTP and impact ratio (``ratio``): mean, SD, smallest and largest over the ``n`` runs;
    ``below_four_fifths``: share of the ``n_ratio`` runs with a defined impact ratio in which it lies below 0.8. Empty
    where predictions have no scores; one row with a note where these lie outside 0 to 1.
    """
    known, cells = Findings(evidence, check_fit, plan), _cells(persons)
    favourable = plan["analysis"].get("favourable")
    target, rows = 1 if favourable is None else int(favourable), []
    for technique, arm, keys, found in _places(plan, cells):
        shared = keys | {"target": target, "n": _runs(found), "fit": known.fit(technique, arm)}
        if ("threshold refused", None) in found.get((ALL, ALL), {}):
            rows.append(shared | {"note": OUTSIDE})
        values = {at: _swept(found, target, at) for at in _grid(found, target)}
        rows += [shared | {"threshold": at} | row for at, row in values.items()]
    return table_of(rows, THRESHOLDS)


# Rows of the long table


def _cells(persons: pd.DataFrame | None) -> dict[tuple[str, str, str], dict[tuple[int, int], Values]]:
    """(technique, arm, attribute) -> (target, group) -> values; metrics of the sweep go by "quantity metric"."""
    found: dict = {}
    if persons is None or persons.empty:
        return found
    places = zip(*(persons[name] for name in ("technique", "arm", "attribute")), strict=True)
    numbers = zip(*(persons[name].fillna(ALL).astype("int64") for name in ("target", "group")), strict=True)
    metric = persons["metric"].astype("object").where(persons["metric"].notna(), "")
    names = (f"{quantity} {metric}".strip() for quantity, metric in zip(persons["quantity"], metric, strict=True))
    at = (None if np.isnan(value) else float(value) for value in persons["at"].astype("float64"))
    values = zip(*(persons[name].astype("float64") for name in ("value", "low", "high")), strict=True)
    for place, cell, name, where, value in zip(places, numbers, names, at, values, strict=True):
        found.setdefault(place, {}).setdefault(cell, {})[name, where] = value
    return found


def _places(plan: Json, cells: Mapping) -> Iterator[tuple[Json, Json, Json, dict]]:
    """Technique, arm, keys of the row and what is known, in plan order."""
    for technique in plan["techniques"]:
        for arm in main_arms(plan):
            for attribute in plan["groups"]:
                place = (technique["technique"], arm["arm"], attribute)
                if place in cells:
                    keys = dict(zip(("technique", "arm", "attribute"), place, strict=True)) | {"seed": arm["seed"]}
                    yield technique, arm, keys, cells[place]


def _runs(found: Mapping) -> int:
    return int(found[ALL, ALL]["runs", None][0])


# Churn


def _churn(values: Values, common: int) -> Json:
    nothing = (np.nan, np.nan, np.nan)
    row = {"rows": int(values["rows", None][0])}
    for name, quantity in {"churn": "churn", "gap": "churn gap"}.items():
        found = values.get((quantity, None), nothing)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
    single = {"share_never": ("share never", None), "share_coin_flip": ("share coin flip", None)}
    single |= {f"above_{round(100 * x)}": ("share above", x) for x in ABOVE if x}
    single |= {name: ("churn quantile", q) for name, q in _QUANTILES.items()}
    row |= {name: values.get(key, nothing)[0] for name, key in single.items()}
    expected = values.get(("ambiguity", float(common)), nothing)[0]
    return row if np.isnan(expected) else row | {"ambiguity": expected, "ambiguity_runs": common}


_QUANTILES = {"churn_median": 0.5, "churn_90": 0.9, "churn_99": 0.99}


def _certainty(row: Json, same: str) -> Json:
    """Interval method and note; without an interval where the runs are bit-identical or nothing changed."""
    if same:
        ends = dict.fromkeys(("churn_low", "churn_high", "gap_low", "gap_high"), np.nan)
        return ends | {"note": f"{same}: no interval"}
    if row["n_runs"] < FEWEST_RUNS:
        return {"note": FEW if row["n_runs"] > 1 else NOT_ESTIMABLE + "fewer than 2 runs"}
    if np.isnan(row["churn"]):
        empty = "no rows" if row["rows"] == 0 else "no other group has rows of these classes"
        return {"note": NOT_ESTIMABLE + empty}
    unchanged = f"no decision changed in {row['n_runs']} runs: no interval" if row["churn"] == 0 else ""
    return {"interval": "" if np.isnan(row["churn_low"]) else INTERVAL, "note": joined(unchanged)}


# Thresholds


def _grid(found: Mapping, target: int) -> list[float]:
    return [at for name, at in found.get((target, ALL), {}) if name == "threshold mean accuracy"]


def _swept(found: Mapping, target: int, at: float) -> Json:
    values, row = found[target, ALL], {}
    for metric in SWEPT:
        column = "ratio" if metric == "impact ratio" else metric
        names = (column, *(f"{column}_{figure}" for figure in FIGURES[1:]))
        row |= {name: values[f"threshold {f} {metric}", at][0] for name, f in zip(names, FIGURES, strict=True)}
    below, defined = (values[f"threshold {what} impact ratio", at][0] for what in ("below 0.8", "defined"))
    few = f"accuracy over {_runs(found)} runs, impact ratio undefined in all" if defined == 0 else ""
    return row | {"n_ratio": int(defined), "below_four_fifths": below / defined if defined else np.nan, "note": few}
