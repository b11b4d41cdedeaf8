"""Four fifths and overlap of units: companions of the rule against SciPy, statsmodels and exact fractions."""

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as some
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportions_ztest

from fitlib.metrics import unit_overlap
from fitlib.metrics.counts import count
from fitlib.metrics.long_tables import counts_table
from fitlib.statistics import risk
from fitlib.tables import four_fifths
from tests.support.person_data import persons_of, plan_of, predictions, simulated

pytestmark = pytest.mark.filterwarnings("error")
quick = settings(max_examples=60, deadline=None)
groups = some.lists(some.integers(1, 14), min_size=2, max_size=4)


def risk_of(plan: dict, persons: bool = True, **techniques) -> pd.DataFrame:
    parts = [
        counts_table(name, "ulp", 0, p.runs, count(p, "sex"), p.multilabel, "sex") for name, p in techniques.items()
    ]
    found = persons_of(2, **techniques) if persons else None
    return four_fifths.risk(pd.concat(parts), plan, (), None, found)


# Tests of two groups


@quick
@given(some.integers(1, 12), some.integers(1, 12), some.data())
def test_fisher_is_the_sum_of_tables_no_more_likely(n_a: int, n_b: int, data) -> None:
    q_a, q_b = data.draw(some.integers(0, n_a)), data.draw(some.integers(0, n_b))
    weights = {a: comb(n_a, a) * comb(n_b, q_a + q_b - a) for a in range(n_a + 1) if 0 <= q_a + q_b - a <= n_b}
    exact = Fraction(sum(w for w in weights.values() if w <= weights[q_a]), sum(weights.values()))
    found = four_fifths.fisher(np.array([[q_a, q_b]]), np.array([n_a, n_b]))
    assert found[0] == pytest.approx(float(exact), rel=1e-9)


def test_fisher_agrees_with_scipy_for_all_runs_at_once() -> None:
    rng, size = np.random.default_rng(0), np.array([1500, 320])
    selected = np.stack([rng.binomial(n, 0.3, 8) for n in size], axis=1)
    expected = [stats.fisher_exact([[a, 1500 - a], [b, 320 - b]])[1] for a, b in selected]
    assert four_fifths.fisher(selected, size).tolist() == pytest.approx(expected)


def test_two_sd_agrees_with_statsmodels() -> None:
    rng, size = np.random.default_rng(1), np.array([90, 210])
    selected = np.stack([rng.binomial(n, 0.4, 10) for n in size], axis=1)
    expected = [proportions_ztest(row[::-1], size[::-1])[0] for row in selected]
    assert four_fifths.two_sd(selected, size).tolist() == pytest.approx(expected)
    assert four_fifths.two_sd(np.array([[0, 0], [90, 210]]), size).tolist() == [0, 0]


@quick
@given(some.integers(0, 30), some.integers(0, 30))
def test_mcnemar_agrees_with_statsmodels(b: int, c: int) -> None:
    expected = mcnemar([[5, b], [c, 7]], exact=True).pvalue if b + c else 1.0
    assert unit_overlap.mcnemar(np.array([b]), np.array([c]))[0] == pytest.approx(expected)
    if b + c:
        z = mcnemar([[5, b], [c, 7]], exact=False, correction=False).statistic ** 0.5
        assert abs(unit_overlap.paired_z(b, c)) == pytest.approx(z)
    assert unit_overlap.paired_z(b, c) == -unit_overlap.paired_z(c, b)


# One person


@quick
@given(groups, some.data())
def test_one_person_turns_the_rule_exactly_where_fractions_say_so(size: list[int], data) -> None:
    selected = [data.draw(some.integers(0, n)) for n in size]

    def below(q: list[int]) -> bool | None:
        rates = [Fraction(a, n) for a, n in zip(q, size, strict=True)]
        return min(rates) / max(rates) < Fraction(4, 5) if max(rates) else None

    assume(below(selected) is not None)
    one = [[*selected[:g], selected[g] + step, *selected[g + 1 :]] for g in range(len(size)) for step in (-1, 1)]
    possible = [q for q in one if all(0 <= a <= n for a, n in zip(q, size, strict=True)) and below(q) is not None]
    literal = any(below(q) != below(selected) for q in possible)
    assert four_fifths.flips(np.array([selected]), np.array(size))[0] == literal


def test_runs_without_a_verdict_are_not_turned() -> None:
    size = np.array([10, 10, 0])
    assert four_fifths.flips(np.array([[0, 0, 0], [1, 1, 0], [5, 4, 0]]), size).tolist() == [False, True, True]


# Claims


@pytest.mark.parametrize(
    ("p", "confidence", "n"), [(0.05, 0.95, 59), (0.01, 0.95, 299), (0.1, 0.9, 22), (0.5, 0.75, 2)]
)
def test_clean_runs_needed(p: float, confidence: float, n: int) -> None:
    assert four_fifths.clean_runs_needed(p, confidence) == n
    ends = [risk.clopper_pearson(0, m, 2 * confidence - 1).high for m in (n, n - 1)]
    assert ends[0] <= p + 1e-12 < ends[1]


def test_clean_runs_need_a_share_between_0_and_1() -> None:
    for p, confidence in ((0, 0.95), (1, 0.95), (0.05, 1), (0.05, 0)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            four_fifths.clean_runs_needed(p, confidence)
    assert four_fifths.clean_runs_needed(1e-9) == pytest.approx(2.9957e9, rel=1e-4)


# Which groups, which test


def test_the_extreme_groups_have_members_and_differ() -> None:
    assert unit_overlap.extreme_groups(np.array([[1, 0, 5], [1, 0, 7]]), np.array([10, 0, 20])) == (0, 2)
    assert unit_overlap.extreme_groups(np.array([[3, 3]]), np.array([6, 6])) == (0, 1)
    assert unit_overlap.extreme_groups(np.array([[6, 3]]), np.array([6, 6])) == (1, 0)
    assert unit_overlap.extreme_groups(np.array([[6, 0]]), np.array([6, 0])) is None


def test_designs_of_units() -> None:
    group = np.array([0, 0, 1, 1])
    cases = {"independent": (None, [1, 2, 3, 4]), "paired": ([7, 9, 9, 7],), "repeated": ([1, 1, 2, 3], [1, 2, 2, 3])}
    for expected, unit_lists in cases.items():
        for unit in unit_lists:
            found = unit_overlap.design_of(None if unit is None else np.array(unit), group, (0, 1))
            assert found == expected


def test_discordant_units_are_matched_by_unit_not_by_row() -> None:
    group, unit = np.array([1, 0, 0, 1, 0, 1]), np.array([3, 1, 2, 1, 3, 2])
    chosen = np.array([[1, 1, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1]], dtype=bool)
    b, c = unit_overlap.discordant_counts(chosen, unit, group, (0, 1))
    assert (b.tolist(), c.tolist()) == ([1, 0], [1, 1])  # run 0: unit 1 in group 0 only, unit 2 in group 1 only


def test_paired_units_are_never_tested_as_independent() -> None:
    rng = np.random.default_rng(0)
    first = rng.random((8, 120)) < 0.5
    second = first | (rng.random((8, 120)) < 0.1)  # the same persons, a few more selected: discordant in one direction
    both = np.concatenate([first, second], axis=1).astype(int)
    group, unit = np.repeat([0, 1], 120), np.tile(np.arange(120), 2)
    plan, truth = plan_of(("A",), favourable=1), np.zeros(240, dtype=int)
    paired = risk_of(plan, A=predictions(both, truth, group, unit)).iloc[1]
    rows = risk_of(plan, A=predictions(both, truth, group)).iloc[1]
    alone = (second & ~first).sum(axis=1)
    assert paired["significant"] == (2 * 0.5**alone < 0.05).sum() >= 5
    assert paired["test"].startswith("McNemar") and rows["test"].startswith("Fisher") and rows["significant"] < 2


@pytest.mark.parametrize(("unit", "persons", "why"), [(0, True, "repeat within"), (1, False, "not known whether")])
def test_without_a_fitting_test_there_is_none(unit: int, persons: bool, why: str) -> None:
    p = simulated(0)
    p = predictions(p.prediction, p.ground_truth, p.protected["sex"], None if unit else np.arange(400) // 4)
    row = risk_of(plan_of(("A",), favourable=1), persons, A=p).iloc[1]
    assert row["test"] == "" and pd.isna(row["significant"]) and why in row["note"] and row["lowest_group"] != ""


# The table


def test_the_table_names_the_group_that_is_selected_less() -> None:
    p = simulated(0)
    table = risk_of(plan_of(("A",), favourable=1), A=p)
    landmark, row = table.iloc[0], table.iloc[1]
    rates = [p.prediction[:, p.protected["sex"] == g].mean() for g in (0, 1)]
    assert (row["lowest_group"], row["disadvantaged"], row["highest_group"]) == ("men", "men", "women")
    assert row[["rate_lowest", "rate_highest"]].tolist() == pytest.approx(rates[::-1])
    sizes = np.bincount(p.protected["sex"])
    assert row[["size_lowest", "size_highest"]].tolist() == sizes[::-1].tolist()
    selected = np.array([[(run[p.protected["sex"] == g]).sum() for g in (0, 1)] for run in p.prediction])
    assert row["significant"] == (four_fifths.fisher(selected, sizes) < 0.05).sum()
    assert row["beyond_two_sd"] == (np.abs(four_fifths.two_sd(selected, sizes)) > 2).sum()
    assert row["flips"] == four_fifths.flips(selected, sizes).sum()
    assert (landmark["disadvantaged"], landmark["test"], landmark["note"]) == ("", "", "")


def test_no_group_is_disadvantaged_where_rates_are_equal() -> None:
    same = np.tile([0, 1], 40)[None].repeat(6, axis=0)
    p = predictions(same, np.zeros(80, dtype=int), np.arange(80) // 2 % 2)
    assert risk_of(plan_of(("A",), favourable=1), A=p).iloc[1]["disadvantaged"] == ""


def test_groups_under_2_per_cent_are_flagged_in_integers() -> None:
    for small, flagged in ((20, ""), (19, "men")):  # of 1000: 2 % is not under 2 %
        group = (np.arange(1000) < small).astype(int)
        p = predictions(np.tile([0, 1], 500)[None].repeat(3, axis=0), np.zeros(1000, dtype=int), group)
        assert risk_of(plan_of(("A",), favourable=1), A=p)["small_groups"].tolist() == [flagged] * 2


def test_the_extremes_of_many_groups_carry_a_warning() -> None:
    p = predictions(simulated(0).prediction, np.zeros(400, dtype=int), groups=3)
    row = risk_of(plan_of(("A",), favourable=1, groups=("a", "b", "c")), A=p).iloc[1]
    assert "chosen as the extremes of more than two" in row["note"] and row["test"].startswith("Fisher")


def test_one_group_only_has_a_defined_answer() -> None:
    p = predictions(simulated(0).prediction, np.zeros(400, dtype=int), np.zeros(400, dtype=int))
    row = risk_of(plan_of(("A",), favourable=1), A=p).iloc[1]
    assert row["n"] == 0 and "fewer than two have members" in row["note"] and pd.isna(row["rate_lowest"])


def test_all_companions_of_all_designs_are_text_or_numbers() -> None:
    for favourable, persons in itertools.product((None, 0, 1), (True, False)):
        table = risk_of(plan_of(("A",), favourable=favourable), persons, A=simulated(0))
        assert table["flips"].notna().all() and table["disadvantaged"].ne("").sum() == (favourable is not None)
