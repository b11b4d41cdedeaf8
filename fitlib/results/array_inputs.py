"""Arrays of labels, predictions, groups and scores as checked `Predictions`, numbered as those of files are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fitlib.datasets.tabular.cells import quantity
from fitlib.datasets.tabular.columns import Values
from fitlib.datasets.tabular.label_encoding import (
    IN_ARRAYS,
    LabelMapping,
    Vocabulary,
    in_two_codes,
    key_of,
    list_values,
    pair_codes,
    single_group_note,
)
from fitlib.datasets.tabular.number_ranges import bins_of, cut, range_names, ranges_note
from fitlib.digest import digest_arrays
from fitlib.errors import InputError
from fitlib.experiment.external_predictions import seeded_by_run
from fitlib.metrics.arrays import (
    ONE_PER_ROW,
    RUNS,
    check_kind,
    check_missing,
    check_names,
    check_run,
    check_runs,
    check_whole,
    check_zero_one,
    listed_classes,
    named_columns,
    read_array,
    read_column,
)
from fitlib.storage.predictions import MAX_CLASSES, MAX_GROUPS, Predictions

WHERE = "analyze"
ONLY_TECHNIQUE = "model"  # where predictions are not named
PLAIN_ATTRIBUTE = "protected"  # where groups are not named, as in files
ONE_PER_RUN = "give the seed of each run: [0, 0, 1, 1], or {technique: such}"


class EncodedArrays(NamedTuple):
    """Predictions of each technique, how they were numbered (as `mapping.json` of files), and a hash of every run.

    seeds: the seed of every run, by technique, if given.
    """

    predictions: dict[str, Predictions]
    mapping: dict[str, Any]
    digests: dict[str, list[str]]
    seeds: dict[str, list[int]] | None


def encode_arrays(
    y_true: object,
    y_pred: object,
    sensitive_features: object,
    y_score: object = None,
    unit: object = None,
    classes: Sequence[object] | None = None,
    seeds: object = None,
) -> EncodedArrays:
    """Check all arrays and number classes and groups; see `fitlib.analyze` for their forms.

    Raises InputError for whatever is missing, of another length, or not a class, group, score or seed.
    """
    truth = _truth(y_true)
    runs = {name: _runs(_field("y_pred", name, y_pred), v, truth.shape) for name, v in _named_runs(y_pred).items()}
    scores = _scores(y_score, {name: len(of_technique) for name, of_technique in runs.items()}, truth)
    names, labels, predicted = _targets(truth, runs, scores, classes)
    groups = _groups(sensitive_features, len(truth))
    units = None if unit is None else _units(read_column(WHERE, "unit", unit, len(truth)))
    predictions = {
        name: Predictions(
            idx=np.arange(len(truth)),
            ground_truth=labels,
            prediction=predicted[name],
            protected={attribute: mapping.numbers[codes] for attribute, (mapping, codes) in groups.items()},
            unit=units,
            n_classes=len(names.names),
            n_groups={attribute: len(mapping.names) for attribute, (mapping, _) in groups.items()},
            runs=tuple(range(len(predicted[name]))),
            score=_checked_scores(name, scores.get(name), len(names.names), truth.ndim == 2),
        )
        for name in runs
    }
    mapping = _mapping(names, {attribute: mapping for attribute, (mapping, _) in groups.items()}, list(runs))
    digests = {name: digest_runs(p) for name, p in predictions.items()}
    return EncodedArrays(predictions, mapping, digests, _seeds(seeds, {name: len(of) for name, of in runs.items()}))


def _mapping(classes: LabelMapping, groups: Mapping[str, LabelMapping], techniques: Sequence[str]) -> dict[str, Any]:
    notes = [classes.sentence("Classes"), *classes.remarks]
    for attribute, group in groups.items():
        notes += [group.sentence(f"Groups of {attribute}"), *group.remarks]
    return {
        "classes": list(classes.names),
        "groups": {attribute: list(group.names) for attribute, group in groups.items()},
        "numeric": {attribute: group.numeric for attribute, group in groups.items()},
        "rows": dict.fromkeys(techniques, ""),  # one test set for all
        "notes": [note for note in notes if note],
    }


def digest_runs(predictions: Predictions) -> list[str]:
    """Return the SHA-256 of every run's decisions: runs that differ in their scores only do not vary."""
    decisions = (predictions.prediction[run].astype(np.int64) for run in predictions.runs)  # whatever held them
    return [digest_arrays([("prediction", of)]) for of in decisions]


# Arrays of any origin


def _truth(y_true: object) -> NDArray:
    """Return (rows,), or (rows, labels) of 0 and 1."""
    array = read_array(WHERE, "y_true", y_true)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.ndim not in (1, 2) or not array.size:
        problem = "neither (rows,) nor (rows, labels)" if array.ndim not in (1, 2) else "no rows"
        raise InputError(WHERE, "shape of y_true", array.shape, problem, ONE_PER_ROW)
    return array


def _cells(values: NDArray) -> Values:
    """Return a column as Arrow, which finds the different values of text quickly, or as it is where types are mixed."""
    if values.dtype.kind != "O":
        return values
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return values


# Techniques and runs


def _named_runs(y_pred: object) -> dict[str, object]:
    """Return the predictions of each technique by its name."""
    if not isinstance(y_pred, Mapping):
        return {ONLY_TECHNIQUE: y_pred}
    if not y_pred:
        raise InputError(WHERE, "y_pred", {}, "no technique", "give predictions of at least one: {name: array}")
    for name in y_pred:
        if not isinstance(name, str) or not name.strip():
            raise InputError(WHERE, "y_pred", name, "not the name of a technique", "use text as the keys of y_pred")
    check_names(WHERE, "y_pred", y_pred)
    return dict(y_pred)


def _field(argument: str, technique: str, given: object) -> str:
    return f"{argument}[{technique!r}]" if isinstance(given, Mapping) else argument


def _runs(field: str, values: Any, shape: tuple[int, ...], kind: str = "predictions") -> list[NDArray]:
    """Return the arrays of all runs, each of the shape of the ground truth; one such array is one run."""
    if (
        isinstance(values, list | tuple)
        and len(values)
        and read_array(WHERE, f"{field}[0]", values[0]).ndim >= len(shape)
    ):
        runs = [read_array(WHERE, f"{field}[{i}]", run) for i, run in enumerate(values)]
    else:
        array = read_array(WHERE, field, values)
        runs = [array] if array.shape == shape else list(array) if array.ndim > len(shape) else [array]
        if array.ndim == len(shape) + 1 and array.size:
            check_runs(WHERE, field, array.shape, shape)
    if not runs or not runs[0].size:
        raise InputError(WHERE, f"shape of {field}", np.shape(values), f"no {kind}", RUNS)
    for i, run in enumerate(runs):
        check_run(WHERE, f"{field}[{i}]" if len(runs) > 1 else field, run.shape, shape)
    return runs


# Classes


def _targets(
    truth: NDArray,
    runs: Mapping[str, Sequence[NDArray]],
    scores: Mapping[str, NDArray],
    classes: Sequence[object] | None,
) -> tuple[LabelMapping, NDArray, dict[str, NDArray]]:
    """Return the classes (or labels), the ground truth and the predictions of each technique as their numbers."""
    if truth.ndim == 2:
        names = _label_names(truth.shape[1], classes)
        found = {t: np.stack([_labels(run_field(t, i, runs), run) for i, run in enumerate(runs[t])]) for t in runs}
        return names, _labels("y_true", truth), found
    words = Vocabulary("class", MAX_CLASSES, remedies=IN_ARRAYS)
    true = _encode(words, "y_true", truth)
    codes = {t: np.stack([_encode(words, run_field(t, i, runs), run) for i, run in enumerate(runs[t])]) for t in runs}
    mapping = _class_mapping(words, true, codes, _declared(classes, scores, words))
    small = mapping.numbers.astype(np.min_scalar_type(-len(mapping.names)))  # there are many predictions
    return mapping, mapping.numbers[true], {t: small[of] for t, of in codes.items()}


def _encode(words: Vocabulary, field: str, values: NDArray) -> NDArray[np.int16]:
    """Return the codes of a column; blank text and the text "nan" are missing values, as in files."""
    check_kind(WHERE, field, values)
    check_missing(WHERE, field, values)
    if words.what == "class":
        check_whole(WHERE, field, values, IN_ARRAYS.fractional_class)
    return words.encode(WHERE, field, _cells(values))


def _technique_field(technique: str, techniques: Mapping[str, object]) -> str:
    return "y_pred" if list(techniques) == [ONLY_TECHNIQUE] else f"y_pred[{technique!r}]"


def run_field(technique: str, run: int, techniques: Mapping[str, object]) -> str:
    """Return how errors name the predictions of a run."""
    return f"{_technique_field(technique, techniques)}[{run}]"


def _label_names(number: int, classes: Sequence[object] | None) -> LabelMapping:
    names = list(map(str, range(number) if classes is None else listed_classes(WHERE, classes)))
    if len(names) != number or len(set(names)) < number:
        raise InputError(WHERE, "classes", names, f"not {number} different labels", "name every label once")
    return LabelMapping(tuple(names), np.arange(number), True)


def _labels(field: str, values: NDArray) -> NDArray[np.int8]:
    check_missing(WHERE, field, values)
    check_zero_one(WHERE, field, values)
    return values.astype(np.int8)


def _declared(
    classes: Sequence[object] | None, scores: Mapping[str, NDArray], words: Vocabulary
) -> Sequence[object] | None:
    """Return the declared classes; scores of n classes declare 0 … n-1, even where no row is of such a class."""
    if classes is not None:
        declared = listed_classes(WHERE, classes)
        keys = list(map(key_of, declared))
        if len(set(keys)) < len(keys):
            raise InputError(WHERE, "classes", declared, "a class is listed twice", "list each once")
        return declared
    number = max((score.shape[2] for score in scores.values() if score.ndim == 3), default=0)
    return list(range(number)) if number and set(words.codes) <= set(range(number)) else None


def _class_mapping(
    words: Vocabulary, true: NDArray, predicted: Mapping[str, NDArray], declared: Sequence[object] | None
) -> LabelMapping:
    """Return the mapping of all classes: as declared, or those of the ground truth."""
    for technique, codes in predicted.items():
        _check_codes(_technique_field(technique, predicted), words, true, codes, declared is not None)
    used = [words.code(value) for value in declared] if declared is not None else np.unique(true).tolist()
    known = np.isin(np.arange(len(words.codes)), used)
    seen = "never in y_true" if declared is None else "not among the classes"
    for field, codes in (("y_true", true), *((_technique_field(t, predicted), p) for t, p in predicted.items())):
        wrong = ~known[codes]
        if wrong.any():
            names = [spellings[0] for spellings in words.spellings.values()]
            place = np.argwhere(wrong)[0].tolist()
            where = f"run {place[0]}, row {place[1]}" if len(place) > 1 else f"row {place[0]}"
            problem = f"{seen}, in {quantity(int(wrong.sum()), 'cell')}, the first in {where}"
            valid = [name for name, is_known in zip(names, known, strict=True) if is_known]
            remedy = f"known: {list_values(valid)}; declare all of them: classes=[…]"
            raise InputError(WHERE, field, names[codes[tuple(place)]], problem, remedy)
    return words.finish(declared)


def _check_codes(field: str, words: Vocabulary, true: NDArray, predicted: NDArray, declared: bool) -> None:
    """Raise InputError where predictions are in another code than the ground truth."""
    names = [spellings[0] for spellings in words.spellings.values()]
    given, known = ([names[code] for code in np.unique(codes)] for codes in (predicted, true))
    if in_two_codes(known, given, declared):
        meant = ", ".join(f"{value!r} as {of!r}" for value, of in pair_codes(known, given))
        remedy = (
            f"write the predictions with the values of y_true{f' ({meant}, or the other way round)' if meant else ''}"
        )
        problem = f"another code than y_true, {list_values(known)}"
        raise InputError(WHERE, field, ", ".join(given[:8]), problem, remedy)


# Seeds


def _seeds(seeds: object, runs: Mapping[str, int]) -> dict[str, list[int]] | None:
    """Return the seed of every run of each technique; None where none is given."""
    if seeds is None:
        return None
    named = seeds if isinstance(seeds, Mapping) else dict.fromkeys(runs, seeds)
    _check_techniques("seeds", named, runs)
    for name in runs:
        if name not in named:
            raise InputError(WHERE, "seeds", name, "a technique without seeds", "give the seed of each of its runs")
    found = {name: _seed_list(_field("seeds", name, seeds), named[name], number) for name, number in runs.items()}
    if seeded_by_run(found):
        return found
    for name, given in found.items():
        others = {seed for other, of in found.items() if other != name for seed in of}
        if len(found) > 1 and others.isdisjoint(given):
            problem = "no other technique has runs at its seeds, so that it can be compared with none"
            raise InputError(WHERE, f"seeds of {name}", sorted(set(given)), problem, "give runs at the same seeds")
    return found


def _seed_list(field: str, values: object, runs: int) -> list[int]:
    array = read_array(WHERE, field, values)
    if array.shape != (runs,):
        raise InputError(WHERE, f"shape of {field}", array.shape, f"there are {runs} runs", ONE_PER_RUN)
    for run, seed in enumerate(array.tolist()):
        if isinstance(seed, bool) or not isinstance(seed, int | float) or seed != seed // 1 or not 0 <= seed < 2**63:
            problem = f"not a whole number from 0 on, in run {run}"
            raise InputError(WHERE, field, seed, problem, ONE_PER_RUN)
    return [int(seed) for seed in array.tolist()]


def _check_techniques(argument: str, named: Iterable[str], techniques: Iterable[str]) -> None:
    for name in named:
        if name not in techniques:
            raise InputError(WHERE, argument, name, "not among the techniques", f"there is {list_values(techniques)}")


# Groups and units


def _groups(features: Any, rows: int) -> dict[str, tuple[LabelMapping, NDArray]]:
    """Return, for every protected attribute of two groups or more, their names and the code of each row's group."""
    columns = _named_columns(features)
    found = {name: _group(f"sensitive_features[{name!r}]", name, v, rows) for name, v in columns.items()}
    single = {name: mapping.names[0] for name, (mapping, _) in found.items() if len(mapping.names) < 2}
    if len(single) == len(found):
        name, group = next(iter(single.items()))
        remedy = "give predictions for at least two groups"
        raise InputError(WHERE, f"sensitive_features[{name!r}]", group, "all rows are of one group", remedy)
    kept = {name: coded for name, coded in found.items() if name not in single}
    first, (mapping, codes) = next(iter(kept.items()))
    notes = [single_group_note(name, group) for name, group in single.items()]
    return kept | {first: (replace(mapping, remarks=(*notes, *mapping.remarks)), codes)}


def _named_columns(features: Any) -> dict[str, object]:
    """Return the columns of a dict or data frame by name; a series has its name, an array the name "protected"."""
    named = named_columns(WHERE, "sensitive_features", features)
    if named is not None:
        check_names(WHERE, "sensitive_features", map(str, named))
        return {str(name): values for name, values in named.items()}
    name = getattr(features, "name", None)
    return {name if isinstance(name, str) and name else PLAIN_ATTRIBUTE: features}


def _group(field: str, attribute: str, values: object, rows: int) -> tuple[LabelMapping, NDArray]:
    array = read_array(WHERE, field, values)
    if array.ndim == 2 and array.shape[1] > 1:
        remedy = "name every attribute: a data frame, or {name: array}"
        raise InputError(WHERE, f"shape of {field}", array.shape, "several columns without names", remedy)
    words = Vocabulary(f"group of {attribute}", MAX_GROUPS, remedies=IN_ARRAYS)
    column = read_column(WHERE, field, array, rows)
    bins = _bins(field, attribute, column)
    if bins is None:
        codes = _encode(words, field, column)
        return words.finish(), codes
    codes = words.encode(WHERE, field, cut(WHERE, field, _chunked(column), bins))
    return replace(words.finish(range_names(bins)), remarks=(ranges_note(attribute, bins),)), codes


def _bins(field: str, attribute: str, column: NDArray) -> list[float] | None:
    """Return where to cut numbers into ranges; None where every value is a group."""
    return bins_of(WHERE, field, attribute, _chunked(column)) if column.dtype.kind in "iuf" else None


def _chunked(column: NDArray) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(column, from_pandas=True)])


def _units(values: NDArray) -> NDArray[np.int64]:
    """Return whole numbers as they are, and names numbered in the order of their appearance."""
    check_missing(WHERE, "unit", values)
    try:
        column = pa.array(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(WHERE, "unit", values.dtype.name, "neither all numbers nor all text", ONE_PER_ROW) from error
    try:
        return np.array(column.cast(pa.int64()))  # a copy: results are computed when they are asked for
    except pa.ArrowException:
        return column.cast(pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)


# Scores


def _scores(y_score: object, runs: Mapping[str, int], truth: NDArray) -> dict[str, NDArray]:
    """Return the scores of each technique that has them, (runs, rows) or (runs, rows, classes)."""
    if y_score is None:
        return {}
    named = y_score if isinstance(y_score, Mapping) else dict.fromkeys(runs, y_score)
    if not isinstance(y_score, Mapping) and len(runs) > 1:
        raise InputError(WHERE, "y_score", type(y_score).__name__, "y_pred has names", "give {technique: scores}")
    _check_techniques("y_score", named, runs)
    return {
        name: _score_array(_field("y_score", name, y_score), values, runs[name], len(truth))
        for name, values in named.items()
    }


def _score_array(field: str, values: object, runs: int, rows: int) -> NDArray[np.float64]:
    array = read_array(WHERE, field, values)
    array = array[None] if array.shape[:1] == (rows,) and runs == 1 and array.shape[:2] != (1, rows) else array
    if array.ndim not in (2, 3) or array.shape[:2] != (runs, rows):
        problem = f"not (runs, rows) or (runs, rows, classes) with {runs} runs of {rows:,} rows"
        raise InputError(WHERE, f"shape of {field}", array.shape, problem, "give one score, or one per class, per row")
    try:
        found = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(WHERE, field, array.dtype.name, "not numbers", "give scores as numbers") from error
    if not np.isfinite(found).all():
        run, row = np.argwhere(~np.isfinite(found))[0].tolist()[:2]
        problem = f"not finite, in run {run}, row {row}"
        raise InputError(WHERE, field, found[run, row].tolist(), problem, "give finite scores, or leave y_score out")
    return found


def _checked_scores(
    technique: str, score: NDArray[np.float64] | None, classes: int, several: bool
) -> NDArray[np.float64] | None:
    """Return the scores if there is one for each class, or one for two classes."""
    if score is None or (score.shape[2] == classes if score.ndim == 3 else classes == 2 and not several):
        return score
    what = f"lists of {score.shape[2]}" if score.ndim == 3 else "one number a row"
    remedy = "give (runs, rows, classes), or (runs, rows) of the second of two classes"
    raise InputError(WHERE, f"y_score of {technique}", what, f"there are {classes} classes", remedy)
