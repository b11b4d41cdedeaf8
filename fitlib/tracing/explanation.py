"""The findings of a trace in sentences and tables of text, written without importing torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fitlib.experiment.registry.noises import NOISE_KINDS

if TYPE_CHECKING:
    from fitlib.tracing.digest_streams import Stream
    from fitlib.tracing.lockstep import Parting, Trace
    from fitlib.tracing.operators import Culprit

COMPARED = "loss, gradients, weights and buffers, by SHA-256"
MOST = 6  # culprits and tensors listed one by one


def lines(found: Trace, technique: str = "") -> list[str]:
    """Return all findings of a trace, one sentence per line."""
    sentences = [_subject(found, technique), verdict(found)]
    if found.parting is not None:
        sentences += [f"{found.failed}: the runs go no further" if found.failed else "", _tensors(found.parting)]
        sentences += [*causes(found.parting, str(found.about["noise"]["name"])), *growth(found.growth)]
    elif not found.failed:
        sentences.append(_advice(found.about))
    return [sentence for sentence in sentences if sentence]


def verdict(found: Trace) -> str:
    """Return the sentence on whether and where the runs diverged."""
    parting, extent = found.parting, _extent(found)
    if parting is None and found.failed:
        return f"{found.failed}; the runs were bit-identical through {extent} ({COMPARED})"
    if parting is None:
        return f"bit-identical through {extent}: {COMPARED}"
    if parting.step < 0:
        return "started apart: initial weights or buffers differ, so these are not FIT runs"
    before = (
        f"bit-identical until then ({COMPARED})" if parting.step else "initial weights and buffers were bit-identical"
    )
    return f"diverged at step {parting.step} (epoch {parting.epoch}); {before}"


def causes(parting: Parting, noise: str = "native") -> list[str]:
    """Return the sentences on the cause, one for each culprit."""
    if parting.cause == "start":
        return [f"culprit: the start itself, no operator; first tensor: {parting.first}"]
    if parting.cause == "batch":
        return [
            f"culprit: the batch, which was drawn otherwise ({parting.first} differs); no operator",
            _quiet(parting),
        ]
    if parting.cause == "noise":
        moved = "; ".join(map(_moved, parting.noise)) or f"it changed {parting.first}"
        return [f"culprit: the noise {noise} itself, no operator: {moved}", _quiet(parting)]
    if parting.cause == "unknown":
        return [_unknown(parting)]
    return [*_emulated(noise), *(_culprit(c, parting) for c in parting.culprits[:MOST]), _more(parting)]


def growth(rows: Sequence[Mapping]) -> list[str]:
    """Return the growth curve as a heading and one line per point; empty if no distance was measured."""
    if not rows:
        return []
    heading = "growth: distance of all weights from run-00's, relative; test predictions that are not run-00's"
    points = [f"  step {r['step']:>6}  {r['run']}  {r['distance']:.1e}  {100 * r['changed']:6.2f} %" for r in rows]
    return [heading, *points]


def comparison(streams: Sequence[Stream], found: tuple[int, list[str]] | None) -> list[str]:
    """Return the sentences on a comparison of saved streams."""
    names, steps = _listed([s.run for s in streams]), min(len(s.steps) for s in streams)
    declared = {name: dict.fromkeys(str(s.about.get(name)) for s in streams) for name in streams[0].about}
    unequal = [f"{name}: {_listed(values)}" for name, values in declared.items() if len(values) > 1]
    note = [f"what was declared differs in {'; '.join(unequal)}"] if unequal else []
    if found is None:
        return [f"{names}: bit-identical through {_count(steps, 'step')}: {COMPARED}", *note]
    step, parts = found
    if step < 0:
        return [f"{names}: started apart: initial weights or buffers differ, so these are not FIT runs", *note]
    outcome = f"{names}: diverged at step {step}, in {_listed(parts)}; bit-identical until then ({COMPARED})"
    return [outcome, *note, "tensor and operator are found where both runs are traced in one process"]


def _subject(found: Trace, technique: str) -> str:
    about = found.about
    name = str(about["noise"]["name"])
    noise = f"{name} (emulated)" if NOISE_KINDS.get(name) == "emulated" else name
    runs = _listed([stream.run for stream in found.streams])
    where = f"{about['device']}, {_count(int(about['threads']), 'thread')}, torch {about['torch']}"
    return f"{technique + ', ' if technique else ''}noise {noise}, seed {about['seed']}, {runs}; {where}"


def _extent(found: Trace) -> str:
    return f"{_count(found.steps, 'step')}{' (the whole training)' if found.whole else ''}"


def _advice(about: Mapping) -> str:
    """Return what to try if real noise did not make the runs part."""
    if about["noise"]["name"] != "native" or about["device"] != "cpu":
        return ""
    if int(about["threads"]) < 2:
        return "on a CPU real noise needs two or more threads: --set threads=2"
    return "on a CPU few operators are not reproducible, such as the backward of table[idx] from 32,768 elements on"


def _tensors(parting: Parting) -> str:
    if parting.cause == "start":
        return ""
    differing = [part if part == "loss" else f"{part} of {_listed(names)}" for part, names in parting.tensors.items()]
    return f"first tensor: {parting.first}; after the step differ: {'; '.join(differing)}"


def _moved(moved: Mapping) -> str:
    """Describe what the noise did in one run."""
    if "tensor" not in moved:
        return f"{moved['run']}: " + ", ".join(f"{key} {value}" for key, value in moved.items() if key != "run")
    values = f"from {moved['before']!r} to {moved['after']!r}"
    return f"{moved['run']} moved entry {moved['position']} of {moved['tensor']} {values}"


def _quiet(parting: Parting) -> str:
    """Describe what the operators did if they are not the cause."""
    if parting.culprits:
        return f"besides, {_culprit(parting.culprits[0], parting)}"
    return f"no operator gave different outputs for equal inputs ({parting.compared} compared)"


def _unknown(parting: Parting) -> str:
    again = f"the step diverged again in {parting.parted_again} of {_count(parting.repetitions, 'repetition')}"
    if parting.recorded:
        return (
            f"no culprit: the {parting.compared} operators that could be compared gave equal outputs for equal inputs"
        )
    return f"no culprit found: {again}; --operators records every step as it happens"


def _culprit(culprit: Culprit, parting: Parting) -> str:
    operator = culprit.operator
    shapes = f"{_shapes(operator.input_shapes)} → {_shapes(operator.output_shapes)}"
    place = f", module {operator.module}" if operator.module else ""
    role = f", backward ({operator.node}) of" if operator.node else ", at"
    often = (
        "as it happened" if parting.recorded else f"in {culprit.times} of {_count(parting.repetitions, 'repetition')}"
    )
    return f"culprit: {operator.name} {shapes}{place}{role} {operator.line or 'an unknown line'}; {often}"


def _more(parting: Parting) -> str:
    left = len(parting.culprits) - MOST
    return f"and {_count(left, 'more operator')}" if left > 0 else ""


def _emulated(noise: str) -> list[str]:
    """Introduce the culprits of an emulated noise, which changes how operators compute."""
    if NOISE_KINDS.get(noise) != "emulated":
        return []
    return [f"noise {noise} made operators compute in another way; they gave different outputs for equal inputs:"]


def _shapes(shapes: Iterable[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) or "scalar" for shape in shapes) or "none"


def _listed(items: Iterable[object]) -> str:
    names = [str(item) for item in items]
    if len(names) > MOST:
        return f"{', '.join(names[:MOST])} and {len(names) - MOST} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
