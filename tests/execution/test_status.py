"""Status is read from disk at every stage, whatever a crash left there."""

import pytest

from fitlib.execution import status
from fitlib.experiment.parse import read_experiment
from fitlib.experiment.plan import Plan
from fitlib.storage.lock import locked
from fitlib.storage.paths import ExperimentPaths, new_attempt

TWO = """
techniques: {S-Base: {method: baseline}, S-RS: {method: oversampling}}
baseline: S-Base
network: {name: small-cnn, width: 4}
runs: 3
control_runs: 0
"""


def planned(folder, text):
    (folder / "two.yaml").write_text(text)
    return Plan(read_experiment(folder / "two.yaml"), ExperimentPaths(folder / "two"))


@pytest.fixture
def plan(tmp_path):
    return planned(tmp_path, TWO)


@pytest.fixture
def paths(plan):
    return plan.paths


def test_every_seed_has_its_line(tmp_path):
    plan = planned(tmp_path, TWO + "seeds: [0, 3]\n")
    assert head(plan) == "two: 12 left of 12 runs"
    arms = [line.split()[0] for line in status.lines(plan)[1:]]
    assert arms == ["baseline/ulp", "oversampling/ulp", "baseline/seed3.ulp", "oversampling/seed3.ulp"]


def head(plan) -> str:
    with locked(plan.paths):
        return status.lines(plan)[0]


def test_two_trainings_at_the_same_index_are_two_running(plan):
    for run in plan.runs:
        if run.index == 1:
            new_attempt(run.folder)
    assert head(plan) == "two: 2 running, 4 left of 6 runs"


def test_two_attempts_at_one_run_are_one_running(plan):
    for _ in range(2):
        new_attempt(plan.runs[0].folder)
    assert head(plan) == "two: 1 running, 5 left of 6 runs"


def test_attempts_of_metrics_and_statistics_are_no_runs(plan, paths):
    new_attempt(paths.technique("S-Base"), hidden=True)
    new_attempt(paths.root / "statistics", hidden=True)
    assert head(plan) == "two: 6 left of 6 runs"


def test_an_attempt_that_nobody_works_on_is_left(plan):
    new_attempt(plan.runs[0].folder)
    assert status.lines(plan)[0] == "two: 6 left of 6 runs"


@pytest.mark.parametrize("timings", [b"", b"\n", b"a/b/run-00,", b"a/b/run-00,1", b"\0\0\n", b"\xff\n"], ids=repr)
def test_empty_or_torn_timings_tell_no_time(plan, paths, timings):
    paths.root.mkdir()
    paths.timings.write_bytes(timings)
    assert head(plan) == "two: 6 left of 6 runs"


def test_a_torn_line_does_not_spoil_the_time_left(plan, paths):
    paths.root.mkdir()
    paths.timings.write_text("a/b/run-00,10.00\na/b/ru\na/b/run-01,20.00\na/b/run-02,9")
    assert head(plan).endswith(f"about {status.duration(15 * 6)} left")
