"""What an exported experiment says of itself: an RO-Crate 1.1 of the profile Process Run Crate 0.5, by `rocrate`.

Every file is a data entity with its SHA-256; every executed task is a CreateAction: its instrument is the notebook that
was executed, its objects the plan, parameters and files that it was given, its results the files that it left. No agent
is named: fitlib does not know who said the command. A time is told where the experiment's events do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fitlib.audit.lineage import Action

if TYPE_CHECKING:
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

VERSION = "1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
STATUS = "http://schema.org/{}ActionStatus"
LICENCE = "No licence is stated: ask whoever shared this before you use it."
FORMATS = {
    ".ipynb": "application/x-ipynb+json",
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".yaml": "application/yaml",
    ".html": "text/html",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain",
    ".log": "text/plain",
}
Files = Mapping[str, MutableMapping]  # entities by the names of their files
KINDS = {
    "train": "One training",
    "metrics": "Bias metrics of one technique, from its predictions",
    "statistics": "Statistics: every table and figure",
    "report": "Report, index and executed notebooks as pages",
}


@dataclass(frozen=True)
class Packed:
    """A file of the crate: name within it, size, SHA-256; ``notebook``: is it one that tasks were executed from?"""

    name: str
    size: int
    sha256: str
    notebook: bool = False


@dataclass(frozen=True)
class Contents:
    """All that a crate describes. ``folder``: the experiment's folder within it; ``data``: names of data sets;
    ``absent``: {file left out: SHA-256}; ``software``: {name: version}, fitlib among them.
    """

    title: str
    description: str
    published: str
    folder: str
    files: tuple[Packed, ...]
    actions: tuple[Action, ...]
    data: tuple[str, ...]
    absent: Mapping[str, str]
    software: Mapping[str, str]


def metadata(contents: Contents) -> str:
    """The text of `ro-crate-metadata.json`; equal contents give equal text."""
    from rocrate.rocrate import ROCrate  # takes half a second

    crate = ROCrate(version=VERSION)
    crate.metadata.extra_contexts.append(CONTEXT)
    _describe_root(crate, contents)
    files = {packed.name: crate.add_file(dest_path=packed.name, properties=_file(packed)) for packed in contents.files}
    software = _add_software(crate, contents, files)
    data = [_context(crate, f"#data/{name}", "CreativeWork", name=f"data set {name}") for name in contents.data]
    mentioned = [_add_action(crate, contents, action, files, software, data) for action in contents.actions]
    crate.root_dataset["mentions"] = _single(mentioned)
    return json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False) + "\n"


def _describe_root(crate: ROCrate, contents: Contents) -> None:
    root = crate.root_dataset
    root["name"], root["description"] = contents.title, contents.description
    root["datePublished"], root["license"] = contents.published, LICENCE
    profile = _context(crate, PROFILE, "CreativeWork", name="Process Run Crate", version=PROFILE.rpartition("/")[2])
    root["conformsTo"] = profile
    described = {"name": "metadata of this crate", "encodingFormat": "application/json"}
    for name, value in described.items():
        crate.metadata[name] = value


def _file(packed: Packed) -> dict[str, object]:
    kind = ["File", "SoftwareSourceCode"] if packed.notebook else "File"
    name = PurePosixPath(packed.name).name
    known = {"@type": kind, "name": name, "contentSize": str(packed.size), "sha256": packed.sha256}
    encoding = FORMATS.get(PurePosixPath(packed.name).suffix)
    version = {"version": packed.sha256[:12]} if packed.notebook else {}
    return known | ({"encodingFormat": encoding} if encoding else {}) | version


def _context(crate: ROCrate, identifier: str, kind: str, **properties: object) -> ContextEntity:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, {"@type": kind, **properties}))


def _add_software(crate: ROCrate, contents: Contents, files: Files) -> dict[str, object]:
    """Every tool by the key that actions name it with: hash of a notebook, or "" for fitlib itself."""
    entities = {
        name: _context(crate, f"#{name}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in contents.software.items()
    }
    fitlib = entities["fitlib"]
    fitlib["softwareRequirements"] = _single([entity for name, entity in entities.items() if name != "fitlib"])
    found: dict[str, object] = {"": fitlib}
    for packed in (packed for packed in contents.files if packed.notebook):
        files[packed.name]["softwareRequirements"] = fitlib
        found[packed.sha256] = files[packed.name]
    return found


def _tool(crate: ROCrate, action: Action, software: dict[str, object]) -> object:
    """The notebook of an action; one that is not in the crate is named by its hash."""
    if action.notebook not in software:
        known = {"name": f"{action.kind} notebook that is not in this crate", "version": action.notebook[:12]}
        entity = _context(crate, f"#notebook/{action.notebook}", "SoftwareSourceCode", sha256=action.notebook, **known)
        software[action.notebook] = entity
    return software[action.notebook]


def _add_action(
    crate: ROCrate, contents: Contents, action: Action, files: Files, software: dict[str, object], data: list
) -> ContextEntity:
    used = [*_entities(files, contents, action.used), *_given(crate, action)]
    used += data if action.kind == "train" else _left_out(crate, contents, action) if action.kind == "metrics" else []
    described = {
        "name": f"{KINDS[action.kind]}: {action.name}",
        "description": _description(action),
        "instrument": _tool(crate, action, software),
        "actionStatus": STATUS.format("Failed" if action.error else "Completed"),
        "object": _single(used),
        "result": _single(_entities(files, contents, action.made)),
        "startTime": action.start,
        "endTime": action.end,
        "error": action.error,
    }
    known = {name: value for name, value in described.items() if value not in ("", [])}
    return _context(crate, f"#{action.kind}/{action.name}", "CreateAction", **known)


def _single(values: list) -> object:
    """One value stands by itself in JSON-LD."""
    return values[0] if len(values) == 1 else values


def _description(action: Action) -> str:
    told = {name: action.parameters[name] for name in ("run", "seed", "noise", "method") if name in action.parameters}
    settings = "; ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in told.items())
    return f"{KINDS[action.kind]}{f': {settings}' if settings else ''}."


def _entities(files: Files, contents: Contents, names: Iterable[str]) -> list:
    return [files[f"{contents.folder}/{name}"] for name in names]


def _given(crate: ROCrate, action: Action) -> list[ContextEntity]:
    """The parameters that a run was given, as one value."""
    if not action.parameters:
        return []
    value = json.dumps(dict(action.parameters), sort_keys=True, ensure_ascii=False)
    identifier = f"#parameters/{action.name}"
    return [_context(crate, identifier, "PropertyValue", name=f"parameters of {action.name}", value=value)]


def _left_out(crate: ROCrate, contents: Contents, action: Action) -> list[ContextEntity]:
    """Predictions that the metrics of a technique were computed from and that were left out, as one entity."""
    technique = action.name.rpartition("/")[2]
    if action.used or not contents.absent:
        return []
    told = "Left out: one row for each person tested. MANIFEST.json has the SHA-256 of every file."
    name = f"predictions of {technique}"
    return [_context(crate, f"#predictions/{technique}", "CreativeWork", name=name, description=told)]
