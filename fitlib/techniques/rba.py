"""Reducing bias amplification (RBA): calibrate decisions over a whole set by Lagrange multipliers."""

from __future__ import annotations

import torch
from torch import Tensor

SLACK = 1e-9  # of a count: a share exactly at its bound satisfies it, whatever the last bits say


def calibrated(
    potentials: Tensor, protected: Tensor, n_groups: int, margin: float = 0.05, rate: float = 3.0, rounds: int = 100
) -> Tensor:
    """Predictions (n,) such that, among the rows predicted y, each group's share is pushed to at most 1/G + margin.

    `potentials` s (n, classes) say how good each class is for each row; `protected` (n,) holds groups 0 .. G-1.
    Constraint k of class y on the counts n[y, g] of rows predicted y:  Δ[y, k] = Σ_g A[k, g] n[y, g] <= 0  with
    A[k, g] = [g = k] - (1/G + margin). From multipliers λ = 0 and s' = s, each round takes ŷ = argmax s', counts,
    sets  λ <- max(0, λ + rate Δ)  and  s' <- s  but for  s'[i, ŷ_i] = s[i, ŷ_i] - Σ_k λ[ŷ_i, k] A[k, g_i],  and stops
    where no constraint was broken, at the latest after `rounds`. Whether all constraints can be met depends on s.

    With two groups and margin 0.05 these are the study's S-DD4 constants: at most 55 % of either group.
    Reference: Zhao et al., EMNLP 2017, as used by Wang et al., CVPR 2020.
    """
    n_classes, rows = potentials.shape[1], torch.arange(len(potentials), device=potentials.device)
    potentials = potentials.double()
    constraints = torch.eye(n_groups, dtype=torch.float64, device=potentials.device) - (1 / n_groups + margin)
    multipliers = torch.zeros(n_classes, n_groups, dtype=torch.float64, device=potentials.device)
    shifted = potentials
    for _ in range(rounds):
        predicted = shifted.argmax(dim=1)
        counts = torch.bincount(predicted * n_groups + protected, minlength=n_classes * n_groups)
        excess = (counts.reshape(n_classes, 1, n_groups) * constraints).sum(dim=2)
        multipliers = (multipliers + rate * excess).clamp(min=0)
        price = (multipliers[:, :, None] * constraints).sum(dim=1)  # of predicting class y for a row of group g
        shifted = potentials.clone()
        shifted[rows, predicted] -= price[predicted, protected]
        if not bool((excess > SLACK).any()):
            break
    return shifted.argmax(dim=1)
