"""Metrics of predictions: counts, bias metrics, chance level, churn and thresholds.

The functions listed in `__all__` take labels as scikit-learn and fairlearn do; see `fitlib.metrics.functions`. `Metric`
declares a custom metric; see `fitlib.metrics.custom_metrics`. All are loaded on first use, so that importing a module
of this package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fitlib.metrics.custom_metrics import Metric
    from fitlib.metrics.functions import (
        accuracy,
        bias_amplification,
        demographic_parity,
        disparate_impact,
        equal_odds_false_positive,
        equal_odds_true_positive,
        false_positive_rate,
        false_positive_subgroup,
        selection_rate,
        statistical_parity_subgroup,
        true_positive_rate,
    )

__all__ = [
    "Metric",
    "accuracy",
    "bias_amplification",
    "demographic_parity",
    "disparate_impact",
    "equal_odds_false_positive",
    "equal_odds_true_positive",
    "false_positive_rate",
    "false_positive_subgroup",
    "selection_rate",
    "statistical_parity_subgroup",
    "true_positive_rate",
]


def __getattr__(name: str) -> object:
    """Import a member of `__all__` on first use."""
    if name not in __all__:
        raise AttributeError(f"module 'fitlib.metrics' has no attribute {name!r}")
    module = "custom_metrics" if name == "Metric" else "functions"
    return getattr(import_module(f"fitlib.metrics.{module}"), name)


def __dir__() -> list[str]:
    """List the public functions beside what is loaded."""
    return sorted({*globals(), *__all__})
