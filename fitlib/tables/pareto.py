"""The table "pareto": accuracy, bias and arbitrariness of all techniques together, and which of them are on the front.

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
from fitlib.statistics.ranks import TIE
from fitlib.tables.comparisons import MetricValues, Pair, pairs_of
from fitlib.tables.fit_findings import CheckFit, Findings
from fitlib.tables.schemas import PARETO, Json, join_notes, table_of

SHARE_SEED = 1987  # of the resampled runs behind `front_share`
SHARE_RESAMPLES = 2000


def pareto(
    metrics: pd.DataFrame,
    votes: Mapping[str, pd.DataFrame],
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    resamples: int = SHARE_RESAMPLES,
    pairs: Sequence[Pair] | None = None,
) -> pd.DataFrame:
    """Return accuracy, bias and churn of every technique compared, baselines included, and whether it is on the front.

    One row per technique, main arm, attribute and metric. Techniques with one baseline are compared with it and with
    each other, over the classes that are defined in every run of all. ``votes``: {technique: its votes};
    ``churn_mean``: mean over rows of the share of pairs of runs that disagree. A dominates B: accuracy not lower, bias
    and churn not higher, and one of them better. ``front_share``: share of whole-run bootstrap resamples of accuracy
    and bias (one draw per training) with the technique on the front; votes name no runs, so churn stays at its value.
    Techniques whose runs are not FIT, or bit-identical, are shown but not compared (``on_front`` "").
    ``pairs``: those of `pairs_of`, where they are made already.
    """
    rows = []
    for candidates in candidates_of(metrics, votes, plan, evidence, check_fit, pairs):
        rows += _pareto_rows(candidates, plan, resamples)
    return table_of(rows, PARETO)


def plane_runs(
    metrics: pd.DataFrame, plan: Json, evidence: Sequence[Json] = (), check_fit: CheckFit | None = None
) -> pd.DataFrame:
    """Return the runs behind `pareto`: technique, baseline, arm, attribute, metric, run, accuracy, bias."""
    columns = ["technique", "baseline", "arm", "attribute", "metric", "run", "accuracy", "bias"]
    rows = []
    for candidates in candidates_of(metrics, {}, plan, evidence, check_fit):
        where = (candidates.baseline, candidates.arm["arm"], candidates.attribute, candidates.metric)
        for p in candidates.points:
            rows += [(p.technique, *where, *run) for run in zip(p.runs.tolist(), p.accuracy, p.bias, strict=True)]
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class Point:
    """A technique in one arm: run numbers, accuracy and bias (runs,), mean churn, and why it is excluded ("": not)."""

    technique: str
    training: str
    runs: np.ndarray
    accuracy: np.ndarray
    bias: np.ndarray
    churn: float
    excluded: str


@dataclass(frozen=True)
class Candidates:
    """A baseline and all that is compared with it, directly or not, on one metric in one arm."""

    baseline: str
    arm: Json
    attribute: str
    metric: str
    n_classes: int | None  # None: the metric is no mean over classes
    points: tuple[Point, ...]

    @cached_property
    def compared(self) -> tuple[Point, ...]:
        """The points that are not excluded."""
        return tuple(p for p in self.points if not p.excluded)

    @cached_property
    def with_churn(self) -> bool:
        """Whether churn is known for all that is compared."""
        return not any(np.isnan(p.churn) for p in self.compared)


def candidates_of(
    metrics: pd.DataFrame,
    votes: Mapping[str, pd.DataFrame],
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    pairs: Sequence[Pair] | None = None,
) -> Iterator[Candidates]:
    """Group the techniques by the baseline at the root, per main arm, attribute and bias metric, in plan order.

    ``pairs``: those of `pairs_of`, where they are made already.
    """
    findings, roots, churns = Findings(evidence, check_fit, plan), _roots(plan), _Churns(votes)
    grouped: dict[tuple[str, str, str], dict[str, list[Pair]]] = {}
    for pair in pairs or pairs_of(metrics, plan, evidence, check_fit):
        where = (roots[pair.technique["technique"]], pair.arm["arm"], pair.attribute)
        grouped.setdefault(where, {}).setdefault(pair.metric, []).append(pair)
    for (root, *_), by_metric in grouped.items():
        accuracies = _by_technique(by_metric.pop("accuracy"))
        for of_metric in by_metric.values():
            yield _candidates(root, of_metric, accuracies, plan, findings, churns)


def mean_churn(votes: pd.DataFrame, arm: str, runs: int) -> float:
    """Return the mean churn of an arm: over rows, 1 - Σ_c k_c(k_c - 1)/(n(n - 1)), n = ``runs``.

    k_c: runs that predict class c; of multi-label predictions the mean is over rows and labels. ``votes``: columns arm,
    idx, class, votes as `fitlib.metrics.long_tables` writes them. NaN without votes or with 1 run.

    >>> votes = pd.DataFrame({"arm": "ulp", "idx": [0, 1, 1], "class": [0, 0, 1], "votes": [4, 2, 2]})
    >>> round(mean_churn(votes, "ulp", 4), 4)
    0.3333
    """
    rows = votes[votes["arm"] == arm] if len(votes) else votes
    if not len(rows) or runs < 2:
        return float("nan")
    k, idx = rows["votes"].to_numpy(np.int64), np.unique(rows["idx"].to_numpy(), return_inverse=True)[1]
    agree = k * (k - 1)
    # Votes of a class are listed if there are any and add up to the runs. Those of a label may be none or fewer, and
    # the runs that vote against it agree with one another too.
    multilabel = bool((k == 0).any() or (np.bincount(idx, k) != runs).any())
    cells = k.size if multilabel else int(idx.max()) + 1
    if multilabel:
        agree = agree + (runs - k) * (runs - k - 1)
    return float(1 - agree.sum() / (cells * runs * (runs - 1)))


def dominates(criteria: np.ndarray) -> NDArray[np.bool_]:
    """Return whether i dominates j: no criterion larger and one smaller; (..., points, criteria) -> (..., i, j).

    Criteria are all better when smaller, and equal where they differ by less than `fitlib.statistics.ranks.TIE`, as
    means of the same values in another order do.

    >>> dominates(np.array([[1, 2], [2, 2], [2, 1]]))[0].tolist()
    [False, True, False]
    """
    return _better(criteria[..., None, :, :] - criteria[..., :, None, :])


def _better(gain: np.ndarray) -> NDArray[np.bool_]:
    """Return whether no criterion is worse and one is better; ``gain`` (..., criteria): how much better each is."""
    return np.asarray((gain >= -TIE).all(axis=-1) & (gain > TIE).any(axis=-1))


def _roots(plan: Json) -> dict[str, str]:
    """Return {technique: the baseline at the end of its chain of baselines}."""
    above = {t["technique"]: t["baseline"] for t in plan["techniques"]}
    roots = {}
    for name in above:
        chain = [name]
        while above.get(chain[-1]) and above[chain[-1]] not in chain:  # a circle ends where it closes
            chain.append(above[chain[-1]])
        roots[name] = chain[-1]
    return roots


_ByTechnique = Mapping[str, MetricValues]


def _by_technique(pairs: Sequence[Pair]) -> _ByTechnique:
    """Return {technique: its values}; of a baseline those of the pair that uses most of its runs."""
    by_technique: dict[str, MetricValues] = {}
    for pair in pairs:
        for technique, values in ((pair.baseline, pair.b), (pair.technique, pair.t)):
            held = by_technique.get(technique["technique"])
            if held is None or held.runs.size < values.runs.size:
                by_technique[technique["technique"]] = values
    return by_technique


class _Churns:
    """The mean churn of every technique, arm and number of runs; each is computed once, of all metrics together."""

    def __init__(self, votes: Mapping[str, pd.DataFrame]):
        self._votes = votes
        self._known: dict[tuple[str, str, int], float] = {}

    def of(self, technique: str, arm: str, runs: int) -> float:
        """Return `mean_churn`; NaN for a technique without votes."""
        key = (technique, arm, runs)
        if key not in self._known:
            known = technique in self._votes
            self._known[key] = mean_churn(self._votes[technique], arm, runs) if known else float("nan")
        return self._known[key]


def _candidates(
    root: str, pairs: Sequence[Pair], accuracies: _ByTechnique, plan: Json, findings: Findings, churns: _Churns
) -> Candidates:
    biases, arm = _by_technique(pairs), pairs[0].arm
    members = [t for t in plan["techniques"] if t["technique"] in biases]
    excluded = {t["technique"]: _why_excluded(t, arm, findings, biases[t["technique"]]) for t in members}
    # classes are chosen by what is compared; only where nothing is, by all that has runs, so that values can be shown
    names = [name for name, why in excluded.items() if not why] or [n for n in excluded if biases[n].runs.size]
    defined = [~np.isnan(biases[name].classes).any(axis=0) for name in names]
    common = np.logical_and.reduce(defined) if defined else np.zeros(0, dtype=bool)
    points = []
    for technique in members:
        name = technique["technique"]
        runs, bias = biases[name].runs, biases[name].mean_over(common)
        why = excluded[name] or (
            "" if np.isfinite(bias).all() else "no class is defined in every run of all techniques"
        )
        churn = churns.of(name, arm["arm"], runs.size)
        points.append(Point(name, technique["training"], runs, accuracies[name].overall, bias, churn, why))
    n_classes = None if any(pair.single for pair in pairs) else int(common.sum())
    return Candidates(root, arm, pairs[0].attribute, pairs[0].metric, n_classes, tuple(points))


def _why_excluded(technique: Json, arm: Json, findings: Findings, values: MetricValues) -> str:
    if not values.runs.size:
        return "no runs"
    if findings.fit(technique, arm) == "no":
        return f"not FIT: {findings.identity(technique['training'], arm['arm']).text}"
    return findings.bit_identical(technique, arm)


def _pareto_rows(candidates: Candidates, plan: Json, resamples: int) -> list[Json]:
    compared = candidates.compared
    dominated = dominates(_criteria(candidates)) if compared else np.zeros((0, 0), dtype=bool)
    shares = _front_shares(candidates, plan, resamples)
    method = f"share: whole-run bootstrap, {resamples} resamples; churn at its value"
    rows = []
    for p in candidates.points:
        row = candidate_keys(candidates, p) | {"on_front": "", "churn_mean": p.churn} | _moments(p)
        if not p.excluded and len(compared) > 1:
            j = compared.index(p)
            by = [compared[i].technique for i in np.flatnonzero(dominated[:, j])]
            row |= {"on_front": "no" if by else "yes", "dominated_by": "; ".join(by)}
            row |= {"front_share": shares[j], "method": method}
        rows.append(row | {"note": _pareto_note(p, candidates)})
    return rows


def candidate_keys(candidates: Candidates, p: Point) -> Json:
    """Return the columns that name a technique among its candidates, with its runs and the classes compared."""
    return {
        "technique": p.technique,
        "baseline": candidates.baseline,
        "arm": candidates.arm["arm"],
        "seed": candidates.arm["seed"],
        "attribute": candidates.attribute,
        "metric": candidates.metric,
        "n": p.runs.size,
        "n_classes": candidates.n_classes,
    }


def _moments(p: Point) -> Json:
    if not p.runs.size:
        return {}
    named = {"accuracy": p.accuracy, "bias": p.bias}
    return {
        f"{name}_{what}": float(f(x)) for name, x in named.items() for what, f in (("mean", st.means), ("sd", st.sds))
    }


def _criteria(candidates: Candidates) -> np.ndarray:
    """Return (points compared, criteria), all better when smaller; churn only where it is known for all."""
    rows = [(-st.means(p.accuracy), st.means(p.bias), p.churn) for p in candidates.compared]
    return np.array(rows, dtype=np.float64)[:, : 3 if candidates.with_churn else 2]


def _front_shares(candidates: Candidates, plan: Json, resamples: int) -> np.ndarray:
    """Return the share of resamples in which no other point dominates it, (points compared,).

    Techniques of one training share draws, as they share runs.
    """
    compared = candidates.compared
    if len(compared) < 2 or min(p.runs.size for p in compared) < 2:
        return np.full(len(compared), np.nan)
    drawn = np.empty((resamples, len(compared), 3 if candidates.with_churn else 2))
    for j, p in enumerate(compared):
        means = resampled_means(np.stack([-p.accuracy, p.bias]), run_draws(p, candidates, plan, resamples))
        drawn[:, j, :2] = means
        drawn[:, j, 2:] = p.churn
    free = [~_dominated(drawn, j).any(axis=1) for j in range(len(compared))]
    return np.mean(free, axis=1)


def _dominated(drawn: np.ndarray, j: int) -> NDArray[np.bool_]:
    """Return which points dominate point j, (resamples, points); one point at a time keeps memory small."""
    return _better(drawn[:, j : j + 1] - drawn)


def run_draws(p: Point, candidates: Candidates, plan: Json, resamples: int) -> NDArray[np.int64]:
    """Draw how often each run occurs in a resample, (resamples, runs): the same of all metrics and attributes.

    The draws depend on training, arm and number of runs, so techniques that share one training share them.
    """
    trainings, arms = [t["training"] for t in plan["techniques"]], [arm["arm"] for arm in plan["arms"]]
    key = [SHARE_SEED, trainings.index(p.training), arms.index(candidates.arm["arm"]), p.runs.size]
    return draw_runs(p.runs.size, np.random.default_rng(key), resamples)


def _pareto_note(p: Point, candidates: Candidates) -> str:
    constant = [
        name for name, x in (("accuracy", p.accuracy), ("bias", p.bias)) if p.runs.size > 1 and st.is_constant(x)
    ]
    notes = [f"{' and '.join(constant)} constant in all {p.runs.size} runs"] if constant else []
    if not p.excluded and len(candidates.compared) < 2:
        notes.append("nothing to compare it with")
    if not p.excluded and not candidates.with_churn:
        notes.append("churn not known of all: front of accuracy and bias only")
    return join_notes(p.excluded and f"stands aside: {p.excluded}", *notes)
