"""An experiment on a real SLURM that is started for it: `make test-slurm`, not part of the suite."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.slurm.cluster import cluster, missing

TRAINING = (ROOT / "tests/execution/executors/test_executors.py").read_text().split('TRAINING = """')[1].split('"""')[0]
FIELDS = {
    "callable": "made:train",
    "techniques": {"A": {"parameters": {"wait": 3}}, "B": {"parameters": {"wait": 4}}},
    "baseline": "A",
    "runs": 3,
    "control_runs": 0,
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    why = missing()
    if why:
        pytest.skip(why)
    with cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture
def here(tmp_path):
    (tmp_path / "made.py").write_text(TRAINING)
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(FIELDS, sort_keys=False))
    return tmp_path


def fitlib(here, environment, *arguments):
    command = [sys.executable, "-m", "fitlib", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=here, env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(process, status=0):
    _, errors = process.communicate(timeout=600)
    assert process.returncode == status, errors
    return errors


def tables(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "tables").iterdir())}


SLURM = ("run", "e.yaml", "--executor", "slurm", "--with", "partition=debug", "--with", "time=10")


def queue(environment) -> list[str]:
    return subprocess.run(["squeue", "-h", "-r"], env=environment, capture_output=True, text=True).stdout.splitlines()


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def test_an_experiment_on_slurm_has_the_tables_of_a_local_one(here, environment):
    assert "in partition debug of slurm" in ended(fitlib(here, environment, *SLURM, "--outputs", "s"))
    ended(fitlib(here, environment, "run", "e.yaml"))
    assert tables(here / "s/e") == tables(here / "outputs/e") and queue(environment) == []


def test_a_cancelled_job_is_noticed_and_its_run_made_again(here, environment):
    process = fitlib(here, environment, *SLURM)
    wait_for(lambda: list(here.glob("outputs/e/runs/*/*/run-*.*/kernel.log")))
    command = ["squeue", "-h", "-r", "-t", "R", "-o", "%i"]
    running = subprocess.run(command, env=environment, capture_output=True, text=True)
    subprocess.run(["scancel", "--full", "--signal=KILL", running.stdout.split()[0]], env=environment, check=True)
    assert "is tried again" in ended(process)
    assert len(list(here.glob("outputs/e/runs/*/*/run-*/record.json"))) == 6


def test_an_interrupt_cancels_the_jobs_and_the_same_command_goes_on(here, environment):
    process = fitlib(here, environment, *SLURM)
    wait_for(lambda: list(here.glob("outputs/e/runs/*/*/run-??/record.json")))
    process.send_signal(2)
    ended(process, 130)
    wait_for(lambda: not queue(environment), 60)
    kept = {p: p.stat().st_mtime_ns for p in here.glob("outputs/e/runs/*/*/run-??/record.json")}
    assert kept and not [name for name in os.listdir(here / "outputs/e") if name.startswith(".")]
    ended(fitlib(here, environment, *SLURM))
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    assert len(list(here.glob("outputs/e/runs/*/*/run-??/record.json"))) == 6
