"""The tables "individuals" and "thresholds": churn by group within the true class, and the threshold sweep.

The long tables `persons` of all techniques (`fitlib.metrics.long_tables`) in, pandas frames out, in plan order and with
main arms only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from fitlib.metrics.individuals import ABOVE, FEWEST_RUNS
from fitlib.metrics.threshold_sweep import FIGURES, SWEEP_METRICS
from fitlib.statistics.estimates import NOT_ESTIMABLE
from fitlib.tables.fit_findings import CheckFit, Findings
from fitlib.tables.metric_series import main_arms
from fitlib.tables.schemas import INDIVIDUALS, THRESHOLDS, Json, table_of

INTERVAL = "bootstrap over runs and test units (crossed), percentiles, 95 %"
FEW = f"interval {NOT_ESTIMABLE}fewer than {FEWEST_RUNS} runs"
ENOUGH_RUNS = 8  # for an interval that covers: of runs that differ as wholes, 3 cover .75, 5 .87, 8 .93
NARROW = f"interval too narrow where runs differ as wholes: fewer than {ENOUGH_RUNS} runs"
OUTSIDE = NOT_ESTIMABLE + "scores outside 0 to 1"
ALL = -1  # all targets, or all groups

Values = dict[tuple[str, float | None], tuple[float, float, float]]  # {(quantity, at): (value, low, high)}
Cells = dict[tuple[int, int], Values]  # {(target, group): values}


def individuals(
    persons: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """Return churn per technique, main arm, attribute, target ("overall" or class) and group (missing: all).

    ``rows``: test rows (multi-label: rows and labels), and ``n_runs`` behind it. ``churn``: probability that two runs
    disagree, of a group within the true classes; ``gap``: the group's churn - that of all other groups, within the
    true classes; both with intervals over runs and test units. ``ambiguity``: expected share on which not all of
    ``ambiguity_runs`` runs agree, for as many runs as every technique has. Shares of rows: ``share_never`` (no pair of
    runs disagrees), ``share_coin_flip`` (half the pairs or more do), ``above_10`` to ``above_40`` (churn beyond .1 to
    .4); ``churn_median``, ``churn_90``, ``churn_99``: quantiles over rows. Bit-identical runs get no interval; one of
    fewer than `ENOUGH_RUNS` runs is too narrow where runs differ as wholes, with a note.
    """
    findings, places = Findings(evidence, check_fit, plan), list(_places(plan, _cells(persons)))
    common = min((n for n in (_runs(cells) for *_, cells in places) if n > 1), default=0)
    rows = []
    for technique, arm, keys, cells in places:
        same, fit = findings.bit_identical(technique, arm), findings.fit(technique, arm)
        for (target, group), values in sorted(cells.items()):
            if ("rows", None) not in values:
                continue
            row = keys | {"target": "overall" if target == ALL else str(target), "fit": fit, "n_runs": _runs(cells)}
            row |= {"group": None if group == ALL else group} | _churn(values, common)
            rows.append(row | _interval_and_note(row, same))
    return table_of(rows, INDIVIDUALS)


def thresholds(
    persons: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """Return the sweep of the favourable class (default: class 1) per technique, main arm, attribute and threshold.

    Accuracy, DP, EOFP, EOTP and impact ratio (``ratio``): mean, SD, smallest and largest over the ``n`` runs;
    ``below_four_fifths``: share of the ``n_ratio`` runs with a defined impact ratio in which it is below 0.8. Empty
    where predictions have no scores; one row with a note where these are outside 0 to 1.
    """
    findings, by_place = Findings(evidence, check_fit, plan), _cells(persons)
    favourable = plan["analysis"].get("favourable")
    target, rows = 1 if favourable is None else int(favourable), []
    for technique, arm, keys, cells in _places(plan, by_place):
        shared = keys | {"target": target, "n": _runs(cells), "fit": findings.fit(technique, arm)}
        if ("threshold refused", None) in cells.get((ALL, ALL), {}):
            rows.append(shared | {"note": OUTSIDE})
        values = {at: _threshold_row(cells, target, at) for at in _grid(cells, target)}
        rows += [shared | {"threshold": at} | row for at, row in values.items()]
    return table_of(rows, THRESHOLDS)


# Rows of the long table


def _cells(persons: pd.DataFrame | None) -> dict[tuple[str, str, str], Cells]:
    """Return {(technique, arm, attribute): {(target, group): values}}; metrics of the sweep are "quantity metric"."""
    by_place: dict[tuple[str, str, str], Cells] = {}
    if persons is None or persons.empty:
        return by_place
    places = zip(*(persons[name] for name in ("technique", "arm", "attribute")), strict=True)
    numbers = zip(*(persons[name].fillna(ALL).astype("int64") for name in ("target", "group")), strict=True)
    metric = persons["metric"].astype("object").where(persons["metric"].notna(), "")
    names = (f"{quantity} {metric}".strip() for quantity, metric in zip(persons["quantity"], metric, strict=True))
    at = (None if np.isnan(value) else float(value) for value in persons["at"].astype("float64"))
    values = zip(*(persons[name].astype("float64") for name in ("value", "low", "high")), strict=True)
    for place, cell, name, where, value in zip(places, numbers, names, at, values, strict=True):
        by_place.setdefault(place, {}).setdefault(cell, {})[name, where] = value
    return by_place


def _places(plan: Json, by_place: Mapping[tuple[str, str, str], Cells]) -> Iterator[tuple[Json, Json, Json, Cells]]:
    """Return technique, arm, keys of the row and cells of every place with values, in plan order."""
    for technique in plan["techniques"]:
        for arm in main_arms(plan):
            for attribute in plan["groups"]:
                place = (technique["technique"], arm["arm"], attribute)
                if place in by_place:
                    keys = dict(zip(("technique", "arm", "attribute"), place, strict=True)) | {"seed": arm["seed"]}
                    yield technique, arm, keys, by_place[place]


def _runs(cells: Cells) -> int:
    return int(cells[ALL, ALL]["runs", None][0])


# Churn


def _churn(values: Values, common: int) -> Json:
    missing = (np.nan, np.nan, np.nan)
    row: Json = {"rows": int(values["rows", None][0])}
    for name, quantity in {"churn": "churn", "gap": "churn gap"}.items():
        ends = values.get((quantity, None), missing)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    single: dict[str, tuple[str, float | None]]
    single = {"share_never": ("share never", None), "share_coin_flip": ("share coin flip", None)}
    single |= {f"above_{round(100 * x)}": ("share above", x) for x in ABOVE if x}
    single |= {name: ("churn quantile", q) for name, q in _QUANTILES.items()}
    row |= {name: values.get(key, missing)[0] for name, key in single.items()}
    expected = values.get(("ambiguity", float(common)), missing)[0]
    return row if np.isnan(expected) else row | {"ambiguity": expected, "ambiguity_runs": common}


_QUANTILES = {"churn_median": 0.5, "churn_90": 0.9, "churn_99": 0.99}


def _interval_and_note(row: Json, same: str) -> Json:
    """Return interval method and note; no interval where the runs are bit-identical or no decision changed."""
    if same:
        ends = dict.fromkeys(("churn_low", "churn_high", "gap_low", "gap_high"), np.nan)
        return ends | {"note": f"{same}: no interval"}
    if row["n_runs"] < 2:
        return {"note": NOT_ESTIMABLE + "fewer than 2 runs"}
    if np.isnan(row["churn"]):
        empty = "no rows" if row["rows"] == 0 else "no other group has rows of these classes"
        return {"note": NOT_ESTIMABLE + empty}
    if row["churn"] == 0:
        return {"interval": "", "note": f"no decision changed in {row['n_runs']} runs: no interval"}
    if row["n_runs"] < FEWEST_RUNS:
        return {"note": FEW}
    present = not np.isnan(row["churn_low"])
    return {"interval": INTERVAL if present else "", "note": NARROW if present and row["n_runs"] < ENOUGH_RUNS else ""}


# Thresholds


def _grid(cells: Cells, target: int) -> list[float]:
    names = cells.get((target, ALL), {})
    return [at for name, at in names if name == "threshold mean accuracy" and at is not None]


def _threshold_row(cells: Cells, target: int, at: float) -> Json:
    values = cells[target, ALL]
    row: Json = {}
    for metric in SWEEP_METRICS:
        column = "ratio" if metric == "impact ratio" else metric
        names = (column, *(f"{column}_{figure}" for figure in FIGURES[1:]))
        row |= {name: values[f"threshold {f} {metric}", at][0] for name, f in zip(names, FIGURES, strict=True)}
    below, defined = (values[f"threshold {what} impact ratio", at][0] for what in ("below 0.8", "defined"))
    few = f"accuracy over {_runs(cells)} runs, impact ratio undefined in all" if defined == 0 else ""
    return row | {"n_ratio": int(defined), "below_four_fifths": below / defined if defined else np.nan, "note": few}
