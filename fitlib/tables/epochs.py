"""The table "epochs": the spread between runs after each epoch, and whether it is still growing at the end.

Pandas frames in, a pandas frame out; only `gather_history` reads files. ``history`` holds what trainings recorded per
run, epoch and protected group (`fitlib.training.loop`): accuracy on the test set, under the method's first inference
rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from fitlib.formatting import count, decimals, join_items, span
from fitlib.statistics.estimates import FEW, NOT_ESTIMABLE, Estimate, is_constant, means, paired_runs, sd_intervals, sds
from fitlib.tables.metric_series import main_arms
from fitlib.tables.schemas import EPOCHS, Json, join_notes, table_of

HISTORY = ("training", "arm", "seed", "run", "epoch", "group", "n", "train_loss", "test_accuracy")
GROWTH = 1.5  # an SD larger by less than this factor counts as not growing: the SD ratio that power is computed for
GROWING, NOT_GROWING, UNKNOWN = "still growing", "not growing", "cannot be told"
MEASURES = {"accuracy": "accuracy", "gap": "the gap between groups"}


def gather_history(root: str | Path, evidence: Sequence[Json]) -> pd.DataFrame:
    """Read the histories of all finished runs as one frame with the columns `HISTORY`; empty where there are none.

    ``root``: the folder of the results, which the links of the evidence are relative to (results of one of several
    families link to the runs of the whole experiment); without a link a run is below ``root``.
    """
    parts = []
    for run in evidence:
        link = run.get("link") or f"runs/{run['training']}/{run['arm']}/run-{run['run']:02d}/train.html"
        path = (Path(root) / link).with_name("history.parquet")
        if run["status"] == "done" and path.is_file():
            keys = {name: run.get(name) for name in ("training", "arm", "seed", "run")}
            parts.append(pd.read_parquet(path).assign(**keys))
    return pd.concat(parts, ignore_index=True)[list(HISTORY)] if parts else no_history()


def no_history() -> pd.DataFrame:
    """Return the histories of no run."""
    return pd.DataFrame(columns=list(HISTORY))


def epochs_table(history: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Return mean and SD over runs of accuracy and of the gap, per training, main arm and epoch (counted from 1).

    ``gap`` = largest - smallest accuracy of a group. SDs with Bonett's 95 % interval. In the last epoch's row:
    ``*_growth``, its SD over that of epoch ``since``, where the last quarter of the training began, with the interval
    of `paired_sd_ratio`. Runs with a missing epoch are left out of all epochs.
    """
    rows = []
    for training in dict.fromkeys(t["training"] for t in plan["techniques"]):
        for arm in main_arms(plan):
            chosen = history[(history["training"] == training) & (history["arm"] == arm["arm"])]
            if len(chosen):
                rows += _epoch_rows(chosen, {"training": training, "arm": arm["arm"], "seed": arm["seed"]})
    return table_of(rows, EPOCHS)


def paired_sd_ratio(before: np.ndarray, after: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Return SD(after) / SD(before) of the same runs, both (runs,), with its interval for bivariate normal runs.

    Morgan (1939) and Pitman (1939), Biometrika 31: the variance ratio lies between F(K - sqrt(K² - 1)) and
    F(K + sqrt(K² - 1)), K = 1 + 2 t²(1 - r²)/(n - 2), t the quantile with n - 2 degrees of freedom, r the correlation.
    ValueError if unequal in length.

    >>> ratio = paired_sd_ratio(np.array([1.0, 2.0, 3.0, 5.0]), np.array([2.0, 5.0, 5.0, 10.0]))
    >>> round(ratio.value, 2), round(ratio.low, 2), round(ratio.high, 2)
    (1.94, 0.99, 3.81)
    """
    x, y = paired_runs(before, after)
    n, method = x.size, "Pitman-Morgan"
    if n < 3:
        return Estimate(None, None, None, n, method, confidence, FEW.format(3))
    if is_constant(x) or is_constant(y):
        return Estimate(None, None, None, n, method, confidence, f"{NOT_ESTIMABLE}constant in all {n} runs")
    x, y = (x - x.mean()) / sds(x), (y - y.mean()) / sds(y)
    ratio = float(sds(after) / sds(before))
    r = min(1.0, max(-1.0, float(x @ y) / (n - 1)))
    t = float(stats.t.isf((1 - confidence) / 2, n - 2))
    k = 1 + 2 * t**2 * (1 - r**2) / (n - 2)
    factor = math.sqrt(k + math.sqrt(k**2 - 1))
    return Estimate(ratio, ratio / factor, ratio * factor, n, method, confidence)


def growth(low: float, high: float) -> str:
    """Classify the interval of an SD ratio: `GROWING` above 1, `NOT_GROWING` below `GROWTH`, else `UNKNOWN`."""
    if low > 1:
        return GROWING
    return NOT_GROWING if high < GROWTH else UNKNOWN


# Sentences


def growth_sentences(table: pd.DataFrame) -> list[str]:
    """Report whether the spread was still growing when training stopped: a sentence per measure, [] without epochs."""
    last = table[table["since"].notna()]
    if last.empty:
        return ["Whether the spread was still growing is not estimable: fewer than 4 epochs."] if len(table) else []
    return [_growth_sentence(last, measure, table["arm"].nunique() > 1) for measure in MEASURES]


def _growth_sentence(last: pd.DataFrame, measure: str, arms: bool) -> str:
    trainings: dict[str, list[str]] = {GROWING: [], NOT_GROWING: [], UNKNOWN: []}
    for row in last.to_dict("records"):
        name = f"{row['training']} (arm {row['arm']})" if arms else row["training"]
        low, high = row[f"{measure}_growth_low"], row[f"{measure}_growth_high"]
        ratio = "" if math.isnan(low) else f" × {decimals(row[f'{measure}_growth'])} {span(low, high, 1)}"
        trainings[growth(low, high)].append(f"{name}{ratio}")
    parts = [
        f"{how} for {count(len(names), 'training')} ({join_items(names)})" for how, names in trainings.items() if names
    ]
    return (
        f"Spread between runs of {MEASURES[measure]} at the last epoch, against the start of the last quarter of the "
        f"training (× SD with its 95 % interval, uncorrected; not growing: below × {GROWTH:g}): {'; '.join(parts)}."
    )


# Parts


def _epoch_rows(history: pd.DataFrame, keys: Mapping) -> list[Json]:
    epochs, values, left_out = _by_run(history)
    n, last = values["accuracy"].shape[1], len(epochs) - 1
    since = last - max(1, len(epochs) // 4) if len(epochs) >= 4 else None
    described = {name: _describe(x) for name, x in values.items()}
    rows = []
    for i, epoch in enumerate(epochs):
        row = {**keys, "epoch": epoch + 1, "n": n}
        for name, columns in described.items():
            row |= {f"{name}_{column}": float(x[i]) for column, x in columns.items()}
        notes = [left_out] + [_constant_note(name, x[i]) for name, x in values.items()]
        if i == last and since is not None:
            ratios = {name: paired_sd_ratio(x[since], x[last]) for name, x in values.items()}
            row |= {"since": epochs[since] + 1} | _growth_columns(ratios)
        rows.append(row | {"note": join_notes(*notes)})
    return rows


def _by_run(history: pd.DataFrame) -> tuple[list[int], dict[str, np.ndarray], str]:
    """Return epochs, accuracy and gap (epochs, runs), and a note on the runs left out for a missing epoch."""
    rows = history.assign(n=history["n"].astype(float), value=pd.to_numeric(history["test_accuracy"]))
    rows = rows[rows["value"].notna() & (rows["n"] > 0)].assign(correct=lambda x: x["n"] * x["value"])
    grouped = rows.groupby(["epoch", "run"])
    measures = {
        "accuracy": grouped["correct"].sum() / grouped["n"].sum(),
        "gap": grouped["value"].max() - grouped["value"].min(),
    }
    wide = {name: x.unstack("run") for name, x in measures.items()}
    complete = wide["accuracy"].notna().all(axis=0)
    missing = [f"run-{run:02d}" for run in complete.index[~complete]]
    note = f"left out, epochs missing: {join_items(missing)}" if missing else ""
    epochs = [int(epoch) for epoch in wide["accuracy"].index]
    return epochs, {name: x.loc[:, complete].to_numpy(np.float64) for name, x in wide.items()}, note


def _describe(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean, SD and its interval over runs, each (epochs,), of (epochs, runs)."""
    if not values.shape[1]:
        return dict.fromkeys(("mean", "sd", "sd_low", "sd_high"), np.full(len(values), np.nan))
    sd, low, high = sd_intervals(values)
    return {"mean": means(values), "sd": sd, "sd_low": low, "sd_high": high}


def _constant_note(name: str, values: np.ndarray) -> str:
    return f"{name} constant in all {values.size} runs" if values.size > 1 and is_constant(values) else ""


def _growth_columns(ratios: Mapping[str, Estimate]) -> Json:
    columns: Json = {}
    for name, ratio in ratios.items():
        numbers = {"": ratio.value, "_low": ratio.low, "_high": ratio.high}
        columns |= {f"{name}_growth{end}": math.nan if x is None else x for end, x in numbers.items()}
    return columns
