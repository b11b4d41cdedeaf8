"""Replicas stepped in lockstep: compared after every step, explained where they part, measured as they drift.

Where the digests of two runs differ, the step is taken again from the kept state before it, with every operator
recorded. Real noise need not strike twice: the step is repeated, and it is counted how often the runs parted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from fitlib.errors import RunFailed
from fitlib.tracing.digest_streams import Stream, check_layouts, differing, digest_flat, layout, parts_of, step_digests
from fitlib.tracing.operators import Culprit, Operator, common, counted, culprits
from fitlib.tracing.replicas import Replica, State

REPETITIONS = 6  # of the step at which the runs parted
POINTS = 12  # of the growth curve, spaced evenly; between them and the parting, distances that double
IN_TIME = ("buffers", "loss", "gradients", "weights")  # the order in which a step makes them
SINGULAR = {"buffers": "buffer", "gradients": "gradient of", "weights": "weight"}


@dataclass(frozen=True)
class Parting:
    """Where and why the runs parted.

    `step` -1: they started apart. `cause`: `start`, `batch` (another one was drawn), `noise` (it changed a weight or
    the batch itself), `operators`, or `unknown`. `tensors`: part -> names that differ after the step. `first`: the
    first of them in time; of noise, what it changed. In `parted_again` of `repetitions` the step parted again;
    `compared` operators of it could be compared.
    """

    step: int
    epoch: int
    cause: str
    first: str
    tensors: Mapping[str, list[str]]
    noise: list[Mapping] = field(default_factory=list)  # what the noise moved, run by run, where that has a place
    culprits: list[Culprit] = field(default_factory=list)
    compared: int = 0
    repetitions: int = 0
    parted_again: int = 0
    recorded: bool = False  # the operators are those of the very step in which the runs parted


@dataclass(frozen=True)
class Trace:
    """What was found: every run's digests, whether all steps of the training are among them, the parting if any.

    `growth`: rows of step, run, `distance` (Euclidean, of all weights from run-00's, over the norm of those), `largest`
    (difference of a weight), and `changed`, the share of the test rows (labels) predicted otherwise than by run-00.
    `failed` tells which run crashed, where and why; what was found before stands.
    """

    about: Mapping[str, object]
    streams: list[Stream]
    whole: bool
    parting: Parting | None
    growth: list[dict]
    failed: str = ""

    @property
    def steps(self) -> int:
        """Steps that all runs took."""
        return min(len(stream.steps) for stream in self.streams)


class Lockstep:
    """Steps replicas side by side; `tell` receives a line after every step."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        about: Mapping[str, object],
        record: bool = False,
        tell: Callable[[str], None] = lambda line: None,
    ):
        self.replicas, self.about, self.record, self.tell = list(replicas), about, record, tell
        self.streams = [_stream(replica, about) for replica in self.replicas]
        check_layouts({stream.run: stream.layout for stream in self.streams})
        self.parting: Parting | None = None
        self.growth: list[dict] = []

    def run(self, steps: int) -> Trace:
        """Through at most `steps` steps; a crash ends it."""
        whole, failed = False, ""
        try:
            whole = self._through(steps)
        except RunFailed as error:
            failed = str(error)
        for stream, replica in zip(self.streams, self.replicas, strict=True):
            stream.failed = replica.failed
        return Trace(self.about, self.streams, whole, self.parting, self.growth, failed)

    def _through(self, steps: int) -> bool:
        """Take the steps; whether the training ended."""
        if len({stream.start for stream in self.streams}) > 1:
            self.parting = _started_apart(self.replicas)
        for step in range(steps):
            if not self._prepare():
                self._end(step)
                return True
            self._step(step)
            if self.parting is None:
                self.tell(f"step {step + 1} of at most {steps}: bit-identical so far")
            else:
                self._measure(step, steps)
                self.tell(f"step {step + 1} of at most {steps}: parted at step {self.parting.step}")
        return False

    def _prepare(self) -> bool:
        """Draw the batches; RunFailed where one training is over and another one is not."""
        there = [replica.prepare(keep=self.parting is None) for replica in self.replicas]
        if len(set(there)) > 1:
            ended = self.replicas[there.index(False)].name
            raise RunFailed(f"{ended} ended after {len(self.streams[0].steps)} steps, before the others did")
        return all(there)

    def _step(self, step: int) -> None:
        """One step of every replica, digested; the parting where they differ for the first time."""
        record = self.record and self.parting is None
        taken = [replica.step(record) for replica in self.replicas]
        losses = [loss for loss, _ in taken]
        for stream, replica, loss in zip(self.streams, self.replicas, losses, strict=True):
            stream.steps.append(step_digests(replica.method.model, loss))
        if self.parting is None and len({stream.steps[step] for stream in self.streams}) > 1:
            logs = [operators for _, operators in taken]
            self.parting = explained(self.replicas, step, losses, logs if record else None)

    def _measure(self, step: int, steps: int) -> None:
        """Note how far the runs are apart, where that is due."""
        if step in points(max(self.parting.step, 0), steps):
            self.growth += distances(self.replicas, step)

    def _end(self, step: int) -> None:
        """The training is over after `step` steps: the last distance; RunFailed where the noise never entered."""
        for replica in self.replicas:
            replica.finish()
        if self.growth and self.growth[-1]["step"] != step - 1:
            self.growth += distances(self.replicas, step - 1)


def explained(
    replicas: Sequence[Replica], step: int, losses: Sequence[Tensor], logs: list[list[Operator]] | None
) -> Parting:
    """Why the runs parted in the step that they have just taken; they are left as they are.

    `logs`: the operators of that step, where they were recorded; otherwise the step is repeated.
    """
    tensors, after = _unlike(replicas, losses), [replica.state() for replica in replicas]
    cause, first = _before_the_operators(replicas)
    repeated = [logs] if logs else []
    again = 0
    for _ in range(0 if logs else 1 if cause else REPETITIONS):
        parted, log = _repeat(replicas)
        again, repeated = again + parted, [*repeated, log]
    _put_back(replicas, after)
    found = counted(map(culprits, repeated))
    return Parting(
        step,
        replicas[0].progress.epoch,
        cause or ("operators" if found else "unknown"),
        first or _first(tensors),
        tensors,
        [{"run": replica.name, **replica.noise.moved} for replica in replicas if replica.noise.moved],
        found,
        min(map(common, repeated)),
        0 if logs else len(repeated),
        again,
        logs is not None,
    )


def distances(replicas: Sequence[Replica], step: int) -> list[dict]:
    """One row for every run but the first: how far its weights and predictions are from the first one's."""
    first, *others = replicas
    weights, predicted = first.weights(), first.predictions()
    rows = []
    for other in others:
        difference = other.weights() - weights
        row = {"step": step, "run": other.name, "distance": float(difference.norm() / weights.norm())}
        changed = float((other.predictions() != predicted).double().mean())
        rows.append({**row, "largest": float(difference.abs().max()), "changed": changed})
    return rows


def points(start: int, steps: int) -> set[int]:
    """Steps at which the distance is measured: from the parting on doubling, and evenly up to the last one."""
    left = steps - 1 - start
    doubling = {start + 2**power for power in range(left.bit_length())}
    return {start, steps - 1} | doubling | {start + left * number // POINTS for number in range(POINTS)}


def _before_the_operators(replicas: Sequence[Replica]) -> tuple[str, str]:
    """(`batch` or `noise`, what differs) where the runs part before any operator runs; else ("", "")."""
    for replica in replicas:
        replica.back()
    unlike = _unlike_batches([replica.batch for replica in replicas])
    if unlike:
        return "batch", f"{unlike} of the batch"
    batches = [_disturbed(replica) for replica in replicas]
    weights = [list(replica.method.model.named_parameters()) for replica in replicas]
    moved = [name for other in weights[1:] for name in differing(weights[0], other)]
    if moved:
        return "noise", f"weight {moved[0]}"
    unlike = _unlike_batches(batches)
    return ("noise", f"{unlike} of the batch") if unlike else ("", "")


def _disturbed(replica: Replica) -> object:
    with replica.disturbed() as batch:
        return batch


def _unlike_batches(batches: Sequence[object]) -> str:
    """The first field (x, y, protected) in which batches differ; "" if they are equal."""
    fields = [list(vars(batch).items()) for batch in batches]
    unlike = [name for other in fields[1:] for name in differing(fields[0], other)]
    return unlike[0] if unlike else ""


def _repeat(replicas: Sequence[Replica]) -> tuple[bool, list[list[Operator]]]:
    """Take the step again: whether the runs parted, and every run's operators."""
    taken = [replica.again() for replica in replicas]
    made = [step_digests(r.method.model, loss) for r, (loss, _) in zip(replicas, taken, strict=True)]
    return len(set(made)) > 1, [operators for _, operators in taken]


def _unlike(replicas: Sequence[Replica], losses: Sequence[Tensor]) -> dict[str, list[str]]:
    """Part -> tensors that differ between the first and another run, in time: gradients from the last one back."""
    first, *others = [parts_of(r.method.model, loss) for r, loss in zip(replicas, losses, strict=True)]
    found = {}
    for part in IN_TIME:
        names = dict.fromkeys(name for other in others for name in differing(first[part], other[part]))
        if names:
            found[part] = list(reversed(names)) if part == "gradients" else list(names)
    return found


def _first(tensors: Mapping[str, Iterable[str]]) -> str:
    """The first tensor in time, with its part."""
    for part, names in tensors.items():
        for name in names:
            return "loss" if part == "loss" else f"{SINGULAR[part]} {name}"
    return ""


def _started_apart(replicas: Sequence[Replica]) -> Parting:
    states = [list(replica.method.model.state_dict().items()) for replica in replicas]
    names = list(dict.fromkeys(name for other in states[1:] for name in differing(states[0], other)))
    return Parting(-1, 0, "start", f"weight {names[0]}", {"weights": names})


def _stream(replica: Replica, about: Mapping[str, object]) -> Stream:
    model = replica.method.model
    return Stream(replica.name, about, layout(model), digest_flat(list(model.state_dict().items())))


def _put_back(replicas: Sequence[Replica], states: Sequence[State]) -> None:
    for replica, state in zip(replicas, states, strict=True):
        replica.put_back(state)
