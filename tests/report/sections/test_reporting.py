"""The paragraph to copy: the experiment's own numbers, never an unqualified "fairer", never NaN."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from fitlib import formatting as fmt
from fitlib.report.sections import reporting
from fitlib.statistics.verdict_names import VERDICTS
from tests.support.report_examples import Experiment, constant, experiment, with_parts, without_record
from tests.support.seed_examples import over, over_row


def frames_of(found: Experiment) -> dict[str, pd.DataFrame]:
    return {"comparisons": found.comparisons, "summary": found.summary}


def told_of(found: Experiment, **frames: pd.DataFrame) -> str:
    return reporting.how_to_report(frames_of(found) | frames, found.plan, found.evidence)


@pytest.fixture(scope="module")
def usual() -> Experiment:
    return experiment()


def test_numbers_are_those_of_the_tables(usual: Experiment) -> None:
    messages, rows = told_of(usual), usual.comparisons
    row = rows[(rows["technique"] == "S-T1") & (rows["metric"] == "DI")].iloc[0]
    assert messages.startswith("S-T1 was compared with S-Base on DI (disparate impact")
    for column in ("mean_technique", "mean_baseline", "sd_technique", "sd_baseline"):
        assert fmt.points(row[column]) in messages
    assert f"was {fmt.points(row['difference'], signed=True)} points" in messages
    assert fmt.span(row["difference_low"], row["difference_high"]) in messages and f"“{row['verdict']}”" in messages
    for column in ("p_mean", "p_mean_holm", "p_mean_smallest", "p_variance_raw", "p_variance_raw_holm"):
        assert fmt.probability(row[column]) in messages
    assert f"over {int(row['family_size'])} tests" in messages and fmt.power(row["power_mean"]) in messages


def test_setting_and_limits_are_always_told(usual: Experiment) -> None:
    messages = told_of(usual)
    for words in (
        "6 and 6 fixed-seed identical",
        "ulp (emulated",
        "at seed 0, on this test set",
        "(digits-s)",
        "MaxDiff",
    ):
        assert words in messages
    assert "not shown by these runs" in messages and "declared before the first run" in messages


@pytest.mark.parametrize("runs", [1, 2, 3, 6])
def test_a_verdict_never_stands_without_its_seed(runs: int) -> None:
    messages = told_of(experiment(runs=runs))
    for sentence in re.findall(rf"[^.]*“(?:{'|'.join(VERDICTS)})”[^.]*", messages):
        assert "at seed 0, on this test set" in sentence
    assert not re.search(r"\bis (less )?fair", messages) and "nan" not in messages.lower()


@pytest.mark.filterwarnings("error")
def test_constant_runs_are_said_to_be_constant_and_identical_ones_enter_no_test() -> None:
    messages = told_of(experiment(alter=constant("S-Base")))
    assert "constant in all 6 runs" in messages and "SD none" in messages
    assert "No test and no verdict: baseline: predictions bit-identical in 6 of 6 runs" in messages
    assert "nan" not in messages.lower()
    assert told_of(experiment(alter=constant("S-T1"))).startswith("S-T2 was compared"), "what can be judged goes first"


def test_one_run_gets_neither_test_nor_verdict() -> None:
    messages = told_of(experiment(runs=1))
    assert "No test and no verdict" in messages and "not estimable" in messages and "p =" not in messages


def test_runs_that_are_not_fit_are_not_called_fit(usual: Experiment) -> None:
    everybody = usual
    for name in ("S-Base", "S-T1", "S-T2"):
        everybody = with_parts(everybody, name, 1, first_batch="another")
    messages = told_of(everybody)
    assert "runs that are not FIT" in messages and "identical training (FIT)" not in messages and "No test" in messages
    unknown = told_of(without_record(usual))
    assert "with no record of whether they were identical" in unknown and "identical training (FIT)" not in unknown
    assert "Noise: not recorded" in unknown and "device: not recorded" in unknown


def test_without_a_comparison_the_technique_alone_is_reported() -> None:
    found = experiment(techniques=1)
    messages = told_of(found)
    assert messages.startswith("S-Base was trained in 6 fixed-seed") and "Nothing was compared." in messages
    assert "fairer" not in messages and "nan" not in messages.lower()
    nothing = {"comparisons": found.comparisons, "summary": found.summary.iloc[:0]}
    assert reporting.how_to_report(nothing, found.plan, found.evidence) == reporting.NO_RUNS


def test_several_seeds_add_the_verdict_over_seeds_with_its_scope(usual: Experiment) -> None:
    row = over_row("DI", "S-T1", n_seeds=4)
    messages = told_of(usual, over_seeds=over(row))
    assert "Over 4 seeds, too few for an unqualified verdict (8 needed), on this test set: −3.00 points" in messages
    assert (
        "[−4.00, −2.00] (95 % interval, the seed a random factor), [−4.50, −1.50] together with 1 other verdict over "
        "seeds: the verdict is “fairer” (unadjusted: “fairer”)" in messages
    )
    assert reporting.SCOPE not in messages
    assert reporting.SCOPE in told_of(usual, over_seeds=over(over_row("DP", "S-T1")))


def test_device_is_what_the_runs_recorded(usual: Experiment) -> None:
    found = usual
    for name in ("S-Base", "S-T1"):
        for run in range(6):
            found = with_parts(found, name, run, machine="Linux x86_64", gpu="H100", packages="torch 2.13")
    assert "device: Linux x86_64, H100, torch 2.13." in told_of(found)


def test_several_attributes_are_named() -> None:
    messages = told_of(experiment(attributes={"sex": ["f", "m"], "age": ["y", "o"]}))
    assert "on DI by sex (" in messages


def test_template_has_a_blank_for_everything_and_no_number_of_its_own() -> None:
    assert "{" not in reporting.TEMPLATE and "[technique] was compared with [baseline]" in reporting.TEMPLATE
    assert set(re.findall(r"\d[\d.]*", reporting.TEMPLATE)) == {"95", "1.5"}
    for blank in ("noise", "seed", "p holm", "smallest p", "power", "reversal interval", "device", "verdict"):
        assert f"[{blank}]" in reporting.TEMPLATE


def test_an_effect_that_was_changed_later_is_not_called_declared(usual: Experiment) -> None:
    frames = {"comparisons": usual.comparisons, "summary": usual.summary}
    assert "(declared before the first run)" in reporting.how_to_report(frames, usual.plan, usual.evidence)
    late = {**usual.plan, "deviations": ["the plan was changed: analysis.smallest_effect was 0.02, is 0.01"]}
    assert "(not declared beforehand)" in reporting.how_to_report(frames, late, usual.evidence)


def test_too_few_runs_have_a_difference_and_no_verdict(usual: Experiment) -> None:
    few = usual.comparisons.assign(
        verdict="too few to judge", verdict_unadjusted="too few to judge", level=None, simultaneous_low=None
    )
    messages = reporting.how_to_report({"comparisons": few, "summary": usual.summary}, usual.plan, usual.evidence)
    assert "fewer than 4 runs of a technique are too few for a verdict" in messages
    assert "together with" not in messages and "“" not in messages
