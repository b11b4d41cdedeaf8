"""Sensitivity of a verdict to single runs: each run is left out once, and the changes are counted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitlib.statistics.estimates import as_runs, means, run_differences, sds
from fitlib.statistics.verdict_names import RUNS, TOO_FEW, VERDICTS
from fitlib.statistics.verdicts import judge, verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LeaveOneOut:
    """A verdict on all runs, and the verdicts with one run less.

    ``changed`` of ``n`` deletions change the verdict; ``verdicts``: the different verdicts, each once; ``runs``: (side,
    position) of the runs that change it, side "baseline", "technique" or, of paired runs, "both".
    """

    verdict: str
    changed: int
    n: int
    verdicts: tuple[str, ...]
    runs: tuple[tuple[str, int], ...]


def leave_one_out(
    baseline: np.ndarray, technique: np.ndarray, smallest_effect: float, level: float = 0.05, paired: bool = False
) -> LeaveOneOut:
    """Compare `fitlib.statistics.verdicts.verdict` on all runs with its result without each run of either side.

    Arrays (runs,). ``paired``: a run is left out of both at once; ValueError if they are unequal in length. All
    deletions are judged at once.

    >>> baseline, technique = [0.30, 0.31, 0.29, 0.30, 0.31], [0.20, 0.21, 0.19, 0.20, 0.45]
    >>> found = leave_one_out(baseline, technique, smallest_effect=0.01)
    >>> found.verdict, found.changed, found.n, found.verdicts, found.runs
    ('open', 1, 10, ('fairer',), (('technique', 4),))
    """
    b, t = as_runs(baseline), as_runs(technique)
    whole = verdict(b, t, smallest_effect, level, paired)
    if paired:
        others, names = _without_one_pair(run_differences(b, t), smallest_effect, level), ["both"] * b.size
    else:
        others = _without_one(b, t, smallest_effect, level)
        names = ["baseline"] * b.size + ["technique"] * t.size
    positions = [*range(b.size), *(() if paired else range(t.size))]
    runs = tuple((name, at) for name, at, other in zip(names, positions, others, strict=True) if other != whole)
    changed = tuple(dict.fromkeys(other for other in others if other != whole))
    return LeaveOneOut(whole, len(runs), len(others), changed, runs)


def _without_one(b: Floats, t: Floats, effect: float, level: float) -> list[str]:
    """Return the verdicts without each run of the baseline, then without each of the technique."""
    (mean_b, square_b), (mean_t, square_t) = _moments(b), _moments(t)
    parts = [(_deletions(b), (mean_t, square_t)), ((mean_b, square_b), _deletions(t))]
    sizes = [(b.size - 1, t.size), (b.size, t.size - 1)]
    return [
        judged
        for (of_b, of_t), n in zip(parts, sizes, strict=True)
        for judged in _judged(of_t[0] - of_b[0], (of_b[1], of_t[1]), n, effect, level)
    ]


def _without_one_pair(differences: Floats, effect: float, level: float) -> list[str]:
    mean, square = _deletions(differences)
    return _judged(mean, (square,), (differences.size - 1,), effect, level)


def _moments(x: Floats) -> tuple[Floats, Floats]:
    """Return means and squared standard errors of means over the last axis; the latter NaN for a single run."""
    return means(x), sds(x) ** 2 / max(x.shape[-1], 1)


def _deletions(x: Floats) -> tuple[Floats, Floats]:
    """Return the `_moments` without each run, (runs,) each."""
    if x.size < 2:
        return np.full(x.size, np.nan), np.full(x.size, np.nan)
    kept = ~np.eye(x.size, dtype=bool)
    return _moments(np.broadcast_to(x, kept.shape)[kept].reshape(x.size, x.size - 1))


def _judged(
    difference: Floats, squares: tuple[Floats, ...], sizes: tuple[int, ...], effect: float, level: float
) -> list[str]:
    """Return the verdict on every difference, with Satterthwaite's degrees of freedom."""
    if min(sizes) < RUNS:
        return [TOO_FEW if min(sizes) else "not estimable"] * difference.size
    squared = np.broadcast_to(sum(squares), difference.shape)
    terms = sum(square**2 / (n - 1) for square, n in zip(squares, sizes, strict=True))
    varying = squared > 0
    df = np.divide(squared**2, terms, out=np.full(difference.shape, np.inf), where=varying)
    judged = judge(difference, np.sqrt(squared), df, effect, level)
    return [VERDICTS[code] if known else "not estimable" for code, known in zip(judged, varying, strict=True)]
