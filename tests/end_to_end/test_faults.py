"""Kill anything and run the same command again: nothing finished is lost, nothing half-written is kept."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import ROOT
from tests.support.finished import events, tables, text_of

EXPERIMENT = {
    "network": {"name": "small-cnn", "width": 4},
    "training": {"epochs": 3, "learning_rate": 0.05},
    "techniques": {"S-Base": {"method": "baseline"}, "S-RS": {"method": "oversampling"}},
    "baseline": "S-Base",
    "runs": 3,
    "control_runs": 0,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, fitlib_command):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "e.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    done = fitlib_command("run", "e.yaml", "--jobs", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def start(folder: Path, *more: str) -> subprocess.Popen:
    """The batch in a process of its own, its temporary files in `folder/tmp`."""
    (folder / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "fitlib", "run", "e.yaml", "--jobs", "2", *more]
    env, pipe = {**os.environ, "TMPDIR": str(folder / "tmp")}, subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=env, stderr=pipe, stdout=pipe, text=True, preexec_fn=interruptible)


def interruptible() -> None:
    """Shells start background jobs with interrupts ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def temporary(folder: Path) -> list[str]:
    """What fitlib left in the temporary folder (torch keeps an empty folder of its own there)."""
    return [name for name in os.listdir(folder / "tmp") if not name.startswith("torch")]


def wait_for(condition, seconds: float = 120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def records(folder: Path) -> dict[Path, int]:
    """When the record of every finished run was written; an attempt that was not yet renamed counts as its run."""
    found = [p for p in (folder / "outputs").rglob("record.json") if "runs" in p.parts]
    return {p.parent.with_suffix(""): p.stat().st_mtime_ns for p in found}


def kernels(process: subprocess.Popen) -> list[psutil.Process]:
    """Its kernels, forked ones and cold ones."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [p for p in found if "fitlib-kernel" in command_line_of(p) or "ipykernel_launcher" in command_line_of(p)]


def command_line_of(process: psutil.Process) -> str:
    """Its name and command line; empty where it ended since it was listed."""
    try:
        return " ".join([process.name(), *process.cmdline()])
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_killed_parent_leaves_what_is_finished_and_no_process(undisturbed, tmp_path, fitlib_command, how):
    shutil.copy(undisturbed / "e.yaml", tmp_path)
    process = start(tmp_path)
    wait_for(lambda: len(records(tmp_path)) >= 1 and kernels(process))
    left = psutil.Process(process.pid).children(recursive=True)  # templates too
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    psutil.wait_procs(left, timeout=15)
    assert not [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    kept = records(tmp_path)
    assert 1 <= len(kept) < 6
    done = fitlib_command("run", "e.yaml", cwd=tmp_path, env={"TMPDIR": str(tmp_path / "tmp")})
    assert done.returncode == 0, done.stderr
    assert temporary(tmp_path) == []
    assert kept.items() <= records(tmp_path).items()
    assert tables(tmp_path / "outputs/e") == tables(undisturbed / "outputs/e")
    assert not list((tmp_path / "outputs/e").rglob("run-*.*/"))


def test_a_killed_kernel_is_noticed_its_run_made_again_and_the_others_go_on(undisturbed, tmp_path, fitlib_command):
    shutil.copy(undisturbed / "e.yaml", tmp_path)
    process = start(tmp_path)
    running = wait_for(lambda: len(records(tmp_path)) >= 1 and kernels(process))
    max(running, key=lambda kernel: kernel.create_time()).kill()  # the others may just have finished
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0 and "is tried again: the kernel died" in errors, errors
    assert len(records(tmp_path)) == 6 and tables(tmp_path / "outputs/e") == tables(undisturbed / "outputs/e")
    kept = list((tmp_path / "outputs/e/superseded").rglob("failed.json"))
    assert len(kept) == 1 and "the kernel died" in kept[0].read_text()
    assert "the kernel died" in text_of(tmp_path / "outputs/e/report.html")


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once_and_leaves_no_process(undisturbed, tmp_path, fitlib_command):
    shutil.copy(undisturbed / "e.yaml", tmp_path)
    process = start(tmp_path, "--set", "training.epochs=2000")
    wait_for(lambda: kernels(process))
    left = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    psutil.wait_procs(left, timeout=15)
    assert not [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    done = fitlib_command("run", "e.yaml", cwd=tmp_path)  # the lock of an ended process stops nobody
    assert done.returncode == 0 and len(records(tmp_path)) == 6, done.stderr


@pytest.mark.slow
def test_a_run_whose_kernel_is_killed_too_often_fails_and_the_others_go_on(undisturbed, tmp_path, fitlib_command):
    shutil.copy(undisturbed / "e.yaml", tmp_path)
    process = start(tmp_path, "--retries", "0")
    victim = wait_for(lambda: len(records(tmp_path)) >= 1 and kernels(process))[0]
    victim.kill()
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1 and "FAILED" in errors and "Traceback" not in errors
    failed = list((tmp_path / "outputs/e/runs").rglob("failed.json"))
    assert len(failed) == 1 and len(records(tmp_path)) == 5
    page = text_of(tmp_path / "outputs/e/report.html")
    assert failed[0].parent.name in page and "the kernel died" in page
    run = failed[0].parent.relative_to(tmp_path / "outputs/e/runs").as_posix()
    assert "the kernel died" in fitlib_command("logs", "e", run, cwd=tmp_path).stdout
    done = fitlib_command("run", "e.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "outputs/e") == tables(undisturbed / "outputs/e")
    cleaned = fitlib_command("clean", "e", "--yes", cwd=tmp_path)
    assert "superseded: replaced or failed earlier" in cleaned.stdout and cleaned.returncode == 0
    assert fitlib_command("verify", "e", cwd=tmp_path).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "message"), [("--timeout=2s", "took longer than 2 s"), ("--memory=30M", "used ")])
def test_a_run_beyond_its_limit_is_ended_and_not_tried_again(undisturbed, tmp_path, fitlib_command, limit, message):
    shutil.copy(undisturbed / "e.yaml", tmp_path)
    arguments = ("--only", "S-Base", "--runs", 1, "--set", "training.epochs=5000", limit)
    done = fitlib_command("run", "e.yaml", *arguments, cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr and "tried again" not in done.stderr


@pytest.mark.slow
def test_a_notebook_that_raises_is_marked_with_its_traceback(undisturbed, tmp_path, fitlib_command):
    text = yaml.safe_dump({**EXPERIMENT, "runs": 1}, sort_keys=False)
    (tmp_path / "e.yaml").write_text(text)
    done = fitlib_command("run", "e.yaml", "--set", "techniques.S-RS.training.learning_rate=1e30", cwd=tmp_path)
    assert done.returncode == 1
    failure = json.loads((tmp_path / "outputs/e/runs/oversampling/ulp/run-00/failed.json").read_text())
    assert "the training loss became" in failure["error"] and "lower training.learning_rate" in failure["error"]
    assert (tmp_path / "outputs/e/runs/oversampling/ulp/run-00/train.ipynb").is_file()
    assert "the training loss became" in text_of(tmp_path / "outputs/e/report.html")
    assert "1 failed" in fitlib_command("status", "e", cwd=tmp_path).stdout


@pytest.mark.slow
def test_two_commands_at_once_do_not_meet(undisturbed, tmp_path, fitlib_command):
    shutil.copytree(undisturbed, tmp_path / "u")
    shutil.rmtree(tmp_path / "u/outputs/e/runs/baseline/ulp/run-00")
    process = start(tmp_path / "u")
    wait_for(lambda: kernels(process))
    process.send_signal(signal.SIGSTOP)  # its run cannot end meanwhile, however quick it is
    second = fitlib_command("run", "e.yaml", cwd=tmp_path / "u")
    assert second.returncode == 1 and f"in use by process {process.pid}" in second.stderr
    status = fitlib_command("status", "e", cwd=tmp_path / "u").stdout
    assert "1 running" in status
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=120)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_full_disk_ends_with_1_and_nothing_half_written_is_believed(undisturbed, fitlib_command, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        shutil.copy(undisturbed / "e.yaml", tmp_path)
        done = fitlib_command("run", "e.yaml", "--outputs", mount, cwd=tmp_path)
        assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr
        finished = len(list(mount.rglob("record.json")))
        assert finished < 6
        subprocess.run(["mount", "-o", "remount,size=80m", str(mount)], check=True)
        again = fitlib_command("run", "e.yaml", "--outputs", mount, cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert tables(mount / "e") == tables(undisturbed / "outputs/e")
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_run_alone_is_byte_for_byte_the_run_of_the_batch(undisturbed, tmp_path):
    """Executed by papermill without the batch, with the parameters that the batch gives."""
    from fitlib.execution.run_notebook import execute
    from fitlib.experiment.notebooks import notebook_path
    from fitlib.experiment.parse import read_experiment
    from fitlib.experiment.plan import Plan
    from fitlib.storage.paths import ExperimentPaths

    plan = Plan(read_experiment(undisturbed / "e.yaml"), ExperimentPaths(undisturbed / "outputs/e"))
    run = next(run for run in plan.runs if run.name == "oversampling/ulp/run-02")
    parameters = {**run.parameters, "run_dir": str(tmp_path)}
    execute(notebook_path("train"), tmp_path / "train.ipynb", parameters, {})
    for name in ("predictions/S-RS.parquet", "digests.parquet", "history.parquet"):
        in_batch = undisturbed / "outputs/e/runs/oversampling/ulp/run-02" / name
        assert (tmp_path / name).read_bytes() == in_batch.read_bytes()


@pytest.mark.slow
def test_nothing_is_left_in_the_temporary_folder(undisturbed, tmp_path, fitlib_command):
    shutil.copytree(undisturbed, tmp_path / "u")
    shutil.rmtree(tmp_path / "u/outputs/e/runs/baseline/ulp/run-00")
    (tmp_path / "tmp").mkdir()
    done = fitlib_command("run", "e.yaml", cwd=tmp_path / "u", env={"TMPDIR": str(tmp_path / "tmp")})
    assert done.returncode == 0 and events(tmp_path / "u/outputs/e", "started")[-1] == "baseline/ulp/run-00"
    assert temporary(tmp_path) == []


def test_ten_faults_lose_nothing_and_let_nothing_half_pass(tmp_path, monkeypatch):
    """The short version of `benchmarks/faults.py`, which injects a hundred, and kills workers of Dask, too."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import faults

    outcome = faults.run(10, 5, 7, tmp_path, (faults.LOCAL,), stay=0.6)
    assert outcome.wrong == [] and outcome.number == 10 and len(outcome.injected) >= 4
