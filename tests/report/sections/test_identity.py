"""Tables of identity, of runs and of the plan, on single, missing and deviating runs."""

from __future__ import annotations

import pandas as pd
import pytest

from fitlib.report.sections import declaration, identity, methods, runs, variation
from tests.support.report_examples import constant, digest, experiment, with_parts, without

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def usual():
    return experiment(techniques=2)


def test_a_part_that_differs_is_counted_and_named_with_its_run(usual):
    found = with_parts(usual, "S-T1", 2, initial_weights=digest("another"))
    first, second = identity.trainings_view(found.plan, found.evidence).to_dict("records")
    assert (first["Parts equal"], first["Parts that differ"]) == ("3 of 3", "none")
    assert (second["Parts equal"], second["Parts that differ"]) == ("2 of 3", "initial weights")
    parts = identity.parts_view(found.plan, found.evidence).set_index(["Part", "Training"])["Equal"]
    assert parts["initial weights", "training-S-T1"] == "differs in run-02"
    assert parts["initial weights", "training-S-Base"] == "in 6 of 6 runs" == parts["training data", "all"]


def test_equal_results_are_not_called_different(usual):
    found = experiment(techniques=2, alter=constant("S-T1"))
    view = identity.trainings_view(found.plan, found.evidence)
    assert view["Different final weights"].tolist() == ["6 of 6", "1 of 6"]
    without_weights = [{**e, "final_weights": ""} for e in found.evidence]
    view = identity.trainings_view(found.plan, without_weights)
    assert view["Different final weights"].tolist() == ["6 of 6 (predictions)", "1 of 6 (predictions)"]


def test_a_training_without_finished_runs_has_no_part(usual):
    evidence = [
        {**e, "status": "failed", "parts": {}} if e["training"] == "training-S-T1" else e for e in usual.evidence
    ]
    row = identity.trainings_view(usual.plan, evidence).to_dict("records")[1]
    assert (row["Runs"], row["Parts equal"], row["Control arm"][:13]) == ("0", "0 of 0", "not available")
    assert "training-S-T1" not in identity.parts_view(usual.plan, evidence).to_string()


def test_a_failed_run_has_a_state_and_no_values(usual):
    found = without(usual, "S-T1", 2, "ValueError")
    view = runs.runs_view(found.runs, found.plan)
    failed = view[(view["Technique"] == "S-T1") & (view["Run"] == "run-02")].iloc[0]
    assert failed["State"] == "failed" and failed["DP"] == "–" and failed["Final weights"] == "–"
    assert runs.RUNS.caption(found.plan, found.runs).startswith("n = 5 to 6 runs per technique.")
    links = runs.run_links(found.runs, found.evidence)
    assert [bool(link) for link in links] == (view["State"] == "done").tolist()


def test_an_undeclared_class_metric_and_family_are_named_as_such(usual):
    declared = declaration.analysis_view(usual.summary, usual.plan).set_index("Declared")["Value"]
    assert declared["Favourable class"] == "none declared" and declared["Smallest effect"] == "±1.00 points"
    other = experiment(techniques=2, favourable=1, family=["DP"], smallest_effect={"DP": 0.02, "DI": "10 %"}).plan
    declared = declaration.analysis_view(usual.summary, other).set_index("Declared")["Value"]
    assert declared["Favourable class"] == "1" and declared["Family of tests"] == "DP"
    assert "DP ±2.00 points, DI ±10 % of the baseline's mean" in declared["Smallest effect"]


def test_every_metric_is_explained_once(usual):
    view = methods.metrics_view(usual.summary, usual.plan)
    assert view["Metric"].is_unique and len(view) == 7 and not view.isin(["", None]).any(axis=None)


def test_the_curve_against_the_number_of_runs_counts_all_runs_of_a_technique(usual):
    table = pd.DataFrame({"technique": ["A", "A", "B"], "arm": ["ulp"] * 3, "n": [2, 6, 5]})
    caption = variation.caption_by_runs(usual.plan, table, "DI")
    assert caption.startswith("n = 5 to 6 runs per technique.") and "Overall DI." in caption
