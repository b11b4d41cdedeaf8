"""Results of several analyses as one: more runs of a technique, or more techniques, on the same test set.

The combination is analysed anew from the predictions: its numbers are those of one analysis of everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fitlib.errors import InputError
from fitlib.experiment.external_predictions import baseline_first, choose_baseline, external_plan
from fitlib.experiment.schema import Analysis, validated
from fitlib.metrics.custom_metrics import Metric
from fitlib.report.vocabulary import seeded_by_run
from fitlib.results.analysis import arms_of, tables_of
from fitlib.results.array_inputs import ONLY_TECHNIQUE, EncodedArrays, digest_runs
from fitlib.results.results import Results
from fitlib.storage.predictions import Predictions, crossed_name, select_runs
from fitlib.tables.metric_series import main_arms

WHERE = "combine"
NOT_CARRIED = (
    "Combined from several results: what their runs recorded about themselves is not carried over, so whether they are "
    "the same training is not known here"
)


def combine(first: Results, *others: Results, baseline: str | None = None) -> Results:
    """Combine results on the same test set: of a technique that several have, the runs are taken together.

    The results may be in memory or loaded from a folder that has its predictions. Classes, groups, test rows and
    settings of the analysis must be the same; rows are matched by their position. A technique whose runs are the same
    in two results, such as a shared baseline, counts once; where only some of its runs are, that is an error. So are
    predictions without a name in several results: they may be more runs of one technique, or two techniques.
    ``baseline``: the technique that the others are compared with; default: that of ``first``. `first + second` does the
    same.

    What runs recorded about themselves is not carried over: whether the combined runs are the same training is as
    unknown as for any predictions made elsewhere. Raises InputError, in one line, for results that do not fit.

    >>> import fitlib, numpy as np
    >>> rng, truth, sex = np.random.default_rng(0), np.arange(300) % 2, np.repeat(["f", "m"], 150)
    >>> runs = lambda share: np.where(rng.random((4, 300)) < share, 1 - truth, truth)
    >>> first, second = {"A": runs(0.3)}, {"A": runs(0.3), "B": runs(0.1)}
    >>> results = fitlib.analyze(truth, first, sensitive_features=sex)
    >>> fitlib.combine(results, fitlib.analyze(truth, second, sensitive_features=sex, baseline="A"))
    <results of A, B: 4 to 8 runs, 300 rows, groups by protected>
    """
    given = [first, *others]
    _check_results(given)
    for number, other in enumerate(others, 2):
        _check_plans(first.plan, other.plan, number)
    _check_noises(given)
    arrays = _arrays(given)
    names = list(arrays.predictions)
    chosen = choose_baseline(names, baseline or _baseline(first), WHERE, "baseline")
    custom = _custom_metrics(given)
    plan = _plan(given, arrays, baseline_first(names, chosen))
    predictions = arms_of(arrays)
    rows = len(arrays.predictions[names[0]].idx)
    return Results(plan, tables_of(predictions, plan, custom), rows, predictions=predictions, custom=custom)


def _baseline(results: Results) -> str | None:
    """Return the baseline of some results, None where there are several."""
    found = [t["technique"] for t in results.plan["techniques"] if t["baseline"] is None]
    return found[0] if len(found) == 1 else None


def _plan(given: Sequence[Results], arrays: EncodedArrays, order: Sequence[str]) -> dict[str, Any]:
    """Return the plan of the combination: as of predictions made elsewhere, with what is equal in all results."""
    plan = external_plan(arrays.mapping, order, _analysis(given[0].plan), arrays.digests, arrays.seeds)
    varied = {(arm["kind"], arm["noise"]) for one in given for arm in main_arms(one.plan)}
    if len(varied) == 1 and seeded_by_run(main_arms(given[0].plan)[0]):
        kind, noise = varied.pop()
        plan["arms"] = [{**arm, "kind": kind, "noise": noise} for arm in plan["arms"]]
    if all(one.plan["data"] == given[0].plan["data"] for one in given):
        plan["data"] = given[0].plan["data"]
    carried = [text for one in given if one.evidence for text in one.plan.get("deviations", ())]
    unknown = [NOT_CARRIED] if any(one.evidence for one in given) else []
    plan["deviations"] = list(dict.fromkeys([*plan["deviations"], *carried, *unknown]))
    plan["notes"] = list(dict.fromkeys(plan["notes"]))
    return plan


def _analysis(plan: Mapping[str, Any]) -> Analysis:
    """Return the settings of an analysis, with the defaults of those that an older plan does not have."""
    found: Analysis = validated(Analysis, plan["analysis"], WHERE)
    return found


# Do the results fit?


def _check_results(given: Sequence[Results]) -> None:
    for number, one in enumerate(given, 1):
        if not isinstance(one, Results):
            remedy = "give results of fitlib.analyze, load or repeat"
            raise InputError(WHERE, f"argument {number}", one, "no results", remedy)
    if len(given) < 2:
        raise InputError(WHERE, "others", (), "nothing to combine with", "give two results or more")


def _check_plans(first: Mapping[str, Any], other: Mapping[str, Any], number: int) -> None:
    """Raise InputError unless two plans have the same classes, groups and settings of the analysis."""
    remedy = "analyse both with the same"
    if first["classes"] != other["classes"]:
        raise InputError(WHERE, f"classes of result {number}", other["classes"], f"not {first['classes']}", remedy)
    if first["groups"] != other["groups"]:
        raise InputError(WHERE, f"groups of result {number}", other["groups"], f"not {first['groups']}", remedy)
    settings, others = _analysis(first).model_dump(), _analysis(other).model_dump()
    for name, value in settings.items():
        if value != others[name]:
            problem = f"not {value!r}, as in the first result"
            raise InputError(WHERE, f"{name} of result {number}", others[name], problem, remedy)


def _check_noises(given: Sequence[Results]) -> None:
    """Raise InputError where the runs of the results are known to vary by different things.

    Runs that vary by their random state have no seed beside it: those of two results may be the same ones.
    """
    noises = [{str(arm["noise"]) for arm in main_arms(one.plan)} for one in given]
    for number, found in enumerate(noises[1:], 2):
        if found != noises[0] and "unknown" not in found | noises[0]:
            names = ", ".join(sorted(found))
            problem = f"not {', '.join(sorted(noises[0]))}, as in the first result"
            raise InputError(WHERE, f"noise of result {number}", names, problem, "combine runs that vary by the same")
    states = {arm["seed"] for one in given for arm in main_arms(one.plan) if seeded_by_run(arm)}
    if len(states) > 1:
        problem = "first random states of runs that overlap"
        remedy = "give all random states in one call: fitlib.repeat(…, runs=…)"
        raise InputError(WHERE, "seeds", sorted(states), problem, remedy)


def _custom_metrics(given: Sequence[Results]) -> dict[str, Metric]:
    """Return the metrics beside the seven. Raises InputError where one name stands for different functions."""
    found: dict[str, Metric] = {}
    for number, one in enumerate(given, 1):
        for name, metric in one._custom_metrics().items():
            if found.setdefault(name, metric) != metric:
                problem, remedy = "another function than in the first result", "give the same function, or another name"
                raise InputError(WHERE, f"metrics of result {number}", name, problem, remedy)
    return found


def _check_shared(technique: str, parts: Sequence[_Runs], runs: _Runs, number: int) -> None:
    """Raise InputError where most runs of the smaller of two results are in the other one, but not all are the same."""
    for part in parts:
        if (part.predictions.score is None) != (runs.predictions.score is None):
            continue  # `_joined` says so
        shared = len(set(part.digests) & set(runs.digests))
        if 2 * shared >= min(len(set(part.digests)), len(set(runs.digests))) and shared > 1:
            problem = f"{shared} of its {len(runs.digests)} runs are equal to runs of an earlier result (SHA-256)"
            remedy = "leave these out of one of them: a run counts once"
            raise InputError(WHERE, f"runs of {technique} in result {number}", len(runs.digests), problem, remedy)


def _check_test_set(first: Predictions, other: Predictions, where: str) -> None:
    """Raise InputError unless two techniques predict the same rows."""
    pairs: dict[str, tuple[Any, Any]] = {"rows": (_rows(first), _rows(other)), "ground truth": (first, other)}
    pairs["ground truth"] = (first.ground_truth, other.ground_truth)
    pairs |= {f"groups of {name}": (rows, other.protected[name]) for name, rows in first.protected.items()}
    pairs["units"] = (_or_none(first.unit), _or_none(other.unit))
    for name, (expected, found) in pairs.items():
        if not np.array_equal(expected, found):
            problem = "not those of the first result"
            raise InputError(WHERE, f"{name} of {where}", "other values", problem, "combine runs on one test set")


def _rows(predictions: Predictions) -> Any:
    """Return the row numbers, or how many there are where rows are matched by position."""
    counted = np.array_equal(predictions.idx, np.arange(len(predictions.idx)))
    return len(predictions.idx) if counted else predictions.idx


def _or_none(values: Any) -> Any:
    return np.empty(0) if values is None else values


# Predictions of all results together


class _Runs(NamedTuple):
    """Runs of one technique of one result: with their seeds (None: not recorded) and the hash of each."""

    predictions: Predictions
    seeds: list[int] | None
    digests: list[str]


def _arrays(given: Sequence[Results]) -> EncodedArrays:
    """Return the predictions of all results as one `EncodedArrays`."""
    found: dict[str, list[_Runs]] = {}
    first: Predictions | None = None
    for number, one in enumerate(given, 1):
        for technique, runs in _runs_of(one, number).items():
            first = first or runs.predictions
            _check_test_set(first, runs.predictions, f"{technique} in result {number}")
            parts = found.setdefault(technique, [])
            if runs.digests not in [part.digests for part in parts]:  # a baseline that both share counts once
                if parts and technique == ONLY_TECHNIQUE:
                    problem = "not named in several results: more runs of one technique, or two techniques?"
                    remedy = 'name both, alike or not: fitlib.analyze(y_true, {"forest": y_pred}, …)'
                    raise InputError(WHERE, f"technique of result {number}", technique, problem, remedy)
                _check_shared(technique, parts, runs, number)
                parts.append(runs)
    joined = {technique: _joined(technique, parts) for technique, parts in found.items()}
    return EncodedArrays(
        {technique: runs.predictions for technique, runs in joined.items()},
        _mapping(given, list(joined)),
        {technique: runs.digests for technique, runs in joined.items()},
        _seeds(joined),
    )


def _runs_of(results: Results, number: int) -> dict[str, _Runs]:
    """Return the runs of each technique in plan order."""
    arms = main_arms(results.plan)
    seeds = {arm["arm"]: arm["seed"] for arm in arms}
    if len(set(seeds.values())) < len(seeds):
        remedy = "combine results that vary by one noise"
        raise InputError(WHERE, f"arms of result {number}", list(seeds), "several arms with one seed", remedy)
    predictions, own = results._seeded_runs(), results.plan.get("seeds", {})
    runs = {}
    for technique in (t["technique"] for t in results.plan["techniques"]):
        if technique not in predictions:
            remedy = "an export leaves them out: load the experiment that they were made in"
            raise InputError(WHERE, f"predictions of {technique} in result {number}", None, "not there", remedy)
        parts = [_of_arm(of, seeds[arm]) for arm, (_, of) in predictions[technique].items()]
        runs[technique] = _joined(technique, parts)._replace(**({"seeds": own[technique]} if own else {}))
    return runs


def _of_arm(predictions: Predictions, seed: int | None) -> _Runs:
    number = len(predictions.runs)
    runs = select_runs(predictions, range(number))
    return _Runs(runs, None if seed is None else [seed] * number, digest_runs(runs))


def _joined(technique: str, parts: Sequence[_Runs]) -> _Runs:
    """Return the runs of several results one after the other, numbered from 0."""
    if len(parts) == 1:
        return parts[0]
    scores = [part.predictions.score for part in parts]
    if len({None if score is None else score.shape[2:] for score in scores}) > 1:
        problem, remedy = "in some of the results only, or in another form", "analyse all of them with scores, or none"
        raise InputError(WHERE, f"scores of {technique}", "different", problem, remedy)
    score = None if scores[0] is None else np.concatenate([score for score in scores if score is not None])
    prediction = np.concatenate([part.predictions.prediction for part in parts])
    runs = replace(parts[0].predictions, prediction=prediction, score=score, runs=tuple(range(len(prediction))))
    known = [seed for part in parts for seed in part.seeds or ()]
    return _Runs(runs, known if len(known) == len(prediction) else None, [d for part in parts for d in part.digests])


def _seeds(runs: Mapping[str, _Runs]) -> dict[str, list[int]] | None:
    """Return the seed of every run; None where one is not recorded. InputError where that would mix several seeds."""
    if all(of.seeds is not None for of in runs.values()):
        return {technique: of.seeds or [] for technique, of in runs.items()}
    seeds = {seed for of in runs.values() for seed in of.seeds or ()}
    if len(seeds) > 1:
        problem, remedy = "recorded in some of the results only", "give the seeds of all runs: analyze(…, seeds=…)"
        raise InputError(WHERE, "seeds", sorted(seeds), problem, remedy)
    return None


def _mapping(given: Sequence[Results], techniques: Sequence[str]) -> dict[str, Any]:
    """Return names of classes and groups as `fitlib.results.array_inputs` does; they are final already."""
    plan = given[0].plan
    crossed = {crossed_name(names) for names in plan["analysis"].get("cross") or []}
    groups = {attribute: names for attribute, names in plan["groups"].items() if attribute not in crossed}
    return {
        "classes": plan["classes"],
        "groups": groups,
        "numeric": dict.fromkeys(groups, False),
        "rows": dict.fromkeys(techniques, ""),
        "notes": [note for one in given for note in one.plan.get("notes", ())],
    }
