"""The tables "runs" and "summary" of an experiment.

Pandas frames in, pandas frames out, here as in all modules of tables: ``metrics`` is the long table of
`fitlib.metrics.long_tables`, ``counts`` that of counts; ``plan`` and ``evidence`` are the plan and the evidence of the
runs as JSON values. Only main arms enter. Every table has an explicit schema (`fitlib.tables.schemas`), rows in plan
order, and no time, host, path or experiment name. All follow the declared reading; accuracy has no reading and is
included under either.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fitlib.statistics import estimates as st
from fitlib.tables.fit_findings import CheckFit, Findings
from fitlib.tables.metric_series import Series, main_arms, metrics_of, names_of, series_of
from fitlib.tables.schemas import RUNS, SUMMARY, Json, integer_column, join_notes, table_of
from fitlib.tables.testset import denominator_note, summary_columns


def concatenate(frames: Mapping[str, pd.DataFrame], plan: Json) -> pd.DataFrame:
    """Concatenate long tables, {technique: frame}, in plan order; techniques without one are left out."""
    ordered = [frames[t["technique"]] for t in plan["techniques"] if t["technique"] in frames]
    return pd.concat(ordered, ignore_index=True) if ordered else pd.DataFrame()


def runs(
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    series: Series | None = None,
) -> pd.DataFrame:
    """Return one row per technique, main arm, run and protected attribute: status, digests (16 hex), overall values.

    Custom metrics are the last columns.

    Planned runs without evidence are "missing"; without any evidence (predictions made elsewhere) the runs are those
    that have metrics. ``fit`` is "yes", "no" or "unknown". ``check_fit``: see
    `fitlib.statistics.run_identity.check_fit`. ``series``: that of `series_of`, where it is made already.
    """
    findings, overall = Findings(evidence, check_fit, plan), _overall_by_run(series or series_of(metrics, plan), plan)
    rows = [
        _run_row(technique, arm, run, attribute, findings, overall)
        for technique in plan["techniques"]
        for arm in main_arms(plan)
        for run in _run_numbers(technique, arm, findings, overall)
        for attribute in plan["groups"]
    ]
    return table_of(rows, RUNS | dict.fromkeys(plan["analysis"].get("metrics") or (), "float64"))


def summary(
    metrics: pd.DataFrame,
    plan: Json,
    testset: pd.DataFrame | None = None,
    counts: pd.DataFrame | None = None,
    series: Series | None = None,
) -> pd.DataFrame:
    """Return mean, SD, extremes and MaxDiff per technique, arm, attribute, metric and target.

    With 95 % intervals of mean and SD, and for the value of the next run (``next_low``, ``next_high``).
    ``target`` is "overall" or the class number; accuracy is given overall and per ``group``. ``n`` counts the runs in
    which the value is defined, ``n_undefined_max`` the most classes undefined in one run (of a class: 1 if ever).

    From ``testset``: what chance alone gives (``expectation``, ``chance_95``, ``chance_p``, ``chance_runs``) and
    ``smallest_denominator``. From ``counts``, by class:
    ``signed_mean`` (rate of ``lower_group`` minus rate of the highest group) with Student's t interval, and in how many
    runs another group was lowest. Without these long tables the columns are empty. ``series``: that of
    `series_of`, where it is made already.
    """
    series = series or series_of(metrics, plan)
    columns = _describe(series.values) | summary_columns(series, plan, testset, counts)
    columns["n_undefined_max"] = np.maximum(series.undefined, (series.counts > columns["n"]).astype(np.int64))
    numbers = (columns["n"].tolist(), series.counts.tolist(), columns["sd"].tolist())
    notes = zip(*numbers, columns["smallest_denominator"], strict=True)
    columns["note"] = [join_notes(_summary_note(*row), denominator_note(smallest, plan)) for *row, smallest in notes]
    return table_of({**_summary_keys(series, plan), **columns}, SUMMARY)


# Runs

_ByRun = dict[tuple[str, str, str, int], dict[str, float]]


def _overall_by_run(series: Series, plan: Json) -> _ByRun:
    """Return the overall values as {(technique, arm, attribute, run): {metric: value}}."""
    values_of_run = _ByRun()
    overall = (series.keys["target"] == -1) & (series.keys["group"] == -1)
    for row in np.flatnonzero(overall).tolist():
        technique, arm, attribute, metric = names_of(series, row, plan)
        for run, value in zip(series.runs[row], series.values[row], strict=True):
            if run >= 0:
                values_of_run.setdefault((technique, arm, attribute, int(run)), {})[metric] = float(value)
    return values_of_run


def _run_numbers(technique: Json, arm: Json, findings: Findings, overall: _ByRun) -> list[int]:
    numbers = {run for name, arm_name, _, run in overall if (name, arm_name) == (technique["technique"], arm["arm"])}
    if findings.all:
        numbers |= set(range(arm["runs"]))
        numbers |= {run for *where, run in findings.by_run if where == [technique["training"], arm["arm"]]}
    return sorted(numbers)


def _run_row(technique: Json, arm: Json, run: int, attribute: str, findings: Findings, overall: _ByRun) -> Json:
    record = findings.by_run.get((technique["training"], arm["arm"], run), {})
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
    keys |= {"status": status, "fit": findings.fit(technique, arm)}
    keys |= {name: arm[name] for name in ("arm", "noise", "kind", "seed")}
    return keys | {name: (digest or "")[:16] for name, digest in digests.items()} | values


# Summary


def _describe(values: np.ndarray) -> dict[str, np.ndarray]:
    """Describe (rows, runs) by the defined values of each row; rows with equally many are computed together."""
    defined = ~np.isnan(values)
    n = defined.sum(axis=1)
    names = ("mean", "mean_low", "mean_high", "sd", "sd_low", "sd_high", "next_low", "next_high", "max", "min")
    columns = {name: np.full(len(values), np.nan) for name in names}
    for size in np.unique(n[n > 0]):
        rows = np.flatnonzero(n == size)
        x = values[rows][defined[rows]].reshape(rows.size, size)
        intervals = (*st.mean_intervals(x), *st.sd_intervals(x), *st.prediction_intervals(x))
        described = (*intervals, x.max(axis=1), x.min(axis=1))
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
        "metric": _take(metrics_of(plan), keys["metric"]),
        "target": ["overall" if t < 0 else str(t) for t in target.tolist()],
        "group": integer_column(group, group >= 0),
        "interval_method": ["mean, next run: Student t; SD: Bonett (2006); 95 %"] * target.size,
    }


def _take(names: Sequence, positions: np.ndarray) -> list:
    return [names[i] for i in positions.tolist()]


def _summary_note(n: int, of: int, sd: float) -> str:
    undefined = f"undefined in {of - n} of {of} runs" if n < of else ""
    if n < 2:
        why = "no run is defined" if n == 0 else "fewer than 2 runs"
        return join_notes(st.NOT_ESTIMABLE + why, undefined)
    if sd == 0:
        return join_notes(f"constant in all {n} runs", undefined)
    return join_notes(f"interval of the SD {st.NOT_ESTIMABLE}fewer than 5 runs" if n < 5 else "", undefined)
