"""Figures on pages: the same marks, in colours of the reader's scheme, and in fewer bytes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np

from fitlib.report.figures.dark_colours import dark_colour
from fitlib.report.figures.style import new_figure, styled, svg_text
from fitlib.report.pictures import page_svg

SVG = "{http://www.w3.org/2000/svg}"


@styled
def drawn() -> str:
    """A figure with text, points, lines and cells."""
    figure = new_figure((4, 3))
    ax = figure.subplots()
    ax.plot(np.linspace(0, 1, 9) ** 2, "o-", color="#0072b2", label="<a> & b")
    ax.pcolormesh(np.arange(6.0).reshape(2, 3), cmap="RdBu_r", alpha=0.5)
    ax.legend()
    return svg_text(figure)


def tags(svg: str) -> list[str]:
    return [
        found.tag for found in ElementTree.fromstring(svg).iter() if "svg}" in found.tag and "metadata" not in found.tag
    ]


def values(svg: str, name: str) -> list[str]:
    """The values of an attribute of all marks."""
    return [of.attrib[name] for of in ElementTree.fromstring(svg).iter() if "svg}" in of.tag and name in of.attrib]


def test_marks_are_kept_and_numbers_move_by_less_than_can_be_seen() -> None:
    before = drawn()
    after = page_svg(before)
    assert tags(after) == tags(before) and len(after) < 0.95 * len(before)
    for name in ("d", "transform", "x", "y", "id", "viewBox", "width"):
        for one, other in zip(values(before, name), values(after, name), strict=True):
            numbers = [np.array(re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text), dtype=float) for text in (one, other)]
            assert np.abs(numbers[0] - numbers[1]).max(initial=0) < 0.01
            assert re.sub(r"[\d.\s]+", " ", one).strip() == re.sub(r"[\d.\s]+", " ", other).strip()


def test_every_colour_has_a_partner_for_dark_screens() -> None:
    before, after = drawn(), page_svg(drawn())
    style = next(ElementTree.fromstring(after).iter(f"{SVG}style")).text or ""
    light, dark = re.findall(r":root\{(.*?)\}", style)
    pairs = dict(of.split(":") for of in light.split(";")), dict(of.split(":") for of in dark.split(";"))
    assert set(pairs[0].values()) == set(re.findall(r"#[0-9a-f]{6}", re.sub(r'(id|href)="[^"]*"', "", before)))
    assert {name: dark_colour(colour) for name, colour in pairs[0].items()} == pairs[1]
    assert set(re.findall(r"var\((--\w+)\)", after)) == set(pairs[0])
    assert not re.findall(r": #[0-9a-f]{6}", after.partition("</style>")[2])


def test_what_matplotlib_did_not_draw_is_left_alone() -> None:
    other = '<svg xmlns="http://www.w3.org/2000/svg"><rect style="fill: #ff0000" width="1.23456"/></svg>'
    assert page_svg(other) == other
