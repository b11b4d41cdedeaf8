"""The plan: the runs of an experiment, their order, keys and states."""

from pathlib import Path

import pytest

from fitlib.experiment.parse import make_experiment
from fitlib.experiment.plan import Plan, selected
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import write_record

TECHNIQUES = {
    "S-Base": {"method": "baseline"},
    "S-DI1": {"method": "domain-independent", "inference": "conditional"},
    "S-DI2": {"method": "domain-independent", "inference": "sum"},
}


def make(folder=Path("outputs/x"), **changes):
    fields = {"techniques": TECHNIQUES, "baseline": "S-Base", "runs": 2, "seeds": [0, 3]} | changes
    return Plan(make_experiment(fields, "x.yaml", "x"), ExperimentPaths(folder))


def names(plan):
    return [run.name for run in plan.runs]


def test_runs_are_interleaved_over_trainings_and_seeds_between_the_control_runs():
    assert names(make()) == [
        "baseline/none/run-00",
        "domain-independent/none/run-00",
        "baseline/ulp/run-00",
        "domain-independent/ulp/run-00",
        "baseline/seed3.ulp/run-00",
        "domain-independent/seed3.ulp/run-00",
        "baseline/ulp/run-01",
        "domain-independent/ulp/run-01",
        "baseline/seed3.ulp/run-01",
        "domain-independent/seed3.ulp/run-01",
        "baseline/none/run-01",
        "domain-independent/none/run-01",
    ]


def test_real_noise_shuffles_the_main_runs_over_seeds_and_nothing_else():
    emulated, real = names(make(runs=8)), names(make(runs=8, noise="native"))
    ordered = [name.replace("ulp", "native") for name in emulated]
    assert sorted(real) == sorted(ordered) and real != ordered
    assert real[:2] == ordered[:2] and real[-2:] == ordered[-2:]
    assert names(make(runs=8, noise="native")) == real


def test_each_run_is_trained_with_the_seed_of_its_arm():
    seeds = {run.arm.name: run.parameters["seed"] for run in make().runs}
    assert seeds == {"none": 0, "ulp": 0, "seed3.ulp": 3}


@pytest.mark.parametrize("changes", [{"seeds": [0, 3, 5]}, {"seeds": [5, 3, 0], "runs": 4}, {"seeds": [3]}])
def test_runs_of_a_seed_keep_their_name_and_key_when_seeds_come_and_go(changes):
    keys = {run.name: run.key_parts for run in make().runs}
    again = {run.name: run.key_parts for run in make(**changes).runs}
    shared = [name for name in keys if name in again and "/none/" not in name]
    assert shared and all(keys[name] == again[name] for name in shared)


def test_a_finished_run_stays_done_when_a_seed_is_added(tmp_path):
    first, more = make(tmp_path), make(tmp_path, seeds=[0, 3, 5])
    done = next(run for run in first.runs if run.name == "baseline/seed3.ulp/run-01")
    done.folder.mkdir(parents=True)
    (done.folder / "out").write_text("x")
    write_record(done.folder, "train", done.key_parts, ["out"])
    states = {run.name: state.state for run, state in more.states()}
    assert states.pop(done.name) == "done" and set(states.values()) == {"new"}


def test_techniques_select_the_runs_of_all_seeds():
    chosen = [run for run, _ in selected(make().states(), ["S-DI2"])]
    assert {run.spec.name for run in chosen} == {"domain-independent"}
    assert {run.arm.seed for run in chosen} == {0, 3}


def test_a_state_is_read_from_disk_whenever_it_is_asked_for(tmp_path):
    plan = make(tmp_path)
    run, before = plan.states()[0]
    run.folder.mkdir(parents=True)
    (run.folder / "out").write_text("x")
    write_record(run.folder, "train", run.key_parts, ["out"])
    assert before.state == "new" and run.state().done
    assert [state.done for _, state in plan.states()] == [True] + [False] * 11


def test_states_of_one_training_are_those_of_its_runs_in_queue_order():
    plan = make()
    chosen = [run.name for run, _ in plan.states(plan.experiment.trainings[1:])]
    assert chosen == [name for name in names(plan) if name.startswith("domain-independent/")]


def test_neither_parameters_nor_keys_are_computed_before_they_are_asked_for(monkeypatch):
    plan = make()
    monkeypatch.setattr(type(plan.experiment.trainings[0].source), "key_parts", None)
    monkeypatch.setattr(type(plan.experiment.trainings[0].source), "run_parameters", None)
    assert len(plan.runs) == 12
