"""The data of estimators: checked, split into training and test rows, and as files that every run reads."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitlib.datasets.tabular.splitting import TEST, TRAIN, draw_parts
from fitlib.errors import InputError
from fitlib.recording.label_encoding import columns_of
from fitlib.recording.save_predictions import checked_rows
from fitlib.repetition.pickles import WHERE, pickled, read_pickle

LABELS, GROUP = "labels.npz", "group "
FEATURES = {"train": "training-rows", "test": "test-rows"}  # stems of the files with the features
ONE_PER_ROW = "give one for each row of X"


@dataclass(frozen=True)
class Rows:
    """Features, labels (rows,) or (rows, labels), and groups by protected attribute, (rows,) each."""

    features: Any
    labels: NDArray
    groups: dict[str, NDArray]

    def chosen(self, rows: NDArray[np.int64]) -> Rows:
        """Return these rows, in this order."""
        features = select_rows(self.features, rows)
        return Rows(features, self.labels[rows], {name: of[rows] for name, of in self.groups.items()})


def select_rows(features: Any, rows: NDArray[np.int64]) -> Any:
    """Return these rows of a frame or an array, in this order."""
    return features.iloc[rows] if hasattr(features, "iloc") else features[rows]


# Checks and the split


def checked(field: str, features: Any, labels: object, groups: object) -> Rows:
    """Return features, labels and groups, one for each row; InputError where one is missing or of another length."""
    for name, value in (("X", features), ("y", labels), ("sensitive_features", groups)):
        if value is None:
            remedy = "fitlib.repeat(estimator, X, y, sensitive_features=…)"
            raise InputError(WHERE, f"{field}{name}", None, "an estimator needs it", remedy)
    if not hasattr(features, "shape"):
        features = np.asarray(features)
    columns = {name: _array(values) for name, values in _attributes(groups).items()}
    rows = Rows(features, _array(labels), columns)
    for name, values in {"y": rows.labels, **{f"sensitive_features[{a!r}]": of for a, of in columns.items()}}.items():
        if len(values) != features.shape[0]:
            raise InputError(WHERE, f"{field}{name}", len(values), f"X has {features.shape[0]:,} rows", ONE_PER_ROW)
    _check_values(field, rows)
    return rows


def _attributes(groups: Any) -> dict[str, object]:
    """Return the groups by protected attribute; a series has its name, a single column the name "protected"."""
    name = getattr(groups, "name", None)
    named = {name: groups} if isinstance(name, str) and name else groups
    try:
        return {str(attribute): column for attribute, column in columns_of(named).items()}
    except InputError as error:
        raise InputError(WHERE, "sensitive_features", error.value, error.problem, error.remedy) from None


def _array(values: Any) -> NDArray:
    """Return values as an array of numbers or text, which a file holds without pickling; None and NaN stay."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind != "O" or any(value is None or value != value for value in array.flat):
        return array
    text = array.astype(str)
    plain = np.array(array.tolist())
    return plain if plain.dtype.kind in "biuf" else text


def _check_values(field: str, rows: Rows) -> None:
    """Raise InputError, before any work, for labels and groups that `save_predictions` would refuse in every run."""
    try:
        checked_rows(rows.labels, rows.labels, rows.groups)
    except InputError as error:
        at = error.field.replace("ground_truth", "y").replace("protected_", "sensitive_features ")
        raise InputError(WHERE, f"{field}{at}", error.value, error.problem, error.remedy) from None


def split(rows: Rows, test_size: float, seed: int) -> tuple[Rows, Rows]:
    """Return training and test rows, drawn with the same share in every combination of class and groups."""
    if not isinstance(test_size, int | float) or not 0 < test_size < 1:
        problem = "not a share of the rows between 0 and 1"
        raise InputError(WHERE, "test_size", test_size, problem, "for example test_size=0.3, or give test=")
    columns = [*np.atleast_2d(rows.labels.T if rows.labels.ndim == 1 else []), *rows.groups.values()]
    codes = [np.unique(column, return_inverse=True)[1] for column in columns if len(column)]
    strata = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].ravel()
    part = draw_parts(strata, np.arange(len(strata)), test_size, seed=seed)
    return rows.chosen(np.flatnonzero(part == TRAIN)), rows.chosen(np.flatnonzero(part == TEST))


# Files


def write(folder: Path, training: Rows, test: Rows) -> list[Path]:
    """Write training and test rows into a folder, in files whose bytes follow from the content; return the files."""
    found = [_write_features(folder / FEATURES["train"], training.features)]
    found.append(_write_features(folder / FEATURES["test"], test.features))
    columns = {"train": training.labels, "test": test.labels}
    for part, rows in (("train", training), ("test", test)):
        columns |= {f"{GROUP}{part} {name}": values for name, values in rows.groups.items()}
    np.savez(folder / LABELS, **columns)  # type: ignore[arg-type]
    return [*found, folder / LABELS]


def read(folder: Path) -> tuple[Rows, Rows]:
    """Read training and test rows."""
    with np.load(folder / LABELS, allow_pickle=False) as columns:
        return _read_part(folder, columns, "train"), _read_part(folder, columns, "test")


def _read_part(folder: Path, columns: Mapping[str, NDArray], part: str) -> Rows:
    prefix = f"{GROUP}{part} "
    groups = {name.removeprefix(prefix): columns[name] for name in columns if name.startswith(prefix)}
    path = next(path for path in sorted(folder.glob(f"{FEATURES[part]}.*")))
    return Rows(_read_features(path), columns[part], groups)


def _write_features(stem: Path, features: Any) -> Path:
    """Write features as parquet or .npy where that restores them exactly, else as a pickle."""
    for suffix in (".parquet", ".npy", ".pkl"):
        stem.with_suffix(suffix).unlink(missing_ok=True)
    content = _as_parquet(features) if hasattr(features, "iloc") else None
    if content is not None:
        path = stem.with_suffix(".parquet")
        path.write_bytes(content)
    elif isinstance(features, np.ndarray) and features.dtype.kind in "biufcUS":
        path = stem.with_suffix(".npy")
        np.save(path, np.ascontiguousarray(features))
    else:
        path = stem.with_suffix(".pkl")
        path.write_bytes(pickled(features))
    return path


def _as_parquet(frame: Any) -> bytes | None:
    """Return a frame as parquet, None where reading it would return another frame."""
    import pandas as pd

    buffer = io.BytesIO()
    try:
        frame.to_parquet(buffer)
        buffer.seek(0)
        pd.testing.assert_frame_equal(pd.read_parquet(buffer), frame)
    except (AssertionError, TypeError, ValueError):  # pyarrow's errors are among them
        return None
    return buffer.getvalue()


def _read_features(path: Path) -> Any:
    if path.suffix == ".parquet":
        import pandas as pd

        return pd.read_parquet(path)
    return np.load(path, allow_pickle=False) if path.suffix == ".npy" else read_pickle(str(path))
