"""Listings of the registry: a line for each entry on the terminal, a page for the documentation."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import PydanticUndefined

from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.registry.entries import Entry
from fitlib.experiment.registry.methods import METHODS
from fitlib.experiment.registry.networks import NETWORKS
from fitlib.experiment.registry.noises import NOISES
from fitlib.experiment.training_options import Training
from fitlib.options import Options

ALTERNATIVES = {  # unions with a common name
    frozenset({"string", "boolean", "integer", "number"}): "value",
    frozenset({"integer", "number"}): "number",
}
COMMENTED = re.compile(r"    (\w+): .*?  # (.+)")  # a field of an options model, with the comment that explains it
INTRODUCTION = """# Techniques, data sets, networks and noises

Made from `fitlib/experiment/registry/` by `fitlib techniques --markdown`; do not edit. A *technique* is a line in an
experiment file: a method with its options, an inference rule, a data set, a network. The labels are those of Qian et
al., NeurIPS 2021; `params/paper/` holds the files for all 27, with the study's settings. (The ratio subsets of tasks C
and I are fixed lists there, the data sets' option `ratio`; `ratio-balanced` draws such a subset of any data.)"""


def techniques() -> list[str]:
    """Return a line for each method, then for each network and noise."""
    return [
        *_section("methods", METHODS),
        *_section("networks", NETWORKS),
        *_section("noises", NOISES),
        "options and defaults: fitlib techniques --markdown, or docs/techniques.md",
    ]


def datasets() -> list[str]:
    """Return a line for each data set."""
    return _section("data sets", DATASETS)


def _section(title: str, entries: Mapping[str, Entry]) -> list[str]:
    width = max(map(len, entries))
    return [f"{title}:", *(f"  {name:<{width}}  {_line(entry)}" for name, entry in entries.items())]


def _line(entry: Entry) -> str:
    """Join label, summary, rules, reference and needs, as far as an entry has them."""
    facts = [
        f"[{entry.label}] {entry.summary}" if entry.label else entry.summary,
        f"inference {' | '.join(entry.rules)}" if len(entry.rules) > 1 else "",
        entry.reference,
        f"needs {entry.needs}" if entry.needs else "",
    ]
    return "; ".join(fact for fact in facts if fact)


def markdown() -> str:
    """Return the page `docs/techniques.md`."""
    sections = (("Methods", METHODS), ("Data sets", DATASETS), ("Networks", NETWORKS), ("Noises", NOISES))
    parts = [INTRODUCTION, _labels()]
    for title, entries in sections:
        parts += [f"## {title}", *(_entry(name, entry) for name, entry in entries.items())]
    parts += ["## Training", "Options of `training`, the same for all methods.", _options(Training)]
    return "\n\n".join(parts) + "\n"


def _labels() -> str:
    """Return the table from the study's labels to methods."""
    rows = [(label, name) for name, entry in METHODS.items() for label in entry.label.split(", ") if label]
    lines = [f"| {label} | [`{name}`](#{name}) |" for label, name in sorted(rows, key=lambda row: _study_order(row[0]))]
    return "\n".join(["| technique of the study | method |", "|---|---|", *lines])


def _study_order(label: str) -> tuple[int, str]:
    return ("SCIAN".index(label[0]), "" if label.endswith("Base") else label)


def _entry(name: str, entry: Entry) -> str:
    facts = {
        "In the study": entry.label,
        "Source": entry.reference,
        "Needs": entry.needs,
        "Inference rules": ", ".join(f"`{rule}` (protected attribute: {use})" for rule, use in entry.rules.items()),
    }
    lines = [f"- {title}: {text}" for title, text in facts.items() if text]
    parts = [
        f"### {name}",
        f"{entry.summary[0].upper()}{entry.summary[1:]}.",
        "\n".join(lines),
        _options(entry.options),
    ]
    return "\n\n".join(part for part in parts if part)


def _options(model: type[Options]) -> str:
    """Return a table of options with default, values and meaning; "" where there are none."""
    comments = _comments(model)
    rows = [
        f"| `{name}` | {_default(field)} | {_values(model, name)} | {comments.get(name, '')} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| option | default | values | meaning |", "|---|---|---|---|", *rows]) if rows else ""


def _comments(model: type[Options]) -> dict[str, str]:
    """Return the comments beside the fields, from the source of the model and its base classes."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, Options):
            matches = map(COMMENTED.match, inspect.getsource(part).splitlines())
            found.update((match[1], match[2]) for match in matches if match)
    return found


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required"
    return f"`{json.dumps(field.default)}`"


def _values(model: type[Options], name: str) -> str:
    """Describe the type and bounds of an option."""
    schema = model.model_json_schema()
    return _describe_type(schema["properties"][name], schema.get("$defs", {}))


def _describe_type(schema: Mapping[str, Any], defined: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        word = ALTERNATIVES.get(frozenset(part.get("type") for part in schema["anyOf"]))
        return word or ", or ".join(_describe_type(part, defined) for part in schema["anyOf"])
    if "$ref" in schema:
        inner = defined[schema["$ref"].rpartition("/")[2]]["properties"]
        return "{" + ", ".join(inner) + "}"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        inner = _describe_type(schema["items"], defined)
        return f"list of ({inner})" if ", or " in inner else f"list of {inner}"
    if schema.get("type") == "object":
        return f"mapping of names to {_describe_type(schema['additionalProperties'], defined)}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false", "null": "null"}
    return " ".join([words[schema["type"]], *_bounds(schema)])


def _bounds(schema: Mapping[str, Any]) -> Iterable[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
