"""The long table `persons` of a technique: churn, test units across groups and thresholds, one value per row.

It is computed from predictions, since runs cannot be drawn again from votes, and holds no row-level data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fitlib.individuals import RESAMPLES, individual_rows
from fitlib.thresholds import threshold_rows
from fitlib.units import unit_rows

if TYPE_CHECKING:
    import pandas as pd

    from fitlib.storage.predictions import Predictions

SEED = 20240220  # of the draws of runs and units, the same for every technique, arm and attribute
PERSON_COLUMNS = (
    "technique", "arm", "seed", "attribute", "quantity", "metric", "target", "group", "at", "value", "low", "high",
)  # fmt: skip


def person_table(
    technique: str, arm: str, seed: int, predictions: Predictions, attribute: str, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """One row per quantity, metric, target (class; null = all), group (null = all) and `at`.

    Quantities: see `individuals.individual_rows`, `units.unit_rows` and `thresholds.threshold_rows`. Columns
    `PERSON_COLUMNS`; the same draws every time.
    """
    import pandas as pd

    rows = individual_rows(predictions, attribute, np.random.default_rng(SEED), resamples)
    rows += unit_rows(predictions, attribute) + threshold_rows(predictions, attribute)
    frame = pd.DataFrame(rows).assign(technique=technique, arm=arm, seed=seed, attribute=attribute)
    text = dict.fromkeys(("technique", "arm", "attribute", "quantity"), "str")
    kinds = text | {"metric": "object", "seed": "int64", "target": "Int64", "group": "Int64", "at": "float64"}
    return frame[list(PERSON_COLUMNS)].astype(kinds)
