"""Seven metrics on 1,000 resamples of the test units, for 27 techniques x 16 runs, against resampling row by row.

    python benchmarks/new_test_data.py [--repetitions 3] [--peer-resamples 5]
    python benchmarks/new_test_data.py --coverage 1000

Drawing the units, counting and the metrics are timed, for every technique from the start. The peer draws rows and
counts them with one bincount for all runs; it is measured on a few resamples and scaled. The script checks first that
both give the same values. ``--coverage`` simulates instead how often the interval for new test data holds the truth.
"""

import argparse
import itertools
from dataclasses import replace

import numpy as np
from measure import allocated, machine, median, met, ratio, resident, spread, table, timings

from fitlib.metrics.bias_metrics import METRICS
from fitlib.metrics.counts import cells_of, count
from fitlib.metrics.new_test_data import RESAMPLES, draw_units, resample
from fitlib.statistics.estimates import welch
from fitlib.statistics.new_test_data import for_new_test_data
from fitlib.storage.predictions import Predictions

TECHNIQUES, RUNS, ROWS, CLASSES = 27, 16, 20_000, 10
LABELS, LABEL_ROWS = 79, 3_000


def main() -> None:
    options = arguments()
    if options.coverage:
        print(coverage(options.coverage, options.seed))
        return
    rng = np.random.default_rng(options.seed)
    rows = []
    for what, p in {"classes": multi_class(rng), "labels": multi_label(rng)}.items():
        check_equal(p)
        own, memory = (
            timings(lambda p=p: resample(p, "a"), options.repetitions),
            allocated(lambda p=p: resample(p, "a")),
        )
        peer = timings(lambda p=p: by_rows(p, options.peer_resamples), 3)
        scale, size = TECHNIQUES * RESAMPLES / options.peer_resamples, f"{len(p.idx):,} rows, {p.n_classes} {what}"
        row = [f"{TECHNIQUES} x {RUNS} runs, {size}", spread(own, TECHNIQUES), spread(peer, scale)]
        target = met(TECHNIQUES * median(own) < 20, "< 20 s") if what == "classes" else ""
        rows.append([*row, ratio(peer, own, scale / TECHNIQUES), f"{memory:.0f} MiB", target])
    print(table(["data", "fitlib", "rows (scaled)", "faster", "allocated", "target"], rows))
    print(
        f"\nMedian [smallest, largest] of {options.repetitions} repetitions of one technique, times {TECHNIQUES}; rows "
    )
    print(f"measured on {options.peer_resamples} resamples. Whole process: {resident():.0f} MiB resident. {machine()}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--peer-resamples", type=int, default=5)
    parser.add_argument("--coverage", type=int, default=0, metavar="REPLICATES")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


# Data


def predictions(truth: np.ndarray, predicted: np.ndarray, group: np.ndarray, n_classes: int) -> Predictions:
    runs = tuple(range(len(predicted)))
    return Predictions(np.arange(len(truth)), truth, predicted, {"a": group}, None, n_classes, {"a": 2}, runs)


def multi_class(rng: np.random.Generator) -> Predictions:
    truth, shape = rng.integers(0, CLASSES, ROWS), (RUNS, ROWS)
    predicted = np.where(rng.random(shape) < 0.8, truth, rng.integers(0, CLASSES, shape))
    return predictions(truth, predicted, rng.integers(0, 2, ROWS), CLASSES)


def multi_label(rng: np.random.Generator) -> Predictions:
    truth = (rng.random((LABEL_ROWS, LABELS)) < 0.05).astype(np.int8)
    predicted = truth ^ (rng.random((RUNS, *truth.shape)) < 0.03)
    return predictions(truth, predicted, rng.integers(0, 2, LABEL_ROWS), LABELS)


# Row by row


def by_rows(p: Predictions, resamples: int) -> list[dict[str, np.ndarray]]:
    """Metrics -> (runs, classes) of every resample, from the rows drawn."""
    found = []
    for drawn in draw_units(len(p.idx), resamples):
        rows = np.repeat(np.arange(len(p.idx)), drawn)
        group = {"a": p.protected["a"][rows]}
        chosen = replace(p, ground_truth=p.ground_truth[rows], prediction=p.prediction[:, rows], protected=group)
        cells = cells_of(count(chosen, "a"), p.multilabel)
        found.append({name: metric(cells) for name, metric in METRICS.items()})
    return found


def check_equal(p: Predictions) -> None:
    values = resample(p, "a", 3).values
    for b, expected in enumerate(by_rows(p, 3)):
        for name, by_run in expected.items():
            halves = [by_run[half::2].sum(axis=0) / len(by_run[half::2]) for half in (0, 1)]
            np.testing.assert_array_equal(values[name][:, b], halves)


# Coverage

METRICS_SHOWN = ("DP", "EOTP")


def coverage(replicates: int, seed: int) -> str:
    """A table of how often intervals of the difference hold the truth, for two techniques on the same units."""
    rows = []
    for runs, units, gap in itertools.product((5, 16), (300, 1000), (0.0, 0.1)):
        rng = np.random.default_rng([seed, runs, units, int(100 * gap)])
        truth = true_difference(rng, units, runs, gap)
        found = np.array([intervals(two_techniques(rng, units, runs, gap)) for _ in range(replicates)])
        held = (found[..., 0] <= truth[:, None]) & (truth[:, None] <= found[..., 1])
        for m, metric in enumerate(METRICS_SHOWN):
            shares = [f"{100 * share:.1f}" for share in held[:, m].mean(axis=0)]
            rows.append([metric, runs, f"{units:,}", f"{truth[m]:.3f}", *shares])
    header = ["metric", "runs", "test units", "true difference", "on this test set, %", "for new test data, %"]
    return table(header, rows) + f"\n\n{replicates:,} replicates each, seed {seed}."


def two_techniques(rng: np.random.Generator, units: int, runs: int, gap: float) -> list[Predictions]:
    """Baseline and technique: scores of shared units, with noise of technique, run, and run x unit."""
    group, truth = rng.integers(0, 2, units), rng.integers(0, 2, units)
    shared, found = 1.2 * (truth - 0.5) + rng.normal(size=units), []
    for shift in (0.25, 0.25 + gap):
        unit, run = 0.5 * rng.normal(size=units) + 2 * shift * (group - 0.5), 0.15 * rng.normal(size=(runs, 2))
        score = shared + unit + run[:, group] + 0.5 * rng.normal(size=(runs, units))
        found.append(predictions(truth, (score > 0).astype(np.int64), group, 2))
    return found


def overall(p: Predictions) -> list[np.ndarray]:
    """Overall values of `METRICS_SHOWN`, (runs,) each."""
    cells = cells_of(count(p, "a"))
    return [METRICS[name](cells).mean(axis=1) for name in METRICS_SHOWN]


def intervals(both: list[Predictions]) -> list[list[tuple[float, float]]]:
    """For each metric, the interval of the difference on this test set and the one for new test data."""
    resampled, found = [resample(p, "a").values for p in both], []
    for name, b, t in zip(METRICS_SHOWN, *map(overall, both), strict=True):
        here = welch(b, t)
        first, second = np.nanmean(resampled[1][name] - resampled[0][name], axis=2)
        found.append([here.ends, for_new_test_data(here, first, second, len(both[0].idx)).estimate.ends])
    return found


def true_difference(rng: np.random.Generator, units: int, runs: int, gap: float) -> np.ndarray:
    """Expected difference of each metric on a test set of this size, which is 0 for equal techniques."""
    if gap == 0:
        return np.zeros(len(METRICS_SHOWN))
    drawn = (map(overall, two_techniques(rng, units, runs, gap)) for _ in range(5000))
    return np.mean([np.mean(t, axis=1) - np.mean(b, axis=1) for b, t in drawn], axis=0)


if __name__ == "__main__":
    main()
