"""Identity of runs, judged by the evidence that they recorded: FIT runs, and bit-identical control runs.

Evidence is a list of plain dicts, one per (training, arm, run): `status`, `parts` (everything that must be equal for
two runs to count as identical), `fingerprint` (the hash of all parts), `final_weights` and `predictions` (digests of
results), and `varied` (in words) where a custom training varies something by itself. Everything here is a pure
function of such dicts; `fitlib.experiment.evidence` collects them from disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Evidence = Mapping[str, Any]
COMPARED = "final weights and predictions, by SHA-256"
PREDICTIONS = "predictions, by SHA-256"  # if no weights were recorded
# Parts of the fingerprint in which the runs of a noise of kind comparison differ by design.
BY_DESIGN = {
    "seed": ("initial weights", "first batch", "data order"),
    "seed-init": ("initial weights",),
    "seed-order": ("first batch", "data order"),
    "seed-augmentation": ("first batch",),
}
SEEN_FROM_OUTSIDE = "seen from outside only: initial weights, first batch and data order were not recorded"


@dataclass(frozen=True)
class Identity:
    """Whether the runs of one arm count as fixed-seed identical training (FIT) runs.

    `fit` is None if there is no evidence; `differing` maps each part that differs to the runs that deviate from the
    most frequent value; `recorded` is False if the start of a run was not recorded (`SEEN_FROM_OUTSIDE`).
    """

    fit: bool | None
    n: int
    differing: dict[str, list[str]] = field(default_factory=dict)
    text: str = ""
    recorded: bool = True


@dataclass(frozen=True)
class Control:
    """Outcome of a training's control arm; `identical` is None if the arm is not available.

    `seeds` are those whose runs were compared: a control arm may cover a training's first seed only. None stands for a
    seed that was not recorded.
    """

    identical: bool | None
    n: int
    compared: str
    text: str
    seeds: tuple[int | None, ...] = ()


def finished_runs(evidence: Iterable[Evidence], training: str, arm: str, role: str | None = None) -> list[Evidence]:
    """Return the finished runs of a training in an arm (and role), in run order."""
    chosen = [
        e
        for e in evidence
        if e["training"] == training and e["arm"] == arm and e["status"] == "done" and role in (None, e["role"])
    ]
    return sorted(chosen, key=lambda e: int(e["run"]))


def differing_parts(runs: Iterable[Evidence]) -> dict[str, list[str]]:
    """Return the parts of the fingerprint that are not equal in all runs, each with the deviating runs.

    >>> runs = [{"run": r, "parts": {"data": "a", "threads": n}} for r, n in enumerate([1, 1, 2])]
    >>> differing_parts(runs)
    {'threads': ['run-02']}
    """
    runs = list(runs)
    names = dict.fromkeys(part for run in runs for part in run["parts"])
    differing = {}
    for part in names:
        values = [run["parts"].get(part) for run in runs]
        usual, _ = Counter(map(str, values)).most_common(1)[0]
        odd = [f"run-{int(run['run']):02d}" for run, value in zip(runs, values, strict=True) if str(value) != usual]
        if odd:
            differing[part] = odd
    return differing


def check_fit(evidence: Iterable[Evidence], training: str, arm: str) -> Identity:
    """Check whether the runs of (training, arm) are FIT runs: every part of the fingerprint must be equal in all."""
    runs = finished_runs(evidence, training, arm)
    if not runs:
        return Identity(None, 0, {}, "identity unknown: no record of how these runs were trained")
    differing = differing_parts(runs)
    if differing:
        named = "; ".join(f"{part} differs in {_some(odd)}" for part, odd in differing.items())
        return Identity(False, len(runs), differing, f"not FIT runs: {named}")
    shared, of = len(runs[0]["parts"]), f"{len(runs)} runs" if len(runs) > 1 else "the only run"
    what = f"runs that differ only in {runs[0]['varied']}" if runs[0].get("varied") else "FIT runs"
    text = f"{what}: all {shared} parts of the fingerprint are equal in {of}"
    recorded = all_recorded(runs)
    return Identity(True, len(runs), {}, text if recorded else f"{text}, {SEEN_FROM_OUTSIDE}", recorded)


def check_control(evidence: Iterable[Evidence], training: str) -> Control:
    """Check whether the control runs of a training are bit-identical: final weights and predictions, by SHA-256.

    Runs are compared within their seed; of several seeds the first failure is returned, else one that is not available.
    """
    evidence = [e for e in evidence if e["training"] == training]
    control = [e for e in evidence if e["role"] == "control"] or [e for e in evidence if _without_noise(e)]
    arms = dict.fromkeys(str(e["arm"]) for e in control)
    found = [_control([e for e in control if e["arm"] == arm]) for arm in arms] or [_control([])]
    if len(found) > 1 and all(one.identical for one in found):
        n, seeds = sum(one.n for one in found), tuple(seed for one in found for seed in one.seeds)
        compared = found[0].compared
        text = f"identical within each of {len(found)} seeds, {n} runs in all ({compared})"
        return Control(True, n, compared, text, seeds)
    return min(found, key=lambda one: (False, None, True).index(one.identical))


def _control(control: list[Evidence]) -> Control:
    """Return the outcome of one arm."""
    runs = [e for e in control if e["status"] == "done"]
    seeds = tuple(dict.fromkeys(e.get("seed") for e in control))
    compared = COMPARED if has_final_weights(runs) else PREDICTIONS
    if len(runs) < 2:
        reason = next((str(e["error"]) for e in control if e.get("error")), "fewer than 2 finished control runs")
        return Control(None, len(runs), compared, f"not available: {reason}", seeds)
    usual, count = Counter(_results(run) for run in runs).most_common(1)[0]
    differing = differing_parts(runs)
    if count == len(runs) and not differing:
        return Control(True, count, compared, f"identical in {count} of {count} ({compared})", seeds)
    odd = [f"run-{int(run['run']):02d}" for run in runs if _results(run) != usual]
    parts = ", ".join(differing) or "no part of the fingerprint"
    text = f"failed: identical in {count} of {len(runs)} ({compared}); {_some(odd)} deviates; differing: {parts}"
    return Control(False, count, compared, text, seeds)


def distinct_finals(evidence: Iterable[Evidence], training: str, arm: str) -> tuple[int, int]:
    """Count the distinct digests of final weights (of predictions, if no weights were recorded), and the runs."""
    runs = finished_runs(evidence, training, arm)
    if has_final_weights(runs):
        return len({run["final_weights"] for run in runs}), len(runs)
    return len({_results(run) for run in runs}), len(runs)


def distinct_results(runs: Iterable[Evidence]) -> set[tuple]:
    """Return the distinct results of runs: digests of final weights and predictions together."""
    return {_results(run) for run in runs}


def has_final_weights(runs: Iterable[Evidence]) -> bool:
    """Return whether every run recorded a digest of its final weights."""
    return all(run["final_weights"] for run in runs)


def all_recorded(runs: Iterable[Evidence]) -> bool:
    """Return whether every run recorded its start and progress, as the runs of fitlib's methods always do."""
    return all(run.get("recorded", True) for run in runs)


def _without_noise(entry: Evidence) -> bool:
    return str(entry["arm"]).rpartition(".")[2] == "none"


def _results(run: Evidence) -> tuple:
    return run["final_weights"], tuple(sorted(run["predictions"].items()))


def _some(names: list[str], most: int = 4) -> str:
    first = ", ".join(names[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"
