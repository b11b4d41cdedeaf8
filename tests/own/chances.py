"""A module that is imported by a module of a custom training."""

import numpy as np


def flipped(seeds, chances):
    """Which rows are drawn, each with its chance."""
    return np.random.default_rng(seeds).random(len(chances)) < chances
