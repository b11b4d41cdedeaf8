"""The tables of an experiment: runs, summary, comparisons, risk.

Pandas frames in, pandas frames out: ``metrics`` is the long table of `fitlib.metrics`, ``counts`` its counts, ``plan``
and ``evidence`` are the plan and the evidence of the runs as JSON values. Only main arms enter. Every table has an
explicit schema (column -> dtype), rows in plan order and no time, host, path or experiment name; missing numbers are
NaN, missing text is empty. All of them follow the declared reading; accuracy has no reading and stands beside either.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fitlib import risk as risks
from fitlib import statistics as st
from fitlib.errors import InputError

SCHEMA_VERSION = 1
BIAS_METRICS = ("DP", "DI", "SPSF", "FPSF", "EOFP", "EOTP", "BA")
METRICS = (*BIAS_METRICS, "accuracy")


def _schema(columns: str, text: str, integer: str) -> dict[str, str]:
    """Column -> dtype in the order of ``columns``; float64 where neither text nor integer."""
    kinds = dict.fromkeys(text.split(), "str") | dict.fromkeys(integer.split(), "Int64")
    return {column: kinds.get(column, "float64") for column in columns.split()}


RUNS = _schema(
    "technique training arm noise kind seed run status fit initial_weights first_batch final_weights predictions "
    "fingerprint accuracy DP DI SPSF FPSF EOFP EOTP BA attribute",
    text="technique training arm noise kind status fit initial_weights first_batch final_weights predictions "
    "fingerprint attribute",
    integer="seed run",
)
SUMMARY = _schema(
    "technique arm seed reading attribute metric target n n_undefined_max mean mean_low mean_high sd sd_low sd_high "
    "interval_method max min maxdiff relative_maxdiff note group",
    text="technique arm reading attribute metric target interval_method note",
    integer="seed n n_undefined_max group",
)
COMPARISONS = _schema(
    "technique baseline arm seed reading attribute metric n_classes dropped_classes n_baseline n_technique "
    "mean_baseline mean_technique difference difference_low difference_high smallest_effect verdict u p_mean "
    "p_mean_smallest p_mean_holm p_mean_bh p_mean_by sd_baseline sd_technique p_variance_raw p_variance_relative "
    "p_variance_raw_holm p_variance_raw_bh p_variance_raw_by d d_low d_high power_mean power_variance family_size "
    "redundant_with reversal reversal_low reversal_high reversal_note scope fit note design difference_bound_low "
    "difference_bound_high stopped_predicting alpha procedures",
    text="technique baseline arm reading attribute metric dropped_classes verdict redundant_with reversal_note scope "
    "fit note design stopped_predicting procedures",
    integer="seed n_classes n_baseline n_technique family_size",
)
RISK = _schema(
    "technique arm seed attribute target rule retraining n n_undefined violated p_violated p_violated_low "
    "p_violated_high p_disagree p_disagree_low p_disagree_high ratio_mean ratio_min ratio_max interval worst_of "
    "p_violated_low_bonferroni p_violated_high_bonferroni fit note",
    text="technique arm attribute rule retraining interval fit note",
    integer="seed target n n_undefined violated worst_of",
)
SCHEMAS = {"runs": RUNS, "summary": SUMMARY, "comparisons": COMPARISONS, "risk": RISK}

# The power of the variance test is simulated from this seed and both n, so the order of rows cannot matter.
POWER_SEED = 2006
# of a redundant metric, taken from the metric that it repeats
SHARED_WITH_REPEATED = (
    "u", "p_mean", "p_mean_smallest", "p_mean_holm", "p_mean_bh", "p_mean_by", "p_variance_raw", "p_variance_relative",
    "p_variance_raw_holm", "p_variance_raw_bh", "p_variance_raw_by",
)  # fmt: skip

Json = dict[str, Any]
CheckFit = Callable[[Sequence[Json], str, str], Any]


# Tables


def concatenate(frames: Mapping[str, pd.DataFrame], plan: Json) -> pd.DataFrame:
    """The long tables ``frames`` (technique -> metrics) as one, in plan order; techniques without one are left out."""
    ordered = [frames[t["technique"]] for t in plan["techniques"] if t["technique"] in frames]
    return pd.concat(ordered, ignore_index=True) if ordered else pd.DataFrame()


def runs(
    metrics: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """One row per technique, main arm, run and protected attribute: status, digests (16 hex), overall values.

    Planned runs without evidence are "missing"; without any evidence (predictions made elsewhere) the runs are those
    that have metrics. ``fit`` is "yes", "no" or "unknown". ``check_fit``: see `fitlib.identity.check_fit`.
    """
    known, overall = _Evidence(evidence, check_fit), _overall_by_run(metrics, plan)
    rows = [
        _run_row(technique, arm, run, attribute, known, overall)
        for technique in plan["techniques"]
        for arm in _main_arms(plan)
        for run in _run_numbers(technique, arm, known, overall)
        for attribute in plan["groups"]
    ]
    return _frame(rows, RUNS)


def summary(metrics: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Mean and SD over runs with 95 % intervals, extremes and MaxDiff, per technique, arm, attribute, metric, target.

    ``target`` is "overall" or the class number; accuracy stands overall and per ``group``. ``n`` counts the runs where
    the value is defined, ``n_undefined_max`` the most classes undefined in one run (of a class: 1 if ever undefined).
    """
    series = _series(metrics, plan)
    columns = _described(series.values)
    columns["n_undefined_max"] = np.maximum(series.undefined, (series.counts > columns["n"]).astype(np.int64))
    numbers = (columns["n"].tolist(), series.counts.tolist(), columns["sd"].tolist())
    columns["note"] = [_summary_note(*row) for row in zip(*numbers, strict=True)]
    return _frame({**_summary_keys(series, plan), **columns}, SUMMARY)


def comparisons(
    metrics: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """Each technique against its baseline, per main arm, attribute and metric; difference = technique - baseline.

    Overall values are means over the classes that are defined in every run of both. Families (mean; variance): all
    comparisons of the experiment x distinct metrics; a redundant metric shows the p-values of the metric that it
    repeats. Bit-identical arms enter no test; arms that are not FIT get the verdict "not FIT". Accuracy is outside the
    families. Techniques that share the baseline's training are compared paired by run.
    """
    pairs = list(_pairs(_blocks(_series(metrics, plan)), plan, _Evidence(evidence, check_fit)))
    table = _frame([_comparison_row(pair, plan) for pair in pairs], COMPARISONS)
    family, repeated = _family(pairs, plan)
    _correct(table, family, repeated)
    _add_power(table, plan["analysis"])
    _add_notes(table, plan["analysis"]["alpha"])
    return _frame(table, COMPARISONS)


def risk(
    counts: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """Four fifths per technique, main arm, attribute and class over runs, with exact intervals.

    ``rule`` is "four-fifths" for the declared favourable class, else "landmark 0.8" (a numerical landmark without pass
    or fail). Probabilities are over retraining with the same seed. The Bonferroni interval holds for the worst of all
    classes and techniques (``worst_of``). Bit-identical predictions get no interval.
    """
    known, selections = _Evidence(evidence, check_fit), _selections(counts, plan)
    rows = [
        _risk_row(technique, arm, attribute, target, selections, plan, known)
        for technique in plan["techniques"]
        for arm in _main_arms(plan)
        for attribute in plan["groups"]
        for target in range(len(plan["classes"]))
        if (technique["technique"], arm["arm"], attribute) in selections
    ]
    return _frame(rows, RISK)


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """``frame`` as CSV: UTF-8, LF, no index, floats that read back exactly, missing values empty."""
    frame.to_csv(path, index=False, encoding="utf-8", lineterminator="\n", na_rep="")


def read_csv(path: str | Path, table: str) -> pd.DataFrame:
    """A table written by `write_csv`, equal to what was written; ``table`` is a key of `SCHEMAS`."""
    text = pd.read_csv(path, dtype="str", keep_default_na=False).astype("object")
    numbers = [column for column, dtype in SCHEMAS[table].items() if dtype != "str"]
    # Python's float() reads back exactly; pandas' own parser did not in every version
    text[numbers] = text[numbers].replace("", np.nan).astype("float64")
    return _frame(text, SCHEMAS[table])


# The long table


@dataclass(frozen=True)
class _Series:
    """The long table as one row per technique, arm, attribute, metric, target and group, with the runs side by side."""

    keys: dict[str, np.ndarray]  # each (rows,): positions in the plan; target and group -1 where null
    values: np.ndarray  # (rows, runs), NaN where undefined or where a technique has fewer runs
    runs: np.ndarray  # (rows, runs), run numbers, -1 where a technique has fewer runs
    undefined: np.ndarray  # (rows,), the most undefined classes in one run

    @cached_property
    def counts(self) -> np.ndarray:
        return (self.runs >= 0).sum(axis=1)


def _series(metrics: pd.DataFrame, plan: Json) -> _Series:
    chosen = _declared(metrics, plan)
    keys = _keys(chosen, plan)
    kept = np.logical_and.reduce([keys[name] >= 0 for name in ("technique", "arm", "attribute", "metric")])
    order = np.lexsort([keys[name][kept] for name in reversed(keys)])
    keys = {name: code[kept][order] for name, code in keys.items()}
    run = keys.pop("run")
    stacked = np.stack(list(keys.values()))
    first = np.ones(run.size, dtype=bool)
    first[1:] = (stacked[:, 1:] != stacked[:, :-1]).any(axis=0)
    return _side_by_side({name: code[first] for name, code in keys.items()}, first, run, chosen[kept].iloc[order])


def _side_by_side(keys: dict[str, np.ndarray], first: np.ndarray, run: np.ndarray, chosen: pd.DataFrame) -> _Series:
    row, starts = np.cumsum(first) - 1, np.flatnonzero(first)
    column = np.arange(run.size) - starts[row]
    shape = (starts.size, int(column.max()) + 1 if run.size else 0)
    values, numbers = np.full(shape, np.nan), np.full(shape, -1, dtype=np.int64)
    values[row, column], numbers[row, column] = chosen["value"].to_numpy(np.float64), run
    undefined = _integers(chosen["n_undefined"], 0)
    return _Series(keys, values, numbers, np.maximum.reduceat(undefined, starts) if run.size else undefined)


def _declared(metrics: pd.DataFrame, plan: Json) -> pd.DataFrame:
    """Rows of the declared reading; accuracy from whichever reading carries it."""
    reading = plan["analysis"]["reading"]
    accuracy, declared = metrics["metric"] == "accuracy", metrics["reading"] == reading
    if len(metrics) and not (declared & ~accuracy).any():
        remedy = "declare reading: strict (the published formulas are for two groups only)"
        raise InputError("plan", "analysis.reading", reading, "the metrics have no such reading", remedy)
    return metrics[np.where(accuracy, metrics["reading"] == _accuracy_reading(metrics, reading), declared)]


def _accuracy_reading(metrics: pd.DataFrame, declared: str) -> str:
    present = metrics.loc[metrics["metric"] == "accuracy", "reading"].unique()
    return declared if declared in present or not len(present) else present[0]


def _keys(chosen: pd.DataFrame, plan: Json) -> dict[str, np.ndarray]:
    """Sorting keys, most significant first: plan order, metrics in their order, overall before classes and groups."""
    orders = {
        "technique": [t["technique"] for t in plan["techniques"]],
        "arm": [arm["arm"] for arm in _main_arms(plan)],
        "attribute": list(plan["groups"]),
        "metric": list(METRICS),
    }
    keys = {name: pd.Index(order).get_indexer(chosen[name]) for name, order in orders.items()}
    return keys | {name: _integers(chosen[name], -1) for name in ("target", "group", "run")}


def _integers(column: pd.Series, missing: int) -> np.ndarray:
    return column.astype("Int64").fillna(missing).to_numpy(np.int64)


def _integer_column(numbers: np.ndarray, present: np.ndarray) -> pd.arrays.IntegerArray:
    return pd.arrays.IntegerArray(numbers.astype(np.int64), ~present)


def _main_arms(plan: Json) -> list[Json]:
    return [arm for arm in plan["arms"] if arm["role"] == "main"]


# Evidence


class _Evidence:
    """What the evidence says of a training's runs in an arm; each question is put once."""

    def __init__(self, evidence: Sequence[Json], check_fit: CheckFit | None):
        self.all = list(evidence)
        self.by_run = {(e["training"], e["arm"], e["run"]): e for e in self.all if e.get("role", "main") == "main"}
        self._check, self._identities = check_fit, {}

    def identity(self, training: str, arm: str) -> Any:
        if (training, arm) not in self._identities:
            self._identities[training, arm] = (self._check or _check_fit())(self.all, training, arm)
        return self._identities[training, arm]

    def fit(self, technique: Json, arm: Json) -> str:
        return {True: "yes", False: "no", None: "unknown"}[self.identity(technique["training"], arm["arm"]).fit]

    def bit_identical(self, technique: Json, arm: Json) -> str:
        """The sentence that says so, if the digests of all runs' predictions (or else of their weights) are one."""
        arm_runs = (e for (*where, _), e in self.by_run.items() if where == [technique["training"], arm["arm"]])
        done = [e for e in arm_runs if e["status"] == "done"]
        predictions = [(e.get("predictions") or {}).get(technique["technique"]) for e in done]
        for what, digests in (("predictions", predictions), ("final weights", [e.get("final_weights") for e in done])):
            if len(digests) > 1 and all(digests):
                same = f"{what} bit-identical in {len(done)} of {len(done)} runs (SHA-256)"
                return same if len(set(digests)) == 1 else ""
        return ""


def _check_fit() -> CheckFit:
    from fitlib.identity import check_fit

    return check_fit


# Runs


def _overall_by_run(metrics: pd.DataFrame, plan: Json) -> dict[tuple[str, str, str, int], dict[str, float]]:
    """(technique, arm, attribute, run) -> metric -> overall value."""
    series, found = _series(metrics, plan), {}
    overall = (series.keys["target"] == -1) & (series.keys["group"] == -1)
    for row in np.flatnonzero(overall):
        technique, arm, attribute, metric = _names(series, row, plan)
        for run, value in zip(series.runs[row], series.values[row], strict=True):
            if run >= 0:
                found.setdefault((technique, arm, attribute, int(run)), {})[metric] = float(value)
    return found


def _names(series: _Series, row: int, plan: Json) -> tuple[str, str, str, str]:
    return (
        plan["techniques"][series.keys["technique"][row]]["technique"],
        _main_arms(plan)[series.keys["arm"][row]]["arm"],
        list(plan["groups"])[series.keys["attribute"][row]],
        METRICS[series.keys["metric"][row]],
    )


def _run_numbers(technique: Json, arm: Json, known: _Evidence, overall: Mapping) -> list[int]:
    numbers = {run for name, arm_name, _, run in overall if (name, arm_name) == (technique["technique"], arm["arm"])}
    if known.all:
        numbers |= set(range(arm["runs"]))
        numbers |= {run for *where, run in known.by_run if where == [technique["training"], arm["arm"]]}
    return sorted(numbers)


def _run_row(technique: Json, arm: Json, run: int, attribute: str, known: _Evidence, overall: Mapping) -> Json:
    record = known.by_run.get((technique["training"], arm["arm"], run), {})
    values = overall.get((technique["technique"], arm["arm"], attribute, run), {})
    parts = record.get("parts") or {}
    digests = {
        "initial_weights": parts.get("initial weights"),
        "first_batch": parts.get("first batch"),
        "final_weights": record.get("final_weights"),
        "predictions": (record.get("predictions") or {}).get(technique["technique"]),
        "fingerprint": record.get("fingerprint"),
    }
    status = record.get("status") or ("done" if values else "missing")
    keys = {"technique": technique["technique"], "training": technique["training"], "run": run, "attribute": attribute}
    keys |= {"status": status, "fit": known.fit(technique, arm)} | {k: arm[k] for k in ("arm", "noise", "kind", "seed")}
    return keys | {name: (digest or "")[:16] for name, digest in digests.items()} | values


# Summary


def _described(values: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of (rows, runs) over the defined values of each row; rows with equally many go together."""
    defined = ~np.isnan(values)
    n = defined.sum(axis=1)
    names = ("mean", "mean_low", "mean_high", "sd", "sd_low", "sd_high", "max", "min")
    columns = {name: np.full(len(values), np.nan) for name in names}
    for size in np.unique(n[n > 0]):
        rows = np.flatnonzero(n == size)
        x = values[rows][defined[rows]].reshape(rows.size, size)
        described = (*st.mean_intervals(x), *st.sd_intervals(x), x.max(axis=1), x.min(axis=1))
        for name, column in zip(names, described, strict=True):
            columns[name][rows] = column
    maxdiff, mean = columns["max"] - columns["min"], columns["mean"]
    relative = np.divide(maxdiff, mean, out=np.full(len(values), np.nan), where=mean != 0)
    return {"n": n, **columns, "maxdiff": maxdiff, "relative_maxdiff": relative}


def _summary_keys(series: _Series, plan: Json) -> Json:
    keys, arms = series.keys, _main_arms(plan)
    target, group = keys["target"], keys["group"]
    return {
        "technique": _take([t["technique"] for t in plan["techniques"]], keys["technique"]),
        "arm": _take([arm["arm"] for arm in arms], keys["arm"]),
        "seed": _take([arm["seed"] for arm in arms], keys["arm"]),
        "reading": [plan["analysis"]["reading"]] * target.size,
        "attribute": _take(list(plan["groups"]), keys["attribute"]),
        "metric": _take(METRICS, keys["metric"]),
        "target": ["overall" if t < 0 else str(t) for t in target.tolist()],
        "group": _integer_column(group, group >= 0),
        "interval_method": ["mean: Student t; SD: Bonett (2006); 95 %"] * target.size,
    }


def _take(names: Sequence, positions: np.ndarray) -> list:
    return [names[i] for i in positions.tolist()]


def _summary_note(n: int, of: int, sd: float) -> str:
    undefined = f"undefined in {of - n} of {of} runs" if n < of else ""
    if n < 2:
        why = "no run is defined" if n == 0 else "fewer than 2 runs"
        return _joined(st.NOT_ESTIMABLE + why, undefined)
    if sd == 0:
        return _joined(f"constant in all {n} runs", undefined)
    return _joined(f"interval of the SD {st.NOT_ESTIMABLE}fewer than 5 runs" if n < 5 else "", undefined)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


# Comparisons


@dataclass(frozen=True)
class _Block:
    """One metric of one technique in one arm: runs (runs,), classes (runs, classes), overall (runs,)."""

    runs: np.ndarray
    classes: np.ndarray
    overall: np.ndarray

    def at(self, runs: np.ndarray) -> "_Block":
        rows = np.flatnonzero(np.isin(self.runs, runs))
        return _Block(self.runs[rows], self.classes[rows], self.overall[rows])


_NOTHING = _Block(np.empty(0, dtype=np.int64), np.empty((0, 0)), np.empty(0))


@dataclass(frozen=True)
class _Pair:
    """A baseline and a technique on one metric, with what the evidence says of both."""

    technique: Json
    baseline: Json
    arm: Json
    attribute: str
    metric: str
    b: _Block
    t: _Block
    stopped: np.ndarray  # (classes,) bool, predicted in fewer runs of the technique than of the baseline
    fit: str
    note: str
    bit_identical: bool

    @property
    def paired(self) -> bool:
        return self.technique["training"] == self.baseline["training"]

    @cached_property
    def common(self) -> np.ndarray:
        """(classes,) bool: defined in every run of both."""
        both = [block.classes for block in (self.b, self.t) if block.runs.size]
        return ~np.isnan(np.concatenate(both)).any(axis=0) if both else np.zeros(0, dtype=bool)

    @cached_property
    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Overall values of both, (runs,) each, over common classes; empty where there is none."""
        if self.metric == "accuracy":
            return self.b.overall, self.t.overall
        if not (self.common.any() and self.b.runs.size and self.t.runs.size):
            return np.empty(0), np.empty(0)
        return self.b.classes[:, self.common].mean(axis=1), self.t.classes[:, self.common].mean(axis=1)

    def verdict(self, found: str) -> str:
        """`found`, unless there is nothing to judge (accuracy) or the runs may not be called FIT."""
        if self.metric == "accuracy":
            return ""
        return "not FIT" if self.fit == "no" else found


def _blocks(series: _Series) -> dict[tuple[int, int, int, int], _Block]:
    """(technique, arm, attribute, metric) as positions -> values; per-group rows are left out."""
    keys, blocks = series.keys, {}
    names = np.stack([keys[name] for name in ("technique", "arm", "attribute", "metric")], axis=1)
    rows = np.flatnonzero(keys["group"] == -1)
    starts = np.flatnonzero(np.r_[True, (names[rows][1:] != names[rows][:-1]).any(axis=1)]) if rows.size else rows
    for part in np.split(rows, starts[1:]) if rows.size else []:
        n = int(series.counts[part[0]])
        classes = series.values[part[keys["target"][part] >= 0], :n].T
        overall = series.values[part[keys["target"][part] == -1], :n]
        blocks[tuple(names[part[0]].tolist())] = _Block(
            series.runs[part[0], :n], classes, overall[0] if len(overall) else np.full(n, np.nan)
        )
    return blocks


def _pairs(blocks: Mapping, plan: Json, known: _Evidence) -> Iterator[_Pair]:
    position = {t["technique"]: i for i, t in enumerate(plan["techniques"])}
    compared = [(t, technique) for t, technique in enumerate(plan["techniques"]) if technique["baseline"] is not None]
    for t, technique in compared:
        b = position[technique["baseline"]]
        baseline = plan["techniques"][b]
        for a, arm in enumerate(_main_arms(plan)):
            said = _said(baseline, technique, arm, known)
            for g, attribute in enumerate(plan["groups"]):
                both = [[blocks.get((i, a, g, m), _NOTHING) for m in range(len(METRICS))] for i in (b, t)]
                stopped = _stopped(both[0][METRICS.index("DI")], both[1][METRICS.index("DI")])
                for m, metric in enumerate(METRICS):
                    samples = _same_runs(both[0][m], both[1][m], baseline["training"] == technique["training"])
                    yield _Pair(technique, baseline, arm, attribute, metric, *samples, stopped, *said)


def _same_runs(b: _Block, t: _Block, paired: bool) -> tuple[_Block, _Block]:
    return (b.at(t.runs), t.at(b.runs)) if paired else (b, t)


def _said(baseline: Json, technique: Json, arm: Json, known: _Evidence) -> tuple[str, str, bool]:
    """Of both together: fit ("no" before "unknown" before "yes"), what to note, and whether either is bit-identical."""
    fits, notes, identical = [], [], False
    for role, one in (("baseline", baseline), ("technique", technique)):
        fits.append(known.fit(one, arm))
        if fits[-1] == "no":
            notes.append(f"{role} not FIT: {known.identity(one['training'], arm['arm']).text}")
        same = known.bit_identical(one, arm)
        notes += [f"{role}: {same}; enters no test"] if same else []
        identical |= bool(same)
    return next(fit for fit in ("no", "unknown", "yes") if fit in fits), "; ".join(notes), identical


def _stopped(b: _Block, t: _Block) -> np.ndarray:
    """Classes predicted in a smaller share of runs than by the baseline: DI is undefined where nobody is predicted."""
    if not b.runs.size or not t.runs.size:
        return np.zeros(0, dtype=bool)
    return np.isnan(t.classes).mean(axis=0) > np.isnan(b.classes).mean(axis=0)


def _comparison_row(pair: _Pair, plan: Json) -> Json:
    b, t = pair.samples
    row = _comparison_keys(pair, plan) | {"n_baseline": pair.b.runs.size, "n_technique": pair.t.runs.size}
    if not (b.size and t.size):
        return row | {"verdict": pair.verdict("not estimable"), "note": _why_not(pair)}
    row |= {"mean_baseline": float(st.means(b)), "mean_technique": float(st.means(t))}
    row |= {"sd_baseline": float(st.sds(b)), "sd_technique": float(st.sds(t))} | _class_bounds(pair)
    row["difference"] = row["mean_technique"] - row["mean_baseline"]
    if pair.bit_identical:
        return row | {"verdict": pair.verdict("not estimable")}
    tests, procedures = _tests(b, t, pair.paired)
    return row | tests | _effects(b, t, pair, plan["analysis"]["smallest_effect"], procedures)


def _comparison_keys(pair: _Pair, plan: Json) -> Json:
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
    if bias:
        keys |= {"n_classes": int(pair.common.sum()), "dropped_classes": _listed(names, ~pair.common)}
        keys |= {"smallest_effect": analysis["smallest_effect"]}
    return keys


def _listed(names: Sequence[str], chosen: np.ndarray) -> str:
    return "; ".join(str(names[i]) for i in np.flatnonzero(chosen))


def _why_not(pair: _Pair) -> str:
    nothing = not (pair.b.runs.size and pair.t.runs.size)
    why = "no runs" if nothing else "no class is defined in every run of both"
    return _joined(pair.note, st.NOT_ESTIMABLE + why)


def _class_bounds(pair: _Pair) -> Json:
    """Smallest and largest difference over all classes, with each undefined value anywhere in [0, 1]."""
    if pair.metric == "accuracy":
        return {}
    (b_low, b_high), (t_low, t_high) = (
        [float(np.where(np.isnan(x), fill, x).mean()) for fill in (0.0, 1.0)] for x in (pair.b.classes, pair.t.classes)
    )
    return {"difference_bound_low": t_low - b_high, "difference_bound_high": t_high - b_low}


def _tests(b: np.ndarray, t: np.ndarray, paired: bool) -> tuple[Json, str]:
    """The tests' columns, and the names of their procedures."""
    mean = st.signed_rank_exact(b, t) if paired else st.mann_whitney_exact(b, t)
    raw, relative = st.brown_forsythe(b, t), st.brown_forsythe(b, t, relative=True)
    columns = {
        "u": mean.statistic,
        "p_mean": mean.p,
        "p_mean_smallest": mean.smallest_p,
        "p_variance_raw": raw.p,
        "p_variance_relative": relative.p,
    }
    return columns, f"p_mean: {mean.method}; p_variance_raw: {raw.method}"


def _effects(b: np.ndarray, t: np.ndarray, pair: _Pair, smallest_effect: float, procedures: str) -> Json:
    difference = st.paired_difference(b, t) if pair.paired else st.welch(b, t)
    d, reversal = st.cohens_d(b, t), risks.verdict_reversal(b, t)
    row = {"difference": difference.value, "difference_low": difference.low, "difference_high": difference.high}
    row |= {"d": d.value, "d_low": d.low, "d_high": d.high} if not pair.paired else {}
    row["note"] = _joined(pair.note, difference.note)
    intervals = f"95 % intervals: difference {difference.method}" + ("" if pair.paired else f", d {d.method}")
    row["procedures"] = f"{intervals}; {procedures}"
    row["verdict"] = pair.verdict(st.verdict(b, t, smallest_effect, paired=pair.paired))
    return row | (_reversal(reversal, pair) if pair.metric != "accuracy" else {})


def _reversal(reversal: st.Estimate, pair: _Pair) -> Json:
    if pair.paired or pair.fit == "no":
        why = "runs are not FIT" if pair.fit == "no" else "not computed for techniques that share one training"
        return {"reversal_note": why}
    columns = {"reversal": reversal.value, "reversal_low": reversal.low, "reversal_high": reversal.high}
    return columns | {"reversal_note": reversal.note or reversal.method}


# Families


def _family(pairs: Sequence[_Pair], plan: Json) -> tuple[list[str], dict[str, str]]:
    """The distinct metrics of the declared family, and each redundant one with the metric that it repeats."""
    declared = plan["analysis"].get("family") or BIAS_METRICS
    values = {metric: _stacked(pairs, metric) for metric in BIAS_METRICS if metric in declared}
    repeated = st.redundant_metrics(values)
    return [metric for metric in values if metric not in repeated], repeated


def _stacked(pairs: Sequence[_Pair], metric: str) -> np.ndarray:
    """Overall values of one metric in all comparisons; NaN where it cannot be compared, so all metrics are alike."""
    stacked = [np.empty(0)]
    for pair in pairs:
        if pair.metric == metric:
            n, values = pair.b.runs.size + pair.t.runs.size, np.concatenate(pair.samples)
            stacked.append(values if values.size == n else np.full(n, np.nan))
    return np.concatenate(stacked)


def _correct(table: pd.DataFrame, family: Sequence[str], repeated: Mapping[str, str]) -> None:
    """Fills the corrected p-values of both families, the family's size, and what redundant metrics share."""
    member = table["metric"].isin(family).to_numpy()
    corrections = {"holm": st.holm, "bh": st.benjamini_hochberg, "by": st.benjamini_yekutieli}
    for p in ("p_mean", "p_variance_raw"):
        within = table[p].where(member).to_numpy()
        for suffix, correct in corrections.items():
            table[f"{p}_{suffix}"] = correct(within)
    counted = member | table["metric"].isin(list(repeated)).to_numpy()
    size = int((member & table["p_mean"].notna()).sum())
    table["family_size"] = _integer_column(np.full(len(table), size), counted)
    table["redundant_with"] = [repeated.get(metric, "") for metric in table["metric"]]
    _share(table, repeated)


def _share(table: pd.DataFrame, repeated: Mapping[str, str]) -> None:
    """Rows of a comparison stand together, one per metric, so the repeated metric is at a fixed distance."""
    for metric, first in repeated.items():
        rows = np.flatnonzero(table["metric"] == metric)
        sources = rows - METRICS.index(metric) + METRICS.index(first)
        columns = [table.columns.get_loc(name) for name in SHARED_WITH_REPEATED]
        table.iloc[rows, columns] = table.iloc[sources, columns].to_numpy()


def _add_power(table: pd.DataFrame, analysis: Json) -> None:
    """Power for the declared effect, and for an SD ratio of 1.5, at the corrected alpha (Holm's first step)."""
    simulated: dict[tuple[int, int], float] = {}
    tested = table["family_size"].notna() & table["p_mean"].notna()
    for i, row in zip(table.index[tested], table[tested].to_dict("records"), strict=True):
        n, alpha = (row["n_baseline"], row["n_technique"]), analysis["alpha"] / row["family_size"]
        if n not in simulated:
            simulated[n] = st.power_variance(*n, alpha, rng=np.random.default_rng([POWER_SEED, *n]))
        mean = st.power_mean(analysis["smallest_effect"], row["sd_baseline"], row["sd_technique"], *n, alpha)
        table.at[i, "power_mean"] = np.nan if mean is None else mean
        table.at[i, "power_variance"] = simulated[n]


def _add_notes(table: pd.DataFrame, alpha: float) -> None:
    table["note"] = [_joined(row["note"], *_test_notes(row, alpha)) for row in table.to_dict("records")]


def _test_notes(row: Json, alpha: float) -> Iterator[str]:
    corrected = not pd.isna(row["family_size"])
    if row["metric"] == "accuracy":
        yield "outside the family"
    elif not corrected:
        yield "outside the declared family"
    smallest = row["p_mean_smallest"]
    if smallest > alpha:
        yield "no test possible at this n"
    elif corrected and smallest * row["family_size"] > alpha:
        yield "smallest attainable p x family size exceeds alpha"
    if not pd.isna(row["p_mean"]) and pd.isna(row["p_variance_raw"]):
        yield "variance test not estimable"


# Risk


def _selections(counts: pd.DataFrame, plan: Json) -> dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]:
    """(technique, arm, attribute) -> selected int (runs, groups, classes), size int (groups, classes)."""
    found = {}
    for key, part in counts.groupby(["technique", "arm", "attribute"], sort=False):
        runs_, row = np.unique(part["run"].to_numpy(np.int64), return_inverse=True)
        shape = (runs_.size, len(plan["groups"][key[2]]), len(plan["classes"]))
        found[key] = _label_selection(part, row, shape) if "tp" in part else _class_selection(part, row, shape)
    return found


def _class_selection(part: pd.DataFrame, row: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    selected = np.zeros(shape, dtype=np.int64)
    group, predicted = part["group"].to_numpy(np.int64), part["predicted"].to_numpy(np.int64)
    np.add.at(selected, (row, group, predicted), part["n"].to_numpy(np.int64))
    size = selected[0].sum(axis=1)
    return selected, np.repeat(size[:, None], shape[2], axis=1)


def _label_selection(part: pd.DataFrame, row: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    selected, size = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    at = (row, part["group"].to_numpy(np.int64), part["target"].to_numpy(np.int64))
    np.add.at(selected, at, (part["tp"] + part["fp"]).to_numpy(np.int64))
    np.add.at(size, at, (part["tp"] + part["fp"] + part["fn"] + part["tn"]).to_numpy(np.int64))
    return selected, size[0]


def _risk_row(
    technique: Json, arm: Json, attribute: str, target: int, selections: Mapping, plan: Json, known: _Evidence
) -> Json:
    selected, size = selections[technique["technique"], arm["arm"], attribute]
    below, defined = risks.below_four_fifths(selected[:, :, target], size[:, target])
    k, n, same = int(below.sum()), int(defined.sum()), known.bit_identical(technique, arm)
    worst_of = len(plan["techniques"]) * len(plan["classes"])
    favourable = plan["analysis"]["favourable"] == target
    row = {"technique": technique["technique"], "arm": arm["arm"], "seed": arm["seed"], "attribute": attribute}
    row |= {"target": target, "rule": "four-fifths" if favourable else "landmark 0.8", "retraining": "same seed"}
    row |= {"n": n, "n_undefined": int((~defined).sum()), "violated": k, "worst_of": worst_of}
    row |= _ratios(risks.impact_ratio(selected[:, :, target], size[:, target]))
    row["fit"], row["p_violated"] = known.fit(technique, arm), risks.clopper_pearson(k, n).value
    row["note"] = _joined(same and f"{same}: no interval", st.NOT_ESTIMABLE + "nobody is selected" if n == 0 else "")
    return row if same else row | _risk_intervals(k, n, worst_of)


def _ratios(ratio: np.ndarray) -> Json:
    ratio = ratio[~np.isnan(ratio)]
    if not ratio.size:
        return {}
    return dict(zip(("ratio_mean", "ratio_min", "ratio_max"), (st.means(ratio), ratio.min(), ratio.max()), strict=True))


def _risk_intervals(k: int, n: int, worst_of: int) -> Json:
    violated, differ = risks.clopper_pearson(k, n), risks.disagreement(k, n)
    worst = risks.clopper_pearson(k, n, 1 - 0.05 / worst_of)
    return {
        "p_violated_low": violated.low,
        "p_violated_high": violated.high,
        "p_disagree": differ.value,
        "p_disagree_low": differ.low,
        "p_disagree_high": differ.high,
        "interval": "Clopper-Pearson 95 %",
        "p_violated_low_bonferroni": worst.low,
        "p_violated_high_bonferroni": worst.high,
    }


# Frames


def _frame(rows: Sequence[Json] | Json | pd.DataFrame, schema: Mapping[str, str]) -> pd.DataFrame:
    """``rows`` with the columns and dtypes of ``schema``; missing text is empty, -0.0 is 0.0."""
    frame = pd.DataFrame(rows, columns=list(schema))
    for column, dtype in schema.items():
        values = frame[column]
        if dtype == "str":
            values = values.astype("object").where(values.notna(), "")
        frame[column] = values.astype(dtype)
        if dtype == "float64":
            frame[column] += 0.0
    return frame
