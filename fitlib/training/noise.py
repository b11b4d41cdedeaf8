"""Noise: the sources of differences between FIT runs, each replayable from the run index and `noise_seed`.

A noise declares whether deterministic algorithms are on, and enters the training at one place: after a batch is made
(and digested) and before the step. Changes to the process are undone after the step. A noise draws from its own
generator, so initial weights, batches, augmentation and dropout are the same as under `none`. Only the noises of kind
comparison (`Seeds`) change where a training starts.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from fitlib.errors import InputError, RunFailed
from fitlib.training.batch_structure import map_tensors, n_samples, take_samples
from fitlib.training.compute import compute_dtype

Batch = TypeVar("Batch")  # of fitlib's loop, or of any loader: see `fitlib.training.batch_structure`
FEW_PAIRS = 1 << 24  # most (weight, direction) pairs for which the whole permutation is drawn: 128 MiB
PURPOSES = ("initialisation", "order", "augmentation", "dropout", "prediction")  # of a training's generators


def derived_seed(*parts: object) -> int:
    """Return a seed in [0, 2^63) that depends on all parts, equal on every machine (first 8 bytes of a SHA-256).

    >>> derived_seed(0, "order")
    5231958647509549229
    """
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class NoNoise:
    """`none`: the control arm. Deterministic algorithms, nothing else; must be bit-identical."""

    deterministic = True

    def __init__(self, run: int, noise_seed: int):
        self.run, self.noise_seed = run, noise_seed
        self.moved: dict[str, object] = {}  # what the noise changed, if that can be listed
        self.seeds: dict[str, int] = {}  # purpose -> the run's own seed (kind comparison)

    def generator(self, *purpose: object) -> torch.Generator:
        """Return a generator that only this noise (and purpose) uses."""
        return torch.Generator().manual_seed(derived_seed("noise", self.noise_seed, *purpose))

    def check(self, model: nn.Module) -> None:
        """Raise InputError for a network that the noise would change by more than rounding."""

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Apply the noise before a step; returns the batch that the step uses."""
        return batch

    def after_step(self) -> None:
        """Undo changes to the process after a step."""

    def finish(self) -> None:
        """Raise RunFailed if the training ended before the noise entered it."""

    def record(self) -> dict[str, object]:
        """Return what a run records of its noise beside name and options: how it was drawn, and what it did."""
        return {"noise_seed": self.noise_seed, "run": self.run, "moved": self.moved}


class Native(NoNoise):
    """`native`: nothing is added and nothing is forbidden; differences come from hardware and libraries alone."""

    deterministic = False


class Emulated(NoNoise):
    """Base of the emulated noises: where they draw from.

    `entropy: run`: from run index and `noise_seed`, so that anyone can replay the run. `entropy: os`: from a
    `noise_seed` that the operating system draws for this run; it is recorded, so the run can be replayed as well.
    """

    def __init__(self, run: int, noise_seed: int, entropy: str = "run"):
        super().__init__(run, noise_seed)
        self.declared_seed = noise_seed
        if entropy == "os":
            self.noise_seed = secrets.randbits(31)

    def record(self) -> dict[str, object]:
        """Return the record of the noise, with the seed that the operating system drew, if any."""
        drawn = {} if self.noise_seed == self.declared_seed else {"drawn_seed": self.noise_seed}
        return {**super().record(), "noise_seed": self.declared_seed, **drawn}


class Ulp(Emulated):
    """`ulp`: before step k, one non-zero weight of a matrix or kernel moves by one or more units in the last place.

    The unit is that of the dtype in which the network multiplies with the weight: a float32 unit would be rounded away
    in a network that computes in bfloat16. Run i takes entry i of one permutation, drawn from `noise_seed`, of all
    (weight, direction) pairs, so distinct runs never share a perturbation. After Summers & Dinneen, ICML 2021, who
    change one random weight by one bit.
    """

    def __init__(self, run: int, noise_seed: int, step: int = 0, units: int = 1, entropy: str = "run"):
        super().__init__(run, noise_seed, entropy)
        self.step, self.units = step, units

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
        """Move the run's weight; returns tensor name, position, and value before and after."""
        matrices = [(name, p) for name, p in model.named_parameters() if p.dim() >= 2]
        sizes = torch.tensor([int(p.count_nonzero()) for _, p in matrices])
        pair = self._draw(2 * int(sizes.sum()))
        entry, up = pair // 2, bool(pair % 2)
        which = int(torch.searchsorted(sizes.cumsum(0), entry, right=True))
        name, parameter = matrices[which]
        position = int(parameter.flatten().nonzero()[entry - int(sizes[:which].sum())])
        dtype = compute_dtype(model, parameter)
        before, after = _move_entry(parameter, position, self.units if up else -self.units, dtype)
        moved = {"tensor": name, "position": position, "before": before, "after": after, "step": self.step}
        return {**moved, "unit": str(dtype).removeprefix("torch.")}

    def _draw(self, pairs: int) -> int:
        if not pairs:
            raise InputError("noise", "ulp", self.run, "the network has no non-zero matrix weight", "use another noise")
        if pairs <= FEW_PAIRS:
            return int(torch.randperm(pairs, generator=self.generator("ulp"))[self.run % pairs])
        return self._draw_one_by_one(pairs)

    def _draw_one_by_one(self, pairs: int) -> int:
        """Draw without the whole permutation: pairs one after another, repetitions skipped."""
        generator, drawn = self.generator("ulp"), dict[int, None]()
        while len(drawn) <= self.run:
            drawn[int(torch.randint(pairs, (1,), generator=generator))] = None
        return list(drawn)[self.run]


class ReductionOrder(Emulated):
    """`reduction-order`: the samples within each finished mini-batch are permuted, and with them the order of sums.

    The permutation of (run, step) is drawn from `noise_seed`. Dropout is refused: its mask belongs to the position,
    so another order would drop other units of a sample. Dropout that is not a module cannot be detected here.
    """

    def check(self, model: nn.Module) -> None:
        """Raise InputError for a network with dropout."""
        dropout = [name for name, module in model.named_modules() if _drops(module)]
        if dropout:
            problem = "the network has dropout, whose masks would move to other samples"
            raise InputError("noise", "reduction-order", dropout[0], problem, "set dropout to 0 or use noise ulp")

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Return the same samples in the run's own order."""
        order = torch.randperm(n_samples(batch), generator=self.generator("order", self.run, step))
        return cast(Batch, take_samples(batch, order))


class Threads(Emulated):
    """`threads`: every step is computed with 1 to `most` intra-op threads, drawn anew, and so with other partial sums.

    The number for (run, step) is drawn from `noise_seed`. Batches and predictions are computed with the declared
    number. This affects computation on the CPU only.
    """

    def __init__(self, run: int, noise_seed: int, most: int = 2, entropy: str = "run"):
        super().__init__(run, noise_seed, entropy)
        self.most, self._outer = most, 0
        self._steps: Counter[str] = Counter()

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Set the number of threads for this step."""
        drawn = int(torch.randint(1, self.most + 1, (1,), generator=self.generator("threads", self.run, step)))
        self._outer = self._outer or torch.get_num_threads()
        torch.set_num_threads(drawn)
        self._steps[str(drawn)] += 1
        self.moved = {"steps by threads": dict(sorted(self._steps.items()))}
        return batch

    def after_step(self) -> None:
        """Restore the declared number."""
        if self._outer:
            torch.set_num_threads(self._outer)
            self._outer = 0


class Primitives(Emulated):
    """`primitives`: for every step, whether oneDNN is used and the memory format of the batch's images are drawn.

    Both select among equivalent primitives. Dropout draws its mask in memory order, so for a network with dropout only
    the use of oneDNN is drawn: another format would drop other units.
    """

    def __init__(self, run: int, noise_seed: int, entropy: str = "run"):
        super().__init__(run, noise_seed, entropy)
        self._formats = True
        self._outer: bool | None = None
        self._steps: Counter[str] = Counter()

    def check(self, model: nn.Module) -> None:
        """Keep the memory format fixed for a network with dropout."""
        self._formats = not any(map(_drops, model.modules()))

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Select the primitives for this step."""
        drawn = torch.randint(2, (2,), generator=self.generator("primitives", self.run, step)).tolist()
        onednn, last = bool(drawn[0]), bool(drawn[1]) and self._formats
        self._outer = bool(torch.backends.mkldnn.enabled) if self._outer is None else self._outer
        torch.backends.mkldnn.set_flags(onednn)
        self._steps[f"oneDNN {'on' if onednn else 'off'}{', channels last' if last else ''}"] += 1
        self.moved = {"steps by primitives": dict(sorted(self._steps.items()))}
        return cast(Batch, map_tensors(batch, _channels_last)) if last else batch

    def after_step(self) -> None:
        """Restore the use of oneDNN."""
        if self._outer is not None:
            torch.backends.mkldnn.set_flags(self._outer)
            self._outer = None


class Seeds(NoNoise):
    """`seed`: every run has its own seed, to compare implementation variance with seed variance; not FIT runs.

    The seed of run i is drawn from `noise_seed`; subclasses that isolate one purpose give the run the same seed for
    that purpose. `implementation` names an implementation noise that acts as well, with its default options.
    """

    purposes: tuple[str, ...] = PURPOSES

    def __init__(self, run: int, noise_seed: int, implementation: str = "none"):
        super().__init__(run, noise_seed)
        self.inner = IMPLEMENTATIONS[implementation](run, noise_seed)
        self.deterministic = self.inner.deterministic
        self.drawn = derived_seed("seed", noise_seed, run) % 2**31
        self.seeds = dict.fromkeys(self.purposes, self.drawn)

    def check(self, model: nn.Module) -> None:
        """Raise what the implementation noise raises."""
        self.inner.check(model)

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Apply the implementation noise."""
        return self.inner.before_step(step, model, batch)

    def after_step(self) -> None:
        """Undo the implementation noise's changes to the process."""
        self.inner.after_step()

    def finish(self) -> None:
        """Raise RunFailed if the implementation noise never entered the training."""
        self.inner.finish()

    def record(self) -> dict[str, object]:
        """Return the seed with its purposes, and what the implementation noise did."""
        self.moved = {"seed": self.drawn, "purposes": list(self.purposes), **self.inner.moved}
        return super().record()


class SeedInit(Seeds):
    """`seed-init`: every run has its own seed for the initial weights only."""

    purposes = ("initialisation",)


class SeedOrder(Seeds):
    """`seed-order`: every run has its own seed for the order of the data only."""

    purposes = ("order",)


class SeedAugmentation(Seeds):
    """`seed-augmentation`: every run has its own seed for the augmentation only."""

    purposes = ("augmentation",)


IMPLEMENTATIONS: dict[str, Callable[[int, int], NoNoise]] = {
    "none": NoNoise,
    "native": Native,
    "ulp": Ulp,
    "reduction-order": ReductionOrder,
    "threads": Threads,
    "primitives": Primitives,
}


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _drops(module: nn.Module) -> bool:
    """Return whether a module is dropout, or contains it as recurrent networks and attention do."""
    inside = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "dropout", 0)
    return isinstance(inside, float | int) and inside > 0


def _move_entry(parameter: Tensor, position: int, units: int, dtype: torch.dtype) -> tuple[float, float]:
    """Move one entry by `units` numbers of `dtype`, counted from its value rounded to that dtype.

    Returns the value before and after. If the parameter has more bits than `dtype`, the difference of the rounded
    values is added, so that the bits below are kept.
    """
    index = torch.unravel_index(torch.tensor(position), parameter.shape)
    before = parameter[index].clone()
    rounded = before.to(dtype).cpu()
    following, end = rounded, torch.full_like(rounded, float("inf") if units > 0 else float("-inf"))
    for _ in range(abs(units)):
        following = torch.nextafter(following, end)
    if dtype == parameter.dtype:
        parameter[index] = following.to(parameter.device)
    else:
        parameter[index] = before + (following.to(before.dtype) - rounded.to(before.dtype)).to(before.device)
    return float(before), float(parameter[index])
