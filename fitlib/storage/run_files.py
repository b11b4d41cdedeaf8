"""The files of a run beside its predictions, whoever trained it: history, digests, fingerprint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HISTORY_FILE, DIGESTS_FILE, FINGERPRINT_FILE = "history.parquet", "digests.parquet", "fingerprint.json"
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


def write_history(run_dir: Path, rows: Iterable[Mapping[str, object]]) -> str:
    """Write one row per epoch and group (`HISTORY`; columns may be missing), and return the file's name."""
    pq.write_table(pa.Table.from_pylist(list(rows), HISTORY), run_dir / HISTORY_FILE)
    return HISTORY_FILE


def write_digests(run_dir: Path, rows: Iterable[Mapping[str, object]]) -> str:
    """Write one row per digest (`DIGESTS`), none if nothing was recorded, and return the file's name."""
    pq.write_table(pa.Table.from_pylist(list(rows), DIGESTS), run_dir / DIGESTS_FILE)
    return DIGESTS_FILE


def write_fingerprint(run_dir: Path, fingerprint: Mapping[str, object]) -> str:
    """Write the fingerprint with its parts and what the noise did, and return the file's name."""
    (run_dir / FINGERPRINT_FILE).write_text(json.dumps(fingerprint, indent=1, sort_keys=True) + "\n")
    return FINGERPRINT_FILE
