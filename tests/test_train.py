"""The training loop: batches, augmentation, evaluation, and losses that explode."""

import hashlib

import numpy as np
import pytest
import torch
from test_techniques import NETWORK, toy

from fitlib.errors import RunFailed
from fitlib.noise import NoNoise, derived_seed
from fitlib.options import Training
from fitlib.train import Generators, Normaliser, augment, make_method, show_history, train


def learn(training: Training, seed: int = 0):
    generators = Generators.of(seed)
    method = make_method({"name": "baseline"}, NETWORK, training, toy(), generators)
    return train(toy(), method, NoNoise(0, 0), generators)


def test_seeds_of_different_purposes_and_seeds_differ_and_are_stable():
    seeds = {derived_seed(s, p) for s in range(3) for p in ("initialisation", "order", "augmentation", "dropout")}
    assert len(seeds) == 12 and all(0 <= s < 2**63 for s in seeds)
    first_eight_bytes = hashlib.sha256(b"0/order").hexdigest()[:16]
    assert derived_seed(0, "order") == int(first_eight_bytes, 16) // 2


def test_a_shift_moves_the_image_and_fills_with_zeros():
    x = torch.zeros(200, 1, 5, 5)
    x[:, 0, 2, 2] = 1
    moved = augment(x, Training(shift=1), torch.Generator().manual_seed(0))
    places = moved[:, 0].flatten(1).argmax(1)
    assert moved.shape == x.shape and (moved.sum((1, 2, 3)) == 1).all()
    assert set(places.tolist()) == {5 * r + c for r in (1, 2, 3) for c in (1, 2, 3)}
    corner = torch.ones(50, 2, 4, 4)
    assert set(augment(corner, Training(shift=2), torch.Generator().manual_seed(1)).unique().tolist()) == {0.0, 1.0}


def test_a_flip_mirrors_about_half_of_the_images():
    x = torch.arange(4.0).repeat(400, 1, 3, 1)
    flipped = augment(x, Training(flip=True), torch.Generator().manual_seed(0))
    mirrored = (flipped[:, 0, 0, 0] == 3).float().mean()
    assert 0.4 < mirrored < 0.6 and torch.equal(flipped.sort(3).values, x)


def test_without_augmentation_nothing_is_drawn():
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    x = torch.rand(3, 1, 4, 4)
    assert torch.equal(augment(x, Training(), generator), x) and torch.equal(generator.get_state(), state)


def test_normalised_training_rows_have_mean_zero_and_unit_sd():
    split = toy().train
    rows = np.arange(100)
    x = Normaliser.of(split, rows, "cpu")(torch.from_numpy(split.x[rows]))
    assert x.mean((0, 2, 3)).abs().max() < 1e-5
    assert (x.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_order_is_independent_of_augmentation():
    plain, shifted = learn(Training(epochs=1)), learn(Training(epochs=1, shift=1))
    assert plain.digest("order") == shifted.digest("order")
    assert plain.digest("first batch") != shifted.digest("first batch")


def test_a_loss_that_is_not_finite_names_its_step():
    with pytest.raises(RunFailed, match=r"step \d+ of epoch \d+.*learning_rate"):
        learn(Training(epochs=2, learning_rate=1e30, batch_size=32))


def test_history_has_one_row_per_epoch_and_group_and_is_shown():
    result = learn(Training(epochs=3))
    assert [(row["epoch"], row["group"]) for row in result.history] == [(e, g) for e in range(3) for g in range(2)]
    right = result.predictions({"T": "argmax"})["T"] == toy().test.y
    for row in result.history[-2:]:
        assert row["test_accuracy"] == pytest.approx(right[toy().test.protected == row["group"]].mean())
    assert len(show_history(result.history, ("a", "b")).rows) == 3
    long = [{**row, "epoch": e} for e in range(200) for row in result.history[:2]]
    assert len(show_history(long, ("a", "b")).rows) <= 13
