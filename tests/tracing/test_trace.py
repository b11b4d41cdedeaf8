"""Where two runs part: step, tensor and operator are found, whatever parted them, for every method."""

import json
import os

import pytest
import torch
from torch import nn

from fitlib.cli.main import main
from fitlib.digest import digest_arrays
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.registry.entries import Entry
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.tracing import explanation
from fitlib.tracing.digest_streams import Stream, digest_flat, first_difference, read_stream, step_digests, write_stream
from fitlib.tracing.lockstep import Lockstep, measured_steps
from fitlib.tracing.operators import Operator, OperatorRecorder, culprits, culprits_of, n_common
from fitlib.tracing.replicas import Replica, make_replicas
from fitlib.tracing.trace import check, save, trace
from fitlib.training.loop import Generators, make_noise
from fitlib.training.methods.baseline import Baseline
from tests.support.method_examples import NETWORK, Example, configurations, toy, trained

CONFIGURATIONS = configurations(METHODS)
every_configuration = pytest.mark.parametrize(("method", "example"), CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
ABOUT = {"noise": {"name": "none"}, "seed": 0, "device": "cpu", "threads": 1, "torch": torch.__version__}


@pytest.fixture(autouse=True)
def _flags():
    yield
    torch.use_deterministic_algorithms(False)


def settings(method: str = "baseline", example: Example | None = None, **changes: object) -> dict:
    example = example or Example()
    loop = example.loop(**changes).model_dump()
    return {"method": {"name": method, **example.options}, "network": example.network, "training": loop}


def found(noise: dict, method: str = "baseline", example: Example | None = None, steps: int = 12, **options: object):
    """The trace of a small training under a noise."""
    example, record, runs = example or Example(), options.pop("record", False), options.pop("runs", 2)
    replicas = make_replicas(settings(method, example, **options), 0, noise, 0, runs, example.data(), "cpu")
    return Lockstep(replicas, {**ABOUT, "noise": noise}, record).run(steps)


def text(result) -> str:
    return "\n".join(explanation.lines(result, "T"))


# A replica is the training itself, and can go back


@every_configuration
def test_a_replica_takes_the_very_steps_of_the_training(method, example):
    torch.use_deterministic_algorithms(True)
    changes = {} if "stages" in example.training else {"epochs": 2}
    changes |= {} if example.data().train.x.ndim == 2 else {"shift": 1}  # tables are not shifted
    whole = trained(method, example, **changes)
    (replica,) = make_replicas(settings(method, example, **changes), 0, {"name": "none"}, 0, 1, example.data(), "cpu")
    while replica.prepare():
        replica.step()
    assert digest_arrays(replica.method.model.state_dict().items()) == whole.digest("weights")


@every_configuration
def test_a_step_taken_again_is_the_same_step(method, example):
    (replica,) = make_replicas(settings(method, example), 0, {"name": "ulp", "step": 2}, 0, 1, example.data(), "cpu")
    for _ in range(4):
        assert replica.prepare()
        loss, _ = replica.step()
        made, after = step_digests(replica.method.model, loss), replica.state()
        again, recorded = replica.repeat()
        assert step_digests(replica.method.model, again) == made and len(recorded) > 20
        replica.restore(after)
        assert step_digests(replica.method.model, loss)[2:] == made[2:]


def test_replicas_do_not_disturb_each_others_random_numbers():
    dropout = Example(network={**NETWORK, "dropout": 0.5})
    assert found({"name": "none"}, example=dropout, runs=3).parting is None


def test_predicting_leaves_the_training_as_it_was():
    (replica,) = make_replicas(settings(), 0, {"name": "none"}, 0, 1, toy(), "cpu")
    replica.prepare()
    before = digest_flat(list(replica.method.model.state_dict().items()))
    assert len(replica.predictions()) == 240 and replica.method.model.training
    assert digest_flat(list(replica.method.model.state_dict().items())) == before


# What parts runs


@every_configuration
def test_without_noise_every_method_is_bit_identical(method, example):
    result = found({"name": "none"}, method, example, steps=5)
    assert result.parting is None and result.steps == 5 and not result.failed
    assert "bit-identical through 5 steps: loss, gradients, weights and buffers" in text(result)


@every_configuration
def test_ulp_is_traced_to_its_step_and_tensor_and_no_operator(method, example):
    result = found({"name": "ulp", "step": 3}, method, example, steps=6)
    moved = [row["tensor"] for row in result.parting.noise]
    assert (result.parting.step, result.parting.cause) == (3, "noise")
    assert result.parting.first.removeprefix("weight ") in moved and len(moved) == 2
    assert not result.parting.culprits and result.parting.compared > 20
    assert "culprit: the noise ulp itself, no operator: run-00 moved entry" in text(result)
    assert result.steps == 6 and result.growth[-1]["step"] == 5


def test_reduction_order_is_traced_to_the_batch():
    result = found({"name": "reduction-order"})
    assert (result.parting.step, result.parting.cause, result.parting.first) == (0, "noise", "x of the batch")


def test_a_start_that_differs_is_told_as_such():
    result = found({"name": "none"}, seeding="after-network", steps=2)
    assert (result.parting.step, result.parting.cause) == (-1, "start")
    assert "started apart: initial weights or buffers differ, so these are not FIT runs" in text(result)


def test_a_batch_that_was_drawn_otherwise_is_told_as_such():
    replicas = make_replicas(settings(), 0, {"name": "none"}, 0, 2, toy(), "cpu")
    replicas[1]._batches = replicas[1]._step_batches(Generators.of(1))
    result = Lockstep(replicas, ABOUT).run(2)
    assert (result.parting.step, result.parting.cause) == (0, "batch")


class Lookup(nn.Module):
    """A table read by row numbers: the gradient of `table[rows]` is summed by parallel atomic additions."""

    def __init__(self, shape, n_outputs, options):
        super().__init__()
        self.table = nn.Parameter(torch.randn(16, 512))
        self.head = nn.Linear(512, n_outputs)

    def forward(self, x):
        rows = (x.mean((1, 2, 3)) * 1e4).long() % 16
        vectors = self.table[rows]
        return self.head(vectors)


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setitem(NETWORKS, "lookup", Entry(f"{__name__}:Lookup", "a table"))
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def raced(record: bool):
    """A trace of the lookup network with enough elements for PyTorch to add them in parallel.

    A race is lost by nobody where the machine is too busy to run both threads at once: then it is run again.
    """
    example = Example(network={"name": "lookup"}, data=lambda: toy(480))
    for _ in range(20):
        result = found({"name": "native"}, example=example, steps=4, record=record, epochs=2, batch_size=240)
        if result.parting is not None and result.parting.culprits:
            break
    return result


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a race needs two cores")
@pytest.mark.parametrize("record", [False, True], ids=["repeated", "as it happened"])
def test_the_real_race_of_a_cpu_is_traced_to_its_operator_and_forward_line(record, two_threads):
    result = raced(record)
    parted = result.parting
    assert parted.first == "gradient of table" and parted.tensors["gradients"] == ["table"]
    assert parted.cause == "operators" and parted.recorded == record
    (culprit,) = parted.culprits
    assert culprit.operator.name.startswith("aten.index_put") and culprit.operator.node.startswith("IndexBackward")
    assert culprit.operator.line.endswith("forward: vectors = self.table[rows]")
    assert culprit.operator.module == "Lookup"
    assert "culprit: aten.index_put" in text(result)


def test_deterministic_algorithms_take_the_race_away(two_threads):
    example = Example(network={"name": "lookup"}, data=lambda: toy(480))
    assert found({"name": "none"}, example=example, steps=4, epochs=2, batch_size=240).parting is None


# What goes wrong


class Fails(Baseline):
    def update(self, batch):
        self.done = getattr(self, "done", 0) + 1
        if self.done == 4:
            raise ValueError("no such luck\nat all")
        return super().update(batch)


def test_a_crashed_run_is_named_with_its_step_and_what_held_before():
    replicas = make_replicas(settings(), 0, {"name": "none"}, 0, 2, toy(), "cpu")
    replicas[1].method.__class__ = Fails
    result = Lockstep(replicas, ABOUT).run(9)
    assert result.failed == "run-01 crashed at step 3: ValueError: no such luck"
    assert "; the runs were bit-identical through 3 steps" in text(result)
    assert [stream.failed for stream in result.streams] == ["", result.failed]


def test_a_crash_after_the_parting_leaves_what_was_found():
    replicas = make_replicas(settings(), 0, {"name": "ulp", "step": 1}, 0, 2, toy(), "cpu")
    replicas[0].method.__class__ = Fails
    result = Lockstep(replicas, ABOUT).run(9)
    assert result.parting.step == 1 and result.growth and "crashed at step 3" in text(result)


def test_wrong_parameters_that_show_while_running_stay_input_errors():
    with pytest.raises(InputError, match="has dropout"):
        found({"name": "reduction-order"}, example=Example(network={**NETWORK, "dropout": 0.5}))
    with pytest.raises(InputError, match="no such part"):
        found({"name": "none"}, stages=[{"epochs": 1, "part": "elsewhere"}])


def test_a_loss_that_is_not_finite_names_run_and_step():
    result = found({"name": "none"}, steps=30, learning_rate=1e30)
    assert "run-00 crashed at step" in result.failed and "lower training.learning_rate" in result.failed


def test_runs_of_unlike_shapes_are_refused():
    one, other = (
        Replica(settings(example=Example(network={**NETWORK, "width": w})), 0, noise, toy(), "cpu")
        for w, noise in ((4, make_noise({"name": "none"}, 0, 0)), (5, make_noise({"name": "none"}, 1, 0)))
    )
    with pytest.raises(InputError, match=r"tensor = 'body.0.weight': unlike shapes: .*\(4, 3, 3, 3\) in run-00 but"):
        Lockstep([one, other], ABOUT)


def test_what_could_find_nothing_is_refused_before_any_work():
    plan = settings()
    with pytest.raises(InputError, match="runs = 1: one run has nothing to diverge from"):
        check(plan, {"name": "none"}, 1, 10)
    with pytest.raises(InputError, match="steps = 10: noise ulp comes at step 10, after all steps"):
        check(plan, {"name": "ulp", "step": 10}, 2, 10)
    with pytest.raises(InputError, match="only fitlib's own loop can be stepped"):
        check({"callable": "a:b"}, {"name": "none"}, 2, 10)
    with pytest.raises(InputError, match="a compiled network"):
        check({**plan, "training": {"compile": True}}, {"name": "none"}, 2, 10)


def test_noise_that_the_training_never_reaches_is_a_failure():
    assert "before step 50 of noise ulp" in found({"name": "ulp", "step": 50}, steps=99, epochs=1).failed


# Growth


def test_the_distance_is_measured_from_the_parting_to_the_last_step():
    result = found({"name": "ulp", "step": 2}, steps=40, epochs=8)
    assert all(row["distance"] > 0 and row["largest"] > 0 for row in result.growth)
    assert all(0 <= row["changed"] <= 1 and row["run"] == "run-01" for row in result.growth)
    assert result.growth[0]["step"] == 2 and result.growth[-1]["step"] == 39


def test_a_training_that_ends_is_measured_at_its_end():
    result = found({"name": "ulp"}, steps=1000, epochs=1, runs=3)
    assert result.whole and result.steps == 8 and [row["step"] for row in result.growth[-2:]] == [7, 7]


def test_points_start_at_the_parting_and_end_at_the_last_step():
    for start, steps in ((0, 1), (3, 4), (5, 500)):
        assert {start, steps - 1} <= measured_steps(start, steps) <= set(range(start, steps))


# Operators


def test_operators_have_module_and_line_and_those_of_the_backward_pass_the_forward_line():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    recorder, x = OperatorRecorder(), torch.randn(5, 4)
    with recorder.watching(network):
        loss = network(x).square().sum()
        loss.backward()
    product = next(o for o in recorder.operators if o.name == "aten.addmm.default")
    gradient = next(o for o in recorder.operators if o.name == "aten.mm.default")
    assert (product.module, product.node) == ("0", "") and product.input_shapes == ((3,), (5, 4), (4, 3))
    assert (gradient.module, gradient.node) == ("0", "AddmmBackward0") and gradient.line == product.line
    assert product.line.endswith("loss = network(x).square().sum()")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_in_place_operators_are_digested_before_they_run():
    x = torch.zeros(3)
    recorder = OperatorRecorder()
    with recorder.watching():
        x.add_(1)
        x.add_(1)
    first, second = recorder.operators
    assert first.inputs != second.inputs and first.outputs != second.outputs


def operator(name: str, inputs: str, outputs: str) -> Operator:
    return Operator(name, inputs, outputs, (), ())


def test_a_culprit_had_equal_inputs_and_unlike_outputs():
    one = [operator("a", "1", "1"), operator("b", "2", "3"), operator("c", "3", "4"), operator("d", "5", "5")]
    two = [operator("a", "1", "1"), operator("b", "2", "9"), operator("c", "9", "8"), operator("e", "5", "6")]
    assert [c.operator.name for c in culprits([one, two])] == ["b"] and n_common([one, two]) == 3
    assert [c.operator.name for c in culprits([one, one, two])] == ["b"] and culprits([one, one]) == []


def test_memory_that_nobody_wrote_is_no_culprit():
    assert culprits_of(lambda: torch.empty(100_000).zero_(), 4) == []


def test_code_of_ones_own_can_be_asked_for_culprits():
    values = iter(range(100))
    found = culprits_of(lambda: torch.arange(3.0) * next(values), 3)
    assert found == []  # another number came in: unlike inputs
    seeded = culprits_of(lambda: torch.rand(3), 4)
    assert [(c.operator.name, c.times) for c in seeded] == [("aten.rand.default", 3)]
    assert "test_trace.py" in seeded[0].operator.line


# Streams


def stream(run: str = "run-00", **changes: object) -> Stream:
    values = {"about": {"seed": 0}, "layout": [["w", "torch.float32", [3]]], "start": "s"}
    return Stream(run, **{**values, "steps": [("a", "b", "c", "d")] * 3, **changes})


def test_digests_depend_on_name_type_shape_and_every_byte():
    x = torch.arange(6.0)
    alike = [[("x", x)], [("x", x.clone())], [("x", torch.arange(12.0)[::2] / 2)]]
    unlike = [
        [("y", x)], [("x", x.view(2, 3))], [("x", x.view(torch.int32))], [("x", -x)], [],
        [("x", x[:3]), ("x", x[3:])], [("x", torch.tensor([-0.0, 1, 2, 3, 4, 5]))],
    ]  # fmt: skip
    assert len({digest_flat(named) for named in alike}) == 1
    assert len({digest_flat(named) for named in [alike[0], *unlike]}) == 1 + len(unlike)


def test_a_stream_survives_its_file_and_two_are_compared(tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    other = stream("run-01", steps=[("a", "b", "c", "d"), ("a", "x", "y", "d")])
    for path, one in zip(paths, (stream(), other), strict=True):
        write_stream(path, one)
    kept = [read_stream(path) for path in paths]
    assert kept == [stream(), other]
    assert (
        first_difference(kept) == (1, ["gradients", "weights"]) and first_difference([kept[0], stream("again")]) is None
    )
    assert "diverged at step 1, in gradients and weights" in explanation.comparison(kept, first_difference(kept))[0]
    assert first_difference([stream(), stream("run-01", start="t")]) == (-1, ["weights"])


def test_streams_that_cannot_be_compared_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"unlike shapes: w torch\.float32.*in run-00 but w .*in run-01"):
        first_difference([stream(), stream("run-01", layout=[["w", "torch.float32", [4]]])])
    with pytest.raises(InputError, match="'v': unlike shapes: no such tensor in run-00 but v"):
        first_difference([stream(), stream("run-01", layout=[*stream().layout, ["v", "torch.float32", [1]]])])
    with pytest.raises(InputError, match="one run has nothing to diverge from"):
        first_difference([stream()])
    with pytest.raises(InputError, match="run-01 has no step"):
        first_difference([stream(), stream("run-01", steps=[])])
    with pytest.raises(RunFailed, match="run-01 crashed at step 2, until then equal: out of luck"):
        first_difference([stream(), stream("run-01", steps=stream().steps[:2], failed="out of luck")])


def test_a_file_that_is_no_stream_or_of_another_version_is_refused(tmp_path):
    path = tmp_path / "a.json"
    write_stream(path, stream())
    values = json.loads(path.read_text())
    for broken, problem in (
        ({**values, "format": 99}, "format = 99: digests of another version of fitlib"),
        ({**values, "steps": [["a"]]}, "incomplete digest stream"),
        ({"a": 1}, "not a digest stream"),
        ([], "not a digest stream"),
    ):
        path.write_text(json.dumps(broken))
        with pytest.raises(InputError, match=problem):
            read_stream(path)
    with pytest.raises(InputError, match="No such file"):
        read_stream(tmp_path / "none.json")


# The whole way


DIGITS = {"data": {"name": "digits-s"}, **settings(epochs=1, batch_size=64)}


def test_a_trace_leaves_the_process_as_it_was_and_its_files_can_be_compared(tmp_path):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    result = trace(DIGITS, {"name": "ulp", "step": 2}, steps=5)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    names = [path.name for path in save(result, tmp_path / "kept")]
    assert names == ["run-00.json", "run-01.json", "growth.csv"]
    kept = [read_stream(tmp_path / "kept" / name) for name in names[:2]]
    assert first_difference(kept)[0] == 2


FILE = """
data: digits-s
network: {name: small-cnn, width: 4}
training: {epochs: 1}
techniques: {A: {method: baseline}, B: {method: oversampling}}
baseline: A
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Say `fitlib trace …` in a folder with an experiment file: exit status, output, errors."""
    (tmp_path / "x.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)

    def say(*arguments: object) -> tuple[int, str, str]:
        status = main(["trace", *map(str, arguments)])
        return status, *capsys.readouterr()

    return say


def test_the_command_traces_a_technique_under_a_noise(command):
    status, out, _ = command("x.yaml", "--technique", "B", "--noise", "none", "--steps", 3)
    assert status == 0 and "B (training oversampling), noise none" in out and "bit-identical through 3 steps" in out


def test_the_command_keeps_streams_and_compares_them(command, tmp_path):
    status, out, _ = command("x.yaml", "--noise", "ulp", "--set", "noise.step=2", "--steps", 4, "--out", "o")
    assert status == 0 and "diverged at step 2 (epoch 0)" in out and (tmp_path / "o" / "growth.csv").exists()
    status, out, _ = command("o/run-00.json", "o/run-01.json")
    assert status == 0 and "diverged at step 2, in" in out


def test_the_command_ends_with_1_where_a_run_crashed(command):
    status, out, err = command("x.yaml", "--noise", "none", "--set", "training.learning_rate=1e30")
    assert status == 1 and "run-00 crashed at step" in err and "bit-identical through" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--technique", "C"], "--technique = 'C': unknown technique; choose one of A, B"),
        (["--noise", "ulps"], "noise = 'ulps': unknown noise; did you mean 'ulp'?"),
        (["--runs", "1"], "runs = 1: one run has nothing to diverge from"),
    ],
)
def test_wrong_usage_is_one_sentence(command, arguments, message):
    status, out, err = command("x.yaml", *arguments)
    assert status == 2 and not out and message in err and err.count("\n") == 1
