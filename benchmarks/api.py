"""`fitlib.analyze` on arrays, from the call to its tables, against a loop of fairlearn's MetricFrames.

    python benchmarks/api.py [--repetitions 5] [--peer-runs 8]
    python benchmarks/api.py --memory                 # peak memory for 27 x 16 runs of 20,000 rows

Every repetition has predictions of its own, so that nothing is remembered from the one before. The peer computes the
seven metrics' values and nothing else: with one MetricFrame for each run, and counts of each class as NumPy functions;
and, as most would write it, with one for each run and class, and fairlearn's own functions of rates (without what is
left to compute from them). It is measured on a few runs and scaled to all. The script checks first that both give the
same values. Tables are made when they are asked for, so each row names those it asks for.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
from measure import allocated, machine, median, met, ratio, resident, spread, table

import fitlib
from fitlib.results.results import Results

TECHNIQUES, RUNS, ROWS, CLASSES, GROUPS = 4, 16, 1_438, 10, 2
MANY_TECHNIQUES, MANY_ROWS = 27, 20_000
# Tables that need permuted, halved or resampled test sets, from these long tables: testset, resampled, persons
PERMUTED = ("summary", "components", "selection")
DRAWN = (*PERMUTED, "new_test_data", "risk", "individuals", "thresholds", "cause_churn")
Arrays = tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]


def main() -> None:
    options = arguments()
    print(memory(options.seed) if options.memory else times(options))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--peer-runs", type=int, default=8)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def times(options: argparse.Namespace) -> str:
    """Return the table of times, with a line on how they were taken."""
    rng, all_runs = np.random.default_rng(options.seed), TECHNIQUES * RUNS
    truth, predictions, group = first = arrays(rng, TECHNIQUES, ROWS)
    check_equal(first)
    peers = [
        [seconds(partial(peer, truth, run, group)) for run in predictions["Base"][: options.peer_runs]]
        for peer in (seven_of_fairlearn, rates_of_fairlearn)
    ]
    lines = []
    for what, ask in ASKED.items():
        given = [arrays(rng, TECHNIQUES, ROWS) for _ in range(options.repetitions + 1)]
        _, *own = (seconds(lambda one=one, ask=ask: ask(analyze(one))) for one in given)
        compared = [cell for peer in peers for cell in (spread(peer, all_runs), ratio(peer, own, all_runs))]
        far = median(peers[0]) * all_runs > 50 * median(own)
        targets = f"{met(median(own) < 1, '< 1 s')}; {met(far, '≥ 50 ×')}" if what == TARGET else ""
        lines.append([what, spread(own), *compared, targets])
    header = [f"{TECHNIQUES} x {RUNS} runs, {ROWS:,} rows, {CLASSES} classes", "fitlib"]
    header += ["fairlearn by run (scaled)", "faster", "fairlearn by run and class (scaled)", "faster", "target"]
    return (
        f"{table(header, lines)}\n\nProcessor time: median [smallest, largest] of {options.repetitions} repetitions; "
        f"fairlearn measured on {options.peer_runs} runs, times {all_runs}. {machine('fairlearn', 'pandas')}."
    )


def seconds(function: Callable[[], object]) -> float:
    """Return the processor time of one call, which other work on the machine hardly changes."""
    start = time.process_time()
    function()
    return time.process_time() - start


def memory(seed: int) -> str:
    """Return the peak memory of one analysis with all its tables."""
    given = arrays(np.random.default_rng(seed), MANY_TECHNIQUES, MANY_ROWS)
    every_table(analyze(arrays(np.random.default_rng(seed), 2, 100)))  # what imports hold is not the analysis'
    before = resident()
    peak = allocated(lambda: every_table(analyze(given)))
    size = f"{MANY_TECHNIQUES} x {RUNS} runs, {MANY_ROWS:,} rows, {CLASSES} classes"
    held, most = sum(runs.nbytes for runs in given[1].values()) / 2**20, f"{resident():.0f} MiB (before: {before:.0f})"
    header = ["data", "predictions given", "allocated", "resident", "target"]
    return (
        table(header, [[size, f"{held:.0f} MiB", f"{peak:.0f} MiB", most, met(peak < 300, "< 300 MiB allocated")]])
        + f"\n\nAnalysis, verdict and every table. {machine('pandas')}."
    )


# Data


def arrays(rng: np.random.Generator, techniques: int, rows: int) -> Arrays:
    """Truth (rows,), predictions {technique: (runs, rows)} that are right in about 80 %, groups (rows,)."""
    truth, predictions = rng.integers(0, CLASSES, rows), {}
    for number in range(techniques):
        right = rng.random((RUNS, rows)) < 0.8 - 0.005 * number
        predicted = np.where(right, truth, rng.integers(0, CLASSES, (RUNS, rows)))
        predictions[f"T{number}" if number else "Base"] = predicted
    return truth, predictions, rng.integers(0, GROUPS, rows)


# fitlib


def analyze(given: Arrays) -> Results:
    truth, predictions, group = given
    return fitlib.analyze(truth, predictions, sensitive_features=group, baseline="Base")


def every_table(results: Results) -> list[pd.DataFrame]:
    return [results.tables[name] for name in results.tables] if results.verdict else []


def every_table_but(names: Sequence[str], results: Results) -> list[pd.DataFrame]:
    return [results.tables[name] for name in results.tables if name not in names]


TARGET = f"every table but {', '.join(PERMUTED)} (permutations, halves)"
ASKED: dict[str, Callable[[Results], object]] = {
    "the metrics of every run": lambda results: results.metrics,
    "metrics and comparisons": lambda results: (results.metrics, results.comparisons),
    "the verdict": lambda results: results.verdict,
    "every table that draws no test set": partial(every_table_but, DRAWN),
    TARGET: partial(every_table_but, PERMUTED),
    "the verdict and every table": every_table,
}


# fairlearn


def seven_of_fairlearn(truth: np.ndarray, prediction: np.ndarray, group: np.ndarray) -> dict[str, np.ndarray]:
    """Return metric -> values of every class of one run, (classes,)."""
    from fairlearn.metrics import MetricFrame, count

    metrics = {"size": count} | dict(counters())
    frame = MetricFrame(metrics=metrics, y_true=truth, y_pred=prediction, sensitive_features=group)
    by_group = frame.by_group
    n = by_group["size"].to_numpy(float)[:, None]
    q, p, tp = (by_group[[f"{what} {k}" for k in range(CLASSES)]].to_numpy(float) for what in ("q", "p", "tp"))
    fp, r, whole = q - tp, n - p, n.sum()
    selected, false = q / n, fp / r
    return {
        "DP": np.ptp(selected, axis=0),
        "DI": 1 - selected.min(axis=0) / selected.max(axis=0),
        "SPSF": (n / whole * np.abs(q.sum(axis=0) / whole - selected)).sum(axis=0),
        "FPSF": (r / whole * np.abs(fp.sum(axis=0) / r.sum(axis=0) - false)).sum(axis=0),
        "EOFP": np.ptp(false, axis=0),
        "EOTP": np.ptp(tp / p, axis=0),
        "BA": np.abs(q / q.sum(axis=0) - p / p.sum(axis=0)).sum(axis=0) / 2,
    }


def rates_of_fairlearn(truth: np.ndarray, prediction: np.ndarray, group: np.ndarray) -> list[pd.DataFrame]:
    """Return the groups' rates from which the metrics of one run follow, one frame for each class."""
    from fairlearn.metrics import MetricFrame, count, false_positive_rate, selection_rate, true_positive_rate

    metrics = {f.__name__: f for f in (count, selection_rate, false_positive_rate, true_positive_rate)}
    frames = (
        MetricFrame(metrics=metrics, y_true=truth == k, y_pred=prediction == k, sensitive_features=group)
        for k in range(CLASSES)
    )
    return [frame.by_group for frame in frames]


def counters() -> Iterator[tuple[str, Callable]]:
    """Yield the numbers selected, positive and truly positive of every class, as metrics of fairlearn."""
    for k in range(CLASSES):
        yield f"q {k}", lambda true, predicted, k=k: np.count_nonzero(predicted == k)
        yield f"p {k}", lambda true, predicted, k=k: np.count_nonzero(true == k)
        yield f"tp {k}", lambda true, predicted, k=k: np.count_nonzero((true == k) & (predicted == k))


def check_equal(given: Arrays) -> None:
    truth, predictions, group = given
    metrics = analyze(given).metrics
    ours = metrics[(metrics["technique"] == "T1") & (metrics["run"] == 3) & (metrics["reading"] == "strict")]
    for name, values in seven_of_fairlearn(truth, predictions["T1"][3], group).items():
        own = ours[(ours["metric"] == name) & ours["target"].notna()]["value"]
        np.testing.assert_allclose(own, values, rtol=0, atol=1e-12, err_msg=name)


if __name__ == "__main__":
    main()
