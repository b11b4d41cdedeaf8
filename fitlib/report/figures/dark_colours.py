"""The colours of figures on dark screens: the partner of every colour that is drawn for white paper."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PAPER, INK = "#15181c", "#e8eaec"  # of dark pages
# Of techniques (`fitlib.report.figures.style.PALETTE`): at least 4.5 : 1 on dark paper, and as far apart for readers
# with deutan and protan vision as the light ones.
TECHNIQUES = {
    "#0072b2": "#6ab7fc",
    "#c44900": "#d56414",
    "#2e7457": "#aeffbc",
    "#6d2466": "#9b7493",
    "#5a9aab": "#c9efff",
    "#7c2115": "#b0775c",
    "#0358f8": "#4f78fa",
    "#ae8b54": "#fbd201",
}
# Text in coloured cells: light ink that becomes light or dark ink, dark ink that becomes light or dark ink. Each pair
# is one colour to the eye. No pure black: matplotlib leaves it out of an SVG, where it is the default.
ON_CELLS = {"#010101": "#ffffff", "#010102": "#010101", "#fffffe": "#ffffff", "#fefefe": "#010101"}
GREY = 0.02  # chroma (OKLab) below which a colour is a grey
DARKEST, STRONGEST = 0.21, 0.68  # lightness (OKLab) of the paper, and of the strongest of other colours
INK_LIGHTNESS = 0.24  # of the ink on white
CHROMA = 1.25  # coloured cells are more saturated than on white, as they are less light
# Björn Ottosson, "A perceptual color space for image processing" (2020)
TO_LMS = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
TO_OKLAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


@lru_cache(maxsize=4096)
def dark_colour(light: str) -> str:
    """Return the colour on dark screens of one that is drawn on white; both as "#rrggbb".

    Greys and other colours turn their lightness: white becomes the paper, what is darkest stands out most.

    >>> [dark_colour(colour) for colour in ("#ffffff", "#1f1f1f", "#0072b2")]
    ['#15181c', '#e8eaec', '#6ab7fc']
    """
    fixed = {"#ffffff": PAPER, "#1f1f1f": INK, **TECHNIQUES, **ON_CELLS}
    if light in fixed:
        return fixed[light]
    lightness, a, b = _to_oklab(light)
    turned = (1 - lightness) / (1 - INK_LIGHTNESS)
    if np.hypot(a, b) < GREY:
        paper, ink = _to_oklab(PAPER), _to_oklab(INK)
        return _to_hex(paper + turned * (ink - paper))
    return _to_hex(np.array([DARKEST + turned * (STRONGEST - DARKEST), CHROMA * a, CHROMA * b]))


def _to_oklab(colour: str) -> NDArray[np.float64]:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.asarray(TO_OKLAB @ np.cbrt(TO_LMS @ linear))


def _to_hex(oklab: NDArray[np.float64]) -> str:
    """Return the nearest colour of a screen: the chroma is reduced until there is one."""
    for chroma in np.linspace(1, 0, 51):
        linear = np.linalg.solve(TO_LMS, np.linalg.solve(TO_OKLAB, oklab * (1, chroma, chroma)) ** 3)
        if linear.min() >= -1e-4 and linear.max() <= 1 + 1e-4:
            break
    linear = linear.clip(0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * value):02x}" for value in values)
