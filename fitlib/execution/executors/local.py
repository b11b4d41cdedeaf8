"""The local executor: threads of this process, each with one kernel at a time; on GPUs each kernel sees one device.

A pool of processes would gain nothing: the kernels are processes already, and a killed process of a pool breaks all its
pending futures.
"""

from __future__ import annotations

import os
import queue
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from fitlib.execution.jobs import AttemptResult, Job, Terms
from fitlib.execution.kernels import manager
from fitlib.options import Options

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Settings(Options):
    """Settings of local execution."""

    per_gpu: int = Field(default=1, ge=1)  # trainings at once on each GPU


class Local:
    """A pool of `jobs` threads; trainings take turns on `slots_on_devices`, one entry for each at once on a device."""

    slots: int | None
    remote = False

    def __init__(self, jobs: int, slots_on_devices: Sequence[str] = ()):
        self.slots = jobs
        self._pool = ThreadPoolExecutor(jobs)
        self._devices: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._on_devices = bool(slots_on_devices)
        for device in slots_on_devices:
            self._devices.put(device)

    def check_workers(self, terms: Terms) -> str:
        """Check nothing: the worker is this process."""
        return f"{self.slots} at once on this machine"

    def submit(self, function: Callable[[Job], AttemptResult], job: Job) -> Future[AttemptResult]:
        """Execute a job in one of the threads."""
        return self._pool.submit(self._work, function, job)

    def batch(self) -> AbstractContextManager:
        """Return an empty context: jobs are submitted one by one."""
        return nullcontext()

    def cancel(self) -> None:
        """Kill the kernels and wait for their threads, which end with them."""
        manager.end_all()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _work(self, function: Callable[[Job], AttemptResult], job: Job) -> AttemptResult:
        if not (self._on_devices and job.kind == "train"):
            return function(job)
        device = self._devices.get()
        try:
            return function(replace(job, environment={**job.environment, VISIBLE: device}))
        finally:
            self._devices.put(device)


def connect(settings: Settings, address: str | None, jobs: int, device: str, folder: Path) -> Local:
    """Start `jobs` threads; on `device` cuda at most as many as the GPUs have slots."""
    slots = [gpu for _ in range(settings.per_gpu) for gpu in visible_gpus()] if device == "cuda" else []
    return Local(min(jobs, len(slots)) if slots else jobs, slots)


def visible_gpus() -> list[str]:
    """List the GPUs that this process may use: those in CUDA_VISIBLE_DEVICES, else all that the driver lists."""
    if os.environ.get(VISIBLE) is not None:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip() not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []
