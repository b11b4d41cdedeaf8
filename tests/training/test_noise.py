"""A noise adds nothing but itself, and can be replayed from the run index."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch

from fitlib.datasets.digits_s import load
from fitlib.datasets.options import DigitsSOptions
from fitlib.digest import digest_arrays
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import SmallCNNOptions
from fitlib.experiment.registry.noises import NOISE_KINDS, NOISES
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Batch
from fitlib.training.compute import configure_network
from fitlib.training.loop import make_noise
from fitlib.training.networks.small_cnn import SmallCNN
from fitlib.training.noise import PURPOSES, NoNoise, Primitives, ReductionOrder, Seeds, Threads, Ulp
from tests.conftest import ROOT
from tests.support.method_examples import Example, configurations, table, trained

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
    assert set(NOISE_KINDS.values()) == {"control", "real", "emulated", "comparison"}


@every_configuration
def test_the_control_arm_is_bit_identical(method, example):
    assert run(NoNoise(0, 0), method, example).digests == run(NoNoise(1, 0), method, example).digests


@pytest.fixture(scope="module")
def processes():
    """Every control arm in two processes that work at the same time, one of them a month later by its clock."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.control_digests", str(ahead)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": str(ahead % 7), "TZ": zone, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        )
        for ahead, zone in ((0, "UTC"), (30 * 86400, "Asia/Tokyo"))
    ]
    return [json.loads(process.communicate()[0]) for process in started]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_control_arm_is_bit_identical_across_processes_side_by_side_and_days(name, processes):
    first, second = (found[name] for found in processes)
    assert first == second and {row["part"] for row in first} >= {"initial weights", "first batch", "order", "weights"}


IMPLEMENTATION = [name for name, kind in NOISE_KINDS.items() if kind in ("real", "emulated")]
SEEDS = [name for name, kind in NOISE_KINDS.items() if kind == "comparison"]
DROPOUT = Example(network={"name": "small-cnn", "dropout": 0.5})


class Watched:
    """A noise that notes what every step is given: the batch before and after it, random numbers, dropped units."""

    def __init__(self, name: str, index: int = 3):
        self.noise, self.steps = make_noise({"name": name}, index, 0), []
        self.seeds, self.deterministic, self.finish = self.noise.seeds, self.noise.deterministic, self.noise.finish

    def check(self, model):
        self.noise.check(model)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.register_forward_hook(self._note_mask)

    def before_step(self, step, model, batch):
        given = self.noise.before_step(step, model, batch)
        self.steps.append({"drawn": batch, "given": given, "random": digest_arrays([("state", torch.get_rng_state())])})
        return given

    def after_step(self):
        self.noise.after_step()

    def _note_mask(self, module, inputs, output):
        if module.training:
            self.steps[-1]["kept"] = (output != 0) | (inputs[0] == 0)


def watched(name: str, example: Example | None = None) -> Watched:
    noise = Watched(name)
    run(noise, example=example)
    return noise


def rows_of(batch: Batch) -> list[str]:
    """Every sample of a batch, its pixels included, whatever its place."""
    return sorted(digest_arrays([(n, v[i].contiguous()) for n, v in vars(batch).items()]) for i in range(len(batch.y)))


@pytest.mark.parametrize("name", IMPLEMENTATION)
def test_starts_batches_and_order_are_those_of_the_control(name):
    control, noisy = run(NoNoise(0, 0)), run(make_noise({"name": name}, 3, 0))
    assert digests(noisy, BEFORE_NOISE) == digests(control, BEFORE_NOISE)


@pytest.mark.parametrize("name", IMPLEMENTATION)
def test_every_step_sees_the_samples_augmentation_and_dropout_of_the_control(name):
    example = None if name == "reduction-order" else DROPOUT  # which refuses dropout
    control, noisy = watched("none", example), watched(name, example)
    assert len(noisy.steps) == len(control.steps) > 10
    for quiet, loud in zip(control.steps, noisy.steps, strict=True):
        assert digest_arrays(vars(quiet["drawn"]).items()) == digest_arrays(vars(loud["drawn"]).items())
        assert rows_of(loud["given"]) == rows_of(quiet["given"])
        assert loud["random"] == quiet["random"]
    if example:
        assert torch.equal(noisy.steps[0]["kept"], control.steps[0]["kept"])
        assert 0.2 < (~control.steps[0]["kept"]).float().mean() < 0.5


@pytest.mark.parametrize("name", ["threads", "primitives"])
def test_noise_of_every_step_replays_parts_runs_and_leaves_the_process_as_it_was(name):
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    noises = [make_noise({"name": name}, i, 0) for i in (0, 1, 1)]
    example = Example(network={"name": "small-cnn", "width": 16}, data=lambda: load(DigitsSOptions()))
    finals = [run(noise, example=example, epochs=1).digest("weights") for noise in noises]
    assert finals[0] != finals[1] == finals[2]
    assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == before
    (moved,) = noises[0].record()["moved"].values()
    assert len(moved) > 1 and sum(moved.values()) == 34  # of one epoch


def test_predictions_are_made_with_the_declared_number_of_threads_and_primitives():
    for noise in (Threads(0, 0), Primitives(0, 0)):
        before = torch.get_num_threads(), torch.backends.mkldnn.enabled
        for step in range(8):
            noise.before_step(step, model(), Batch(torch.zeros(2, 3, 8, 8), torch.zeros(2), torch.zeros(2)))
            noise.after_step()
            assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == before


def test_primitives_leave_the_memory_format_alone_where_masks_belong_to_it():
    batch = Batch(torch.rand(4, 3, 8, 8), torch.zeros(4), torch.zeros(4))
    plain, dropping = Primitives(0, 0), Primitives(0, 0)
    plain.check(model())
    dropping.check(torch.nn.Sequential(torch.nn.Dropout2d(0.5)))
    formats = {n: set() for n in (plain, dropping)}
    for noise, seen in formats.items():
        for step in range(16):
            x = noise.before_step(step, model(), batch).x
            seen.add(x.is_contiguous(memory_format=torch.channels_last))
            noise.after_step()
            assert torch.equal(x, batch.x)
    assert formats == {plain: {True, False}, dropping: {False}}


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_changes_what_it_is_for_and_nothing_else(name):
    noise, control = watched(name, DROPOUT), watched("none", DROPOUT)
    purposes = set(noise.seeds)
    same = {part: a == b for part, a, b in _starts(noise, control)}
    assert same["order"] == ("order" not in purposes) and same["augmentation"] == ("augmentation" not in purposes)
    assert same["dropout"] == ("dropout" not in purposes)
    results = [run(make_noise({"name": n}, 3, 0)) for n in ("none", name, name, "seed")]
    weights = [digests(result, ("initial weights",)) for result in results]
    assert (weights[0] == weights[1]) == ("initialisation" not in purposes)
    assert results[1].digests == results[2].digests
    if "initialisation" in purposes:
        assert weights[1] == weights[3]  # of one index, the same seed in every kind
    assert purposes <= set(PURPOSES)


def _starts(noise: Watched, control: Watched):
    first, quiet = noise.steps[0], control.steps[0]
    yield "order", first["drawn"].y.tolist(), quiet["drawn"].y.tolist()
    by_place = [digest_arrays([("x", step["drawn"].x.sum((1, 2, 3)))]) for step in (first, quiet)]
    if "order" in noise.seeds and "augmentation" not in noise.seeds:
        by_place = ["", ""]  # shifts belong to places in the batch, where other samples stand now
    yield "augmentation", *by_place
    yield "dropout", first["random"], quiet["random"]


def test_a_seed_may_come_with_an_implementation_noise():
    both = make_noise({"name": "seed", "implementation": "ulp"}, 2, 0)
    alone = Seeds(2, 0)
    results = [run(both), run(alone)]
    assert digests(results[0], BEFORE_NOISE) == digests(results[1], BEFORE_NOISE)
    assert results[0].digest("weights") != results[1].digest("weights")
    assert both.record()["moved"]["tensor"] and both.record()["moved"]["seed"] == alone.drawn
    assert not make_noise({"name": "seed", "implementation": "native"}, 0, 0).deterministic


@pytest.mark.parametrize("name", [name for name, kind in NOISE_KINDS.items() if kind == "emulated"])
def test_entropy_of_the_operating_system_is_drawn_afresh_and_recorded(name):
    noises = [make_noise({"name": name, "entropy": "os"}, 1, 7) for _ in range(3)]
    records = [noise.record() for noise in noises]
    assert len({t["drawn_seed"] for t in records}) == 3 and all(t["noise_seed"] == 7 for t in records)
    assert "drawn_seed" not in make_noise({"name": name}, 1, 7).record()


def test_what_the_operating_system_drew_can_be_replayed():
    drawn = make_noise({"name": "ulp", "entropy": "os"}, 1, 7)
    replayed = make_noise({"name": "ulp"}, 1, drawn.record()["drawn_seed"])
    assert run(drawn).digests == run(replayed).digests


@pytest.mark.parametrize("units", [1, 16])
def test_ulp_moves_a_weight_by_so_many_units(units):
    for index in range(6):
        before, after = model(), model()
        Ulp(index, 0, units=units).perturb(after)
        pairs = zip(before.parameters(), after.parameters(), strict=True)
        (old, new), *others = [(p[p != q], q[p != q]) for p, q in pairs if (p != q).any()]
        assert not others and abs(int(old.view(torch.int32)) - int(new.view(torch.int32))) == units


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
    network = configure_network(SmallCNN, Training(precision="bfloat16"))
    for index in range(12):
        torch.manual_seed(0)
        before = network((3, 8, 8), 4, SmallCNNOptions(width=4))
        after = copy.deepcopy(before)
        moved = Ulp(index, 0).perturb(after)
        assert moved["unit"] == "bfloat16" and moved["before"] != 0
        old, new = (dict(m.named_parameters())[moved["tensor"]].flatten()[moved["position"]] for m in (before, after))
        seen = [int(v.detach().to(torch.bfloat16).view(torch.int16)) for v in (old, new)]
        assert abs(seen[0] - seen[1]) == 1 and old.dtype == torch.float32
        assert sum(int((p != q).sum()) for p, q in zip(before.parameters(), after.parameters(), strict=True)) == 1


def test_a_large_network_needs_no_permutation_of_all_its_weights(monkeypatch):
    monkeypatch.setattr("fitlib.training.noise.FEW_PAIRS", 10)
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
