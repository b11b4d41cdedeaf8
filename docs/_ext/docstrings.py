"""Sphinx extension: docstrings in fitlib's plain Markdown as reStructuredText, and links to public names.

Docstrings describe arguments as `name: what it is` or as a list of such items, and mark code by backticks. Sphinx
expects field lists and double backticks. Examples (`>>>`) and lists are the same in both.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from docutils.nodes import Element, Node
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import fitlib
import fitlib.metrics

MARKUP = re.compile(r"(``?)(.+?)\1|\*\w[^*]*\*")  # code, emphasis
ACTIVE = re.compile(r"[\\*|]|(?<=\w)_(?!\w)")  # what reStructuredText would read as markup
VAGUE = re.compile(r"\b(?:Any|object|_SupportsArray)\b(?!\])")  # ArrayLike is a union of private names
PACKAGES = (fitlib, fitlib.metrics)


@cache
def public_names() -> dict[str, str]:
    """Return the full name of each public function and class: fitlib.metrics.accuracy by "accuracy", for instance."""
    names = {name: f"{package.__name__}.{name}" for package in PACKAGES for name in package.__all__}
    return {name: full for name, full in names.items() if not inspect.ismodule(getattr(fitlib, name, None))}


def blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the paragraphs, lists and examples between blank lines."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def inline(text: str) -> str:
    """Return text with code as literals, public names as links, and everything else without markup."""
    parts, end = [], 0
    for found in MARKUP.finditer(text):
        parts += [ACTIVE.sub(r"\\\g<0>", text[end : found.start()]), code(found[2]) if found[2] else found[0]]
        end = found.end()
    return "".join([*parts, ACTIVE.sub(r"\\\g<0>", text[end:])])


def code(text: str) -> str:
    """Return a link to a public name, or a literal."""
    name = text.removeprefix("fitlib.metrics.").removeprefix("fitlib.")
    full = public_names().get(name)
    return f":py:obj:`{text} <{full}>`" if full else f"``{text}``"


def fields(block: list[str], names: Iterable[str]) -> list[str]:
    """Return the descriptions of arguments in a block as a field list; [] if it does not begin with one."""
    one_of = "|".join(map(re.escape, names))
    start = rf"`{{0,2}}(?:{one_of})`{{0,2}}(?:, `{{0,2}}(?:{one_of})`{{0,2}})*: "
    if not one_of or not re.match(rf"(?:- )?{start}", block[0]):
        return []
    text = " ".join(re.sub(r"^- ", "", line.strip()) for line in block)
    found = []
    for item in re.split(rf"(?:^|(?<=[.;:)] ))(?={start})", text):
        name, _, description = item.strip().partition(": ")
        found += [f":param {one.strip('` ')}: {inline(description)}" for one in name.split(",") if description]
    return found


def converted(lines: list[str], names: Iterable[str]) -> list[str]:
    """Return a docstring as reStructuredText; `names` are the arguments that it may describe."""
    result: list[str] = []
    for block in blocks(lines):
        if block[0].lstrip().startswith(">>>"):
            result += block
        else:
            result += fields(block, names) or [inline(line) for line in block]
        result.append("")
    return result


def arguments(thing: object) -> list[str]:
    """Return the names of the arguments of a function or class, longest first; [] of anything else."""
    if not callable(thing):
        return []
    try:
        return sorted(inspect.signature(thing).parameters, key=len, reverse=True)
    except ValueError:
        return []


def convert(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Replace the lines of a docstring, and forget annotations that tell a reader nothing."""
    given = app.env.current_document.autodoc_annotations.get(name, {})
    for argument in [argument for argument, kind in given.items() if VAGUE.search(kind)]:
        del given[argument]
    lines[:] = converted(lines, arguments(thing))


def link_public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element) -> Node | None:
    """Link a type by its public name: annotations name the module that defines it."""
    full = public_names().get(node.get("reftarget", "").rpartition(".")[2])
    if node.get("refdomain") != "py" or full is None:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", full, node, content)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    connect: Callable = app.connect
    connect("autodoc-process-docstring", convert)
    connect("missing-reference", link_public_name)
    return {"parallel_read_safe": True}
