"""The tables of an experiment: runs, summary, risk; comparisons are in `fitlib.comparisons`.

Pandas frames in, pandas frames out: ``metrics`` is the long table of `fitlib.long_tables`, ``counts`` its counts,
``plan`` and ``evidence`` are the plan and the evidence of the runs as JSON values. Only main arms enter. Every table
has an explicit schema (`fitlib.schemas`), rows in plan order and no time, host, path or experiment name. All of them
follow the declared reading; accuracy has no reading and stands beside either.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fitlib import risk as risks
from fitlib import statistics as st
from fitlib.findings import CheckFit, Findings
from fitlib.schemas import RISK, RUNS, SUMMARY, Json, integer_column, joined, table_of
from fitlib.series import METRICS, Series, main_arms, names_of, series_of


def concatenate(frames: Mapping[str, pd.DataFrame], plan: Json) -> pd.DataFrame:
    """The long tables ``frames`` (technique -> metrics) as one, in plan order; techniques without one are left out."""
    ordered = [frames[t["technique"]] for t in plan["techniques"] if t["technique"] in frames]
    return pd.concat(ordered, ignore_index=True) if ordered else pd.DataFrame()


def runs(
    metrics: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """One row per technique, main arm, run and protected attribute: status, digests (16 hex), overall values.

    Planned runs without evidence are "missing"; without any evidence (predictions made elsewhere) the runs are those
    that have metrics. ``fit`` is "yes", "no" or "unknown". ``check_fit``: see `fitlib.identity.check_fit`.
    """
    known, overall = Findings(evidence, check_fit), _overall_by_run(metrics, plan)
    rows = [
        _run_row(technique, arm, run, attribute, known, overall)
        for technique in plan["techniques"]
        for arm in main_arms(plan)
        for run in _run_numbers(technique, arm, known, overall)
        for attribute in plan["groups"]
    ]
    return table_of(rows, RUNS)


def summary(metrics: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Mean and SD over runs with 95 % intervals, extremes and MaxDiff, per technique, arm, attribute, metric, target.

    ``target`` is "overall" or the class number; accuracy stands overall and per ``group``. ``n`` counts the runs where
    the value is defined, ``n_undefined_max`` the most classes undefined in one run (of a class: 1 if ever undefined).
    """
    series = series_of(metrics, plan)
    columns = _described(series.values)
    columns["n_undefined_max"] = np.maximum(series.undefined, (series.counts > columns["n"]).astype(np.int64))
    numbers = (columns["n"].tolist(), series.counts.tolist(), columns["sd"].tolist())
    columns["note"] = [_summary_note(*row) for row in zip(*numbers, strict=True)]
    return table_of({**_summary_keys(series, plan), **columns}, SUMMARY)


def risk(
    counts: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """Four fifths per technique, main arm, attribute and class over runs, with exact intervals.

    ``rule`` is "four-fifths" for the declared favourable class, else "landmark 0.8" (a numerical landmark without pass
    or fail). Probabilities are over retraining with the same seed. The Bonferroni interval holds for the worst of all
    classes and techniques (``worst_of``). Bit-identical predictions get no interval. ``smallest_group``: rows of the
    smallest group that is not empty; the note tells where that is below the declared ``min_group``.
    """
    known, selections = Findings(evidence, check_fit), _selections(counts, plan)
    rows = [
        _risk_row(technique, arm, attribute, target, selections, plan, known)
        for technique in plan["techniques"]
        for arm in main_arms(plan)
        for attribute in plan["groups"]
        for target in range(len(plan["classes"]))
        if (technique["technique"], arm["arm"], attribute) in selections
    ]
    return table_of(rows, RISK)


# Runs


def _overall_by_run(metrics: pd.DataFrame, plan: Json) -> dict[tuple[str, str, str, int], dict[str, float]]:
    """(technique, arm, attribute, run) -> metric -> overall value."""
    series, found = series_of(metrics, plan), {}
    overall = (series.keys["target"] == -1) & (series.keys["group"] == -1)
    for row in np.flatnonzero(overall):
        technique, arm, attribute, metric = names_of(series, row, plan)
        for run, value in zip(series.runs[row], series.values[row], strict=True):
            if run >= 0:
                found.setdefault((technique, arm, attribute, int(run)), {})[metric] = float(value)
    return found


def _run_numbers(technique: Json, arm: Json, known: Findings, overall: Mapping) -> list[int]:
    numbers = {run for name, arm_name, _, run in overall if (name, arm_name) == (technique["technique"], arm["arm"])}
    if known.all:
        numbers |= set(range(arm["runs"]))
        numbers |= {run for *where, run in known.by_run if where == [technique["training"], arm["arm"]]}
    return sorted(numbers)


def _run_row(technique: Json, arm: Json, run: int, attribute: str, known: Findings, overall: Mapping) -> Json:
    record = known.by_run.get((technique["training"], arm["arm"], run), {})
    values = overall.get((technique["technique"], arm["arm"], attribute, run), {})
    parts = record.get("parts") or {}
    digests = {
        "initial_weights": parts.get("initial weights"),
        "first_batch": parts.get("first batch"),
        "final_weights": record.get("final_weights"),
        "predictions": (record.get("predictions") or {}).get(technique["technique"]),
        "fingerprint": record.get("fingerprint"),
    }
    status = record.get("status") or ("done" if values else "missing")
    keys = {"technique": technique["technique"], "training": technique["training"], "run": run, "attribute": attribute}
    keys |= {"status": status, "fit": known.fit(technique, arm)} | {k: arm[k] for k in ("arm", "noise", "kind", "seed")}
    return keys | {name: (digest or "")[:16] for name, digest in digests.items()} | values


# Summary


def _described(values: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of (rows, runs) over the defined values of each row; rows with equally many go together."""
    defined = ~np.isnan(values)
    n = defined.sum(axis=1)
    names = ("mean", "mean_low", "mean_high", "sd", "sd_low", "sd_high", "max", "min")
    columns = {name: np.full(len(values), np.nan) for name in names}
    for size in np.unique(n[n > 0]):
        rows = np.flatnonzero(n == size)
        x = values[rows][defined[rows]].reshape(rows.size, size)
        described = (*st.mean_intervals(x), *st.sd_intervals(x), x.max(axis=1), x.min(axis=1))
        for name, column in zip(names, described, strict=True):
            columns[name][rows] = column
    maxdiff, mean = columns["max"] - columns["min"], columns["mean"]
    relative = np.divide(maxdiff, mean, out=np.full(len(values), np.nan), where=mean != 0)
    return {"n": n, **columns, "maxdiff": maxdiff, "relative_maxdiff": relative}


def _summary_keys(series: Series, plan: Json) -> Json:
    keys, arms = series.keys, main_arms(plan)
    target, group = keys["target"], keys["group"]
    return {
        "technique": _take([t["technique"] for t in plan["techniques"]], keys["technique"]),
        "arm": _take([arm["arm"] for arm in arms], keys["arm"]),
        "seed": _take([arm["seed"] for arm in arms], keys["arm"]),
        "reading": [plan["analysis"]["reading"]] * target.size,
        "attribute": _take(list(plan["groups"]), keys["attribute"]),
        "metric": _take(METRICS, keys["metric"]),
        "target": ["overall" if t < 0 else str(t) for t in target.tolist()],
        "group": integer_column(group, group >= 0),
        "interval_method": ["mean: Student t; SD: Bonett (2006); 95 %"] * target.size,
    }


def _take(names: Sequence, positions: np.ndarray) -> list:
    return [names[i] for i in positions.tolist()]


def _summary_note(n: int, of: int, sd: float) -> str:
    undefined = f"undefined in {of - n} of {of} runs" if n < of else ""
    if n < 2:
        why = "no run is defined" if n == 0 else "fewer than 2 runs"
        return joined(st.NOT_ESTIMABLE + why, undefined)
    if sd == 0:
        return joined(f"constant in all {n} runs", undefined)
    return joined(f"interval of the SD {st.NOT_ESTIMABLE}fewer than 5 runs" if n < 5 else "", undefined)


# Risk


def _selections(counts: pd.DataFrame, plan: Json) -> dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]:
    """(technique, arm, attribute) -> selected int (runs, groups, classes), size int (groups, classes)."""
    found = {}
    for key, part in counts.groupby(["technique", "arm", "attribute"], sort=False):
        runs_, row = np.unique(part["run"].to_numpy(np.int64), return_inverse=True)
        shape = (runs_.size, len(plan["groups"][key[2]]), len(plan["classes"]))
        found[key] = _label_selection(part, row, shape) if "tp" in part else _class_selection(part, row, shape)
    return found


def _class_selection(part: pd.DataFrame, row: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    selected = np.zeros(shape, dtype=np.int64)
    group, predicted = part["group"].to_numpy(np.int64), part["predicted"].to_numpy(np.int64)
    np.add.at(selected, (row, group, predicted), part["n"].to_numpy(np.int64))
    size = selected[0].sum(axis=1)
    return selected, np.repeat(size[:, None], shape[2], axis=1)


def _label_selection(part: pd.DataFrame, row: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    selected, size = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    at = (row, part["group"].to_numpy(np.int64), part["target"].to_numpy(np.int64))
    np.add.at(selected, at, (part["tp"] + part["fp"]).to_numpy(np.int64))
    np.add.at(size, at, (part["tp"] + part["fp"] + part["fn"] + part["tn"]).to_numpy(np.int64))
    return selected, size[0]


def _risk_row(
    technique: Json, arm: Json, attribute: str, target: int, selections: Mapping, plan: Json, known: Findings
) -> Json:
    selected, size = selections[technique["technique"], arm["arm"], attribute]
    below, defined = risks.below_four_fifths(selected[:, :, target], size[:, target])
    k, n, same = int(below.sum()), int(defined.sum()), known.bit_identical(technique, arm)
    worst_of = len(plan["techniques"]) * len(plan["classes"])
    favourable = plan["analysis"]["favourable"] == target
    row = {"technique": technique["technique"], "arm": arm["arm"], "seed": arm["seed"], "attribute": attribute}
    row |= {"target": target, "rule": "four-fifths" if favourable else "landmark 0.8", "retraining": "same seed"}
    row |= {"n": n, "n_undefined": int((~defined).sum()), "violated": k, "worst_of": worst_of}
    row |= _ratios(risks.impact_ratio(selected[:, :, target], size[:, target]))
    row["fit"], row["p_violated"] = known.fit(technique, arm), risks.clopper_pearson(k, n).value
    row["smallest_group"] = smallest = int(size[:, target][size[:, target] > 0].min(initial=size.max()))
    few = f"the smallest group has only {smallest} rows" if smallest < plan["analysis"].get("min_group", 0) else ""
    nobody = st.NOT_ESTIMABLE + "nobody is selected" if n == 0 else ""
    row["note"] = joined(same and f"{same}: no interval", nobody, few)
    return row if same else row | _risk_intervals(k, n, worst_of)


def _ratios(ratio: np.ndarray) -> Json:
    ratio = ratio[~np.isnan(ratio)]
    if not ratio.size:
        return {}
    return dict(zip(("ratio_mean", "ratio_min", "ratio_max"), (st.means(ratio), ratio.min(), ratio.max()), strict=True))


def _risk_intervals(k: int, n: int, worst_of: int) -> Json:
    violated, differ = risks.clopper_pearson(k, n), risks.disagreement(k, n)
    worst = risks.clopper_pearson(k, n, 1 - 0.05 / worst_of)
    return {
        "p_violated_low": violated.low,
        "p_violated_high": violated.high,
        "p_disagree": differ.value,
        "p_disagree_low": differ.low,
        "p_disagree_high": differ.high,
        "interval": "Clopper-Pearson 95 %",
        "p_violated_low_bonferroni": worst.low,
        "p_violated_high_bonferroni": worst.high,
    }
