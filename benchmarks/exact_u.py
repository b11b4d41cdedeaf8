"""The exact U test with and without ties, against SciPy.

    python benchmarks/exact_u.py [--repetitions 5]

Without ties the peer is ``scipy.stats.mannwhitneyu(method="exact")``, which is exact too; with ties it is
``scipy.stats.permutation_test`` on the rank sum: all splits where there are at most 10^5 of them, otherwise 9,999
random ones, whose p is not exact. What
either keeps from earlier calls is forgotten before each one.
"""

import argparse
from collections.abc import Callable

import numpy as np
from measure import allocated, machine, ratio, resident, spread, table, timings
from scipy import stats

from fitlib.statistics import significance as sig

SIZES = (8, 16, 64, 100)


def main() -> None:
    options = arguments()
    rng = np.random.default_rng(options.seed)
    cases = [(n, ties, *samples(rng, n, ties)) for ties in (False, True) for n in SIZES]
    own = [(timings(forgetful(b, t), options.repetitions), allocated(forgetful(b, t))) for _, _, b, t in cases]
    process = resident()
    rows = [row(*case, *measured, options.repetitions) for case, measured in zip(cases, own, strict=True)]
    print(table(["runs", "ties", "fitlib", "allocated", "peer", "time of the peer", "faster", "p equal"], rows))
    print(f"\nMedian [smallest, largest] of {options.repetitions} repetitions. Whole process before the peer:")
    print(f"{process:.0f} MiB resident. {machine('scipy')}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def samples(rng: np.random.Generator, n: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two samples of ``n`` runs; ties: rounded so that about half of the values occur more than once."""
    b, t = rng.standard_normal((2, n)) + np.array([[0.0], [0.7]])
    return (np.round(b, 1), np.round(t, 1)) if ties else (b, t)


def forget() -> None:
    """Empties what fitlib and SciPy keep of the distribution for equal n and ties."""
    sig._rank_sum_tails.cache_clear()
    vars(stats._mannwhitneyu._mwu_state).clear()


def forgetful(b: np.ndarray, t: np.ndarray) -> Callable[[], sig.Test]:
    def call() -> sig.Test:
        forget()
        return sig.mann_whitney_exact(b, t)

    return call


def row(n: int, ties: bool, b: np.ndarray, t: np.ndarray, own: list[float], memory: float, repetitions: int) -> list:
    name, peer = by_permutation(b, t) if ties else ("mannwhitneyu, exact", by_scipy(b, t))
    times, p = timings(peer, repetitions), sig.mann_whitney_exact(b, t).p
    equal = agreement(p, float(peer().pvalue), "random" in name)
    return [
        f"{n} v {n}",
        "yes" if ties else "no",
        spread(own),
        f"{memory:.1f} MiB",
        name,
        spread(times),
        ratio(times, own),
        equal,
    ]


def by_scipy(b: np.ndarray, t: np.ndarray) -> Callable:
    def call() -> object:
        forget()
        return stats.mannwhitneyu(t, b, method="exact")

    return call


def by_permutation(b: np.ndarray, t: np.ndarray) -> tuple[str, Callable]:
    """Two-sided about the mean rank sum, as fitlib; ``x``: doubled distances, so that equal ones are equal."""
    ranks = stats.rankdata(np.concatenate([b, t]))
    middle = t.size * (ranks.size + 1)
    exact = sig.math.comb(ranks.size, t.size) <= 1e5

    def call() -> object:
        return stats.permutation_test(
            (ranks[: b.size], ranks[b.size :]),
            lambda x, y, axis: np.abs(2 * y.sum(axis=axis) - middle),
            alternative="greater", vectorized=True, n_resamples=100_000 if exact else 9_999, rng=1,
        )  # fmt: skip

    return f"permutation_test, {'all' if exact else '9,999 random'} splits", call


def agreement(own: float, peer: float, random: bool) -> str:
    """Raises AssertionError where p differs: by 5 standard errors if random, else by rounding."""
    tolerance = 5 * (own * (1 - own) / 9_999) ** 0.5 + 1e-3 if random else 1e-10
    np.testing.assert_allclose(peer, own, rtol=0, atol=tolerance)
    return "within 5 standard errors" if random else "to 1e-10"


if __name__ == "__main__":
    main()
