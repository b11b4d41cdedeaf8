"""The study's files hold its 27 techniques with its settings: compared with a table written from its description."""

from pathlib import Path

import pytest

from fitlib.errors import InputError
from fitlib.experiment.parse import read_experiment

PARAMS = Path(__file__).parents[2] / "params"
LABELS = {
    "s": ["S-Base", "S-RS", "S-UC", "S-GR", "S-DD1", "S-DD2", "S-DD3", "S-DD4", "S-DI1", "S-DI2"],
    "c": ["C-Base", "C-R1", "C-R2", "C-R3", "C-A4", "C-A5"],
    "i": ["I-Base", "I-R1", "I-R2", "I-R3", "I-A4", "I-A5"],
    "a": ["A-Base", "A-L2", "A-ALM"],
    "n": ["N-Base", "N-Flow"],
}
TRAININGS = {"s": 6, "c": 6, "i": 6, "a": 3, "n": 2}
SGD = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "epochs": 200}
S = {"batch_size": 128, "shift": 4, "flip": True, "select": "last", "bits": None}
S_SGD = {**S, **SGD, "decay_epochs": 50, "decay_factor": 0.1}
S_ADAM = {**S, "optimizer": "adam", "learning_rate": 1e-4, "weight_decay": 3e-4, "epochs": 500, "decay_epochs": None}
CI = {"optimizer": "adam", "weight_decay": 1e-5, "crop": 224, "flip": True, "select": "best-f1", "reseed_stages": True}
CI_PLAIN, CI_PAIRED = {**CI, "batch_size": 32}, {**CI, "batch_size": 80}
A = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.0, "weight_decay": 0.0, "decay_epochs": None}
A |= {"epochs": 100, "batch_size": 256, "flip": False, "shift": 0, "crop": None, "select": "last"}
N = {"optimizer": "radam", "weight_decay": 0.0, "noisy_predictions": True, "select": "last", "decay_epochs": None}
STAGES = {"c": 60, "i": 15}  # epochs of each stage
TRAINING = {
    **dict.fromkeys(LABELS["s"], S_SGD),
    **dict.fromkeys(["S-UC", "S-GR"], S_ADAM),
    **dict.fromkeys([*LABELS["c"], *LABELS["i"]], CI_PLAIN),
    **dict.fromkeys(["C-A4", "C-A5", "I-A4", "I-A5"], CI_PAIRED),
    **dict.fromkeys(LABELS["a"], A),
    "N-Base": {**N, "learning_rate": 1e-3, "epochs": 40, "batch_size": 128, "bits": 8}
    | {"training_mode_predictions": True, "evaluation_batch": 100},
    "N-Flow": {**N, "epochs": 71, "batch_size": 32, "bits": 5, "training_mode_predictions": False},
}
ADVERSARY = {"name": "map-adversary", "per_group": 16, "hidden": 300, "class_weights": "study"}
WEIGHTED = {"name": "baseline", "class_weights": "study"}
FLOW = {"levels": 3, "blocks": 32, "hidden": 512, "share": 0.001, "weight": 0.01, "discriminators": 10}
FLOW |= {"discriminator_width": 512, "restart": 1 / 5000, "iterations": 76001, "check_every": 1000, "patience": 30}
DISCRIMINATIVE = {"name": "domain-discriminative", "margin": 0.05, "rate": 3.0, "rounds": 100}
INDEPENDENT = {"name": "domain-independent"}
DUALS = {"name": "fair-alm", "eta": 20.0, "growth": 1.01, "positive": 1, "inner_steps": 5, "duals": "study"}
METHOD = {
    "S-Base": {"name": "baseline", "class_weights": "none"},
    "S-RS": {"name": "oversampling", "max_copies": None},
    "S-UC": {"name": "uniform-confusion", "ratio": 3, "alpha": 1.0},
    "S-GR": {"name": "gradient-projection", "ratio": 3, "alpha": 1.0, "order": "both-first"},
    **dict.fromkeys(LABELS["s"][4:8], DISCRIMINATIVE),
    **dict.fromkeys(LABELS["s"][8:], INDEPENDENT),
    **dict.fromkeys([*LABELS["c"][:4], *LABELS["i"][:4]], WEIGHTED),
    **{f"C-A{k}": {**ADVERSARY, "layer": f"layer{k - 1}", "strength": 2.0} for k in (4, 5)},
    **{f"I-A{k}": {**ADVERSARY, "layer": f"layer{k - 1}", "strength": 1.0} for k in (4, 5)},
    "A-Base": {"name": "baseline", "class_weights": "none"},
    "A-L2": {"name": "group-loss-penalty", "eta": 20.0, "growth": 1.01, "positive": 1},
    "A-ALM": DUALS,
    "N-Base": {"name": "baseline", "class_weights": "none"},
    "N-Flow": {"name": "null-sampling", **FLOW},
}
RULES = ["argmax"] * 4 + ["sum-no-prior-shift", "max-prior-shift", "sum-prior-shift", "rba", "conditional", "sum"]
RULE = dict(zip(LABELS["s"], RULES, strict=True)) | dict.fromkeys(LABELS["c"], "threshold")
PEOPLE = {"images": "files", "size": 256, "evaluation": "balanced-study", "limit": None, "test_limit": None}
FACES = {"name": "celeba", "protected": "Male", "limit": None}
ATTRACTIVE = {**FACES, "target": "Attractive", "split": "official", "transform": "fairalm"}
IMAGES = {"name": "cifar10s", "skew": 0.95, "split_seed": 42, "limit": None}
DATA = {
    **dict.fromkeys(LABELS["s"], IMAGES),
    **{label: {"name": "coco", "training_list": "train", **PEOPLE} for label in LABELS["c"]},
    **{label: {"name": "imsitu", **PEOPLE} for label in LABELS["i"]},
    **dict.fromkeys(LABELS["a"], ATTRACTIVE),
    "N-Base": {**FACES, "target": "Smiling", "split": "nifr-sequential", "mixing": 0.0, "transform": "nifr"},
    "N-Flow": {**FACES, "target": "Smiling", "split": "nifr-shuffled", "mixing": 0.5, "transform": "nifr"},
}
NETWORK = {
    "s": {"name": "resnet18-cifar", "width": 64},
    "c": {"name": "resnet50", "width": 64},
    "i": {"name": "resnet50", "width": 64},
    "a": {"name": "resnet18", "width": 64, "pool": "padded", "weights": None},
    "n": {"name": "nifr-cnn", "width": 32, "one_logit": True},
}


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """Read a file of `params/paper`, with lists that are there but empty: to check a plan no data are needed."""
    for name in ("coco", "imsitu"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "val.data").touch()
    monkeypatch.setenv("FITLIB_DATA_DIR", str(tmp_path))
    return lambda task: read_experiment(PARAMS / "paper" / f"{task}.yaml")


def settings(experiment, part):
    """{technique: the settings of its training}."""
    return {label: spec.settings[part] for spec in experiment.trainings for label in spec.techniques}


def agree(found, expected):
    """Every field that the table names is so in the file."""
    for label, fields in expected.items():
        assert {name: found[label][name] for name in fields} == fields, label


def test_the_files_are_the_five_tasks_with_27_techniques_in_23_trainings_of_16_runs(paper):
    found = {task: paper(task) for task in LABELS}
    assert {task: [t.name for t in e.techniques] for task, e in found.items()} == LABELS
    assert {task: len(e.trainings) for task, e in found.items()} == TRAININGS
    assert sum(len(e.techniques) for e in found.values()) == 27
    assert sum(len(e.trainings) * arm.runs for e in found.values() for arm in e.main_arms) == 368
    assert all(e.name == f"paper-{task}" and len(e.families) == 1 for task, e in found.items())


@pytest.mark.parametrize("task", LABELS)
def test_every_setting_is_the_studys(paper, task):
    experiment, own = paper(task), LABELS[task]
    for part, table in (("training", TRAINING), ("method", METHOD), ("data", DATA)):
        agree(settings(experiment, part), {label: table[label] for label in own})
    agree(settings(experiment, "network"), dict.fromkeys(own, NETWORK[task]))
    assert {t.name: t.inference for t in experiment.techniques} == {label: RULE.get(label, "argmax") for label in own}
    assert {t.baseline or t.name for t in experiment.techniques} == {own[0]}
    assert experiment.declared["seeds"] == [1] and experiment.declared["device"] == "cuda"
    assert {arm.kind for arm in experiment.main_arms} == {"real"}


@pytest.mark.parametrize("task", ["c", "i"])
def test_two_stages_first_with_a_frozen_backbone(paper, task):
    for label, training in settings(paper(task), "training").items():
        epochs = 50 if label == "C-A4" else STAGES[task]
        first, second = training["stages"]
        assert (first["epochs"], first["learning_rate"], first["frozen"]) == (epochs, 1e-4, True)
        assert (second["epochs"], second["learning_rate"], second["frozen"]) == (epochs, 5e-6, False)
        assert training["epochs"] == 2 * epochs


@pytest.mark.parametrize("task", ["c", "i"])
def test_ratio_subsets_are_of_the_training_data_only(paper, task):
    experiment = paper(task)
    ratios = {label: data["ratio"] for label, data in settings(experiment, "data").items()}
    assert ratios == dict(zip(LABELS[task], [None, 1, 2, 3, None, None], strict=True))
    uses = {t.name: t.uses_protected for t in experiment.techniques}
    assert uses == dict(zip(LABELS[task], ["no", *["training"] * 5], strict=True))


def test_the_flow_has_its_76001_steps_on_its_own_part_before_the_classifier(paper):
    flow, classifier = settings(paper("n"), "training")["N-Flow"]["stages"]
    assert (flow["part"], flow["learning_rate"], flow["measured"]) == ("pretrain", 3e-4, False)
    steps = -(-81_039 // 32)
    assert (flow["epochs"] - 1) * steps < FLOW["iterations"] <= flow["epochs"] * steps
    assert (classifier["part"], classifier["learning_rate"], classifier["epochs"]) == ("train", 1e-3, 40)


@pytest.mark.parametrize("task", ["c", "i", "a", "n"])
def test_a_path_by_an_environment_variable_that_is_not_set_is_one_clear_line(monkeypatch, task):
    monkeypatch.delenv("FITLIB_DATA_DIR", raising=False)
    with pytest.raises(InputError, match="the environment variable FITLIB_DATA_DIR is not set") as error:
        read_experiment(PARAMS / "paper" / f"{task}.yaml")
    assert "\n" not in str(error.value) and str(PARAMS / "paper" / f"{task}.yaml") in str(error.value)


def test_the_smoke_file_has_all_techniques_in_as_many_trainings_twice(data_dir):
    experiment = read_experiment(PARAMS / "paper-smoke.yaml")
    assert [t.name for t in experiment.techniques] == [label for task in LABELS.values() for label in task]
    assert len(experiment.trainings) == 23 and {arm.runs for arm in experiment.arms} == {2}
    assert {t.name: t.inference for t in experiment.techniques if t.inference != "argmax"} == {
        label: rule for label, rule in RULE.items() if rule != "argmax"
    }
    assert [family.name for family in experiment.families] == ["S-Base", "C-Base", "I-Base", "A-Base"]
    assert {t.baseline or t.name for t in experiment.techniques} == {f"{task}-Base" for task in "SCIAN"}
