"""Noise: what makes FIT runs differ, each kind replayable from the run index and `noise_seed`.

A noise says whether deterministic algorithms are on and enters the training at one place: after a batch is made (and
digested) and before the step. It draws from its own generator, so initial weights, batches, augmentation and dropout
stay what they are under `none`.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import torch
from torch import Tensor, nn

from fitlib.any_batch import n_samples, take
from fitlib.compute import compute_dtype
from fitlib.errors import InputError, RunFailed

Batch = TypeVar("Batch")  # of fitlib's loop, or of anybody's loader: see `fitlib.any_batch`
FEW_PAIRS = 1 << 24  # (weight, direction) pairs of which a whole permutation is drawn: 128 MiB


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2^63) that depends on all parts, equal on every machine (first 8 bytes of a SHA-256)."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class NoNoise:
    """`none`: the control arm. Deterministic algorithms, nothing else; must be bit-identical."""

    deterministic = True

    def __init__(self, run: int, noise_seed: int):
        self.run, self.noise_seed = run, noise_seed
        self.moved: dict[str, object] = {}  # what was changed, where that has a single place

    def generator(self, *purpose: object) -> torch.Generator:
        """A generator that belongs to this noise (and the purpose) alone."""
        return torch.Generator().manual_seed(derived_seed("noise", self.noise_seed, *purpose))

    def check(self, model: nn.Module) -> None:
        """Refuse a network that the noise would change in more than rounding."""

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Called before every step; returns the batch that the step uses."""
        return batch

    def finish(self) -> None:
        """Called when the training is over; RunFailed if the noise never entered it."""


class Native(NoNoise):
    """`native`: nothing is added and nothing is forbidden; hardware and libraries do what they do."""

    deterministic = False


class Ulp(NoNoise):
    """`ulp`: before step k, one non-zero weight of a matrix or kernel moves by one unit in the last place.

    The unit is that of the type in which the network multiplies with the weight: a float32 unit would be rounded away
    in a network that computes in bfloat16. Run i takes entry i of one permutation, drawn from `noise_seed`, of all
    (weight, direction) pairs: distinct runs never share a perturbation. After Summers & Dinneen, ICML 2021, who change
    one random weight by one bit.
    """

    def __init__(self, run: int, noise_seed: int, step: int = 0):
        super().__init__(run, noise_seed)
        self.step = step

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Move the weight when its step has come."""
        if step == self.step:
            self.moved = self.perturb(model)
        return batch

    def finish(self) -> None:
        """Refuse a training that ended before the noise came: it would be a control run under another name."""
        if not self.moved:
            raise RunFailed(f"the training ended before step {self.step} of noise ulp: choose an earlier noise.step")

    @torch.no_grad()
    def perturb(self, model: nn.Module) -> dict[str, object]:
        """Move the run's weight; returns tensor name, position, value before and after."""
        matrices = [(name, p) for name, p in model.named_parameters() if p.dim() >= 2]
        sizes = torch.tensor([int(p.count_nonzero()) for _, p in matrices])
        pair = self._draw(2 * int(sizes.sum()))
        entry, up = pair // 2, bool(pair % 2)
        which = int(torch.searchsorted(sizes.cumsum(0), entry, right=True))
        name, parameter = matrices[which]
        position = int(parameter.flatten().nonzero()[entry - int(sizes[:which].sum())])
        dtype = compute_dtype(model, parameter)
        before, after = _one_ulp(parameter, position, up, dtype)
        moved = {"tensor": name, "position": position, "before": before, "after": after, "step": self.step}
        return {**moved, "unit": str(dtype).removeprefix("torch.")}

    def _draw(self, pairs: int) -> int:
        if not pairs:
            raise InputError("noise", "ulp", self.run, "the network has no non-zero matrix weight", "use another noise")
        if pairs <= FEW_PAIRS:
            return int(torch.randperm(pairs, generator=self.generator("ulp"))[self.run % pairs])
        return self._drawn_singly(pairs)

    def _drawn_singly(self, pairs: int) -> int:
        """The same without the whole permutation: one after another, repetitions left out."""
        generator, found = self.generator("ulp"), dict[int, None]()
        while len(found) <= self.run:
            found[int(torch.randint(pairs, (1,), generator=generator))] = None
        return list(found)[self.run]


class ReductionOrder(NoNoise):
    """`reduction-order`: the samples inside each finished mini-batch are permuted, hence the order of sums.

    The permutation of (run, step) is drawn from `noise_seed`. Dropout is refused: its mask belongs to the position,
    so another order would change which sample loses which unit. Dropout that is no module cannot be seen here.
    """

    def check(self, model: nn.Module) -> None:
        """Refuse dropout."""
        dropout = [name for name, module in model.named_modules() if _drops(module)]
        if dropout:
            problem = "the network has dropout, whose mask would move to other samples"
            raise InputError("noise", "reduction-order", dropout[0], problem, "set dropout to 0 or use noise ulp")

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """The same samples in the run's own order."""
        return take(batch, torch.randperm(n_samples(batch), generator=self.generator("order", self.run, step)))


def _drops(module: nn.Module) -> bool:
    """Whether a module is dropout, or has it inside as recurrent networks and attention do."""
    inside = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "dropout", 0)
    return isinstance(inside, float | int) and inside > 0


def _one_ulp(parameter: Tensor, position: int, up: bool, dtype: torch.dtype) -> tuple[float, float]:
    """Move one entry by the distance from its value, rounded to `dtype`, to that type's next number; before, after."""
    index = torch.unravel_index(torch.tensor(position), parameter.shape)
    before = parameter[index].clone()
    rounded = before.to(dtype).cpu()
    following = torch.nextafter(rounded, torch.full_like(rounded, float("inf") if up else float("-inf")))
    if dtype == parameter.dtype:
        parameter[index] = following.to(parameter.device)
    else:
        parameter[index] = before + (following.to(before.dtype) - rounded.to(before.dtype)).to(before.device)
    return float(before), float(parameter[index])
