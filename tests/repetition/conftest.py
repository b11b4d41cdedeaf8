"""A small table of two classes and two groups, with a column of text."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest


class Table(NamedTuple):
    X: pd.DataFrame
    y: pd.Series
    sex: pd.Series


@pytest.fixture(scope="session")
def table():
    rng = np.random.default_rng(7)
    n = 240
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    sex = pd.Series(np.where(rng.random(n) < 0.5, "female", "male"), name="sex")
    y = pd.Series(np.where(frame["a"] + 0.4 * (sex == "male") + rng.normal(size=n) > 0, "yes", "no"))
    return Table(frame, y, sex)
