"""A small experiment with several arms from the command line: causes compared, all verified."""

import json

import pandas as pd
import pytest
import yaml

from fitlib.audit.verify import verify
from fitlib.machine import STEP_COST_MIME
from tests.support.finished import tables, text_of

EXPERIMENT = {
    "network": {"name": "small-cnn", "width": 4},
    "training": {"epochs": 2, "learning_rate": 0.1, "shift": 1},
    "techniques": {"S-Base": {"method": "baseline"}, "S-DI2": {"method": "domain-independent", "inference": "sum"}},
    "baseline": "S-Base",
    "runs": 3,
    "arms": ["ulp", {"name": "primitives", "entropy": "os"}, "seed-init", "none"],
}
ARMS = ["ulp", "primitives-os", "seed-init", "none"]


@pytest.fixture(scope="module")
def root(tmp_path_factory, fitlib_command):
    folder = tmp_path_factory.mktemp("arms")
    (folder / "arms.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    done = fitlib_command("run", "arms.yaml", "--jobs", 2, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "outputs" / "arms"


@pytest.mark.slow
def test_every_arm_is_run_analysed_and_verified(root):
    assert sorted(p.name for p in (root / "runs/baseline").iterdir()) == sorted(ARMS)
    causes = pd.read_csv(root / "tables/causes.csv")
    base = causes[(causes["technique"] == "S-Base") & causes["metric"].isin(["DI"])]
    assert base["arm"].tolist() == ARMS[:3] and set(base["n"]) == {3}
    assert causes[causes["view"] == "control"]["note"].str.startswith("identical in 3 of 3").all()
    assert verify(root).deviations == []


@pytest.mark.slow
def test_techniques_are_compared_in_the_first_arm_only(root):
    assert set(pd.read_csv(root / "tables/comparisons.csv")["arm"]) == {"ulp"}
    assert set(pd.read_csv(root / "tables/runs.csv")["arm"]) == {"ulp"}
    text = text_of(root / "report.html")
    assert "Which cause spreads how much?" in text and "Techniques are compared in arm ulp" in text


@pytest.mark.slow
def test_a_seed_noise_varies_its_own_part_and_verify_names_any_other(root, tmp_path):
    def parts(arm, run):
        return json.loads((root / f"runs/baseline/{arm}/run-0{run}/fingerprint.json").read_text())["parts"]

    differing = {part for part, value in parts("seed-init", 0).items() if value != parts("seed-init", 1)[part]}
    assert differing == {"initial weights"}
    assert all(parts("ulp", run) == parts("ulp", 0) for run in range(3))
    drawn = [
        json.loads((root / f"runs/baseline/primitives-os/run-0{run}/fingerprint.json").read_text())["noise"]
        for run in range(3)
    ]
    assert len({noise["drawn_seed"] for noise in drawn}) == 3 and {noise["noise_seed"] for noise in drawn} == {0}


@pytest.mark.slow
def test_the_first_run_of_an_arm_tells_what_a_deterministic_step_costs(root):
    def costs(run):
        notebook = json.loads((root / f"runs/baseline/none/run-0{run}/train.ipynb").read_text())
        shown = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", ())]
        return [data[STEP_COST_MIME] for data in shown if STEP_COST_MIME in data]

    (cost,) = costs(0)
    with (root / "determinism.csv").open() as stream:
        gathered = pd.read_csv(stream)
    assert set(gathered["arm"]) == set(ARMS) and gathered["ratio"].notna().all()
    assert cost["on"] > 0 and cost["off"] > 0 and cost["low"] <= cost["ratio"] <= cost["high"] and not costs(1)


@pytest.mark.slow
def test_the_number_of_jobs_changes_no_digest_of_the_control_arm(root, tmp_path, fitlib_command):
    fields = {**EXPERIMENT, "arms": ["ulp"], "runs": 1, "control_runs": 2}
    (tmp_path / "alone.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    done = fitlib_command("run", "alone.yaml", "--jobs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for training in ("baseline", "domain-independent"):
        side_by_side = pd.read_parquet(root / f"runs/{training}/none/run-00/digests.parquet")
        one_by_one = pd.read_parquet(tmp_path / f"outputs/alone/runs/{training}/none/run-01/digests.parquet")
        pd.testing.assert_frame_equal(side_by_side, one_by_one)
    assert tables(tmp_path / "outputs/alone")
