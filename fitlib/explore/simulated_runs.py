"""A simulated experiment with recorded runs: curves, digests and fingerprints.

It adds them to the predictions of `fitlib.metrics.simulated_experiment`.

SIMULATED: no network stands behind these curves, and what is digested are the simulated predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fitlib.digest import digest_arrays, digest_json
from fitlib.metrics.simulated_experiment import write_example, write_metrics
from fitlib.results.loaded import ExperimentResults
from fitlib.storage.atomic_files import write_json
from fitlib.storage.predictions import read_predictions, write_table
from fitlib.storage.records import RECORD
from fitlib.tables import all_tables

EPOCHS = 6


def example_experiment(folder: str | Path, seed: int = 0, runs: int = 8) -> ExperimentResults:
    """Write a small simulated experiment to ``folder``: predictions, records of its runs, tables; and load it."""
    example = write_example(folder, seed, runs)
    write_metrics(example)
    write_runs(example, seed)
    gathered = all_tables.gather(example["folder"], example["plan"])
    tables = Path(example["folder"]) / "tables"
    all_tables.write(all_tables.tables_of(gathered, example["plan"]), tables)
    write_table(tables / "metrics.parquet", gathered["metrics"], "metrics")
    return ExperimentResults(example["folder"], known=(example["plan"], []))  # nothing proves simulated runs identical


def write_runs(example: Mapping[str, Any], seed: int = 0) -> None:
    """Write history, digests, fingerprint and record of every run of an example."""
    rng = np.random.default_rng(seed)
    for technique, arms in example["predictions"].items():
        for path in (Path(path) for files in arms.values() for path in files.values()):
            _write_run(path.parents[1], read_predictions(path), technique, rng)


def _write_run(folder: Path, rows: pd.DataFrame, technique: str, rng: np.random.Generator) -> None:
    _history(rows, rng).to_parquet(folder / "history.parquet", index=False)
    start, end = digest_json([technique, "start"]), digest_arrays([("prediction", rows["prediction"].to_numpy())])
    known = [(0, "initial weights", start), (0, "first batch", start), *((e, "weights", end) for e in range(EPOCHS))]
    pd.DataFrame(known, columns=["epoch", "part", "digest"]).to_parquet(folder / "digests.parquet", index=False)
    parts = {"initial weights": start, "first batch": start, "python": "simulated"}
    for name in ("fingerprint.json", RECORD):
        write_json(folder / name, {"fingerprint": digest_json(parts), "parts": parts})


def _history(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return accuracy by group that grows to that of the predictions."""
    right = rows.assign(right=rows["ground_truth"] == rows["prediction"]).groupby("protected")["right"]
    accuracy, number = right.mean().to_numpy(), right.size().to_numpy()
    grown = 1 - 0.5 ** np.arange(1, EPOCHS + 1)[:, None]
    curve = accuracy * np.where(grown == grown[-1], 1, grown + 0.02 * rng.standard_normal((EPOCHS, len(accuracy))))
    epoch, group = np.indices(curve.shape)
    return pd.DataFrame(
        {
            "epoch": epoch.ravel(),
            "group": group.ravel(),
            "n": np.broadcast_to(number, curve.shape).ravel(),
            "train_loss": np.repeat(1 - grown.ravel(), len(accuracy)),
            "test_accuracy": curve.ravel(),
        }
    )
