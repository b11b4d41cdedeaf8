"""Seconds of `fitlib verify` over an experiment of 64 runs, as a command, Python's start and imports included.

    python benchmarks/verify.py [FOLDER] [--repetitions 5]

FOLDER: a finished experiment; without it one of 64 short trainings is run in a temporary folder first (minutes). The
peer is `sha256sum` of the same files. Processor seconds are told too, since others use the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from measure import machine, met, spread, table

EXPERIMENT = {
    "network": {"name": "small-cnn", "width": 4},
    "training": {"epochs": 1, "learning_rate": 0.1, "shift": 1},
    "techniques": {
        "S-Base": {"method": "baseline"},
        "S-DI1": {"method": "domain-independent", "inference": "conditional"},
        "S-DI2": {"method": "domain-independent", "inference": "sum"},
        "S-RS": {"method": "oversampling"},
        "S-UC": {"method": "uniform-confusion"},
    },
    "baseline": "S-Base",
    "runs": 16,
    "control_runs": 0,
}
FITLIB = [sys.executable, "-m", "fitlib"]


def made(folder: Path) -> Path:
    """A finished experiment of 64 runs."""
    (folder / "v64.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    subprocess.run([*FITLIB, "run", "v64.yaml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "outputs/v64"


def measured(command: list[str], repetitions: int) -> tuple[list[float], list[float]]:
    """Seconds by the clock and of the processor of each call; the call must find no deviation."""
    clock, processor = [], []
    for _ in range(repetitions):
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        clock.append(time.perf_counter() - start)
        after = os.times()
        spent = (after.children_user - before.children_user) + (after.children_system - before.children_system)
        processor.append(spent)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return clock, processor


def main() -> None:
    """Print a Markdown table and the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (given.folder or made(Path(temporary))).resolve()
        files = [str(path) for path in root.rglob("*") if path.is_file()]
        runs = len(list(root.glob("runs/*/*/run-*/record.json")))
        commands = {
            "fitlib verify": [*FITLIB, "verify", str(root)],
            "fitlib verify --full": [*FITLIB, "verify", str(root), "--full"],
            "sha256sum of all files": ["sha256sum", *files],
        }
        rows = []
        for name, command in commands.items():
            clock, processor = measured(command, given.repetitions)
            target = met(max(clock) < 10, "< 10 s") if name == "fitlib verify" else ""
            rows.append([name, spread(clock), spread(processor), target])
        print(table(["command", "by the clock", "processor", "target"], rows))
        size = sum(os.path.getsize(path) for path in files) / 2**20
        print(f"\n{runs} runs, {len(files)} files, {size:.0f} MiB; {given.repetitions} repetitions each. {machine()}")


if __name__ == "__main__":
    main()
