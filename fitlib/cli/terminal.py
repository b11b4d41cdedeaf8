"""Text of users on a terminal: names of files, groups and techniques must not control it."""

from __future__ import annotations

from typing import TextIO


def show(text: str, stream: TextIO | None = None) -> None:
    r"""Print a text to `stream` (default: standard output) with control characters shown by their codes.

    >>> show("a\x1b[2Jb")
    a\x1b[2Jb
    """
    if not text.replace("\n", "").isprintable():
        from fitlib.formatting import visible  # imported only now: it brings pandas, which few texts need

        text = visible(text)
    print(text, file=stream)
