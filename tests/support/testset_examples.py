"""Predictions and long tables for tests of what the test set contributes."""

import numpy as np
import pandas as pd

from fitlib.metrics.long_tables import technique_tables
from fitlib.storage.predictions import Predictions
from fitlib.tables import runs_and_summary
from tests.support.chance_examples import made
from tests.support.count_examples import random_rows
from tests.support.table_examples import arm, plan, technique

RUNS = 6


def predicted(seed: int = 0, groups: int = 2, n_runs: int = RUNS, classes: int = 3) -> Predictions:
    rows = random_rows(np.random.default_rng(seed), n_rows=200, n_runs=n_runs, n_groups=groups, n_classes=classes)
    return made(*rows, n_classes=3, n_groups=groups)


def long_tables(**arms: Predictions) -> dict[str, pd.DataFrame]:
    """Long tables of the techniques Base, … with one arm each, under the attribute "a"."""
    made_ = [technique_tables(name, {"ulp": (0, p)}) for name, p in arms.items()]
    return {name: pd.concat([one[name] for one in made_], ignore_index=True) for name in made_[0]}


def planned(groups: int = 2, names: tuple = ("Base",), **analysis: object) -> dict:
    techniques = [technique(name, None if name == "Base" else "Base") for name in names]
    made_ = plan(*techniques, arms=[arm(n=RUNS)], **analysis)
    return made_ | {"groups": {"a": [f"g{g}" for g in range(groups)]}}


def summary(long: dict, plan_: dict) -> pd.DataFrame:
    return runs_and_summary.summary(long["metrics"], plan_, long["testset"], long["counts"])
