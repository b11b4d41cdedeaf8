"""Seven bias metrics per class for 27 x 16 runs, against fairlearn's MetricFrame on demographic parity alone.

    python benchmarks/metrics.py [--repetitions 5] [--peer-runs 5]

Counting the raw predictions is part of what is timed. fairlearn is measured on a few runs and scaled to all of them; it
gets its fastest form, one MetricFrame with one metric per class. The script checks first that both give the same
values.
"""

import argparse

import numpy as np
from measure import allocated, machine, median, met, ratio, resident, spread, table, timings

from fitlib.metrics.bias_metrics import METRICS, overall
from fitlib.metrics.counts import cells_of, confusion, label_counts

TECHNIQUES, RUNS, ROWS, CLASSES, GROUPS = 27, 16, 20_000, 10, 2
LABELS, LABEL_ROWS = 79, 3_000


def main() -> None:
    options = arguments()
    rng = np.random.default_rng(options.seed)
    truth, predictions, protected = multi_class(rng)
    many = timings(lambda: seven_of_all(truth, predictions, protected), options.repetitions)
    many_memory = allocated(lambda: seven_of_all(truth, predictions, protected))
    labels = multi_label(rng)
    few = timings(lambda: seven_of_labels(*labels), options.repetitions)
    few_memory, process = allocated(lambda: seven_of_labels(*labels)), resident()

    check_equal(truth, predictions[0], protected)
    check_equal_labels(*labels)
    peer = timings(lambda: fairlearn_parity(truth, predictions[0, 0], protected, CLASSES), options.peer_runs)
    label_peer = timings(lambda: fairlearn_labels(labels[0], labels[1][0], labels[2]), max(3, options.peer_runs // 2))

    runs = TECHNIQUES * RUNS
    fast = median(many) < 2 and median(peer) * runs > 100 * median(many)
    classes = [f"{runs} runs, {ROWS:,} rows, {CLASSES} classes", spread(many), spread(peer, runs)]
    classes += [ratio(peer, many, runs), f"{many_memory:.0f} MiB", met(fast, "< 2 s, ≥ 100 ×")]
    of_labels = [f"{RUNS} runs, {LABEL_ROWS:,} rows, {LABELS} labels", spread(few), spread(label_peer, RUNS)]
    of_labels += [ratio(label_peer, few, RUNS), f"{few_memory:.0f} MiB", met(median(few) < 0.2, "< 0.2 s")]
    header = ["data", "fitlib, seven metrics", "fairlearn, DP only (scaled)", "faster", "allocated", "target"]
    print(table(header, [classes, of_labels]))
    print(
        f"\nMedian [smallest, largest] of {options.repetitions} repetitions; fairlearn measured on one run {len(peer)} "
    )
    print(f"and {len(label_peer)} times, and multiplied by {runs} and {RUNS}. Whole process before the peer:")
    print(f"{process:.0f} MiB resident. {machine('fairlearn', 'pandas')}.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--peer-runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


# Data


def multi_class(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (rows,), predictions (techniques, runs, rows) that are right in about 64 %, groups (rows,)."""
    truth = rng.integers(0, CLASSES, ROWS)
    shape = (TECHNIQUES, RUNS, ROWS)
    predictions = np.where(rng.random(shape) < 0.6, truth, rng.integers(0, CLASSES, shape))
    return truth, predictions, rng.integers(0, GROUPS, ROWS)


def multi_label(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth (rows, labels), predictions (runs, rows, labels), groups (rows,)."""
    truth = (rng.random((LABEL_ROWS, LABELS)) < 0.1).astype(np.int64)
    flips = rng.random((RUNS, LABEL_ROWS, LABELS)) < 0.05
    return truth, np.where(flips, 1 - truth, truth), rng.integers(0, GROUPS, LABEL_ROWS)


# fitlib


def seven_of_all(truth: np.ndarray, predictions: np.ndarray, protected: np.ndarray) -> list[dict]:
    return [seven(confusion(truth, stack, protected, CLASSES, GROUPS)) for stack in predictions]


def seven_of_labels(truth: np.ndarray, predictions: np.ndarray, protected: np.ndarray) -> dict:
    return seven(label_counts(truth, predictions, protected, GROUPS), multilabel=True)


def seven(counts: np.ndarray, multilabel: bool = False) -> dict:
    """Metric -> values (runs, classes) and their mean over classes (runs,)."""
    cells = cells_of(counts, multilabel)
    values = {name: metric(cells) for name, metric in METRICS.items()}
    return {name: (value, *overall(value)) for name, value in values.items()}


# fairlearn


def fairlearn_parity(truth: np.ndarray, prediction: np.ndarray, protected: np.ndarray, classes: int) -> np.ndarray:
    """Demographic parity difference of every class of one run, (classes,)."""
    from fairlearn.metrics import MetricFrame, selection_rate

    def of(klass: int):
        return lambda true, predicted: selection_rate(true, predicted, pos_label=klass)

    metrics = {str(klass): of(klass) for klass in range(classes)}
    frame = MetricFrame(metrics=metrics, y_true=truth, y_pred=prediction, sensitive_features=protected)
    return frame.difference(method="between_groups").to_numpy()


def fairlearn_labels(truth: np.ndarray, prediction: np.ndarray, protected: np.ndarray) -> np.ndarray:
    """Demographic parity difference of every label of one run, (labels,)."""
    from fairlearn.metrics import demographic_parity_difference

    return np.array([
        demographic_parity_difference(truth[:, k], prediction[:, k], sensitive_features=protected)
        for k in range(truth.shape[1])
    ])  # fmt: skip


def check_equal(truth: np.ndarray, predictions: np.ndarray, protected: np.ndarray) -> None:
    own = seven(confusion(truth, predictions, protected, CLASSES, GROUPS))["DP"][0]
    for run in range(2):
        peer = fairlearn_parity(truth, predictions[run], protected, CLASSES)
        np.testing.assert_allclose(own[run], peer, rtol=0, atol=1e-12)


def check_equal_labels(truth: np.ndarray, predictions: np.ndarray, protected: np.ndarray) -> None:
    own = seven_of_labels(truth, predictions, protected)["DP"][0]
    np.testing.assert_allclose(own[0], fairlearn_labels(truth, predictions[0], protected), rtol=0, atol=1e-12)


if __name__ == "__main__":
    main()
