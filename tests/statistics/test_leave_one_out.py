"""fitlib.statistics.leave_one_out: which verdicts depend on a single run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from fitlib.statistics.leave_one_out import leave_one_out
from fitlib.statistics.verdict_names import TOO_FEW
from fitlib.statistics.verdicts import verdict
from tests.support.samples import quick

values = some.integers(0, 12).map(lambda k: k / 40)
samples = some.lists(values, min_size=1, max_size=9).map(np.array)


def one_by_one(b: np.ndarray, t: np.ndarray, effect: float, level: float, paired: bool) -> list[str]:
    """Return the verdicts without each run, each computed alone."""
    if paired:
        return [verdict(np.delete(b, i), np.delete(t, i), effect, level, True) for i in range(b.size)]
    of_b = [verdict(np.delete(b, i), t, effect, level) for i in range(b.size)]
    return of_b + [verdict(b, np.delete(t, i), effect, level) for i in range(t.size)]


@quick
@given(samples, samples, some.sampled_from([0.005, 0.03, 0.2]), some.sampled_from([0.05, 0.01]))
def test_all_deletions_at_once_are_those_one_by_one(b, t, effect, level) -> None:
    n = min(b.size, t.size)
    for x, y, paired in ((b, t, False), (b[:n], t[:n], True)):
        found, expected = leave_one_out(x, y, effect, level, paired), one_by_one(x, y, effect, level, paired)
        whole = verdict(x, y, effect, level, paired)
        assert (found.verdict, found.n) == (whole, len(expected))
        sides = [("both", i) for i in range(n)]
        if not paired:
            sides = [("baseline", i) for i in range(x.size)] + [("technique", i) for i in range(y.size)]
        changing = [(side, other) for side, other in zip(sides, expected, strict=True) if other != whole]
        assert found.runs == tuple(side for side, _ in changing) and found.changed == len(changing)
        assert found.verdicts == tuple(dict.fromkeys(other for _, other in changing))


def test_the_run_that_decides_is_named() -> None:
    rng = np.random.default_rng(0)
    b, t = rng.normal(0.30, 0.01, 8), rng.normal(0.20, 0.01, 8)
    t[5] = 0.6
    found = leave_one_out(b, t, 0.01)
    assert (found.verdict, found.verdicts, found.runs) == ("open", ("fairer",), (("technique", 5),))
    swapped = leave_one_out(t, b, 0.01)
    assert swapped.runs == (("baseline", 5),) and swapped.verdicts == ("less fair",)


def test_paired_runs_are_left_out_together() -> None:
    rng = np.random.default_rng(1)
    b = rng.normal(0.3, 0.05, 8)
    t = b - 0.1 + rng.normal(0, 0.001, 8)
    t[3] = b[3] + 0.4
    found = leave_one_out(b, t, 0.01, paired=True)
    assert (found.n, found.runs, found.verdicts) == (8, (("both", 3),), ("fairer",))
    with pytest.raises(ValueError, match="same runs"):
        leave_one_out(b, t[:3], 0.01, paired=True)


def test_a_clear_verdict_stands_without_any_run() -> None:
    rng = np.random.default_rng(0)
    b, t = rng.normal(0.30, 0.01, 16), rng.normal(0.20, 0.01, 16)
    found = leave_one_out(b, t, 0.01)
    assert (found.verdict, found.changed, found.n) == ("fairer", 0, 32)
    two = leave_one_out(b[:2], t[:2], 0.01)
    assert not two.verdicts and two.verdict == TOO_FEW and two.changed == 0
    four = leave_one_out(b[:4], t[:4], 0.01)
    assert four.verdict == "fairer" and four.verdicts == (TOO_FEW,) and four.changed == four.n == 8
