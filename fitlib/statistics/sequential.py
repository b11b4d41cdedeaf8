"""Sequential tests: looks at the runs before all are done, declared beforehand, with an overall level of alpha.

Pure functions on arrays of shape (runs,) in the order of the runs. Looking without a plan has a cost: a test at .05
after every run from the fifth to the sixteenth errs in some 16 % of cases.

After stopping, the ordinary interval of the difference misses the truth too often, and the difference itself is too
large in absolute value on average: a rule stops early mostly where chance made it large. With looks at 5, 8, 12 and 16
normal runs of each and a true difference of -1 SD, differences at which the rule stopped are -1.37 on average, -1.82 if
it stopped at 5 runs; ordinary 95 % intervals miss a difference of -0.5 SD in 6.8 %, the repeated ones of `looks` in
2.2 %. There is no adjusted estimate: the median-unbiased one (stage-wise ordering) leaves a difference at the first
look, which is exaggerated most, as it is.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from fitlib.statistics.estimates import Estimate, as_runs, paired_difference, welch
from fitlib.statistics.significance import Test, mann_whitney_exact, signed_rank_exact

LOOKS = (5, 8, 12, 16)
FELL, ROSE, GO_ON, NOTHING_SHOWN = "stop: bias fell", "stop: bias rose", "go on", "end: no difference shown"
NO_DIRECTION = "stop: distributions differ, means do not"
_NODES = 96  # of the Gauss-Legendre quadrature; 64 agree to 1e-9


@dataclass(frozen=True)
class Look:
    """One declared look at the first ``n`` runs of each; interval and test only if the look was made."""

    n: int
    level: float
    difference: Estimate | None
    test: Test | None
    decision: str


@lru_cache(maxsize=256)
def pocock_level(looks: int, alpha: float = 0.05) -> float:
    """Return the nominal two-sided level of each of ``looks`` >= 1 equally spaced looks with overall level alpha.

    Pocock (1977), Biometrika 64, 191-199, by the recursive integration of Armitage, McPherson & Rowe (1969).
    ValueError without a look or with alpha outside (0, 1).

    >>> [round(pocock_level(looks), 4) for looks in (1, 2, 3, 4, 5)]
    [0.05, 0.0294, 0.0221, 0.0182, 0.0158]
    """
    if looks < 1 or not 0 < alpha < 1:
        raise ValueError(f"looks = {looks}, alpha = {alpha}: at least one look, and 0 < alpha < 1, are needed")
    if looks == 1:
        return alpha
    # The critical value is between that of one look and Bonferroni's.
    ends = (float(stats.norm.isf(alpha / 2)), float(stats.norm.isf(alpha / looks / 2)))
    critical = optimize.brentq(lambda c: 1 - alpha - _never_crossed(c, looks), *ends, xtol=1e-12)
    return float(2 * stats.norm.sf(critical))


def looks(
    baseline: np.ndarray,
    technique: np.ndarray,
    at: Sequence[int] = LOOKS,
    alpha: float = 0.05,
    paired: bool = False,
) -> tuple[Look, ...]:
    """Make the declared looks at the first n runs of both, n in ``at``, each at Pocock's level, until one crosses it.

    A look crosses if the exact rank test's p (Mann-Whitney's U; signed ranks if ``paired``) is at most the level. The
    interval of the difference has confidence 1 - level: the repeated confidence intervals of Jennison & Turnbull
    (1989), Journal of the Royal Statistical Society B 51, 305-361. All of them together cover the difference with
    confidence 1 - alpha, so the one at which sampling stops does too, whatever the reason for stopping. Looks after the
    crossing, or at more runs than there are, are not made. The levels are for equally spaced looks; 5, 8, 12, 16 are
    nearly so. ValueError unless ``at`` rises.
    """
    b, t = as_runs(baseline), as_runs(technique)
    return looks_of(lambda n: (b[:n], t[:n]), at, alpha, paired)


def looks_of(
    first: Callable[[int], tuple[np.ndarray, np.ndarray]], at: Sequence[int], alpha: float = 0.05, paired: bool = False
) -> tuple[Look, ...]:
    """Make `looks` at values that depend on the number of runs: ``first(n)`` returns both samples, (n,) or shorter."""
    if not at or any(late <= early for early, late in itertools.pairwise(at)):
        raise ValueError(f"at = {list(at)}: the numbers of runs at which to look must rise")
    level, stopped = pocock_level(len(at), alpha), 0
    made: list[Look] = []
    for n in at:
        b, t = first(n)
        if stopped or min(b.size, t.size) < n:
            reason = f"stopped at n = {stopped}" if stopped else f"fewer than {n} runs"
            made.append(Look(n, level, None, None, f"not made: {reason}"))
            continue
        made.append(_look(b, t, level, n == at[-1], paired))
        stopped = n if made[-1].decision.startswith("stop") else 0
    return tuple(made)


def stopped_at(looks: Sequence[Look]) -> int | None:
    """Return the number of runs at which the declared rule stopped; None while it goes on, or if no look crossed.

    >>> stopped_at(looks(np.arange(16.0), np.arange(16.0) + 20))
    5
    """
    return next((look.n for look in looks if look.decision.startswith("stop")), None)


def _look(b: np.ndarray, t: np.ndarray, level: float, last: bool, paired: bool) -> Look:
    test = signed_rank_exact(b, t) if paired else mann_whitney_exact(b, t)
    difference = (paired_difference if paired else welch)(b, t, 1 - level)
    crossed = test.p is not None and test.p <= level
    decision = _direction(difference) if crossed else NOTHING_SHOWN if last else GO_ON
    return Look(b.size, level, difference, test, decision)


def _direction(difference: Estimate) -> str:
    if difference.value is None:
        raise ValueError(f"a look without a difference of means: {difference.note}")
    return FELL if difference.value < 0 else ROSE if difference.value > 0 else NO_DIRECTION


def _never_crossed(critical: float, looks: int) -> float:
    """Return P(|S_k| < c sqrt(k) for k = 1..looks) of sums S_k of k standard normals, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    at, density = critical * nodes, stats.norm.pdf(critical * nodes)
    for k in range(2, looks + 1):
        mass = density * weights * critical * math.sqrt(k - 1)
        reached = critical * math.sqrt(k) * nodes
        density = stats.norm.pdf(reached[:, None] - at) @ mass
        at = reached
    return float((density * weights).sum() * critical * math.sqrt(looks))
