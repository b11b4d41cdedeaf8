"""`scoring` of `fitlib.repeat`: custom metrics, and scikit-learn's scorers of predictions by name.

A scorer is an attribute of this module, `fitlib.repetition.scoring:balanced_accuracy`, so that an experiment on disk
can name it as any custom metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fitlib.errors import InputError, did_you_mean
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.metrics.custom_metrics import Metric
from fitlib.metrics.metric_sources import given_metrics
from fitlib.repetition.estimator_data import Rows
from fitlib.repetition.importing import importable
from fitlib.repetition.pickles import IN_A_MODULE, WHERE

FORMS = 'for example scoring={"balanced accuracy": "balanced_accuracy", "worst group": worst_group_error}'
PRESENT = (*BIAS_METRICS, "accuracy")  # metrics that every analysis has


class Score:
    """A scorer of scikit-learn as a function of predictions, the same for all groups."""

    def __init__(self, name: str):
        scorer = _scorer(name)
        self.__qualname__ = name
        self._function, self._options = scorer._score_func, scorer._kwargs

    def __call__(self, y_true: Any, y_pred: Any, *, sensitive_features: Any = None) -> float:
        """Return the score of one run."""
        return float(self._function(y_true, y_pred, **self._options))


def __getattr__(name: str) -> Score:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return Score(name)
    except InputError as error:
        raise AttributeError(str(error)) from None


def _scorer(name: str) -> Any:
    """Return a scorer; InputError for an unknown one, and for one of anything but predicted classes."""
    from sklearn.metrics import get_scorer, get_scorer_names

    known = get_scorer_names()
    if name not in known:
        remedy = did_you_mean(name, known, "name a scorer of scikit-learn, or give a function")
        raise InputError(WHERE, "scoring", name, "unknown scorer", remedy)
    scorer: Any = get_scorer(name)
    if getattr(scorer, "_response_method", "predict") != "predict" or scorer._sign < 0:
        problem = "not a share that the predicted classes have"
        raise InputError(WHERE, "scoring", name, problem, "for example balanced_accuracy or f1_macro")
    return scorer


def metrics_of(scoring: object) -> dict[str, Metric]:
    """Return the custom metrics of `scoring`; those that every analysis has under this name anyway are left out.

    scoring: {name: scorer's name, `module:function`, function or `fitlib.metrics.Metric`}, a list of these, or one
    scorer's name. Scores of scorers are larger where a model is better; tables hold 1 - score, as of all metrics.
    """
    named: object = scoring
    if isinstance(scoring, str):
        named = {scoring: scoring}
    elif isinstance(scoring, Mapping):
        named = {name: value for name, value in scoring.items() if not _is_present(name, value)}
    if isinstance(named, list | tuple):
        named = {value if isinstance(value, str) else Metric(value).label.rpartition(":")[2]: value for value in named}
    if isinstance(named, Mapping):
        named = {name: _scored(value) for name, value in named.items() if value != "accuracy"}
    elif named is not None:
        raise InputError(WHERE, "scoring", type(named).__name__, "neither metrics by name nor a list of them", FORMS)
    return given_metrics(named, WHERE)


def _is_present(name: object, value: object) -> bool:
    return name in PRESENT and getattr(value, "__module__", "") == "fitlib.metrics.functions"


def _scored(value: object) -> object:
    """Return a scorer's name as a metric, anything else as it is."""
    if isinstance(value, str) and ":" not in value:
        return Metric(Score(value), larger_is_fairer=True)
    return value


def covered(metrics: Mapping[str, Metric], primary: str | None) -> list[str] | None:
    """Return the metrics on which there are verdicts: scorers do not measure fairness; None where there are none.

    Raises InputError for a scorer as the primary metric.
    """
    scores = [name for name, metric in metrics.items() if isinstance(metric.function, Score)]
    if primary in scores or f"1 - {primary}" in scores:
        problem, remedy = "a score of all rows, on which no verdict on fairness can rest", "name a bias metric, as DP"
        raise InputError(WHERE, "primary", primary, problem, remedy)
    return [*BIAS_METRICS, *(name for name in metrics if name not in scores)] if scores else None


def check_importable(metrics: Mapping[str, Metric]) -> None:
    """Raise InputError for a metric that a later session, which `out` is for, cannot import."""
    for name, metric in metrics.items():
        if not isinstance(metric.function, Score) and not importable(metric.function):
            problem = "defined in a notebook, script or function: a later session, which out= is for, cannot import it"
            raise InputError(WHERE, f"scoring[{name!r}]", metric.label, problem, f"{IN_A_MODULE}, or leave out= out")


def check_on(metrics: Mapping[str, Metric], test: Rows) -> None:
    """Raise InputError, before any training, for a metric of predictions that fails on made-up predictions."""
    from fitlib.metrics.custom_metrics import takes_predictions

    codes = np.unique(test.labels, return_inverse=True)[1] if test.labels.ndim == 1 else test.labels
    groups = np.unique(next(iter(test.groups.values())), return_inverse=True)[1]
    for name, metric in metrics.items():
        if not takes_predictions(metric.function):
            continue
        try:
            value = float(metric.function(codes, np.roll(codes, 1, axis=0), sensitive_features=groups))
        except Exception as error:
            problem = f"it raised {type(error).__name__} on predictions as numbers from 0 on: {error}"
            raise InputError(WHERE, f"scoring[{name!r}]", metric.label, problem, "correct it") from error
        if value < -1e-9 or value > 1 + 1e-9:
            raise InputError(WHERE, f"scoring[{name!r}]", value, "not a share from 0 to 1", "scale it, or leave it out")
