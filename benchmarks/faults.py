"""Break a batch again and again, say the same command each time, and see whether anything was lost.

An experiment of made predictions (nothing is trained) is executed round after round. Faults: SIGKILL of a kernel, of a
worker (Dask's worker processes, or the process that kernels are forked from), of the command itself; truncation of the
file that was written last, with the command going on or killed at once; a disk that is full. After each fault the same
command follows. It must hold that no finished run is lost or made again, no half run counts as done, no process or
temporary file is left, and the tables of every round are byte for byte those of an experiment that nobody disturbed.

    python benchmarks/faults.py --faults 100 --runs 16 --seed 7

The full disk needs the right to mount a small file system; without it that fault is left out, and the output says so.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import yaml

from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import altered_outputs, read_record

TRAINING = """
import time
import numpy as np
import fitlib

def train(run_dir, run, share=0.1):
    rows = np.random.default_rng(7)
    truth, group = rows.integers(0, 2, 200), rows.integers(0, 2, 200)
    wrong = np.random.default_rng([run, int(1000 * share)]).random(200) < share
    time.sleep(0.05)
    fitlib.save_predictions(
        run_dir, ground_truth=truth, prediction=np.where(wrong, 1 - truth, truth), protected={"sex": group},
        classes=["no", "yes"], groups={"sex": ["f", "m"]},
    )
"""
SHARES = {"A": 0.1, "B": 0.15, "C": 0.2, "D": 0.25}
SIZE, BALLAST = "64m", "ballast"
PATIENCE = 300  # seconds in which a command has to get somewhere
Fault = Callable[["Place", subprocess.Popen, np.random.Generator], bool]
LOCAL, DASK = "local", "dask"


@dataclass
class Place:
    """A folder with an experiment in it, executed in one way."""

    folder: Path
    executor: str

    @property
    def root(self) -> Path:
        """The experiment's folder of results."""
        return self.folder / "outputs" / "e"

    def start(self) -> subprocess.Popen:
        """The command, always the same."""
        command = [sys.executable, "-m", "fitlib", "run", "e.yaml", "--jobs", "2", "--executor", self.executor]
        (self.folder / "tmp").mkdir(exist_ok=True)
        env = {**os.environ, "TMPDIR": str(self.folder / "tmp"), "PYTHONUNBUFFERED": "1"}
        with open(self.folder / "log", "ab") as log:  # the process keeps a descriptor of its own
            return subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, preexec_fn=_interruptible
            )

    def finished(self) -> dict[str, str]:
        """Hash of the record of every run that counts as done."""
        records = self.root.glob("runs/*/*/run-*/record.json")
        whole = [path for path in records if "." not in path.parent.name and read_record(path.parent)]
        return {str(p.parent.relative_to(self.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in whole}

    def tables(self) -> dict[str, bytes]:
        """Every table, byte for byte."""
        return {path.name: path.read_bytes() for path in sorted((self.root / "tables").iterdir())}


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make(folder: Path, runs: int, executor: str) -> Place:
    """An experiment with four techniques that has not been executed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made.py").write_text(TRAINING)
    techniques = {name: {"parameters": {"share": share}} for name, share in SHARES.items()}
    fields = {"callable": "made:train", "techniques": techniques, "baseline": "A", "runs": runs, "control_runs": 0}
    (folder / "e.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    return Place(folder, executor)


# Faults: each is given a place whose command works, and returns whether there was something to break


def kill_kernel(place: Place, process: subprocess.Popen, rng: np.random.Generator) -> bool:
    """SIGKILL one of the kernels."""
    return _kill(rng, [p for p in _family(process.pid) if _is_kernel(p)])


def kill_worker(place: Place, process: subprocess.Popen, rng: np.random.Generator) -> bool:
    """SIGKILL a worker process of Dask, or the template that a command forks its kernels from."""
    workers = psutil.Process(process.pid).children()
    return _kill(rng, [p for p in workers if not _is_kernel(p) and any(map(_is_kernel, _family(p.pid)))])


def kill_command(place: Place, process: subprocess.Popen, rng: np.random.Generator) -> bool:
    """SIGKILL the command."""
    process.kill()
    return True


def truncate(place: Place, process: subprocess.Popen, rng: np.random.Generator) -> bool:
    """Halve the file that was written last in the folder of an attempt."""
    files = [p for attempt in ExperimentPaths(place.root).attempts() for p in attempt.rglob("*") if p.is_file()]
    with contextlib.suppress(OSError):  # the attempt was finished meanwhile
        newest = max(files, key=lambda p: p.stat().st_mtime_ns, default=None)
        if newest is not None and newest.stat().st_size:
            os.truncate(newest, newest.stat().st_size // 2)
            return True
    return False


def truncate_and_kill(place: Place, process: subprocess.Popen, rng: np.random.Generator) -> bool:
    """The same, and SIGKILL the command at once, as a machine that loses its power would."""
    return truncate(place, process, rng) and kill_command(place, process, rng)


def fill_disk(place: Place, process: subprocess.Popen, rng: np.random.Generator) -> bool:
    """Leave a few bytes or none of the file system of the results."""
    free = shutil.disk_usage(place.root).free - int(rng.integers(0, 60_000))
    with contextlib.suppress(OSError), open(place.folder / "outputs" / BALLAST, "wb") as stream:
        stream.write(bytes(max(free, 0)))
    return True


FAULTS = {
    LOCAL: (kill_kernel, kill_worker, kill_command, truncate, truncate_and_kill, fill_disk),
    DASK: (kill_kernel, kill_worker, kill_command),
}


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_kernel(process: psutil.Process) -> bool:
    """A kernel, forked or cold."""
    with contextlib.suppress(psutil.Error):
        return "fitlib-kernel" in process.name() or "ipykernel_launcher" in " ".join(process.cmdline())
    return False


def _kill(rng: np.random.Generator, candidates: list[psutil.Process]) -> bool:
    if not candidates:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        candidates[rng.integers(len(candidates))].kill()
        return True
    return False


# One fault after the other


@dataclass
class Outcome:
    """What was injected, and everything that should not have happened."""

    injected: Counter = field(default_factory=Counter)
    rounds: int = 0
    commands: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        """How many faults there were."""
        return sum(self.injected.values())


def disturb(
    place: Place, kinds: Sequence[Fault], rng: np.random.Generator, outcome: Outcome, most: int, stay: float
) -> bool:
    """Start the command and break something at random moments, until it has ended; returns whether it was done.

    most: faults in all; stay: how probable it is that a command that survives a fault may go on to the next one.
    """
    before, process, family = place.finished(), place.start(), []
    outcome.commands += 1
    while process.poll() is None and outcome.number < most:
        kind = min(kinds, key=lambda k: (outcome.injected[k.__name__], rng.random()))
        family = _break(place, process, kind, rng, outcome) or family
        if process.poll() is None and (rng.random() >= stay or outcome.number >= most):
            process.send_signal(signal.SIGINT)
            break
    process.wait(PATIENCE)
    (place.folder / "outputs" / BALLAST).unlink(missing_ok=True)
    _check(place, before, family, outcome)
    return not family and process.returncode == 0


def _break(
    place: Place, process: subprocess.Popen, kind: Fault, rng: np.random.Generator, outcome: Outcome
) -> list[psutil.Process]:
    """Wait for up to two more finished runs, break something, and watch for a moment; the processes that there were."""
    wanted, end = len(place.finished()) + int(rng.integers(0, 3)), time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        time.sleep(float(rng.uniform(0, 0.3)))
        if len(place.finished()) >= wanted and any(ExperimentPaths(place.root).attempts()):
            family = _family(process.pid)
            if kind(place, process, rng):
                outcome.injected[kind.__name__] += 1
                told = f"{outcome.number} faults, {len(outcome.wrong)} wrong, round {outcome.rounds + 1}"
                print(f"{told}: {kind.__name__}, {len(place.finished())} runs done", file=sys.stderr, flush=True)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(float(rng.uniform(0.2, 3)))
                return family
    return []


def _check(place: Place, before: dict[str, str], family: list[psutil.Process], outcome: Outcome) -> None:
    """Note what was lost, made again, believed though it was half, or left behind."""
    after = place.finished()
    outcome.wrong += [f"{name} was lost or made again" for name, record in before.items() if after.get(name) != record]
    halves = [name for name in after if altered_outputs(place.root / name, read_record(place.root / name))]
    outcome.wrong += [f"{name} counts as done, but is half" for name in halves]
    _, alive = psutil.wait_procs(family, timeout=10)
    outcome.wrong += [f"process {p.pid} was left: {_told(p)}" for p in alive if _told(p)]


def _told(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return "" if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline())[:120]
    return ""


def complete(place: Place, expected: dict[str, bytes], outcome: Outcome) -> None:
    """Say the command until it is done, undisturbed, and compare its tables with those that they should be."""
    before, process = place.finished(), place.start()
    outcome.commands += 1
    if process.wait(3600):
        outcome.wrong.append(f"the last command of a round ended with {process.returncode}: {_tail(place)}")
        return
    _check(place, before, [], outcome)
    found = place.tables()
    outcome.wrong += [f"{name} differs" for name in expected if found.get(name) != expected[name]]
    events = [json.loads(line) for line in (place.root / "events.jsonl").read_text().splitlines()]
    done = Counter(e["task"] for e in events if e["event"] == "done" and e["kind"] == "train")
    outcome.wrong += [f"{name} was done {number} times" for name, number in done.items() if number > 1]
    left = [*ExperimentPaths(place.root).attempts(), *ExperimentPaths(place.root).temporaries()]
    names = [name for name in os.listdir(place.folder / "tmp") if name.startswith("fitlib")]
    outcome.wrong += [f"{name} was left" for name in [*map(str, left), *names]]


def _tail(place: Place) -> str:
    return " | ".join((place.folder / "log").read_text(errors="replace").splitlines()[-3:])


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """The folder as a small file system of its own; False where that may not be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def run(
    faults: int, runs: int, seed: int, folder: Path, executors: tuple[str, ...] = (LOCAL, DASK), stay: float = 0
) -> Outcome:
    """Inject so many faults, in as many rounds as that takes; `stay` as for `disturb`."""
    rng, outcome = np.random.default_rng(seed), Outcome()
    calm = make(folder / "calm", runs, LOCAL)
    complete(calm, {}, outcome)
    expected = calm.tables() if not outcome.wrong else {}
    while outcome.number < faults and not outcome.wrong:
        place = make(folder / f"round-{outcome.rounds}", runs, executors[outcome.rounds % len(executors)])
        with small_disk(place.folder / "outputs") as small:
            kinds = [kind for kind in FAULTS[place.executor] if small or kind is not fill_disk]
            done = False
            while not done and outcome.number < faults:
                done = disturb(place, kinds, rng, outcome, faults, stay)
            complete(place, expected, outcome)
        outcome.rounds += 1
        if not outcome.wrong:
            shutil.rmtree(place.folder)
    return outcome


def main() -> None:
    """Inject faults and tell what came of them; exit status 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--runs", type=int, default=16, help="of each of four techniques")
    parser.add_argument("--seed", type=int, default=None, help="default: drawn, and printed")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int(np.random.SeedSequence().generate_state(1)[0])
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        start = time.monotonic()
        outcome = run(options.faults, options.runs, seed, Path(folder))
    told = ", ".join(f"{number} {name}" for name, number in sorted(outcome.injected.items()))
    print(f"seed {seed}: {outcome.number} faults ({told}) in {outcome.rounds} rounds of ", end="")
    print(f"{4 * options.runs} runs, {outcome.commands} commands, {time.monotonic() - start:.0f} s")
    print("\n".join(outcome.wrong) or "0 finished runs lost or made again, 0 half runs believed, all tables equal")
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
