"""Sphinx extension: docstrings in fitlib's plain Markdown as reStructuredText, and links to public names.

Docstrings describe arguments as `name: what it is`, several in one paragraph, and mark code by backticks. Here the
descriptions become a list, and code gets double backticks. Examples (`>>>`) and lists are the same in both languages.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache

from sphinx.application import Sphinx

import fitlib
import fitlib.metrics

MARKUP = re.compile(r"(``?)(.+?)\1|\*\w[^*]*\*")  # code, emphasis
ACTIVE = re.compile(r"[\\*|]|(?<=\w)_(?!\w)")  # what reStructuredText would read as markup
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


def descriptions(block: list[str], names: list[str]) -> list[str]:
    """Return the descriptions of arguments in a paragraph as a list; [] if it does not begin with one."""
    name = rf"`{{0,2}}(?:{'|'.join(map(re.escape, names))})(?:\([\w, ]*\))?`{{0,2}}"
    start = rf"{name}(?:, {name})*: "
    if not names or not re.match(start, block[0]):
        return []
    text = " ".join(line.strip() for line in block)
    items = [item.strip().partition(": ") for item in re.split(rf"(?:^|(?<=[.;:)] ))(?={start})", text) if item]
    return [f"- **{described.replace('`', '')}**: {inline(about)}" for described, _, about in items]


def converted(lines: list[str], names: list[str]) -> list[str]:
    """Return a docstring as reStructuredText; `names` are those that it may describe."""
    result: list[str] = []
    for block in blocks(lines):
        if block[0].lstrip().startswith(">>>"):
            result += block
        else:
            result += descriptions(block, names) or [inline(line) for line in block]
        result.append("")
    return result


def names_in(thing: object) -> list[str]:
    """Return what a docstring may describe, longest first: arguments, and members of a class."""
    if not callable(thing):
        return []
    members = [name for name in dir(thing) if not name.startswith("_")] if inspect.isclass(thing) else []
    return sorted({*inspect.signature(thing).parameters, *members}, key=lambda name: (-len(name), name))


def convert(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Replace the lines of a docstring."""
    lines[:] = converted(lines, names_in(thing))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True}
