"""An experiment file is checked completely, and equal experiments are equal values."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fitlib.errors import InputError
from fitlib.experiment.parse import make_experiment, read_experiment
from fitlib.yaml_files import read_yaml

PARAMS = Path(__file__).parents[2] / "params"
GOOD = {
    "techniques": {
        "S-Base": {"method": "baseline"},
        "S-DI1": {"method": "domain-independent", "inference": "conditional"},
        "S-DI2": {"method": "domain-independent", "inference": "sum"},
    },
    "baseline": "S-Base",
}


def make(**changes):
    return make_experiment({**GOOD, **changes}, "x.yaml", "x")


def technique(**fields):
    return {"techniques": {"T": {"method": "baseline", **fields}}, "baseline": "T"}


def test_techniques_with_equal_settings_share_a_training():
    experiment = make()
    assert {t.name: list(t.techniques) for t in experiment.trainings} == {
        "baseline": ["S-Base"],
        "domain-independent": ["S-DI1", "S-DI2"],
    }
    assert [t.uses_protected for t in experiment.techniques] == ["no", "prediction", "training"]


def test_a_second_variant_of_a_method_is_a_training_of_its_own():
    techniques = {**GOOD["techniques"], "Long": {"method": "baseline", "training": {"epochs": 20}}}
    assert [t.name for t in make(techniques=techniques).trainings] == [
        "baseline",
        "domain-independent",
        "baseline.Long",
    ]


ARMS = ["reduction-order", {"name": "ulp", "units": 16}, "none", {"name": "seed", "implementation": "ulp"}]


@pytest.mark.parametrize("arms", [ARMS, ["none", "ulp"], ["ulp", "native"]])
def test_declared_arms_are_those_of_the_experiment_in_their_order(arms):
    experiment = make(arms=arms, runs=5)
    again = make_experiment(yaml.safe_load(yaml.safe_dump(experiment.declared, sort_keys=False)), "y", "x")
    assert again == experiment and again.declared_hash == experiment.declared_hash


def test_the_first_arm_is_the_main_one_and_none_among_the_others_the_control():
    arms = {arm.name: (arm.role, arm.runs) for arm in make(arms=ARMS, runs=5).arms}
    assert arms == {
        "reduction-order": ("main", 5),
        "ulp-x16": ("cause", 5),
        "seed-ulp": ("cause", 5),
        "none": ("control", 5),
    }
    assert make(arms=["ulp", "native"], runs=5, control_runs=2).arms[-1].runs == 2


def test_the_declared_plan_is_itself_an_experiment_file_for_the_same_experiment():
    experiment = make(runs=3, training={"epochs": 2}, noise={"name": "ulp", "step": 7})
    again = make_experiment(yaml.safe_load(yaml.safe_dump(experiment.declared, sort_keys=False)), "y", "x")
    assert again == experiment and again.declared_hash == experiment.declared_hash


def test_the_name_is_no_part_of_the_plan_but_everything_else_is():
    first = make_experiment({**GOOD, "name": "one"}, "f", "f")
    second = make_experiment({**GOOD, "name": "two"}, "f", "f")
    assert first.declared_hash == second.declared_hash
    changes = [{"runs": 4}, {"noise_seed": 1}, {"seeds": [1]}, {"training": {"epochs": 2}}, {"control_runs": 0}]
    changes += [{"analysis": {"smallest_effect": 0.02}}, {"noise": "native"}, {"threads": 2}]
    changes += [{"techniques": dict(reversed(GOOD["techniques"].items()))}]
    assert len({make(**c).declared_hash for c in changes} | {first.declared_hash}) == len(changes) + 1


@pytest.mark.parametrize(
    ("changes", "arms"),
    [
        ({}, ["ulp", "none"]),
        ({"device": "cuda"}, ["native", "none"]),
        ({"noise": "reduction-order"}, ["reduction-order", "none"]),
        ({"noise": {"name": "ulp", "step": 100}}, ["ulp-k100", "none"]),
        ({"noise": {"name": "ulp", "step": 9, "units": 16, "entropy": "os"}}, ["ulp-k9-x16-os", "none"]),
        ({"arms": ["auto", {"name": "threads", "most": 4}, "seed-init"]}, ["ulp", "threads-t4", "seed-init", "none"]),
        ({"arms": ["none", {"name": "seed", "implementation": "ulp"}]}, ["none", "seed-ulp"]),
        ({"arms": ["ulp", "native"], "seeds": [2, 1]}, ["seed2.ulp", "seed1.ulp", "seed2.native", "seed2.none"]),
        ({"noise": "none"}, ["none"]),
        ({"control_runs": 0}, ["ulp"]),
        ({"seeds": [3]}, ["seed3.ulp", "seed3.none"]),
        ({"seeds": [0, 3]}, ["ulp", "seed3.ulp", "none"]),
        ({"seeds": [3, 0]}, ["seed3.ulp", "ulp", "seed3.none"]),
        ({"seeds": [0, 1], "noise": "none"}, ["none", "seed1.none"]),
        ({"seeds": [0, 1], "noise": {"name": "ulp", "step": 5}}, ["ulp-k5", "seed1.ulp-k5", "none"]),
    ],
)
def test_arms(changes, arms):
    assert [arm.name for arm in make(**changes).arms] == arms


def test_every_seed_has_a_main_arm_with_all_runs_and_the_first_one_the_control_arm():
    experiment = make(seeds=[5, 0, 7], runs=3, control_runs=2)
    assert [(arm.seed, arm.role, arm.runs) for arm in experiment.arms] == [
        (5, "main", 3),
        (0, "main", 3),
        (7, "main", 3),
        (5, "control", 2),
    ]


def test_the_declared_looks_and_protocol_are_part_of_the_plan():
    experiment = make(seeds=[0, 4], analysis={"looks": [5, 8, 16], "protocol": "paper"})
    assert experiment.declared["analysis"]["looks"] == [5, 8, 16] and experiment.declared["seeds"] == [0, 4]
    assert make_experiment(experiment.declared, "y", "x") == experiment
    assert len({experiment.declared_hash, make(seeds=[0, 4]).declared_hash, make().declared_hash}) == 3


def test_attributes_of_the_data_set_may_be_crossed(monkeypatch):
    two = {"classes": ["a", "b"], "groups": {"sex": ["f", "m"], "race": ["x", "y"]}}
    monkeypatch.setattr("fitlib.experiment.families.describe", lambda data: two)
    assert make(analysis={"cross": [["sex", "race"]]}).declared["analysis"]["cross"] == [["sex", "race"]]
    with pytest.raises(InputError, match="crossed twice"):
        make(analysis={"cross": [["sex", "race"], ["race", "sex"]]})


OWN = sorted(path for path in PARAMS.glob("*.yaml") if path.stem != "paper-smoke")  # needs data: test_paper_params


@pytest.mark.parametrize("path", OWN, ids=lambda p: p.stem)
def test_every_experiment_file_of_the_project_is_valid(path, request):
    if "$FITLIB_DATA_DIR" in path.read_text():
        request.getfixturevalue("data_dir")  # skips where the data are not here
    assert read_experiment(path).name == path.stem


def test_overrides_reach_nested_fields(tmp_path):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump({**GOOD, "network": "small-cnn"}, sort_keys=False))
    overrides = ["training.epochs=3", "network.width=4", "techniques.S-Base.training.epochs=5", "noise=native"]
    experiment = read_experiment(tmp_path / "e.yaml", overrides, runs=2)
    assert [t.settings["training"]["epochs"] for t in experiment.trainings] == [5, 3]
    assert experiment.trainings[0].settings["network"]["width"] == 4
    assert [(arm.name, arm.runs) for arm in experiment.main_arms] == [("native", 2)]


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    (tmp_path / "e.yaml").write_text("techniques: {T: {method: baseline}}\ntraining: {weight_decay: 5e-4}\n")
    assert read_experiment(tmp_path / "e.yaml").trainings[0].settings["training"]["weight_decay"] == 0.0005


BAD = {
    "unknown field": ({"epoch": 3}, "epoch", 3, "unknown field"),
    "misspelt field": ({"run": 3}, "run", 3, "did you mean 'runs'?"),
    "misspelt nested field": ({"training": {"epoch": 3}}, "training.epoch", 3, "did you mean 'epochs'?"),
    "misspelt analysis field": ({"analysis": {"alfa": 0.1}}, "analysis.alfa", 0.1, "did you mean 'alpha'?"),
    "misspelt technique field": (technique(inferense="x"), "techniques.T.inferense", "x", "did you mean 'inference'?"),
    "wrong type": ({"runs": "many"}, "runs", "many", "integer"),
    "number as text": ({"training": {"epochs": "3"}}, "training.epochs", "3", "integer"),
    "fraction of a run": ({"runs": 2.5}, "runs", 2.5, "integer"),
    "no run": ({"runs": 0}, "runs", 0, "greater than or equal to 1"),
    "negative rate": ({"training": {"learning_rate": -1}}, "training.learning_rate", -1, "greater than 0"),
    "not finite": ({"training": {"learning_rate": float("nan")}}, "training.learning_rate", float("nan"), "finite"),
    "unknown method": (technique(method="base-line"), "techniques.T.method", "base-line", "did you mean 'baseline'?"),
    "unknown data set": ({"data": "digit-s"}, "data", "digit-s", "did you mean 'digits-s'?"),
    "unknown option": ({"data": {"name": "digits-s", "skw": 0.9}}, "data.skw", 0.9, "did you mean 'skew'?"),
    "option out of range": ({"data": {"name": "digits-s", "skew": 1.5}}, "data.skew", 1.5, "less than 1"),
    "unknown network": ({"network": "lstm"}, "network", "lstm", "known: mlp"),
    "noise beside arms": ({"noise": "ulp", "arms": ["ulp"]}, "noise", "ulp", "leave arms out"),
    "no arm": ({"arms": []}, "arms", [], "at least 1 item"),
    "an arm twice": ({"arms": ["ulp", {"name": "ulp", "step": 0}]}, "arms", "ulp", "give every noise"),
    "unknown noise of an arm": ({"arms": ["ulp", "sead"]}, "arms.1.noise", "sead", "did you mean 'seed'?"),
    "unknown implementation": (
        {"arms": [{"name": "seed", "implementation": "seed"}]},
        "arms.0.noise.implementation",
        "seed",
        "'none'",
    ),
    "too few threads": ({"noise": {"name": "threads", "most": 1}}, "noise.most", 1, "greater than or equal to 2"),
    "unknown noise": ({"noise": "ulps"}, "noise", "ulps", "did you mean 'ulp'?"),
    "unknown inference rule": (technique(inference="sum"), "techniques.T.inference", "sum", "known: argmax"),
    "unknown device": ({"device": "tpu"}, "device", "tpu", "'cpu' or 'cuda'"),
    "name with a slash": ({"name": "a/b"}, "name", "a/b", "letters, digits"),
    "name that climbs": ({"name": ".."}, "name", "..", "letters, digits"),
    "name with a space": ({"name": "my run"}, "name", "my run", "letters, digits"),
    "technique with a slash": (
        {"techniques": {"../T": {"method": "baseline"}}},
        "techniques",
        "../T",
        "letters, digits",
    ),
    "technique that is no mapping": ({"techniques": {"T": "baseline"}}, "techniques.T", "baseline", "dictionary"),
    "no technique": ({"techniques": {}}, "techniques", {}, "at least 1"),
    "method is missing": ({"techniques": {"T": {}}}, "techniques.T.method", {}, "field is missing"),
    "baseline not there": ({"baseline": "S-Bas"}, "baseline", "S-Bas", "did you mean 'S-Base'?"),
    "no baseline": ({"baseline": None}, "baseline", None, "choose one of S-Base, S-DI1, S-DI2"),
    "own baseline not there": (
        {"techniques": {**GOOD["techniques"], "T": {"method": "baseline", "baseline": "Z"}}},
        "techniques.T.baseline",
        "Z",
        "not among the techniques",
    ),
    "names differ in case": (
        {"techniques": {**GOOD["techniques"], "s-base": {"method": "baseline"}}},
        "techniques",
        "",
        "rename",
    ),
    "no seed": ({"seeds": []}, "seeds", [], "at least 1"),
    "seed given twice": ({"seeds": [0, 3, 3]}, "seeds", [0, 3, 3], "seed 3 is given twice"),
    "seed that is no number": ({"seeds": [0, "a"]}, "seeds.1", "a", "integer"),
    "no look": ({"analysis": {"looks": []}}, "analysis.looks", [], "[5, 8, 12, 16]"),
    "looks not ascending": ({"analysis": {"looks": [8, 5]}}, "analysis.looks", [8, 5], "ascending"),
    "look given twice": ({"analysis": {"looks": [5, 5]}}, "analysis.looks", [5, 5], "ascending"),
    "look at one run": ({"analysis": {"looks": [1, 5]}}, "analysis.looks", [1, 5], "from 2 on"),
    "look beyond the runs": ({"analysis": {"looks": [5, 17]}}, "analysis.looks", 17, "use at most 16"),
    "unknown attribute": ({"analysis": {"cross": [["protected", "sex"]]}}, "analysis.cross", "sex", "known: protected"),
    "one attribute crossed": ({"analysis": {"cross": [["protected"]]}}, "analysis.cross", ["protected"], "two or more"),
    "crossed with itself": (
        {"analysis": {"cross": [["protected", "protected"]]}},
        "analysis.cross",
        ["protected", "protected"],
        "different",
    ),
    "unknown protocol": ({"analysis": {"protocol": "papers"}}, "analysis.protocol", "papers", "'fitlib' or 'paper'"),
    "unknown metric": ({"analysis": {"family": ["DP", "XX"]}}, "analysis.family", "XX", "known: DP"),
    "class outside the range": ({"analysis": {"favourable": 10}}, "analysis.favourable", 10, "from 0 to 9"),
    "data name that is a list": ({"data": {"name": [1]}}, "data", [1], "known: "),
    "network name that is a list": ({"network": {"name": [1]}}, "network", [1], "known: "),
    "noise name that is a list": ({"noise": {"name": [1]}}, "noise", [1], "known: native"),
    "method name that is a list": (technique(method={"name": [1]}), "techniques.T.method", [1], "known: baseline"),
    "technique name that is a number": ({"techniques": {7: {"method": "baseline"}}}, "techniques", 7, "quote it"),
    "training field that is a number": ({"training": {7: 3}}, "training", 7, "quote it"),
    "analysis field that is a number": ({"analysis": {7: 3}}, "analysis", 7, "quote it"),
    "negative seed": ({"seeds": [-1]}, "seeds.0", -1, "greater than or equal to 0"),
    "seed too large": ({"seeds": [2**31]}, "seeds.0", 2**31, "less than 2147483648"),
    "noise seed too large": ({"noise_seed": 2**31}, "noise_seed", 2**31, "less than 2147483648"),
    "hardly any test digits": (
        {"data": {"name": "digits-s", "test_share": 0.01}},
        "data.test_share",
        0.01,
        "greater than or equal to 0.05",
    ),
    "hardly any training digits": (
        {"data": {"name": "digits-s", "test_share": 0.99}},
        "data.test_share",
        0.99,
        "less than or equal to 0.9",
    ),
    "dropout moved": (
        {"noise": "reduction-order", "network": {"name": "small-cnn", "dropout": 0.5}},
        "network.dropout",
        0.5,
        "noise ulp",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_with_file_field_value_and_remedy(case):
    changes, field, value, remedy = BAD[case]
    with pytest.raises(InputError) as caught:
        make(**changes)
    message = str(caught.value)
    assert message.startswith(f"x.yaml: {field} = ") and "\n" not in message
    assert remedy in message
    assert not value or repr(value) in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("techniques: {T: {method: baseline}\nruns: 3", "line 2"),
        ("runs: 3\nruns: 4\n", "given twice"),
        ("- just\n- a list\n", "not a mapping"),
        ("", "not a mapping"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("name: 2020-13-45", "not valid YAML"),
        ("runs: !!int many", "not valid YAML"),
        ("a: !!bool many", "not valid YAML"),
        ("a: !!timestamp today", "not valid YAML"),
        ("a: " + 5000 * "[", "nested too deeply"),
    ],
)
def test_files_that_are_no_experiment(tmp_path, text, expected):
    path = tmp_path / "e.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_experiment(path)
    assert expected in str(caught.value) and "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- list\n", "text"])
def test_overrides_of_something_that_is_no_experiment(tmp_path, text):
    (tmp_path / "e.yaml").write_text(text)
    for changes in ({"runs": 2}, {"overrides": ["runs=2"]}):
        with pytest.raises(InputError, match="not a mapping"):
            read_experiment(tmp_path / "e.yaml", **changes)


MERGED = """
training: &defaults {epochs: 3, batch_size: 32}
baseline: A
techniques:
  A: {method: baseline}
  B: {method: baseline, training: &longer {<<: *defaults, epochs: 5}}
  C: {method: baseline, training: {<<: *longer, batch_size: 16}}
  D: {method: oversampling, training: *longer}
"""


def loops(experiment):
    return [tuple(t.settings["training"][name] for name in ("epochs", "batch_size")) for t in experiment.trainings]


def test_merge_keys_fill_in_what_is_not_given(tmp_path):
    (tmp_path / "e.yaml").write_text(MERGED)
    assert loops(read_experiment(tmp_path / "e.yaml")) == [(3, 32), (5, 32), (5, 16), (5, 32)]


def test_a_mapping_may_be_merged_before_it_is_made(tmp_path):
    (tmp_path / "e.yaml").write_text("a: {b: &b {<<: &c {x: 1, y: 2}, x: 3}}\nd: {<<: *b, y: 4}\n")
    assert read_yaml(tmp_path / "e.yaml") == {"a": {"b": {"x": 3, "y": 2}}, "d": {"x": 3, "y": 4}}


def test_a_field_given_twice_beside_a_merge_is_refused(tmp_path):
    (tmp_path / "e.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 1, y: 2}\n")
    with pytest.raises(InputError, match="'y' is given twice"):
        read_yaml(tmp_path / "e.yaml")


def test_an_override_changes_one_of_two_that_share_an_alias(tmp_path):
    (tmp_path / "e.yaml").write_text(MERGED)
    experiment = read_experiment(tmp_path / "e.yaml", ["techniques.B.training.epochs=9"])
    assert loops(experiment) == [(3, 32), (9, 32), (5, 16), (5, 32)]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_experiment(tmp_path / "none.yaml")


@pytest.mark.parametrize("override", ["runs", "=3", "runs=[", "", "name=2020-13-45", "seeds.0=3", "runs.x=3"])
def test_bad_overrides(tmp_path, override):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump({**GOOD, "seeds": [1], "runs": 2}))
    with pytest.raises(InputError, match="--set"):
        read_experiment(tmp_path / "e.yaml", [override])


def test_planning_imports_nothing_heavy():
    heavy = "('torch', 'pandas', 'scipy', 'sklearn', 'papermill', 'matplotlib', 'pyarrow')"
    code = "import sys, fitlib.cli.main, fitlib.experiment.plan, fitlib.execution.status; "
    code += f"print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
