"""A small nested experiment from the command line: two seeds, then one more."""

import json

import pandas as pd
import pytest
import yaml

import fitlib
from fitlib.audit.verify import verify

EXPERIMENT = {
    "network": {"name": "small-cnn", "width": 4},
    "training": {"epochs": 2, "learning_rate": 0.1},
    "techniques": {"S-Base": {"method": "baseline"}, "S-RS": {"method": "oversampling"}},
    "baseline": "S-Base",
    "runs": 1,
    "seeds": [0, 3],
    "control_runs": 0,
}


def started(root):
    found = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    return [e["task"] for e in found if e["event"] == "started" and e["kind"] == "train"]


@pytest.mark.slow
def test_an_added_seed_is_run_and_the_others_are_kept(tmp_path, fitlib_command):
    root = tmp_path / "outputs" / "nested"
    for seeds, new in (([0, 3], ["ulp", "seed3.ulp"]), ([0, 3, 5], ["seed5.ulp"])):
        (tmp_path / "nested.yaml").write_text(yaml.safe_dump({**EXPERIMENT, "seeds": seeds}, sort_keys=False))
        before = started(root) if root.exists() else []
        done = fitlib_command("run", "nested.yaml", "--jobs", 2, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert {task.split("/")[1] for task in started(root)[len(before) :]} == set(new)
        assert len(started(root)) == 2 * len(seeds)
    runs = pd.read_csv(root / "tables" / "runs.csv")
    assert set(runs["seed"]) == {0, 3, 5} and set(runs["status"]) == {"done"}
    assert runs.groupby("technique")["initial_weights"].nunique().eq(3).all()
    deviations = [json.loads(line) for line in (root / "deviations.jsonl").read_text().splitlines()]
    assert any("seeds was [0, 3], is [0, 3, 5]" in str(entry) for entry in deviations)
    status = fitlib_command("status", "nested", cwd=tmp_path)
    assert verify(root).deviations == []
    analysed_in_memory(root)
    assert "6 done of 6 runs" in status.stdout and "baseline/seed5.ulp" in status.stdout


def analysed_in_memory(root):
    """The tables over seeds from the experiment's predictions and seeds are those of the experiment."""
    found = fitlib.load(root)
    seeds = {arm["arm"]: arm["seed"] for arm in found.plan["arms"]}
    rows = {name: found.predictions(name) for name in ("S-Base", "S-RS")}
    runs = {name: [run for _, run in of.groupby(["arm", "run"])] for name, of in rows.items()}
    first = runs["S-Base"][0]
    memory = fitlib.analyze(
        first["ground_truth"],
        {name: [run["prediction"] for run in of] for name, of in runs.items()},
        sensitive_features={"protected": first["protected"]},
        unit=first.get("unit"),
        seeds={name: [seeds[run["arm"].iloc[0]] for run in of] for name, of in runs.items()},
        baseline="S-Base",
    )
    for name in ("over_seeds", "by_seed"):
        besides = ["noise", "kind", "fit", "arm", "note", "warnings"]  # what only an experiment knows of its runs
        tables = (pd.DataFrame(of.tables[name]).drop(columns=besides, errors="ignore") for of in (memory, found))
        pd.testing.assert_frame_equal(*tables, check_exact=True)
