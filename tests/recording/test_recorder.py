"""A Recorder collects full evidence of any training loop, and the noise acts between the digest and the step."""

import collections
import importlib
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import fitlib
from fitlib.errors import InputError, RunFailed
from fitlib.recording import save_predictions
from fitlib.recording.recorder import Recorder
from fitlib.training.batch_structure import n_samples, take_samples
from fitlib.training.batching import Batch

EXAMPLES = Path(__file__).parents[1] / "examples"
STARTS = ("initial weights", "first batch", "order")
X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
Y, GROUP = (X[:, 0] > 0).long(), torch.arange(96) % 2


@pytest.fixture(autouse=True)
def as_before():
    yield
    torch.use_deterministic_algorithms(False)
    save_predictions.RECORDERS.clear()


@pytest.fixture
def example(monkeypatch):
    """Import one of the examples."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2))


def loader(*tensors, **options) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    return DataLoader(TensorDataset(*(tensors or (X, Y))), 32, shuffle=True, generator=generator, **options)


def step(model, optimizer, x, y):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def trained(folder, noise="none", run=0, epochs=2, unpack=tuple, batches=None, stop=None) -> Recorder:
    """Train on batches of any make; `unpack` finds inputs and labels, `stop` leaves every epoch before that batch."""
    model = network()
    optimizer = torch.optim.SGD([{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 0.05}], 0.1)
    recorder = Recorder(model, folder, run=run, noise=noise)
    recorded = recorder.batches(loader() if batches is None else batches)
    for _ in range(epochs):
        for number, batch in enumerate(recorded):
            if number == stop:
                break
            step(model, optimizer, *unpack(batch))
    return recorder


def save(folder, model, **changes):
    with torch.no_grad():
        prediction = model(X).argmax(1)
    fitlib.save_predictions(folder, ground_truth=Y, prediction=prediction, protected=GROUP, **changes)
    return json.loads((Path(folder) / "fingerprint.json").read_text())


def digests(recorder, *parts):
    return [(row["part"], row["epoch"], row["digest"]) for row in recorder.evidence()[0] if row["part"] in parts]


# Evidence


def test_runs_without_noise_are_bit_identical_in_every_digest(tmp_path):
    first, second = (trained(tmp_path / str(run), run=run) for run in (0, 1))
    assert first.evidence()[0] == second.evidence()[0] and len(first.evidence()[0]) == 6
    marks = [save(tmp_path / str(run), recorder.model) for run, recorder in enumerate((first, second))]
    assert marks[0]["recorded"] and marks[0]["noise"]["applied"]
    loaded = ("packages", "fitlib source")  # what a process has imported by now: equal where runs have one each
    parts = [{name: value for name, value in mark["parts"].items() if name not in loaded} for mark in marks]
    assert parts[0] == parts[1]
    assert {"initial weights", "first batch", "data order", "seed", "backends"} <= marks[0]["parts"].keys()


@pytest.mark.parametrize("noise", ["ulp", "reduction-order", {"name": "ulp", "step": 2}, {"name": "ulp", "units": 16}])
def test_noise_leaves_the_starts_equal_and_the_weights_part(tmp_path, noise):
    quiet, *noisy = (
        trained(tmp_path / str(i), n, run) for i, (n, run) in enumerate([("none", 0), (noise, 1), (noise, 2)])
    )
    assert digests(noisy[0], *STARTS) == digests(noisy[1], *STARTS) == digests(quiet, *STARTS)
    finals = {digests(recorder, "weights")[-1] for recorder in (quiet, *noisy)}
    assert len(finals) == 3
    again = trained(tmp_path / "again", noise, 2)
    assert again.evidence()[0] == noisy[1].evidence()[0]


def test_another_order_and_other_weights_are_seen(tmp_path):
    usual = trained(tmp_path / "a")
    backwards = trained(tmp_path / "b", batches=loader(X.flip(0), Y.flip(0)))
    assert digests(usual, "initial weights") == digests(backwards, "initial weights")
    assert not set(digests(usual, "first batch", "order")) & set(digests(backwards, "first batch", "order"))


def test_generators_that_are_not_torch_s_count_where_the_training_draws_from_them(tmp_path):
    def parts(folder, seed, draw):
        np.random.seed(seed)
        random.seed(seed)
        trained(tmp_path / folder, unpack=lambda batch: (draw(), tuple(batch))[1])
        return {k: v for k, v in save_predictions.RECORDERS[tmp_path / folder].evidence()[1].items() if " of " in k}

    assert not parts("none", 0, lambda: None)
    first, same, other = (parts(name, seed, np.random.rand) for name, seed in zip("abc", (0, 0, 1), strict=True))
    assert first == same != other and first.keys() == {"random numbers of NumPy"}
    assert parts("d", 0, random.random).keys() == {"random numbers of Python"}


def test_the_files_are_those_of_any_run(tmp_path):
    recorder = trained(tmp_path, "ulp", run=3)
    mark = save(tmp_path, recorder.model)
    rows = pq.read_table(tmp_path / "digests.parquet").to_pylist()
    assert [(row["part"], row["epoch"]) for row in rows] == [
        ("initial weights", 0),
        ("first batch", 0),
        *((part, epoch) for epoch in (0, 1) for part in ("order", "weights")),
    ]
    noise = mark["noise"]
    assert (noise["name"], noise["run"], noise["noise_seed"], noise["step"], noise["steps"]) == ("ulp", 3, 0, 0, 6)
    assert noise["moved"]["tensor"] in dict(recorder.model.named_parameters())


def test_weights_that_were_put_back_are_told_as_selected(tmp_path):
    recorder = trained(tmp_path)
    assert not digests(recorder, "selected weights")
    recorder.model.load_state_dict(network().state_dict())
    (selected,) = digests(recorder, "selected weights")
    assert selected == ("selected weights", 1, digests(recorder, "initial weights")[0][2])


def test_an_epoch_that_is_left_early_ends_there(tmp_path):
    recorder = trained(tmp_path, stop=2)
    assert [(row["part"], row["epoch"]) for row in recorder.evidence()[0]][2:] == [
        *((part, epoch) for epoch in (0, 1) for part in ("order", "weights"))
    ]
    assert recorder.evidence()[0] == trained(tmp_path / "b", stop=2).evidence()[0]


def test_an_epoch_that_nobody_ended_ends_with_the_next_one_or_at_the_end(tmp_path):
    recorder = Recorder(network(), tmp_path)
    batches = recorder.batches(loader())
    kept = [iter(batches), iter(batches)]
    next(kept[0])
    next(kept[1])
    assert [row["epoch"] for row in recorder.digests if row["part"] == "weights"] == [0]
    assert [epoch for _, epoch, _ in digests(recorder, "weights")] == [0, 1]
    assert len(digests(recorder, "weights")) == 2


# Where the noise enters


def test_the_noise_enters_after_the_digest_and_before_the_step(tmp_path):
    model, before = network(), network()
    batches = iter(Recorder(model, tmp_path, noise={"name": "ulp", "step": 1}).batches(loader()))
    next(batches)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before.parameters(), strict=True))
    next(batches)
    assert sum(int((p != q).sum()) for p, q in zip(model.parameters(), before.parameters(), strict=True)) == 1


def test_reduction_order_permutes_whole_samples(tmp_path):
    plain = [batch for batch in loader(X, Y, GROUP)]
    mixed = list(Recorder(network(), tmp_path, noise="reduction-order").batches(loader(X, Y, GROUP)))
    for (x, y, group), (u, v, w) in zip(plain, mixed, strict=True):
        places = [int((x == row).all(1).nonzero()) for row in u]
        assert sorted(places) == list(range(len(x))) != places
        assert torch.equal(y[places], v) and torch.equal(group[places], w)


Pair = collections.namedtuple("Pair", "x y")
MAKES = {
    "tuple": (lambda x, y: (x, y), tuple),
    "list": (lambda x, y: [x, y], tuple),
    "dict": (lambda x, y: {"x": x, "y": y, "path": [str(int(i)) for i in y]}, lambda b: (b["x"], b["y"])),
    "nested": (lambda x, y: ({"image": x}, [y, torch.tensor(1.0)]), lambda b: (b[0]["image"], b[1][0])),
    "named tuple": (Pair, lambda b: (b.x, b.y)),
    "fitlib's own": (lambda x, y: Batch(x, y, y), lambda b: (b.x, b.y)),
    "arrays": (lambda x, y: (x.numpy(), y.numpy()), lambda b: tuple(map(torch.from_numpy, b))),
    "one tensor": (lambda x, y: torch.cat([x, y[:, None]], 1), lambda b: (b[:, :4], b[:, 4].long())),
}


@pytest.mark.parametrize(("make", "unpack"), MAKES.values(), ids=list(MAKES))
def test_batches_of_any_make(tmp_path, make, unpack):
    runs = [
        trained(tmp_path / f"{noise}{run}", noise, run, unpack=unpack, batches=[make(x, y) for x, y in loader()])
        for noise, run in [("none", 0), ("none", 1), ("reduction-order", 0), ("reduction-order", 1)]
    ]
    assert len({digests(recorder, "weights")[-1] for recorder in runs}) == 3
    assert len({tuple(digests(recorder, *STARTS)) for recorder in runs}) == 1


def test_lists_of_plain_values_follow_their_samples():
    batch = {"x": torch.arange(4), "name": ["a", "b", "c", "d"], "split": ("train", 3), "n": torch.tensor(7)}
    mixed = take_samples(batch, torch.tensor([2, 0, 3, 1]))
    assert mixed["x"].tolist() == [2, 0, 3, 1] and mixed["name"] == ["c", "a", "d", "b"]
    assert mixed["split"] == ("train", 3) and mixed["n"] == 7 and batch["name"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("batch", "match"), [((X[:3], Y[:4]), "tensors of 3, 4 rows"), (("a", "b"), "no tensor")])
def test_a_batch_without_one_axis_of_samples_is_refused(batch, match):
    with pytest.raises(InputError, match=match):
        n_samples(batch)


def test_batches_without_a_tensor_are_refused(tmp_path):
    with pytest.raises(InputError, match="contains no tensor"):
        list(Recorder(network(), tmp_path).batches([["a", "b"]]))


# Loaders


class Unsized(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


def test_the_recorded_loader_looks_like_the_loader(tmp_path):
    plain = loader()
    batches = Recorder(network(), tmp_path).batches(plain)
    assert len(batches) == len(plain) == 3 and batches.dataset is plain.dataset and batches.batch_size == 32
    with pytest.raises(AttributeError):
        batches.nothing  # noqa: B018


def test_a_loader_without_length_is_recorded_too(tmp_path):
    unsized = DataLoader(Unsized(), 32)
    recorder = trained(tmp_path, batches=unsized)
    assert recorder.step == 6
    with pytest.raises(TypeError):
        len(recorder.batches(unsized))
    assert len(recorder.batches(unsized, length=3)) == 3


# What is refused


def test_a_recorder_that_saw_no_training_says_so(tmp_path):
    recorder = Recorder(network(), tmp_path)
    recorder.batches(loader())
    with pytest.raises(RunFailed, match=r"nothing was trained under the Recorder of .*: iterate"):
        save(tmp_path, recorder.model)
    assert not list(tmp_path.iterdir())


def test_a_training_recorded_for_another_folder_is_not_lost_without_a_word(tmp_path):
    recorder = trained(tmp_path / "a")
    with pytest.raises(InputError, match=r"run_dir = .*b': the last training was recorded for run_dir .*a;"):
        save(tmp_path / "b", recorder.model)
    assert not (tmp_path / "b").exists()
    assert save(tmp_path / "a", recorder.model)["recorded"] is True
    assert save(tmp_path / "b", recorder.model)["recorded"] is False


def test_a_loader_of_validation_is_refused(tmp_path):
    batches = Recorder(network(), tmp_path).batches(loader())
    with torch.no_grad(), pytest.raises(RunFailed, match=r"without gradients, .*the loader of the training only"):
        next(iter(batches))


def test_noise_that_never_came_is_a_failure(tmp_path):
    recorder = trained(tmp_path, {"name": "ulp", "step": 6})
    with pytest.raises(RunFailed, match="ended before step 6"):
        save(tmp_path, recorder.model)


def test_dropout_is_refused_under_reduction_order(tmp_path):
    Recorder(network(), tmp_path, noise="reduction-order")
    inside = nn.ModuleDict({"a": nn.LSTM(3, 3, 2, dropout=0.1)})
    for model in (network(0.5), inside, nn.MultiheadAttention(4, 2, dropout=0.1)):
        with pytest.raises(InputError, match="dropout"):
            Recorder(model, tmp_path, noise="reduction-order")


@pytest.mark.parametrize(
    ("noise", "match"),
    [
        ("nothing", "noise = 'nothing': unknown noise; use one of none, native"),
        ("auto", "unknown noise"),
        ("seed-init", "it seeds fitlib's own loop only; use one of none"),
        ({"step": 1}, "noise = None: unknown noise"),
        ({"name": "ulp", "steps": 1}, "noise.steps = 1: .*options of ulp: entropy, step, units"),
        ({"name": "ulp", "step": -1}, "noise.step = -1"),
    ],
)
def test_unknown_noise_is_refused(tmp_path, noise, match):
    with pytest.raises(InputError, match=match):
        Recorder(network(), tmp_path, noise=noise)


def test_only_a_module_with_weights_is_recorded(tmp_path):
    with pytest.raises(InputError, match=r"not a torch.nn.Module; .*nn.ModuleDict"):
        Recorder([network()], tmp_path)
    with pytest.raises(InputError, match="lazy parameter"):
        Recorder(nn.LazyLinear(3), tmp_path)


def test_a_run_has_one_recorder(tmp_path):
    first, second = Recorder(network(), tmp_path), Recorder(network(), tmp_path)
    with pytest.raises(RunFailed, match="a later Recorder has taken the place"):
        next(iter(first.batches(loader())))
    next(iter(second.batches(loader())))
    with pytest.raises(InputError, match="recorded for this folder already"):
        Recorder(network(), tmp_path)


@pytest.mark.parametrize(("noise", "deterministic"), [("none", True), ("ulp", True), ("native", False)])
def test_deterministic_algorithms_are_as_the_noise_says(tmp_path, noise, deterministic):
    torch.use_deterministic_algorithms(not deterministic)
    Recorder(network(), tmp_path, noise=noise)
    assert torch.are_deterministic_algorithms_enabled() is deterministic


# Examples


def evidence(folder):
    return pq.read_table(folder / "digests.parquet").to_pylist(), json.loads((folder / "fingerprint.json").read_text())


def parted(example, name, tmp_path):
    """The example's digests: equal twice without noise, equal starts and other weights with noise."""
    for folder, noise, run in [("a", "none", 0), ("b", "none", 1), ("c", {"name": "ulp"}, 1)]:
        example(name).train(tmp_path / folder, run=run, noise=noise)
    (a, mark), (b, _), (c, _) = (evidence(tmp_path / folder) for folder in "abc")
    assert a == b and mark["recorded"]
    assert [row for row in a if row["part"] in STARTS] == [row for row in c if row["part"] in STARTS]
    assert not {row["digest"] for row in a if row["part"] == "weights"} & {
        r["digest"] for r in c if r["part"] == "weights"
    }
    return a


def test_example_of_a_plain_loop(example, tmp_path):
    parted(example, "plain_loop", tmp_path)
    assert pq.read_table(tmp_path / "a" / "history.parquet").num_rows == 12
    assert json.loads((tmp_path / "a" / "names.json").read_text())["classes"] == ["<=50K", ">50K"]


def test_example_of_a_scikit_learn_estimator_without_torch(tmp_path):
    code = (
        "import sys, fitlib, sklearn_estimator\n"
        "fitlib.save_predictions(sys.argv[1], **sklearn_estimator.train(sys.argv[1]))\n"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    for run in "ab":
        command = [sys.executable, "-c", code, tmp_path / run]
        done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (_, mark), (_, other) = (evidence(tmp_path / run) for run in "ab")
    assert mark == other and not mark["recorded"] and "scikit-learn" in mark["parts"]["packages"]


@pytest.mark.slow  # importing Lightning alone takes seconds
def test_example_of_a_lightning_module(example, tmp_path):
    pytest.importorskip("lightning.pytorch", reason="the extra 'lightning' is not installed")
    digests = parted(example, "lightning_module", tmp_path)
    assert [row["epoch"] for row in digests if row["part"] == "weights"] == [0, 1, 2]


@pytest.mark.slow  # importing Lightning alone takes seconds
def test_lightning_takes_no_batch_before_the_step_that_needs_it(example, tmp_path, monkeypatch):
    pytest.importorskip("lightning.pytorch", reason="the extra 'lightning' is not installed")
    module, events = example("lightning_module"), []
    model = module.Classifier()
    recorder = Recorder(model, tmp_path, noise="ulp")
    monkeypatch.setattr(recorder.noise, "before_step", lambda k, m, batch: events.append(f"noise {k}") or batch)
    monkeypatch.setattr(model, "training_step", lambda b: events.append("step") or model.network(b[0]).sum())
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    unsized = DataLoader(Unsized(), 32)
    with pytest.raises(InputError, match="takes batches of a loader without a length in advance"):
        recorder.batches(unsized)
    trainer = module.Trainer(max_epochs=2, accelerator="cpu", **quiet)
    trainer.fit(model, recorder.batches(unsized, length=3))
    assert events == [event for k in range(6) for event in (f"noise {k}", "step")]


@pytest.mark.slow
def test_example_of_a_notebook(tmp_path):
    from fitlib.execution.run_notebook import execute

    for run in range(2):
        given = {"run_dir": str(tmp_path / str(run)), "run": run, "noise": {"name": "reduction-order"}}
        (tmp_path / str(run)).mkdir()
        execute(EXAMPLES / "plain_loop.ipynb", tmp_path / str(run) / "train.ipynb", given, {})
    (first, mark), (second, other) = (evidence(tmp_path / str(run)) for run in range(2))
    assert mark["parts"] == other["parts"] and mark["noise"]["applied"]
    assert [row for row in first if row["part"] in STARTS] == [row for row in second if row["part"] in STARTS]
    assert first[-1]["digest"] != second[-1]["digest"]
