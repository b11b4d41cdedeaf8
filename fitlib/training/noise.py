"""Noise: what makes FIT runs differ, each kind replayable from the run index and `noise_seed`.

A noise says whether deterministic algorithms are on and enters the training at one place: after a batch is made (and
digested) and before the step; what it changes of the process is as before when the step is over. It draws from its own
generator, so initial weights, batches, augmentation and dropout stay what they are under `none`. Only the noises of
kind comparison (`Seeds`) change what a training starts from.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from fitlib.errors import InputError, RunFailed
from fitlib.training.batch_structure import converted, n_samples, take
from fitlib.training.compute import compute_dtype

Batch = TypeVar("Batch")  # of fitlib's loop, or of anybody's loader: see `fitlib.training.batch_structure`
FEW_PAIRS = 1 << 24  # (weight, direction) pairs of which a whole permutation is drawn: 128 MiB
PURPOSES = ("initialisation", "order", "augmentation", "dropout", "prediction")  # of a training's generators


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
        self.seeds: dict[str, int] = {}  # purpose -> seed, where the run has one of its own (kind comparison)

    def generator(self, *purpose: object) -> torch.Generator:
        """A generator that belongs to this noise (and the purpose) alone."""
        return torch.Generator().manual_seed(derived_seed("noise", self.noise_seed, *purpose))

    def check(self, model: nn.Module) -> None:
        """Refuse a network that the noise would change in more than rounding."""

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Called before every step; returns the batch that the step uses."""
        return batch

    def after_step(self) -> None:
        """Called when a step is over; the process becomes what it was before the noise."""

    def finish(self) -> None:
        """Called when the training is over; RunFailed if the noise never entered it."""

    def told(self) -> dict[str, object]:
        """What a run records of its noise beside name and options: how it was drawn, and what it did."""
        return {"noise_seed": self.noise_seed, "run": self.run, "moved": self.moved}


class Native(NoNoise):
    """`native`: nothing is added and nothing is forbidden; hardware and libraries do what they do."""

    deterministic = False


class Emulated(NoNoise):
    """What emulated noises share: where they are drawn from.

    `entropy: run`: from run index and `noise_seed`, to be replayed by anybody. `entropy: os`: from a `noise_seed` that
    the operating system draws for this run; it is recorded, and with it the run can be replayed as well.
    """

    def __init__(self, run: int, noise_seed: int, entropy: str = "run"):
        super().__init__(run, noise_seed)
        self.declared_seed = noise_seed
        if entropy == "os":
            self.noise_seed = secrets.randbits(31)

    def told(self) -> dict[str, object]:
        """As declared, and the seed that the operating system gave."""
        drawn = {} if self.noise_seed == self.declared_seed else {"drawn_seed": self.noise_seed}
        return {**super().told(), "noise_seed": self.declared_seed, **drawn}


class Ulp(Emulated):
    """`ulp`: before step k, one non-zero weight of a matrix or kernel moves by one unit in the last place, or by more.

    The unit is that of the type in which the network multiplies with the weight: a float32 unit would be rounded away
    in a network that computes in bfloat16. Run i takes entry i of one permutation, drawn from `noise_seed`, of all
    (weight, direction) pairs: distinct runs never share a perturbation. After Summers & Dinneen, ICML 2021, who change
    one random weight by one bit.
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
        """Move the run's weight; returns tensor name, position, value before and after."""
        matrices = [(name, p) for name, p in model.named_parameters() if p.dim() >= 2]
        sizes = torch.tensor([int(p.count_nonzero()) for _, p in matrices])
        pair = self._draw(2 * int(sizes.sum()))
        entry, up = pair // 2, bool(pair % 2)
        which = int(torch.searchsorted(sizes.cumsum(0), entry, right=True))
        name, parameter = matrices[which]
        position = int(parameter.flatten().nonzero()[entry - int(sizes[:which].sum())])
        dtype = compute_dtype(model, parameter)
        before, after = _moved(parameter, position, self.units if up else -self.units, dtype)
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


class ReductionOrder(Emulated):
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


class Threads(Emulated):
    """`threads`: every step is computed with 1 to `most` intra-op threads, drawn anew, hence with other partial sums.

    The number of (run, step) is drawn from `noise_seed`. Batches are made, and predictions computed, with the declared
    number. Only the CPU's work is divided so.
    """

    def __init__(self, run: int, noise_seed: int, most: int = 2, entropy: str = "run"):
        super().__init__(run, noise_seed, entropy)
        self.most, self._outer, self._steps = most, 0, Counter()

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Set the number of threads of this step."""
        drawn = int(torch.randint(1, self.most + 1, (1,), generator=self.generator("threads", self.run, step)))
        self._outer = self._outer or torch.get_num_threads()
        torch.set_num_threads(drawn)
        self._steps[str(drawn)] += 1
        self.moved = {"steps by threads": dict(sorted(self._steps.items()))}
        return batch

    def after_step(self) -> None:
        """Back to the declared number."""
        if self._outer:
            torch.set_num_threads(self._outer)
            self._outer = 0


class Primitives(Emulated):
    """`primitives`: every step draws whether oneDNN computes it, and the memory format of the batch's images.

    Both choose among equivalent primitives. Dropout draws its mask in memory order, so in a network with dropout only
    oneDNN is drawn: another format would drop other units.
    """

    def __init__(self, run: int, noise_seed: int, entropy: str = "run"):
        super().__init__(run, noise_seed, entropy)
        self._formats, self._outer, self._steps = True, None, Counter()

    def check(self, model: nn.Module) -> None:
        """Leave the memory format alone where the network has dropout."""
        self._formats = not any(map(_drops, model.modules()))

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """Choose the primitives of this step."""
        drawn = torch.randint(2, (2,), generator=self.generator("primitives", self.run, step)).tolist()
        onednn, last = bool(drawn[0]), bool(drawn[1]) and self._formats
        self._outer = torch.backends.mkldnn.enabled if self._outer is None else self._outer
        torch.backends.mkldnn.set_flags(onednn)
        self._steps[f"oneDNN {'on' if onednn else 'off'}{', channels last' if last else ''}"] += 1
        self.moved = {"steps by primitives": dict(sorted(self._steps.items()))}
        return converted(batch, _channels_last) if last else batch

    def after_step(self) -> None:
        """OneDNN as it was."""
        if self._outer is not None:
            torch.backends.mkldnn.set_flags(self._outer)
            self._outer = None


class Seeds(NoNoise):
    """`seed`: every run has a seed of its own, for comparing implementation variance with seed variance; no FIT runs.

    The seed of run i is drawn from `noise_seed`; kinds of this class that isolate one purpose give the run the same
    seed for that purpose. `implementation` names the implementation noise that acts as well, with its default options.
    """

    purposes: tuple[str, ...] = PURPOSES

    def __init__(self, run: int, noise_seed: int, implementation: str = "none"):
        super().__init__(run, noise_seed)
        self.inner = IMPLEMENTATIONS[implementation](run, noise_seed)
        self.deterministic = self.inner.deterministic
        self.drawn = derived_seed("seed", noise_seed, run) % 2**31
        self.seeds = dict.fromkeys(self.purposes, self.drawn)

    def check(self, model: nn.Module) -> None:
        """What the implementation noise refuses."""
        self.inner.check(model)

    def before_step(self, step: int, model: nn.Module, batch: Batch) -> Batch:
        """The implementation noise."""
        return self.inner.before_step(step, model, batch)

    def after_step(self) -> None:
        """The implementation noise."""
        self.inner.after_step()

    def finish(self) -> None:
        """The implementation noise."""
        self.inner.finish()

    def told(self) -> dict[str, object]:
        """The seed and what it is for, and what the implementation noise did."""
        self.moved = {"seed": self.drawn, "purposes": list(self.purposes), **self.inner.moved}
        return super().told()


class SeedInit(Seeds):
    """`seed-init`: only the initial weights have a seed of their own."""

    purposes = ("initialisation",)


class SeedOrder(Seeds):
    """`seed-order`: only the order of the data has a seed of its own."""

    purposes = ("order",)


class SeedAugmentation(Seeds):
    """`seed-augmentation`: only the augmentation has a seed of its own."""

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
    """Whether a module is dropout, or has it inside as recurrent networks and attention do."""
    inside = module.p if isinstance(module, nn.modules.dropout._DropoutNd) else getattr(module, "dropout", 0)
    return isinstance(inside, float | int) and inside > 0


def _moved(parameter: Tensor, position: int, units: int, dtype: torch.dtype) -> tuple[float, float]:
    """Move one entry by `units` numbers of `dtype`, counted from its value rounded to that type; before, after."""
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
