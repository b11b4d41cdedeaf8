"""Experiments with a custom notebook or function: checked before any work, judged only by what their runs saved."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml

from fitlib.errors import InputError, RunFailed
from fitlib.execution import run_experiment
from fitlib.execution.analysis_inputs import family_inputs
from fitlib.execution.analysis_tasks import Outcome
from fitlib.execution.progress import Progress
from fitlib.experiment.declaration import latest_plan
from fitlib.experiment.evidence import compare_shared_epochs
from fitlib.experiment.parse import make_experiment, read_experiment
from fitlib.experiment.plan import Plan
from fitlib.experiment.registry.noises import VARIATIONS
from fitlib.recording.save_predictions import save_predictions
from fitlib.recording.saved_outputs import FinishedRuns, check_outputs
from fitlib.report.provenance import identities
from fitlib.report.vocabulary import NOISE_MEANINGS, epoch
from fitlib.statistics.run_identity import SEEN_FROM_OUTSIDE, check_control, check_fit
from fitlib.storage.atomic_files import read_json
from fitlib.storage.journal import deviations
from fitlib.storage.keys import changed_parts
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.predictions import write_predictions
from fitlib.storage.records import write_record

OWN = Path(__file__).parents[1] / "own"
NOTEBOOK = {"notebook": "simulated.ipynb", "techniques": {"A": {}}}
FUNCTION = {"callable": "simulated:train", "techniques": {"A": {}}}
TWO = {"A": {}, "B": {"parameters": {"share": 0.05}}}
NAMES = {"classes": ["no", "yes"], "groups": {"sex": ["f", "m"]}}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: copies of the notebooks and modules of tests/own."""
    for path in OWN.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(fields, **more):
    """The experiment of a file with these fields, as `fitlib plan` and `fitlib run` read it."""
    Path("x.yaml").write_text(yaml.safe_dump({**fields, **more}, sort_keys=False))
    return read_experiment(Path("x.yaml"))


def edit(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def cell(text, tags=("parameters",)):
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": [text], "outputs": []}


def notebook(name, *cells, **metadata):
    Path(name).write_text(json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return {"notebook": name, "techniques": {"A": {}}}


def module(text):
    Path("mine.py").write_text(text)
    return {"callable": "mine:train", "techniques": {"A": {}}}


# Before any work

BAD = {
    "no notebook": (lambda: {**NOTEBOOK, "notebook": "gone.ipynb"}, "notebook = 'gone.ipynb': no such file"),
    "no JSON": (lambda: {**NOTEBOOK, "notebook": "rows.py"}, "notebook = 'rows.py': not a notebook"),
    "another language": (lambda: notebook("r.ipynb", kernelspec={"language": "R"}), "a notebook of R; use a Python"),
    "no parameters cell": (lambda: notebook("n.ipynb", cell("run_dir = ''", ())), "0 cells are tagged 'parameters'"),
    "no run_dir": (lambda: notebook("n.ipynb", cell("seed = 0")), "no parameter run_dir; add run_dir"),
    "no Python": (lambda: notebook("n.ipynb", cell("run_dir = ")), "the cell is not valid Python (line 1)"),
    "unknown parameter": (
        lambda: {**NOTEBOOK, "parameters": {"shar": 1}},
        "parameters.shar = 1: notebook sim.*'share'",
    ),
    "given by fitlib": (lambda: {**NOTEBOOK, "parameters": {"seed": 1}}, "parameters.seed = 1: given by fitlib"),
    "not a number": (lambda: {**NOTEBOOK, "parameters": {"share": [float("nan")]}}, "should be a finite number"),
    "no input": (lambda: {**NOTEBOOK, "inputs": ["gone.csv"]}, "inputs = 'gone.csv': no such file"),
    "a folder as input": (lambda: {**NOTEBOOK, "inputs": ["."]}, "inputs = '.': a folder"),
    "two sources": (lambda: {**NOTEBOOK, "callable": "simulated:train"}, "beside a notebook; keep one of them"),
    "a method too": (
        lambda: {**NOTEBOOK, "techniques": {"A": {"method": "baseline"}}},
        "techniques.A.method = 'baseline': the technique is trained by notebook simulated.ipynb",
    ),
    "bare yes and no": (lambda: {**NOTEBOOK, "classes": [False, True]}, "classes.0 = False.*quote it"),
    "classes alone": (lambda: {**NOTEBOOK, "classes": ["a", "b"]}, "groups = None: classes and groups go together"),
    "noise without effect": (
        lambda: {**notebook("n.ipynb", cell("run_dir = ''; run = 0")), "noise": "ulp"},
        "noise = None: notebook n.ipynb has no parameter noise",
    ),
    "seeds without effect": (
        lambda: {**notebook("n.ipynb", cell("run_dir = ''")), "seeds": [0, 1]},
        "seeds = None: notebook n.ipynb has no parameter seed",
    ),
    "a seed of the noise without effect": (
        lambda: {**notebook("n.ipynb", cell("run_dir = ''; run = 0; noise = {}")), "noise": "ulp", "noise_seed": 3},
        "noise_seed = None: notebook n.ipynb has no parameter noise_seed",
    ),
    "no form": (lambda: {**FUNCTION, "callable": "simulated.train"}, "not of the form package.module:function"),
    "no module": (lambda: {**FUNCTION, "callable": "gone.there:f"}, "there is no module gone.there"),
    "no function of the name": (lambda: {**FUNCTION, "callable": "simulated:trian"}, "no trian in .*mean 'train'"),
    "a class": (lambda: {**FUNCTION, "callable": "simulated:Trainer"}, "Trainer is a class, not a function"),
    "a value": (lambda: {**FUNCTION, "callable": "simulated:RUNS"}, "RUNS is a value, not a function"),
    "an async function": (lambda: {**FUNCTION, "callable": "simulated:later"}, "later is an async function, no"),
    "a module that is no Python": (lambda: module("def train(:"), "mine.py is not valid Python (line 1)"),
    "unknown argument": (lambda: {**FUNCTION, "parameters": {"shares": 1}}, "parameters.shares.*mean 'share'"),
    "a value is missing": (lambda: module("def train(seed, data_path): 0"), "parameters.data_path = None.*needs it"),
    "parameters that nobody takes": (
        lambda: {"techniques": {"A": {"method": "baseline", "parameters": {"share": 1}}}},
        "techniques.A.parameters = .*fitlib trains this technique",
    ),
    "inputs that nobody reads": (
        lambda: {"inputs": ["rows.py"], "techniques": {"A": {"method": "baseline"}}},
        "inputs = .*fitlib trains every technique",
    ),
    "a network that nobody trains": (lambda: {**FUNCTION, "network": "mlp"}, "network = 'mlp': no technique of this"),
    "what auto means": (
        lambda: {"techniques": {"A": {"notebook": "simulated.ipynb"}, "B": {"method": "baseline"}}, "baseline": "A"},
        "noise = 'auto'.*choose one",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line_before_any_work(name, here):
    make, messages = BAD[name]
    with pytest.raises(InputError) as caught:
        read(make())
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=messages.replace("(", r"\(").replace(")", r"\)")):
        raise caught.value


def test_a_function_is_found_without_executing_its_module(here):
    experiment = read(module("import no_such_module\nraise SystemExit\ndef train(run_dir, width=3): 0"))
    assert experiment.trainings[0].source.method == "callable mine:train"
    with pytest.raises(InputError, match=r"did you mean 'width'"):
        read(module("raise SystemExit\ndef train(run_dir, width=3): 0"), parameters={"widht": 1})


@pytest.mark.parametrize(
    "text",
    ["from rows import predicted as train", "import functools\ntrain = functools.partial(print)", "@f\ndef train(): 0"],
    ids=["of another module", "made by a call", "decorated"],
)
def test_what_cannot_be_told_from_the_source_is_not_refused(text, here):
    known = {"share": 1, "seed_of_rows": 2} if "rows" not in text else {"size": 3}
    if "rows" in text:
        edit("rows.py", "seed, run, share, size=120", "seed=0, run=0, share=0, size=120")
    assert read(module(text), parameters=known)


def test_a_module_in_a_package_is_found(here):
    Path("work/inner").mkdir(parents=True)
    Path("work/inner/mine.py").write_text("from ..shared import x\ndef train(run_dir): 0")
    Path("work/__init__.py").write_text("")
    Path("work/shared.py").write_text("x = 1")
    experiment = read({**FUNCTION, "callable": "work.inner.mine:train"})
    old = parts(experiment)
    Path("work/shared.py").write_text("x = 2")
    assert changed_parts(old, parts(read({**FUNCTION, "callable": "work.inner.mine:train"}))) == ["code"]


# The plan


def planned(experiment, folder="out"):
    return Plan(experiment, ExperimentPaths(Path(folder)))


def parts(experiment, number=0):
    return planned(experiment).runs[number].key_parts


def test_techniques_with_equal_source_and_parameters_share_a_training(here):
    experiment = read({**FUNCTION, "techniques": {**TWO, "C": {"parameters": {"share": 0.05}}}, "baseline": "A"})
    assert [(t.name, list(t.techniques)) for t in experiment.trainings] == [
        ("simulated.train", ["A"]),
        ("simulated.train.B", ["B", "C"]),
    ]


def test_parameters_are_merged_and_the_techniques_win(here):
    experiment = read(FUNCTION | {"techniques": TWO, "parameters": {"share": 0.2, "fault": "x"}, "baseline": "A"})
    assert [t.source.parameters for t in experiment.trainings] == [
        {"share": 0.2, "fault": "x"},
        {"share": 0.05, "fault": "x"},
    ]


def test_noise_auto_is_native_and_the_control_arm_stays(here):
    assert [arm.name for arm in read(FUNCTION).arms] == ["native", "none"]


def test_what_a_training_varies_by_itself_is_a_noise_and_its_control_runs_share_an_index(here):
    module("def train(run_dir, run): pass")
    experiment = read({"callable": "mine:train", "techniques": {"A": {}}, "noise": "run", "runs": 3})
    assert [(arm.name, arm.kind) for arm in experiment.arms] == [("run", "varied"), ("none", "control")]
    runs = {(run.arm.name, run.index): run.parameters["run"] for run in planned(experiment).runs}
    assert runs == {("run", 0): 0, ("run", 1): 1, ("run", 2): 2, ("none", 0): 0, ("none", 1): 0}
    assert {noise: entry.summary.removeprefix("varied: ") for noise, entry in VARIATIONS.items()}.items() <= (
        NOISE_MEANINGS.items()
    )


def test_a_function_that_does_not_take_the_index_cannot_vary_with_it(here):
    module("def train(run_dir): pass")
    with pytest.raises(InputError, match="callable mine:train has no parameter run"):
        read({"callable": "mine:train", "techniques": {"A": {}}, "noise": "run"})


def test_trainings_of_fitlib_do_not_vary_by_themselves():
    with pytest.raises(InputError, match="only custom trainings vary it"):
        make_experiment({"techniques": {"A": {"method": "baseline"}}, "noise": "order"}, "x", "x")


def test_a_recorder_applies_the_noise(here):
    module("def train(recorder): pass")
    assert read({"callable": "mine:train", "techniques": {"A": {}}, "noise": "ulp"}).arms[0].kind == "emulated"


def test_a_label_names_the_training(here):
    experiment = read({**FUNCTION, "label": "My forest"})
    assert (experiment.trainings[0].name, experiment.trainings[0].source.method) == ("My-forest", "My forest")
    assert make_experiment(experiment.declared, "declared", "x").declared == experiment.declared


def test_the_declared_plan_is_itself_an_experiment_file(here):
    experiment = read({**NOTEBOOK, "techniques": TWO, "baseline": "A", **NAMES, "inputs": ["rows.py"]})
    assert make_experiment(experiment.declared, "declared", "x").declared == experiment.declared


def test_each_run_gets_its_seed_and_what_the_notebook_takes(here):
    experiment = read({**NOTEBOOK, "seeds": [0, 3], "data": "digits-s"})
    given = [run.parameters for run in planned(experiment).runs]
    assert {p["seed"] for p in given} == {0, 3}
    assert set(given[0]) == {"noise", "seed", "run", "techniques"}  # neither device, threads nor data
    assert planned(read(FUNCTION, data="digits-s")).runs[0].parameters["seed"] == 0


def test_data_is_passed_on_and_described_only_where_the_file_names_it(here):
    plain, named = read(FUNCTION), read(FUNCTION, data={"name": "digits-s"})
    assert planned(named).runs[0].parameters["data"]["name"] == "digits-s"
    assert "data" not in planned(plain).runs[0].parameters
    assert named.families[0].has_names and not plain.families[0].has_names


def test_trainings_whose_names_are_not_known_yet_join_the_family_that_is(here):
    techniques = {"A": {"method": "baseline", "data": "digits-s"}, "B": {"callable": "simulated:train"}}
    (family,) = read({"techniques": techniques, "baseline": "A", "noise": "native"}).families
    assert family.techniques == {"A", "B"} and len(family.classes) == 10


CAUSES = {
    "code of the notebook": ("notebook", lambda: edit("simulated.ipynb", "run + 1", "run + 2")),
    "a module that a module imports": ("code", lambda: edit("chances.py", "< chances", "<= chances")),
    "an input": ("inputs", lambda: Path("input.csv").write_text("b")),
    "a file that a parameter names": ("inputs", lambda: Path("table.csv").write_text("b")),
    "another package": ("versions", lambda: None),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_changes_its_own_part_of_the_key(cause, here, monkeypatch):
    part, change = CAUSES[cause]
    edit("simulated.ipynb", "# of wrong predictions", "# of wrong predictions\\ntables = []")
    Path("input.csv").write_text("a")
    Path("table.csv").write_text("a")
    fields = {**NOTEBOOK, "inputs": ["input.csv"], "parameters": {"tables": ["table.csv", "no file" * 999]}}
    old = parts(read(fields))
    change()
    if part == "versions":
        monkeypatch.setattr("fitlib.experiment.custom_training.versions", lambda kind: {"pandas": "9"})
    assert changed_parts(old, parts(read(fields))) == [part]


def test_another_version_of_a_package_that_the_code_imports_changes_its_key(here, monkeypatch):
    fields = module("import os, gone\nfrom papermill import execute\ndef train(run_dir):\n    return None\n")
    old = parts(read(fields))
    monkeypatch.setattr(
        "fitlib.experiment.custom_training.version", lambda name: "9" if name == "papermill" else version(name)
    )
    assert changed_parts(old, parts(read(fields))) == ["versions"]


def test_text_and_outputs_of_a_notebook_and_other_files_change_no_key(here):
    old = parts(read(NOTEBOOK))
    edit("simulated.ipynb", "Nothing is learnt", "Nothing at all is learnt")
    edit("simulated.ipynb", '"outputs": []', '"outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}]')
    Path("other.py").write_text("x = 1")
    assert not changed_parts(old, parts(read(NOTEBOOK)))


def test_a_technique_s_own_parameters_change_no_other_run(here):
    old = read({**FUNCTION, "techniques": TWO, "baseline": "A"})
    new = read({**FUNCTION, "techniques": TWO | {"B": {"parameters": {"share": 0.2}}}, "baseline": "A"})
    keys = [{run.spec.name: run.key_parts for run in planned(e).runs} for e in (old, new)]
    changed = [name for name in keys[0] if keys[0][name] != keys[1][name]]
    assert changed == ["simulated.train.B"]


def test_a_source_that_is_gone_leaves_a_status(here):
    experiment = make_experiment({**NOTEBOOK, "notebook": "gone.ipynb"}, "declared", "x")
    assert planned(experiment, here).runs[0].state().state == "new"


# What a run saved


def columns(**changes):
    generator = np.random.default_rng(0)
    truth, sex = generator.integers(0, 2, 40), np.array(["f", "m"])[generator.integers(0, 2, 40)]
    text = np.array(["no", "yes"])
    return {"ground_truth": text[truth], "prediction": text[truth], "protected": {"sex": sex}, **changes}


def shuffled():
    order, found = np.r_[20:40, 0:20], columns()
    protected = {"sex": found["protected"]["sex"][order]}
    return {**{name: found[name][order] for name in ("ground_truth", "prediction")}, "protected": protected}


def shorter():
    found = columns()
    return {
        **{n: found[n][:30] for n in ("ground_truth", "prediction")},
        "protected": {"sex": found["protected"]["sex"][:30]},
    }


class Runs:
    """Runs of an experiment, saved by hand and checked one after the other."""

    def __init__(self, folder, fields, **more):
        self.experiment = read(fields, **more)
        self.plan = planned(self.experiment, folder / "out")
        self.main = [run for run in self.plan.runs if run.arm.role == "main"]
        self.finished = FinishedRuns(self.experiment.families, [])

    def save(self, run, **saved):
        """Save {technique: columns} as a run's outputs; None: without a technique's name."""
        folder = run.folder
        folder.mkdir(parents=True)
        for technique, found in saved.items():
            save_predictions(folder, technique=None if technique == "unnamed" else technique, **found)
        check_outputs(folder, run, self.finished)
        write_record(folder, "train", run.key_parts, ["names.json"])


def second_run(here, **saved):
    runs = Runs(here, FUNCTION, runs=2)
    runs.save(runs.main[0], A=columns())
    runs.save(runs.main[1], **saved)


FAULTS = {
    "nothing": (dict, "the training saved no predictions: end with fitlib.save_predictions"),
    "another technique": (lambda: {"Z": columns()}, r'no predictions of A \(saved: Z\): save them with technique="A"'),
    "the wrong number of rows": (lambda: {"A": shorter()}, "30 test rows, but .*run-0. has 40"),
    "another order": (lambda: {"A": shuffled()}, "another order .*give idx"),
    "other rows": (lambda: {"A": columns(ground_truth=columns()["ground_truth"][::-1])}, "other test rows"),
    "other idx": (lambda: {"A": columns(idx=range(1, 41))}, "idx is 1 in row 0, .* has 0"),
    "other classes": (
        lambda: {"A": columns(classes=["yes", "no"])},
        r"classes yes, no are not those of .*run-0. \(no, yes\): give the same classes",
    ),
    "other attributes": (
        lambda: {"A": columns(protected=columns()["protected"]["sex"])},
        "protected attributes protec",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_that_saved_something_else_than_the_runs_before_is_refused(fault, here):
    make, messages = FAULTS[fault]
    with pytest.raises(RunFailed, match=messages) as caught:
        second_run(here, **make())
    assert "\n" not in str(caught.value) and str(here) not in str(caught.value)


def test_predictions_in_any_order_are_fine_where_idx_tells_it(here):
    order = np.r_[20:40, 0:20]
    second_run(here, A={**shuffled(), "idx": order})


def test_a_file_without_a_technique_is_that_of_the_only_one(here):
    second_run(here, unnamed=columns())
    found = sorted(path.name for path in here.rglob("predictions/*"))
    assert found == ["A.parquet", "A.parquet"]


def test_one_training_saves_a_file_for_each_of_its_techniques(here):
    runs = Runs(here, {"callable": "simulated:both", "techniques": {"A": {}, "B": {}}, "baseline": "A"})
    runs.save(runs.main[0], A=columns(), B=columns())
    with pytest.raises(RunFailed, match=r"no predictions of B \(saved: A\)"):
        runs.save(runs.main[1], A=columns())


def test_techniques_must_agree_on_classes_and_groups(here):
    runs = Runs(here, FUNCTION, techniques=TWO, baseline="A")
    first, other = (next(t for t in runs.main if name in t.spec.techniques) for name in "AB")
    runs.save(first, A=columns())
    with pytest.raises(RunFailed, match=r"groups of sex m, f are not those of simulated.train/native"):
        runs.save(other, B=columns(groups={"sex": ["m", "f"]}))


def test_declared_names_stand_for_plain_numbers_and_must_else_be_the_same(here):
    runs = Runs(here, FUNCTION, classes=["bad", "good"], groups={"sex": ["f", "m"]})
    runs.save(runs.main[0], A=columns(ground_truth=[0, 1] * 20, prediction=[0, 1] * 20))
    with pytest.raises(RunFailed, match=r"classes no, yes are not those declared \(bad, good\)"):
        runs.save(runs.main[1], A=columns())


def test_a_declared_noise_must_have_been_applied(here):
    runs = Runs(here, FUNCTION, noise="ulp")
    with pytest.raises(RunFailed, match=r"noise ulp was declared, but the training never applied it: .*Recorder"):
        runs.save(runs.main[0], A=columns())


def test_another_noise_than_the_declared_one_is_refused(here):
    runs = Runs(here, FUNCTION)
    folder = runs.main[0].folder
    save_predictions(folder, technique="A", **columns())
    mark = read_json(folder / "fingerprint.json")
    (folder / "fingerprint.json").write_text(json.dumps(mark | {"noise": {"name": "ulp", "applied": True}}))
    with pytest.raises(RunFailed, match="applied noise ulp, but native was declared"):
        check_outputs(folder, runs.main[0], runs.finished)


@pytest.mark.parametrize(("name", "value"), [("run", 0), ("step", 0)])
def test_an_emulated_noise_of_another_run_or_other_options_is_refused(name, value, here):
    runs = Runs(here, FUNCTION, noise={"name": "ulp", "step": 2}, runs=2)
    run = next(run for run in runs.main if run.index == 1)
    folder = run.folder
    save_predictions(folder, technique="A", **columns())
    mark = read_json(folder / "fingerprint.json")
    applied = {**run.arm.noise, "run": 1, "applied": True}
    (folder / "fingerprint.json").write_text(json.dumps(mark | {"noise": applied}))
    check_outputs(folder, run, runs.finished)
    (folder / "fingerprint.json").write_text(json.dumps(mark | {"noise": applied | {name: value}}))
    with pytest.raises(
        RunFailed, match=f"applied noise ulp with {name} 0, not [12]: give the parameters run and noise"
    ):
        check_outputs(folder, run, runs.finished)


def test_predictions_that_were_written_otherwise_are_no_evidence(here):
    runs = Runs(here, FUNCTION)
    folder = runs.main[0].folder
    (folder / "predictions").mkdir(parents=True)
    write_predictions(folder / "predictions/A.parquet", *(np.arange(4) % 2 for _ in range(4)))
    with pytest.raises(RunFailed, match=r"no fingerprint.json: end with fitlib.save_predictions"):
        check_outputs(folder, runs.main[0], runs.finished)


def test_the_runs_of_an_earlier_command_are_compared_too(here):
    runs = Runs(here, FUNCTION, runs=2)
    runs.save(runs.main[0], A=columns())
    runs.finished = FinishedRuns(runs.experiment.families, runs.main[:1])
    with pytest.raises(RunFailed, match="30 test rows"):
        runs.save(runs.main[1], A=shorter())


# The analysis


@pytest.fixture
def declared(monkeypatch):
    known = {"declared_hash": "h", "finished_runs_at_declaration": 0}
    monkeypatch.setattr("fitlib.execution.analysis_inputs.read_declared", lambda paths: known)


def finished_inputs(runs):
    for run in runs.main:  # records as the batch writes them
        folder = run.folder
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "record.json")
        write_record(folder, "train", run.key_parts, names)
    return family_inputs(runs.plan, runs.experiment.families[0], runs.plan.states())


def test_names_come_from_the_runs_where_nobody_declared_them(here, declared):
    runs = Runs(here, FUNCTION, runs=2, analysis={"cross": [["sex", "age"]]})
    ages = np.array(["old", "young"])[np.arange(40) % 2]
    for run in runs.main:
        runs.save(run, A=columns(protected={**columns()["protected"], "age": ages}))
    inputs = finished_inputs(runs)
    assert inputs.plan["classes"] == ["no", "yes"]
    assert inputs.plan["groups"] == {
        "sex": ["f", "m"],
        "age": ["old", "young"],
        "sex x age": ["f & old", "f & young", "m & old", "m & young"],
    }
    assert inputs.plan["techniques"][0]["method"] == "callable simulated:train"
    assert epoch(inputs.plan) == ", epoch as the own training chose"


def test_what_the_analysis_names_is_checked_when_the_names_are_known(here, declared):
    runs = Runs(here, FUNCTION, runs=1, analysis={"cross": [["sex", "age"]]})
    runs.save(runs.main[0], A=columns())
    with pytest.raises(InputError, match=r"analysis.cross = 'age': unknown protected attribute"):
        finished_inputs(runs)


def test_other_test_rows_and_predictions_that_nobody_planned_are_told(here, declared):
    runs = Runs(here, FUNCTION, techniques=TWO, baseline="A", runs=1)
    for run in runs.main:
        runs.save(run, **({"A": columns()} if "A" in run.spec.techniques else {"B": shorter(), "Z": shorter()}))
    messages = finished_inputs(runs).plan["deviations"]
    assert "B was tested on other rows than A: the test set differs with the technique" in messages
    assert "simulated.train.B also saved predictions of Z: no technique of the plan, so left out" in messages


def test_runs_that_were_seen_from_outside_are_never_said_to_be_more(here, declared):
    runs = Runs(here, FUNCTION, runs=2)
    for run in runs.main:
        runs.save(run, A=columns())
    inputs = finished_inputs(runs)
    found = check_fit(inputs.evidence, "simulated.train", "native")
    assert found.fit is True and not found.recorded and found.text.endswith(SEEN_FROM_OUTSIDE)
    (messages,) = identities(inputs.plan, inputs.evidence)
    assert "the predictions of all 2 runs are bit-identical (SHA-256), so the noise changed no prediction" in messages
    assert "weights are" not in messages and "started from identical" not in messages


def test_a_control_arm_without_weights_compares_predictions(here):
    entry = {"training": "t", "arm": "none", "seed": 0, "role": "control", "status": "done", "parts": {"python": "3"}}
    entry |= {"final_weights": "", "recorded": False, "predictions": {"A": "p"}, "error": ""}
    control = check_control([{**entry, "run": run} for run in range(2)], "t")
    assert control.text == "identical in 2 of 2 (predictions, by SHA-256)"
    other = {**entry, "run": 1, "predictions": {"A": "q"}}
    assert check_control([{**entry, "run": 0}, other], "t").identical is False


# Executed


@pytest.fixture
def without_analysis(monkeypatch):
    monkeypatch.setattr("fitlib.execution.analysis_inputs.ExperimentAnalysis.tasks", lambda *_: [])
    monkeypatch.setattr(
        "fitlib.execution.analysis_inputs.ExperimentAnalysis.write_reports",
        lambda _, result, *__: Outcome(failures=result.failures),
    )


def run(experiment, only=(), replace=False):
    paths = ExperimentPaths(Path("outputs") / experiment.name)
    return run_experiment.run_experiment(experiment, paths, 2, only, replace, Progress()), paths


def executed(paths):
    lines = [json.loads(line) for line in paths.events.read_text().splitlines()]
    return sorted(line["task"] for line in lines if line["event"] == "started" and line["kind"] == "train")


def test_only_what_a_run_saved_decides_and_the_others_go_on(here, without_analysis):
    edit("simulated.ipynb", "import rows", "import rows\\n\\nassert share != 2, 'the loss\\\\nbecame nan'")
    techniques = {
        "A": {"callable": "simulated:train", "parameters": {"fault": "nothing"}},
        "B": {"notebook": "simulated.ipynb", "parameters": {"share": 2}},
        "C": {"notebook": "simulated.ipynb"},
    }
    outcome, paths = run(read({"techniques": techniques, "baseline": "C", "runs": 1, "control_runs": 0}))
    failed = sorted(line.splitlines()[0].partition(": ")[0] for line in outcome.failures)
    assert failed == ["simulated.train/native/run-00", "simulated/native/run-00"]
    assert any("saved no predictions" in line for line in outcome.failures)
    folder = paths.root / "runs/simulated.C/native/run-00"
    assert (folder / "record.json").exists() and (folder / "train.ipynb").exists()
    assert not list(paths.root.rglob("call.ipynb"))


def test_a_changed_notebook_replaces_nothing_unless_it_is_said(here, without_analysis):
    fields = {**NOTEBOOK, "runs": 1, "control_runs": 0, "classes": NAMES["classes"], "groups": NAMES["groups"]}
    _, paths = run(read(fields))
    run(read(fields))
    assert executed(paths) == ["simulated/native/run-00"]  # the second command had nothing to do
    edit("simulated.ipynb", "run + 1", "run + 2")
    with pytest.raises(InputError, match=r"1 finished runs would be replaced .*notebook changed; .*--replace"):
        run(read(fields))
    run(read(fields), replace=True)
    assert executed(paths) == ["simulated/native/run-00"] * 2 and (paths.superseded / "runs").is_dir()
    assert "notebook changed" in " ".join(deviations(paths))


def test_code_that_is_edited_while_runs_go_on_fails_them(here, without_analysis):
    experiment = read({**NOTEBOOK, "runs": 1, "control_runs": 0})
    parts(experiment)
    edit("chances.py", "< chances", "<= chances")
    outcome, _ = run(experiment)
    assert "code changed while the experiment ran" in outcome.failures[0]


@pytest.mark.slow
def test_a_recorded_training_has_full_identity_and_the_declared_noise(here, fitlib_command):
    fields = {"techniques": {"A": {"notebook": "recorded.ipynb"}}, "noise": "ulp", "runs": 3, "seeds": [0, 1]}
    read(fields)
    done = fitlib_command("run", "x.yaml", "--jobs", 2, cwd=here)
    assert done.returncode == 0, done.stderr
    evidence = here / "outputs/x/runs/recorded/ulp/run-01/fingerprint.json"
    mark = json.loads(evidence.read_text())
    assert mark["recorded"] and mark["noise"]["applied"] and "initial weights" in mark["parts"]
    report = (here / "outputs/x/report.html").read_text()
    assert "started from identical weights and data" in report and SEEN_FROM_OUTSIDE not in report
    again = fitlib_command("run", "x.yaml", "--set", "parameters.recorded=false", "--replace", cwd=here)
    assert again.returncode == 1 and "noise ulp was declared, but the training never applied it" in again.stderr


@pytest.mark.slow
def test_from_a_function_to_a_report_from_the_command_line(here, fitlib_command):
    read({**FUNCTION, "techniques": TWO, "baseline": "A", "runs": 2, "analysis": {"favourable": "yes"}})
    assert "simulated.train.B/native/run-00…01" in fitlib_command("plan", "x.yaml", cwd=here).stdout
    part = fitlib_command("run", "x.yaml", "--only", "A", cwd=here)
    assert part.returncode == 0, part.stderr
    done = fitlib_command("run", "x.yaml", cwd=here)
    assert done.returncode == 0, done.stderr
    root = here / "outputs/x"
    report, index = (root / "report.html").read_text(), (root / "index.html").read_text()
    assert SEEN_FROM_OUTSIDE in report and "callable simulated:train" in report and "proven" not in report
    assert "identical in 2 of 2 (predictions, by SHA-256)" in report
    assert "runs/simulated.train/native/run-00/train.html" in index
    assert "runs/simulated.train/native/run-00/train.html" in report
    started = executed(ExperimentPaths(root))
    again = fitlib_command("run", "x.yaml", cwd=here)
    assert again.returncode == 0 and executed(ExperimentPaths(root)) == started
    assert "8 done of 8 runs" in fitlib_command("status", "x", cwd=here).stdout
    assert fitlib_command("report", "x", cwd=here).returncode == 0
    assert latest_plan(ExperimentPaths(root))["techniques"]["B"]["parameters"] == {"share": 0.05}
    edit("chances.py", "< chances", "<= chances")
    changed = fitlib_command("run", "x.yaml", cwd=here)
    assert changed.returncode == 2 and "code changed" in changed.stderr
    (here / "simulated.py").unlink()
    assert "0 done" not in fitlib_command("status", "x", cwd=here).stdout
    assert fitlib_command("plan", "x.yaml", cwd=here).returncode == 2


# Trainings that stop by themselves


def recorded(run, orders):
    parts = {"data order": f"hash of all {len(orders)} orders", "seed": "0"}
    shared = {"training": "t", "arm": "ulp", "role": "main", "status": "done"}
    return {**shared, "run": run, "parts": parts, "orders": list(orders)}


@pytest.mark.parametrize(("second", "fit"), [("abc", True), ("ab", True), ("axc", False), ("ax", False)])
def test_the_order_of_the_data_is_compared_over_the_epochs_that_all_runs_reached(second, fit):
    entries = [recorded(0, "abc"), recorded(1, second)]
    if len(second) == 3:
        entries[1]["parts"]["data order"] += "" if second == "abc" else " that differ"
    compare_shared_epochs(entries)
    assert check_fit(entries, "t", "ulp").fit is fit
    assert not any("orders" in e for e in entries)
