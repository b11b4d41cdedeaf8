"""The cost of deterministic algorithms is measured on the run's own network and reported outside all tables."""

import json

import pytest
import torch

from fitlib.execution.determinism_cost import read_costs, sentences, write_costs
from fitlib.experiment.registry.methods import METHODS
from fitlib.machine import STEP_COST_MIME
from fitlib.storage.manifest import UNCOVERED_FILES
from fitlib.storage.paths import ExperimentPaths
from fitlib.training.step_cost import PAIRS, step_cost
from tests.support.method_examples import Example, configurations, trained

COST = {"hardware": "cpu 1", "on": 3.0, "off": 2.0, "ratio": 1.5, "low": 1.4, "high": 1.7, "pairs": 6, "steps": 9}


@pytest.mark.parametrize(("method", "example"), configurations(METHODS).values(), ids=list(configurations(METHODS)))
def test_every_method_can_be_measured_and_the_process_stays_as_it_was(method, example, monkeypatch):
    monkeypatch.setattr("fitlib.training.step_cost.BLOCK", 0.0)
    changes = {} if "stages" in example.training else {"epochs": 2}
    result = trained(method, example, **changes)
    found = step_cost(result, example.data())
    assert not torch.are_deterministic_algorithms_enabled()
    assert found.on > 0 and found.off > 0 and found.low <= found.ratio <= found.high and found.pairs == PAIRS
    assert "with deterministic algorithms" in str(found) and found._repr_mimebundle_()[STEP_COST_MIME]["steps"] == 1


def test_an_operator_without_a_deterministic_algorithm_is_named(monkeypatch):
    result = trained("baseline", Example(), epochs=2)

    def update(batch):
        if torch.are_deterministic_algorithms_enabled():
            raise RuntimeError("put_ does not have a deterministic implementation\nand more")
        return torch.zeros(())

    monkeypatch.setattr(result.method, "update", update)
    found = step_cost(result, Example().data())
    assert found.ratio is None and "put_ does not have a deterministic implementation" in str(found)
    assert not torch.are_deterministic_algorithms_enabled()


def place(root, **costs) -> ExperimentPaths:
    for arm, cost in costs.items():
        folder = root / "runs/baseline" / arm / "run-00"
        folder.mkdir(parents=True)
        output = {"output_type": "display_data", "data": {STEP_COST_MIME: {**COST, **cost}}}
        cells = [{"cell_type": "code", "outputs": [{"data": {}}, output]}, {"cell_type": "markdown"}]
        (folder / "train.ipynb").write_text(json.dumps({"cells": cells}))
    return ExperimentPaths(root)


def test_costs_are_gathered_from_the_first_runs_by_hardware(tmp_path):
    paths = place(
        tmp_path, ulp={}, none={"ratio": 1.1}, other={"hardware": "cpu 2", "ratio": None, "problem": "no put_"}
    )
    (tmp_path / "runs/baseline/torn/run-00").mkdir(parents=True)
    (tmp_path / "runs/baseline/torn/run-00/train.ipynb").write_text("{")
    lines = write_costs(paths)
    assert lines == [
        "deterministic algorithms: a step takes 1.30 times as long (1.10 to 1.50 in 2 measurements); cpu 1",
        "cost of determinism not measured: no put_; cpu 2",
    ]
    assert lines == sentences(read_costs(paths)) and paths.determinism.name in UNCOVERED_FILES
    assert paths.determinism.read_text().splitlines()[2].startswith("baseline,other,cpu 2,3.0,2.0,,")


def test_nothing_is_written_where_nothing_was_measured(tmp_path):
    assert write_costs(ExperimentPaths(tmp_path)) == [] and not (tmp_path / "determinism.csv").exists()
