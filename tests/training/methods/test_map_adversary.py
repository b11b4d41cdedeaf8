"""The adversary on a map: reversal, which samples enter a step, what a stage trains, its size."""

import pytest
import torch
from torch import nn

from fitlib.errors import InputError
from fitlib.experiment.registry.methods import MapAdversaryOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Problem
from fitlib.training.methods.gradient_reversal import reverse_gradient
from fitlib.training.methods.map_adversary import MapAdversary, make_adversary, map_size
from fitlib.training.networks.resnet import ResNet50
from fitlib.training.networks.small_cnn import SmallCNN
from tests.support.method_examples import make_network

SHAPE = (3, 8, 8)
TWO_STAGES = Training(
    optimizer="adam",
    stages=[{"epochs": 1, "learning_rate": 1e-3, "frozen": True}, {"epochs": 1, "learning_rate": 1e-4}],
)


def small_cnn(n_outputs: int) -> nn.Module:
    return make_network(SmallCNN, SHAPE, n_outputs, width=4)


def made(n_groups: int = 2, multilabel: bool = False, training: Training = TWO_STAGES, stage: int = 1, **options):
    torch.manual_seed(0)
    problem = Problem(3, n_groups, multilabel, SHAPE)
    checked = MapAdversaryOptions(hidden=20, **options)
    learner = MapAdversary(problem, small_cnn, training, checked)
    learner.start_stage(stage)
    learner.model.train()
    return learner


def a_batch(protected: list[int], multilabel: bool = False) -> Batch:
    n, generator = len(protected), torch.Generator().manual_seed(1)
    y = torch.arange(n) % 3
    x = torch.randn(n, *SHAPE, generator=generator)
    return Batch(x, nn.functional.one_hot(y, 3) if multilabel else y, torch.tensor(protected))


@pytest.mark.parametrize("factor", [1.0, 2.0, 0.5])
def test_reversal_is_the_identity_forwards_and_minus_the_factor_backwards(factor):
    x = torch.randn(3, 4, requires_grad=True)
    coefficients = torch.randn(3, 4)
    y = reverse_gradient(x, factor)
    assert torch.equal(y, x)
    (coefficients * y).sum().backward()
    assert torch.allclose(x.grad, -factor * coefficients)


def test_reversal_is_one_times_by_default():
    x = torch.ones(2, requires_grad=True)
    reverse_gradient(x).sum().backward()
    assert x.grad.tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("layer", ["layer1", "layer2"])
def test_the_network_gets_the_task_s_gradient_less_strength_times_the_adversary_s(layer):
    learner, batch = made(layer=layer, strength=2.0), a_batch([0, 1] * 6)
    network, adversary = learner.model["network"], learner.model["adversary"]
    logits, found = network.forward_with(batch.x, layer)
    weights = list(network.parameters())
    task = torch.autograd.grad(nn.functional.cross_entropy(logits, batch.y), weights, retain_graph=True)
    group_loss = nn.functional.cross_entropy(adversary(found), batch.protected)
    hidden = torch.autograd.grad(group_loss, [*weights, *adversary.parameters()], allow_unused=True)
    learner.model.zero_grad()
    loss = learner.loss(batch)
    loss.backward()
    plain = nn.functional.cross_entropy(logits, batch.y) + group_loss
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    for weight, own, other in zip(weights, task, hidden, strict=False):
        expected = own if other is None else own - 2 * other
        assert torch.allclose(weight.grad, expected, rtol=1e-4, atol=1e-6)
    for weight, own in zip(adversary.parameters(), hidden[len(weights) :], strict=True):
        assert torch.allclose(weight.grad, own, rtol=1e-4, atol=1e-6)


def test_a_frozen_stage_trains_head_and_adversary_the_next_one_everything():
    for stage in (0, 1):
        learner = made(stage=stage)
        before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
        learner.update(a_batch([0, 1] * 6))
        moved = {name for name, p in learner.model.named_parameters() if not torch.equal(p, before[name])}
        alone = {name for name in before if name.startswith(("network.head", "adversary"))}
        assert moved == (alone if stage == 0 else set(before))


def test_no_gradient_reaches_the_map_in_a_frozen_stage_and_batch_statistics_still_adapt():
    learner = made(stage=0)
    before = learner.model.state_dict()["network.body.1.running_mean"].clone()
    learner.update(a_batch([0, 1] * 6))
    assert all(p.grad is None for p in learner.model["network"].body.parameters())
    assert not torch.equal(before, learner.model.state_dict()["network.body.1.running_mean"])


def test_a_training_without_stages_reverses_from_the_start():
    assert made(training=Training(), stage=0).reversed


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_first_so_many_of_each_group_are_chosen_in_batch_order(multilabel):
    learner = made(multilabel=multilabel, per_group=2)
    batch = a_batch([1, 1, 0, 1, 0, 0], multilabel)
    chosen = learner.choose(batch)
    assert torch.equal(chosen.x, batch.x[[0, 1, 2, 4]])
    assert torch.equal(chosen.y, batch.y[[0, 1, 2, 4]])
    assert chosen.protected.tolist() == [1, 1, 0, 0]


def test_the_study_s_batches_of_80_give_16_of_each_gender():
    learner = made(per_group=16)
    chosen = learner.choose(a_batch([0] * 50 + [1] * 30))
    assert torch.bincount(chosen.protected).tolist() == [16, 16]
    assert learner.choose(a_batch([0] * 65 + [1] * 15)) is None


def test_without_a_number_the_whole_batch_enters_and_a_single_sample_is_skipped():
    learner, batch = made(), a_batch([0, 0, 1])
    assert learner.choose(batch) is batch
    assert learner.choose(a_batch([0])) is None


@pytest.mark.parametrize("n_groups", [2, 3])
def test_the_adversary_has_three_hidden_layers_and_an_output_for_each_group(n_groups):
    adversary = make_adversary(128, 300, n_groups)
    linear = [(m.in_features, m.out_features) for m in adversary if isinstance(m, nn.Linear)]
    assert linear == [(128, 300), (300, 300), (300, 300), (300, n_groups)]
    assert [m.negative_slope for m in adversary if isinstance(m, nn.LeakyReLU)] == [0.01] * 3
    assert sum(isinstance(m, nn.BatchNorm1d) for m in adversary) == 3
    assert adversary(torch.randn(4, 2, 8, 8)).shape == (4, n_groups)


def test_three_groups_and_labels_can_be_trained():
    learner = made(n_groups=3, multilabel=True, per_group=2)
    batch = learner.choose(a_batch([0, 1, 2] * 4, multilabel=True))
    assert torch.isfinite(learner.update(batch)) and len(batch.y) == 6


@pytest.mark.parametrize(("layer", "name", "inputs"), [(None, "layer2", 8 * 2 * 2), ("layer1", "layer1", 4 * 4 * 4)])
def test_the_map_is_found_by_its_name_the_last_one_by_default(layer, name, inputs):
    learner = made(layer=layer)
    assert learner.layer == name and learner.model["adversary"][1].in_features == inputs
    assert learner.model["network"].map_shape(name) == tuple(
        learner.model["network"].maps(torch.zeros(1, *SHAPE))[name].shape[1:]
    )


def test_the_maps_of_a_resnet50_have_the_study_s_sizes():
    network = make_network(ResNet50, (3, 224, 224), 79)
    sizes = {layer: map_size(network, (3, 224, 224), layer)[1] for layer in ("layer3", "layer4")}
    assert sizes == {"layer3": 200704, "layer4": 100352}


def test_a_map_that_the_network_lacks_and_a_network_without_maps_are_refused():
    with pytest.raises(InputError, match="the network has no such map; it has layer1, layer2"):
        made(layer="layer9")
    with pytest.raises(InputError, match="gives no intermediate maps"):
        MapAdversary(Problem(2, 2, False, (4,)), lambda n: nn.Linear(4, n), Training(), MapAdversaryOptions())


def test_looking_for_the_map_leaves_batch_statistics_alone():
    network = small_cnn(3)
    MapAdversary(Problem(3, 2, False, SHAPE), lambda n: network, Training(), MapAdversaryOptions())
    assert int(network.body[1].num_batches_tracked) == 0 and network.training


def test_logits_with_a_map_are_the_network_s_logits():
    network, x = small_cnn(3).eval(), torch.randn(5, *SHAPE)
    logits, _ = network.forward_with(x, "layer1")
    assert torch.equal(logits, network(x))
