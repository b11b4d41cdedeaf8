"""Subsets of images of people by label and gender: the study's balanced evaluation subsets, and ratio subsets.

Pure functions: numbers of rows and arrays in, row numbers out. `protected` holds 0 (man) and 1 (woman).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import numpy as np

STUDY_SEED = 1
CHUNK = 8  # the rows removed before labels are recounted: 1 / CHUNK of a label's surplus

# Men and women in the training list of each task, by ratio (None: the list as it is). The evaluation subsets depend on
# these lengths. imSitu's are those of its lists. COCO's training list is not public: 16,225 and 6,601 are published
# figures; the others sum up to the sizes of the index lists, and each leads to the published subset, as do some splits
# next to it (ratio 2: 8,872 to 9,038 men; ratio 3: 16 splits from 10,876 to 12,553 men).
STUDY_TRAINING = {
    "coco": {None: (16225, 6601), 1: (3078, 3078), 2: (8872, 6601), 3: (10876, 6598)},
    "imsitu": {None: (14199, 10102), 1: (7342, 7342), 2: (10265, 8884), 3: (11613, 9530)},
}


def balanced_evaluation(shuffled_before: Iterable[int], protected: np.ndarray, per_group: int) -> np.ndarray:
    """Draw the rows of the study's balanced evaluation subset, `per_group` men, then as many women; int64.

    The study seeds Python's generator with 1 and shuffles in place the ascending rows of the men, then those of the
    women, of the training, the validation and the test list; of the test rows it keeps the first of each. A shuffle
    draws as many numbers as its list is long: of the lists before only the lengths matter (`shuffled_before`).
    ValueError where a group has fewer members. Source: Wang et al., ICCV 2019 (their attacker's evaluation set).
    """
    generator = random.Random(STUDY_SEED)
    for length in shuffled_before:
        generator.shuffle(list(range(length)))
    chosen = []
    for group in (0, 1):
        rows = np.flatnonzero(protected == group).tolist()
        if len(rows) < per_group:
            raise ValueError(f"group {group} has {len(rows)} of the {per_group} members that the subset needs")
        generator.shuffle(rows)
        chosen += rows[:per_group]
    return np.array(chosen, np.int64)


def first_of_each(protected: np.ndarray, limit: int | None) -> np.ndarray:
    """Return the first `limit` rows, half of them men and half women, in their order; all rows where it is None.

    >>> first_of_each(np.array([0, 0, 0, 1, 1]), 4).tolist()
    [0, 1, 3, 4]
    """
    if limit is None:
        return np.arange(len(protected))
    halves = (np.flatnonzero(protected == 0)[: (limit + 1) // 2], np.flatnonzero(protected == 1)[: limit // 2])
    return np.sort(np.concatenate(halves))


def ratio_subset(y: np.ndarray, protected: np.ndarray, ratio: float, seed: int = 0, n_groups: int = 2) -> np.ndarray:
    """Draw a subset, as ascending rows, in which no group has more than `ratio` times another one's rows of a label.

    With two groups, (men with y) / (women with y) is in [1 / ratio, ratio] for every label y that is left; a label
    that a group never has disappears. y: class numbers (rows,) or 0/1 (rows, labels). The property is that of Wang et
    al. (ICCV 2019); their index lists are fixed files, and this draw, from `seed` alone, is fitlib's own.
    """
    rng = np.random.default_rng(seed)
    if y.ndim == 2:
        return balanced_labels(y, protected, n_groups, ratio, rng)
    return balanced_classes(np.eye(int(y.max(initial=0)) + 1, dtype=np.int64)[y], protected, n_groups, ratio, rng)


def balanced_classes(
    y: np.ndarray, protected: np.ndarray, n_groups: int, ratio: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the rows of a largest subset within the ratio; y one-hot (rows, classes), protected (rows,).

    Of each class, group g keeps min(n_g, floor(ratio min_h n_h)) rows.
    """
    rows = [np.zeros(0, np.int64)]
    for of_class in y.T.astype(bool):
        members = [np.flatnonzero(of_class & (protected == group)) for group in range(n_groups)]
        most = int(allowed(min(map(len, members)), ratio))
        rows += [rng.permutation(group)[:most] for group in members]
    return np.sort(np.concatenate(rows))


def balanced_labels(
    y: np.ndarray, protected: np.ndarray, n_groups: int, ratio: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw the rows of a subset within the ratio for every label; y 0/1 (rows, labels), protected (rows,).

    A row counts for several labels. Greedy: until no label has a surplus, the label and group with the largest one lose
    rows, first those with most other labels in which their group has a surplus and fewest in which it is the smallest;
    ties are broken at random.
    """
    order = rng.permutation(len(y))
    y, protected, kept = y[order].astype(np.float32), protected[order], np.ones(len(y), bool)
    counts = label_counts(y, protected, n_groups)
    while (surplus := counts - allowed(counts.min(axis=0), ratio)).max() > 0:
        group, label = np.unravel_index(surplus.argmax(), surplus.shape)
        worth = np.where(surplus[group] > 0, 1.0, -1.0 * (counts[group] == counts.min(axis=0)))
        having = np.flatnonzero(kept & (protected == group) & (y[:, label] > 0))
        removed = having[np.argsort(-(y[having] @ worth), kind="stable")][: math.ceil(surplus[group, label] / CHUNK)]
        kept[removed] = False
        counts[group] -= y[removed].sum(axis=0).astype(np.int64)
    return np.sort(order[kept])


def allowed(smallest: np.ndarray | int, ratio: float) -> np.ndarray:
    """Return the most rows that any group may have where the smallest one has so many.

    >>> int(allowed(100, 1.15))
    115
    """
    # + 1e-9: 100 * 1.15 is 114.99999999999999 in floating point
    return np.floor(np.asarray(smallest) * ratio + 1e-9).astype(np.int64)


def label_counts(y: np.ndarray, protected: np.ndarray, n_groups: int) -> np.ndarray:
    """Count the rows by group and label, int64 (groups, labels); y 0/1 (rows, labels).

    >>> label_counts(np.array([[1, 0], [1, 1], [0, 1]]), np.array([0, 0, 1]), 2).tolist()
    [[2, 1], [0, 1]]
    """
    return np.stack([y[protected == group].sum(axis=0) for group in range(n_groups)]).astype(np.int64)
