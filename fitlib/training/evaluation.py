"""Evaluation during training: predictions of a part, accuracy by group, macro-F1 and mean average precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fitlib.digest import digest_arrays
from fitlib.errors import InputError
from fitlib.training.batching import Inputs, Part
from fitlib.training.compute import enough_memory
from fitlib.training.methods.base import Method


@dataclass(frozen=True)
class Trained:
    """A training in progress or finished: the method with its network, the parts it predicts, history and digests."""

    method: Method
    inputs: Inputs
    test: Part
    validation: Part | None
    n_groups: int
    seed: int = 0  # of the random numbers that a method draws while predicting: the same for every prediction
    history: list[dict] = field(default_factory=list)  # one row per epoch and group: `fitlib.storage.run_files.HISTORY`
    digests: list[dict] = field(default_factory=list)  # part, epoch, digest

    def group_sizes(self) -> list[int]:
        """Return the number of rows of each group in the test part."""
        return torch.bincount(self.test.protected.cpu(), minlength=self.n_groups).tolist()

    def record(self, part: str, epoch: int, named: Iterable[tuple[str, object]]) -> None:
        """Append the digest of named tensors."""
        self.digests.append({"part": part, "epoch": epoch, "digest": digest_arrays(named)})

    def digest(self, part: str) -> str:
        """Return the last digest of a part."""
        return [row["digest"] for row in self.digests if row["part"] == part][-1]

    @torch.no_grad()
    def scores(self, part: Part | None = None) -> Tensor:
        """Return the scores of all rows of a part, the test part by default; the training's state is unchanged."""
        rows, remedy = self.inputs.training.evaluation_batch, "lower training.evaluation_batch or the image size"
        with prediction_mode(self.method, self.seed), enough_memory(remedy):
            return torch.cat([self.method.scores(x) for x in self.inputs.prediction_inputs(part or self.test, rows)])

    def predictions(self, rules: dict[str, str]) -> dict[str, np.ndarray]:
        """Return predictions (rows,) or (rows, labels) on the test part for `{technique: inference rule}`."""
        scores = self.scores()
        return {name: self.decide(rule, scores, self.test) for name, rule in rules.items()}

    def decide(self, rule: str, scores: Tensor, part: Part) -> np.ndarray:
        """Return a rule's predictions; InputError if it does not suit the data (one class, or a set of labels)."""
        with torch.no_grad():
            prediction = self.method.decide(rule, scores, part.protected)
        if prediction.shape != part.y.shape:
            targets = "sets of labels" if part.y.dim() == 2 else "one class each"
            raise InputError(
                "techniques", "inference", rule, f"the data have {targets}", "choose another inference rule"
            )
        return prediction.cpu().numpy()


@contextmanager
def prediction_mode(method: Method, seed: int) -> Iterator[None]:
    """Enter evaluation mode, or training mode if declared; restore random numbers and batch statistics at the end."""
    training_mode = method.training.training_mode_predictions
    state = dict(method.model.named_buffers()) if training_mode else {}
    saved = {name: buffer.clone() for name, buffer in state.items()}
    method.model.train(training_mode)
    with torch.random.fork_rng([method.device] if method.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
    for name, buffer in state.items():
        buffer.copy_(saved[name])


def group_accuracies(trained: Trained) -> list[float | None]:
    """Return the test accuracy of each group under the method's first rule; None for a group without rows.

    Multi-label: the share of correct cells (row, label).
    """
    part = trained.test
    prediction = torch.from_numpy(trained.decide(trained.method.first_rule(), trained.scores(), part))
    correct, protected = (prediction == part.y.cpu()).float(), part.protected.cpu()
    members = [correct[protected == group] for group in range(trained.n_groups)]
    return [float(m.mean()) if len(m) else None for m in members]


def validation_quality(trained: Trained) -> dict[str, float | None]:
    """Return macro-F1 (`validation_f1`) and mean average precision (`validation_map`) on the validation part.

    Empty without a validation part; `validation_map` is None if the scores are not one number for each class.
    """
    part = trained.validation
    if part is None:
        return {}
    scores, classes = trained.scores(part), trained.method.problem.n_classes
    y = one_hot(part.y.cpu().numpy(), classes)
    f1 = macro_f1(y, one_hot(trained.decide(trained.method.first_rule(), scores, part), classes))
    ranked = scores.dim() == 2 and scores.shape[1] == classes
    return {
        "validation_f1": f1,
        "validation_map": mean_average_precision(y, probabilities(scores, part)) if ranked else None,
    }


def probabilities(scores: Tensor, part: Part) -> np.ndarray:
    """Return logits as probabilities (rows, classes), float64: softmax, or sigmoid for multi-label data."""
    logits = scores.double()
    return (logits.sigmoid() if part.y.dim() == 2 else logits.softmax(1)).cpu().numpy()


def one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    """Return class numbers (rows,) as 0/1 (rows, classes); labels (rows, classes) are returned unchanged."""
    return y if y.ndim == 2 else np.eye(classes, dtype=np.int64)[y]


def macro_f1(y: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean over classes of F1 = 2 TP / (2 TP + FP + FN), from 0/1 arrays (rows, classes).

    F1 is 0 for a class that neither occurs nor is predicted.

    >>> macro_f1(np.array([[1, 0], [1, 0], [0, 1]]), np.array([[1, 0], [0, 1], [0, 1]]))
    0.6666666666666666
    """
    hits, sums = (y * prediction).sum(0), y.sum(0) + prediction.sum(0)
    return float(np.mean(2 * hits / np.maximum(sums, 1)))


def mean_average_precision(y: np.ndarray, scores: np.ndarray) -> float | None:
    """Return the mean over classes of `average_precision`, for y 0/1 and scores (rows, classes).

    Classes without positives are left out; None if no class is left.
    """
    values = [average_precision(y[:, c], scores[:, c]) for c in range(y.shape[1]) if y[:, c].any()]
    return float(np.mean(values)) if values else None


def average_precision(y: np.ndarray, scores: np.ndarray) -> float:
    """Return the average precision of one class, Σ_k (R_k - R_(k-1)) P_k over thresholds; y 0/1 and scores (rows,).

    R_k and P_k are recall and precision at threshold k; equal scores share a threshold.

    >>> average_precision(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.7]))
    0.8333333333333333
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(y) - 1)  # the last row at each threshold
    hits = np.cumsum(y[order])[ends]
    return float((np.diff(hits, prepend=0) / hits[-1] * (hits / (ends + 1))).sum())
