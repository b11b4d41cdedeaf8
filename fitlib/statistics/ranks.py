"""Ranks of several techniques by their means over runs, and how firm they are over whole-run resamples.

Pure functions on arrays. Smaller is better, as with every bias metric: rank 1 is the smallest mean. Ties share: their
ranks are the mean of the places that they take together, and the chance to be best is divided among them.

P(best) is the share of resamples in which a technique is best: how firm the order is under another set of runs like
these, not the probability that the technique is the best there is. If k techniques do not differ it is 1/k on average,
but in one experiment it may be anything between 0 and 1. Resamples vary less than the means of new runs do, so with few
runs P(best) is too often near 0 or 1 (below `FEW_RUNS` noticeably; see docs/statistics.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fitlib.statistics.bootstrap import resampled_means
from fitlib.statistics.estimates import means

Floats = NDArray[np.float64]

FEW_RUNS = 8  # below it, P(best) and the interval of the rank overstate certainty noticeably
TIE = 1e-12  # means that differ by less are equal: sums of the same values in another order


@dataclass(frozen=True)
class Ranks:
    """Of each technique (techniques,): ``rank`` of its mean; over resamples P(best), mean and interval of the rank."""

    rank: Floats
    best: Floats
    mean: Floats
    low: Floats
    high: Floats


def mid_ranks(values: np.ndarray) -> Floats:
    """Rank values over the last axis, the smallest first; equal ones get the mean of their places.

    >>> mid_ranks([0.3, 0.1, 0.1 + 1e-16, 0.2]).tolist()
    [4.0, 1.5, 1.5, 3.0]
    """
    values = np.asarray(values, dtype=np.float64)
    order = values.argsort(axis=-1, kind="stable")
    ascending = np.take_along_axis(values, order, axis=-1)
    step = np.zeros(values.shape, dtype=np.int64)
    step[..., 1:] = (np.diff(ascending, axis=-1) > TIE).cumsum(axis=-1)
    levels = np.empty_like(step)
    np.put_along_axis(levels, order, step, axis=-1)
    return np.asarray(stats.rankdata(levels, axis=-1))


def rank_techniques(samples: Sequence[np.ndarray], counts: Sequence[np.ndarray], confidence: float = 0.95) -> Ranks:
    """Rank techniques by their means over runs, and over resamples of whole runs.

    samples: values (runs,) of each technique. counts: how often each run is drawn, (resamples, runs), from
    `fitlib.statistics.bootstrap.draw_runs`; techniques that share one training get the same array. The interval of the
    rank holds at least ``confidence`` of the resamples.

    >>> from fitlib.statistics.bootstrap import draw_runs
    >>> rng = np.random.default_rng(0)
    >>> samples = [np.array([0.30, 0.32, 0.31, 0.33]), np.array([0.20, 0.22, 0.19, 0.24])]
    >>> found = rank_techniques(samples, [draw_runs(4, rng, 100) for _ in samples])
    >>> found.rank.tolist(), found.best.tolist()
    ([2.0, 1.0], [0.0, 1.0])
    """
    drawn = np.stack([resampled_means(x, drawn) for x, drawn in zip(samples, counts, strict=True)], axis=1)
    ranks, tail = mid_ranks(drawn), (1 - confidence) / 2
    first = ranks == ranks.min(axis=1, keepdims=True)
    best = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    low, high = np.quantile(ranks, (tail, 1 - tail), axis=0, method="inverted_cdf")
    return Ranks(mid_ranks(np.array([means(x) for x in samples])), best, ranks.mean(axis=0), low, high)
