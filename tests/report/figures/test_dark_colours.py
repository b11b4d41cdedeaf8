"""Colours on dark screens: readable, told apart by every reader, and strongest where they are strongest on paper."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fitlib.report.figures import style
from fitlib.report.figures.dark_colours import INK, ON_CELLS, PAPER, dark_colour
from tests.report.figures.test_style import NOTICED, VISION, contrast, lab


@pytest.mark.parametrize("vision", VISION)
def test_techniques_differ_for_every_reader_and_stand_out(vision: str) -> None:
    dark = [dark_colour(colour) for colour in style.PALETTE]
    assert min(np.linalg.norm(lab(a, vision) - lab(b, vision)) for a, b in combinations(dark, 2)) > NOTICED
    assert min(contrast(colour, PAPER) for colour in dark) >= 4.5


def test_text_and_lines_stand_out() -> None:
    assert contrast(dark_colour(style.INK), PAPER) >= 12 and contrast(dark_colour(style.GREY), PAPER) >= 4.5
    assert dark_colour(style.INK) == INK and dark_colour("#ffffff") == PAPER


@pytest.mark.parametrize("share", np.linspace(0, 1, 101))
def test_text_in_cells_is_readable_on_both_pages(share: float) -> None:
    cell = to_hex(style.DIVERGING(share))
    ink = style.readable_ink(cell)
    assert ink in ON_CELLS
    assert contrast(ink, cell) >= 4.5 and contrast(dark_colour(ink), dark_colour(cell)) >= 4.5


def test_the_strongest_difference_is_the_most_salient_and_none_is_the_page() -> None:
    salience = [contrast(dark_colour(to_hex(style.DIVERGING(share))), PAPER) for share in np.linspace(0, 1, 21)]
    middle = len(salience) // 2
    assert salience[middle] < 1.3 and min(salience[0], salience[-1]) > 3
    assert np.all(np.diff(salience[: middle + 1]) < 0.05) and np.all(np.diff(salience[middle:]) > -0.05)
