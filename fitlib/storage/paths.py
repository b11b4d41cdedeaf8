"""The folder of an experiment: its paths, and the folders of attempts, which are renamed once they are finished."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path

from fitlib.storage.records import read_record

PROGRESS = "progress"  # file in the folder of an attempt: the last line that its notebook printed
TOKEN = ".shared."  # prefix of a file by which workers prove that they share the file system
RUN_ATTEMPT = re.compile(r"run-\d{2,}\.[0-9a-f]{8}")
DERIVED_ATTEMPT = re.compile(r"\.[A-Za-z0-9][A-Za-z0-9._-]*\.[0-9a-f]{8}")
STATISTICS_ATTEMPT = re.compile(r"\.statistics\.[0-9a-f]{8}")
TEMPORARY = re.compile(r"\..+\.(json|jsonl|yaml|html|css|csv)\.[0-9a-f]{8}")
WRITTEN = ("*", "assets/*", "techniques/*/*", "runs/*/*/run-*/*")  # where `write_atomically` writes


class ExperimentPaths:
    """Every path of one experiment's folder."""

    def __init__(self, root: Path):
        self.root = root
        self.declared = root / "experiment.yaml"
        self.deviations = root / "deviations.jsonl"
        self.tables = root / "tables"
        self.figures = root / "figures"
        self.statistics = root / "statistics.ipynb"
        self.report = root / "report.html"
        self.index = root / "index.html"
        self.assets = root / "assets"
        self.manifest = root / "MANIFEST.json"
        self.events = root / "events.jsonl"
        self.timings = root / "timings.csv"
        self.determinism = root / "determinism.csv"
        self.lock = root / "lock"
        self.superseded = root / "superseded"

    def run(self, training: str, arm: str, run: int) -> Path:
        """Return the folder of one run.

        >>> ExperimentPaths(Path("x")).run("base", "ulp", 7).as_posix()
        'x/runs/base/ulp/run-07'
        """
        return self.root / "runs" / training / arm / f"run-{run:02d}"

    def technique(self, technique: str) -> Path:
        """Return the folder of one technique's metrics."""
        return self.root / "techniques" / technique

    def family(self, name: str) -> ExperimentPaths:
        """Return the paths of one of several families, which has its own metrics, tables and report."""
        return ExperimentPaths(self.root / "families" / name)

    def reports(self) -> list[Path]:
        """Return the reports that exist: that of the experiment, or one for each family."""
        return [p for p in (self.report, *sorted(self.root.glob("families/*/report.html"))) if p.is_file()]

    def finished_attempts(self) -> dict[str, Path]:
        """Return the attempts with a record but without their final name (`training/arm/run-07`), by that name."""
        runs = self.root / "runs"
        found = {p: p.with_suffix("") for p in self.attempts() if p.is_relative_to(runs) and read_record(p)}
        return {target.relative_to(runs).as_posix(): p for p, target in found.items() if not target.exists()}

    def attempts(self) -> list[Path]:
        """Return the folders of attempts, in progress or interrupted: `run-07.<token>`, elsewhere `.<name>.<token>`."""
        places = {"runs/*/*/*": RUN_ATTEMPT, "techniques/*": DERIVED_ATTEMPT, "*": STATISTICS_ATTEMPT}
        found = [p for place, name in places.items() for p in self.root.glob(place) if name.fullmatch(p.name)]
        return sorted(p for p in found if p.is_dir() and not p.is_symlink())

    def temporaries(self) -> list[Path]:
        """Return the files that `write_atomically` left behind when its process was killed: `.<name>.<token>`."""
        found = (p for place in WRITTEN for p in self.root.glob(place) if TEMPORARY.fullmatch(p.name))
        return sorted(p for p in found if p.is_file())

    def sweep(self, finished: bool = True) -> None:
        """Remove what interrupted processes left behind; only for the holder of the lock.

        With `finished` False, the attempts in `finished_attempts` are kept.
        """
        kept = set() if finished else set(self.finished_attempts().values())
        for leftover in self.root.glob(f"{TOKEN}*"):
            leftover.unlink()
        for leftover in (p for p in self.attempts() if p not in kept):
            shutil.rmtree(leftover, ignore_errors=True)  # a process that still works in it will fail
        for leftover in self.temporaries():
            leftover.unlink()
        for folder in self.root.glob("families/*"):
            ExperimentPaths(folder).sweep()


def new_attempt(target: Path, hidden: bool = False) -> Path:
    """Make the folder of a new attempt beside its target."""
    name = f"{target.name}.{secrets.token_hex(4)}"
    attempt = target.with_name(f".{name}" if hidden else name)
    attempt.mkdir(parents=True)
    return attempt


def commit_attempt(attempt: Path, target: Path) -> None:
    """Give a finished attempt its final name; if another attempt was first, keep that one and discard this one."""
    try:
        attempt.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(attempt)


def replace_folder(attempt: Path, target: Path) -> None:
    """Replace an older result, which can be derived again, by an attempt."""
    shutil.rmtree(target, ignore_errors=True)
    attempt.rename(target)


def supersede(paths: ExperimentPaths, folder: Path) -> Path:
    """Move a run's folder to `superseded/`, under a free name."""
    return move_to_superseded(paths, folder, folder.relative_to(paths.root).as_posix())


def move_to_superseded(paths: ExperimentPaths, folder: Path, name: str) -> Path:
    """Move a folder to `superseded/` under `name` and the next free number."""
    relative = Path(name)
    number = 1
    while (target := paths.superseded / relative.with_name(f"{relative.name}-{number}")).exists():
        number += 1
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    return target


def new_token(paths: ExperimentPaths) -> Path:
    """Create a file that only processes that share the file system can see."""
    token = paths.root / f"{TOKEN}{secrets.token_hex(8)}"
    token.touch()
    return token
