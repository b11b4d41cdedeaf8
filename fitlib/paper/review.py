"""The published study judged by two protocols, technique by technique and metric by metric.

Protocol `paper` (`fitlib.statistics.paper_protocol`) is compared with reading `strict` (`fitlib.paper.strict_reading`)
and protocol `fitlib` (`fitlib.statistics.significance`, `fitlib.statistics.estimates`) on the same published values.
Each of the study's five tasks is a separate experiment, so its tests are corrected separately.
`fitlib.paper.findings_on_metrics` and `fitlib.paper.findings_on_tests` describe what changes, quirk by quirk.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from fitlib.formatting import count
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.paper.strict_reading import Strict, Values, over_common_classes, strict_values
from fitlib.statistics import estimates as st
from fitlib.statistics import significance as sig
from fitlib.statistics import verdicts
from fitlib.statistics.paper_protocol import (
    ALPHA,
    accuracy_frame,
    costs_of,
    label,
    labels_frame,
    overlap_frame,
    venn_frame,
)
from fitlib.statistics.verdict_names import EQUIVALENT, FAIRER, HIGHER, LESS_FAIR, LOWER, OPEN
from fitlib.tables.schemas import REVIEW, Json, join_notes, table_of

SMALLEST_EFFECT = 0.01
CONSTANT = "constant baseline"
AGREE = {"-": (FAIRER, LOWER), "+": (LESS_FAIR, HIGHER), "NS": (EQUIVALENT, OPEN)}


@dataclass(frozen=True)
class Review:
    """The published values and the results of both protocols, each computed once.

    ``overall`` {technique: {metric: (runs,)}}, ``per_class`` {technique: {metric: (runs, classes)}}, ``performance``
    {technique: (runs,)}, ``baselines`` {technique: its baseline} for those that have one; all in the order of rows.
    """

    overall: Mapping[str, Mapping[str, Values]]
    per_class: Mapping[str, Mapping[str, Values]]
    performance: Mapping[str, Values]
    baselines: Mapping[str, str]
    smallest_effect: float = SMALLEST_EFFECT
    alpha: float = ALPHA

    @cached_property
    def strict(self) -> Strict:
        """Values by class in the strict reading."""
        return strict_values(self.per_class, self.baselines)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Protocol `paper`: see `fitlib.statistics.paper_protocol.labels_frame`."""
        return labels_frame(self.overall, self.baselines)

    @cached_property
    def accuracy(self) -> pd.DataFrame:
        """Protocol `paper`: see `fitlib.statistics.paper_protocol.accuracy_frame`."""
        return accuracy_frame(self.performance, self.baselines)

    @cached_property
    def costs(self) -> pd.DataFrame:
        """Protocol `paper`: see `fitlib.statistics.paper_protocol.costs_of`."""
        return costs_of(self.labels, self.accuracy)

    @cached_property
    def venn(self) -> pd.DataFrame:
        """Protocol `paper`: see `fitlib.statistics.paper_protocol.venn_frame`."""
        return venn_frame(self.costs)

    @cached_property
    def overlap(self) -> pd.DataFrame:
        """Protocol `paper`: see `fitlib.statistics.paper_protocol.overlap_frame`."""
        return overlap_frame(self.overall, self.baselines)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per technique and metric, both protocols: see `review_table`."""
        return review_table(self)


# The table


def review_table(review: Review) -> pd.DataFrame:
    """Return one row per technique and metric: labels and p as published, and fitlib's results on the same values.

    difference = technique - baseline over common classes, with Welch's interval and the verdict against the
    smallest effect; exact two-sided U with Holm's correction over the task's techniques x distinct metrics;
    Brown-Forsythe on raw values, not tested where the baseline never changes. ``agreement_*``: whether label and
    verdict (raw label) agree; ``note``: what could not be recomputed.
    """
    rows = [_row(review, row) for row in review.labels.to_dict("records")]
    table = table_of(rows, REVIEW)
    for task in dict.fromkeys(table["baseline"]):
        _correct(review, table, table["baseline"] == task)
    return table


def _row(review: Review, row: Json) -> Json:
    technique, metric = row["technique"], row["metric"]
    b, t = samples(review, technique, metric)
    shared = ("technique", "metric", "label_mean", "p_mean", "d", "label_variance", "p_variance")
    keys: Json = {name: row[name] for name in shared} | {"baseline": review.baselines[technique], "n": b.size + t.size}
    keys |= {"smallest_effect": review.smallest_effect}
    if not b.size:
        return keys | {"verdict": "not estimable", "note": "no class is defined in every run of both"}
    difference, verdict = st.welch(b, t), verdicts.verdict(b, t, review.smallest_effect)
    found: Json = {"difference": difference.value, "difference_low": difference.low, "difference_high": difference.high}
    found |= {"verdict": verdict, "p_exact": sig.mann_whitney_exact(b, t).p, **_raw_variance(b, t)}
    agrees = {
        "agreement_mean": _yes_or_no(verdict in AGREE.get(row["label_mean"], ())),
        "agreement_variance": _yes_or_no(row["label_variance"] == found["label_variance_raw"]),
    }
    return keys | found | agrees | {"note": _not_recomputed(review, technique, metric, b)}


def samples(review: Review, technique: str, metric: str) -> tuple[Values, Values]:
    """Return overall values of baseline and technique, strict reading, over classes defined in every run of both."""
    values = review.strict.per_class
    return over_common_classes(values[review.baselines[technique]][metric], values[technique][metric])


def _raw_variance(b: Values, t: Values) -> Json:
    p = None if st.is_constant(b) else sig.brown_forsythe(b, t).p
    if p is None:
        return {"p_variance_raw": None, "label_variance_raw": "no test"}
    return {"p_variance_raw": p, "label_variance_raw": label(p, float(st.sds(b)), float(st.sds(t)))}


def _not_recomputed(review: Review, technique: str, metric: str, b: Values) -> str:
    notes = [f"{CONSTANT}: constant in all {b.size} runs"] if st.is_constant(b) else []
    both = (review.baselines[technique], technique)
    if metric == "EOTP" and any((review.per_class[t]["EOTP"] == 0).any() for t in both):
        notes.append("zeros as published (Q4)")
    if metric == "BA" and balanced_by_ratio(technique):
        notes.append("composition as published (Q12)")
    stood_in = sum(int(review.strict.stand_ins[t].sum()) for t in both)
    if metric == "EOFP" and stood_in:
        notes.append(f"{count(stood_in, 'cell')} from another class's weight (Q4)")
    return join_notes(*notes)


def balanced_by_ratio(technique: str) -> bool:
    """Return whether a technique of C or I balances training to a ratio, and so has its own evaluation set."""
    return technique[:3] in ("C-R", "I-R")


def _yes_or_no(holds: bool) -> str:
    return "yes" if holds else "no"


def _correct(review: Review, table: pd.DataFrame, task: pd.Series) -> None:
    """Apply Holm's correction to the rows of one task; a metric that repeats another gets its p and counts once."""
    repeated = distinct_metrics(review, table.loc[task, "baseline"].iloc[0])[1]
    member = task & ~table["metric"].isin(list(repeated))
    tests = {"p_exact": "p_holm", "p_variance_raw": "p_variance_raw_holm"}
    for p, corrected in tests.items():
        table.loc[member, corrected] = sig.holm(table.loc[member, p].to_numpy())
    table.loc[task, "family_size"] = int(table.loc[member, "p_exact"].notna().sum())
    for metric, first in repeated.items():
        rows, source = task & (table["metric"] == metric), task & (table["metric"] == first)
        table.loc[rows, "redundant_with"] = first
        shared = [*tests, *tests.values()]
        table.loc[rows, shared] = table.loc[source, shared].to_numpy()


def distinct_metrics(review: Review, baseline: str) -> tuple[list[str], dict[str, str]]:
    """Return the distinct metrics of a task, and {redundant metric: the one it repeats}.

    A metric repeats another if they are proportional in all runs of every comparison of the task, as in
    `fitlib.tables.comparisons`.
    """
    techniques = [t for t, b in review.baselines.items() if b == baseline and t != baseline]
    values = {m: np.concatenate([np.concatenate(samples(review, t, m)) for t in techniques]) for m in BIAS_METRICS}
    repeated = sig.redundant_metrics(values)
    return [metric for metric in values if metric not in repeated], repeated


# Agreement


def agreement(made: Mapping[str, str | PathLike[str]], folder: str | PathLike[str]) -> dict[str, tuple[int, int]]:
    """Return, per table (name -> file), how many of the published rows in `folder` it has as text, and of how many.

    The rows of expected_<table>*.csv, if there is such a file, are compared with as many first rows of the table.
    """
    found = {}
    for name, path in made.items():
        for published in sorted(Path(folder).glob(f"expected_{name}*.csv")) if folder else []:
            found[name] = equal_rows(_rows(published), _rows(path))
    return found


def equal_rows(published: Sequence[Sequence[str]], made: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Count the published rows that the recomputed table has at the same position; return that and their number.

    >>> equal_rows([["a", "1"], ["b", "2"]], [["a", "1"], ["b", "3"]])
    (1, 2)
    """
    return sum(list(row) == list(other) for row, other in zip(published, made, strict=False)), len(published)


def _rows(path: str | PathLike[str]) -> list[list[str]]:
    """Read the rows of a table of text without its header lines (two if the first one starts with an empty cell)."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return rows[2 if not rows[0][0] else 1 :]
