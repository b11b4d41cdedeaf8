"""The table "costs": what lower bias cost in accuracy, or in a larger spread of bias or accuracy between runs.

Pandas frames in, a pandas frame out; see `fitlib.tables.runs_and_summary` for plan and evidence. Costs are judged
twice: by protocol `fitlib` (columns without suffix), and by the labels of the study (``_study``; Qian et al., NeurIPS
2021, see `fitlib.statistics.paper_protocol`), which are uncorrected and judge spread on values divided by their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fitlib.statistics import estimates as st
from fitlib.statistics import paper_protocol
from fitlib.statistics import significance as sig
from fitlib.statistics.verdict_names import FAIRER, VERDICTS
from fitlib.tables.comparisons import Pair, pairs_of, variance_power
from fitlib.tables.fit_findings import CheckFit
from fitlib.tables.schemas import COSTS, Json, join_notes, table_of

COST_NAMES = ("cost_accuracy", "cost_bias_variance", "cost_accuracy_variance")
Flag = bool | None  # None: cannot be decided
Key = tuple[str, str, str, str]


def costs(
    comparisons: pd.DataFrame,
    metrics: pd.DataFrame,
    plan: Json,
    evidence: Sequence[Json] = (),
    check_fit: CheckFit | None = None,
    pairs: Sequence[Pair] | None = None,
) -> pd.DataFrame:
    """Return whether the verdict is fairer and what that cost, per technique, arm, attribute and distinct metric.

    ``decrease`` "yes": verdict "fairer" (study: mean label "-"). Only then: ``cost_accuracy`` (95 % interval of the
    difference of mean accuracy below 0), ``cost_bias_variance`` (Brown-Forsythe on raw values, p <= alpha after Holm's
    correction, and the larger mean distance from the median), ``cost_accuracy_variance`` (the same for accuracy,
    corrected over the techniques), and ``any`` of them. "": the verdict is another, or there is none (``note``: not
    FIT, bit-identical, too few runs). ``pairs``: those of `pairs_of`, where they are made already.
    """
    rows = {_key(row): row for row in comparisons.to_dict("records")}
    by_key = {_pair_key(pair): pair for pair in pairs or pairs_of(metrics, plan, evidence, check_fit)}
    distinct = [key for key, row in rows.items() if row["redundant_with"] == "" and not pd.isna(row["family_size"])]
    holm = _accuracy_holm(rows, distinct)
    table = []
    for key in distinct:
        of_accuracy = (*key[:3], "accuracy")
        row, accuracy = rows[key], rows[of_accuracy] | {"p_variance_raw_holm": holm.get(key[:2], np.nan)}
        answers = _fitlib_answers(row, accuracy, plan["analysis"]["alpha"])
        answers |= _study_answers(by_key[key], by_key[of_accuracy])
        table.append(_cost_row(row, accuracy | {"tests": len(holm), "alpha": plan["analysis"]["alpha"]}, answers))
    return table_of(table, COSTS)


def study_costs(
    baseline: np.ndarray, technique: np.ndarray, accuracy_baseline: np.ndarray, accuracy_technique: np.ndarray
) -> dict[str, Flag]:
    """Judge the costs on one bias metric by the study's labels: ``decrease``, the three costs and ``any``.

    All samples (runs,). Costs are None where bias did not fall; any answer is None where the study's test does not
    exist.
    """
    bias = paper_protocol.compare(baseline, technique)
    accuracy = paper_protocol.accuracy(accuracy_baseline, accuracy_technique)
    fell = _has_label(bias.label_mean, "-")
    labels = ((accuracy.label_mean, "-"), (bias.label_variance, "+"), (accuracy.label_variance, "+"))
    return _answers(fell, [_has_label(label, wanted) for label, wanted in labels])


def _key(row: Mapping[str, Any]) -> Key:
    return row["technique"], row["arm"], row["attribute"], row["metric"]


def _pair_key(pair: Pair) -> Key:
    return pair.technique["technique"], pair.arm["arm"], pair.attribute, pair.metric


def _accuracy_holm(rows: Mapping[Key, Json], distinct: Sequence[Key]) -> dict[tuple[str, str], float]:
    """Return {(technique, arm): Holm's p of the spread of accuracy}; accuracy is the same for all attributes."""
    p = {key[:2]: rows[*key[:3], "accuracy"]["p_variance_raw"] for key in distinct}
    p = {key: value for key, value in p.items() if not pd.isna(value)}
    return dict(zip(p, sig.holm(np.array(list(p.values()))).tolist(), strict=True))


def _fitlib_answers(row: Json, accuracy: Json, alpha: float) -> dict[str, Flag]:
    fell = row["verdict"] == FAIRER if row["verdict"] in VERDICTS else None
    lower = None if pd.isna(accuracy["difference_high"]) else accuracy["difference_high"] < 0
    return _answers(fell, [lower, _wider(row, alpha), _wider(accuracy, alpha)])


def _wider(row: Json, alpha: float) -> Flag:
    if pd.isna(row["p_variance_raw_holm"]):
        return None
    return bool(row["p_variance_raw_holm"] <= alpha and row["deviation_technique"] > row["deviation_baseline"])


def _study_answers(bias: Pair, accuracy: Pair) -> dict[str, Flag]:
    samples = (*bias.samples, *accuracy.samples)
    untested = bias.fit == "no" or bias.bit_identical or min(map(len, samples)) < 2
    answers = _answers(None, [None] * 3) if untested else study_costs(*samples)
    return {f"{name}_study": value for name, value in answers.items()}


def _answers(fell: Flag, rose: Sequence[Flag]) -> dict[str, Flag]:
    """Name the answers; ``rose``: whether each cost arose, which counts only where bias fell."""
    rose = list(rose) if fell else [None] * len(rose)
    some = True if True in rose else None if None in rose else False
    return {"decrease": fell, **dict(zip(COST_NAMES, rose, strict=True)), "any": some}


def _has_label(label: str, wanted: str) -> Flag:
    return label == wanted if label else None


def _cost_row(row: Json, accuracy: Json, answers: Mapping[str, Flag]) -> Json:
    keys = ("technique", "baseline", "arm", "seed", "attribute", "metric", "n_baseline", "n_technique")
    words = {name: {True: "yes", False: "no", None: ""}[value] for name, value in answers.items()}
    numbers = {
        "accuracy_difference": accuracy["difference"],
        "accuracy_low": accuracy["difference_low"],
        "accuracy_high": accuracy["difference_high"],
        "sd_accuracy_baseline": accuracy["sd_baseline"],
        "sd_accuracy_technique": accuracy["sd_technique"],
        "p_accuracy_variance": accuracy["p_variance_raw"],
        "p_accuracy_variance_holm": accuracy["p_variance_raw_holm"],
        "accuracy_family_size": accuracy["tests"],
        "power_accuracy_variance": _accuracy_power(accuracy),
    }
    return {name: row[name] for name in keys} | words | numbers | {"note": _cost_note(row, answers)}


def _accuracy_power(row: Json) -> float:
    """Return the power for an SD of accuracy 1.5 times as large, at the corrected alpha; NaN where it is untested."""
    return np.nan if pd.isna(row["p_variance_raw_holm"]) else variance_power(row, row["alpha"] / row["tests"])


def _cost_note(row: Json, answers: Mapping[str, Flag]) -> str:
    if answers["decrease"] is None:
        return join_notes(row["verdict"], row["note"])
    unknown = [name.removeprefix("cost_").replace("_", " ") for name in COST_NAMES if answers[name] is None]
    return f"{st.NOT_ESTIMABLE}{', '.join(unknown)}" if answers["decrease"] and unknown else ""
