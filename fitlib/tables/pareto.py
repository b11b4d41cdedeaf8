"""Accuracy, bias and arbitrariness of all techniques together: who is dominated by nobody (the Pareto front).

Pandas frames in, pandas frames out; see `fitlib.tables.runs_and_summary` for plan and evidence. Arbitrariness is the
mean churn of `fitlib.metrics.individuals`: how often two equal runs decide differently about a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fitlib.statistics import estimates as st
from fitlib.statistics.bootstrap import draw_runs, resampled_means
from fitlib.tables.comparisons import Pair, pairs_of
from fitlib.tables.fit_findings import CheckFit, Findings
from fitlib.tables.schemas import PARETO, Json, joined, table_of

SHARE_SEED = 1987  # of the resampled runs behind `front_share`
SHARE_RESAMPLES = 2000


def pareto(
    metrics: pd.DataFrame,
    votes: Mapping[str, pd.DataFrame],
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    resamples: int = SHARE_RESAMPLES,
) -> pd.DataFrame:
    """Accuracy, bias and churn of every technique compared, baselines included, and who is dominated by nobody.

    One row per technique, main arm, attribute and metric; compared within a baseline's family, over the classes that
    are defined in every run of all its techniques. ``votes``: {technique: its votes}; ``churn_mean``: mean over rows of
    the share of pairs of runs that disagree. A dominates B: accuracy not lower, bias and churn not higher, and one of
    them better. ``front_share``: share of whole-run bootstrap resamples of accuracy and bias (one draw per training)
    with the technique on the front; votes name no runs, so churn stays at its value. Techniques whose runs are not FIT,
    or bit-identical, are shown but stand aside (``on_front`` "").
    """
    rows = []
    for family in families_of(metrics, votes, plan, evidence, check_fit):
        rows += _pareto_rows(family, plan, resamples)
    return table_of(rows, PARETO)


def plane_runs(
    metrics: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """The runs behind `pareto`: technique, baseline, arm, attribute, metric, run, accuracy, bias."""
    columns = ["technique", "baseline", "arm", "attribute", "metric", "run", "accuracy", "bias"]
    rows = []
    for family in families_of(metrics, {}, plan, evidence, check_fit):
        where = (family.baseline, family.arm["arm"], family.attribute, family.metric)
        for p in family.points:
            rows += [(p.technique, *where, *run) for run in zip(p.runs.tolist(), p.accuracy, p.bias, strict=True)]
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class Point:
    """A technique in one arm: run numbers, accuracy and bias (runs,), mean churn, and why it stands aside ("": not)."""

    technique: str
    training: str
    runs: np.ndarray
    accuracy: np.ndarray
    bias: np.ndarray
    churn: float
    aside: str


@dataclass(frozen=True)
class Family:
    """A baseline and all that is compared with it, directly or not, on one metric in one arm."""

    baseline: str
    arm: Json
    attribute: str
    metric: str
    n_classes: int
    points: tuple[Point, ...]

    @cached_property
    def compared(self) -> tuple[Point, ...]:
        return tuple(p for p in self.points if not p.aside)

    @cached_property
    def with_churn(self) -> bool:
        """Whether churn is known of all that is compared."""
        return not any(np.isnan(p.churn) for p in self.compared)


def families_of(
    metrics: pd.DataFrame,
    votes: Mapping[str, pd.DataFrame],
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
) -> Iterator[Family]:
    """Every family, per main arm, attribute and bias metric, in plan order."""
    known, roots = Findings(evidence, check_fit, plan), _roots(plan)
    grouped: dict[tuple[str, str, str], dict[str, list[Pair]]] = {}
    for pair in pairs_of(metrics, plan, evidence, check_fit):
        where = (roots[pair.technique["technique"]], pair.arm["arm"], pair.attribute)
        grouped.setdefault(where, {}).setdefault(pair.metric, []).append(pair)
    for (root, *_), by_metric in grouped.items():
        accuracies = _blocks(by_metric.pop("accuracy"))
        for pairs in by_metric.values():
            yield _family(root, pairs, accuracies, plan, known, votes)


def mean_churn(votes: pd.DataFrame, arm: str, runs: int) -> float:
    """Mean over rows (of multi-label predictions: rows and labels) of 1 - Σ_c k_c(k_c - 1)/(n(n - 1)), n = ``runs``.

    ``votes``: columns arm, idx, class, votes as `fitlib.metrics.long_tables` writes them. NaN without votes or with 1
    run.
    """
    rows = votes[votes["arm"] == arm] if len(votes) else votes
    if not len(rows) or runs < 2:
        return float("nan")
    k, idx = rows["votes"].to_numpy(np.int64), np.unique(rows["idx"].to_numpy(), return_inverse=True)[1]
    agree = k * (k - 1)
    # Only the votes of one label may be none, or not add up to the runs: then a row also has those against it.
    multilabel = bool((k == 0).any() or (np.bincount(idx, k) != runs).any())
    cells = k.size if multilabel else int(idx.max()) + 1
    if multilabel:
        agree = agree + (runs - k) * (runs - k - 1)
    return float(1 - agree.sum() / (cells * runs * (runs - 1)))


def dominates(criteria: np.ndarray) -> NDArray[np.bool_]:
    """Whether i dominates j: no criterion larger and one smaller; criteria (..., points, criteria) -> (..., i, j).

    Criteria are all better when smaller.
    """
    i, j = criteria[..., :, None, :], criteria[..., None, :, :]
    return (i <= j).all(axis=-1) & (i < j).any(axis=-1)


def _roots(plan: Json) -> dict[str, str]:
    """Technique -> the baseline at the end of its chain of baselines."""
    above = {t["technique"]: t["baseline"] for t in plan["techniques"]}
    roots = {}
    for name in above:
        seen = [name]
        while above.get(seen[-1]) and above[seen[-1]] not in seen:
            seen.append(above[seen[-1]])
        roots[name] = seen[-1]
    return roots


def _blocks(pairs: Sequence[Pair]) -> dict[str, object]:
    """Technique -> its values; of a baseline those of the pair that uses most of its runs."""
    blocks: dict[str, object] = {}
    for pair in pairs:
        for technique, block in ((pair.baseline, pair.b), (pair.technique, pair.t)):
            held = blocks.get(technique["technique"])
            if held is None or held.runs.size < block.runs.size:
                blocks[technique["technique"]] = block
    return blocks


def _family(
    root: str, pairs: Sequence[Pair], accuracies: Mapping, plan: Json, known: Findings, votes: Mapping
) -> Family:
    blocks, arm = _blocks(pairs), pairs[0].arm
    members = [t for t in plan["techniques"] if t["technique"] in blocks]
    aside = {t["technique"]: _aside(t, arm, known, blocks[t["technique"]]) for t in members}
    names = [name for name, why in aside.items() if not why] or [n for n in aside if blocks[n].runs.size]
    defined = [~np.isnan(blocks[name].classes).any(axis=0) for name in names]
    common = np.logical_and.reduce(defined) if defined else np.zeros(0, dtype=bool)
    points = []
    for technique in members:
        name = technique["technique"]
        runs, table = blocks[name].runs, votes.get(name, pd.DataFrame())
        bias = _over(blocks[name].classes, common)
        why = aside[name] or ("" if np.isfinite(bias).all() else "no class is defined in every run of all techniques")
        churn = mean_churn(table, arm["arm"], runs.size)
        points.append(Point(name, technique["training"], runs, accuracies[name].overall, bias, churn, why))
    return Family(root, arm, pairs[0].attribute, pairs[0].metric, int(common.sum()), tuple(points))


def _over(classes: np.ndarray, common: np.ndarray) -> np.ndarray:
    if not common.any() or not classes.size:
        return np.full(len(classes), np.nan)
    return classes[:, common].mean(axis=1)


def _aside(technique: Json, arm: Json, known: Findings, block: object) -> str:
    if not block.runs.size:
        return "no runs"
    if known.fit(technique, arm) == "no":
        return f"not FIT: {known.identity(technique['training'], arm['arm']).text}"
    return known.bit_identical(technique, arm)


def _pareto_rows(family: Family, plan: Json, resamples: int) -> list[Json]:
    compared = family.compared
    found = dominates(_criteria(family)) if compared else np.zeros((0, 0), dtype=bool)
    shares = _front_shares(family, plan, resamples)
    method = f"share: whole-run bootstrap, {resamples} resamples; churn at its value"
    rows = []
    for p in family.points:
        row = _pareto_keys(family, p) | _moments(p)
        if not p.aside and len(compared) > 1:
            j = compared.index(p)
            by = [compared[i].technique for i in np.flatnonzero(found[:, j])]
            row |= {"on_front": "no" if by else "yes", "dominated_by": "; ".join(by)}
            row |= {"front_share": shares[j], "method": method}
        rows.append(row | {"note": _pareto_note(p, family)})
    return rows


def _pareto_keys(family: Family, p: Point) -> Json:
    return {
        "technique": p.technique,
        "baseline": family.baseline,
        "arm": family.arm["arm"],
        "seed": family.arm["seed"],
        "attribute": family.attribute,
        "metric": family.metric,
        "n": p.runs.size,
        "n_classes": family.n_classes,
        "on_front": "",
        "churn_mean": p.churn,
    }


def _moments(p: Point) -> Json:
    if not p.runs.size:
        return {}
    named = {"accuracy": p.accuracy, "bias": p.bias}
    return {
        f"{name}_{what}": float(f(x)) for name, x in named.items() for what, f in (("mean", st.means), ("sd", st.sds))
    }


def _criteria(family: Family) -> np.ndarray:
    """(points compared, criteria), all better when smaller; churn only where it is known of all."""
    rows = [(-st.means(p.accuracy), st.means(p.bias), p.churn) for p in family.compared]
    return np.array(rows, dtype=np.float64)[:, : 3 if family.with_churn else 2]


def _front_shares(family: Family, plan: Json, resamples: int) -> np.ndarray:
    """(points compared,): share of resamples in which nobody dominates it; techniques of one training share draws."""
    compared = family.compared
    if len(compared) < 2 or min(p.runs.size for p in compared) < 2:
        return np.full(len(compared), np.nan)
    drawn = np.empty((resamples, len(compared), 3 if family.with_churn else 2))
    for j, p in enumerate(compared):
        means = resampled_means(
            np.stack([-p.accuracy, p.bias]), draw_runs(p.runs.size, _rng(p, family, plan), resamples)
        )
        drawn[:, j, :2] = means
        drawn[:, j, 2:] = p.churn
    free = [~_dominated(drawn, j).any(axis=1) for j in range(len(compared))]
    return np.mean(free, axis=1)


def _dominated(drawn: np.ndarray, j: int) -> NDArray[np.bool_]:
    """By whom point j is dominated, (resamples, points); one point at a time keeps memory small."""
    one = drawn[:, j : j + 1]
    return (drawn <= one).all(axis=-1) & (drawn < one).any(axis=-1)


def _rng(p: Point, family: Family, plan: Json) -> np.random.Generator:
    """One generator per training, arm and number of runs: the same resampled runs on every metric and attribute."""
    trainings, arms = [t["training"] for t in plan["techniques"]], [arm["arm"] for arm in plan["arms"]]
    return np.random.default_rng([SHARE_SEED, trainings.index(p.training), arms.index(family.arm["arm"]), p.runs.size])


def _pareto_note(p: Point, family: Family) -> str:
    constant = [
        name for name, x in (("accuracy", p.accuracy), ("bias", p.bias)) if p.runs.size > 1 and st.is_constant(x)
    ]
    notes = [f"{' and '.join(constant)} constant in all {p.runs.size} runs"] if constant else []
    if not p.aside and len(family.compared) < 2:
        notes.append("nothing to compare it with")
    if not p.aside and not family.with_churn:
        notes.append("churn not known of all: front of accuracy and bias only")
    return joined(p.aside and f"stands aside: {p.aside}", *notes)
