"""Replicas in lockstep: compared after every step, explained when they part, measured as they drift.

If the digests of two runs differ, the step is repeated from the saved state before it, with every operator recorded.
Real noise need not act twice, so the step is repeated several times and the repetitions with a difference are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fitlib.errors import RunFailed
from fitlib.tracing.digest_streams import Stream, check_layouts, differing, digest_flat, layout, parts_of, step_digests
from fitlib.tracing.operators import Culprit, Operator, count_repetitions, culprits, n_common
from fitlib.tracing.replicas import Replica, State

REPETITIONS = 6  # of the step at which the runs parted
POINTS = 12  # evenly spaced points of the growth curve; further ones at doubling distance from the parting
IN_TIME = ("buffers", "loss", "gradients", "weights")  # the order in which a step computes them
SINGULAR = {"buffers": "buffer", "gradients": "gradient of", "weights": "weight"}


@dataclass(frozen=True)
class Parting:
    """Where and why the runs parted.

    `step` -1: they started apart. `cause`: `start`, `batch` (another one was drawn), `noise` (it changed a weight or
    the batch itself), `operators`, or `unknown`. `tensors`: part -> names that differ after the step. `first`: the
    first of them in time; for noise, what it changed. The runs parted again in `parted_again` of `repetitions` of the
    step; `compared` is the number of its operators that could be compared.
    """

    step: int
    epoch: int
    cause: str
    first: str
    tensors: Mapping[str, list[str]]
    noise: list[Mapping] = field(default_factory=list)  # what the noise changed in each run, if that can be listed
    culprits: list[Culprit] = field(default_factory=list)
    compared: int = 0
    repetitions: int = 0
    parted_again: int = 0
    recorded: bool = False  # the operators are those of the very step in which the runs parted


@dataclass(frozen=True)
class Trace:
    """The findings: every run's digests, whether they cover the whole training, and the parting, if any.

    `growth`: rows of step, run, `distance` (Euclidean, of all weights from run-00's, over the norm of those), `largest`
    (difference of a weight), and `changed`, the share of the test rows (labels) predicted otherwise than by run-00.
    `failed` describes which run crashed, where and why; the findings up to then are valid.
    """

    about: Mapping[str, Any]
    streams: list[Stream]
    whole: bool
    parting: Parting | None
    growth: list[dict]
    failed: str = ""

    @property
    def steps(self) -> int:
        """The number of steps that all runs took."""
        return min(len(stream.steps) for stream in self.streams)


class Lockstep:
    """Replicas stepped side by side; `show_progress` receives a line after every step."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        about: Mapping[str, Any],
        record: bool = False,
        show_progress: Callable[[str], None] = lambda line: None,
    ):
        self.replicas, self.about, self.record, self.show_progress = list(replicas), about, record, show_progress
        self.streams = [_stream(replica, about) for replica in self.replicas]
        check_layouts({stream.run: stream.layout for stream in self.streams})
        self.parting: Parting | None = None
        self.growth: list[dict] = []

    def run(self, steps: int) -> Trace:
        """Take at most `steps` steps; a crash ends the trace."""
        whole, failed = False, ""
        try:
            whole = self._through(steps)
        except RunFailed as error:
            failed = str(error)
        for stream, replica in zip(self.streams, self.replicas, strict=True):
            stream.failed = replica.failed
        return Trace(self.about, self.streams, whole, self.parting, self.growth, failed)

    def _through(self, steps: int) -> bool:
        """Take the steps; returns whether the training ended."""
        if len({stream.start for stream in self.streams}) > 1:
            self.parting = _started_apart(self.replicas)
        for step in range(steps):
            if not self._prepare():
                self._end(step)
                return True
            self._step(step)
            if self.parting is None:
                self.show_progress(f"step {step + 1} of at most {steps}: bit-identical so far")
            else:
                self._measure(step, steps, self.parting)
                self.show_progress(f"step {step + 1} of at most {steps}: diverged at step {self.parting.step}")
        return False

    def _prepare(self) -> bool:
        """Draw the batches; returns False at the end, RunFailed if only some of the trainings are over."""
        drawn = [replica.prepare(keep=self.parting is None) for replica in self.replicas]
        if len(set(drawn)) > 1:
            ended = self.replicas[drawn.index(False)].name
            raise RunFailed(f"{ended} ended after {len(self.streams[0].steps)} steps, before the others did")
        return all(drawn)

    def _step(self, step: int) -> None:
        """Take and digest one step of every replica; find the cause if they differ for the first time."""
        record = self.record and self.parting is None
        taken = [replica.step(record) for replica in self.replicas]
        losses = [loss for loss, _ in taken]
        for stream, replica, loss in zip(self.streams, self.replicas, losses, strict=True):
            stream.steps.append(step_digests(replica.method.model, loss))
        if self.parting is None and len({stream.steps[step] for stream in self.streams}) > 1:
            logs = [operators for _, operators in taken]
            self.parting = explain(self.replicas, step, losses, logs if record else None)

    def _measure(self, step: int, steps: int, parting: Parting) -> None:
        """Measure how far the runs are apart, at the steps of the growth curve."""
        if step in measured_steps(max(parting.step, 0), steps):
            self.growth += distances(self.replicas, step)

    def _end(self, step: int) -> None:
        """Measure the last distance after `step` steps; RunFailed if the noise never entered the training."""
        for replica in self.replicas:
            replica.finish()
        if self.growth and self.growth[-1]["step"] != step - 1:
            self.growth += distances(self.replicas, step - 1)


def explain(
    replicas: Sequence[Replica], step: int, losses: Sequence[Tensor], logs: list[list[Operator]] | None
) -> Parting:
    """Find out why the runs parted in the step that they have just taken; their state is unchanged afterwards.

    `logs`: the operators of that step, if they were recorded; otherwise the step is repeated.
    """
    tensors, after = _differences(replicas, losses), [replica.state() for replica in replicas]
    cause, first = _cause_before_operators(replicas)
    repeated = [logs] if logs else []
    again = 0
    # Once is enough if batch or noise are the cause: these are deterministic, and operators are only a side finding.
    for _ in range(0 if logs else 1 if cause else REPETITIONS):
        parted, log = _repeat(replicas)
        again, repeated = again + parted, [*repeated, log]
    _restore(replicas, after)
    found = count_repetitions(map(culprits, repeated))
    return Parting(
        step,
        replicas[0].progress.epoch,
        cause or ("operators" if found else "unknown"),
        first or _first(tensors),
        tensors,
        [{"run": replica.name, **replica.noise.moved} for replica in replicas if replica.noise.moved],
        found,
        min(map(n_common, repeated)),
        0 if logs else len(repeated),
        again,
        logs is not None,
    )


def distances(replicas: Sequence[Replica], step: int) -> list[dict]:
    """Return one row for every run but the first: how far its weights and predictions are from the first one's."""
    first, *others = replicas
    weights, predicted = first.weights(), first.predictions()
    rows = []
    for other in others:
        difference = other.weights() - weights
        row = {"step": step, "run": other.name, "distance": float(difference.norm() / weights.norm())}
        changed = float((other.predictions() != predicted).double().mean())
        rows.append({**row, "largest": float(difference.abs().max()), "changed": changed})
    return rows


def measured_steps(start: int, steps: int) -> set[int]:
    """Return the steps at which distances are measured: at doubling distance from the parting, and evenly spaced.

    >>> sorted(measured_steps(start=90, steps=100))
    [90, 91, 92, 93, 94, 95, 96, 97, 98, 99]
    """
    left = steps - 1 - start
    doubling = {start + 2**power for power in range(left.bit_length())}
    return {start, steps - 1} | doubling | {start + left * number // POINTS for number in range(POINTS)}


def _cause_before_operators(replicas: Sequence[Replica]) -> tuple[str, str]:
    """Return (`batch` or `noise`, what differs) if the runs part before any operator runs, else ("", "")."""
    for replica in replicas:
        replica.rewind()
    field_name = _differing_field([replica.batch for replica in replicas])
    if field_name:
        return "batch", f"{field_name} of the batch"
    batches = [_noisy_batch(replica) for replica in replicas]
    weights = [list(replica.method.model.named_parameters()) for replica in replicas]
    moved = [name for other in weights[1:] for name in differing(weights[0], other)]
    if moved:
        return "noise", f"weight {moved[0]}"
    field_name = _differing_field(batches)
    return ("noise", f"{field_name} of the batch") if field_name else ("", "")


def _noisy_batch(replica: Replica) -> object:
    with replica.noisy_batch() as batch:
        return batch


def _differing_field(batches: Sequence[object]) -> str:
    """Return the first field (x, y, protected) in which batches differ, "" if they are equal."""
    fields = [list(vars(batch).items()) for batch in batches]
    names = [name for other in fields[1:] for name in differing(fields[0], other)]
    return names[0] if names else ""


def _repeat(replicas: Sequence[Replica]) -> tuple[bool, list[list[Operator]]]:
    """Repeat the step; returns whether the runs parted, and every run's operators."""
    taken = [replica.repeat() for replica in replicas]
    digests = [step_digests(r.method.model, loss) for r, (loss, _) in zip(replicas, taken, strict=True)]
    return len(set(digests)) > 1, [operators for _, operators in taken]


def _differences(replicas: Sequence[Replica], losses: Sequence[Tensor]) -> dict[str, list[str]]:
    """Return part -> tensors that differ between the first and another run, in order of time.

    Gradients are in reverse order of the layers, as the backward pass computes them.
    """
    first, *others = [parts_of(r.method.model, loss) for r, loss in zip(replicas, losses, strict=True)]
    found = {}
    for part in IN_TIME:
        names = dict.fromkeys(name for other in others for name in differing(first[part], other[part]))
        if names:
            found[part] = list(reversed(names)) if part == "gradients" else list(names)
    return found


def _first(tensors: Mapping[str, Iterable[str]]) -> str:
    """Return the first tensor in time, with its part."""
    for part, names in tensors.items():
        for name in names:
            return "loss" if part == "loss" else f"{SINGULAR[part]} {name}"
    return ""


def _started_apart(replicas: Sequence[Replica]) -> Parting:
    states = [list(replica.method.model.state_dict().items()) for replica in replicas]
    names = list(dict.fromkeys(name for other in states[1:] for name in differing(states[0], other)))
    return Parting(-1, 0, "start", f"weight {names[0]}", {"weights": names})


def _stream(replica: Replica, about: Mapping[str, Any]) -> Stream:
    model = replica.method.model
    return Stream(replica.name, about, layout(model), digest_flat(list(model.state_dict().items())))


def _restore(replicas: Sequence[Replica], states: Sequence[State]) -> None:
    for replica, state in zip(replicas, states, strict=True):
        replica.restore(state)
