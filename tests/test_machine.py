"""The machine is described without its name, and a GPU's driver by the version of its kernel module."""

import os

import pytest

from fitlib import machine


def test_the_machine_is_described_without_the_name_of_the_host():
    assert os.uname().nodename not in machine.machine().split()
    assert machine.processor() in machine.machine() and machine.processor()


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build  (dvs-builder)",
    ],
)
def test_the_version_of_the_driver_is_read(tmp_path, monkeypatch, line):
    (tmp_path / "version").write_text(line)
    monkeypatch.setattr(machine, "DRIVER", tmp_path / "version")
    assert machine.gpu_driver() == "535.104.05"


def test_an_unknown_driver_is_said_to_be_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "DRIVER", tmp_path / "none")
    assert machine.gpu_driver() == "unknown"
