"""Class weights for imbalanced data: rare classes count more, by the ratio of samples without and with them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

STUDY_EPSILON = 1e-15  # the study's guard against division by zero; it makes an absent class's weight 1e15 n


def class_weights(y: np.ndarray, n_classes: int, kind: str) -> Tensor:
    """Weights (n_classes,) from training targets y: class numbers (n,) or 0/1 labels (n, labels).

    w_k = (samples without k) / (samples with k). Kind `clamped` takes both counts as at least 1, so that a class
    which nobody has, or everybody, gets a finite and positive weight; `study` divides by the count itself (plus
    1e-15): a class without samples gets a weight of about 1e15 n, which drowns all others.
    """
    having = y.sum(axis=0) if y.ndim == 2 else np.bincount(y, minlength=n_classes)
    having, lacking = having.astype(np.float64), (len(y) - having).astype(np.float64)
    if kind == "clamped":
        return torch.from_numpy(np.maximum(lacking, 1) / np.maximum(having, 1)).float()
    return torch.from_numpy(lacking / (having + STUDY_EPSILON)).float()


def weighted_loss(logits: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Multi-label y (n, labels): mean over all of w_k BCE(z_k, y_k), positives and negatives alike.

    Class numbers y (n,): Σ_i w[y_i] CE(z_i, y_i) / Σ_i w[y_i].
    """
    if y.dim() == 1:
        return nn.functional.cross_entropy(logits, y, weights)
    return nn.functional.binary_cross_entropy_with_logits(logits, y.to(logits.dtype), weights)
