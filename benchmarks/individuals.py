"""Churn of 64 runs x 100,000 rows, against pairwise comparison of runs and against pandas.

    python benchmarks/individuals.py [--repetitions 5]

Peers: NumPy, comparing every pair of runs (64 · 63 / 2 comparisons of whole runs); pandas, counting votes by
``value_counts`` of the long table, measured on a twentieth of the rows and scaled. All three give the same values.
"""

import argparse

import numpy as np
import pandas as pd
from measure import allocated, machine, median, met, ratio, resident, spread, table, timings

from fitlib.metrics.individuals import churn

RUNS, ROWS, CLASSES = 64, 100_000, 10
PART = 20


def main() -> None:
    options = arguments()
    prediction = predictions(np.random.default_rng(options.seed))
    own = timings(lambda: churn(prediction, CLASSES), options.repetitions)
    memory, process = allocated(lambda: churn(prediction, CLASSES)), resident()
    part = prediction[:, : ROWS // PART]
    for peer in (churn_by_pairs, churn_by_pandas):
        np.testing.assert_allclose(peer(part), churn(part, CLASSES), rtol=0, atol=1e-12)
    pairs = timings(lambda: churn_by_pairs(prediction), 3)
    frames = timings(lambda: churn_by_pandas(part), 3)
    data = f"{RUNS} runs, {ROWS:,} rows, {CLASSES} classes"
    row = [data, spread(own), spread(pairs), ratio(pairs, own), spread(frames, PART), ratio(frames, own, PART)]
    header = ["data", "fitlib", "NumPy, pairs of runs", "faster", "pandas (scaled)", "faster", "allocated", "target"]
    print(table(header, [[*row, f"{memory:.0f} MiB", met(median(own) < 0.5, "< 0.5 s")]]))
    print(
        f"\nMedian [smallest, largest] of {options.repetitions} repetitions (peers: 3). Whole process before the peers:"
    )
    print(f"{process:.0f} MiB resident. {machine('pandas')}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def predictions(rng: np.random.Generator) -> np.ndarray:
    """(runs, rows) int64: each row has a usual class, which a run misses with the row's own probability."""
    usual, unsure = rng.integers(0, CLASSES, ROWS), 0.5 * rng.random(ROWS) ** 4
    return np.where(rng.random((RUNS, ROWS)) < unsure, rng.integers(0, CLASSES, (RUNS, ROWS)), usual)


def churn_by_pairs(prediction: np.ndarray) -> np.ndarray:
    n = len(prediction)
    differ = np.zeros(prediction.shape[1])
    for i in range(n):
        for j in range(i):
            differ += prediction[i] != prediction[j]
    return differ / (n * (n - 1) / 2)


def churn_by_pandas(prediction: np.ndarray) -> np.ndarray:
    n, rows = prediction.shape
    long = pd.DataFrame({"row": np.tile(np.arange(rows), n), "prediction": prediction.ravel()})
    votes = long.groupby("row")["prediction"].value_counts()
    return (1 - (votes * (votes - 1)).groupby(level="row").sum() / (n * (n - 1))).to_numpy()


if __name__ == "__main__":
    main()
