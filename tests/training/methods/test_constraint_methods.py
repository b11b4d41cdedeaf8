"""L2 penalty, FairALM, ratio-balanced sets and class weights compute their formulas."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fitlib.datasets.dataset import Split
from fitlib.errors import InputError
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.loop import Generators, make_method
from fitlib.training.methods.base import Problem
from fitlib.training.methods.baseline import Baseline, class_weights, weighted_loss
from fitlib.training.methods.fair_alm import FairALM, sequential, simultaneous
from fitlib.training.methods.group_loss_penalty import GroupLossPenalty, group_losses
from fitlib.training.methods.ratio_balanced import RatioBalanced
from tests.support.method_examples import NETWORK, checked_options, two_classes

PLAIN = Training(learning_rate=0.01, momentum=0.0, weight_decay=0.0)


def made(method: type, n_classes: int = 2, multilabel: bool = False, n_groups: int = 2, **options: object):
    torch.manual_seed(0)
    problem = Problem(n_classes, n_groups, multilabel, (4,))
    learner = method(problem, lambda n: nn.Linear(4, n), PLAIN, checked_options(method, **options))
    learner.start_stage(0)
    return learner


def a_batch(y: list[int], protected: list[int], seed: int = 1) -> Batch:
    x = torch.randn(len(y), 4, generator=torch.Generator().manual_seed(seed))
    return Batch(x, torch.tensor(y), torch.tensor(protected))


MIXED = ([1, 1, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1])


def losses_by_hand(learner, batch: Batch) -> tuple[float, list[float]]:
    """Mean cross entropy, and that of class 1 in each group, from plain Python sums."""
    each = []
    for row, y in zip(learner.model(batch.x).double().tolist(), batch.y.tolist(), strict=True):
        each.append(math.log(sum(math.exp(v) for v in row)) - row[y])
    rows = list(zip(each, batch.y.tolist(), batch.protected.tolist(), strict=True))
    groups = [[loss for loss, y, s in rows if y == 1 and s == group] for group in (0, 1)]
    return sum(each) / len(each), [sum(g) / len(g) for g in groups]


# L2 penalty


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_penalised_loss_by_hand(epochs):
    learner, batch = made(GroupLossPenalty), a_batch(*MIXED)
    for epoch in range(epochs):
        learner.start_epoch(epoch)
    mean, (group_0, group_1) = losses_by_hand(learner, batch)
    expected = mean + 20 * 1.01**epochs / 2 * (group_0 - group_1) ** 2
    assert learner.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_the_weight_of_the_penalty_grows_from_20_2_to_54_1_in_the_study_s_100_epochs():
    learner, weights = made(GroupLossPenalty), []
    for epoch in range(100):
        learner.start_epoch(epoch)
        weights.append(learner.eta)
    assert (weights[0], weights[-1]) == (pytest.approx(20.2), pytest.approx(54.096, abs=1e-3))


@pytest.mark.parametrize("method", [GroupLossPenalty, FairALM])
@pytest.mark.parametrize("batch", [([1, 1, 0], [0, 0, 1]), ([1, 0, 0], [1, 0, 0]), ([0, 0], [0, 1])])
def test_a_batch_without_one_group_s_favourable_samples_trains_on_the_plain_loss(method, batch):
    learner, batch = made(method), a_batch(*batch)
    learner.start_epoch(0)
    loss = learner.loss(batch)
    assert loss.item() == pytest.approx(nn.functional.cross_entropy(learner.model(batch.x), batch.y).item())
    loss.backward()
    assert torch.isfinite(learner.model.weight.grad).all()


def test_the_favourable_class_can_be_any():
    learner, batch = made(GroupLossPenalty, 3, positive=2), a_batch([2, 2, 1, 2], [0, 1, 1, 1])
    losses = nn.functional.cross_entropy(learner.model(batch.x), batch.y, reduction="none")
    _, group_0, group_1 = group_losses(learner.model(batch.x), batch, 2)
    assert torch.allclose(group_0, losses[0]) and torch.allclose(group_1, losses[[1, 3]].mean())


@pytest.mark.parametrize("method", [GroupLossPenalty, FairALM])
def test_more_than_two_groups_and_unknown_classes_are_refused(method):
    with pytest.raises(InputError, match="two groups are needed, not 3"):
        made(method, n_groups=3)
    with pytest.raises(InputError, match="positive = 5: there is no such class"):
        made(method, positive=5)


# FairALM


def test_the_augmented_lagrangian_by_hand():
    learner, batch = made(FairALM), a_batch(*MIXED)
    learner.start_epoch(0)
    learner.duals = torch.tensor([1.5, -2.5])
    mean, (group_0, group_1) = losses_by_hand(learner, batch)
    eta = 20 * 1.01
    expected = mean + (eta / 4 + 2.0) * group_0 + (eta / 4 - 2.0) * group_1
    assert learner.loss(batch).item() == pytest.approx(expected, rel=1e-5)


WORKED = {  # duals after gaps of 0.1, -0.2 and 0.4 at eta 20, worked out on paper
    "simultaneous": [(1.0, -1.0), (-1.0, 1.0), (3.0, -3.0)],
    "study": [(1.0, -1.5), (-0.75, 1.625), (2.8125, -4.59375)],
}


@pytest.mark.parametrize(("rule", "expected"), [(simultaneous, WORKED["simultaneous"]), (sequential, WORKED["study"])])
def test_the_duals_follow_a_worked_sequence(rule, expected):
    duals = torch.zeros(2)
    for gap, values in zip((0.1, -0.2, 0.4), expected, strict=True):
        duals = rule(duals, 20.0, torch.tensor(gap))
        assert duals.tolist() == pytest.approx(values, abs=1e-5)


@pytest.mark.parametrize(("rule", "ratio"), [(simultaneous, 1.0), (sequential, 1.5)])
def test_from_opposite_duals_the_study_s_second_one_moves_half_as_far_again(rule, ratio):
    before = torch.tensor([0.8, -0.8])
    lam0, lam1 = (rule(before, 20.0, torch.tensor(0.3)) - before).tolist()
    assert lam1 == pytest.approx(-ratio * lam0)


@pytest.mark.parametrize("duals", ["simultaneous", "study"])
def test_a_step_is_five_passes_on_the_same_batch_and_the_gap_is_that_of_the_last_pass(duals):
    learner, twin = made(FairALM, duals=duals), made(FairALM, duals=duals)
    batch = a_batch(*MIXED)
    for each in (learner, twin):
        each.start_epoch(0)
    for _ in range(2):  # batches; the duals are carried on
        learner.update(batch)
        for _ in range(5):
            _, (group_0, group_1) = losses_by_hand(twin, batch)
            loss = twin.loss(batch)
            gradients = torch.autograd.grad(loss, list(twin.model.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(twin.model.parameters(), gradients, strict=True):
                    parameter -= 0.01 * gradient
        rule = {"simultaneous": simultaneous, "study": sequential}[duals]
        twin.duals = rule(twin.duals, 20.2, torch.tensor(group_0 - group_1))
    assert torch.allclose(learner.model.weight, twin.model.weight, atol=1e-6)
    assert torch.allclose(learner.duals, twin.duals, rtol=1e-3, atol=1e-5) and learner.duals.abs().min() > 0


def test_the_duals_stay_where_a_batch_does_not_define_the_gap():
    learner = made(FairALM, duals="study")
    learner.start_epoch(0)
    learner.duals = torch.tensor([1.0, -3.0])
    learner.update(a_batch([1, 1, 0], [0, 0, 1]))
    assert learner.duals.tolist() == [1.0, -3.0]


# Ratio-balanced sets


def a_split(y: np.ndarray, protected: np.ndarray) -> Split:
    return Split(np.zeros((len(y), 4), np.float32), y, protected, np.arange(len(y)))


@pytest.mark.parametrize("ratio", [1, 2, 3, 1.5])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_no_group_has_more_than_ratio_times_another_s_samples_of_a_class(ratio, n_groups):
    rng = np.random.default_rng(0)
    y, protected = rng.integers(0, 4, 600), np.minimum(rng.geometric(0.5, 600) - 1, n_groups - 1)
    learner = made(RatioBalanced, 4, n_groups=n_groups, ratio=ratio)
    rows = learner.training_rows(a_split(y, protected))
    for c in range(4):
        sizes = np.bincount(protected[y == c], minlength=n_groups)
        kept = np.bincount(protected[rows][y[rows] == c], minlength=n_groups)
        assert kept.tolist() == [min(size, math.floor(ratio * sizes.min())) for size in sizes]
    assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("ratio", [1, 2, 3])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_no_group_has_more_than_ratio_times_another_s_samples_with_a_label(ratio, n_groups):
    rng = np.random.default_rng(0)
    protected = np.minimum(rng.geometric(0.5, 900) - 1, n_groups - 1)
    y = (rng.random((900, 6)) < np.linspace(0.05, 0.4, 6) * (1 + (protected == 0))[:, None]).astype(np.int64)
    rows = made(RatioBalanced, 6, True, n_groups, ratio=ratio).training_rows(a_split(y, protected))
    counts = np.stack([y[rows][protected[rows] == g].sum(0) for g in range(n_groups)])
    assert (counts.max(0) <= ratio * counts.min(0)).all() and counts.min() > 0


def test_the_subset_is_the_same_for_every_training_and_another_for_another_subset_seed():
    rng = np.random.default_rng(0)
    split = a_split(rng.integers(0, 2, 200), (rng.random(200) < 0.3).astype(np.int64))
    chosen = [made(RatioBalanced, subset_seed=seed).training_rows(split).tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2] and len(chosen[0]) == len(chosen[2])


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_class_that_one_group_never_shows_is_named_or_left_out(multilabel):
    y, protected = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 1, 1])
    split = a_split(np.eye(3, dtype=np.int64)[y] if multilabel else y, protected)
    with pytest.raises(InputError, match="class = 2: group 0 has no training sample of it"):
        made(RatioBalanced, 3, multilabel).training_rows(split)
    assert made(RatioBalanced, 3, multilabel, missing="drop").training_rows(split).tolist() == [0, 1, 2, 3]


def test_a_subset_without_samples_is_refused():
    split = a_split(np.array([0, 1]), np.array([0, 1]))
    with pytest.raises(InputError, match="no training sample is left"):
        made(RatioBalanced, 2, missing="drop").training_rows(split)


@pytest.mark.parametrize(("ratio", "men", "women"), [(1, 7342, 7342), (2, 10265, 8884), (3, 11613, 9530)])
def test_on_imsitu_s_annotations_the_subsets_have_the_published_sizes(data_dir, ratio, men, women):
    table = pd.read_csv(data_dir / "data/annotations/imsitu_verb_gender.csv.gz")
    train = table[table.split == "train"]
    learner = made(RatioBalanced, 211, ratio=ratio)
    rows = learner.training_rows(a_split(train.verb.to_numpy(), train.gender.to_numpy()))
    assert np.bincount(train.gender.to_numpy()[rows]).tolist() == [men, women]


def test_class_weights_are_counted_on_the_subset_in_use():
    y, protected = np.repeat([0, 1], [20, 10]), np.concatenate([np.repeat([0, 1], [18, 2]), np.repeat([0, 1], 5)])
    learner = made(RatioBalanced, class_weights="clamped")
    learner.prepare(a_split(y, protected))  # 2 + 2 of class 0, 5 + 5 of class 1
    assert learner.weights.tolist() == pytest.approx([10 / 4, 4 / 10])


# Class weights


def test_class_weights_by_hand():
    assert class_weights(np.array([0, 0, 0, 1]), 2, "clamped").tolist() == pytest.approx([1 / 3, 3])
    labels = np.array([[1, 0], [1, 1], [1, 0], [0, 0]])
    for kind in ("clamped", "study"):
        assert class_weights(labels, 2, kind).tolist() == pytest.approx([1 / 3, 3])


def test_an_absent_label_gets_a_finite_weight_or_the_study_s_enormous_one():
    labels = np.array([[1, 0], [0, 0], [0, 0], [0, 0]])
    assert class_weights(labels, 2, "clamped")[1].item() == 4
    assert class_weights(labels, 2, "study")[1].item() == pytest.approx(4e15)


def test_a_label_that_everybody_has_keeps_a_weight_unless_as_in_the_study():
    labels = np.ones((5, 1), np.int64)
    assert class_weights(labels, 1, "clamped").item() == pytest.approx(0.2)
    assert class_weights(labels, 1, "study").item() == 0


def test_the_weight_multiplies_positives_and_negatives_of_a_label_alike():
    z, y, w = torch.tensor([[0.3, -1.2], [2.0, 0.4]]), torch.tensor([[1, 0], [0, 1]]), torch.tensor([2.0, 5.0])
    p = 1 / (1 + np.exp(-z.double().numpy()))
    terms = -np.where(y.numpy() == 1, np.log(p), np.log(1 - p)) * np.array([2.0, 5.0])
    assert weighted_loss(z, y, w).item() == pytest.approx(terms.mean(), rel=1e-6)


def test_weighted_cross_entropy_is_normalised_by_the_summed_weights():
    z, y, w = (
        torch.randn(5, 3, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 2, 2, 1, 0]),
        [0.5, 4, 1.5],
    )
    rows = z.double().tolist()
    each = [math.log(sum(map(math.exp, row))) - row[c] for row, c in zip(rows, y.tolist(), strict=True)]
    expected = sum(w[c] * e for c, e in zip(y.tolist(), each, strict=True)) / sum(w[c] for c in y.tolist())
    assert weighted_loss(z, y, torch.tensor(w)).item() == pytest.approx(expected, rel=1e-6)


def test_the_baseline_weights_classes_only_where_it_is_asked_to():
    split = a_split(np.array([0, 0, 0, 1]), np.array([0, 1, 0, 1]))
    batch = a_batch([0, 1, 1], [0, 0, 1])
    plain, weighted = made(Baseline), made(Baseline, class_weights="clamped")
    for learner in (plain, weighted):
        learner.prepare(split)
    z = plain.model(batch.x)
    assert torch.equal(plain.loss(batch), nn.functional.cross_entropy(z, batch.y))
    assert torch.allclose(weighted.loss(batch), weighted_loss(z, batch.y, torch.tensor([1 / 3, 3.0])))


@pytest.mark.parametrize("name", METHODS)
def test_the_registry_s_defaults_are_the_method_s(name):
    learner = make_method({"name": name}, NETWORK, PLAIN, two_classes(), Generators.of(0))
    assert learner.options == METHODS[name].options()
