"""Families of verdicts that hold together, and the columns of a verdict.

The verdicts of an experiment on distinct metrics are one family: the chance that any interval misses its difference, so
that a verdict with a direction is wrong, is at most alpha (`fitlib.statistics.simultaneous`). "Equivalent" rests on two
one-sided tests at the same level, so that the chance of any that is wrong is at most twice alpha. If a primary metric
was declared, the verdicts on it are a family of their own and decide; those on the others still hold together as
before. An unadjusted verdict is shown beside each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from fitlib.statistics.estimates import Estimate
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


def simultaneous_interval(difference: Estimate, level: float) -> Json:
    """Return the columns of the interval at the level of a family; missing where the difference has no interval."""
    if difference.value is None or not difference.error or difference.df is None:
        return {}
    half = float(stats.t.isf(level / 2, difference.df)) * difference.error
    return {"simultaneous_low": difference.value - half, "simultaneous_high": difference.value + half}
