"""The domain methods compute their formulas: uniform confusion, gradient projection, domain-discriminative, RBA."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from fitlib.datasets.dataset import Split
from fitlib.experiment.registry.methods import DomainDiscriminativeOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.methods.base import Problem
from fitlib.training.methods.domain_discriminative import (
    DomainDiscriminative,
    calibrate,
    prior_shift_weights,
    probabilities,
)
from fitlib.training.methods.gradient_projection import GradientProjection, project_gradients
from fitlib.training.methods.uniform_confusion import UniformConfusion
from fitlib.training.networks.small_cnn import SmallCNN
from tests.support.method_examples import checked_options, make_network

SHAPE = (3, 8, 8)
STUDY = DomainDiscriminativeOptions()
ADAM = Training(optimizer="adam", learning_rate=1e-3, weight_decay=3e-4)


def network(n_outputs: int) -> nn.Module:
    return make_network(SmallCNN, SHAPE, n_outputs, width=4)


def made(method: type, n_groups: int = 2, training: Training = ADAM, **options: object):
    torch.manual_seed(0)
    learner = method(Problem(3, n_groups, False, SHAPE), network, training, checked_options(method, **options))
    learner.start_stage(0)
    learner.model.train()
    return learner


def a_batch(n: int = 12, n_groups: int = 2, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *SHAPE, generator=generator)
    return Batch(x, torch.arange(n) % 3, torch.arange(n) // 2 % n_groups)


def moved(learner, step) -> set[str]:
    """Names of the parameters that a step changes."""
    before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
    step()
    return {name for name, p in learner.model.named_parameters() if not torch.equal(p, before[name])}


def of(learner, part: str) -> set[str]:
    return {name for name, _ in learner.model.named_parameters() if name.startswith(part)}


# Uniform confusion


@pytest.mark.parametrize("n_groups", [2, 3])
def test_the_uniform_confusion_loss_by_hand(n_groups):
    learner, batch = made(UniformConfusion, n_groups, alpha=0.7), a_batch(n_groups=n_groups)
    loss = learner.loss(batch).item()
    with torch.no_grad():
        features = learner.model["network"].features(batch.x)
        z = learner.model["network"].head(features).double().numpy()
        d = learner.model["domain_head"](features).double().numpy()
    by_class = np.mean([math.log(np.exp(row).sum()) - row[y] for row, y in zip(z, batch.y.tolist(), strict=True)])
    confusion = np.mean([-sum(row[g] - math.log(np.exp(row).sum()) for g in range(n_groups)) / n_groups for row in d])
    assert loss == pytest.approx(by_class + 0.7 * confusion, rel=1e-5)


def test_the_confusion_is_smallest_where_the_domain_head_is_undecided():
    learner, batch = made(UniformConfusion, alpha=1.0), a_batch()
    nn.init.zeros_(learner.model["domain_head"].weight)
    nn.init.zeros_(learner.model["domain_head"].bias)
    plain = nn.functional.cross_entropy(learner.scores(batch.x), batch.y).item()
    assert learner.loss(batch).item() - plain == pytest.approx(math.log(2), rel=1e-5)


@pytest.mark.parametrize("epoch", range(6))
def test_one_epoch_in_three_moves_network_and_class_head_the_others_the_domain_head(epoch):
    learner = made(UniformConfusion)
    learner.start_epoch(epoch)
    expected = "network" if epoch % 3 == 0 else "domain_head"
    assert moved(learner, lambda: learner.update(a_batch())) == of(learner, expected)


def test_batch_statistics_move_in_the_domain_head_s_epochs_too():
    learner = made(UniformConfusion)
    learner.start_epoch(1)
    before = learner.model.state_dict()["network.body.1.running_mean"].clone()
    learner.update(a_batch())
    assert not torch.equal(before, learner.model.state_dict()["network.body.1.running_mean"])


def test_the_domain_step_descends_the_cross_entropy_of_the_group():
    learner, batch = made(UniformConfusion), a_batch()
    learner.start_epoch(1)
    with torch.no_grad():
        features = learner.model["network"].features(batch.x)
    head = learner.model["domain_head"]
    expected = nn.functional.cross_entropy(head(features), batch.protected).item()
    assert learner.update(batch).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "radam"])
def test_one_optimiser_for_features_and_class_head_steps_as_two_would(optimizer):
    training = Training(optimizer=optimizer, learning_rate=1e-2, weight_decay=3e-4)
    one, two = made(UniformConfusion, training=training), made(UniformConfusion, training=training)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "radam": torch.optim.RAdam}
    options = {"lr": 1e-2, "weight_decay": 3e-4} | ({"momentum": 0.9} if optimizer == "sgd" else {})
    parts = [two.model["network"].body, two.model["network"].head]
    optimisers = [kinds[optimizer](part.parameters(), **options) for part in parts]
    one.start_epoch(0)
    for seed in range(3):
        one.update(a_batch(seed=seed))
        two.model.zero_grad()
        two.loss(a_batch(seed=seed)).backward()
        for each in optimisers:
            each.step()
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))


def test_the_rate_decays_for_both_optimisers():
    learner = made(UniformConfusion, training=Training(learning_rate=0.1, decay_epochs=2, epochs=4))
    learner.start_epoch(2)
    rates = [o.param_groups[0]["lr"] for o in (learner.optimizer, learner.domain_optimizer)]
    assert rates == pytest.approx([0.01, 0.01])


# Gradient projection


def by_hand(learner, batch: Batch, alpha: float) -> dict[str, torch.Tensor]:
    """Projected gradient of each parameter tensor, from two backward passes of two separate forward passes."""
    gradients = []
    for adversarial in (False, True):
        learner.model.zero_grad()
        logits = learner.model["network"](batch.x)
        target = batch.protected if adversarial else batch.y
        nn.functional.cross_entropy(learner.model["domain_head"](logits) if adversarial else logits, target).backward()
        named = learner.model["network"].named_parameters()
        gradients.append({name: p.grad.double().clone() for name, p in named})
    found = {}
    for name, c in gradients[0].items():
        d = gradients[1][name]
        norm = math.sqrt(sum(v * v for v in d.flatten().tolist()))
        dot = sum(a * b for a, b in zip(c.flatten().tolist(), d.flatten().tolist(), strict=True))
        found[name] = c - alpha * d - (dot / norm**2 * d if norm > 1e-5 else 0)
    learner.model.zero_grad()
    return found


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_the_network_s_gradients_are_projected_tensor_by_tensor(alpha):
    learner, batch = made(GradientProjection, alpha=alpha), a_batch()
    expected = by_hand(learner, batch, alpha)
    learner.start_epoch(0)
    learner.update(batch)
    for name, parameter in learner.model["network"].named_parameters():
        assert torch.allclose(parameter.grad.double(), expected[name], rtol=1e-4, atol=1e-7), name


def test_what_is_left_of_the_class_gradient_is_orthogonal_to_the_domain_gradient():
    generator = torch.Generator().manual_seed(0)
    c, d = (torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    (g,) = project_gradients([c], [d], alpha=0.0)
    assert abs(float((g * d).sum())) < 1e-12
    (g,) = project_gradients([c], [d], alpha=2.0)
    assert float((g * d).sum()) == pytest.approx(-2 * float((d * d).sum()))


def test_a_domain_gradient_of_next_to_nothing_is_not_projected_on():
    c, d = torch.tensor([1.0, 2.0]), torch.tensor([9e-6, 0.0])
    (g,) = project_gradients([c], [d], alpha=1.0)
    assert torch.equal(g, c - d)
    (g,) = project_gradients([c], [torch.zeros(2)], alpha=1.0)
    assert torch.equal(g, c)
    (g,) = project_gradients([c], [torch.tensor([2e-5, 0.0])], alpha=0.0)
    assert torch.allclose(g, torch.tensor([0.0, 2.0]))


@pytest.mark.parametrize("epoch", range(4))
def test_the_domain_head_steps_always_the_network_one_epoch_in_three(epoch):
    learner = made(GradientProjection)
    learner.start_epoch(epoch)
    expected = of(learner, "domain_head") | (of(learner, "network") if epoch % 3 == 0 else set())
    assert moved(learner, lambda: learner.update(a_batch())) == expected


def test_the_domain_head_s_own_step_is_that_of_its_cross_entropy():
    learner, batch = made(GradientProjection), a_batch()
    logits = learner.model["network"](batch.x).detach()
    loss = nn.functional.cross_entropy(learner.model["domain_head"](logits), batch.protected)
    expected = torch.autograd.grad(loss, list(learner.model["domain_head"].parameters()))
    learner.start_epoch(0)
    learner.update(batch)
    for parameter, gradient in zip(learner.model["domain_head"].parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def signals(order: str) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """What reaches the logits as domain gradient, and the head's weights before and after, as float64."""
    learner, batch = made(GradientProjection, training=Training(learning_rate=0.5), order=order), a_batch()
    logits = learner.model["network"](batch.x).detach()
    head, seen = learner.model["domain_head"], {}
    messages = torch.softmax(head(logits), 1).detach().double().numpy() - np.eye(2)[batch.protected.numpy()]
    before = head.weight.detach().double().numpy().copy()
    learner.step_network = lambda loss, logits, signal: seen.update(signal=signal)
    learner.start_epoch(0)
    learner.update(batch)
    after = head.weight.detach().double().numpy()
    return seen["signal"], {"both-first": messages / 12 @ before, "study": messages / 12 @ after}


@pytest.mark.parametrize(("order", "other"), [("both-first", "study"), ("study", "both-first")])
def test_the_domain_gradient_runs_through_the_head_before_or_after_its_step(order, other):
    signal, expected = signals(order)
    assert np.allclose(signal.numpy(), expected[order], rtol=1e-4, atol=1e-7)
    assert not np.allclose(signal.numpy(), expected[other], rtol=1e-2)


def test_the_study_s_code_as_written_is_refused_by_pytorch():
    learner, batch = made(GradientProjection), a_batch()
    logits = learner.model["network"](batch.x)
    loss = nn.functional.cross_entropy(learner.model["domain_head"](logits), batch.protected)
    loss.backward(retain_graph=True)
    learner.domain_optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(loss, list(learner.model["network"].parameters()))


def test_the_epochs_that_train_the_domain_head_alone_build_no_graph_of_the_network():
    learner = made(GradientProjection)
    learner.start_epoch(1)
    learner.update(a_batch())
    assert all(p.grad is None for p in learner.model["network"].parameters())


# Domain-discriminative


def prepared(y: np.ndarray, protected: np.ndarray, n_classes: int, n_groups: int = 2) -> DomainDiscriminative:
    learner = DomainDiscriminative(Problem(n_classes, n_groups), lambda n: nn.Linear(5, n), Training(), STUDY)
    learner.prepare(Split(np.zeros((len(y), 5), np.float32), y, protected, np.arange(len(y))))
    return learner


def skewed() -> DomainDiscriminative:
    """Three classes of 100: groups 95 : 5, 5 : 95, 95 : 5."""
    y, protected = np.repeat([0, 1, 2], 100), np.concatenate([np.repeat([g, 1 - g], [95, 5]) for g in (0, 1, 0)])
    return prepared(y, protected, 3)


def test_the_loss_is_the_cross_entropy_over_all_pairs():
    learner, batch = made(DomainDiscriminative), a_batch()
    z = learner.model(batch.x).detach().double().numpy()
    pairs = [3 * int(d) + int(y) for y, d in zip(batch.y, batch.protected, strict=True)]
    expected = np.mean([math.log(np.exp(row).sum()) - row[pair] for row, pair in zip(z, pairs, strict=True)])
    assert learner.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_prior_shift_weights_of_95_to_5_are_the_study_s_up_to_a_common_factor():
    weights = skewed().weights.double().numpy()
    study = np.array([[1 / 95, 1 / 5, 1 / 95], [1 / 5, 1 / 95, 1 / 5]])
    assert np.allclose(weights / weights[0, 0], study / study[0, 0], rtol=1e-6)


def test_prior_shift_weights_are_inverse_shares_of_the_pairs_and_0_for_a_pair_never_shown():
    weights = prior_shift_weights(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0]), 2, 2)
    assert torch.allclose(weights, torch.tensor([[2.0, 4.0], [4.0, 0.0]]))


def test_the_three_simple_rules_against_plain_loops():
    learner = skewed()
    scores = torch.randn(200, 2, 3, generator=torch.Generator().manual_seed(3)) * 2
    w = [[1 / 95, 1 / 5, 1 / 95], [1 / 5, 1 / 95, 1 / 5]]
    rules = {
        "sum-no-prior-shift": lambda p, y: p[0][y] + p[1][y],
        "max-prior-shift": lambda p, y: max(w[d][y] * p[d][y] for d in (0, 1)),
        "sum-prior-shift": lambda p, y: sum(w[d][y] * p[d][y] for d in (0, 1)),
    }
    predicted = {name: learner.decide(name, scores, torch.zeros(200, dtype=torch.long)).tolist() for name in rules}
    for i, z in enumerate(scores.double().tolist()):
        total = sum(math.exp(v) for row in z for v in row)
        p = [[math.exp(v) / total for v in row] for row in z]
        for name, value in rules.items():
            assert predicted[name][i] == max(range(3), key=lambda y, value=value: value(p, y)), (name, i)
    assert len({tuple(each) for each in predicted.values()}) == 3


def test_probabilities_sum_to_one_over_all_pairs():
    p = probabilities(torch.randn(7, 3, 4))
    assert p.shape == (7, 3, 4) and torch.allclose(p.sum((1, 2)), torch.ones(7))


# Reducing bias amplification


def reference_rba(s: list[list[float]], g: list[int], m: float = 0.05, t: float = 0.5) -> list[int]:
    """The study's S-DD4 in plain Python: potentials (rows, classes), groups 0 and 1, rate 3, 100 rounds."""
    classes = range(len(s[0]))
    a = [[t - 1 - m, t - m], [1 - m - t, -m - t]]
    lam = [[0.0, 0.0] for _ in classes]
    shifted = [list(row) for row in s]
    for _ in range(100):
        decided = [max(classes, key=lambda y, row=row: row[y]) for row in shifted]
        n = [[sum(1 for c, h in zip(decided, g, strict=True) if c == y and h == k) for k in (0, 1)] for y in classes]
        delta = [[sum(a[k][h] * n[y][h] for h in (0, 1)) for k in (0, 1)] for y in classes]
        lam = [[max(0.0, lam[y][k] + 3 * delta[y][k]) for k in (0, 1)] for y in classes]
        shifted = [list(row) for row in s]
        for i, y in enumerate(decided):
            shifted[i][y] = s[i][y] - sum(lam[y][k] * a[k][g[i]] for k in (0, 1))
        if not any(value > 1e-9 for row in delta for value in row):
            break
    return [max(classes, key=lambda y, row=row: row[y]) for row in shifted]


def biased_potentials(n: int, classes: int, scale: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Group 1's potentials of the odd classes are raised."""
    generator = torch.Generator().manual_seed(seed)
    protected = torch.arange(n) % 2
    z = torch.randn(n, classes, generator=generator, dtype=torch.float64) * scale
    z[:, 1::2] += protected[:, None] * scale
    return z.exp(), protected


@pytest.mark.parametrize(("n", "classes", "scale"), [(60, 2, 1.0), (301, 3, 2.0), (200, 10, 3.0)])
@pytest.mark.parametrize("seed", range(3))
def test_rba_is_the_specified_sequence_of_rounds(n, classes, scale, seed):
    s, protected = biased_potentials(n, classes, scale, seed)
    assert calibrate(s, protected, 2, STUDY).tolist() == reference_rba(s.tolist(), protected.tolist())


def largest_shares(predicted: torch.Tensor, protected: torch.Tensor, n_groups: int) -> list[float]:
    """For every class that is predicted: the largest group's share among those predicted so."""
    counts = [torch.bincount(protected[predicted == y], minlength=n_groups) for y in predicted.unique()]
    return [float(n.max() / n.sum()) for n in counts]


def attainable(n: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Many rows with finely graded potentials: group 0 leans to class 0, group 1 to class 1."""
    generator = torch.Generator().manual_seed(0)
    protected = torch.arange(n) % 2
    s = torch.rand(n, 2, generator=generator, dtype=torch.float64) * 20000
    s[torch.arange(n), protected] += 5000
    return s, protected


def test_rba_pushes_every_group_s_share_to_55_percent_where_that_can_be_had():
    s, protected = attainable()
    assert max(largest_shares(s.argmax(1), protected, 2)) > 0.65
    assert max(largest_shares(calibrate(s, protected, 2, STUDY), protected, 2)) < 0.56


def test_rba_on_a_toy_keeps_the_best_of_all_feasible_decisions():
    """Brute force over all decisions of eight rows: none that meets the constraints has a larger total potential."""
    protected = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    s = torch.tensor([[4.0, 0], [3, 0], [2, 0], [0.2, 0], [0, 4], [0, 3], [0, 2], [0, 0.2]], dtype=torch.float64)
    best, total = None, -1.0
    for code in range(2**8):
        decision = torch.tensor([code >> i & 1 for i in range(8)])
        if max(largest_shares(decision, protected, 2)) <= 0.55 + 1e-9:
            value = float(s[torch.arange(8), decision].sum())
            best, total = (decision, value) if value > total else (best, total)
    found = calibrate(s, protected, 2, DomainDiscriminativeOptions(rate=0.05, rounds=1000))
    assert max(largest_shares(found, protected, 2)) <= 0.55 + 1e-9
    assert float(s[torch.arange(8), found].sum()) == pytest.approx(total) and best is not None


def test_rba_leaves_fair_decisions_alone():
    s = torch.tensor([[2.0, 1], [2, 1], [1, 2], [1, 2]])
    assert calibrate(s, torch.tensor([0, 1, 0, 1]), 2, STUDY).tolist() == [0, 0, 1, 1]


def test_rba_works_for_three_groups():
    generator = torch.Generator().manual_seed(0)
    protected = torch.arange(6000) % 3
    s = torch.rand(6000, 3, generator=generator, dtype=torch.float64) * 20000
    s[torch.arange(6000), protected] += 6000
    before, after = (largest_shares(p, protected, 3) for p in (s.argmax(1), calibrate(s, protected, 3, STUDY)))
    assert max(before) > 0.5 and max(after) < 0.42


def test_the_rule_rba_calibrates_the_sum_of_exponentials_of_raw_logits():
    learner = skewed()
    scores = torch.randn(300, 2, 3, generator=torch.Generator().manual_seed(5)) * 3
    protected = torch.arange(300) % 2
    s = [[math.exp(a) + math.exp(b) for a, b in zip(*z, strict=True)] for z in scores.double().tolist()]
    assert learner.decide("rba", scores, protected).tolist() == reference_rba(s, protected.tolist())
