"""fitlib.statistics.planning against simulated experiments, and the regions of the verdicts against `judge`."""

import numpy as np
import pytest
from scipy import stats

from fitlib.statistics import estimates as st
from fitlib.statistics import planning
from fitlib.statistics.verdict_names import VERDICTS
from fitlib.statistics.verdicts import judge, verdict

DELTA = 0.01
STEPS = np.array([0, -1, -2, -3]) * DELTA
FAIRER, EQUIVALENT = VERDICTS.index("fairer"), VERDICTS.index("equivalent")
PLANNED = [  # runs, SDs (one: paired), level, true difference in δ
    (4, (0.005, 0.005), 0.05, 0), (4, (0.003, 0.009), 0.05, -2), (4, (0.004,), 0.05 / 3, -3),
    (5, (0.01, 0.01), 0.05 / 5, -3), (5, (0.002, 0.006), 0.05, 0), (5, (0.005,), 0.05, -2),
    (6, (0.004, 0.004), 0.05 / 5, 0), (6, (0.004, 0.004), 0.05 / 45, -2), (8, (0.01, 0.03), 0.05, -3),
    (8, (0.03, 0.01), 0.05, -1), (8, (0.006,), 0.05 / 45, -2), (8, (0.006, 0.006), 0.05 / 15, 0),
    (10, (0.012, 0.008), 0.05 / 5, -2), (12, (0.02, 0.001), 0.05, -2), (16, (0.01, 0.01), 0.05, -1),
    (16, (0.01, 0.01), 0.05 / 45, 0), (16, (0.02, 0.02), 0.05 / 45, -3), (24, (0.01, 0.03), 0.05 / 5, -2),
    (32, (0.02,), 0.05 / 5, -1), (64, (0.02, 0.03), 0.05 / 45, -2),
]  # fmt: skip


def frequencies(
    n: int, sds: tuple, level: float, true: float, rng: np.random.Generator, replicates: int = 4000
) -> np.ndarray:
    """Draw the runs of many experiments, and count their verdicts."""
    samples = [sd * rng.standard_normal((replicates, n)) for sd in sds]
    squared = np.array([x.var(axis=1, ddof=1) / n for x in samples])
    df = squared.sum(axis=0) ** 2 / (squared**2 / (n - 1)).sum(axis=0)
    difference = true + samples[-1].mean(axis=1) - (samples[0].mean(axis=1) if len(sds) == 2 else 0)
    found = judge(difference, np.sqrt(squared.sum(axis=0)), df, DELTA, level)
    return np.bincount(found, minlength=len(VERDICTS)) / replicates


@pytest.mark.parametrize("setting", PLANNED, ids=str)
def test_every_verdict_comes_as_often_as_planned(setting: tuple) -> None:
    n, sds, level, multiple = setting
    planned = planning.verdict_chances(multiple * DELTA, sds, (n,) * len(sds), DELTA, level)[0, 0]
    assert planned.sum() == pytest.approx(1)
    found = frequencies(n, sds, level, multiple * DELTA, np.random.default_rng([n, -multiple]))
    np.testing.assert_allclose(found, planned, atol=0.03)


@pytest.mark.parametrize("paired", [True, False])
def test_the_simulated_verdicts_are_those_of_the_function_that_decides(paired: bool) -> None:
    rng, n = np.random.default_rng(5), 6
    drawn = [(rng.normal(0, 0.005, n), rng.normal(-0.02, 0.008, n)) for _ in range(400)]
    decided = [verdict(b, t, DELTA, 0.01, paired) for b, t in drawn]
    sds = (np.hypot(0.005, 0.008),) if paired else (0.005, 0.008)
    planned = planning.verdict_chances(-0.02, sds, (n,) * len(sds), DELTA, 0.01)[0, 0]
    shares = [decided.count(name) / 400 for name in VERDICTS]
    np.testing.assert_allclose(shares, planned, atol=4 * 0.025)
    assert 0.1 < planned[FAIRER] < 0.9


@pytest.mark.parametrize("effect", [0.0, 0.004, 0.05])
def test_the_verdict_changes_where_the_cuts_are(effect: float) -> None:
    true, sizes, level = np.array([[1e-4, 4e-4]]), (5, 7), 0.02
    cuts = planning._cuts(true, sizes, effect, level, points=40)
    squared = true * planning._mean_squares((4, 6), 40) / np.array(sizes)
    errors = [
        st.welch_error(*np.sqrt(row * np.array(sizes)), *sizes) for row in squared
    ]  # the sample SDs behind these errors
    between = ["fairer", "lower, size open", "open", "equivalent", "open", "higher, size open", "less fair"]
    for (error, df), of_point in zip(errors, cuts[0].T, strict=True):
        assert (np.diff(of_point) >= 0).all()
        grid = np.linspace(-1.2, 1.2, 998) * of_point[-1]
        found = [VERDICTS[i] for i in judge(grid, error, df, effect, level)]
        assert found == [between[i] for i in np.searchsorted(of_point, grid)]


@pytest.mark.parametrize("level", [0.05, 0.05 / 45])
def test_fairer_at_exactly_the_smallest_effect_comes_in_half_the_level_at_any_n(level: float) -> None:
    for n in (4, 8, 16, 64, 1000):
        one, two, unequal = (
            planning.verdict_chances(-DELTA, sds, (n,) * len(sds), DELTA, level)[0, 0, FAIRER]
            for sds in ((0.004,), (0.01, 0.01), (0.03, 0.01))
        )
        assert one == pytest.approx(level / 2, rel=0.1)
        # Welch's interval is a little wide with few runs: the verdict comes less often still.
        assert two == pytest.approx(level / 2, rel=0.1 if n >= 16 else 0.6) and two < 1.1 * level / 2
        assert unequal == pytest.approx(level / 2, rel=0.2 if n >= 16 else 0.6)


def test_more_runs_decide_more_where_there_is_something_to_decide() -> None:
    numbers = [n for n in planning.NUMBERS if n >= 4]
    chances = np.array([planning.verdict_chances(STEPS, (0.01, 0.01), (n, n), DELTA, 0.01)[0] for n in numbers])
    assert (np.diff(chances[:, 0, EQUIVALENT]) > -0.003).all() and chances[-1, 0, EQUIVALENT] > 0.99
    assert (np.diff(chances[:, 2:, FAIRER], axis=0) > -0.003).all() and (chances[-1, 2:, FAIRER] > 0.99).all()
    assert (planning.undecided(chances)[:, 1] > 0.94).all()  # at exactly δ


def test_towards_less_fair_it_is_the_same() -> None:
    chances = planning.verdict_chances(np.concatenate([STEPS, -STEPS]), (0.01, 0.02), (6, 9), DELTA, 0.02)[0]
    np.testing.assert_allclose(chances[:4], chances[4:, ::-1][:, [0, 1, 3, 2, 4, 5]], atol=1e-12)


def test_one_sample_is_the_exact_t_test() -> None:
    n, level, sd = 9, 0.03, 0.01
    for true in (-0.02, -0.03):
        shift = (true + DELTA) / (sd / np.sqrt(n))
        expected = stats.nct.cdf(-stats.t.isf(level / 2, n - 1), n - 1, shift)
        found = planning.verdict_chances(true, (sd,), (n,), DELTA, level)[0, 0, FAIRER]
        assert found == pytest.approx(expected, abs=1e-3)


def test_below_four_runs_there_is_no_verdict() -> None:
    assert not planning.verdict_chances(STEPS, (0.01, 0.01), (3, 16), DELTA, 0.05).any()
    assert planning.verdict_chances(STEPS, (0.01, 0.01), (4, 16), DELTA, 0.05).any()


# The pilot's uncertainty


@pytest.mark.parametrize(("sds", "df"), [((0.008, 0.012), (15, 15)), ((0.01,), (4,)), ((0.01, 0.01), (4, 9))])
def test_assurance_is_the_share_of_verdicts_over_pilots(sds: tuple, df: tuple) -> None:
    rng, n, level, true = np.random.default_rng(8), 8, 0.05, -0.02
    drawn = np.array([sds]) * np.sqrt(np.array(df) / rng.chisquare(df, size=(400, len(df))))
    found = np.mean([frequencies(n, tuple(world), level, true, rng, 100) for world in drawn], axis=0)
    planned = planning.verdict_chances(true, sds, (n,) * len(sds), DELTA, level, df)
    assert planned.shape == (planning.WORLDS, 1, len(VERDICTS))
    np.testing.assert_allclose(found, planned.mean(axis=0)[0], atol=0.04)


def test_a_longer_pilot_narrows_the_band_to_the_declared_value() -> None:
    settings = (STEPS, (0.01, 0.012), (12, 12), DELTA, 0.05)
    declared = planning.verdict_chances(*settings)[0]
    widths = []
    for df in (3, 15, 10_000):
        low, high = np.quantile(planning.verdict_chances(*settings, (df, df)), planning.BAND, axis=0)
        widths.append((high - low)[2, FAIRER])
    assert widths[0] > widths[1] > 4 * widths[2]
    assured = planning.verdict_chances(*settings, (100_000, 100_000)).mean(axis=0)
    np.testing.assert_allclose(assured, declared, atol=0.005)


# Levels and refusals


def test_the_level_before_there_are_runs_is_that_of_bonferroni() -> None:
    assert planning.bonferroni_level(1, 1) == 0.05 and planning.bonferroni_level(9, 5, 0.1) == 0.1 / 45
    with pytest.raises(ValueError, match="at least one"):
        planning.bonferroni_level(0, 5)


def test_runs_that_never_vary_cannot_be_planned() -> None:
    with pytest.raises(ValueError, match="never vary"):
        planning.verdict_chances(STEPS, (0.0, 0.0), (8, 8), DELTA, 0.05)
    assert planning.verdict_chances(STEPS, (0.0, 0.01), (8, 8), DELTA, 0.05).sum() == pytest.approx(4)
