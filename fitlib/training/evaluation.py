"""What a training is worth so far: predictions of a part, accuracy by group, macro-F1 and mean average precision."""

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
    """A training in progress or done: the method with its network, the parts it predicts, history rows and digests."""

    method: Method
    inputs: Inputs
    test: Part
    validation: Part | None
    n_groups: int
    seed: int = 0  # of what a method draws while it predicts: the same at every prediction
    history: list[dict] = field(default_factory=list)  # one row per epoch and group: `fitlib.storage.run_files.HISTORY`
    digests: list[dict] = field(default_factory=list)  # part, epoch, digest

    def group_sizes(self) -> list[int]:
        """Rows of each group in the test part."""
        return torch.bincount(self.test.protected.cpu(), minlength=self.n_groups).tolist()

    def record(self, part: str, epoch: int, named: Iterable[tuple[str, object]]) -> None:
        """Append the digest of named tensors."""
        self.digests.append({"part": part, "epoch": epoch, "digest": digest_arrays(named)})

    def digest(self, part: str) -> str:
        """The last digest of a part."""
        return [row["digest"] for row in self.digests if row["part"] == part][-1]

    @torch.no_grad()
    def scores(self, part: Part | None = None) -> Tensor:
        """Scores of all rows of a part, the test part by default; the training is left as it was."""
        rows, remedy = (
            self.inputs.training.evaluation_batch,
            "lower training.evaluation_batch, or the data's image size",
        )
        with predicting(self.method, self.seed), enough_memory(remedy):
            return torch.cat([self.method.scores(x) for x in self.inputs.plain(part or self.test, rows)])

    def predictions(self, rules: dict[str, str]) -> dict[str, np.ndarray]:
        """Predictions (rows,) or (rows, labels) on the test part for `{technique: inference rule}`."""
        scores = self.scores()
        return {name: self.decided(rule, scores, self.test) for name, rule in rules.items()}

    def decided(self, rule: str, scores: Tensor, part: Part) -> np.ndarray:
        """Predictions of a rule; InputError where it does not fit the data (one class, or a set of labels)."""
        with torch.no_grad():
            prediction = self.method.decide(rule, scores, part.protected)
        if prediction.shape != part.y.shape:
            found = "sets of labels" if part.y.dim() == 2 else "one class each"
            raise InputError("techniques", "inference", rule, f"the data have {found}", "choose another inference rule")
        return prediction.cpu().numpy()


@contextmanager
def predicting(method: Method, seed: int) -> Iterator[None]:
    """Evaluation mode, or what the training asks for; random numbers and batch statistics are put back."""
    training_mode = method.training.training_mode_predictions
    state = dict(method.model.named_buffers()) if training_mode else {}
    kept = {name: buffer.clone() for name, buffer in state.items()}
    method.model.train(training_mode)
    with torch.random.fork_rng([method.device] if method.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
    for name, buffer in state.items():
        buffer.copy_(kept[name])


def accuracies(trained: Trained) -> list[float | None]:
    """Test accuracy of each group under the method's first rule that fits the data; None for a group without rows.

    Multi-label: the share of right cells (row, label).
    """
    part = trained.test
    decided = torch.from_numpy(trained.decided(trained.method.first_rule(), trained.scores(), part))
    right, protected = (decided == part.y.cpu()).float(), part.protected.cpu()
    members = [right[protected == group] for group in range(trained.n_groups)]
    return [float(m.mean()) if len(m) else None for m in members]


def validated(trained: Trained) -> dict[str, float | None]:
    """`validation_f1`, `validation_map`: macro-F1 and mean average precision on the validation part; {} without one."""
    part = trained.validation
    if part is None:
        return {}
    scores, classes = trained.scores(part), trained.method.problem.n_classes
    y = one_hot(part.y.cpu().numpy(), classes)
    f1 = macro_f1(y, one_hot(trained.decided(trained.method.first_rule(), scores, part), classes))
    ranked = scores.dim() == 2 and scores.shape[1] == classes
    return {"validation_f1": f1, "validation_map": mean_average_precision(y, shares(scores, part)) if ranked else None}


def shares(scores: Tensor, part: Part) -> np.ndarray:
    """Logits as probabilities (rows, classes), float64: softmax, or sigmoid for multi-label data."""
    logits = scores.double()
    return (logits.sigmoid() if part.y.dim() == 2 else logits.softmax(1)).cpu().numpy()


def one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    """0/1 (rows, classes) of class numbers (rows,); labels (rows, classes) as they are."""
    return y if y.ndim == 2 else np.eye(classes, dtype=np.int64)[y]


def macro_f1(y: np.ndarray, prediction: np.ndarray) -> float:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN), 0 where a class neither occurs nor is predicted.

    Both 0/1 (rows, classes).
    """
    hits, sums = (y * prediction).sum(0), y.sum(0) + prediction.sum(0)
    return float(np.mean(2 * hits / np.maximum(sums, 1)))


def mean_average_precision(y: np.ndarray, scores: np.ndarray) -> float | None:
    """Mean over classes of average precision, sum over thresholds of (R_k - R_(k-1)) P_k; equal scores count as one.

    y 0/1 and scores (rows, classes). Classes without positives are left out; None where there is no other.
    """
    values = [average_precision(y[:, c], scores[:, c]) for c in range(y.shape[1]) if y[:, c].any()]
    return float(np.mean(values)) if values else None


def average_precision(y: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of one class: y 0/1 and scores (rows,)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(y) - 1)  # the last row at each threshold
    hits = np.cumsum(y[order])[ends]
    return float((np.diff(hits, prepend=0) / hits[-1] * (hits / (ends + 1))).sum())
