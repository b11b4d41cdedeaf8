"""Every registered method trains, repeats itself bit for bit, and computes its formula."""

import inspect

import numpy as np
import pytest
import torch

from fitlib.datasets import Dataset, Split
from fitlib.digest import digest_arrays
from fitlib.noise import NoNoise
from fitlib.options import Training
from fitlib.registry import METHODS, NETWORKS, NOISES
from fitlib.techniques import Batch, Problem
from fitlib.techniques.domain_independent import DomainIndependent, conditional, summed
from fitlib.techniques.oversampling import Oversampling
from fitlib.train import Generators, make_method, train

NETWORK = {"name": "small-cnn", "width": 4, "dropout": 0.0}


def toy(n: int = 240, seed: int = 0) -> Dataset:
    """Three classes that differ in where the light is; group 1 is darker; classes are unequally mixed."""
    rng = np.random.default_rng(seed)
    y, protected = rng.integers(0, 3, n), (rng.random(n) < 0.3).astype(np.int64)
    x = 0.1 * rng.random((n, 3, 8, 8), dtype=np.float32)
    for c in range(3):
        x[y == c, c, 2 * c : 2 * c + 3] += 0.8
    x[protected == 1] *= 0.7
    split = Split(x, y.astype(np.int64), protected, np.arange(n))
    return Dataset("toy", split, split, ("a", "b", "c"), ("light", "dark"))


def trained(name: str, seed: int = 0, epochs: int = 4):
    training = Training(epochs=epochs, batch_size=32, learning_rate=0.05)
    generators = Generators.of(seed)
    method = make_method({"name": name}, NETWORK, training, toy(), generators)
    return train(toy(), method, NoNoise(0, 0), generators)


@pytest.fixture(autouse=True)
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_falls_on_a_separable_toy_and_the_classes_are_learnt(name):
    result = trained(name, epochs=8)
    assert result.history[-1]["train_loss"] < 0.5 * result.history[0]["train_loss"]
    for rule in METHODS[name].rules:
        prediction = result.predictions({"T": rule})["T"]
        assert (prediction == toy().test.y).mean() > 0.9


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_twice_is_bit_identical_and_another_seed_is_not(name):
    first, second, other = trained(name), trained(name), trained(name, seed=1)
    assert first.digests == second.digests
    assert first.digest("weights") != other.digest("weights")
    assert first.digest("initial weights") != other.digest("initial weights")


@pytest.mark.parametrize("name", METHODS)
def test_state_round_trips(name):
    result = trained(name, epochs=1)
    fresh = make_method({"name": name}, NETWORK, result.method.training, toy(), Generators.of(5))
    fresh.model.load_state_dict(result.method.model.state_dict())
    fresh.model.eval()
    x = result.normalise(result.test.x)
    assert torch.equal(fresh.scores(x), result.method.scores(x))


@pytest.mark.parametrize("name", METHODS)
def test_the_registry_tells_the_truth_about_a_method(name):
    entry = METHODS[name]
    method = entry.load()
    assert set(entry.rules) == set(method.rules)
    assert set(entry.rules.values()) <= {"no", "training", "prediction"}
    accepted = set(inspect.signature(method.__init__).parameters)
    assert set(entry.options.model_fields) <= accepted


@pytest.mark.parametrize("registry", [NETWORKS, NOISES], ids=["networks", "noises"])
def test_registered_options_are_accepted_by_what_they_configure(registry):
    for entry in registry.values():
        accepted = inspect.signature(entry.load().__init__).parameters
        assert set(entry.options.model_fields) <= set(accepted)


def test_oversampling_repeats_a_cifar_10s_minority_nineteen_times():
    rows = {"y": np.zeros(5000, np.int64), "protected": np.repeat([0, 1], [4750, 250])}
    split = Split(np.zeros((5000, 1), np.float32), rows["y"], rows["protected"], np.arange(5000))
    method = Oversampling(Problem(1, 2), lambda n: torch.nn.Linear(1, n), Training())
    chosen = method.training_rows(split)
    assert np.bincount(rows["protected"][chosen]).tolist() == [4750, 4750]
    assert set(np.bincount(chosen, minlength=5000)[4750:]) == {19}


@pytest.mark.parametrize(("most", "size", "limit", "copies"), [(95, 5, None, 19), (97, 5, 7, 7), (5, 5, None, 1)])
def test_copies_of_oversampling(most, size, limit, copies):
    method = Oversampling(Problem(2, 2), lambda n: torch.nn.Linear(1, n), Training(), max_copies=limit)
    assert method.copies(most, size) == copies


def test_oversampling_survives_a_class_without_one_group():
    split = Split(np.zeros((4, 1), np.float32), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), np.arange(4))
    method = Oversampling(Problem(3, 2), lambda n: torch.nn.Linear(1, n), Training())
    assert sorted(method.training_rows(split)) == [0, 1, 2, 3]


def test_domain_independent_loss_is_the_cross_entropy_of_the_own_group_by_hand():
    torch.manual_seed(0)
    method = DomainIndependent(Problem(3, 2), lambda n: torch.nn.Linear(5, n), Training())
    x, y, d = torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 1, 0, 1, 0, 1])
    logits = method.model(x).double().detach().numpy()
    own = np.stack([row[3 * int(g) : 3 * int(g) + 3] for row, g in zip(logits, d, strict=True)])
    by_hand = np.mean(np.log(np.exp(own).sum(1)) - own[np.arange(6), y.numpy()])
    assert method.loss(Batch(x, y, d)).item() == pytest.approx(by_hand, rel=1e-6)


def test_domain_independent_rules_decide_as_defined():
    scores = torch.tensor([[[1.0, 2.0, 0.0], [5.0, 0.0, 0.0]], [[0.0, 3.0, 1.0], [0.0, 0.0, 9.0]]])
    assert conditional(scores, torch.tensor([0, 1])).tolist() == [1, 2]
    assert summed(scores, torch.tensor([0, 1])).tolist() == [0, 2]


def test_the_other_group_s_logits_get_no_gradient():
    method = DomainIndependent(Problem(2, 2), lambda n: torch.nn.Linear(3, n), Training())
    method.loss(Batch(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]), torch.zeros(4, dtype=torch.long))).backward()
    gradient = method.model.weight.grad
    assert gradient[:2].abs().sum() > 0 and gradient[2:].abs().sum() == 0


def test_the_learning_rate_decays_in_steps():
    training = Training(learning_rate=0.1, decay_epochs=50, decay_factor=0.1)
    rates = [training.rate(epoch) for epoch in (0, 49, 50, 100, 199)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.0001])


def test_initial_weights_depend_on_the_seed_only_and_leave_the_global_generator_alone():
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    one = make_method({"name": "baseline"}, NETWORK, Training(), toy(), Generators.of(3))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(7)
    two = make_method({"name": "baseline"}, NETWORK, Training(), toy(), Generators.of(3))
    assert digest_arrays(one.model.state_dict().items()) == digest_arrays(two.model.state_dict().items())
