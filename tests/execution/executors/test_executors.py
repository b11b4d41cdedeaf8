"""Every executor does the same with a job; what cannot work is refused before anything runs."""

import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

from fitlib.errors import InputError
from fitlib.execution.executors.base import ADAPTERS, ExecutorChoice
from fitlib.execution.executors.local import Local, visible_gpus
from fitlib.execution.jobs import AttemptResult, Job, Terms, fulfil, perform
from fitlib.execution.limits import Lease
from fitlib.execution.worker_software import refuse_other_software, software_versions

TRAINING = """
import time
import numpy as np
import fitlib

def train(run_dir, run, wait=0.0):
    rows = np.random.default_rng(7)
    truth, group = rows.integers(0, 2, 100), rows.integers(0, 2, 100)
    wrong = np.random.default_rng(run).random(100) < 0.2
    time.sleep(wait)
    fitlib.save_predictions(
        run_dir, ground_truth=truth, prediction=np.where(wrong, 1 - truth, truth), protected={"sex": group},
        classes=["no", "yes"], groups={"sex": ["f", "m"]},
    )
"""
FIELDS = {
    "callable": "made:train",
    "techniques": {"A": {}, "B": {"parameters": {"wait": 0.3}}},
    "baseline": "A",
    "runs": 3,
    "control_runs": 0,
}


def job(name="a", kind="train", **more):
    return Job(name, kind, "n.ipynb", "target", "run_dir", {}, {}, {}, **more)


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "made.py").write_text(TRAINING)
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(FIELDS, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tables(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "tables").iterdir())}


# What is refused


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (ExecutorChoice("dusk"), "--executor = 'dusk': unknown executor; did you mean 'dask'"),
        (ExecutorChoice("cloud"), "known: local, dask, slurm"),
        (ExecutorChoice("local", "tcp://a:1"), "--address = 'tcp://a:1': executor local has no scheduler"),
        (
            ExecutorChoice("slurm", settings=("partiton=gpu",)),
            "partiton = 'gpu': unknown field; did you mean 'partition'",
        ),
        (ExecutorChoice("slurm", settings=("time=soon",)), "--with time = 'soon': invalid value"),
        (ExecutorChoice("slurm", settings=("time",)), "not of the form key=value"),
        (ExecutorChoice("local", settings=("per_gpu=0",)), "--with per_gpu = 0"),
        (ExecutorChoice("dask", settings=("resources=GPU",)), "NAME=NUMBER"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(choice, message):
    with pytest.raises(InputError, match=re.escape(message)):
        choice.validated_settings()


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_executor_works_without_settings(name):
    assert ExecutorChoice(name).validated_settings()


def test_settings_are_read_as_what_they_are():
    slurm = ExecutorChoice("slurm", settings=("partition=gpu", "gpus=2", "memory=7.5")).validated_settings()
    assert (slurm.partition, slurm.gpus, slurm.memory) == ("gpu", 2, 7.5)
    assert ExecutorChoice("dask", settings=("resources=GPU=1,MEMORY=8",)).validated_settings().resources == {
        "GPU": 1,
        "MEMORY": 8,
    }


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason='not installed: pip install "fitlib[dask]"')
    monkeypatch.setattr("fitlib.execution.executors.dask_cluster.PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(InputError, match=f"--address = '{address}': no scheduler answers there within 1 s"):
            ExecutorChoice("dask", address).open(1, "cpu", tmp_path)


def test_a_cluster_without_the_package_is_told_how_to_get_it(monkeypatch, tmp_path):
    for package, name in (("distributed", "dask"), ("submitit", "slurm")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf'not installed: {package}; pip install "fitlib\[{name}\]"'):
            ExecutorChoice(name).open(1, "cpu", tmp_path)


def test_a_machine_that_cannot_submit_says_so(monkeypatch, tmp_path):
    pytest.importorskip("submitit", reason='not installed: pip install "fitlib[slurm]"')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no sbatch; run it on a login node"):
        ExecutorChoice("slurm").open(1, "cpu", tmp_path)


def test_a_worker_with_other_versions_is_refused_and_they_are_named():
    other = {**software_versions(), "numpy": "1.0", "torch": "missing"}
    with pytest.raises(InputError) as refused:
        refuse_other_software(software_versions(), other, "process 7 on far")
    message = str(refused.value)
    assert "numpy 1.0 instead of" in message and "torch missing instead of" in message and "process 7 on far" in message
    assert "pyarrow" not in message


def terms(place: Path, **changes) -> Terms:
    (place / "token").touch()
    (place / "lock").write_text(json.dumps({"host": "far", "pid": 1, "boot": "b", "token": "t"}))
    made = {"token": str(place / "token"), "software": software_versions(), "folder": str(place)}
    return Terms(**{**made, "lease": Lease(str(place / "lock"), "t"), **changes})


def test_a_worker_that_does_not_see_the_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="does not see it; fitlib needs a file system that all workers share"):
        perform(job(terms=terms(tmp_path, token=str(tmp_path / "elsewhere" / "token"))))
    with pytest.raises(InputError, match=r"numpy .* instead of 0"):
        perform(job(terms=terms(tmp_path, software={**software_versions(), "numpy": "0"})))
    assert sorted(os.listdir(tmp_path)) == ["lock", "token"]


@pytest.mark.parametrize("end", [lambda lock: lock.unlink(), lambda lock: os.utime(lock, (1, 1))])
def test_a_job_whose_command_has_ended_does_not_begin(tmp_path, monkeypatch, end):
    monkeypatch.chdir(tmp_path)
    held = terms(tmp_path)
    end(tmp_path / "lock")
    with pytest.raises(InputError, match="the command that wanted this job has ended"):
        perform(job(terms=held))
    with pytest.raises(InputError, match="the command that wanted this job has ended"):
        perform(job(terms=terms(tmp_path, lease=Lease(str(tmp_path / "lock"), "another's"))))


def test_a_worker_works_in_the_folder_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "place").mkdir()
    assert str(os.getpid()) in fulfil(terms(tmp_path, folder=str(tmp_path / "place")))
    assert Path.cwd() == tmp_path / "place"


def test_a_refusal_reaches_the_command_as_it_was():
    refusal = InputError("worker", "versions", "w", "numpy 1", "install it")
    assert str(pickle.loads(pickle.dumps(refusal))) == str(refusal)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"callable": "made:nothing"}, "nothing"),
        ({"callable": "elsewhere:train"}, "elsewhere"),
        ({"parameters": {"speed": 1}}, "parameters.speed = 1: callable made:train has no such parameter"),
    ],
)
def test_code_that_cannot_be_called_is_refused_before_anything_runs(here, fitlib_command, change, message):
    (here / "e.yaml").write_text(yaml.safe_dump({**FIELDS, **change}))
    done = fitlib_command("run", "e.yaml", cwd=here)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not (here / "outputs").exists()


# Local


def test_gpus_are_those_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-7")
    assert visible_gpus() == ["2", "GPU-7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


def test_a_training_sees_one_device_that_no_other_one_has_meanwhile():
    held, twice, guard = set(), [], threading.Lock()

    def work(one: Job) -> AttemptResult:
        device = one.environment["CUDA_VISIBLE_DEVICES"]
        with guard:
            twice.append(device in held)
            held.add(device)
        time.sleep(0.02)
        with guard:
            held.discard(device)
        return AttemptResult(one.name, device=device)

    local = Local(4, ["0", "1"])
    found = [future.result() for future in [local.submit(work, job(str(i))) for i in range(12)]]
    local.close()
    assert not any(twice) and {done.device for done in found} == {"0", "1"}


def test_metrics_take_no_device():
    local = Local(1, ["0"])
    assert local.submit(lambda one: one.environment, job(kind="metrics")).result() == {}
    local.close()


def test_per_gpu_says_how_many_share_a_device(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    local = ExecutorChoice(settings=("per_gpu=2",)).open(16, "cuda", tmp_path)
    assert local.slots == 4
    local.close()
    assert ExecutorChoice().open(3, "cpu", tmp_path).slots == 3


# SLURM, by submitit's executor for one machine


@pytest.fixture
def slurm(tmp_path):
    pytest.importorskip("submitit", reason='not installed: pip install "fitlib[slurm]"')
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # jobs do not import tests
    executor = ExecutorChoice("slurm", settings=("cluster=local", "array_size=2")).open(2, "cpu", tmp_path)
    yield executor
    executor.close()


def test_jobs_of_a_batch_come_back_with_what_they_returned(slurm, tmp_path):
    with slurm.batch():
        futures = [slurm.submit(repr, job(name)) for name in "abc"]
    assert [future.result(60) for future in futures] == [repr(job(name)) for name in "abc"]
    slurm.close()
    assert list(tmp_path.iterdir()) == []


def gone(one: Job) -> None:
    os._exit(3)


def test_a_job_that_is_gone_is_an_error_of_its_future(slurm):
    with slurm.batch():
        future = slurm.submit(gone, job())
    assert future.exception(60) is not None


@pytest.mark.slow
def test_an_experiment_on_slurm_has_the_tables_of_a_local_one(here, fitlib_command):
    pytest.importorskip("submitit", reason='not installed: pip install "fitlib[slurm]"')
    there = fitlib_command(
        "run", "e.yaml", "--outputs", "s", "--executor", "slurm", "--with", "cluster=local", cwd=here
    )
    assert there.returncode == 0, there.stderr
    assert fitlib_command("run", "e.yaml", cwd=here).returncode == 0
    assert tables(here / "s/e") == tables(here / "outputs/e")
    assert [p.name for p in (here / "s/e").iterdir() if p.name.startswith(".")] == []


# Dask


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers, each a process; the address, and the workers' processes."""
    pytest.importorskip("distributed", reason='not installed: pip install "fitlib[dask]"')
    address_file = tmp_path / "scheduler.json"

    def start(*arguments):
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        with open(tmp_path / "dask.log", "a") as log:  # the process keeps a descriptor of its own
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path.parent)

    started = [start("scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0",
                     "--scheduler-file", str(address_file))]  # fmt: skip
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    options += ["--local-directory", str(tmp_path / "dask"), "--scheduler-file", str(address_file)]
    started += [start("worker", *options, "--resources", "SLOT=1") for _ in range(2)]
    end = time.monotonic() + 60
    while not address_file.exists() and time.monotonic() < end:
        time.sleep(0.1)
    yield yaml.safe_load(address_file.read_text())["address"], started[1:]
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_an_experiment_survives_a_killed_worker_of_dask_with_the_tables_of_a_local_one(cluster, here, fitlib_command):
    address, workers = cluster
    command = [sys.executable, "-m", "fitlib", "run", "e.yaml", "--outputs", "d", "--executor", "dask"]
    command += ["--address", address, "--with", "resources=SLOT=1"]
    running = subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not list(here.glob("d/e/runs/*/*/run-*/record.json")) and time.monotonic() < end:
        time.sleep(0.05)
    assert list(here.glob("d/e/runs/*/*/run-*.*")), "nothing was running any more"
    kernels = psutil.Process(workers[0].pid).children(recursive=True)
    workers[0].kill()
    _, errors = running.communicate(timeout=240)
    assert running.returncode == 0, errors
    assert "dashboard: http" in errors
    _, alive = psutil.wait_procs(kernels, timeout=20)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    assert fitlib_command("run", "e.yaml", cwd=here).returncode == 0
    assert tables(here / "d/e") == tables(here / "outputs/e")
    assert not list(here.glob("d/e/runs/*/*/run-*.*"))


@pytest.mark.slow
def test_a_worker_with_other_versions_and_a_resource_that_none_has_are_refused(cluster, here, fitlib_command):
    executor = ExecutorChoice("dask", cluster[0]).open(1, "cpu", here)
    executor._client.wait_for_workers(1, timeout=60)
    with pytest.raises(InputError, match=r"numpy .* instead of 0"):
        executor.check_workers(terms(here, software={**software_versions(), "numpy": "0"}))
    executor.close()
    arguments = ["run", "e.yaml", "--executor", "dask", "--address", cluster[0], "--with", "resources=GPU=1"]
    end, done = time.monotonic() + 60, None
    while (done is None or "has no workers" in done.stderr) and time.monotonic() < end:
        done = fitlib_command(*arguments, cwd=here)
    assert done.returncode == 2 and "GPU=1': no worker has that much; start workers with --resources" in done.stderr
    assert not (here / "outputs/e/experiment.yaml").exists()
