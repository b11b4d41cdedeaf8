"""How many verdicts an experiment file declares, and against which smallest effects."""

from pathlib import Path

import pytest

from fitlib.experiment.parse import read_experiment
from fitlib.experiment.planned_verdicts import PlannedVerdicts, planned_verdicts
from tests.conftest import ROOT


def planned(name: str, *settings: str) -> PlannedVerdicts:
    return planned_verdicts(read_experiment(ROOT / "params" / f"{name}.yaml", list(settings), None))


def test_verdicts_are_techniques_with_a_baseline_times_metrics() -> None:
    found = planned("quickstart")
    techniques = read_experiment(ROOT / "params" / "quickstart.yaml", [], None).techniques
    assert found.comparisons == sum(t.baseline is not None for t in techniques) and found.metrics == 7
    assert found.effects == {"": 0.01} and found.runs == 16 and not found.paired and not found.over_seeds
    assert planned("quickstart", "analysis.family=[DP, BA]").metrics == 2


def test_a_primary_metric_leaves_one_verdict_for_each_comparison() -> None:
    found = planned("quickstart", "analysis.primary=DI", "analysis.smallest_effect={DI: 0.02}")
    assert found.metrics == 1 and found.effects == {"": 0.02}


def test_over_seeds_the_arms_of_a_noise_count_once_and_seeds_are_the_runs() -> None:
    found = planned("nested")
    techniques = read_experiment(ROOT / "params" / "nested.yaml", [], None).techniques
    assert found.comparisons == sum(t.baseline is not None for t in techniques)
    assert found.runs == 8 and found.over_seeds


@pytest.mark.parametrize(
    ("declared", "effects"),
    [
        ("{DI: 0.02, BA: 0.02}", {"DP, SPSF, FPSF, EOFP, EOTP": 0.01, "DI, BA": 0.02}),
        ("10 %", {}),
        ("{DI: 10 %}", {"DP, SPSF, FPSF, EOFP, EOTP, BA": 0.01}),
    ],
)
def test_smallest_effects_are_named_by_their_metrics(declared: str, effects: dict) -> None:
    assert planned("quickstart", f"analysis.smallest_effect={declared}").effects == effects


def test_an_experiment_that_compares_nothing_plans_no_verdict(tmp_path: Path) -> None:
    path = tmp_path / "alone.yaml"
    path.write_text("techniques: {Base: {method: baseline}}\n", encoding="utf-8")
    assert planned_verdicts(read_experiment(path, [], None)).comparisons == 0
