"""The roles of columns in a file of predictions: as given by the user, by fitlib's headings, or by common names.

A role is idx, ground_truth, prediction, protected (or protected.<attribute>), score (or score.<class>), unit, run or
technique.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

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
                     "reference", "gold", "goldlabel", "y"),
    "prediction": ("ypred", "pred", "preds", "predicted", "predictions", "predictedlabel", "predictedclass",
                   "predlabel", "predclass", "predictionresult", "yhat", "decision", "output"),
    "protected": ("protectedattribute", "protectedgroup", "sensitive", "sensitiveattribute", "sensitivefeature",
                  "sensitivefeatures", "gender", "sex", "race", "ethnicity", "ethnicgroup", "agegroup", "agecat",
                  "ageband", "agerange", "religion", "disability", "nationality", "skintype", "group"),
    "unit": ("unitid", "testunit"),
    "run": ("runid", "runnumber", "runno", "trial", "repetition", "replicate", "seed"),
    "technique": ("method", "model", "modelname", "algorithm", "approach"),
}  # fmt: skip
FIRST_WINS = ("idx", "unit", "run", "technique")
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


def roles_of(where: str, columns: Sequence[str], given: Mapping[str, str], optional: Iterable[str]) -> dict[str, str]:
    """Return {role: column} of one file; `given` wins over fitlib's headings, these over common names such as y_true.

    `optional`: which of run and technique to look for. Raises InputError for a given column that does not exist, and if
    ground truth, prediction or protected attribute are missing or ambiguous.

    >>> roles_of("a.csv", ["id", "y_true", "y_pred", "sex"], {}, ())
    {'idx': 'id', 'ground_truth': 'y_true', 'prediction': 'y_pred', 'protected.sex': 'sex'}
    """
    for role, column in given.items():
        if column not in columns:
            problem = f"no column {one_line(column, 40)!r} ({role})"
            raise InputError(where, "--column", f"{role}={column}", problem, suggestion(column, columns))
    # Given columns first, then fitlib's headings, then common names: each step sees only the columns left.
    heads = {role.partition(".")[0] for role in given}
    found = dict(given) | _by_heading(where, [c for c in columns if c not in given.values()], heads)
    for role in ("idx", "ground_truth", "prediction", "protected", "score", "unit", *optional):
        if role not in {name.partition(".")[0] for name in found}:
            free = [c for c in columns if c not in found.values()]
            found |= _score_columns(free) if role == "score" else _by_common_name(where, role, free)
    for role in ("ground_truth", "prediction", "protected"):
        if not any(name == role or name.startswith(f"{role}.") for name in found):
            remedy = f"name it with --column {role}=NAME; the file has {one_line(', '.join(columns))}"
            raise InputError(where, "column", role, "missing", remedy)
    wanted = (*ROLES[:6], *optional, *heads)
    return {name: column for name, column in found.items() if name.partition(".")[0] in wanted}


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


def _score_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return score columns: a plain one as "score", those that name a class ("proba_yes", "P(yes)") as "score.yes"."""
    named = {c: (match["of"] or "").strip() for c in columns if (match := SCORE.fullmatch(c))}
    plain = [c for c, of in named.items() if not of and c.casefold() not in ("p", "y_p")]
    return {"score": plain[0]} if plain else {f"score.{of}": c for c, of in named.items() if of}
