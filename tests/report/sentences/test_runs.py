"""Each sentence about runs, spread and risk on an input in which a careless one would be wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fitlib.formatting import span
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.report.sentences import comparisons as comparison_sentences
from fitlib.report.sentences import impact as impact_sentences
from fitlib.report.sentences import limits as limit_sentences
from fitlib.report.sentences import runs as run_sentences
from fitlib.report.sentences import verdicts as verdict_sentences
from fitlib.report.vocabulary import combinations
from fitlib.tables import runs_and_summary
from tests.support.report_examples import constant, digest, experiment, with_parts
from tests.support.table_examples import compare, drawn, long_table, metrics_of, plan, technique

pytestmark = pytest.mark.filterwarnings("error")

PLAN = plan(technique("Base", None), technique("Fair"))


def values_of(runs: np.ndarray) -> np.ndarray:
    """Values (7, runs, 3) in which every metric and class is that of the run."""
    return np.broadcast_to(np.asarray(runs, dtype=float)[None, :, None], (7, len(runs), 3)).copy()


def compared(baseline: np.ndarray, fair: np.ndarray, **analysis: object) -> pd.DataFrame:
    """Comparisons in which every metric has these values of the runs, so that DP stands for all."""
    declared = plan(technique("Base", None), technique("Fair"), **analysis)
    return compare(metrics_of(Base=values_of(baseline), Fair=values_of(fair)), declared)


def summary_of(**values: np.ndarray) -> pd.DataFrame:
    return runs_and_summary.summary(metrics_of(**values), plan(*map(technique, values)))


# The largest difference, constant values, the next run


def test_the_largest_difference_is_one_of_overall_values_not_of_classes():
    values = values_of([0.25, 0.25, 0.25, 0.25])
    values[0, 1] = 0.125, 0.25, 0.375  # the classes swap their values, their mean stays
    values[0, 2] = 0.375, 0.25, 0.125
    table = summary_of(Base=values)
    assert table.loc[table["target"] != "overall", "maxdiff"].max() > 0.1
    assert run_sentences.largest_difference(table, plan(technique("Base", None))) == [
        "Every overall value was constant in all 4 runs."
    ]
    (other,) = run_sentences.largest_difference(summary_of(Base=drawn(1)), plan(technique("Base", None)))
    assert other.endswith("(MaxDiff), is the largest found among overall values.")


def test_a_value_undefined_in_some_run_does_not_range_over_all_runs():
    values = values_of([0.1, 0.2, 0.9, 0.3])
    values[:, 2] = np.nan
    values[1:] = np.nan
    (text,) = run_sentences.largest_difference(summary_of(Base=values), plan(technique("Base", None)))
    assert "ranged from 10.00 to 30.00 points over the 3 runs in which it is defined" in text


def test_a_range_over_changing_classes_says_so():
    values = drawn(3)
    values[0] += np.arange(8)[:, None] / 50  # DP ranges widest
    values[0, 2, 1] = np.nan
    (text,) = run_sentences.largest_difference(summary_of(Base=values), plan(technique("Base", None)))
    assert text.startswith("The DP (") and text.endswith(" A run counts the classes that are defined in it.")


def test_runs_that_are_not_fit_limit_what_the_largest_difference_covers():
    found = with_parts(experiment(), "S-T1", 2, initial_weights=digest("another start"))
    (text,) = run_sentences.largest_difference(found.summary, found.plan, found.evidence)
    assert text.endswith("is the largest found among overall values of FIT runs.")
    (usual,) = run_sentences.largest_difference(found.summary, found.plan)
    assert usual.endswith("is the largest found among overall values.")


def test_two_runs_without_a_defined_value_are_not_called_missing_runs():
    table = summary_of(Base=np.full((7, 8, 3), np.nan))
    (text,) = run_sentences.largest_difference(table, plan(technique("Base", None)))
    assert text.endswith("no technique has two FIT runs in which a bias metric is defined.")


def test_constant_values_are_named_with_the_runs_in_which_they_are_defined():
    values = drawn(2)
    values[0] = 0.25
    values[1, :, :] = 0.5
    values[1, 3] = np.nan
    assert run_sentences.constants(summary_of(Base=values)) == [
        "Base: the overall value of DP was constant in all 8 runs.",
        "Base: the overall value of DI was constant in all 7 runs in which it is defined.",
    ]
    both = run_sentences.constants(summary_of(Base=np.repeat(values[:2, :1], 8, axis=1)[[0, 1, 0, 0, 0, 0, 0]]))
    assert both == ["Base: the overall values of DP, DI, SPSF, FPSF, EOFP, EOTP and BA were constant in all 8 runs."]


def test_one_run_is_never_called_constant():
    table = summary_of(Base=drawn(1, runs=1))
    assert run_sentences.constants(table) == [] and run_sentences.next_run(table) == ""


def test_the_next_run_is_one_overall_value_with_at_least_a_probability():
    text = run_sentences.next_run(summary_of(Base=values_of([0.1, 0.2, 0.1])))
    assert "any one overall value falls within the range" in text and "0.50 (n = 3), or more where runs have" in text


def test_the_next_run_of_the_widest_value_has_its_prediction_interval():
    rng = np.random.default_rng(0)
    wide, narrow = (values_of((0.3 + sd * rng.standard_normal(8)).tolist()) for sd in (0.05, 0.001))
    table = summary_of(Base=narrow, Fair=wide)
    row = table[(table["technique"] == "Fair") & (table["target"] == "overall") & (table["metric"] == "DP")].iloc[0]
    text = run_sentences.next_run(table)
    assert "For the DP of Fair, which varies most" in text
    assert f"{span(row['next_low'], row['next_high'])} points (normal runs)" in text
    assert "prediction interval" not in run_sentences.next_run(table.assign(next_low=np.nan))


# Missing intervals and undefined values


def test_a_technique_defined_in_one_run_is_not_said_to_have_one_run():
    values = drawn(1)
    values[1, 1:] = np.nan  # DI is defined in the first of 8 runs
    assert run_sentences.intervals(summary_of(Base=values)) == []
    (single,) = run_sentences.intervals(summary_of(Base=drawn(1, runs=1)))
    # Clopper-Pearson's interval of a risk exists even for one run
    assert single == "Base: 1 run, so no standard deviation and no interval of a mean is estimable."


def test_one_run_in_one_arm_names_the_arm():
    two = plan(technique("Base", None), arms=[experiment().plan["arms"][0], {**PLAN["arms"][0], "arm": "other"}])
    long = pd.concat([long_table("Base", drawn(1, runs=1)), long_table("Base", drawn(2), "other")])
    (single,) = run_sentences.intervals(runs_and_summary.summary(long, two))
    assert single.startswith("Base (arm ulp): 1 run,")


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_fewer_than_five_runs_have_no_interval_of_the_sd(n: int):
    assert run_sentences.intervals(summary_of(Base=drawn(1, runs=n))) == (
        [f"With {n} runs the interval of the standard deviation is not estimable (5 needed)."] if n < 5 else []
    )


def test_nothing_is_said_to_be_defined_where_there_is_no_class():
    table = summary_of(Base=drawn(1))
    assert run_sentences.undefined_values(table, PLAN) == "Every metric of every class was defined in every run."
    assert run_sentences.undefined_values(table.iloc[:0], PLAN) == ""
    values = drawn(1)
    values[4, 2, 1] = np.nan
    text = run_sentences.undefined_values(summary_of(Base=values), PLAN)
    assert text.startswith("1 class (dog) had undefined values of EOFP in some run, for lack of cases predicted as")


# Spread


def test_the_direction_of_a_spread_is_that_of_what_the_test_compares():
    """Brown-Forsythe finds more spread where the standard deviation is smaller."""
    steps = np.linspace(-1e-4, 1e-4, 15)
    baseline = np.r_[0.1 + steps, 0.18]
    fair = 0.1 + np.tile([-0.0192, 0.0192], 8) + np.arange(16) * 1e-5
    table = compared(baseline, fair)
    row = table[table["metric"] == "DP"].iloc[0]
    assert row["p_variance_raw_holm"] < 0.05 and row["sd_technique"] < row["sd_baseline"]
    (text,) = comparison_sentences.spread(table, PLAN)
    assert "Fair varies more between runs than Base on DP" in text
    assert "mean distance from the median 1.92 points (standard deviation 1.98) against 0.50 points (standard" in text


def test_a_constant_arm_varies_less_without_a_zero():
    table = compared(np.linspace(0.1, 0.3, 16), np.full(16, 0.2))
    (text,) = comparison_sentences.spread(table, PLAN)
    assert "Fair varies less between runs than Base" in text and "none (constant in all 16 runs) against 5.33" in text


def test_an_infinite_statistic_names_the_permutation():
    table = compared(np.full(8, 0.2), np.tile([0.1, 0.3], 4))
    (text,) = comparison_sentences.spread(table, PLAN)
    assert "(Brown-Forsythe on raw values; the statistic is infinite, p by exact permutation, p = " in text
    assert "against none (constant in all 8 runs)" in text and "inf" not in text.replace("infinite", "")


def test_paired_spreads_are_said_to_be_paired():
    shared = plan(technique("Base", None, "one"), technique("Fair", training="one"))
    long = metrics_of(Base=values_of(np.linspace(0.19, 0.21, 16)), Fair=values_of(np.linspace(0.1, 0.3, 16)))
    (text,) = comparison_sentences.spread(compare(long, shared), shared)
    assert "(Brown-Forsythe on raw values, paired by run, p = " in text


def test_three_runs_have_a_test_of_spread_but_no_verdict():
    table = compared([0.1, 0.2, 0.3], [0.1, 0.25, 0.3])
    (text,) = comparison_sentences.spread(table, PLAN)
    assert text.startswith("No difference in spread was shown in 1 of 1 test; the power") and "corrected α" in text


def test_no_test_of_spread_is_claimed_for_two_runs():
    (text,) = comparison_sentences.spread(compared([0.1, 0.2], [0.1, 0.3]), PLAN)
    assert text.startswith("No test of the spread was possible")


# Few runs against many


@pytest.mark.parametrize(("few", "many", "warned"), [(2, 16, True), (3, 8, True), (3, 6, False), (4, 16, False)])
def test_few_runs_against_many_are_warned_of(few: int, many: int, warned: bool):
    rng = np.random.default_rng(0)
    table = compared(rng.normal(0.3, 0.01, many), rng.normal(0.3, 0.01, few))
    assert (
        comparison_sentences.unequal_arms(table)
        == [
            f"Intervals of the difference from Base are too narrow for Fair: with {few} runs against {many} they cover "
            "the true difference less often than in 95 %."
        ]
        * warned
    )
    assert bool(set(comparison_sentences.unequal_arms(table)) & set(comparison_sentences.accuracy(table))) == warned


# Accuracy


def test_the_accuracy_of_runs_that_are_not_fit_is_not_compared():
    found = with_parts(experiment(), "S-T1", 2, initial_weights=digest("another start"))
    (text,) = comparison_sentences.accuracy(found.comparisons)
    assert text.startswith("Accuracy of S-T2:")


def test_accuracies_without_an_interval_are_counted_apart():
    rows = experiment().comparisons.query("metric == 'accuracy'").head(1)
    many = pd.concat([rows.assign(technique=f"T{i}", difference_low=0.01, difference_high=0.02) for i in range(7)])
    many.iloc[0, [many.columns.get_loc(name) for name in ("difference_low", "difference_high")]] = np.nan
    (text,) = comparison_sentences.accuracy(many)
    assert "higher than the baseline's in 6 and lower in 0 of 7 comparisons" in text and "; 1 without an inter" in text


# Redundant metrics, classes left out


def test_a_primary_metric_without_a_value_is_named_in_the_refusal():
    undefined = drawn(1, 0.2)
    undefined[1] = np.nan
    declared = plan(technique("Base", None), technique("Fair"), primary="DI")
    data = metrics_of(Base=drawn(0), Fair=undefined)
    table = compare(data, declared).assign(warnings="")
    (text, *_) = verdict_sentences.verdict(table, runs_and_summary.summary(data, declared), declared)
    assert text == (
        "At seed 0, on this test set, no verdict on Fair against Base on DI: too few runs, or no class defined in all "
        "of them."
    )


def test_a_metric_repeats_the_largest_of_its_set():
    values = {name: drawn(seed, runs=8) for seed, name in enumerate(("Base", "Fair"))}
    for of in values.values():
        of[5] = 4 * of[3]  # EOTP = 4 FPSF, and EOFP repeats FPSF
    text = comparison_sentences.redundant(compare(metrics_of(**values), PLAN))
    assert text == (
        "Metrics proportional in all runs count once, as the primary one or the largest in smallest effects. "
        "SPSF repeats DP, FPSF repeats EOTP and EOFP repeats EOTP."
    )


def test_classes_left_out_are_told_by_attribute_and_each_metric_once():
    base, fair, other = drawn(1), drawn(2), drawn(3)
    fair[1, 0, 2] = np.nan
    long = metrics_of(Base=base, Fair=fair)
    by_race = metrics_of(Base=base, Fair=other).assign(attribute="race")
    two = PLAN | {"groups": {"protected": ["a", "b"], "race": ["c", "d"]}}
    texts = comparison_sentences.dropped(compare(pd.concat([long, by_race]), two))
    assert texts == [
        "Fair (by protected) against Base leaves out class owl for DI: undefined in some run.",
        "Fair predicts class owl in a smaller share of its runs than Base: what is not predicted cannot look unfair.",
    ]


def test_more_runs_may_still_be_a_smaller_share():
    base, fair = drawn(1, runs=5), drawn(2, runs=16)
    fair[1, :8, 2] = np.nan  # DI of the class is defined in 8 runs of 16, of the baseline in 5 of 5
    (_, text) = comparison_sentences.dropped(compare(metrics_of(Base=base, Fair=fair), PLAN))
    assert "in a smaller share of its runs" in text and "fewer runs" not in text


# Reversals


def reversal_rows(**columns: object) -> pd.DataFrame:
    rows = experiment().comparisons
    rows = rows[rows["metric"].isin(BIAS_METRICS[:2])].head(2)
    return rows.assign(verdict="fairer", redundant_with="", family_size=2, reversal_note="Newcombe", **columns)


def test_the_highest_reversal_is_chosen_by_its_estimate_not_by_its_interval():
    rows = reversal_rows(reversal=[0.2, 0.1], reversal_low=[0.1, 0.0], reversal_high=[0.3, 0.6])
    (text,) = comparison_sentences.reversals(rows, experiment().plan)
    assert "with probability 0.20 [0.10, 0.30]" in text and "unadjusted interval of the difference excludes 0" in text


def test_directions_are_counted_among_reversals_that_were_computed():
    rows = reversal_rows(reversal=[0.2, np.nan], reversal_low=[0.1, np.nan], reversal_high=[0.3, np.nan])
    rows["reversal_note"] = ["Newcombe", "direction not established (up to ½)"]
    third = rows.tail(1).assign(metric="BA", reversal_note="not computed for techniques that share one training")
    assert comparison_sentences.reversals(pd.concat([rows, third]), experiment().plan)[1].startswith(
        "In 1 of 2 comparisons the"
    )


# Risk


def test_what_a_row_of_the_risk_is_about_names_arm_and_attribute_where_there_are_several():
    risk = experiment(attributes={"sex": ["f", "m"], "race": ["a", "b"]}).risk
    assert impact_sentences.landmark(risk, experiment().plan)[0].endswith(
        "of 18 combinations of technique, class and attribute."
    )
    assert combinations(1, risk[risk["attribute"] == "sex"], "technique", "class") == "1 pair of technique and class"


def test_the_riskiest_pair_has_its_undefined_runs_and_no_runs_that_are_not_fit():
    found = experiment()
    risk = found.risk.copy()
    top = risk["p_disagree"].idxmax()
    risk.loc[top, "n_undefined"] = 2
    name = risk.loc[top, "technique"]
    texts = impact_sentences.landmark(risk, found.plan)
    assert f"{name} had an impact ratio below 0.8" in texts[1] and "runs (it is undefined in 2 more) (prob" in texts[1]
    assert "Bonferroni's over 9 pairs of technique and class);" in texts[1] and "], likewise" in texts[1]
    without = impact_sentences.landmark(risk.assign(fit=risk["fit"].where(risk["technique"] != name, "no")), found.plan)
    assert f"{name} had" not in without[1]


def test_an_undefined_impact_ratio_is_not_blamed_on_nobody_predicted():
    found = experiment()
    texts = impact_sentences.landmark(found.risk.assign(n=0), found.plan)
    assert texts == [
        "The impact ratio is undefined in every run: no row was predicted as any class, or fewer than two groups have "
        "members."
    ]


def test_a_group_of_one_is_one_row():
    found = experiment()
    risk = found.risk.assign(note="the smallest group has only 1 rows", smallest_group=1)
    assert any(
        text.startswith("Groups are small: one has only 1 row,") for text in impact_sentences.landmark(risk, found.plan)
    )


def test_extremes_of_many_groups_have_a_p_that_is_too_small():
    found = experiment(favourable=1)
    rows = found.risk.assign(test="Fisher's exact test; z", significant=3, beyond_two_sd=3)
    assert "p is too small" not in " ".join(impact_sentences.four_fifths(rows, found.plan))
    chosen = rows.assign(note="groups chosen as the extremes of more than two: p too small")
    assert "uncorrected; chosen as the extremes of more than two groups, so p is too small)" in " ".join(
        impact_sentences.four_fifths(chosen, found.plan)
    )


def test_groups_that_are_not_described_are_counted():
    found = experiment(techniques=8, units=60, favourable=1)
    described = found.risk[(found.risk["rule"] == "four-fifths") & (found.risk["disadvantaged"] != "")]
    assert len(described) > 4
    assert f"{len(described) - 4} more in the table of groups." in impact_sentences.four_fifths(found.risk, found.plan)


def test_the_favourable_class_is_shown_without_being_lowest():
    declared = experiment(favourable=1).plan | {"classes": [str(i) for i in range(40)]}
    assert impact_sentences.classes_shown(declared, range(15)).endswith(
        "lowest ratios, the favourable one always among them."
    )
    assert impact_sentences.classes_shown(experiment().plan, range(3)) == "All classes."


# Cautions


def cautions(found, **changes: object) -> str:
    return " ".join(limit_sentences.cautions(found.plan | changes, found.comparisons, found.summary))


def test_a_seed_that_is_not_recorded_is_not_called_shared():
    found = experiment()
    assert "The runs here share a seed" in cautions(found)
    arm = {**found.plan["arms"][0], "kind": "unknown", "seed": None}
    text = cautions(found, arms=[arm])
    assert "The seeds of the runs here are not recorded" in text and "share a seed" not in text
    assert "share a seed" not in cautions(found, arms=[{**arm, "kind": "comparison", "seed": 0}])


def test_equal_and_size_are_cautioned_of_where_a_verdict_leaves_them_open():
    found = experiment()
    verdicts = {"fairer": (), "open": ("are equal",), "lower, size open": ("How large a difference is",)}
    verdicts |= {"too few to judge": ("fewer than 4 runs",)}
    everything = {word for found_ in verdicts.values() for word in found_}
    for verdict, expected in verdicts.items():
        text = " ".join(limit_sentences.cautions(found.plan, found.comparisons.assign(verdict=verdict), found.summary))
        assert {word for word in everything if word in text} == set(expected)


def test_identical_predictions_get_no_sentence_about_disagreement():
    found = experiment(techniques=2, alter=constant("S-T1"))
    texts = impact_sentences.landmark(found.risk, found.plan)
    assert any(
        text.startswith("S-T1: predictions bit-identical in 6 of 6 runs (SHA-256): no interval") for text in texts
    )
    assert not any(text.startswith("S-T1 had") for text in texts)
