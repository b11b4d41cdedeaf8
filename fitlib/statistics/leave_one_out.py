"""Sensitivity of a conclusion to single runs: each run is left out once, and the changes are counted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fitlib.statistics.estimates import as_runs, paired_runs

Decide = Callable[[np.ndarray, np.ndarray], str]


@dataclass(frozen=True)
class LeaveOneOut:
    """A verdict on all runs, and the verdicts with one run less.

    ``changed`` of ``n`` deletions change the verdict; ``verdicts``: the different verdicts, each once; ``runs``: (side,
    position) of the runs that change it, side "baseline", "technique" or, of paired runs, "both".
    """

    verdict: str
    changed: int
    n: int
    verdicts: tuple[str, ...]
    runs: tuple[tuple[str, int], ...]


def leave_one_out(baseline: np.ndarray, technique: np.ndarray, decide: Decide, paired: bool = False) -> LeaveOneOut:
    """Compare ``decide(baseline, technique)`` on all runs with its result without each run of either side.

    ``decide`` returns a verdict or label; arrays (runs,). ``paired``: a run is left out of both at once; ValueError if
    they are unequal in length.

    >>> def decide(baseline, technique):
    ...     return "fairer" if technique.max() < baseline.min() else "open"
    >>> found = leave_one_out([0.3, 0.4], [0.1, 0.35], decide)
    >>> found.verdict, found.changed, found.n, found.runs
    ('open', 2, 4, (('baseline', 0), ('technique', 1)))
    """
    b, t = paired_runs(baseline, technique) if paired else (as_runs(baseline), as_runs(technique))
    whole = decide(b, t)
    verdicts = [(run, decide(*rest)) for run, rest in _deletions(b, t, paired)]
    changing = [(run, verdict) for run, verdict in verdicts if verdict != whole]
    others = tuple(dict.fromkeys(verdict for _, verdict in changing))
    return LeaveOneOut(whole, len(changing), len(verdicts), others, tuple(run for run, _ in changing))


def _deletions(
    b: np.ndarray, t: np.ndarray, paired: bool
) -> Iterator[tuple[tuple[str, int], tuple[np.ndarray, np.ndarray]]]:
    if paired:
        yield from ((("both", i), (np.delete(b, i), np.delete(t, i))) for i in range(b.size))
        return
    yield from ((("baseline", i), (np.delete(b, i), t)) for i in range(b.size))
    yield from ((("technique", i), (b, np.delete(t, i))) for i in range(t.size))
