"""How many verdicts an experiment will give together, before its first run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fitlib.experiment.model import Experiment
from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.metrics.smallest_effects import Declared, smallest_effect


@dataclass(frozen=True)
class PlannedVerdicts:
    """The verdicts that hold together at level ``alpha``: comparisons × metrics.

    metrics: of the declared family, 1 where one is primary; some may turn out to repeat others. effects: the smallest
    effects by the names of their metrics, under "" where it is one for all; without shares of the baseline's mean,
    which is not known yet. runs: of each comparison; seeds where there are several (``over_seeds``). paired: whether
    the runs of all comparisons are paired. primary: the metric that decides, "" without one.
    """

    comparisons: int
    metrics: int
    alpha: float
    effects: dict[str, float]
    runs: int
    paired: bool
    over_seeds: bool
    primary: str


def planned_verdicts(experiment: Experiment) -> PlannedVerdicts:
    """Count the verdicts of an experiment: techniques with a baseline × attributes (× arms) × metrics.

    Over several seeds the verdicts are those over seeds, so that arms of one noise count once. Of several families that
    with the most.
    """
    analysis, declared = experiment.declared["analysis"], experiment.declared
    seeds, arms = len(declared["seeds"]), max(len(experiment.main_arms), 1)
    primary, family = analysis.get("primary"), analysis.get("family") or list(bias_metrics_of(analysis))
    return PlannedVerdicts(
        comparisons=_comparisons(experiment) * (arms // seeds),
        metrics=1 if primary else len(family),
        alpha=float(analysis["alpha"]),
        effects=_effects(analysis["smallest_effect"], [primary] if primary else family),
        runs=seeds if seeds > 1 else int(declared["runs"]),
        paired=_share_trainings(experiment),
        over_seeds=seeds > 1,
        primary=primary or "",
    )


def _comparisons(experiment: Experiment) -> int:
    """Count techniques with a baseline × protected attributes, of the family that has the most."""
    compared = {technique.name for technique in experiment.techniques if technique.baseline is not None}
    crossed = len(experiment.declared["analysis"].get("cross") or [])
    return max(
        (len(compared & family.techniques) * (max(len(family.groups), 1) + crossed) for family in experiment.families),
        default=0,
    )


def _share_trainings(experiment: Experiment) -> bool:
    """Return whether every technique shares the training of its baseline."""
    trainings = {technique.name: technique.training for technique in experiment.techniques}
    pairs = [(t.training, trainings[t.baseline]) for t in experiment.techniques if t.baseline is not None]
    return bool(pairs) and all(own == other for own, other in pairs)


def _effects(declared: Declared, metrics: list[str]) -> dict[str, float]:
    """Return the smallest effects with the metrics that they are declared for; without shares of an unknown mean."""
    by_effect: dict[float, list[str]] = {}
    for metric in metrics:
        effect = smallest_effect(declared, metric)
        if not math.isnan(effect):
            by_effect.setdefault(effect, []).append(metric)
    return {", ".join(names) if len(names) < len(metrics) else "": effect for effect, names in by_effect.items()}
