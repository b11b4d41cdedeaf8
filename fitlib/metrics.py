"""The seven bias metrics and accuracy as functions of integer counts, for all runs at once.

Counts first: `confusion` (run, group, true, predicted) or `label_counts` (run, group, label, tp/fp/fn/tn).
`one_vs_rest` and `from_labels` turn both into `Cells`, on which every metric is a function of a few lines.
Two readings:

- `METRICS` (strict, the default): NaN says "undefined"; any number of groups.
- `PUBLISHED`: the formulas of Qian et al. (NeurIPS 2021) with their quirks; two groups only.

Every bias metric is 0 where the groups are treated alike; larger is less fair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from fitlib.predictions import Predictions

Counts = NDArray[np.int64]
Values = NDArray[np.float64]

BIAS_METRICS = ("DP", "DI", "SPSF", "FPSF", "EOFP", "EOTP", "BA")
READINGS = ("strict", "published")
LONG_COLUMNS = (
    "technique", "arm", "seed", "run", "reading", "attribute", "metric", "target", "group", "value", "n_undefined",
)  # fmt: skip
MISSING = -1  # stands for "null" in integer headers until the table is built


# Counts


def confusion(ground_truth: Counts, prediction: Counts, protected: Counts, n_classes: int, n_groups: int) -> Counts:
    """Count rows by run, group, true class and predicted class.

    ground_truth, protected (rows,); prediction (runs, rows). Returns (runs, n_groups, n_classes, n_classes).
    Raises ValueError if a class or a group lies outside its range.
    """
    _check_range("class", ground_truth, n_classes)
    _check_range("class", prediction, n_classes)
    _check_range("group", protected, n_groups)
    block = n_groups * n_classes**2
    cell = (protected * n_classes + ground_truth) * n_classes
    index = np.arange(len(prediction))[:, None] * block + cell + prediction
    counts = np.bincount(index.ravel(), minlength=len(prediction) * block)
    return counts.reshape(len(prediction), n_groups, n_classes, n_classes)


def label_counts(ground_truth: Counts, prediction: Counts, protected: Counts, n_groups: int) -> Counts:
    """Count true positives, false positives, false negatives and true negatives by run, group and label.

    ground_truth (rows, labels) and prediction (runs, rows, labels) hold 0/1. Returns (runs, n_groups, labels, 4).
    Raises ValueError if an entry is neither 0 nor 1 or a group lies outside its range.
    """
    _check_range("label", ground_truth, 2)
    _check_range("label", prediction, 2)
    _check_range("group", protected, n_groups)
    members = [protected == group for group in range(n_groups)]
    return np.stack([_label_cells(ground_truth[rows], prediction[:, rows]) for rows in members], axis=1)


def _label_cells(truth: Counts, prediction: Counts) -> Counts:
    tp = (prediction & truth).sum(axis=1, dtype=np.int64)
    fp = prediction.sum(axis=1, dtype=np.int64) - tp
    fn = truth.sum(axis=0, dtype=np.int64) - tp
    return np.stack([tp, fp, fn, len(truth) - tp - fp - fn], axis=-1)


def _check_range(what: str, values: Counts, n: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= n):
        raise ValueError(f"{what} outside 0..{n - 1}: values run from {values.min()} to {values.max()}")


@dataclass(frozen=True)
class Cells:
    """Each class against the rest: true/false positives and negatives, each int64 (runs, groups, classes)."""

    tp: Counts
    fp: Counts
    fn: Counts
    tn: Counts

    @property
    def selected(self) -> Counts:
        """Rows predicted as the class, q."""
        return self.tp + self.fp

    @property
    def positives(self) -> Counts:
        """Rows truly of the class, p."""
        return self.tp + self.fn

    @property
    def negatives(self) -> Counts:
        """Rows truly of another class, r."""
        return self.fp + self.tn

    @property
    def size(self) -> Counts:
        """Rows of the group, n (the same for every class)."""
        return self.tp + self.fp + self.fn + self.tn


def one_vs_rest(counts: Counts) -> Cells:
    """Cells of each class against all others, from `confusion` counts (runs, groups, true, predicted)."""
    tp = np.diagonal(counts, axis1=2, axis2=3).copy()
    fp = counts.sum(axis=2) - tp
    fn = counts.sum(axis=3) - tp
    return Cells(tp, fp, fn, counts.sum(axis=(2, 3))[..., None] - tp - fp - fn)


def from_labels(counts: Counts) -> Cells:
    """Cells of each label, from `label_counts` (runs, groups, labels, tp/fp/fn/tn)."""
    return Cells(*np.moveaxis(counts, -1, 0).copy())


# Strict reading


def rate(part: NDArray, whole: NDArray) -> Values:
    """part / whole, and NaN where there is nothing to divide by; shapes broadcast."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _gap(rates: Values, cells: Cells) -> Values:
    """Largest pairwise difference of the rates of the groups that have rows; NaN if one of these rates is."""
    low, high = _extremes(rates, cells)
    return _comparable(high - low, cells)


def _extremes(rates: Values, cells: Cells) -> tuple[Values, Values]:
    present = cells.size > 0
    return np.where(present, rates, np.inf).min(axis=1), np.where(present, rates, -np.inf).max(axis=1)


def _comparable(values: Values, cells: Cells) -> Values:
    """Values (runs, classes), NaN where fewer than two groups have rows."""
    return np.where((cells.size > 0).sum(axis=1) >= 2, values, np.nan)


def _weighted_gap(part: Counts, whole: Counts, weight: Counts, cells: Cells) -> Values:
    """Sum over groups of (weight / N) |pooled rate - group's rate|; groups without rows contribute nothing."""
    share = rate(weight, cells.size.sum(axis=1, keepdims=True))
    pooled = rate(part.sum(axis=1, keepdims=True), whole.sum(axis=1, keepdims=True))
    terms = share * np.abs(pooled - rate(part, whole))
    return _comparable(np.where(cells.size > 0, terms, 0.0).sum(axis=1), cells)


def demographic_parity(cells: Cells) -> Values:
    """DP: largest difference of the selection rates q_g / n_g between two groups."""
    return _gap(rate(cells.selected, cells.size), cells)


def disparate_impact(cells: Cells) -> Values:
    """DI: 1 - smallest / largest selection rate; 1 if one group is never selected, NaN if none ever is."""
    low, high = _extremes(rate(cells.selected, cells.size), cells)
    return 1 - rate(_comparable(low, cells), high)


def statistical_parity_subgroup(cells: Cells) -> Values:
    """SPSF: sum over groups of (n_g / N) |Q / N - q_g / n_g|, Q and N summed over groups."""
    return _weighted_gap(cells.selected, cells.size, cells.size, cells)


def false_positive_subgroup(cells: Cells) -> Values:
    """FPSF: sum over groups of (r_g / N) |FPR - FPR_g|, r_g the group's negatives; NaN if a group has no negatives.

    The weight is the joint share of "group g and truly not the class", as the study computes it; its description says
    the group's share n_g / N (quirk Q18).
    """
    return _weighted_gap(cells.fp, cells.negatives, cells.negatives, cells)


def equal_odds_false_positive(cells: Cells) -> Values:
    """EOFP: largest difference of FP / negatives between two groups; NaN if a group has no negatives."""
    return _gap(rate(cells.fp, cells.negatives), cells)


def equal_odds_true_positive(cells: Cells) -> Values:
    """EOTP: largest difference of TP / positives between two groups; NaN if a group has no positives."""
    return _gap(rate(cells.tp, cells.positives), cells)


def bias_amplification(cells: Cells) -> Values:
    """BA: half the sum over groups of |q_g / Q - p_g / P|; NaN if nobody is predicted, or truly, of the class."""
    predicted = rate(cells.selected, cells.selected.sum(axis=1, keepdims=True))
    true = rate(cells.positives, cells.positives.sum(axis=1, keepdims=True))
    return _comparable(np.abs(predicted - true).sum(axis=1) / 2, cells)


METRICS: dict[str, Callable[[Cells], Values]] = {
    "DP": demographic_parity,
    "DI": disparate_impact,
    "SPSF": statistical_parity_subgroup,
    "FPSF": false_positive_subgroup,
    "EOFP": equal_odds_false_positive,
    "EOTP": equal_odds_true_positive,
    "BA": bias_amplification,
}
"""Strict reading: name -> function of `Cells` that returns (runs, classes), NaN = undefined.

Groups without a single row are left out of the comparison; with fewer than two others every metric is undefined."""


# Published reading: what the study's code computes, including what it writes where a denominator is zero


def _pair(values: NDArray) -> tuple[NDArray, NDArray]:
    if values.shape[1] != 2:
        raise ValueError(f"the published reading compares exactly two groups, not {values.shape[1]}")
    return values[:, 0], values[:, 1]


def _quotient(part: NDArray, whole: NDArray) -> Values:
    return np.nan_to_num(rate(part, whole))


def published_dp(cells: Cells) -> Values:
    """|q_0 / n_0 - q_1 / n_1|; the rate of an empty group is 0."""
    first, second = _pair(_quotient(cells.selected, cells.size))
    return np.abs(first - second)


def published_di(cells: Cells) -> Values:
    """1 - min(a / b, b / a); a quotient by zero counts as 0, hence 1 also where nobody is selected (Q5)."""
    first, second = _pair(_quotient(cells.selected, cells.size))
    return 1 - np.minimum(_quotient(first, second), _quotient(second, first))


def published_spsf(cells: Cells) -> Values:
    """As the strict reading, for two groups."""
    _pair(cells.size)
    return statistical_parity_subgroup(cells)


def published_fpsf(cells: Cells) -> Values:
    """As the strict reading, for two groups: joint shares (Q18)."""
    _pair(cells.size)
    return false_positive_subgroup(cells)


def published_eofp(cells: Cells) -> Values:
    """|FPR_0 - FPR_1|; 0 wherever FPR_1 is 0 (Q4)."""
    first, second = _pair(_quotient(cells.fp, cells.negatives))
    return np.where(second == 0, 0.0, np.abs(first - second))


def published_eotp(cells: Cells) -> Values:
    """|TPR_0 - TPR_1|; 0 wherever TPR_1 is 0, also where group 1 has no positives (Q4)."""
    first, second = _pair(_quotient(cells.tp, cells.positives))
    return np.where(second == 0, 0.0, np.abs(first - second))


def published_ba(cells: Cells) -> Values:
    """|q_0 / Q - p_0 / P|; undefined classes are skipped without advancing: later ones move up, 0 at the end (Q6)."""
    _pair(cells.size)
    values = bias_amplification(cells)
    undefined = np.isnan(values)
    defined_first = np.argsort(undefined, axis=1, kind="stable")
    return np.take_along_axis(np.where(undefined, 0.0, values), defined_first, axis=1)


PUBLISHED: dict[str, Callable[[Cells], Values]] = {
    "DP": published_dp,
    "DI": published_di,
    "SPSF": published_spsf,
    "FPSF": published_fpsf,
    "EOFP": published_eofp,
    "EOTP": published_eotp,
    "BA": published_ba,
}
"""Published reading (quirks Q4, Q5, Q6, Q18): as `METRICS`, for exactly two groups; ValueError otherwise."""


# Summaries


def overall(values: Values, reading: str = "strict") -> tuple[Values, Counts]:
    """Mean over the classes of values (runs, classes), and how many of them are undefined; both (runs,).

    Strict: over the defined classes, NaN if there is none. Published: over all, so that one NaN makes the mean NaN.
    """
    undefined = np.isnan(values)
    if reading == "published":
        return values.mean(axis=1), undefined.sum(axis=1)
    total = np.where(undefined, 0.0, values).sum(axis=1)
    return rate(total, (~undefined).sum(axis=1)), undefined.sum(axis=1)


def cells_of(counts: Counts, multilabel: bool = False) -> Cells:
    """Cells from `label_counts` (multilabel) or `confusion` counts."""
    return from_labels(counts) if multilabel else one_vs_rest(counts)


def group_accuracy(counts: Counts, multilabel: bool = False) -> Values:
    """Share of right predictions in each group (runs, groups), NaN for a group without rows.

    Multi-class: rows whose class is right. Multi-label: cells (row, label) that are right.
    """
    right, total = _right_and_total(counts, multilabel)
    return rate(right, total)


def accuracy(counts: Counts, multilabel: bool = False) -> Values:
    """Share of right predictions over all groups together (runs,); see `group_accuracy`."""
    right, total = _right_and_total(counts, multilabel)
    return rate(right.sum(axis=1), total.sum(axis=1))


def _right_and_total(counts: Counts, multilabel: bool) -> tuple[Counts, Counts]:
    cells = cells_of(counts, multilabel)
    right = cells.tp + cells.tn if multilabel else cells.tp
    return right.sum(axis=2), counts.sum(axis=(2, 3))


def votes(prediction: Counts, n_classes: int) -> tuple[Counts, Counts, Counts]:
    """How many runs predict which class for each row of prediction (runs, rows).

    Returns three arrays (row, class, votes), ordered by row and class, without zero votes.
    """
    n_rows = prediction.shape[1]
    index = np.arange(n_rows) * n_classes + prediction
    table = np.bincount(index.ravel(), minlength=n_rows * n_classes).reshape(n_rows, n_classes)
    row, klass = np.nonzero(table)
    return row, klass, table[row, klass]


def label_votes(prediction: Counts) -> tuple[Counts, Counts, Counts]:
    """How many runs predict 1 for each row and label of prediction (runs, rows, labels).

    Returns three arrays (row, label, votes), ordered by row and label. Zero votes are kept: unlike a row of `votes`,
    a cell that no run predicts would otherwise vanish.
    """
    table = prediction.sum(axis=0, dtype=np.int64)
    row, label = np.indices(table.shape).reshape(2, -1)
    return row, label, table.ravel()


# Tables


def long_table(
    technique: str,
    arm: str,
    seed: int,
    runs: Sequence[int],
    counts: Counts,
    multilabel: bool = False,
    attribute: str = "protected",
    readings: Iterable[str] = READINGS,
) -> pd.DataFrame:
    """All metrics of all runs of one technique in one arm, one value per row.

    counts: `confusion` or (multilabel) `label_counts` of these runs. Columns: technique, arm, seed, run, reading,
    attribute, metric, target (class, null = overall), group (null but for per-group accuracy), value (NaN = undefined),
    n_undefined (how many of the values behind this one are undefined: of all classes in an overall row, else 0 or 1).

    Rows: run by run; in each run reading by reading, metric by metric, overall before the classes; then (reading
    "strict") accuracy overall and by group. With more than two groups the published reading is left out.
    """
    parts = [_bias_part(reading, counts, multilabel) for reading in readings if _applies(reading, counts)]
    parts.append(_accuracy_part(counts, multilabel))
    header = [row for part in parts for row in part[0]]
    values = np.concatenate([part[1] for part in parts], axis=1)
    undefined = np.concatenate([part[2] for part in parts], axis=1)
    run = np.repeat(np.asarray(runs, dtype=np.int64), len(header))
    return _frame(_keys(technique, arm, seed, run, attribute), header, values, undefined)


_Part = tuple[list[tuple[str, str, int, int]], Values, Counts]  # (reading, metric, target, group), (runs, rows) twice


def _applies(reading: str, counts: Counts) -> bool:
    return reading == "strict" or counts.shape[1] == 2


def _bias_part(reading: str, counts: Counts, multilabel: bool) -> _Part:
    cells = cells_of(counts, multilabel)
    header, values, undefined = [], [], []
    for name, metric in {"strict": METRICS, "published": PUBLISHED}[reading].items():
        by_class = metric(cells)
        mean, n_undefined = overall(by_class, reading)
        header += [(reading, name, target, MISSING) for target in (MISSING, *range(by_class.shape[1]))]
        values += [mean[:, None], by_class]
        undefined += [n_undefined[:, None], np.isnan(by_class)]
    return header, np.concatenate(values, axis=1), np.concatenate(undefined, axis=1)


def _accuracy_part(counts: Counts, multilabel: bool) -> _Part:
    by_group = group_accuracy(counts, multilabel)
    header = [("strict", "accuracy", MISSING, group) for group in (MISSING, *range(by_group.shape[1]))]
    values = np.column_stack([accuracy(counts, multilabel), by_group])
    return header, values, np.isnan(values)


def _frame(
    keys: dict[str, object], header: list[tuple[str, str, int, int]], values: Values, undefined: Counts
) -> pd.DataFrame:
    import pandas as pd

    reading, metric, target, group = zip(*header, strict=True)
    n_runs = len(values)
    columns = {
        **keys,
        "reading": pd.Series(reading * n_runs, dtype="str"),
        "metric": pd.Series(metric * n_runs, dtype="str"),
        "target": _nullable(np.tile(target, n_runs)),
        "group": _nullable(np.tile(group, n_runs)),
        "value": values.ravel(),
        "n_undefined": _nullable(undefined.ravel().astype(np.int64)),
    }
    return pd.DataFrame(columns)[list(LONG_COLUMNS)]


def _keys(technique: str, arm: str, seed: int, run: Counts, attribute: str) -> dict[str, object]:
    """The columns that name what a row is about; run (rows,)."""
    return {
        "technique": _constant(technique, len(run)),
        "arm": _constant(arm, len(run)),
        "seed": np.full(len(run), seed, dtype=np.int64),
        "run": run,
        "attribute": _constant(attribute, len(run)),
    }


def _constant(text: str, n: int) -> pd.Series:
    import pandas as pd

    return pd.Series([text] * n, dtype="str")


def _nullable(values: Counts) -> pd.arrays.IntegerArray:
    import pandas as pd

    return pd.arrays.IntegerArray(values.astype(np.int64), values == MISSING)


def counts_table(
    technique: str, arm: str, seed: int, runs: Sequence[int], counts: Counts, multilabel: bool, attribute: str
) -> pd.DataFrame:
    """Counts as a long table; `counts_array` is the way back.

    Multi-class: technique, arm, seed, run, attribute, group, true, predicted, n, without the cells that are zero.
    Multi-label: technique, arm, seed, run, attribute, group, target, tp, fp, fn, tn, every cell.
    """
    import pandas as pd

    index = np.indices(counts.shape[:3]).reshape(3, -1) if multilabel else np.nonzero(counts)
    names = ("group", "target", "tp", "fp", "fn", "tn") if multilabel else ("group", "true", "predicted", "n")
    cells = counts.reshape(-1, 4).T if multilabel else (counts[index],)
    keys = _keys(technique, arm, seed, np.asarray(runs, dtype=np.int64)[index[0]], attribute)
    return pd.DataFrame(keys | dict(zip(names, (*index[1:], *cells), strict=True)))


def counts_array(table: pd.DataFrame, n_classes: int, n_groups: int) -> tuple[tuple[int, ...], Counts]:
    """Runs (ascending) and the count array of `counts_table` rows of one technique, arm and attribute."""
    runs, position = np.unique(table["run"].to_numpy(), return_inverse=True)
    group = table["group"].to_numpy()
    if "target" in table:
        counts = np.zeros((len(runs), n_groups, n_classes, 4), dtype=np.int64)
        counts[position, group, table["target"].to_numpy()] = table[["tp", "fp", "fn", "tn"]].to_numpy()
    else:
        counts = np.zeros((len(runs), n_groups, n_classes, n_classes), dtype=np.int64)
        counts[position, group, table["true"].to_numpy(), table["predicted"].to_numpy()] = table["n"].to_numpy()
    return tuple(runs.tolist()), counts


def votes_table(arm: str, seed: int, predictions: Predictions) -> pd.DataFrame:
    """Votes of the runs of one arm: arm, seed, idx, ground_truth, protected..., unit (where known), class, votes.

    Multi-label: `class` is the label, `ground_truth` that label's 0/1, `votes` the runs that predict 1.
    """
    import pandas as pd

    if predictions.multilabel:
        row, klass, number = label_votes(predictions.prediction)
        truth = predictions.ground_truth[row, klass]
    else:
        row, klass, number = votes(predictions.prediction, predictions.n_classes)
        truth = predictions.ground_truth[row]
    columns = {"arm": _constant(arm, len(row)), "seed": np.full(len(row), seed, dtype=np.int64)}
    columns |= {"idx": predictions.idx[row], "ground_truth": truth.astype(np.int64)}
    columns |= {name: values[row] for name, values in predictions.protected_columns().items()}
    if predictions.unit is not None:
        columns["unit"] = predictions.unit[row]
    return pd.DataFrame(columns | {"class": klass, "votes": number})


def count(predictions: Predictions, attribute: str) -> Counts:
    """`confusion` or `label_counts` of stacked predictions for one protected attribute."""
    p, n_groups = predictions, predictions.n_groups[attribute]
    if p.multilabel:
        return label_counts(p.ground_truth, p.prediction, p.protected[attribute], n_groups)
    return confusion(p.ground_truth, p.prediction, p.protected[attribute], p.n_classes, n_groups)


def technique_tables(technique: str, arms: Mapping[str, tuple[int, Predictions]]) -> dict[str, pd.DataFrame]:
    """The tables "metrics", "counts" and "votes" of one technique; arms: {arm: (seed, stacked predictions)}.

    Rows in the order of the arms, then of the protected attributes.
    """
    import pandas as pd

    metrics, counted, voted = [], [], []
    for arm, (seed, predictions) in arms.items():
        for attribute in predictions.protected:
            counts = count(predictions, attribute)
            shared = (technique, arm, seed, predictions.runs, counts, predictions.multilabel, attribute)
            metrics.append(long_table(*shared))
            counted.append(counts_table(*shared))
        voted.append(votes_table(arm, seed, predictions))
    tables = {"metrics": metrics, "counts": counted, "votes": voted}
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
