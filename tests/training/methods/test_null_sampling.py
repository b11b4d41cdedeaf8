"""Null-sampling computes its losses, hides what it promises to hide, and trains one thing at a time."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import norm
from torch import nn

from fitlib.datasets.dataset import Split
from fitlib.digest import digest_arrays
from fitlib.errors import InputError
from fitlib.experiment.registry.methods import NullSamplingOptions
from fitlib.experiment.training_options import Stage, Training
from fitlib.training.batching import Batch, Inputs, Normaliser, Part
from fitlib.training.methods.base import Problem
from fitlib.training.methods.null_sampling import Discriminator, EarlyStopping, Ensemble, NullSampling
from fitlib.training.networks.small_cnn import SmallCNN
from tests.support.method_examples import make_network

SHAPE = (3, 8, 8)
SMALL = {"levels": 2, "blocks": 1, "hidden": 4, "discriminators": 3, "discriminator_width": 6}
RADAM = Training(epochs=2, batch_size=8, optimizer="radam", learning_rate=1e-3, weight_decay=0.0)


def made(training: Training = RADAM, classes: int = 3, **options: object) -> NullSampling:
    torch.manual_seed(0)
    problem = Problem(classes, 2, False, SHAPE)
    checked = NullSamplingOptions(**{**SMALL, **options})
    return NullSampling(problem, lambda n: make_network(SmallCNN, SHAPE, n, width=2), training, checked)


def batch(n: int = 6, seed: int = 1) -> Batch:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.random((n, *SHAPE), dtype=np.float32))
    return Batch(x, torch.arange(n) % 3, torch.arange(n) % 2)


def split(n: int = 20) -> Split:
    drawn = batch(n, seed=2)
    x = (255 * drawn.x).to(torch.uint8).numpy()
    return Split(x, drawn.y.numpy(), drawn.protected.numpy(), np.arange(n))


def state(module: nn.Module) -> str:
    return digest_arrays(module.state_dict().items())


def nll_by_hand(method: NullSampling, x: torch.Tensor) -> float:
    z, logdet = (t.double().numpy() for t in method.flow(2 * x - 1))
    return -np.mean(norm.logpdf(z).sum(1) + logdet) / z.shape[1]


def adversary_by_hand(method: NullSampling, x: torch.Tensor, s: np.ndarray) -> float:
    z = method.flow(2 * x - 1)[0].clone()
    z[:, -method.sensitive :] = 0
    losses = []
    for member in method.ensemble:
        p = expit(member(z)[:, 1].double().numpy())
        losses.append(-np.mean(np.where(s == 1, np.log(p), np.log(1 - p))))
    return float(np.mean(losses))


def test_the_flow_s_loss_is_the_stated_one_by_hand():
    method, drawn = made(weight=0.7), batch()
    method.start_stage(0)
    method.model.eval()  # batch statistics would move
    with torch.no_grad():
        nll = nll_by_hand(method, drawn.x)
        messages = adversary_by_hand(method, drawn.x, drawn.protected.numpy())
        assert method.loss(drawn).item() == pytest.approx(nll + 0.7 * messages, rel=1e-5)


def test_the_classifier_s_loss_is_the_cross_entropy_on_null_sampled_images():
    method, drawn = made(), batch()
    method.start_stage(1)
    method.model.eval()
    logits = method.classifier(method.null_sample(drawn.x)).double().detach().numpy()
    by_hand = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(6), drawn.y.numpy()])
    assert method.loss(drawn).item() == pytest.approx(by_hand, rel=1e-5)
    assert torch.equal(method.scores(drawn.x), method.classifier(method.null_sample(drawn.x)))


@pytest.mark.parametrize(("shape", "share", "latents"), [((3, 64, 64), 0.001, 12), (SHAPE, 0.001, 1), (SHAPE, 0.1, 19)])
def test_the_sensitive_latents_are_the_last_ones_and_at_least_one(shape, share, latents):
    options = NullSamplingOptions(**{**SMALL, "levels": 3}, share=share)
    method = NullSampling(Problem(2, 2, False, shape), lambda n: nn.Linear(1, n), RADAM, options)
    assert method.sensitive == latents
    z = torch.ones(2, method.flow.size)
    nulled = method.without_sensitive(z)
    assert (nulled[:, -latents:] == 0).all() and (nulled[:, :-latents] == 1).all() and (z == 1).all()


def test_null_sampled_images_have_no_sensitive_latents_and_the_other_ones_unchanged():
    method, x = made(share=0.1), 0.4 + 0.2 * batch().x  # far from black and white: nothing is clipped
    sampled = method.null_sample(x)
    before, after = (method.flow(2 * image - 1)[0] for image in (x, sampled))
    assert sampled.shape == x.shape and sampled.min() > 0 and sampled.max() < 1
    assert torch.allclose(after[:, :-19], before[:, :-19], atol=1e-4)
    assert torch.allclose(after[:, -19:], torch.zeros(6, 19), atol=1e-4) and before[:, -19:].abs().max() > 0.1
    assert torch.allclose(method.null_sample(sampled), sampled, atol=1e-4)


def test_null_sampled_images_are_clipped_to_black_and_white():
    method = made(share=0.9)
    sampled = method.null_sample(torch.rand(20, *SHAPE).round())
    assert sampled.min() >= 0 and sampled.max() <= 1


def test_the_adversary_s_gradient_reaches_the_flow_reversed_and_the_discriminators_as_it_is():
    method, drawn = made(weight=0.5), batch()
    method.start_stage(0)
    method.model.eval()

    def gradients(loss: torch.Tensor, module: nn.Module) -> list[torch.Tensor]:
        return torch.autograd.grad(loss, list(module.parameters()), allow_unused=True, materialize_grads=True)

    z, logdet = method.flow(2 * drawn.x - 1)
    plain = method.ensemble.loss(method.without_sensitive(z), drawn.protected)
    nll = -(torch.distributions.Normal(0, 1).log_prob(z).sum(1) + logdet).mean() / z.shape[1]
    for module, sign in ((method.flow, -1), (method.ensemble, 1)):
        expected = gradients(nll + sign * 0.5 * plain, module)
        z, logdet = method.flow(2 * drawn.x - 1)
        plain = method.ensemble.loss(method.without_sensitive(z), drawn.protected)
        nll = -(torch.distributions.Normal(0, 1).log_prob(z).sum(1) + logdet).mean() / z.shape[1]
        found = gradients(method.loss(drawn), module)
        assert all(torch.allclose(f, e, atol=1e-6) for f, e in zip(found, expected, strict=True))
    assert max(g.abs().max() for g in found) > 0


def test_each_stage_trains_its_own_part_alone():
    method = made()
    method.prepare(split())
    for stage, moving in ((0, {"flow", "discriminators"}), (1, {"network"})):
        method.start_stage(stage)
        method.model.train()
        before = {name: state(module) for name, module in method.model.items()}
        method.update(method.choose(batch()))
        assert {name for name, module in method.model.items() if state(module) != before[name]} == moving


def test_two_stages_are_declared_or_made_from_one():
    flow, classifier = Stage(epochs=3, learning_rate=3e-4, part="pretrain"), Stage(epochs=4)
    declared = made(Training(stages=[flow, classifier], optimizer="radam", learning_rate=1e-3)).stages()
    assert [(s.epochs, s.part, s.measured) for s in declared] == [(3, "pretrain", False), (4, "train", True)]
    own = made(Training(epochs=5)).stages()
    assert [(s.epochs, s.learning_rate, s.optimizer) for s in own] == [(5, 3e-4, "radam"), (5, None, None)]
    with pytest.raises(InputError, match="declare two stages"):
        made(Training(stages=[flow, classifier, classifier])).stages()


def test_training_the_flow_makes_images_likelier_and_the_classifier_learns_what_is_left():
    method = made(Training(epochs=1, batch_size=16, learning_rate=0.05, weight_decay=0.0))
    drawn = batch(48)
    drawn.x[:, :, :, :] *= 0.3
    for label in range(3):
        drawn.x[drawn.y == label, label] += 0.5
    method.prepare(split())
    losses = {0: [], 1: []}
    for stage in (0, 1):
        method.start_stage(stage)
        method.model.train()
        losses[stage] = [float(method.update(drawn)) for _ in range(30)]
    assert losses[0][-1] < losses[0][0] and losses[1][-1] < 0.5 * losses[1][0]
    method.model.eval()
    assert (method.decide("argmax", method.scores(drawn.x), drawn.protected) == drawn.y).float().mean() > 0.9


# ---- discriminators


def test_a_discriminator_has_the_study_s_layers():
    member = Discriminator(12288, 512, 2)
    by_hand = (12288 * 512 + 512) + 2 * (2 * 512 + 512 * 512 + 512) + (512 + 1)
    assert sum(p.numel() for p in member.parameters()) == by_hand == 6_819_841
    assert {m.eps for m in member.modules() if isinstance(m, nn.BatchNorm1d)} == {1e-3}
    assert member.block[-1].weight.abs().max() <= 1e-3
    z = torch.randn(5, 12288)
    logits = member.eval()(z)
    assert logits.shape == (5, 2) and (logits[:, 0] == 0).all()
    hidden = member.first(z)
    assert torch.allclose(logits[:, 1:], member.last(hidden + member.block(hidden)))
    assert Discriminator(8, 4, 3)(torch.randn(5, 8)).shape == (5, 3)


@pytest.mark.parametrize(("restart", "changed"), [(0.0, 0), (1.0, 4)])
def test_restarts_come_with_the_stated_probability_and_leave_the_global_generator_alone(restart, changed):
    torch.manual_seed(0)
    ensemble = Ensemble(8, 4, 2, number=4, restart=restart)
    before, generator = [state(member) for member in ensemble], torch.random.get_rng_state()
    ensemble.restart_some()
    assert sum(state(m) != b for m, b in zip(ensemble, before, strict=True)) == changed
    assert len({state(member) for member in ensemble}) == 4
    assert torch.equal(torch.random.get_rng_state(), generator)


def test_a_restart_leaves_the_generators_of_gpus_alone(monkeypatch):
    torch.manual_seed(0)
    ensemble, seeded = Ensemble(8, 4, 2, number=2, restart=1.0), []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    ensemble.restart_some()
    assert seeded == []


def test_a_restart_forgets_batch_statistics_and_keeps_the_optimiser_s_moments():
    method = made(restart=1.0)
    method.prepare(split())
    method.start_stage(0)
    method.model.train()
    method.update(batch())
    member = method.ensemble[0]
    assert (member.block[0].running_mean == 0).all() and member.block[0].num_batches_tracked == 0
    assert method.optimizer.state[member.first.weight]["exp_avg"].abs().sum() > 0


def test_the_mean_number_of_restarts_is_the_probability_s():
    torch.manual_seed(0)
    ensemble, restarts = Ensemble(2, 2, 2, number=10, restart=0.02), 0
    for _ in range(200):
        before = [member.last.bias.item() for member in ensemble]
        ensemble.restart_some()
        restarts += sum(m.last.bias.item() != b for m, b in zip(ensemble, before, strict=True))
    assert 20 <= restarts <= 60  # 40 expected, SD 6


# ---- when the flow is done


def test_the_flow_stops_after_its_iterations():
    method = made(iterations=2)
    method.prepare(split())
    method.start_stage(0)
    method.model.train()
    for _ in range(2):
        method.update(method.choose(batch()))
    assert method.choose(batch()) is None
    method.start_stage(1)
    assert method.choose(batch()) is not None


def test_the_flow_stops_after_more_checks_without_improvement_than_its_patience():
    stop = EarlyStopping(iterations=None, check_every=10, patience=2)
    due = [step for step in range(1, 41) if stop.count()]
    assert due == [10, 20, 30, 40]
    for loss, stopped in ((3.0, False), (2.0, False), (2.0, False), (5.0, False), (2.5, True)):
        stop.check(loss)
        assert stop.stopped is stopped
    assert not any(EarlyStopping(None, 1, None).count() for _ in range(3))


def test_the_check_is_the_likelihood_less_the_adversary_on_the_training_part():
    method, part = made(weight=0.7, check_every=1, patience=0), split()
    method.prepare(part)
    method.start_stage(0)
    found = method.stopping_loss()
    assert method.model.training
    method.model.eval()
    x = torch.from_numpy(part.x).float() / 255
    with torch.no_grad():
        by_hand = nll_by_hand(method, x) - 0.7 * adversary_by_hand(method, x, part.protected)
    assert found == pytest.approx(by_hand, rel=1e-5)
    method.model.train()
    method.update(batch())
    assert method.stop.best == pytest.approx(method.stopping_loss(), rel=1e-6)


# ---- what it refuses, and what it skips


def test_a_batch_of_one_image_is_skipped_by_the_flow_since_discriminators_normalise_batches():
    method = made()
    method.start_stage(0)
    assert method.choose(batch(1)) is None and len(method.choose(batch(2)).x) == 2
    method.start_stage(1)
    assert len(method.choose(batch(1)).x) == 1


def test_images_whose_sides_cannot_be_halved_are_refused():
    with pytest.raises(InputError, match="cannot be halved 4 times"):
        made(levels=4)


# ---- bits


def inputs(x: np.ndarray, **options: object) -> tuple[Inputs, Part]:
    labels = torch.zeros(len(x), dtype=torch.int64)
    return Inputs(Normaliser(None), Training(**options)), Part(torch.from_numpy(x), labels, labels)


def test_training_images_are_cut_to_so_many_bits_and_spread_by_noise_of_one_step():
    x = split().x
    made_inputs, part = inputs(x, bits=5)
    rows = torch.arange(20)
    drawn = [made_inputs.training_batch(part, rows, rows, torch.Generator().manual_seed(seed)).x for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    cut = np.minimum(np.floor(32 * (x / 255)), 31) / 32
    noise = 32 * (drawn[0].double().numpy() - cut)
    assert noise.min() > -1e-5 and noise.max() < 1 + 1e-5 and drawn[0].max() <= 1
    assert noise.mean() == pytest.approx(0.5, abs=0.02) and noise.std() == pytest.approx(12**-0.5, abs=0.01)


def test_predicted_images_stand_in_the_middle_of_the_step_unless_noise_is_asked_for():
    x = np.array([0, 7, 8, 254, 255], np.uint8).reshape(5, 1, 1, 1)
    made_inputs, part = inputs(x, bits=5)
    middle = torch.cat(list(made_inputs.prediction_inputs(part, 2))).flatten().tolist()
    assert middle == [0.5 / 32, 0.5 / 32, 1.5 / 32, 31.5 / 32, 31.5 / 32]
    noisy_inputs, part = inputs(split().x, bits=5, noisy_predictions=True)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(torch.cat(list(noisy_inputs.prediction_inputs(part, 8))))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    plain_inputs, part = inputs(split().x)
    assert torch.equal(torch.cat(list(plain_inputs.prediction_inputs(part, 8))), part.x.float() / 255)
