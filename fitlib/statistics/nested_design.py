"""The nested design, seeds x runs: how much of the variance is due to the seed, and which conclusions hold over seeds.

Pure functions on samples shaped (seeds, runs): a 2-D array, or one array of runs per seed if their numbers differ. The
seed is a random factor, its runs are nested in it: value = mean + seed + run within seed. FIT runs share one seed, so a
test on them is valid for that seed only; a verdict over seeds needs several (`SEEDS`, `RUNS`), and the seed's share of
the variance even more runs (`SHARE_RUNS`). Differences are technique - baseline, as in `fitlib.statistics.estimates`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from fitlib.statistics.estimates import (
    FEW,
    NOT_ESTIMABLE,
    Estimate,
    as_runs,
    is_constant,
    means,
    paired_difference,
    paired_runs,
    run_differences,
    sds,
)
from fitlib.statistics.significance import Test, signed_rank_exact
from fitlib.statistics.verdicts import verdict

Samples = np.ndarray | Sequence[np.ndarray]  # (seeds, runs)
SEEDS, RUNS = 8, 2  # least numbers for an unqualified verdict over seeds
SHARE_RUNS = 4  # least number at each of `SEEDS` seeds for the seed's share of the variance
FEW_FOR_SHARES = f"shares need {SEEDS} seeds x {SHARE_RUNS} runs"
UNDEFINED = NOT_ESTIMABLE + "an undefined value"


@dataclass(frozen=True)
class Components:
    """Variances of the seed and of the run within its seed, None where not estimable.

    The estimate of the seed's may be negative, which means that it is indistinguishable from 0. ``share`` = seed's
    variance / (seed's + run's); ``runs``: runs per seed, their harmonic mean if they differ.
    """

    seed: float | None
    run: float | None
    share: Estimate
    seeds: int
    runs: float


# Scope of a design


def qualification(n_seeds: int, n_runs: int) -> str:
    """Return why a verdict from so many seeds, with at least `n_runs` runs each, must be qualified; "" otherwise."""
    if n_seeds < SEEDS:
        return f"too few for an unqualified verdict ({SEEDS} needed)"
    return f"with too few runs each for an unqualified verdict ({RUNS} needed)" if n_runs < RUNS else ""


def scope(n_seeds: int, n_runs: int) -> str:
    """Return what a verdict covers, with its qualification if it needs one.

    >>> scope(8, 4)
    'over 8 seeds, on this test set'
    """
    parts = [f"over {n_seeds} seed{'' if n_seeds == 1 else 's'}", qualification(n_seeds, n_runs), "on this test set"]
    return ", ".join(part for part in parts if part)


def one_seed_false_positives(fit_share: float, runs: int, alpha: float = 0.05) -> float:
    """Return how often a t test of two techniques at one seed finds a difference although there is none over seeds.

    ``fit_share``: share of the total SD that FIT runs show, in (0, 1]; ``runs`` >= 2 of each technique. The effect of
    the seed differs between techniques, so the statistic of the test (df = 2 runs - 2) is a central t stretched by
    sqrt(1 + runs (1 - f²)/f²), f = ``fit_share``: exact for normal seeds and runs of equal variance.

    >>> round(one_seed_false_positives(fit_share=0.5, runs=16), 2), round(one_seed_false_positives(1.0, 16), 2)
    (0.77, 0.05)
    """
    if not 0 < fit_share <= 1 or runs < 2:
        raise ValueError(f"fit_share = {fit_share}, runs = {runs}: give a share in (0, 1] and 2 runs or more")
    df, stretch = 2 * runs - 2, math.sqrt(1 + runs * (1 - fit_share**2) / fit_share**2)
    return float(2 * stats.t.sf(stats.t.isf(alpha / 2, df) / stretch, df))


# One technique


def components(values: Samples, confidence: float = 0.95) -> Components:
    """Return the variance of seeds and of runs within a seed, and the seed's share with its interval.

    One-way random effects.

    With S seeds of n runs, B = n x variance of the seeds' means, W = pooled variance within seeds, F = B/W: run = W,
    seed = (B - W)/n, share = (F - 1)/(F + n - 1). Interval: the same of F divided by the quantiles of F(S - 1, N - S);
    exact for normal values (Searle 1971, Linear Models, §9.9). Unequal n: their harmonic mean, approximate (Thomas &
    Hultquist 1978, Annals of Statistics 6, 582-587). The share and the ends of its interval may be negative.

    >>> found = components([[0.10, 0.11], [0.15, 0.14], [0.12, 0.13]])
    >>> round(found.seed, 5), round(found.run, 5), found.share.note
    (0.00038, 5e-05, 'shares need 8 seeds x 4 runs')
    """
    seeds = _seeds(values)
    n = _harmonic_mean([seed.size for seed in seeds])
    reason = _why_no_components(seeds)
    if reason:
        no_share = Estimate(None, None, None, len(seeds), _share_method(seeds), confidence, reason)
        return Components(None, None, no_share, len(seeds), n)
    between, within, df = _mean_squares(seeds, n)
    share = _share(seeds, between, within, n, df, confidence)
    return Components((between - within) / n, within, share, len(seeds), n)


def share_of_seed(f: float, runs: float, df: tuple[int, int], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the seed's share (F - 1)/(F + n - 1) of the variance with the ends of its F interval.

    The share is the intraclass correlation. ``f``: mean square between seeds over that within; ``runs`` = n per seed;
    ``df``: degrees of freedom of both.
    """
    tail = (1 - confidence) / 2
    quantiles = (1.0, float(stats.f.isf(tail, *df)), float(stats.f.isf(1 - tail, *df)))
    value, low, high = ((f / q - 1) / (f / q + runs - 1) for q in quantiles)
    return value, low, high


def _share(
    seeds: list[np.ndarray], between: float, within: float, n: float, df: tuple[int, int], confidence: float
) -> Estimate:
    size, method, few = sum(seed.size for seed in seeds), _share_method(seeds), min(seed.size for seed in seeds)
    if len(seeds) < SEEDS or few < SHARE_RUNS:
        return Estimate(None, None, None, size, method, confidence, FEW_FOR_SHARES)
    if within == 0:
        reason = "constant in all runs" if between == 0 else "constant in all runs of every seed"
        return Estimate(None, None, None, size, method, confidence, NOT_ESTIMABLE + reason)
    value, low, high = share_of_seed(between / within, n, df, confidence)
    note = "estimated <= 0: too small to be told from 0" if value <= 0 else ""
    return Estimate(value, low, high, size, method, confidence, note)


# Two techniques


def over_seeds(baseline: Samples, technique: Samples, confidence: float = 0.95) -> Estimate:
    """Return the mean over seeds of the differences technique - baseline of the runs' means, with Student's t interval.

    Both (seeds, runs), of the same seeds in the same order (ValueError otherwise); paired by seed, S - 1 degrees of
    freedom. The seed is a random factor: the interval is about new seeds. ``n`` counts the seeds. More runs only make
    each seed's difference more precise; seeds have equal weight even if their numbers of runs differ.
    """
    b, t = _paired_means(baseline, technique)
    method = f"paired t over {b.size} seeds"
    if np.isnan(b).any() or np.isnan(t).any():
        return Estimate(None, None, None, b.size, method, confidence, UNDEFINED)
    found = paired_difference(b, t, confidence)
    note = f"constant difference at all {b.size} seeds; nothing to estimate" if found.note else ""
    note = FEW.format(2).replace("runs", "seeds") if b.size < 2 else note
    return replace(found, n=b.size, method=method, note=note)


def paired_t(baseline: Samples, technique: Samples) -> Test:
    """Test the seeds' differences of means by a two-sided paired t test, S - 1 degrees of freedom (no smallest p)."""
    b, t = _paired_means(baseline, technique)
    n, method = (b.size, b.size), f"paired t over {b.size} seeds"
    if b.size < 2 or np.isnan(t - b).any():
        reason = UNDEFINED if b.size > 1 else FEW.format(2).replace("runs", "seeds")
        return Test(None, None, None, n, method, reason)
    difference = run_differences(b, t)
    if is_constant(difference):
        return Test(None, None, None, n, method, f"{NOT_ESTIMABLE}constant difference at all {b.size} seeds")
    statistic = float(means(difference) / sds(difference) * math.sqrt(b.size))
    return Test(statistic, float(2 * stats.t.sf(abs(statistic), b.size - 1)), None, n, method)


def signed_rank(baseline: Samples, technique: Samples) -> Test:
    """Test the seeds' differences of means by the exact signed-rank test, with the smallest p attainable."""
    b, t = _paired_means(baseline, technique)
    method = f"Wilcoxon signed-rank over {b.size} seeds, exact with mid-ranks"
    if np.isnan(t - b).any():
        return Test(None, None, None, (b.size, b.size), method, UNDEFINED)
    found = signed_rank_exact(b, t)
    return Test(found.statistic, found.p, found.smallest_p, found.n, method, found.note)


def verdict_over_seeds(baseline: Samples, technique: Samples, smallest_effect: float, level: float = 0.05) -> str:
    """Return `fitlib.statistics.verdicts.verdict` on the seeds' means; report it with `scope`, which qualifies it."""
    b, t = _paired_means(baseline, technique)
    if np.isnan(b).any() or np.isnan(t).any():
        return "not estimable"
    return verdict(b, t, smallest_effect, level, paired=True)


# Parts


def seed_means(values: Samples) -> np.ndarray:
    """Return means over the runs of each seed, (seeds,); NaN for a seed without runs or with an undefined value."""
    return np.array([float(means(seed)) if seed.size else math.nan for seed in _seeds(values)])


def _seeds(values: Samples) -> list[np.ndarray]:
    return [as_runs(seed).ravel() for seed in values]


def _paired_means(baseline: Samples, technique: Samples) -> tuple[np.ndarray, np.ndarray]:
    if len(baseline) != len(technique):
        raise ValueError(f"{len(baseline)} and {len(technique)} seeds: both techniques need the same seeds")
    return paired_runs(seed_means(baseline), seed_means(technique))


def _why_no_components(seeds: list[np.ndarray]) -> str:
    if any(np.isnan(seed).any() for seed in seeds):
        return UNDEFINED
    if len(seeds) < 2:
        return FEW.format(2).replace("runs", "seeds")
    if min(seed.size for seed in seeds) == 0:
        return NOT_ESTIMABLE + "a seed without runs"
    return NOT_ESTIMABLE + "one run per seed" if max(seed.size for seed in seeds) < 2 else ""


def _mean_squares(seeds: list[np.ndarray], n: float) -> tuple[float, float, tuple[int, int]]:
    """Return the mean squares between and within seeds, and their degrees of freedom."""
    df = len(seeds) - 1, sum(seed.size - 1 for seed in seeds)
    squares = [float(sds(seed)) ** 2 * (seed.size - 1) for seed in seeds if seed.size > 1]
    return n * float(sds(seed_means(seeds))) ** 2, math.fsum(squares) / df[1], df


def _harmonic_mean(sizes: Sequence[int]) -> float:
    return len(sizes) / math.fsum(1 / size for size in sizes) if sizes and min(sizes) else 0.0


def _share_method(seeds: list[np.ndarray]) -> str:
    balanced = len({seed.size for seed in seeds}) < 2
    return "F (Searle 1971)" if balanced else "F on harmonic-mean n (Thomas & Hultquist 1978), approximate"
