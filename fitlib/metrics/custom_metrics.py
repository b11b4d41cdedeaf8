"""Custom metrics: a user's functions, which get the statistics, columns and figures of the seven bias metrics.

There are two forms, told apart by the signature alone (`takes_predictions`):

- a function of predictions, `f(y_true, y_pred, *, sensitive_features) -> number`, called once for each run, as those of
  fairlearn are;
- a function of counts, `f(counts)` with one required argument, called once for all runs with the integers of
  `fitlib.metrics.counts`: [run, group, true, predicted], or of labels [run, group, label, tp/fp/fn/tn]. It returns
  (runs,), or (runs, classes), whose mean over the defined classes is the overall value, as doubles or as a `Ratio`.

A value is a share from 0 to 1, NaN where it is undefined. In all tables larger is less fair: of a metric of which the
opposite holds, such as a ratio or the accuracy of the worst group, they contain 1 - value, and its name there begins
with "1 - ".

Which metrics an experiment has is part of its plan (`analysis.metrics`); nothing is registered in this process.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fitlib.errors import InputError
from fitlib.metrics.counts import Counts
from fitlib.metrics.exact import Ratio, Values, mean_of

if TYPE_CHECKING:
    from fitlib.storage.predictions import Predictions

FORMS = "a metric is f(counts) or f(y_true, y_pred, *, sensitive_features)"
ROUNDING = 1e-9  # how far rounding may take a share out of 0 to 1
Function = Callable[..., Any]


@dataclass(frozen=True)
class Metric:
    """A custom metric: its function, and whether its values are larger where treatment is fairer.

    >>> import fitlib
    >>> worst = fitlib.metrics.Metric(lambda counts: np.ones(len(counts)), larger_is_fairer=True)
    >>> worst.larger_is_fairer
    True
    """

    function: Function
    larger_is_fairer: bool = False

    @property
    def label(self) -> str:
        """Where the function is from, as `module:function`."""
        function = self.function
        while isinstance(function, functools.partial):
            function = function.func
        name = getattr(function, "__qualname__", type(function).__qualname__)
        module = getattr(function, "__module__", None) or type(function).__module__
        return f"{module}:{name.replace('<locals>.', '').replace('<lambda>', 'lambda')}"


# Forms


def check_function(function: object, where: str, name: str, given: object) -> None:
    """Raise InputError unless a function has one of the two forms."""
    if isinstance(function, Metric):
        remedy = "name its function, and declare larger_is_fairer beside it"
        raise InputError(where, f"metrics.{name}", given, "a Metric, not a function", remedy)
    if not callable(function) or inspect.isclass(function):
        raise InputError(where, f"metrics.{name}", given, "not a function", FORMS)
    try:
        takes_predictions(function)
    except ValueError as error:
        raise InputError(where, f"metrics.{name}", given, str(error), FORMS) from None


def takes_predictions(function: Function) -> bool:
    """Return whether a function is one of predictions, not of counts; ValueError for a signature that is neither.

    A function of predictions has a parameter `sensitive_features` and two others without a default; one of counts has
    one parameter without a default.

    >>> takes_predictions(lambda y_true, y_pred, *, sensitive_features: 0.0), takes_predictions(lambda counts: 0.0)
    (True, False)
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ValueError("its signature cannot be read") from None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters.values() if p.default is p.empty and p.kind in (*positional, p.KEYWORD_ONLY)]
    first = [p for p in needed if p.name != "sensitive_features"]
    expected = 2 if "sensitive_features" in parameters else 1
    if len(first) != expected or any(p.kind not in positional for p in first):
        raise ValueError(f"its arguments are {', '.join(parameters) or 'none'}")
    return expected == 2


# Values


class CustomValues(NamedTuple):
    """The values of a custom metric: the overall one first, then those by class if it has any; (runs, 1 + classes)."""

    values: Values
    remainders: Values
    undefined: Counts  # 0 or 1; overall: how many classes


def evaluate(
    name: str, metric: Metric, predictions: Predictions, attribute: str, counts: Counts, technique: str
) -> CustomValues:
    """Compute a custom metric for all runs of a technique; larger values are less fair.

    Raises InputError, with metric, technique and run, where the function fails or returns anything but shares.
    """
    if takes_predictions(metric.function):
        found = [_of_run(name, metric, predictions, attribute, run, technique) for run in range(len(predictions.runs))]
        return _overall_only(_less_fair(np.array(found, dtype=np.float64), metric))
    where, shapes = f"{technique}, all runs", ((len(counts),), (len(counts), predictions.n_classes))
    with _reported(name, metric, where):
        returned = metric.function(counts.copy())  # a function that writes to its argument changes nothing else
        values = returned.values() if isinstance(returned, Ratio) else np.asarray(returned, dtype=np.float64)
    if values.shape not in shapes:
        expected = f"{shapes[0]}, one value for each run, or {shapes[1]}, by class"
        raise _error(name, metric, where, f"it returned shape {values.shape}, not {expected}")
    _check_shares(name, metric, where, values)
    if values.ndim == 2 and isinstance(returned, Ratio):
        exact = Ratio(returned.whole - returned.part, returned.whole) if metric.larger_is_fairer else returned
        return _by_class(exact.values(), exact.remainders(exact.values()))
    values = _less_fair(values, metric)
    return _overall_only(values) if values.ndim == 1 else _by_class(values, np.where(np.isnan(values), np.nan, 0.0))


def _of_run(name: str, metric: Metric, predictions: Predictions, attribute: str, run: int, technique: str) -> float:
    p, where = predictions, f"{technique}, run {predictions.runs[run]}"
    given = [array.astype(np.int64) for array in (p.ground_truth, p.prediction[run], p.protected[attribute])]
    with _reported(name, metric, where):
        returned = metric.function(*given[:2], sensitive_features=given[2])
        value = np.asarray(returned, dtype=np.float64)
    if value.ndim:
        raise _error(name, metric, where, f"it returned shape {value.shape}, not one number")
    _check_shares(name, metric, where, value)
    return float(value)


def _check_shares(name: str, metric: Metric, where: str, values: Values) -> None:
    outside = values[(values < -ROUNDING) | (values > 1 + ROUNDING)]
    if outside.size:
        raise _error(name, metric, where, f"it returned {outside.flat[0]:g}, not a share from 0 to 1")


def _less_fair(values: Values, metric: Metric) -> Values:
    """Return the values so that larger is less fair, without what rounding adds to shares."""
    shares = np.clip(values, 0.0, 1.0)
    return 1.0 - shares if metric.larger_is_fairer else shares


def _overall_only(values: Values) -> CustomValues:
    undefined = np.isnan(values)
    remainders = np.where(undefined, np.nan, 0.0)
    return CustomValues(values[:, None], remainders[:, None], undefined.astype(np.int64)[:, None])


def _by_class(values: Values, remainders: Values) -> CustomValues:
    undefined = np.isnan(values)
    mean, rest = mean_of(values, remainders, ~undefined)
    missing = np.concatenate([undefined.sum(axis=1)[:, None], undefined], axis=1)
    return CustomValues(np.c_[mean, values], np.c_[rest, remainders], missing)


@contextmanager
def _reported(name: str, metric: Metric, where: str) -> Iterator[None]:
    """Turn whatever a custom metric raises into one line that names metric, technique and run."""
    try:
        yield
    except Exception as error:
        raise _error(name, metric, where, f"it raised {type(error).__name__}: {error}") from error


def _error(name: str, metric: Metric, where: str, problem: str) -> InputError:
    return InputError("metrics", f"metric {name}", where, problem, f"correct {metric.label}")
