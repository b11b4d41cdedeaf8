"""applicants-s: simulated applications for jobs, a table with columns of codes that needs no download.

Nobody is in it. An applicant has a school, an occupation and a region (codes), three numbers, and belongs to group *a*
or *b*, the protected attribute. Who is invited depends on merit, which the columns tell, and in part on the group:
members of *b* were invited less often. Schools and occupations are attended unequally by the groups, so that a network
can learn the group from columns that do not name it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitlib.datasets.dataset import Dataset, Split

if TYPE_CHECKING:  # a data set's module does not need pydantic to be imported
    from fitlib.datasets.options import ApplicantsSOptions

CLASSES = ("refused", "invited")
GROUPS = ("a", "b")
CODES = {"school": 120, "occupation": 60, "region": 24}
NUMBERS = 3


def source_files(options: ApplicantsSOptions) -> list[Path]:
    """No file: the rows are simulated."""
    return []


def describe(options: ApplicantsSOptions) -> dict:
    """Names of the classes and, per protected attribute, of the groups."""
    return {"classes": list(CLASSES), "groups": {"protected": list(GROUPS)}}


def load(options: ApplicantsSOptions) -> Dataset:
    """Simulate the data set; x is float32 (rows, 6): three standard normal numbers, then the three codes.

    `bias`: by how much membership in group b lowers the logit of an invitation; `data_seed`: of everything drawn.
    """
    rng = np.random.default_rng(options.data_seed)
    effects = {name: rng.normal(0, 0.8, size) for name, size in CODES.items()}
    leanings = {name: rng.normal(0, 0.7, size) for name, size in CODES.items()}  # log odds of meeting group b there
    train, test = (_simulated(n, effects, leanings, options.bias, rng) for n in (options.rows, options.test_rows))
    return Dataset("applicants-s", train, test, CLASSES, GROUPS, normalisation=None, categories=tuple(CODES.values()))


def _simulated(n: int, effects: dict, leanings: dict, bias: float, rng: np.random.Generator) -> Split:
    codes = {name: rng.integers(0, size, n) for name, size in CODES.items()}
    numbers = rng.normal(0, 1, (n, NUMBERS))
    group = _drawn(sum(leanings[name][code] for name, code in codes.items()), rng)
    merit = sum(effects[name][code] for name, code in codes.items()) + numbers @ np.array([0.8, 0.5, 0.2])
    invited = _drawn(merit - bias * group, rng)
    x = np.column_stack([numbers, *codes.values()]).astype(np.float32)
    return Split(x, invited, group, np.arange(n))


def _drawn(logit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """0 or 1 for each row, 1 with the probability that the logit says."""
    return (rng.random(len(logit)) < 1 / (1 + np.exp(-logit))).astype(np.int64)
