"""The output of a run can be read while it works, when it is done or failed; leftovers can be removed."""

import json

import pytest

from fitlib.errors import InputError
from fitlib.execution import clean
from fitlib.execution.logs import log_lines
from fitlib.experiment.parse import make_experiment
from fitlib.experiment.plan import Plan
from fitlib.storage.manifest import write_manifest
from fitlib.storage.paths import ExperimentPaths, new_attempt, supersede
from fitlib.storage.records import write_record

FIELDS = {
    "techniques": {"S-Base": {"method": "baseline"}, "S-RS": {"method": "oversampling"}},
    "baseline": "S-Base",
    "runs": 2,
    "control_runs": 0,
}


def notebook(*outputs):
    return json.dumps({"cells": [{"cell_type": "code", "outputs": [output]} for output in outputs]})


PRINTED = {"output_type": "stream", "text": ["first\n", "second\n"]}
SHOWN = {"output_type": "display_data", "data": {"text/plain": "a table"}}
RAISED = {"output_type": "error", "traceback": ["\x1b[31mValueError\x1b[0m: bad"]}


@pytest.fixture
def plan(tmp_path):
    return Plan(make_experiment(FIELDS, "x.yaml", "x"), ExperimentPaths(tmp_path / "x"))


@pytest.fixture
def paths(plan):
    return plan.paths


@pytest.fixture
def failed(plan, paths):
    """A run that failed, after an attempt that failed before it."""
    run = plan.runs[0]
    for error in ("gone", "ValueError: last"):
        if run.folder.exists():
            supersede(paths, run.folder)
        run.folder.mkdir(parents=True)
        (run.folder / "failed.json").write_text(json.dumps({"error": error}))
        (run.folder / "kernel.log").write_text("Killed\n")
        (run.folder / "train.ipynb").write_text(notebook(PRINTED, RAISED))
    return run


@pytest.mark.parametrize("name", ["baseline/ulp/run-00", "S-Base/ulp/run-00"])
def test_a_failed_run_tells_everything_the_oldest_attempt_first(plan, paths, failed, name):
    lines = log_lines(plan, name)
    assert [line for line in lines if line.startswith("==")] == [
        f"== {paths.superseded / 'runs/baseline/ulp/run-00-1'}",
        f"== {failed.folder}",
    ]
    assert lines.index("gone") < lines.index("ValueError: last") and lines.count("Killed") == 2
    assert {"first", "second", "-- train.ipynb, cell 0"} <= set(lines) and not any("\x1b" in line for line in lines)


def test_a_run_at_work_tells_the_line_that_it_shows(plan, paths):
    attempt = new_attempt(plan.runs[0].folder)
    (attempt / "progress").write_text("epoch 3 of 8")
    assert log_lines(plan, "baseline/ulp/run-00") == [f"== {attempt}", "epoch 3 of 8"]


def test_a_technique_tells_what_its_metrics_did(plan, paths):
    paths.technique("S-RS").mkdir(parents=True)
    (paths.technique("S-RS") / "metrics.ipynb").write_text(notebook(SHOWN))
    assert log_lines(plan, "S-RS")[-1] == "a table"


def test_a_torn_notebook_is_passed_over(plan, paths, failed):
    (failed.folder / "train.ipynb").write_text('{"cells": [')
    assert "ValueError: last" in log_lines(plan, failed.name)


def test_a_run_without_anything_says_so_and_an_unknown_one_is_refused(plan, paths):
    assert log_lines(plan, "oversampling/ulp/run-01") == ["oversampling/ulp/run-01: nothing yet"]
    with pytest.raises(InputError, match="no such run; did you mean"):
        log_lines(plan, "oversampling/ulp/run-7")
    with pytest.raises(InputError, match="runs match"):
        log_lines(plan, "run-01")


def test_what_is_left_is_named_with_its_size_and_removed(plan, paths, failed):
    attempt, done = new_attempt(plan.runs[1].folder), plan.runs[2].folder
    done.mkdir(parents=True)
    (done / "out").write_text("x")
    write_record(done, "train", {"code": "c"}, ["out"])
    (attempt / "half").write_bytes(bytes(2**20))
    write_manifest(paths)
    found = clean.leftovers(paths)
    assert {(left.folder, left.reason) for left in found} == {
        (paths.superseded, "replaced or failed earlier"), (failed.folder, "failed"), (attempt, "interrupted"),
    }  # fmt: skip
    assert f"{attempt}: interrupted, 1 files, 1.0 MiB" in map(str, found)
    root = clean.clean(paths, found)
    assert not any(left.folder.exists() for left in found) and (done / "record.json").is_file()
    assert json.loads(paths.manifest.read_text())["root"] == root
    assert not any("superseded" in name for name in json.loads(paths.manifest.read_text())["files"])


def test_the_cache_is_left_unless_it_is_asked_for(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("FITLIB_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache/images/k").mkdir(parents=True)
    paths.root.mkdir()
    assert clean.leftovers(paths) == []
    assert [left.folder.name for left in clean.leftovers(paths, with_cache=True)] == ["k"]
