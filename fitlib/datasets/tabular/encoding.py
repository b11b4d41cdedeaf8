"""Encoding of features for a network: numbers scaled, missing values filled, categories one-hot or as codes.

All of it is fitted on the training part only, by scikit-learn, in a process of its own (`custom_table` starts it).
"""

from __future__ import annotations

import json
import pickle
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.features import Categories, Feature, Numbers
from fitlib.datasets.tabular.splitting import TRAIN


def main(path: str) -> None:
    """Write x for the pickled arguments of `encode` on stdin, which fitlib itself wrote; print the sizes as JSON."""
    x, sizes = encode(*pickle.load(sys.stdin.buffer))
    np.save(path, x)
    print(json.dumps(sizes))


def encode(
    features: list[Feature], part: NDArray[np.int64], one_hot: bool, most_categories: int
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Return x float32 (rows, inputs), numbers first, and the sizes of the columns of codes (none where `one_hot`)."""
    train = part == TRAIN
    numbers = [f.values for f in features if isinstance(f, Numbers)]
    codes = [_codes(f) for f in features if isinstance(f, Categories)]
    blocks: list[NDArray[Any]] = []
    sizes: tuple[int, ...] = ()
    if numbers:
        blocks.append(_scale(np.column_stack(numbers), train))
    if codes and one_hot:
        blocks.append(_one_hot(np.column_stack(codes), train, most_categories))
    elif codes:
        block, sizes = _recode(np.column_stack(codes), train, most_categories)
        blocks.append(block)
    return np.hstack(blocks).astype(np.float32), sizes


def _codes(feature: Categories) -> NDArray[np.int64]:
    """Return categories as numbers, with one more for "missing"."""
    return np.where(feature.missing, len(feature.levels.values), feature.levels.places)


def _scale(numbers: NDArray[np.float64], train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (x - mean) / SD, the median for missing values, and a column 0/1 that marks them if training has some."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Scaled first (missing values are ignored), so that the indicator columns stay 0 and 1 however rare they are.
    steps = make_pipeline(StandardScaler(), SimpleImputer(strategy="median", add_indicator=True))
    return steps.fit(numbers[train]).transform(numbers)


def _one_hot(codes: NDArray[np.int64], train: NDArray[np.bool_], most: int) -> NDArray[np.float32]:
    """Return a column 0/1 for each category; one that the training part lacks counts as rare, or is all 0."""
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=most, sparse_output=False, dtype=np.float32
    )
    return encoder.fit(codes[train]).transform(codes)


def _recode(codes: NDArray[np.int64], train: NDArray[np.bool_], most: int) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return codes from 1 on, 0 for a category that the training part lacks, and the number of codes of each column."""
    from sklearn.preprocessing import OrdinalEncoder

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=most, dtype=np.int64)
    recoded = encoder.fit(codes[train]).transform(codes) + 1
    return recoded, tuple(int(size) for size in recoded[train].max(0) + 1)
