"""The folder of an experiment: its paths, atomic writes, and the records that say what is done.

A task is done if and only if a valid record stands in its folder: the key is the task's, and every output has the
size that was measured when it was read back and hashed. Nothing else on disk, a notebook's own status least of all,
counts as evidence.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from fitlib.digest import digest_file, digest_json

RECORD, FAILED = "record.json", "failed.json"
VOTES = "votes.parquet"
PROGRESS = "progress"  # in the folder of an attempt: the line that its notebook shows while it works
SCHEMA = 1
LONGEST_LINE = 2**16  # bytes of a line that `append_line` can find to be torn
TOKEN = ".shared."  # begins the name of a file by which workers show that they see the folder
# outside every promise of byte equality
OUTSIDE = {"events.jsonl", "timings.csv", "determinism.csv", "lock", "MANIFEST.json"}
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
        """Folder of one run."""
        return self.root / "runs" / training / arm / f"run-{run:02d}"

    def technique(self, technique: str) -> Path:
        """Folder of one technique's metrics."""
        return self.root / "techniques" / technique

    def family(self, name: str) -> ExperimentPaths:
        """Where one of several families has its metrics, tables and report."""
        return ExperimentPaths(self.root / "families" / name)

    def reports(self) -> list[Path]:
        """The reports that are there: that of the experiment, or one for each family."""
        return [p for p in (self.report, *sorted(self.root.glob("families/*/report.html"))) if p.is_file()]

    def finished_attempts(self) -> dict[str, Path]:
        """Attempts at runs (`training/arm/run-07`) with a record, whose process ended before they had their name."""
        runs = self.root / "runs"
        found = {p: p.with_suffix("") for p in self.attempts() if p.is_relative_to(runs) and read_record(p)}
        return {target.relative_to(runs).as_posix(): p for p, target in found.items() if not target.exists()}

    def attempts(self) -> list[Path]:
        """Folders of attempts in progress or interrupted: `run-07.<token>` and, elsewhere, `.<name>.<token>`."""
        places = {"runs/*/*/*": RUN_ATTEMPT, "techniques/*": DERIVED_ATTEMPT, "*": STATISTICS_ATTEMPT}
        found = [p for place, name in places.items() for p in self.root.glob(place) if name.fullmatch(p.name)]
        return sorted(p for p in found if p.is_dir() and not p.is_symlink())

    def temporaries(self) -> list[Path]:
        """Files that `write_atomically` left behind when its process was killed: `.<name>.<token>`."""
        found = (p for place in WRITTEN for p in self.root.glob(place) if TEMPORARY.fullmatch(p.name))
        return sorted(p for p in found if p.is_file())

    def sweep(self, finished: bool = True) -> None:
        """Remove what interrupted processes left; only for the holder of the lock.

        Not `finished`: attempts that `finished_attempts` names are kept.
        """
        kept = set() if finished else set(self.finished_attempts().values())
        for leftover in self.root.glob(f"{TOKEN}*"):
            leftover.unlink()
        for leftover in (p for p in self.attempts() if p not in kept):
            shutil.rmtree(leftover, ignore_errors=True)  # who still works in it finds that out
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


def settle(attempt: Path, target: Path) -> None:
    """Give a finished attempt its final name; where another attempt was first, that one stands."""
    try:
        attempt.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(attempt)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old or the whole new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def json_text(value: object) -> str:
    """JSON for people and machines: sorted and indented; equal values give equal text."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write `json_text`, atomically."""
    write_atomically(path, json_text(value))


def read_json(path: Path) -> dict | None:
    """A JSON object, or None where there is no readable one."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def measure(folder: Path, names: list[str]) -> dict[str, dict]:
    """Size and SHA-256 of a folder's files, read back from disk."""
    return {n: {"size": (folder / n).stat().st_size, "sha256": digest_file(folder / n)} for n in names}


def write_record(folder: Path, kind: str, parts: Mapping[str, str], names: list[str], name: str = RECORD) -> None:
    """Write the record of a finished task: last of all, by the process that executed and read the outputs back."""
    record = {"schema": SCHEMA, "kind": kind, "key": digest_json(dict(parts)), "key_parts": dict(parts)}
    write_json(folder / name, {**record, "outputs": measure(folder, names)})


def read_record(folder: Path, name: str = RECORD) -> dict | None:
    """A well-formed record whose outputs are all there in the recorded sizes; None otherwise."""
    record = read_json(folder / name)
    try:
        if record is None or not well_formed(record):
            return None
        whole = all((folder / n).stat().st_size == o["size"] for n, o in record["outputs"].items())
    except (OSError, ValueError):  # ValueError: a name or key that no file system or hash can take
        return None
    return record if whole else None


def well_formed(record: dict) -> bool:
    """Does a record say what every record must, and is its key the hash of its parts?"""
    outputs, parts = record.get("outputs"), record.get("key_parts")
    return (
        record.get("schema") == SCHEMA
        and isinstance(outputs, dict)
        and bool(outputs)
        and all(isinstance(o, dict) and type(o.get("size")) is int for o in outputs.values())
        and isinstance(parts, dict)
        and all(isinstance(part, str) for part in parts.values())
        and record.get("key") == digest_json(parts)
    )


def replace_folder(attempt: Path, target: Path) -> None:
    """Put an attempt in the place of an older result that can be derived again."""
    shutil.rmtree(target, ignore_errors=True)
    attempt.rename(target)


def supersede(paths: ExperimentPaths, folder: Path) -> Path:
    """Move a run's folder to `superseded/`, under a name that is free."""
    return keep_failed(paths, folder, folder.relative_to(paths.root).as_posix())


def keep_failed(paths: ExperimentPaths, folder: Path, name: str) -> Path:
    """Move a folder to `superseded/` as the next of this name."""
    relative = Path(name)
    number = 1
    while (target := paths.superseded / relative.with_name(f"{relative.name}-{number}")).exists():
        number += 1
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    return target


def append_line(path: Path, line: str) -> None:
    """Append one line, in the place of one that a crash or a full disk tore; one process at a time."""
    with open(path, "a+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(end - LONGEST_LINE, 0))
        tail = stream.read()
        stream.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
        stream.write(line.encode() + b"\n")


def new_token(paths: ExperimentPaths) -> Path:
    """A file that only who shares the file system can see."""
    token = paths.root / f"{TOKEN}{secrets.token_hex(8)}"
    token.touch()
    return token


def log_event(paths: ExperimentPaths, event: str, **fields: object) -> None:
    """Append an event with its time to events.jsonl."""
    append_line(paths.events, json.dumps({"time": round(time.time(), 3), "event": event, **fields}))


def note_deviation(paths: ExperimentPaths, sentence: str) -> None:
    """Add a deviation from the declared plan, once."""
    known = deviations(paths)
    if sentence not in known:
        write_atomically(paths.deviations, "".join(json.dumps(s) + "\n" for s in [*known, sentence]))


def deviations(paths: ExperimentPaths) -> list[str]:
    """Deviations from the declared plan, oldest first; a line torn by a crash is passed over."""
    if not paths.deviations.exists():
        return []
    found = []
    for line in paths.deviations.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [sentence for sentence in found if isinstance(sentence, str)]


def altered(folder: Path, record: Mapping[str, object]) -> list[str]:
    """Names of a record's outputs whose bytes are not those that it names, or that cannot be read."""
    return [name for name, output in record["outputs"].items() if not _holds(folder / name, output.get("sha256"))]


def _holds(path: Path, digest: object) -> bool:
    try:
        return digest_file(path) == digest
    except OSError:
        return False


def covered(paths: ExperimentPaths) -> list[str]:
    """Names of all files that the promises cover: all but the hidden ones and `OUTSIDE`, sorted."""
    found = (p.relative_to(paths.root) for p in paths.root.rglob("*") if p.is_file())
    names = sorted(p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts))
    return [name for name in names if name not in OUTSIDE]


def personal(name: str) -> bool:
    """Has the file of this name a row for each person tested? Predictions, and the votes of the runs on each."""
    path = PurePosixPath(name)
    return path.suffix == ".parquet" and ("predictions" in path.parts[:-1] or path.name == VOTES)


def manifest_of(files: Mapping[str, str]) -> dict[str, object]:
    """The content of MANIFEST.json; its root hash is the SHA-256 of the list {name: SHA-256} as canonical JSON."""
    return {"schema": SCHEMA, "root": digest_json(dict(files)), "files": dict(files)}


def write_manifest(paths: ExperimentPaths) -> str:
    """Hash every file that the promises cover into MANIFEST.json; returns its root hash."""
    manifest = manifest_of({name: digest_file(paths.root / name) for name in covered(paths)})
    write_json(paths.manifest, manifest)
    return manifest["root"]
