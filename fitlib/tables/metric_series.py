"""The long table of metrics with its runs side by side, in plan order and in the declared reading.

What every table of an experiment starts from. Only main arms enter; accuracy has no reading and stands beside either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fitlib.errors import InputError
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.tables.schemas import Json

METRICS = (*BIAS_METRICS, "accuracy")


def main_arms(plan: Mapping) -> list[Mapping]:
    """The arms that carry results, in plan order (control arms left out)."""
    return [arm for arm in plan["arms"] if arm["role"] == "main"]


def noise_name(arm: Mapping) -> str:
    """The arm's name without its seed, the same in all arms that differ in the seed only: "ulp-k100"."""
    return str(arm["arm"]).removeprefix(f"seed{arm['seed']}.")


def retraining(arm: Mapping) -> str:
    """The retraining that a risk of this arm covers: what its runs share."""
    return "same conditions (seed not recorded)" if arm["kind"] == "unknown" else "same seed"


@dataclass(frozen=True)
class Series:
    """The long table as one row per technique, arm, attribute, metric, target and group, with the runs side by side."""

    keys: dict[str, np.ndarray]  # each (rows,): positions in the plan; target and group -1 where null
    values: np.ndarray  # (rows, runs), NaN where undefined or where a technique has fewer runs
    runs: np.ndarray  # (rows, runs), run numbers, -1 where a technique has fewer runs
    undefined: np.ndarray  # (rows,), the most undefined classes in one run

    @cached_property
    def counts(self) -> np.ndarray:
        """(rows,), how many runs there are."""
        return (self.runs >= 0).sum(axis=1)


def series_of(metrics: pd.DataFrame, plan: Json) -> Series:
    """The rows of the long table that count (declared reading, main arms), in plan order.

    Raises InputError if the metrics lack the declared reading.
    """
    chosen = _declared(metrics, plan)
    keys = _keys(chosen, plan)
    kept = np.logical_and.reduce([keys[name] >= 0 for name in ("technique", "arm", "attribute", "metric")])
    order = np.lexsort([keys[name][kept] for name in reversed(keys)])
    keys = {name: code[kept][order] for name, code in keys.items()}
    run = keys.pop("run")
    stacked = np.stack(list(keys.values()))
    first = np.ones(run.size, dtype=bool)
    first[1:] = (stacked[:, 1:] != stacked[:, :-1]).any(axis=0)
    return _side_by_side({name: code[first] for name, code in keys.items()}, first, run, chosen[kept].iloc[order])


def _side_by_side(keys: dict[str, np.ndarray], first: np.ndarray, run: np.ndarray, chosen: pd.DataFrame) -> Series:
    row, starts = np.cumsum(first) - 1, np.flatnonzero(first)
    column = np.arange(run.size) - starts[row]
    shape = (starts.size, int(column.max()) + 1 if run.size else 0)
    values, numbers = np.full(shape, np.nan), np.full(shape, -1, dtype=np.int64)
    values[row, column], numbers[row, column] = chosen["value"].to_numpy(np.float64), run
    undefined = _integers(chosen["n_undefined"], 0)
    return Series(keys, values, numbers, np.maximum.reduceat(undefined, starts) if run.size else undefined)


def _declared(metrics: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Rows of the declared reading; accuracy from whichever reading carries it."""
    reading = plan["analysis"]["reading"]
    accuracy, declared = metrics["metric"] == "accuracy", metrics["reading"] == reading
    if len(metrics) and not (declared & ~accuracy).any():
        remedy = "declare reading: strict (the published formulas are for two groups only)"
        raise InputError("plan", "analysis.reading", reading, "the metrics have no such reading", remedy)
    return metrics[np.where(accuracy, metrics["reading"] == _accuracy_reading(metrics, reading), declared)]


def _accuracy_reading(metrics: pd.DataFrame, declared: str) -> str:
    present = metrics.loc[metrics["metric"] == "accuracy", "reading"].unique()
    return declared if declared in present or not len(present) else present[0]


def _keys(chosen: pd.DataFrame, plan: Json) -> dict[str, np.ndarray]:
    """Sorting keys, most significant first: plan order, metrics in their order, overall before classes and groups."""
    orders = {
        "technique": [t["technique"] for t in plan["techniques"]],
        "arm": [arm["arm"] for arm in main_arms(plan)],
        "attribute": list(plan["groups"]),
        "metric": list(METRICS),
    }
    keys = {name: pd.Index(order).get_indexer(chosen[name]) for name, order in orders.items()}
    return keys | {name: _integers(chosen[name], -1) for name in ("target", "group", "run")}


def _integers(column: pd.Series, missing: int) -> np.ndarray:
    return column.astype("Int64").fillna(missing).to_numpy(np.int64)


def names_of(series: Series, row: int, plan: Json) -> tuple[str, str, str, str]:
    """Technique, arm, attribute and metric of a row."""
    return (
        plan["techniques"][series.keys["technique"][row]]["technique"],
        main_arms(plan)[series.keys["arm"][row]]["arm"],
        list(plan["groups"])[series.keys["attribute"][row]],
        METRICS[series.keys["metric"][row]],
    )
