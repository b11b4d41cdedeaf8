"""A scikit-learn estimator as the training of a run: vary, fit, predict, and what runs must have in common."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitlib.digest import digest_file
from fitlib.errors import InputError
from fitlib.recording.save_predictions import RECORDERS, folder_of
from fitlib.repetition import estimator_data
from fitlib.repetition.estimator_data import Rows
from fitlib.repetition.pickles import WHERE, read_pickle
from fitlib.repetition.variations import VARIATIONS, random_state_of, random_states, training_rows
from fitlib.storage.manifest import INPUTS


def is_estimator(value: object) -> bool:
    """Return whether a value looks like a scikit-learn estimator that predicts."""
    return not inspect.isclass(value) and all(callable(getattr(value, name, None)) for name in _METHODS)


_METHODS = ("fit", "predict", "get_params", "set_params")


def check_variation(field: str, estimator: Any, vary: str) -> None:
    """Raise InputError for an unknown variation, or a random_state that the estimator does not have."""
    if vary not in VARIATIONS:
        raise InputError(WHERE, "vary", vary, "unknown", f"choose one of {', '.join(VARIATIONS)}")
    if vary == "random_state" and not random_states(estimator):
        problem = f"{type(estimator).__name__} has no random_state"
        raise InputError(WHERE, field or "vary", vary, problem, 'vary="order", "split" or "bootstrap" instead')


# The run


def preload(run_dir: str, estimator: str, vary: str) -> None:
    """Import what the estimator needs, without any computation."""
    read_pickle(str(_inputs(run_dir) / estimator))


def train(run_dir: str, run: int, seed: int, noise: Mapping[str, object], estimator: str, vary: str) -> dict[str, Any]:
    """Fit the estimator of a run and return its predictions of the test rows, as arguments of `save_predictions`.

    estimator: file name of its pickle in the inputs of the experiment. vary: see `fitlib.repetition.variations`;
    control runs all have index 0, so that nothing varies. Scores are those of `predict_proba`, else of
    `decision_function`.
    """
    folder = _inputs(run_dir)
    model, (training, test) = read_pickle(str(folder / estimator)), estimator_data.read(folder)
    state = random_state_of(vary, seed, run)
    model.set_params(**dict.fromkeys(random_states(model), state))
    rows = training_rows(vary, len(training.labels), seed, run)
    _fit(model, training.chosen(rows))
    predicted = np.asarray(_predict(model, test, state))
    RECORDERS[folder_of(run_dir)] = _Evidence(folder, estimator, vary, seed, {**noise, "run": run})
    return _columns(model, test, predicted, _classes(training, test))


def _inputs(run_dir: str) -> Path:
    return Path(run_dir).resolve().parents[3] / INPUTS  # run_dir: <experiment>/runs/<training>/<arm>/<run>


def _fit(model: Any, training: Rows) -> None:
    """Fit the model, with the groups where its `fit` names `sensitive_features`."""
    model.fit(training.features, training.labels, **_accepted(model.fit, sensitive_features=_frame(training)))


def _predict(model: Any, test: Rows, state: int) -> Any:
    """Predict, with the groups and the random state where `predict` names them (randomised post-processing)."""
    accepted = _accepted(model.predict, sensitive_features=_frame(test), random_state=state)
    return model.predict(test.features, **accepted)


def _accepted(method: Any, **options: object) -> dict[str, object]:
    names = inspect.signature(method).parameters
    return {name: value for name, value in options.items() if name in names}


def _frame(rows: Rows) -> Any:
    """Return the groups as a frame, of one attribute as a series."""
    import pandas as pd

    frame = pd.DataFrame(rows.groups)
    return frame if len(rows.groups) > 1 else frame.iloc[:, 0]


def _classes(training: Rows, test: Rows) -> NDArray | None:
    """Return all classes in ascending order; None for lists of labels."""
    return np.unique(np.concatenate([training.labels, test.labels])) if test.labels.ndim == 1 else None


def _columns(model: Any, test: Rows, predicted: NDArray, classes: NDArray | None) -> dict[str, Any]:
    """Return the arguments of `save_predictions`; classes as numbers with their names."""
    if classes is None:
        return {"ground_truth": test.labels, "prediction": predicted, "protected": test.groups}
    codes = {"ground_truth": _codes(test.labels, classes), "prediction": _codes(predicted, classes)}
    score = _scores(model, test.features, classes)
    names = [str(name) for name in classes.tolist()]
    return {**codes, "protected": test.groups, "classes": names, **({} if score is None else {"score": score})}


def _codes(labels: NDArray, classes: NDArray) -> NDArray[np.int64]:
    """Return the number of each label among the classes; InputError for a prediction that is no class."""
    places = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    wrong = classes[places] != labels
    if wrong.any():
        value = labels[int(np.argmax(wrong))]
        raise InputError(WHERE, "predict", value, "not one of the classes of y", "give a classifier, not a regressor")
    return places


def _scores(model: Any, features: Any, classes: NDArray) -> NDArray | None:
    """Return the scores of class 1 of two (rows,), else of all classes; None where the model has none of all."""
    method = getattr(model, "predict_proba", None) or getattr(model, "decision_function", None)
    if method is None or not np.array_equal(getattr(model, "classes_", ()), classes):
        return None
    scores = np.asarray(method(features), dtype=np.float64)
    if scores.ndim == 2 and scores.shape[1] == 2 and len(classes) == 2:
        scores = scores[:, 1]
    fits = scores.shape[1:] == (() if len(classes) == 2 else (len(classes),))
    return scores if fits and np.isfinite(scores).all() else None


class _Evidence:
    """What the runs of an estimator must share: the estimator, the data and, unless it varies, the random state."""

    step, complete, unsaved = 0, False, False  # seen from outside

    def __init__(self, folder: Path, estimator: str, vary: str, seed: int, noise: Mapping[str, object]):
        files = sorted(path for path in folder.glob("*-rows.*"))
        self._parts = {
            "estimator": digest_file(folder / estimator),
            "training data": digest_file(next(path for path in files if path.stem == "training-rows")),
            "test features": digest_file(next(path for path in files if path.stem == "test-rows")),
            "labels and groups": digest_file(folder / estimator_data.LABELS),
            **({} if vary == "random_state" else {"random_state": str(seed)}),
        }
        self._noise = {**noise, "applied": noise["name"] != "none"}

    def evidence(self) -> tuple[list[dict], dict[str, str], dict[str, object]]:
        """Return no digests, the parts of the fingerprint, and the noise."""
        return [], self._parts, self._noise
