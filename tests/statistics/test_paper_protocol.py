"""Protocol `paper` on simulated samples: rounding, the side of the test, and notes about degenerate samples."""

import warnings
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fitlib.statistics import paper_protocol
from fitlib.statistics.estimates import cohens_d
from fitlib.statistics.paper_protocol import accuracy, compare, four_digits, label, overlap, summary

RUNS, CLASSES = 16, 5
TWO = {"Base": {"DP": np.r_[0.2, 0.3, 0.25, 0.28]}, "Other": {"DP": np.r_[0.1, 0.15, 0.12, 0.18]}}


@pytest.fixture(autouse=True)
def no_warnings():
    """No warning escapes the protocol, whatever it is given."""
    with warnings.catch_warnings(action="error"):
        yield


@pytest.fixture
def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0.2, 0.01, RUNS), rng.normal(0.15, 0.03, RUNS)


# Rounding


def test_r4_rounds_ties_to_even_and_takes_the_exact_binary_value():
    assert four_digits(1.0625 + 2**-30) == Decimal("1.063")
    assert four_digits(1.0625) == Decimal("1.062")  # exact tie
    assert four_digits(3.0625) == Decimal("3.062")
    assert four_digits(1.1875) == Decimal("1.188")  # exact tie, odd before
    assert four_digits(1.0005) == Decimal("1.000")  # as a float a little less than the tie
    assert four_digits(0.0) == 0


@given(st.floats(1e-300, 1e300))
def test_r4_agrees_with_formatting_to_four_significant_digits(x):
    assert four_digits(x) == Decimal(f"{x:.3e}")


def test_labels_take_p_of_five_percent_and_nan_as_significant():
    assert label(0.05, 1, 2) == "+"
    assert label(np.nextafter(0.05, 1), 1, 2) == "NS"
    assert label(np.nan, 2, 1) == label(0.01, 1, 1) == "-"


# Two samples


def test_the_mean_test_is_one_sided_towards_the_observed_means(samples):
    b, t = samples
    assert compare(b, t).p_mean == stats.mannwhitneyu(b, t, alternative="greater").pvalue
    assert compare(t, b).p_mean == stats.mannwhitneyu(t, b, alternative="less").pvalue


def test_the_variance_test_is_about_medians_of_values_over_the_rounded_mean(samples):
    b, t = samples
    result = compare(b, t)
    x, y = b / float(result.mean_baseline), t / float(result.mean_technique)
    assert result.p_variance == stats.levene(x, y, center="median").pvalue
    assert float(result.variance_technique) == pytest.approx(np.var(y, ddof=1), rel=1e-3)
    assert result.label_variance == "+"


def test_swapping_the_two_swaps_labels_and_the_sign_of_d(samples):
    one, other = compare(*samples), compare(*samples[::-1])
    assert (one.label_mean, other.label_mean) == ("-", "+")
    assert (one.label_variance, other.label_variance) == ("+", "-")
    assert one.d == -other.d > 0
    assert one.p_variance == pytest.approx(other.p_variance)


def test_d_is_positive_where_bias_fell_and_where_accuracy_rose(samples):
    b, t = samples
    assert compare(b, t).d == pytest.approx(-cohens_d(b, t).value)
    assert accuracy(b, t).d == pytest.approx(cohens_d(b, t).value)


@pytest.mark.parametrize("scale", [2.0**-7, 8.0, 100.0])
def test_judgements_do_not_depend_on_the_unit(samples, scale):
    b, t = samples
    one, other = compare(b, t), compare(scale * b, scale * t)
    assert (one.label_mean, one.label_variance) == (other.label_mean, other.label_variance)
    assert other.d == pytest.approx(one.d)
    assert other.p_variance == pytest.approx(one.p_variance, rel=1e-2)  # means are of rounded values


def test_a_lower_mean_alone_raises_the_published_variance_and_not_the_raw_one(samples):
    b = samples[0]
    result = compare(b, b - 0.15)
    assert result.label_variance == "+"
    assert paper_protocol.raw_variances(b, b - 0.15)[3] == "NS"


def test_a_constant_baseline_makes_every_variance_label_a_plus(samples):
    result = compare(np.full(RUNS, 0.3), samples[0])
    assert (result.variance_baseline, result.label_variance) == (0, "+")
    assert 0 < result.p_variance < 0.05


def test_two_constants_count_as_significant_and_print_no_nan():
    overall = {"Base": {"DP": np.full(RUNS, 0.1)}, "Other": {"DP": np.full(RUNS, 0.2)}}
    result = compare(overall["Base"]["DP"], overall["Other"]["DP"])
    assert np.isnan(result.p_variance)
    assert (result.label_mean, result.label_variance, result.d) == ("+", "-", -np.inf)
    cells = paper_protocol.stat_tests_frame(overall, {"Other": "Base"}).iloc[0].tolist()
    assert cells[5] == "not estimable" and cells[8] == "not estimable (-)"
    assert not any("nan" in cell.lower() or "inf" in cell.lower() for cell in cells)


@pytest.mark.parametrize(
    ("technique", "reason"),
    [([0.1], "fewer than 2 runs"), ([], "fewer than 2 runs"), ([0.1, np.nan, 0.2], "a value is undefined")],
)
def test_what_cannot_be_tested_has_no_label_and_says_why(technique, reason):
    b = np.r_[0.1, 0.2, 0.3]
    for result in (compare(b, technique), accuracy(b, technique), compare(technique, b)):
        assert result.label_mean == result.label_variance == ""
        assert reason in result.note


def test_a_mean_of_zero_leaves_the_mean_test_and_no_variance_test():
    result = compare(np.zeros(RUNS), np.linspace(0.1, 0.2, RUNS))
    assert (result.label_mean, result.label_variance) == ("+", "")
    assert "mean of 0" in result.note
    assert accuracy(np.zeros(RUNS), np.ones(RUNS)).label_variance == ""


def test_ties_throughout_and_unequal_run_counts_have_an_answer():
    result = compare(np.tile([0.1, 0.2], 8), np.tile([0.1, 0.2], 5))
    assert (result.label_mean, result.label_variance) == ("NS", "NS")


def test_quirk_q7_turns_the_sign_of_accuracy_variance_in_percent_and_not_in_shares():
    rng = np.random.default_rng(1)
    b, t = rng.normal(0.9, 0.002, RUNS), rng.normal(0.85, 0.02, RUNS)
    in_percent, in_shares = accuracy(100 * b, 100 * t), accuracy(b, t)
    assert (in_percent.label_variance, in_percent.label_variance_raw) == ("-", "+")
    assert (in_shares.label_variance, in_shares.label_variance_raw) == ("+", "+")


# Ranges and summaries


def test_overlap_is_strict_symmetric_and_asks_for_the_smaller_end_only():
    assert overlap(np.r_[1, 3], np.r_[2, 4]) and overlap(np.r_[2, 4], np.r_[1, 3])
    assert overlap(np.r_[1, 9], np.r_[2, 3])
    assert not overlap(np.r_[1, 2], np.r_[2, 3])  # they touch
    assert not overlap(np.r_[1, 3], np.r_[1, 3])  # the same
    assert not overlap(np.r_[1.00001, 3], np.r_[1.00002, 3])  # the same to four digits


def test_overlap_is_bad_where_bias_rose_as_well():
    rng = np.random.default_rng(2)
    low, high = rng.uniform(0.1, 0.3, 30), rng.uniform(0.2, 0.4, 30)
    overall = {"Base": {"DP": low}, "Up": {"DP": high}, "Same": {"DP": low + 0.001}}
    frame = paper_protocol.overlap_frame(overall, {"Up": "Base", "Same": "Base"})
    assert frame["overlap"].tolist() == [True, True]
    assert frame["overlap_bad"].tolist() == [True, False]


def test_a_summary_is_of_the_overall_value_and_of_the_first_class_that_varies_most():
    per_class = np.array([[0.1, 0.20, 0.5, 0.4], [0.1, 0.24, 0.54, 0.4]])
    cells = summary(per_class, per_class.mean(axis=1))
    assert cells[:5] == ["31.0", "32.0", "30.0", "2.0", "1.0"]
    assert cells[5:] == ["22.0", "24.0", "20.0", "4.0", "2.0"]


def test_summaries_print_zero_for_exact_zero_only():
    cells = summary(np.full((RUNS, 2), 0.25), 0.5 + 1e-5 * np.arange(RUNS))
    assert cells[3:5] == ["<0.1", "<0.1"]
    assert cells[8:] == ["0.0", "0.0"]


def test_an_undefined_class_is_not_the_one_that_varies_most():
    per_class = np.column_stack([np.full(RUNS, np.nan), np.linspace(0.1, 0.2, RUNS)])
    assert summary(per_class, np.full(RUNS, np.nan)) == ["not estimable"] * 5 + ["15.0", "20.0", "10.0", "10.0", "3.1"]
    assert summary(np.empty((0, 2)), np.empty(0)) == ["not estimable"] * 10


# Tables


def test_any_experiment_gets_the_study_s_tables():
    per_class = {t: {"DP": np.column_stack([m["DP"], 2 * m["DP"]])} for t, m in TWO.items()}
    tests, raw = paper_protocol.stat_tests_frame(TWO, {"Other": "Base"}), paper_protocol.raw_data_frame(TWO, per_class)
    assert tests.columns.tolist() == list(paper_protocol.STAT_TESTS)
    assert tests.iloc[0].tolist()[:3] == ["Other", "DP", "0.257500"]
    assert raw.iloc[:, 0].tolist() == ["Base", "Other"]
    assert raw.iloc[1].tolist()[2:6] == ["13.8", "18.0", "10.0", "8.0"]


def test_a_technique_is_named_in_its_first_row_only():
    overall = {t: {"DP": m["DP"], "DI": m["DP"]} for t, m in TWO.items()}
    frame = paper_protocol.stat_tests_frame(overall, {"Other": "Base"})
    assert frame.iloc[:, :2].values.tolist() == [["Other", "DP"], ["", "DI bar"]]


def test_costs_count_only_where_bias_fell_and_regions_add_up():
    rng = np.random.default_rng(3)
    overall = {"Base": {"DP": rng.normal(0.2, 0.01, RUNS), "BA": rng.normal(0.2, 0.01, RUNS)}}
    overall["Other"] = {"DP": rng.normal(0.1, 0.03, RUNS), "BA": rng.normal(0.3, 0.05, RUNS)}
    performance = {"Base": rng.normal(0.9, 0.001, RUNS), "Other": rng.normal(0.8, 0.02, RUNS)}
    costs = paper_protocol.costs_frame(overall, performance, {"Other": "Base"})
    assert costs["bias_decrease"].tolist() == [True, False] * 2
    assert costs.loc[costs["bias_decrease"], [*paper_protocol.COSTS, "any"]].all(axis=None)
    assert not costs.loc[~costs["bias_decrease"], [*paper_protocol.COSTS, "any"]].any(axis=None)
    venn = paper_protocol.venn_frame(costs)
    assert venn.groupby("judged")["pairs"].sum().tolist() == [1, 1]
    assert venn.loc[venn["pairs"] == 1, list(paper_protocol.COSTS)].all(axis=None)


def test_undefined_values_reach_every_table_without_a_warning():
    overall = {"Base": {"DP": np.full(RUNS, np.nan)}, "Other": {"DP": np.linspace(0.1, 0.2, RUNS)}}
    performance = {"Base": np.empty(0), "Other": np.linspace(0.8, 0.9, RUNS)}
    baselines = {"Other": "Base"}
    assert not paper_protocol.costs_frame(overall, performance, baselines)[[*paper_protocol.COSTS, "any"]].any(
        axis=None
    )
    row = paper_protocol.overlap_frame(overall, baselines).iloc[0]
    assert not row["overlap"] and "a value is undefined" in row["note"]
    cells = paper_protocol.stat_tests_frame(overall, baselines).iloc[0].tolist()
    assert not any("nan" in cell.lower() for cell in cells)
