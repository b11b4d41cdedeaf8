"""The table "comparisons": each technique against its baseline, with verdict, corrected tests and power.

Pandas frames in, a pandas frame out; see `fitlib.tables.runs_and_summary` for plan and evidence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.metrics.exact import mean_of
from fitlib.metrics.smallest_effects import smallest_effect
from fitlib.statistics import estimates as st
from fitlib.statistics import leave_one_out, permutation, power, verdict_names, verdicts
from fitlib.statistics import risk as risks
from fitlib.statistics import significance as sig
from fitlib.statistics.simultaneous import Comparison
from fitlib.tables.fit_findings import CheckFit, Findings
from fitlib.tables.metric_series import Series, main_arms, metrics_of, series_of
from fitlib.tables.schemas import COMPARISONS, Json, integer_column, join_notes, table_of
from fitlib.tables.verdict_families import Families, repeated_metrics, simultaneous_interval

# Simulated power and random permutations depend on these seeds and both n only, never on the order of the rows.
POWER_SEED, PERMUTATION_SEED = 2006, 1997
# Columns that a redundant metric takes from the metric that it repeats.
SHARED_WITH_REPEATED = (
    "u", "p_mean", "p_mean_smallest", "p_mean_studentised", "p_mean_studentised_smallest", "p_mean_studentised_holm",
    "p_mean_holm", "p_mean_bh",
    "p_mean_by", "p_variance_raw", "p_variance_relative", "p_variance_raw_holm", "p_variance_raw_bh",
    "p_variance_raw_by",
)  # fmt: skip


def compare(
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    pairs: Sequence["Pair"] | None = None,
) -> pd.DataFrame:
    """Compare each technique with its baseline, per main arm, attribute and metric; difference = technique - baseline.

    Overall values are means over the classes that are defined in every run of both. ``verdict`` holds together with all
    others of its family (`fitlib.tables.verdict_families`), ``verdict_unadjusted`` alone. Corrected together are the
    tests of all comparisons of the experiment on distinct metrics: those of the mean, and those of the variance that
    are estimable; accuracy is in neither. A redundant metric shows the p-values of the metric that it repeats.
    Bit-identical arms and metrics that are constant in both enter no test; arms that are not FIT get the verdict "not
    FIT". Techniques that share the baseline's training are compared paired by run. ``verdict_changes``: number of runs
    of which each one, left out, changes the verdict. ``pairs``: those of `pairs_of`, where they are made already.
    """
    pairs = pairs or pairs_of(metrics, plan, evidence, check_fit)
    distinct, repeated = distinct_metrics(pairs, plan)
    families = Families(lambda metric: _intervals(pairs, metric), distinct, repeated, plan["analysis"])
    table = table_of([_comparison_row(pair, plan, families) for pair in pairs], COMPARISONS)
    _correct(table, distinct, repeated, metrics_of(plan))
    _add_power(table, plan["analysis"])
    _add_notes(table, plan["analysis"]["alpha"])
    return table_of(table, COMPARISONS)


# Pairs


def pairs_of(
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    series: Series | None = None,
) -> list["Pair"]:
    """Pair every technique with its baseline, per main arm, attribute and metric, in the order of the table's rows.

    ``series``: that of `series_of`, where it is made already.
    """
    by_key = values_by_key(series or series_of(metrics, plan))
    return list(_pairs(by_key, plan, Findings(evidence, check_fit, plan)))


@dataclass(frozen=True)
class MetricValues:
    """Values of one metric of one technique in one arm.

    ``runs`` (runs,): run numbers; ``classes`` (runs, classes): NaN where undefined; ``overall`` (runs,);
    ``remainders`` (runs, classes): what the exact values of the classes exceed their doubles by. ``single``: the metric
    has one value per run, no mean over classes; that value takes the place of a class.
    """

    runs: np.ndarray
    classes: np.ndarray
    overall: np.ndarray
    remainders: np.ndarray
    single: bool = False

    def at(self, runs: np.ndarray) -> "MetricValues":
        """Return the values of these run numbers only."""
        rows = np.flatnonzero(np.isin(self.runs, runs))
        return MetricValues(self.runs[rows], self.classes[rows], self.overall[rows], self.remainders[rows], self.single)

    def mean_over(self, classes: np.ndarray) -> np.ndarray:
        """Return the mean over these classes, bool (classes,), of every run: equal exact means are equal doubles.

        NaN without any class.
        """
        if not self.classes.size:
            return np.full(len(self.classes), np.nan)
        counted = np.broadcast_to(classes, self.classes.shape)
        return mean_of(self.classes, self.remainders, counted)[0]


_Key = tuple[int, int, int, int]
_NO_RUNS = MetricValues(np.empty(0, dtype=np.int64), np.empty((0, 0)), np.empty(0), np.empty((0, 0)))


@dataclass(frozen=True)
class Pair:
    """A baseline (b) and a technique (t) on one metric, with the findings on their runs."""

    technique: Json
    baseline: Json
    arm: Json
    attribute: str
    metric: str
    b: MetricValues
    t: MetricValues
    stopped: np.ndarray  # (classes,) bool, predicted in fewer runs of the technique than of the baseline
    fit: str
    note: str
    bit_identical: bool

    @property
    def paired(self) -> bool:
        """Whether both share one training, so that their runs are paired."""
        return self.technique["training"] == self.baseline["training"]

    @property
    def single(self) -> bool:
        """Whether the metric has one value per run, no mean over classes."""
        return self.b.single or self.t.single

    @cached_property
    def common(self) -> np.ndarray:
        """Whether a class is defined in every run of both, bool (classes,)."""
        both = [block.classes for block in (self.b, self.t) if block.runs.size]
        return ~np.isnan(np.concatenate(both)).any(axis=0) if both else np.zeros(0, dtype=bool)

    @cached_property
    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Overall values of both, (runs,) each, over common classes; empty where no class is common."""
        if self.metric == "accuracy":
            return self.b.overall, self.t.overall
        if not (self.common.any() and self.b.runs.size and self.t.runs.size):
            return np.empty(0), np.empty(0)
        return self.b.mean_over(self.common), self.t.mean_over(self.common)

    @property
    def tested(self) -> bool:
        """Whether the difference enters tests: the runs are not known to differ otherwise, or to be identical."""
        return self.fit != "no" and not self.bit_identical and min(x.size for x in self.samples) > 0

    @property
    def constant(self) -> bool:
        """Whether the metric is the same in all runs of either, whatever differs in their weights or scores."""
        return all(len(x) > 1 and st.is_constant(x) for x in self.samples)

    def resampled(self) -> Comparison:
        """Return the samples with what identifies their runs, for `fitlib.statistics.simultaneous`."""
        b, t = self.samples
        of_b, of_t = (
            (self.arm["arm"], technique["training"], tuple(values.runs.tolist()))
            for technique, values in ((self.baseline, self.b), (self.technique, self.t))
        )
        return [(of_t, st.run_differences(b, t))] if self.paired else [(of_b, b), (of_t, t)]

    def verdict(self, computed: str) -> str:
        """Return the verdict computed, "not FIT" where the runs are not FIT, and none for accuracy."""
        if self.metric == "accuracy":
            return ""
        return "not FIT" if self.fit == "no" else computed


def values_by_key(series: Series) -> dict[_Key, MetricValues]:
    """Return {(technique, arm, attribute, metric) as positions in the plan: values}, without per-group rows."""
    keys = series.keys
    by_key: dict[_Key, MetricValues] = {}
    names = np.stack([keys[name] for name in ("technique", "arm", "attribute", "metric")], axis=1)
    rows = np.flatnonzero(keys["group"] == -1)
    # rows of one key are adjacent: overall first, then class by class
    starts = np.flatnonzero(np.r_[True, (names[rows][1:] != names[rows][:-1]).any(axis=1)]) if rows.size else rows
    for part in np.split(rows, starts[1:]) if rows.size else []:
        n = int(series.counts[part[0]])
        of_classes = part[keys["target"][part] >= 0]
        single = not of_classes.size
        of_classes = part if single else of_classes
        classes, remainders = series.values[of_classes, :n].T, series.remainders[of_classes, :n].T
        overall = series.values[part[keys["target"][part] == -1], :n]
        by_key[tuple(names[part[0]].tolist())] = MetricValues(
            series.runs[part[0], :n], classes, overall[0] if len(overall) else np.full(n, np.nan), remainders, single
        )
    return by_key


def _pairs(by_key: Mapping[_Key, MetricValues], plan: Json, findings: Findings) -> Iterator[Pair]:
    position, metrics = {t["technique"]: i for i, t in enumerate(plan["techniques"])}, metrics_of(plan)
    compared = [(t, technique) for t, technique in enumerate(plan["techniques"]) if technique["baseline"] is not None]
    for t, technique in compared:
        b = position[technique["baseline"]]
        baseline = plan["techniques"][b]
        for a, arm in enumerate(main_arms(plan)):
            fit, note, identical = _judge_runs(baseline, technique, arm, findings)
            for g, attribute in enumerate(plan["groups"]):
                both = [[by_key.get((i, a, g, m), _NO_RUNS) for m in range(len(metrics))] for i in (b, t)]
                stopped = _stopped_predicting(*(of_one[metrics.index("DI")] for of_one in both))
                for m, metric in enumerate(metrics):
                    values = _same_runs(both[0][m], both[1][m], baseline["training"] == technique["training"])
                    yield Pair(technique, baseline, arm, attribute, metric, *values, stopped, fit, note, identical)


def _same_runs(b: MetricValues, t: MetricValues, paired: bool) -> tuple[MetricValues, MetricValues]:
    return (b.at(t.runs), t.at(b.runs)) if paired else (b, t)


def _judge_runs(baseline: Json, technique: Json, arm: Json, findings: Findings) -> tuple[str, str, bool]:
    """Judge both together: fit ("no" before "unknown" before "yes"), note, whether either is bit-identical."""
    fits, notes, identical = [], [], False
    for role, one in (("baseline", baseline), ("technique", technique)):
        fits.append(findings.fit(one, arm))
        if fits[-1] == "no":
            notes.append(f"{role} not FIT: {findings.identity(one['training'], arm['arm']).text}")
        same = findings.bit_identical(one, arm)
        notes += [f"{role}: {same}; enters no test"] if same else []
        identical |= bool(same)
    return next(fit for fit in ("no", "unknown", "yes") if fit in fits), "; ".join(notes), identical


def _stopped_predicting(b: MetricValues, t: MetricValues) -> np.ndarray:
    """Return which classes are predicted in a smaller share of runs than by the baseline, bool (classes,).

    ``b``, ``t``: values of DI, which is undefined in a run that predicts the class for no row.
    """
    if not b.runs.size or not t.runs.size:
        return np.zeros(0, dtype=bool)
    return np.isnan(t.classes).mean(axis=0) > np.isnan(b.classes).mean(axis=0)


# Rows


def _intervals(pairs: Sequence[Pair], metric: str) -> list[Comparison]:
    """Return the comparisons on a metric whose intervals hold together: enough runs, and values that vary."""
    tested = [pair for pair in pairs if pair.metric == metric and pair.tested]
    judged = [pair for pair in tested if min(x.size for x in pair.samples) >= verdict_names.RUNS]
    resampled = [pair.resampled() for pair in judged]
    return [one for one in resampled if not all(st.is_constant(x) for _, x in one)]


def _comparison_row(pair: Pair, plan: Json, families: Families) -> Json:
    b, t = pair.samples
    row = _comparison_keys(pair, plan) | {"n_baseline": pair.b.runs.size, "n_technique": pair.t.runs.size}
    row["primary"] = "yes" if families.is_primary(pair.metric) else ""
    if not (b.size and t.size):
        return row | _no_verdict(pair) | {"note": _why_not(pair)}
    row |= {"mean_baseline": float(st.means(b)), "mean_technique": float(st.means(t))}
    row |= {"sd_baseline": float(st.sds(b)), "sd_technique": float(st.sds(t))} | _class_bounds(pair)
    row |= {"deviation_baseline": _mean_deviation(b), "deviation_technique": _mean_deviation(t)}
    row["sd_difference"] = float(st.sds(st.run_differences(b, t))) if pair.paired else np.nan
    row["difference"] = st.difference_of_means(b, t)
    row["smallest_effect"] = _smallest_effect(pair, plan["analysis"], row["mean_baseline"])
    if pair.bit_identical or pair.fit == "no":  # neither enters a test
        return row | _no_verdict(pair)
    tests, procedures = ({}, "no test of constant values") if pair.constant else _tests(b, t, pair.paired)
    return row | tests | _effects(b, t, pair, row["smallest_effect"], families, procedures)


def _no_verdict(pair: Pair) -> Json:
    return dict.fromkeys(("verdict", "verdict_unadjusted"), pair.verdict("not estimable"))


def _mean_deviation(x: np.ndarray) -> float:
    """Return the mean of |value - median|, which the Brown-Forsythe test compares."""
    return float(st.means(np.abs(x - np.median(x))))


def _smallest_effect(pair: Pair, analysis: Json, baseline_mean: float) -> float | None:
    if pair.metric == "accuracy":
        return None
    return smallest_effect(analysis["smallest_effect"], pair.metric, baseline_mean)


def _comparison_keys(pair: Pair, plan: Json) -> Json:
    bias, names, analysis = pair.metric != "accuracy", plan["classes"], plan["analysis"]
    seed = pair.arm["seed"]
    keys = {
        "technique": pair.technique["technique"],
        "baseline": pair.baseline["technique"],
        "arm": pair.arm["arm"],
        "seed": seed,
        "reading": analysis["reading"],
        "attribute": pair.attribute,
        "metric": pair.metric,
        "scope": f"at seed {seed}, on this test set" if seed is not None else "at one seed, on this test set",
        "fit": pair.fit,
        "note": pair.note,
        "design": "paired by run" if pair.paired else "independent",
        "alpha": analysis["alpha"],
        "stopped_predicting": _listed(names, pair.stopped),
    }
    if bias and not pair.single:
        keys |= {"n_classes": int(pair.common.sum()), "dropped_classes": _listed(names, ~pair.common)}
    return keys


def _listed(names: Sequence[str], chosen: np.ndarray) -> str:
    return "; ".join(str(names[i]) for i in np.flatnonzero(chosen).tolist())


def _why_not(pair: Pair) -> str:
    nothing = not (pair.b.runs.size and pair.t.runs.size)
    why = "no runs" if nothing else not_common(pair.single)
    return join_notes(pair.note, st.NOT_ESTIMABLE + why)


def not_common(single: bool) -> str:
    """Return why two techniques cannot be compared on a metric (``single``: of one value per run)."""
    return "undefined in some run" if single else "no class is defined in every run of both"


def _class_bounds(pair: Pair) -> Json:
    """Bound the difference over all classes, with each undefined value anywhere in [0, 1]."""
    if pair.metric == "accuracy":
        return {}
    (b_low, b_high), (t_low, t_high) = (
        [float(np.where(np.isnan(x), fill, x).mean()) for fill in (0.0, 1.0)] for x in (pair.b.classes, pair.t.classes)
    )
    return {"difference_bound_low": t_low - b_high, "difference_bound_high": t_high - b_low}


def _tests(b: np.ndarray, t: np.ndarray, paired: bool) -> tuple[Json, str]:
    """Return the columns of the tests, and the names of their procedures."""
    mean = sig.signed_rank_exact(b, t) if paired else sig.mann_whitney_exact(b, t)
    studentised = _studentised(b, t, paired)
    variance = sig.brown_forsythe_paired if paired else sig.brown_forsythe
    raw, relative = variance(b, t), variance(b, t, relative=True)
    columns = {
        "u": mean.statistic,
        "p_mean": mean.p,
        "p_mean_smallest": mean.smallest_p,
        "p_mean_studentised": studentised.p,
        "p_mean_studentised_smallest": studentised.smallest_p,
        "p_variance_raw": raw.p,
        "p_variance_relative": relative.p,
    }
    tests = f"p_mean: {mean.method}; p_mean_studentised: {studentised.method}; p_variance_raw: {raw.method}"
    return columns, tests


def _studentised(b: np.ndarray, t: np.ndarray, paired: bool) -> sig.Test:
    if paired:
        return permutation.studentised_paired(b, t, dealt=_dealt(b.size))
    return permutation.studentised(b, t, dealt=_dealt(b.size, t.size))


@lru_cache(maxsize=16)
def _dealt(*n: int) -> permutation.Assignments:
    """Draw the permutations of every comparison with these numbers of runs (one number: paired)."""
    rng = np.random.default_rng([PERMUTATION_SEED, *n])
    return permutation.splits(n[0], n[1], rng) if len(n) == 2 else permutation.flips(n[0], rng)


def _effects(
    b: np.ndarray, t: np.ndarray, pair: Pair, effect: float | None, families: Families, procedures: str
) -> Json:
    difference = st.paired_difference(b, t) if pair.paired else st.welch(b, t)
    d, reversal = st.cohens_d(b, t), risks.verdict_reversal(b, t)
    row: Json = {"difference": difference.value, "difference_low": difference.low, "difference_high": difference.high}
    row |= {"d": d.value, "d_low": d.low, "d_high": d.high} if not pair.paired else {}
    row["note"] = join_notes(pair.note, difference.note)
    intervals = f"95 % intervals: difference {difference.method}" + ("" if pair.paired else f", d {d.method}")
    row["procedures"] = f"{intervals}; {procedures}"
    if effect is None:
        return row | {"verdict": ""}
    family = families.of(pair.metric)
    if min(b.size, t.size) >= verdict_names.RUNS and difference.estimable:
        row |= family.columns() | simultaneous_interval(difference, family.level)
    row["verdict_unadjusted"] = pair.verdict(verdicts.verdict(b, t, effect, families.alpha, pair.paired))
    without = leave_one_out.leave_one_out(b, t, effect, family.level, pair.paired)
    row["verdict"] = pair.verdict(without.verdict)
    return row | _reversal(reversal, pair) | _stability(without, pair)


def _stability(without: leave_one_out.LeaveOneOut, pair: Pair) -> Json:
    """Describe the verdicts with one run left out; nothing where too few runs for a verdict would be left."""
    if min(pair.b.runs.size, pair.t.runs.size) <= verdict_names.RUNS:
        return {}
    return {"verdict_changes": without.changed, "verdict_without_one": "; ".join(without.verdicts)}


def _reversal(reversal: st.Estimate, pair: Pair) -> Json:
    if pair.paired or pair.fit == "no":
        why = "runs are not FIT" if pair.fit == "no" else "not computed for techniques that share one training"
        return {"reversal_note": why}
    columns = {"reversal": reversal.value, "reversal_low": reversal.low, "reversal_high": reversal.high}
    return columns | {"reversal_note": reversal.note or reversal.method}


# Correction and power


def declared_metrics(analysis: Json) -> list[str]:
    """Return the bias metrics whose tests are corrected together: those of ``analysis.family``, by default all.

    Custom metrics are among them.

    >>> declared_metrics({"family": ["EOTP", "DP"]})
    ['DP', 'EOTP']
    """
    metrics = bias_metrics_of(analysis)
    declared = analysis.get("family") or metrics
    return [metric for metric in metrics if metric in declared]


def distinct_metrics(pairs: Sequence[Pair], plan: Json) -> tuple[list[str], dict[str, str]]:
    """Return the declared metrics that repeat no other, and each redundant one with the metric that it repeats."""
    chosen = declared_metrics(plan["analysis"])
    values = [{metric: _stacked(pairs, metric, attribute) for metric in chosen} for attribute in plan["groups"]]
    repeated = repeated_metrics(values, plan["analysis"])
    return [metric for metric in chosen if metric not in repeated], repeated


def _stacked(pairs: Sequence[Pair], metric: str, attribute: str) -> np.ndarray:
    """Stack the overall values of one metric in all comparisons; NaN where it cannot be compared.

    So the stacks of all metrics have one length, run by run.
    """
    stacked = [np.empty(0)]
    for pair in pairs:
        if (pair.metric, pair.attribute) == (metric, attribute):
            n, values = pair.b.runs.size + pair.t.runs.size, np.concatenate(pair.samples)
            stacked.append(values if values.size == n else np.full(n, np.nan))
    return np.concatenate(stacked)


def _correct(table: pd.DataFrame, distinct: Sequence[str], repeated: Mapping[str, str], metrics: Sequence[str]) -> None:
    """Fill in the corrected p-values of mean and variance, the numbers of tests, and what redundant metrics share."""
    member = table["metric"].isin(distinct).to_numpy()
    corrections = {"holm": sig.holm, "bh": sig.benjamini_hochberg, "by": sig.benjamini_yekutieli}
    for p in ("p_mean", "p_variance_raw"):
        within = table[p].where(member).to_numpy()
        for suffix, correct in corrections.items():
            table[f"{p}_{suffix}"] = correct(within)
    table["p_mean_studentised_holm"] = sig.holm(table["p_mean_studentised"].where(member).to_numpy())
    counted = member | table["metric"].isin(list(repeated)).to_numpy()
    for size, p in (("family_size", "p_mean"), ("family_size_variance", "p_variance_raw")):
        tests = int((member & table[p].notna()).sum())
        table[size] = integer_column(np.full(len(table), tests), counted)
    table["redundant_with"] = [repeated.get(metric, "") for metric in table["metric"]]
    _share(table, repeated, metrics)


def _share(table: pd.DataFrame, repeated: Mapping[str, str], metrics: Sequence[str]) -> None:
    """Copy to redundant metrics the p-values of the metrics that they repeat.

    The rows of a comparison are adjacent, one per metric, so the repeated metric is at a fixed distance.
    """
    for metric, first in repeated.items():
        rows = np.flatnonzero(table["metric"] == metric)
        sources = rows - metrics.index(metric) + metrics.index(first)
        columns = [table.columns.get_loc(name) for name in SHARED_WITH_REPEATED]
        table.iloc[rows, columns] = table.iloc[sources, columns].to_numpy()


def _add_power(table: pd.DataFrame, analysis: Json) -> None:
    """Fill in the power for the declared effect and for an SD ratio of 1.5, at the corrected alpha (Holm's first step).

    ``power_mean`` is that of the exact rank test, simulated for normal runs, and 0 where the smallest attainable p
    exceeds that level: no effect could be shown.
    """
    alpha, rows = analysis["alpha"], table.to_dict("records")
    table["power_mean"] = [_power_mean(row, row["smallest_effect"], alpha) for row in rows]
    table["power_variance"] = [_power_variance(row, alpha) for row in rows]


def _power_mean(row: Json, effect: float, alpha: float) -> float | None:
    if pd.isna(row["family_size"]) or pd.isna(row["p_mean"]):
        return None
    n, level = (row["n_baseline"], row["n_technique"]), alpha / row["family_size"]
    if row["design"] == "paired by run":
        computed = power.power_signed_rank(effect, row["sd_difference"], n[1], level)
    else:
        computed = power.power_rank(effect, row["sd_baseline"], row["sd_technique"], *n, level)
    return 0.0 if computed is not None and row["p_mean_smallest"] > level else computed


def _power_variance(row: Json, alpha: float) -> float | None:
    if pd.isna(row["family_size_variance"]) or pd.isna(row["p_variance_raw"]):
        return None
    return variance_power(row, alpha / row["family_size_variance"])


def variance_power(row: Json, level: float) -> float:
    """Return the power of a comparison's variance test at ``level`` for an SD ratio of 1.5, by design and runs."""
    n_baseline, n_technique = int(row["n_baseline"]), int(row["n_technique"])
    if row["design"] == "paired by run":
        return _simulated_power_paired(n_technique, level, _correlation(row))
    return _simulated_power(n_baseline, n_technique, level)


@lru_cache(maxsize=1024)
def _simulated_power(n_baseline: int, n_technique: int, level: float) -> float:
    rng = np.random.default_rng([POWER_SEED, n_baseline, n_technique])
    return power.power_variance(n_baseline, n_technique, level, rng=rng)


@lru_cache(maxsize=1024)
def _simulated_power_paired(n: int, level: float, correlation: float) -> float:
    return power.power_variance_paired(n, level, correlation, rng=np.random.default_rng([POWER_SEED, n]))


def _correlation(row: Json) -> float:
    """Return the correlation of paired runs from the SDs of both and of their differences; 0 if one is constant."""
    b, t, d = row["sd_baseline"], row["sd_technique"], row["sd_difference"]
    return float(np.clip((b**2 + t**2 - d**2) / (2 * b * t), -1, 1)) if b * t > 0 else 0.0


def _add_notes(table: pd.DataFrame, alpha: float) -> None:
    table["note"] = [join_notes(row["note"], *_test_notes(row, alpha)) for row in table.to_dict("records")]


def _test_notes(row: Json, alpha: float) -> Iterator[str]:
    corrected = not pd.isna(row["family_size"])
    if row["metric"] == "accuracy":
        yield "outside the family"
    elif not corrected:
        yield "outside the declared family"
    smallest = row["p_mean_smallest"]
    if smallest > alpha and row["difference"] == 0 and smallest == 1:
        yield "no test possible: all values are equal"
    elif smallest > alpha:
        yield "no test possible at this n"
    elif corrected and smallest * row["family_size"] > alpha:
        yield "smallest attainable p x family size exceeds alpha"
    if not pd.isna(row["p_mean"]) and pd.isna(row["p_variance_raw"]):
        yield "variance test not estimable"
