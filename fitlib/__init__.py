"""fitlib: is this model fair, or was I lucky with this run?"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"
__all__ = [
    "Recorder",
    "Results",
    "analyze",
    "combine",
    "experiments",
    "load",
    "metrics",
    "plots",
    "repeat",
    "save_predictions",
]
_HOME = {
    "Recorder": "fitlib.recording.recorder",
    "Results": "fitlib.results.results",
    "analyze": "fitlib.results.analysis",
    "combine": "fitlib.results.combination",
    "experiments": "fitlib.results.loaded",
    "load": "fitlib.results.loaded",
    "repeat": "fitlib.repetition.repeat",
    "save_predictions": "fitlib.recording.save_predictions",
}


def home(name: str) -> str:
    """Return the name of the module that defines a member of `__all__`."""
    return _HOME[name]


def __getattr__(name: str) -> object:
    """Import a member of `__all__` on first use, so that `import fitlib` is fast; only `Recorder` needs torch."""
    if name in ("metrics", "plots"):
        return import_module(f"fitlib.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'fitlib' has no attribute {name!r}")
    from fitlib.extras import extra_named

    with extra_named():
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
