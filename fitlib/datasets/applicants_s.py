"""applicants-s: simulated job applications, a table with columns of codes that needs no download.

It holds no real person. An applicant has a school, an occupation and a region (codes), three numbers, and belongs to
group *a* or *b*, the protected attribute. An invitation depends on merit, a function of the columns, and in part on the
group: members of *b* were invited less often. The groups are distributed unequally over schools and occupations, so
that a network can learn the group from columns that do not name it.
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
    """Return no file: the rows are simulated."""
    return []


def describe(options: ApplicantsSOptions) -> dict:
    """Return the names of the classes and, per protected attribute, of the groups."""
    return {"classes": list(CLASSES), "groups": {"protected": list(GROUPS)}}


def load(options: ApplicantsSOptions) -> Dataset:
    """Simulate the data set; x is float32 (rows, 6): three standard normal numbers, then the three codes.

    `bias` is subtracted from the logit of an invitation for members of group b; `data_seed` seeds all draws.
    """
    rng = np.random.default_rng(options.data_seed)
    effects = {name: rng.normal(0, 0.8, size) for name, size in CODES.items()}
    leanings = {name: rng.normal(0, 0.7, size) for name, size in CODES.items()}  # log odds of meeting group b there
    train, test = (_simulate(n, effects, leanings, options.bias, rng) for n in (options.rows, options.test_rows))
    return Dataset("applicants-s", train, test, CLASSES, GROUPS, normalisation=None, categories=tuple(CODES.values()))


def _simulate(n: int, effects: dict, leanings: dict, bias: float, rng: np.random.Generator) -> Split:
    codes = {name: rng.integers(0, size, n) for name, size in CODES.items()}
    numbers = rng.normal(0, 1, (n, NUMBERS))
    group = _draw(sum(leanings[name][code] for name, code in codes.items()), rng)
    merit = sum(effects[name][code] for name, code in codes.items()) + numbers @ np.array([0.8, 0.5, 0.2])
    invited = _draw(merit - bias * group, rng)
    x = np.column_stack([numbers, *codes.values()]).astype(np.float32)
    return Split(x, invited, group, np.arange(n))


def _draw(logit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw 0 or 1 for each row, 1 with the probability of the logit."""
    return (rng.random(len(logit)) < 1 / (1 + np.exp(-logit))).astype(np.int64)
