"""Batches: cropping, augmentation and normalisation, of floats, bytes and images of different sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitlib.datasets.dataset import Ragged, Split
from fitlib.errors import InputError
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Images, Normaliser, augment, crop, input_shape
from tests.support.method_examples import bytes_of, learn, toy

SIZES = [(9, 12), (10, 9), (9, 9), (16, 11)]


def ragged(seed: int = 0) -> Ragged:
    rng = np.random.default_rng(seed)
    return Ragged.of([rng.integers(0, 256, (3, *size), dtype=np.uint8) for size in SIZES])


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
    x = Normaliser.of("training", split, rows, "cpu")(torch.from_numpy(split.x[rows]))
    assert x.mean((0, 2, 3)).abs().max() < 1e-5
    assert (x.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_bytes_are_normalised_like_the_floats_that_they_stand_for():
    small = bytes_of(toy().train)
    rows = np.repeat(np.arange(200), 3)
    floats = replace(small, x=small.x.astype(np.float32) / 255)
    exact, rounded = (Normaliser.of("training", split, rows, "cpu").constants for split in (small, floats))
    assert all(torch.allclose(one, other, rtol=1e-6) for one, other in zip(exact, rounded, strict=True))


def test_images_of_different_sizes_are_normalised_pixel_by_pixel():
    images = ragged()
    split = Split(images, np.zeros(4, np.int64), np.zeros(4, np.int64), np.arange(4))
    pixels = np.concatenate([images.image(row).reshape(3, -1) for row in (0, 2, 2)], axis=1) / 255
    mean, sd = Normaliser.of("training", split, np.array([0, 2, 2]), "cpu").constants
    assert np.allclose(mean.flatten(), pixels.mean(1)) and np.allclose(sd.flatten(), pixels.std(1))


def test_declared_constants_and_none_are_taken_as_they_are():
    split = toy().train
    x = torch.rand(2, 3, 8, 8)
    given = Normaliser.of(((0.5, 0.4, 0.3), (0.1, 0.2, 0.5)), split, np.arange(3), "cpu")(x)
    assert torch.allclose(given[:, 1], (x[:, 1] - 0.4) / 0.2)
    assert torch.equal(Normaliser.of(None, split, np.arange(3), "cpu")(x), x)


def test_bytes_stay_bytes_on_the_device_and_train_like_floats():
    dataset = replace(toy(), train=bytes_of(toy().train), test=bytes_of(toy().test))
    floats = replace(
        dataset,
        **{p: replace(dataset.part(p), x=dataset.part(p).x.astype(np.float32) / 255) for p in ("train", "test")},
    )
    small, large = (
        learn(Training(epochs=4, batch_size=32, learning_rate=0.05, shift=1, flip=True), d) for d in (dataset, floats)
    )
    assert small.test.x.dtype == torch.uint8
    losses = [[row["train_loss"] for row in result.history] for result in (small, large)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_crops_of_ragged_images_are_parts_of_them_and_cover_all_places():
    images = ragged()
    on_device, rows = Images(images, "cpu"), torch.tensor([3, 0] * 400)
    cuts = crop(on_device, rows, rows, 8, torch.Generator().manual_seed(0))
    height, width = SIZES[3]
    whole = torch.from_numpy(images.image(3))
    places = {
        whole[:, t : t + 8, left : left + 8].numpy().tobytes() for t in range(height - 7) for left in range(width - 7)
    }
    assert cuts.shape == (800, 3, 8, 8) and cuts.dtype == torch.uint8
    assert {cut.numpy().tobytes() for cut in cuts[::2]} == places


def test_predictions_use_the_central_crop():
    images = ragged()
    central = crop(Images(images, "cpu"), torch.tensor([3]), torch.tensor([3]), 8)
    assert np.array_equal(central[0], images.image(3)[:, 4:12, 2:10])
    uniform = torch.arange(3 * 10 * 10).reshape(1, 3, 10, 10)
    assert torch.equal(crop(uniform, torch.tensor([0]), torch.tensor([0]), 8), uniform[:, :, 1:9, 1:9])


def test_odd_margins_of_a_central_crop_are_rounded_half_to_even():
    rows = torch.arange(13).expand(1, 1, 8, 13)
    lefts = [int(crop(rows[..., :w], torch.tensor([0]), torch.tensor([0]), 8)[0, 0, 0, 0]) for w in range(8, 14)]
    assert lefts == [round(free / 2) for free in range(6)] == [0, 0, 1, 2, 2, 2]


def test_parts_of_ragged_images_share_pixels_and_a_compact_copy_shows_the_same():
    images = ragged()
    chosen = images[np.array([2, 0, 2])]
    assert chosen.pixels is images.pixels and np.array_equal(chosen.image(1), images.image(0))
    small = chosen.compact()
    assert len(small.sizes) == 2 and all(np.array_equal(small.image(i), chosen.image(i)) for i in range(3))


def test_ragged_images_train():
    rng = np.random.default_rng(0)
    x = Ragged.of([rng.integers(0, 256, (3, *SIZES[i % 4]), dtype=np.uint8) for i in range(64)])
    split = Split(x, rng.integers(0, 3, 64), np.arange(64) % 2, np.arange(64))
    dataset = replace(toy(), train=split, test=split)
    one, two = (learn(Training(epochs=2, batch_size=16, crop=8, flip=True), dataset) for _ in range(2))
    assert one.digests == two.digests and one.predictions({"T": "argmax"})["T"].shape == (64,)


@pytest.mark.parametrize(("crop", "problem"), [(None, "different sizes"), (10, "side of only 9 pixels")])
def test_a_crop_that_is_missing_or_too_large_is_refused(crop, problem):
    split = Split(ragged(), np.zeros(4, np.int64), np.zeros(4, np.int64), np.arange(4))
    with pytest.raises(InputError, match=problem):
        input_shape(split, Training(crop=crop))
    assert input_shape(split, Training(crop=8)) == (3, 8, 8)
