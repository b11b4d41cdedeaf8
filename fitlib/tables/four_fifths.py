"""The table "risk": the four-fifths rule over runs, with what an auditor needs beside it.

Pandas frames in, pandas frame out, as in `fitlib.tables.runs_and_summary`. The rule is applied to the declared
favourable class only, and compared in integers; for every other class 0.8 is a numerical landmark, without pass, fail
or legal meaning. It is a rule of thumb of US employment law (29 CFR 1607.4(D)), neither necessary nor sufficient; no
legal conclusion is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from fitlib.metrics.unit_overlap import ALPHA, INDEPENDENT, PAIRED, REPEATED, TWO_SDS, extreme_groups
from fitlib.statistics import estimates as st
from fitlib.statistics import risk as risks
from fitlib.tables.fit_findings import CheckFit, Findings
from fitlib.tables.metric_series import main_arms, retraining
from fitlib.tables.schemas import RISK, Json, join_notes, table_of

SMALL_GROUP = (2, 100)  # a group under 2 % of the data is flagged
TESTS = {
    INDEPENDENT: "Fisher's exact test; two standard deviations of the difference",
    PAIRED: "McNemar's exact test; two standard deviations of the difference, both paired by unit",
}
NO_TEST = {
    REPEATED: "no test of the groups: test units repeat within them",
    "": "no test of the groups: not known whether a unit stands in both",
}


def risk(
    counts: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    persons: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Apply the four-fifths rule over runs per technique, main arm, attribute and class, with exact intervals.

    ``rule`` is "four-fifths" for the declared favourable class, else "landmark 0.8" (a numerical landmark without pass
    or fail). Probabilities are over ``retraining`` (with the same seed, where seeds are known). The Bonferroni
    intervals hold for the worst of all classes, techniques, arms and attributes (``worst_of``). Bit-identical
    predictions get no interval. ``smallest_group``: rows of the smallest group that is not empty, with a note where
    that is below the declared ``min_group``.

    Beside it: ``lowest_group`` and ``highest_group`` by mean rate over runs, with sizes and mean rates;
    ``disadvantaged``, the lowest group of the favourable class; ``flips``, the runs in which one person decided
    differently changes the comparison with 0.8; ``small_groups``, those under 2 % of the data. For the favourable class
    also the number of runs in which the two groups differ: ``significant`` (exact p < .05) and ``beyond_two_sd``. Which
    ``test`` is made depends on whether test units are in both groups, as recorded in ``persons`` (the long table of
    `fitlib.metrics.long_tables`). With more than two groups the pair was chosen for being extreme, so its p is too
    small, and there is a note.
    """
    findings, selections, designs = Findings(evidence, check_fit, plan), _selections(counts, plan), _designs(persons)
    rows = [
        _risk_row(_Case(technique, arm, attribute, target), selections, plan, findings, designs)
        for technique in plan["techniques"]
        for arm in main_arms(plan)
        for attribute in plan["groups"]
        for target in range(len(plan["classes"]))
        if (technique["technique"], arm["arm"], attribute) in selections
    ]
    return table_of(rows, RISK)


# Companions


def fisher(selected: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return Fisher's exact two-sided p of each run, for groups of different units.

    selected int (runs, 2), size int (2,).

    >>> fisher([[3, 9]], [10, 10]).round(4).tolist()
    [0.0198]
    """
    return np.array([_fisher(*map(int, row), *map(int, size)) for row in np.asarray(selected)])


@lru_cache(maxsize=65536)
def _fisher(q_a: int, q_b: int, n_a: int, n_b: int) -> float:
    return float(stats.fisher_exact([[q_a, n_a - q_a], [q_b, n_b - q_b]]).pvalue)


def two_sd(selected: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the difference of the two groups' rates, second - first, in pooled standard deviations, (runs,).

    selected int (runs, 2), size (2,): z = (r₂ - r₁)/sqrt(r(1 - r)(1/n₁ + 1/n₂)), r = rate of both; 0 where no row or
    every row is selected.

    >>> two_sd([[20, 35], [0, 0]], [50, 50]).round(2).tolist()
    [3.02, 0.0]
    """
    selected, size = np.asarray(selected, dtype=np.float64), np.asarray(size, dtype=np.float64)
    rate, pooled = selected / size, selected.sum(axis=1) / size.sum()
    error = np.sqrt(pooled * (1 - pooled) * (1 / size).sum())
    return np.divide(rate[:, 1] - rate[:, 0], error, out=np.zeros(len(rate)), where=error > 0)


def flips(selected: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return whether one person decided differently changes `risk.below_four_fifths`, bool (runs,).

    selected int (runs, groups), size int (groups,): one more or one fewer selected, in any one group. False where the
    rule is undefined; a change after which it is undefined does not count.

    >>> flips([[40, 50], [10, 50]], [100, 100]).tolist()
    [True, False]
    """
    selected, size = np.asarray(selected, dtype=np.int64), np.asarray(size, dtype=np.int64)
    below, defined = risks.below_four_fifths(selected, size)
    turned = np.zeros(len(selected), dtype=bool)
    for group in np.flatnonzero(size > 0):
        for step in (-1, 1):
            changed = selected.copy()
            changed[:, group] += step
            possible = (changed[:, group] >= 0) & (changed[:, group] <= size[group])
            after, still = risks.below_four_fifths(np.clip(changed, 0, size), size)
            turned |= possible & still & (after != below)
    return turned & defined


def clean_runs_needed(p: float, confidence: float = 0.95) -> int:
    """Return how many runs without a violation it takes to claim that fewer than a share p violate.

    The smallest n with (1 - p)^n <= 1 - confidence, one-sided; 59 for p = .05. Holds for an n that was fixed before the
    first run, not for stopping when it is reached. Raises ValueError unless 0 < p < 1 and 0 < confidence < 1.

    >>> clean_runs_needed(0.05)
    59
    """
    if not (0 < p < 1 and 0 < confidence < 1):
        raise ValueError(f"p = {p}, confidence = {confidence}: both must be between 0 and 1")
    # log1p: (1 - p)**n would lose a tiny p; the margin keeps rounding from adding a run where equality holds
    return max(1, math.ceil(math.log(1 - confidence) / math.log1p(-p) - 1e-9))


# Rows


@dataclass(frozen=True)
class _Case:
    technique: Json
    arm: Json
    attribute: str
    target: int

    @property
    def keys(self) -> tuple[str, str, str]:
        return self.technique["technique"], self.arm["arm"], self.attribute


def _risk_row(case: _Case, selections: Mapping, plan: Json, findings: Findings, designs: Mapping) -> Json:
    selected, size = (part[..., case.target] for part in selections[case.keys])
    below, defined = risks.below_four_fifths(selected, size)
    k, n, same = int(below.sum()), int(defined.sum()), findings.bit_identical(case.technique, case.arm)
    worst_of = len(plan["techniques"]) * len(plan["classes"]) * len(main_arms(plan)) * len(plan["groups"])
    favourable = plan["analysis"]["favourable"] == case.target
    row: Json = dict(zip(("technique", "arm", "attribute"), case.keys, strict=True)) | {"seed": case.arm["seed"]}
    row |= {"target": case.target, "rule": "four-fifths" if favourable else "landmark 0.8"}
    row["retraining"] = retraining(case.arm)
    row |= {"n": n, "n_undefined": int((~defined).sum()), "violated": k, "worst_of": worst_of}
    row |= _ratios(risks.impact_ratio(selected, size))
    row["fit"], row["p_violated"] = findings.fit(case.technique, case.arm), risks.clopper_pearson(k, n).value
    row["smallest_group"] = smallest = int(size[size > 0].min(initial=size.max()))
    few = f"the smallest group has only {smallest} rows" if smallest < plan["analysis"].get("min_group", 0) else ""
    nobody = st.NOT_ESTIMABLE + "nobody is selected" if n == 0 else ""
    row |= _groups(selected, size, plan["groups"][case.attribute])
    beside, why = _tests(case, selected, size, designs) if favourable else ({}, "")
    row["disadvantaged"] = row.get("lowest_group", "") if favourable and _rates_differ(row) else ""
    row["note"] = join_notes(same and f"{same}: no interval", nobody, few, why)
    return row | beside | ({} if same else _risk_intervals(k, n, worst_of))


def _groups(selected: np.ndarray, size: np.ndarray, names: Sequence[str]) -> Json:
    """Describe the lowest and the highest group (name, size, mean rate), flips by one person, and small groups."""
    pair = extreme_groups(selected, size)
    part, whole = SMALL_GROUP
    small = [str(name) for name, n in zip(names, size, strict=True) if 0 < whole * n < part * size.sum()]
    columns: Json = {"small_groups": ", ".join(small), "flips": int(flips(selected, size).sum())}
    for what, group in zip(("lowest", "highest"), pair or (), strict=False):
        columns |= {f"{what}_group": str(names[group]), f"size_{what}": int(size[group])}
        columns[f"rate_{what}"] = float(selected[:, group].mean() / size[group])
    return columns


def _rates_differ(row: Json) -> bool:
    return row.get("rate_lowest", 0.0) < row.get("rate_highest", 0.0)


def _tests(case: _Case, selected: np.ndarray, size: np.ndarray, designs: Mapping) -> tuple[Json, str]:
    """Count the runs in which the lowest and the highest group differ, and note what limits that."""
    pair, design = extreme_groups(selected, size), designs.get((*case.keys, case.target), {})
    if pair is None:
        return {}, "no test of the groups: fewer than two have members"
    kind = next((name for name in (INDEPENDENT, PAIRED, REPEATED) if f"units {name}" in design), "")
    if kind not in TESTS:
        return {}, NO_TEST[kind]
    two = list(pair)
    if kind == PAIRED:
        numbers = design["units paired: p < .05"], design["units paired: |z| > 2"]
    else:
        z = two_sd(selected[:, two], size[two])
        numbers = (fisher(selected[:, two], size[two]) < ALPHA).sum(), (np.abs(z) > TWO_SDS).sum()
    chosen = "groups chosen as the extremes of more than two: p too small" if (size > 0).sum() > 2 else ""
    return {"test": TESTS[kind], "significant": int(numbers[0]), "beyond_two_sd": int(numbers[1])}, chosen


def _designs(persons: pd.DataFrame | None) -> dict[tuple, dict[str, float]]:
    """Return {(technique, arm, attribute, class): {quantity: value}} of the rows about test units."""
    designs: dict[tuple, dict[str, float]] = {}
    if persons is not None and len(persons):
        rows = persons[persons["quantity"].str.startswith("units ")]
        columns = (rows[name] for name in ("technique", "arm", "attribute", "target", "quantity", "value"))
        for *key, quantity, value in zip(*columns, strict=True):
            designs.setdefault(tuple(key), {})[quantity] = value
    return designs


def _ratios(ratio: np.ndarray) -> Json:
    ratio = ratio[~np.isnan(ratio)]
    if not ratio.size:
        return {}
    return dict(zip(("ratio_mean", "ratio_min", "ratio_max"), (st.means(ratio), ratio.min(), ratio.max()), strict=True))


def _risk_intervals(k: int, n: int, worst_of: int) -> Json:
    violated, differ = risks.clopper_pearson(k, n), risks.disagreement(k, n)
    worst, differ_worst = (of(k, n, 1 - 0.05 / worst_of) for of in (risks.clopper_pearson, risks.disagreement))
    return {
        "p_violated_low": violated.low,
        "p_violated_high": violated.high,
        "p_disagree": differ.value,
        "p_disagree_low": differ.low,
        "p_disagree_high": differ.high,
        "interval": "Clopper-Pearson 95 %",
        "p_violated_low_bonferroni": worst.low,
        "p_violated_high_bonferroni": worst.high,
        "p_disagree_low_bonferroni": differ_worst.low,
        "p_disagree_high_bonferroni": differ_worst.high,
    }


# Selections


def _selections(counts: pd.DataFrame, plan: Json) -> dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]:
    """Return {(technique, arm, attribute): (selected int (runs, groups, classes), size int (groups, classes))}."""
    selections = {}
    for key, part in counts.groupby(["technique", "arm", "attribute"], sort=False):
        runs, row = np.unique(part["run"].to_numpy(np.int64), return_inverse=True)
        shape = (runs.size, len(plan["groups"][key[2]]), len(plan["classes"]))
        selections[key] = _label_selection(part, row, shape) if "tp" in part else _class_selection(part, row, shape)
    return selections


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
