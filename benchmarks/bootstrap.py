"""Whole-run bootstrap of 27 techniques x 7 metrics, 16 runs each: means, SDs and BCa intervals, against SciPy.

    [FITLIB_DATA_DIR=...] python benchmarks/bootstrap.py [--repetitions 5] [--peer-pairs 10]

10,000 resamples. The published numbers are read where FITLIB_DATA_DIR names a folder with ``paper/``, else simulated
ones of the same shape. One draw of runs serves all metrics of a technique, which keeps what one run measured together;
SciPy (``scipy.stats.bootstrap``, vectorised) resamples each pair for itself, is measured on a few pairs and scaled.
"""

import argparse
import os
import warnings
from pathlib import Path

import numpy as np
from measure import allocated, machine, median, met, ratio, resident, spread, table, timings
from scipy import stats

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.statistics.bootstrap import bootstrap_runs, interval

TECHNIQUES, RUNS, RESAMPLES = 27, 16, 10_000


def main() -> None:
    options = arguments()
    values, source = published() or simulated(options.seed)
    tasks = {
        "distribution of mean and SD": (lambda: distributions(values), by_scipy(values, "percentile", means_and_sds)),
        "BCa interval of the mean": (lambda: intervals(values), by_scipy(values, "BCa", means_only)),
    }
    own = {name: timings(task, options.repetitions) for name, (task, _) in tasks.items()}
    memory, process = {name: allocated(task) for name, (task, _) in tasks.items()}, resident()
    check_equal(values)
    rows = []
    for name, (_, peer) in tasks.items():
        scale = values[..., 0].size / options.peer_pairs
        times = timings(lambda peer=peer: peer(options.peer_pairs), 3)
        row = [name, spread(own[name]), spread(times, scale), ratio(times, own[name], scale), f"{memory[name]:.0f} MiB"]
        rows.append([*row, met(median(own[name]) < 10, "< 10 s")])
    print(
        table([f"all {values[..., 0].size} pairs", "fitlib", "SciPy (scaled)", "faster", "allocated", "target"], rows)
    )
    print(f"\nMedian [smallest, largest] of {options.repetitions} repetitions; {source}; SciPy measured on ")
    print(f"{options.peer_pairs} pairs. Whole process before the peer: {process:.0f} MiB resident. {machine('scipy')}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--peer-pairs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def published() -> tuple[np.ndarray, str] | None:
    """Published overall values (techniques, metrics, runs), or nothing."""
    folder = os.environ.get("FITLIB_DATA_DIR")
    if not folder:
        return None
    from fitlib.paper import study

    overall = study.read(Path(folder) / "paper").overall
    return np.array([[metrics[name] for name in BIAS_METRICS] for metrics in overall.values()]), "published numbers"


def simulated(seed: int) -> tuple[np.ndarray, str]:
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.02, 0.3, (TECHNIQUES, len(BIAS_METRICS), 1))
    return level + 0.01 * rng.standard_normal((TECHNIQUES, len(BIAS_METRICS), RUNS)), "simulated numbers"


# fitlib


def distributions(values: np.ndarray) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [bootstrap_runs(technique, rng, RESAMPLES, kind) for technique in values for kind in ("mean", "sd")]


def intervals(values: np.ndarray) -> list:
    rng = np.random.default_rng(1)
    return [interval([runs], rng, resamples=RESAMPLES) for technique in values for runs in technique]


# SciPy


def means_and_sds(x: np.ndarray, axis: int) -> np.ndarray:
    return np.stack([x.mean(axis=axis), x.std(axis=axis, ddof=1)])


def means_only(x: np.ndarray, axis: int) -> np.ndarray:
    return x.mean(axis=axis)


def by_scipy(values: np.ndarray, method: str, statistic):
    pairs = values.reshape(-1, values.shape[-1])

    def call(n: int) -> list:
        with warnings.catch_warnings(action="ignore"):  # SciPy warns about constant pairs
            return [
                stats.bootstrap((x,), statistic, n_resamples=RESAMPLES, method=method, vectorized=True, rng=1)
                for x in pairs[:n]
            ]

    return call


def check_equal(values: np.ndarray) -> None:
    """Ends agree within the noise of 10,000 resamples: 5 % of the interval's width."""
    for x in values[:3, 0]:
        own, peer = interval([x], np.random.default_rng(2)), by_scipy(x[None], "BCa", means_only)(1)[0]
        ends = peer.confidence_interval
        np.testing.assert_allclose(
            [own.low, own.high], [ends.low, ends.high], rtol=0, atol=0.05 * (ends.high - ends.low)
        )


if __name__ == "__main__":
    main()
