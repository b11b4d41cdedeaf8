"""Results from arrays or a data frame in memory: `fitlib.analyze(y_true, y_pred, sensitive_features=…)`.

The numbers are those of the command `fitlib analyze` on the same predictions, to the last bit; no file is written, no
kernel is started, and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import pandas as pd

from fitlib.errors import InputError
from fitlib.experiment.external_predictions import (
    baseline_first,
    check_cross,
    choose_baseline,
    external_plan,
    runs_by_arm,
    seeded_by_run,
    with_favourable,
)
from fitlib.experiment.schema import Analysis, validated
from fitlib.metrics.custom_metrics import Metric
from fitlib.metrics.metric_sources import declared_of, given_metrics
from fitlib.results.array_inputs import WHERE, EncodedArrays, encode_arrays
from fitlib.results.frame_inputs import encode_frame
from fitlib.results.frame_layout import GivenColumns, refuse_columns
from fitlib.results.results import Arms, Results
from fitlib.storage.predictions import Predictions, cross_attributes, select_runs
from fitlib.tables import all_tables


def analyze(
    data: object = None,
    y_pred: object = None,
    *,
    y_true: object = None,
    sensitive_features: object,
    baseline: str | None = None,
    favourable: object = None,
    y_score: object = None,
    unit: object = None,
    seeds: object = None,
    classes: Sequence[object] | None = None,
    smallest_effect: float | str | Mapping[str, float | str] = 0.01,
    primary: str | None = None,
    alpha: float = 0.05,
    cross: Sequence[Sequence[str]] | Sequence[str] | None = None,
    metrics: Mapping[str, Any] | Sequence[Any] | None = None,
    run: str | None = None,
    technique: str | None = None,
    row: str | None = None,
) -> Results:
    """Analyse the predictions of several runs: how unfair is each technique, and which differences are not luck?

    The arguments are arrays, `analyze(y_true, y_pred, sensitive_features=groups)`, or a data frame first and then the
    names of its columns, `analyze(frame, y_true="label", y_pred="pred", run="run", sensitive_features="sex")`. Runs
    are repetitions of one training, all tested on the same rows. To compare techniques, name the `baseline`.

    Arrays, of NumPy, pandas, polars, Arrow or torch (on the CPU), or lists; rows are matched by position:

    - `y_true`, also as the first argument: the true classes (rows,): numbers, booleans or text. Multi-label: 0/1
      (rows, labels).
    - `y_pred`: the predicted classes (runs, rows), or (runs, rows, labels), or a list of one array for each run. One
      run alone may be (rows,). Several techniques: {name: such}.
    - `sensitive_features`: the group of each row (rows,). Several attributes: a data frame, or {name: (rows,)}.
    - `y_score`: scores in the form of y_pred: of the second of two classes (their order is `results.plan["classes"]`),
      or with one more axis for the classes. Adds thresholds. Several techniques: {name: such}.
    - `unit`: the person or image of each row (rows,), where several rows belong to one.
    - `seeds`: the seed of each run (runs,). Techniques that share seeds are compared over seeds, with the seed as a
      random factor (`results.tables.over_seeds`); where every run has a seed of its own, over runs. For each technique:
      {name: such}.

    A data frame of pandas, polars, Arrow or another library that narwhals reads, or {column: values}:

    - wide, a row for each test row: `y_pred` lists the columns of the runs; several techniques: {name: columns}.
    - long, a row for each run and test row: `y_pred` is one column, `run` that of the runs, `technique` that of the
      techniques, `seeds` that of the seeds. Rows of different runs are matched by their order, or by the column `row`;
      runs must agree in truth, groups and units.
    - `sensitive_features` is a column or a list of columns, `unit` a column, and `y_score` a column for each of y_pred
      (of several classes a list of columns for each). Multi-label: lists of columns, or columns of lists.

    What is asked:

    - `baseline`: the technique that the others are compared with; needed where there are several.
    - `favourable`: the desirable class, such as "granted"; enables the four-fifths rule (`results.risk`).
    - `classes`: all classes in their order, where some are never in y_true. Multi-label: names of the labels.
    - `smallest_effect`: the smallest difference that matters: 0.01 is one point; "10 %" of the baseline's mean; or
      {metric: either}. `primary`: the one metric that decides, such as "DP". `alpha`: level of tests and intervals.
    - `cross`: attributes whose combinations are groups, too: ["sex", "race"], or a list of such lists.
    - `metrics`: custom metrics beside the seven, {name: function} or a list of functions, each of the form f(counts) or
      f(y_true, y_pred, *, sensitive_features), or `fitlib.metrics.Metric` (see `fitlib.metrics.custom_metrics`).

    The seven bias metrics, each 0 where groups are treated alike; of every class against the others, then their mean:

    - DP, demographic parity: the difference of the selection rates (the shares predicted as the class).
    - DI, disparate impact: 1 - the smallest selection rate / the largest.
    - SPSF and FPSF, statistical parity and false positive subgroup fairness: differences of a group's selection rate,
      or false positive rate, from that of all, weighted by the size of the group.
    - EOFP and EOTP, equality of odds: the difference of the false, or true, positive rates.
    - BA, bias amplification: half the sum, over groups, of the differences between a group's share of those predicted
      as the class and its share of those truly of it.

    Of more than two groups, DP, EOFP and EOTP take the largest difference between two. Formulas: `fitlib.metrics`.

    Returns `Results`: `verdict` in sentences, and `summary`, `comparisons`, `risk`, `metrics` and more `tables` as
    pandas data frames. The numbers are those of the command `fitlib analyze` on the same predictions, to the last bit.
    Raises InputError, in one line with the remedy, for whatever is missing, of another length, of one group only,
    unknown, or no class.

    Arrays, here two techniques with six runs each, on 300 people:

    >>> import fitlib, numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> label, sex = rng.integers(0, 2, 300), np.repeat(["female", "male"], 150)
    >>> runs = {name: np.where(rng.random((6, 300)) < e, 1 - label, label) for name, e in {"A": 0.3, "B": 0.1}.items()}
    >>> fitlib.analyze(label, runs, sensitive_features=sex, baseline="A")
    <results of A, B: 6 runs each, 300 rows, groups by protected>

    A wide frame, here with the runs of B in the columns run0 to run5:

    >>> wide = pd.DataFrame({"label": label, "sex": sex} | {f"run{i}": run for i, run in enumerate(runs["B"])})
    >>> columns = [f"run{i}" for i in range(6)]
    >>> results = fitlib.analyze(wide, y_true="label", y_pred=columns, sensitive_features="sex", favourable=1)
    >>> results.summary.query("metric == 'DP' and target == 'overall'")[["n", "mean", "sd", "maxdiff"]].round(3)
       n   mean     sd  maxdiff
    0  6  0.026  0.021    0.053

    A long frame, with a row for each technique, run and person:

    >>> long = wide.melt(["label", "sex"], columns, "run", "pred").assign(model="B")
    >>> long = pd.concat([long, long.assign(model="A", pred=runs["A"].ravel())])
    >>> names = {"y_true": "label", "y_pred": "pred", "run": "run", "technique": "model", "sensitive_features": ["sex"]}
    >>> fitlib.analyze(long, **names, baseline="A")
    <results of A, B: 6 runs each, 300 rows, groups by sex>
    """
    custom = given_metrics(metrics, WHERE)
    fields: dict[str, Any] = {"smallest_effect": smallest_effect, "primary": primary, "alpha": alpha}
    fields |= {"cross": _crossings(cross), "metrics": declared_of(custom) or None}
    analysis = validated(Analysis, fields, WHERE)
    if data is not None and y_true is not None:
        given = GivenColumns(y_true, y_pred, sensitive_features, y_score, unit, seeds, run, technique, row)
        arrays = encode_frame(data, given, classes)
    else:
        truth = data if y_true is None else y_true
        named = {"y_pred": y_pred, "sensitive_features": sensitive_features, "seeds": seeds}
        refuse_columns(truth, named | {"run": run, "technique": technique, "row": row})
        arrays = encode_arrays(truth, y_pred, sensitive_features, y_score, unit, classes, seeds)
    plan = _plan(arrays, analysis, baseline, favourable)
    rows = len(next(iter(arrays.predictions.values())).idx)
    predictions = arms_of(arrays)
    return Results(plan, tables_of(predictions, plan, custom), rows, predictions=predictions, custom=custom)


def _crossings(cross: Sequence[Sequence[str]] | Sequence[str] | None) -> list[list[str]] | None:
    """Return the crossings as lists; names alone are one crossing."""
    if cross is None:
        return None
    if not isinstance(cross, list | tuple):
        raise InputError(WHERE, "cross", cross, "not a list of attributes", 'for example cross=["sex", "race"]')
    names = [name for name in cross if isinstance(name, str)]
    if names and len(names) == len(cross):
        return [names]
    return [list(of) if isinstance(of, list | tuple) else of for of in cross]


def _plan(arrays: EncodedArrays, analysis: Analysis, baseline: str | None, favourable: object) -> dict[str, Any]:
    names, found = list(arrays.predictions), arrays.mapping
    first = choose_baseline(names, baseline, WHERE, "baseline")
    given = None if favourable is None else str(favourable)
    analysis, _ = with_favourable(analysis, given, found["classes"], "favourable")
    check_cross(analysis, list(found["groups"]), "cross", 'cross=["sex", "race"]')
    return external_plan(found, baseline_first(names, first), analysis, arrays.digests, arrays.seeds)


def arms_of(arrays: EncodedArrays) -> dict[str, Arms]:
    """Return the runs of each technique by arm, with the seed of the arm, 0 where it is not recorded."""
    known = None if seeded_by_run(arrays.seeds) else arrays.seeds
    seeds = known or dict.fromkeys(arrays.predictions)
    return {technique: _arms(runs, seeds[technique]) for technique, runs in arrays.predictions.items()}


def tables_of(
    predictions: Mapping[str, Arms], plan: Mapping[str, Any], custom: Mapping[str, Metric]
) -> Mapping[str, pd.DataFrame]:
    """Return every table of the analysis, and the metrics in long form; the others are made when they are asked for."""
    gathered = all_tables.gathered_on_demand(with_crossings(predictions, plan), dict(plan), custom)
    tables = all_tables.tables_on_demand(gathered, dict(plan), long=("metrics",))
    tables["metrics"]  # at once, so that a custom metric fails in the call that it was given in
    return tables


def with_crossings(predictions: Mapping[str, Arms], plan: Mapping[str, Any]) -> dict[str, Arms]:
    """Return the predictions of all techniques with the attributes that the plan crosses."""
    crossings = plan["analysis"]["cross"] or []
    return {
        technique: {arm: (seed, reduce(cross_attributes, crossings, runs)) for arm, (seed, runs) in arms.items()}
        for technique, arms in predictions.items()
    }


def _arms(predictions: Predictions, seeds: Sequence[int] | None) -> dict[str, tuple[int, Predictions]]:
    """Return the runs of each arm with their seed, 0 where it is not recorded."""
    arms = runs_by_arm(len(predictions.runs), seeds)
    if len(arms) == 1:
        return {name: (of.seed or 0, predictions) for name, of in arms.items()}
    return {name: (of.seed or 0, select_runs(predictions, of.runs)) for name, of in arms.items()}
