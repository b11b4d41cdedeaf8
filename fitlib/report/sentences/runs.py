"""Sentences on the runs of one technique: how far they lie apart, and what one more run may show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fitlib.formatting import count, join_items, points, probability, span
from fitlib.report.vocabulary import CUSTOM, METRIC_NAMES, bias_rows, class_name, overall_rows, technique_label
from fitlib.statistics import run_identity
from fitlib.statistics.estimates import next_run_within


def largest_difference(summary: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping] = ()) -> list[str]:
    """Return the largest difference between two runs that should be equal; one sentence per number of runs.

    MaxDiff grows with n, so techniques with unequal numbers of runs are never compared; runs that are not FIT are left
    out.
    """
    rows = _not_refuted(overall_rows(summary).dropna(subset=["maxdiff"]), plan, evidence)
    rows = rows[rows["n"] > 1]
    sizes = sorted({int(n) for n in rows["n"]}, reverse=True)
    if not sizes:
        return [
            "How much fairness varies between equal runs cannot be seen: no technique has two FIT runs in which a bias "
            "metric is defined."
        ]
    scope = _fit_scope(overall_rows(summary), rows)
    top = [rows.loc[rows.loc[rows["n"] == n, "maxdiff"].idxmax()] for n in sizes]
    return [_largest(row, scope if len(sizes) == 1 else f" of {int(row['n'])} runs{scope}", rows) for row in top]


def _fit_scope(all_rows: pd.DataFrame, kept: pd.DataFrame) -> str:
    """Return " of FIT runs" where the runs of some technique were left out for not being FIT."""
    left_out = set(all_rows["technique"] + all_rows["arm"]) - set(kept["technique"] + kept["arm"])
    varying = all_rows[(all_rows["technique"] + all_rows["arm"]).isin(left_out) & (all_rows["n"] > 1)]
    return " of FIT runs" if varying["maxdiff"].notna().any() else ""


def _not_refuted(rows: pd.DataFrame, plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """Return the rows of techniques whose runs are FIT, or of unknown identity."""
    training = {t["technique"]: t["training"] for t in plan["techniques"]}
    keys = set(zip(rows["technique"], rows["arm"], strict=True))
    refuted = {key for key in keys if run_identity.check_fit(evidence, training[key[0]], key[1]).fit is False}
    kept = [key not in refuted for key in zip(rows["technique"], rows["arm"], strict=True)]
    return rows[pd.Series(kept, rows.index, dtype=bool)]


def _largest(row: pd.Series, scope: str, frame: pd.DataFrame) -> str:
    """Describe the largest difference of an overall value among those of `scope`; classes may differ by more."""
    n, metric = int(row["n"]), str(row["metric"])
    if row["maxdiff"] == 0:
        return f"Every overall value{scope} was constant in all {n} runs."
    changing = "undefined" not in row["note"] and row["n_undefined_max"] > 0
    return (
        f"The {metric} ({METRIC_NAMES.get(metric, CUSTOM)}) of {technique_label(frame, row)} ranged from "
        f"{points(row['min'])} to {points(row['max'])} points over {_its_runs(row)}. That difference, "
        f"{points(row['maxdiff'])} points (MaxDiff), is the largest found among overall values{scope}."
        f"{' A run counts the classes that are defined in it.' if changing else ''}"
    )


def _its_runs(row: pd.Series) -> str:
    """Return "its 16 runs"; of a value that is undefined in some run "the 15 runs in which it is defined"."""
    return f"the {int(row['n'])} runs in which it is defined" if "undefined" in row["note"] else f"its {row['n']} runs"


def constants(summary: pd.DataFrame) -> list[str]:
    """Return the overall values that never changed, by technique."""
    rows = overall_rows(summary)
    rows = rows[(rows["n"] > 1) & (rows["maxdiff"] == 0)]
    groups = rows.groupby(["technique", "arm", "attribute", "n"], sort=False)
    return [_constant(group, int(key[3]), summary) for key, group in groups]


def _constant(rows: pd.DataFrame, n: int, summary: pd.DataFrame) -> str:
    """Return that the overall values of `rows`, all of one technique and number of runs, never changed."""
    several = len(rows) > 1
    undefined = rows["note"].str.contains("undefined").any()
    where = f" in which {'they are' if several else 'it is'} defined" if undefined else ""
    return (
        f"{technique_label(summary, rows.iloc[0])}: the overall {'values' if several else 'value'} of "
        f"{join_items(rows['metric'], 7)} {'were' if several else 'was'} constant in all {n} runs{where}."
    )


def next_run(summary: pd.DataFrame) -> str:
    """Return how likely a value of the next run is within the range seen: (n−1)/(n+1), or more where values tie."""
    rows = overall_rows(summary)
    sizes = sorted({int(n) for n in rows.loc[rows["maxdiff"] > 0, "n"]})
    if not sizes:
        return ""
    texts = [f"{probability(next_run_within(n))} (n = {n})" for n in sizes]
    return (
        "Of one more run under the same conditions, any one overall value falls within the range that it had so far "
        f"with probability {join_items(texts)}, or more where runs have equal values.{_predicted(summary, rows)}"
    )


def _predicted(summary: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Return the prediction interval of the next run for the value that varies most."""
    known = rows.dropna(subset=["next_low", "next_high"])
    if known.empty:
        return ""
    row = known.loc[known["maxdiff"].idxmax()]
    return (
        f" For the {row['metric']} of {technique_label(summary, row)}, which varies most, the 95 % prediction interval "
        f"of one more run is {span(row['next_low'], row['next_high'])} points (normal runs)."
    )


def intervals(summary: pd.DataFrame) -> list[str]:
    """Return where intervals are missing, and why."""
    rows = overall_rows(summary).assign(attribute="")
    single = rows[(rows["n"] == 1) & ~rows["note"].str.contains("undefined")]
    names = dict.fromkeys(technique_label(rows, row) for _, row in single.iterrows())
    few = sorted({int(n) for n in rows.loc[rows["n"].between(2, 4), "n"]})
    texts = (
        [f"{join_items(names)}: 1 run, so no standard deviation and no interval of a mean is estimable."]
        if names
        else []
    )
    if few:
        texts.append(f"With {join_items(few)} runs the interval of the standard deviation is not estimable (5 needed).")
    return texts


def undefined_values(summary: pd.DataFrame, plan: Mapping) -> str:
    """Return the classes that lacked a metric in some run; "" without any class."""
    classes = bias_rows(summary)
    classes = classes[classes["target"] != "overall"]
    rows = classes[classes["n_undefined_max"].fillna(0) > 0]
    if rows.empty:
        return "Every metric of every class was defined in every run." if len(classes) else ""
    names = list(dict.fromkeys(class_name(plan, target) for target in rows["target"]))
    return (
        f"{count(len(names), 'class', 'classes')} ({join_items(names)}) had undefined values of "
        f"{join_items(dict.fromkeys(rows['metric']), 7)} in some run, for lack of cases predicted as the class, truly "
        "in it or outside it. "
        "They are left out; comparisons use only classes defined in every run of both techniques."
    )
