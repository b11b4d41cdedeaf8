"""The table "new_test_data": means and differences with intervals over runs and test units.

``resampled`` is the long table of `fitlib.metrics.long_tables.resampled_table`, of all techniques; plan and evidence as
in `fitlib.tables.runs_and_summary`. See `fitlib.statistics.new_test_data` for the interval and what it refers to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from fitlib.metrics.bias_metrics import rate
from fitlib.metrics.new_test_data import HALVES
from fitlib.statistics import estimates as st
from fitlib.statistics import verdict_names, verdicts
from fitlib.statistics.new_test_data import NewTestData, for_new_test_data
from fitlib.tables.comparisons import MetricValues, Pair, not_common, pairs_of, values_by_key
from fitlib.tables.fit_findings import CheckFit, Findings
from fitlib.tables.metric_series import Series, main_arms, metrics_of, series_of
from fitlib.tables.schemas import NEW_TEST_DATA, Json, join_notes, table_of

STRICT_ONLY = st.NOT_ESTIMABLE + "test units are resampled in the strict reading only"
NOT_RESAMPLED = st.NOT_ESTIMABLE + "no resampled test units"
OTHER_ROWS = st.NOT_ESTIMABLE + "baseline and technique were tested on different rows"


def new_test_data(
    metrics: pd.DataFrame,
    resampled: pd.DataFrame,
    compared: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    pairs: Sequence[Pair] | None = None,
    series: Series | None = None,
) -> pd.DataFrame:
    """Return the mean of each technique, and its difference from the baseline, for new test data of the same kind.

    Per main arm, attribute and metric. Rows of means (``baseline`` empty) come first, over the classes defined in every
    run; then the rows of ``compared``, the table "comparisons", over the same classes. ``verdict``: of the difference,
    against the smallest effect and at the level of the row there; alpha where it has no level. Both techniques meet the
    same resampled units; if they were tested on different rows there is a note instead of an interval. Runs that are
    bit-identical or not FIT, and metrics that are constant in all runs of both, have no interval. ``pairs``,
    ``series``: those of `pairs_of` and `series_of`, where they are made already.
    """
    found, alpha = _resampled_by_key(resampled), plan["analysis"]["alpha"]
    series = series or series_of(metrics, plan)
    rows = [*_mean_rows(series, found, plan, Findings(evidence, check_fit, plan))]
    pairs = pairs or pairs_of(metrics, plan, evidence, check_fit, series)
    for pair, judged in zip(pairs, compared.to_dict("records"), strict=True):
        row = _difference_row(pair, found, plan) | {"smallest_effect": judged["smallest_effect"]}
        row["level"] = judged.get("level", alpha)
        levels = {"verdict": row["level"], "verdict_unadjusted": alpha}
        rows.append(row | {name: pair.verdict(_verdict(row, level)) for name, level in levels.items()})
    return table_of(rows, NEW_TEST_DATA)


# Resampled metrics


@dataclass(frozen=True)
class _Resampled:
    """A metric of one technique on resampled units: values (halves of the runs, classes, resamples), float32."""

    values: np.ndarray
    units: int
    test_set: str


_Found = Mapping[tuple[str, str, str, str], _Resampled]  # by technique, arm, attribute and metric


def _resampled_by_key(resampled: pd.DataFrame) -> _Found:
    if not len(resampled):
        return {}
    groups = resampled.groupby(["technique", "arm", "attribute", "metric"], sort=False)
    return {key: _stacked(part) for key, part in groups}


def _stacked(part: pd.DataFrame) -> _Resampled:
    part = part.sort_values(["target", "half"], kind="stable")
    values = np.stack(part["values"].tolist())
    by_class = values.reshape(-1, HALVES, values.shape[1])
    return _Resampled(by_class.swapaxes(0, 1), int(part["units"].iloc[0]), str(part["test_set"].iloc[0]))


def _halves(t: _Resampled, b: _Resampled | None, classes: np.ndarray) -> tuple[np.ndarray, int]:
    """Return mean or difference over these classes, (halves, resamples), and in how many resamples all are defined.

    A class that is undefined in a resample, for either technique, is left out of both there.
    """
    values = t.values[:, classes].astype(np.float64) - (0.0 if b is None else b.values[:, classes])
    defined = ~np.isnan(values).any(axis=0)
    means = rate(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=0))
    return means, int(np.all(defined, axis=0).sum())


# Rows


def _mean_rows(series: Series, found: _Found, plan: Json, findings: Findings) -> Iterator[Json]:
    by_key = values_by_key(series)
    places = product(*map(enumerate, (plan["techniques"], main_arms(plan), plan["groups"])))
    for (t, technique), (a, arm), (g, attribute) in places:
        fit, same = findings.fit(technique, arm), findings.bit_identical(technique, arm)
        note = join_notes("not FIT" if fit == "no" else "", same)
        keys = {"technique": technique["technique"], "arm": arm["arm"], "attribute": attribute}
        for m, metric in enumerate(metrics_of(plan)):
            if (t, a, g, m) in by_key:
                row = _common_keys(arm, plan) | keys | {"metric": metric, "fit": fit}
                resampled = found.get((*keys.values(), metric))
                yield row | _mean_columns(by_key[t, a, g, m], resampled, row, note)


def _mean_columns(values: MetricValues, resampled: _Resampled | None, row: Json, note: str) -> Json:
    """Return the columns of a mean; ``note``: why the runs give no interval, if they do not."""
    classes = ~np.isnan(values.classes).any(axis=0)
    if row["metric"] == "accuracy":
        classes, sample = np.ones(1, dtype=bool), values.overall
    else:
        sample = values.mean_over(classes) if classes.any() else np.empty(0)
    here = st.mean_interval(sample)
    missing = "undefined in some run" if values.single else "no class is defined in every run"
    undefined = "" if sample.size else st.NOT_ESTIMABLE + missing
    why = note or undefined or _why_not(row, resampled, None)
    columns = {"n_technique": values.runs.size, "n_classes": _n_classes(values.single, classes)}
    return columns | _interval_columns(here, resampled, None, classes, why)


def _difference_row(pair: Pair, found: _Found, plan: Json) -> Json:
    place = (pair.arm["arm"], pair.attribute, pair.metric)
    technique, baseline = pair.technique["technique"], pair.baseline["technique"]
    t, b = found.get((technique, *place)), found.get((baseline, *place))
    row = _common_keys(pair.arm, plan) | dict(zip(("arm", "attribute", "metric"), place, strict=True))
    row |= {"technique": technique, "baseline": baseline, "fit": pair.fit}
    row |= {"n_baseline": pair.b.runs.size, "n_technique": pair.t.runs.size}
    row |= {"design": "paired by run" if pair.paired else "independent"}
    accuracy = pair.metric == "accuracy"
    row["n_classes"] = _n_classes(accuracy or pair.single, pair.common)
    here = (st.paired_difference if pair.paired else st.welch)(*pair.samples)
    why = _why_no_test(pair) or _why_not(row, t, b)
    return row | _interval_columns(here, t, b, np.ones(1, dtype=bool) if accuracy else pair.common, why)


def _why_no_test(pair: Pair) -> str:
    if pair.bit_identical or pair.fit == "no":
        return pair.note
    if not (pair.b.runs.size and pair.t.runs.size):
        return st.NOT_ESTIMABLE + "no runs"
    if not pair.samples[0].size:
        return st.NOT_ESTIMABLE + not_common(pair.single)
    return st.both_constant(*pair.samples) if pair.constant else ""


def _common_keys(arm: Json, plan: Json) -> Json:
    seed = arm["seed"]
    where = f"at seed {seed}" if seed is not None else "at one seed"
    return {"seed": seed, "reading": plan["analysis"]["reading"], "scope": f"{where}, for new test data of this kind"}


def _n_classes(single: bool, classes: np.ndarray) -> int | None:
    return None if single else int(classes.sum())


def _why_not(row: Json, t: _Resampled | None, b: _Resampled | None) -> str:
    """Return why there are no resamples to use, "" if there are; a row of means has no baseline."""
    if row["reading"] != "strict" and row["metric"] != "accuracy":
        return STRICT_ONLY
    if t is None or (b is None and "baseline" in row):
        return NOT_RESAMPLED
    return OTHER_ROWS if b is not None and t.test_set != b.test_set else ""


def _interval_columns(
    here: st.Estimate, t: _Resampled | None, b: _Resampled | None, classes: np.ndarray, why_not: str
) -> Json:
    if why_not or t is None:
        return {"value": here.value, "note": why_not}
    (first, second), complete = _halves(t, b, classes)
    found = for_new_test_data(here, first, second, t.units)
    columns = _columns_of(found) | {"units": t.units, "resamples": first.size, "note": found.estimate.note}
    if found.estimate.estimable and complete < first.size:
        left_out = f"{first.size - complete} of {first.size} resamples"
        columns["note"] = f"{left_out} leave out a class that is undefined in them"
    return columns


def _columns_of(found: NewTestData) -> Json:
    estimate = found.estimate
    columns = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "df": estimate.df}
    columns |= {"standard_error": estimate.error, "standard_error_runs": found.error_runs}
    columns |= {"standard_error_units": found.error_units, "share_units": found.share_units}
    return columns | {"procedures": f"95 % interval: {estimate.method}" if estimate.estimable else ""}


def _verdict(row: Json, level: float) -> str:
    if min(row["n_baseline"], row["n_technique"]) < verdict_names.RUNS:
        return verdict_names.TOO_FEW
    if row.get("standard_error") is None or np.isnan(level):
        return "not estimable"
    judged = verdicts.judge(row["value"], row["standard_error"], row["df"], row["smallest_effect"], level)
    return verdict_names.VERDICTS[int(judged)]
