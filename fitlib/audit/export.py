"""Export of an experiment as one file: its folder unchanged, the notebooks, the software, and RO-Crate metadata.

Files with a row for each person tested (`fitlib.storage.manifest.is_personal`) are left out by default. The archive has
fixed dates and sorted names, so that equal content gives equal bytes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fitlib
from fitlib.audit.deviations import Json
from fitlib.audit.lineage import actions_of, events, moment
from fitlib.audit.ro_crate import Contents, Packed, metadata
from fitlib.audit.verify import check_files
from fitlib.digest import digest_file, digest_json
from fitlib.errors import InputError, RunFailed
from fitlib.execution.analysis_tasks import STATISTICS
from fitlib.experiment.notebooks import injected_parameters, notebook_path, read_notebook
from fitlib.formatting import count, join_items
from fitlib.report.vocabulary import data_name, noise, seed
from fitlib.storage.atomic_files import json_text, read_json
from fitlib.storage.keys import versions
from fitlib.storage.lock import is_locked
from fitlib.storage.manifest import covered_files, is_personal
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.records import RECORD
from fitlib.tables.metric_series import main_arms

ENVIRONMENT, REQUIREMENTS, METADATA = "environment.json", "requirements.txt", "ro-crate-metadata.json"
FOLDER = "outputs"  # where the experiment's folder is in the archive, as in a project
SCHEMA = 1  # of the archive
NOTEBOOKS = ("train", "metrics", "statistics")
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can hold
COMPRESSED = (".parquet", ".png")  # stored as they are
LARGE = 1 << 31  # bytes; beyond, a member needs zip64
SOFTWARE_PARTS = ("python", "packages", "torch build", "machine", "gpu")  # of fingerprints
KEPT_OUT = (
    "Left out: {} with rows of persons (predictions, votes), which can be personal data; --predictions takes them "
    "along. MANIFEST.json has their SHA-256; metrics cannot be derived again without them"
)
Members = Mapping[str, Path | str]  # name in the archive -> file, or text
PlanAndEvidence = tuple[Json, list[Json]]  # of one family, or of the whole experiment


@dataclass(frozen=True)
class ExportedArchive:
    """A written archive: its files, bytes, and how many files with rows of persons it contains or lacks."""

    path: Path
    files: int
    size: int
    personal: int
    left_out: int
    root: str


def export(paths: ExperimentPaths, target: Path, predictions: bool = False) -> ExportedArchive:
    """Write the experiment (or the analysis) in ``paths`` to the zip file ``target``.

    Raises InputError if it is unfinished, altered or in use, or if ``target`` exists.
    """
    _check_target(target)
    _check_finished(paths)
    names = [*covered_files(paths), paths.manifest.name]
    rows = [name for name in names if is_personal(name)]
    kept = names if predictions else [name for name in names if not is_personal(name)]
    analyses = list(_analyses(paths))
    beside = _beside(paths, analyses)
    members = {**{f"{_folder(paths)}/{name}": paths.root / name for name in kept}, **beside}
    text = _description([plan for plan, _ in analyses], rows, predictions)
    described = metadata(_contents(paths, analyses, kept, [] if predictions else rows, beside, text))
    _write(target, {**members, METADATA: described})
    left_out = 0 if predictions else len(rows)
    root = _manifest(paths)["root"]
    return ExportedArchive(target, len(members) + 1, target.stat().st_size, len(rows) - left_out, left_out, root)


def _folder(paths: ExperimentPaths) -> str:
    """Return the experiment's folder in the archive, its name reduced to characters that every system accepts."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", paths.root.resolve().name).strip("-.")
    return f"{FOLDER}/{name or 'experiment'}"


def _check_target(target: Path) -> None:
    if target.suffix != ".zip":
        raise InputError("export", "--to", str(target), "not the name of a zip file", "end it with .zip")
    if target.exists():
        raise InputError("export", "--to", str(target), "the file exists", "remove it, or choose another name")
    if not target.parent.is_dir():
        raise InputError("export", "--to", str(target), "its folder does not exist", f"create {target.parent} first")


def _check_finished(paths: ExperimentPaths) -> None:
    """Refuse to export what is in use, unfinished or altered since."""
    where, name = str(paths.root), paths.root.name
    if is_locked(paths):
        raise InputError(where, "EXPERIMENT", name, "in use by another process", "wait until it is done")
    if not paths.manifest.is_file() or not paths.reports():
        raise InputError(where, "EXPERIMENT", name, "not finished", "fitlib run finishes it")
    found = check_files(paths.root)
    if found.deviations:
        problem = f"altered since it was finished: {count(len(found.deviations), 'deviation')}, {found.deviations[0]}"
        raise InputError(where, "EXPERIMENT", name, problem, "fitlib verify lists them all")
    missing = [e for _, evidence in _analyses(paths) for e in evidence if e["status"] == "missing"]
    if missing:
        problem = f"not finished: {count(len(missing), 'planned run')} missing"
        raise InputError(where, "EXPERIMENT", name, problem, "fitlib run finishes it")


# Description


def _analyses(paths: ExperimentPaths) -> Iterator[PlanAndEvidence]:
    """Read the plan and evidence that each of the statistics was computed with."""
    for report in paths.reports():
        cells = read_notebook(report.with_name("statistics.ipynb"), "export")["cells"]
        given: Json = injected_parameters(cells) or {}
        yield given["plan"], given["evidence"]


def _contents(
    paths: ExperimentPaths,
    analyses: Sequence[PlanAndEvidence],
    kept: Sequence[str],
    absent: Sequence[str],
    beside: Members,
    text: str,
) -> Contents:
    folder, hashes = _folder(paths), _manifest(paths)["files"]
    files = [_packed(f"{folder}/{name}", paths.root / name, hashes.get(name)) for name in kept]
    files += [_packed(name, content) for name, content in beside.items()]
    return Contents(
        title=f"{PurePosixPath(folder).name}: fairness over repeated identical training",
        description=text,
        published=_published(paths),
        folder=folder,
        files=tuple(files),
        actions=tuple(actions_of(paths, kept)),
        data=tuple(dict.fromkeys(name for plan, _ in analyses if (name := data_name(plan)))),
        absent={name: hashes[name] for name in absent},
        software={"fitlib": fitlib.__version__, "python": versions("statistics")["python"]},
    )


def _packed(name: str, content: Path | str, sha256: str | None = None) -> Packed:
    notebook = name.startswith("notebooks/")
    if isinstance(content, str):
        data = content.encode()
        return Packed(name, len(data), hashlib.sha256(data).hexdigest(), notebook)
    return Packed(name, content.stat().st_size, sha256 or digest_file(content), notebook)


def _published(paths: ExperimentPaths) -> str:
    """Return when the experiment was finished, not when it is exported: equal content gives equal bytes."""
    times = [event["time"] for event in events(paths)] or [paths.manifest.stat().st_mtime]
    return moment(times[-1])


def _description(plans: Sequence[Mapping], rows: Sequence[str], predictions: bool) -> str:
    techniques = [technique["technique"] for plan in plans for technique in plan["techniques"]]
    arms = list(dict.fromkeys(f"{noise(arm)}, seed {seed(arm)}" for plan in plans for arm in main_arms(plan)))
    runs = join_items(dict.fromkeys(str(arm["runs"]) for plan in plans for arm in main_arms(plan)))
    held = f"It holds {count(len(rows), 'file')} with rows of persons (predictions, votes): they can be personal data."
    rows_held = held if predictions else f"{_kept_out(len(rows))}." if rows else "It holds no rows of persons."
    return (
        f"{runs} planned runs of each of {count(len(techniques), 'technique')} ({join_items(techniques, 30)}). "
        f"What varied between runs: noise {join_items(arms, 8)}. "
        f"Open report.html; fitlib verify checks everything again. {rows_held}"
    )


def _kept_out(number: int) -> str:
    return KEPT_OUT.format(count(number, "file"))


def export_summary(done: ExportedArchive) -> list[str]:
    """Return the lines that the command prints: archive, root hash, and what was left out."""
    size = f"{done.size / 1e6:.1f} MB"
    lines = [f"{done.path}: {count(done.files, 'file')}, {size}; root hash of MANIFEST.json: {done.root}"]
    if done.left_out:
        lines.append(_kept_out(done.left_out))
    if done.personal:
        lines.append(
            f"it holds {count(done.personal, 'file')} with rows of persons: share it only where that is permitted"
        )
    return lines


# Notebooks and software


def _beside(paths: ExperimentPaths, analyses: Sequence[PlanAndEvidence]) -> Members:
    """Collect the notebooks that tasks were executed from, and descriptions of the software."""
    evidence = [entry for _, entries in analyses for entry in entries]
    found = environment(paths, evidence)
    used = {record["key_parts"].get("notebook") for record in _records(paths)}
    notebooks = {path: digest_file(path) for path in map(notebook_path, NOTEBOOKS) if path.is_file()}
    copies = {f"notebooks/{path.name}": path for path, digest in notebooks.items() if digest in used}
    return {**copies, ENVIRONMENT: json_text(found), REQUIREMENTS: _requirements(found)}


def _records(paths: ExperimentPaths) -> list[Json]:
    found = (path for name in (RECORD, STATISTICS) for path in paths.root.rglob(name))
    return [record for path in found if "superseded" not in path.parts and (record := read_json(path))]


def _manifest(paths: ExperimentPaths) -> Json:
    """Read the manifest, whose presence and hashes `_check_finished` has verified."""
    manifest = read_json(paths.manifest)
    if manifest is None:
        raise RunFailed(f"{paths.manifest}: removed or damaged during the export; run the command again")
    return manifest


def environment(paths: ExperimentPaths, evidence: Iterable[Mapping]) -> Json:
    """Describe software and hardware: of the runs by their fingerprints; of the statistics if it is the current one."""
    parts = [entry["parts"] for entry in evidence if entry["status"] == "done"]
    seen = {name: sorted({str(part[name]) for part in parts if name in part}) for name in SOFTWARE_PARTS}
    current, records = versions("statistics"), [read_json(path) or {} for path in paths.root.rglob(STATISTICS)]
    same = any(record.get("key_parts", {}).get("versions") == digest_json(current) for record in records)
    return {"schema": SCHEMA, "fitlib": fitlib.__version__, "runs": seen, "statistics": current if same else {}}


def _requirements(found: Mapping) -> str:
    """Return a requirements file for pip; of several versions of a package all but the last are comments."""
    packages: dict[str, list[str]] = {}
    for text in dict.fromkeys(text for line in found["runs"]["packages"] for text in line.split(", ")):
        name, _, version = text.rpartition(" ")
        packages.setdefault(name, []).append(version)
    for name, version in found["statistics"].items():
        if name != "python":
            packages.setdefault(name, [version])
    lines = [f"{'' if v == packages[n][-1] else '# '}{n}=={v}" for n in sorted(packages) for v in packages[n]]
    python = join_items(found["runs"]["python"] or [found["statistics"].get("python", "not recorded")])
    return "\n".join([f"# fitlib {found['fitlib']}; Python of the runs: {python}", *lines]) + "\n"


# The archive


def _write(target: Path, members: Members) -> None:
    """Write all members, sorted by name; ``target`` appears only when complete."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(members):
                _add(archive, name, members[name])
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, name: str, content: Path | str) -> None:
    member = zipfile.ZipInfo(name, DATE)
    member.create_system = 3  # Unix, wherever it is written
    member.external_attr = 0o644 << 16
    member.compress_type = zipfile.ZIP_STORED if name.endswith(COMPRESSED) else zipfile.ZIP_DEFLATED
    if isinstance(content, str):
        archive.writestr(member, content.encode())
        return
    with content.open("rb") as source, archive.open(member, "w", force_zip64=content.stat().st_size >= LARGE) as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
