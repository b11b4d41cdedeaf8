"""Plan, noise, seeds and identity are described on inputs in which a careless sentence would be wrong."""

from __future__ import annotations

import pytest

from fitlib.report import captions, provenance
from tests.support.report_examples import digest, experiment, make_plan, with_parts, without, without_record

PLAN = make_plan(2, 6, ["0", "1"], {"sex": ["f", "m"]})
ULP = PLAN["arms"][0]


def planned(*arms: dict, **changes: object) -> dict:
    return PLAN | {"arms": [ULP | arm for arm in arms]} | changes


SEED_NOISE = planned({"arm": "seed", "noise": "seed", "kind": "comparison"})
UNKNOWN = planned({"noise": "unknown", "kind": "unknown", "seed": None}, source="predictions made elsewhere")
NATIVE_TOO = planned({}, {"arm": "native", "noise": "native", "kind": "real"})


def seeds(n: int, runs: int) -> dict:
    return planned(*({"arm": f"seed{s}.ulp", "seed": s, "runs": runs} for s in range(n)))


# What varied, and what limits every conclusion


def test_runs_are_those_planned_since_some_may_have_failed():
    assert provenance.what_varied(PLAN) == "Planned for each technique: 6 runs, seed 0, noise ulp (emulated)."
    assert provenance.what_varied(seeds(2, 3)).startswith(
        "Planned for each technique: 3 runs at each of the 2 seeds 0 and"
    )


def varied(noise: str) -> dict:
    return planned({"arm": noise, "noise": noise, "kind": "varied"})


def test_runs_with_a_random_state_each_are_not_said_to_share_a_seed():
    plan = varied("random_state")
    assert provenance.what_varied(plan).endswith(
        "6 runs, each with a seed of its own, varied: the random state of each run."
    )
    assert "Varied: the random state of each run. Fixed: training data, but not the seed, test set" in (
        captions.caption(plan, [6])
    )
    assert "hold over random states" in provenance.limit(plan)


def test_runs_that_vary_at_one_seed_are_limited_to_it():
    plan = varied("order")
    assert provenance.what_varied(plan).endswith("6 runs, seed 0, varied: the order of the training rows.")
    assert "Varied: the order of the training rows. Fixed: seed 0" in captions.caption(plan, [6])
    assert provenance.limit(plan).startswith("Only seed 0 was tried")


def test_the_proof_of_identity_names_what_varied():
    found = experiment()
    evidence = [{**run, "varied": "the order of the training rows"} for run in found.evidence]
    identities = provenance.identities(found.plan, evidence)
    assert "runs that differ only in the order of the training rows: all" in identities[0]


def test_predictions_made_elsewhere_have_at_most_so_many_runs():
    assert provenance.what_varied(UNKNOWN) == (
        "For each technique at most 6 runs, seed not recorded, noise not recorded."
    )


def test_runs_with_a_seed_each_have_no_common_seed():
    assert "6 runs, each with a seed of its own, noise seed" in provenance.what_varied(SEED_NOISE)
    assert provenance.limit(SEED_NOISE).startswith("Each run has a seed of its own: these are no FIT runs")
    caption = captions.caption(SEED_NOISE, [6])
    assert "seed 0" not in caption and "Fixed: training data, but not the seed, test set" in caption
    assert "Fixed: seed 0, training data, test set" in captions.caption(PLAN, [6])


def test_only_emulated_noise_is_called_emulated():
    assert provenance.limit(PLAN).endswith("; the noise was emulated, so nothing is claimed about a given GPU.")
    assert "the noise of ulp was emulated" in provenance.limit(NATIVE_TOO)
    assert "emulated" not in provenance.limit(planned({"noise": "native", "kind": "real"}))


@pytest.mark.parametrize(
    ("n", "runs", "start"),
    [
        (1, 16, "Only seed 0 was tried"),
        (4, 16, "The plan has only 16 runs at each of 4 seeds: too few"),
        (8, 1, "The plan has only 1 run at each of 8 seeds: too few"),
        (8, 2, "Verdicts over seeds rest on 8 seeds"),
    ],
)
def test_seeds_and_runs_limit_the_verdict_over_seeds(n: int, runs: int, start: str):
    assert provenance.limit(seeds(n, runs)).startswith(start)


def test_the_fewest_runs_of_any_seed_count():
    plan = seeds(8, 4)
    plan["arms"][3]["runs"] = 1
    assert "only 1 run at each of 8 seeds" in provenance.limit(plan)


def test_a_caption_counts_by_arm_where_there_are_several():
    assert captions.caption(NATIVE_TOO, [6]).startswith(
        "n = 6 runs per technique and arm. Varied: noise ulp (emulated)"
    )
    assert captions.caption(PLAN, [1]).startswith("n = 1 run per technique. ")
    assert captions.caption(PLAN, [5, 6, None, 0]).startswith("n = 5 to 6 runs per technique. ")
    assert captions.caption(seeds(2, 3), [3]).startswith("n = 3 runs per technique and arm. ")
    assert "Fixed: in each arm one of the seeds 0 and 1, training data" in captions.caption(seeds(2, 3), [3])


# Identity


@pytest.fixture(scope="module")
def usual():
    return experiment(techniques=2)


def test_equal_weights_show_that_no_weight_changed_not_that_nothing_did(usual):
    evidence = [{**e, "final_weights": digest("same")} for e in usual.evidence]  # the predictions differ
    (text,) = provenance.identities(usual.plan, evidence)
    assert text.endswith(
        "; the final weights of all 6 runs are bit-identical (SHA-256), so the noise changed no final weight."
    )


def test_without_weights_predictions_are_compared_and_named(usual):
    evidence = [{**e, "final_weights": ""} for e in usual.evidence]
    assert "6 of 6 predictions differ (SHA-256)" in provenance.identities(usual.plan, evidence)[0]
    same = [{**e, "predictions": {"x": "y"}} for e in evidence]
    assert "so the noise changed no prediction." in provenance.identities(usual.plan, same)[0]


def test_one_run_is_compared_with_nothing(usual):
    evidence = [e for e in usual.evidence if e["run"] == 0]
    assert provenance.identities(usual.plan, evidence) == ["S-Base and S-T1: 1 run, so there is nothing to compare."]


def test_runs_that_differ_are_not_compared(usual):
    found = with_parts(usual, "S-T1", 2, initial_weights=digest("another"))
    text = provenance.identities(found.plan, found.evidence)[1]
    assert "initial weights differs in run-02; these 6 runs are not compared" in text


def test_unequal_seeds_of_the_control_arm_are_named(usual):
    plan = usual.plan | {"arms": [*usual.plan["arms"], ULP | {"arm": "seed1.ulp", "seed": 1}]}
    assert "(at seed 0 only)" in provenance.controls(plan, usual.evidence)[0]
    assert "only)" not in provenance.controls(usual.plan, usual.evidence)[0]


# Runs that are missing


def test_nothing_rests_on_other_runs_where_none_finished(usual):
    gone = [{**e, "status": "missing"} for e in usual.evidence[:1]]
    assert provenance.missing_runs(gone)[0] == "Of 1 planned run none finished."
    some = without(usual, "S-T1", 2, "").evidence
    assert provenance.missing_runs(some)[0] == "1 of 16 planned runs did not finish; the results rest on the others."
    assert provenance.missing_runs(usual.evidence) == ["All 16 planned runs finished."]
    assert provenance.missing_runs([]) == []


# The plan


def test_a_deviation_takes_the_place_of_none_recorded():
    first, second = provenance.deviations(PLAN)
    assert first.startswith("The plan was declared before the first run (SHA-256 ")
    assert second == "No deviation from it is recorded."
    assert provenance.deviations(PLAN | {"deviations": ["alpha 0.05 became 0.1."]})[1:] == ["alpha 0.05 became 0.1."]
    (late,) = provenance.deviations(PLAN | {"declared_before_first_run": False})
    assert "was not declared before the first run" in late


def test_use_of_the_protected_attribute_that_is_not_recorded_is_not_denied():
    techniques = [{**t, "uses_protected": use} for t, use in zip(PLAN["techniques"], ("no", None), strict=True)]
    assert provenance.protected_use(PLAN | {"techniques": techniques}) == [
        "S-Base: the protected attribute is not used.",
        "S-T1: use of the protected attribute is not recorded.",
    ]


def test_notes_on_the_data_end_in_one_full_stop():
    assert provenance.notes(PLAN | {"notes": ["3 rows left out.", "age was cut"]}) == [
        "Data: 3 rows left out; age was cut."
    ]
    assert provenance.notes(PLAN) == []


def test_predictions_without_a_record_get_no_identity(usual):
    found = without_record(usual)
    assert provenance.identities(found.plan, found.evidence) == [provenance.NO_EVIDENCE]
    assert provenance.limit(found.plan).startswith("How these predictions were made is not recorded")
