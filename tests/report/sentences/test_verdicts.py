"""What fitlib says about tables: the words that must be there, and those that must not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.report import captions, provenance
from fitlib.report.sections import differences, impact, variation, verdict
from fitlib.report.sentences import comparisons as comparison_sentences
from fitlib.report.sentences import impact as impact_sentences
from fitlib.report.sentences import limits as limit_sentences
from fitlib.report.sentences import runs as run_sentences
from fitlib.report.sentences import verdicts as verdict_sentences
from fitlib.report.vocabulary import VERDICTS, judged
from fitlib.tables import verdict_warnings
from tests.support import table_examples
from tests.support.report_examples import (
    Experiment,
    constant,
    digest,
    experiment,
    with_parts,
    without,
    without_record,
)


def everything(found: Experiment) -> list[str]:
    """Every sentence that the statistics notebook tells."""
    plan, evidence = found.plan, found.evidence
    summary, comparisons, risk = found.summary, found.comparisons, found.risk
    messages = [
        *verdict_sentences.verdict(comparisons, summary, plan, evidence),
        *provenance.identities(plan, evidence),
        *provenance.controls(plan, evidence),
    ]
    messages += [
        *provenance.missing_runs(evidence),
        *provenance.deviations(plan),
        *provenance.protected_use(plan),
        provenance.what_varied(plan),
    ]
    messages += [
        *run_sentences.constants(summary),
        run_sentences.next_run(summary),
        *run_sentences.intervals(summary),
        run_sentences.undefined_values(summary, plan),
    ]
    messages += [
        *impact_sentences.landmark(risk, plan),
        comparison_sentences.significance(comparisons, plan),
        comparison_sentences.undecided(comparisons, plan),
    ]
    messages += [
        *comparison_sentences.spread(comparisons, plan),
        *comparison_sentences.accuracy(comparisons),
        comparison_sentences.redundant(comparisons),
    ]
    messages += [
        *comparison_sentences.dropped(comparisons),
        *comparison_sentences.reversals(comparisons, plan),
        *limit_sentences.cautions(plan, comparisons, summary),
    ]
    messages += [
        variation.SUMMARY.caption(plan, summary),
        impact.caption_risk(plan, risk, len(risk)),
        verdict.GLANCE.caption(plan, summary),
    ]
    tables = (differences.DIFFERENCES, differences.TESTS, differences.SPREAD)
    messages += [table.caption(plan, comparisons) for table in tables]
    return messages


CASES = {
    "usual": experiment,
    "one run": lambda: experiment(runs=1),
    "one technique": lambda: experiment(techniques=1),
    "constant": lambda: experiment(alter=constant("S-T1")),
    "all constant": lambda: experiment(alter=lambda name, values: values * 0),
    "failed": lambda: without(experiment(), "S-T1", 2, "Traceback\n  …\nValueError: loss is not finite"),
    "not FIT": lambda: with_parts(experiment(), "S-T1", 2, initial_weights=digest("another start")),
    "elsewhere": lambda: without_record(experiment()),
    "two attributes": lambda: experiment(attributes={"sex": ["f", "m"], "race": ["a", "b"]}),
    "many techniques": lambda: experiment(techniques=8, units=60),
}


@cache
def case(name: str) -> Experiment:
    return CASES[name]()


@pytest.fixture(scope="module")
def usual() -> Experiment:
    return case("usual")


@pytest.mark.parametrize("name", CASES)
def test_no_sentence_holds_a_nan_or_a_zero_plus_minus_zero(name: str) -> None:
    for sentence in everything(case(name)):
        words = sentence.lower().replace("(", " ").replace(",", " ").split()
        assert not {"nan", "none.", "<na>", "inf"} & set(words), sentence
        assert "0.00 ±" not in sentence and "[0.00, 0.00]" not in sentence
        assert not sentence or sentence[-1] in ".½", sentence


def test_verdict_has_its_scope_and_its_family(usual: Experiment) -> None:
    outcome, difference, limit = verdict_sentences.verdict(usual.comparisons, usual.summary, usual.plan)
    assert outcome.startswith("At seed 0, on this test set, S-T1 ")
    assert "hold together: if nothing differs, the chance that any of them" in outcome
    assert "S-Base" in outcome and "distinct metrics" in outcome
    assert " points over its 6 runs. That difference, " in difference
    assert "(MaxDiff), is the largest found" in difference
    assert limit == (
        "Only seed 0 was tried: a technique cannot be told from its luck with that seed; the noise was emulated, so "
        "nothing is claimed about a given GPU."
    )


def test_verdict_counts_redundant_metrics_once(usual: Experiment) -> None:
    counted = verdict_sentences.outcomes(usual.comparisons)[list(VERDICTS)].sum(axis=1)
    distinct = usual.comparisons["redundant_with"].eq("") & usual.comparisons["metric"].isin(BIAS_METRICS)
    assert counted.tolist() == [distinct.sum() // 2] * 2 and counted.iloc[0] < 7
    assert "SPSF repeats DP" in comparison_sentences.redundant(usual.comparisons)


def test_many_techniques_are_told_as_groups() -> None:
    found = case("many techniques")
    assert "of 7 techniques, " in verdict_sentences.verdict(found.comparisons, found.summary, found.plan)[0]


def test_real_noise_is_not_called_emulated(usual: Experiment) -> None:
    arm = {**usual.plan["arms"][0], "noise": "native", "kind": "real"}
    plan = {**usual.plan, "arms": [arm]}
    assert "emulated" not in " ".join(
        [provenance.limit(plan), provenance.what_varied(plan), captions.caption(plan, [6])]
    )
    assert "emulated" in provenance.what_varied(usual.plan) and "(emulated)" in captions.caption(usual.plan, [6])


def test_one_run_is_not_estimable() -> None:
    messages = " ".join(everything(case("one run")))
    assert "There is no verdict: fewer than 4 runs of a technique show too little of its spread" in messages
    assert "is a rehearsal" in messages and "fairer than" not in messages
    assert "1 run, so no standard deviation and no interval of a mean is estimable" in messages
    assert "How much fairness varies between equal runs cannot be seen" in messages


def test_without_any_defined_bias_nothing_is_said_of_its_range(usual: Experiment) -> None:
    bias = usual.summary["metric"] != "accuracy"
    undefined = usual.summary.assign(maxdiff=usual.summary["maxdiff"].mask(bias))
    (messages,) = run_sentences.largest_difference(undefined, usual.plan, usual.evidence)
    assert messages.startswith("How much fairness varies between equal runs cannot be seen")


def test_one_technique_has_nothing_to_compare() -> None:
    found = case("one technique")
    assert verdict_sentences.verdict(found.comparisons, found.summary, found.plan)[0] == (
        "There is no comparison: nothing stands against S-Base."
    )


def test_bit_identical_runs_enter_no_test_and_constants_are_named() -> None:
    messages = " ".join(everything(case("constant")))
    assert "no verdict on S-T1 against S-Base: predictions of the technique bit-identical in 6 of 6 runs" in messages
    assert "constant in all 6 runs" in messages
    assert "S-T1: predictions bit-identical in 6 of 6 runs (SHA-256): no interval." in messages


def test_identity_is_told_from_digests(usual: Experiment) -> None:
    messages = " ".join(provenance.identities(usual.plan, usual.evidence))
    assert "the 6 runs started from identical weights and data" in messages
    assert "6 of 6 final weights differ (SHA-256)" in messages


def test_identity_without_a_digest_of_the_start_is_not_claimed(usual: Experiment) -> None:
    evidence = [{**e, "parts": {"machine": "x"}} for e in usual.evidence]
    assert "identical weights" not in " ".join(provenance.identities(usual.plan, evidence))


def test_equal_final_weights_reduce_the_effective_n(usual: Experiment) -> None:
    evidence = [{**e, "final_weights": digest(e["training"], e["run"] // 2)} for e in usual.evidence]
    assert "only 3 different final weights (SHA-256) among 6 runs" in provenance.identities(usual.plan, evidence)[0]


def test_control_arm_says_what_was_compared_or_how_it_failed(usual: Experiment) -> None:
    (messages,) = provenance.controls(usual.plan, usual.evidence)
    assert messages == (
        "Control arm of S-Base, S-T1 and S-T2: identical in 2 of 2 (final weights and predictions, by SHA-256)."
    )
    evidence = [{**e, "final_weights": "other"} if e["role"] == "control" and e["run"] else e for e in usual.evidence]
    assert "failed: identical in 1 of 2" in provenance.controls(usual.plan, evidence)[0]


def test_failed_runs_are_named_with_their_last_line() -> None:
    messages = provenance.missing_runs(case("failed").evidence)
    assert messages == [
        "1 of 24 planned runs did not finish; the results rest on the others.",
        "training-S-T1, arm ulp, run-02 failed: ValueError: loss is not finite.",
    ]


def test_unequal_n_are_never_compared_by_maxdiff() -> None:
    found = case("failed")
    messages = run_sentences.largest_difference(found.summary, found.plan)
    assert "among overall values of 6 runs" in messages[0] and "among overall values of 5 runs" in messages[1]
    assert any(
        "MaxDiff grows with n" in c for c in limit_sentences.cautions(found.plan, found.comparisons, found.summary)
    )


def test_runs_that_are_not_fit_are_refused_and_the_part_is_named() -> None:
    found = case("not FIT")
    assert (
        "no verdict on S-T1 against S-Base: not FIT runs (initial weights differs between runs)"
        in (verdict_sentences.verdict(found.comparisons, found.summary, found.plan)[0])
    )
    assert "S-T1" not in run_sentences.largest_difference(found.summary, found.plan, found.evidence)[0]
    assert any(
        "initial weights differs in run-02" in messages
        for messages in provenance.identities(found.plan, found.evidence)
    )


def test_predictions_made_elsewhere_leave_identity_unknown() -> None:
    found = case("elsewhere")
    messages = " ".join(everything(found))
    assert "whether they were identical is unknown" in messages and "seed 0" not in messages
    assert provenance.NO_EVIDENCE in messages and "last epoch" not in messages


def test_four_fifths_is_named_only_for_the_declared_class(usual: Experiment) -> None:
    assert "four fifths" not in " ".join(impact_sentences.landmark(usual.risk, usual.plan)).lower()
    declared = experiment(favourable=1)
    messages = " ".join(impact_sentences.landmark(declared.risk, declared.plan))
    assert "violated four fifths for class 1" in messages and "29 CFR 1607.4(D)" in messages
    assert "two runs with the same seed disagree" in messages


def test_open_verdicts_are_told_from_those_with_a_direction() -> None:
    found = experiment(techniques=4, units=60, smallest_effect=0.02)
    counts = judged(found.comparisons)["verdict"].value_counts()
    messages = comparison_sentences.undecided(found.comparisons, found.plan)
    assert counts["open"] and f"In {counts['open']} of {counts.sum()} verdicts the interval contains 0" in messages
    assert "open does not mean equal" in messages
    table = found.comparisons.assign(verdict=found.comparisons["verdict"].replace("open", "lower, size open"))
    messages = comparison_sentences.undecided(table, found.plan)
    assert "bias is lower, but whether by more than the smallest effect is open" in messages
    assert "contains 0" not in messages
    assert comparison_sentences.undecided(table.assign(verdict="fairer"), found.plan) == "No verdict is open."


def test_no_mark_of_significance_without_correction_and_smallest_p(usual: Experiment) -> None:
    messages = comparison_sentences.significance(usual.comparisons, usual.plan)
    assert "after Holm's correction over" in messages and "Smallest attainable p" in messages


def test_too_few_runs_for_any_test_say_so() -> None:
    found = experiment(runs=3)
    assert comparison_sentences.significance(found.comparisons, found.plan).startswith(
        "No test possible at this n: the smallest attainable p is 0.1"
    )


def test_quiet_spread_is_not_called_equal(usual: Experiment) -> None:
    assert "This does not show equal spread." in comparison_sentences.spread(usual.comparisons, usual.plan)[-1]


def test_plan_and_deviations_are_told() -> None:
    plan = experiment(runs=1).plan
    assert provenance.deviations(plan)[1] == "No deviation from it is recorded."
    plan |= {"declared_before_first_run": False, "deviations": ["runs was lowered from 16 to 8."]}
    assert provenance.deviations(plan)[0].startswith("The plan was not declared before the first run")
    assert provenance.deviations(plan)[1] == "runs was lowered from 16 to 8."


def test_use_of_the_protected_attribute_at_prediction_is_warned_of() -> None:
    plan = experiment(runs=1).plan
    plan["techniques"][1]["uses_protected"] = "prediction"
    assert any("disparate treatment" in messages for messages in provenance.protected_use(plan))


def test_what_nobody_recorded_is_not_claimed_to_be_fixed() -> None:
    messages = " ".join(everything(case("elsewhere")))
    assert "Fixed: seed and training not recorded, test set" in messages and "training data" not in messages
    assert "trained again under the same conditions (seed not recorded)" in messages and "same seed" not in messages


def test_tests_that_show_nothing_stand_beside_their_power() -> None:
    found = experiment(techniques=4, units=60, smallest_effect=0.02)
    assert (judged(found.comparisons)["p_mean_holm"] > 0.05).any()
    assert (
        "showed no difference. Its power to show a shift by the smallest effect"
        in comparison_sentences.significance(found.comparisons, found.plan)
    )


def pair_of(baseline: list[float], technique: list[float], **analysis: object) -> tuple[pd.DataFrame, dict]:
    """Compare two techniques whose every metric has these values in every class."""
    values = {
        name: np.repeat(np.array(x)[None, :, None], 7, 0).repeat(3, 2)
        for name, x in (("Base", baseline), ("Fair", technique))
    }
    declared = table_examples.plan(
        table_examples.technique("Base", None), table_examples.technique("Fair"), family=["DP"], **analysis
    )
    table = table_examples.compare(table_examples.metrics_of(**values), declared)
    verdict_warnings.add_warnings(table, None, declared, ())
    return table, declared


def test_equal_means_of_different_distributions_are_not_called_different_means() -> None:
    """The means are equal, and all but two runs of the technique are lower: U sees that, the means do not differ."""
    baseline = (0.0985 + 0.0002 * np.arange(16)).tolist()
    lower = [*(0.089 + 0.0002 * np.arange(14)).tolist()]
    rest = (sum(baseline) - sum(lower)) / 2
    table, declared = pair_of(baseline, [*lower, rest - 0.0007, rest + 0.0007])
    messages = comparison_sentences.significance(table, declared)
    assert messages.startswith("The distributions of the runs differ in 1 of 1 test")
    assert "Their means differ in 0 (studentised permutation test" in messages


def test_verdict_sentences_name_what_was_decided() -> None:
    rng = np.random.default_rng(0)
    noise = 0.001 * rng.standard_normal((2, 16))
    scopes = {-0.1: "is fairer than Base on DP: −", -0.0105: "has lower bias than Base, by how much is open, on DP: −"}
    scopes |= {
        0.1: "is less fair than Base on DP: +",
        0.0105: "has higher bias than Base, by how much is open, on DP: +",
    }
    scopes |= {0.0: "is equivalent to Base on DP: "}
    for shift, text in scopes.items():
        level = shift - noise[1].mean() + noise[0].mean()
        table, declared = pair_of((0.3 + noise[0]).tolist(), (0.3 + level + noise[1]).tolist())
        assert text in verdict_sentences._outcome(table, declared), shift
    wide = 0.05 * rng.standard_normal((2, 16))
    table, declared = pair_of((0.3 + wide[0]).tolist(), (0.3 + wide[1]).tolist())
    assert "Fair cannot be told from Base on DP" in verdict_sentences._outcome(table, declared)


def test_a_single_verdict_is_not_said_to_hold_together() -> None:
    table, declared = pair_of([0.1, 0.12, 0.11, 0.13], [0.2, 0.21, 0.19, 0.22])
    assert "hold together" not in verdict_sentences._outcome(table, declared)


def test_two_constant_arms_have_no_interval_and_no_verdict() -> None:
    table, declared = pair_of([0.1] * 16, [0.1125] * 16)
    messages = verdict_sentences._outcome(table, declared)
    assert "no verdict on Fair against Base: constant in both; nothing to estimate with n = 16" in messages
    table, declared = pair_of([0.1] * 2, [0.1125] * 2)
    assert "rehearsal" in verdict_sentences._outcome(table, declared)


def test_a_declared_primary_metric_decides_alone() -> None:
    metrics = table_examples.metrics_of(
        Base=table_examples.drawn(0), Fair=table_examples.drawn(1, 0.2), Noisy=table_examples.drawn(2, 0.2)
    )
    declared = table_examples.plan(primary="BA")
    table = table_examples.compare(metrics, declared)
    verdict_warnings.add_warnings(table, None, declared, ())
    messages = verdict_sentences._outcome(table, declared)
    assert "Fair is fairer than Base on BA: −" in messages and "of 5 distinct metrics" not in messages
    assert "These 2 verdicts on BA, the primary metric, hold together" in messages


def test_warnings_stand_beside_the_verdict_of_the_technique_that_they_touch() -> None:
    table = pair_of([0.1, 0.12, 0.11, 0.13], [0.2, 0.21, 0.19, 0.22])[0]
    assert verdict_sentences.verdict_warnings(table) == []
    table["warnings"] = (
        "technique predicts class 0 for 99.0 % of the rows (truly 50.0 %); baseline has a failed control"
    )
    assert verdict_sentences.verdict_warnings(table) == [
        "Beside the verdicts: Fair: predicts class 0 for 99.0 % of the rows (truly 50.0 %).",
        "Beside the verdicts: Base: has a failed control.",
    ]


def test_accuracy_is_told_once_for_all_attributes_and_counted_for_many_techniques() -> None:
    several = comparison_sentences.accuracy(case("two attributes").comparisons)
    assert len(several) == 2 and not any("by sex" in text or "by race" in text for text in several)
    (messages,) = comparison_sentences.accuracy(case("many techniques").comparisons)
    assert "of 7 comparisons" in messages and "uncorrected" in messages


def test_trainings_that_several_techniques_share_are_told_apart(usual: Experiment) -> None:
    shared = [{**t, "training": "training-S-Base"} if t["technique"] == "S-T1" else t for t in usual.plan["techniques"]]
    messages = provenance.identities({**usual.plan, "techniques": shared}, usual.evidence)[0]
    assert messages.startswith("S-Base and S-T1 (one training); S-T2: the 6 runs")


def test_an_estimate_beyond_its_interval_is_explained(usual: Experiment) -> None:
    row = usual.risk.iloc[[0]].assign(n=16, violated=8, p_disagree=0.53, p_disagree_low=0.2, p_disagree_high=0.5)
    row = row.assign(p_disagree_low_bonferroni=0.1, p_disagree_high_bonferroni=0.5)
    messages = " ".join(impact_sentences.landmark(row, usual.plan))
    assert "0.50 [0.10, 0.50], likewise" in messages


def test_one_run_says_that_no_p_is_small_enough() -> None:
    found = case("one run")
    assert "No test possible at this n: the smallest attainable p is 1" in comparison_sentences.significance(
        found.comparisons, found.plan
    )


@pytest.mark.parametrize(
    ("rows", "said"), [(1, "DI by sex rests on a group with only 1 row"), (29, "29 rows"), (30, "")]
)
def test_a_small_group_stands_beside_the_verdict(rows: int, said: str) -> None:
    plan = {"analysis": {"min_group": 30}}
    columns = {"metric": ["DI", "DI", "DP"], "target": "overall", "attribute": ["sex", "race", "sex"]}
    summary = pd.DataFrame(columns | {"smallest_denominator": [rows, 400, 2]})
    texts = verdict_sentences.small_groups(summary, plan, "DI")
    assert texts == [] if not said else said in texts[0] and "race" not in texts[0]
