"""fitlib: is this model fair, or was I lucky with this run?"""

from __future__ import annotations

from importlib import import_module

__all__ = ["Recorder", "save_predictions"]
_HOME = {"Recorder": "fitlib.recording", "save_predictions": "fitlib.saving"}


def __getattr__(name: str) -> object:
    """`Recorder` (which needs torch) and `save_predictions`, imported when first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'fitlib' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
