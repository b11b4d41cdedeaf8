"""The divergence trace: at which step, in which tensor and because of which operator two runs part.

`fitlib.tracing.lockstep` compares the runs and explains a parting. This module checks what can be traced, sets the
conditions of a trace, and saves its results.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from fitlib.digest import digest_json
from fitlib.errors import InputError
from fitlib.tracing.digest_streams import write_stream
from fitlib.tracing.lockstep import Lockstep, Trace
from fitlib.tracing.replicas import make_replicas
from fitlib.training.loop import load_data

STEPS = 500  # compared at most by default
SETTINGS = ("data", "network", "method", "training")


def trace(
    settings: Mapping,
    noise: dict,
    runs: int = 2,
    steps: int = STEPS,
    seed: int = 0,
    noise_seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    record: bool = False,
    show_progress: Callable[[str], None] = lambda line: None,
) -> Trace:
    """Trace the first `runs` runs of a training under a noise through at most `steps` steps.

    `settings`: `data`, `network`, `method` and `training` of a training, as an experiment resolves them. `record`:
    operators are recorded in every step, so that a parting is explained by the very step in which it happened.
    `show_progress` receives a line after every step. InputError if nothing could be found: a single run, noise that
    enters later, a custom training.
    """
    check(settings, noise, runs, steps)
    about = {"noise": noise, "seed": seed, "noise_seed": noise_seed, "device": device, "threads": threads}
    about |= {"settings": digest_json({name: settings[name] for name in SETTINGS}), "torch": torch.__version__}
    with _process_settings(threads):
        dataset = load_data(settings["data"])
        replicas = make_replicas(settings, seed, noise, noise_seed, runs, dataset, device)
        return Lockstep(replicas, about, record, show_progress).run(steps)


def check(settings: Mapping, noise: Mapping, runs: int, steps: int) -> None:
    """Raise InputError if a trace could not find anything."""
    if "method" not in settings:
        remedy = "pass its step to fitlib.tracing.operators.culprits_of"
        raise InputError("trace", "technique", "custom training", "only fitlib's own loop can be stepped", remedy)
    if runs < 2:
        raise InputError("trace", "runs", runs, "one run has nothing to diverge from", "trace two or more")
    if (noise.get("step") or 0) >= steps:
        problem = f"noise {noise['name']} comes at step {noise['step']}, after all steps that are compared"
        raise InputError("trace", "steps", steps, problem, f"compare {noise['step'] + 100} or choose an earlier step")
    if settings["training"].get("compile"):
        problem = "the operators of a compiled network cannot be recorded"
        raise InputError("trace", "training.compile", True, problem, "trace with --set training.compile=false")


def save(found: Trace, folder: Path) -> list[Path]:
    """Write every run's digest stream, the growth curve and the culprits to a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for stream in found.streams:
        written.append(folder / f"{stream.run}.json")
        write_stream(written[-1], stream)
    parting = found.parting
    culprits = [_culprit_row(asdict(c)) for c in parting.culprits] if parting else []
    for name, rows in {"growth": found.growth, "culprits": culprits}.items():
        if rows:
            written.append(folder / f"{name}.csv")
            _write_csv(written[-1], rows)
    return written


@contextmanager
def _process_settings(threads: int) -> Iterator[None]:
    """Set the number of threads; at the end, restore all settings of the process that a noise may change."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.mkldnn.enabled
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.backends.mkldnn.set_flags(before[2])


def _culprit_row(culprit: dict) -> dict:
    operator = culprit.pop("operator")
    return {**culprit, **operator}


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
