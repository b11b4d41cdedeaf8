"""Verdicts: what an interval of a difference shows about a declared smallest effect.

A verdict depends on three numbers, a difference of means (technique - baseline), its standard error and the degrees of
freedom of that error, and on a level: the interval of the difference has confidence 1 - level, that of the equivalence
test 1 - 2 level. At the level of one comparison (.05) a verdict is unadjusted; at the level of
`fitlib.statistics.simultaneous.family_level` all verdicts of a family hold together.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fitlib.statistics.estimates import as_runs, paired_difference, welch
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN, RUNS, TOO_FEW, VERDICTS


def verdict(
    baseline: ArrayLike, technique: ArrayLike, smallest_effect: float, level: float = 0.05, paired: bool = False
) -> str:
    """Return the verdict on a bias metric for the smallest effect δ >= 0, from Welch's interval or the paired one.

    One of `VERDICTS`, see `judge`; `TOO_FEW` below `RUNS` runs in either arm, "not estimable" without an interval.

    >>> baseline, technique = [0.10, 0.12, 0.11, 0.15], [0.08, 0.09, 0.07, 0.08]
    >>> [verdict(baseline, technique, smallest_effect) for smallest_effect in (0, 0.01, 0.1)]
    ['fairer', 'lower, size open', 'equivalent']
    """
    b, t = as_runs(baseline), as_runs(technique)
    if 0 < min(b.size, t.size) < RUNS:
        return TOO_FEW
    interval = paired_difference(b, t) if paired else welch(b, t)
    if interval.value is None or interval.error is None or interval.df is None:
        return "not estimable"
    return VERDICTS[int(judge(interval.value, interval.error, interval.df, smallest_effect, level))]


def judge(
    difference: ArrayLike, error: ArrayLike, df: ArrayLike, smallest_effect: ArrayLike, level: ArrayLike
) -> NDArray[np.int64]:
    """Return the positions in `VERDICTS` of the verdicts on differences with standard errors > 0; arrays broadcast.

    With the interval difference ± t(df, level/2) error: "fairer" wholly below -δ, "less fair" wholly above δ. Else
    "equivalent" if the interval of confidence 1 - 2 level (two one-sided tests, Schuirmann 1987) lies within [-δ, δ].
    Else "lower, size open" or "higher, size open" if the first interval excludes 0, and "open" if it does not.

    >>> found = judge([-0.05, -0.02, 0.0, 0.01], 0.005, df=30, smallest_effect=0.015, level=0.05)
    >>> [VERDICTS[i] for i in found]
    ['fairer', 'lower, size open', 'equivalent', 'open']
    """
    difference, error = np.asarray(difference, dtype=np.float64), np.asarray(error, dtype=np.float64)
    effect, level = np.asarray(smallest_effect, dtype=np.float64), np.asarray(level, dtype=np.float64)
    half = stats.t.isf(level / 2, df) * error
    # The one-sided interval at level 1/2 and above would be empty; no such level is ever used.
    inner = stats.t.isf(np.minimum(level, 0.5), df) * error
    low, high = difference - half, difference + half
    conditions = [
        high < -effect,
        low > effect,
        (difference - inner >= -effect) & (difference + inner <= effect),
        high < 0,
        low > 0,
    ]
    return np.select(
        conditions,
        [VERDICTS.index(name) for name in (FAIRER, LESS_FAIR, EQUIVALENT, LOWER, HIGHER)],
        VERDICTS.index(OPEN),
    )
