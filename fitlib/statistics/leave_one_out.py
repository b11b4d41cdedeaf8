"""Does a conclusion hang on a single run? Every run is left out once, and what changes is told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fitlib.statistics.estimates import as_runs, paired_runs

Decide = Callable[[np.ndarray, np.ndarray], str]


@dataclass(frozen=True)
class LeaveOneOut:
    """A verdict on all runs, and those reached with one run less.

    ``changed`` of ``n`` deletions change the verdict; ``verdicts``: the others that were reached, each once; ``runs``:
    (side, position) of the runs that change it, side "baseline", "technique" or, of paired runs, "both".
    """

    verdict: str
    changed: int
    n: int
    verdicts: tuple[str, ...]
    runs: tuple[tuple[str, int], ...]


def leave_one_out(baseline: np.ndarray, technique: np.ndarray, decide: Decide, paired: bool = False) -> LeaveOneOut:
    """What ``decide(baseline, technique)`` says with each run left out, of the baseline and of the technique.

    ``decide`` returns a verdict or label; arrays (runs,). ``paired``: a run is left out of both at once; ValueError if
    unequal in length then.
    """
    b, t = paired_runs(baseline, technique) if paired else (as_runs(baseline), as_runs(technique))
    whole = decide(b, t)
    reached = [(run, decide(*left)) for run, left in _left_out(b, t, paired)]
    changing = [(run, verdict) for run, verdict in reached if verdict != whole]
    others = tuple(dict.fromkeys(verdict for _, verdict in changing))
    return LeaveOneOut(whole, len(changing), len(reached), others, tuple(run for run, _ in changing))


def _left_out(
    b: np.ndarray, t: np.ndarray, paired: bool
) -> Iterator[tuple[tuple[str, int], tuple[np.ndarray, np.ndarray]]]:
    if paired:
        yield from ((("both", i), (np.delete(b, i), np.delete(t, i))) for i in range(b.size))
        return
    yield from ((("baseline", i), (np.delete(b, i), t)) for i in range(b.size))
    yield from ((("technique", i), (b, np.delete(t, i))) for i in range(t.size))
