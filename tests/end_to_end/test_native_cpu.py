"""Real non-determinism of a CPU: PyTorch's own atomic additions, which deterministic algorithms remove."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from fitlib.datasets.applicants_s import CODES, load
from fitlib.datasets.options import ApplicantsSOptions
from fitlib.digest import digest_arrays
from fitlib.experiment.parse import read_experiment
from fitlib.experiment.registry.networks import MLPOptions
from fitlib.experiment.training_options import Training
from fitlib.training.loop import Generators, make_method, train
from fitlib.training.networks.mlp import MLP
from fitlib.training.noise import Native, NoNoise

PARAMS = Path(__file__).parents[2] / "params/native-cpu.yaml"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
TRIES = 300  # the race is lost in most of them; it is enough that it is lost once
racing = pytest.mark.skipif(CORES < 2, reason="two threads race on two cores only; run the tests on a machine with two")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(False)


def network(lookup: str) -> MLP:
    torch.manual_seed(0)
    options = MLPOptions(hidden=[16], embedding=32, lookup=lookup)
    return MLP((6,), 2, options, categories=tuple(CODES.values()))


def gradients(lookup: str, rows: int = 2048) -> list[torch.Tensor]:
    model, x = network(lookup), torch.from_numpy(load(ApplicantsSOptions(rows=rows, test_rows=64)).train.x)
    model(x).square().sum().backward()
    return [table.weight.grad for table in model.embeddings]


def gradient_digests(deterministic: bool, tries: int, rows: int = 2048):
    """Digests of the first gradient of the look-up, from the same weights and rows every time."""
    torch.use_deterministic_algorithms(deterministic)
    model, x = network("index"), torch.from_numpy(load(ApplicantsSOptions(rows=rows, test_rows=64)).train.x)
    for _ in range(tries):
        model.zero_grad()
        model(x).square().sum().backward()
        yield digest_arrays((str(i), table.weight.grad) for i, table in enumerate(model.embeddings))


def test_both_look_ups_are_the_same_function(two_threads):
    x = torch.from_numpy(load(ApplicantsSOptions(rows=256, test_rows=64)).train.x)
    assert torch.equal(network("index")(x), network("embedding")(x))
    for a, b in zip(gradients("index"), gradients("embedding"), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@racing
def test_the_gradient_of_an_indexed_table_differs_from_one_time_to_the_next(two_threads):
    digests = gradient_digests(False, TRIES)
    first = next(digests)
    assert any(digest != first for digest in digests)


def test_deterministic_algorithms_remove_the_difference(two_threads):
    assert len(set(gradient_digests(True, 30))) == 1


def test_few_numbers_are_added_in_order(two_threads):
    assert len(set(gradient_digests(False, 30, rows=512))) == 1  # 512 x 32 entries are below 32,768


@racing
def test_identical_trainings_part_by_themselves_and_the_control_arm_does_not(two_threads):
    settings = read_experiment(PARAMS).trainings[0].settings
    data = load(ApplicantsSOptions())

    def final(noise) -> str:
        training, generators = Training(**{**settings["training"], "epochs": 1}), Generators.of(0)
        torch.use_deterministic_algorithms(noise.deterministic)
        method = make_method(settings["method"], settings["network"], training, data, generators)
        return train(data, method, noise, generators).digest("weights")

    assert len({final(NoNoise(run, 0)) for run in range(3)}) == 1
    first = final(Native(0, 0))
    assert any(final(Native(run, 0)) != first for run in range(1, 40))


def test_the_experiment_races_and_its_control_arm_is_deterministic():
    experiment = read_experiment(PARAMS)
    settings = experiment.trainings[0].settings
    assert settings["training"]["batch_size"] * settings["network"]["embedding"] >= 32768
    assert settings["network"]["lookup"] == "index" and experiment.declared["threads"] == 2
    assert [arm.noise["name"] for arm in experiment.arms] == ["native", "none"]
