"""The training loop: generators, history, stages, batches that a method picks from, and what goes wrong."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from fitlib.errors import InputError, RunFailed
from fitlib.experiment.training_options import Stage, Training
from fitlib.options import expand_path
from fitlib.training.loop import show_history
from fitlib.training.methods.baseline import Baseline
from fitlib.training.noise import derived_seed
from tests.support.method_examples import learn, parts, toy


def test_seeds_of_different_purposes_and_seeds_differ_and_are_stable():
    seeds = {derived_seed(s, p) for s in range(3) for p in ("initialisation", "order", "augmentation", "dropout")}
    assert len(seeds) == 12 and all(0 <= s < 2**63 for s in seeds)
    first_eight_bytes = hashlib.sha256(b"0/order").hexdigest()[:16]
    assert derived_seed(0, "order") == int(first_eight_bytes, 16) // 2


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
    assert [row[0] for row in show_history(result.history, ("a", "b")).rows] == [1, 2, 3]
    long = [{**row, "epoch": e} for e in range(200) for row in result.history[:2]]
    shown = [row[0] for row in show_history(long, ("a", "b")).rows]
    assert len(shown) <= 13 and shown[-1] == 200


# Stages


def test_a_frozen_stage_trains_the_head_only_and_lets_batch_statistics_adapt():
    states = []

    class Watched(Baseline):
        def start_epoch(self, epoch):
            states.append({name: value.clone() for name, value in self.model.state_dict().items()})
            super().start_epoch(epoch)

    stages = [{"epochs": 1, "frozen": True, "learning_rate": 0.01}, {"epochs": 1, "learning_rate": 0.02}]
    result = learn(Training(stages=stages, batch_size=32), method=Watched)
    moved = {name for name, value in states[0].items() if not torch.equal(value, states[1][name])}
    assert {name for name in moved if "running" not in name and "num_batches" not in name} == {
        "head.weight",
        "head.bias",
    }
    assert any("running_mean" in name for name in moved)
    final = result.method.model.state_dict()
    assert not torch.equal(final["body.0.weight"], states[1]["body.0.weight"])
    assert [row["stage"] for row in result.history] == [0, 0, 1, 1]
    assert result.method.optimizer.param_groups[0]["lr"] == 0.02


def test_a_stage_starts_with_a_fresh_optimizer_and_its_own_batches_and_rate():
    stages = [{"epochs": 1, "batch_size": 60}, {"epochs": 2, "optimizer": "adam", "learning_rate": 0.001}]
    result = learn(Training(stages=stages, batch_size=32, decay_epochs=1, decay_factor=0.5))
    assert [row["steps"] for row in result.history[::2]] == [4, 8, 8]
    assert isinstance(result.method.optimizer, torch.optim.Adam)
    assert result.method.optimizer.param_groups[0]["lr"] == 0.0005  # the schedule restarts with the stage


def test_stages_go_on_in_the_order_of_the_data_unless_they_are_reseeded():
    stages = [{"epochs": 1}, {"epochs": 1}]
    plain, again = (parts(learn(Training(stages=stages, reseed_stages=r)), "order") for r in (False, True))
    assert plain[0] != plain[1] and again == [plain[0]] * 2


def test_a_stage_can_train_on_another_part_and_go_unmeasured():
    dataset = replace(toy(), extra={"pretrain": toy(64, seed=1).train})
    stages = [{"epochs": 2, "part": "pretrain", "measured": False}, {"epochs": 1}]
    result = learn(Training(stages=stages, batch_size=32), dataset)
    assert [row["steps"] for row in result.history[::2]] == [2, 2, 8]
    assert [row["test_accuracy"] is None for row in result.history[::2]] == [True, True, False]
    assert "not measured" in repr(show_history(result.history, ("a", "b")))
    with pytest.raises(InputError, match=r"no such part.*it has train, test, pretrain"):
        learn(Training(stages=[{"epochs": 1, "part": "pretraining"}]), dataset)


def test_a_method_can_have_stages_of_its_own_and_end_one_early():
    class Two(Baseline):
        def stages(self):
            return [Stage(epochs=3), Stage(epochs=1)]

        def stage_done(self):
            return len(self.optimizer.state) > 0 and self.stage_training.epochs == 3

    assert [row["stage"] for row in learn(Training(epochs=9), method=Two).history[::2]] == [0, 1]


def test_epochs_are_the_sum_of_the_stages():
    assert Training(stages=[{"epochs": 2}, {"epochs": 3}]).epochs == 5
    assert Training(**Training(stages=[{"epochs": 2}, {"epochs": 3}]).model_dump()).epochs == 5
    with pytest.raises(ValueError, match=r"have 5 epochs, but training\.epochs = 4"):
        Training(epochs=4, stages=[{"epochs": 2}, {"epochs": 3}])


# Batches that a method picks from


def test_a_method_can_take_some_samples_of_a_batch_or_skip_it():
    class Picky(Baseline):
        def choose(self, batch):
            return batch.take(torch.arange(8)) if batch.y[0] == 0 else None

        def update(self, batch):
            assert len(batch.y) == 8
            return super().update(batch)

    result = learn(Training(epochs=2, batch_size=16), method=Picky)
    assert all(0 < row["steps"] < 15 for row in result.history)


def test_an_epoch_without_a_batch_is_a_failure():
    class Choosy(Baseline):
        def choose(self, batch):
            return None

    with pytest.raises(RunFailed, match=r"every batch of epoch 1 was skipped: raise training\.batch_size"):
        learn(Training(epochs=1), method=Choosy)


# What goes wrong


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_group_without_members_is_named(part):
    whole = toy()
    lonely = replace(whole, **{part: whole.train.take(np.flatnonzero(whole.train.protected == 0))})
    with pytest.raises(InputError, match=f"group of the {part} part = 'dark': it has no member"):
        lonely.check()


def test_classes_that_nobody_has_are_remarked():
    whole = toy()
    fewer = replace(whole, train=whole.train.take(np.flatnonzero(whole.train.y != 1)))
    assert fewer.remarks() == ["1 of 3 classes without a row in part train: b."] and not whole.remarks()


def test_paths_are_filled_in_from_the_environment(monkeypatch):
    monkeypatch.setenv("IMAGES", "/data/images")
    assert expand_path("$IMAGES/a") == expand_path("${IMAGES}/a") == "/data/images/a"
    monkeypatch.delenv("IMAGES")
    with pytest.raises(ValueError, match="IMAGES is not set"):
        expand_path("$IMAGES/a")
