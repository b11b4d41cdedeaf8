"""The outputs of a run: predictions, history, digests and fingerprint, written to the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fitlib.datasets.dataset import Dataset
from fitlib.storage.predictions import write_predictions
from fitlib.storage.run_files import write_digests, write_fingerprint, write_history
from fitlib.training.evaluation import Trained


def save_run(
    run_dir: Path, trained: Trained, dataset: Dataset, rules: Mapping[str, str], fingerprint: Mapping[str, object]
) -> list[str]:
    """Write a run's outputs to `run_dir`; returns their names relative to it.

    `rules` maps techniques to inference rules, with one predictions file each. `fingerprint` may also describe what the
    noise did (`noise`).
    """
    (run_dir / "predictions").mkdir(parents=True, exist_ok=True)
    names = [write_history(run_dir, trained.history), write_digests(run_dir, trained.digests)]
    names.append(write_fingerprint(run_dir, fingerprint))
    test = dataset.test
    for technique, prediction in trained.predictions(dict(rules)).items():
        names.append(f"predictions/{technique}.parquet")
        write_predictions(run_dir / names[-1], np.arange(len(test)), test.y, prediction, test.by_attribute(), test.unit)
    return names
