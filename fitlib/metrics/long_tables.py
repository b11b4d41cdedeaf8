"""The long tables of a technique: its metrics, counts and votes, the test set's part, resampled units, individuals.

pandas is imported where a table is built, so that the numbers can be computed without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fitlib.metrics.bias_metrics import (
    PUBLISHED_RATIOS,
    RATIOS,
    READINGS,
    accuracy,
    group_accuracy,
    overall_ratio,
    rate,
)
from fitlib.metrics.chance_level import LEVEL, chance_levels
from fitlib.metrics.counts import Counts, cells_of, count, label_votes, votes
from fitlib.metrics.custom_metrics import Metric, evaluate
from fitlib.metrics.exact import Values
from fitlib.metrics.individuals import RESAMPLES, individual_rows
from fitlib.metrics.new_test_data import digest_rows, resample
from fitlib.metrics.testset import contributions, smallest_denominators
from fitlib.metrics.threshold_sweep import threshold_rows
from fitlib.metrics.unit_overlap import unit_rows

if TYPE_CHECKING:
    import pandas as pd

    from fitlib.storage.predictions import Predictions

LONG_COLUMNS = (
    "technique", "arm", "seed", "run", "reading", "attribute", "metric", "target", "group", "value", "n_undefined",
    "remainder",
)  # fmt: skip
PERSON_COLUMNS = (
    "technique", "arm", "seed", "attribute", "quantity", "metric", "target", "group", "at", "value", "low", "high",
)  # fmt: skip
# Seeds of all draws, the same for every technique, arm and attribute
TEST_SET_SEED = 20210614  # of permutations and halves of the test set
PERSON_SEED = 20240220  # of resampled runs and units
MISSING = -1  # stands for "null" in integer columns until the table is built


Arms = Mapping[str, tuple[int, "Predictions"]]  # {arm: (seed, predictions)}
Customs = Mapping[str, Metric]  # custom metrics by name
NO_CUSTOM: Customs = MappingProxyType({})
TABLES = ("metrics", "counts", "votes", "testset", "resampled", "persons")
DRAWN = ("testset", "resampled")  # of these, the ones that nothing is in but what was drawn at random


def technique_tables(
    technique: str, arms: Arms, drawn: bool = True, custom: Customs = NO_CUSTOM
) -> dict[str, pd.DataFrame]:
    """Return the tables metrics, counts, votes, testset, resampled and persons of one technique.

    Rows are in the order of the arms, then of the protected attributes. With ``drawn`` False, which is quicker,
    everything drawn at random is left out: the tables testset and resampled, and the intervals (``low``, ``high``) in
    persons. ``custom``: custom metrics by name; they have rows in the table metrics only.
    """
    names = [name for name in TABLES if drawn or name not in DRAWN]
    return {name: technique_table(name, technique, arms, drawn, custom) for name in names}


def technique_table(
    name: str, technique: str, arms: Arms, drawn: bool = True, custom: Customs = NO_CUSTOM
) -> pd.DataFrame:
    """Return one of `technique_tables`, the one called ``name`` (of `TABLES`)."""
    import pandas as pd

    parts = [part for arm, (seed, p) in arms.items() for part in _parts(name, technique, arm, seed, p, drawn, custom)]
    return pd.concat(parts, ignore_index=True)


def _parts(
    name: str, technique: str, arm: str, seed: int, p: Predictions, drawn: bool, custom: Customs
) -> Iterator[pd.DataFrame]:
    """Return the parts of a table that are about one arm: one for each protected attribute, of votes one for all."""
    if name == "votes":
        yield votes_table(arm, seed, p)
        return
    for attribute in p.protected:
        if name == "metrics":
            counts = count(p, attribute)
            extra = [_custom_part(own, metric, p, attribute, counts, technique) for own, metric in custom.items()]
            yield metrics_table(technique, arm, seed, p.runs, counts, p.multilabel, attribute, extra=extra)
        elif name == "counts":
            yield counts_table(technique, arm, seed, p.runs, count(p, attribute), p.multilabel, attribute)
        elif name == "persons":
            yield person_table(technique, arm, seed, p, attribute, RESAMPLES if drawn else 0)
        else:
            yield {"testset": testset_table, "resampled": resampled_table}[name](technique, arm, seed, p, attribute)


# Metrics


def metrics_table(
    technique: str,
    arm: str,
    seed: int,
    runs: Sequence[int],
    counts: Counts,
    multilabel: bool = False,
    attribute: str = "protected",
    readings: Iterable[str] = READINGS,
    extra: Sequence[MetricRows] = (),
) -> pd.DataFrame:
    """Return all metrics of all runs of one technique in one arm, one value per row.

    counts: `confusion` or (multilabel) `label_counts` of these runs. Columns: technique, arm, seed, run, reading,
    attribute, metric, target (class, null = overall), group (null but for per-group accuracy), value (NaN = undefined),
    n_undefined (how many of the values behind this one are undefined: of all classes in an overall row, else 0 or 1),
    remainder (what the exact ratio of counts exceeds its nearest double, the value, by).

    Rows: run by run; in each run reading by reading, metric by metric, overall before the classes; then (reading
    "strict") ``extra``, the rows of custom metrics, and accuracy overall and by group. With more than two groups the
    published reading is left out.
    """
    parts = [_bias_part(reading, counts, multilabel) for reading in readings if _applies(reading, counts)]
    parts += [*extra, _accuracy_part(counts, multilabel)]
    header = [row for part in parts for row in part.header]
    columns = (np.concatenate([getattr(part, name) for part in parts], axis=1) for name in MetricRows._fields[1:])
    run = np.repeat(np.asarray(runs, dtype=np.int64), len(header))
    return _frame(_keys(technique, arm, seed, run, attribute), header, *columns)


class MetricRows(NamedTuple):
    """Rows of the table of metrics: what they are about, and their columns for every run."""

    header: list[tuple[str, str, int, int]]  # reading, metric, target, group
    values: Values  # (runs, rows), like the others
    remainders: Values
    undefined: Counts


def _applies(reading: str, counts: Counts) -> bool:
    return reading == "strict" or counts.shape[1] == 2


def _bias_part(reading: str, counts: Counts, multilabel: bool) -> MetricRows:
    cells = cells_of(counts, multilabel)
    header, values, remainders, undefined = [], [], [], []
    for name, metric in {"strict": RATIOS, "published": PUBLISHED_RATIOS}[reading].items():
        ratios = metric(cells)
        by_class, missing = ratios.values(), ratios.whole == 0
        mean, rest = overall_ratio(ratios, reading)
        header += [(reading, name, target, MISSING) for target in (MISSING, *range(by_class.shape[1]))]
        values += [mean[:, None], by_class]
        remainders += [rest[:, None], ratios.remainders(by_class)]
        undefined += [missing.sum(axis=1)[:, None], missing]
    return MetricRows(header, *(np.concatenate(columns, axis=1) for columns in (values, remainders, undefined)))


def _custom_part(
    name: str, metric: Metric, predictions: Predictions, attribute: str, counts: Counts, technique: str
) -> MetricRows:
    columns = evaluate(name, metric, predictions, attribute, counts, technique)
    targets = (MISSING, *range(columns.values.shape[1] - 1))
    return MetricRows([("strict", name, target, MISSING) for target in targets], *columns)


def _accuracy_part(counts: Counts, multilabel: bool) -> MetricRows:
    by_group = group_accuracy(counts, multilabel)
    header = [("strict", "accuracy", MISSING, group) for group in (MISSING, *range(by_group.shape[1]))]
    values = np.column_stack([accuracy(counts, multilabel), by_group])
    # Nothing is averaged over accuracies, so that their remainders are not needed.
    return MetricRows(header, values, np.where(np.isnan(values), np.nan, 0.0), np.isnan(values))


def _frame(
    keys: dict[str, object],
    header: list[tuple[str, str, int, int]],
    values: Values,
    remainders: Values,
    undefined: Counts,
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
        "remainder": remainders.ravel(),
    }
    return pd.DataFrame(columns)[list(LONG_COLUMNS)]


# Counts and votes


def counts_table(
    technique: str, arm: str, seed: int, runs: Sequence[int], counts: Counts, multilabel: bool, attribute: str
) -> pd.DataFrame:
    """Return counts as a long table; `counts_array` is the inverse.

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
    """Return the runs (ascending) and the count array from `counts_table` rows of one technique, arm and attribute."""
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
    """Return the votes of the runs of one arm: arm, seed, idx, ground_truth, protected..., unit (if any), class, votes.

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


# Test set


def testset_table(technique: str, arm: str, seed: int, predictions: Predictions, attribute: str) -> pd.DataFrame:
    """Return what the finite test set contributes to the values of a technique.

    Columns: technique, arm, seed, attribute, quantity, metric, target, value, n (runs). quantity: "expectation",
    "chance_95", "chance_p", "chance_runs" (without disparity) and "smallest_denominator" of every bias metric, overall
    (target null) and by class; "variance_…" (between_runs, run, test_set, interaction, total) and "floor" of the
    signed differences DP, EOFP and EOTP by class; "selected_on", "selected_off" and "mean_of_runs" of every metric,
    overall. See `fitlib.metrics.chance_level` and `fitlib.metrics.testset`; a missing value is not estimable. The draws
    are always the same (TEST_SET_SEED).
    """
    import pandas as pd

    rows = [*_chance_rows(predictions, attribute), *_denominator_rows(predictions, attribute)]
    rows += _contribution_rows(predictions, attribute)
    quantity, metric, target, value = zip(*rows, strict=True)
    keys = _keys(technique, arm, seed, np.zeros(len(rows), dtype=np.int64), attribute)
    del keys["run"]
    text = {"quantity": pd.Series(quantity, dtype="str"), "metric": pd.Series(metric, dtype="str")}
    numbers = {"target": _nullable(np.array(target)), "value": np.array(value, dtype=np.float64)}
    return pd.DataFrame(keys | text | numbers | {"n": np.full(len(rows), len(predictions.runs), dtype=np.int64)})


_TestSetRow = tuple[str, str, int, float]  # quantity, metric, target, value


def _chance_rows(predictions: Predictions, attribute: str) -> list[_TestSetRow]:
    """Return what permutations give, over the runs where defined: overall, then class by class.

    "expectation" and "chance_95": means of the runs' expectations and 95 % quantiles. "chance_p": the p of the median
    run (of two in the middle the larger). Who is handed one run wants to know whether it exceeds chance, and how
    typical it is, hence also "chance_runs", in how many runs p <= .05. The runs share one test set, so their p-values
    are not independent evidence: Fisher's and like combinations would overstate it.
    """
    rows = []
    for name, chance in chance_levels(predictions, attribute, np.random.default_rng(TEST_SET_SEED)).items():
        summaries = {
            "expectation": [_mean_of_defined(values) for values in chance.expectation.T],
            "chance_95": [_mean_of_defined(values) for values in chance.quantile.T],
            "chance_p": [_upper_median(values) for values in chance.p.T],
            "chance_runs": [_count_at_most(values, 1 - LEVEL) for values in chance.p.T],
        }
        for quantity, values in summaries.items():
            rows += [(quantity, name, target, value) for target, value in enumerate(values, start=MISSING)]
    return rows


def _mean_of_defined(values: Values) -> float:
    return float(rate(np.nansum(values), np.isfinite(values).sum()))


def _upper_median(values: Values) -> float:
    defined = np.sort(values[np.isfinite(values)])
    return float(defined[defined.size // 2]) if defined.size else float("nan")


def _count_at_most(values: Values, limit: float) -> float:
    """Count the values up to ``limit``, allowing for its rounding; NaN if none is defined."""
    defined = values[np.isfinite(values)]
    return float((defined <= limit + 1e-12).sum()) if defined.size else float("nan")


def _denominator_rows(predictions: Predictions, attribute: str) -> list[_TestSetRow]:
    """Return the smallest denominators: overall, of the classes with one above 0, then class by class."""
    rows = []
    cells = cells_of(count(predictions, attribute), predictions.multilabel)
    for name, by_class in smallest_denominators(cells).items():
        smallest = [min(by_class[by_class > 0].tolist(), default=0), *by_class]
        rows += [("smallest_denominator", name, target, value) for target, value in enumerate(smallest, start=MISSING)]
    return rows


def _contribution_rows(predictions: Predictions, attribute: str) -> list[_TestSetRow]:
    """Return the components of variance class by class, and the selection overall."""
    rows: list[_TestSetRow] = []
    parts = contributions(predictions, attribute, np.random.default_rng(TEST_SET_SEED))
    for name, components in parts.components.items():
        for quantity, by_class in components.variances().items():
            rows += [(quantity, name, target, float(value)) for target, value in enumerate(by_class)]
    for name, selection in parts.selection.items():
        rows += [(quantity, name, MISSING, value) for quantity, value in vars(selection).items()]
    return rows


# Resampled test units


def resampled_table(technique: str, arm: str, seed: int, predictions: Predictions, attribute: str) -> pd.DataFrame:
    """Return every metric on resampled test units (`fitlib.metrics.new_test_data.resample`), one list per row.

    Columns: technique, arm, seed, attribute, metric, target (class; null = accuracy), half (of the runs, 0 or 1), units
    (their number), test_set (`digest_rows`), values (float32, one per resample: mean over the runs of this half; NaN =
    undefined in some run). The draws are always the same.
    """
    import pandas as pd

    found = resample(predictions, attribute)
    rows = [
        (metric, MISSING if metric == "accuracy" else target, half, by_half[:, target].astype(np.float32))
        for metric, values in found.values.items()
        for target in range(values.shape[2])
        for half, by_half in enumerate(values)
    ]
    metric, target, half, values = zip(*rows, strict=True)
    keys = _keys(technique, arm, seed, np.array(half), attribute)
    del keys["run"]
    names = {"metric": pd.Series(metric, dtype="str"), "target": _nullable(np.array(target)), "half": np.array(half)}
    units, digest = np.full(len(rows), found.units), _constant(digest_rows(predictions, attribute), len(rows))
    return pd.DataFrame(keys | names | {"units": units, "test_set": digest, "values": list(values)})


# Columns


def _keys(technique: str, arm: str, seed: int, run: Counts, attribute: str) -> dict[str, object]:
    """Return the key columns of a table; run (rows,)."""
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


def _nullable(values: NDArray) -> pd.arrays.IntegerArray:
    import pandas as pd

    return pd.arrays.IntegerArray(values.astype(np.int64), values == MISSING)


# Individuals


def person_table(
    technique: str, arm: str, seed: int, predictions: Predictions, attribute: str, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Return one row per quantity, metric, target (class; null = all), group (null = all) and `at`.

    Quantities: see `individuals.individual_rows`, `unit_overlap.unit_rows` and `threshold_sweep.threshold_rows`.
    Columns `PERSON_COLUMNS`; the draws are always the same (PERSON_SEED).
    """
    import pandas as pd

    rows = individual_rows(predictions, attribute, np.random.default_rng(PERSON_SEED), resamples)
    rows += unit_rows(predictions, attribute) + threshold_rows(predictions, attribute)
    frame = pd.DataFrame(rows).assign(technique=technique, arm=arm, seed=seed, attribute=attribute)
    text = dict.fromkeys(("technique", "arm", "attribute", "quantity"), "str")
    kinds = text | {"metric": "object", "seed": "int64", "target": "Int64", "group": "Int64", "at": "float64"}
    return frame[list(PERSON_COLUMNS)].astype(kinds)
