"""Words that sentences, captions, tables for readers and figures share.

A value that is not there reads "not estimable"; no NaN is ever printed. Points are percentage points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from fitlib.formatting import NOT_ESTIMABLE, count, is_missing, join_items, points, span
from fitlib.metrics.bias_metrics import bias_metrics_of
from fitlib.metrics.smallest_effects import DEFAULT, share_of
from fitlib.statistics.verdict_names import TOO_FEW
from fitlib.statistics.verdict_names import VERDICTS as JUDGED
from fitlib.tables.metric_series import main_arms, retraining

OWN_DATA = ("table", "images")  # kinds of data set whose name does not describe the content
METRIC_NAMES = {
    "DP": "demographic parity",
    "DI": "disparate impact",
    "SPSF": "statistical parity subgroup fairness",
    "FPSF": "false positive subgroup fairness",
    "EOFP": "equalised odds, false positives",
    "EOTP": "equalised odds, true positives",
    "BA": "bias amplification",
}
CUSTOM = "custom metric"  # in place of the name of another
METRIC_MEANINGS = {
    "DP": "difference between the groups' shares predicted as the class",
    "DI": "1 − smallest share / largest share predicted as the class; the impact ratio is 1 − DI",
    "SPSF": "how far each group's predicted share lies from everybody's, weighted by group size",
    "FPSF": "how far each group's false positive rate lies from everybody's, weighted by its share not of the class",
    "EOFP": "difference between the groups' false positive rates",
    "EOTP": "difference between the groups' true positive rates",
    "BA": "how far a group's share among those predicted as the class lies from its share among those truly in it",
}
NOISE_MEANINGS = {
    "none": "nothing differs",
    "native": "nothing is added: what hardware and software do by themselves",
    "ulp": "one weight is moved by one unit in the last place",
    "reduction-order": "the order in which finished mini-batches are summed",
    "threads": "the number of threads, drawn at every step",
    "primitives": "the choice among equivalent primitives, drawn at every step",
    "run": "whatever the training makes of the index of the run",
    "random_state": "the random state of each run",
    "order": "the order of the training rows",
    "split": "which 80 % of the training rows are used",
    "bootstrap": "the training rows, drawn with replacement",
}
RANDOM_STATE = "random_state"
OF_ESTIMATORS = (RANDOM_STATE, "order", "split", "bootstrap")  # what varies between the runs of an estimator
VARIED = "varied"  # kind of a noise that the training itself makes from the index of the run
EPOCHS = {  # by `training.select`; own: a custom training
    "last": "last epoch",
    "best-f1": "epoch with the best validation macro-F1",
    "own": "epoch as the own training chose",
}
VERDICTS = (*JUDGED, TOO_FEW, "not FIT", NOT_ESTIMABLE)  # all values of the column, the six verdicts first


# Names from the plan


def trainings(plan: Mapping) -> dict[str, list[str]]:
    """Return the trainings in plan order, each with the techniques that share it."""
    shared: dict[str, list[str]] = {}
    for technique in plan["techniques"]:
        shared.setdefault(technique["training"], []).append(technique["technique"])
    return shared


def not_run(plan: Mapping, evidence: Sequence[Mapping]) -> list[str]:
    """Return the techniques none of whose runs was started, as after `fitlib run --only`; [] without evidence.

    >>> plan = {"techniques": [{"technique": "A", "training": "a"}, {"technique": "B", "training": "b"}]}
    >>> states = [("a", "done"), ("b", "missing")]
    >>> not_run(plan, [{"training": name, "role": "main", "status": state} for name, state in states])
    ['B']
    """
    started = {run["training"] for run in evidence if run["role"] == "main" and run["status"] != "missing"}
    return [t["technique"] for t in plan["techniques"] if t["training"] not in started] if evidence else []


def class_name(plan: Mapping, target: Any) -> str:
    """Return the name that the plan gives to a class number; the number itself where it gives none."""
    names, number = plan.get("classes") or [], int(target)
    return str(names[number]) if 0 <= number < len(names) else str(number)


def noise(arm: Mapping) -> str:
    """Return the noise of an arm: "ulp (emulated)", "native", "not recorded"."""
    if arm["kind"] == "unknown":
        return "not recorded"
    return f"{arm['noise']} (emulated)" if arm["kind"] == "emulated" else str(arm["noise"])


def noise_explained(plan: Mapping) -> str:
    """Return the noise of every main arm with what it does, each once."""
    meanings = {varied(arm): NOISE_MEANINGS.get(str(arm["noise"]), "") for arm in main_arms(plan)}
    texts = (f"{name}: {meaning}" if meaning and name != meaning else name for name, meaning in meanings.items())
    return "; ".join(text.removeprefix("noise ") for text in texts)


def varied(arm: Mapping) -> str:
    """Return what varied between the runs of an arm: "noise ulp (emulated)", "the order of the training rows"."""
    return NOISE_MEANINGS[arm["noise"]] if arm["kind"] == VARIED else f"noise {noise(arm)}"


def seeded_by_run(arm: Mapping) -> bool:
    """Return whether every run of the arm has a random state of its own."""
    return arm["kind"] == "comparison" or arm.get("noise") == RANDOM_STATE


def seed(arm: Mapping) -> str:
    """Return the seed of an arm; "not recorded" for external predictions without seeds."""
    return "not recorded" if is_missing(arm.get("seed")) else str(arm["seed"])


def data_name(plan: Mapping) -> str:
    """Return the name of the data set, of a user's table or images that of the file or folder; "" without one."""
    data = plan.get("data") or {}
    name, place = str(data.get("name") or ""), data.get("file") or data.get("root") or ""
    if name in OWN_DATA and place:  # the file's name says more than the kind of data set
        name = PurePath(str(place)).name
    return "" if name == "unknown" else name


def trained_on(plan: Mapping) -> str:
    """Return what all runs of a technique share, as far as it is recorded for a custom training."""
    own = any(technique.get("select") == "own" for technique in plan.get("techniques", []))
    return "training code and its inputs" if own else "training data"


def epoch(plan: Mapping) -> str:
    """Return which epoch predicts, as the end of a list: ", last epoch"; "" for external predictions and estimators."""
    noises = {arm.get("noise") for arm in plan.get("arms", []) if arm["role"] == "main"}
    if plan.get("source") != "fitlib" or (noises and noises <= set(OF_ESTIMATORS)):
        return ""
    chosen: dict[str, list[str]] = {}
    for technique in plan.get("techniques", []):
        chosen.setdefault(technique.get("select", "last"), []).append(technique["technique"])
    if len(chosen) < 2:
        return f", {EPOCHS[next(iter(chosen), 'last')]}"
    return ", " + " or ".join(f"{EPOCHS[rule]} ({join_items(names)})" for rule, names in chosen.items())


def changed_later(plan: Mapping, choice: str) -> bool:
    """Return whether a declared choice of the analysis was changed after runs had finished."""
    return any(f"analysis.{choice} " in str(text) for text in plan.get("deviations") or [])


def retraining_conditions(plan: Mapping) -> str:
    """Return how the runs of a risk are trained again: "with the same seed", as far as the seed is recorded."""
    shared = join_items(dict.fromkeys(map(retraining, main_arms(plan))))
    return f"{'under' if 'conditions' in shared else 'with'} the {shared}"


# Rows of the tables


def bias_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the bias metrics, custom ones included."""
    return frame[frame["metric"] != "accuracy"]


def overall_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the summary that hold a bias metric's overall value."""
    return bias_rows(summary[summary["target"] == "overall"])


def distinct(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the tests corrected together: bias metrics that do not repeat another one."""
    rows = bias_rows(comparisons)
    return rows[(rows["redundant_with"] == "") & rows["family_size"].notna()]


def judged(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return those rows of `distinct` that got a verdict (FIT or identity unknown, estimable, enough runs)."""
    rows = distinct(comparisons)
    return rows[rows["verdict"].isin(JUDGED)]


def deciding(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `distinct` that the headline is about: those on the declared primary metric, or all."""
    rows = distinct(comparisons)
    primary = rows[rows["primary"] == "yes"]
    return primary if len(primary) else rows


def smallest_effect_text(plan: Mapping, metric: str | None = None) -> str:
    """Return the declared smallest effect of a metric, or of all: "±1.00 points", "±10 % of the baseline's mean"."""
    declared = plan["analysis"]["smallest_effect"]
    if not isinstance(declared, Mapping):
        return _effect_text(declared)
    if metric is not None:
        return _effect_text(declared.get(metric, DEFAULT))
    others = (
        [] if set(declared) == set(bias_metrics_of(plan["analysis"])) else [f"other metrics {_effect_text(DEFAULT)}"]
    )
    return join_items([*(f"{name} {_effect_text(value)}" for name, value in declared.items()), *others], 8)


def custom_meaning(declared: Mapping) -> str:
    """Return what a custom metric is: where its function is from, and how its values enter the tables.

    >>> custom_meaning({"function": "my_metrics:worst_group", "larger_is_fairer": True})
    '1 − the value of my_metrics:worst_group, so that larger is less fair'
    """
    if declared["larger_is_fairer"]:
        return f"1 − the value of {declared['function']}, so that larger is less fair"
    return f"the value of {declared['function']}"


def _effect_text(value: float | str) -> str:
    share = share_of(value)
    return f"±{points(float(value))} points" if share is None else f"±{100 * share:g} % of the baseline's mean"


def family(comparisons: pd.DataFrame, size: str = "family_size") -> str:
    """Return how many tests are corrected together, as text; of spread: `size` "family_size_variance"."""
    sizes = sorted({int(n) for n in comparisons[size].dropna()})
    return " or ".join(map(str, sizes)) or "0"


def technique_label(frame: pd.DataFrame, row: Mapping) -> str:
    """Return the technique of a row, with arm and protected attribute where `frame` has several."""
    return f"{row['technique']}{arm_and_attribute_suffix(frame, row)}"


def arm_and_attribute_suffix(frame: pd.DataFrame, row: Mapping) -> str:
    """Return " (arm ulp, by sex)" for a row: only what `frame` has several of, "" where it has one of each."""
    parts = [f"arm {row['arm']}"] if frame["arm"].nunique() > 1 else []
    parts += [f"by {row['attribute']}"] if frame["attribute"].nunique() > 1 else []
    return f" ({', '.join(parts)})" if parts else ""


def combinations(n: int, frame: pd.DataFrame, *about: str) -> str:
    """Return a number of rows with what one row of `frame` is about, arm and attribute where it has several.

    >>> combinations(3, pd.DataFrame({"arm": ["ulp"], "attribute": ["sex"]}), "technique", "class")
    '3 pairs of technique and class'
    """
    further = [name for name in ("arm", "attribute") if frame[name].nunique() > 1]
    return f"{count(n, 'combination' if further else 'pair')} of {join_items([*about, *further])}"


def interval(low: float, high: float, scale: float = 100.0) -> str:
    """Return an interval, in points by default: "[−1.20, 0.31]"; "(interval not estimable)" where an end is missing."""
    return f"(interval {NOT_ESTIMABLE})" if is_missing(low) or is_missing(high) else span(low, high, scale)
