"""Every registered method trains, repeats itself bit for bit, and computes its formula."""

import inspect
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from fitlib.datasets.dataset import Split
from fitlib.digest import digest_arrays
from fitlib.experiment.registry.entries import NoOptions
from fitlib.experiment.registry.methods import METHODS, OversamplingOptions
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.experiment.registry.noises import NOISES
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.evaluation import prediction_mode
from fitlib.training.loop import Generators, make_method
from fitlib.training.methods.base import Problem, make_optimizer
from fitlib.training.methods.domain_independent import DomainIndependent, conditional, summed
from fitlib.training.methods.oversampling import Oversampling
from tests.support.method_examples import NETWORK, built, configurations, toy, trained

CONFIGURATIONS = configurations(METHODS)
every_configuration = pytest.mark.parametrize(("method", "example"), CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))


@pytest.fixture(autouse=True)
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def shortened(example) -> dict:
    """Changes that make an example short: one epoch, in every stage that it declares."""
    declared = example.training.get("stages")
    return {"stages": [{**stage, "epochs": 1} for stage in declared]} if declared else {"epochs": 1}


def fitting_rules(result) -> list[str]:
    """The rules that predict what the data have: one class each, or labels."""
    fits = {"argmax": 1, "threshold": 2}
    return [rule for rule in result.method.rules if fits.get(rule, result.test.y.dim()) == result.test.y.dim()]


@every_configuration
def test_one_step_on_the_cpu_changes_weights_and_keeps_them_finite(method, example):
    learner, _ = built(method, example)
    dataset = example.data()
    learner.prepare(dataset.train)
    learner.start_stage(0)
    learner.start_epoch(0)
    learner.model.train()
    x = torch.from_numpy(dataset.train.x[:64])
    batch = learner.choose(Batch(x, *(torch.from_numpy(a[:64]) for a in (dataset.train.y, dataset.train.protected))))
    before = digest_arrays(learner.model.state_dict().items())
    loss = learner.update(batch)
    assert loss.shape == () and not loss.requires_grad and torch.isfinite(loss)
    assert digest_arrays(learner.model.state_dict().items()) != before
    assert all(torch.isfinite(p).all() for p in learner.model.parameters())


@every_configuration
def test_the_loss_falls_on_a_separable_toy_and_the_classes_are_learnt(method, example):
    result = trained(method, example)
    last = max(row["stage"] for row in result.history)
    losses = [row["train_loss"] for row in result.history[:: result.n_groups] if row["stage"] == last]
    compared = [loss for epoch, loss in enumerate(losses) if example.same_loss(epoch)]
    assert compared[-1] < example.falls_to * compared[0]
    for rule in fitting_rules(result):
        assert (result.predictions({"T": rule})["T"] == example.data().test.y).mean() > example.accuracy


@every_configuration
def test_the_same_seed_twice_is_bit_identical_and_another_seed_is_not(method, example):
    first, second, other = (trained(method, example, seed, **shortened(example)) for seed in (0, 0, 1))
    assert first.digests == second.digests
    assert first.digest("weights") != other.digest("weights")
    assert first.digest("initial weights") != other.digest("initial weights")


@every_configuration
def test_state_round_trips(method, example):
    result = trained(method, example, **shortened(example))
    fresh, _ = built(method, example, seed=5, **shortened(example))
    fresh.model.load_state_dict(result.method.model.state_dict())
    x = next(result.inputs.prediction_inputs(result.test, 64))
    assert torch.equal(predicted(fresh, x), predicted(result.method, x))


@torch.no_grad()
def predicted(method, x):
    with prediction_mode(method, seed=0):
        return method.scores(x)


@pytest.mark.parametrize("name", METHODS)
def test_the_registry_tells_the_truth_about_a_method(name):
    entry = METHODS[name]
    method = entry.load()
    assert set(entry.rules) == set(method.rules)
    assert set(entry.rules.values()) <= {"no", "training", "prediction"}
    declared = get_type_hints(method)["options"]
    assert entry.options in (get_args(declared) or (declared,)) or entry.options is NoOptions


def test_registered_options_are_accepted_by_what_they_configure():
    for entry in NETWORKS.values():
        declared = get_type_hints(entry.load().__init__)["options"]
        assert entry.options in (get_args(declared) or (declared,))
    for entry in NOISES.values():
        accepted = inspect.signature(entry.load().__init__).parameters
        assert set(entry.options.model_fields) <= set(accepted)


def test_oversampling_repeats_a_cifar_10s_minority_nineteen_times():
    rows = {"y": np.zeros(5000, np.int64), "protected": np.repeat([0, 1], [4750, 250])}
    split = Split(np.zeros((5000, 1), np.float32), rows["y"], rows["protected"], np.arange(5000))
    method = Oversampling(Problem(1, 2), lambda n: torch.nn.Linear(1, n), Training(), OversamplingOptions())
    chosen = method.training_rows(split)
    assert np.bincount(rows["protected"][chosen]).tolist() == [4750, 4750]
    assert set(np.bincount(chosen, minlength=5000)[4750:]) == {19}


@pytest.mark.parametrize(("most", "size", "limit", "copies"), [(95, 5, None, 19), (97, 5, 7, 7), (5, 5, None, 1)])
def test_copies_of_oversampling(most, size, limit, copies):
    method = Oversampling(
        Problem(2, 2), lambda n: torch.nn.Linear(1, n), Training(), OversamplingOptions(max_copies=limit)
    )
    assert method.copies(most, size) == copies


def test_oversampling_survives_a_class_without_one_group():
    split = Split(np.zeros((4, 1), np.float32), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), np.arange(4))
    method = Oversampling(Problem(3, 2), lambda n: torch.nn.Linear(1, n), Training(), OversamplingOptions())
    assert sorted(method.training_rows(split)) == [0, 1, 2, 3]


def test_domain_independent_loss_is_the_cross_entropy_of_the_own_group_by_hand():
    torch.manual_seed(0)
    method = DomainIndependent(Problem(3, 2), lambda n: torch.nn.Linear(5, n), Training(), NoOptions())
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
    method = DomainIndependent(Problem(2, 2), lambda n: torch.nn.Linear(3, n), Training(), NoOptions())
    method.loss(Batch(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]), torch.zeros(4, dtype=torch.long))).backward()
    gradient = method.model.weight.grad
    assert gradient[:2].abs().sum() > 0 and gradient[2:].abs().sum() == 0


def test_the_learning_rate_decays_in_steps():
    training = Training(learning_rate=0.1, decay_epochs=50, decay_factor=0.1)
    rates = [training.rate(epoch) for epoch in (0, 49, 50, 100, 199)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.0001])


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("radam", torch.optim.RAdam)]
)
def test_an_optimizer_has_the_options_rate_and_decay_and_leaves_frozen_parameters_out(name, kind):
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    network[0].requires_grad_(False)
    optimizer = make_optimizer(network.parameters(), Training(optimizer=name, learning_rate=0.03, weight_decay=0.02))
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind and (group["lr"], group["weight_decay"]) == (0.03, 0.02)
    assert [id(p) for p in group["params"]] == [id(p) for p in network[1].parameters()]
    assert group.get("momentum", 0.9) == 0.9


def test_seeding_after_the_network_gives_every_run_a_start_of_its_own_and_leaves_the_global_generator_alone():
    before, training = torch.random.get_rng_state(), Training(seeding="after-network")
    made = [make_method({"name": "baseline"}, NETWORK, training, toy(), Generators.of(3)) for _ in range(2)]
    assert len({digest_arrays(method.model.state_dict().items()) for method in made}) == 2
    assert torch.equal(before, torch.random.get_rng_state())


def test_initial_weights_depend_on_the_seed_only_and_leave_the_global_generator_alone():
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    one = make_method({"name": "baseline"}, NETWORK, Training(), toy(), Generators.of(3))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(7)
    two = make_method({"name": "baseline"}, NETWORK, Training(), toy(), Generators.of(3))
    assert digest_arrays(one.model.state_dict().items()) == digest_arrays(two.model.state_dict().items())
