"""Which class the scores of somebody's predictions belong to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fitlib.errors import InputError
from fitlib.ingest.column_roles import squeezed
from fitlib.ingest.label_encoding import listed
from fitlib.ingest.prediction_files import Read

FAVOURABLE = ("positive", "pos", "favourable", "favorable")  # what a column of scores may call the favourable class
LISTS = -1  # stands for a column that holds a list, one number for each class
Used = dict[int, str]  # {class, or LISTS: key of its scores in `Read.scores`}


def used_scores(
    runs: Sequence[Read], later: NDArray[np.bool_], names: Sequence[str], several: bool, favourable: str | None
) -> tuple[Used, str]:
    """The scores of a technique by class, {} where none can be used, and a sentence that says so ("{}" for whose).

    later (codes,): which codes of predictions mean the later of two classes; names: of all classes; several: labels.
    A column may name its class ("proba_yes"); a single one of two classes is the later class's, unless scores are
    higher where the other one is predicted.
    """
    scores = runs[0].scores
    if not scores:
        return {}, ""
    if "" in scores:
        return _plain(runs, later, names, several)
    found = {number: key for key in scores if (number := class_of(key, names, favourable)) is not None}
    if not found or several or (len(names) > 2 and len(found) < len(names)):
        return {}, f"Scores{{}} not used: their columns name {listed(scores)}, the classes are {listed(names)}."
    used = {1: found[1]} if len(names) == 2 and 1 in found else dict(sorted(found.items()))
    whose = f"class {names[next(iter(used))]}" if len(used) == 1 else "the classes"
    return used, f"Scores{{}} read as those of {whose}, as the names of their columns say."


def class_of(key: str, names: Sequence[str], favourable: str | None) -> int | None:
    """The class that a name such as "yes" or "positive" means; None for none."""
    wanted = favourable if squeezed(key) in FAVOURABLE and favourable is not None else key
    for same in (str, str.casefold, squeezed):
        for number, name in enumerate(names):
            if same(name) == same(wanted) and same(name):
                return number
    return None


def check_declared(columns: Sequence[str], scores: Sequence[str], names: Sequence[str], favourable: str | None) -> None:
    """InputError for a column that --column calls the score of a class that there is not."""
    for key in scores:
        if key and f"score.{key}" in columns and class_of(key, names, favourable) is None:
            remedy = f"the classes are {listed(names)}"
            raise InputError("analyze", "--column", f"score.{key}", "the score of no class", remedy)


def score_of(run: Read, used: Used, n_classes: int) -> NDArray[np.float64] | None:
    """Scores of a run, (rows,) of class 1 of two, or (rows, classes); None without."""
    if not used:
        return None
    if LISTS in used:
        return run.scores[used[LISTS]]
    if len(used) == 1:
        ((number, key),) = used.items()
        return run.scores[key] if number == 1 else 1 - run.scores[key]
    return np.stack([run.scores[used[number]] for number in range(n_classes)], axis=1)


def _plain(runs: Sequence[Read], later: NDArray[np.bool_], names: Sequence[str], several: bool) -> tuple[Used, str]:
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
        return {LISTS: ""}, f"Scores{{}} read in the order of the classes: {listed(names)}."
    if _lower(runs, later):
        return {0: ""}, f"Scores{{}} read as those of class {names[0]}: they are higher where it is predicted."
    return {1: ""}, f"Scores{{}} read as those of class {names[1]}."


def _lower(runs: Sequence[Read], later: NDArray[np.bool_]) -> bool:
    """Are scores lower where the later class is predicted, in the mean over runs?"""
    gaps = [_gap(run.scores[""], later[run.prediction]) for run in runs]
    return bool(np.nansum(gaps) < 0)


def _gap(score: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    return score[chosen].mean() - score[~chosen].mean() if chosen.any() and not chosen.all() else np.nan
