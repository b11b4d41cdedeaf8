"""What every benchmark shares: repeated timings, peak memory, the machine, a Markdown table."""

import gc
import os
import platform
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

MIB = 2**20


def timings(function: Callable[[], Any], repetitions: int) -> list[float]:
    """Seconds of each of ``repetitions`` calls, after one call that is not counted."""
    function()
    return [_seconds(function) for _ in range(repetitions)]


def _seconds(function: Callable[[], Any]) -> float:
    gc.collect()
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def allocated(function: Callable[[], Any]) -> float:
    """Peak MiB that one call allocates beyond its arguments (Python and NumPy; tracemalloc), in an untimed call."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / MIB


def resident() -> float:
    """Largest MiB that this process has held so far, interpreter, libraries and data included (getrusage)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 1024)


def median(seconds: Sequence[float]) -> float:
    """Middle value (upper middle of an even number)."""
    return sorted(seconds)[len(seconds) // 2]


def spread(seconds: Sequence[float], scale: float = 1.0) -> str:
    """Median with [smallest, largest] of timings times ``scale``, in s or ms."""
    unit, factor = ("s", 1.0) if median(seconds) * scale >= 0.1 else ("ms", 1000.0)
    shown = [f"{t * scale * factor:.3g}" for t in (median(seconds), min(seconds), max(seconds))]
    return f"{shown[0]} {unit} [{shown[1]}, {shown[2]}]"


def ratio(peer: Sequence[float], own: Sequence[float], scale: float = 1.0) -> str:
    """How many times faster than the peer, by medians; the peer's times are multiplied by ``scale``."""
    return f"{median(peer) * scale / median(own):,.3g} ×"


def met(reached: bool, target: str) -> str:
    """A target, and whether it was reached."""
    return f"{target}: {'met' if reached else 'MISSED'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machine(*packages: str) -> str:
    """Processor, cores, Python and the versions of ``packages``, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = ", ".join(f"{package} {version(package)}" for package in ("numpy", *packages))
    return f"{_processor()}, {cores} cores; Python {platform.python_version()}, {found}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
