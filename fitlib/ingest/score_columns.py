"""Assignment of score columns to classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.label_encoding import list_values
from fitlib.errors import InputError
from fitlib.ingest.column_roles import fold_name
from fitlib.ingest.run_predictions import RunPredictions

FAVOURABLE = ("positive", "pos", "favourable", "favorable")  # names of the favourable class in a column of scores
LISTS = -1  # in place of a class: a column of lists, one number for each class
Used = dict[int, str]  # {class, or LISTS: key of its scores in `RunPredictions.scores`}


def usable_scores(
    runs: Sequence[RunPredictions],
    later: NDArray[np.bool_],
    names: Sequence[str],
    several: bool,
    favourable: str | None,
) -> tuple[Used, str]:
    """Return a technique's scores by class ({} if unusable), and a note on them, with "{}" in place of the technique.

    later (codes,): which codes of predictions are the later of two classes; names: of all classes; several: whether
    targets are lists of labels. A column may name its class ("proba_yes"); a single column for two classes belongs to
    the later one, unless scores are higher where the other one is predicted.
    """
    scores = runs[0].scores
    if not scores:
        return {}, ""
    if "" in scores:
        return _unnamed_scores(runs, later, names, several)
    found = {number: key for key in scores if (number := class_of(key, names, favourable)) is not None}
    if not found or several or (len(names) > 2 and len(found) < len(names)):
        problem = f"their columns name {list_values(scores)}, the classes are {list_values(names)}"
        return {}, f"Scores{{}} not used: {problem}."
    # With two classes the score of the later one is enough; the other's is its complement.
    used = {1: found[1]} if len(names) == 2 and 1 in found else dict(sorted(found.items()))
    whose = f"class {names[next(iter(used))]}" if len(used) == 1 else "the classes"
    return used, f"Scores{{}} read as those of {whose}, as the names of their columns say."


def class_of(key: str, names: Sequence[str], favourable: str | None) -> int | None:
    """Find the class that a name such as "yes" or "positive" refers to; None if there is none."""
    wanted = favourable if fold_name(key) in FAVOURABLE and favourable is not None else key
    for same in (str, str.casefold, fold_name):
        for number, name in enumerate(names):
            if same(name) == same(wanted) and same(name):
                return number
    return None


def check_declared(columns: Sequence[str], scores: Sequence[str], names: Sequence[str], favourable: str | None) -> None:
    """Raise InputError for a column that --column assigns to an unknown class."""
    for key in scores:
        if key and f"score.{key}" in columns and class_of(key, names, favourable) is None:
            remedy = f"the classes are {list_values(names)}"
            raise InputError("analyze", "--column", f"score.{key}", "not the score of any class", remedy)


def score_of(run: RunPredictions, used: Used, n_classes: int) -> NDArray[np.float64] | None:
    """Return the scores of a run, (rows,) of class 1 of two, or (rows, classes); None without scores."""
    if not used:
        return None
    if LISTS in used:
        return run.scores[used[LISTS]]
    if len(used) == 1:
        ((number, key),) = used.items()
        return run.scores[key] if number == 1 else 1 - run.scores[key]
    return np.stack([run.scores[used[number]] for number in range(n_classes)], axis=1)


def _unnamed_scores(
    runs: Sequence[RunPredictions], later: NDArray[np.bool_], names: Sequence[str], several: bool
) -> tuple[Used, str]:
    score = runs[0].scores[""]
    length = score.shape[1] if score.ndim == 2 else 2
    if length != len(names) or (several and score.ndim == 1):
        what = f"lists of {length}" if score.ndim == 2 else "one number a row"
        return {}, f"Scores{{}} not used: {what}, but there are {len(names)} classes."
    ends = [end for run in runs for end in (run.scores[""].min(), run.scores[""].max())]
    outside = min(ends) < 0 or max(ends) > 1
    if outside:
        return {LISTS: ""}, "Scores{} outside 0 to 1: no other thresholds are tried."
    if score.ndim == 2:
        return {LISTS: ""}, f"Scores{{}} read in the order of the classes: {list_values(names)}."
    if _are_lower(runs, later):
        return {0: ""}, f"Scores{{}} read as those of class {names[0]}: they are higher where it is predicted."
    return {1: ""}, f"Scores{{}} read as those of class {names[1]}."


def _are_lower(runs: Sequence[RunPredictions], later: NDArray[np.bool_]) -> bool:
    """Return whether scores are lower where the later class is predicted, on average over runs."""
    gaps = [_gap(run.scores[""], later[run.prediction]) for run in runs]
    return bool(np.nansum(gaps) < 0)


def _gap(score: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    return score[chosen].mean() - score[~chosen].mean() if chosen.any() and not chosen.all() else np.nan
