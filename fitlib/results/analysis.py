"""Results from arrays in memory: `fitlib.analyze(y_true, y_pred, sensitive_features=…)`.

The numbers are those of the command `fitlib analyze` on the same predictions, to the last bit; no file is written, no
kernel is started, and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from fitlib.errors import InputError
from fitlib.experiment.external_predictions import (
    baseline_first,
    check_cross,
    choose_baseline,
    external_plan,
    runs_by_arm,
    with_favourable,
)
from fitlib.experiment.schema import Analysis, validated
from fitlib.metrics.custom_metrics import Metric
from fitlib.metrics.metric_sources import declared_of, given_metrics
from fitlib.results.array_inputs import WHERE, EncodedArrays, encode_arrays
from fitlib.results.results import Results
from fitlib.storage.predictions import Predictions, cross_attributes, select_runs
from fitlib.tables import all_tables


def analyze(
    y_true: ArrayLike,
    y_pred: object,
    *,
    sensitive_features: object,
    baseline: str | None = None,
    favourable: object = None,
    y_score: object = None,
    unit: ArrayLike | None = None,
    seeds: object = None,
    classes: Sequence[object] | None = None,
    smallest_effect: float | str | Mapping[str, float | str] = 0.01,
    primary: str | None = None,
    alpha: float = 0.05,
    cross: Sequence[Sequence[str]] | Sequence[str] | None = None,
    metrics: Mapping[str, Any] | Sequence[Any] | None = None,
) -> Results:
    """Analyse the predictions of several runs, in memory: how fair, how far runs differ, which differences hold.

    y_true: the true classes (rows,), as numbers, booleans or text; or 0/1 labels (rows, labels).
    y_pred: the predicted classes, (runs, rows[, labels]) or a list of one array for each run; of several techniques
        {name: such runs}. One run alone may be (rows[, labels]).
    sensitive_features: the group of each row; of several attributes a data frame or {name: array}.
    baseline: the technique that the others are compared with. favourable: the desirable class; enables the four-fifths
        rule. classes: all classes, where some are never in y_true.
    y_score: scores in the form of y_pred, of the second of two classes (in the order of `results.plan["classes"]`) or
        with one more axis for the classes. unit: the person or image of each row, where several rows belong to one.
    smallest_effect: the smallest difference that matters: a number, a share of the baseline's mean ("10 %"), or
        {metric: either}. primary: the metric that decides. alpha: level of the tests. cross: attributes to cross.
    metrics: custom metrics beside the seven, {name: function} or a list of functions, each of the form f(counts) or
        f(y_true, y_pred, *, sensitive_features), or `fitlib.metrics.Metric` (see `fitlib.metrics.custom_metrics`).

    Everything with `__array__` will do: NumPy, pandas, polars, tensors on the CPU; rows are matched by position. Raises
    InputError, in one line, for whatever is missing, unequal in length, unknown, or not a class or group.

    >>> import fitlib, numpy as np
    >>> rng, flip = np.random.default_rng(0), lambda share: np.where(rng.random((6, 300)) < share, 1 - y_true, y_true)
    >>> y_true, sex = rng.integers(0, 2, 300), np.repeat(["female", "male"], 150)
    >>> results = fitlib.analyze(y_true, {"A": flip(0.3), "B": flip(0.1)}, sensitive_features=sex, baseline="A")
    >>> results
    <results of A, B: 6 runs each, 300 rows, groups by protected>
    """
    custom = given_metrics(metrics, WHERE)
    arrays = encode_arrays(y_true, y_pred, sensitive_features, y_score, unit, classes, seeds)
    fields: dict[str, Any] = {"smallest_effect": smallest_effect, "primary": primary, "alpha": alpha}
    fields |= {"cross": _crossings(cross), "metrics": declared_of(custom) or None}
    plan = _plan(arrays, validated(Analysis, fields, WHERE), baseline, favourable)
    return Results(plan, _tables(arrays, plan, custom), len(next(iter(arrays.predictions.values())).idx))


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


def _tables(arrays: EncodedArrays, plan: Mapping[str, Any], custom: Mapping[str, Metric]) -> Mapping[str, pd.DataFrame]:
    """Return every table of the analysis, and the metrics in long form; the others are made when they are asked for."""
    crossings, arms = plan["analysis"]["cross"] or [], {}
    for technique, runs in arrays.predictions.items():
        seeds = None if arrays.seeds is None else arrays.seeds[technique]
        arms[technique] = _arms(reduce(cross_attributes, crossings, runs), seeds)
    tables = all_tables.tables_on_demand(
        all_tables.gathered_on_demand(arms, dict(plan), custom), dict(plan), long=("metrics",)
    )
    tables["metrics"]  # at once, so that a custom metric fails in the call that it was given in
    return tables


def _arms(predictions: Predictions, seeds: Sequence[int] | None) -> dict[str, tuple[int, Predictions]]:
    """Return the runs of each arm with their seed, 0 where it is not recorded."""
    arms = runs_by_arm(len(predictions.runs), seeds)
    if len(arms) == 1:
        return {name: (of.seed or 0, predictions) for name, of in arms.items()}
    return {name: (of.seed or 0, select_runs(predictions, of.runs)) for name, of in arms.items()}
