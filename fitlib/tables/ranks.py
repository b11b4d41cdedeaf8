"""The table "ranks": the order of all techniques by bias, and how firm it is over whole-run resamples.

Pandas frames in, pandas frames out; see `fitlib.tables.runs_and_summary` for plan and evidence, and
`fitlib.statistics.ranks` for what P(best) means.
"""

from collections.abc import Sequence

import pandas as pd

from fitlib.statistics import estimates as st
from fitlib.statistics.ranks import FEW_RUNS, Ranks, rank_techniques
from fitlib.tables.comparisons import Pair
from fitlib.tables.fit_findings import CheckFit
from fitlib.tables.pareto import Candidates, Point, candidate_keys, candidates_of, run_draws
from fitlib.tables.schemas import RANKS, Json, join_notes, table_of

RESAMPLES = 4000


def ranks(
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    resamples: int = RESAMPLES,
    pairs: Sequence[Pair] | None = None,
) -> pd.DataFrame:
    """Return rank, P(best) and the distribution of ranks of every technique, baselines included; 1 = least biased.

    One row per technique, main arm, attribute and metric: overall values over the classes defined in every run of all
    that is compared, by the groups and with the exclusions of the table "pareto". Runs are resampled independently, but
    for techniques that share one training together. ``pairs``: those of `pairs_of`, where they are made already.
    """
    rows = []
    for candidates in candidates_of(metrics, {}, plan, evidence, check_fit, pairs):
        rows += _rank_rows(candidates, plan, resamples)
    return table_of(rows, RANKS)


def _rank_rows(candidates: Candidates, plan: Json, resamples: int) -> list[Json]:
    compared = list(candidates.compared)
    firm = len(compared) > 1 and min(p.runs.size for p in compared) > 1
    found = _ranked(compared, candidates, plan, resamples) if firm else None
    rows = []
    for p in candidates.points:
        row = (
            candidate_keys(candidates, p)
            | {"n_compared": len(compared)}
            | ({"mean": float(st.means(p.bias))} if p.runs.size else {})
        )
        if found and not p.excluded:
            row |= _columns(found, compared.index(p)) | {"method": f"whole-run bootstrap, {resamples} resamples"}
        rows.append(row | {"note": _note(p, compared)})
    return rows


def _ranked(compared: Sequence[Point], candidates: Candidates, plan: Json, resamples: int) -> Ranks:
    counts = [run_draws(p, candidates, plan, resamples) for p in compared]
    return rank_techniques([p.bias for p in compared], counts)


def _columns(found: Ranks, at: int) -> Json:
    columns = {"rank": found.rank, "p_best": found.best, "rank_mean": found.mean}
    columns |= {"rank_low": found.low, "rank_high": found.high}
    return {name: float(values[at]) for name, values in columns.items()}


def _note(p: Point, compared: Sequence[Point]) -> str:
    if p.excluded:
        return f"stands aside: {p.excluded}"
    fewest = min(other.runs.size for other in compared)
    alone = "nothing to compare it with" if len(compared) < 2 else ""
    too_few = st.NOT_ESTIMABLE + "fewer than 2 runs" if fewest < 2 else ""
    few = f"certainty is overstated below {FEW_RUNS} runs" if 2 <= fewest < FEW_RUNS else ""
    return alone or join_notes(too_few, few)
