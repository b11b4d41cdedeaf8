"""Permutation tests of a technique against its baseline: of the mean (studentised), and of the spread.

Pure functions on arrays of shape (runs,), one value per run, without NaN; difference = technique - baseline. If there
are at most ``permutations`` ways to assign the runs to both sides, all of them are enumerated and p is exact; otherwise
they are drawn from the generator and p = (1 + #{|T*| >= |T|}) / (permutations + 1), which is never 0 and keeps its
level (Phipson & Smyth 2010).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fitlib.statistics.estimates import (
    FEW,
    NOT_ESTIMABLE,
    as_runs,
    difference_of_means,
    means,
    paired_runs,
    run_differences,
    sds,
    welch_error,
)
from fitlib.statistics.significance import Test, brown_forsythe_statistics, untestable_spread

PERMUTATIONS = 9999
# Tolerances for values scaled to [-1, 1]: relative difference of equal statistics, variance of a mean that counts as 0,
# and rounding error of a variance
TIED, NO_VARIANCE, ROUNDING = 1e-9, 1e-13, 1e-15
NO_DIFFERENCE = 1e-10  # of means
_BLOCK = 4_000_000  # numbers processed at a time, so that memory does not grow with n


@dataclass(frozen=True)
class Assignments:
    """Ways to assign the runs: ``chosen`` bool (ways, runs), True for the technique's (paired: the flipped) ones."""

    chosen: np.ndarray
    complete: bool

    @property
    def method(self) -> str:
        """A description of how many ways there are, and whether they are all."""
        n = f"{len(self.chosen):,}"
        return f"all {n} permutations" if self.complete else f"{n} random permutations"

    def p(self, extreme: int) -> float:
        """Return p if ``extreme`` of the ways are at least as extreme as the observed one."""
        ways = len(self.chosen)
        return extreme / ways if self.complete else (1 + extreme) / (1 + ways)


def splits(
    n_baseline: int, n_technique: int, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> Assignments:
    """Choose ``n_technique`` of all runs in all ways if at most ``permutations``, else in as many random ways.

    Can be drawn once and used for every comparison of equal n (``dealt`` below).

    >>> splits(3, 3, np.random.default_rng(0)).chosen.shape
    (20, 6)
    """
    n = n_baseline + n_technique
    total = math.comb(n, n_technique)
    if total <= permutations:
        chosen = np.zeros((total, n), dtype=bool)
        for row, at in zip(chosen, itertools.combinations(range(n), n_technique), strict=True):
            row[list(at)] = True
        return Assignments(chosen, True)
    first = np.arange(n) < n_technique
    drawn = [rng.permuted(np.tile(first, (rows, 1)), axis=1) for rows in _rows(permutations, n)]
    return Assignments(np.concatenate(drawn), False)


def flips(n: int, rng: np.random.Generator, permutations: int = PERMUTATIONS) -> Assignments:
    """Flip the signs of ``n`` paired differences in all 2^n ways if at most ``permutations``, else in random ones."""
    if 2**n <= permutations:
        return Assignments(np.array(list(itertools.product((False, True), repeat=n))), True)
    return Assignments(np.concatenate([rng.random((rows, n)) < 0.5 for rows in _rows(permutations, n)]), False)


def studentised(
    baseline: np.ndarray,
    technique: np.ndarray,
    rng: np.random.Generator | None = None,
    permutations: int = PERMUTATIONS,
    dealt: Assignments | None = None,
) -> Test:
    """Test equal means by permutation with Welch's t as statistic, two-sided.

    T = (mean_t - mean_b) / sqrt(s_b²/n_b + s_t²/n_t), recomputed in every split. Exact if runs are exchangeable, and
    asymptotically valid for equal means under unequal variances, which the plain permutation test is not (Janssen
    1997, Statistics & Probability Letters 36, 9-21; Chung & Romano 2013, Annals of Statistics 41, 484-507).
    ``smallest_p``: that of the data's splits if all are enumerated, else 1/(permutations + 1). ``dealt`` (from
    `splits`) replaces ``rng``. Needs two runs of each. ``statistic`` is infinite if neither sample varies.

    >>> found = studentised([0.10, 0.12, 0.11, 0.15], [0.08, 0.09, 0.07, 0.08], np.random.default_rng(0))
    >>> round(found.p, 4), found.method  # the most extreme of 70 splits in both directions
    (0.0286, 'studentised permutation of the mean (Welch t), all 70 permutations')
    """
    b, t = as_runs(baseline), as_runs(technique)
    n, method = (b.size, t.size), "studentised permutation of the mean (Welch t)"
    if min(n) < 2:
        return Test(None, None, None, n, method, FEW.format(2))
    x = np.concatenate([b, t])
    if np.ptp(x) == 0:
        return Test(0.0, 1.0, 1.0, n, method, "all values are equal")
    dealt = dealt or splits(*n, _generator(rng), permutations)
    x = _scaled(x)
    squared, variance = _welch_parts(x, dealt.chosen, t.size)
    observed = _welch_parts(x, (np.arange(x.size) >= b.size)[None], t.size)
    p = dealt.p(int(_at_least(squared, variance, *observed).sum()))
    error = welch_error(float(sds(b)), float(sds(t)), *n)[0]
    difference = difference_of_means(b, t)
    statistic = difference / error if error else math.copysign(math.inf, difference)
    note = "" if error else "both constant in all runs"
    return Test(statistic, p, _smallest(dealt, squared, variance), n, f"{method}, {dealt.method}", note)


def studentised_paired(
    baseline: np.ndarray,
    technique: np.ndarray,
    rng: np.random.Generator | None = None,
    permutations: int = PERMUTATIONS,
    dealt: Assignments | None = None,
) -> Test:
    """Test a mean difference of 0 by flipping the signs of technique - baseline by run, two-sided.

    For techniques that share one training. ``statistic``: t = mean / (s/sqrt(n)) of the differences. A flip does not
    change the sum of squares, so |t| orders the flips as the absolute sum does. Valid if the differences are symmetric
    about 0, asymptotically also otherwise (Janssen 1999). ``dealt``: from `flips`. ValueError if unequal in length.
    """
    b, t = paired_runs(baseline, technique)
    n, method = (b.size, t.size), "studentised permutation of the mean, signs of paired differences"
    if b.size < 2:
        return Test(None, None, None, n, method, FEW.format(2))
    d = run_differences(b, t)
    if not d.any():
        return Test(0.0, 1.0, 1.0, n, method, "all differences are 0")
    dealt = dealt or flips(d.size, _generator(rng), permutations)
    x = d / np.abs(d).max()
    sums = np.abs(x.sum() - 2 * _sums(dealt.chosen, x[:, None])[:, 0])
    p = dealt.p(int((sums >= abs(x.sum()) - TIED).sum()))
    smallest = dealt.p(int((sums >= np.abs(x).sum() - TIED).sum())) if dealt.complete else dealt.p(0)
    error = float(sds(d)) / math.sqrt(d.size)
    mean = float(means(d))
    statistic = mean / error if error else math.copysign(math.inf, mean)
    note = "" if error else "constant difference in all runs"
    return Test(statistic, p, smallest, n, f"{method}, {dealt.method}", note)


def brown_forsythe_permutation(
    baseline: np.ndarray,
    technique: np.ndarray,
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> Test:
    """Test equal variances by permutation with Brown-Forsythe's W as statistic, on raw values.

    Each sample is first centred at its median: otherwise a difference of means would become spread in the permuted
    samples. The centred values are exchangeable only asymptotically, so the size is approximate. Needs three runs of
    each; not estimable if both are constant.
    """
    b, t = as_runs(baseline), as_runs(technique)
    n, method = (b.size, t.size), "Brown-Forsythe permutation after median-centring"
    note = untestable_spread(b, t)
    if note:
        return Test(None, None, None, n, method, NOT_ESTIMABLE + note)
    observed = float(brown_forsythe_statistics(b, t))
    if math.isnan(observed):
        return Test(None, None, None, n, method, NOT_ESTIMABLE + "deviations from the median do not vary")
    dealt = splits(*n, rng, permutations)
    centred = np.concatenate([b - np.median(b), t - np.median(t)])
    w = np.concatenate([_levene(centred, chosen, t.size) for chosen in _blocks(dealt.chosen)])
    p = dealt.p(int((w >= observed * (1 - TIED)).sum()))
    smallest = dealt.p(int((w >= w.max() * (1 - TIED)).sum())) if dealt.complete else dealt.p(0)
    return Test(observed, p, smallest, n, f"{method}, {dealt.method}")


# Parts


def _generator(rng: np.random.Generator | None) -> np.random.Generator:
    if rng is None:
        raise ValueError("rng is needed to draw permutations")
    return rng


def _rows(total: int, width: int) -> Iterator[int]:
    """Return the sizes of blocks of rows of ``width`` numbers that add up to ``total`` rows."""
    most = max(1, _BLOCK // width)
    return (min(most, total - start) for start in range(0, total, most))


def _blocks(chosen: np.ndarray) -> Iterator[np.ndarray]:
    most = max(1, _BLOCK // chosen.shape[1])
    return (chosen[start : start + most] for start in range(0, len(chosen), most))


def _sums(chosen: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sum ``columns`` (runs, k) over the chosen runs, (ways, k)."""
    return np.concatenate([block.astype(np.float64) @ columns for block in _blocks(chosen)])


def _scaled(x: np.ndarray) -> np.ndarray:
    """Centre values at their mean and scale the largest to ±1, so that sums of squares lose no precision."""
    x = x - x.mean()
    return x / np.abs(x).max()


def _welch_parts(x: np.ndarray, chosen: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared difference of means and its squared standard error in every split, (ways,) each."""
    rest = x.size - size
    sums = _sums(chosen, np.stack([x, x**2], axis=1))
    left = np.array([x.sum(), (x**2).sum()]) - sums
    variance = sum(np.maximum(s[:, 1] - s[:, 0] ** 2 / m, 0.0) / (m - 1) / m for s, m in ((sums, size), (left, rest)))
    difference = np.abs(sums[:, 0] / size - left[:, 0] / rest)
    squared = np.where(difference > NO_DIFFERENCE, difference, 0.0) ** 2
    return squared, np.where(variance > NO_VARIANCE, variance, 0.0)


def _at_least(
    squared: np.ndarray, variance: np.ndarray, observed: np.ndarray, observed_variance: np.ndarray
) -> np.ndarray:
    """Return whether T*² >= T², multiplied out: with an error of 0, T is infinite, which only infinite ones reach."""
    infinite = (variance == 0) & (squared > 0)
    reached = squared * (observed_variance + ROUNDING) >= observed * (variance - ROUNDING) * (1 - TIED)
    return infinite | reached & (observed_variance > 0)


def _smallest(dealt: Assignments, squared: np.ndarray, variance: np.ndarray) -> float:
    if not dealt.complete:
        return dealt.p(0)
    t2 = np.divide(squared, variance, out=np.full(squared.shape, np.inf), where=variance > 0)
    top = int(np.argmax(t2))
    return dealt.p(int(_at_least(squared, variance, squared[top], variance[top]).sum()))


def _levene(centred: np.ndarray, chosen: np.ndarray, size: int) -> np.ndarray:
    """Return Brown-Forsythe's W in every split; infinite if no deviation varies, so that p can only be larger."""
    values = np.broadcast_to(centred, chosen.shape)
    b, t = values[~chosen].reshape(len(chosen), -1), values[chosen].reshape(len(chosen), size)
    w = brown_forsythe_statistics(b, t)
    return np.where(np.isnan(w), np.inf, w)
