"""What an executed notebook says of itself: its parameters, and when papermill executed it.

Nothing heavy is imported: `fitlib status` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HASHED = 12  # digits of a plan's hash: enough to compare by eye


def executed_on(notebook: Mapping[str, Any]) -> str:
    """Return the day on which papermill executed a notebook, in UTC; "" where it does not say.

    >>> executed_on({"metadata": {"papermill": {"end_time": "2026-12-01T02:45:41.005537+00:00"}}})
    '2026-12-01'
    """
    noted = notebook.get("metadata", {}).get("papermill") or {}
    return str(noted.get("end_time") or "")[:10]


def parameters_of(notebook: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters with which papermill executed a notebook; {} where it does not say."""
    return (notebook.get("metadata", {}).get("papermill") or {}).get("parameters") or {}
