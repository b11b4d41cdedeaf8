"""The roles of columns in a file of predictions: as given by the user, by fitlib's headings, or by common names.

A role is idx, ground_truth, prediction, protected (or protected.<attribute>), score (or score.<class>), unit, run or
technique. In a file with the predictions of several runs side by side, the roles prediction.<column> are those of runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from fitlib.datasets.tabular.column_vocabulary import kind_of_attribute, words_of
from fitlib.datasets.tabular.label_encoding import suggestion
from fitlib.errors import InputError
from fitlib.storage.prediction_columns import one_line
from fitlib.storage.predictions import HEADINGS

ROLES = ("idx", "ground_truth", "prediction", "protected", "score", "unit", "run", "technique")
COMMON_NAMES = {  # folded by `fold_name`; of two in a file, the earlier one is used (FIRST_WINS) or an error raised
    "idx": ("id", "index", "rowid", "rowindex", "rownumber", "row", "sampleid", "exampleid", "instanceid", "caseid",
            "imageid", "imagename", "filename", "sample", "example", "instance", "image", "file"),
    "ground_truth": ("ytrue", "groundtruth", "truth", "gt", "actual", "truelabel", "truelabels", "trueclass",
                     "actuallabel", "actualclass", "target", "label", "labels", "class", "outcome", "observed",
                     "reference", "gold", "goldlabel", "ytest", "ttrue", "labeltrue", "y"),
    "prediction": ("ypred", "pred", "preds", "predicted", "predictions", "predictedlabel", "predictedclass",
                   "predlabel", "predclass", "predictionresult", "ytestpred", "ypredtest", "yhat", "decision",
                   "output"),
    "protected": ("protectedattribute", "protectedgroup", "sensitive", "sensitiveattribute", "sensitivefeature",
                  "sensitivefeatures", "gender", "sex", "race", "ethnicity", "ethnicgroup", "agegroup", "agecat",
                  "ageband", "agerange", "religion", "disability", "nationality", "skintype", "group"),
    "unit": ("unitid", "testunit"),
    "run": ("runid", "runnumber", "runno", "trial", "rep", "repetition", "replicate", "seed"),
    "technique": ("method", "model", "modelname", "algorithm", "approach"),
}  # fmt: skip
FIRST_WINS = ("idx", "unit", "run", "technique")
PREDICTED = ("pred", "preds", "predicted", "prediction", "predictions", "yhat", "hat")  # words beside a target's name
TRUE = ("true", "truth", "actual", "observed", "label", "target", "test")
LETTERS = ("a", "s", "z")  # names of a protected attribute in papers; "Z" too
SCORE = re.compile(  # "score", "proba_1", "P(yes)", "prob.>50K"; group "of": the class
    r"(?:(?:predict(?:ed|ion)?|pred|y|model)[ _.]?)?(?:scores?|prob|proba|probabilit(?:y|ies)|p)"
    r"(?:(?:[ _.:|/(\[=]+|-(?!\d))(?P<of>.*?)[\])]?)?",
    re.IGNORECASE,
)


def parse_column_roles(given: Sequence[str]) -> dict[str, str]:
    """Parse values of `--column`, "ROLE=COLUMN", into {role: column}.

    `protected=Gender` is short for `protected.Gender=Gender`. Raises InputError for any other form, an unknown role, or
    a role given twice.

    >>> parse_column_roles(["ground_truth=y", "protected=Gender"])
    {'ground_truth': 'y', 'protected.Gender': 'Gender'}
    """
    roles: dict[str, str] = {}
    for text in given:
        role, _, column = (part.strip() for part in text.partition("="))
        head, _, detail = role.partition(".")
        if not column or head not in ROLES or (detail and head not in ("protected", "score")):
            remedy = f"write ROLE=NAME with a role of {', '.join(ROLES)}"
            raise InputError("analyze", "--column", text, "not a role and a column", remedy)
        name = _attribute(column) if role == "protected" else role
        if name in roles:
            raise InputError("analyze", "--column", text, f"{name} is given twice", "keep one of them")
        roles[name] = column
    return roles


def roles_of(
    where: str, columns: Sequence[str], given: Mapping[str, str], optional: Iterable[str], threshold: bool = False
) -> dict[str, str]:
    """Return {role: column} of one file; `given` wins over fitlib's headings, these over common names such as y_true.

    `optional`: which of run and technique to look for. `threshold`: whether scores will do for predictions. Raises
    InputError for a given column that does not exist, and if ground truth, prediction or protected attribute are
    missing or ambiguous.

    >>> roles_of("a.csv", ["id", "y_true", "y_pred", "sex"], {}, ())
    {'idx': 'id', 'ground_truth': 'y_true', 'prediction': 'y_pred', 'protected.sex': 'sex'}
    >>> roles_of("a.csv", ["income", "Geschlecht", "income_pred"], {}, ())
    {'prediction': 'income_pred', 'ground_truth': 'income', 'protected.Geschlecht': 'Geschlecht'}
    >>> roles_of("a.csv", ["y", "s", "run1_pred", "run2_pred"], {}, ())["prediction.run2_pred"]
    'run2_pred'
    """
    given = dict(pair for role, column in given.items() for pair in _existing(where, role, column, columns))
    # Given columns first, then fitlib's headings, then common names: each step sees only the columns left.
    heads = {role.partition(".")[0] for role in given}
    found = dict(given) | _by_heading(where, [c for c in columns if c not in given.values()], heads)
    for role in ("idx", "ground_truth", "prediction", "protected", "score", "unit", *optional):
        if role not in {name.partition(".")[0] for name in found}:
            free = [c for c in columns if c not in found.values()]
            found |= _score_columns(free) if role == "score" else _by_common_name(where, role, free)
    found = _with_runs_side_by_side(found, columns, heads)
    for role, guess in FALLBACKS.items():
        if role not in {name.partition(".")[0] for name in found}:
            found |= guess([c for c in columns if c not in found.values()], found)
    _check_complete(where, columns, found, threshold)
    wanted = (*ROLES[:6], *optional, *heads)
    return {name: column for name, column in found.items() if name.partition(".")[0] in wanted}


def _existing(where: str, role: str, column: str, columns: Sequence[str]) -> list[tuple[str, str]]:
    """Return a given role with its column, whatever the case; of predictions a pattern such as pred_* means runs."""
    if column in columns:
        return [(role, column)]
    if role == "prediction" and (runs := [c for c in columns if fnmatchcase(c, column)]):
        return [(f"prediction.{c}", c) for c in runs]
    alike = [c for c in columns if c.casefold() == column.casefold()]
    if len(alike) == 1:
        return [(role, alike[0])]
    problem = f"no column {one_line(column, 40)!r} ({role})"
    raise InputError(where, "--column", f"{role}={column}", problem, suggestion(column, columns))


def _check_complete(where: str, columns: Sequence[str], found: Mapping[str, str], threshold: bool) -> None:
    heads = {name.partition(".")[0] for name in found}
    for role in ("ground_truth", "prediction", "protected"):
        if role in heads or (role == "prediction" and threshold and "score" in heads):
            continue
        remedy = f"name it with --column {role}=NAME; the file has {one_line(', '.join(columns))}"
        if role == "prediction" and "score" in heads:
            scores = next(column for name, column in found.items() if name.partition(".")[0] == "score")
            remedy = f"name it with --column prediction=NAME, or decide by {scores}: --threshold 0.5"
        raise InputError(where, "column", role, "missing", remedy)


def guessed_roles(roles: Mapping[str, str]) -> dict[str, str]:
    """Return the roles whose columns have other names than fitlib's headings."""
    return {role: column for role, column in roles.items() if HEADINGS.get(column, column) != role}


def fold_name(name: str) -> str:
    """Reduce a name to lower-case letters and digits.

    >>> fold_name("Y True"), fold_name("y_true")
    ('ytrue', 'ytrue')
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _attribute(column: str) -> str:
    canonical = HEADINGS.get(column, column)
    return canonical if canonical == "protected" else f"protected.{canonical.removeprefix('protected.')}"


def _by_heading(where: str, columns: Sequence[str], taken: set[str]) -> dict[str, str]:
    """Return the columns with fitlib's headings, or the study's, for roles that are not taken."""
    found: dict[str, str] = {}
    for column in columns:
        role = HEADINGS.get(column, column)
        head = role.partition(".")[0]
        if head in taken or head not in ROLES or (head != role and head != "protected"):
            continue
        if role == "protected.":
            raise InputError(where, "column", column, "no attribute after the dot", "write it like protected.sex")
        if role in found:
            raise InputError(where, "column", column, f"{found[role]} is also {role}", "keep one of them")
        found[role] = column
    if "protected" in found and "protected.protected" in found:
        raise InputError(where, "column", "protected.protected", "the attribute of column protected", "rename one")
    return found


def _by_common_name(where: str, role: str, columns: Sequence[str]) -> dict[str, str]:
    order = {name: rank for rank, name in enumerate((fold_name(role), *COMMON_NAMES[role]))}
    fitting = sorted((c for c in columns if fold_name(c) in order), key=lambda c: order[fold_name(c)])
    if role == "protected":
        return {_attribute(column): column for column in columns if column in fitting}
    if len(fitting) > 1 and role not in FIRST_WINS:
        problem = f"{' and '.join(fitting)} could each be the {role.replace('_', ' ')}"
        raise InputError(where, "column", role, problem, f"choose one: --column {role}={fitting[0]}")
    return {role: fitting[0]} if fitting else {}


# Runs side by side


def _with_runs_side_by_side(found: dict[str, str], columns: Sequence[str], given: set[str]) -> dict[str, str]:
    """Return the roles with those of runs in columns of their own; their scores, which cannot be told apart, unused."""
    runs = [] if "prediction" in given else _runs_side_by_side(found.get("prediction"), columns, found)
    found = {name: column for name, column in found.items() if column not in runs}
    found |= {f"prediction.{column}": column for column in runs}
    several = any(name.startswith("prediction.") for name in found)
    return {name: column for name, column in found.items() if not (several and name.partition(".")[0] == "score")}


def _runs_side_by_side(plain: str | None, columns: Sequence[str], found: Mapping[str, str]) -> list[str]:
    """Return the columns of predictions whose names differ in one number only, such as pred_0, run1_pred or seed_3.

    Beside a column `plain` these are its equals that reading has numbered: y_pred, y_pred.1.
    """
    if plain is not None:
        equals = [c for c in columns if re.fullmatch(rf"{re.escape(plain)}\.\d+", c)]
        return [plain, *equals] if equals else []
    stems: dict[str, list[str]] = {}
    for column in columns:
        parts = re.split(r"\d+", column)
        if len(parts) == 2 and _names_runs(stem := fold_name("".join(parts))) and column not in found.values():
            stems.setdefault(stem, []).append(column)
    return max(stems.values(), key=len, default=[])


def _names_runs(stem: str) -> bool:
    """Return whether a folded name without its number is one of predictions, of runs, or of both together."""
    predictions = ("prediction", *COMMON_NAMES["prediction"])
    runs = ("run", *COMMON_NAMES["run"])
    both = {f"{a}{b}" for run in runs for p in predictions for a, b in ((run, p), (p, run))}
    return stem in predictions or stem in runs or stem in both


# Less usual names


def _target_beside(columns: Sequence[str], found: Mapping[str, str]) -> dict[str, str]:
    """Guess the ground truth: the target that predictions are named after, or the only column named as true."""
    named = [words for name, column in found.items() if name.partition(".")[0] == "prediction"
             for words in [_without(column, PREDICTED)] if words]  # fmt: skip
    fitting = [c for c in columns if _without(c, TRUE) in named or words_of(c).strip() in named]
    fitting = fitting or [c for c in columns if _without(c, TRUE[:4]) is not None]
    return {"ground_truth": fitting[0]} if len(fitting) == 1 else {}


def _prediction_beside(columns: Sequence[str], found: Mapping[str, str]) -> dict[str, str]:
    """Guess the prediction: the only column that has a target's name with a word such as pred beside it."""
    fitting = [c for c in columns if _without(c, PREDICTED)]
    return {"prediction": fitting[0]} if len(fitting) == 1 else {}


def _without(column: str, listed: Sequence[str]) -> str | None:
    """Return a name without a word of the list at its beginning or end; None where it has none.

    >>> _without("income_pred", PREDICTED), _without("Predicted Class", PREDICTED), _without("income", PREDICTED)
    ('income', 'class', None)
    """
    words = words_of(column).split()
    if words and words[-1] in listed:
        return " ".join(words[:-1])
    return " ".join(words[1:]) if words and words[0] in listed else None


def _attributes_by_kind(columns: Sequence[str], found: Mapping[str, str]) -> dict[str, str]:
    """Guess protected attributes by their names in other languages; age, or a letter, only where nothing else fits."""
    kinds = {c: kind_of_attribute(c) for c in columns}
    others = [c for c, kind in kinds.items() if kind not in (None, "age")]
    ages = [c for c, kind in kinds.items() if kind == "age"]
    letters = [c for c in columns if c.casefold() in LETTERS]
    return {_attribute(c): c for c in others or ages or letters[:1]}


FALLBACKS = {"prediction": _prediction_beside, "ground_truth": _target_beside, "protected": _attributes_by_kind}


# Scores


def _score_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return score columns: a plain one as "score", those that name a class ("proba_yes", "P(yes)") as "score.yes"."""
    named = {c: (match["of"] or "").strip() for c in columns if (match := SCORE.fullmatch(c))}
    plain = [c for c, of in named.items() if not of and c.casefold() not in ("p", "y_p")]
    return {"score": plain[0]} if plain else {f"score.{of}": c for c, of in named.items() if of}
