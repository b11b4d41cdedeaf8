"""Simultaneous verdicts: the level at which the intervals of a whole family of comparisons hold together.

Each comparison keeps its interval, Welch's or the paired one, but at a smaller level than alpha: the largest at which
the chance that any interval of the family misses its true difference is alpha (max-T, Westfall & Young 1993, on the
scale of p-values so that comparisons with different degrees of freedom count alike). Metrics of one run depend on one
another, and techniques share a baseline, so this level is larger than Bonferroni's alpha/m.

The dependence is taken from the runs by rotation (Langsrud 2005, Statistics and Computing 15, 53-60). The deviations of
n runs from their mean span n - 1 dimensions. A random rotation of them, the same for all metrics of these runs, gives
deviations that normal runs of equal covariance would show just as well; its first coordinate takes the place of the
error of the mean, the other n - 2 give the variance. Whole runs are rotated, so that the metrics of a run stay
together. Exact for normal runs given their covariance, also with more metrics than runs, where a bootstrap of 5 runs is
far off.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

from fitlib.statistics.estimates import as_runs, is_constant

Floats = NDArray[np.float64]
ROTATIONS = 4999
SEED = 1993
Sample = tuple[Hashable, np.ndarray]  # which runs, and their values (runs,)
Comparison = Sequence[Sample]


def family_level(family: Sequence[Comparison], alpha: float = 0.05, rotations: int = ROTATIONS) -> float:
    """Return the level in [alpha/m, alpha] at which the intervals of m comparisons hold together with 1 - alpha.

    A comparison is two samples (baseline and technique: Welch), or one of differences (paired by run, or seeds); each
    sample is (key, values of the runs). Samples with equal keys are of the same runs in the same order, such as several
    metrics of one technique; they are rotated together. Comparisons whose samples are all constant have no interval and
    are left out. alpha/m if a sample has fewer than 3 runs; alpha for an empty family. Rotations are drawn from a fixed
    seed. ValueError if samples with one key differ in length.

    >>> rng = np.random.default_rng(0)
    >>> runs = rng.normal(size=(2, 16, 1)) + 0.3 * rng.normal(size=(2, 16, 5))  # five metrics that go together
    >>> family = [[("base", runs[0, :, m]), ("technique", runs[1, :, m])] for m in range(5)]
    >>> 0.05 / 5 < family_level(family) < 0.05, family_level(family[:1])
    (True, 0.05)
    """
    varying = [[(key, as_runs(x)) for key, x in one] for one in family]
    varying = [one for one in varying if not all(is_constant(x) for _, x in one)]
    m = len(varying)
    if m < 2:
        return alpha
    if min(x.size for one in varying for _, x in one) < 3:
        return alpha / m
    smallest = _smallest_p(varying, rotations)
    # The k-th smallest of the rotations and the data together, rounded down, so that no rotation favours a finding.
    k = int(alpha * (rotations + 1))
    level = float(np.partition(smallest, k - 1)[k - 1]) if k else 0.0
    return min(max(level, alpha / m), alpha)


def _smallest_p(family: Sequence[Comparison], rotations: int) -> Floats:
    """Return the smallest p of the family in every rotation, (rotations,)."""
    rng, drawn = np.random.default_rng([SEED, len(family)]), {}
    smallest = np.ones(rotations)
    for one in family:
        parts = []
        for key, x in one:
            if key not in drawn:
                drawn[key] = _directions(x.size, rotations, rng)
            parts.append(_rotated(x, drawn[key]))
        smallest = np.minimum(smallest, _p(parts, [x.size for _, x in one]))
    return smallest


def _directions(n: int, rotations: int, rng: np.random.Generator) -> Floats:
    """Draw directions uniform on the sphere of the deviations of n runs, as weights of the runs, (rotations, n)."""
    drawn = rng.standard_normal((rotations, n - 1))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    # Rows 1 to n - 1 of the Helmert matrix are an orthonormal basis of the deviations.
    return np.asarray(drawn @ linalg.helmert(n))


def _rotated(x: np.ndarray, directions: Floats) -> tuple[Floats, Floats]:
    """Return the squared standard error of the mean and the error of the mean in every rotation, (rotations,) each."""
    if directions.shape[1] != x.size:
        raise ValueError(
            f"{x.size} and {directions.shape[1]} runs under one key: samples rotated together need the same"
        )
    deviations = x - x.mean()
    first = directions @ deviations
    rest = np.maximum((deviations**2).sum() - first**2, 0.0)
    return rest / (x.size - 2) / x.size, first / np.sqrt(x.size)


def _p(parts: Sequence[tuple[Floats, Floats]], sizes: Sequence[int]) -> Floats:
    """Return the two-sided p of every rotation of one comparison, with Satterthwaite's degrees of freedom."""
    error = [part[1] for part in parts]
    difference = error[0] if len(error) == 1 else error[1] - error[0]
    squared = sum(part[0] for part in parts)
    terms = sum(part[0] ** 2 / (n - 2) for part, n in zip(parts, sizes, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):  # an arm that only rounding makes vary
        p = 2 * stats.t.sf(np.abs(difference) / np.sqrt(squared), squared**2 / terms)
    return np.nan_to_num(p, nan=1.0)
