"""fitlib.statistics on 300 random data sets of several shapes against SciPy and statsmodels, wherever they have it.

Estimates and ends of intervals agree to 1e-9 of the larger number, p-values to 1e-9 of themselves or 1e-15, whichever
is larger. The seed of the data is fresh in every session and printed, which pytest shows if a test fails.
"""

import secrets
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from fitlib.statistics import estimates as st
from fitlib.statistics import risk, verdicts
from fitlib.statistics import significance as sig

SEED, SETS = secrets.randbits(32), 300
Values = np.ndarray
SHAPES: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "normal": lambda rng, n: rng.normal(0.1, 0.02, n),
    "exponential": lambda rng, n: 0.05 + rng.exponential(0.03, n),
    "t, 2 df": lambda rng, n: 0.1 + 0.01 * rng.standard_t(2, n),
    "two groups": lambda rng, n: np.where(rng.random(n) < 0.3, 0.05, 0.15) + rng.normal(0, 0.001, n),
    "tied": lambda rng, n: rng.integers(0, 6, n) / 40,
    "tiny": lambda rng, n: 1e-6 * (1 + rng.random(n)),
}


def data(number: int) -> tuple[Values, Values]:
    """Baseline and technique of one data set: 3 to 30 runs each, neither constant."""
    rng = np.random.default_rng([SEED, number])
    draw, n = SHAPES[list(SHAPES)[number % len(SHAPES)]], rng.integers(3, 31, 2)
    while True:
        b, t = draw(rng, n[0]), rng.uniform(0.5, 3) * draw(rng, n[1])
        if np.ptp(b) and np.ptp(t):
            return b, t


def pairs(number: int) -> tuple[Values, Values]:
    """Data of equal numbers of runs whose differences are not constant."""
    b, t = data(number)
    n = min(b.size, t.size)
    return (b[:n], t[:n]) if np.ptp(t[:n] - b[:n]) > 1e-9 * np.abs(t[:n]).max() else pairs(number + 1000)


def close(found: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=1e-9, atol=1e-15)


def close_interval(found: st.Estimate, low: float, high: float) -> None:
    """Compare ends to 1e-9 of the larger of them: an end near 0 is the difference of larger numbers."""
    np.testing.assert_allclose(found.ends, (low, high), rtol=0, atol=1e-9 * max(abs(low), abs(high)))


def distinct(*values: Values) -> bool:
    both = np.concatenate(values)
    return np.unique(both).size == both.size


@pytest.fixture
def numbers() -> Iterator[int]:
    """Numbers of the data sets; the one that fails is the last one printed."""
    return (print(f"seed {SEED}, data set {number}") or number for number in range(SETS))


def test_welchs_interval_and_p_agree(numbers: Iterator[int]) -> None:
    for number in numbers:
        _welch(*data(number))


def test_spreads_agree(numbers: Iterator[int]) -> None:
    for number in numbers:
        _spread(*data(number))


def test_exact_u_agrees(numbers: Iterator[int]) -> None:
    for number in numbers:
        _ranks(*data(number))


def test_paired_t_and_exact_signed_ranks_agree(numbers: Iterator[int]) -> None:
    for number in numbers:
        _paired(*pairs(number))


def _welch(b: Values, t: Values) -> None:
    expected, found = stats.ttest_ind(t, b, equal_var=False), st.welch(b, t)
    close_interval(found, *expected.confidence_interval(0.95))
    close(found.df, expected.df)
    close(2 * stats.t.sf(abs(found.value) / found.error, found.df), expected.pvalue)
    close_interval(st.mean_interval(t), *stats.ttest_1samp(t, 0).confidence_interval(0.95))


def _spread(b: Values, t: Values) -> None:
    ends = (t.size - 1) * t.var(ddof=1) / stats.chi2.ppf((0.975, 0.025), t.size - 1)
    close(st.sd_interval(t, method="chi-square").ends, np.sqrt(ends))
    levene, found = stats.levene(b, t, center="median"), sig.brown_forsythe(b, t)
    close(found.statistic, levene.statistic)
    close(found.p, levene.pvalue)


def _ranks(b: Values, t: Values) -> None:
    found = sig.mann_whitney_exact(b, t)
    assert found.statistic == stats.mannwhitneyu(t, b).statistic
    if distinct(b, t):  # SciPy's exact p assumes that there are no ties
        close(found.p, stats.mannwhitneyu(t, b, method="exact").pvalue)


def _paired(b: Values, t: Values) -> None:
    expected, found = stats.ttest_rel(t, b), st.paired_difference(b, t)
    close_interval(found, *expected.confidence_interval(0.95))
    close(2 * stats.t.sf(abs(found.value) / found.error, found.df), expected.pvalue)
    differences = st.run_differences(b, t)
    if distinct(np.abs(differences)) and np.all(differences):
        close(sig.signed_rank_exact(b, t).p, stats.wilcoxon(differences, method="exact").pvalue)


def test_the_verdict_equivalent_is_that_of_two_one_sided_tests(numbers: Iterator[int]) -> None:
    for number in numbers:
        _equivalence(*data(number))


def _equivalence(b: Values, t: Values) -> None:
    found = st.welch(b, t)
    for effect in (0.5 * abs(found.value), abs(found.value) + found.error, abs(found.value) + 3 * found.error):
        p, *_ = CompareMeans(DescrStatsW(t), DescrStatsW(b)).ttost_ind(-effect, effect, usevar="unequal")
        if min(b.size, t.size) >= verdicts.RUNS and abs(p - 0.05) > 1e-9:
            assert (verdicts.verdict(b, t, effect) == verdicts.EQUIVALENT) == (p < 0.05)


def test_corrections_and_intervals_of_shares_agree(numbers: Iterator[int]) -> None:
    for number in numbers:
        _corrections(np.random.default_rng([SEED, number, 1]))


def _corrections(rng: np.random.Generator) -> None:
    p = np.round(rng.beta(0.3, 1, rng.integers(1, 60)), rng.integers(1, 12))
    for own, method in ((sig.benjamini_hochberg, "bh"), (sig.benjamini_yekutieli, "by")):
        close(own(p), stats.false_discovery_control(p, method=method))
    if p.size < 8:  # statsmodels takes a tenth of a second for Holm's correction
        close(sig.holm(p), multipletests(p, method="holm")[1])
    n = int(rng.integers(1, 65))
    k = int(rng.integers(0, n + 1))
    close(risk.clopper_pearson(k, n).ends, proportion_confint(k, n, method="beta"))


def test_the_data_have_few_and_many_runs_with_and_without_ties() -> None:
    sets = [data(number) for number in range(SETS)]
    assert min(min(b.size, t.size) for b, t in sets) == 3 and max(max(b.size, t.size) for b, t in sets) == 30
    assert SETS / 3 < sum(distinct(b, t) for b, t in sets) < SETS
