"""fitlib.statistics.leave_one_out: which conclusions depend on a single run."""

import numpy as np
import pytest

from fitlib.statistics.leave_one_out import leave_one_out
from fitlib.statistics.verdicts import TOO_FEW, verdict


def larger(b: np.ndarray, t: np.ndarray) -> str:
    return "larger" if t.mean() > b.mean() else "not larger"


def test_every_run_of_both_sides_is_left_out_once() -> None:
    seen = []

    def note(b: np.ndarray, t: np.ndarray) -> str:
        seen.append((b.tolist(), t.tolist()))
        return "same"

    found = leave_one_out(np.array([1.0, 2, 3]), np.array([4.0, 5]), note)
    assert (found.verdict, found.changed, found.n, found.verdicts, found.runs) == ("same", 0, 5, (), ())
    assert seen[0] == ([1, 2, 3], [4, 5]) and [len(b) for b, _ in seen[1:]] == [2, 2, 2, 3, 3]
    assert sorted(sum(b) + sum(t) for b, t in seen[1:]) == [10, 11, 12, 13, 14]


def test_the_run_that_decides_is_named() -> None:
    b, t = np.full(8, 0.3), np.array([0.29] * 7 + [0.9])
    found = leave_one_out(b, t, larger)
    assert found.verdict == "larger" and found.runs == (("technique", 7),) and found.verdicts == ("not larger",)
    assert (found.changed, found.n) == (1, 16)
    swapped = leave_one_out(t, b, larger)
    assert swapped.runs == (("baseline", 7),) and swapped.verdict == "not larger"


def test_paired_runs_are_left_out_together() -> None:
    b, t = np.zeros(4), np.array([-1.0, -1, -1, 9])
    found = leave_one_out(b, t, larger, paired=True)
    assert (found.n, found.runs) == (4, (("both", 3),))
    with pytest.raises(ValueError, match="same runs"):
        leave_one_out(b, t[:3], larger, paired=True)


def test_a_clear_verdict_stands_without_any_run() -> None:
    rng = np.random.default_rng(0)
    b, t = rng.normal(0.30, 0.01, 16), rng.normal(0.20, 0.01, 16)
    found = leave_one_out(b, t, lambda x, y: verdict(x, y, 0.01))
    assert (found.verdict, found.changed) == ("fairer", 0)
    two = leave_one_out(b[:2], t[:2], lambda x, y: verdict(x, y, 0.01))
    assert not two.verdicts and two.verdict == TOO_FEW and two.changed == 0
