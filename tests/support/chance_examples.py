"""Predictions from plain lists."""

import numpy as np

from fitlib.storage.predictions import Predictions


def made(truth, prediction, group, unit=None, n_classes=None, n_groups=None) -> Predictions:
    truth, prediction, group = np.asarray(truth), np.asarray(prediction), np.asarray(group)
    classes = n_classes or (truth.shape[1] if truth.ndim == 2 else int(truth.max()) + 1)
    groups = {"a": n_groups or int(group.max()) + 1}
    runs = tuple(range(len(prediction)))
    return Predictions(np.arange(len(truth)), truth, prediction, {"a": group}, unit, classes, groups, runs)
