"""The metadata of an exported experiment: an RO-Crate 1.1 of the profile Process Run Crate 0.5, by `rocrate`.

Every file is a data entity with its SHA-256. Every executed task is a CreateAction: its instrument is the executed
notebook, its objects are its plan, parameters and input files, its results the files that it left. The crate has no
agent, as fitlib does not know who ran the command, and times only where the experiment's events have them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

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
Files = Mapping[str, MutableMapping]  # name of a file -> its entity
KINDS = {
    "train": "One training",
    "metrics": "Bias metrics of one technique, from its predictions",
    "statistics": "Statistics: every table and figure",
    "report": "Report, index and executed notebooks as pages",
}


@dataclass(frozen=True)
class Packed:
    """A file of the crate: name within it, size, SHA-256; ``notebook``: whether tasks were executed from it."""

    name: str
    size: int
    sha256: str
    notebook: bool = False


@dataclass(frozen=True)
class Contents:
    """Everything that a crate describes.

    ``folder``: the experiment's folder within it; ``data``: names of data sets; ``absent``: {file left out: SHA-256};
    ``software``: {name: version}, including fitlib.
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
    """Return the text of `ro-crate-metadata.json`; equal contents give equal text."""
    from rocrate.rocrate import ROCrate  # late: takes half a second to import

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


def _file(packed: Packed) -> dict[str, Any]:
    kind = ["File", "SoftwareSourceCode"] if packed.notebook else "File"
    name = PurePosixPath(packed.name).name
    described: dict[str, Any] = {"@type": kind, "name": name, "contentSize": str(packed.size), "sha256": packed.sha256}
    encoding = FORMATS.get(PurePosixPath(packed.name).suffix)
    version = {"version": packed.sha256[:12]} if packed.notebook else {}
    return described | ({"encodingFormat": encoding} if encoding else {}) | version


def _context(crate: ROCrate, identifier: str, kind: str, **properties: object) -> ContextEntity:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, {"@type": kind, **properties}))


def _add_software(crate: ROCrate, contents: Contents, files: Files) -> dict[str, object]:
    """Return every tool by the key that actions refer to it with: hash of a notebook, or "" for fitlib itself."""
    entities = {
        name: _context(crate, f"#{name}", "SoftwareApplication", name=name, softwareVersion=version)
        for name, version in contents.software.items()
    }
    fitlib = entities["fitlib"]
    fitlib["softwareRequirements"] = _single([entity for name, entity in entities.items() if name != "fitlib"])
    tools: dict[str, object] = {"": fitlib}
    for packed in (packed for packed in contents.files if packed.notebook):
        files[packed.name]["softwareRequirements"] = fitlib
        tools[packed.sha256] = files[packed.name]
    return tools


def _tool(crate: ROCrate, action: Action, software: dict[str, object]) -> object:
    """Return the notebook of an action; add one that is not in the crate by its hash."""
    if action.notebook not in software:
        described = {"name": f"{action.kind} notebook that is not in this crate", "version": action.notebook[:12]}
        entity = _context(
            crate, f"#notebook/{action.notebook}", "SoftwareSourceCode", sha256=action.notebook, **described
        )
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
    given = {name: value for name, value in described.items() if value not in ("", [])}
    return _context(crate, f"#{action.kind}/{action.name}", "CreateAction", **given)


def _single(values: list) -> object:
    """Return a single value without its list, as JSON-LD writes it."""
    return values[0] if len(values) == 1 else values


def _description(action: Action) -> str:
    given = {name: action.parameters[name] for name in ("run", "seed", "noise", "method") if name in action.parameters}
    settings = "; ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in given.items())
    return f"{KINDS[action.kind]}{f': {settings}' if settings else ''}."


def _entities(files: Files, contents: Contents, names: Iterable[str]) -> list:
    return [files[f"{contents.folder}/{name}"] for name in names]


def _given(crate: ROCrate, action: Action) -> list[ContextEntity]:
    """Return the parameters of a run as one entity, if any."""
    if not action.parameters:
        return []
    value = json.dumps(dict(action.parameters), sort_keys=True, ensure_ascii=False)
    identifier = f"#parameters/{action.name}"
    return [_context(crate, identifier, "PropertyValue", name=f"parameters of {action.name}", value=value)]


def _left_out(crate: ROCrate, contents: Contents, action: Action) -> list[ContextEntity]:
    """Return the predictions that a technique's metrics were computed from as one entity, if they were left out."""
    technique = action.name.rpartition("/")[2]
    if action.used or not contents.absent:
        return []
    text = "Left out: one row for each person tested. MANIFEST.json has the SHA-256 of every file."
    name = f"predictions of {technique}"
    return [_context(crate, f"#predictions/{technique}", "CreativeWork", name=name, description=text)]
