"""The machine that a computation runs on: operating system and processor, and the driver of its GPU."""

from __future__ import annotations

import platform
import re
from pathlib import Path

PROCESSOR, DRIVER = Path("/proc/cpuinfo"), Path("/proc/driver/nvidia/version")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # of the numeric libraries
STEP_COST_MIME = "application/vnd.fitlib.step-cost+json"  # the output in which a notebook records the cost of a step


def machine() -> str:
    """Return operating system, architecture and processor, without the host's name."""
    return f"{platform.system()} {platform.machine()}, {processor()}"


def processor() -> str:
    """Return model, family and stepping of the processor."""
    try:
        lines = PROCESSOR.read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    wanted = {"model name": "", "cpu family": "", "model": "", "stepping": ""}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in wanted and not wanted[name.strip()]:
            wanted[name.strip()] = value.strip()
    return " ".join([wanted["model name"], *(f"{k} {v}" for k, v in list(wanted.items())[1:] if v)])


def gpu_driver() -> str:
    """Return the version of NVIDIA's kernel driver, or "unknown" where the system does not report it."""
    try:
        found = re.search(r"Kernel Module.*?\s([0-9]+\.[0-9.]+)\s", DRIVER.read_text())
    except OSError:
        return "unknown"
    return found[1] if found else "unknown"
