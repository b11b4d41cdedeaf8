"""The long table of metrics as one row per metric with the runs side by side, in plan order.

Every table of an experiment starts from it. Only main arms and the declared reading enter; accuracy and custom metrics
have no reading and are included under either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from fitlib.errors import InputError
from fitlib.formatting import is_missing
from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.tables.schemas import Json


def metrics_of(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the metrics of an experiment in the order of all tables: fitlib's, custom ones, accuracy.

    >>> metrics_of({"analysis": {"metrics": {"worst group": {}}}})[5:]
    ('EOTP', 'BA', 'worst group', 'accuracy')
    """
    return (*bias_metrics_of(plan["analysis"]), "accuracy")


def main_arms(plan: Mapping[str, Any]) -> list[Json]:
    """Return the arms that carry results, in plan order; control arms and causes do not.

    >>> main_arms({"arms": [{"arm": "ulp", "role": "main"}, {"arm": "none", "role": "control"}]})
    [{'arm': 'ulp', 'role': 'main'}]
    """
    return [arm for arm in plan["arms"] if arm["role"] == "main"]


def noise_name(arm: Mapping[str, Any]) -> str:
    """Return the arm's name without its seed, equal for all arms that differ in the seed only.

    >>> noise_name({"arm": "seed3.ulp-k100", "seed": 3})
    'ulp-k100'
    """
    return str(arm["arm"]).removeprefix(f"seed{arm['seed']}.")


def retraining(arm: Mapping[str, Any]) -> str:
    """Name the kind of retraining that a risk of this arm covers, by what its runs share."""
    if arm.get("noise") == "random_state":  # each run has one of its own
        return "same training rows"
    return "same conditions (seed not recorded)" if is_missing(arm.get("seed")) else "same seed"


@dataclass(frozen=True)
class Series:
    """Metric values by technique, arm, attribute, metric, target and group (rows) and run (columns)."""

    keys: dict[str, np.ndarray]  # each (rows,): positions in the plan; target and group -1 where null
    values: np.ndarray  # (rows, runs), NaN where undefined or where a technique has fewer runs
    runs: np.ndarray  # (rows, runs), run numbers, -1 where a technique has fewer runs
    undefined: np.ndarray  # (rows,), the most undefined classes in one run
    remainders: np.ndarray  # (rows, runs), what the exact values exceed `values` by; 0 where not recorded

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of runs of each row, (rows,)."""
        return (self.runs >= 0).sum(axis=1)


def series_of(metrics: pd.DataFrame, plan: Json) -> Series:
    """Return the long table's values of the declared reading and main arms, in plan order.

    Raises InputError if the metrics lack the declared reading.
    """
    chosen = _declared(metrics, plan)
    keys = _keys(chosen, plan)
    kept = np.logical_and.reduce([keys[name] >= 0 for name in ("technique", "arm", "attribute", "metric")])
    order = np.lexsort([keys[name][kept] for name in reversed(keys)])  # the last key of lexsort is the primary one
    keys = {name: code[kept][order] for name, code in keys.items()}
    run = keys.pop("run")
    stacked = np.stack(list(keys.values()))
    first = np.ones(run.size, dtype=bool)  # a series starts wherever a key other than the run changes
    first[1:] = (stacked[:, 1:] != stacked[:, :-1]).any(axis=0)
    return _side_by_side({name: code[first] for name, code in keys.items()}, first, run, chosen[kept].iloc[order])


def _side_by_side(keys: dict[str, np.ndarray], first: np.ndarray, run: np.ndarray, chosen: pd.DataFrame) -> Series:
    row, starts = np.cumsum(first) - 1, np.flatnonzero(first)
    column = np.arange(run.size) - starts[row]
    shape = (starts.size, int(column.max()) + 1 if run.size else 0)
    values, numbers = np.full(shape, np.nan), np.full(shape, -1, dtype=np.int64)
    values[row, column], numbers[row, column] = chosen["value"].to_numpy(np.float64), run
    undefined, remainders = _integers(chosen["n_undefined"], 0), np.zeros(shape)
    if "remainder" in chosen:  # absent from metrics of an earlier version
        remainders[row, column] = chosen["remainder"].to_numpy(np.float64)
    most = np.maximum.reduceat(undefined, starts) if run.size else undefined
    return Series(keys, values, numbers, most, remainders)


def _declared(metrics: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Return the rows of the declared reading, and accuracy and custom metrics from whichever reading has them."""
    reading = plan["analysis"]["reading"]
    no_reading, declared = metrics["metric"] == "accuracy", metrics["reading"] == reading
    if plan["analysis"].get("metrics"):
        no_reading |= metrics["metric"].isin(list(plan["analysis"]["metrics"]))
    if len(metrics) and not (declared & ~no_reading).any():
        remedy = "declare reading: strict (the published formulas are for two groups only)"
        raise InputError("plan", "analysis.reading", reading, "the metrics have no such reading", remedy)
    return metrics[np.where(no_reading, metrics["reading"] == _accuracy_reading(metrics, reading), declared)]


def _accuracy_reading(metrics: pd.DataFrame, declared: str) -> str:
    present = metrics.loc[metrics["metric"] == "accuracy", "reading"].unique()
    return declared if declared in present or not len(present) else present[0]


def _keys(chosen: pd.DataFrame, plan: Json) -> dict[str, np.ndarray]:
    """Return sort keys, the most significant first: plan order, order of metrics, overall before classes and groups."""
    orders = {
        "technique": [t["technique"] for t in plan["techniques"]],
        "arm": [arm["arm"] for arm in main_arms(plan)],
        "attribute": list(plan["groups"]),
        "metric": list(metrics_of(plan)),
    }
    keys = {name: pd.Index(order).get_indexer(chosen[name]) for name, order in orders.items()}
    return keys | {name: _integers(chosen[name], -1) for name in ("target", "group", "run")}


def _integers(column: pd.Series, missing: int) -> np.ndarray:
    return column.astype("Int64").fillna(missing).to_numpy(np.int64)


def names_of(series: Series, row: int, plan: Json) -> tuple[str, str, str, str]:
    """Return technique, arm, attribute and metric of a row."""
    return (
        plan["techniques"][series.keys["technique"][row]]["technique"],
        main_arms(plan)[series.keys["arm"][row]]["arm"],
        list(plan["groups"])[series.keys["attribute"][row]],
        metrics_of(plan)[series.keys["metric"][row]],
    )
