"""Sphinx extension: file names above code, links that leave the site, and what the reference lacks."""

from __future__ import annotations

import os
import re
from pathlib import Path

from docstrings import public_names
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

TITLED = re.compile(r'^```(\w+) title="([^"]+)"$', re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")  # to a file of the repository


def caption_code(app: Sphinx, page: str, source: list[str]) -> None:
    """Show the file name of a code block, which GitHub ignores, above it."""
    source[0] = TITLED.sub(r"```{code-block} \1\n:caption: \2\n", source[0])


def follow_links(app: Sphinx, page: str, source: list[str]) -> None:
    """Let links lead to pages of the site or, outside docs/, to copies of the files.

    They are relative to the file that holds them, which for some pages is elsewhere in the repository.
    """
    here, docs = app.env.doc2path(page).resolve().parent, Path(app.srcdir).resolve()

    def follow(link: re.Match[str]) -> str:
        target = (here / link[1]).resolve()
        inside = target.is_relative_to(docs)
        path = os.path.relpath(target, app.env.doc2path(page).parent)
        return f"]({'' if inside else 'path:'}{path}{link[2] or '' if inside else ''})"

    source[0] = LINK.sub(follow, source[0])


def check_reference(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of public names that no page of the reference documents; warnings are errors."""
    documented = env.get_domain("py").objects
    for name in sorted(set(public_names().values()) - set(documented)):
        logging.getLogger(__name__).warning("%s is public, but no page of docs/api documents it", name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("source-read", caption_code)
    app.connect("source-read", follow_links)
    app.connect("env-check-consistency", check_reference)
    return {"parallel_read_safe": True}
