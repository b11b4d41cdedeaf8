"""A noise adds nothing but itself, and can be replayed from the run index."""

import copy

import pytest
import torch
from method_examples import Example, configurations, table, trained

from fitlib.compute import computing
from fitlib.errors import InputError, RunFailed
from fitlib.networks.small_cnn import SmallCNN
from fitlib.noise import Native, NoNoise, ReductionOrder, Ulp
from fitlib.options import Training
from fitlib.registry import METHODS, NOISE_KINDS, NOISES
from fitlib.techniques import Batch
from fitlib.train import make_noise

BEFORE_NOISE = ("initial weights", "first batch", "order")


CONFIGURATIONS = configurations(METHODS)
every_configuration = pytest.mark.parametrize(("method", "example"), CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))


def run(noise, method: str = "baseline", example: Example | None = None, **changes):
    example = example or Example()
    if "stages" not in example.training:
        changes = {"epochs": 2, **changes}
    if example.data is not table:
        changes = {"shift": 1, **changes}
    torch.use_deterministic_algorithms(noise.deterministic)
    try:
        return trained(method, example, noise=noise, **changes)
    finally:
        torch.use_deterministic_algorithms(False)


def digests(result, parts):
    return [row for row in result.digests if row["part"] in parts]


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 5))


def test_every_kind_of_noise_is_declared():
    assert set(NOISES) == set(NOISE_KINDS)
    assert set(NOISE_KINDS.values()) <= {"control", "real", "emulated"}


@every_configuration
def test_the_control_arm_is_bit_identical(method, example):
    assert run(NoNoise(0, 0), method, example).digests == run(NoNoise(1, 0), method, example).digests


@pytest.mark.parametrize("noise", [Ulp, ReductionOrder, Native])
def test_starts_batches_and_order_are_those_of_the_control(noise):
    control, noisy = run(NoNoise(0, 0)), run(noise(3, 0))
    assert digests(noisy, BEFORE_NOISE) == digests(control, BEFORE_NOISE)


@pytest.mark.parametrize("noise", [Ulp, ReductionOrder])
@every_configuration
def test_emulated_runs_part_from_each_other_and_replay_themselves(noise, method, example):
    results = [run(noise(i, 0), method, example) for i in (0, 1, 2, 1)]
    finals = [r.digest("weights") for r in results]
    assert len(set(finals[:3])) == 3 and finals[1] == finals[3]
    assert results[1].digests == results[3].digests


def test_another_noise_seed_is_another_draw():
    assert run(Ulp(1, 0)).digest("weights") != run(Ulp(1, 1)).digest("weights")


def test_ulp_moves_exactly_one_weight_by_one_unit_in_the_last_place():
    for index in range(12):
        before, after = model(), model()
        moved = Ulp(index, 0).perturb(after)
        changed = {
            n: (p, q) for (n, p), q in zip(before.named_parameters(), after.parameters(), strict=True) if (p != q).any()
        }
        assert list(changed) == [moved["tensor"]]
        p, q = changed[moved["tensor"]]
        assert p.dim() >= 2 and int((p != q).sum()) == 1
        old, new = p[p != q], q[p != q]
        assert old != 0 and abs(int(old.view(torch.int32)) - int(new.view(torch.int32))) == 1


def test_ulp_moves_a_weight_of_a_bfloat16_network_by_one_bfloat16_unit():
    network = computing(SmallCNN, Training(precision="bfloat16"))
    for index in range(12):
        torch.manual_seed(0)
        before = network((3, 8, 8), 4, width=4)
        after = copy.deepcopy(before)
        moved = Ulp(index, 0).perturb(after)
        assert moved["unit"] == "bfloat16" and moved["before"] != 0
        old, new = (dict(m.named_parameters())[moved["tensor"]].flatten()[moved["position"]] for m in (before, after))
        seen = [int(v.detach().to(torch.bfloat16).view(torch.int16)) for v in (old, new)]
        assert abs(seen[0] - seen[1]) == 1 and old.dtype == torch.float32
        assert sum(int((p != q).sum()) for p, q in zip(before.parameters(), after.parameters(), strict=True)) == 1


def test_a_large_network_needs_no_permutation_of_all_its_weights(monkeypatch):
    monkeypatch.setattr("fitlib.noise.FEW_PAIRS", 10)
    moves = [Ulp(i, 0).perturb(model()) for i in range(64)]
    assert len({(m["tensor"], m["position"], m["after"]) for m in moves}) == 64
    assert moves[5] == Ulp(5, 0).perturb(model())


def test_no_two_runs_share_a_perturbation():
    moves = [Ulp(i, 0).perturb(model()) for i in range(64)]
    assert len({(m["tensor"], m["position"], m["after"]) for m in moves}) == 64


def test_ulp_leaves_zero_weights_alone_and_refuses_a_network_without_others():
    network = torch.nn.Linear(3, 3)
    torch.nn.init.zeros_(network.weight)
    with pytest.raises(InputError, match="no non-zero matrix weight"):
        Ulp(0, 0).perturb(network)
    with torch.no_grad():
        network.weight[1, 2] = 0.5
    assert {Ulp(i, 0).perturb(network)["position"] for i in range(4)} == {5}


def test_ulp_waits_for_its_step():
    late = run(Ulp(0, 0, step=8), epochs=2)
    control = run(NoNoise(0, 0), epochs=2)
    weights = [row["digest"] for row in late.digests if row["part"] == "weights"]
    quiet = [row["digest"] for row in control.digests if row["part"] == "weights"]
    assert weights[0] == quiet[0] and weights[1] != quiet[1]  # 240 rows in batches of 32: step 8 opens epoch 1


def test_ulp_that_never_comes_is_a_failure():
    with pytest.raises(RunFailed, match="ended before step 99"):
        run(Ulp(0, 0, step=99))


def test_reduction_order_keeps_the_set_of_samples():
    batch = Batch(torch.arange(20.0)[:, None], torch.arange(20), torch.arange(20) % 2)
    shuffled = ReductionOrder(1, 0).before_step(5, model(), batch)
    assert not torch.equal(shuffled.y, batch.y) and torch.equal(shuffled.y.sort().values, batch.y)
    assert torch.equal(shuffled.x[:, 0].long(), shuffled.y) and torch.equal(shuffled.protected, shuffled.y % 2)


def test_reduction_order_refuses_dropout():
    with pytest.raises(InputError, match="dropout"):
        run(ReductionOrder(0, 0), example=Example(network={"name": "small-cnn", "dropout": 0.5}))


def test_native_forbids_nothing():
    assert not make_noise({"name": "native"}, 0, 0).deterministic
    assert all(make_noise({"name": n}, 0, 0).deterministic for n in NOISES if n != "native")
