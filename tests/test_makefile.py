"""The Makefile: from where it installs torch."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not shutil.which("make"), reason="needs Linux and make")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SET_BY_CALLERS = ("MAKEFLAGS", "MAKELEVEL", "PIP_OPTIONS", "TORCH_INDEX")


@pytest.fixture
def installs(tmp_path):
    """Return the lines that install packages, on a machine with a GPU or without, for options of make."""

    def lines(*options, gpu):
        driver = tmp_path / "nvidia-smi"
        driver.write_text(f"#!/bin/sh\nexit {0 if gpu else 9}\n")
        driver.chmod(0o755)
        env = {name: value for name, value in os.environ.items() if name not in SET_BY_CALLERS}
        env["PATH"] = f"{tmp_path}{os.pathsep}{env['PATH']}"
        command = ["make", "--dry-run", f"VENV={tmp_path}", f"{tmp_path}/.ready", *options]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if " -m pip install " in line and "--editable" not in line]

    return lines


def test_without_a_gpu_torch_alone_is_asked_for_in_the_index_of_cpu_builds(installs):
    torch, others = installs(gpu=False)
    assert f"--index-url {CPU_INDEX}" in torch and "--retries 0" in torch and "--no-deps" in torch
    assert "torch==" in torch and "requirements.lock) ||" in torch  # a failure does not end the recipe
    assert "--requirement requirements.lock" in others and CPU_INDEX not in others


@pytest.mark.parametrize(
    "options, gpu",
    [((), True), (("PIP_OPTIONS=--no-cache-dir",), False), (("TORCH_INDEX=",), False)],
    ids=["GPU", "PIP_OPTIONS", "no index"],
)
def test_with_a_gpu_or_another_choice_everything_comes_from_the_usual_index(installs, options, gpu):
    (line,) = installs(*options, gpu=gpu)
    assert "--requirement requirements.lock" in line and "--index-url" not in line
    assert ("--no-cache-dir" in line) == bool(options and "PIP" in options[0])
