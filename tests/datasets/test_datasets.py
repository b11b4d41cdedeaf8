"""digits-s is scikit-learn's digits, skewed in training and balanced in the test part."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fitlib.datasets import digits_s
from fitlib.datasets.options import DigitsSOptions
from fitlib.digest import digest_arrays
from fitlib.experiment.registry.datasets import DATASETS


@pytest.fixture(scope="module")
def digits():
    return digits_s.load(DigitsSOptions())


def _keys(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_the_gray_images_are_the_library_s_digits(digits):
    ink, label = load_digits(return_X_y=True)
    gray = digits.test.protected == 0
    ours = np.concatenate([digits.test.x[gray][:, 0], digits.train.x[digits.train.protected == 0][:, 0]])
    assert _keys(ours) <= _keys((ink / 16).astype(np.float32).reshape(-1, 8, 8))
    assert len(digits.train) + gray.sum() == len(label) == 1797


def test_every_test_digit_stands_once_in_each_rendering(digits):
    test = digits.test
    order = np.lexsort((test.protected, test.unit))
    pairs = test.unit[order].reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all() and len(np.unique(test.unit)) == len(test) / 2
    assert (test.protected[order].reshape(-1, 2) == [0, 1]).all()
    assert (test.y[order].reshape(-1, 2)[:, 0] == test.y[order].reshape(-1, 2)[:, 1]).all()


@pytest.mark.parametrize("skew", [0.95, 0.8])
def test_each_class_is_skewed_towards_its_own_rendering(skew):
    train = digits_s.load(DigitsSOptions(skew=skew)).train
    for c in range(10):
        own = 1 if c in digits_s.TINTED_CLASSES else 0
        members = train.protected[train.y == c]
        assert (members != own).sum() == max(1, round((1 - skew) * len(members)))


def test_no_digit_is_in_both_parts(digits):
    train_gray, test_gray = digits.train.protected == 0, digits.test.protected == 0
    assert not _keys(digits.train.x[train_gray]) & _keys(digits.test.x[test_gray])


def test_renderings_differ_in_colour_and_keep_the_ink_s_order():
    ink = np.random.default_rng(0).random((5, 8, 8), dtype=np.float32)
    gray, tinted = digits_s.render(ink, np.zeros(5, int)), digits_s.render(ink, np.ones(5, int))
    assert (gray[:, 0] == gray[:, 2]).all() and not np.allclose(tinted[:, 0], tinted[:, 2])
    assert tinted.min() >= 0 and tinted.max() <= 1
    assert (np.argsort(tinted[0, 0].ravel()) == np.argsort(gray[0, 0].ravel())).all()


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if not entry.needs])
def test_data_sets_are_the_same_at_every_load_and_as_described(name):
    entry = DATASETS[name]
    options = entry.options().model_dump()
    first, second = entry.load_dataset(options), entry.load_dataset(options)
    for part in ("train", "test"):
        assert digest_arrays(getattr(first, part).arrays()) == digest_arrays(getattr(second, part).arrays())
    assert list(first.classes) == entry.describe(options)["classes"]
    assert all(path.is_file() for path in entry.source_files(options))


def test_another_split_seed_is_another_split(digits):
    other = digits_s.load(DigitsSOptions(split_seed=1))
    assert digest_arrays([("x", digits.train.x)]) != digest_arrays([("x", other.train.x)])


def test_the_counts_shown_in_the_notebook_add_up_and_are_escaped(digits):
    table = digits.counts("train")
    assert sum(sum(row[1:]) for row in table.rows) == len(digits.train)
    table.rows[0][0] = "<script>"
    assert "<script>" not in table._repr_html_()
