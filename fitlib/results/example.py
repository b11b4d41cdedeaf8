"""Results of a small simulated analysis, for examples and for trying things out; nothing is trained or read."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fitlib.results.analysis import analyze
from fitlib.results.results import Results

ROWS, RUNS = 400, 6


@lru_cache
def example_results() -> Results:
    """Return an analysis of three simulated techniques, 6 runs each, on 400 rows with three classes and two groups.

    >>> example_results()
    <results of Plain, Fairer, Same: 6 runs each, 400 rows, groups by sex>
    """
    rng = np.random.default_rng(0)
    truth, women = rng.integers(0, 3, ROWS), rng.random(ROWS) < 0.4
    sex = np.where(women, "female", "male")
    predicted = {
        name: _runs(rng, truth, women, extra) for name, extra in (("Plain", 0.2), ("Fairer", 0.0), ("Same", 0.2))
    }
    return analyze(truth, predicted, sensitive_features={"sex": sex}, baseline="Plain", smallest_effect=0.02)


def _runs(rng: np.random.Generator, truth: np.ndarray, women: np.ndarray, extra: float) -> np.ndarray:
    """Return the classes (runs, rows) that runs predict which err in 15 % of cases, for women in ``extra`` more."""
    errs = rng.random((RUNS, ROWS)) < 0.15 + extra * women
    return np.where(errs, 0, truth)
