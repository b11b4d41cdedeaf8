"""Made images: they stand in for photographs of people where only the annotations are at hand.

A made image shows its labels and its gender, so that a network has something to learn; whatever is measured on it says
nothing about people.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

TINTS = np.array([[48, 0, 0], [0, 0, 48]], np.uint8)  # added to red for men, to blue for women


def made_image(file: str, labels: Sequence[int], gender: int, n_labels: int, size: int) -> np.ndarray:
    """The made image of one entry: uint8 (3, size, width), width from `size` to 5/4 of it by the file's name.

    Noise drawn from the name, tinted by gender; label k is a bright square in the k-th field of a grid that all labels
    fill row by row, in the colour of k.
    """
    rng = np.random.default_rng(zlib.crc32(file.encode()))
    image = rng.integers(0, 128, (3, size, size + int(rng.integers(size // 4 + 1))), np.uint8)
    image += TINTS[gender][:, None, None]
    fields = math.ceil(math.sqrt(n_labels))
    for label in labels:
        (top, bottom), (left, right) = _field(label // fields, fields, size), _field(label % fields, fields, size)
        image[:, top:bottom, left:right] = 176 + 16 * (np.array([label, label // 5, label // 25]) % 5)[:, None, None]
    return image


def _field(number: int, fields: int, size: int) -> tuple[int, int]:
    return number * size // fields, (number + 1) * size // fields
