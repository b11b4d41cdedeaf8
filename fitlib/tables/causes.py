"""The tables "causes", "cause_tests" and "cause_churn": how much each noise or seed spreads the metrics.

Pandas frames in, pandas frames out; see `fitlib.tables.runs_and_summary` for plan and evidence. Causes are compared,
never added up: variances of single causes do not sum to that of all together. Compared are the arms of the first seed
except the control arm; runs of one arm on different hardware are kept apart, as if they were different arms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fitlib.statistics import estimates as st
from fitlib.statistics import power
from fitlib.statistics import significance as sig
from fitlib.statistics.run_identity import BY_DESIGN, check_control, differing_parts, distinct_results, finished_runs
from fitlib.tables.comparisons import POWER_SEED, MetricValues, declared_metrics, values_by_key
from fitlib.tables.individuals import individuals
from fitlib.tables.metric_series import main_arms, metrics_of, series_of
from fitlib.tables.schemas import CAUSE_CHURN, CAUSE_TESTS, CAUSES, Json, join_notes, table_of
from fitlib.tables.verdict_families import repeated_metrics

FACTOR = ("machine", "gpu")  # parts that name the hardware
IMPLEMENTATION, ALGORITHM, BOTH, CONTROL = "implementation", "algorithm", "both", "control"
FEWEST = 5  # distinct results without which a spread enters no test
PAIR, OMNIBUS = "pair", "omnibus"
Run = Mapping[str, Any]  # evidence of a run
ALL_ARMS, FIT_ARMS, ULP_ARMS = "all arms", "implementation noises", "ulp at every step and size"


@dataclass(frozen=True)
class Spread:
    """Overall values (runs,) of a metric, over the classes that are defined in every run of all arms compared."""

    technique: str
    arm: Json
    hardware: str
    attribute: str
    metric: str
    n_classes: int
    values: np.ndarray
    distinct: int  # different results (digests) among the runs; -1 where they are unknown
    fit: str  # yes | by design (a seed differs) | no | unknown
    note: str

    @property
    def label(self) -> str:
        """The arm, with its hardware where there are several."""
        return f"{self.arm['arm']} on {self.hardware}" if self.hardware else self.arm["arm"]

    @property
    def tested(self) -> bool:
        """Whether the spread enters tests."""
        return self.fit != "no" and self.values.size >= 3 and (self.distinct < 0 or self.distinct >= FEWEST)


def view(arm: Mapping) -> str:
    """Return the source of randomness that an arm leaves open: algorithm, implementation or both.

    After Zhuang et al. (MLSys 2022). "control" for control arms, "" for arms that isolate one purpose of the seed.

    >>> view({"noise": "seed", "options": {"implementation": "none"}, "kind": "comparison"})
    'algorithm'
    """
    if arm["noise"] == "seed":
        return ALGORITHM if arm["options"].get("implementation", "none") == "none" else BOTH
    kinds = {"control": CONTROL, "real": IMPLEMENTATION, "emulated": IMPLEMENTATION}
    return kinds.get(arm["kind"], "")


def compared_arms(plan: Json) -> list[Json]:
    """Return the first main arm and the arms of role cause, in plan order."""
    return [*main_arms(plan)[:1], *(arm for arm in plan["arms"] if arm["role"] == "cause")]


def causes(metrics: pd.DataFrame, plan: Json, evidence: Sequence[Json] = ()) -> pd.DataFrame:
    """Return mean and SD with 95 % interval per technique, arm (and hardware, where it differs), attribute and metric.

    ``distinct``: different final weights and predictions among the n runs, the effective n. ``view``: see `view`. The
    control arm has one row per technique and enters no test. Empty for a single arm on a single hardware.
    """
    spreads = spreads_of(metrics, plan, evidence)
    rows = [_cause_row(spread) for spread in spreads]
    control = [_control_row(t, arm, evidence) for t in plan["techniques"] for arm in _controls(plan)] if rows else []
    return table_of([*rows, *control], CAUSES)


def cause_tests(metrics: pd.DataFrame, plan: Json, evidence: Sequence[Json] = ()) -> pd.DataFrame:
    """Test the spreads of every pair of arms, and of k arms at once ("omnibus"): Brown-Forsythe on raw values.

    Corrected together are all pairs, and all omnibus tests, of the experiment's distinct metrics. ``power``: for an SD
    ratio of 1.5 (omnibus: of one arm against the others) at the corrected level. A redundant metric, an arm with fewer
    than `FEWEST` distinct results and one that is not FIT enter no test; arms of kind comparison do, since
    implementation noise is compared with them.
    """
    spreads = spreads_of(metrics, plan, evidence)
    repeated = _redundant(spreads, plan)
    distinct = [metric for metric in declared_metrics(plan["analysis"]) if metric not in repeated]
    chosen = [spread for spread in spreads if spread.metric in distinct]
    rows = [row for group in _groups(chosen) for row in _tests(group, plan["analysis"]["alpha"])]
    table = table_of(rows, CAUSE_TESTS)
    for test in (OMNIBUS, PAIR):
        _correct(table, test, plan["analysis"]["alpha"])
    return table_of(table, CAUSE_TESTS)


def cause_churn(persons: pd.DataFrame, plan: Json, evidence: Sequence[Json] = ()) -> pd.DataFrame:
    """Return churn by arm and group (missing: all), within true classes, as `fitlib.tables.individuals` computes it."""
    if len(compared_arms(plan)) < 2:
        return table_of([], CAUSE_CHURN)
    arms = {arm["arm"]: arm for arm in compared_arms(plan)}
    table = individuals(persons, _all_main(plan), _all_main_evidence(evidence))
    table = table[(table["target"] == "overall") & table["arm"].isin(list(arms))]
    keys = {name: table["arm"].map({a: arm[name] for a, arm in arms.items()}) for name in ("noise", "kind")}
    return table_of(table.assign(**keys), CAUSE_CHURN)


# Spreads


def spreads_of(metrics: pd.DataFrame, plan: Json, evidence: Sequence[Json] = ()) -> list[Spread]:
    """Return every spread, per technique, attribute, metric and arm; none where there is nothing to compare."""
    arms, everything = compared_arms(plan), _all_main(plan)
    by_hardware = [_by_hardware(technique, arm, evidence) for technique in plan["techniques"] for arm in arms]
    if all(len(hardware) < 2 for hardware in by_hardware) and len(arms) < 2:
        return []
    by_key = values_by_key(series_of(metrics, everything))
    names = [arm["arm"] for arm in main_arms(everything)]
    positions = [names.index(arm["arm"]) for arm in arms]
    spreads: list[Spread] = []
    for t, technique in enumerate(plan["techniques"]):
        for g, attribute in enumerate(plan["groups"]):
            for m, metric in enumerate(metrics_of(plan)):
                by_arm = ((arm, by_key.get((t, p, g, m))) for arm, p in zip(arms, positions, strict=True))
                present = [(arm, values) for arm, values in by_arm if values is not None]
                spreads += _spreads(technique, attribute, metric, present, evidence)
    return spreads


def _spreads(
    technique: Json, attribute: str, metric: str, present: Sequence[tuple[Json, MetricValues]], evidence: Sequence[Json]
) -> Iterator[Spread]:
    """Return the spreads of one metric, arm by arm, over the classes that are defined in all arms."""
    if not present:
        return
    common = ~np.isnan(np.concatenate([of_arm.classes for _, of_arm in present])).any(axis=0)
    for arm, of_arm in present:
        whole = metric == "accuracy"  # accuracy is one value per run, not a mean over classes
        values = of_arm.overall if whole else of_arm.mean_over(common) if common.any() else np.empty(0)
        for hardware, runs in _by_hardware(technique, arm, evidence).items():
            rows = np.flatnonzero(np.isin(of_arm.runs, [int(r["run"]) for r in runs])) if runs else slice(None)
            selected = values[rows] if values.size else values  # no class in common: no values of any run
            distinct, (fit, note) = len(distinct_results(runs)) if runs else -1, _judge_fit(arm, runs)
            n_classes = 0 if of_arm.single else int(common.sum())
            keys = (technique["technique"], arm, hardware, attribute, metric)
            yield Spread(*keys, n_classes, selected, distinct, fit, note)


def _by_hardware(technique: Json, arm: Json, evidence: Sequence[Json]) -> dict[str, list[Run]]:
    """Group the finished runs of an arm by hardware; its name is "" where it is the same in the whole experiment."""
    runs = finished_runs(evidence, technique["training"], arm["arm"])
    several = len({_hardware(e) for e in evidence if e["status"] == "done"} - {""}) > 1
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(_hardware(run) if several else "", []).append(run)
    return grouped or {"": []}


def _hardware(run: Run) -> str:
    """Name the processor and the GPU of a run."""
    parts = [str(run["parts"].get(part, "")) for part in FACTOR]
    return "; ".join(part for part in parts if part and part != "none")


def _judge_fit(arm: Json, runs: Sequence[Run]) -> tuple[str, str]:
    """Judge whether these runs, all on one hardware, are FIT: the value of column ``fit``, and a note."""
    if not runs:
        return "unknown", ""
    allowed = BY_DESIGN.get(arm["noise"], ())
    differing = differing_parts(runs)
    wrong = [part for part in differing if part not in allowed]
    if wrong:
        return "no", f"not FIT: {', '.join(wrong)} differs; enters no test"
    return ("by design", "a seed of its own for every run: no FIT runs") if allowed else ("yes", "")


def _all_main(plan: Json) -> Json:
    """Return the plan with every arm compared as a main arm, for tables that hold main arms only."""
    arms = [{**arm, "role": "main"} if arm["role"] == "cause" else arm for arm in plan["arms"]]
    return {**plan, "arms": arms}


def _all_main_evidence(evidence: Sequence[Json]) -> list[Json]:
    return [{**e, "role": "main"} if e.get("role") == "cause" else e for e in evidence]


# Rows


def _cause_row(spread: Spread) -> Json:
    values, arm = spread.values, spread.arm
    sd = st.sd_interval(values)
    row = _keys(spread.technique, arm) | {"hardware": spread.hardware, "attribute": spread.attribute}
    row |= {"metric": spread.metric, "n": values.size, "n_classes": spread.n_classes or None, "fit": spread.fit}
    row |= {"distinct": spread.distinct if spread.distinct >= 0 else None}
    row |= {"mean": float(st.means(values)) if values.size else np.nan}
    same = spread.distinct == 1 and values.size > 1
    row |= {"sd": sd.value} if same else {"sd": sd.value, "sd_low": sd.low, "sd_high": sd.high, "interval": sd.method}
    few = f"fewer than {FEWEST} distinct results: enters no test" if 1 < spread.distinct < FEWEST else ""
    note = (
        "bit-identical (final weights and predictions, by SHA-256): enters no test"
        if same
        else join_notes(few, sd.note)
    )
    return row | {"note": join_notes(spread.note, note)}


def _keys(technique: str, arm: Json) -> Json:
    return {"technique": technique, "view": view(arm)} | {k: arm[k] for k in ("arm", "noise", "kind", "seed")}


def _controls(plan: Json) -> list[Json]:
    return [arm for arm in plan["arms"] if arm["role"] == "control"]


def _control_row(technique: Json, arm: Json, evidence: Sequence[Json]) -> Json:
    runs = finished_runs(evidence, technique["training"], arm["arm"])
    control = check_control(evidence, technique["training"])
    numbers = {"n": len(runs), "distinct": len(distinct_results(runs)) if runs else None}
    fit = "unknown" if not runs else "no" if differing_parts(runs) else "yes"
    return _keys(technique["technique"], arm) | numbers | {"fit": fit, "note": f"{control.text}; enters no test"}


# Tests


def _redundant(spreads: Sequence[Spread], plan: Json) -> dict[str, str]:
    """Return the metrics that are proportional to another one in all runs of all arms, each with that one."""
    declared = declared_metrics(plan["analysis"])
    values: dict[str, dict[str, list]] = {attribute: {} for attribute in plan["groups"]}
    for spread in spreads:
        if spread.metric in declared:
            values[spread.attribute].setdefault(spread.metric, []).append(spread.values)
    stacked = [{metric: np.concatenate(parts) for metric, parts in of.items()} for of in values.values() if of]
    sizes = {len(x) for of in stacked for x in of.values()}
    return repeated_metrics(stacked, plan["analysis"]) if stacked and len(sizes) == 1 else {}


def _groups(spreads: Sequence[Spread]) -> list[list[Spread]]:
    """Group the spreads by technique, attribute and metric."""
    groups: dict[tuple[str, str, str], list[Spread]] = {}
    for spread in spreads:
        groups.setdefault((spread.technique, spread.attribute, spread.metric), []).append(spread)
    return list(groups.values())


def _tests(group: Sequence[Spread], alpha: float) -> Iterator[Json]:
    """Return the omnibus tests of a group, then its pairs. A set of arms that equals an earlier one is left out."""
    tested = [spread for spread in group if spread.tested]
    sets = {
        ALL_ARMS: tested,
        FIT_ARMS: [s for s in tested if s.fit != "by design"],
        ULP_ARMS: [s for s in tested if s.arm["noise"] == "ulp"],
    }
    tested_sets: list[list[Spread]] = []
    for name, members in sets.items():
        if len(members) > 2 and members not in tested_sets:
            tested_sets.append(members)
            yield _omnibus_row(name, members, alpha)
    for a, b in combinations(tested, 2):
        yield _pair_row(a, b, alpha)


def _common(first: Spread, alpha: float) -> Json:
    return {"technique": first.technique, "attribute": first.attribute, "metric": first.metric, "alpha": alpha}


def _omnibus_row(name: str, members: Sequence[Spread], alpha: float) -> Json:
    test = sig.brown_forsythe_many([spread.values for spread in members])
    sds = [float(st.sds(spread.values)) for spread in members]
    row = _common(members[0], alpha) | {"test": OMNIBUS, "arm_a": name, "n_arms": len(members), "p": test.p}
    row |= {"n_a": min(s.values.size for s in members), "n_b": max(s.values.size for s in members)}
    row |= {"sd_a": min(sds), "sd_b": max(sds), "ratio": max(sds) / min(sds) if min(sds) > 0 else np.nan}
    arms = ", ".join(spread.label for spread in members)
    return row | {"procedure": test.method, "note": join_notes(f"arms: {arms}; SDs: smallest and largest", test.note)}


def _pair_row(a: Spread, b: Spread, alpha: float) -> Json:
    test = sig.brown_forsythe(a.values, b.values)
    sds = float(st.sds(a.values)), float(st.sds(b.values))
    row = _common(a, alpha) | {"test": PAIR, "arm_a": a.label, "arm_b": b.label, "n_arms": 2, "p": test.p}
    row |= {"n_a": a.values.size, "n_b": b.values.size, "sd_a": sds[0], "sd_b": sds[1]}
    row |= {"ratio": sds[1] / sds[0] if sds[0] > 0 else np.nan}
    return row | {"procedure": test.method, "note": test.note}


def _correct(table: pd.DataFrame, test: str, alpha: float) -> None:
    """Fill in corrected p-values, number of tests and power of one kind of test."""
    rows = (table["test"] == test).to_numpy()
    within = table["p"].where(rows).to_numpy()
    corrections = {"holm": sig.holm, "bh": sig.benjamini_hochberg, "by": sig.benjamini_yekutieli}
    for suffix, correct in corrections.items():
        table.loc[rows, f"p_{suffix}"] = correct(within)[rows]
    size = int(np.isfinite(within).sum())
    table.loc[rows, "family_size"] = size
    table.loc[rows, "power"] = [_power(row, alpha / max(size, 1)) for row in table[rows].to_dict("records")]


def _power(row: Json, level: float) -> float:
    if pd.isna(row["p"]):
        return np.nan
    if row["test"] == OMNIBUS:
        return _simulated(int(row["n_arms"]), int(row["n_a"]), int(row["n_a"]), level)
    return _simulated(2, int(row["n_a"]), int(row["n_b"]), level)


@lru_cache(maxsize=256)
def _simulated(arms: int, n_a: int, n_b: int, level: float) -> float:
    rng = np.random.default_rng([POWER_SEED, arms, n_a, n_b])
    return power.power_spreads([n_a, *[n_b] * (arms - 1)], level, rng=rng)
