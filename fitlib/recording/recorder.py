"""`fitlib.Recorder`: evidence and noise for a training loop that fitlib did not write.

    recorder = fitlib.Recorder(model, run_dir, run=run, seed=seed, noise=noise)  # after the network is built
    for epoch in range(epochs):
        for x, y in recorder.batches(loader):  # instead of loader
            ...
    fitlib.save_predictions(run_dir, ...)  # finds the recorder by run_dir

The noise acts between the loader and the step, so each batch must be requested after the previous step. PyTorch
Lightning fetches batches in advance where a loader has no length, hence `length`; give the Recorder the LightningModule
itself.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from fitlib.digest import digest_arrays, digest_json
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.registry.noises import NOISE_KINDS, NOISES
from fitlib.options import options_of
from fitlib.recording.fingerprint import start_parts
from fitlib.recording.save_predictions import RECORDERS, folder_of
from fitlib.training.batch_structure import arrays, leaves, smallest_array, update_hash
from fitlib.training.noise import NoNoise

WHERE = "Recorder"
ONE_PER_RUN = "make one for each run, with all networks in one nn.ModuleDict"


class Recorder:
    """A recorder of a training loop: it digests what two runs must share, applies the noise, and digests the weights.

    model: all networks that are trained, in one module (several: `nn.ModuleDict`), initialised, before the first step.
    run_dir: the run's folder, as given to `save_predictions` ("": a temporary one). run, noise_seed: an emulated
    noise is drawn from them. seed: recorded only; seed your own generators with it, before the network is built. noise:
    a name or {"name": …, options…} of `fitlib.experiment.registry.noises.NOISES`; it also switches PyTorch's
    deterministic algorithms.

    Digests (SHA-256 of exact bytes, before any noise): initial weights; first batch; per epoch the order, which is the
    whole first batch and of every batch the tensor with the fewest bytes (the labels, normally); per epoch the weights,
    at the end of its loop. Also torch's global generator when the Recorder is made; Python's and NumPy's at the first
    batch, where the training draws from them.

    In autocast, give the model `compute_dtype = torch.bfloat16` (or float16): `ulp` then moves a weight by a unit that
    the products see. Raises InputError for anything but a module, lazy parameters, an unknown noise or option, or
    dropout with reduction-order.
    """

    complete = True  # it sees start and course of the training

    def __init__(
        self,
        model: nn.Module,
        run_dir: str | Path,
        *,
        run: int = 0,
        seed: int = 0,
        noise: str | Mapping[str, object] = "none",
        noise_seed: int = 0,
    ):
        self.model, self.seed = _checked_model(model), int(seed)
        self.settings = _checked_noise(noise)
        self.noise: NoNoise = NOISES[self.settings["name"]].load()(int(run), noise_seed, **options_of(self.settings))
        self.noise.check(model)
        self.run_dir, self.step, self.epoch = folder_of(run_dir), 0, 0
        self.random = digest_arrays([("generator", torch.get_rng_state())])
        self.unsaved = False
        self._others: dict[str, str] = {}
        self.digests: list[dict[str, object]] = []
        self._record("initial weights", 0, self._weights())
        self._open: list[_Epoch] = []
        _set_algorithms(self.noise.deterministic)
        _register(self)

    def batches(self, loader: Iterable[object], length: int | None = None) -> Batches:
        """Return the loader wrapped for the training loop: one iteration is one epoch, interrupted or not.

        length: number of batches, where the loader has none; InputError where Lightning trains and needs it.
        """
        batches = Batches(self, loader, length)
        lightning = any(base.__name__ == "LightningModule" for base in type(self.model).__mro__)
        if lightning and not _has_length(batches):
            problem = "PyTorch Lightning takes batches of a loader without a length in advance, before the noise is due"
            remedy = "give the number of batches: recorder.batches(loader, length=…)"
            raise InputError(WHERE, "loader", type(loader).__name__, problem, remedy)
        return batches

    def evidence(self) -> tuple[list[dict], dict[str, str], dict[str, object]]:
        """Return digest rows, parts of the fingerprint, and what the noise did, for `save_predictions`.

        RunFailed where no batch was taken, or the training ended before the noise acted.
        """
        self.unsaved = False
        for epoch in list(self._open):
            epoch.end()
        if not self.step:
            remedy = "iterate recorder.batches(loader) in the training loop, in place of loader"
            raise RunFailed(f"nothing was trained under the Recorder of {self.run_dir}: {remedy}")
        self.noise.finish()
        parts = {**start_parts(self.digests), "seed": str(self.seed), "random numbers": self.random, **self._used()}
        return [*self.digests, *self._selected()], parts, self._noise_record()

    def _used(self) -> dict[str, str]:
        """Return the states at the first batch of generators other than torch's, if the training drew from them."""
        now = _other_generators()
        return {name: start for name, start in self._others.items() if now[name] != start}

    def _noise_record(self) -> dict[str, object]:
        """Return what the noise was and did for `fingerprint.json`; it was applied, otherwise `finish` has failed."""
        return {**self.settings, **self.noise.record(), "steps": self.step, "applied": True}

    def _weights(self) -> list[tuple[str, object]]:
        """Return parameters, buffers and further state of the model, by name."""
        return [leaf for name, value in self.model.state_dict().items() for leaf in leaves(value, name)]

    def _record(self, part: str, epoch: int, named: Iterable[tuple[str, object]]) -> None:
        self.digests.append({"part": part, "epoch": epoch, "digest": digest_arrays(arrays(iter(named)))})

    def _selected(self) -> list[dict[str, object]]:
        """Return a row for the current weights, where they are no longer those of the last epoch."""
        last = next(row for row in reversed(self.digests) if row["part"] == "weights")
        now = digest_arrays(arrays(iter(self._weights())))
        return [] if now == last["digest"] else [{**last, "part": "selected weights", "digest": now}]


class Batches:
    """A loader whose batches are recorded and disturbed; length and attributes are those of the wrapped loader."""

    def __init__(self, recorder: Recorder, loader: Any, length: int | None = None):
        self.recorder, self.loader, self.length = recorder, loader, length
        self._epoch: _Epoch | None = None

    def __len__(self) -> int:
        return len(self.loader) if self.length is None else self.length

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[object]:
        """Iterate over one epoch; an unfinished earlier one ends here."""
        if self._epoch:
            self._epoch.end()
        epoch = self._epoch = _Epoch(self.recorder)
        try:
            for batch in self.loader:
                try:
                    yield epoch.disturbed(batch)
                finally:  # the step is over and the next batch not yet drawn
                    self.recorder.noise.after_step()
        finally:  # also where the loop was left early
            epoch.end()


class _Epoch:
    """An iteration over the batches: its number, its order so far, and whether it has ended."""

    def __init__(self, recorder: Recorder):
        self.recorder, self.order = recorder, hashlib.sha256()
        self.number: int | None = None  # set at the first batch: a loader without batches is not an epoch

    def disturbed(self, batch: object) -> object:
        """Return the batch for the step, digested before the noise, which may act on the model here as well."""
        recorder = self.recorder
        if self.number is None:
            self._begin(batch)
        # The smallest tensor, normally the labels: hashing every image of every batch would cost more than the step.
        update_hash(self.order, *smallest_array(batch))
        disturbed = recorder.noise.before_step(recorder.step, recorder.model, batch)
        recorder.step += 1
        return disturbed

    def _begin(self, batch: object) -> None:
        recorder = self.recorder
        if RECORDERS.get(recorder.run_dir) is not recorder:
            raise RunFailed(f"a later Recorder has taken the place of this one in {recorder.run_dir}: {ONE_PER_RUN}")
        if not torch.is_grad_enabled():
            remedy = "give recorder.batches the loader of the training only"
            raise RunFailed(f"batches of the Recorder are taken without gradients, as for validation: {remedy}")
        self.number = recorder.epoch
        recorder.epoch += 1
        recorder._open.append(self)
        first = digest_arrays(arrays(leaves(batch)))
        self.order.update(bytes.fromhex(first))
        if self.number == 0:
            recorder.unsaved, recorder._others = True, _other_generators()
            recorder.digests.append({"part": "first batch", "epoch": 0, "digest": first})

    def end(self) -> None:
        """Digest order and weights, once."""
        recorder = self.recorder
        if self.number is None or self not in recorder._open:
            return
        recorder._open.remove(self)
        recorder.digests.append({"part": "order", "epoch": self.number, "digest": self.order.hexdigest()})
        recorder._record("weights", self.number, recorder._weights())


def _other_generators() -> dict[str, str]:
    """Return digests of the states of Python's and NumPy's global generators, by part of the fingerprint."""
    kind, keys, *rest = np.random.get_state()
    numpy = digest_arrays([("keys", keys), (f"{kind} {rest}", np.empty(0))])
    return {"random numbers of Python": digest_json(random.getstate()), "random numbers of NumPy": numpy}


def _has_length(batches: Batches) -> bool:
    try:
        return len(batches) >= 0
    except (TypeError, NotImplementedError):  # a DataLoader of an IterableDataset
        return False


def _checked_model(model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        remedy = "give the module that is trained, several of them as nn.ModuleDict"
        raise InputError(WHERE, "model", type(model).__name__, "not a torch.nn.Module", remedy)
    lazy = [name for name, p in model.named_parameters() if isinstance(p, nn.parameter.UninitializedParameter)]
    if lazy:
        remedy = "run one batch through the model before the Recorder is made"
        raise InputError(WHERE, "model", lazy[0], "a lazy parameter has no weights yet", remedy)
    return model


def _checked_noise(noise: str | Mapping[str, object]) -> dict[str, Any]:
    """Return `{name: …, options…}` with all options checked and filled in."""
    given: dict[str, Any] = {"name": noise} if isinstance(noise, str) else dict(noise)
    name = given.pop("name", None)
    usable = [candidate for candidate, kind in NOISE_KINDS.items() if kind != "comparison"]
    if name not in usable:
        problem = "it seeds fitlib's own loop only" if name in NOISES else "unknown noise"
        raise InputError(WHERE, "noise", name, problem, f"use one of {', '.join(usable)}")
    try:
        return {"name": name, **NOISES[name].options(**given).model_dump()}
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, ("noise", *first["loc"])))
        options = ", ".join(NOISES[name].options.model_fields) or "none"
        raise InputError(WHERE, field, first["input"], first["msg"], f"options of {name}: {options}") from None


def _register(recorder: Recorder) -> None:
    """Let save_predictions find the recorder; InputError where an earlier one of the run has recorded a training."""
    earlier = RECORDERS.get(recorder.run_dir)
    if earlier and earlier.step:
        problem = "a training was recorded for this folder already"
        raise InputError(WHERE, "run_dir", str(recorder.run_dir), problem, ONE_PER_RUN)
    RECORDERS[recorder.run_dir] = recorder


def _set_algorithms(deterministic: bool) -> None:
    if deterministic and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it PyTorch refuses deterministic products
    torch.use_deterministic_algorithms(deterministic)
