"""Figures as they stand on a page: one drawing with colours of its own for dark screens, and no needless bytes.

An SVG keeps its marks; every colour becomes a CSS variable of two values, of which the reader's colour scheme chooses
one. Colours of techniques have partners by hand; of all others the lightness turns, so that what stood out on white
stands out on a dark page. The colours of text in the cells of a heat map say for both schemes what is readable:
`fitlib.report.figures.style.readable_ink`. What is in front of a text is decided where it is drawn, so nothing is
guessed here.
"""

from __future__ import annotations

import re
from string import ascii_lowercase

from fitlib.report.figures.dark_colours import dark_colour

COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}")
STYLE = '<style type="text/css">'
METADATA = re.compile(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*|<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*", re.DOTALL)
BREAK = re.compile(r"\s*\n\s*")
NUMBER = re.compile(r"(?<![\w#(.])(-?\d+\.\d\d)\d+(?=[ \",)])")  # of points, of which a hundredth is not seen


def page_svg(svg: str) -> str:
    """Return a figure that matplotlib wrote as SVG with colours for light and dark screens, in fewer bytes.

    >>> print(page_svg('<svg><style type="text/css">*{}</style><path d="M 1.2345 2" style="fill: #1f1f1f"/></svg>'))
    <svg><style type="text/css">:root{--a:#1f1f1f}@media (prefers-color-scheme:dark){:root{--a:#e8eaec}}*{}</style>...
    """
    short = BREAK.sub(" ", METADATA.sub("", svg)).replace("> <", "><")
    short = NUMBER.sub(r"\1", short)
    colours = {colour: f"--{_letters(i)}" for i, colour in enumerate(dict.fromkeys(COLOUR.findall(short)))}
    if STYLE not in short or not colours:
        return svg
    light = ";".join(f"{name}:{colour}" for colour, name in colours.items())
    dark = ";".join(f"{name}:{dark_colour(colour)}" for colour, name in colours.items())
    schemes = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    drawn = COLOUR.sub(lambda found: f"var({colours[found.group()]})", short)
    return drawn.replace(STYLE, f"{STYLE}{schemes}", 1)


def _letters(number: int) -> str:
    """Return a name of lower-case letters for each number: a to z, then ba, bb and so on."""
    rest, last = divmod(number, len(ascii_lowercase))
    return (_letters(rest) if rest else "") + ascii_lowercase[last]
