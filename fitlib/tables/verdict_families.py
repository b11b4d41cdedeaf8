"""Families of verdicts that hold together, and the columns of a verdict.

The verdicts of an experiment on distinct metrics are one family: the chance that any interval misses its difference, so
that a verdict with a direction is wrong, is at most alpha (`fitlib.statistics.simultaneous`). "Equivalent" rests on two
one-sided tests at the same level, so that the chance of any that is wrong is at most twice alpha. If a primary metric
was declared, the verdicts on it are a family of their own and decide; those on the others still hold together as
before. An unadjusted verdict is shown beside each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fitlib.metrics.smallest_effects import smallest_effect
from fitlib.statistics.estimates import Estimate
from fitlib.statistics.significance import redundant_metrics
from fitlib.statistics.simultaneous import Comparison, family_level
from fitlib.tables.schemas import Json


@dataclass(frozen=True)
class Family:
    """Verdicts that hold together: ``level`` of each interval, ``size`` the number of intervals."""

    level: float
    size: int

    def columns(self) -> Json:
        """Return the columns that describe the family of a verdict."""
        return {"level": self.level, "verdicts_together": self.size}


class Families:
    """The family of every metric. ``comparisons``: metric -> the comparisons on it that have an interval.

    ``distinct``: metrics that repeat no other; ``repeated``: redundant metric -> its representative.
    """

    def __init__(
        self,
        comparisons: Callable[[str], Sequence[Comparison]],
        distinct: Sequence[str],
        repeated: Mapping[str, str],
        analysis: Json,
    ):
        self.repeated, self.alpha = repeated, float(analysis["alpha"])
        declared = analysis.get("primary")
        self.primary = repeated.get(declared, declared) if declared else None
        found = {metric: list(comparisons(metric)) for metric in distinct}
        self.whole = _family([one for of_metric in found.values() for one in of_metric], self.alpha)
        self.first = _family(found.get(self.primary, []), self.alpha) if self.primary else None

    def is_primary(self, metric: str) -> bool:
        """Return whether verdicts on this metric decide because it was declared primary, or repeats that metric."""
        return self.primary is not None and self.repeated.get(metric, metric) == self.primary

    def of(self, metric: str) -> Family:
        """Return the family whose verdicts hold together with those on this metric."""
        return self.first if self.first is not None and self.is_primary(metric) else self.whole


def _family(comparisons: Sequence[Comparison], alpha: float) -> Family:
    return Family(family_level(comparisons, alpha), len(comparisons))


def repeated_metrics(values: Sequence[Mapping[str, np.ndarray]], analysis: Json) -> dict[str, str]:
    """Return each metric that repeats another in all runs, with its representative.

    ``values``: for each protected attribute metric -> overall values. The declared primary metric represents its set,
    otherwise the member that is largest in smallest effects, as each metric has its own.
    """
    units = {}
    for metric in values[0] if values else ():
        found = np.concatenate([of_attribute[metric] for of_attribute in values])
        mean = float(np.mean(found[~np.isnan(found)])) if not np.isnan(found).all() else 0.0
        units[metric] = smallest_effect(analysis["smallest_effect"], metric, mean) or 1.0
    return redundant_metrics(*values, units=units, primary=analysis.get("primary"))


def simultaneous_interval(difference: Estimate, level: float) -> Json:
    """Return the columns of the interval at the level of a family; missing where the difference has no interval."""
    if difference.value is None or not difference.error or difference.df is None:
        return {}
    half = float(stats.t.isf(level / 2, difference.df)) * difference.error
    return {"simultaneous_low": difference.value - half, "simultaneous_high": difference.value + half}
