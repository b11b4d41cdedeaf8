"""Questions on verdicts, answered by simulation: how often each comes, is wrong, or follows from rounding alone."""

import math

import numpy as np
import procedures as do
from procedures import Share, share
from scipy import stats

from fitlib.metrics.bias_metrics import RATIOS, overall, overall_ratio
from fitlib.metrics.counts import one_vs_rest
from fitlib.metrics.exact import Ratio
from fitlib.statistics import planning, power
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, LESS_FAIR, RUNS, VERDICTS
from fitlib.statistics.verdicts import judge, verdict

Rows = list[list]
Values = np.ndarray
OPEN_IN_SIZE = tuple(i for i, name in enumerate(VERDICTS) if name not in (FAIRER, EQUIVALENT, LESS_FAIR))


# How often each verdict comes


def verdicts(rng: np.random.Generator, replicates: int) -> Rows:
    """Verdicts at three true differences, and one against unequal spread; δ = 1 SD."""
    rows = []
    for n in (8, 16, 64):
        for true in (0.0, -1.0, -2.0):
            found = _judged(rng, replicates, (n, n), (1.0, 1.0), true, 1.0, do.ALPHA)
            rows.append([n, f"{true:g} δ", *(share(found == i) for i in range(len(VERDICTS)))])
    return rows


def _judged(
    rng: np.random.Generator,
    replicates: int,
    sizes: tuple[int, int],
    sds: tuple[float, float],
    true: float,
    effect: float,
    level: float,
) -> Values:
    """Positions in `VERDICTS` of the verdicts on normal runs, (replicates,)."""
    b, t = (sd * do.sample("normal", rng, (replicates, n)) for sd, n in zip(sds, sizes, strict=True))
    return judge(*do.welch_error(b, true + t), effect, level)


SETTINGS = (  # runs, SDs of baseline and technique, level, true difference; δ = 1
    ((4, 4), (1.0, 1.0), 0.05, 0.0),
    ((4, 4), (0.5, 0.5), 0.05, -2.0),
    ((5, 5), (0.6, 0.6), 0.05, -1.0),
    ((5, 5), (0.6, 0.6), 0.01, -3.0),
    ((6, 6), (0.5, 1.5), 0.05, -3.0),
    ((8, 8), (1.0, 1.0), 0.05, 0.0),
    ((8, 8), (1.0, 1.0), 0.05, -1.0),
    ((8, 8), (1.0, 1.0), 0.05, -2.0),
    ((8, 8), (1.0, 1.0), 0.01, -3.0),
    ((8, 4), (1.0, 0.5), 0.05, -2.0),
    ((16, 16), (1.0, 1.0), 0.05, 0.0),
    ((16, 16), (1.0, 1.0), 0.05, -1.0),
    ((16, 16), (1.0, 1.0), 0.05, -2.0),
    ((16, 16), (1.0, 3.0), 0.05, -2.0),
    ((16, 16), (1.0, 1.0), 0.05 / 45, -2.0),
    ((16, 8), (1.0, 2.0), 0.05, -3.0),
    ((32, 32), (1.0, 1.0), 0.05 / 15, 0.0),
    ((32, 32), (2.0, 2.0), 0.05, -2.0),
    ((64, 64), (2.0, 2.0), 0.05, -0.5),
    ((64, 64), (1.5, 0.5), 0.01, -1.5),
)


def planned(rng: np.random.Generator, replicates: int) -> Rows:
    """Verdicts as planned, and as found."""
    rows = []
    for sizes, sds, level, true in SETTINGS:
        expected = planning.verdict_chances([true], sds, sizes, 1.0, level)[0, 0]
        judged = _judged(rng, replicates, sizes, sds, true, 1.0, level)
        found = [share(judged == i) for i in range(len(VERDICTS))]
        largest = max(abs(one.value - p) for one, p in zip(found, expected, strict=True))
        told = [
            f"{100 * expected[list(group)].sum():.1f} / {share(np.isin(judged, group))}"
            for group in ((VERDICTS.index(FAIRER),), (VERDICTS.index(EQUIVALENT),), OPEN_IN_SIZE)
        ]
        names = [" + ".join(map(str, sizes)), ":".join(f"{sd:g}" for sd in sds), f"{level:.2g}", f"{true:g} δ"]
        rows.append([*names, *told, f"{100 * largest:.1f}"])
    return rows


# Few runs


def two_values(rng: np.random.Generator, replicates: int) -> Rows:
    """Verdicts other than open where both arms take two values alike: with constant arms believed, without, fitlib's.

    The worst of five shares of the larger value. δ is near 0.
    """
    rows = []
    for n in (2, 3, 4, 5):
        found = [_two_values(rng, n, p, replicates) for p in (0.5, 0.6, 0.7, 0.8, 0.9)]
        worst = [max((one[rule] for one in found), key=lambda one: one.value) for rule in range(3)]
        rows.append([n, *worst[:2], worst[2] if n >= RUNS else "no verdict"])
    return rows


def _two_values(rng: np.random.Generator, n: int, p: float, replicates: int) -> list[Share]:
    """Shares of replicates with a false verdict under each of three rules."""
    b, t = np.where(rng.random((2, replicates, n)) < p, 0.1, 0.2)
    constant = (b == b[:, :1]).all(axis=1) & (t == t[:, :1]).all(axis=1)
    found = np.zeros(replicates, dtype=bool)
    found[~constant] = _is_wrong(judge(*do.welch_error(b[~constant], t[~constant]), 1e-9, do.ALPHA))
    cases, index = np.unique(np.concatenate([b, t], axis=1), axis=0, return_inverse=True)
    own = np.array([verdict(case[:n], case[n:], 1e-9) in (FAIRER, LESS_FAIR) for case in cases])
    return [share(found | (constant & (b[:, 0] != t[:, 0]))), share(found), share(own[index.ravel()])]


def _is_wrong(judged: Values) -> Values:
    return np.isin(judged, [VERDICTS.index(name) for name in (FAIRER, LESS_FAIR)])


def few_against_many(rng: np.random.Generator, replicates: int) -> Rows:
    """Coverage of Welch's interval where one arm has few runs, by the SDs of the few and of the many."""
    rows = []
    for n in (2, 3, 4, 5, 8):
        for shape in ("normal", "t3", "skewed"):
            few, many = (do.sample(shape, rng, (replicates, size)) for size in (n, 16))
            found = [do.covers(do.welch_interval(ratio * few, many), 0.0) for ratio in (1.0, 3.0, 1 / 3)]
            rows.append([f"{n} against 16", do.NAMES[shape], *map(share, found)])
    return rows


LEVELS = (0.05, 0.05 / 5, 0.05 / 45)


def small_levels(rng: np.random.Generator, replicates: int, times: int = 20) -> Rows:
    """How often Welch's interval misses at small levels, in multiples of the level."""
    rows = []
    for shape in ("normal", "skewed"):
        for ratio in (1.0, 3.0):
            for n in (5, 8, 16):
                parts = [_p_of_welch(rng, replicates, shape, ratio, n) for _ in range(times)]
                found = [(share(np.concatenate(parts) < level), level) for level in LEVELS]
                told = [f"{one.value / level:.2f} ± {one.error / level:.2f}" for one, level in found]
                rows.append([do.NAMES[shape], f"1:{ratio:g}", n, *told])
    return rows


def _p_of_welch(rng: np.random.Generator, replicates: int, shape: str, ratio: float, n: int) -> Values:
    b, t = (sd * do.sample(shape, rng, (replicates, n)) for sd in (1.0, ratio))
    difference, error, df = do.welch_error(b, t)
    return 2 * stats.t.sf(np.abs(difference) / error, df)


RANK_SETTINGS = (  # runs of each, α, difference at which the noncentral t says .80, in SDs
    (4, 0.05),
    (5, 0.01),
    (5, 0.05),
    (6, 0.05 / 14),
    (7, 0.05 / 35),
    (8, 0.05 / 35),
    (8, 0.01),
    (16, 0.05 / 35),
    (16, 0.05),
)


def rank_power(rng: np.random.Generator, replicates: int) -> Rows:
    """How often exact U rejects, where the noncentral t of Welch's test promises .8."""
    rows = []
    for n, alpha in RANK_SETTINGS:
        effect = _effect_for(0.8, n, alpha)
        b, t = do.sample("normal", rng, (replicates, n)), effect + do.sample("normal", rng, (replicates, n))
        # p of U is a multiple of 1/C(2n, n): rounding must not decide on equality with α
        found = [share(p <= alpha * (1 + 1e-9)) for p in (do.exact_u(b, t), do.welch_t(b, t))]
        told = f"{100 * (power.power_rank(effect, 1.0, 1.0, n, n, alpha) or 0.0):.1f}"
        rows.append([n, f"{alpha:.2g}", f"{effect:.2f}", f"{100 * _power_t(effect, n, alpha):.1f}", *found[::-1], told])
    return rows


def _power_t(effect: float, n: int, alpha: float) -> float:
    """Power of the two-sided t test of n + n normal runs of equal SD at a difference in SDs: noncentral t."""
    critical, shift = stats.t.isf(alpha / 2, 2 * n - 2), effect * math.sqrt(n / 2)
    return float(stats.nct.sf(critical, 2 * n - 2, shift) + stats.nct.cdf(-critical, 2 * n - 2, shift))


def _effect_for(power: float, n: int, alpha: float) -> float:
    low, high = 0.0, 20.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if _power_t(middle, n, alpha) < power else (low, middle)
    return high


# Exact ties


def ties(rng: np.random.Generator, replicates: int) -> Rows:
    """How often two runs with exactly equal metrics get different numbers, from means of doubles and from ratios.

    The second run has the counts of the first with classes and groups in another order, so that every metric, whose
    mean over the classes does not depend on their order, is the same number.
    """
    rows: dict[str, list[Values]] = {name: [] for name in RATIOS}
    sizes = [(groups, classes) for groups in range(2, 6) for classes in range(2, 11)]
    for groups, classes in sizes:
        pairs = _tied_counts(rng, groups, classes, math.ceil(replicates / len(sizes)))
        for name, ratio in RATIOS.items():
            rows[name].append(_differ(*(ratio(one_vs_rest(counts)) for counts in pairs)))
    return [[name, *map(share, np.concatenate(found, axis=1))] for name, found in rows.items()]


def _tied_counts(rng: np.random.Generator, groups: int, classes: int, pairs: int) -> tuple[Values, Values]:
    """Counts (pairs, groups, true, predicted) of two runs each."""
    counts = rng.integers(0, 60, (pairs, groups, classes, classes))
    counts += 120 * np.eye(classes, dtype=np.int64)
    order = rng.permuted(np.tile(np.arange(classes), (pairs, 1)), axis=1)
    by_group = rng.permuted(np.tile(np.arange(groups), (pairs, 1)), axis=1)
    index = np.arange(pairs)[:, None, None, None], by_group[:, :, None, None], order[:, None, :, None]
    return counts, counts[(*index, order[:, None, None, :])]


def _differ(first: Ratio, second: Ratio) -> Values:
    """Whether the overall values of two runs differ, (2 ways, pairs): means of doubles, exact ratios."""
    rounded = overall(first.values())[0] != overall(second.values())[0]
    return np.array([rounded, overall_ratio(first)[0] != overall_ratio(second)[0]])
