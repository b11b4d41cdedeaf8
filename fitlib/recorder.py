"""What a run leaves behind: predictions, history, digests and fingerprint, written into the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fitlib.datasets import Dataset
from fitlib.evaluation import Trained
from fitlib.predictions import write

HISTORY = pa.schema(
    [
        ("epoch", pa.int64()),
        ("group", pa.int64()),
        ("n", pa.int64()),
        ("train_loss", pa.float64()),
        ("test_accuracy", pa.float64()),
        ("stage", pa.int64()),
        ("steps", pa.int64()),
        ("validation_f1", pa.float64()),
        ("validation_map", pa.float64()),
        ("selected", pa.bool_()),
    ]
)
DIGESTS = pa.schema([("part", pa.string()), ("epoch", pa.int64()), ("digest", pa.string())])


def save_run(
    run_dir: Path, trained: Trained, dataset: Dataset, rules: Mapping[str, str], fingerprint: Mapping[str, object]
) -> list[str]:
    """Write a run's outputs into `run_dir`; returns their names relative to it.

    `rules` maps techniques to inference rules: one predictions file each. The fingerprint file also holds what the
    noise did (`noise`), where it says so.
    """
    (run_dir / "predictions").mkdir(parents=True, exist_ok=True)
    names = ["history.parquet", "digests.parquet", "fingerprint.json"]
    pq.write_table(pa.Table.from_pylist(trained.history, HISTORY), run_dir / names[0])
    pq.write_table(pa.Table.from_pylist(trained.digests, DIGESTS), run_dir / names[1])
    (run_dir / names[2]).write_text(json.dumps(fingerprint, indent=1, sort_keys=True) + "\n")
    test = dataset.test
    for technique, prediction in trained.predictions(dict(rules)).items():
        names.append(f"predictions/{technique}.parquet")
        write(run_dir / names[-1], np.arange(len(test)), test.y, prediction, test.protected, test.unit)
    return names
