"""Features as numbers for a network: scaled, missing values filled, categories one-hot or as codes.

All of it is fitted on the training part only, by scikit-learn, in a process of its own (`table.load` starts it).
"""

from __future__ import annotations

import json
import pickle
import sys

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.features import Feature
from fitlib.datasets.tabular.splitting import TRAIN


def main(path: str) -> None:
    """Write x for the pickled arguments of `encoded` on stdin, which are fitlib's own; print the sizes as JSON."""
    x, sizes = encoded(*pickle.load(sys.stdin.buffer))
    np.save(path, x)
    print(json.dumps(sizes))


def encoded(
    features: list[Feature], part: NDArray[np.int64], one_hot: bool, most_categories: int
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """X float32 (rows, inputs), numbers first, and the sizes of the columns of codes (none where `one_hot`)."""
    train = part == TRAIN
    numbers = [f.numbers for f in features if f.levels is None]
    codes = [_codes(f) for f in features if f.levels is not None]
    blocks, sizes = [], ()
    if numbers:
        blocks.append(_scaled(np.column_stack(numbers), train))
    if codes and one_hot:
        blocks.append(_one_hot(np.column_stack(codes), train, most_categories))
    elif codes:
        block, sizes = _recoded(np.column_stack(codes), train, most_categories)
        blocks.append(block)
    return np.hstack(blocks).astype(np.float32), sizes


def _codes(feature: Feature) -> NDArray[np.int64]:
    """Categories as numbers, "missing" being one more."""
    return np.where(feature.missing, len(feature.levels.values), feature.levels.places)


def _scaled(numbers: NDArray[np.float64], train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(x - mean) / SD, missing ones the median, and a column 0/1 for each feature with missing values in training."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Scaled first (missing values are passed over), so that the columns of marks stay 0 and 1 however rare they are.
    steps = make_pipeline(StandardScaler(), SimpleImputer(strategy="median", add_indicator=True))
    return steps.fit(numbers[train]).transform(numbers)


def _one_hot(codes: NDArray[np.int64], train: NDArray[np.bool_], most: int) -> NDArray[np.float32]:
    """A column 0/1 for each category; a category that the training part lacks counts to the rare ones, or is all 0."""
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=most, sparse_output=False, dtype=np.float32
    )
    return encoder.fit(codes[train]).transform(codes)


def _recoded(
    codes: NDArray[np.int64], train: NDArray[np.bool_], most: int
) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Codes from 1 on, 0 for a category that the training part lacks; and the number of codes of each column."""
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=most, dtype=np.int64)
    made = encoder.fit(codes[train]).transform(codes) + 1
    return made, tuple(int(size) for size in made[train].max(0) + 1)
