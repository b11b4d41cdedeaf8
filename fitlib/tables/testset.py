"""The tables "components" and "selection", and columns of "summary": what the finite test set contributes.

``testset`` and ``counts`` are the long tables of `fitlib.metrics.long_tables`, of all techniques; ``plan`` as in
`fitlib.tables.runs_and_summary`. Rows in plan order, main arms only.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.metrics.counts import cells_of
from fitlib.metrics.long_tables import counts_array
from fitlib.metrics.signed_differences import SignedDifferences, signed_of
from fitlib.metrics.testset import COMPONENT_METRICS
from fitlib.statistics import estimates as st
from fitlib.tables.metric_series import Series, main_arms, names_of
from fitlib.tables.schemas import COMPONENTS, SELECTION, Json, integer_column, join_notes, table_of

HALF = "on half of the test set, where every metric is larger by chance than on all of it"
CHANCE = ("expectation", "chance_95", "chance_p")
COUNTED = ("chance_runs", "smallest_denominator")
SIGNED = ("signed_mean", "signed_low", "signed_high")
_Key = tuple[str, str, str]  # technique, arm, attribute
_Values = dict[tuple[str, str, int], float]  # quantity, metric, target (-1: overall) -> value


def by_place(testset: pd.DataFrame | None) -> dict[_Key, tuple[int, _Values]]:
    """Return {(technique, arm, attribute): (number of runs, {(quantity, metric, target): value})}.

    Target -1 = overall.
    """
    if testset is None or not len(testset):
        return {}
    places = {}
    for key, part in testset.groupby(["technique", "arm", "attribute"], sort=False):
        target = part["target"].astype("Int64").fillna(-1).astype(int)
        names = zip(part["quantity"], part["metric"], target.tolist(), strict=True)
        values = dict(zip(names, part["value"].astype(float).tolist(), strict=True))
        places[key] = int(part["n"].iloc[0]), values
    return places


# Summary


def summary_columns(
    series: Series, plan: Json, testset: pd.DataFrame | None, counts: pd.DataFrame | None
) -> dict[str, Any]:
    """Return columns of the summary, one value per row of ``series``: expectation to lower_group_changes.

    What chance gives is computed in the strict reading, so under the published one it is missing.
    """
    places, signed = by_place(testset), _signed_rows(counts, plan)
    columns = {name: np.full(len(series.values), np.nan) for name in (*CHANCE, *COUNTED)}
    rows: list[Mapping] = [{}] * len(series.values)
    for i in np.flatnonzero(series.keys["group"] == -1).tolist():
        technique, arm, attribute, metric = names_of(series, i, plan)
        place = (technique, arm, attribute)
        target, values = int(series.keys["target"][i]), places.get(place, (0, {}))[1]
        for name, column in columns.items():
            column[i] = values.get((name, metric, target), np.nan)
        rows[i] = signed.get((*place, metric, target), {})
    if plan["analysis"]["reading"] != "strict":
        columns |= {name: np.full(len(series.values), np.nan) for name in (*CHANCE, "chance_runs")}
    counted = {name: _whole_numbers(columns[name]) for name in COUNTED}
    names = ("signed_mean", "signed_low", "signed_high", "lower_group", "lower_group_changes")
    return columns | counted | {name: [row.get(name) for row in rows] for name in names}


def _whole_numbers(values: np.ndarray) -> Any:
    present = ~np.isnan(values)
    return integer_column(np.where(present, values, 0), present)


def denominator_note(smallest: float, plan: Json) -> str:
    """Return a note if a denominator is below the declared ``min_group``, else ""; ``smallest`` may be missing."""
    few = not pd.isna(smallest) and smallest < plan["analysis"].get("min_group", 0)
    return f"smallest denominator {int(smallest)} below min_group" if few else ""


def _signed_rows(counts: pd.DataFrame | None, plan: Json) -> dict[tuple, Json]:
    """Return {(technique, arm, attribute, metric, class): columns on the signed difference}."""
    if counts is None or not len(counts):
        return {}
    rows: dict[tuple, Json] = {}
    arms = {arm["arm"] for arm in main_arms(plan)}
    for key, part in counts.groupby(["technique", "arm", "attribute"], sort=False):
        if key[1] in arms and key[2] in plan["groups"]:
            names = plan["groups"][key[2]]
            table = counts_array(part, len(plan["classes"]), len(names))[1]
            signed = signed_of(cells_of(table, "tp" in part))
            # metrics share one signed difference: each is described once
            described = {id(s): _describe(s, names) for s in signed.values()}
            rows |= {(*key, m, target): row for m, s in signed.items() for target, row in enumerate(described[id(s)])}
    return rows


def _describe(signed: SignedDifferences, names: list[str]) -> list[Json]:
    rows: list[Json] = [dict(zip(SIGNED, ends, strict=True)) for ends in _intervals(signed.values)]
    for target, row in enumerate(rows):
        if signed.directed[target]:
            row["lower_group"] = str(names[signed.lower[target]])
            row["lower_group_changes"] = int(signed.changes[target])
    return rows


def _intervals(values: np.ndarray) -> list[list[float]]:
    """Return mean and Student's t interval of each class over the runs where it is defined; (runs, classes) in."""
    defined = ~np.isnan(values)
    whole = defined.all(axis=0) & (len(values) > 0)
    ends = np.full((values.shape[1], 3), np.nan)
    if whole.any():
        ends[whole] = np.transpose(st.mean_intervals(np.ascontiguousarray(values[:, whole].T)))
    for target in np.flatnonzero(~whole & defined.any(axis=0)):
        ends[target] = st.mean_intervals(values[defined[:, target], target])
    return ends.tolist()


# Components


def components_table(testset: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Return the variance components of the signed differences DP, EOFP and EOTP.

    One row per technique, arm, attribute, metric and class. ``sd_between_runs``: of the runs on this test set;
    ``sd_total``: of one value with a new run and a new test set. ``variance_…`` are the unbiased estimates, which may
    be negative; their SD is then 0, with a note.
    """
    rows = [
        keys | {"metric": metric, "target": target} | _component_row(n, metric, target, values)
        for keys, n, values in _places(testset, plan)
        for metric in COMPONENT_METRICS
        for target in range(len(plan["classes"]))
    ]
    return table_of(rows, COMPONENTS)


_VARIANCES = {
    "variance_total": "sd_total",
    "variance_between_runs": "sd_between_runs",
    "variance_run": "sd_run",
    "variance_test_set": "sd_test_set",
    "variance_interaction": "sd_interaction",
    "floor": "floor_sd",
}
_SOURCES = {"variance_run": "run", "variance_test_set": "test set", "variance_interaction": "run × test set"}


def _component_row(n: int, metric: str, target: int, quantities: _Values) -> Json:
    values = {name: quantities.get((name, metric, target), np.nan) for name in _VARIANCES}
    row = {sd: float(np.sqrt(max(values[name], 0.0))) for name, sd in _VARIANCES.items()}
    row = {"n": n} | row | {name: values[name] for name in _SOURCES}
    negative = [source for name, source in _SOURCES.items() if values[name] < 0]
    return row | {
        "note": join_notes(_why_missing(n, values), f"estimated ≤ 0: {', '.join(negative)}" if negative else "")
    }


def _why_missing(n: int, values: Mapping[str, float]) -> str:
    if n < 2:
        return st.NOT_ESTIMABLE + "fewer than 2 runs"
    if np.isnan(values["variance_between_runs"]):
        return st.NOT_ESTIMABLE + "the difference is undefined"
    if np.isnan(values["variance_run"]) or np.isnan(values["variance_test_set"]):
        return st.NOT_ESTIMABLE + "too few test units to halve"
    return f"constant in all {n} runs" if values["variance_between_runs"] == 0 else ""


def _places(testset: pd.DataFrame, plan: Json) -> Iterator[tuple[Json, int, _Values]]:
    places = by_place(testset)
    for technique in plan["techniques"]:
        for arm in main_arms(plan):
            for attribute in plan["groups"]:
                place = (technique["technique"], arm["arm"], attribute)
                if place in places:
                    keys = dict(zip(("technique", "arm", "attribute"), place, strict=True)) | {"seed": arm["seed"]}
                    yield keys, *places[place]


# Selection


def selection_table(testset: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Return what becomes of the fairest of n runs, per technique, arm, attribute and bias metric (overall value).

    The run is chosen on a random half of the test units (``selected_on``) and reported on the other half
    (``selected_off``); ``mean``: of all runs on that half. ``regression`` = selected_off - selected_on.
    """
    rows = [
        keys | {"metric": metric, "n": n} | _selection_row(n, metric, values)
        for keys, n, values in _places(testset, plan)
        for metric in BIAS_METRICS
    ]
    return table_of(rows, SELECTION)


def _selection_row(n: int, metric: str, values: _Values) -> Json:
    on, off, mean = (values.get((name, metric, -1), np.nan) for name in ("selected_on", "selected_off", "mean_of_runs"))
    why = "fewer than 2 runs" if n < 2 else "no class is defined in every run on both halves"
    note = st.NOT_ESTIMABLE + why if np.isnan(off) else HALF
    return {"mean": mean, "selected_on": on, "selected_off": off, "regression": off - on, "note": note}
