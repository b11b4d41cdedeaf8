"""Precision, memory format, compilation, running out of memory, and CUDA."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fitlib.errors import InputError, RunFailed
from fitlib.experiment.registry.networks import SmallCNNOptions
from fitlib.experiment.training_options import Training
from fitlib.training.batching import Inputs, Normaliser, Part
from fitlib.training.compute import configure_network, enough_memory
from fitlib.training.evaluation import Trained
from fitlib.training.loop import Generators, make_method, train
from fitlib.training.methods.baseline import Baseline
from fitlib.training.networks.small_cnn import SmallCNN
from fitlib.training.noise import NoNoise, Ulp
from tests.support.method_examples import NETWORK, bytes_of, learn, parts, toy


def test_bfloat16_computes_in_bfloat16_and_gives_out_float32():
    network = configure_network(SmallCNN, Training(precision="bfloat16"))((3, 8, 8), 4, SmallCNNOptions(width=4))
    seen = []
    network.body[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    x = torch.rand(5, 3, 8, 8)
    assert network(x).dtype == network.features(x).dtype == torch.float32 and set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in network.parameters())
    assert configure_network(SmallCNN, Training()) is SmallCNN


def test_precision_changes_the_weights_and_still_learns():
    training = {"batch_size": 32, "learning_rate": 0.05, "epochs": 6}
    single, half = (learn(Training(**training, precision=p)) for p in ("float32", "bfloat16"))
    assert single.digest("initial weights") == half.digest("initial weights")
    assert single.digest("weights") != half.digest("weights")
    assert (half.predictions({"T": "argmax"})["T"] == toy().test.y).mean() > 0.9


def test_channels_last_reaches_network_and_inputs():
    result = learn(Training(epochs=1, channels_last=True))
    x = next(result.inputs.prediction_inputs(result.test, 10))
    assert x.is_contiguous(memory_format=torch.channels_last)
    kernel = next(p for p in result.method.model.parameters() if p.dim() == 4 and p.shape[1] > 1)
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    plain = learn(Training(epochs=1))
    assert plain.digest("first batch") == result.digest("first batch")
    assert plain.history[-1]["train_loss"] == pytest.approx(result.history[-1]["train_loss"], rel=1e-3)


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_within_rounding():
    plain, compiled = (learn(Training(epochs=2, compile=c)) for c in (False, True))
    assert plain.digest("initial weights") == compiled.digest("initial weights")
    assert plain.history[-1]["train_loss"] == pytest.approx(compiled.history[-1]["train_loss"], rel=1e-2)


def test_without_a_compiler_compile_is_refused(monkeypatch):
    monkeypatch.setattr("fitlib.training.compute.shutil.which", lambda name: None)
    with pytest.raises(InputError, match=r"training: compile = True: .*needs a C\+\+ compiler"):
        configure_network(SmallCNN, Training(compile=True))


# Memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried"),
    ],
)
def test_running_out_of_memory_says_what_to_lower(error):
    class Hungry(Baseline):
        def update(self, batch):
            raise error

    with pytest.raises(RunFailed, match=r"out of memory: lower training\.batch_size, or make the network narrower"):
        learn(Training(epochs=1), method=Hungry)


def test_memory_that_is_really_not_there_is_told_and_other_errors_pass():
    with pytest.raises(RunFailed, match="out of memory: take fewer"), enough_memory("take fewer"):
        torch.empty(2**60)
    with pytest.raises(RuntimeError, match="shape"), enough_memory("take fewer"):
        raise RuntimeError("shape")


# On a GPU


@pytest.fixture
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")


def on_cuda(noise=None, **changes) -> Trained:
    generators = Generators.of(0)
    training = Training(**{"epochs": 2, "batch_size": 32, "learning_rate": 0.05, "shift": 1, "flip": True, **changes})
    dataset = replace(toy(), train=bytes_of(toy().train), test=bytes_of(toy().test))
    learner = make_method({"name": "baseline"}, NETWORK, training, dataset, generators)
    return train(dataset, learner, noise or NoNoise(0, 0), generators, "cuda")


@pytest.mark.usefixtures("cuda")
def test_on_cuda_starts_order_and_batches_are_those_of_the_cpu():
    dataset = replace(toy(), train=bytes_of(toy().train), test=bytes_of(toy().test))
    here = learn(Training(epochs=2, batch_size=32, learning_rate=0.05, shift=1, flip=True), dataset)
    there = on_cuda()
    for part in ("initial weights", "order"):
        assert parts(here, part) == parts(there, part)
    assert there.test.x.is_cuda and there.method.device.type == "cuda"
    assert here.history[0]["train_loss"] == pytest.approx(there.history[0]["train_loss"], rel=0.05)


@pytest.mark.usefixtures("cuda")
def test_on_cuda_the_augmented_batch_never_leaves_the_device_and_no_step_waits():
    part = Part.of(bytes_of(toy().train), "cuda")
    inputs = Inputs(Normaliser.of(None, toy().train, np.arange(9), "cuda"), Training(shift=1, flip=True))
    rows, places = torch.arange(32), torch.arange(32, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = inputs.training_batch(part, rows, places, torch.Generator())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert batch.x.is_cuda and batch.x.dtype == torch.float32


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"channels_last": True}, {"optimizer": "adam"}])
def test_on_cuda_every_way_of_computing_trains(changes):
    assert np.isfinite(on_cuda(**changes).history[-1]["train_loss"])


@pytest.mark.usefixtures("cuda")
def test_on_cuda_ulp_moves_one_weight():
    assert parts(on_cuda(Ulp(0, 0)), "weights") != parts(on_cuda(Ulp(1, 0)), "weights")
