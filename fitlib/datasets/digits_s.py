"""digits-s: scikit-learn's handwritten digits as a small CIFAR-10S.

Every digit exists in two renderings, the protected groups: 0 *gray* (white ink on black, three equal channels) and
1 *tinted* (coloured ink on coloured paper). Even digits are mostly gray in training, odd ones mostly tinted; in the
test part every digit appears once in each rendering, which exposes a classifier that has learnt "tinted means odd".
"""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fitlib.datasets.dataset import Dataset, Split

if TYPE_CHECKING:  # a data set's module does not need pydantic to be imported
    from fitlib.datasets.options import DigitsSOptions

CLASSES = tuple("0123456789")
GROUPS = ("gray", "tinted")
TINTED_CLASSES = (1, 3, 5, 7, 9)
PAPER = np.array([0.10, 0.05, 0.25], dtype=np.float32)  # channel values of the tinted rendering's background
INK = np.array([0.95, 0.60, 0.35], dtype=np.float32)  # and of its strokes


def source_files(options: DigitsSOptions) -> list[Path]:
    """Return the file of the digits, in the installed scikit-learn; nothing is downloaded."""
    return [_digits_file()]


def describe(options: DigitsSOptions) -> dict:
    """Return the names of the classes and, per protected attribute, of the groups; without reading the data."""
    return {"classes": list(CLASSES), "groups": {"protected": list(GROUPS)}}


def load(options: DigitsSOptions) -> Dataset:
    """Make the data set; x is float32 (rows, 3, 8, 8) in [0, 1].

    `skew` is the share of each class's training digits in the class's own rendering (at least one digit is in the
    other); `test_share` the share of each class kept for testing; both draws come from `split_seed`.
    """
    ink, digit = _read()
    rng = np.random.default_rng(options.split_seed)
    test = np.sort(np.concatenate([_draw(rng, np.flatnonzero(digit == c), options.test_share) for c in range(10)]))
    train = np.setdiff1d(np.arange(len(digit)), test)
    return Dataset(
        "digits-s",
        _skewed(ink[train], digit[train], options.skew, rng),
        _both_renderings(ink[test], digit[test]),
        CLASSES,
        GROUPS,
    )


def render(ink: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Render ink (rows, 8, 8) in [0, 1] as images (rows, 3, 8, 8): group 0 gray, group 1 tinted."""
    gray = np.repeat(ink[:, None], 3, axis=1)
    tinted = PAPER[:, None, None] + ink[:, None] * (INK - PAPER)[:, None, None]
    return np.where(group[:, None, None, None] == 1, tinted, gray).astype(np.float32)


def _digits_file() -> Path:
    spec = find_spec("sklearn")  # not imported: that would cost a second
    if spec is None or spec.origin is None:
        problem = "scikit-learn, whose digits the data set digits-s is made of, is not installed"
        raise ModuleNotFoundError(problem, name="sklearn")
    return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _read() -> tuple[np.ndarray, np.ndarray]:
    with gzip.open(_digits_file(), "rt") as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 8, 8) / 16, table[:, -1].astype(np.int64)


def _draw(rng: np.random.Generator, rows: np.ndarray, share: float) -> np.ndarray:
    return rng.permutation(rows)[: max(1, round(share * len(rows)))]


def _skewed(ink: np.ndarray, digit: np.ndarray, skew: float, rng: np.random.Generator) -> Split:
    group = np.isin(digit, TINTED_CLASSES).astype(np.int64)
    for c in range(10):
        minority = _draw(rng, np.flatnonzero(digit == c), 1 - skew)
        group[minority] = 1 - group[minority]
    return Split(render(ink, group), digit, group, np.arange(len(digit)))


def _both_renderings(ink: np.ndarray, digit: np.ndarray) -> Split:
    """Return all gray digits, then the same digits tinted; two rows of one digit have the same `unit`."""
    ink, digit, unit = np.tile(ink, (2, 1, 1)), np.tile(digit, 2), np.tile(np.arange(len(digit)), 2)
    group = np.repeat([0, 1], len(digit) // 2)
    return Split(render(ink, group), digit, group, unit)
