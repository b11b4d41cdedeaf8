"""Pickles of estimators, with bytes that depend on their content only, and of functions, as the training of a run.

Functions and classes of a notebook or script (`__main__`) are pickled by value, for which cloudpickle is needed; joblib
brings it along.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from fitlib.errors import InputError
from fitlib.recording.call_function import arguments
from fitlib.storage.prediction_columns import one_line

WHERE = "repeat"
CLOUDPICKLE = ("cloudpickle", "joblib.externals.cloudpickle")
IN_A_MODULE = "define it in a module (a .py file) and import it from there"


class _ByContent(pickle._Pickler):
    """A pickler that writes equal text in full, whether or not it is one object: the bytes follow from the content."""

    def memoize(self, obj: object) -> None:
        """Remember an object for references to it, unless it is text."""
        if not isinstance(obj, str | bytes):
            super().memoize(obj)  # type: ignore[misc]  # the types list no methods of the Python pickler


def pickled(value: object) -> bytes:
    """Return the pickle of a value, equal for equal content in every process; raises what pickle raises.

    >>> pickled(["ab", "a" + "b"]) == pickled(["".join(["a", "b"]), "ab"])
    True
    """
    buffer = io.BytesIO()
    _ByContent(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def pickled_by_value(field: str, value: object) -> bytes:
    """Return the pickle of a value, with whatever `__main__` defines of it; InputError where it cannot be pickled."""
    try:
        return bytes(_cloudpickle(field).dumps(value))
    except InputError:
        raise
    except Exception as error:  # each object has errors of its own
        problem = f"cannot be sent to another process ({one_line(str(error), 80)})"
        raise InputError(WHERE, field, type(value).__name__, problem, IN_A_MODULE) from error


def _cloudpickle(field: str) -> ModuleType:
    for name in CLOUDPICKLE:
        try:
            return import_module(name)
        except ImportError:
            continue
    problem = "defined in a notebook or script, so that another process cannot import it"
    raise InputError(WHERE, field, "__main__", problem, f"{IN_A_MODULE}, or pip install cloudpickle")


@lru_cache
def read_pickle(path: str) -> Any:
    """Read a pickle once in this process and in those forked from it."""
    return pickle.loads(Path(path).read_bytes())


# A pickled function as the training of a run


def call(
    function: str,
    run_dir: str,
    run: int,
    seed: int,
    noise: dict[str, object],
    noise_seed: int,
    device: str,
    threads: int,
    techniques: list[str],
    recorder: Callable,
) -> object:
    """Call the function in this pickle as `call.ipynb` calls one of a module; return what it returns."""
    given = {"run_dir": run_dir, "run": run, "seed": seed, "noise": noise, "noise_seed": noise_seed}
    given |= {"device": device, "threads": threads, "techniques": techniques, "recorder": recorder}
    loaded = read_pickle(function)
    return loaded(**arguments(loaded, given, {}))
