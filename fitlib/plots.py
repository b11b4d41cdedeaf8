"""Figures from tidy tables: every function draws one panel on `ax`, or on axes of its own, and returns the axes.

The tables are those of `results.tables` or of an experiment's `tables/`; `plan` is `results.plan`. `palette` gives
techniques their colours, as `technique_colours` makes it of a plan. `results.plot` has methods of the same names that
choose tables, attribute and metric by themselves, and arrange several panels. All are loaded on first use, so that
importing this module stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fitlib.report.figures.accuracy_bias_plane import plane as accuracy_bias_plane
    from fitlib.report.figures.classes import technique_classes as classes
    from fitlib.report.figures.differences import effect, heat_map
    from fitlib.report.figures.distributions import distribution
    from fitlib.report.figures.epochs import divergence as epochs
    from fitlib.report.figures.epochs import training_curves
    from fitlib.report.figures.impact_ratio import impact_ratio
    from fitlib.report.figures.impact_ratio import sides as impact_ratio_sides
    from fitlib.report.figures.individuals import distribution as churn
    from fitlib.report.figures.spread_by_runs import against_runs
    from fitlib.report.figures.spread_by_runs import by_runs as spread_by_runs
    from fitlib.report.figures.style import technique_colours
    from fitlib.report.figures.testset import components as testset

__all__ = [
    "accuracy_bias_plane",
    "against_runs",
    "churn",
    "classes",
    "distribution",
    "effect",
    "epochs",
    "heat_map",
    "impact_ratio",
    "impact_ratio_sides",
    "spread_by_runs",
    "technique_colours",
    "testset",
    "training_curves",
]
_HOME = {
    "accuracy_bias_plane": "accuracy_bias_plane.plane",
    "against_runs": "spread_by_runs.against_runs",
    "churn": "individuals.distribution",
    "classes": "classes.technique_classes",
    "distribution": "distributions.distribution",
    "effect": "differences.effect",
    "epochs": "epochs.divergence",
    "heat_map": "differences.heat_map",
    "impact_ratio": "impact_ratio.impact_ratio",
    "impact_ratio_sides": "impact_ratio.sides",
    "spread_by_runs": "spread_by_runs.by_runs",
    "technique_colours": "style.technique_colours",
    "testset": "testset.components",
    "training_curves": "epochs.training_curves",
}


def __getattr__(name: str) -> object:
    """Import a member of `__all__` on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'fitlib.plots' has no attribute {name!r}")
    module, function = _HOME[name].split(".")
    return getattr(import_module(f"fitlib.report.figures.{module}"), function)


def __dir__() -> list[str]:
    """List the public functions beside what is loaded."""
    return sorted({*globals(), *__all__})
