"""Test rows that never change, and predictions of them."""

import numpy as np
from chances import flipped

CLASSES, GROUPS = np.array(["no", "yes"]), np.array(["f", "m"])


def predicted(seed, run, share, size=120):
    """Columns of text: a share of the predictions is wrong, twice as many of group f."""
    generator = np.random.default_rng(0)
    truth, sex = generator.integers(0, 2, size), generator.integers(0, 2, size)
    prediction = np.where(flipped([seed, run], share * (2 - sex)), 1 - truth, truth)
    return {"ground_truth": CLASSES[truth], "prediction": CLASSES[prediction], "protected": GROUPS[sex]}
