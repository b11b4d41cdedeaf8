"""Domain-discriminative training: learn class and group jointly, then infer the class with less of the group."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fitlib.datasets.dataset import Split
from fitlib.experiment.registry.methods import DomainDiscriminativeOptions
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Method, most_likely

SLACK = 1e-9  # of a count: a share exactly at its bound satisfies it despite rounding


class DomainDiscriminative(Method):
    """L = mean CE(z, (d, y)): one softmax over all pairs of group d and class y; p[d, y] are its probabilities.

    Rules:  sum-no-prior-shift (S-DD1)  argmax_y Σ_d p[d, y];  max-prior-shift (S-DD2)  argmax_y max_d w[d, y] p[d, y];
    sum-prior-shift (S-DD3)  argmax_y Σ_d w[d, y] p[d, y];  rba (S-DD4)  potentials Σ_d exp z[d, y], calibrated over
    all predicted rows with their groups (`calibrate`).
    Prior-shift weights w[d, y] = 1 / (share of the pair in training) assume that all pairs are equally frequent in the
    test set (Saerens et al., 2002). At 95 % : 5 % in equally frequent classes they are the study's 1/95 and 1/5, up to
    a common factor. A pair without training samples gets weight 0: it was never learnt.
    Reference: Wang et al., CVPR 2020, domain-discriminative training.
    """

    options: DomainDiscriminativeOptions
    multilabel = False

    def n_outputs(self) -> int:
        """Return the number of pairs of group and class: one logit each."""
        return self.problem.n_groups * self.problem.n_classes

    def prepare(self, train: Split) -> None:
        """Compute the prior-shift weights from the training part."""
        self.weights = prior_shift_weights(train.y, train.protected, self.problem.n_classes, self.problem.n_groups)

    def scores(self, x: Tensor) -> Tensor:
        """Return the logits (n, groups, classes)."""
        return self.network(x).reshape(len(x), self.problem.n_groups, self.problem.n_classes)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean cross entropy over the pairs."""
        pair = batch.protected * self.problem.n_classes + batch.y
        return nn.functional.cross_entropy(self.scores(batch.x).flatten(1), pair)

    def decide(self, rule: str, scores: Tensor, protected: Tensor) -> Tensor:
        """Return the predictions (n,) of the named rule; rules are methods here, as they use weights and options."""
        return self.rules[rule](self, scores, protected)

    def sum_no_prior_shift(self, scores: Tensor, protected: Tensor) -> Tensor:
        """Return the class whose pairs are most probable in total (S-DD1)."""
        return most_likely(probabilities(scores).sum(dim=1))

    def max_prior_shift(self, scores: Tensor, protected: Tensor) -> Tensor:
        """Return the class of the most probable pair, had all pairs been equally frequent (S-DD2)."""
        return most_likely(self.shifted(scores).amax(dim=1))

    def sum_prior_shift(self, scores: Tensor, protected: Tensor) -> Tensor:
        """Return the class whose pairs are most probable in total, had all been equally frequent (S-DD3)."""
        return most_likely(self.shifted(scores).sum(dim=1))

    def rba(self, scores: Tensor, protected: Tensor) -> Tensor:
        """Return the class calibrated over all rows (S-DD4), from exponentials of raw logits without prior shift."""
        return calibrate(scores.double().exp().sum(dim=1), protected, self.problem.n_groups, self.options)

    def shifted(self, scores: Tensor) -> Tensor:
        """Return the weighted probabilities w p (n, groups, classes)."""
        return probabilities(scores) * self.weights

    rules = {
        "sum-no-prior-shift": sum_no_prior_shift,
        "max-prior-shift": max_prior_shift,
        "sum-prior-shift": sum_prior_shift,
        "rba": rba,
    }


def probabilities(scores: Tensor) -> Tensor:
    """Return the softmax over all pairs (n, groups, classes)."""
    return scores.flatten(1).softmax(dim=1).reshape(scores.shape)


def prior_shift_weights(y: np.ndarray, protected: np.ndarray, n_classes: int, n_groups: int) -> Tensor:
    """Return w (groups, classes) = n / n[d, y], from class numbers and groups (n,); 0 for a pair without samples.

    >>> prior_shift_weights(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), n_classes=2, n_groups=2).tolist()
    [[2.0, 4.0], [0.0, 4.0]]
    """
    counts = np.bincount(protected * n_classes + y, minlength=n_groups * n_classes).reshape(n_groups, n_classes)
    return torch.from_numpy(np.where(counts > 0, len(y) / np.maximum(counts, 1), 0.0)).float()


def calibrate(potentials: Tensor, protected: Tensor, n_groups: int, options: DomainDiscriminativeOptions) -> Tensor:
    """Return predictions (n,) that push each group's share of the rows predicted y towards at most 1/G + margin.

    `potentials` s (n, classes) rate each class for each row; `protected` (n,) contains groups 0 .. G-1; `options` give
    margin, rate and rounds.
    Constraint k of class y on the counts n[y, g] of rows predicted y:  Δ[y, k] = Σ_g A[k, g] n[y, g] <= 0  with
    A[k, g] = [g = k] - (1/G + margin). From multipliers λ = 0 and s' = s, each round takes ŷ = argmax s', counts,
    sets  λ <- max(0, λ + rate Δ)  and  s' <- s  except  s'[i, ŷ_i] = s[i, ŷ_i] - Σ_k λ[ŷ_i, k] A[k, g_i],  and stops
    when no constraint is violated, or after `rounds`. Whether all constraints can be met depends on s.

    The default options are the study's S-DD4 constants: with two groups, at most 55 % of either.
    Reference: Zhao et al., EMNLP 2017, as used by Wang et al., CVPR 2020.
    """
    n_classes, rows = potentials.shape[1], torch.arange(len(potentials), device=potentials.device)
    potentials = potentials.double()
    constraints = torch.eye(n_groups, dtype=torch.float64, device=potentials.device) - (1 / n_groups + options.margin)
    multipliers = torch.zeros(n_classes, n_groups, dtype=torch.float64, device=potentials.device)
    shifted = potentials
    for _ in range(options.rounds):
        predicted = shifted.argmax(dim=1)
        counts = torch.bincount(predicted * n_groups + protected, minlength=n_classes * n_groups)
        excess = (counts.reshape(n_classes, 1, n_groups) * constraints).sum(dim=2)
        multipliers = (multipliers + options.rate * excess).clamp(min=0)
        price = (multipliers[:, :, None] * constraints).sum(dim=1)  # of predicting class y for a row of group g
        # Only the predicted class is shifted, from the original potentials: multipliers add up over rounds, shifts not.
        shifted = potentials.clone()
        shifted[rows, predicted] -= price[predicted, protected]
        if not bool((excess > SLACK).any()):
            break
    return shifted.argmax(dim=1)
