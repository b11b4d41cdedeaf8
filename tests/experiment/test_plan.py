"""The queue: which runs there are, in which order, and what identifies each."""

import pytest

from fitlib.experiment import plan
from fitlib.experiment.parse import make_experiment
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import write_record

TECHNIQUES = {
    "S-Base": {"method": "baseline"},
    "S-DI1": {"method": "domain-independent", "inference": "conditional"},
    "S-DI2": {"method": "domain-independent", "inference": "sum"},
}


def make(**changes):
    fields = {"techniques": TECHNIQUES, "baseline": "S-Base", "runs": 2, "seeds": [0, 3]} | changes
    return make_experiment(fields, "x.yaml", "x")


def names(experiment):
    return [task.name for task in plan.run_tasks(experiment)]


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
    experiment = make()
    seeds = {task.arm.name: plan.run_parameters(experiment, task)["seed"] for task in plan.run_tasks(experiment)}
    assert seeds == {"none": 0, "ulp": 0, "seed3.ulp": 3}


@pytest.mark.parametrize("changes", [{"seeds": [0, 3, 5]}, {"seeds": [5, 3, 0], "runs": 4}, {"seeds": [3]}])
def test_runs_of_a_seed_keep_their_name_and_key_when_seeds_come_and_go(changes):
    first, other = make(), make(**changes)
    keys = {task.name: plan.run_key_parts(first, task) for task in plan.run_tasks(first)}
    again = {task.name: plan.run_key_parts(other, task) for task in plan.run_tasks(other)}
    shared = [name for name in keys if name in again and "/none/" not in name]
    assert shared and all(keys[name] == again[name] for name in shared)


def test_a_finished_run_stays_done_when_a_seed_is_added(tmp_path):
    first, more, paths = make(), make(seeds=[0, 3, 5]), ExperimentPaths(tmp_path)
    done = next(task for task in plan.run_tasks(first) if task.name == "baseline/seed3.ulp/run-01")
    done.folder(paths).mkdir(parents=True)
    (done.folder(paths) / "out").write_text("x")
    write_record(done.folder(paths), "train", plan.run_key_parts(first, done), ["out"])
    states = {task.name: plan.run_state(more, paths, task).state for task in plan.run_tasks(more)}
    assert states.pop(done.name) == "done" and set(states.values()) == {"new"}


def test_techniques_select_the_runs_of_all_seeds():
    chosen = plan.selected(plan.run_tasks(make()), ["S-DI2"])
    assert {task.spec.name for task in chosen} == {"domain-independent"}
    assert {task.arm.seed for task in chosen} == {0, 3}
