"""The balanced evaluation subsets are the study's, row by row; ratio subsets hold their ratio."""

import csv
import gzip

import numpy as np
import pytest

from fitlib.datasets import coco, imsitu
from fitlib.datasets.people import subsets
from fitlib.datasets.people.annotations import read_lists
from fitlib.datasets.people.subsets import balanced_evaluation, first_of_each, label_counts, ratio_subset

TECHNIQUES = {"C": (coco, 1500), "I": (imsitu, 3000)}
VARIANTS = {"Base": None, "A4": None, "A5": None, "R1": 1, "R2": 2, "R3": 3}


@pytest.fixture(scope="module")
def lists(data_dir):
    folder = data_dir / "data" / "annotations"
    return {task: read_lists(folder, module.LAYOUT) for task, (module, _) in TECHNIQUES.items()}


@pytest.fixture(scope="module")
def published(data_dir):
    with gzip.open(data_dir / "paper" / "eval_subsets.csv.gz", "rt") as stream:
        rows = [(r["technique"], int(r["test_index"]), int(r["protected"])) for r in csv.DictReader(stream)]
    return {name: np.array([r[1:] for r in rows if r[0] == name]) for name in {r[0] for r in rows}}


def _subset(lists, task, training):
    _, per_group = TECHNIQUES[task]
    validation = np.bincount(lists[task]["val"].protected)
    return balanced_evaluation((*training, *validation), lists[task]["test"].protected, per_group)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", TECHNIQUES)
def test_the_evaluation_subset_is_the_published_one_row_by_row(lists, published, task, variant):
    training = subsets.STUDY_TRAINING[TECHNIQUES[task][0].LAYOUT.name][VARIANTS[variant]]
    rows, expected = _subset(lists, task, training), published[f"{task}-{variant}"]
    assert (rows == expected[:, 0]).all()
    assert (lists[task]["test"].protected[rows] == expected[:, 1]).all()


def test_all_published_rows_are_covered(published):
    assert len(published) == 12 and sum(map(len, published.values())) == 54_000


def test_training_lengths_of_imsitu_are_those_of_its_list(lists):
    train = lists["I"]["train"]
    lengths = {None: tuple(np.bincount(train.protected))}
    for ratio in (1, 2, 3):  # every class keeps as many as it may: any such subset has the index lists' sizes
        rows = ratio_subset(train.y, train.protected, ratio)
        lengths[ratio] = tuple(np.bincount(train.protected[rows]))
    assert lengths == subsets.STUDY_TRAINING["imsitu"]


@pytest.mark.parametrize(
    "ratio, men, same",
    [(2, 8872, True), (2, 8950, True), (2, 9038, True), (2, 9039, False), (3, 10883, True), (3, 12553, True)],
)
def test_several_splits_of_coco_s_index_lists_lead_to_one_subset(lists, published, ratio, men, same):
    size = sum(subsets.STUDY_TRAINING["coco"][ratio])
    assert (_subset(lists, "C", (men, size - men)) == published[f"C-R{ratio}"][:, 0]).all() == same
    assert size == {2: 15473, 3: 17474}[ratio]


def test_a_group_that_is_too_small_is_an_error():
    with pytest.raises(ValueError, match="group 1 has 2 of the 3 members"):
        balanced_evaluation((), np.array([0, 0, 0, 1, 1]), 3)


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_a_ratio_subset_of_coco_s_labels_holds_the_ratio_and_keeps_most_rows(lists, ratio):
    y = np.concatenate([lists["C"][part].y for part in ("val", "test")])
    protected = np.concatenate([lists["C"][part].protected for part in ("val", "test")])
    rows = ratio_subset(y, protected, ratio)
    men, women = label_counts(y[rows], protected[rows], 2)
    assert (men <= ratio * women).all() and (women <= ratio * men).all()
    assert len(rows) > {1: 0.5, 2: 0.7, 3: 0.75}[ratio] * len(y)
    assert (np.diff(rows) > 0).all()


def test_a_ratio_subset_of_classes_is_the_largest_one():
    y = np.repeat([0, 0, 1, 1, 2], [5, 2, 4, 4, 3])
    protected = np.repeat([0, 1, 0, 1, 0], [5, 2, 4, 4, 3])
    rows = ratio_subset(y, protected, 2)
    assert np.bincount(y[rows], minlength=3).tolist() == [4 + 2, 4 + 4, 0]  # class 2: nobody of group 1 shows it


@pytest.mark.parametrize("shape", [(), (6,)])
def test_the_draw_follows_its_seed(shape):
    rng = np.random.default_rng(0)
    y, protected = rng.integers(0, 2, (400, *shape)), (rng.random(400) < 0.3).astype(int)
    first, again, other = (ratio_subset(y, protected, 1, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_a_limit_takes_the_first_of_each_group_in_order():
    protected = np.array([0, 0, 1, 0, 1, 1])
    assert first_of_each(protected, 4).tolist() == [0, 1, 2, 4]
    assert first_of_each(protected, None).tolist() == list(range(6))
