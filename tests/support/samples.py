"""Samples of distributions."""

import numpy as np
from hypothesis import settings

quick = settings(max_examples=60, deadline=None)


def normal(seed: int, n: int, shift: float = 0.0, sd: float = 1.0) -> np.ndarray:
    return shift + sd * np.random.default_rng(seed).standard_normal(n)
