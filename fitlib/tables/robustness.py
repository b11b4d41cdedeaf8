"""The tables "reversal" and "sequential": whether new runs would reverse a verdict, and when to stop adding runs.

Frames in, frames out. Only distinct metrics that are corrected together; see `fitlib.tables.runs_and_summary` for plan
and evidence, `fitlib.tables.comparisons` for pairs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fitlib.statistics import risk as risks
from fitlib.statistics import sequential as looking
from fitlib.statistics.estimates import NOT_ESTIMABLE, both_constant
from fitlib.statistics.sequential import Look
from fitlib.tables.comparisons import Pair, distinct_metrics, pairs_of
from fitlib.tables.fit_findings import CheckFit
from fitlib.tables.metric_series import retraining
from fitlib.tables.schemas import REVERSAL, SEQUENTIAL, Json, table_of

REVERSAL_SEED = 2021  # resamples depend on it and on the numbers of runs alone
UNREACHABLE = "no p at this n can reach the level"
EXAGGERATED = "stopped early: such differences are too large in absolute value on average"


# Reversal


def reversals(
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    pairs: Sequence[Pair] | None = None,
) -> pd.DataFrame:
    """Estimate P(verdict reversal) by means of k = 1, 2, 4, … new runs of each, k at most half of the runs.

    See `fitlib.statistics.risk.verdict_reversal`. No number where the direction is not established, and none for
    techniques that share one training, for runs that are not FIT or bit-identical: the note gives the reason.
    ``pairs``: those of `pairs_of`, where they are made already.
    """
    chosen = _with_distinct_metrics(pairs or pairs_of(metrics, plan, evidence, check_fit), plan)
    return table_of([row for pair in chosen for row in _reversal_rows(pair)], REVERSAL)


def _reversal_rows(pair: Pair) -> Iterator[Json]:
    n = (pair.b.runs.size, pair.t.runs.size)
    shared = "not computed for techniques that share one training"
    why, k = _why_untested(pair) or (shared if pair.paired else ""), 1
    while k == 1 or 2 * k <= min(n):
        row = _keys(pair) | {"k": k, "n_baseline": n[0], "n_technique": n[1], "retraining": retraining(pair.arm)}
        yield row | ({"note": why} if why else _reversal(*pair.samples, k))
        k *= 2


def _reversal(b: np.ndarray, t: np.ndarray, k: int) -> Json:
    rng = np.random.default_rng([REVERSAL_SEED, b.size, t.size, k])
    reversal = risks.verdict_reversal(b, t, k=k, rng=rng)
    columns = {"value": reversal.value, "low": reversal.low, "high": reversal.high, "note": reversal.note}
    return columns | {"procedure": "" if reversal.note else f"{reversal.method}, 95 %"}


# Declared looks


def sequential(
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    pairs: Sequence[Pair] | None = None,
) -> pd.DataFrame:
    """Make the declared looks at the runs 0..n-1, one row per look; empty unless the plan has ``analysis.looks``.

    Each look uses its own runs only, also to choose the classes (defined in every one of them). The level is Pocock's
    for alpha divided by the number of tests, so that all decisions hold together (Bonferroni). The interval of a look
    stays valid after stopping there; ``stopped_at`` is missing as long as the rule goes on. See
    `fitlib.statistics.sequential`. ``pairs``: those of `pairs_of`, where they are made already.
    """
    at = plan["analysis"].get("looks")
    if not at:
        return table_of([], SEQUENTIAL)
    chosen = _with_distinct_metrics(pairs or pairs_of(metrics, plan, evidence, check_fit), plan)
    size = sum(not _why_untested(pair) for pair in chosen)
    return table_of([row for pair in chosen for row in _look_rows(pair, at, plan, size)], SEQUENTIAL)


def _look_rows(pair: Pair, at: Sequence[int], plan: Json, size: int) -> Iterator[Json]:
    alpha, why = plan["analysis"]["alpha"], _why_untested(pair)
    keys = _keys(pair) | {"alpha": alpha, "family_size": size}
    if why:
        yield from (keys | {"look": i, "n": n, "note": why} for i, n in enumerate(at, start=1))
        return
    looks = looking.looks_of(lambda n: _first(pair, n), at, alpha / size, pair.paired)
    for i, look in enumerate(looks, start=1):
        yield keys | {"look": i, "stopped_at": looking.stopped_at(looks[:i])} | _look_columns(look, at[-1])


def _first(pair: Pair, n: int) -> tuple[np.ndarray, np.ndarray]:
    return replace(pair, b=pair.b.at(np.arange(n)), t=pair.t.at(np.arange(n))).samples


def _look_columns(look: Look, last: int) -> Json:
    columns = {"n": look.n, "level": look.level, "decision": look.decision}
    if look.test is None or look.difference is None:
        return columns
    p, smallest, d = look.test.p, look.test.smallest_p, look.difference
    columns |= {"p": p, "p_smallest": smallest}
    columns |= {"difference": d.value, "difference_low": d.low, "difference_high": d.high}
    unreachable = smallest is not None and smallest > look.level
    early = look.decision.startswith("stop") and look.n < last
    columns["note"] = UNREACHABLE if unreachable else EXAGGERATED if early else ""
    interval = f"repeated confidence interval: {d.method}, {100 * d.confidence:.4g} %"
    return columns | {"procedures": f"p: {look.test.method}; {interval}; Pocock"}


# Parts


def _with_distinct_metrics(pairs: Sequence[Pair], plan: Json) -> list[Pair]:
    distinct = set(distinct_metrics(pairs, plan)[0])
    return [pair for pair in pairs if pair.metric in distinct]


def _keys(pair: Pair) -> Json:
    names = {"technique": pair.technique["technique"], "baseline": pair.baseline["technique"]}
    return names | {"arm": pair.arm["arm"], "attribute": pair.attribute, "metric": pair.metric}


def _why_untested(pair: Pair) -> str:
    """Return the reason why a pair enters no test; "" if it does."""
    if pair.fit == "no":
        return "runs are not FIT"
    if pair.bit_identical:
        return "bit-identical runs enter no test"
    if pair.constant:
        return both_constant(*pair.samples)
    return "" if pair.samples[0].size and pair.samples[1].size else NOT_ESTIMABLE + "no class is defined in every run"
