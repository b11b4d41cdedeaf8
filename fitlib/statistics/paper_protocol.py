"""Protocol `paper`: the tests, labels and tables of Qian et al. (NeurIPS 2021), step by step as they were computed.

Only for comparison with the study: sides are chosen after looking at the data, nothing is corrected for the number of
tests, and spread is tested on values divided by their mean. For anything else use `fitlib.statistics.significance` and
`fitlib.statistics.estimates`.

Samples are arrays (runs,) of one overall value per run; experiments are plain dicts: ``overall`` {technique: {metric:
(runs,)}}, ``per_class`` {technique: {metric: (runs, classes)}}, ``performance`` {technique: (runs,)} and ``baselines``
{technique: its baseline}, all in the order of the tables' rows. A comparison that cannot be made has an empty label and
a reason (``note``).
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.statistics.estimates import NOT_ESTIMABLE, as_runs, cohens_d, means, sds
from fitlib.statistics.significance import brown_forsythe

ALPHA = 0.05
METRIC_NAMES = {metric: "DI bar" if metric == "DI" else metric for metric in BIAS_METRICS}
"""fitlib's name of a metric -> the study's."""

STAT_TESTS = (
    "Mitigation", "Metric", "Baseline Bias", "Mitigation Bias", "p-value (significance)", "Cohen's d",
    "Baseline Variance (N)", "Mitigation Variance (N)", "p-value (significance)",
)  # fmt: skip
FIGURES = ("Mean", "Max", "Min", "MaxDiff", "STDEV")
RAW_DATA = ("Technique", "Metric", *FIGURES, *FIGURES)
RAW_DATA_ABOVE = ("", "", "Overall (%)", "", "", "", "", "Per-class (%)", "", "", "", "")
OVERLAP = (
    "technique", "metric", "low_baseline", "high_baseline", "low_technique", "high_technique", "overlap", "overlap_bad",
    "note",
)  # fmt: skip
ACCURACY = (
    "technique", "mean", "min", "max", "p_mean", "label_mean", "d", "p_variance", "label_variance",
    "variance_baseline", "variance_technique", "p_variance_raw", "label_variance_raw", "note",
)  # fmt: skip
COSTS = ("cost_accuracy", "cost_accuracy_variance", "cost_bias_variance")

Overall = Mapping[str, Mapping[str, np.ndarray]]
Performance = Mapping[str, np.ndarray]
Baselines = Mapping[str, str]

_FOUR_DIGITS = Context(prec=4, rounding=ROUND_HALF_EVEN)
_NO_NUMBER = Decimal("NaN")
_MISSING = "not estimable"


@dataclass(frozen=True)
class Comparison:
    """A bias metric of a technique against its baseline, as the study judged it.

    ``label_*``: "+" significantly higher than the baseline, "-" lower, "NS" not significant, "" not judged.
    ``d`` is positive if bias fell. ``variance_*``: of values divided by their mean; NaN if there is none.
    """

    mean_baseline: Decimal
    mean_technique: Decimal
    p_mean: float
    label_mean: str
    d: float
    variance_baseline: Decimal
    variance_technique: Decimal
    p_variance: float
    label_variance: str
    note: str = ""


@dataclass(frozen=True)
class AccuracyComparison:
    """Performance of a technique against its baseline; ``d`` is positive if it rose, unlike in `Comparison`.

    ``label_variance`` as published (quirk Q7); ``label_variance_raw`` from raw variances and a raw Brown-Forsythe test.
    """

    mean_baseline: float
    mean_technique: float
    p_mean: float
    label_mean: str
    d: float
    p_variance: float
    label_variance: str
    variance_baseline: float
    variance_technique: float
    p_variance_raw: float
    label_variance_raw: str
    note: str = ""


# Two samples


def four_digits(x: float) -> Decimal:
    """Round the exact binary value of x to 4 significant decimal digits, half to even.

    >>> four_digits(0.123456), four_digits(2.0005)  # in binary 2.0005 is slightly larger, hence no tie
    (Decimal('0.1235'), Decimal('2.001'))
    """
    return _FOUR_DIGITS.create_decimal_from_float(float(x))


def label(p: float, baseline: float | Decimal, technique: float | Decimal) -> str:
    """Return "NS" if p > 0.05, else "+" if the technique's figure is larger, else "-"; NaN counts as significant.

    >>> label(0.2, 0.10, 0.08), label(0.01, 0.10, 0.08), label(0.01, 0.10, 0.12)
    ('NS', '-', '+')
    """
    if p > ALPHA:
        return "NS"
    return "+" if technique > baseline else "-"


def compare(baseline: np.ndarray, technique: np.ndarray) -> Comparison:
    """Compare a bias metric of a technique with its baseline: the study's two tests, effect size and labels.

    Means are exact means of 4-digit values. The mean test is a one-sided Mann-Whitney U test (SciPy's defaults), its
    side that of the observed means. The variance test is Levene's about medians, on values divided by that mean;
    variances (n-1) are of those quotients to 4 digits. d = (mean_b - mean_t) / sqrt((s_b² + s_t²) / 2).
    """
    return _compare(as_runs(baseline).tobytes(), as_runs(technique).tobytes())


@lru_cache(maxsize=4096)  # several tables and findings need the same comparison
def _compare(baseline: bytes, technique: bytes) -> Comparison:
    b, t = np.frombuffer(baseline), np.frombuffer(technique)
    note = _why_untestable(b, t)
    if note:
        nothing = (_NO_NUMBER, _NO_NUMBER, math.nan, "", math.nan)
        return Comparison(*nothing, _NO_NUMBER, _NO_NUMBER, math.nan, "", NOT_ESTIMABLE + note)
    mean_b, mean_t = _mean(b), _mean(t)
    p = _mann_whitney(b, t, mean_b < mean_t)
    mean_part = (mean_b, mean_t, p, label(p, mean_b, mean_t), _cohens_d(b, t))
    if mean_b == 0 or mean_t == 0:
        note = NOT_ESTIMABLE + "variance of values divided by a mean of 0"
        return Comparison(*mean_part, _NO_NUMBER, _NO_NUMBER, math.nan, "", note)
    return Comparison(*mean_part, *_relative_variances(b / float(mean_b), t / float(mean_t)))


def accuracy(baseline: np.ndarray, technique: np.ndarray) -> AccuracyComparison:
    """Compare the performance of a technique with its baseline as the study did, and its variance also on raw values.

    The study tests the variance of values divided by their mean, but takes the sign from the *raw* baseline variance
    against the *divided* technique variance (quirk Q7).
    """
    b, t = as_runs(baseline), as_runs(technique)
    note = _why_untestable(b, t)
    if note:
        nothing = (math.nan, math.nan, math.nan, "", math.nan, math.nan, "")
        return AccuracyComparison(*nothing, math.nan, math.nan, math.nan, "", NOT_ESTIMABLE + note)
    mean_b, mean_t = _mean(b), _mean(t)
    p = _mann_whitney(b, t, mean_b < mean_t)
    p_variance, label_variance = _accuracy_variance(b, t)
    return AccuracyComparison(
        float(means(b)), float(means(t)), p, label(p, mean_b, mean_t), -_cohens_d(b, t), p_variance, label_variance,
        *raw_variances(b, t),
    )  # fmt: skip


def raw_variances(baseline: np.ndarray, technique: np.ndarray) -> tuple[float, float, float, str]:
    """Return both sample variances, p of the Brown-Forsythe test on raw values (NaN if there is none) and the label."""
    b, t = as_runs(baseline), as_runs(technique)
    variance_b, variance_t = float(sds(b)) ** 2, float(sds(t)) ** 2
    p = brown_forsythe(b, t).p
    if p is None:
        return variance_b, variance_t, math.nan, ""
    return variance_b, variance_t, p, label(p, variance_b, variance_t)


def overlap(baseline: np.ndarray, technique: np.ndarray) -> bool:
    """Return whether the smaller end of one range is strictly inside the other; ends to 4 digits."""
    (b0, b1), (t0, t1) = _range(baseline), _range(technique)
    return b0 < t0 < b1 or t0 < b0 < t1


def summary(per_class: np.ndarray, overall: np.ndarray) -> list[str]:
    """Return the ten figures of a row of raw_data, in percent: of the overall value, and of the class that varies most.

    ``per_class`` (runs, classes), ``overall`` (runs,). Mean, max, min, max - min and population SD, first rounded to 4
    digits; the class is the one whose rounded max - min is largest, the first of equals.
    """
    if np.size(overall) == 0:
        return [_MISSING] * 2 * len(FIGURES)
    *classes, whole = [[four_digits(x) for x in row] for row in _summaries(per_class, overall)]
    spreads = [row[FIGURES.index("MaxDiff")] for row in classes]
    most = max(range(len(classes)), key=lambda c: spreads[c] if spreads[c].is_finite() else -1)
    return [_percent(x) for x in [*whole, *classes[most]]]


# Tables


def stat_tests_frame(overall: Overall, baselines: Baselines) -> pd.DataFrame:
    """Return the study's table of both tests as text: one row per technique with a baseline, and metric."""
    rows = [
        [technique if first else "", METRIC_NAMES.get(metric, metric), *_stat_tests_cells(result)]
        for technique, metric, first, result in _compared(overall, baselines)
    ]
    return pd.DataFrame(rows, columns=list(STAT_TESTS), dtype=str)


def raw_data_frame(overall: Overall, per_class: Overall) -> pd.DataFrame:
    """Return the study's table of summaries as text, by technique and metric; `raw_data_text` adds the top line."""
    rows = [
        ["" if i else technique, METRIC_NAMES.get(metric, metric), *summary(per_class[technique][metric], values)]
        for technique, metrics in overall.items()
        for i, (metric, values) in enumerate(metrics.items())
    ]
    return pd.DataFrame(rows, columns=list(RAW_DATA), dtype=str)


def raw_data_text(frame: pd.DataFrame) -> str:
    """Format `raw_data_frame` as the study published it: two header lines, line ends CR LF."""
    return ",".join(RAW_DATA_ABOVE) + "\r\n" + frame.to_csv(index=False, lineterminator="\r\n")


def labels_frame(overall: Overall, baselines: Baselines) -> pd.DataFrame:
    """Return every number behind `stat_tests_frame`, unrounded, and beside them the variances on raw values."""
    rows = []
    for technique, metric, _, result in _compared(overall, baselines):
        raw = _raw_cells(overall[baselines[technique]][metric], overall[technique][metric])
        rows.append({"technique": technique, "metric": metric, **_floats(result), **raw})
    return pd.DataFrame(rows)


def overlap_frame(overall: Overall, baselines: Baselines) -> pd.DataFrame:
    """Return ranges of technique and baseline, whether they overlap, and `overlap_bad`: they do, and mean label "+"."""
    rows = []
    for technique, metric, _, result in _compared(overall, baselines):
        b, t = overall[baselines[technique]][metric], overall[technique][metric]
        judged = result.label_mean != ""
        ends = [float(end) for end in (*_range(b), *_range(t))] if judged else [math.nan] * 4
        found = judged and overlap(b, t)
        rows.append(
            [technique, metric, *ends, found, found and result.label_mean == "+", "" if judged else result.note]
        )
    return pd.DataFrame(rows, columns=list(OVERLAP))


def accuracy_frame(performance: Performance, baselines: Baselines) -> pd.DataFrame:
    """Return the performance of every technique (mean, min, max), with the study's and raw labels of comparisons."""
    rows = []
    for technique, values in performance.items():
        row = {"technique": technique, **_extent(values)}
        baseline = baselines.get(technique, technique)
        if baseline != technique:
            result = asdict(accuracy(performance[baseline], values))
            row |= {name: result[name] for name in ACCURACY if name in result}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(ACCURACY))
    text = [name for name in ACCURACY if name.startswith("label_") or name == "note"]
    return frame.fillna(dict.fromkeys(text, ""))


def costs_frame(overall: Overall, performance: Performance, baselines: Baselines) -> pd.DataFrame:
    """Return which costs a lower bias came with, per ``judged`` ("published", "raw"), technique and metric.

    ``bias_decrease``: mean label "-". With it: ``cost_accuracy`` (accuracy label "-"), ``cost_accuracy_variance`` and
    ``cost_bias_variance`` (variance label "+"), ``any``. "raw" takes variance labels from raw values.
    """
    return costs_of(labels_frame(overall, baselines), accuracy_frame(performance, baselines))


def costs_of(labels: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """Return `costs_frame` from `labels_frame` and `accuracy_frame`."""
    accuracies = accuracies.set_index("technique").loc[labels["technique"]].reset_index()
    frames = []
    for judged, ending in (("published", ""), ("raw", "_raw")):
        fell = labels["label_mean"] == "-"
        frame = labels[["technique", "metric"]].assign(bias_decrease=fell)
        frame["cost_accuracy"] = fell & (accuracies["label_mean"] == "-")
        frame["cost_accuracy_variance"] = fell & (accuracies[f"label_variance{ending}"] == "+")
        frame["cost_bias_variance"] = fell & (labels[f"label_variance{ending}"] == "+")
        frame["any"] = frame[list(COSTS)].any(axis=1)
        frame.insert(0, "judged", judged)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def venn_frame(costs: pd.DataFrame) -> pd.DataFrame:
    """Count the pairs in each Venn region of `costs_frame`: per ``judged``, with lower bias and exactly these costs."""
    fell = costs[costs["bias_decrease"]]
    regions = list(product((True, False), repeat=len(COSTS)))
    rows = [
        {"judged": judged, **dict(zip(COSTS, region, strict=True)), "pairs": _region_size(fell, judged, region)}
        for judged in dict.fromkeys(costs["judged"])
        for region in regions
    ]
    return pd.DataFrame(rows)


# Parts


def _why_untestable(b: np.ndarray, t: np.ndarray) -> str:
    if min(b.size, t.size) < 2:
        return "fewer than 2 runs"
    return "" if np.isfinite(b).all() and np.isfinite(t).all() else "a value is undefined"


def _mean(values: np.ndarray) -> Decimal:
    return statistics.mean(four_digits(x) for x in values)


def _variance(values: np.ndarray) -> Decimal:
    return statistics.variance([four_digits(x) for x in values])


def _mann_whitney(b: np.ndarray, t: np.ndarray, rises: bool) -> float:
    with _quiet(), np.errstate(all="ignore"):
        return float(stats.mannwhitneyu(b, t, alternative="less" if rises else "greater").pvalue)


def _levene(b: np.ndarray, t: np.ndarray) -> float:
    with _quiet(), np.errstate(all="ignore"):
        return float(stats.levene(b, t).pvalue)


def _quiet() -> warnings.catch_warnings:
    """Silence SciPy's warnings about constant samples: the protocol takes whatever it returns for them."""
    return warnings.catch_warnings(action="ignore")


def _cohens_d(b: np.ndarray, t: np.ndarray) -> float:
    """Return Cohen's d, positive if the technique's mean is lower; for constants 0 if equal, else infinite."""
    d = cohens_d(b, t).value
    return float(np.sign(means(b) - means(t)) * math.inf if means(b) != means(t) else 0.0) if d is None else -d


def _relative_variances(b: np.ndarray, t: np.ndarray) -> tuple[Decimal, Decimal, float, str]:
    p, variance_b, variance_t = _levene(b, t), _variance(b), _variance(t)
    return variance_b, variance_t, p, label(p, variance_b, variance_t)


def _accuracy_variance(b: np.ndarray, t: np.ndarray) -> tuple[float, str]:
    mean_b, mean_t = means(b), means(t)
    if mean_b == 0 or mean_t == 0:
        return math.nan, ""
    p = _levene(b / mean_b, t / mean_t)
    return p, label(p, float(sds(b)) ** 2, float(sds(t / mean_t)) ** 2)


def _range(values: np.ndarray) -> tuple[Decimal, Decimal]:
    return four_digits(np.min(values)), four_digits(np.max(values))


def _extent(values: np.ndarray) -> dict[str, float]:
    functions: dict[str, Callable[[np.ndarray], float]] = {"mean": np.mean, "min": np.min, "max": np.max}
    return {name: float(f(values)) if np.size(values) else math.nan for name, f in functions.items()}


def _summaries(per_class: np.ndarray, overall: np.ndarray) -> np.ndarray:
    """Return the figures (classes + 1, 5), the overall value last.

    One array [run, class 0 .. overall], reduced along its first axis as in the study's code: for equal runs the
    rounding residue of exactly this summation decides whether an SD is zero.
    """
    table = np.column_stack([per_class, overall])
    high, low = table.max(axis=0), table.min(axis=0)
    return np.stack([table.mean(axis=0), high, low, high - low, table.std(axis=0)], axis=1)


def _percent(x: Decimal) -> str:
    # Binary multiplication decides which way ties such as 2.05 are rounded, as in the study.
    percent = float(x) * 100
    return "<0.1" if 0 < percent < 0.1 else _number(percent, 1)


def _compared(overall: Overall, baselines: Baselines) -> list[tuple[str, str, bool, Comparison]]:
    """Return (technique, metric, whether it is the technique's first row, comparison) of all that have a baseline."""
    return [
        (technique, metric, i == 0, compare(overall[baselines[technique]][metric], values))
        for technique, metrics in overall.items()
        if baselines.get(technique, technique) != technique
        for i, (metric, values) in enumerate(metrics.items())
    ]


def _stat_tests_cells(result: Comparison) -> list[str]:
    d = "N/A" if result.label_mean == "NS" else _number(abs(result.d), 2)
    means = [_number(result.mean_baseline, 6), _number(result.mean_technique, 6)]
    variances = [_number(result.variance_baseline, 6), _number(result.variance_technique, 6)]
    p_mean = _p_with_label(result.p_mean, result.label_mean)
    p_variance = _p_with_label(result.p_variance, result.label_variance)
    return [*means, p_mean, d, *variances, p_variance]


def _p_with_label(p: float, label: str) -> str:
    return f"{_number(p, 5)} ({label})" if label else _MISSING


def _number(x: float | Decimal, digits: int) -> str:
    return f"{x:.{digits}f}" if math.isfinite(x) else _MISSING


def _floats(result: Comparison) -> dict[str, float | str]:
    return {name: float(x) if isinstance(x, Decimal) else x for name, x in asdict(result).items()}


def _raw_cells(b: np.ndarray, t: np.ndarray) -> dict[str, float | str]:
    names = ("variance_baseline_raw", "variance_technique_raw", "p_variance_raw", "label_variance_raw")
    nothing = (math.nan, math.nan, math.nan, "")
    cells = nothing if _why_untestable(as_runs(b), as_runs(t)) else raw_variances(b, t)
    return dict(zip(names, cells, strict=True))


def _region_size(fell: pd.DataFrame, judged: str, region: tuple[bool, ...]) -> int:
    inside = fell["judged"] == judged
    for cost, has in zip(COSTS, region, strict=True):
        inside &= fell[cost] == has
    return int(inside.sum())
