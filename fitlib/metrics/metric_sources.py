"""Where custom metrics come from: names, `module:function`, entry points, and functions given in a call.

Packages announce metrics as entry points of the group `fitlib.metrics`; an experiment uses those that it names.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Collection, Mapping
from importlib.metadata import entry_points
from typing import Any

from fitlib.errors import InputError, did_you_mean
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.metrics.custom_metrics import FORMS, Function, Metric, check_function

ENTRY_POINTS = "fitlib.metrics"  # the group in which packages announce metrics by name
NAME = re.compile(r"[^\W_][\w .()+-]{0,39}")
NAME_RULE = "use up to 40 letters, digits, spaces and . ( ) + - _, the first a letter or digit"
COMPLEMENT = "1 - "  # begins the names of metrics for which larger is fairer
TAKEN = (
    *BIAS_METRICS, "accuracy", "technique", "training", "arm", "noise", "kind", "seed", "run", "status", "fit",
    "initial_weights", "first_batch", "final_weights", "predictions", "fingerprint", "attribute",
)  # columns of the table of runs, which has one for each metric  # fmt: skip


# Names


def check_name(name: object) -> None:
    """Raise ValueError unless a custom metric may have this name.

    >>> check_name("worst-group error")
    >>> check_name("DP")
    Traceback (most recent call last):
        ...
    ValueError: the name DP is taken: it is a metric of fitlib
    """
    if not isinstance(name, str) or not NAME.fullmatch(name) or name != name.strip():
        raise ValueError(f"{name!r} is no name of a metric: {NAME_RULE}")
    if name.casefold() in {taken.casefold() for taken in TAKEN}:
        what = "a metric of fitlib" if name.upper() in BIAS_METRICS or name == "accuracy" else "a column of a table"
        raise ValueError(f"the name {name} is taken: it is {what}")


def shown_name(name: str, larger_is_fairer: object) -> str:
    """Return the name of a metric in tables: what they contain is 1 - its value where larger is fairer.

    >>> shown_name("parity ratio", True), shown_name("1 - parity ratio", True), shown_name("gap", False)
    ('1 - parity ratio', '1 - parity ratio', 'gap')
    """
    return f"{COMPLEMENT}{name.removeprefix(COMPLEMENT)}" if larger_is_fairer is True else name


# Loading


def installed() -> dict[str, str]:
    """Return the metrics that installed packages announce, {name: "module:function"}; none is used unless named."""
    return {point.name: f"{point.module}:{point.attr}" for point in entry_points(group=ENTRY_POINTS)}


def resolve(text: str) -> str:
    """Return `module:function` for such a text or for the name of an installed metric; ValueError for other texts."""
    if ":" in text:
        return text
    known = installed()
    if text not in known:
        otherwise = f"installed metrics: {', '.join(known) or 'none'}"
        raise ValueError(f"{text!r} is neither module:function nor an installed metric; {otherwise}")
    return known[text]


def load(declared: Mapping[str, Mapping[str, Any]] | None, where: str) -> dict[str, Metric]:
    """Import the metrics that a plan declares, {name: {"function": "module:function", "larger_is_fairer": bool}}.

    Modules are looked for in the current folder, too. Raises InputError for what cannot be imported, is no function,
    or has neither form.
    """
    loaded = {}
    for name, given in (declared or {}).items():
        metric = Metric(_imported(given["function"], where, name), given["larger_is_fairer"])
        check_function(metric.function, where, name, given["function"])
        loaded[name] = metric
    return loaded


def _imported(target: str, where: str, name: str) -> Function:
    field, (module, _, path) = f"metrics.{name}", target.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        remedy = "install it, or run in the folder that contains it"
        raise InputError(where, field, target, f"cannot be imported ({error})", remedy) from error
    except Exception as error:  # whatever a user's module raises
        problem = f"cannot be imported ({type(error).__name__}: {error})"
        raise InputError(where, field, target, problem, f"correct {module}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            names = [n for n in dir(found) if callable(getattr(found, n, None)) and not n.startswith("_")]
            remedy = did_you_mean(part, names, "correct the name")
            raise InputError(where, field, target, f"there is no {part} in {module}", remedy)
        found = getattr(found, part)
    return found


# In a plan, and in a call


def declared_of(metrics: Mapping[str, Metric]) -> dict[str, dict[str, Any]]:
    """Return metrics as a plan declares them."""
    return {
        name: {"function": metric.label, "larger_is_fairer": metric.larger_is_fairer}
        for name, metric in metrics.items()
    }


def normalise(given: object) -> dict[str, dict[str, Any]]:
    """Return metrics as written in a file in the form of a plan: a mapping, or a list of functions.

    Each is `module:function`, the name of an installed metric, or a mapping with the field `function`. Names are those
    in tables (`shown_name`). Raises
    ValueError for anything else, and for names that are taken.

    >>> normalise({"worst group": "my_metrics:worst"})
    {'worst group': {'function': 'my_metrics:worst'}}
    """
    if not isinstance(given, Mapping | list):
        raise ValueError("neither {name: module:function} nor a list of module:function")
    found: dict[str, dict[str, Any]] = {}
    for name, value in _named(given):
        fields = dict(value) if isinstance(value, Mapping) else {"function": value}
        if not isinstance(fields.get("function"), str):
            raise ValueError(f"{name}: no function; write {name}: module:function")
        shown = _new_name(name, fields.get("larger_is_fairer"), found)
        found[shown] = fields | {"function": resolve(fields["function"])}
    return found


def given_metrics(given: object, where: str) -> dict[str, Metric]:
    """Return the metrics given in a call: {name: metric}, or a list, where a metric has its function's name.

    A metric is a function, a `Metric`, or a text: `module:function` or the name of an installed metric. Raises
    InputError for anything else, for a name that is taken, and for functions of neither form.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping | list | tuple):
        remedy = 'for example metrics={"worst-group error": worst_group_error}'
        raise InputError(where, "metrics", given, "neither {name: function} nor a list of functions", remedy)
    found: dict[str, Metric] = {}
    for name, value in _named(given):
        try:
            shown = _new_name(name, isinstance(value, Metric) and value.larger_is_fairer, found)
            found[shown] = _metric_of(name, value, where)
        except ValueError as error:
            raise InputError(where, "metrics", name, str(error), FORMS) from None
    return found


def _metric_of(name: str, given: Any, where: str) -> Metric:
    if isinstance(given, str):
        return load({name: {"function": resolve(given), "larger_is_fairer": False}}, where)[name]
    metric = given if isinstance(given, Metric) else Metric(given)
    check_function(metric.function, where, name, metric.function)
    return metric


def _named(given: Mapping | list | tuple) -> list[tuple[Any, Any]]:
    """Return names and metrics; those of a list have the names of their functions."""
    return list(given.items()) if isinstance(given, Mapping) else [(_own_name(metric), metric) for metric in given]


def _own_name(given: Any) -> str:
    """Return the name of a metric in a list: "worst" of my_metrics:worst, and of an installed metric its own."""
    if isinstance(given, str):
        return given.rpartition(":")[2].rpartition(".")[2] if ":" in given else given
    return _own_name((given if isinstance(given, Metric) else Metric(given)).label)


def _new_name(name: Any, larger_is_fairer: object, found: Collection[str]) -> str:
    """Return the name in tables; ValueError where it is taken or no name."""
    check_name(name.removeprefix(COMPLEMENT) if larger_is_fairer is True and isinstance(name, str) else name)
    shown = shown_name(name, larger_is_fairer)
    if shown in found:
        raise ValueError("two metrics have this name: give each its own, as {name: function}")
    return shown
